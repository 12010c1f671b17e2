"""What can't be judged: too dark, too blurred, unlike anything seen, or at the edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from crackviz.contracts import check_number
from crackviz.inspection.novelty import distance, usual
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.tiles import WINDOW, places

REASONS = {
    "dark": "too dark",
    "bright": "overexposed",
    "blurred": "too blurred",
    "unlike": "unlike anything the network has seen",
    "border": "at the edge, where the network doesn't see all around; lines that are found there count",
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
    border : float, optional
        Distance from the photograph's edge [px] below which a window has no full surroundings; None for as far as a
        cell of the network's map looks, which :func:`inspect` knows and :func:`judge` doesn't: it then leaves this out.
    """

    dark: float = 0.12
    bright: float = 0.94
    blurred: float = 0.2
    unlike: float | None = None
    border: float | None = None

    def __post_init__(self) -> None:
        for name in ("dark", "bright", "blurred", "unlike", "border"):
            if (value := getattr(self, name)) is not None or name in ("dark", "bright", "blurred"):
                check_number(name, value, 0)


def look(photograph: Photograph, tell: Callable[[int], Any] | None = None) -> pd.DataFrame:
    """Look at the windows of a photograph without a network: where they are, and what can be seen of them.

    Returns
    -------
    pandas.DataFrame
        ``left``, ``top`` [px] of windows of `WINDOW` px, the last ones moved in to the edge; ``edge``, how far they are
        from the photograph's nearest edge [px]; ``grey`` (mean, 0 to 1);
        ``sharpness``, the standard deviation of what a Gaussian of 1 px takes away over that of what lies between
        Gaussians of 1 and 4 px: a picture that is out of focus, shaken or enlarged has little of the first; and
        ``unlike`` (:func:`crackviz.inspection.novelty.distance`).
    """
    lefts = places(photograph.width, WINDOW)
    beside = np.minimum(lefts, photograph.width - WINDOW - lefts)
    parts = []
    for top in places(photograph.height, WINDOW):
        rows = photograph.rows(int(top), int(top) + WINDOW)
        some = np.stack([rows[:, left : left + WINDOW] for left in lefts])
        grey = some.mean(axis=3, dtype=np.float32) / 255
        soft, softer = (ndimage.gaussian_filter(grey, sigma, axes=(1, 2), truncate=3) for sigma in (1, 4))
        fine, coarse = ((one - other).std(axis=(1, 2)) for one, other in ((grey, soft), (soft, softer)))
        edge = np.minimum(beside, min(top, photograph.height - WINDOW - top))
        seen = {"left": lefts, "top": int(top), "edge": edge, "grey": grey.mean(axis=(1, 2))}
        parts.append(pd.DataFrame(seen | {"sharpness": fine / (coarse + 1e-4), "unlike": distance(some)}))
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
        "border": windows["edge"] < (limits.border or 0),
    }
    return pd.Series(np.select(list(conditions.values()), list(conditions), ""), windows.index, name="reason")


def unjudged(windows: pd.DataFrame) -> pd.DataFrame:
    """Return the windows in which no line counts, from what :func:`judge` said of them: at the border lines do."""
    return windows[~windows["reason"].isin(("", "border"))]
