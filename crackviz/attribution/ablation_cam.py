"""Class activation maps without a gradient: switch a channel off, and see what it was worth."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.cams import Layers, over_cells, weigh
from crackviz.attribution.gradients import lots
from crackviz.attribution.network import (
    VECTOR,
    Network,
    Target,
    channels_of,
    check_images,
    compiled,
    direction,
    in_chunks,
    layer_names,
)
from crackviz.attribution.pictures import enlarge
from crackviz.attribution.registry import Passes, method


def _one_a_channel(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return 1 + channels_of(model, options["layer"]), 0


@method("cam", "Ablation-CAM", "Desai, Ramaswamy 2020", signed=True, complete=True, cost=_one_a_channel)
def ablation_cam(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: Layers = None, upsample: bool = True
) -> np.ndarray:
    r"""Weigh each channel by how much the logit falls when that channel is switched off, per unit of its activation.

    .. math:: L_{ij} = \sum_c \alpha_c A_{ijc}, \qquad \alpha_c = \frac{z - z_{A_c = 0}}{\sum_{ij} A_{ijc}},

    so the map sums to all the falls together, :math:`\sum_c (z - z_{A_c = 0})`. No gradient: it asks for large steps
    what Grad-CAM asks for small ones. The first pass begins at the image, one more for each channel behind the layer.
    Arguments, result and errors are otherwise those of :func:`grad_cam`, for one layer.

    Notes
    -----
    Desai, Ramaswamy: *Ablation-CAM*, WACV 2020. Departures: the negative part stays, and the logit's fall is divided by
    the channel's sum of activations, which the paper derives as the slope but then replaces by the logit, since its
    figure is rescaled anyway; here the map is in logits per cell. A channel that sums to zero has the weight 0.
    ``THEORY.md`` T7.
    """
    images, along = check_images(model, images), direction(model, target)
    names = layer_names(model, layer)
    if len(names) > 1:
        raise CrackvizError(f"ablation_cam takes one layer, got {len(names)}: {', '.join(names)}.")
    whole, falls = compiled(model, _build_whole, names), compiled(model, _build_falls, names)

    def explain(some: np.ndarray) -> tf.Tensor:
        x = tf.constant(some)
        A, features = whole(x)
        by = tf.concat([falls(x, A, features, along, channels) for channels in lots(A.shape[-1], len(some))], axis=1)
        maps = weigh(A, tf.math.divide_no_nan(by[:, tf.newaxis, tf.newaxis], over_cells(A)))
        return enlarge(maps, x) if upsample else maps

    return in_chunks(explain, images)


def _build_whole(network: Network) -> Any:
    @tf.function(input_signature=[network.signature])
    def whole(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        maps, _, features = network.network(images, training=False)
        return tf.cast(maps[0], tf.float32), tf.cast(features, tf.float32)

    return whole


def _build_falls(network: Network) -> Any:
    cut, end = network.network.outputs[0], network.network.outputs[-1]
    # The image goes in as well, for paths that lead round the layer.
    behind = keras.Model([cut, network.network.inputs[0]], end)
    specs = [tf.TensorSpec((None, *one.shape[1:]), tf.float32) for one in (cut, end)]

    @tf.function(input_signature=[network.signature, *specs, VECTOR, tf.TensorSpec((None,), tf.int32)])
    def falls(images: tf.Tensor, A: tf.Tensor, before: tf.Tensor, along: tf.Tensor, channels: tf.Tensor) -> tf.Tensor:
        """Return by how much the target's logit falls (n, s), each of s channels switched off in each of n images."""
        count = tf.shape(channels)[0]
        kept = 1.0 - tf.one_hot(channels, cut.shape[-1])
        variants = A[:, tf.newaxis] * kept[:, tf.newaxis, tf.newaxis]
        variants = tf.reshape(variants, tf.concat([[-1], tf.shape(A)[1:]], axis=0))
        variants = tf.cast(tf.ensure_shape(variants, cut.shape), cut.dtype)
        after = tf.cast(behind([variants, tf.repeat(images, count, axis=0)], training=False), tf.float32)
        # Subtracted before the logits: whatever they have in common, a large bias above all, costs no digits.
        lost = tf.repeat(before, count, axis=0) - after
        weights = tf.tensordot(tf.cast(network.dense.kernel, tf.float32), along, 1)
        return tf.reshape(tf.tensordot(lost, weights, 1), (-1, count))

    return falls
