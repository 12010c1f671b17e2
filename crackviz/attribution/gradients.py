"""Attributions of pixels by gradients.

Whatever takes several passes for an image sends CHUNK variants through the network at once: several of one image, or
one each of several images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy import ndimage

from crackviz import CrackvizError, contracts
from crackviz.attribution.network import (
    CHUNK,
    VECTOR,
    Network,
    Target,
    check_images,
    chunks,
    compiled,
    direction,
    in_chunks,
)
from crackviz.attribution.registry import Passes, method, public
from crackviz.contracts import check_choice, check_number

Baseline = str | float | np.ndarray


def pixel_method(title: str, paper: str, kind: str = "pixels", **facts: Any) -> Callable[..., Any]:
    """Make ``(model, images, along, *, …) -> maps`` a method of its name and options, with the signature that all have.

    The images come checked, and in place of the target the vector that turns the logits into its own. `facts` are
    attributes of :class:`crackviz.attribution.Method`.
    """

    def decorate(function: Callable[..., np.ndarray]) -> Any:
        small = "upsample" in signature(function).parameters  # the others' maps are as large as the image

        def explain(
            model: keras.Model,
            images: np.ndarray,
            *,
            target: Target = "crack",
            layer: None = None,
            upsample: bool = True,
            **options: Any,
        ) -> np.ndarray:
            if layer is not None:
                raise CrackvizError(
                    f"layer is {layer!r}, but this method explains pixels, no layer's cells: leave it out."
                )
            options |= {"upsample": upsample} if small else {}
            return function(model, check_images(model, images), direction(model, target), **options)

        return method(kind, title, paper, **facts)(public(explain, function))

    return decorate


def lots(count: int, images: int) -> Iterator[np.ndarray]:
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


def over_channels(values: np.ndarray, channels: str) -> np.ndarray:
    """Sum (N, H, W, 3) over the colours, or take their largest absolute value."""
    check_choice("channels", channels, ("sum", "max"))
    return values.sum(axis=-1) if channels == "sum" else np.abs(values).max(axis=-1)


def _build_gradient(network: Network) -> Any:
    return tf.function(network.gradient, input_signature=[network.signature, VECTOR])


@pixel_method("gradient", "Simonyan et al. 2014", signed=True)
def gradient(model: keras.Model, images: np.ndarray, along: np.ndarray, *, channels: str = "sum") -> np.ndarray:
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
    slope = compiled(model, _build_gradient)
    return in_chunks(lambda some: over_channels(slope(some, along).numpy(), channels), images)


@pixel_method("input × gradient", "Shrikumar et al. 2016", signed=True)
def input_x_gradient(model: keras.Model, images: np.ndarray, along: np.ndarray) -> np.ndarray:
    r"""Multiply the gradient by the pixel, and sum over the channels: :math:`\sum_k x_k\, \partial z / \partial x_k`.

    A black pixel gets nothing, whatever it means: bad for cracks, which are dark. Arguments, result and errors are
    those of :func:`gradient`, in logits per pixel.

    Notes
    -----
    Shrikumar et al.: *Not Just a Black Box*, 2016, arXiv:1605.01713. It adds up to the logit only for a network without
    biases. ``THEORY.md`` T7.
    """
    slope = compiled(model, _build_gradient)
    return in_chunks(lambda some: (slope(some, along).numpy() * some).sum(axis=-1), images)


def _samples(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return options["n_samples"], options["n_samples"]


@pixel_method("SmoothGrad", "Smilkov et al. 2017", signed=True, cost=_samples)
def smooth_grad(
    model: keras.Model,
    images: np.ndarray,
    along: np.ndarray,
    *,
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
    Smilkov et al.: *SmoothGrad*, 2017, arXiv:1706.03825. Departures: averaged with the sign, by default (tf-keras-vis
    averages absolute values); and the noise comes in pairs, once added and once subtracted, which costs half as much
    and is less noisy. Noisy copies aren't clipped to [0, 1], there and here. ``THEORY.md`` T7.
    """
    check_number("n_samples", n_samples, 1, 1_000_000, whole=True)
    check_number("noise", noise, 0)
    check_number("seed", seed, 0, 2**31 - 1, whole=True)
    slope = compiled(model, _build_noisy)
    maps = np.empty(images.shape[:3], np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        total = sum(slope(x, along, steps, seed, noise) for steps in lots(n_samples, len(x)))
        maps[some] = over_channels(total.numpy() / n_samples, channels)
    return maps


def _build_noisy(network: Network) -> Any:
    specs = [network.signature, VECTOR, tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)]

    @tf.function(input_signature=[*specs, tf.TensorSpec((), tf.float32)])
    def slopes(x: tf.Tensor, along: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)[1:]
        pairs, which = tf.unique(steps // 2)
        draws = tf.map_fn(
            lambda pair: tf.random.stateless_normal(shape, tf.stack([seed, pair])),
            pairs,
            fn_output_signature=tf.float32,
        )
        signs = tf.cast(1 - 2 * (steps % 2), tf.float32)
        draws = tf.gather(draws, which) * signs[:, tf.newaxis, tf.newaxis, tf.newaxis]
        span = tf.reduce_max(x, axis=(1, 2, 3)) - tf.reduce_min(x, axis=(1, 2, 3))
        copies = x[:, tf.newaxis] + noise * span[:, tf.newaxis, tf.newaxis, tf.newaxis, tf.newaxis] * draws
        return tf.reduce_sum(network.many_gradients(copies, along), axis=1)

    return slopes


@pixel_method("integrated gradients", "Sundararajan et al. 2017", signed=True, complete=True, cost=_samples)
def integrated_gradients(
    model: keras.Model,
    images: np.ndarray,
    along: np.ndarray,
    *,
    n_samples: int = 32,
    baseline: Baseline = "mean",
    background: np.ndarray | None = None,
) -> np.ndarray:
    r"""Sum up the gradient on the straight way from a baseline to the image.

    .. math:: L = (x - x') \int_0^1 \frac{\partial z}{\partial x}\big(x' + t (x - x')\big)\, dt, \qquad
              \sum L = z(x) - z(x')

    The sum holds up to the number of steps; :func:`completeness_error` says how well. In logits per pixel. Other
    arguments, result and errors are those of :func:`gradient`.

    Parameters
    ----------
    n_samples : int
        Steps, each in the middle of its share of the way: as many forward and backward passes. With a background, a
        multiple of its images.
    baseline : "black", "mean", "blur", number or array
        See :func:`baseline_images`. Where a pixel equals its baseline it gets 0. Ask what the network makes of the
        baseline itself: black, the usual one, is what a crack looks like, and may have more evidence of a crack in it
        than any picture.
    background : float32 (B, H, W, 3), optional
        Expected gradients: the mean of the maps from each of these images, instead of from one baseline, such as sound
        patches, which a network has seen the like of. Then :math:`\sum L = z(x) - \overline{z(x')}`. Each gets
        ``n_samples / B`` evenly spaced steps, moved against those of the others.

    Notes
    -----
    Sundararajan, Taly, Yan: *Axiomatic Attribution for Deep Networks*, ICML 2017. Departure: the midpoint rule, more
    exact than the paper's right-hand sum. Expected gradients: Erion et al., Nature Machine Intelligence 3, 2021, who
    draw a baseline and a share of the way at random for each step; evenly spaced ones miss the sum by less.
    ``THEORY.md`` T7.
    """
    check_number("n_samples", n_samples, 1, 1_000_000, whole=True)
    parts = compiled(model, _build_path)
    shares = (np.arange(n_samples, dtype=np.float32) + 0.5) / n_samples
    start = None if isinstance(baseline, str) else baseline_images(images, baseline)
    if background is not None:
        background, where, shares = _background(images, baseline, background, n_samples)
    maps = np.empty(images.shape[:3], np.float32)
    for some in chunks(images):
        x = tf.constant(images[some])
        total = np.zeros(x.shape[:3], np.float32)
        base = baseline_images(images[some], baseline) if start is None else start[some]
        for steps in lots(n_samples, len(x)):
            bases = base[:, np.newaxis] if background is None else background[np.newaxis, where[steps]]
            total += parts(x, tf.constant(bases), along, shares[steps]).numpy()
        maps[some] = total / n_samples
    return maps


def _background(
    images: np.ndarray, baseline: Baseline, background: np.ndarray, n_samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the background (B, H, W, 3), and each step's image of it and share of the way."""
    background = contracts.check_images(background)
    count = len(background)
    if background.shape[1:] != images.shape[1:]:
        raise CrackvizError(
            f"The background's images are {background.shape[1:]}, the explained ones {images.shape[1:]}."
        )
    if not isinstance(baseline, str) or baseline != "mean":
        raise CrackvizError("Both a baseline and a background are given; expected one of them.")
    if not count or n_samples % count:
        raise CrackvizError(f"n_samples is {n_samples}, but the background has {count} images; expected a multiple.")
    where = np.arange(n_samples) % count
    moved = (np.arange(count) + 0.5) * (np.sqrt(5) - 1) / 2 % 1  # spread evenly, in no order of the images'
    shares = (np.arange(n_samples) // count + moved[where]) * count / n_samples
    return background, where, shares.astype(np.float32)


def _build_path(network: Network) -> Any:
    bases = tf.TensorSpec((None, None, *network.signature.shape[1:]), tf.float32)

    @tf.function(input_signature=[network.signature, bases, VECTOR, VECTOR])
    def parts(x: tf.Tensor, bases: tf.Tensor, along: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
        """Return the sum over s steps; the bases are (n, 1, …), of each image, or (1, s, …), of each step."""
        ways = x[:, tf.newaxis] - bases
        path = bases + tf.reshape(shares, (1, -1, 1, 1, 1)) * ways
        return tf.reduce_sum(ways * network.many_gradients(path, along), axis=(1, -1))

    return parts
