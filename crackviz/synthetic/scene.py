"""What a wall is made of: surface, camera, cracks and marks in their places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from crackviz.synthetic import cracks
from crackviz.synthetic.distractors import FREQUENT, MAKERS, holes
from crackviz.synthetic.layers import Layer, Points, owned
from crackviz.synthetic.noise import Window

_ABOVE = {"shadow", "pen_mark", "chalk_mark", "scale_bar", "cable", "debris", "date_stamp"}
OCTAVES = (1.0, 2.3, 5.0, 12.0, 30.0, 90.0)
"""Sizes of the features that the tone of a surface is made of [px]."""
_OUT = np.array([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Surface:
    """Concrete without anything on it."""

    colour: tuple[float, float, float]
    salt: int
    albedo: tuple[float, ...]  # standard deviation of each octave
    zoom: float
    cloud: float  # blotches of another tone
    grain: float  # contrast of sand and aggregate
    grain_size: float
    roughness: float  # of the relief
    relief_size: float
    trowel: float  # strength of directed marks
    trowel_angle: float
    trowel_width: float
    warmth: float  # variation of the tint


@dataclass(frozen=True)
class Camera:
    """Light and camera of one photograph."""

    light: tuple[float, float]  # direction that it comes from, in the picture
    gradient: tuple[float, float]
    vignette: float
    exposure: float
    tint: tuple[float, float, float]
    blur: float  # sigma [px]
    motion: tuple[int, int]  # px
    sharpen: float
    noise: float
    colour_noise: float
    quality: int


@dataclass(frozen=True)
class Scene:
    """A wall and how it is photographed."""

    size: tuple[int, int]
    surface: Surface
    camera: Camera
    layers: tuple[Layer, ...]

    @cached_property
    def cracks(self) -> list[Layer]:
        """The layers that are cracks."""
        return [layer for layer in self.layers if layer.kind == "crack"]

    @cached_property
    def lines(self) -> Points:
        """The cracks' centre lines: (points, 2)."""
        return np.concatenate([layer.line for layer in self.cracks])

    @cached_property
    def plain(self) -> Points:
        """Those points of `lines` where nobody can miss the crack."""
        return self.lines[np.concatenate([layer.plain for layer in self.cracks])]

    @cached_property
    def clearance(self) -> float:
        """How far a crack reaches beside its centre line, at most [px]."""
        return max(layer.clearance() for layer in self.cracks)

    @cached_property
    def middles(self) -> Points:
        """Where the distractors are: the middles of their polygons, (polygons, 2)."""
        marks = [layer.polygons.mean(axis=1) for layer in self.layers if layer.named and layer.kind != "crack"]
        return np.concatenate([np.empty((0, 2)), *marks])

    @cached_property
    def reaches(self) -> Points:
        """Left, top, right, bottom of what each layer can change: (layers, 4)."""
        return np.array([layer.box for layer in self.layers]) + np.outer([one.reach for one in self.layers], _OUT)

    def within(self, window: Window) -> list[Layer]:
        """Return the layers that may reach into the window, in their order."""
        left, top, right, low = self.reaches.T
        hit = (left < window.x + window.width) & (right > window.x)
        hit &= (top < window.y + window.height) & (low > window.y)
        return [self.layers[i] for i in np.flatnonzero(hit)]


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def surface(rng: np.random.Generator) -> Surface:
    """Cast a wall: smooth or sandy, trowelled or rough, grey, brownish or greenish."""
    grey = rng.uniform(0.32, 0.82)
    warm, green = rng.normal(0.028, 0.034), rng.normal(0.004, 0.008)
    colour = tuple(float(c) for c in grey * np.array([1 + warm, 1 + 0.1 * warm + green, 1 - 1.2 * warm]))
    overall, tilt = _log(rng, 0.006, 0.035), rng.normal(0, 0.18)
    bands = np.exp(tilt * (np.arange(len(OCTAVES)) - 2) + rng.normal(0, 0.35, len(OCTAVES)))
    sandy = rng.random() < 0.35
    return Surface(
        colour=colour,  # type: ignore[arg-type]
        salt=int(rng.integers(2**31)),
        albedo=tuple(float(v) for v in np.minimum(overall * bands, 0.05)),
        zoom=_log(rng, 0.7, 2.0),
        cloud=_log(rng, 0.02, 0.25) if rng.random() < 0.5 else 0.0,
        grain=_log(rng, 0.05, 0.3) if sandy else _log(rng, 0.004, 0.05),
        grain_size=rng.uniform(1.3, 4.5),
        roughness=_log(rng, 0.01, 0.16),
        relief_size=_log(rng, 1.6, 7),
        trowel=_log(rng, 0.03, 0.13) if not sandy and rng.random() < 0.4 else 0.0,
        trowel_angle=rng.uniform(0, np.pi),
        trowel_width=_log(rng, 2.0, 6),
        warmth=_log(rng, 0.003, 0.03),
    )


