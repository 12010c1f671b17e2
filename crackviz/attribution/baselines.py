"""Maps that know nothing of the network: what any explanation must beat."""

from __future__ import annotations

import zlib
from typing import Any

import keras
import numpy as np
from scipy import ndimage

from crackviz.attribution.gradients import prepare
from crackviz.attribution.network import Target, direction
from crackviz.attribution.registry import method

FACTS: dict[str, Any] = {"paper": "a baseline", "by_class": False, "cost": (0, 0)}


def _grey(model: keras.Model, images: np.ndarray, target: Target, layer: object) -> np.ndarray:
    images = prepare(model, images, layer)
    direction(model, target)  # refused where there is no such class, as by every method
    return images.mean(axis=-1)


@method("baseline", "random", **FACTS)
def random(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    seed: int = 0,
) -> np.ndarray:
    """Draw a map: uniform in [0, 1), each pixel alone. What a map must beat to say anything at all.

    Neither the network nor `target` enters. `seed` and the image fix the draw, whatever the batch. Arguments, result
    and errors are otherwise those of :func:`gradient`.
    """
    images = prepare(model, images, layer)
    direction(model, target)
    draws = [np.random.default_rng((seed, zlib.crc32(image.tobytes()))) for image in images]
    return np.stack([rng.random(images.shape[1:3], np.float32) for rng in draws])


@method("baseline", "darkness", **FACTS)
def darkness(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: None = None, upsample: bool = True
) -> np.ndarray:
    """Return 1 less the mean of red, green and blue: cracks are dark. In [0, 1].

    Neither the network nor `target` enters. Arguments, result and errors are otherwise those of :func:`gradient`.
    """
    return 1 - _grey(model, images, target, layer)


@method("baseline", "local darkness", signed=True, **FACTS)
def local_darkness(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    sigma: float = 8.0,
) -> np.ndarray:
    """Return by how much a pixel is darker than its surroundings: cracks are dark lines, shadows dark areas.

    Neither the network nor `target` enters. Signed, in [-1, 1]. `sigma` is that of the Gaussian mean of the
    surroundings, in px. Arguments, result and errors are otherwise those of :func:`gradient`.
    """
    grey = _grey(model, images, target, layer)
    return ndimage.gaussian_filter(grey, (0, sigma, sigma), mode="nearest") - grey


@method("baseline", "edges", **FACTS)
def edges(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    sigma: float = 1.0,
) -> np.ndarray:
    """Return the slope of the brightness, smoothed by a Gaussian of `sigma` px: cracks have edges. From 0 up.

    Neither the network nor `target` enters. Arguments, result and errors are otherwise those of :func:`gradient`.
    """
    grey = _grey(model, images, target, layer)
    slopes = [ndimage.gaussian_filter(grey, (0, sigma, sigma), (0, *o), mode="nearest") for o in ((1, 0), (0, 1))]
    return np.hypot(*slopes)
