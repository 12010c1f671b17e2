"""Networks as people bring them, through notebooks 00, 03, 06 and 08: which claims hold, and which don't apply.

    python benchmarks/foreign.py path/to/metu              all of them, on METU; some 5 minutes a network
    python benchmarks/foreign.py path/to/metu --only flatten nested
    python benchmarks/foreign.py                           on synthetic concrete, whose masks notebook 08 then uses

Each is trained here for a few epochs, saved by Keras alone, as somebody who has never heard of crackviz would, and
handed over as ``network``. The outcome of each notebook, its claims and those that it says don't apply go to
results/foreign.json, run by run: what was measured before stays.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from crackviz import data, models
from crackviz.files import write_json

RESULTS = Path(__file__).parent / "results" / "foreign.json"
NOTEBOOKS = ("00_start_here", "03_evaluation", "06_grad_cam", "08_do_the_maps_hold")
SIDE = 64
SMALL = {"max_images": 300, "n_images": 6, "n_perturbed": 4, "n_objects": 40, "n_masks": 30}


def _body(*first: Any) -> list[Any]:
    """Return the layers that most tutorials begin with."""
    made = [*first]
    for filters in (16, 32, 32):
        made += [layers.Conv2D(filters, 3, padding="same", activation="relu"), layers.MaxPooling2D()]
    return made


def _chain(*made: Any) -> keras.Model:
    return keras.Sequential([keras.Input((SIDE, SIDE, 3)), *made])


def _nested() -> keras.Model:
    base = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *_body()], name="base")
    inputs = keras.Input((SIDE, SIDE, 3))
    pooled = layers.GlobalAveragePooling2D()(base(inputs))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.2)(pooled)))


BUILDERS: dict[str, Callable[[], keras.Model]] = {
    "sigmoid": lambda: _chain(*_body(), layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")),
    "flatten": lambda: _chain(
        *_body(),
        layers.Flatten(),
        layers.Dense(64, activation="relu"),
        layers.Dropout(0.3),
        layers.Dense(1, activation="sigmoid"),
    ),
    "softmax": lambda: _chain(*_body(), layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")),
    "logits": lambda: _chain(*_body(), layers.GlobalAveragePooling2D(), layers.Dense(1)),
    "nested": _nested,
    "deep_cnn": lambda: models.build("deep_cnn", SIDE),
    "rescaling": lambda: _chain(
        *_body(layers.Rescaling(1 / 255)), layers.Flatten(), layers.Dense(1, activation="sigmoid")
    ),
    "crack is 0": lambda: _chain(*_body(), layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")),
}


def trained(name: str, images: np.ndarray, labels: np.ndarray, path: Path, epochs: int) -> float:
    """Train one of `BUILDERS`, save it at `path`, and return its accuracy on what it was trained on."""
    keras.utils.set_random_seed(1)
    model = BUILDERS[name]()
    scale, wanted = (255 if name == "rescaling" else 1), (1 - labels if name == "crack is 0" else labels)
    two = model.output_shape[-1] == 2
    loss: Any = "sparse_categorical_crossentropy" if two else keras.losses.BinaryCrossentropy(name == "logits")
    model.compile(keras.optimizers.Adam(2e-3), loss)
    model.fit(images * scale, wanted, batch_size=32, epochs=epochs, verbose=0)
    answers = np.asarray(model.predict(images * scale, verbose=0))
    said = answers[:, 1] > 0.5 if two else answers[:, 0] > (0 if name == "logits" else 0.5)
    if name == "crack is 0":  # the one line that its owner must know: which of the two labels is the crack
        models.annotate(model, class_names=("crack", "no_crack"))
        models.save(model, path.parent, path.stem)
    else:
        model.save(path)
    return float((said == wanted).mean())


def lines_of(notebook: Path) -> list[str]:
    """Return what an executed notebook says of its claims: one line each, as printed."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"] if notebook.exists() else []
    texts = ["".join(out.get("text", "")) for cell in cells for out in cell.get("outputs", [])]
    return [line for text in texts for line in text.splitlines() if re.match(r"[✓≡–] T\d+\.\d+ ", line)]


def through(path: Path, folder: str, out: Path) -> dict[str, Any]:
    """Run a network through the notebooks; return for each how it ended, and what it said of its claims."""
    given = [part for name, value in SMALL.items() for part in ("-p", name, str(value))]
    command = [sys.executable, "-m", "crackviz.cli", "run", *NOTEBOOKS, "--out", str(out), "-p", "network", str(path)]
    command += [*given, *(["--data", folder] if folder else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    config = json.loads((out / "config.json").read_text()) if (out / "config.json").exists() else {"notebooks": {}}
    found: dict[str, Any] = {}
    for stem in NOTEBOOKS:
        record = config["notebooks"].get(stem, {"status": "not run", "error": {"message": done.stderr[-300:]}})
        lines = lines_of(out / "notebooks" / f"{stem}.ipynb")
        found[stem] = {
            "status": record["status"],
            "hold": sum(line[0] in "✓≡" for line in lines),
            "do not apply": [line[2:] for line in lines if line[0] == "–"],
            "error": record.get("error", {}).get("message", ""),
        }
    return found


def main() -> None:
    """Train and run the networks that are named, one at a time, and keep the outcome after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", default="", help="folder of pictures; synthetic concrete by default")
    parser.add_argument("--only", nargs="+", choices=BUILDERS, default=list(BUILDERS), metavar="NAME")
    parser.add_argument("--epochs", type=int, default=12)
    given = parser.parse_args()
    table = data.scan(data.index(given.data, max_images=1200, seed=7))
    images, labels = data.load_images(table["path"], SIDE), table["label"].to_numpy()
    where = Path(given.data).name or "synthetic"
    for name in given.only:
        with tempfile.TemporaryDirectory(prefix="crackviz-foreign-") as place:
            path = Path(place) / f"{name.replace(' ', '_')}.keras"
            right = trained(name, images, labels, path, given.epochs)
            found = through(path, given.data, Path(place) / "run")
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        known.setdefault(where, {})[name] = {"accuracy in training": round(right, 3), "notebooks": found}
        write_json(RESULTS, known)
        for stem, of in found.items():
            print(f"{name:11} {stem:20} {of['status']:8} {of['hold']:2} hold, {len(of['do not apply'])} don't apply")
            print(
                "".join(f"{'':12}{line}\n" for line in (*of["do not apply"], of["error"]) if line), end="", flush=True
            )


if __name__ == "__main__":
    main()
