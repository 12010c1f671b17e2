"""Compare fixed paths of `local_cnn`, by what may choose between them.

    python benchmarks/local_designs.py path/to/data                        six minutes on two cores
    python benchmarks/local_designs.py path/to/data --train run/folder     an hour

What the shipped network has learnt, with a fixed path of darkness alone, is laid over each design. Then it is asked
what `trace_model.py --choose` asks: METU's validation part, and drawn sets that trained nothing: usual ones, hairlines,
and broad cracks (5 to 25 px). *Alone* stands for the fixed path as a map of these drawn cracks, without anything
learnt.

With --train the first design learns itself, from what the shipped network learnt from and from broad cracks: with
batch normalisation first, which is then part of its kernels, and on without. What was broken off goes on.

Writes benchmarks/results/local_designs.json, and its table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import _cards
import keras
from _local import Design, designed
from shipped_model import RECIPE, SIZE, SYNTHETIC, pictures
from trace_model import CHOOSE, compared, placed

from crackviz import data, models, training
from crackviz.files import read_json, write_json

DESIGNS = {
    "a fifth beside lines": Design(),
    "half beside lines": Design(beside=0.5),
    "nothing beside lines": Design(beside=0.0),
    "lines of two widths": Design(lines=Design.lines[:2]),
    "lines of one width": Design(lines=Design.lines[:1]),
    "lower margins": Design(dark=(12, 0.02), line=(20, 0.02)),
    "averaged over 36 px": Design(about=9),
    "darkness alone": Design(lines=()),
    "darkness alone, against 36 px": Design(lines=(), around=9),
}
BROAD = {"broad": "synthetic:patches=3000,crack_width=(5,25),seed=13"}  # these, to learn from
LEGS = {
    "normalised": replace(RECIPE, epochs=8, decay=0.7, learning_rate=3e-3, normalise=True),
    "on": replace(RECIPE, epochs=8, decay=0.7, learning_rate=1e-3),
}
TRAINED = "a fifth beside lines, trained"
SETS = CHOOSE | {"broad": "synthetic:patches=1000,crack_width=(5,25),seed=23"}


def laid_over(learnt: keras.Model, design: Design) -> keras.Model:
    """Return a network of a design with what another one has learnt."""
    model = designed(design, SIZE)
    for layer in model.layers:
        if layer.trainable_weights:
            layer.set_weights(learnt.get_layer(layer.name).get_weights())
    return model


def taught(folder: Path, run: Path) -> keras.Model:
    """Return a network of the first design that has learnt by itself."""
    model, table = designed(Design(), SIZE), pictures(folder, SYNTHETIC | BROAD)
    for name, recipe in LEGS.items():
        print(training.train(model, table, run / name, recipe, image_size=SIZE).round(4).to_string(), flush=True)
    return model


def networks(folder: Path, run: Path | None) -> Iterator[tuple[str, Design, keras.Model]]:
    """Give what is compared, one at a time: the network that learns in `run`, or without one the laid-over designs."""
    if run:
        yield TRAINED, Design(), taught(folder, run)
        return
    learnt = models.load_pretrained("local_cnn")
    for name, design in DESIGNS.items():
        yield name, design, laid_over(learnt, design)


def alone(model: keras.Model) -> dict[str, float]:
    """Score the fixed path as a map."""
    path = keras.Model(model.inputs, model.get_layer("weighed").output)
    found: dict[str, float] = {}
    for name, words in SETS.items():
        found |= placed(lambda images: path.predict(images, batch_size=50, verbose=0)[..., 0], data.index(words), name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/")
    parser.add_argument("--train", type=Path, metavar="RUN", help="train the first design, and compare no other")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        metu = data.prepare(options.folder / "metu", Path(scratch) / "split.csv", seed=0)
    metu = metu[metu["split"] == "validation"]
    found: dict[str, Any] = {}
    for name, design, model in networks(options.folder, options.train):
        found[name] = {"design": asdict(design), "alone": alone(model), "learnt": compared(model, metu, SETS)}
        print(name, found[name], flush=True)
    file = Path(__file__).parent / "results" / "local_designs.json"
    every = read_json(file) | found
    write_json(file, {name: every[name] for name in (*DESIGNS, TRAINED) if name in every})
    _cards.update()


if __name__ == "__main__":
    main()
