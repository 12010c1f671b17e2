"""Grad-CAM's cost as a multiple of a compiled forward pass of the same batch; tf-keras-vis beside it.

    python benchmarks/grad_cam.py

Each round times the forward pass, grad_cam and tf-keras-vis one after another, so that whatever else the machine
does hits all three; the figure is the median of the rounds' ratios. Writes benchmarks/results/grad_cam.json.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
from tf_keras_vis.utils.scores import BinaryScore

from crackviz import attribution, models

SIDE = 227
ROUNDS = {1: 60, 16: 20, 64: 10}


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    figures: dict[str, dict[str, float]] = {}
    for name in models.MODELS:
        model = models.build(name, SIDE)
        forward = tf.function(
            lambda images, model=model: model(images, training=False),
            input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32)],
        )
        theirs = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
        for count, rounds in ROUNDS.items():
            images = np.random.default_rng(0).random((count, SIDE, SIDE, 3), np.float32)
            score = BinaryScore([True] * count)
            tasks = [
                lambda: forward(images).numpy(),  # noqa: B023
                lambda: attribution.grad_cam(model, images),  # noqa: B023
                lambda: theirs(score, images),  # noqa: B023
            ]
            for task in tasks:
                task()
            times = np.array([[seconds(task) for task in tasks] for _ in range(rounds)])
            ratios = times[:, 1:] / times[:, :1]
            ours, peers = np.median(ratios, axis=0)
            figures[f"{name}, batch {count}"] = {
                "forward_ms": round(float(np.median(times[:, 0])) * 1e3, 2),
                "grad_cam_over_forward": round(float(ours), 3),
                "grad_cam_over_forward_of_minima": round(float(times[:, 1].min() / times[:, 0].min()), 3),
                "tf_keras_vis_over_forward": round(float(peers), 2),
            }
            print(f"{name}, batch {count}", figures[f"{name}, batch {count}"], flush=True)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "grad_cam.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
