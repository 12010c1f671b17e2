"""Attributions of pixels, by gradients and by covering up, and the baselines that any map must beat.

Private; :mod:`crackviz.attribution` is the public face. Whatever takes several passes for an image sends CHUNK
variants through the network at once: several of one image, or one each of several images.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

from crackviz import CrackvizError
from crackviz._graph import (
    CHUNK,
    VECTOR,
    Network,
    Target,
    bilinear,
    build_logits,
    check_images,
    chunks,
    compiled,
    direction,
    in_chunks,
    walk,
)

Baseline = str | float | np.ndarray


def _prepare(model: keras.Model, images: np.ndarray, layer: object, **counts: int) -> np.ndarray:
    if layer is not None:
        raise CrackvizError(f"layer is {layer!r}, but this method explains pixels, no layer's cells: leave it out.")
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise CrackvizError(f"{name} is {value!r}; expected a whole number from 1 on.")
    return check_images(model, images)


def _steps(count: int, images: int) -> Iterator[np.ndarray]:
    """Cut `count` variants of each of some images into lots that fill a chunk."""
    step = max(1, CHUNK // images)
    return (np.arange(start, min(start + step, count)) for start in range(0, count, step))


def baseline_images(images: np.ndarray, baseline: Baseline) -> np.ndarray:
    """Return what stands for "nothing there".

    Parameters
    ----------
    images : float32 (N, H, W, 3)
    baseline : "black", "mean", "blur", number or array
        Black; each image's mean colour; the image blurred (Gaussian, sigma an eighth of the shorter side); a grey of
        that value; or images that broadcast to the shape of `images`.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W, 3), perhaps read-only.

    Raises
    ------
    CrackvizError
        Where there is no such baseline, or it doesn't fit.
    """
    if isinstance(baseline, str):
        if baseline == "black":
            return np.broadcast_to(np.float32(0), images.shape)
        if baseline == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
        if baseline == "blur":
            sigma = min(images.shape[1:3]) / 8
            return ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest", truncate=2)
        raise CrackvizError(f"baseline is {baseline!r}; expected 'black', 'mean', 'blur', a number or images.")
    values = np.asarray(baseline, np.float32)
    try:
        values = np.broadcast_to(values, images.shape)
    except ValueError:
        raise CrackvizError(
            f"The baseline has shape {values.shape}, which doesn't fit images of shape {images.shape}; expected a "
            "number, one colour (3,), one image or one for each."
        ) from None
    if not (values.min() >= 0 and values.max() <= 1):
        raise CrackvizError(f"The baseline reaches from {values.min():g} to {values.max():g}; expected [0, 1].")
    return values


def _over_channels(values: np.ndarray, channels: str) -> np.ndarray:
    return values.sum(axis=-1) if channels == "sum" else np.abs(values).max(axis=-1)


def _check_channels(channels: str) -> None:
    if channels not in ("sum", "max"):
        raise CrackvizError(f"channels is {channels!r}; expected 'sum' or 'max'.")


# --- gradients ----------------------------------------------------------------------------------------------------


def _build_gradient(network: Network) -> Any:
    return tf.function(network.gradient, input_signature=[network.signature, VECTOR])


def gradient(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    channels: str = "sum",
) -> np.ndarray:
    r"""Differentiate the logit by the pixels: by how much it would rise if a pixel became brighter.

    Parameters
    ----------
    model : keras.Model
        Ends in Dense, with a sigmoid or softmax in it or after it.
    images : float32 (N, H, W, 3), in [0, 1]
    target : str or int
        Class to explain; see :func:`grad_cam`.
    layer : None
        There is none to choose; anything else is refused.
    upsample : bool
        Without effect: the map has the image's size.
    channels : "sum" or "max"
        "sum" over red, green and blue: signed, the slope for a change of grey. "max": the largest absolute value of
        the three, as in the paper; not signed.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W), in logits per unit of brightness.

    Raises
    ------
    CrackvizError
        Where the images break the contract, there is no such target, or a layer is named.

    Notes
    -----
    Simonyan, Vedaldi, Zisserman: *Deep Inside Convolutional Networks*, ICLR Workshop 2014. Departure: the sign stays,
    by default. With ``channels="max"`` it is tf-keras-vis' Saliency before its scaling. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer)
    _check_channels(channels)
    slope, along = compiled(model, _build_gradient), direction(model, target)
    return in_chunks(lambda some: _over_channels(slope(some, along).numpy(), channels), images)


