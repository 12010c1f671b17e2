"""Answers without a network: what greys alone say. The rivals that a network must beat (``THEORY.md`` T3)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.feature import hessian_matrix, hessian_matrix_eigvals

from crackviz.contracts import check_images, check_number

GREY_NUMBERS = ("darkest hundredth", "darkest twentieth", "median", "spread", "mean step", "steepest hundredth")


def grey_numbers(images: np.ndarray) -> np.ndarray:
    """Return six numbers of each picture, :data:`GREY_NUMBERS`: how dark it is, and how steep its steps to the right.

    Parameters
    ----------
    images : float32 (N, H, W, 3), in [0, 1]

    Returns
    -------
    numpy.ndarray
        float64 (N, 6): quantiles of the grey at 1, 5 and 50 %, its standard deviation, and mean and 99 % quantile of
        the absolute difference between neighbours in a row.
    """
    grey = check_images(images).mean(axis=-1)
    steps = np.abs(np.diff(grey, axis=2))
    dark = np.quantile(grey, [0.01, 0.05, 0.5], axis=(1, 2))
    steep = np.quantile(steps, 0.99, axis=(1, 2))
    return np.stack([*dark, grey.std(axis=(1, 2)), steps.mean(axis=(1, 2)), steep], axis=1).astype(np.float64)


def ridge_extent(images: np.ndarray, *, sigma: float = 1.5, share: float = 0.05) -> np.ndarray:
    """Return how far the longest connected dark ridge of each picture reaches. It is no network, and learns nothing.

    A pixel's ridge strength is the larger eigenvalue of the Hessian of the blurred grey: how sharply the brightness
    turns up to both sides of a dark line. The strongest pixels are kept, and what hangs together of them, diagonals
    included, is a ridge. Fooled by every long line, a joint or a cable; and by light lines, since the wall dips beside
    them.

    Parameters
    ----------
    images : float32 (N, H, W, 3), in [0, 1]
    sigma : float
        Of the blur [px]; lines some two sigma wide are found best.
    share : float
        Of each picture's pixels that are kept, in (0, 1).

    Returns
    -------
    numpy.ndarray
        float64 (N,), in [0, 1]: the diagonal of the box around the ridge whose box is largest, over the picture's
        diagonal. 0 where nothing is darker than what lies beside it.

    Notes
    -----
    Ridges by the Hessian: Frangi et al., MICCAI 1998; Steger, IEEE TPAMI 1998. By scikit-image. ``THEORY.md`` T3.
    """
    check_number("sigma", sigma, 0, inclusive=False)
    check_number("share", share, 0, 1, inclusive=False)
    images = check_images(images)
    whole = float(np.hypot(*images.shape[1:3]))
    found = np.zeros(len(images))
    for n, grey in enumerate(images.mean(axis=-1)):
        parts = hessian_matrix(grey, sigma=sigma, mode="nearest", use_gaussian_derivatives=False)
        strength = hessian_matrix_eigvals(parts)[0]
        kept = (strength > np.quantile(strength, 1 - share)) & (strength > 0)
        pieces = ndimage.find_objects(ndimage.label(kept, np.ones((3, 3)))[0])
        sides = [(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in pieces]
        found[n] = max((float(np.hypot(*pair)) for pair in sides), default=0.0) / whole
    return found
