"""Batches for training, and their augmentation."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES, check_choice, check_flag, check_number
from crackviz.data.images import MAX_SIDE, parallel, read_image, read_mask
from crackviz.data.splits import Table, generator


def pipeline(
    table: Table, size: int, *, batch_size: int = 32, seed: int | None = None, epoch: int = 0, masks: bool = False
) -> Any:
    """Feed a training or an evaluation: a `keras.utils.PyDataset` of (images, labels).

    Every picture is decoded once, at the call, in parallel, and kept as uint8: METU's 40,000 at 227 pixels
    take 6.2 GB (24.7 GB as float32, hence the conversion batch by batch). The order of an epoch depends on
    (seed, epoch) alone, so that a resumed training sees exactly what it would have seen.

    Parameters
    ----------
    table : DataFrame
        Columns path and label; ``attrs["class_names"]`` tells two classes from more.
    size, batch_size : int
        Side of the pictures, see `read_image`; the last batch may be smaller.
    seed : int, optional
        None: in the table's order, in every epoch.
    epoch : int
        Whose order it has at first. A training that shuffles calls ``begin(epoch)`` before each epoch, as
        `crackviz.training.EpochSeeds` does, and `fit` with ``shuffle=False``: Keras would deal the batches anew.
    masks : bool
        Whether to feed masks as well: ((images, masks), labels), with masks float32 (B, size, size, 1): 1 on cracks, 0
        elsewhere, all -1 where a cracked picture has none. A sound picture's is empty.

    Returns
    -------
    keras.utils.PyDataset
        The batches of one epoch, again at each iteration. Images float32 (B, size, size, 3) in [0, 1]; labels
        float32 (B, 1), or int32 (B,) for three or more classes. At the end of a ``with`` it lets go of its
        pictures; Keras never lets go of a dataset that it was given.

    Raises
    ------
    CrackvizError
        A picture that can't be read (`scan` drops these), or more than the machine's memory.
    """
    import keras

    if "path" not in getattr(table, "columns", ()):
        raise CrackvizError(
            f"Pictures come as a table with the column path, as data.index returns it; found {type(table).__name__}."
        )
    if table.empty:
        raise CrackvizError("Nothing to feed: the table holds no pictures.")
    check_flag("masks", masks)
    check_number("size", size, 1, MAX_SIDE, whole=True)
    check_number("batch_size", batch_size, 1, whole=True)
    for name, value in (("seed", seed or 0), ("epoch", epoch)):
        check_number(name, value, 0, whole=True)
    paths, n = table["path"].tolist(), len(table)
    _check_memory(n * size * size * 3)
    images = np.empty((n, size, size, 3), np.uint8)
    parallel(lambda i: np.copyto(images[i], read_image(paths[i], size)), range(n), "Reading")
    labels = table["label"].to_numpy(np.int32)
    truth = _masks(table, size) if masks else None
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

        def __getitem__(self, number: int) -> tuple[Any, npt.NDArray[Any]]:
            rows = self.order[number * batch_size : (number + 1) * batch_size]
            images = self.images[rows].astype(np.float32) / np.float32(255)
            return images if truth is None else (images, truth[rows].astype(np.float32)[..., None]), labels[rows]

        def __enter__(self) -> Batches:
            return self

        def __exit__(self, *_: object) -> None:
            del self.images

    return Batches(images)


def _masks(table: Table, size: int) -> npt.NDArray[np.int8]:
    """Return the masks of a table's pictures, (N, size, size): 1, 0, or all -1 where nobody knows."""
    truth = np.zeros((len(table), size, size), np.int8)
    truth[table["label"].to_numpy() != 0] = -1
    there = np.flatnonzero(table["mask"] != "")
    paths = table["mask"].to_numpy()
    parallel(lambda i: np.copyto(truth[i], read_mask(paths[i], size)), there.tolist(), "Reading masks")
    return truth


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


AUGMENTATION = {
    "flip": 1.0,
    "rotation": 0.25,
    "contrast": 0.2,
    "brightness": 0.1,
    "zoom": 0.1,
    "grey": 0.0,
    "blur": 0.0,
    "noise": 0.0,
}
"""How strongly :func:`augmentation` varies pictures where nothing else is said."""


