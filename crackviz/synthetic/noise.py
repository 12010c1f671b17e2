"""Random fields over the plane that any window can be cut from: the texture of synthetic concrete.

A value depends on its whole-numbered position and a salt alone, so a window needs nothing from beside it, and
two windows agree where they overlap. To give the same bytes on every machine, single precision is used only for
operations that IEEE 754 rounds exactly (+, -, *, /, sqrt); sums of products are taken in double precision and rounded
once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float32]


class Window(NamedTuple):
    """A rectangle of whole pixels of a photograph: left, top (may be negative), width, height."""

    x: int
    y: int
    width: int
    height: int

    def grown(self, margin: int) -> Window:
        """Return the window with `margin` px more on each side."""
        return Window(self.x - margin, self.y - margin, self.width + 2 * margin, self.height + 2 * margin)


def hashed(x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], salt: int) -> npt.NDArray[np.uint32]:
    """Return a well-mixed uint32 for each whole-numbered position (the "lowbias32" mixer of C. Wellons)."""
    value = (x.astype(np.uint32) * np.uint32(0x9E3779B1)) ^ (y.astype(np.uint32) * np.uint32(0x85EBCA77))
    value = value ^ np.uint32((salt * 0xC2B2AE3D + 0x27D4EB2F) & 0xFFFFFFFF)
    value ^= value >> np.uint32(16)
    value *= np.uint32(0x21F0AAAD)
    value ^= value >> np.uint32(15)
    value *= np.uint32(0xD35A2D97)
    value ^= value >> np.uint32(15)
    return value


def _bell(value: npt.NDArray[np.uint32]) -> Float:
    """Turn hashes into near-normal numbers of mean 0 and variance 1: the sum of their four bytes."""
    total = (value & np.uint32(0x00FF00FF)) + ((value >> np.uint32(8)) & np.uint32(0x00FF00FF))
    total = (total & np.uint32(0xFFFF)) + (total >> np.uint32(16))
    return (total.astype(np.float32) - np.float32(510.0)) * np.float32(1 / 147.8)


def white(window: Window, salt: int) -> Float:
    """White noise, (height, width), mean 0 and variance 1."""
    y, x = _grid(window)
    return _bell(hashed(x, y, salt))


@lru_cache(maxsize=64)
def _basis(spacing: float, first: int, count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """First of four knots, and their weights (count, 4), of a cubic B-spline whose knots lie `spacing` px apart."""
    place = np.arange(first + 0.5, first + count) / spacing
    knot = np.floor(place)
    t = place - knot
    u = 1 - t
    parts = np.empty((count, 4))
    parts[:, 0], parts[:, 3] = u * u * u, t * t * t
    parts[:, 1] = 4 - 3 * t * t * (2 - t)
    parts[:, 2] = 4 - 3 * u * u * (2 - u)
    parts /= 6 * 0.6924  # the root of the weights' mean sum of squares: the variance becomes 1
    return knot.astype(np.intp) - 1, parts


_PAGE = 1024
"""Positions of which the basis is computed, and kept, at once: the windows of one photograph share it."""
_FOUR = np.arange(4)
_ROWS = np.arange(9000)[:, None]


def _spline(start: int, count: int, spacing: float) -> tuple[int, npt.NDArray[np.float64]]:
    """First knot and weights (count, knots) of the positions from `start` on."""
    page = (start + _PAGE // 2) // _PAGE * _PAGE - _PAGE // 2
    knots, parts = _basis(spacing, page, _PAGE * (1 + (start + count - page) // _PAGE))
    here = slice(start - page, start - page + count)
    first = int(knots[here.start])
    cells = knots[here] - first
    weights = np.zeros((count, cells[-1] + 4))
    weights[_ROWS[:count], cells[:, None] + _FOUR] = parts[here]
    return first, weights


def _grid(window: Window) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    y = np.arange(window.y, window.y + window.height)[:, None]
    return y, np.arange(window.x, window.x + window.width)[None]


def smooth(window: Window, spacing: float, salt: int) -> Float:
    """Smooth noise with features about `spacing` px in size: (height, width), mean 0 and variance about 1."""
    if spacing < 1.25:
        return white(window, salt)
    left, across = _spline(window.x, window.width, spacing)
    top, down = _spline(window.y, window.height, spacing)
    y, x = _grid(Window(left, top, across.shape[1], down.shape[1]))
    return (down @ _bell(hashed(x, y, salt)).astype(np.float64) @ across.T).astype(np.float32)


def streaks(window: Window, length: float, width: float, angle: float, salt: int) -> Float:
    """Smooth noise drawn out in one direction: `length` px along `angle` [rad], `width` px across."""
    y, x = np.mgrid[window.y : window.y + window.height, window.x : window.x + window.width]
    x, y = x.astype(np.float32), y.astype(np.float32)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = (x * cos + y * sin) / np.float32(length), (y * cos - x * sin) / np.float32(width)
    iu, iv = np.floor(u), np.floor(v)
    u, v = step(u - iu), step(v - iv)
    iu, iv = iu.astype(np.int64), iv.astype(np.int64)
    top = _bell(hashed(iu, iv, salt)) * (1 - u) + _bell(hashed(iu + 1, iv, salt)) * u
    low = _bell(hashed(iu, iv + 1, salt)) * (1 - u) + _bell(hashed(iu + 1, iv + 1, salt)) * u
    return np.asarray((top * (1 - v) + low * v) * np.float32(1.35), np.float32)


def step(value: Float) -> Float:
    """Rise smoothly from 0 at 0 to 1 at 1."""
    value = np.clip(value, np.float32(0), np.float32(1))
    return np.asarray(value * value * (3 - 2 * value), np.float32)
