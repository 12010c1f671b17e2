"""Which pictures to show: chosen by a rule, so that nobody has picked them to please."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_lengths, check_number


def examples(table: pd.DataFrame, logits: np.ndarray, count: int = 5, *, threshold: float = 0.0) -> pd.DataFrame:
    """Choose pictures to explain by a rule: sure answers, one that was hard, one that is wrong.

    The first is the surest crack, the second the surest sound picture, the third the next surest crack, the fourth the
    surest mistake, the fifth a sound picture with a distractor, answered rightly, but by the narrowest margin. After
    these come the next surest of either class by turns. Where there is none of a kind (no mistake, no distractor) the
    next of the list takes its place.

    Two patches of one wall would be one example shown twice. So each picture is the first of its kind from a group
    that none before it came from: the next surest crack is the surest one of *another* photograph. Where all groups of
    a kind are taken already, it is the first whose group has shown no picture of its class; then the first of the rest.

    Parameters
    ----------
    table : pandas.DataFrame
        With a column ``label``, 0 or 1. Pictures of equal ``group`` belong together; without this column each stands
        for itself. A column ``distractors``, names separated by blanks, is used if there is one.
    logits : float (N,)
        The network's answers, in the table's order; not probabilities, whose largest are all 1.
    count : int, from 1 on
        Fewer are returned where the table has fewer.
    threshold : float
        The logit from which on the answer is "crack".

    Returns
    -------
    pandas.DataFrame
        Rows of the table, cracked ones first, with the columns ``why``, such as ``"surest crack"`` or
        ``"mistake: missed crack"``, and ``logit``.

    Raises
    ------
    CrackvizError
        If lengths differ, a logit is not finite, a label is neither 0 nor 1, or `count` is no whole number from 1 on.
    """
    check_lengths(table=table, logits=logits)
    check_number("count", count, 1, whole=True)
    scores = np.asarray(logits, float)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise CrackvizError(f"Logits have shape {scores.shape}; expected finite numbers, one a picture.")
    if not set(table["label"]) <= {0, 1}:
        raise CrackvizError(f"Labels are {sorted(set(table['label']))}; expected 0 (sound) and 1 (cracked).")
    labels = table["label"].tolist()
    groups = table["group"].tolist() if "group" in table else list(range(len(table)))
    chosen: dict[int, str] = {}
    for ranked, why in _by_rule(table, scores, threshold):
        if len(chosen) == count:
            break
        taken = {groups[place] for place in chosen}
        alike = {(groups[place], labels[place]) for place in chosen}
        left = [place for place in ranked if place not in chosen]
        if left:  # the first in its ranking of those that repeat no group, else no group with its own class
            place = min(left, key=lambda place: ((groups[place], labels[place]) in alike, groups[place] in taken))
            chosen[place] = why(place)
    order = sorted(chosen, key=lambda place: -int(table["label"].iloc[place]))  # stable: else as chosen
    return table.iloc[order].assign(why=[chosen[place] for place in order], logit=scores[order])


def _by_rule(
    table: pd.DataFrame, scores: np.ndarray, threshold: float
) -> Iterator[tuple[list[int], Callable[[int], str]]]:
    """Yield a kind's places in the table, the best first, of which one is to be taken, and the reason for taking it."""
    cracked = table["label"].to_numpy() == 1
    right = (scores >= threshold) == cracked
    margin = np.abs(scores - threshold)
    surest = np.argsort(-margin, kind="stable")
    cracks = surest[cracked[surest] & right[surest]].tolist()
    sound = surest[~cracked[surest] & right[surest]].tolist()
    wrong = surest[~right[surest]].tolist()
    names = table.get("distractors", pd.Series("", table.index)).fillna("").to_numpy()
    yield cracks, lambda place: "surest crack"
    yield sound, lambda place: "surest sound"
    yield cracks, lambda place: "next surest crack"
    yield wrong, lambda place: f"mistake: {'missed crack' if cracked[place] else 'false alarm'}"
    yield [place for place in sound[::-1] if names[place]], lambda place: f"sound, with {_listed(names[place])}"
    for _ in range(max(len(cracks), len(sound))):
        yield cracks, lambda place: "sure crack"
        yield sound, lambda place: "sure sound"
    for _ in wrong:
        yield wrong, lambda place: "mistake"


def _listed(names: str) -> str:
    return " and ".join(name.replace("_", " ") for name in str(names).split())
