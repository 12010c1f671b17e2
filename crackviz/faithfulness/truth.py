"""Where the crack is: masks, with the distances and the centre lines that the scores need."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from crackviz import CrackvizError
from crackviz.contracts import as_masks


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

    def only(self, rows: np.ndarray) -> Truth:
        """Return what is known of some images."""
        return Truth(*(values[rows] for values in self))


Masks = np.ndarray | Truth


def truth(masks: Masks, centrelines: np.ndarray | None = None) -> Truth:
    """Compute once what the scores need of masks.

    Parameters
    ----------
    masks : bool (N, H, W)
        Greys become masks by :func:`as_masks`.
    centrelines : bool (N, H, W), optional
        Known middles of the cracks (:func:`crackviz.synthetic.details`); else the masks' skeletons.

    Raises
    ------
    CrackvizError
        Where no mask shows a crack, or one that does has no centre line.
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
    lines = np.stack([skeletonize(mask) for mask in masks]) if centrelines is None else np.asarray(centrelines)
    if lines.shape != masks.shape or lines.dtype != bool:
        raise CrackvizError(f"Centre lines are {lines.dtype} {lines.shape}; expected bool {masks.shape}.")
    if not lines[counted].any(axis=(1, 2)).all():
        raise CrackvizError("A mask with a crack has an empty centre line; expected at least one pixel in each.")
    distance = np.full(masks.shape, np.inf, np.float32)
    for n in np.flatnonzero(counted):
        distance[n] = ndimage.distance_transform_edt(~masks[n])
    return Truth(masks, distance, lines, np.asarray(counted))
