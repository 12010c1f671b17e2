"""What is known about a network beside its weights: labels, size, range of its pictures, threshold."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES, PREPROCESSING, check_number, check_options
from crackviz.models.foreign import SCALED, UNIT, check_range, turn, wanted_range
from crackviz.models.graph import has_graph, walk


@dataclass(frozen=True)
class Metadata:
    """What a person has to know to use a trained network; kept inside its files.

    Parameters
    ----------
    class_names : tuple of str
        The label map: the name of label 0, 1, …
    image_size : int or None
        Side in px of the square pictures that it was trained on; None where it wasn't.
    preprocessing : int
        Version of what `crackviz.data.read_image` does to a picture.
    trained_on : str
        The training data, in words; "" where it wasn't trained.
    threshold : float
        "crack" is called from this probability on; two classes only.
    temperature : float
        What the logits are divided by for calibrated probabilities; 1 where nothing was calibrated.
    input_range : (float, float) or None
        What the black and the white of a picture were when it was trained; None leaves it to its first layers. Images
        are in [0, 1] all the same: :func:`load` puts a layer before it that scales them.
    """

    class_names: tuple[str, ...] = CLASS_NAMES
    image_size: int | None = None
    preprocessing: int = PREPROCESSING
    trained_on: str = ""
    threshold: float = 0.5
    temperature: float = 1.0
    input_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_range", check_range(self.input_range))
        if isinstance(self.class_names, str) or not isinstance(self.class_names, Sequence):
            raise CrackvizError(f"class_names is {self.class_names!r:.80}; expected a list of names, label 0's first.")
        names = tuple(str(name) for name in self.class_names)  # JSON has lists
        if len(set(names)) < max(len(names), 2):
            raise CrackvizError(f"class_names is {names}; expected two or more different names.")
        object.__setattr__(self, "class_names", names)
        if self.image_size is not None:
            check_number("image_size", self.image_size, 1, whole=True)
        check_number("preprocessing", self.preprocessing, 0, whole=True)
        check_number("threshold", self.threshold, 0, 1)
        check_number("temperature", self.temperature, 0, inclusive=False)
        if not isinstance(self.trained_on, str):
            raise CrackvizError(f"trained_on is {self.trained_on!r:.80}; expected a text.")


KNOWN: weakref.WeakKeyDictionary[keras.Model, Metadata] = weakref.WeakKeyDictionary()
_TURNED: weakref.WeakSet[keras.Model] = weakref.WeakSet()
_RANGES: weakref.WeakKeyDictionary[keras.Model, tuple[Any, Any]] = weakref.WeakKeyDictionary()
TURNED_ROUND = CLASS_NAMES[::-1]
"""The label map of a network that was trained with the crack as label 0."""


def _classes(model: keras.Model) -> int:
    return max(int(model.outputs[0].shape[-1]), 2)


def metadata(model: keras.Model) -> Metadata:
    """Return what is known about `model`: as it was trained, loaded or annotated; defaults where nothing is."""
    if model not in KNOWN:
        count = _classes(model)
        names = CLASS_NAMES if count == 2 else tuple(f"class_{number}" for number in range(count))
        return Metadata(class_names=names, image_size=model.inputs[0].shape[1])
    return KNOWN[model]


def annotate(model: keras.Model, **changes: Any) -> Metadata:
    """Change fields of :class:`Metadata` that are known about `model`, to be kept by :func:`save`; return all of them.

    A network that was trained elsewhere may call the crack 0. ``annotate(model, class_names=("crack", "no_crack"))``
    says so, and turns it round by the weights of its last layer, once: from then on its label 1 is the crack, here and
    in its files, and its metadata say no_crack, crack.

    Raises
    ------
    CrackvizError
        Where there is no such field, or a value makes no sense or doesn't fit the network.
    """
    check_options("A model's metadata", changes, Metadata.__dataclass_fields__)
    changed = replace(metadata(model), **changes)
    check_fit(f"The model {model.name!r}", model, changed)
    if changed.class_names == TURNED_ROUND:
        changed = replace(changed, class_names=CLASS_NAMES)
        if model not in _TURNED:
            turn(model)
            _TURNED.add(model)
            if "threshold" not in changes:
                changed = replace(changed, threshold=1 - changed.threshold)
    KNOWN[model] = changed
    return changed


def check_input_range(model: keras.Model) -> None:
    """Raise a CrackvizError where a model takes other pictures than those in [0, 1], and nothing scales them for it."""
    asked = KNOWN[model].input_range if model in KNOWN else None
    end, known = (list(walk(model).values())[-1].output if has_graph(model) else None), _RANGES.get(model)
    if end is None:
        return
    if known is None or known[0]() is not end:
        known = _RANGES[model] = weakref.ref(end), wanted_range(model)
    scaled = any(layer.name == SCALED for layer in model.layers)
    given = asked or known[1] or UNIT
    if given != UNIT and not scaled:
        why = "its metadata say" if asked else "its first layers say"
        raise CrackvizError(
            f"The model {model.name!r} takes pictures from {given[0]:g} to {given[1]:g}, {why}, and would see those in "
            "[0, 1] as one grey. Take models.adapted(model), which scales them for it; models.load does so by itself. "
            "Where it isn't so, models.annotate(model, input_range=(0, 1))."
        )


def check_fit(what: str, model: keras.Model, known: Metadata) -> None:
    """Raise a CrackvizError where metadata speak of other classes or another size than the network has."""
    if len(known.class_names) != _classes(model):
        raise CrackvizError(
            f"{what} tells {_classes(model)} classes apart, but {len(known.class_names)} are named "
            f"({', '.join(known.class_names)}). Name as many, or build it with n_classes={len(known.class_names)}."
        )
    side = model.inputs[0].shape[1]
    if None not in (side, known.image_size) and side != known.image_size:
        raise CrackvizError(
            f"{what} takes images of {side} px, but says that it was trained on {known.image_size} px. One of them is "
            "wrong: save it again from the training."
        )