def augmentation(seed: int = 0, **strengths: float | tuple[float, float]) -> Any:
    """Make Keras layers that vary pictures in [0, 1] at random, in training only (``training=True``).

    Parameters
    ----------
    seed : int
        Fixes the sequence of variations; a fresh copy repeats it.
    **strengths
        Those named are taken in place of `AUGMENTATION`'s; 0 leaves the layer out.

        - flip (bool): left-right and upside down, as a crack has no upright position;
        - rotation: up to that share of a full turn, either way; what comes in at the border is reflected;
        - contrast, brightness: up to that share, either way; for contrast a pair (down, up), too;
        - zoom: up to that share, either way. A pair runs from the first, below 0, which magnifies, to the second, which
          shows more than the picture, reflected at its borders: (-0.2, 0.8) draws lengths from 1.25 to 0.56 of their
          own;
        - grey: up to that share of the colour is taken out, in [0, 1];
        - blur: share of the pictures that are blurred, by a Gaussian of at most 1 px, in [0, 1];
        - noise: standard deviation of the noise that is added to each pixel and channel.

    Returns
    -------
    keras.Sequential
        (B, H, W, 3) float32 in [0, 1] to the same; with noise, a little beyond.

    Raises
    ------
    CrackvizError
        Where there is no strength of that name, or it can't be that.
    """
    import keras
    from keras import layers

    check_number("seed", seed, 0, 2**31, whole=True)
    for name, value in strengths.items():
        check_choice("A strength of the augmentation", name, AUGMENTATION)
        if name == "flip" and value not in (False, True):  # half of the pictures are flipped, or none
            raise CrackvizError(f"flip is {value!r}; expected True or False.")
        pair = isinstance(value, tuple | list) and len(value) == 2 and name in ("contrast", "zoom")
        parts: list[Any] = list(value) if pair else [value]  # type: ignore[arg-type]
        for part in parts:
            check_number(name, float(part) if isinstance(part, bool) else part, -1 if pair and name == "zoom" else 0, 1)
    of: dict[str, Any] = {**AUGMENTATION, **strengths}
    within: dict[str, Any] = {"value_range": (0.0, 1.0)}
    zoom = tuple(sorted(of["zoom"])) if isinstance(of["zoom"], tuple | list) else of["zoom"]
    made = {
        "flip": lambda: layers.RandomFlip("horizontal_and_vertical", seed=seed),
        "rotation": lambda: layers.RandomRotation(of["rotation"], fill_mode="reflect", seed=seed + 1),
        "zoom": lambda: layers.RandomZoom(zoom, fill_mode="reflect", seed=seed + 2),
        "contrast": lambda: layers.RandomContrast(of["contrast"], **within, seed=seed + 3),
        "brightness": lambda: layers.RandomBrightness(of["brightness"], **within, seed=seed + 4),
        "grey": lambda: layers.RandomColorDegeneration(of["grey"], **within, seed=seed + 5),
        "blur": lambda: layers.RandomGaussianBlur((of["blur"],) * 2, 5, (0.3, 1.0), **within, seed=seed + 6),
        "noise": lambda: layers.GaussianNoise(of["noise"], seed=seed + 7),
    }
    chosen = [make() for name, make in made.items() if of[name]]
    return keras.Sequential(chosen or [layers.Identity()], name="augmentation")


def varied_alike(layer: Any, images: Any, masks: Any) -> tuple[Any, Any]:
    """Vary pictures (B, H, W, 3) by an :func:`augmentation`, and masks (B, H, W, 1) where it moves pixels.

    Keras' own layers that flip, turn, zoom, shift or shear, and those that change colours, are taken as well; a
    CrackvizError for any other, which doesn't tell whether it moves pixels.
    """
    import keras
    from keras import layers

    moves = "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomShear"
    colours = "RandomContrast", "RandomBrightness", "RandomColorDegeneration", "RandomGaussianBlur", "GaussianNoise"
    moving, known = (
        tuple(getattr(layers, name) for name in names) for names in (moves, (*moves, *colours, "Identity", "Rescaling"))
    )

    def parts_of(layer: Any) -> list[Any]:
        if isinstance(layer, keras.Sequential):
            return [part for each in layer.layers for part in parts_of(each)]
        return [layer]

    parts = parts_of(layer)
    for part in parts:
        if type(part) not in known:
            raise CrackvizError(
                f"Masks can't be varied with their pictures by {type(part).__name__}: it doesn't tell how it moves "
                "pixels. Take data.augmentation, or Keras' layers for flips, turns, zooms, shifts and colours."
            )
    both = layers.Concatenate()([images, masks])
    for part in (part for part in parts if isinstance(part, moving)):
        both = part(both)
    images, masks = both[..., :3], both[..., 3:]
    for part in (part for part in parts if not isinstance(part, moving)):
        images = part(images)
    return images, masks
