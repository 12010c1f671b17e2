"""What can't be judged: too dark, too blurred, or unlike anything seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from crackviz.inspection.novelty import distance, usual
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.tiles import WINDOW, places

REASONS = {
    "dark": "too dark",
    "bright": "overexposed",
    "blurred": "too blurred",
    "unlike": "unlike anything the network has seen",
}
"""Why a window isn't judged, in words."""


@dataclass(frozen=True)
class Limits:
    """From where on a window isn't judged.

    Parameters
    ----------
    dark, bright : float
        Mean grey, 0 to 1, below or above which nothing can be seen.
    blurred : float
        Strength of details of 1 to 2 px as a share of those of 2 to 8 px, below which a hairline would have vanished.
    unlike : float, optional
        Distance from what is usual; None for the limit that comes with crackviz.
    """

    dark: float = 0.12
    bright: float = 0.94
    blurred: float = 0.2
    unlike: float | None = None


def look(photograph: Photograph, tell: Callable[[int], Any] | None = None) -> pd.DataFrame:
    """Look at the windows of a photograph without a network: where they are, and what can be seen of them.

    Returns
    -------
    pandas.DataFrame
        ``left``, ``top`` [px] of windows of `WINDOW` px, the last ones moved in to the edge; ``grey`` (mean, 0 to 1);
        ``sharpness``, the standard deviation of what a Gaussian of 1 px takes away over that of what lies between
        Gaussians of 1 and 4 px: a picture that is out of focus, shaken or enlarged has little of the first; and
        ``unlike`` (:func:`crackviz.inspection.novelty.distance`).
    """
    lefts = places(photograph.width, WINDOW)
    parts = []
    for top in places(photograph.height, WINDOW):
        rows = photograph.rows(int(top), int(top) + WINDOW)
        some = np.stack([rows[:, left : left + WINDOW] for left in lefts])
        grey = some.mean(axis=3, dtype=np.float32) / 255
        soft, softer = (ndimage.gaussian_filter(grey, sigma, axes=(1, 2), truncate=3) for sigma in (1, 4))
        fine, coarse = ((one - other).std(axis=(1, 2)) for one, other in ((grey, soft), (soft, softer)))
        seen = {"left": lefts, "top": int(top), "grey": grey.mean(axis=(1, 2)), "sharpness": fine / (coarse + 1e-4)}
        parts.append(pd.DataFrame(seen | {"unlike": distance(some)}))
        if tell is not None:
            tell(rows.shape[0] * rows.shape[1])
    return pd.concat(parts, ignore_index=True)


def judge(windows: pd.DataFrame, limits: Limits | None = None) -> pd.Series:
    """Say why windows can't be judged, by what :func:`look` saw of them: a key of `REASONS`, or "" for those that can.

    The first reason counts, in the order of `REASONS`.
    """
    limits = limits or Limits()
    unlike = usual().limit if limits.unlike is None else limits.unlike
    conditions = {
        "dark": windows["grey"] < limits.dark,
        "bright": windows["grey"] > limits.bright,
        "blurred": windows["sharpness"] < limits.blurred,
        "unlike": windows["unlike"] > unlike,
    }
    return pd.Series(np.select(list(conditions.values()), list(conditions), ""), windows.index, name="reason")
