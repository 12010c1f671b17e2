"""Which pictures to show: chosen by a rule, so that nobody has picked them to please."""

from __future__ import annotations

from collections.abc import Iterator

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

    Parameters
    ----------
    table : pandas.DataFrame
        With a column ``label``, 0 or 1; a column ``distractors``, names separated by blanks, is used if there is one.
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
    chosen: dict[int, str] = {}
    for place, why in _by_rule(table, scores, threshold):
        if len(chosen) == count:
            break
        chosen.setdefault(place, why)
    order = sorted(chosen, key=lambda place: -int(table["label"].iloc[place]))  # stable: else as chosen
    return table.iloc[order].assign(why=[chosen[place] for place in order], logit=scores[order])


def _by_rule(table: pd.DataFrame, scores: np.ndarray, threshold: float) -> Iterator[tuple[int, str]]:
    """Yield places in the table with the reason for each, the same place perhaps twice."""
    cracked = table["label"].to_numpy() == 1
    right = (scores >= threshold) == cracked
    margin = np.abs(scores - threshold)
    surest = np.argsort(-margin, kind="stable")
    cracks, sound = surest[cracked[surest] & right[surest]], surest[~cracked[surest] & right[surest]]
    wrong = surest[~right[surest]]
    names = table.get("distractors", pd.Series("", table.index)).fillna("").to_numpy()
    beside = sound[names[sound] != ""][::-1]
    yield from ((place, "surest crack") for place in cracks[:1])
    yield from ((place, "surest sound") for place in sound[:1])
    yield from ((place, "next surest crack") for place in cracks[1:2])
    yield from ((place, f"mistake: {'missed crack' if cracked[place] else 'false alarm'}") for place in wrong[:1])
    yield from ((place, f"sound, with {_listed(names[place])}") for place in beside[:1])
    for n in range(1, len(table)):
        yield from ((place, "sure crack") for place in cracks[n : n + 1])
        yield from ((place, "sure sound") for place in sound[n : n + 1])
    yield from ((place, "mistake") for place in wrong)


def _listed(names: str) -> str:
    return " and ".join(name.replace("_", " ") for name in str(names).split())
