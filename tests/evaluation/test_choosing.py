"""Examples are chosen by the rule that the text tells, whatever the order of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackviz import CrackvizError
from crackviz.evaluation import examples

TABLE = pd.DataFrame(
    {
        "path": list("abcdefgh"),
        "label": [1, 1, 1, 1, 0, 0, 0, 0],
        "distractors": ["", "joint", "", "", "", "tie_hole cable", "stain", "shadow"],
    }
)
LOGITS = np.array([2.0, 9.0, 5.0, -7.0, -8.0, -1.0, -3.0, 4.0])
# right: b, c, a cracked; e, g, f sound, g and f with a distractor; wrong: d by 7, h by 4


def test_the_rule_by_hand() -> None:
    chosen = examples(TABLE, LOGITS)
    assert dict(zip(chosen["path"], chosen["why"], strict=True)) == {
        "b": "surest crack",
        "c": "next surest crack",
        "d": "mistake: missed crack",
        "e": "surest sound",
        "f": "sound, with tie hole and cable",
    }
    assert chosen["label"].tolist() == [1, 1, 1, 0, 0], "cracked ones first"
    assert chosen["logit"].tolist() == [9, 5, -7, -8, -1]
    assert list(examples(TABLE, LOGITS, 2)["path"]) == ["b", "e"], "few of them: one of each"
    assert list(examples(TABLE, LOGITS, 7)["path"]) == list("bcda") + list("efg")
    assert len(examples(TABLE, LOGITS, 99)) == len(TABLE)


def test_the_threshold_decides_what_is_a_mistake() -> None:
    chosen = examples(TABLE, LOGITS, threshold=4.5)
    assert chosen.set_index("path")["why"]["d"] == "mistake: missed crack"
    assert "f" not in set(chosen["path"]), "h is right now, and the narrowest"
    assert chosen.set_index("path")["why"]["h"] == "sound, with shadow"


def test_what_there_is_none_of_is_replaced() -> None:
    plain = TABLE.drop(columns="distractors").iloc[[0, 1, 2, 4, 5, 6]]
    chosen = examples(plain, LOGITS[[0, 1, 2, 4, 5, 6]])
    assert list(chosen["why"]) == ["surest crack", "next surest crack", "sure crack", "surest sound", "sure sound"]
    assert list(examples(TABLE.iloc[:3], LOGITS[:3], 2)["why"]) == ["surest crack", "next surest crack"]


def test_each_comes_from_a_group_of_its_own_while_there_are_any() -> None:
    walls = TABLE.assign(group=["w1", "w2", "w2", "w3", "w4", "w4", "w4", "w4"])
    chosen = examples(walls, LOGITS).set_index("path")
    assert chosen["why"].to_dict() == {
        "b": "surest crack",
        "a": "next surest crack",  # not c, surer than a: it is of b's wall
        "d": "mistake: missed crack",
        "e": "surest sound",
        "f": "sound, with tie hole and cable",  # of e's wall, as all sound ones are
    }
    assert list(examples(walls, LOGITS, 7)["path"]) == list("badc") + list("efg"), "c, when nothing else is left"
    nearby = walls.assign(group=["w1", "w2", "w3", "w1", "w4", "w4", "w5", "w6"])
    why = examples(nearby, LOGITS).set_index("path")["why"]
    assert why["g"] == "sound, with stain", "f is narrower, but of e's wall"
    assert why["d"] == "mistake: missed crack", "w1 is still free"
    assert examples(walls.assign(group="one"), LOGITS)["path"].tolist() == examples(TABLE, LOGITS)["path"].tolist()


@given(st.lists(st.sampled_from("wxyz"), min_size=8, max_size=8))
def test_the_two_surest_cracks_show_two_walls(groups: list[str]) -> None:
    chosen = examples(TABLE.assign(group=groups), LOGITS)
    cracks = chosen[chosen["why"].str.endswith("surest crack")]["group"]
    right = {groups[place] for place in (0, 1, 2)}
    assert cracks.nunique() == min(2, len(right))


@given(st.permutations(range(8)), st.integers(1, 8))
def test_the_order_of_the_table_does_not_matter(order: list[int], count: int) -> None:
    shuffled = examples(TABLE.iloc[order], LOGITS[order], count)
    assert shuffled["path"].tolist() == examples(TABLE, LOGITS, count)["path"].tolist()
    assert len(shuffled) == count and shuffled["path"].is_unique


@pytest.mark.parametrize(
    ("table", "logits", "options", "message"),
    [
        (TABLE, LOGITS[:3], {}, "expected as many of each"),
        (TABLE, np.full(8, np.nan), {}, "finite"),
        (TABLE, LOGITS[:, None], {}, "one a picture"),
        (TABLE.assign(label=2), LOGITS, {}, "Labels are"),
        (TABLE, LOGITS, {"count": 0}, "count is 0"),
    ],
)
def test_what_does_not_fit_is_refused(table: pd.DataFrame, logits: np.ndarray, options: Any, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        examples(table, logits, **options)
