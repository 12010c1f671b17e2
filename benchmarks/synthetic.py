"""Measure the synthetic concrete: its speed, and whether what is learnt on it holds on real concrete, and back.

    python benchmarks/synthetic.py speed
    python benchmarks/synthetic.py carry path/to/data      a folder that holds metu/ and deepcrack/
    python benchmarks/synthetic.py back path/to/data

Each writes its part of benchmarks/results/synthetic.json. "carry" trains `gap_cnn_deep` on synthetic patches alone:
they also decide when to stop and at which probability a crack is called (the threshold of the best accuracy on their
validation part). "back" asks the shipped model, trained on METU, about 2,000 synthetic patches; with --train it
trains one anew. About 15 minutes on two cores for "carry", one for the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from crackviz import data, synthetic

RESULTS = Path(__file__).parent / "results" / "synthetic.json"
TRAINED_ON = "synthetic:patches=14000,crack_width=(0.8,14),seed=7"
SIZE = 128


def record(name: str, figures: dict[str, Any]) -> None:
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {name: figures}, indent=1) + "\n", "utf-8")
    print(json.dumps(figures, indent=1))


def rate(make: Callable[[int], Any], numbers: Sequence[int], before: Callable[[int], Any] | None = None) -> Any:
    """Return how many patches one core makes in a second, in seven blocks; what is done `before` doesn't count."""
    rates = []
    with threadpool_limits(1):
        make(numbers[0])
        for block in np.array_split(numbers, 7):
            spent = 0.0
            for number in block.tolist():
                if before:
                    before(number)
                began = time.process_time()  # of this process alone, whatever else the machine does
                make(number)
                spent += time.process_time() - began
            rates.append(len(block) / spent)
    return {"median": round(float(np.median(rates))), "least": round(min(rates)), "most": round(max(rates))}


def speed(_: argparse.Namespace) -> None:
    of = synthetic.Settings()
    whole = rate(lambda number: synthetic.patch(number, of), range(200, 1600))
    # the odd ones have a crack; a counterpart is held against its patch, so that is made already, and its wall
    less = rate(lambda n: synthetic.without(n, "crack", of), range(201, 1600, 2), lambda n: synthetic.patch(n, of))
    seconds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            began = time.perf_counter()
            synthetic.dataset(of, cache=cache)
            seconds.append(time.perf_counter() - began)
            began = time.perf_counter()
            synthetic.dataset(of, cache=cache)
            again = time.perf_counter() - began
    record(
        "speed",
        {
            "patches_per_second_and_core": whole,
            "without_their_crack_per_second_and_core": less,
            "default_set_seconds": {"median": round(float(np.median(seconds)), 1), "most": round(max(seconds), 1)},
            "default_set_from_cache_seconds": round(again, 2),
        },
    )


def scores(table: pd.DataFrame, probabilities: np.ndarray, threshold: float) -> dict[str, Any]:
    from crackviz import evaluation

    groups = table["group"].to_numpy()
    result = evaluation.evaluate(
        table["label"], probabilities, threshold=threshold, bootstrap=evaluation.Bootstrap(groups)
    )
    kept = ("accuracy", "precision/crack", "recall/crack", "roc_auc", "calibration_error")
    rounded = {name: {key: round(value, 4) for key, value in result["scores"][name].items()} for name in kept}
    return {"threshold": round(threshold, 4), "confusion_matrix": result["confusion_matrix"], "scores": rounded}


def found(probabilities: np.ndarray, threshold: float) -> dict[str, Any]:
    """Share of cracks found where all pictures show one, with its 95 % interval by Wilson's formula."""
    n, hits = len(probabilities), int((probabilities >= threshold).sum())
    interval = [round(float(end), 4) for end in binomtest(hits, n).proportion_ci(method="wilson")]
    return {"pictures": n, "found": hits, "recall": round(hits / n, 4), "interval": interval}


