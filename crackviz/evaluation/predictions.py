"""Labels and probabilities of the same pictures, in one shape whatever the network's last layer gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from crackviz import CrackvizError
from crackviz.contracts import check_number


def check_probabilities(probabilities: np.ndarray) -> None:
    """Raise where something isn't a probability, or the classes of a picture don't add up to 1."""
    if probabilities.dtype.kind not in "biuf":
        raise CrackvizError(f"Probabilities are {probabilities.dtype}; expected numbers in [0, 1].")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise CrackvizError(
            f"Probabilities reach from {np.min(probabilities)} to {np.max(probabilities)}; expected [0, 1] "
            "without NaN. Are they logits?"
        )
    if probabilities.ndim == 2 and probabilities.shape[1] > 1 and len(probabilities):
        sums = probabilities.sum(axis=1, dtype=np.float64)
        if abs(sums - 1).max() > 0.01:
            raise CrackvizError(
                f"The probabilities of a picture add up to {sums[abs(sums - 1).argmax()]:.3g}; expected 1, as a "
                "softmax gives. A column of its own for each label that a picture may have isn't supported."
            )


def class_numbers(name: str, answers: np.ndarray | Sequence[int]) -> np.ndarray:
    """Return numbers of classes as an array, or refuse names and probabilities."""
    numbers = np.asarray(answers)
    if numbers.dtype.kind not in "biuf" or (numbers % 1 != 0).any():
        odd = numbers.flat[0].item() if numbers.size and numbers.dtype != object else answers
        raise CrackvizError(
            f"{name} holds {odd!r:.60}; expected numbers of classes, from 0. Are they probabilities? "
            "Compare those with a threshold first."
        )
    return numbers


def one_column(values: np.ndarray) -> np.ndarray:
    """Return (N, 1) as (N,), and everything else as it is."""
    values = np.asarray(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def columns(probabilities: np.ndarray) -> np.ndarray:
    """Return a column for each class: (N, k) as it is, (N,) or (N, 1) of label 1 as (N, 2)."""
    some = one_column(probabilities)
    return np.stack([1 - some, some], axis=1) if some.ndim == 1 else some


@dataclass(frozen=True)
class Predictions:
    """What is true and what was said of the same pictures.

    Attributes
    ----------
    labels : int (N,)
        0 … k-1.
    probabilities : float (N,), in [0, 1]
        Of label 1, where there are two classes: given as (N,), (N, 1) or (N, 2). Else (N, k).
    threshold : float
        Label 1 is predicted from this probability on; two classes only.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    threshold: float = 0.5

    def __post_init__(self) -> None:
        labels, probabilities = class_numbers("labels", self.labels), np.asarray(self.probabilities)
        if probabilities.ndim in (1, 2):
            check_probabilities(probabilities)
        if probabilities.ndim == 2 and probabilities.shape[1] <= 2:  # one sigmoid unit, or a softmax over two
            probabilities = probabilities[:, -1]
        if not labels.size:
            raise CrackvizError("There are no predictions to score: the table is empty.")
        if labels.ndim != 1 or probabilities.ndim not in (1, 2) or len(labels) != len(probabilities):
            raise CrackvizError(
                f"Labels of shape {labels.shape} and probabilities of shape {probabilities.shape} don't belong "
                "together; expected (N,), and (N,) or (N, k)."
            )
        check_number("threshold", self.threshold, 0, 1)
        object.__setattr__(self, "labels", labels.astype(int))
        object.__setattr__(self, "probabilities", probabilities)
        if labels.min() < 0 or labels.max() >= self.k:
            raise CrackvizError(
                f"Labels reach from {labels.min()} to {labels.max()}; expected 0 to {self.k - 1} for {self.k} classes."
            )

    def __getitem__(self, rows: np.ndarray) -> Predictions:
        return replace(self, labels=self.labels[rows], probabilities=self.probabilities[rows])

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return self.probabilities.ndim == 1

    @property
    def k(self) -> int:
        """The number of classes."""
        return 2 if self.binary else self.probabilities.shape[1]

    @property
    def both(self) -> np.ndarray:
        """The probabilities of all classes: float (N, k)."""
        return columns(self.probabilities)

    @property
    def predicted(self) -> np.ndarray:
        """The answers: int (N,)."""
        return (self.probabilities >= self.threshold).astype(int) if self.binary else self.probabilities.argmax(axis=1)
