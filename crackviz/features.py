"""What the layers of a network respond to (``THEORY.md`` T4, T5).

Four ways to ask one question. Read the weights (:func:`kernels`), where they are still colours; follow a picture
through the layers (:func:`activation_maps`, :func:`follow`); synthesise what a filter or the class wants
(:func:`maximise`, :func:`maximise_logit`); look up what a data set has of it (:func:`top_patches`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from crackviz import CrackvizError, data, models
from crackviz._fields import field_box
from crackviz._graph import (
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
    walk,
)
from crackviz._synthesis import Pictures, maximise, maximise_logit

__all__ = [
    "Activations",
    "Pictures",
    "activation_maps",
    "crops",
    "field_box",
    "follow",
    "kernel_images",
    "kernels",
    "maximise",
    "maximise_logit",
    "top_patches",
]


# --- kernels ------------------------------------------------------------------------------------------------------


def kernels(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """Return the weights of the convolution that reads the colours.

    Parameters
    ----------
    model : keras.Model
    layer : str, optional
        By default the first convolution with three input channels whose kernels are larger than one pixel.

    Returns
    -------
    numpy.ndarray
        float32 (filters, height, width, 3): signed, in activation per unit of red, green, blue.

    Raises
    ------
    CrackvizError
        Where there is no such layer, it is no convolution, or reads something else than three colours: the weights of
        a deeper layer are no picture.

    Notes
    -----
    ``THEORY.md`` T4.
    """
    steps = walk(model)
    found = {name: step.layer for name, step in steps.items() if isinstance(step.layer, keras.layers.Conv2D)}
    if layer is None:
        colours = [name for name, one in found.items() if one.kernel.shape[2] == 3]
        colours.sort(key=lambda name: found[name].kernel.shape[0] == 1)  # stable: those that have a pattern come first
        if not colours:
            raise CrackvizError(
                f"No convolution of {model.name!r} reads three colours; its convolutions: {', '.join(found) or 'none'}."
            )
        layer = colours[0]
    if layer not in found:
        raise CrackvizError(f"{layer!r} is no convolution of the model; choose one of {', '.join(found) or 'none'}.")
    weights = np.asarray(found[layer].kernel, np.float32)
    if weights.shape[2] != 3:
        raise CrackvizError(
            f"Layer {layer!r} reads {weights.shape[2]} channels, no colours, so its weights are no picture. "
            f"Ask what it responds to: features.maximise(model, layer={layer!r})."
        )
    return weights.transpose(3, 0, 1, 2)


def kernel_images(weights: np.ndarray, scale: str = "shared") -> tuple[np.ndarray, np.ndarray]:
    r"""Turn signed weights into colours: :math:`\frac12 + w / (2 m)`, so that mid-grey is 0.

    Parameters
    ----------
    weights : float (F, h, w, 3)
        As :func:`kernels` returns them.
    scale : "shared" or "filter"
        What m is: the largest absolute weight of all filters, so that a weak filter looks pale; or of each its own.

    Returns
    -------
    images : float32 (F, h, w, 3), in [0, 1]
        Nothing is stretched or cut: weight 0 is 0.5 in every colour. A filter of zeros is grey.
    limits : float32 (F,)
        m: the weight that stands at 1, and, negative, at 0.

    Raises
    ------
    CrackvizError
        Where the shape or the scale is another.

    Notes
    -----
    ``THEORY.md`` T4.
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or weights.shape[-1] != 3:
        raise CrackvizError(f"Weights have shape {weights.shape}; expected (filters, height, width, 3).")
    if scale not in ("shared", "filter"):
        raise CrackvizError(f"scale is {scale!r}; expected 'shared' or 'filter'.")
    limits = np.abs(weights).max(axis=(1, 2, 3))
    if scale == "shared":
        limits = np.full_like(limits, limits.max())
    divisor = np.where(limits > 0, limits, 1)[:, None, None, None]
    return (0.5 + weights / (2 * divisor)).astype(np.float32), limits


# --- activation maps ----------------------------------------------------------------------------------------------


