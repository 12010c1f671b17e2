"""Whether a file answers as Keras does: logits, maps, the sum, and decisions, on the same pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from crackviz import CrackvizError, contracts, synthetic
from crackviz.data.images import Image
from crackviz.export.explained import Explained

Answers = dict[str, np.ndarray]
Run = Callable[[np.ndarray], Answers]

CLEAR = 1 / 256
"""Probabilities nearer to 0 or 1 count as this near: beyond it float32 hardly tells logits apart, int8 not at all."""
LOGIT_OFF = 1e-3
"""Logits farther from Keras' than this are off; float32 alone makes 1e-4 where 50,000 cells are summed."""
MAP_OFF = 1e-5
"""The same for the cells of its map, in logits."""
PICTURES = 16
"""Drawn patches that a file is checked on where no pictures are given."""


@dataclass(frozen=True)
class Agreement:
    """How far a file's answers lie from Keras' own, on some pictures.

    Attributes
    ----------
    pictures : int
    logit : float
        Largest difference of the logits, those beyond ±5.5 counted as ±5.5.
    map : float or None
        Largest difference of a cell [logits]; None without a map.
    sum : float or None
        Largest difference between the logit that the file's map and bias add up to, and that of its probability.
    decisions : int
        Pictures that are called otherwise, at the network's threshold (more than two classes: the likeliest).
    accuracy : (float, float) or None
        Of Keras and of the file, where labels were given.
    """

    pictures: int
    logit: float
    map: float | None
    sum: float | None
    decisions: int
    accuracy: tuple[float, float] | None = None

    @property
    def off(self) -> bool:
        """Whether the file is off, for one that isn't quantized."""
        within = self.logit <= LOGIT_OFF and (self.map is None or self.map <= MAP_OFF)  # False for NaN, too
        return not within or self.decisions > 0

    def __str__(self) -> str:
        parts = [f"logits differ by at most {self.logit:.1e}"]
        if self.map is not None and self.sum is not None:
            parts += [f"cells of the map by {self.map:.1e}", f"map and bias add up to the logit within {self.sum:.1e}"]
        parts.append(f"{self.decisions} of {self.pictures} decisions differ")
        if self.accuracy:
            parts.append("accuracy {:.2%} against {:.2%} of Keras".format(*self.accuracy[::-1]))
        return ", ".join(parts)


def compare(made: Explained, run: Run, images: np.ndarray, labels: np.ndarray | None = None) -> Agreement:
    """Hold what `run` answers against Keras.

    Parameters
    ----------
    made : Explained
        What was exported.
    run : callable
        From images to the file's ``probability`` and ``map``, as :func:`crackviz.export.runner` returns it.
    images : float32 (N, H, W, 3), in [0, 1]
    labels : int (N,), optional
        For the accuracy.
    """
    contracts.check_lengths(images=images, labels=labels)
    wanted, found = made(images), run(images)
    for name, values in wanted.items():
        if name not in found or found[name].shape != values.shape:
            shape = found[name].shape if name in found else "nothing"
            raise CrackvizError(f"The file's output {name} is {shape}, of Keras {values.shape}: it can't be used.")
    logit = float(np.abs(odds(found["probability"]) - odds(wanted["probability"])).max())
    cell = total = None
    if made.has_map:
        cell = float(np.abs(found["map"] - wanted["map"]).max())
        total = float(np.abs(odds(_added_up(made, found["map"])) - odds(found["probability"])).max())
    ours, theirs = (_called(made, answers["probability"]) for answers in (wanted, found))
    right = None if labels is None else (float(np.mean(ours == labels)), float(np.mean(theirs == labels)))
    return Agreement(len(images), logit, cell, total, int(np.sum(ours != theirs)), right)


def odds(probability: np.ndarray) -> np.ndarray:
    """Return the logits of probabilities, those beyond `CLEAR` counted as that: float64."""
    return special.logit(np.clip(np.asarray(probability, np.float64), CLEAR, 1 - CLEAR))


def _added_up(made: Explained, maps: np.ndarray) -> np.ndarray:
    """Return the probabilities that maps and bias add up to."""
    sums = np.asarray(maps, np.float64).sum(axis=(1, 2)).reshape(len(maps), -1) + made.bias
    return special.expit(sums) if sums.shape[1] == 1 else special.softmax(sums, axis=1)


def _called(made: Explained, probability: np.ndarray) -> np.ndarray:
    if probability.shape[1] == 1:
        return (probability[:, 0] >= made.about["threshold"]).astype(int)
    return probability.argmax(axis=1)


def pictures(side: int | None, count: int = PICTURES) -> np.ndarray:
    """Return drawn patches to check a file on: float32 (count, side, side, 3) in [0, 1], half of them cracked."""
    side = side or 160  # any size is taken: another than those of trainings
    drawn = [Image.fromarray(synthetic.patch(number).image) for number in range(count)]
    sized = [one.resize((side, side), Image.Resampling.BILINEAR) for one in drawn]
    return np.stack([np.asarray(one, np.float32) / 255 for one in sized])
