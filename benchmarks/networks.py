"""Compare five networks on equal terms: cost, accuracy, calibration, and where they look.

    python benchmarks/networks.py path/to/data --weights path/to/mobilenet_v2_…_0.35_224_no_top.h5
    python benchmarks/networks.py path/to/data --pictures 60 --synthetic 60 --epochs 1 --seeds 1 --out try.json

The folder holds metu/ and deepcrack/. All networks learn from the same pictures, METU's and synthetic ones, in the
same split, with the same augmentation, the same number of epochs at most and the same patience; MobileNetV2 shares
its epochs out between its head and fine-tuning. Each is trained from several seeds; figures are means over the seeds,
with the half width of their 95 % interval (Student's t). They are measured on METU's test part, on the synthetic test
part, and on DeepCrack, of which nothing is trained on. Localisation is that of two methods at their defaults, by
`crackviz.faithfulness`. Writes benchmarks/results/networks.json. Half an hour on two cores. With --networks some are
trained anew, and the others keep their figures, but for the time of a patch, which is that of one machine.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import _cards
import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, attribution, data, evaluation, models, training
from crackviz.series.table import interval as interval_of_mean

NETWORKS = ("gap_cnn", "deep_cnn", "mobilenet_v2", "local_cnn", "trace_cnn")
METHODS = ("grad_cam", "thin_cam")
TUNED_FROM = "block_6_expand"


def pictures(options: argparse.Namespace) -> pd.DataFrame:
    """Return METU's and synthetic pictures as one table, each split by its own groups."""
    parts = []
    for name, folder, count in (
        ("metu", options.folder / "metu", options.pictures),
        ("synthetic", "synthetic", options.synthetic),
    ):
        table = data.split(data.scan(data.index(folder, max_images=count, seed=0)), seed=0)
        parts.append(table.assign(group=[f"{name} {group}" for group in table["group"]], source=name))
    both = pd.concat(parts, ignore_index=True)
    both.attrs = {"class_names": data.CLASS_NAMES, "grouped": True}
    return both


