"""Calibrate, measure and ship the `trace_cnn` that `taught.py` has trained.

    python benchmarks/taught.py path/to/data/metu run/folder
    python benchmarks/trace_model.py path/to/data run/folder [--write]

The folder holds metu/, deepcrack/ and sdnet2018_walls/patches/. METU's validation part calibrates the logit (a
temperature). The threshold is the one that is right most often on two sets that trained nothing, METU's validation
part and a drawn one, which count alike. Measured is what `shipped_model.py` measures, by the same code: METU's test
part, DeepCrack, SDNET2018's walls and the default synthetic set, none of which trained, calibrated or chose anything.

Writes benchmarks/results/trace_model.json, and its tables into the texts that show them; with --write also
crackviz/pretrained/trace_cnn.h5, trace_cnn.seen.npy and the entry in models.json. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import _cards
import keras
import numpy as np
import pandas as pd
import shipped_model
import taught
from _shipping import ship
from scipy import special

from crackviz import attribution, data, evaluation, models

NAME = "trace_cnn"
ASKED = "synthetic:patches=1200,crack_width=(0.8,14),seed=22"  # with METU's validation part it sets the threshold


def pictures(folder: Path) -> pd.DataFrame:
    """Return METU's parts, the drawn pictures that trained the network, and those that set its threshold."""
    with tempfile.TemporaryDirectory() as scratch:
        parts = [data.prepare(folder / "metu", Path(scratch) / "split.csv", seed=0).assign(source="METU")]
    drawn = dict.fromkeys(taught.DESIGN["drawn"], "train") | {ASKED: "validation"}
    for words, part in drawn.items():
        parts.append(data.scan(data.index(words), near_duplicates=False).assign(source="drawn", split=part))
    return pd.concat(parts, ignore_index=True)


def settle(model: keras.Model, validation: pd.DataFrame, trained_on: str) -> None:
    """Put the calibration into the weights of the last layer, so that the map still adds up, and set the threshold."""
    metu = (validation["source"] == "METU").to_numpy()
    label = validation["label"].to_numpy()
    z = attribution.logits(model, data.load_images(validation["path"], shipped_model.SIZE)).ravel()
    temperature = evaluation.fit_temperature(label[metu], z[metu]).value
    last = model.get_layer("logit")
    last.set_weights([weight / temperature for weight in last.get_weights()])
    said = special.expit(z / temperature)
    thresholds = np.linspace(0.01, 0.99, 99)
    right = [np.mean([((said >= t) == label)[part].mean() for part in (metu, ~metu)]) for t in thresholds]
    threshold = round(float(thresholds[int(np.argmax(right))]), 2)
    models.annotate(model, image_size=shipped_model.SIZE, trained_on=trained_on, threshold=threshold)
    print(f"temperature {temperature:.3f}, threshold {threshold}, right {max(right):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/, deepcrack/ and sdnet2018_walls/")
    parser.add_argument("run", type=Path, help="the folder of taught.py")
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    options = parser.parse_args()
    table = pictures(options.folder)
    model = models.load(options.run / f"{NAME}.keras")
    trained_on = "METU, training part of data.prepare(folder, …, seed=0); " + "; ".join(taught.DESIGN["drawn"])
    settle(model, table[table["split"] == "validation"], trained_on)
    if options.write:
        file = models.save(model, options.run / "shipped", NAME)[1]
        ship(file, NAME, table, shipped_model.SIZE, trained_on)
    figures = shipped_model.measure(model, table, options.folder)
    results = Path(__file__).parent / "results" / "trace_model.json"
    results.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
