"""Would lines and masks be better drawn on another map than the network's? Evidence times local darkness, tried.

    python benchmarks/measuring.py path/to/deepcrack

A measuring map is no explanation: it adds up to nothing. Darkness is that below the mean of 17, 37 and 69 px, mean of
the three; the evidence is smoothed and raised to a power; the gate is the probability of the picture. Best pooled F1 on
drawn walls, cracked and sound, with cracks of usual widths and with broad ones, by whose mean a map is chosen for each
network; and on DeepCrack's pictures at 256 px, where the chosen one and the network's own are looked at. Writes
benchmarks/results/measuring.json. About five minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.special import expit

from crackviz import attribution, data, faithfulness, models, synthetic
from crackviz.files import write_json

SETS = {
    "usual": synthetic.Settings(seed=4321, patches_per_photo=2),
    "broad": synthetic.Settings(seed=4321, patches_per_photo=2, crack_width=(5.0, 25.0)),
}
PATCHES = 240
WIDTHS = (17, 37, 69)


def drawn(settings: synthetic.Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return the patches of a set as images, and their masks, which are empty where a wall is sound."""
    patches = [synthetic.patch(number, settings) for number in range(PATCHES)]
    return np.stack([one.image for one in patches]).astype(np.float32) / 255, np.stack([one.mask for one in patches])


def maps(name: str, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Give each map of the pictures with its name: the network's, darkness, and both together."""
    model = models.load_pretrained(name)
    if models.image_size(model) not in (None, images.shape[1]):
        model = models.resized(model, images.shape[1])
    evidence = np.maximum(attribution.grad_cam(model, images), 0)
    gate = expit(attribution.logits(model, images).reshape(-1, 1, 1))
    grey = images.mean(axis=-1)
    dark = np.mean([np.maximum(ndimage.uniform_filter(grey, (0, w, w)) - grey, 0) for w in WIDTHS], axis=0)
    yield "the network's", evidence
    yield "darkness", dark
    for sigma in (0, 1, 2, 3):
        smooth = ndimage.gaussian_filter(evidence, (0, sigma, sigma)) if sigma else evidence
        for power in (0.25, 0.5, 1.0):
            yield f"darkness x evidence smoothed by {sigma} px to the power {power}", dark * smooth**power
            yield f"the same, gated: {sigma} px, power {power}", dark * smooth**power * gate


def f1(values: np.ndarray, masks: np.ndarray) -> float:
    """Score all pictures as one, else those without a crack wouldn't count."""
    one = (1, -1, values.shape[-1])
    return round(float(faithfulness.best_f1(values.astype(np.float32).reshape(one), masks.reshape(one)).f1), 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("deepcrack", type=Path, help="holds images/ and masks/")
    folder = parser.parse_args().deepcrack
    stems = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    real = data.load_images([str(folder / "images" / f"{stem}.jpg") for stem in stems], 256)
    known = data.load_masks([str(folder / "masks" / f"{stem}.png") for stem in stems], 256)
    sets = {kind: drawn(settings) for kind, settings in SETS.items()}
    found = {}
    for name in ("trace_cnn", "local_cnn"):
        scores: dict[str, dict[str, float]] = {}
        for kind, (images, masks) in sets.items():
            for title, values in maps(name, images):
                scores.setdefault(title, {})[kind] = f1(values, masks)
        chosen = max(scores, key=lambda title: np.mean(list(scores[title].values())))
        for title, values in maps(name, real):
            if title in (chosen, "the network's"):
                scores[title]["DeepCrack"] = f1(values, known)
        found[name] = {"chosen": chosen, "best pooled F1": scores}
        print(name, chosen, scores[chosen], "its own:", scores["the network's"], flush=True)
    write_json(Path(__file__).parent / "results" / "measuring.json", found)


if __name__ == "__main__":
    main()
