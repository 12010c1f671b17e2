"""What could be where pixels are missing: a smooth surface through those that are left."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy import sparse
from scipy.sparse import linalg

from crackviz import CrackvizError

LEVELS = 7  # halvings of the picture: sides up to 128 px shrink to one cell, larger ones to a few
SWEEPS = (2, 4, 6)  # at the finest size, the next, and all coarser ones, where they cost nothing
_STENCIL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12


def impute(images: np.ndarray, missing: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """Fill missing pixels in so that each is the weighted mean of its eight neighbours.

    Parameters
    ----------
    images : float32 (N, H, W, 3)
    missing : bool (N, H, W)
    exact : bool
        Solve the equations, which takes a tenth of a second for an image of 128 px; else approach the solution from
        coarse to fine, in two thousandths of a second, as the scores do: about 0.01 off (root mean square).

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W, 3). Where everything is missing, 0.5.

    Raises
    ------
    CrackvizError
        Where shapes don't fit.

    Notes
    -----
    The linear imputation of Rong, Leemann, Borisov, Kasneci, Kasneci: *A Consistent and Efficient Evaluation Strategy
    for Attribution Methods*, ICML 2022 (ROAD): neighbours beside a pixel count 1/6 each, those at its corners 1/12, at
    the border in proportion. ``THEORY.md`` T8.
    """
    images, missing = np.asarray(images, np.float32), np.asarray(missing)
    if images.ndim != 4 or missing.shape != images.shape[:3] or missing.dtype != bool:
        raise CrackvizError(
            f"Images have shape {images.shape}, and missing is {missing.dtype} {missing.shape}; expected (N, H, W, 3) "
            "and bool (N, H, W)."
        )
    if not exact:
        return filled(tf.constant(images), tf.constant(~missing, tf.float32)).numpy()
    return np.stack([_solved(image, gone) for image, gone in zip(images, missing, strict=True)])


def _solved(image: np.ndarray, gone: np.ndarray) -> np.ndarray:
    count = int(gone.sum())
    if count in (0, gone.size):
        return image.copy() if not count else np.full_like(image, 0.5)
    number = np.full(gone.shape, -1)
    number[gone] = np.arange(count)
    rows, columns = np.nonzero(gone)
    diagonal, right = np.zeros(count), np.zeros((count, image.shape[-1]))
    entries: list[tuple[np.ndarray, np.ndarray, float]] = []
    for (down, across), weight in np.ndenumerate(_STENCIL):
        y, x = rows + down - 1, columns + across - 1
        here = np.flatnonzero((y >= 0) & (y < gone.shape[0]) & (x >= 0) & (x < gone.shape[1]))
        diagonal[here] += weight
        other = number[y[here], x[here]]
        right[here[other < 0]] += weight * image[y[here], x[here]][other < 0]
        entries.append((here[other >= 0], other[other >= 0], float(weight)))
    which, others = (np.concatenate([entry[i] for entry in entries]) for i in (0, 1))
    weights = np.concatenate([np.full(len(entry[0]), -entry[2]) for entry in entries])
    matrix = sparse.csc_matrix((weights, (which, others)), (count, count)) + sparse.diags(diagonal, format="csc")
    result = image.copy()
    result[gone] = linalg.splu(matrix).solve(right).astype(np.float32)
    return result


@tf.function(reduce_retracing=True)
def filled(images: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    """Return images (n, H, W, 3) filled in where known (n, H, W) is 0: on a pyramid, from coarse to fine.

    On each size a cell that holds any known pixel keeps their mean, the others start from the size above and are
    averaged over their neighbours a few times. Everything stays on the device, in the graph of the network's passes.
    """
    weight = known[..., tf.newaxis]
    sizes = [(images * weight, weight)]
    for _ in range(LEVELS):
        total, part = sizes[-1]
        sizes.append((_halved(total), _halved(part)))
    guess: Any = tf.fill(tf.shape(sizes[-1][0]), 0.5)
    for level, (total, part) in enumerate(reversed(sizes)):
        if level:
            guess = _doubled(guess, tf.shape(total))
        there = part > 0
        mean = tf.math.divide_no_nan(total, part)
        guess = tf.where(there, mean, guess)
        kernel = tf.constant(_STENCIL[:, :, np.newaxis, np.newaxis] * np.eye(3, dtype=np.float32))
        whole = tf.nn.conv2d(tf.ones_like(part[:1]), kernel[:, :, :1, :1], 1, "SAME")
        for _ in range(SWEEPS[min(LEVELS - level, 2)]):
            around = tf.nn.conv2d(guess, kernel, 1, "SAME")
            guess = tf.where(there, mean, tf.where(whole > 0, around / tf.maximum(whole, 1e-6), guess))
    return guess


def _halved(values: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool2d(values, 2, 2, "SAME")  # at an odd border it averages what is there


def _doubled(values: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(values, shape[1:3])
