"""What lies on a concrete wall and is no crack: joints, holes, shadows, stains, marks; each by its name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from crackviz.synthetic.layers import Layer, Points, blob, curve, merged, on_grid, stroke, wander

Maker = Callable[[np.random.Generator, Points, Points, float], list[Layer]]
"""(rng, extent of the photograph [px], a place on it, scale) -> layers."""
RGB = tuple[float, float, float]
_UNIT = np.ones(1)


def _direction(angle: float) -> Points:
    return np.array([np.cos(angle), np.sin(angle)])


def _upright(rng: np.random.Generator) -> float:
    """Draw the angle of something that was built: level or plumb, but for a few degrees."""
    return float(rng.choice([0, np.pi / 2]) + rng.normal(0, 0.04))


def _across(extent: Points, at: Points, angle: float, reach: float = 1.0) -> Points:
    half = reach * float(np.hypot(*extent)) / 2
    return np.stack([at - half * _direction(angle), at + half * _direction(angle)])


def formwork_joint(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Draw where two formwork boards met: a straight, shallow step or fin."""
    quads, full = stroke(rng, _across(extent, at, _upright(rng)), rng.uniform(0.7, 2.2) * scale, uneven=0.15)
    bright = rng.random() < 0.4
    tone = rng.uniform(1.05, 1.25) if bright else rng.uniform(0.45, 0.85)
    light = rng.uniform(0.0, 0.25) * rng.choice([-1, 1])
    faded = full * np.clip(0.75 + 0.35 * wander(rng, len(full), 8), 0.1, 1)
    return [Layer("formwork_joint", quads, faded, (tone,) * 3, multiply=True, softness=0.5, relief=light)]


def expansion_joint(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Draw a joint that was planned: a straight band of one width, dark or filled with sealant."""
    width = rng.uniform(4, 16) * scale
    quads, full = stroke(rng, _across(extent, at, _upright(rng)), width, gap=20)
    grey = rng.uniform(0.06, 0.5)
    colour = (grey * rng.uniform(0.95, 1.08), grey, grey * rng.uniform(0.9, 1.02))
    return [Layer("expansion_joint", quads, 0.92 * full, colour, softness=0.4, relief=rng.uniform(0.1, 0.5))]


def tie_hole(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Draw the holes that formwork ties leave: round, in a row, dark or plugged."""
    radius, spacing = rng.uniform(3, 9) * scale, rng.uniform(60, 140) * scale
    turn = np.arange(20) * 2 * np.pi / 20
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * radius
    along = _direction(_upright(rng))
    discs = np.stack([at + ring + along * spacing * k for k in range(int(rng.integers(1, 4)))])
    grey = float(rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.4, 0.7)]))
    opacity = np.full(len(discs), 0.9)
    return [Layer("tie_hole", on_grid(discs), opacity, (grey,) * 3, softness=0.6, relief=rng.uniform(0.2, 0.7))]


