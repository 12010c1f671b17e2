"""Train the plain networks on METU, measure them on the grouped test split, and write the one that is shipped.

    python benchmarks/metu.py path/to/metu [--write]

Writes benchmarks/results/metu.json; with --write also crackviz/pretrained/gap_cnn_deep.h5 and its companions.
About 15 minutes on two cores for 8,000 patches.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from _shipping import ship

from crackviz import data, evaluation, models, training

RECIPES = {"gap_cnn": 6e-3, "gap_cnn_deep": 3e-3}  # learning rate at the start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image-size", type=int, default=128)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        table = data.prepare(options.folder, run / "split.csv", seed=options.seed)
        test = table[table["split"] == "test"]
        figures: dict[str, Any] = {"pictures": len(table), "seed": options.seed, "image_size": options.image_size}
        for name, learning_rate in RECIPES.items():
            model = models.build(name, options.image_size, seed=options.seed)
            start = time.perf_counter()
            history = training.train(
                model,
                table,
                run / name,
                training.Recipe(learning_rate=learning_rate),
                image_size=options.image_size,
                seed=options.seed,
            )
            probabilities = evaluation.predict(model, test, options.image_size)
            figures[name] = {
                "weights": model.count_params(),
                "epochs": len(history),
                "validation_accuracy": float(history.loc[history["val_loss"].idxmin(), "val_accuracy"]),
                "training_minutes": round((time.perf_counter() - start) / 60, 1),
                **evaluation.evaluate(test["label"], probabilities, bootstrap=evaluation.Bootstrap(test["group"])),
            }
            print(name, figures[name]["epochs"], "epochs,", figures[name]["scores"]["accuracy"], flush=True)
        results = Path(__file__).parent / "results"
        results.mkdir(exist_ok=True)
        (results / "metu.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        if options.write:
            words = "METU, training part of data.prepare(folder, …, seed=0)"
            ship(run / "gap_cnn_deep" / "model.h5", "gap_cnn_deep", table, options.image_size, words)


if __name__ == "__main__":
    main()
