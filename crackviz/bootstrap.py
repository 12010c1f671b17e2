"""Drawing pictures anew, by whole groups, and the intervals that come of it (``THEORY.md`` T3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from crackviz import CrackvizError
from crackviz.contracts import check_number

LEAST_GROUPS = 5
"""Fewer groups have no interval: drawn anew they give the same few values again and again, and a width near 0."""


@dataclass(frozen=True)
class Bootstrap:
    """How scores get their intervals: what is drawn anew together, how often, and how wide the interval is.

    Pictures of one photograph are no independent witnesses, so whole groups are drawn (Field, Welsh 2007).

    Attributes
    ----------
    groups : sequence (N,), optional
        Group of each picture, such as ``table["group"]``; by default each is one. Fewer than 5 have no interval.
    resamples : int
        How often is drawn; 0 leaves the intervals out.
    confidence : float
        Coverage of the intervals, in (0, 1).
    seed : int

    Notes
    -----
    Efron, Tibshirani: *An Introduction to the Bootstrap*, 1993, ch. 13. ``THEORY.md`` T3.
    """

    groups: Sequence[Any] | np.ndarray | None = None
    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("resamples", self.resamples, 0, whole=True)
        check_number("confidence", self.confidence, 0, 1, inclusive=False)
        check_number("seed", self.seed, 0, whole=True)

    def members(self, count: int) -> np.ndarray:
        """Return the group of each of `count` pictures."""
        groups = np.arange(count) if self.groups is None else np.asarray(self.groups)
        if groups.dtype.kind in "fO" and any(group is None or group != group for group in groups.ravel().tolist()):
            raise CrackvizError("Some groups are missing (None or NaN); expected one for each picture.")
        if groups.dtype == object:  # names beside numbers: what is called alike is one group
            groups = np.array([f"{type(group).__name__} {group}" for group in groups.ravel()]).reshape(groups.shape)
        if groups.shape != (count,):
            raise CrackvizError(f"{groups.size} groups for {count} pictures; expected one each.")
        return groups

    def weights(self, count: int, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return how often each of `count` pictures (or only of those in `rows`) is drawn: int16 (1 + resamples, N).

        It is alike within a group. The first row are the pictures as they are: ones. It is the only one where there are
        fewer groups than `LEAST_GROUPS`.
        """
        members = np.unique(self.members(count)[rows], return_inverse=True)[1]
        groups = int(members.max()) + 1
        rng = np.random.default_rng(self.seed)
        resamples = self.resamples if groups >= LEAST_GROUPS else 0
        times = np.ones((1 + resamples, len(members)), np.int16)  # of 8 bytes they'd fill gigabytes
        for row in times[1:]:
            row[:] = np.bincount(rng.integers(groups, size=groups), minlength=groups)[members]
        return times

    def interval(self, draws: np.ndarray | Sequence[float]) -> dict[str, float]:
        """Return ``value``, ``low``, ``high`` of a score, given at each row of :meth:`weights`; NaN is left out.

        The bounds are percentiles with equal tails, NaN where no resample is left.
        """
        value, *drawn = np.asarray(draws, float)
        known = np.asarray(drawn)[~np.isnan(drawn)]
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
        return {"value": float(value), "low": float(low), "high": float(high)}


def proportion(happened: np.ndarray, groups: np.ndarray, confidence: float) -> dict[str, float]:
    """Return the share of pictures in which something happened, with Wilson's interval: ``value``, ``low``, ``high``.

    It counts as measured on so many pictures as the groups are worth: fewer than there are, where the pictures of a
    group are alike (the design effect). Where all pictures are alike that can't be seen, and each group counts once.

    Parameters
    ----------
    happened : bool or float (N,)
        1 where it did, N > 0.
    groups : array (N,)
    confidence : float
        In (0, 1).

    Notes
    -----
    Wilson: *Probable inference, the law of succession, and statistical inference*, JASA 22, 1927. Korn, Graubard:
    *Confidence intervals for proportions with small expected number of positive counts estimated from survey data*,
    Survey Methodology 24, 1998. ``THEORY.md`` T3.
    """
    n, share = float(len(happened)), float(np.mean(happened))
    members = np.unique(groups, return_inverse=True)[1].ravel()
    beyond = np.bincount(members, happened - share)  # by how many each group exceeds its part
    alone = n * share * (1 - share)
    n = n / max((beyond**2).sum() / alone, 1.0) if alone > 0 and len(beyond) > 1 else float(len(beyond))
    z = norm.ppf((1 + confidence) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    low, high = (max(float(centre - reach), 0.0) if share else 0.0), min(float(centre + reach), 1.0)
    return {"value": share, "low": low, "high": 1.0 if share == 1 else high}


PICTURES = Bootstrap()
"""Each picture is drawn by itself: what the scores do where nothing is said."""
