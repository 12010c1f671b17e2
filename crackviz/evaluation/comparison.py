"""Is one model better than another? (``THEORY.md`` T3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from crackviz import CrackvizError
from crackviz.bootstrap import percentiles, resamples_of


def compare(
    labels: np.ndarray | Sequence[int],
    first: np.ndarray | Sequence[int],
    second: np.ndarray | Sequence[int],
    *,
    groups: np.ndarray | Sequence[Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare two models that have answered for the same pictures: McNemar's test, and the difference in accuracy.

    Only the pictures on which one is right and the other wrong can tell the two apart. If they were equally good, each
    of these would fall to either side like a coin.

    Parameters
    ----------
    labels : int (N,)
        The truth.
    first, second : int (N,)
        The predicted classes (not probabilities): for two classes ``probabilities >= threshold``.
    groups : sequence (N,), optional
        Group of each picture.
    resamples : int
        Number of bootstrap resamples; 0 leaves the interval out (None).
    confidence : float
        Coverage of the percentile interval, in (0, 1).
    seed : int

    Returns
    -------
    dict
        Ready for JSON. ``both_right``, ``only_first``, ``only_second``, ``both_wrong``: numbers of pictures;
        ``p_value``: exact and two-sided; ``difference``: {``value``, ``low``, ``high``}, accuracy of the first less
        that of the second, from a bootstrap of whole groups; ``pictures`` and ``groups``: their numbers.

        The test takes the pictures as independent. Pictures of one photograph aren't: where there are fewer groups
        than pictures, its p-value is too small, and the interval is the one to believe. If that one holds 0, the
        difference may be chance.

    Raises
    ------
    CrackvizError
        Where lengths don't agree, there is nothing to compare, or the answers are no class numbers.

    Notes
    -----
    McNemar: *Note on the sampling error of the difference between correlated proportions or percentages*,
    Psychometrika 12, 1947. ``THEORY.md`` T3.
    """
    labels, first, second = (np.asarray(answers) for answers in (labels, first, second))
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    shapes = {answers.shape for answers in (labels, first, second, groups)}
    if shapes != {(labels.size,)} or labels.size == 0:
        raise CrackvizError(
            f"Labels, first, second and groups have the shapes {labels.shape}, {first.shape}, {second.shape} and "
            f"{groups.shape}; expected (N,) each, N > 0, for the same pictures in the same order."
        )
    for name, answers in (("labels", labels), ("first", first), ("second", second)):
        if not (np.issubdtype(answers.dtype, np.number) or answers.dtype == bool) or (answers % 1 != 0).any():
            raise CrackvizError(
                f"{name} holds {answers[0]!r}; expected numbers of classes. Are they probabilities? Compare those with "
                "a threshold first."
            )
    if not 0 < confidence < 1:
        raise CrackvizError(f"confidence is {confidence}; expected a number between 0 and 1, such as 0.95.")
    right = first == labels, second == labels
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    lead = right[0].astype(float) - right[1]
    drawn = [np.average(lead, weights=times) for times in resamples_of(groups, resamples, seed)]
    low, high = percentiles(drawn, confidence) if drawn else (None, None)
    apart = only_first + only_second
    return {
        "pictures": len(labels),
        "groups": len(np.unique(groups)),
        "both_right": int((right[0] & right[1]).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": int((~right[0] & ~right[1]).sum()),
        "p_value": float(binomtest(only_first, apart).pvalue) if apart else 1.0,
        "difference": {"value": float(lead.mean()), "low": low, "high": high},
        "confidence": confidence,
    }
