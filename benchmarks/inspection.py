"""Measure how whole photographs are inspected: the map, lines, widths, what is left unjudged, time and memory.

    python benchmarks/inspection.py reference path/to/data   what is usual, for "unlike anything seen"; --write ships it
    python benchmarks/inspection.py choose                   thresholds and rules, on 12 walls that no figure is told of
    python benchmarks/inspection.py walls --walls 60         lines and widths on walls whose cracks are known
    python benchmarks/inspection.py real path/to/data        SDNET2018's photographs and DeepCrack's pictures
    python benchmarks/inspection.py cost                     time over the forward passes; memory from 16 to 200 MP

Each writes its part of benchmarks/results/inspection.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from crackviz import ROOT, data, files, synthetic
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("reference",))
    parser.add_argument("folder", type=Path, nargs="?", help="holds metu/, sdnet2018_walls/ and deepcrack/")
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.part == "reference":
        reference(given.folder, given.write)


if __name__ == "__main__":
    main()
