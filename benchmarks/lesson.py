"""Ask notebook 02's network, from several seeds, whether it beats six grey numbers and the longest dark ridge.

    python benchmarks/lesson.py                     seeds 0 to 4, about ten minutes on two cores
    python benchmarks/lesson.py --turned            the same, its pictures turned and zoomed as well; writes nothing
    python benchmarks/lesson.py --seeds 1 -p epochs 1 -p max_images 200        for a try; writes nothing

The parameters are those of notebook 02, the rivals those of notebook 03. A seed splits the same pictures anew, and
starts the network anew. Writes benchmarks/results/lesson.json: accuracy at one half on the test part, that of the
rivals, McNemar's p, the difference with its interval by walls, seconds of the training, and how far the kernels of the
first layer correlate with their start.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from training import NOTEBOOK, timed

from crackviz import data, evaluation, features, models, series
from crackviz.files import write_json

RIVALS = {"six numbers": evaluation.grey_numbers, "longest dark ridge": evaluation.ridge_extent}


def measured(part: pd.DataFrame, side: int, measure: Any) -> np.ndarray:
    """Return what a rival looks at, (N, k)."""
    parts = [part["path"].iloc[start : start + 256] for start in range(0, len(part), 256)]
    return np.concatenate([measure(data.load_images(paths, side)).reshape(len(paths), -1) for paths in parts])


def lesson(given: dict[str, Any], seed: int, **options: Any) -> dict[str, Any]:
    """Train and measure from one seed."""
    with tempfile.TemporaryDirectory() as folder:
        table = data.prepare(given["data"], Path(folder) / "split.csv", max_images=given["max_images"], seed=seed)
    known, test, side = table[table["split"] == "train"], table[table["split"] == "test"], given["image_size"]
    model, found = timed("gap_cnn_far", table, given | {"seed": seed}, **options)
    start = features.kernels(models.build("gap_cnn_far", side, seed=seed)).ravel()
    label = test["label"].to_numpy()
    answers = evaluation.predict(model, test, side) >= 0.5
    found |= {
        "pictures": len(test),
        "accuracy": round(float(np.mean(answers == label)), 4),
        "kernels and their start, r": round(float(np.corrcoef(features.kernels(model).ravel(), start)[0, 1]), 3),
    }
    for name, measure in RIVALS.items():
        rival = make_pipeline(StandardScaler(), LogisticRegression()).fit(
            measured(known, side, measure), known["label"]
        )
        theirs = rival.predict(measured(test, side, measure)) == 1
        walls = evaluation.Bootstrap(test["group"], seed=seed)
        compared = evaluation.compare(label, answers, theirs, bootstrap=walls)
        found[name] = {
            "accuracy": round(float(np.mean(theirs == label)), 4),
            "p_value": compared["p_value"],
            "network less it": [round(compared["difference"][key], 4) for key in ("value", "low", "high")],
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="another parameter")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--turned", action="store_true", help="turn and zoom the training pictures as well")
    options = parser.parse_args()
    given = series.parameters_of(NOTEBOOK)
    given |= {name: type(given[name])(value) for name, value in options.p}
    found = {}
    for seed in range(options.seeds):
        found[str(seed)] = lesson(given, seed, **({"augment": True} if options.turned else {}))
        print(seed, found[str(seed)], flush=True)
    if not options.p and not options.turned and options.seeds == 5:
        accuracies = [one["accuracy"] for one in found.values()]
        mean = {"accuracy, mean": round(float(np.mean(accuracies)), 4), "accuracy, least": min(accuracies)}
        write_json(Path(__file__).parent / "results" / "lesson.json", {**mean, "seeds": found})


if __name__ == "__main__":
    main()
