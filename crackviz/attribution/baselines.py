"""Maps that know nothing of the network: what any explanation must beat."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import numpy as np
from scipy import ndimage

from crackviz.attribution.gradients import pixel_method
from crackviz.contracts import check_number

FACTS: dict[str, Any] = {"paper": "a baseline", "kind": "baseline", "by_class": False, "cost": (0, 0)}


@pixel_method("random", **FACTS)
def random(model: keras.Model, images: np.ndarray, along: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Draw a map: uniform in [0, 1), each pixel alone. What a map must beat to say anything at all.

    Neither the network nor `target` enters. `seed` and the image fix the draw, whatever the batch. Arguments, result
    and errors are otherwise those of :func:`gradient`.
    """
    check_number("seed", seed, 0, whole=True)
    draws = [np.random.default_rng((seed, zlib.crc32(image.tobytes()))) for image in images]
    return np.stack([rng.random(images.shape[1:3], np.float32) for rng in draws])


@pixel_method("darkness", **FACTS)
def darkness(model: keras.Model, images: np.ndarray, along: np.ndarray) -> np.ndarray:
    """Return 1 less the mean of red, green and blue: cracks are dark. In [0, 1].

    Arguments, result and errors are otherwise those of :func:`random`.
    """
    return 1 - images.mean(axis=-1)


@pixel_method("local darkness", signed=True, **FACTS)
def local_darkness(model: keras.Model, images: np.ndarray, along: np.ndarray, *, sigma: float = 8.0) -> np.ndarray:
    """Return by how much a pixel is darker than its surroundings: cracks are dark lines, shadows dark areas.

    Signed, in [-1, 1]. `sigma` is that of the Gaussian mean of the surroundings, in px. Arguments, result and errors
    are otherwise those of :func:`random`.
    """
    check_number("sigma", sigma, 0, 1000)
    grey = images.mean(axis=-1)
    return ndimage.gaussian_filter(grey, (0, sigma, sigma), mode="nearest") - grey


@pixel_method("edges", **FACTS)
def edges(model: keras.Model, images: np.ndarray, along: np.ndarray, *, sigma: float = 1.0) -> np.ndarray:
    """Return the slope of the brightness, smoothed by a Gaussian of `sigma` px: cracks have edges. From 0 up.

    Arguments, result and errors are otherwise those of :func:`random`.
    """
    check_number("sigma", sigma, 0, 1000)
    grey = images.mean(axis=-1)
    slopes = [ndimage.gaussian_filter(grey, (0, sigma, sigma), (0, *o), mode="nearest") for o in ((1, 0), (0, 1))]
    return np.hypot(*slopes)
