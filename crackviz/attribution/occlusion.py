"""Attributions of pixels by covering up: no gradient, many passes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from skimage.segmentation import slic
from sklearn.linear_model import Ridge

from crackviz import CrackvizError
from crackviz.attribution.gradients import Baseline, baseline_images, lots, pixel_method
from crackviz.attribution.network import (
    VECTOR,
    Network,
    build_logits,
    chunks,
    compiled,
)
from crackviz.attribution.pictures import blend
from crackviz.attribution.registry import Passes
from crackviz.contracts import check_number


def occlusion_windows(side: int, size: int, stride: int) -> np.ndarray:
    """Return where the squares begin along one side; the last one ends at the border."""
    return np.unique([*range(0, side - size, stride), side - size])


def _one_a_square(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    rows, columns = (len(occlusion_windows(side, options["size"], options["stride"])) for side in images.shape[1:3])
    return 1 + rows * columns, 0


@pixel_method("occlusion", "Zeiler, Fergus 2014", signed=True, cost=_one_a_square)
def occlusion(
    model: keras.Model,
    images: np.ndarray,
    along: np.ndarray,
    *,
    upsample: bool = True,
    size: int = 16,
    stride: int = 8,
    baseline: Baseline = "mean",
) -> np.ndarray:
    """Cover a square of the image, and see how much the logit falls; then the next square.

    Other arguments and errors are those of :func:`gradient`.

    Parameters
    ----------
    upsample : bool
        True: each pixel gets the mean over the squares that cover it. False: the falls themselves, one for each square.
    size, stride : int
        Side of the square and distance of two of them, in px; the last ones end at the image's border. One forward
        pass for each, and one for the whole image.
    baseline : "black", "mean", "blur", number or array
        What the square is filled with; see :func:`baseline_images`.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W) or (N, rows, columns), in logits per square.

    Notes
    -----
    Zeiler, Fergus: *Visualizing and Understanding Convolutional Networks*, ECCV 2014. Departures: the logit instead of
    the probability, overlapping squares averaged, and the mean colour, since a grey square is no edge on grey
    concrete, but its border is one all the same. ``THEORY.md`` T7.
    """
    check_number("size", size, 1, whole=True)
    check_number("stride", stride, 1, whole=True)
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise CrackvizError(f"size is {size}, but the images are {height} x {width} px; expected a smaller square.")
    if stride > size:
        raise CrackvizError(
            f"stride is {stride}, but size {size}: the squares would leave gaps; expected at most size."
        )
    tops, lefts = occlusion_windows(height, size, stride), occlusion_windows(width, size, stride)
    corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
    whole, covered = compiled(model, build_logits), compiled(model, _build_covered)
    start = None if isinstance(baseline, str) else baseline_images(images, baseline)
    falls = np.empty((len(images), len(corners)), np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        base = tf.constant(baseline_images(images[some], baseline) if start is None else start[some])
        before = whole(x).numpy() @ along
        for steps in lots(len(corners), len(x)):
            falls[some, steps] = before[:, np.newaxis] - covered(x, base, along, corners[steps], size).numpy()
    grid = falls.reshape(len(images), len(tops), len(lefts))
    if not upsample:
        return grid
    rows, columns = (  # (squares, pixels): which pixels a square covers
        ((np.arange(side) >= starts[:, None]) & (np.arange(side) < starts[:, None] + size)).astype(np.float32)
        for side, starts in ((height, tops), (width, lefts))
    )
    rows, columns = rows / rows.sum(axis=0), columns / columns.sum(axis=0)
    return rows.T @ grid @ columns


def _build_covered(network: Network) -> Any:
    specs = [network.signature, network.signature, VECTOR]

    @tf.function(input_signature=[*specs, tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)])
    def logits(x: tf.Tensor, base: tf.Tensor, along: tf.Tensor, corners: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        def inside(start: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
            place = tf.range(side) - start[:, tf.newaxis]
            return (place >= 0) & (place < size)

        rows, columns = (inside(corners[:, axis], tf.shape(x)[1 + axis]) for axis in (0, 1))
        covered = tf.cast(rows[:, :, tf.newaxis] & columns[:, tf.newaxis], tf.float32)
        return tf.tensordot(network.many(blend(x, base, covered[tf.newaxis])), along, 1)

    return logits


@pixel_method("RISE", "Petsiuk et al. 2018", signed=True, cost=lambda _, __, options: (options["n_samples"], 0))
def rise(
    model: keras.Model,
    images: np.ndarray,
    along: np.ndarray,
    *,
    n_samples: int = 500,
    cells: int = 8,
    keep: float = 0.5,
    seed: int = 0,
) -> np.ndarray:
    r"""Dim random parts of the image many times, and ask of each pixel what the logit gains by its being visible.

    With masks :math:`M_m` and the logits :math:`z_m` of the dimmed images, the slope of a straight line through them,

    .. math:: L_{ij} = \frac{\sum_m (z_m - \bar z) (M_{m,ij} - \bar M_{ij})}{\sum_m (M_{m,ij} - \bar M_{ij})^2} .

    In logits for a pixel's surroundings becoming visible. Other arguments, result and errors are those of
    :func:`gradient`.

    Parameters
    ----------
    n_samples : int
        Masks: as many forward passes. The map's noise falls with their square root.
    cells : int
        A mask is a grid of so many cells a side, each visible or not, enlarged bilinearly and moved at random.
    keep : float
        Probability that a cell is visible.
    seed : int
        Fixes the masks, which are the same for every image.

    Notes
    -----
    Petsiuk, Das, Saenko: *RISE*, BMVC 2018. Departure: the paper's mean of :math:`z_m M_m` shifts with a constant added
    to the score and has no zero; the slope doesn't and has. ``THEORY.md`` T7.
    """
    check_number("n_samples", n_samples, 1, 1_000_000, whole=True)
    check_number("cells", cells, 1, whole=True)
    if not 0 < keep < 1 or n_samples < 2:
        raise CrackvizError(
            f"keep is {keep!r} and n_samples {n_samples}; expected 0 < keep < 1 and at least 2 samples."
        )
    check_number("seed", seed, 0, whole=True)
    rng = np.random.default_rng(seed)
    grids = (rng.random((n_samples, cells + 1, cells + 1)) < keep).astype(np.float32)
    shifts = rng.random((n_samples, 2), np.float32)  # in cells
    dimmed = compiled(model, _build_dimmed)
    size = images.shape[1:3]
    logits = np.empty((len(images), n_samples), np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        for steps in lots(n_samples, len(x)):
            logits[some, steps] = dimmed(x, along, grids[steps], shifts[steps])
    logits -= logits.mean(axis=1, keepdims=True)
    mean, square = np.zeros(size), np.zeros(size)
    for steps in lots(n_samples, 1):
        masks = _masks(grids[steps], shifts[steps], size).numpy()
        mean += masks.sum(axis=0) / n_samples
        square += (masks**2).sum(axis=0) / n_samples
    maps = np.zeros(images.shape[:3], np.float32)
    for steps in lots(n_samples, 1):
        masks = _masks(grids[steps], shifts[steps], size).numpy() - mean.astype(np.float32)
        maps += np.tensordot(logits[:, steps], masks, 1)
    variance = (n_samples * (square - mean**2)).astype(np.float32)
    return np.divide(maps, variance, out=np.zeros_like(maps), where=variance > 1e-6)


@tf.function(reduce_retracing=True)
def _masks(grids: tf.Tensor, shifts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return masks (s, H, W) from grids (s, c + 1, c + 1), moved by shifts (s, 2) in cells: enlarged, then cut."""
    cells = tf.cast(tf.shape(grids)[1] - 1, tf.float32)

    def tents(axis: int) -> tf.Tensor:
        """Return (s, pixels, c + 1): by how much each pixel reads each cell."""
        side = tf.cast(size[axis], tf.float32)
        moved = shifts[:, axis, tf.newaxis] * side / cells
        place = tf.clip_by_value((tf.range(side) + 0.5 + moved) / (side / cells) - 0.5, 0.0, cells)
        return tf.maximum(1.0 - tf.abs(place[..., tf.newaxis] - tf.range(cells + 1)), 0.0)

    return tf.matmul(tents(0), tf.matmul(grids, tents(1), transpose_b=True))


