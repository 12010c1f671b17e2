"""Cracks: fractal curves whose width varies on its way.

The curves are made by random midpoint displacement, as fracture lines are self-affine (Mandelbrot, Passoja, Paullay,
Nature 308, 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crackviz.synthetic.layers import Layer, Points, blob, dense, joined, on_grid, ribbon, wander


def fractal(
    rng: np.random.Generator, start: Points, end: Points, roughness: float, *, hurst: float = 0.85, gap: float = 3.0
) -> Points:
    """Lead a self-affine curve from start to end, points about `gap` px apart.

    roughness is the sideways displacement of the first midpoint in units of the distance; it falls by 2^-hurst with
    every halving. Fracture surfaces of concrete have exponents of 0.75 to 0.85.
    """
    points = np.stack([start, end])
    span = float(np.hypot(*(end - start)))
    for level in range(max(1, round(np.log2(max(span, 2 * gap) / gap)))):
        along = points[1:] - points[:-1]
        across = np.stack([-along[:, 1], along[:, 0]], axis=1)
        across /= np.maximum(np.hypot(*across.T), 1e-6)[:, None]
        push = rng.standard_normal((len(along), 1)) * roughness * span * 2 ** (-hurst * level)
        middle = (points[1:] + points[:-1]) / 2 + across * push
        merged = np.empty((2 * len(points) - 1, 2))
        merged[0::2], merged[1::2] = points, middle
        points = merged
    return points


@dataclass(frozen=True)
class Look:
    """What the cracks of one photograph have in common."""

    widths: tuple[float, float]  # of a crack's middle [px]
    contrast: float
    colour: tuple[float, float, float]  # inside
    dust: tuple[float, float, float]  # what fills some stretches
    relief: float
    spalls: bool
    rim: float  # thickness of a lit edge [px]; 0 for none
    rim_left: bool


def crack(rng: np.random.Generator, line: Points, width: float, look: Look, ends: tuple[bool, bool]) -> list[Layer]:
    """Open a line to a crack: its width varies, its edges break, its open ends taper, dust fills some of it."""
    n = len(line)
    along = np.linspace(0, 1, n)
    taper = np.ones(n)
    for open_end, distance in zip(ends, (along, 1 - along), strict=True):
        if open_end:
            taper *= np.minimum(1, distance / rng.uniform(0.15, 0.5)) ** 0.7
    swell = np.exp(rng.uniform(0.15, 0.45) * wander(rng, n, rng.uniform(8, 30)) + 0.15 * wander(rng, n, 3))
    half = width * taper * swell / 2
    broken = min(0.35, 0.12 + 0.02 * width)
    left, right = (half * (1 + broken * rng.standard_normal(n)) for _ in range(2))
    drawn = np.maximum(half, 0.4)  # a hairline below a pixel is drawn a pixel wide and paler, as a camera sees it
    thin = np.clip(half / drawn, 0.25, 1)
    deep = look.contrast * thin * (0.62 + 0.38 * np.minimum(1, half / 2.0))
    deep *= 1 - 0.25 * np.clip(wander(rng, n, rng.uniform(6, 20)), 0, 1.5) * rng.random()
    filled = np.clip(wander(rng, n, rng.uniform(10, 40)) - rng.uniform(0.9, 2.2), 0, 1)
    quads = ribbon(line, np.maximum(left, 0.4), np.maximum(right, 0.4))
    opacity = np.clip(deep * (1 - 0.75 * filled), 0.05, 1)[:-1]
    soft = rng.uniform(0.0, 0.12) * width if rng.random() < 0.8 else rng.uniform(0.12, 0.25) * width
    points, halves = dense(line, half)
    made = [shade(rng, line, left, right)] if width > 3 and rng.random() < 0.4 else []
    made.append(
        Layer(
            "crack",
            quads,
            opacity,
            look.colour,
            softness=min(soft, 2.0),
            relief=look.relief,
            line=points,
            width=2 * halves,
            plain=halves >= 0.35 * look.widths[0],
        )
    )
    if look.rim and width > 1.5:
        made.append(rim(rng, line, left, right, look))
    if width > 3.5 and rng.random() < 0.75:
        made.append(inner_wall(rng, line, left, right, look))
    keep = filled[:-1] > 0.1
    if keep.any():
        made.append(
            Layer("dust", quads[keep], 0.8 * filled[:-1][keep], look.dust, softness=0.7, ragged=0.4, named=False)
        )
    if look.spalls and width > 1.5:
        made += spalls(rng, line, half, look)
    return made


def shade(rng: np.random.Generator, line: Points, left: Points, right: Points) -> Layer:
    """Let the wall bend down into the crack on one side: darker and darker towards the edge, without a line."""
    reach = np.clip((left + right) * (rng.uniform(0.3, 1.0) + 0.3 * wander(rng, len(line), 15)), 0.2, 14)
    sides = (left + reach, -0.5 * left) if rng.random() < 0.5 else (-0.5 * right, right + reach)
    quads = ribbon(line, *sides)
    tone = rng.uniform(0.4, 0.75)
    softness = min(5.0, 0.3 * float(reach.mean()))
    return Layer("shade", quads, np.ones(len(quads)), (tone,) * 3, multiply=True, softness=softness, named=False)


def rim(rng: np.random.Generator, line: Points, left: Points, right: Points, look: Look) -> Layer:
    """Light one edge of a crack: it stands up, or its paste is freshly broken."""
    edge = min(look.rim, 0.3 + 0.2 * float(np.mean(left + right)))
    thick = np.clip(edge * (1 + 0.6 * wander(rng, len(line), 7)), 0.1, 5)
    quads = ribbon(line, left + thick, -left) if look.rim_left else ribbon(line, -right, right + thick)
    opacity = np.clip(0.65 + 0.5 * wander(rng, len(quads), rng.uniform(5, 15)), 0, 1)
    colour = tuple(float(min(0.97, v * 1.3)) for v in look.dust)
    return Layer("rim", quads, opacity, colour, softness=0.4, ragged=0.4, grain=2.0, named=False)  # type: ignore[arg-type]


def inner_wall(rng: np.random.Generator, line: Points, left: Points, right: Points, look: Look) -> Layer:
    """Show one wall of a wide crack, where light falls in: lighter than its depth, and as rough as it."""
    share = np.clip(rng.uniform(0.2, 0.7) + 0.35 * wander(rng, len(line), 12), 0.02, 0.95)
    sides = (left, -left * (1 - share)) if rng.random() < 0.5 else (-right * (1 - share), right)
    quads = ribbon(line, *sides)
    tone = rng.uniform(0.3, 0.7)
    colour = tuple(float(tone * d + (1 - tone) * c) for c, d in zip(look.colour, look.dust, strict=True))
    opacity = np.clip(rng.uniform(0.35, 0.9) * (1 + 0.4 * wander(rng, len(quads), 5)), 0, 1)
    return Layer("wall", quads, opacity, colour, softness=0.8, ragged=0.6, named=False)  # type: ignore[arg-type]


def spalls(rng: np.random.Generator, line: Points, half: Points, look: Look) -> list[Layer]:
    """Break chips off the rim of a crack: shallow, rough, lit on the side that faces the light."""
    count = int(rng.poisson(len(line) / 60))
    if not count:
        return []
    where = rng.integers(0, len(line), count)
    sizes = (half[where] + 1) * rng.uniform(1.0, 2.6, count)
    shapes = [
        blob(rng, line[i] + rng.uniform(-0.8, 0.8, 2) * (half[i] + s * 0.7), s, 0.3)
        for i, s in zip(where, sizes, strict=True)
    ]
    tone = 1.15 if rng.random() < 0.6 else 0.7
    colour = tuple(float(min(1, c * tone)) for c in look.dust)
    return [
        Layer(
            "spall",
            on_grid(np.stack(shapes)),
            rng.uniform(0.2, 0.6, count),
            colour,  # type: ignore[arg-type]
            softness=0.5,
            ragged=0.5,
            relief=0.7 * abs(look.relief),
            named=False,
        )
    ]


def cracks(rng: np.random.Generator, size: tuple[int, int], look: Look) -> list[list[Layer]]:
    """Crack a wall of (width, height) px: one to three cracks, each with its branches, or a map of fine ones."""
    extent = np.array(size, float)
    if rng.random() < 0.1 and (net := crack_map(rng, extent, look)):
        return [net]
    low, high = np.log(look.widths[0]), np.log(look.widths[1])
    made: list[list[Layer]] = []
    for _ in range(1 + int(rng.integers(0, 3))):
        width = float(np.exp(low + (high - low) * rng.beta(1.3, 1.2)))
        heading = rng.uniform(0, 2 * np.pi)
        reach = extent.min() * rng.uniform(0.7, 1.3)
        middle = extent * rng.uniform(0.15, 0.85, 2)
        offset = np.array([np.cos(heading), np.sin(heading)]) * reach / 2
        roughness = rng.uniform(0.03, 0.11)
        line = fractal(rng, middle - offset, middle + offset, roughness, hurst=rng.uniform(0.75, 1.0))
        ends = rng.random() < 0.6, rng.random() < 0.6
        made.append(crack(rng, line, width, look, ends) + branches(rng, line, width, heading, look, roughness))
    return made


def branches(
    rng: np.random.Generator, line: Points, width: float, heading: float, look: Look, roughness: float, depth: int = 0
) -> list[Layer]:
    """Let cracks start from a crack: thinner, at an acute angle, themselves branching once."""
    made: list[Layer] = []
    for _ in range(int(rng.poisson(1.3 if depth == 0 else 0.5))):
        start = line[int(rng.integers(len(line) // 8, len(line)))]
        turn = rng.choice([-1, 1]) * rng.uniform(0.35, 1.3)
        reach = float(np.hypot(*(line[-1] - line[0]))) * rng.uniform(0.1, 0.5)
        end = start + reach * np.array([np.cos(heading + turn), np.sin(heading + turn)])
        twig = fractal(rng, start, end, roughness)
        slender = max(look.widths[0] * 0.5, width * rng.uniform(0.25, 0.7))
        made += crack(rng, twig, slender, look, (False, True))
        if depth == 0:
            made += branches(rng, twig, slender, heading + turn, look, roughness, 1)
    return made


def crack_map(rng: np.random.Generator, extent: Points, look: Look) -> list[Layer]:
    """Net a part of the wall with fine cracks (alligator or drying cracks): edges of a Voronoi diagram."""
    from scipy.spatial import Voronoi

    cell = rng.uniform(0.06, 0.16) * extent.min()
    middle = extent * rng.uniform(0.25, 0.75, 2)
    reach = extent.min() * rng.uniform(0.25, 0.4)
    seeds = middle + rng.uniform(-1.5, 1.5, (max(12, int((3 * reach / cell) ** 2)), 2)) * reach
    diagram = Voronoi(seeds)
    widest = min(look.widths[1], max(look.widths[0], 3.0))
    made: list[Layer] = []
    for one, other in diagram.ridge_vertices:
        if one < 0:
            continue
        start, end = diagram.vertices[one], diagram.vertices[other]
        if max(np.hypot(*(start - middle)), np.hypot(*(end - middle))) > reach or np.hypot(*(end - start)) < 6:
            continue
        width = look.widths[0] + (widest - look.widths[0]) * rng.random() ** 2
        if rng.random() < 0.85:
            made += crack(rng, fractal(rng, start, end, rng.uniform(0.03, 0.1)), width, look, (False, False))
    return joined(made)
