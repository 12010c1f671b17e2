"""Brightness and map across lines: what widths are read from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from crackviz.inspection.photographs import Photograph

REACH = 32
"""How far a profile reaches to either side of its line [px]."""
STEP = 0.5
ACROSS = np.arange(-REACH, REACH + STEP / 2, STEP)
ROWS = 1024
"""Rows of the photograph that are read together."""


@dataclass
class Profiles:
    """Profiles across points of lines, sampled every half px from 32 px on one side to 32 px on the other."""

    grey: np.ndarray
    """float32 (n, 129): mean of R, G and B, from 0 to 1; NaN outside the photograph."""
    evidence: np.ndarray
    """float32 (n, 129): the map; 0 outside the photograph."""


def normals(line: np.ndarray, around: int = 4) -> np.ndarray:
    """Return the unit vector (n, 2) across a line at each of its points (n, 2), by the points up to `around` away."""
    count = len(line)
    low = np.maximum(np.arange(count) - around, 0)
    high = np.minimum(np.arange(count) + around, count - 1)
    along = line[high] - line[low]
    along /= np.maximum(np.hypot(*along.T), 1e-9)[:, np.newaxis]
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def profiles(photograph: Photograph, values: np.ndarray, points: np.ndarray, across: np.ndarray) -> Profiles:
    """Sample photograph and map across some points, a few rows of both at a time.

    Parameters
    ----------
    photograph : Photograph
    values : float32 (H, W)
        The map.
    points, across : float (n, 2)
        x, y [px], and the unit vector of the profile's direction.
    """
    grey = np.full((len(points), len(ACROSS)), np.nan, np.float32)
    evidence = np.zeros((len(points), len(ACROSS)), np.float32)
    for top in range(0, photograph.height, ROWS):
        here = np.flatnonzero((points[:, 1] >= top) & (points[:, 1] < top + ROWS))
        if top == 0:
            here = np.union1d(here, np.flatnonzero(points[:, 1] < 0))
        if not len(here):
            continue
        first, last = max(top - REACH - 1, 0), min(top + ROWS + REACH + 1, photograph.height)
        picture = photograph.rows(first, last).mean(axis=2, dtype=np.float32) / 255
        part = np.asarray(values[first:last])
        for some in np.array_split(here, len(here) // 20_000 + 1):
            at = points[some, :, np.newaxis] + across[some, :, np.newaxis] * ACROSS
            place = (at[:, 1] - first, at[:, 0])
            grey[some] = ndimage.map_coordinates(picture, place, order=1, mode="constant", cval=np.nan)
            evidence[some] = ndimage.map_coordinates(part, place, order=1, mode="constant", cval=0.0)
    return Profiles(grey, evidence)
