"""Batch normalisation that helps a network to learn, and is part of its kernels afterwards."""

from __future__ import annotations

from collections import Counter
from typing import Any

import keras
import numpy as np
from keras import layers

from crackviz import CrackvizError, models


def check_normalisable(model: keras.Model) -> None:
    """Raise a CrackvizError unless a network can be normalised: it has such layers, and hasn't learnt anything yet."""
    normalisable(model)
    if learnt := models.metadata(model).trained_on:
        raise CrackvizError(
            f"The recipe says normalise, but {model.name!r} has learnt already ({learnt}), and normalisation begins "
            "with maps of mean 0 and deviation 1. Build the network anew, or train it with normalise=False."
        )


def normalisable(model: keras.Model) -> dict[str, Any]:
    """Return the names of the layers that :func:`normalised` normalises, with their activations.

    Raises
    ------
    CrackvizError
        Where the network has no such layer.
    """
    whole = _graph(model)
    calls = Counter(node.operation.name for nodes in whole._nodes_by_depth.values() for node in nodes)
    chosen = {
        layer.name: layer.activation
        for layer in whole.layers
        if type(layer) is layers.Conv2D
        and layer.trainable
        and layer.use_bias
        and layer.data_format == "channels_last"
        and layer.kernel_constraint is None
        and layer.bias_constraint is None
        and layer.activation is not keras.activations.linear
        and calls[layer.name] == 1
    }
    if not chosen:
        raise CrackvizError(
            f"The recipe says normalise, but {model.name!r} has no Conv2D that learns, with a bias and an activation "
            'of its own, as Conv2D(16, 3, activation="relu"). Train it with normalise=False.'
        )
    return chosen


def normalised(model: keras.Model) -> tuple[keras.Model, dict[str, str]]:
    """Copy a network with batch normalisation between each convolution and its activation.

    Parameters
    ----------
    model : keras.Model
        Its ``Conv2D`` layers with a bias and an activation of their own are normalised, but for frozen ones, those with
        a constraint, those that a network within it holds, and those that are called more than once.

    Returns
    -------
    copy : keras.Model
        With the weights of `model`, of the same inputs and outputs. :func:`fold` brings back what it has learnt.
    pairs : dict
        The names of the normalised layers, each with that of its normalisation.

    Raises
    ------
    CrackvizError
        Where the network has no such layer.

    Notes
    -----
    Ioffe, Szegedy: *Batch normalization*, ICML 2015. ``THEORY.md`` T2.
    """
    chosen = normalisable(model)
    taken = {layer.name for layer in model.layers}
    end = "_normalised"
    while any(name.endswith(end) or name.endswith(f"{end}_activation") for name in taken):
        end += "_"

    def remade(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in chosen:
            config["activation"] = "linear"
        return type(layer).from_config(config)

    def called(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        x = layer(*args, **kwargs)
        if layer.name in chosen:
            x = layers.BatchNormalization(name=layer.name + end)(x)
            x = layers.Activation(chosen[layer.name], name=f"{layer.name}{end}_activation")(x)
        return x

    copy = keras.models.clone_model(_graph(model), clone_function=remade, call_function=called)
    for layer in _with_weights(model):
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy, {name: name + end for name in chosen}


def measure(copy: keras.Model, batches: Any, pairs: dict[str, str]) -> None:
    """Measure mean and variance of each normalised map anew, over batches of (pictures, labels), weights as they are.

    In training the running means follow the weights of single steps. What is validated and kept are averaged weights,
    whose maps are others.

    Notes
    -----
    Izmailov et al.: *Averaging weights leads to wider optima and better generalization*, UAI 2018, 3.2.
    """
    normalisations = [copy.get_layer(name) for name in pairs.values()]
    usual = [layer.momentum for layer in normalisations]
    try:
        for number, (images, _) in enumerate(batches):
            for layer in normalisations:
                layer.momentum = number / (number + 1)  # so that all batches count alike
            copy(images, training=True)
    finally:
        for layer, momentum in zip(normalisations, usual, strict=True):
            layer.momentum = momentum


def fold(copy: keras.Model, model: keras.Model, pairs: dict[str, str]) -> None:
    """Give `model` the weights with which it answers as its normalised `copy` does.

    Where a convolution gives K * x + b and its normalisation scales each map by γ / √(σ² + ε) about its mean μ, the
    kernel Kγ / √(σ² + ε) and the bias (b - μ)γ / √(σ² + ε) + β give the same.

    Notes
    -----
    Jacob et al.: *Quantization and training of neural networks for efficient integer-arithmetic-only inference*, CVPR
    2018, 3.2. ``THEORY.md`` T2.
    """
    for layer in _with_weights(model):
        weights = copy.get_layer(layer.name).get_weights()
        if layer.name in pairs:
            normalisation = copy.get_layer(pairs[layer.name])
            scale, shift, mean, variance = normalisation.get_weights()
            factor = scale / np.sqrt(variance + normalisation.epsilon)
            weights = [weights[0] * factor, (weights[1] - mean) * factor + shift]
        layer.set_weights(weights)


def _with_weights(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.weights]


def _graph(model: keras.Model) -> keras.Model:
    return keras.Model(model.inputs[0], model.outputs[0]) if isinstance(model, keras.Sequential) else model
