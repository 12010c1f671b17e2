"""Activation maps, and one patch followed through the layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.network import (
    VECTOR,
    Layer,
    Network,
    Target,
    check_images,
    chunks,
    compiled,
    direction,
    layer_names,
    map_layers,
)
from crackviz.contracts import check_choice
from crackviz.data.images import MAX_ARRAY_BYTES


class Activations(NamedTuple):
    """The maps of one layer for some images, channels in the order of their contribution."""

    layer: str
    maps: np.ndarray
    """float32 (N, h, w, C): ``maps[n, :, :, k]`` is channel ``channels[n, k]`` of the layer, as it is."""
    channels: np.ndarray
    """int (N, C)."""
    contributions: np.ndarray
    """float32 (N, C), in logits of the target, in the same order."""


def activation_maps(
    model: keras.Model,
    images: np.ndarray,
    layer: Layer | None = None,
    *,
    target: Target = "crack",
    order: str | None = "image",
) -> Activations:
    r"""Return the maps of a layer, the channels that move the logit most first.

    The contribution of channel c is :math:`\sum_{ij} A_{ijc}\, \partial z / \partial A_{ijc}`. At the layer that feeds
    the global average this is :math:`w_c \bar A_c`, and the contributions add up to the logit less the bias; at earlier
    layers it is how much the logit would fall, to first order, if the channel were silenced.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
    layer : str or int, optional
        By default the last whose map has more than one cell.
    target : str or int
        Whose logit.
    order : "image", "shared" or None
        "image": each image's channels by the absolute value of their contribution, largest first; "shared": one order
        for all, by the mean absolute value; None: as the layer has them.

    Raises
    ------
    CrackvizError
        Where the images break the contract, there is no such layer or target, or the maps would take more than 2 GiB.
        ``THEORY.md`` T5.
    """
    return _activations(model, images, layer_names(model, layer)[:1], target, order)[0]


def follow(
    model: keras.Model, image: np.ndarray, layers: Sequence[Layer] | None = None, *, target: Target = "crack"
) -> dict[str, Activations]:
    """Follow one image, float32 (1, H, W, 3) in [0, 1], through `layers`; by default all that give maps.

    By layer, in the order of the network, as :func:`activation_maps` gives each, from one pass. Its errors, and one
    where there isn't exactly one image. ``THEORY.md`` T5.
    """
    if np.ndim(image) != 4 or len(image) != 1:
        raise CrackvizError(f"One image is followed; got shape {np.shape(image)}, expected (1, H, W, 3).")
    named = set(map_layers(model)) if layers is None else set(layer_names(model, layers))
    names = tuple(name for name in map_layers(model) if name in named)
    return {found.layer: found for found in _activations(model, image, names, target, "image")}


def _activations(
    model: keras.Model, images: np.ndarray, names: tuple[str, ...], target: Target, order: str | None
) -> list[Activations]:
    check_choice("order", order, ("image", "shared", None))
    images, along = check_images(model, images), direction(model, target)
    explain = compiled(model, _build_activations, names)
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in names]
    held = 0
    for some in chunks(images):
        for kept, (A, c) in zip(parts, explain(images[some], along), strict=True):
            kept.append((A.numpy(), c.numpy()))
            held += kept[-1][0].nbytes
        need = held / some.stop * len(images) if some.stop < len(images) else held
        if 2 * need > MAX_ARRAY_BYTES:  # the ordered maps are a second copy
            raise CrackvizError(
                f"The maps of {', '.join(names)} for {len(images):,} images take {need / 2**30:.1f} GiB, more than "
                f"{MAX_ARRAY_BYTES / 2**31:g}. Give fewer images, or take features.top_patches."
            )
    found = []
    for name, kept in zip(names, parts, strict=True):
        A, c = (np.concatenate(values) for values in zip(*kept, strict=True))
        weight = -np.abs(c)
        if order == "shared":
            weight = np.broadcast_to(weight.mean(axis=0), c.shape)
        channels = np.argsort(weight, axis=1, kind="stable") if order else np.tile(np.arange(c.shape[1]), (len(c), 1))
        maps = np.take_along_axis(A, channels[:, None, None], axis=3)
        found.append(Activations(name, maps, channels, np.take_along_axis(c, channels, axis=1)))
    return found


def _build_activations(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, VECTOR])
    def explain(images: tf.Tensor, along: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        return [(A, tf.reduce_sum(A * G, (1, 2))) for A, G in network.evidence(images, along)]

    return explain