def input_x_gradient(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: None = None, upsample: bool = True
) -> np.ndarray:
    r"""Multiply the gradient by the pixel, and sum over the channels: :math:`\sum_k x_k\, \partial z / \partial x_k`.

    A black pixel gets nothing, whatever it means: bad for cracks, which are dark. Arguments, result and errors are
    those of :func:`gradient`, in logits per pixel.

    Notes
    -----
    Shrikumar et al.: *Not Just a Black Box*, 2016, arXiv:1605.01713. It adds up to the logit only for a network without
    biases. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer)
    slope, along = compiled(model, _build_gradient), direction(model, target)
    return in_chunks(lambda some: (slope(some, along).numpy() * some).sum(axis=-1), images)


def smooth_grad(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    n_samples: int = 25,
    noise: float = 0.1,
    seed: int = 0,
    channels: str = "sum",
) -> np.ndarray:
    """Average the gradient over noisy copies of the image.

    Other arguments, result and errors are those of :func:`gradient`.

    Parameters
    ----------
    n_samples : int
        Noisy copies: as many forward and backward passes.
    noise : float
        Standard deviation of the noise, as a share of the image's range from darkest to brightest value.
    seed : int
        Fixes the noise, which is the same for every image, so that a map doesn't depend on the others of its batch.

    Notes
    -----
    Smilkov et al.: *SmoothGrad*, 2017, arXiv:1706.03825. Departure: averaged with the sign, by default; tf-keras-vis
    averages absolute values. Noisy copies aren't clipped to [0, 1], there and here. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer, n_samples=n_samples)
    _check_channels(channels)
    if not noise >= 0:
        raise CrackvizError(f"noise is {noise!r}; expected 0 or more.")
    slope, along = compiled(model, _build_noisy), direction(model, target)
    maps = np.empty(images.shape[:3], np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        total = sum(slope(x, along, steps, seed, noise) for steps in _steps(n_samples, len(x)))
        maps[some] = _over_channels(total.numpy() / n_samples, channels)
    return maps


def _build_noisy(network: Network) -> Any:
    specs = [network.signature, VECTOR, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)]

    @tf.function(input_signature=[*specs, tf.TensorSpec((), tf.float32)])
    def slopes(x: tf.Tensor, along: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)[1:]
        draws = tf.map_fn(
            lambda step: tf.random.stateless_normal(shape, tf.stack([seed, step])),
            steps,
            fn_output_signature=tf.float32,
        )
        span = tf.reduce_max(x, axis=(1, 2, 3)) - tf.reduce_min(x, axis=(1, 2, 3))
        copies = x[:, tf.newaxis] + noise * span[:, tf.newaxis, tf.newaxis, tf.newaxis, tf.newaxis] * draws
        return tf.reduce_sum(network.many_gradients(copies, along), axis=1)

    return slopes


def integrated_gradients(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    n_samples: int = 32,
    baseline: Baseline = "black",
) -> np.ndarray:
    r"""Sum up the gradient on the straight way from a baseline to the image.

    .. math:: L = (x - x') \int_0^1 \frac{\partial z}{\partial x}\big(x' + t (x - x')\big)\, dt, \qquad
              \sum L = z(x) - z(x')

    The sum holds up to the number of steps; :func:`completeness_error` says how well. Other arguments and errors
    are those of :func:`gradient`.

    Parameters
    ----------
    n_samples : int
        Steps, each in the middle of its share of the way: as many forward and backward passes.
    baseline : "black", "mean", "blur", number or array
        The image that stands for "nothing there": black, each image's mean colour, the blurred image, a grey, or
        images. Where a pixel equals its baseline it gets 0: with "black" a black crack gets nothing.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W), in logits per pixel.

    Notes
    -----
    Sundararajan, Taly, Yan: *Axiomatic Attribution for Deep Networks*, ICML 2017. Departure: the midpoint rule, more
    exact than the paper's right-hand sum. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer, n_samples=n_samples)
    slope, along = compiled(model, _build_path), direction(model, target)
    start = None if isinstance(baseline, str) else baseline_images(images, baseline)
    maps = np.empty(images.shape[:3], np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        base = tf.constant(baseline_images(images[some], baseline) if start is None else start[some])
        total = sum(slope(x, base, along, (steps + 0.5) / n_samples) for steps in _steps(n_samples, len(x)))
        maps[some] = tf.reduce_sum((x - base) * total, axis=-1).numpy() / n_samples
    return maps


def _build_path(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, network.signature, VECTOR, VECTOR])
    def slopes(x: tf.Tensor, base: tf.Tensor, along: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        shares = tf.reshape(shares, (1, -1, 1, 1, 1))
        path = base[:, tf.newaxis] + shares * (x - base)[:, tf.newaxis]
        return tf.reduce_sum(network.many_gradients(path, along), axis=1)

    return slopes


def guided_backprop(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    channels: str = "sum",
) -> np.ndarray:
    """Differentiate the logit, but drop every negative gradient at every ReLU: sharp, and hardly about the decision.

    A cautionary example. It restores edges of the image from what the first layers let through, and looks much the same
    for another class or for other weights behind them. Arguments, result and errors are those of :func:`gradient`;
    refused besides are networks without a ReLU, which it would leave as they are.

    Notes
    -----
    Springenberg et al.: *Striving for Simplicity*, ICLR Workshop 2015; the caution: Adebayo et al.: *Sanity Checks for
    Saliency Maps*, NeurIPS 2018. Works where the ReLU is a layer, where it is an argument of another layer, and in
    nested models; tf-keras-vis changes arguments only, and does nothing for a ReLU that is a layer. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer)
    _check_channels(channels)
    if not any(_has_relu(step.layer) for step in walk(model).values()):
        raise CrackvizError(f"The model {model.name!r} has no ReLU: guided backpropagation is its plain gradient.")
    slope, along = compiled(model, _build_guided), direction(model, target)
    return in_chunks(lambda some: _over_channels(slope(some, along).numpy(), channels), images)


