"""What is done with any network: built by name, made to take another size, listed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from inspect import signature
from typing import Any

import keras
import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_choice, check_options
from crackviz.models.foreign import with_one_logit
from crackviz.models.graph import input_of, walk
from crackviz.models.known import annotate, metadata
from crackviz.models.mobilenet import mobilenet_v2
from crackviz.models.networks import check_size, deep_cnn, gap_cnn, gap_cnn_deep, gap_cnn_far, local_cnn, trace_cnn

MODELS: dict[str, Callable[..., keras.Model]] = {
    "gap_cnn": gap_cnn,
    "gap_cnn_deep": gap_cnn_deep,
    "gap_cnn_far": gap_cnn_far,
    "deep_cnn": deep_cnn,
    "local_cnn": local_cnn,
    "trace_cnn": trace_cnn,
    "mobilenet_v2": mobilenet_v2,
}
"""The networks by name, as :func:`build` takes it."""


def build(name: str, image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0, **options: Any) -> keras.Model:
    """Build the network called `name` (a key of :data:`MODELS`); see :func:`gap_cnn` for the arguments.

    `options` are those of that network alone, such as ``weights`` of :func:`mobilenet_v2`. A CrackvizError where there
    is no network of this name.
    """
    check_choice("The network's name", name, MODELS)
    check_options(name, options, signature(MODELS[name]).parameters)
    model = MODELS[name](image_size, n_classes=n_classes, seed=seed, **options)
    _say_what_is_left_out(model)
    return model


def image_size(model: keras.Model) -> int | None:
    """Return the side in px of the square images that `model` takes; None where it takes any."""
    return model.inputs[0].shape[1]


def size_for(model: keras.Model, image_size: int) -> int:
    """Return the side in px at which `model` is asked: its own, or `image_size` where it takes any.

    Where these differ, a line says that `image_size` has no effect. A CrackvizError where it can't be a size.
    """
    check_size(image_size)
    own = model.inputs[0].shape[1]
    if own not in (None, image_size):
        print(f"{model.name} takes {own} px pictures, its own size: image_size={image_size} has no effect.")
    if own is None and model.name in MODELS:
        _say_what_is_left_out(resized(model, image_size))
    return own or image_size


def _say_what_is_left_out(model: keras.Model) -> None:
    """Say that the map ends before the image does, where halving leaves a row over."""
    steps, side = walk(model), model.inputs[0].shape[1]
    pools = [one for one in steps.values() if getattr(one.layer, "pool_size", None) and one.layer.padding == "valid"]
    if side and any(steps[one.inputs[0]].output.shape[1] % one.layer.strides[0] for one in pools):
        cell = 2 ** int(math.log2(side / pools[-1].output.shape[1]))
        whole = side - side % cell
        print(
            f"{model.name} at {side} px: its map covers {whole} px, and what lies right and below counts for little. "
            f"Best is a multiple of {cell}, such as {whole} or {whole + cell}."
        )


def resized(model: keras.Model, image_size: int | None) -> keras.Model:
    """Return a copy of `model`, with the same weights, for images of another size.

    A network whose maps are averaged has no weight that depends on the size. Its answers do: a crack that is twice
    as many pixels wide is another crack to it, so the new size should show the concrete at about the same scale.

    `image_size` is the side in px of the square images it shall take; None takes any. A CrackvizError where the network
    is bound to its size: by a layer that flattens its maps, or paths that don't meet.
    """
    input_of(model)
    check_size(image_size)
    try:
        if model.name in ("local_cnn", "trace_cnn"):  # which layers they have depends on the size
            other = MODELS[model.name](image_size, n_classes=max(model.output_shape[-1], 2))
        else:
            other = keras.models.clone_model(model, keras.Input((image_size, image_size, 3), name=model.inputs[0].name))
        for layer in model.layers:
            if layer.weights:
                other.get_layer(layer.name).set_weights(layer.get_weights())
    except ValueError as error:  # Keras's kind for shapes that don't fit
        raise CrackvizError(
            f"The model {model.name!r} can't be made to take {image_size} px images "
            f"({str(error).strip().splitlines()[0]}). {_how_to_resize(model)}"
        ) from error
    known = metadata(model)
    annotate(other, **(asdict(known) | {"image_size": image_size or known.image_size}))
    return other


def _how_to_resize(model: keras.Model) -> str:
    if any(isinstance(layer, keras.layers.Flatten) for layer in model.layers):
        return "It flattens its maps, so its last layers are bound to their size: resize the images."
    return "Try a multiple of 4, or resize the images."


def one_logit(model: keras.Model) -> keras.Model:
    """Return a network of two classes in the form that the lessons take apart; of more, the model as it is.

    Flat, with ``Dense(1, name="logit")`` and a sigmoid at its end, the same layers and weights before it, and the same
    answers: a softmax of two is the sigmoid of the difference of its logits, and a network that ends in logits gets its
    sigmoid. What is known about it is handed on.
    """
    made = with_one_logit(model)
    if made is not model:
        annotate(made, **asdict(metadata(model)))
    return made


def summary(model: keras.Model) -> pd.DataFrame:
    """Return a table of the layers: name, kind, output shape (without N), number of weights."""
    rows = [
        {
            "layer": layer.name,
            "kind": type(layer).__name__,
            "output": " × ".join(map(str, tuple(layer.output.shape)[1:])),
            "weights": layer.count_params(),
        }
        for layer in model.layers
    ]
    return pd.DataFrame(rows).set_index("layer")
