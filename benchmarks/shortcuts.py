"""Does the shortcut share tell a network that reads a mark from one that reads the crack? Ten seeds of either.

    python benchmarks/shortcuts.py            under ten minutes

For each seed two networks are trained alike, on sets of their own: one where 95 % of the cracked patches carry a
mark and 5 % of the sound ones, one where none was planted. Both are asked about the same pictures: cracks on other
walls, each with a mark. Writes benchmarks/results/shortcuts.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from crackviz import attribution, data, evaluation, faithfulness, models, synthetic, training

SETTINGS = synthetic.Settings(
    patches=3600, image_size=64, patches_per_photo=4, crack_width=(1.8, 6.4), contrast=0.65, shortcut="scale_bar"
)
RECIPE: dict[str, Any] = {"epochs": 20, "patience": 20, "learning_rate": 3e-3, "decay": 0.93, "augment": False}
ASKED = 120  # patches of other walls, half of them cracked
METHODS = ("thin_cam", "grad_cam", "integrated_gradients")  # the first one counts
OTHER_WALLS = 1000  # added to the seed


def trained(settings: synthetic.Settings, seed: int) -> tuple[keras.Model, dict[str, float]]:
    """Train a network on a set; return it, and its accuracy on that set's own test part."""
    table = data.split(data.index(synthetic.dataset(settings)), seed=seed)
    model = models.build("gap_cnn_deep", settings.image_size, seed=seed)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        training.train(model, table, folder, training.Recipe(**RECIPE), image_size=settings.image_size, seed=seed)
    test = table[table["split"] == "test"]
    right = (evaluation.predict(model, test, settings.image_size) >= 0.5) == test["label"]
    return model, {"accuracy": float(right.mean()), "training s": round(time.perf_counter() - began, 1)}


def asked(model: keras.Model, pairs: dict[bool, list[synthetic.Patch]], mark: str) -> dict[str, Any]:
    """Return the shares on cracked patches that carry the mark, and what the mark does to the answers."""
    images = {planted: np.stack([p.image for p in some]).astype(np.float32) / 255 for planted, some in pairs.items()}
    shown = pairs[True]
    cracked = np.array([patch.label == 1 for patch in shown])
    crack = np.stack([patch.mask for patch in shown])
    none = np.zeros_like(crack[0])
    marked = np.stack([patch.distractors.get(mark, none) for patch in shown])
    photo = np.array([patch.photo for patch in shown])
    found: dict[str, Any] = {}
    for name in METHODS:
        maps = attribution.METHODS[name](model, images[True][cracked])
        share = faithfulness.shortcut_share(
            maps, crack[cracked], marked[cracked], bootstrap=evaluation.Bootstrap(photo[cracked])
        )
        found[name] = share["pooled"] | {key: share[key] for key in ("chance", "elsewhere", "images", "excluded")}
    for what, these in (("cracked", cracked), ("sound", ~cracked)):
        both = images[True][these], images[False][these]
        change = faithfulness.counterfactual(model, *both, bootstrap=evaluation.Bootstrap(photo[these]))
        found[what] = {key: change[key]["value"] for key in ("logit", "to_target", "from_target")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "shortcuts.json")
    arguments = parser.parse_args()
    mark = {"chalk_line": "chalk_mark"}.get(SETTINGS.shortcut, SETTINGS.shortcut)
    rows: dict[str, Any] = {}
    began = time.perf_counter()
    for seed in arguments.seeds:
        other = replace(SETTINGS, seed=seed + OTHER_WALLS)
        pairs = {on: [synthetic.patch(n, other, planted=on) for n in range(ASKED)] for on in (True, False)}
        kinds = {
            "planted": replace(SETTINGS, seed=seed),
            "without": replace(SETTINGS, seed=seed, shortcut=""),
        }
        rows[str(seed)] = {}
        for kind, settings in kinds.items():
            model, figures = trained(settings, seed)
            rows[str(seed)][kind] = figures | asked(model, pairs, mark)
            shares = {name: round(rows[str(seed)][kind][name]["value"], 3) for name in METHODS}
            print(seed, kind, figures, shares, flush=True)
    share = {kind: [row[kind][METHODS[0]]["value"] for row in rows.values()] for kind in ("planted", "without")}
    result = {
        "method": METHODS[0],
        "settings": str(SETTINGS),
        "recipe": RECIPE,
        "seeds": len(rows),
        "planted, share over 0.5": sum(value > 0.5 for value in share["planted"]),
        "without, share under 0.1": sum(value < 0.1 for value in share["without"]),
        "shares": {kind: [round(value, 3) for value in values] for kind, values in share.items()},
        "minutes": round((time.perf_counter() - began) / 60, 1),
        "runs": rows,
    }
    arguments.out.parent.mkdir(exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print({key: value for key, value in result.items() if key != "runs"})


if __name__ == "__main__":
    main()