@tf.custom_gradient
def _positive(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Let values pass forwards, and positive gradients only backwards."""
    return tf.identity(values), tf.nn.relu


def _has_relu(operation: Any) -> bool:
    if isinstance(operation, keras.Model):
        return any(_has_relu(layer) for layer in operation.layers)
    function = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.ReLU) or function in (keras.activations.relu, keras.activations.relu6)


def _guided(operation: Any) -> Callable[..., Any]:
    """Return the operation with the guard behind its ReLU, if it has one."""
    if isinstance(operation, keras.Sequential):
        operation = keras.Model(operation.inputs, operation.outputs)
    if isinstance(operation, keras.Model):
        return lambda inputs, **_: operation._run_through_graph(inputs, _guided)
    run = (lambda *a, **k: operation(*a, **{**k, "training": False})) if _trains(operation) else operation
    return (lambda *a, **k: _positive(run(*a, **k))) if _has_relu(operation) else run


def _trains(operation: Any) -> bool:
    return bool(getattr(operation, "_call_has_training_arg", False))


def _build_guided(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, VECTOR])
    def slope(images: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            features = network.network._run_through_graph(images, _guided)[2]
            score = tf.tensordot(network.logits(features), along, 1)
        return tape.gradient(score, images, unconnected_gradients="zero")

    return slope


# --- covering up --------------------------------------------------------------------------------------------------


def occlusion(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
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
        What the square is filled with; see :func:`integrated_gradients`.

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
    images = _prepare(model, images, layer, size=size, stride=stride)
    height, width = images.shape[1:3]
    if size > min(height, width):
        raise CrackvizError(f"size is {size}, but the images are {height} x {width} px; expected a smaller square.")
    tops, lefts = occlusion_windows(height, size, stride), occlusion_windows(width, size, stride)
    corners = np.stack(np.meshgrid(tops, lefts, indexing="ij"), axis=-1).reshape(-1, 2)
    whole, covered = compiled(model, build_logits), compiled(model, _build_covered)
    along = direction(model, target)
    start = None if isinstance(baseline, str) else baseline_images(images, baseline)
    falls = np.empty((len(images), len(corners)), np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        base = tf.constant(baseline_images(images[some], baseline) if start is None else start[some])
        before = whole(x).numpy() @ along
        for steps in _steps(len(corners), len(x)):
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


def occlusion_windows(side: int, size: int, stride: int) -> np.ndarray:
    """Return where the squares begin along one side; the last one ends at the border."""
    return np.unique([*range(0, side - size, stride), side - size])


def _build_covered(network: Network) -> Any:
    specs = [network.signature, network.signature, VECTOR]

    @tf.function(input_signature=[*specs, tf.TensorSpec((None, 2), tf.int32), tf.TensorSpec((), tf.int32)])
    def logits(x: tf.Tensor, base: tf.Tensor, along: tf.Tensor, corners: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
        def inside(start: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
            place = tf.range(side) - start[:, tf.newaxis]
            return (place >= 0) & (place < size)

        rows, columns = (inside(corners[:, axis], tf.shape(x)[1 + axis]) for axis in (0, 1))
        covered = (rows[:, :, tf.newaxis] & columns[:, tf.newaxis])[..., tf.newaxis]
        return tf.tensordot(network.many(tf.where(covered, base[:, tf.newaxis], x[:, tf.newaxis])), along, 1)

    return logits


def rise(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: None = None,
    upsample: bool = True,
    n_samples: int = 500,
    cells: int = 8,
    keep: float = 0.5,
    seed: int = 0,
) -> np.ndarray:
    r"""Dim random parts of the image many times, and ask of each pixel what the logit gains by its being visible.

    With masks :math:`M_m` and the logits :math:`z_m` of the dimmed images, the slope of a straight line through them,

    .. math:: L_{ij} = \frac{\sum_m (z_m - \bar z) (M_{m,ij} - \bar M_{ij})}{\sum_m (M_{m,ij} - \bar M_{ij})^2} .

    Other arguments and errors are those of :func:`gradient`.

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

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W), in logits for a pixel's surroundings becoming visible.

    Notes
    -----
    Petsiuk, Das, Saenko: *RISE*, BMVC 2018. Departure: the paper's mean of :math:`z_m M_m` shifts with a constant added
    to the score and has no zero; the slope doesn't and has. ``THEORY.md`` T7.
    """
    images = _prepare(model, images, layer, n_samples=n_samples, cells=cells)
    if not 0 < keep < 1 or n_samples < 2:
        raise CrackvizError(
            f"keep is {keep!r} and n_samples {n_samples}; expected 0 < keep < 1 and at least 2 samples."
        )
    rng = np.random.default_rng(seed)
    grids = (rng.random((n_samples, cells + 1, cells + 1)) < keep).astype(np.float32)
    shifts = rng.random((n_samples, 2), np.float32)  # in cells
    dimmed, along = compiled(model, _build_dimmed), direction(model, target)
    size = images.shape[1:3]
    logits = np.empty((len(images), n_samples), np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        for steps in _steps(n_samples, len(x)):
            logits[some, steps] = dimmed(x, along, grids[steps], shifts[steps])
    logits -= logits.mean(axis=1, keepdims=True)
    mean, square = np.zeros(size), np.zeros(size)
    for steps in _steps(n_samples, 1):
        masks = _masks(grids[steps], shifts[steps], size).numpy()
        mean += masks.sum(axis=0) / n_samples
        square += (masks**2).sum(axis=0) / n_samples
    maps = np.zeros(images.shape[:3], np.float32)
    for steps in _steps(n_samples, 1):
        masks = _masks(grids[steps], shifts[steps], size).numpy() - mean.astype(np.float32)
        maps += np.tensordot(logits[:, steps], masks, 1)
    variance = (n_samples * (square - mean**2)).astype(np.float32)
    return np.divide(maps, variance, out=np.zeros_like(maps), where=variance > 1e-6)


@tf.function(reduce_retracing=True)
def _masks(grids: tf.Tensor, shifts: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Return masks (s, H, W) from grids (s, c + 1, c + 1), moved by shifts (s, 2) in cells."""
    cells = tf.cast(tf.shape(grids)[1] - 1, tf.float32)
    sides = [tf.cast(size[axis], tf.float32) for axis in (0, 1)]
    rows, columns = (
        bilinear(cells + 1, side, shifts[:, axis] * side / cells, side / cells) for axis, side in enumerate(sides)
    )
    return tf.matmul(rows, tf.matmul(grids, columns, transpose_b=True))  # stack by stack: nothing is broadcast


