"""Measure what answers without a network are worth: how far the longest connected dark ridge of a picture reaches.

    python benchmarks/ridge.py path/to/data      a folder that holds metu/ and sdnet2018_walls/patches/

Nothing is learnt and nothing is chosen, so whole sets are asked; of METU every fourth picture of either class. Writes
benchmarks/results/ridge.json, and the rows of README's table of answers. About two minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _cards
import numpy as np
import pandas as pd

from crackviz import data, evaluation

RESULTS = Path(__file__).parent / "results" / "ridge.json"
SIZE, LARGE = 128, 256


def measure(table: pd.DataFrame, size: int) -> dict[str, Any]:
    """Return the ROC-AUC of the extent, with its interval over whole groups."""
    extent = np.concatenate(
        [
            evaluation.ridge_extent(data.load_images(table["path"].iloc[start : start + 256], size))
            for start in range(0, len(table), 256)
        ]
    )
    groups = evaluation.Bootstrap(table["group"])
    scores = evaluation.evaluate(table["label"], extent, bootstrap=groups)["scores"]
    cracked, sound = (float(np.median(extent[table["label"] == label])) for label in (1, 0))
    return {
        "size": size,
        "pictures": len(table),
        "groups": int(table["group"].nunique()),
        "roc_auc": scores["roc_auc"],
        "median extent": {"crack": round(cracked, 3), "no_crack": round(sound, 3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/ and sdnet2018_walls/")
    folder = parser.parse_args().folder
    metu = data.index(folder / "metu")
    walls = data.index(folder / "sdnet2018_walls" / "patches")
    sets = {
        "METU": (pd.concat([part.iloc[::4] for _, part in metu.groupby("label")]), SIZE),
        "synthetic, 2,000 patches": (data.index("synthetic:patches=2000"), SIZE),
        "SDNET2018 walls": (walls, SIZE),
        "SDNET2018 walls, 256 px": (walls, LARGE),
    }
    figures: dict[str, Any] = {}
    for name, (table, size) in sets.items():
        figures[name] = measure(table, size)
        print(name, figures, flush=True)
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
