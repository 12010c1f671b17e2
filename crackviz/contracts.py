"""What images, masks and maps must be; the names of the classes; what is known of a picture with a mask."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from crackviz import CrackvizError


class Truth(NamedTuple):
    """Masks, with what the scores need of them, computed once."""

    masks: np.ndarray
    """bool (N, H, W)"""
    distance: np.ndarray
    """float32 (N, H, W): of each pixel to the nearest crack pixel, in px; infinite without a crack."""
    lines: np.ndarray
    """bool (N, H, W): the cracks' centre lines."""
    counted: np.ndarray
    """bool (N,): whether there is a crack."""


Masks = np.ndarray | Truth


def as_masks(masks: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """Return `masks` as bool (N, H, W), and refuse to guess.

    Parameters
    ----------
    masks : bool (N, H, W), or numbers together with `threshold`
    threshold : float, optional
        A pixel is crack above it: 127 for anti-aliased greys up to 255.

    Raises
    ------
    CrackvizError
        Where the shape isn't (N, H, W), or masks are numbers and there is no threshold.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or not masks.size:
        advice = " Add the batch axis: masks[np.newaxis]." if masks.ndim == 2 else ""
        raise CrackvizError(f"Masks have shape {masks.shape}; expected (N, H, W), N > 0.{advice}")
    if masks.dtype == bool:
        return masks
    if threshold is not None:
        if np.isnan(threshold) or np.isnan(masks.astype(np.float64)).any():
            raise CrackvizError("Masks or their threshold hold NaN; expected numbers.")
        return masks > threshold
    values = np.unique(masks)
    found = ", ".join(f"{value:g}" for value in values[:4]) + (", …" if len(values) > 4 else "")
    advice = f"masks > {float(values[-1]) / 2:g}" if len(values) <= 2 else f"masks > {127 if values[-1] > 1 else 0.5}"
    kind = "" if len(values) <= 2 else " They are greys, as edges drawn softly are: say from which one on it is crack."
    raise CrackvizError(
        f"Masks are {masks.dtype} with {len(values)} values ({found}); expected bool.{kind} Give a threshold, such as "
        f"{advice}."
    )


def truth(masks: Masks, centrelines: np.ndarray | None = None) -> Truth:
    """Compute once what the scores need of masks.

    Parameters
    ----------
    masks : bool (N, H, W)
    centrelines : bool (N, H, W), optional
        Known middles of the cracks (:func:`crackviz.synthetic.details`); else the masks' skeletons.

    Raises
    ------
    CrackvizError
        Where they don't fit, or no mask shows a crack.
    """
    if isinstance(masks, Truth):
        return masks
    masks = as_masks(masks)
    counted = masks.any(axis=(1, 2))
    if not counted.any():
        raise CrackvizError(
            f"None of the {len(masks)} masks shows a crack, so nothing can be found or missed. Choose pictures with "
            "label 1, and look whether the masks belong to these pictures."
        )
    if centrelines is None:
        centrelines = np.stack([skeletonize(mask) for mask in masks])
    elif np.shape(centrelines) != masks.shape or np.asarray(centrelines).dtype != bool:
        raise CrackvizError(
            f"Centre lines are {np.asarray(centrelines).dtype} {np.shape(centrelines)}; expected bool {masks.shape}."
        )
    elif not np.asarray(centrelines)[counted].any(axis=(1, 2)).all():
        raise CrackvizError("A mask with a crack has an empty centre line; expected at least one pixel in each.")
    distance = np.full(masks.shape, np.inf, np.float32)
    for n in np.flatnonzero(counted):
        distance[n] = ndimage.distance_transform_edt(~masks[n])
    return Truth(masks, distance, np.asarray(centrelines), np.asarray(counted))


def check_maps(maps: np.ndarray, shape: tuple[int, ...], name: str = "Maps") -> np.ndarray:
    """Return `maps` as an array of finite floats of `shape` (N, H, W), or raise a CrackvizError."""
    maps = np.asarray(maps)
    if maps.shape != shape:
        raise CrackvizError(f"{name} have shape {maps.shape}; expected {shape}. Ask for maps with upsample=True.")
    if not np.isfinite(maps).all():
        where = np.flatnonzero(~np.isfinite(maps.reshape(len(maps), -1)).all(axis=1))
        raise CrackvizError(
            f"{name} hold NaN or infinity (number {', '.join(map(str, where[:5]))}). Leave these pictures out, or mend "
            "the method: a map that says nothing is 0."
        )
    return maps if np.issubdtype(maps.dtype, np.floating) else maps.astype(np.float32)


CLASS_NAMES = ("no_crack", "crack")
PREPROCESSING = 1
"""Version of what `read_image` does to a picture: a saved model names the one that it was trained with."""