def _build_dimmed(network: Network) -> Any:
    specs = [network.signature, VECTOR, tf.TensorSpec((None, None, None), tf.float32)]

    @tf.function(input_signature=[*specs, tf.TensorSpec((None, 2), tf.float32)])
    def logits(x: tf.Tensor, along: tf.Tensor, grids: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
        masks = _masks(grids, shifts, tf.shape(x)[1:3])
        return tf.tensordot(network.many(blend(0.0, x, masks[tf.newaxis])), along, 1)

    return logits


@pixel_method("LIME", "Ribeiro et al. 2016", signed=True, cost=lambda _, __, options: (options["n_samples"], 0))
def lime(
    model: keras.Model,
    images: np.ndarray,
    along: np.ndarray,
    *,
    n_samples: int = 500,
    n_segments: int = 40,
    baseline: Baseline = "mean",
    seed: int = 0,
) -> np.ndarray:
    r"""Cover superpixels at random, and fit the logit by a weighted sum of those that are visible.

    A pixel gets its superpixel's coefficient: by how many logits the straight line rises when all of it is visible. So
    a map is as coarse as the superpixels, and adds up to nothing. In logits per superpixel. Other arguments, result and
    errors are those of :func:`gradient`.

    Parameters
    ----------
    n_samples : int
        Coverings, each superpixel visible or not with even odds: as many forward passes.
    n_segments : int
        About how many superpixels an image is cut into (SLIC).
    baseline : "black", "mean", "blur", number or array
        What superpixels are covered with; see :func:`baseline_images`.
    seed : int
        Fixes the coverings.

    Notes
    -----
    Ribeiro, Singh, Guestrin: *"Why Should I Trust You?"*, KDD 2016. As in the authors' code, a covering weighs
    :math:`\exp(-d^2 / 0.25^2)` in the fit, d being the cosine distance to nothing covered, and the fit is a ridge
    regression with penalty 1. Departures: the logit instead of the probability, SLIC instead of quickshift, and all
    superpixels keep their coefficients, instead of the best few. ``THEORY.md`` T7.
    """
    check_number("n_samples", n_samples, 2, whole=True)
    check_number("n_segments", n_segments, 2, whole=True)
    covered = compiled(model, _build_hidden)
    start = None if isinstance(baseline, str) else baseline_images(images, baseline)
    maps = np.empty(images.shape[:3], np.float32)
    for n in range(len(images)):
        image = images[n : n + 1]
        base = np.ascontiguousarray(baseline_images(image, baseline) if start is None else start[n : n + 1])
        # Smoothed, and more compact than its default: of grainy concrete it would make one single superpixel.
        segments = slic(image[0], n_segments, compactness=30, sigma=1, start_label=0)
        visible = np.random.default_rng(seed).random((n_samples, segments.max() + 1)) < 0.5
        masks = visible.astype(np.float32)
        answers = np.concatenate(
            [covered(image, base, along, masks[steps][:, segments]).numpy() for steps in lots(n_samples, 1)]
        )
        distance = 1 - np.sqrt(masks.mean(axis=1))  # cosine distance to a row of ones
        fit = Ridge(alpha=1.0).fit(masks, answers - answers.mean(), np.exp(-((distance / 0.25) ** 2)))
        maps[n] = fit.coef_[segments]
    return maps


def _build_hidden(network: Network) -> Any:
    masks = tf.TensorSpec((None, None, None), tf.float32)

    @tf.function(input_signature=[network.signature, network.signature, VECTOR, masks])
    def logits(x: tf.Tensor, base: tf.Tensor, along: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        return tf.tensordot(network.many(blend(base, x, masks[tf.newaxis])), along, 1)[0]

    return logits
