"""Drawing pictures anew, by whole groups (``THEORY.md`` T3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


def resamples_of(groups: np.ndarray, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield, for each resample, how often each picture is drawn: float (N,), alike within a group."""
    members = np.unique(groups, return_inverse=True)[1].ravel()
    count = members.max() + 1
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(count, size=count), minlength=count).astype(float)[members]


def percentiles(values: Sequence[float] | np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the bounds that leave out equal tails; NaN where there are no values but NaN."""
    known: Any = np.asarray(values, float)
    known = known[~np.isnan(known)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(known, [tail, 1 - tail]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
