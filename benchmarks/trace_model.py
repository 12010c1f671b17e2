"""Calibrate, measure and ship the `trace_cnn` that `taught.py` has trained.

    python benchmarks/taught.py path/to/data/metu run/folder
    python benchmarks/trace_model.py path/to/data run/folder [--write]

The folder holds metu/, deepcrack/ and sdnet2018_walls/patches/. METU's validation part calibrates the logit. The
threshold is the highest that finds 97 % of the cracks of a drawn set which is used for nothing else, a half of it
hairlines. Measured is what `shipped_model.py` measures, by the same code: METU's test part, DeepCrack, SDNET2018's
walls and the default synthetic set, none of which trained, calibrated or chose anything.

Writes benchmarks/results/trace_model.json, and its tables into the texts that show them; with --write also
crackviz/pretrained/trace_cnn.h5, trace_cnn.seen.npy and the entry in models.json. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import _cards
import pandas as pd
import shipped_model
import taught
from _shipping import ship

from crackviz import data, models

NAME = "trace_cnn"
ASKED = (
    "synthetic:patches=800,crack_width=(0.8,14),seed=22",
    "synthetic:patches=800,crack_width=(0.8,2.5),contrast=0.4,seed=21",
)
FOUND = 0.97


def pictures(folder: Path) -> pd.DataFrame:
    """Return METU's parts, the drawn pictures that trained the network, and those that set its threshold."""
    with tempfile.TemporaryDirectory() as scratch:
        parts = [data.prepare(folder / "metu", Path(scratch) / "split.csv", seed=0).assign(source="METU")]
    for words, source, part in (
        *((words, "drawn", "train") for words in taught.DESIGN["drawn"]),
        *((words, "synthetic", "validation") for words in ASKED),
    ):
        parts.append(data.scan(data.index(words), near_duplicates=False).assign(source=source, split=part))
    return pd.concat(parts, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/, deepcrack/ and sdnet2018_walls/")
    parser.add_argument("run", type=Path, help="the folder of taught.py")
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    options = parser.parse_args()
    table = pictures(options.folder)
    model = models.load(options.run / f"{NAME}.keras")
    trained_on = "METU, training part of data.prepare(folder, …, seed=0); " + "; ".join(taught.DESIGN["drawn"])
    shipped_model.settle(model, table[table["split"] == "validation"], trained_on, FOUND)
    if options.write:
        file = models.save(model, options.run / "shipped", NAME)[1]
        ship(file, NAME, table, shipped_model.SIZE, trained_on)
    figures = shipped_model.measure(model, table, options.folder)
    results = Path(__file__).parent / "results" / "trace_model.json"
    results.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
