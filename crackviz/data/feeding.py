"""Batches for training, and their augmentation."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES
from crackviz.data.images import parallel, read_image
from crackviz.data.splits import Table, generator


def pipeline(table: Table, size: int, *, batch_size: int = 32, seed: int | None = None, epoch: int = 0) -> Any:
    """Feed a training or an evaluation: a `keras.utils.PyDataset` of (images, labels).

    Every picture is decoded once, at the call, in parallel, and kept as uint8: METU's 40,000 at 227 pixels
    take 6.2 GB (24.7 GB as float32, hence the conversion batch by batch). The order of an epoch depends on
    (seed, epoch) alone, so that a resumed training sees exactly what it would have seen.

    Parameters
    ----------
    table : DataFrame
        Columns path and label; ``attrs["class_names"]`` tells two classes from more.
    size : int
        Side of the pictures, see `read_image`.
    batch_size : int
        The last batch may be smaller.
    seed : int, optional
        None: in the table's order, in every epoch.
    epoch : int
        Whose order it has at first. A training that shuffles calls ``begin(epoch)`` before each epoch, as
        `crackviz.training.EpochSeeds` does, and `fit` with ``shuffle=False``: Keras would deal the batches anew.

    Returns
    -------
    keras.utils.PyDataset
        The batches of one epoch, again at each iteration. Images float32 (B, size, size, 3) in [0, 1]; labels
        float32 (B, 1), or int32 (B,) for three or more classes. At the end of a ``with`` it lets go of its
        pictures; Keras never lets go of a dataset that it was given.

    Raises
    ------
    CrackvizError
        An empty table, a picture that can't be read (`scan` drops these), or more than the machine's memory.
    """
    import keras

    if table.empty or batch_size < 1 or epoch < 0 or (seed or 0) < 0:
        raise CrackvizError(
            f"Nothing to feed: {len(table)} pictures, {batch_size=}, {seed=}, {epoch=}; expected pictures, batch_size "
            "of 1 or more, seed and epoch of 0 or more."
        )
    paths, n = table["path"].tolist(), len(table)
    _check_memory(n * size * size * 3)
    images = np.empty((n, size, size, 3), np.uint8)
    parallel(lambda i: np.copyto(images[i], read_image(paths[i], size)), range(n), "Reading")
    labels = table["label"].to_numpy(np.int32)
    binary = len(table.attrs.get("class_names", CLASS_NAMES)) == 2
    labels = labels.astype(np.float32)[:, None] if binary else labels

    class Batches(keras.utils.PyDataset):  # here, since a subclass needs Keras, and reading pictures doesn't
        def __init__(self, images: npt.NDArray[np.uint8]) -> None:
            super().__init__()
            self.images = images
            self.begin(epoch)

        def begin(self, epoch: int) -> None:
            self.order = np.arange(n) if seed is None else generator(seed, epoch).permutation(n)

        def __len__(self) -> int:
            return math.ceil(n / batch_size)

        def __getitem__(self, number: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
            rows = self.order[number * batch_size : (number + 1) * batch_size]
            return self.images[rows].astype(np.float32) / np.float32(255), labels[rows]

        def __enter__(self) -> Batches:
            return self

        def __exit__(self, *_: object) -> None:
            del self.images

    return Batches(images)


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
