"""Drawn walls whose cracks are known: what `benchmarks/inspection.py choose` and `walls` measure on."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from crackviz import inspection, models, synthetic

SIDE = 2048
NEAR = 4.0
"""How far a line may lie from the truth [px]."""


class Wall(NamedTuple):
    """A drawn wall, its map, and what is true of it."""

    photograph: inspection.Photograph
    map: np.ndarray
    away: np.ndarray
    """How far each pixel is from a crack [px]; everywhere the same, and far, on a sound wall."""
    truth: np.ndarray
    """x, y, width (n, 3) of the cracks' middle, where it shows."""


def walls(count: int, first: int, mapper: inspection.Mapper, folder: Path) -> Iterator[Wall]:
    """Draw walls, every second one before it cracked; all with as many distractors."""
    for i in range(count):
        widths = (1.0, 9.0) if i % 4 < 2 else (1.5, 6.0)
        chosen = synthetic.Settings(seed=first + i, distractor_rate=0.2, crack_width=widths)
        sound = i % 2 == 1
        made = synthetic.photograph(i, chosen, size=(SIDE, SIDE), without="crack" if sound else "")
        Image.fromarray(made.image).save(folder / "wall.png")
        photograph = inspection.Photograph(folder / "wall.png")
        truth = np.empty((0, 3)) if sound else synthetic.centre_lines(i, chosen, size=(SIDE, SIDE))
        if len(truth):
            shows = ndimage.distance_transform_edt(~made.centreline)
            x, y = np.rint(truth[:, :2].T).astype(int).clip(0, SIDE - 1)
            truth = truth[shows[y, x] <= 1.5]
        away = np.full((SIDE, SIDE), np.inf) if sound else ndimage.distance_transform_edt(~made.mask)
        yield Wall(photograph, mapper(photograph, np.empty((SIDE, SIDE), np.float32)), away, truth)


def lengths(wall: Wall, found: list[inspection.Crack]) -> dict[str, Any]:
    """Return the length of lines far from every crack, the true length, and which of its points are near a line."""
    points = np.concatenate([np.empty((0, 2)), *(line for crack in found for line in crack.lines)])
    steps = np.concatenate(
        [np.zeros(0), *(np.r_[np.hypot(*np.diff(line, axis=0).T), 0] for crack in found for line in crack.lines)]
    )
    x, y = np.rint(points.T).astype(int).clip(0, SIDE - 1)
    reached = np.zeros(len(wall.truth), bool)
    if len(points) and len(wall.truth):
        reached = cKDTree(points).query(wall.truth[:, :2])[0] <= NEAR
    return {
        "false": float(steps[wall.away[y, x] > NEAR].sum()),
        "true": 0.7 * len(wall.truth),  # its points are 0.7 px apart
        "width": wall.truth[:, 2],
        "reached": reached,
    }


def widths_of(wall: Wall, found: list[inspection.Crack], full: float) -> pd.DataFrame:
    """Return the stretches whose true width is known, with it."""
    table = inspection.measure(wall.photograph, wall.map, full, found)
    tree, true = cKDTree(wall.truth[:, :2]), []
    for crack in found:
        for line in crack.lines:
            for some in np.array_split(np.arange(len(line)), max(1, round(len(line) / 32))):
                apart, nearest = tree.query(line[some])
                near = apart <= 3
                true.append(float(np.median(wall.truth[nearest[near], 2])) if near.mean() > 0.7 else np.nan)
    table["true"] = true
    return table[table["true"].notna() & (table["kind"] != "unknown")]


def score(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the lengths of all walls together."""
    width, reached = (np.concatenate([row[name] for row in rows]) for name in ("width", "reached"))
    cracked, sound = ([row for row in rows if (row["true"] > 0) == has] for has in (True, False))
    area = len(sound) * (SIDE * 0.5e-3) ** 2
    return {
        "walls": len(rows),
        "recall from 2 px": float(reached[width >= 2].mean()),
        "recall 1 to 2 px": float(reached[(width >= 1) & (width < 2)].mean()),
        "recall under 1 px": float(reached[width < 1].mean()) if (width < 1).any() else None,
        "false over true length": sum(row["false"] for row in cracked) / sum(row["true"] for row in cracked),
        "false m per m2 of sound wall, 0.5 mm a px": sum(row["false"] for row in sound) * 0.5e-3 / area,
    }


def counted(found: list[inspection.Crack], rules: inspection.Rules) -> list[inspection.Crack]:
    return [crack for crack in found if crack.stray >= rules.straight]


def measure_walls(count: int, first: int, network: str) -> dict[str, Any]:
    mapper = inspection.Mapper(models.load_pretrained(network))
    full, rules = inspection.largest(mapper), inspection.Rules()
    rows, stretches = [], []
    with tempfile.TemporaryDirectory() as folder:
        for wall in walls(count, first, mapper, Path(folder)):
            found = counted(inspection.trace(wall.map, full, rules), rules)
            rows.append(lengths(wall, found))
            if len(wall.truth) and found:
                stretches.append(widths_of(wall, found, full))
            print(len(rows), {name: rows[-1][name] for name in ("false", "true")}, flush=True)
    table = pd.concat(stretches)
    told = {}
    for name, low, high in (("1 to 3 px", 1, 3), ("from 3 px", 3, np.inf)):
        some = table[(table["true"] >= low) & (table["true"] < high)]
        off = some["width_px"] - some["true"]
        inside = (some["low_px"] <= some["true"]) & (some["true"] <= some["high_px"])
        told[name] = {
            "stretches": len(some),
            "median error": float(off.abs().median()),
            "median bias": float(off.median()),
            "95 % intervals that hold the truth": float(inside.mean()),
        }
    return score(rows) | {"widths": told}


def choose(count: int) -> dict[str, Any]:
    """Try mean, shortest and straight on walls that `walls` doesn't use."""
    mapper = inspection.Mapper(models.load_pretrained("trace_cnn"))
    full, tried = inspection.largest(mapper), {}
    loose = inspection.Rules(shortest=60, mean=0.5)
    with tempfile.TemporaryDirectory() as folder:
        all_of = [
            (wall.away, wall.truth, inspection.trace(wall.map, full, loose))
            for wall in walls(count, 500, mapper, Path(folder))
        ]
    for mean, shortest, straight in itertools.product((0.7, 0.75, 0.82, 0.88), (60, 100, 150), (0.0, 0.015, 0.02)):
        rows = []
        for away, truth, found in all_of:
            kept = [c for c in found if c.evidence >= mean and c.length >= shortest and c.stray >= straight]
            rows.append(lengths(Wall(None, None, away, truth), kept))  # type: ignore[arg-type]
        tried[f"mean {mean}, shortest {shortest}, straight {straight}"] = score(rows)
    return tried
