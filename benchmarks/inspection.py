"""Measure how whole photographs are inspected: the map, lines, widths, and what is left unjudged.

    python benchmarks/inspection.py reference path/to/data   what is usual, for "unlike anything seen"; --write ships it
    python benchmarks/inspection.py choose                   thresholds and rules, on 12 walls that no figure is told of
    python benchmarks/inspection.py walls --walls 60         lines and widths on walls whose cracks are known
    python benchmarks/inspection.py real path/to/data        SDNET2018's photographs and DeepCrack's pictures
    python benchmarks/inspection.py cost                     tiles against passes; memory at 16 and at 200 megapixels

Each writes its part of benchmarks/results/inspection.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skimage.data
from _cost import cost
from _walls import NEAR, choose, measure_walls
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from crackviz import ROOT, data, files, inspection, models, synthetic
from crackviz.inspection import novelty
from crackviz.inspection.tiles import WINDOW, places

RESULTS = Path(__file__).parent / "results" / "inspection.json"
OTHERS = "brick grass gravel camera coins page text chelsea coffee rocket astronaut moon immunohistochemistry "
OTHERS += "hubble_deep_field retina clock logo"
USUAL_SHARE = 0.95


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


def thirds(groups: list[Any]) -> list[list[int]]:
    """Share out pictures by what they show, so that no photograph and no pair of near-copies is in two thirds."""
    which = {group: i for i, group in enumerate(np.random.default_rng(1).permutation(sorted(set(groups))).tolist())}
    return [[i for i, group in enumerate(groups) if which[group] % 3 == part] for part in range(3)]


def usual(folder: Path) -> dict[str, list[list[np.ndarray]]]:
    """Return, by set, the descriptions of some pictures in three thirds: to fit, to find the limit, to measure."""
    rng = np.random.default_rng(0)

    def some(paths: list[Path], count: int) -> list[Path]:
        return [paths[i] for i in rng.permutation(len(paths))[:count]]

    manifest = pd.read_csv(folder / "metu" / "manifest.csv").set_index("path")["near_duplicate_group"]
    metu = some(sorted((folder / "metu").glob("*/*.jpg")), 900)
    sdnet = some(sorted((folder / "sdnet2018_walls" / "patches" / "W").glob("*/*.jpg")), 900)
    drawn = [
        synthetic.photograph(
            i, synthetic.Settings(seed=900 + i, distractor_rate=0.2, crack_width=(1.0, 9.0)), size=(512, 512)
        ).image
        for i in range(75)
    ]
    sets = {
        "METU": ([data.read_image(path) for path in metu], [manifest[f"{p.parent.name}/{p.name}"] for p in metu]),
        "SDNET2018": ([data.read_image(path) for path in sdnet], [path.stem.split("-")[0] for path in sdnet]),
        "synthetic": (drawn, list(range(len(drawn)))),
    }
    found = {}
    for name, (pictures, groups) in sets.items():
        rows = described(pictures)
        found[name] = [[rows[i] for i in part] for part in thirds(groups)]
    return found


def reference(folder: Path, write: bool) -> None:
    """Make the reference of a third of the pictures, its limit of another; ask the last and what is no concrete."""
    rng = np.random.default_rng(0)
    sets = usual(folder)
    mixed = []
    for part in range(3):
        rows = [np.concatenate(found[part]) for found in sets.values()]
        mixed.append(np.concatenate([row[rng.integers(0, len(row), 1500)] for row in rows]))
    fitted = LedoitWolf().fit(mixed[0])
    made = novelty.Reference(fitted.location_, fitted.precision_, np.inf)

    def away(rows: np.ndarray) -> np.ndarray:
        apart = rows - made.mean
        return np.sqrt(np.einsum("ni,ij,nj->n", apart, made.precision, apart))

    limit = float(np.quantile(away(mixed[1]), USUAL_SHARE))
    strange = {name: np.concatenate([away(rows) for rows in described(found)]) for name, found in others().items()}
    both, known = np.concatenate(list(strange.values())), away(mixed[2])
    keep(
        "unlike",
        {
            "limit": limit,
            "auroc": roc_auc_score(np.r_[np.zeros(len(known)), np.ones(len(both))], np.r_[known, both]),
            "windows asked": {name: sum(map(len, found[2])) for name, found in sets.items()},
            "flagged, usual": {n: float((away(np.concatenate(f[2])) > limit).mean()) for n, f in sets.items()},
            "flagged, no concrete": {name: float((values > limit).mean()) for name, values in strange.items()},
            "flagged, no concrete, all": float((both > limit).mean()),
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


def real(folder: Path) -> dict[str, Any]:
    """SDNET2018's photographs by their tiles' labels."""
    labelled = folder / "sdnet2018_walls" / "photos" / "tile_labels.csv"
    told: dict[str, Any] = {}
    for network in ("trace_cnn", "local_cnn"):
        mapper = inspection.Mapper(models.load_pretrained(network))
        areas = {}
        for path in sorted(labelled.parent.glob("*.jpg")):
            photograph = inspection.Photograph(path)
            tiles = inspection.read_tile_labels(labelled, photograph, 256)
            canvas = mapper(photograph, np.empty((photograph.height, photograph.width), np.float32))
            logits = inspection.window_logits(canvas, mapper.bias, 256)
            said = logits[tiles["row"], tiles["col"]]
            areas[path.stem] = float(roc_auc_score(tiles["cracked"], said))
            print(network, path.stem, areas[path.stem], flush=True)
        told[network] = {"ROC-AUC of tiles, by photograph": areas, "mean": float(np.mean(list(areas.values())))}
    return told


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
        for crack in inspection.trace(canvas, full, inspection.Rules(shortest=30, mean=0.6, branch=0.6)):
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
    parser.add_argument("part", choices=("reference", "choose", "walls", "real", "cost"))
    parser.add_argument("folder", type=Path, nargs="?", help="holds metu/, sdnet2018_walls/ and deepcrack/")
    parser.add_argument("--walls", type=int, default=12)
    parser.add_argument("--network", default="trace_cnn")
    parser.add_argument("--keep", type=Path, help="keeps drawn walls and their maps, or takes them from there")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        kept = given.keep or Path(empty)
        kept.mkdir(parents=True, exist_ok=True)
        if given.part == "reference":
            reference(given.folder, given.write)
        elif given.part == "choose":
            keep("choose", choose(given.walls, kept))
        elif given.part == "walls":
            keep(f"walls, {given.network}", measure_walls(given.walls, 2000, given.network, kept))
        elif given.part == "cost":
            keep("cost", cost())
        else:
            keep("DeepCrack", deepcrack(given.folder / "deepcrack"))
            keep("SDNET2018's photographs", real(given.folder))


if __name__ == "__main__":
    main()
