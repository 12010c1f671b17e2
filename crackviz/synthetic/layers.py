"""Everything that is drawn in outline: layers of filled polygons, and the lines and blots that they are made of.

Positions are (x, y) in px of the photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Layer:
    """Polygons of one kind that are laid on the surface in one way."""

    kind: str
    polygons: Points  # (n, corners, 2)
    opacity: Points  # (n,) in [0, 1]
    colour: tuple[float, float, float]  # RGB in [0, 1]: painted on, or multiplied with what is there
    multiply: bool = False
    softness: float = 0.0  # sigma of the outline [px]
    ragged: float = 0.0  # how far noise eats into the outline, in units of coverage
    grain: float = 3.0  # size of that noise [px]
    relief: float = 0.0  # brightness of the edge that faces the light; negative for what stands out of the wall
    named: bool = True  # listed among the patch's distractors
    owner: str = ""  # what it is a part of and goes with: "crack", or a distractor's name; "" for the wall itself
    line: Points = field(default_factory=lambda: np.empty((0, 2)))  # centre line, points less than a px apart
    width: Points = field(default_factory=lambda: np.empty(0))  # of the opening at each of these points [px]
    plain: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))  # where nobody can miss it

    def clearance(self) -> float:
        """How far the layer reaches beside its centre line, at most [px]."""
        return float(np.hypot(*(self.polygons[:, 0] - self.polygons[:, -1]).T).max())

    @property
    def reach(self) -> int:
        """How far its softness carries it beyond its polygons [px]."""
        return 2 + int(np.ceil(3 * self.softness))

    @cached_property
    def boxes(self) -> Points:
        """Left, top, right, bottom of each polygon: (n, 4)."""
        return np.concatenate([self.polygons.min(axis=1), self.polygons.max(axis=1)], axis=1)

    @cached_property
    def box(self) -> tuple[float, ...]:
        """Left, top, right, bottom of all."""
        return (*self.boxes[:, :2].min(axis=0).tolist(), *self.boxes[:, 2:].max(axis=0).tolist())


def owned(layers: Sequence[Layer], owner: str) -> list[Layer]:
    """Return the layers as parts of one thing."""
    return [replace(layer, owner=owner) for layer in layers]


def joined(layers: Sequence[Layer]) -> list[Layer]:
    """Merge layers of one kind that differ in nothing but their outlines, to be drawn at once."""
    kinds: dict[str, list[Layer]] = {}
    for layer in layers:
        kinds.setdefault(layer.kind, []).append(layer)
    return [
        Layer(
            kind,
            np.concatenate([layer.polygons for layer in alike]),
            np.concatenate([layer.opacity for layer in alike]),
            alike[0].colour,
            softness=alike[0].softness,
            ragged=alike[0].ragged,
            relief=alike[0].relief,
            named=alike[0].named,
            line=np.concatenate([layer.line for layer in alike]),
            width=np.concatenate([layer.width for layer in alike]),
            plain=np.concatenate([layer.plain for layer in alike]),
        )
        for kind, alike in kinds.items()
    ]


def on_grid(points: Points) -> Points:
    """Round to 1/64 px, so that the last bit of a sine on some machine decides no pixel."""
    return np.round(points * 64) / 64


def wander(rng: np.random.Generator, count: int, step: float) -> Points:
    """Stationary noise along a curve, (count,), mean 0 and variance about 1, correlated over `step` points."""
    knots = rng.standard_normal(int(count / step) + 3)
    return np.interp(np.arange(count) / step, np.arange(len(knots)), knots) * 1.2


def ribbon(line: Points, left: Points, right: Points) -> Points:
    """Quads (n - 1, 4, 2) along a line of n points, reaching `left` and `right` px to its sides."""
    along = np.empty_like(line)
    along[0], along[-1], along[1:-1] = line[1] - line[0], line[-1] - line[-2], (line[2:] - line[:-2]) / 2
    across = np.empty_like(line)
    across[:, 0], across[:, 1] = -along[:, 1], along[:, 0]
    across /= np.maximum(np.hypot(*along.T), 1e-6)[:, None]
    one, other = line + across * left[:, None], line - across * right[:, None]
    quads = np.empty((len(line) - 1, 4, 2))
    quads[:, 0], quads[:, 1], quads[:, 2], quads[:, 3] = one[:-1], one[1:], other[1:], other[:-1]
    return on_grid(quads)


def arc(line: Points) -> Points:
    """Return the length of the way along a line to each of its n points: (n,)."""
    return np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])


def points_at(line: Points, length: Points, places: Points) -> Points:
    """Return the points of a line at some places of its `arc`: (places, 2)."""
    return np.stack([np.interp(places, length, line[:, i]) for i in range(2)], axis=1)


def dense(line: Points, values: Points) -> tuple[Points, Points]:
    """Put points 0.7 px apart on a line, and the values in between."""
    length = arc(line)
    places = np.linspace(0, length[-1], int(length[-1] / 0.7) + 2)
    return on_grid(points_at(line, length, places)), np.interp(places, length, values)


def blob(rng: np.random.Generator, centre: Points, radius: float, rough: float, corners: int = 14) -> Points:
    """Draw an irregular closed outline: (corners, 2)."""
    angles = np.arange(corners) * 2 * np.pi / corners
    phases = rng.uniform(0, 2 * np.pi, 3)
    wave = sum(np.sin((k + 2) * angles + phases[k]) / (k + 1) for k in range(3))
    radii = radius * np.clip(1 + rough * (wave + 0.6 * rng.standard_normal(corners)), 0.25, 2.2)
    squeeze, turn = rng.uniform(0.55, 1), rng.uniform(0, np.pi)
    x, y = radii * np.cos(angles), squeeze * radii * np.sin(angles)
    return centre + np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)


def stroke(
    rng: np.random.Generator, line: Points, width: float, *, uneven: float = 0.0, gap: float = 6.0
) -> tuple[Points, Points]:
    """Quads along a line of one width, every `gap` px, and their opacities."""
    length = arc(line)
    line = points_at(line, length, np.linspace(0, length[-1], max(3, int(length[-1] / gap))))
    half = width / 2 * np.clip(1 + uneven * wander(rng, len(line), 4), 0.3, 2)
    quads = ribbon(line, np.maximum(half, 0.4), np.maximum(half, 0.4))
    return quads, np.full(len(quads), min(1.0, width / 0.8))


def curve(rng: np.random.Generator, start: Points, heading: float, length: float, bend: float) -> Points:
    """Draw a smooth curve, as a hand or a hanging cable makes it."""
    t = np.linspace(0, 1, 24)
    angle = heading + bend * (rng.normal() * t + 0.6 * rng.normal() * np.sin(np.pi * t * rng.uniform(1, 2.5)))
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=1) * length / len(t)
    return start + np.cumsum(steps, axis=0)


def merged(strokes: Sequence[tuple[Points, Points]]) -> tuple[Points, Points]:
    """Put the quads and opacities of several strokes into one."""
    return np.concatenate([quads for quads, _ in strokes]), np.concatenate([opacity for _, opacity in strokes])