def trained(name: str, table: pd.DataFrame, folder: Path, seed: int, options: argparse.Namespace) -> keras.Model:
    recipe = training.Recipe(epochs=options.epochs, decay=0.85)
    shared = {"image_size": options.image_size, "seed": seed}
    if name != "mobilenet_v2":
        model = models.build(name, options.image_size, seed=seed)
        if name == "trace_cnn":  # its loss lies flat for some epochs before it falls: the usual patience ends it there
            recipe = replace(recipe, place=1.0, patience=options.epochs)
        training.train(model, table, folder / name, recipe, **shared)
        return model
    model = models.build(name, options.image_size, seed=seed, weights=options.weights)
    head = max(1, options.epochs // 4)
    training.train(model, table, folder / "head", replace(recipe, epochs=head), **shared)
    models.set_trainable(model, TUNED_FROM)
    rest = replace(recipe, epochs=max(1, options.epochs - head), learning_rate=1e-3)
    training.train(model, table, folder / name, rest, **shared)
    return model


def milliseconds(model: keras.Model, size: int) -> float:
    """Return the time of one patch in a compiled forward pass of 64, the best of ten."""
    import tensorflow as tf

    lot = tf.constant(np.random.default_rng(0).random((64, size, size, 3), np.float32))
    forward = tf.function(lambda images: model(images, training=False))
    forward(lot)
    times = []
    for _ in range(10):
        began = time.perf_counter()
        forward(lot).numpy()
        times.append(time.perf_counter() - began)
    return min(times) / 64 * 1e3


def classified(model: keras.Model, table: pd.DataFrame, size: int) -> dict[str, float]:
    p = evaluation.predict(model, table, size)
    scores = evaluation.evaluate(table["label"], p, bootstrap=evaluation.Bootstrap(resamples=0))["scores"]
    names = {"accuracy": "accuracy", "F1": "f1/crack", "calibration error": "calibration_error", "ROC-AUC": "roc_auc"}
    return {title: scores[name]["value"] for title, name in names.items()}


def localised(model: keras.Model, images: np.ndarray, truth: Any) -> dict[str, float]:
    from crackviz import faithfulness

    found = {}
    for method in METHODS:
        try:
            maps = attribution.METHODS[method](model, images)
            if method == "grad_cam" and model.output_shape[-1] == 2:  # only the difference of two logits counts
                maps = maps - attribution.METHODS[method](model, images, target="no_crack")
        except CrackvizError as error:  # a method that isn't for this network
            print(f"{method}: {error}", flush=True)
            continue
        table, pooled = faithfulness.localisation_scores(maps, truth)
        means = table.mean()
        found |= {
            f"{method}: pointing game": float(means["pointing"]),
            f"{method}: evidence within 4 px": float(means["evidence_4px"]),
            f"{method}: best pixel F1": pooled.f1,
        }
    return found


RIVALS = ("local_darkness", "darkness", "edges")  # maps that know no network


def rivals(model: keras.Model, images: np.ndarray, truth: Any) -> dict[str, dict[str, float]]:
    """Return what maps get that know no network; `model` only says how large pictures are."""
    from crackviz import faithfulness

    found = {}
    for method in RIVALS:
        table, pooled = faithfulness.localisation_scores(attribution.METHODS[method](model, images), truth)
        means = table.mean()
        found[method] = {
            "pointing game": round(float(means["pointing"]), 4),
            "evidence within 4 px": round(float(means["evidence_4px"]), 4),
            "best pixel F1": round(float(pooled.f1), 4),
        }
    return found


def interval(values: list[float]) -> dict[str, float]:
    """Return the mean over the seeds, and the half width of its 95 % interval."""
    low, high = interval_of_mean(values)
    return {"mean": round(float(np.mean(values)), 4), "plus_minus": round((high - low) / 2, 4)}


def main() -> None:
    from crackviz import faithfulness

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds metu/ and deepcrack/")
    parser.add_argument("--weights", default="imagenet", help="ImageNet weights of MobileNetV2: a file, or imagenet")
    parser.add_argument("--pictures", type=int, default=1000, help="of METU")
    parser.add_argument("--synthetic", type=int, default=700)
    parser.add_argument("--deepcrack", type=int, default=300)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "networks.json")
    parser.add_argument(
        "--networks", nargs="*", default=list(NETWORKS), help="these alone, none for the speed; other figures stay"
    )
    options = parser.parse_args()

    size, began = options.image_size, time.perf_counter()
    table = pictures(options)
    test = table[table["split"] == "test"]
    parts = {name: test[test["source"] == name] for name in ("metu", "synthetic")}
    deepcrack = data.index(options.folder / "deepcrack", max_images=options.deepcrack, seed=0)
    cracked = parts["synthetic"][parts["synthetic"]["label"] == 1]
    masked = {}
    for name, rows in (("deepcrack", deepcrack), ("synthetic", cracked)):
        images, masks = data.load_images(rows["path"], size), data.load_masks(rows["mask"], size)
        shown = masks.any(axis=(1, 2))
        masked[name] = images[shown], faithfulness.truth(masks[shown])
    figures: dict[str, Any] = {
        "pictures": {f"{source}, {split}": len(rows) for (source, split), rows in table.groupby(["source", "split"])},
        "image_size": size,
        "epochs_at_most": options.epochs,
        "seeds": options.seeds,
        "localisation_by_chance": {
            name: {key: round(value, 4) for key, value in faithfulness.chance_levels(truth).items()}
            for name, (_, truth) in masked.items()
        },
        "localisation_without_a_network": {
            name: rivals(models.build("gap_cnn", size), images, truth) for name, (images, truth) in masked.items()
        },
        "networks": {},
    }
    if options.out.is_file() and set(options.networks) < set(NETWORKS):
        figures["networks"] = json.loads(options.out.read_text("utf-8"))["networks"]
    for name in options.networks:
        runs: list[dict[str, float]] = []
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                model = trained(name, table, Path(folder), seed, options)
                megabytes = (Path(folder) / name / "model.h5").stat().st_size / 1e6
            found = {
                f"{part}: {key}": value for part in parts for key, value in classified(model, parts[part], size).items()
            }
            found["deepcrack: recall"] = float((evaluation.predict(model, deepcrack, size) >= 0.5).mean())
            for where, (images, truth) in masked.items():
                found |= {f"{where}, {key}": value for key, value in localised(model, images, truth).items()}
            runs.append(found)
            print(name, seed, f"{(time.perf_counter() - began) / 60:.1f} min", runs[-1], flush=True)
        figures["networks"][name] = {
            "weights": model.count_params(),
            "MB": round(megabytes, 2),
            **{key: interval([run[key] for run in runs]) for key in runs[0]},
        }
    untrained = {
        name: models.build(name, size, **({"weights": None} if name == "mobilenet_v2" else {}))
        for name in figures["networks"]
    }
    for name, model in untrained.items():
        figures["networks"][name]["ms per patch"] = {"mean": round(milliseconds(model, size), 4), "plus_minus": 0.0}
    figures["minutes"] = round((time.perf_counter() - began) / 60, 1)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
