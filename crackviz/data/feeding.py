"""Batches for training, and their augmentation."""

from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES
from crackviz.data.images import _parallel, read_image
from crackviz.data.splits import Table, _rng

# --- feeding ----------------------------------------------------------------------------------------------


def pipeline(
    table: Table,
    size: int,
    *,
    batch_size: int = 32,
    seed: int | None = None,
    epochs: int = 1,
    first_epoch: int = 0,
) -> Any:
    """Feed a training or an evaluation: a `tf.data.Dataset` of (images, labels).

    Every picture is decoded once, at the call, in parallel, and kept as uint8: METU's 40,000 at 227 pixels
    take 6.2 GB (24.7 GB as float32, hence the conversion batch by batch). The order of epoch e depends on
    (seed, e) alone, so that a training resumed at first_epoch=k sees exactly what it would have seen.

    Parameters
    ----------
    table : DataFrame
        Columns path and label; ``attrs["class_names"]`` tells two classes from more.
    size : int
        Side of the pictures, see `read_image`.
    batch_size : int
        The last batch of an epoch may be smaller.
    seed : int, optional
        None: in the table's order, in every epoch.
    epochs, first_epoch : int
        One stream of the epochs first_epoch, ..., epochs - 1.

    Returns
    -------
    tf.data.Dataset
        Images float32 (B, size, size, 3) in [0, 1]; labels float32 (B, 1), or int32 (B,) for three or more
        classes.

    Raises
    ------
    CrackvizError
        An empty table, a picture that can't be read (`scan` drops these), or more than the machine's memory.
    """
    import tensorflow as tf

    if table.empty or not 0 <= first_epoch < epochs or batch_size < 1 or (seed or 0) < 0:
        raise CrackvizError(
            f"Nothing to feed: {len(table)} pictures, {batch_size=}, {seed=}, {first_epoch=}, {epochs=}; expected "
            "pictures, batch_size of 1 or more, seed of 0 or more, and first_epoch below epochs."
        )
    paths, n = table["path"].tolist(), len(table)
    _check_memory(n * size * size * 3)
    images = np.empty((n, size, size, 3), np.uint8)
    _parallel(lambda i: np.copyto(images[i], read_image(paths[i], size)), range(n), "Reading")
    labels = table["label"].to_numpy(np.int32)
    binary = len(table.attrs.get("class_names", CLASS_NAMES)) == 2
    labels = labels.astype(np.float32)[:, None] if binary else labels

    def order(epoch: Any) -> npt.NDArray[np.int64]:
        return np.arange(n) if seed is None else _rng(seed, int(epoch)).permutation(n)

    def batches(epoch: Any) -> Any:
        rows = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64), [n])
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    # Gathered in NumPy, as a tensor of the whole set would be a second copy of it. TensorFlow never lets go of a
    # Python function that it was given: hence the weak reference, and the dataset as the owner of the pictures.
    kept: Callable[[], Any] = weakref.ref(images)

    def gather(rows: Any) -> tuple[Any, Any]:
        taken = tf.numpy_function(lambda chosen: kept()[chosen], [rows], tf.uint8)
        x = tf.ensure_shape(taken, [None, size, size, 3])
        return tf.cast(x, tf.float32) / 255.0, tf.gather(labels, rows)

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(batches)
    stream = stream.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    stream = stream.apply(tf.data.experimental.assert_cardinality((epochs - first_epoch) * math.ceil(n / batch_size)))
    stream = stream.prefetch(2)
    stream.pictures = images
    return stream


def _check_memory(need: int) -> None:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    if need > 0.8 * there:
        raise CrackvizError(
            f"The pictures take {need / 2**30:.1f} GiB, this machine has {there / 2**30:.1f}. Use a smaller size, "
            "or fewer pictures (max_images)."
        )


def augmentation(
    seed: int = 0,
    *,
    flip: bool = True,
    rotation: float = 0.25,
    contrast: float | tuple[float, float] = 0.2,
    brightness: float = 0.1,
    zoom: float | tuple[float, float] = 0.1,
    grey: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
) -> Any:
    """Make Keras layers that vary pictures in [0, 1] at random, in training only (``training=True``).

    Parameters
    ----------
    seed : int
        Fixes the sequence of variations; a fresh copy repeats it.
    flip : bool
        Left-right and upside down: a crack has no upright position.
    rotation : float
        Up to that share of a full turn, either way; what comes in at the border is reflected.
    contrast, brightness : float
        Up to that share, either way; for `contrast` a pair (down, up), too. 0 leaves the layer out.
    zoom : float or (float, float)
        Up to that share, either way. A pair runs from the first, below 0, which magnifies, to the second, which shows
        more than the picture, reflected at its borders: (-0.2, 0.8) draws lengths from 1.25 to 0.56 of their own.
        0 leaves it out.
    grey : float
        Up to that share of the colour is taken out, in [0, 1]; 0 leaves it out.
    blur : float
        Share of the pictures that are blurred, by a Gaussian of at most 1 px, in [0, 1]; 0 leaves it out.
    noise : float
        Standard deviation of the noise that is added to each pixel and channel; 0 leaves it out.

    Returns
    -------
    keras.Sequential
        (B, H, W, 3) float32 in [0, 1] to the same; with `noise`, a little beyond.
    """
    import keras
    from keras import layers

    chosen = [
        layers.RandomFlip("horizontal_and_vertical", seed=seed) if flip else None,
        layers.RandomRotation(rotation, fill_mode="reflect", seed=seed + 1) if rotation else None,
        layers.RandomZoom(zoom, fill_mode="reflect", seed=seed + 2) if zoom else None,
        layers.RandomContrast(contrast, value_range=(0.0, 1.0), seed=seed + 3) if contrast else None,
        layers.RandomBrightness(brightness, value_range=(0.0, 1.0), seed=seed + 4) if brightness else None,
        layers.RandomColorDegeneration(grey, value_range=(0.0, 1.0), seed=seed + 5) if grey else None,
        layers.RandomGaussianBlur((blur, blur), 5, (0.3, 1.0), value_range=(0.0, 1.0), seed=seed + 6) if blur else None,
        layers.GaussianNoise(noise, seed=seed + 7) if noise else None,
    ]
    return keras.Sequential([layer for layer in chosen if layer] or [layers.Identity()], name="augmentation")