def scratch(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Draw scratches: thin and straight or slightly bent, mostly lighter than the wall."""
    heading, made = rng.uniform(0, np.pi), []
    for _ in range(int(rng.integers(1, 5))):
        start = at + rng.normal(0, 10 * scale, 2)
        line = curve(rng, start, heading + rng.normal(0, 0.15), rng.uniform(20, 110) * scale, 0.25)
        made.append(stroke(rng, line, rng.uniform(0.6, 1.6), uneven=0.3))
    tone = rng.uniform(1.1, 1.4) if rng.random() < 0.75 else rng.uniform(0.6, 0.85)
    quads, full = merged(made)
    opacity = full * rng.uniform(0.4, 0.9)
    return [Layer("scratch", quads, opacity, (tone,) * 3, multiply=True, softness=0.35, ragged=0.3)]


def shadow(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Cast the shadow of a wire, a rail or an edge: smooth, soft, no relief; the texture shows through."""
    softness = rng.uniform(1.0, 5) * scale
    width = rng.uniform(2, 22) * scale
    heading = rng.uniform(0, np.pi)
    line = _across(extent, at, heading)
    if rng.random() < 0.5:
        line = curve(rng, line[0], heading, float(np.hypot(*extent)), 0.3)
        line += at - line[len(line) // 2]
    quads, full = stroke(rng, line, width, gap=10)
    dark = rng.uniform(0.5, 0.85)
    tint = (dark * 0.97, dark, dark * 1.05)
    return [Layer("shadow", quads, full, tint, multiply=True, softness=softness)]


def rust_stain(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Let rust run down from a point: brown, fading."""
    return _runs(
        rng, "rust_stain", at, scale, (rng.uniform(0.72, 0.85), rng.uniform(0.5, 0.62), rng.uniform(0.3, 0.42))
    )


def water_stain(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Wet a part of the wall: darker runs, or a patch with a ragged edge."""
    dark = rng.uniform(0.5, 0.8)
    tint = (dark, dark, dark * 1.03)
    if rng.random() < 0.5:
        return _runs(rng, "water_stain", at, scale, tint)
    return _patches(rng, "water_stain", at, rng.uniform(12, 55) * scale, tint, 3)


def oil_stain(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Spill oil or paint: dark, in blots with drops beside them, the texture drowned."""
    dark = rng.uniform(0.12, 0.45)
    tint = (dark * 1.05, dark, dark * rng.uniform(0.85, 1.05))
    return _patches(rng, "oil_stain", at, rng.uniform(3, 22) * scale, tint, 9)


def efflorescence(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Bloom: white salts in ragged patches."""
    tint = (rng.uniform(1.15, 1.45),) * 3
    return _patches(rng, "efflorescence", at, rng.uniform(6, 35) * scale, tint, 6)


def moss(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Let moss, algae or lichen grow: many small dark greenish patches."""
    tint = (rng.uniform(0.35, 0.65), rng.uniform(0.45, 0.7), rng.uniform(0.3, 0.5))
    return _patches(rng, "moss", at, rng.uniform(3, 14) * scale, tint, 16)


def _runs(rng: np.random.Generator, kind: str, at: Points, scale: float, tint: RGB) -> list[Layer]:
    made = []
    for _ in range(int(rng.integers(1, 5))):
        start = at + np.array([rng.normal(0, 18 * scale), rng.normal(0, 6 * scale)])
        line = curve(rng, start, np.pi / 2, rng.uniform(30, 200) * scale, 0.12)
        quads, full = stroke(rng, line, rng.uniform(2, 14) * scale, uneven=0.4)
        made.append((quads, full * np.linspace(rng.uniform(0.5, 1), 0.1, len(full))))
    softness = rng.uniform(1, 3) * scale
    return [Layer(kind, *merged(made), tint, multiply=True, softness=softness, ragged=0.6, grain=6 * scale)]


def _patches(rng: np.random.Generator, kind: str, at: Points, radius: float, tint: RGB, most: int) -> list[Layer]:
    count = int(rng.integers(1, most + 1))
    sizes = radius * np.exp(rng.normal(0, 0.4, count))
    places = at + rng.normal(0, 2.2 * radius, (count, 2)) * (count > 1)
    shapes = np.stack([blob(rng, place, size, 0.25) for place, size in zip(places, sizes, strict=True)])
    return [
        Layer(
            kind,
            on_grid(shapes),
            rng.uniform(0.4, 1, count),
            tint,
            multiply=True,
            softness=min(5.0, radius * rng.uniform(0.05, 0.3)),
            ragged=rng.uniform(0.4, 0.9),
            grain=max(2.5, radius * 0.2),
        )
    ]


_SEVEN = ((0, 0, 1, 0), (1, 0, 1, 1), (1, 1, 1, 2), (0, 2, 1, 2), (0, 1, 0, 2), (0, 0, 0, 1), (0, 1, 1, 1))
_DIGITS = ("012345", "12", "01346", "01236", "1256", "02356", "023456", "012", "0123456", "012356")


def segments(digit: int) -> list[Points]:
    """Return the lines of a digit of seven segments, in a box 1 wide and 1 high."""
    return [np.array(_SEVEN[int(s)], float).reshape(2, 2) * [1, 0.5] for s in _DIGITS[digit]]


def _hand(rng: np.random.Generator, at: Points, scale: float, width: float) -> tuple[Points, Points]:
    """Write or draw by hand: a stroke, an arrow, a loop, or figures of seven segments with a slant."""
    made = []
    if rng.random() < 0.45:
        height, slant, x = rng.uniform(14, 30) * scale, rng.normal(0, 0.2), 0.0
        turn = rng.normal(0, 0.1)
        for _ in range(int(rng.integers(1, 6))):
            for segment in segments(int(rng.integers(0, 10))):
                bent = segment * [0.55, 1] * height + rng.normal(0, 0.04 * height, segment.shape)
                bent[:, 0] += x - slant * bent[:, 1]
                bent = bent @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
                made.append(stroke(rng, at + bent, width, uneven=0.1, gap=3))
            x += 0.85 * height
    else:
        for _ in range(int(rng.integers(1, 4))):
            line = curve(rng, at, rng.uniform(0, 2 * np.pi), rng.uniform(25, 130) * scale, rng.choice([0.1, 0.8, 4]))
            made.append(stroke(rng, line, width, uneven=0.1, gap=4))
    return merged(made)


def pen_mark(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Write on the wall with a felt pen or spray: of one width, smooth, without depth."""
    inks = [(0.08, 0.08, 0.1), (0.12, 0.16, 0.45), (0.6, 0.12, 0.12), (0.1, 0.35, 0.2)]
    quads, full = _hand(rng, at, scale, rng.uniform(1.2, 4) * scale)
    ink = inks[int(rng.integers(len(inks)))]
    return [Layer("pen_mark", quads, full * rng.uniform(0.6, 0.95), ink, softness=0.3)]


def chalk_mark(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Write with chalk: bright, broken up by the grain of the wall."""
    quads, full = _hand(rng, at, scale, rng.uniform(2, 5) * scale)
    return [chalk(rng, quads, full)]


def chalk(rng: np.random.Generator, quads: Points, opacity: Points) -> Layer:
    """Lay chalk along quads."""
    sticks = [(0.93, 0.93, 0.9), (0.93, 0.93, 0.9), (0.55, 0.68, 0.9), (0.9, 0.5, 0.48), (0.92, 0.85, 0.45)]
    stick = sticks[int(rng.integers(len(sticks)))]
    return Layer("chalk_mark", quads, opacity * 0.9, stick, softness=0.5, ragged=0.8, grain=1.6)


def scale_bar(
    rng: np.random.Generator, extent: Points, at: Points, scale: float, *, level: bool = False
) -> list[Layer]:
    """Stick a scale bar on the wall, level or plumb: black and white fields of one length."""
    fields, length, height = int(rng.integers(4, 9)), rng.uniform(6, 14) * scale, rng.uniform(5, 9) * scale
    along = _direction(rng.normal(0, 0.1) + rng.choice([0, np.pi / 2]) * (not level))
    across = np.array([-along[1], along[0]]) * height
    edges = [at + along * length * k for k in range(fields + 1)]
    fringe = at - along * 1.5 - across * 0.25, at + along * (length * fields + 1.5) - across * 0.25
    paper = on_grid(np.stack([*fringe, fringe[1] + 1.5 * across, fringe[0] + 1.5 * across])[None])
    quads = [np.stack([edges[k], edges[k + 1], edges[k + 1] + across, edges[k] + across]) for k in range(0, fields, 2)]
    black = on_grid(np.stack(quads))
    return [
        Layer("scale_bar", paper, _UNIT * 0.97, (0.9, 0.9, 0.88), softness=0.3),
        Layer("scale_bar", black, np.full(len(black), 0.95), (0.08, 0.08, 0.09), softness=0.3),
    ]


def cable(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Hang a cable or pipe in front of the wall: round, of one width, with its own shadow and a light line."""
    width = rng.uniform(2.5, 9) * scale
    line = curve(rng, np.zeros(2), _upright(rng) + rng.normal(0, 0.3), 1.3 * float(np.hypot(*extent)), 0.4)
    line = line + at - line[len(line) // 2]
    quads, full = stroke(rng, line, width, gap=8)
    beside, _ = stroke(rng, line + np.array([0.45, 0.6]) * width, width * 1.2, gap=8)
    shine, _ = stroke(rng, line - np.array([0.12, 0.16]) * width, width * 0.3, gap=8)
    grey = rng.uniform(0.08, 0.25) if rng.random() < 0.35 else rng.uniform(0.4, 0.9)
    light = min(1.0, grey + 0.25)
    return [
        Layer("cable", beside, full[: len(beside)] * 0.6, (0.5,) * 3, multiply=True, softness=1.2 * scale, named=False),
        Layer("cable", quads, full, (grey,) * 3, softness=0.4),
        Layer("cable", shine, np.full(len(shine), 0.7), (light,) * 3, softness=0.5, named=False),
    ]


def bug_holes(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Gather bug holes: air bubbles at the formwork, small, round, dark, with a lit rim."""
    count = int(rng.integers(5, 28))
    places = at + rng.normal(0, 22 * scale, (count, 2))
    sizes = np.exp(rng.normal(0.35, 0.5, count)) * scale
    return [holes(rng, "bug_holes", places, sizes)]


def holes(rng: np.random.Generator, kind: str, places: Points, sizes: Points, *, named: bool = True) -> Layer:
    """Sink small holes of the given radii [px] into the wall."""
    turn = np.arange(9) * 2 * np.pi / 9
    ring = np.stack([np.cos(turn), np.sin(turn)], axis=1) * (1 + 0.14 * rng.standard_normal((len(sizes), 9, 1)))
    shapes = places[:, None] + ring * (sizes[:, None] * rng.uniform(0.6, 1, (len(sizes), 2)))[:, None]
    opacity = np.clip(rng.uniform(0.4, 1.0, len(shapes)) * np.minimum(1, sizes / 1.2), 0, 1)
    grey = rng.uniform(0.04, 0.25)
    return Layer(kind, on_grid(shapes), opacity, (grey,) * 3, softness=0.35, relief=rng.uniform(0.15, 0.6), named=named)


def gouge(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Knock a piece off the wall: a rough, shallow hollow, dark on one side and lit on the other."""
    radius = rng.uniform(5, 26) * scale
    shape = on_grid(blob(rng, at, radius, 0.3)[None])
    tone = rng.uniform(0.45, 1.25)
    return [
        Layer(
            "gouge",
            shape,
            _UNIT * 0.9,
            (tone, tone, tone * 0.97),
            multiply=True,
            softness=0.8,
            ragged=0.7,
            grain=max(2.5, radius * 0.25),
            relief=rng.uniform(0.3, 1.0),
        )
    ]


def debris(rng: np.random.Generator, extent: Points, at: Points, scale: float) -> list[Layer]:
    """Stick hairs, straw or splinters to the wall: short, curved, thin, some bright, with hardly a shadow."""
    count = int(rng.integers(1, 5))
    lines = [
        curve(rng, at + rng.normal(0, 15 * scale, 2), rng.uniform(0, 6.3), rng.uniform(10, 45) * scale, 0.9)
        for _ in range(count)
    ]
    made = [stroke(rng, line, rng.uniform(0.7, 1.8), gap=3) for line in lines]
    tone = rng.choice([rng.uniform(0.1, 0.35), rng.uniform(0.7, 0.95)])
    quads, full = merged(made)
    opacity = full * rng.uniform(0.4, 0.9)
    return [Layer("debris", quads, opacity, (tone, tone * 0.95, tone * 0.85), softness=0.3)]


FREQUENT = {
    "formwork_joint": 0.7,
    "expansion_joint": 0.15,
    "cable": 0.15,
    "shadow": 0.7,
    "scale_bar": 0.25,
    "pen_mark": 0.5,
    "bug_holes": 2.5,
    "tie_hole": 1.5,
    "moss": 1.5,
    "gouge": 1.5,
    "oil_stain": 2,
}
"""How often a distractor is drawn, of those that reach far or are rare; the others: 1."""

MAKERS: dict[str, Maker] = {
    "formwork_joint": formwork_joint,
    "expansion_joint": expansion_joint,
    "tie_hole": tie_hole,
    "scratch": scratch,
    "shadow": shadow,
    "rust_stain": rust_stain,
    "water_stain": water_stain,
    "oil_stain": oil_stain,
    "efflorescence": efflorescence,
    "moss": moss,
    "pen_mark": pen_mark,
    "chalk_mark": chalk_mark,
    "scale_bar": scale_bar,
    "cable": cable,
    "bug_holes": bug_holes,
    "gouge": gouge,
    "debris": debris,
}
"""The distractors by name."""
