"""Drawn walls whose cracks are known: what `benchmarks/inspection.py choose` and `walls` measure on."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree

from crackviz import inspection, models, synthetic
from crackviz.synthetic import patches

SIDE = 2048
NEAR = 4.0
"""How far a line may lie from the truth [px]."""
MM_PER_PX = 0.5
EDGE = 100
"""The strip along the photograph's edge where trace_cnn has no full surroundings [px]."""


class Wall(NamedTuple):
    """A drawn wall, its map, and what is true of it."""

    photograph: inspection.Photograph
    map: np.ndarray
    away: np.ndarray
    """How far each pixel is from a crack [px]; everywhere the same, and far, on a sound wall."""
    truth: np.ndarray
    """x, y, width (n, 3) of the cracks' middle, where it shows; width as it was meant, 0.7 px apart."""
    opening: np.ndarray
    """x, y, width (n, 3), as drawn: the edges of a drawn crack are broken, so that it isn't as wide as it was meant."""


def openings(number: int, settings: synthetic.Settings) -> np.ndarray:
    """Return x, y and the distance between the two edges of the drawn outlines, four times between two corners."""
    wall = patches._wall(number, settings, (SIDE, SIDE))
    quads = np.concatenate([layer.polygons for layer in wall.cracks])
    share = np.array([0, 0.25, 0.5, 0.75])[:, np.newaxis]
    left, right = (quads[:, np.newaxis, a] * (1 - share) + quads[:, np.newaxis, b] * share for a, b in ((0, 1), (3, 2)))
    wide = np.hypot(*np.moveaxis(left - right, -1, 0))
    return np.concatenate([((left + right) / 2).reshape(-1, 2) - 0.5, wide.reshape(-1, 1)], axis=1)


def walls(count: int, first: int, mapper: inspection.Mapper, folder: Path) -> Iterator[Wall]:
    """Draw walls, every second one before it cracked, all with as many distractors; those in `folder` are taken."""
    for i in range(count):
        widths = (1.0, 9.0) if i % 4 < 2 else (1.5, 6.0)
        chosen = synthetic.Settings(seed=first + i, distractor_rate=0.2, crack_width=widths)
        sound = i % 2 == 1
        file, known = folder / f"{first + i}.png", folder / f"{first + i}.{mapper.model.name}.npz"
        if not known.exists():
            made = synthetic.photograph(i, chosen, size=(SIDE, SIDE), without="crack" if sound else "")
            Image.fromarray(made.image).save(file, compress_level=1)
            held = mapper(inspection.Photograph(file), np.empty((SIDE, SIDE), np.float32))
            truth = opening = np.empty((0, 3))
            if not sound:  # half a pixel less: to where the middles of pixels are
                truth = synthetic.centre_lines(i, chosen, size=(SIDE, SIDE)) - [0.5, 0.5, 0]
                shows = ndimage.distance_transform_edt(~made.centreline)
                x, y = np.rint(truth[:, :2].T).astype(int).clip(0, SIDE - 1)
                truth, opening = truth[shows[y, x] <= 1.5], openings(i, chosen)
            np.savez(known, map=held, mask=np.packbits(made.mask), truth=truth, opening=opening)
        with np.load(known) as of:
            mask = np.unpackbits(of["mask"]).reshape(SIDE, SIDE).astype(bool)
            away = np.full((SIDE, SIDE), np.inf) if sound else ndimage.distance_transform_edt(~mask)
            yield Wall(inspection.Photograph(file), of["map"], away, of["truth"], of["opening"])


def at_the_edge(points: np.ndarray) -> np.ndarray:
    """Say which points lie in the strip along the photograph's edge."""
    return (np.minimum(points[:, :2], SIDE - 1 - points[:, :2]) < EDGE).any(axis=1)


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
    wrong, beside = steps * (wall.away[y, x] > NEAR), at_the_edge(points)
    return {
        "false": float(wrong.sum()),
        "false, edge": float(wrong[beside].sum()),
        "true": 0.7 * len(wall.truth),
        "width": wall.truth[:, 2],
        "reached": reached,
        "edge": at_the_edge(wall.truth),
    }


def widths_of(wall: Wall, found: list[inspection.Crack], full: float) -> pd.DataFrame:
    """Return the stretches whose true width is known, with it: as it was meant, and the mean as drawn.

    Hairlines under a pixel are drawn a pixel wide and paler; of them only what was meant is true.
    """
    table = inspection.measure(wall.photograph, wall.map, full, found)
    meant, drawn = cKDTree(wall.truth[:, :2]), cKDTree(wall.opening[:, :2])
    told = []
    for crack in found:
        for line in crack.lines:
            for some in np.array_split(np.arange(len(line)), max(1, round(len(line) / 32))):
                apart, nearest = meant.query(line[some])
                near = apart <= 3
                there = wall.truth[nearest[near]]
                if near.mean() <= 0.7:
                    told.append((np.nan, np.nan))
                    continue
                opening = wall.opening[drawn.query(there[:, :2])[1], 2]
                told.append((np.median(there[:, 2]), np.where(there[:, 2] < 1, there[:, 2], opening).mean()))
    table["meant"], table["true"] = np.array(told).reshape(-1, 2).T
    return table[table["true"].notna() & (table["kind"] != "unknown")]


