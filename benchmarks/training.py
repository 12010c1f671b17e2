"""Time the trainings of notebook 02 on synthetic concrete, and mixed precision against float32.

    python benchmarks/training.py                the notebook's own parameters, about five minutes on two cores
    python benchmarks/training.py -p epochs 2 -p max_images 200 -p image_size 64       for a try; writes nothing

Seconds of an epoch are those between the ends of two epochs, their median; the first one compiles. Mixed precision
trains the same network a few epochs more, in turn with float32, so that whatever else the machine does hits both; and
so does a training whose freed memory goes back to the system (`crackviz.models.memory`). Steps of five networks, and
their passes over patches of 227 px in batches of 64, are timed in processes of their own, with oneDNN and without.
`--passes` does this alone, and leaves the other results.
Writes benchmarks/results/training.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read when TensorFlow is loaded; crackviz comes later here

import keras
import numpy as np
import pandas as pd
from shipped_model import milliseconds

from crackviz import data, evaluation, models, series, training
from crackviz.files import update_json, write_json
from crackviz.models.memory import keep_freed

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "02_training.ipynb"
AUGMENT = {"rotation": 0, "zoom": 0}  # as notebook 02 has it, and its deeper network is normalised


def timed(name: str, table: pd.DataFrame, given: dict[str, Any], **options: Any) -> tuple[keras.Model, dict[str, Any]]:
    """Train one network; return it, with its times."""
    moments: list[float] = []
    clock = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: moments.append(time.perf_counter()),
        on_epoch_end=lambda epoch, logs: moments.append(time.perf_counter()),
    )
    model = models.build(name, given["image_size"], seed=given["seed"])
    names = ("epochs", "patience", "batch_size", "learning_rate", "decay")
    usual = {"augment": AUGMENT, "normalise": name == "gap_cnn_far"}
    recipe = training.Recipe(**usual | {key: given[key] for key in names} | options)
    recipe = recipe.paced((table["split"] == "train").sum())
    shared = {"image_size": given["image_size"], "seed": given["seed"]}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = training.train(model, table, folder, recipe, callbacks=[clock], **shared)
        seconds = time.perf_counter() - began
    each = np.diff(moments)
    return model, {
        "epochs": len(history),
        "seconds": round(seconds, 1),
        "seconds per epoch": round(float(np.median(each[1:] if len(each) > 1 else each)), 2),
        "validation accuracy": round(float(history.loc[history["val_loss"].idxmin(), "val_accuracy"]), 4),
    }


RESULTS = Path(__file__).parent / "results" / "training.json"
PASSES = "oneDNN: milliseconds a picture of a training step, and of a patch of 227 px"
STEPS = {"gap_cnn": 128, "gap_cnn_far": 128, "local_cnn": 128, "trace_cnn": 128, "mobilenet_v2": 96}


def steps() -> dict[str, float]:
    """Return milliseconds a picture: of a training step of 16, the median of seven, and of a pass of 64 patches."""
    found = {}
    for name, size in STEPS.items():
        model = models.build(name, size, **({"weights": None} if name == "mobilenet_v2" else {}))
        model.compile(keras.optimizers.Adam(), "binary_crossentropy")
        drawn = np.random.default_rng(0)
        batch = drawn.random((16, size, size, 3), np.float32), drawn.integers(0, 2, (16, 1)).astype(np.float32)
        moments = [time.perf_counter() for _ in range(9) if model.train_on_batch(*batch) is not None]
        found[name] = round(float(np.median(np.diff(moments[1:]))) / 16 * 1000, 2)  # the first two compile
        found[f"{name}, patch"] = round(milliseconds(model), 2)
    return found


def with_and_without() -> dict[str, Any]:
    """Return the milliseconds of :func:`steps` with oneDNN and without, and how many times as fast it is."""
    asked = [sys.executable, "-c", "import json, training; print(json.dumps(training.steps()))"]
    found: dict[str, dict[str, float]] = {}
    for how in "10":
        known = os.environ | {"TF_ENABLE_ONEDNN_OPTS": how}
        told = subprocess.run(asked, cwd=Path(__file__).parent, env=known, stdout=subprocess.PIPE, check=True).stdout
        found[how] = json.loads(told.splitlines()[-1])
    used, left_off = found["1"], found["0"]
    patch = used["mobilenet_v2, patch"]
    return {
        "milliseconds, with": used,
        "milliseconds, without": left_off,
        "times as fast": {name: round(value / used[name], 2) for name, value in left_off.items()},
        "local_cnn's patch over mobilenet_v2's": round(used["local_cnn, patch"] / patch, 2),
        "trace_cnn's patch over mobilenet_v2's": round(used["trace_cnn, patch"] / patch, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="another parameter")
    parser.add_argument("--passes", action="store_true", help="steps and passes with oneDNN and without, alone")
    parser.add_argument("--rounds", type=int, default=2, help="trainings of three epochs for each precision")
    options = parser.parse_args()
    if options.passes:
        update_json(RESULTS, {PASSES: (found := with_and_without())})
        print(json.dumps(found, indent=1))
        return
    given = series.parameters_of(NOTEBOOK)
    given |= {name: type(given[name])(value) for name, value in options.p}

    with tempfile.TemporaryDirectory() as folder:
        table = data.prepare(
            given["data"], Path(folder) / "split.csv", max_images=given["max_images"], seed=given["seed"]
        )
    test = table[table["split"] == "test"]
    figures: dict[str, Any] = {"parameters": {name: given[name] for name in sorted(given) if name != "run"}}
    rate = given["learning_rate"]
    for name, own in (("gap_cnn", {"learning_rate": 1.5 * rate, "max_images": given["n_small"]}), ("gap_cnn_far", {})):
        model, figures[name] = timed(name, table, given, **{"learning_rate": rate} | own)
        probabilities = evaluation.predict(model, test, given["image_size"])
        figures[name]["test accuracy"] = round(float(np.mean((probabilities >= 0.5) == test["label"])), 4)
        print(name, figures[name], flush=True)
    pairs, usual = [], []
    for _ in range(options.rounds):
        short = {"epochs": 3, "patience": 3}
        pairs.append([timed("gap_cnn_far", table, given, mixed_precision=mixed, **short)[1] for mixed in (False, True)])
        keep_freed(131_072)
        usual.append(timed("gap_cnn_far", table, given, **short)[1]["seconds per epoch"])
        keep_freed()
    seconds = np.array([[one["seconds per epoch"] for one in pair] for pair in pairs])
    figures["gap_cnn_far, freed memory kept"] = {
        "seconds per epoch": float(np.median(seconds[:, 0])),
        "seconds per epoch, not kept": float(np.median(usual)),
        "times as fast": round(float(np.median(usual / seconds[:, 0])), 2),
    }
    figures["gap_cnn_far, mixed precision"] = {
        "float32 seconds per epoch": float(np.median(seconds[:, 0])),
        "mixed_bfloat16 seconds per epoch": float(np.median(seconds[:, 1])),
        "times as fast": round(float(np.median(seconds[:, 0] / seconds[:, 1])), 2),
        "validation accuracy after three epochs": [one["validation accuracy"] for one in pairs[0]],
    }
    figures[PASSES] = with_and_without()
    print(json.dumps(figures, indent=1))
    if not options.p:
        write_json(RESULTS, figures)


if __name__ == "__main__":
    main()
