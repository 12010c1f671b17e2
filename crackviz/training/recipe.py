"""How a network is trained, in one object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import keras

from crackviz import CrackvizError, data
from crackviz.contracts import check_flag, check_number
from crackviz.files import short_hash
from crackviz.training.own_layer import InTraining, layer_hash, plain

Augment: TypeAlias = bool | Mapping[str, Any] | Any  # a keras.Layer, which carries no types


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; ``dataclasses.replace(recipe, epochs=3)`` gives a changed one.

    Parameters
    ----------
    epochs : int
        At most so many passes over the training data.
    patience : int
        Epochs without a lower validation loss before it stops.
    batch_size : int
    learning_rate : float
        At the start.
    decay : float
        Factor of the learning rate per epoch, in (0, 1].
    augment : bool, mapping or keras.Layer
        Whether the training pictures are varied by :func:`crackviz.data.augmentation`; a mapping holds arguments for
        that function. Or a layer of one's own, such as a ``keras.Sequential``: (B, H, W, 3) in [0, 1] to the same. It
        is called in training only, with ``training=True``; it learns nothing, and isn't saved with the network.
    mixed_precision : bool
        Whether maps are computed in bfloat16 during training (Keras's ``mixed_bfloat16``): faster on processors that
        have it, slower on others. Weights, logits and the saved model stay float32.
    normalise : bool
        Whether batch normalisation stands between convolutions and their activations during training, which mostly
        makes it shorter and the network better. Afterwards it is part of the convolutions' weights: the saved network
        has no further layers. It is for networks that start from nothing, and for each ``Conv2D`` that learns, has a
        bias and an activation of its own, no constraint, and is called once; all others stay as they are.
    place : float
        What the loss on the place of the evidence counts for beside the loss on the answers, see
        :func:`crackviz.training.place_loss`; 0 leaves it out. It takes a network whose last map is bounded, such as
        :func:`crackviz.models.trace_cnn`, and pictures with a mask in the table's column ``mask``. Sound pictures have
        an empty mask without one; cracked ones without a mask are taught by their labels alone.
    max_images : int
        Of the training pictures, and of the validation pictures, at most so many are used, drawn by whole groups as
        :func:`crackviz.data.subset` does; 0 takes all.
    """

    epochs: int = 100
    patience: int = 3
    batch_size: int = 32
    learning_rate: float = 3e-3
    decay: float = 0.88
    augment: Augment = True
    mixed_precision: bool = False
    normalise: bool = False
    place: float = 0.0
    max_images: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size"):
            check_number(name, getattr(self, name), 1, 10**6, whole=True)
        if not isinstance(self.augment, Mapping | keras.Layer):
            check_flag("augment", self.augment)
        check_flag("mixed_precision", self.mixed_precision)
        check_flag("normalise", self.normalise)
        check_number("learning_rate", self.learning_rate, 1e-8, 10.0)
        check_number("decay", self.decay, 1e-3, 1.0)
        check_number("place", self.place, 0.0, 1e6)
        check_number("max_images", self.max_images, 0, whole=True)
        if self.place and isinstance(self.augment, keras.Layer):
            raise CrackvizError(
                "With place, masks must be turned and zoomed as their pictures are, and a layer of one's own doesn't "
                "tell how: give augment as a mapping, such as {'zoom': 0.2}."
            )

    def paced(self, pictures: int, usual: int = 1500) -> Recipe:
        """Return this recipe, made for `usual` training pictures, for so many of them.

        A training is so long in pictures, not in passes: with four times as many it has a quarter of the epochs (four
        at least, where it had as many), and the learning rate falls by `decay` to the power of four in each. Fewer than
        usual change nothing, and pictures beyond `max_images` don't count.
        """
        check_number("pictures", pictures, 1, whole=True)
        check_number("usual", usual, 1, whole=True)
        ratio = max(1.0, min(pictures, self.max_images or pictures) / usual)
        epochs = min(self.epochs, max(4, round(self.epochs / ratio)))
        return replace(self, epochs=epochs, decay=max(0.01, self.decay**ratio))

    def augmentation(self, seed: int) -> keras.Layer | None:
        """Return a layer that varies the training pictures, or None; one of a person's own is used as it is."""
        if isinstance(self.augment, Mapping):
            return data.augmentation(**dict[str, Any]({"seed": seed, **self.augment}))
        if isinstance(self.augment, keras.Layer):  # no copy: its settings needn't tell all, as adapted weights
            return InTraining(self.augment)
        return data.augmentation(seed) if self.augment else None

    def identity(self) -> dict[str, Any]:
        """Return what tells this recipe from another, ready for JSON."""
        return vars(self) | {"augment": _identity_of(self.augment)}


USUAL = Recipe()
"""What trains where nothing else is said."""


def _identity_of(augment: Augment) -> Any:
    if isinstance(augment, Mapping):
        return json.loads(json.dumps(dict(augment), sort_keys=True, default=str))
    if isinstance(augment, keras.Layer):
        return f"{type(augment).__name__} {layer_hash(augment)}"
    return bool(augment)


def network_hash(model: keras.Model) -> str:
    """Return a hash of a network's layers and their settings, without names and weights."""
    layers = [layer for layer in model._flatten_layers() if not isinstance(layer, keras.Model)]
    return short_hash(*(f"{type(x).__name__} {json.dumps(plain(x.get_config()))}" for x in layers))