def score(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the lengths of all walls together."""
    width, reached, edge = (np.concatenate([row[name] for row in rows]) for name in ("width", "reached", "edge"))
    cracked, sound = ([row for row in rows if (row["true"] > 0) == has] for has in (True, False))
    area = len(sound) * (SIDE * MM_PER_PX / 1000) ** 2
    strip = 1 - (1 - 2 * EDGE / SIDE) ** 2

    def per_area(name: str) -> float:
        return float(sum(row[name] for row in sound)) * MM_PER_PX / 1000 / area

    return {
        "walls": len(rows),
        "recall from 2 px": float(reached[width >= 2].mean()),
        "recall from 2 px, at the edge": float(reached[(width >= 2) & edge].mean()),
        "recall 1 to 2 px": float(reached[(width >= 1) & (width < 2)].mean()),
        "recall under 1 px": float(reached[width < 1].mean()) if (width < 1).any() else None,
        "false over true length": sum(row["false"] for row in cracked) / sum(row["true"] for row in cracked),
        "false m per m2 of sound wall, 0.5 mm a px": per_area("false"),
        "false m per m2 of its edge": per_area("false, edge") / strip,
        "sound walls without a false line": sum(row["false"] == 0 for row in sound) / max(len(sound), 1),
    }


def counted(found: list[inspection.Crack], rules: inspection.Rules) -> list[inspection.Crack]:
    return [crack for crack in found if crack.stray >= rules.straight]


def measure_walls(count: int, first: int, network: str, folder: Path) -> dict[str, Any]:
    """Lines and widths on walls that nothing was chosen on."""
    mapper = inspection.Mapper(models.load_pretrained(network))
    full, rules = inspection.largest(mapper), inspection.Rules()
    rows, stretches, began = [], [], time.perf_counter()
    for wall in walls(count, first, mapper, folder):
        found = counted(inspection.trace(wall.map, full, rules), rules)
        rows.append(lengths(wall, found))
        if len(wall.truth) and found:
            stretches.append(widths_of(wall, found, full))
        spent = f"{(time.perf_counter() - began) / len(rows):.1f} s a wall"
        print(len(rows), {name: rows[-1][name] for name in ("false", "true")}, spent, flush=True)
    return score(rows) | {"widths": judged(pd.concat(stretches)) if stretches else None}


def judged(table: pd.DataFrame) -> dict[str, Any]:
    """Hold measured widths against the true ones, by their true width.

    Errors are those of widths that are told; "thinner than" tells a limit, which the intervals' share holds as well.
    """
    told: dict[str, Any] = {}
    for name, low, high in (("under 1 px", 0, 1), ("1 to 3 px", 1, 3), ("from 3 px", 3, np.inf)):
        some = table[(table["true"] >= low) & (table["true"] < high)]
        inside = (some["low_px"] <= some["true"]) & (some["true"] <= some["high_px"])
        known = some[some["kind"] != "thinner than"]
        off = known["width_px"] - known["true"]
        told[name] = {
            "stretches": len(some),
            "only told to be thinner than": float((some["kind"] == "thinner than").mean()),
            "median error": float(off.abs().median()),
            "median error as a share": float((off.abs() / known["true"]).median()),
            "median bias": float(off.median()),
            "95 % intervals that hold the truth": float(inside.mean()),
            "median width of the intervals": float((some["high_px"] - some["low_px"]).median()),
            "median of |as drawn - as meant|": float((some["true"] - some["meant"]).abs().median()),
        }
    return told


def choose(count: int, folder: Path) -> dict[str, Any]:
    """Try rules on walls that `walls` doesn't use."""
    mapper = inspection.Mapper(models.load_pretrained("trace_cnn"))
    full, tried = inspection.largest(mapper), {}
    loose = inspection.Rules(shortest=60, mean=0.5)
    all_of = [
        (wall.away, wall.truth, inspection.trace(wall.map, full, loose)) for wall in walls(count, 500, mapper, folder)
    ]
    for mean, shortest, straight in itertools.product((0.78, 0.82, 0.86, 0.9), (100, 150, 200), (0.0, 0.02)):
        rows = []
        for away, truth, found in all_of:
            kept = [c for c in found if c.evidence >= mean and c.length >= shortest and c.stray >= straight]
            rows.append(lengths(Wall(None, None, away, truth, truth), kept))  # type: ignore[arg-type]
        tried[f"mean {mean}, shortest {shortest}, straight {straight}"] = score(rows)
    return tried