def best_threshold(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the threshold of the best accuracy: the middle of the best ones, if there are several."""
    order = np.argsort(probabilities)
    right = np.concatenate([[0], np.cumsum(np.where(labels[order] == 0, 1, -1))])
    edges = np.concatenate([[0.0], probabilities[order], [1.0]])
    best = np.flatnonzero(right == right.max())
    at = best[len(best) // 2]
    return float((edges[at] + edges[at + 1]) / 2)


def carry(options: argparse.Namespace) -> None:
    from crackviz import evaluation, models, training

    table = data.split(data.scan(data.index(options.trained_on)), seed=0)
    model = models.build("gap_cnn_deep", SIZE, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        history = training.train(model, table, options.run or folder, image_size=SIZE)
        minutes = (time.perf_counter() - began) / 60
    parts = {name: table[table["split"] == name] for name in ("validation", "test")}
    validation = evaluation.predict(model, parts["validation"], SIZE)
    threshold = best_threshold(parts["validation"]["label"].to_numpy(), validation)
    metu = data.scan(data.index(options.folder / "metu"))
    on_metu = evaluation.predict(model, metu, SIZE)
    deepcrack = data.index(options.folder / "deepcrack")
    on_deepcrack = evaluation.predict(model, deepcrack, SIZE)
    wrong = metu.assign(probability=on_metu.round(4))[(on_metu >= threshold) != metu["label"]]
    if options.errors:
        wrong[["path", "label", "probability"]].to_csv(options.errors, index=False)
    record(
        "carry",
        {
            "trained_on": options.trained_on,
            "network": "gap_cnn_deep",
            "epochs": len(history),
            "minutes": round(minutes, 1),
            "threshold": round(threshold, 4),
            "synthetic_test": scores(parts["test"], evaluation.predict(model, parts["test"], SIZE), threshold),
            "metu": scores(metu, on_metu, threshold),
            "metu_at_0.5": scores(metu, on_metu, 0.5),
            "deepcrack": found(on_deepcrack, threshold),
            "deepcrack_at_0.5": found(on_deepcrack, 0.5),
        },
    )


def back(options: argparse.Namespace) -> None:
    from crackviz import evaluation, models, training

    if options.train:
        real = data.split(data.scan(data.index(options.folder / "metu")), seed=0)
        model = models.build("gap_cnn_deep", SIZE, seed=0)
        with tempfile.TemporaryDirectory() as folder:
            training.train(model, real, folder, image_size=SIZE)
    else:
        model = models.load_pretrained("gap_cnn_deep")
    table = data.scan(data.index("synthetic:patches=2000"))
    figures = scores(table, evaluation.predict(model, table, SIZE), 0.5)
    right = (evaluation.predict(model, table, SIZE) >= 0.5) == table["label"]
    shown = table["distractors"].str.get_dummies(" ").astype(bool)
    by_kind = {name: [int((shown[name] & ~right).sum()), int(shown[name].sum())] for name in shown}
    by_kind["none"] = [int((~shown.any(axis=1) & ~right).sum()), int((~shown.any(axis=1)).sum())]
    record("back", {"model": model.name, **figures, "wrong_of_those_with": by_kind})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "carry", "back"])
    parser.add_argument("folder", type=Path, nargs="?", help="holds metu/ and deepcrack/")
    parser.add_argument("--trained-on", default=TRAINED_ON, help="the synthetic set that carry trains on")
    parser.add_argument("--run", type=Path, help="keep carry's training in this folder")
    parser.add_argument("--errors", type=Path, help="list METU's pictures that carry gets wrong in this CSV file")
    parser.add_argument("--train", action="store_true", help="back: train a network on METU instead of the shipped one")
    options = parser.parse_args()
    if options.what != "speed" and options.folder is None:
        parser.error(f"{options.what} needs the folder that holds metu/ and deepcrack/")
    {"speed": speed, "carry": carry, "back": back}[options.what](options)


if __name__ == "__main__":
    main()
