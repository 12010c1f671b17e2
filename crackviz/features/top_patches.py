"""The patches of a data set that a channel answers most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from crackviz import CrackvizError, data, models
from crackviz.attribution.network import (
    Layer,
    Network,
    check_images,
    chunks,
    compiled,
    layer_names,
    map_layers,
)
from crackviz.attribution.receptive_fields import field_box
from crackviz.contracts import check_number
from crackviz.progress import progress

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
    check_number("count", count, 1, whole=True)
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
    starts = progress(
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
    """Cut the boxes of :func:`top_patches` out of their pictures, as float32 (K, height, width, 3).

    Parameters
    ----------
    images : float32 (K, H, W, 3)
        One picture for each row of `boxes`.
    boxes : pandas.DataFrame
        K rows with ``top``, ``left``, ``bottom``, ``right`` in px, all of one size.
    fill : float
        The grey that stands for what lies beyond the picture, where the network saw padding.

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