def _build_dimmed(network: Network) -> Any:
    specs = [network.signature, VECTOR, tf.TensorSpec((None, None, None), tf.float32)]

    @tf.function(input_signature=[*specs, tf.TensorSpec((None, 2), tf.float32)])
    def logits(x: tf.Tensor, along: tf.Tensor, grids: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
        masks = _masks(grids, shifts, tf.shape(x)[1:3])
        return tf.tensordot(network.many(x[:, tf.newaxis] * masks[..., tf.newaxis]), along, 1)

    return logits


# --- baselines ----------------------------------------------------------------------------------------------------


def _grey(model: keras.Model, images: np.ndarray, target: Target, layer: object) -> np.ndarray:
    images = _prepare(model, images, layer)
    direction(model, target)  # refused where there is no such class, as by every method
    return images.mean(axis=-1)


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
    images = _prepare(model, images, layer)
    direction(model, target)
    draws = [np.random.default_rng((seed, zlib.crc32(image.tobytes()))) for image in images]
    return np.stack([rng.random(images.shape[1:3], np.float32) for rng in draws])


def darkness(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: None = None, upsample: bool = True
) -> np.ndarray:
    """Return 1 less the mean of red, green and blue: cracks are dark. In [0, 1].

    Neither the network nor `target` enters. Arguments, result and errors are otherwise those of :func:`gradient`.
    """
    return 1 - _grey(model, images, target, layer)


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
