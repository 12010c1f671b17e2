"""What can be planted beside cracks: marks that a network may learn instead of them."""

from __future__ import annotations

import numpy as np

from crackviz.synthetic.distractors import chalk, scale_bar, segments
from crackviz.synthetic.layers import Layer, Points, curve, stroke


def planted(kind: str, rng: np.random.Generator, size: int, line: Points) -> list[Layer]:
    """Plant a shortcut into a patch of `size` px; `line` is its crack's centre line, or empty.

    kind is "chalk_line" (beside the crack, or anywhere), "scale_bar" (in a corner) or "date_stamp" (below right).
    """
    unit = size / 128
    if kind == "scale_bar":
        corner = size * np.array([rng.uniform(0.05, 0.15), rng.choice([0.12, 0.82])])
        return scale_bar(rng, np.full(2, size), corner, 0.75 * unit, level=True)
    if kind == "date_stamp":
        height, made = 9 * unit, []
        date = f"{rng.integers(10, 27)}{rng.integers(1, 13):02}{rng.integers(1, 29):02}"
        x = size - (len(date) + 1) * 0.78 * height - rng.uniform(2, 6) * unit
        for number, digit in enumerate(date):
            place = np.array([x + (number + 0.5 * (number // 2)) * 0.78 * height, size - 1.6 * height])
            for segment in segments(int(digit)):
                made.append(stroke(rng, place + segment * [0.5, 1] * height, 1.5 * unit, gap=3)[0])
        quads = np.concatenate(made)
        return [Layer("date_stamp", quads, np.ones(len(quads)), (0.98, 0.55, 0.12), softness=0.3)]
    if len(line) > 10:
        beside = line[:: max(1, len(line) // 12)]
        along = beside[-1] - beside[0]
        away = np.array([-along[1], along[0]]) / max(1.0, float(np.hypot(*along)))
        path = beside + away * rng.choice([-1, 1]) * rng.uniform(9, 16) * unit
    else:
        start = size * rng.uniform(0.1, 0.9, 2)
        path = curve(rng, start, float(np.arctan2(*(size / 2 - start)[::-1])), size * rng.uniform(0.6, 1), 0.5)
    quads, full = stroke(rng, path, rng.uniform(2.5, 4) * unit, uneven=0.2)
    return [chalk(rng, quads, full)]
