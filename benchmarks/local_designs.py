"""Compare fixed paths of `local_cnn`, by what may choose between them.

    python benchmarks/local_designs.py path/to/data           two minutes on two cores

What the shipped network has learnt, with a fixed path of darkness alone, is laid over each design. Then it is asked
what `trace_model.py --choose` asks: METU's validation part, and two drawn sets that trained nothing, one of them
hairlines. *Alone* stands for the fixed path as a map of these drawn cracks, without anything learnt. Writes
benchmarks/results/local_designs.json, and its table.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import _cards
import keras
import numpy as np
from _local import Design, designed
from shipped_model import SIZE
from trace_model import CHOOSE, compared

from crackviz import data, faithfulness, models
from crackviz.files import write_json

DESIGNS = {
    "a fifth beside lines": Design(),
    "half beside lines": Design(beside=0.5),
    "nothing beside lines": Design(beside=0.0),
    "lines of one width": Design(lines=((2, 0.9),)),
    "lower margins": Design(dark=(12, 0.02), line=(20, 0.03)),
    "darkness alone": Design(lines=()),
}


def laid_over(learnt: keras.Model, design: Design) -> keras.Model:
    """Return a network of a design with what another one has learnt."""
    model = designed(design, SIZE)
    for layer in model.layers:
        if layer.trainable_weights:
            layer.set_weights(learnt.get_layer(layer.name).get_weights())
    return model


def alone(model: keras.Model) -> dict[str, float]:
    """Score the fixed path as a map."""
    path = keras.Model(model.inputs, model.get_layer("weighed").output)
    found: dict[str, float] = {}
    for name, words in CHOOSE.items():
        table = data.index(words)
        cracked = table[table["label"] == 1].head(300)
        maps = path.predict(data.load_images(cracked["path"], SIZE), batch_size=50, verbose=0)[..., 0]
        known = faithfulness.truth(data.load_masks(cracked["mask"], SIZE))
        found[f"{name}: pointing game"] = float(np.nanmean(faithfulness.pointing_game(maps, known)))
        found[f"{name}: evidence within 4 px"] = float(np.nanmean(faithfulness.evidence_near(maps, known, distance=4)))
        found[f"{name}: pooled F1"] = float(faithfulness.best_f1(maps, known).f1)
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        metu = data.prepare(options.folder / "metu", Path(scratch) / "split.csv", seed=0)
    metu = metu[metu["split"] == "validation"]
    learnt = models.load_pretrained("local_cnn")
    found: dict[str, Any] = {}
    for name, design in DESIGNS.items():
        model = laid_over(learnt, design)
        found[name] = {"design": asdict(design), "alone": alone(model), "learnt": compared(model, metu)}
        print(name, found[name], flush=True)
    write_json(Path(__file__).parent / "results" / "local_designs.json", found)
    _cards.update()


if __name__ == "__main__":
    main()
