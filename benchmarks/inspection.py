"""Measure how whole photographs are inspected: the map, lines, widths, and what is left unjudged.

    python benchmarks/inspection.py reference path/to/data   what is usual, for "unlike anything seen"; --write ships it
    python benchmarks/inspection.py choose                   thresholds and rules, on 12 walls that no figure is told of
    python benchmarks/inspection.py walls --walls 60         lines and widths on walls whose cracks are known
    python benchmarks/inspection.py real path/to/data        SDNET2018's photographs and DeepCrack's pictures

Each writes its part of benchmarks/results/inspection.json.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import skimage.data
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from crackviz import ROOT, data, files, inspection, models, synthetic
from crackviz.inspection import novelty
from crackviz.inspection.tiles import WINDOW, places

RESULTS = Path(__file__).parent / "results" / "inspection.json"
OTHERS = "brick grass gravel camera coins page text chelsea coffee rocket astronaut moon immunohistochemistry "
OTHERS += "hubble_deep_field retina clock logo"
USUAL_SHARE = 0.965


def keep(name: str, figures: dict[str, Any]) -> None:
    files.update_json(RESULTS, {name: figures})
    print(json.dumps(figures, indent=1, default=float))


def pieces(picture: np.ndarray) -> np.ndarray:
    return np.stack(
        [
            picture[top : top + WINDOW, left : left + WINDOW]
            for top in places(picture.shape[0], WINDOW)
            for left in places(picture.shape[1], WINDOW)
        ]
    )


def described(pictures: list[np.ndarray]) -> list[np.ndarray]:
    return [novelty.describe(pieces(picture)) for picture in pictures]


def others() -> dict[str, list[np.ndarray]]:
    """Pictures of no concrete, at their size and at half of it, each also as JPEG of quality 85."""
    import io

    found = {}
    for name in OTHERS.split():
        picture = getattr(skimage.data, name)()
        picture = (picture * (255.0 / picture.max())).astype(np.uint8) if picture.dtype != np.uint8 else picture
        image = Image.fromarray(picture[..., :3] if picture.ndim == 3 else picture).convert("RGB")
        half = image.resize((image.width // 2, image.height // 2))
        sizes = [one for one in (image, half) if min(one.size) >= WINDOW]
        kept = []
        for one in sizes:
            file = io.BytesIO()
            one.save(file, "JPEG", quality=85)
            kept += [np.asarray(one), np.asarray(Image.open(file))]
        found[name] = kept
    return found


def reference(folder: Path, write: bool) -> None:
    """Half of the pictures make the reference and its limit, the other half and what is no concrete are asked."""
    rng = np.random.default_rng(0)

    def some(pattern: str, count: int) -> list[np.ndarray]:
        paths = sorted(folder.glob(pattern))
        return [data.read_image(paths[i]) for i in rng.permutation(len(paths))[:count]]

    sets = {
        "METU": described(some("metu/*/*.jpg", 800)),
        "SDNET2018": described(some("sdnet2018_walls/patches/W/*/*.jpg", 500)),
        "synthetic": described(
            [
                synthetic.photograph(
                    i, synthetic.Settings(seed=900 + i, distractor_rate=0.2, crack_width=(1.0, 9.0)), size=(1024, 1024)
                ).image
                for i in range(24)
            ]
        ),
    }
    mixed = {}
    for part in (0, 1):
        rows = [np.concatenate(found[part::2]) for found in sets.values()]
        mixed[part] = np.concatenate([row[rng.integers(0, len(row), 1500)] for row in rows])
    fitted = LedoitWolf().fit(mixed[0])
    made = novelty.Reference(fitted.location_, fitted.precision_, np.inf)

    def away(rows: np.ndarray) -> np.ndarray:
        apart = rows - made.mean
        return np.sqrt(np.einsum("ni,ij,nj->n", apart, made.precision, apart))

    limit = float(np.quantile(away(mixed[1]), USUAL_SHARE))
    strange = {name: np.concatenate([away(rows) for rows in described(found)]) for name, found in others().items()}
    both = np.concatenate(list(strange.values()))
    known = away(mixed[1])
    keep(
        "unlike",
        {
            "limit": limit,
            "auroc": roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(both))], np.r_[known, both]),
            "flagged, usual": {name: float((away(np.concatenate(v[1::2])) > limit).mean()) for name, v in sets.items()},
            "flagged, no concrete": {name: float((values > limit).mean()) for name, values in strange.items()},
        },
    )
    if write:
        with novelty.FILE.open("wb") as file:
            np.savez(file, mean=made.mean, precision=made.precision, limit=limit)
        digest = hashlib.sha256(novelty.FILE.read_bytes()).hexdigest()
        files.write_json(
            ROOT / "pretrained" / "novelty.json",
            {"sha256": digest, "made_of": "statistics of METU, SDNET2018 walls and synthetic walls, 128 px windows"},
        )


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


def real(folder: Path) -> dict[str, Any]:
    """SDNET2018's photographs by their tiles' labels; DeepCrack's pictures by their masks."""
    labels = pd.read_csv(folder / "sdnet2018_walls" / "photos" / "tile_labels.csv")
    told: dict[str, Any] = {}
    for network in ("trace_cnn", "local_cnn"):
        mapper = inspection.Mapper(models.load_pretrained(network))
        areas = {}
        for name, tiles in labels.groupby("photo"):
            photograph = inspection.Photograph(folder / "sdnet2018_walls" / "photos" / f"{name}.jpg")
            canvas = mapper(photograph, np.empty((photograph.height, photograph.width), np.float32))
            logits = inspection.window_logits(canvas, mapper.bias, 256)
            said = logits[tiles["row"], tiles["col"]]
            areas[str(name)] = float(roc_auc_score(tiles["label"] == "cracked", said))
        told[network] = {"ROC-AUC of tiles, by photograph": areas, "mean": float(np.mean(list(areas.values())))}
    return told | {"deepcrack": deepcrack(folder / "deepcrack")}


