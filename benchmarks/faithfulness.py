"""What scoring maps costs, and what the shipped model's maps score.

    python benchmarks/faithfulness.py                                  about five minutes
    python benchmarks/faithfulness.py --masks path/to/images+masks     maps on pictures with known cracks, too
    python benchmarks/faithfulness.py --masks … --model model.keras --size 256 --only masks

Deletion and insertion are held against the forward passes that they need, compiled, in the chunks that the package
uses, each round timing both in turn; the figure is the median of the rounds' ratios. The table is that of notebook 08,
on synthetic concrete. Writes benchmarks/results/faithfulness.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import attribution, data, faithfulness, models
from crackviz.attribution import network

SIDE, PATCHES, STEPS, ROUNDS = 128, 64, 32, 5
METHODS = ("grad_cam", "layer_cam", "score_cam", "eigen_cam", "thin_cam", "gradient", "smooth_grad")
METHODS += ("integrated_gradients", "guided_backprop", "occlusion", "rise")
OPTIONS: dict[str, dict[str, Any]] = {
    "smooth_grad": {"n_samples": 16},
    "integrated_gradients": {"n_samples": 16},
    "rise": {"n_samples": 100},
}


def curves(model: keras.Model) -> dict[str, float]:
    """Time deletion and insertion, 64 patches, 32 steps each, over the forward passes that they need."""
    side = models.image_size(model) or SIDE
    rng = np.random.default_rng(0)
    images = rng.random((PATCHES, side, side, 3), np.float32)
    maps = rng.normal(size=images.shape[:3]).astype(np.float32)
    forward = network.compiled(model, network.build_logits)
    lot = images[: attribution.CHUNK]
    passes = PATCHES * 2 * STEPS  # 31 steps between the ends either way, and both ends

    def alone() -> None:
        for _ in range(passes // attribution.CHUNK):
            forward(lot).numpy()

    def both() -> None:
        faithfulness.deletion_insertion(model, images, maps, steps=STEPS)

    alone()
    both()
    times = []
    for _ in range(ROUNDS):
        moments = [time.perf_counter()]
        for task in (alone, both):
            task()
            moments.append(time.perf_counter())
        times.append(np.diff(moments))
    taken = np.array(times)
    return {
        "ratio": round(float(np.median(taken[:, 1] / taken[:, 0])), 3),
        "of minima": round(float(taken[:, 1].min() / taken[:, 0].min()), 3),
        "passes": passes,
        "passes alone s": round(float(np.median(taken[:, 0])), 2),
    }


def table(model: keras.Model) -> dict[str, Any]:
    """Time the table of notebook 08 on synthetic concrete, the first calls' tracing included."""
    listed = data.index("")
    some = listed[listed["label"] == 1].sample(frac=1, random_state=0).head(24)
    side = models.image_size(model) or SIDE
    images, masks = data.load_images(some["path"], side), data.load_masks(some["mask"], side)
    began = time.perf_counter()
    found = faithfulness.score_methods(
        model,
        images,
        masks,
        methods=METHODS,
        untrained=["grad_cam", "thin_cam", "gradient", "guided_backprop"],
        options=faithfulness.Options(OPTIONS, perturbed=6),
    )
    return {"seconds": round(time.perf_counter() - began, 1), "rows": len(found), "pictures": found.attrs["images"]}


def localisation(model: keras.Model, folder: str, size: int, count: int) -> dict[str, Any]:
    """Score a model's maps on a folder of images and masks."""
    listed = data.index(folder)
    if count:
        listed = listed.sample(frac=1, random_state=0).head(count)
    images, masks = data.load_images(listed["path"], size), data.load_masks(listed["mask"], size)
    scores = ["pointing", "pointing_4px", "evidence_4px", "f1", "iou", "average_precision", "coverage_1px"]
    methods = ["grad_cam", "thin_cam", "layer_cam", "eigen_cam", "gradient", "input_x_gradient"]
    methods += ["integrated_gradients", "guided_backprop"]
    found = faithfulness.score_methods(
        model,
        images,
        masks,
        methods=methods,
        scores=scores,
        untrained=["grad_cam", "thin_cam"],
        options=faithfulness.Options({"integrated_gradients": {"n_samples": 16}}),
    )
    with pd.option_context("display.width", 200):
        print(found.xs("value", axis=1, level=1).round(3).to_string())
    answers = attribution.logits(model, images) > 0
    rows = {
        "/".join(row): {
            score: [round(float(found.loc[row, (score, what)]), 4) for what in ("value", "low", "high")]
            for score in scores
        }
        for row in found.index
    }
    return {
        "model": model.name,
        "size": size,
        "pictures": found.attrs["images"],
        "excluded": found.attrs["excluded"],
        "called cracked": round(float(answers[masks.any(axis=(1, 2))].mean()), 4),
        "chance": {name: round(level, 4) for name, level in found.attrs["chance"].items()},
        "scores: value, low, high": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", help="folder with images/ and masks/, or 'synthetic'")
    parser.add_argument("--model", help="saved model; the shipped one by default")
    parser.add_argument("--size", type=int, default=0, help="side of the pictures in px (the model's, or 128)")
    parser.add_argument("--count", type=int, default=0, help="pictures with masks, drawn at random (all)")
    parser.add_argument("--only", choices=("masks", "cost"), help="one half alone")
    arguments = parser.parse_args()
    size = arguments.size or None
    model = models.load(arguments.model, image_size=size) if arguments.model else models.load_pretrained()
    path = Path(__file__).parent / "results" / "faithfulness.json"
    figures: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def keep(what: str, value: Any) -> None:
        figures[what] = value
        print(what, json.dumps(value, indent=1), flush=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")

    if arguments.masks and arguments.only != "cost":
        side = models.image_size(model) or size or SIDE
        name = Path(arguments.masks).name
        keep(f"maps of {model.name} on {name}, {side} px", localisation(model, arguments.masks, side, arguments.count))
    if arguments.only != "masks":
        keep(f"deletion and insertion over their passes, {model.name}", curves(model))
        keep(f"table of notebook 08, {model.name}", table(model))


if __name__ == "__main__":
    main()
