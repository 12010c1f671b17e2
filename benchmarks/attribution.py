"""What explaining costs: every method against a compiled forward pass, and against tf-keras-vis.

    python benchmarks/attribution.py                                   about ten minutes
    python benchmarks/attribution.py --masks path/to/images+masks      thin_cam's localisation, too
    python benchmarks/attribution.py --deep-lift                       DeepLIFT's cost alone

Each round times a method and what it is compared with in turn, so that whatever else the machine does hits both; the
figure is the median of the rounds' ratios, with the ratio of the shortest times beside it. A method of many passes is
compared with those passes alone: compiled, 16 images at once. Memory is that of a process of its own. Writes
benchmarks/results/attribution.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
from tf_keras_vis.utils.scores import BinaryScore

from crackviz import attribution, data, models
from crackviz.attribution.network import _CACHE, Network

SIDE = 227
ROUNDS = {1: 60, 16: 24, 64: 12}
CAMS = ("cam", "grad_cam", "hires_cam", "layer_cam", "xgrad_cam", "grad_cam_plus_plus", "eigen_cam", "thin_cam")
SLOW: dict[str, dict[str, Any]] = {  # enough passes to be timed, few enough to be repeated
    "score_cam": {},
    "smooth_grad": {"n_samples": 16},
    "integrated_gradients": {"n_samples": 16},
    "occlusion": {"size": 64, "stride": 48},
    "rise": {"n_samples": 32},
    "lime": {"n_samples": 32},
    "deep_lift": {},
}
Task = Callable[[], object]


def images_of(count: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(0).random((count, side, side, 3), np.float32)


def ratios(base: Task, tasks: dict[str, Task], rounds: int) -> dict[str, dict[str, float]]:
    """Time `base` before each task; return the ratios."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for task in (base, *tasks.values()):
        task()
    for _ in range(rounds):
        for name, task in tasks.items():
            moments = [time.perf_counter()]
            for one in (base, task):
                one()
                moments.append(time.perf_counter())
            times[name].append((moments[1] - moments[0], moments[2] - moments[1]))
    found = {}
    for name, pairs in times.items():
        values = np.array(pairs)
        found[name] = {
            "ratio": round(float(np.median(values[:, 1] / values[:, 0])), 3),
            "of minima": round(float(values[:, 1].min() / values[:, 0].min()), 3),
            "base ms": round(float(np.median(values[:, 0])) * 1e3, 2),
        }
    return found


def forward_of(model: Any) -> Callable[[np.ndarray], Any]:
    spec = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    return tf.function(lambda images: model(images, training=False), input_signature=[spec])


def slope_of(model: Any) -> Callable[[np.ndarray], Any]:
    spec = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)
    network = Network(model)
    along = tf.ones(1)
    return tf.function(lambda images: network.gradient(images, along), input_signature=[spec])


def cams(model: Any) -> dict[str, Any]:
    """One pass: the CAM family and tf-keras-vis against a forward pass of the same batch."""
    forward, theirs = forward_of(model), Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
    found = {}
    for count, rounds in ROUNDS.items():
        images, score = images_of(count), BinaryScore([True] * count)
        tasks: dict[str, Task] = {
            name: lambda name=name, images=images: attribution.METHODS[name](model, images) for name in CAMS
        }
        tasks["gradient"] = lambda images=images: attribution.gradient(model, images)
        tasks["tf_keras_vis Gradcam"] = lambda score=score, images=images: theirs(score, images)
        found[f"batch {count}"] = ratios(lambda images=images: forward(images).numpy(), tasks, rounds)
    return found


def many_passes(model: Any) -> dict[str, Any]:
    """Many passes: against those passes alone, 16 images at once."""
    forward, slope = forward_of(model), slope_of(model)
    lot = images_of(attribution.CHUNK)
    found = {}
    for count in (1, 16):
        images = images_of(count)
        for name, options in SLOW.items():
            ahead, back = attribution.METHODS[name].passes(model, images, **options)
            runs = [(slope, *divmod(back * count, attribution.CHUNK))]  # a slope is a pass forwards and one back
            runs += [(forward, *divmod((ahead - back) * count, attribution.CHUNK))]

            def passes(runs: Any = runs) -> None:
                for run, full, rest in runs:
                    for _ in range(full):
                        run(lot).numpy()
                    if rest:
                        run(lot[:rest]).numpy()

            task = {
                name: lambda name=name, options=options, images=images: attribution.METHODS[name](
                    model, images, **options
                )
            }
            result = ratios(passes, task, 7)[name]
            found.setdefault(f"batch {count}", {})[name] = result | {"passes": ahead * count, "backward": back > 0}
    return found


def deep_lift(model: Any) -> dict[str, Any]:
    """DeepLIFT against one pass forwards and one back; with a reference for each picture it makes one more forwards."""
    slope, found = slope_of(model), {}
    for count in (1, 16):
        images = images_of(count)
        tasks: dict[str, Task] = {
            "a reference for each": lambda images=images: attribution.deep_lift(model, images),
            "one reference": lambda images=images: attribution.deep_lift(model, images, baseline="black"),
        }
        found[f"batch {count}"] = ratios(lambda images=images: slope(images).numpy(), tasks, ROUNDS[64])
    return found


def retraced() -> int:
    """Count traces beyond the first, over batch sizes and, for a model without a size, image sizes."""
    beyond = 0
    few = {
        "rise": {"n_samples": 20},
        "lime": {"n_samples": 20},
        "smooth_grad": {"n_samples": 3},
        "integrated_gradients": {"n_samples": 3},
    }
    for model, sides in ((models.gap_cnn_deep(64), (64,)), (models.gap_cnn_deep(None), (64, 96, 75))):
        for name, method in attribution.METHODS.items():
            for side in sides:
                for count in (1, 2, 17):
                    method(model, images_of(count, side), **few.get(name, {}))
        traced = [f for f in _CACHE[model].values() if hasattr(f, "experimental_get_tracing_count")]
        beyond += sum(f.experimental_get_tracing_count() - 1 for f in traced)
    return beyond