def deepcrack(folder: Path) -> dict[str, float]:
    """Precision and recall of lines, and of the map at half of its largest value, within 4 px, pooled."""
    mapper = inspection.Mapper(models.load_pretrained("trace_cnn"))
    full = inspection.largest(mapper)
    sums = {"map": np.zeros(4), "lines": np.zeros(4)}
    for path in sorted((folder / "images").glob("*.jpg")):
        photograph = inspection.Photograph(path)
        canvas = mapper(photograph, np.empty((photograph.height, photograph.width), np.float32))
        mask = data.load_masks([str(folder / "masks" / f"{path.stem}.png")], photograph.width)[0]
        middle = skeletonize(mask)
        drawn = np.zeros_like(mask)
        for crack in inspection.trace(canvas, full, inspection.Rules(shortest=30, mean=0.6)):
            x, y = np.rint(np.concatenate(crack.lines).T).astype(int)
            drawn[y.clip(0, len(drawn) - 1), x.clip(0, len(drawn) - 1)] = True
        for name, said in (("map", skeletonize(canvas > full / 2)), ("lines", drawn)):
            near_mask = ndimage.distance_transform_edt(~mask) <= NEAR if mask.any() else mask
            near_said = ndimage.distance_transform_edt(~said) <= NEAR if said.any() else said
            sums[name] += (said & near_mask).sum(), said.sum(), (middle & near_said).sum(), middle.sum()
    told = {}
    for name, (right, all_said, met, all_true) in sums.items():
        precision, recall = right / all_said, met / all_true
        told |= {f"{name}: precision": precision, f"{name}: recall": recall}
        told[f"{name}: F1"] = 2 * precision * recall / (precision + recall)
    return {name: float(value) for name, value in told.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("reference", "choose", "walls", "real"))
    parser.add_argument("folder", type=Path, nargs="?", help="holds metu/, sdnet2018_walls/ and deepcrack/")
    parser.add_argument("--walls", type=int, default=12)
    parser.add_argument("--network", default="trace_cnn")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.part == "reference":
        reference(given.folder, given.write)
    elif given.part == "choose":
        keep("choose", choose(given.walls))
    elif given.part == "walls":
        keep(f"walls, {given.network}", measure_walls(given.walls, 2000, given.network))
    else:
        keep("real", real(given.folder))


if __name__ == "__main__":
    main()
