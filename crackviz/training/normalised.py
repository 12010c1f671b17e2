"""Batch normalisation that helps a network to learn, and is part of its kernels afterwards."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from crackviz import CrackvizError

_SUFFIX = "_normalised"


def normalisable(model: keras.Model) -> dict[str, Any]:
    """Return the names of the layers that :func:`normalised` normalises, with their activations.

    Raises
    ------
    CrackvizError
        Where the network has no such layer.
    """
    chosen = {
        layer.name: layer.activation
        for layer in model.layers
        if type(layer) is layers.Conv2D
        and layer.trainable
        and layer.use_bias
        and layer.activation is not keras.activations.linear
        and len(layer._inbound_nodes) == 1
    }
    if not chosen:
        raise CrackvizError(
            f"The recipe says normalise, but {model.name!r} has no Conv2D that learns, with a bias and an activation "
            'of its own, as Conv2D(16, 3, activation="relu"). Train it with normalise=False.'
        )
    return chosen


def normalised(model: keras.Model) -> keras.Model:
    """Copy a network with batch normalisation between each convolution and its activation.

    Parameters
    ----------
    model : keras.Model
        Its ``Conv2D`` layers with a bias and an activation of their own are normalised, but for frozen ones, those that
        a network within it holds, and those that are called more than once.

    Returns
    -------
    keras.Model
        With the weights of `model`, of the same inputs and outputs. :func:`fold` brings back what it has learnt.

    Raises
    ------
    CrackvizError
        Where the network has no such layer.

    Notes
    -----
    Ioffe, Szegedy: *Batch normalization*, ICML 2015. ``THEORY.md`` T2.
    """
    chosen = normalisable(model)

    def remade(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in chosen:
            config["activation"] = "linear"
        return type(layer).from_config(config)

    def called(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        x = layer(*args, **kwargs)
        if layer.name in chosen:
            x = layers.BatchNormalization(momentum=0.95, name=layer.name + _SUFFIX)(x)
            x = layers.Activation(chosen[layer.name], name=layer.name + "_activation")(x)
        return x

    copy = keras.models.clone_model(model, clone_function=remade, call_function=called)
    for layer in _with_weights(model):
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def fold(copy: keras.Model, model: keras.Model) -> None:
    """Give `model` the weights with which it answers as its normalised `copy` does.

    Where a convolution gives K * x + b and its normalisation scales each channel by γ / √(σ² + ε) about its running
    mean μ, the kernel Kγ / √(σ² + ε) and the bias (b - μ)γ / √(σ² + ε) + β give the same.

    Notes
    -----
    Jacob et al.: *Quantization and training of neural networks for efficient integer-arithmetic-only inference*, CVPR
    2018, 3.2. ``THEORY.md`` T2.
    """
    names = {layer.name for layer in copy.layers}
    for layer in _with_weights(model):
        weights = copy.get_layer(layer.name).get_weights()
        if layer.name + _SUFFIX in names:
            normalisation = copy.get_layer(layer.name + _SUFFIX)
            scale, shift, mean, variance = normalisation.get_weights()
            factor = scale / np.sqrt(variance + normalisation.epsilon)
            weights = [weights[0] * factor, (weights[1] - mean) * factor + shift]
        layer.set_weights(weights)


def _with_weights(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]
