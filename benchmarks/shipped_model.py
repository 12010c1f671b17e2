"""Train the model that comes with crackviz, measure it on data that it has never seen, and write it.

    python benchmarks/shipped_model.py path/to/data [--run folder] [--write]
    python benchmarks/shipped_model.py path/to/data --model crackviz/pretrained/local_cnn.h5

The folder holds metu/, deepcrack/ and sdnet2018_walls/patches/. `local_cnn` learns from image labels alone, never from
a mask: METU's training part, and the training parts of three synthetic sets, one of them hairlines, one seen from
twice as far. METU's and their validation parts decide when to stop; METU's alone calibrates the logit, and the first
synthetic one sets the threshold (the highest that finds 95 % of its cracks: other walls have fainter ones than METU).
Measured are METU's test part, DeepCrack, SDNET2018's walls and 2,000 synthetic patches; none is trained on, stopped
by or chosen by.

Writes benchmarks/results/shipped_model.json, and its tables into the texts that show them; with --write also
crackviz/pretrained/local_cnn.h5, local_cnn.seen.npy and the entry in models.json. With --run a training that was broken
off goes on. About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import _cards
import keras
import numpy as np
import pandas as pd
from _shipping import ship
from scipy import special
from scipy.stats import binomtest

from crackviz import attribution, data, evaluation, faithfulness, models, training

NAME, SIZE = "local_cnn", 128
SYNTHETIC = {
    "synthetic": "synthetic:patches=7000,crack_width=(0.8,14),seed=7",
    "hairlines": "synthetic:patches=5000,crack_width=(0.7,3),contrast=0.7,distractor_rate=0.5,seed=9",
    "far": "synthetic:patches=3000,image_size=256,crack_width=(1.4,12),contrast=0.9,seed=11",
}
AUGMENT = {
    "zoom": (-0.2, 0.8),
    "contrast": (0.45, 0.4),
    "brightness": 0.1,
    "grey": 1.0,
    "blur": 0.3,
    "noise": 0.01,
}
RECIPE = training.Recipe(epochs=16, patience=4, learning_rate=2e-3, decay=0.8, augment=AUGMENT, mixed_precision=True)
FOUND = 0.95  # share of the cracks of the synthetic validation part that the threshold must find
MAPS = ("grad_cam", "darkness", "local_darkness", "edges")
LARGE = 256  # DeepCrack's own size, and SDNET2018's


def pictures(folder: Path, drawn: dict[str, str] = SYNTHETIC) -> pd.DataFrame:
    """Return the training, validation and test parts of METU and of synthetic sets in one table."""
    with tempfile.TemporaryDirectory() as scratch:
        parts = [data.prepare(folder / "metu", Path(scratch) / "split.csv", seed=0).assign(source="METU")]
    for name, words in drawn.items():
        part = data.split(data.scan(data.index(words)), seed=0)
        parts.append(part.assign(group=[f"{name} {group}" for group in part["group"]], source=name))
    return pd.concat(parts, ignore_index=True)


def settle(model: keras.Model, validation: pd.DataFrame) -> None:
    """Calibrate the logit by METU's validation part, and set the threshold by the synthetic one.

    The temperature goes into the weights of the last layer: so whoever calls the model gets calibrated probabilities.
    """
    metu, synthetic = (validation[validation["source"] == source] for source in ("METU", "synthetic"))
    z = attribution.logits(model, data.load_images(metu["path"], SIZE)).ravel()
    temperature = evaluation.fit_temperature(metu["label"].to_numpy(), z).value
    last = model.get_layer("logit")
    last.set_weights([weight / temperature for weight in last.get_weights()])
    said = probabilities(model, synthetic)
    threshold = evaluation.threshold_for(synthetic["label"].to_numpy(), said, recall=FOUND)
    models.annotate(
        model,
        image_size=SIZE,
        trained_on="METU, training part of data.prepare(folder, …, seed=0); " + "; ".join(SYNTHETIC.values()),
        threshold=float(np.floor(1e4 * threshold) / 1e4),
    )
    print(f"temperature {temperature:.3f}, threshold {models.metadata(model).threshold}", flush=True)


def probabilities(model: keras.Model, table: pd.DataFrame, size: int = SIZE) -> np.ndarray:
    sized = model if size == SIZE else models.resized(model, size)
    rows = [
        attribution.logits(sized, data.load_images(table["path"].iloc[start : start + 256], size)).ravel()
        for start in range(0, len(table), 256)
    ]
    return special.expit(np.concatenate(rows))


def on_labels(model: keras.Model, table: pd.DataFrame, size: int = SIZE) -> dict[str, Any]:
    threshold = models.metadata(model).threshold
    said = probabilities(model, table, size)
    photographs = evaluation.Bootstrap(table["group"])
    result = evaluation.evaluate(table["label"], said, threshold=threshold, bootstrap=photographs)
    at_half = evaluation.evaluate(table["label"], said, bootstrap=photographs)
    label = table["label"].to_numpy()
    sound = binomtest(int((said < threshold)[label == 0].sum()), int((label == 0).sum()))
    low, high = sound.proportion_ci(method="wilson")
    return {
        "size": size,
        "threshold": threshold,
        "specificity": {"value": float(sound.statistic), "low": float(low), "high": float(high)},
        **result,
        "at one half": {name: at_half["scores"][name] for name in ("accuracy", "recall/crack", "f1/crack")}
        | {"confusion_matrix": at_half["confusion_matrix"]},
    }


def on_masks(model: keras.Model, table: pd.DataFrame, size: int) -> dict[str, Any]:
    """Score the maps of cracked pictures against their masks, by the network at `size`, in pixels of `LARGE`."""
    sized = models.resized(model, size)
    images = data.load_images(table["path"], size)
    known = faithfulness.truth(data.load_masks(table["mask"], LARGE))
    said = probabilities(model, table, size)
    found = binomtest(int((said >= models.metadata(model).threshold).sum()), len(said))
    low, high = found.proportion_ci(method="wilson")
    maps: dict[str, Any] = {}
    for name in MAPS:
        raw = attribution.METHODS[name](sized, images)
        raw = np.concatenate(
            [keras.ops.image.resize(part[..., None], (LARGE, LARGE))[..., 0] for part in np.split(raw, 10)]
        )
        best = faithfulness.best_f1(raw, known)
        # One threshold for all pictures, in shares of each map's greatest value.
        peaks = np.maximum(raw.max((1, 2), keepdims=True), np.finfo(np.float32).tiny)
        relative = faithfulness.best_f1(raw / peaks, known)
        maps[name] = {
            "pointing game": float(np.nanmean(faithfulness.pointing_game(raw, known))),
            "pointing game, 4 px": float(np.nanmean(faithfulness.pointing_game(raw, known, tolerance=4))),
            **{
                f"within {px} px": float(np.nanmean(faithfulness.evidence_near(raw, known, distance=px)))
                for px in (0, 2, 4, 8)
            },
            "average precision": float(np.nanmean(faithfulness.average_precision(raw, known))),
            "pooled F1": best.f1,
            "pooled F1, relative": relative.f1,
        }
        print(name, size, maps[name], flush=True)
    return {
        "size": size,
        "pictures": len(table),
        "recall": {"value": float(found.statistic), "low": float(low), "high": float(high)},
        "maps": maps,
    }


def milliseconds(model: keras.Model, size: int = 227, batch: int = 64) -> float:
    sized = models.resized(model, size)
    images = np.random.default_rng(0).random((batch, size, size, 3), np.float32)
    attribution.logits(sized, images)
    times = []
    for _ in range(7):
        began = time.perf_counter()
        attribution.logits(sized, images)
        times.append((time.perf_counter() - began) / batch * 1000)
    return float(np.median(times))


def measure(model: keras.Model, table: pd.DataFrame, folder: Path) -> dict[str, Any]:
    metu = table[table["source"] == "METU"]
    walls = data.index(folder / "sdnet2018_walls" / "patches")
    cracks = data.index(folder / "deepcrack")
    made = data.scan(data.index("synthetic:patches=2000"), near_duplicates=False)
    figures: dict[str, Any] = {
        "model": model.name,
        "weights": model.count_params(),
        "threshold": models.metadata(model).threshold,
        "METU, validation part": on_labels(model, metu[metu["split"] == "validation"]),
        "METU, test part": on_labels(model, metu[metu["split"] == "test"]),
        "SDNET2018 walls": on_labels(model, walls),
        "SDNET2018 walls, 256 px": on_labels(model, walls, LARGE),
        "synthetic, 2,000 patches": on_labels(model, made),
        "DeepCrack": on_masks(model, cracks, SIZE),
        "DeepCrack, 256 px": on_masks(model, cracks, LARGE),
        "milliseconds per 227 px patch, batch 64": round(milliseconds(model), 2),
    }
    pairs = made[made["label"] == 1].head(300)
    figures["synthetic masks"] = on_masks(model, pairs, SIZE)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/, deepcrack/ and sdnet2018_walls/")
    parser.add_argument("--run", type=Path, help="keep the training in this folder; go on with it if it was broken off")
    parser.add_argument("--model", type=Path, help="measure this one instead of training")
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    options = parser.parse_args()
    table = pictures(options.folder)
    with tempfile.TemporaryDirectory() as scratch:
        run = options.run or Path(scratch)
        began = time.perf_counter()
        if options.model:
            model = models.load(options.model)
        else:
            model = models.build(NAME, SIZE, seed=0)
            history = training.train(model, table, run, RECIPE, image_size=SIZE)
            settle(model, table[table["split"] == "validation"])
            print(history.round(4).to_string(), f"\n{(time.perf_counter() - began) / 60:.1f} minutes", flush=True)
            if options.write:
                file = models.save(model, run / "shipped", NAME)[1]
                ship(file, NAME, table, SIZE, models.metadata(model).trained_on)
        figures = measure(model, table, options.folder)
    results = Path(__file__).parent / "results" / "shipped_model.json"
    results.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