def camera(rng: np.random.Generator) -> Camera:
    """Take a photograph: mostly a sharpened and denoised one of a telephone."""
    angle = rng.uniform(0, 2 * np.pi)
    tilt, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    motion = (0, 0)
    if rng.random() < 0.15:
        length, way = rng.integers(2, 5), rng.uniform(0, np.pi)
        motion = (round(float(length * np.cos(way))), round(float(length * np.sin(way))))
    return Camera(
        light=(float(np.cos(angle)), float(np.sin(angle))),
        gradient=(float(slope * np.cos(tilt)), float(slope * np.sin(tilt))),
        vignette=rng.uniform(0, 0.3),
        exposure=_log(rng, 0.85, 1.18),
        tint=tuple(float(v) for v in np.exp(rng.normal(0, 0.012, 3))),  # type: ignore[arg-type]
        blur=_log(rng, 0.4, 1.0) if rng.random() < 0.8 else _log(rng, 1.0, 1.7),
        motion=motion,
        sharpen=rng.uniform(0, 1.2),
        noise=_log(rng, 0.002, 0.02),
        colour_noise=_log(rng, 0.001, 0.008),
        quality=int(rng.integers(70, 97)),
    )


def scene(
    seed: Sequence[int],
    size: tuple[int, int],
    *,
    widths: tuple[float, float],
    contrast: float,
    distractors: float,
    without: Sequence[str] = (),
    side: int = 0,
) -> Scene:
    """Compose a wall of (width, height) px with cracks, and on average `distractors` marks per 1,000 x 1,000 px.

    Cracks that leave no room for a patch of `side` px without a crack are left out.
    """
    one, two, three, four = (np.random.default_rng([*seed, part]) for part in range(4))
    wall, lens = surface(one), camera(two)
    base = np.array(wall.colour)
    dark = three.uniform(0.08, 0.36)
    look = cracks.Look(
        widths=widths,
        contrast=contrast * three.uniform(0.75, 1.0),
        colour=tuple(float(v) for v in base * dark * np.exp(three.normal(0, 0.05, 3))),  # type: ignore[arg-type]
        dust=tuple(float(min(0.95, v)) for v in base * three.uniform(0.85, 1.15)),  # type: ignore[arg-type]
        relief=three.uniform(0.0, 0.55),
        spalls=three.random() < 0.45,
        rim=three.uniform(0.4, 2.0) if three.random() < 0.5 else 0.0,
        rim_left=three.random() < 0.5,
    )
    groups = cracks.cracks(three, size, look)
    while len(groups) > 1 and not _room(groups, size, side):
        groups.pop()
    cracked = owned([layer for group in groups for layer in group], "crack")
    extent = np.array(size, float)
    lines = [layer.line for layer in cracked if len(layer.line)]
    kinds = [kind for kind in MAKERS if kind not in without]
    often = np.array([FREQUENT.get(kind, 1.0) for kind in kinds])
    kinds = [kinds[int(i)] for i in four.choice(len(kinds), 400, p=often / often.sum())]
    favourite = kinds[:3]
    below: list[Layer] = _pores(four, extent, wall)
    above: list[Layer] = []
    for _ in range(int(four.poisson(distractors * size[0] * size[1] / 1e6))):
        kind = favourite[int(four.integers(3))] if four.random() < 0.5 else kinds[int(four.integers(len(kinds)))]
        if lines and four.random() < 0.35:
            line = lines[int(four.integers(len(lines)))]
            at = line[int(four.integers(len(line)))] + four.normal(0, 25, 2)
        else:
            at = extent * four.uniform(0, 1, 2)
        made = MAKERS[kind](four, extent, at, _log(four, 0.7, 1.7))
        (above if kind in _ABOVE else below).extend(owned(made, kind))
    return Scene(size, wall, lens, (*below, *cracked, *above))


def _room(groups: Sequence[Sequence[Layer]], size: tuple[int, int], side: int) -> bool:
    """Tell whether somewhere a square of `side` px is clear of all cracks."""
    found = [layer for group in groups for layer in group if layer.kind == "crack"]
    points = np.concatenate([layer.line for layer in found])[::3]
    clear = 8 + max(layer.clearance() for layer in found)
    near, far = -clear, side + clear
    for x in range(0, size[0] - side + 1, max(1, side // 2)):
        column = points[(points[:, 0] > x + near) & (points[:, 0] < x + far), 1]
        tops = np.arange(0, size[1] - side + 1, max(1, side // 2))
        taken = (column[None] > tops[:, None] + near) & (column[None] < tops[:, None] + far)
        if not taken.any(axis=1).all():
            return True
    return False


def _pores(rng: np.random.Generator, extent: Points, wall: Surface) -> list[Layer]:
    """Sprinkle single pores and light specks over the wall, a few or hundreds."""
    made = []
    area = float(extent.prod()) / 1e6
    pores = int(rng.poisson(_log(rng, 50, 1000) * area))
    if pores:
        sizes = np.minimum(np.exp(rng.normal(0.1, 0.55, pores)) * wall.zoom * 0.9, 9)
        made.append(holes(rng, "pores", rng.uniform(0, 1, (pores, 2)) * extent, sizes, named=False))
    specks = int(rng.poisson(_log(rng, 3, 300) * area))
    if specks:
        sizes = np.minimum(np.exp(rng.normal(0.1, 0.6, specks)) * wall.zoom, 9)
        layer = holes(rng, "specks", rng.uniform(0, 1, (specks, 2)) * extent, sizes, named=False)
        light = float(min(0.97, max(wall.colour) * rng.uniform(1.15, 1.5)))
        made.append(replace(layer, colour=(light, light, 0.96 * light), relief=-0.3 * layer.relief, ragged=0.4))
    return made
