"""Ask what a mask is worth: the same labels each time, and more and more pictures that have a mask as well.

    python benchmarks/masks.py path/to/deepcrack [--run folder]
    python benchmarks/masks.py path/to/deepcrack --cracks 60 --epochs 1         for a try; writes nothing

Seven thousand drawn patches of 64 px teach `trace_cnn`, 3,000 or so of them cracked; 0, 30, 300 and 3,000 of these have
a mask. The recipe is that of notebook 11 with passes, and a decay, for so many pictures. Asked are 600 patches of other
walls, and DeepCrack's photographs, which are made 64 px wide. Writes benchmarks/results/masks.json: how often each
network is right, and how much of its evidence lies near the crack, with 95 % intervals over photographs. With --run a
training that was broken off goes on. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import attribution, data, evaluation, faithfulness, models, training
from crackviz.files import write_json

SIDE = 64
MASKS = (0, 30, 300, 3000)
TAUGHT = "synthetic:patches={patches},image_size=64,crack_width=(1.5,7.0),seed=41"
ASKED = "synthetic:patches=600,image_size=64,crack_width=(1.5,7.0),seed=42"


def taught(table: pd.DataFrame, masks: int, folder: Path, epochs: int) -> keras.Model:
    """Return a network taught all labels, and the places of the first `masks` cracks that train it."""
    cracks = table.index[(table["label"] == 1) & (table["split"] == "train")]
    others = table.index[(table["label"] == 1) & (table["split"] == "validation")]
    shown = {*cracks[:masks], *others[: masks // 7]}  # stopping may look at as great a share of masks
    seen = table.assign(mask=table["mask"].where(table.index.isin(shown), ""))
    recipe = training.Recipe(
        epochs,
        epochs,
        batch_size=16,
        learning_rate=6e-3,
        decay=0.55,
        augment={"rotation": 0, "zoom": 0},
        normalise=True,
        place=1.0 if masks else 0.0,
    )
    model = models.build("trace_cnn", SIDE, seed=0)
    training.train(model, seen, folder, recipe, image_size=SIDE, seed=0)
    return model


def measured(model: keras.Model, table: pd.DataFrame) -> dict[str, Any]:
    """Return what a network answers of pictures, and where its evidence lies in the cracked ones."""
    label, groups = table["label"].to_numpy(), table["group"].to_numpy()
    found: dict[str, Any] = {}
    answers = attribution.logits(model, data.load_images(table["path"], SIDE)).ravel() > 0
    found["right"] = mean_of(answers == (label == 1), groups)
    cracked = table[table["label"] == 1]
    known = faithfulness.truth(data.load_masks(cracked["mask"], SIDE))
    maps = attribution.grad_cam(model, data.load_images(cracked["path"], SIDE))
    of = groups[label == 1]
    found["evidence within 4 px"] = mean_of(faithfulness.evidence_near(maps, known, distance=4), of)
    found["pointing game"] = mean_of(faithfulness.pointing_game(maps, known), of)
    return found | {"pooled F1": round(float(faithfulness.best_f1(maps, known).f1), 3)}


def mean_of(values: Any, groups: Any) -> dict[str, float]:
    """Return a mean with its interval, from drawing whole photographs anew."""
    values, drawn = np.asarray(values, float), evaluation.Bootstrap(groups)
    weights = drawn.weights(len(values)) * ~np.isnan(values)
    interval = drawn.interval((weights * np.nan_to_num(values)).sum(1) / weights.sum(1))
    return {name: round(float(value), 3) for name, value in interval.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deepcrack", type=Path)
    parser.add_argument("--run", type=Path, help="keep the trainings in this folder")
    parser.add_argument("--cracks", type=int, default=0, help="so many drawn patches instead, for a try")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    table = data.index(TAUGHT.format(patches=options.cracks or 7000))
    halves = np.random.default_rng(0).permutation(sorted(set(table["group"])))
    stopping = set(halves[: max(1, len(halves) // 8)])
    table["split"] = np.where(table["group"].isin(stopping), "validation", "train")
    asked = {"other walls": data.index(ASKED), "DeepCrack": data.index(options.deepcrack)}
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for masks in MASKS:
            model = taught(table, masks, (options.run or Path(scratch)) / f"{masks}_masks", options.epochs)
            found[str(masks)] = {name: measured(model, part) for name, part in asked.items()}
            print(masks, found[str(masks)], flush=True)
    if not options.cracks:
        train = table[table["split"] == "train"]
        pictures = {"pictures": len(train), "cracked": int((train["label"] == 1).sum()), "epochs": options.epochs}
        write_json(Path(__file__).parent / "results" / "masks.json", pictures | {"masks": found})


if __name__ == "__main__":
    main()
