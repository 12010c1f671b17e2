"""Calibrate, measure and ship the `trace_cnn` that `taught.py` has trained.

    python benchmarks/taught.py path/to/data/metu run/folder
    python benchmarks/trace_model.py path/to/data run/folder --choose stage1 [stage2 …]
    python benchmarks/trace_model.py path/to/data run/folder --stage stage2 [--write]

The folder holds metu/, deepcrack/ and sdnet2018_walls/patches/. METU's validation part calibrates the logit (Platt's
slope and offset: a temperature alone can't make the answer to an empty map surer). The threshold is the one that is
right most often on two sets that trained nothing, METU's validation part and a drawn one, which count alike. Measured
is what `shipped_model.py` measures, by the same code: METU's test part, DeepCrack, SDNET2018's walls and the default
synthetic set, none of which trained, calibrated or chose anything.

With --choose, networks are held against each other by what may choose: METU's validation part, and two drawn sets, one
of them hairlines, that trained nothing. That goes to benchmarks/results/trace_designs.json.

Writes benchmarks/results/trace_model.json, and its tables into the texts that show them; with --write also
crackviz/pretrained/trace_cnn.h5, trace_cnn.seen.npy and the entry in models.json. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import _cards
import keras
import numpy as np
import pandas as pd
import shipped_model
import taught
from _shipping import ship
from scipy import special
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from crackviz import attribution, data, faithfulness, models
from crackviz.files import update_json

NAME = "trace_cnn"
ASKED = "synthetic:patches=1200,crack_width=(0.8,14),seed=22"  # with METU's validation part it sets the threshold
CHOOSE = {
    "drawn": "synthetic:patches=1000,seed=22",
    "hairlines": "synthetic:patches=1000,crack_width=(0.8,2.5),contrast=0.4,seed=21",
}


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
    platt = LogisticRegression(C=np.inf).fit(z[metu, None], label[metu])
    slope, offset = platt.coef_.item(), platt.intercept_.item()
    last = model.get_layer("logit")
    weight, bias = last.get_weights()
    last.set_weights([weight * slope, bias * slope + offset])
    said = special.expit(z * slope + offset)
    thresholds = np.linspace(0.01, 0.99, 99)
    right = [np.mean([((said >= t) == label)[part].mean() for part in (metu, ~metu)]) for t in thresholds]
    threshold = round(float(thresholds[int(np.argmax(right))]), 2)
    models.annotate(model, image_size=shipped_model.SIZE, trained_on=trained_on, threshold=threshold)
    print(f"slope {slope:.3f}, offset {offset:.3f}, threshold {threshold}, right {max(right):.4f}", flush=True)


def compared(model: keras.Model, metu: pd.DataFrame, drawn: dict[str, str] = CHOOSE) -> dict[str, float]:
    """Return what may choose between designs: how well it orders, how often it could be right, where it looks."""
    found = {}
    for name, table in {"METU": metu, **{name: data.index(words) for name, words in drawn.items()}}.items():
        label, said = table["label"].to_numpy(), shipped_model.probabilities(model, table)
        cuts = np.quantile(said, np.linspace(0.2, 0.8, 301))
        found[f"{name}: ROC-AUC"] = round(float(roc_auc_score(label, said)), 4)
        found[f"{name}: right at its best threshold"] = round(
            float(max(((said >= cut) == label).mean() for cut in cuts)), 4
        )
        if name != "METU":
            found |= placed(lambda images: attribution.grad_cam(model, images, upsample=False), table, name)
    return found


def placed(method: Callable[[np.ndarray], np.ndarray], table: pd.DataFrame, name: str) -> dict[str, float]:
    """Score maps of 300 drawn cracks against their masks."""
    cracked = table[table["label"] == 1].head(300)
    maps = method(data.load_images(cracked["path"], shipped_model.SIZE))
    known = faithfulness.truth(data.load_masks(cracked["mask"], shipped_model.SIZE))
    found = {
        "pointing game": np.nanmean(faithfulness.pointing_game(maps, known)),
        "evidence within 4 px": np.nanmean(faithfulness.evidence_near(maps, known, distance=4)),
        "pooled F1": faithfulness.best_f1(maps, known).f1,
    }
    return {f"{name}: {score}": round(float(value), 4) for score, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds metu/, deepcrack/ and sdnet2018_walls/")
    parser.add_argument("run", type=Path, help="the folder of taught.py")
    parser.add_argument("--choose", nargs="+", metavar="STAGE", help="compare these, and look at nothing else")
    parser.add_argument("--stage", default="stage2", help="which of the folder's networks is calibrated and measured")
    parser.add_argument("--write", action="store_true", help="write crackviz/pretrained")
    options = parser.parse_args()
    table = pictures(options.folder)
    validation = table[table["split"] == "validation"]
    for stage in options.choose or ():
        found = compared(models.load(options.run / f"{stage}.keras"), validation[validation["source"] == "METU"])
        update_json(Path(__file__).parent / "results" / "trace_designs.json", {stage: found})
        print(stage, found, flush=True)
    if options.choose:
        return
    model = models.load(options.run / f"{options.stage}.keras")
    trained_on = "METU, training part of data.prepare(folder, …, seed=0); " + "; ".join(taught.DESIGN["drawn"])
    settle(model, validation, trained_on)
    if options.write:
        file = models.save(model, options.run / "shipped", NAME)[1]
        ship(file, NAME, table, shipped_model.SIZE, trained_on)
    figures = shipped_model.measure(model, table, options.folder)
    results = Path(__file__).parent / "results" / "trace_model.json"
    results.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    _cards.update()


if __name__ == "__main__":
    main()
