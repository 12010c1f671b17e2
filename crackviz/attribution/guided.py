"""Guided backpropagation: a copy of the network with a guard behind every ReLU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.gradients import over_channels, pixel_method
from crackviz.attribution.network import VECTOR, Network, compiled, in_chunks


@pixel_method("guided backprop", "Springenberg et al. 2015", signed=True)
def guided_backprop(model: keras.Model, images: np.ndarray, along: np.ndarray, *, channels: str = "sum") -> np.ndarray:
    """Differentiate the logit, but drop every negative gradient at every ReLU: sharp, and hardly about the decision.

    A cautionary example. It restores edges of the image from what the first layers let through, and changes little with
    other weights behind them. Arguments, result and errors are those of :func:`gradient`;
    refused besides are networks without a ReLU, which it would leave as they are, and with one hidden inside a layer of
    one's own, which it would pass by.

    Notes
    -----
    Springenberg et al.: *Striving for Simplicity*, ICLR Workshop 2015; the caution: Adebayo et al.: *Sanity Checks for
    Saliency Maps*, NeurIPS 2018. Works where the ReLU is a layer, an operation, or an argument of another layer, of
    Keras or TensorFlow or one's own, and in nested models; tf-keras-vis changes arguments only, and does nothing for a
    ReLU that is a layer. ``THEORY.md`` T7.
    """
    slope = compiled(model, _build_guided)
    return in_chunks(lambda some: over_channels(slope(some, along).numpy(), channels), images)


@tf.custom_gradient
def _positive(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Let values pass forwards, and positive gradients only backwards."""
    return tf.identity(values), tf.nn.relu


def _is_relu(operation: Any) -> bool:
    """Tell whether the last that an operation does is to cut off what is below 0."""
    if isinstance(operation, keras.layers.Layer):
        activation = getattr(operation, "activation", None)
        return isinstance(operation, keras.layers.ReLU) or (activation is not None and _is_relu(activation))
    probe = np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 1, 1, 8)
    with suppress(Exception):  # whatever doesn't take one tensor is no ReLU; known by what it does, not by its name
        return bool(np.array_equal(operation(tf.constant(probe)), np.maximum(probe, 0)))
    return False


def _holds(values: Any, kind: type) -> bool:
    return any(isinstance(value, kind) for value in keras.tree.flatten(values))


class _Guarded(keras.layers.Layer):
    """An operation of another model, with its weights, and behind its ReLU the guard.

    It calls the other model's layer within a layer of its own, or else that layer's ``output`` would be ambiguous.
    """

    def __init__(self, operation: Any) -> None:
        super().__init__(name=operation.name, autocast=False)
        self.operation, self.relu = operation, _is_relu(operation)
        self.constants: dict[int, Any] = {}
        inner = operation._flatten_layers(include_self=False) if isinstance(operation, keras.layers.Layer) else ()
        hidden = [layer for layer in inner if _is_relu(layer) and layer is not getattr(operation, "activation", None)]
        if hidden:
            raise CrackvizError(
                f"{type(operation).__name__} {operation.name!r} has a ReLU inside, {hidden[0].name!r}, where its "
                "gradient can't be guided. Build the network of Keras' layers, or take gradient."
            )

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Keep the numbers of an operation such as 1 - x, by their place: Keras hands a layer nothing but tensors."""
        if _holds(inputs, keras.KerasTensor) or _holds(options, keras.KerasTensor):  # while the copy is built

            def of_one(probe: tf.Tensor) -> Any:
                given, named = keras.tree.map_structure(
                    lambda value: probe if isinstance(value, keras.KerasTensor) else value, (list(inputs), options)
                )
                return self.operation(*given, **named)

            self.relu = self.relu or _is_relu(of_one)  # maximum(x, 0) is a ReLU, too
            self.constants = {i: value for i, value in enumerate(inputs) if not _holds(value, keras.KerasTensor)}
            inputs = tuple(value for i, value in enumerate(inputs) if i not in self.constants)
        return super().__call__(*inputs, **options)

    def call(self, *inputs: Any, **options: Any) -> Any:
        given = list(inputs)
        for place, value in self.constants.items():  # in rising order
            given.insert(place, value)
        values = self.operation(*given, **options)
        return _positive(values) if self.relu else values


def _build_guided(network: Network) -> Any:
    made: list[_Guarded] = []

    def guarded(operation: Any) -> keras.layers.Layer:
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            return keras.models.clone_model(operation, clone_function=guarded)
        made.append(_Guarded(operation))
        return made[-1]

    plain = keras.Model(network.network.inputs, network.network.outputs[-1])
    guided = keras.models.clone_model(plain, clone_function=guarded)
    if not any(layer.relu for layer in made):
        raise CrackvizError("The model has no ReLU: guided backpropagation is its plain gradient.")

    @tf.function(input_signature=[network.signature, VECTOR])
    def slope(images: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            score = tf.tensordot(network.logits(guided(images, training=False)), along, 1)
        return tape.gradient(score, images, unconnected_gradients="zero")

    return slope
