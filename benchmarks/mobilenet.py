"""Train MobileNetV2 on METU from ImageNet weights, frozen and fine-tuned; write the one that comes with crackviz.

    python benchmarks/mobilenet.py path/to/metu path/to/weights.h5 [--write]

The weights are Keras's own file for alpha = 0.35 ("imagenet" lets Keras download it). First the head alone learns,
then all from block 6 on, BatchNormalization left as it is. Trained and stopped on the training and validation parts of
the same split as benchmarks/shipped_model.py, and measured on its test part. Writes benchmarks/results/mobilenet.json;
with --write also crackviz/pretrained/mobilenet_v2.h5, mobilenet_v2.seen.npy and the entry in models.json. Written is
the network of the first stage: its base is ImageNet's to the last bit, so that transfer learning can start from it
where there is no connection. About five minutes on two cores for 8,000 patches.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from _shipping import ship

from crackviz import data, evaluation, models, training

NAME = "mobilenet_v2"
STAGES: list[dict[str, Any]] = [
    {"name": "head", "first": None, "epochs": 2, "learning_rate": 3e-3, "decay": 0.88},
    {"name": "fine-tuned", "first": "block_6_expand", "epochs": 2, "learning_rate": 1e-3, "decay": 0.3},
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", help='path of the ImageNet weights, or "imagenet"')
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--max-images", type=int, default=0, help="fewer pictures, for a try")
    parser.add_argument("--epochs", type=int, default=0, help="at most so many in each stage, for a try")
    parser.add_argument("--stages", type=int, default=len(STAGES), help="1 trains the head alone")
    parser.add_argument("--run", type=Path, help="keep the training in this folder; go on with it if it was broken off")
    options = parser.parse_args()
    if options.write and options.max_images:
        parser.error("the shipped model is trained on all pictures: leave out --max-images")

    with tempfile.TemporaryDirectory() as folder:
        run = options.run or Path(folder)
        table = data.prepare(options.folder, run / "split.csv", max_images=options.max_images, seed=options.seed)
        test = table[table["split"] == "test"]
        model = models.build(NAME, options.image_size, seed=options.seed, weights=options.weights)
        figures: dict[str, Any] = {"pictures": len(table), "seed": options.seed, "image_size": options.image_size}
        figures["weights"] = model.count_params()
        for stage in STAGES[: options.stages]:
            learning = models.set_trainable(model, stage["first"])
            history = training.train(
                model,
                table,
                run / stage["name"],
                training.Recipe(
                    epochs=min(stage["epochs"], options.epochs or stage["epochs"]),
                    learning_rate=stage["learning_rate"],
                    decay=stage["decay"],
                ),
                image_size=options.image_size,
                seed=options.seed,
            )
            best = history.loc[history["val_loss"].idxmin()]
            probabilities = evaluation.predict(model, test, options.image_size)
            figures[stage["name"]] = {
                "learning_weights": learning,
                "epochs": len(history),
                "training_accuracy": float(best["accuracy"]),
                "validation_accuracy": float(best["val_accuracy"]),
                **evaluation.evaluate(test["label"], probabilities, bootstrap=evaluation.Bootstrap(test["group"])),
            }
            print(stage["name"], len(history), figures[stage["name"]]["scores"]["accuracy"], flush=True)
        results = Path(__file__).parent / "results"
        results.mkdir(exist_ok=True)
        if not options.max_images:
            (results / "mobilenet.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
        if options.write:
            words = "METU, training part of data.prepare(folder, …, seed=0): the head; the base is ImageNet's"
            ship(run / STAGES[0]["name"] / "model.h5", NAME, table, options.image_size, words)


if __name__ == "__main__":
    main()