def growth() -> dict[str, float]:
    """Return by how many MiB the process grows from the 50th to the 250th call of a method, 8 images each."""
    model, images, process = models.gap_cnn_deep(96), images_of(8, 96), psutil.Process()
    few = {"rise": {"n_samples": 16}, "smooth_grad": {"n_samples": 2}, "integrated_gradients": {"n_samples": 2}}
    few |= {"occlusion": {"size": 48, "stride": 48}}
    found = {}
    for name in ("grad_cam", "thin_cam", "score_cam", *few):
        for call in range(250):
            if call == 50:
                before = process.memory_info().rss
            attribution.METHODS[name](model, images, **few.get(name, {}))
        found[name] = round((process.memory_info().rss - before) / 2**20, 1)
    return found


def memory(name: str) -> dict[str, float]:
    """Explain 1,000 patches in this process; return its memory in MiB, before and at its peak, and the maps'."""
    model, process = models.gap_cnn_deep(SIDE), psutil.Process()
    few = {"rise": {"n_samples": 32}, "smooth_grad": {"n_samples": 2}, "integrated_gradients": {"n_samples": 2}}
    few |= {"occlusion": {"size": 114, "stride": 113}}
    images = images_of(1000)
    attribution.METHODS[name](model, images[:1], **few.get(name, {}))
    before = process.memory_info().rss
    sizes, done = [before], threading.Event()

    def watch() -> None:  # the system's own record of the peak may be the parent process's
        while not done.wait(0.005):
            sizes.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    maps = attribution.METHODS[name](model, images, **few.get(name, {}))
    done.set()
    watcher.join()
    peak = max(sizes)
    figures = {
        "with patches": before,
        "maps": maps.nbytes,
        "peak": peak,
        "beyond patches and maps": peak - before - maps.nbytes,
    }
    return {what: round(size / 2**20) for what, size in figures.items()}


def localisation(folder: str) -> dict[str, Any]:
    """Score maps of the shipped model on the quarters of pictures with masks that show a crack it finds."""
    from scipy import ndimage
    from sklearn.metrics import average_precision_score

    table = data.index(folder)
    side = models.image_size(models.load_pretrained("gap_cnn_deep")) or 128
    wholes, truths = data.load_images(table["path"], 2 * side), data.load_masks(table["mask"], 2 * side)
    corners = [(slice(i, i + side), slice(j, j + side)) for i in (0, side) for j in (0, side)]
    images = np.concatenate([wholes[:, rows, columns] for rows, columns in corners])
    masks = np.concatenate([truths[:, rows, columns] for rows, columns in corners])
    share = masks.mean(axis=(1, 2))
    model = models.load_pretrained("gap_cnn_deep")
    found = np.flatnonzero((share > 0.01) & (share < 0.15) & (attribution.logits(model, images) > 0))
    found = np.random.default_rng(0).permutation(found)[:200]
    images, masks = images[found], masks[found]
    near = np.stack([ndimage.binary_dilation(mask, iterations=3) for mask in masks])
    maps = {name: attribution.METHODS[name](model, images) for name in ("grad_cam", "layer_cam", "thin_cam")}
    rungs = list(attribution.ladder(model).index)
    maps |= {
        f"{name}, all layers": attribution.METHODS[name](model, images, layer=rungs)
        for name in ("hires_cam", "layer_cam")
    }
    maps |= {
        name: attribution.METHODS[name](model, images) for name in ("darkness", "local_darkness", "edges", "random")
    }
    scores = {}
    for name, values in maps.items():
        positive = values.clip(min=0)
        inside = (positive * near).sum(axis=(1, 2)) / positive.sum(axis=(1, 2)).clip(1e-12)
        precision = [average_precision_score(m.ravel(), v.ravel()) for m, v in zip(masks, values, strict=True)]
        scores[name] = {
            "average precision": round(float(np.mean(precision)), 3),
            "positive evidence within 3 px": round(float(inside.mean()), 3),
        }
    return {"pictures": len(images), "share of crack pixels": round(float(masks.mean()), 4), "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", help="folder with images/ and masks/")
    parser.add_argument("--deep-lift", action="store_true", help="measure DeepLIFT's cost, nothing else")
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(arguments.memory)))
        return
    path = Path(__file__).parent / "results" / "attribution.json"
    figures: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}

    def keep(what: str, value: Any) -> None:
        figures[what] = value
        print(what, json.dumps(value, indent=1), flush=True)
        path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")

    for name in ("gap_cnn", "gap_cnn_deep", "local_cnn"):
        keep(f"DeepLIFT over a forward and backward pass, {name}", deep_lift(models.build(name, SIDE)))
    if arguments.deep_lift:
        return
    if arguments.masks:
        keep("localisation, gap_cnn_deep", localisation(arguments.masks))
    for name in models.MODELS:
        model = models.build(name, SIDE)
        keep(f"one pass over a forward pass, {name}", cams(model))
        keep(f"many passes over those passes, {name}", many_passes(model))
    keep("traces beyond the first", retraced())
    keep("growth over 200 calls [MiB]", growth())
    peaks = {}
    for name in (
        "grad_cam",
        "thin_cam",
        "score_cam",
        "smooth_grad",
        "integrated_gradients",
        "deep_lift",
        "occlusion",
        "rise",
    ):
        command = [sys.executable, __file__, "--memory", name]
        peaks[name] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    keep("memory of 1,000 patches of 227 px [MiB]", peaks)


if __name__ == "__main__":
    main()
