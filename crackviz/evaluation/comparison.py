"""Is one model better than another? (``THEORY.md`` T3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from crackviz import CrackvizError
from crackviz.bootstrap import PICTURES, Bootstrap, proportion
from crackviz.contracts import one_by_one
from crackviz.evaluation.predictions import class_numbers


@one_by_one
def compare(
    labels: np.ndarray | Sequence[int],
    first: np.ndarray | Sequence[int],
    second: np.ndarray | Sequence[int],
    *,
    bootstrap: Bootstrap = PICTURES,
) -> dict[str, Any]:
    """Compare two models by their answers for the same pictures: McNemar's test, and the difference in accuracy.

    Only the pictures on which one is right and the other wrong can tell the two apart. If they were equally good, each
    of these would fall to either side like a coin.

    Parameters
    ----------
    labels, first, second : int (N,)
        The truth, and the predicted classes (not probabilities): for two classes ``probabilities >= threshold``.
    bootstrap : Bootstrap
        ``Bootstrap(table["group"])`` draws the pictures of a group together.

    Returns
    -------
    dict
        Ready for JSON. ``both_right``, ``only_first``, ``only_second``, ``both_wrong``: numbers of pictures;
        ``p_value``: exact and two-sided; ``difference``: {``value``, ``low``, ``high``}, accuracy of the first less
        that of the second, from a bootstrap of whole groups (bounds None without resamples, or with fewer than 5
        groups; where all pictures say the same, Wilson's, by how many groups do); ``pictures`` and ``groups``: their
        numbers.

        The test takes the pictures as independent. Pictures of one photograph aren't: where there are fewer groups
        than pictures, its p-value is too small, and the interval is the one to believe. If that one holds 0, the
        difference may be chance.

    Notes
    -----
    McNemar: *Note on the sampling error of the difference between correlated proportions or percentages*,
    Psychometrika 12, 1947. ``THEORY.md`` T3.
    """
    given = {"labels": labels, "first": first, "second": second}
    labels, first, second = (class_numbers(name, answers) for name, answers in given.items())
    if not labels.size or not (labels.shape == first.shape == second.shape == (labels.size,)):
        raise CrackvizError(
            f"Labels, first and second have the shapes {labels.shape}, {first.shape} and {second.shape}; expected (N,) "
            "each, N > 0, for the same pictures in the same order."
        )
    if (low := min(labels.min(), first.min(), second.min())) < 0:
        raise CrackvizError(f"A class is {low}; expected numbers of classes, from 0.")
    right, other = first == labels, second == labels
    only_first, only_second = int((right & ~other).sum()), int((other & ~right).sum())
    lead = right.astype(float) - other
    difference = bootstrap.interval([np.average(lead, weights=times) for times in bootstrap.weights(len(lead))])
    if not np.isnan(difference["low"]) and np.ptp(lead) == 0:  # drawn anew it stays what it is
        most = proportion(np.ones(len(lead)), bootstrap.members(len(lead)), bootstrap.confidence)["low"]
        ends = {0: (most - 1, 1 - most), 1: (2 * most - 1, 1.0), -1: (-1.0, 1 - 2 * most)}[int(lead[0])]
        difference |= dict(zip(("low", "high"), ends, strict=True))
    apart = only_first + only_second
    return {
        "pictures": len(labels),
        "groups": len(np.unique(bootstrap.members(len(labels)))),
        "both_right": int((right & other).sum()),
        "only_first": only_first,
        "only_second": only_second,
        "both_wrong": int((~right & ~other).sum()),
        "p_value": float(binomtest(only_first, apart).pvalue) if apart else 1.0,
        "difference": {what: None if np.isnan(number) else number for what, number in difference.items()},
        "confidence": bootstrap.confidence,
    }