class Activations(NamedTuple):
    """The maps of one layer for some images, channels in the order of their contribution.

    Attributes
    ----------
    layer : str
    maps : float32 (N, h, w, C)
        ``maps[n, :, :, k]`` is channel ``channels[n, k]`` of the layer, as it is.
    channels : int (N, C)
    contributions : float32 (N, C)
        In logits of the target, in the same order.
    """

    layer: str
    maps: np.ndarray
    channels: np.ndarray
    contributions: np.ndarray


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

    Returns
    -------
    Activations

    Raises
    ------
    CrackvizError
        Where the images break the contract, there is no such layer or target, or the maps would take more than 2 GiB.

    Notes
    -----
    ``THEORY.md`` T5.
    """
    return _activations(model, images, layer_names(model, layer)[:1], target, order)[0]


def follow(
    model: keras.Model, image: np.ndarray, layers: Sequence[Layer] | None = None, *, target: Target = "crack"
) -> dict[str, Activations]:
    """Follow one image through the layers.

    Parameters
    ----------
    model : keras.Model
    image : float32 (1, H, W, 3), in [0, 1]
    layers : sequence of str or int, optional
        By default all that give maps.
    target : str or int

    Returns
    -------
    dict of str to Activations
        By layer, in the order of the network, as :func:`activation_maps` gives each, from one pass.

    Raises
    ------
    CrackvizError
        As :func:`activation_maps`, and where there isn't exactly one image.

    Notes
    -----
    ``THEORY.md`` T5.
    """
    if np.ndim(image) != 4 or len(image) != 1:
        raise CrackvizError(f"One image is followed; got shape {np.shape(image)}, expected (1, H, W, 3).")
    named = set(map_layers(model)) if layers is None else set(layer_names(model, layers))
    names = tuple(name for name in map_layers(model) if name in named)
    return {found.layer: found for found in _activations(model, image, names, target, "image")}


def _activations(
    model: keras.Model, images: np.ndarray, names: tuple[str, ...], target: Target, order: str | None
) -> list[Activations]:
    if order not in ("image", "shared", None):
        raise CrackvizError(f"order is {order!r}; expected 'image', 'shared' or None.")
    images, along = check_images(model, images), direction(model, target)
    explain = compiled(model, _build_activations, names)
    parts: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in names]
    held = 0
    for some in chunks(images):
        for kept, (A, c) in zip(parts, explain(images[some], along), strict=True):
            kept.append((A.numpy(), c.numpy()))
            held += kept[-1][0].nbytes
        need = held / some.stop * len(images) if some.stop < len(images) else held
        if 2 * need > data.MAX_ARRAY_BYTES:  # the ordered maps are a second copy
            raise CrackvizError(
                f"The maps of {', '.join(names)} for {len(images):,} images take {need / 2**30:.1f} GiB, more than "
                f"{data.MAX_ARRAY_BYTES / 2**31:g}. Give fewer images, or take features.top_patches."
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


# --- what a data set has of it ------------------------------------------------------------------------------------

Source = pd.DataFrame | Sequence[str | Path] | np.ndarray


def top_patches(
    model: keras.Model,
    source: Source,
    layer: Layer | None = None,
    *,
    channels: int | Sequence[int] | None = None,
    count: int = 9,
    image_size: int | None = None,
) -> pd.DataFrame:
    """Find the places of a data set to which a layer's channels respond most.

    Each picture enters once for each channel, by its strongest cell: else one picture would fill the list. The pictures
    are read and passed through the network some at a time; no map is kept.

    Parameters
    ----------
    model : keras.Model
    source : float32 (N, H, W, 3) in [0, 1], a table with the column ``path``, or paths
    layer : str or int, optional
        By default the last whose map has more than one cell.
    channels : int or sequence of int, optional
        By default all.
    count : int
        Patches for each channel; fewer where there are fewer pictures.
    image_size : int, optional
        To which paths are read, where the model takes any size.

    Returns
    -------
    pandas.DataFrame
        ``channel``; ``rank`` from 0; ``index``, the position in `source`; ``value``, the activation; ``row`` and
        ``column`` of the cell; ``top``, ``left``, ``bottom``, ``right``, the box that the cell sees, in input px,
        half-open, which may reach beyond the picture into the padding. Channel by channel, strongest first; of equal
        ones, the first in `source`.

    Raises
    ------
    CrackvizError
        Where there is no picture, no such layer or channel, or a picture breaks the contract or can't be read.

    Notes
    -----
    Zeiler, Fergus: *Visualizing and understanding convolutional networks*, ECCV 2014. ``THEORY.md`` T4.
    """
    name = layer_names(model, layer)[0]
    total = int(map_layers(model)[name].shape[-1])
    wanted = list(range(total)) if channels is None else [int(c) for c in np.atleast_1d(np.asarray(channels))]
    if not wanted or len(set(wanted)) < len(wanted) or not all(0 <= c < total for c in wanted):
        raise CrackvizError(
            f"channels is {channels!r}; expected numbers from 0 to {total - 1}, the channels of {name!r}, each once."
        )
    if count < 1:
        raise CrackvizError(f"count is {count}; expected at least 1 patch for each channel.")
    find = compiled(model, _build_strongest, (name,))
    index = np.empty((len(wanted), 0), int)
    cell, value = index, index.astype(np.float32)
    width, size = 0, (0, 0)
    for start, images in _batches(model, source, image_size):
        images = check_images(model, images)
        best, where, width = (found.numpy() for found in find(images))
        size = images.shape[1:3]
        value = np.concatenate([value, best.T[wanted]], axis=1)
        cell = np.concatenate([cell, where.T[wanted]], axis=1)
        new = np.broadcast_to(np.arange(start, start + len(images)), (len(wanted), len(images)))
        index = np.concatenate([index, new], axis=1)
        keep = np.argsort(-value, axis=1, kind="stable")[:, :count]
        value, cell, index = (np.take_along_axis(kept, keep, axis=1) for kept in (value, cell, index))
    rows, columns = np.divmod(cell, max(int(width), 1))
    found = []
    for c, channel in enumerate(wanted):
        for rank in range(index.shape[1]):
            place = int(rows[c, rank]), int(columns[c, rank])
            box = field_box(model, name, place, size, clip=False)
            found.append((channel, rank, index[c, rank], value[c, rank], *place, *box))
    return pd.DataFrame(
        found,
        columns=["channel", "rank", "index", "value", "row", "column", "top", "left", "bottom", "right"],
    )


def _batches(model: keras.Model, source: Source, image_size: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """Cut the pictures into those that go through the network at once; paths are read as they are needed."""
    if isinstance(source, pd.DataFrame):
        if "path" not in source.columns:
            raise CrackvizError(f"The table has the columns {', '.join(map(str, source.columns))}; expected path.")
        source = source["path"].tolist()
    if len(source) == 0:
        raise CrackvizError("There is no picture to look at; expected at least one.")
    if isinstance(source, np.ndarray) and source.dtype.kind not in "USO":
        for some in chunks(source):
            yield some.start, source[some]
        return
    size = models.image_size(model) or image_size
    if size is None:
        raise CrackvizError("The model takes any size: say to which size the pictures are read, by image_size.")
    step = 128  # read by many threads; cut small again by chunks()
    starts = data.progress(
        range(0, len(source), step), "Looking", -(-len(source) // step), unit="batch", hidden=len(source) <= 500
    )
    for start in starts:
        images = data.load_images(list(source[start : start + step]), size)
        for some in chunks(images):
            yield start + some.start, images[some]


def _build_strongest(network: Network) -> Any:
    @tf.function(input_signature=[network.signature])
    def strongest(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps = network.activations(images)[0]
        shape = tf.shape(maps)
        cells = tf.reshape(maps, (shape[0], -1, shape[3]))
        return tf.reduce_max(cells, axis=1), tf.argmax(cells, axis=1), shape[2]

    return strongest


def crops(images: np.ndarray, boxes: pd.DataFrame, *, fill: float = 0.5) -> np.ndarray:
    """Cut the boxes of :func:`top_patches` out of their pictures.

    Parameters
    ----------
    images : float32 (K, H, W, 3)
        One picture for each row of `boxes`.
    boxes : pandas.DataFrame
        K rows with ``top``, ``left``, ``bottom``, ``right`` in px, all of one size.
    fill : float
        The grey that stands for what lies beyond the picture, where the network saw padding.

    Returns
    -------
    numpy.ndarray
        float32 (K, height, width, 3).

    Raises
    ------
    CrackvizError
        Where there isn't one picture for each box, or the boxes differ in size.
    """
    edges = boxes[["top", "left", "bottom", "right"]].to_numpy(int)
    sizes = np.unique(edges[:, 2:] - edges[:, :2], axis=0)
    if len(images) != len(edges) or len(sizes) != 1:
        raise CrackvizError(
            f"{len(images)} pictures for {len(edges)} boxes of {len(sizes)} sizes; expected one each, of one size."
        )
    height, width = images.shape[1:3]
    cut = np.full((len(edges), *sizes[0], 3), fill, np.float32)
    for one, image, (top, left, bottom, right) in zip(cut, images, edges, strict=True):
        inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        row, column = max(-top, 0), max(-left, 0)
        one[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return cut
