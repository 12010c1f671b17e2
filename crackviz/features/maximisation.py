"""Activation maximisation, by tf-keras-vis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.network import Layer, Target, check_images, layer_names, map_layers, tail, target_index, walk
from crackviz.attribution.receptive_fields import field_box
from crackviz.contracts import check_choice, check_flag, check_number, one_by_one
from crackviz.progress import progress


class Pictures(NamedTuple):
    """Synthesised pictures, and what they reach."""

    images: np.ndarray
    """float32 (n, H, W, 3), in [0, 1]."""
    reached: np.ndarray
    """float32 (n,): what was maximised, of `images`; without the regularisers."""
    started: np.ndarray
    """The same, of the pictures that the search began with."""
    box: tuple[int, int, int, int]
    """top, left, bottom, right in px, half-open: what the maximised cell sees, ``images[:, top:bottom, left:right]``.

    All of the picture where it isn't a single cell, or not known (see :func:`field_box`)."""


@dataclass(frozen=True)
class Recipe:
    r"""How pictures are synthesised.

    Attributes
    ----------
    steps : int
        Of gradient ascent, 1 or more.
    seed : int
        Fixes the noise and the jitter, 0 or more. A channel's picture doesn't depend on which others are asked for.
    size : int, optional
        Side of the pictures in px; by default the model's. Smaller ones are quicker, where the layers take any size.
    smoothness : float, optional
    greyness : float
        :math:`\lambda_1`, of the total variation by pixel, and :math:`\lambda_2`, of the root mean square distance from
        mid-grey; 0 or more. tf-keras-vis's regularisers. By default 3 for a channel, 10 for a logit, and 1.
    jitter : int, optional
        In each step the pictures lie up to so many px off their place, round the border: what hangs on one exact
        position, such as a checkerboard, doesn't survive. 0 or more; by default 2 for a channel, 4 for a logit.
    colour : bool
        False: red, green and blue stay equal, as they nearly are on concrete.
    learning_rate : float
        Of Adam, in grey levels of [0, 1] in a step, above 0.
    """

    steps: int = 100
    seed: int = 0
    size: int | None = None
    smoothness: float | None = None
    greyness: float = 1.0
    jitter: int | None = None
    colour: bool = True
    learning_rate: float = 0.03

    def __post_init__(self) -> None:
        """Refuse what is out of its range."""
        check_flag("colour", self.colour)
        check_number("steps", self.steps, 1, whole=True)
        check_number("seed", self.seed, 0, whole=True)
        check_number("jitter", 0 if self.jitter is None else self.jitter, 0, whole=True)
        check_number("smoothness", 0 if self.smoothness is None else self.smoothness, 0)
        check_number("greyness", self.greyness, 0)
        check_number("learning_rate", self.learning_rate, 0, inclusive=False)

    def filled(self, smoothness: float, jitter: int) -> Recipe:
        """Return the recipe with these in place of what wasn't given."""
        smoothness = smoothness if self.smoothness is None else self.smoothness
        return replace(self, smoothness=smoothness, jitter=jitter if self.jitter is None else self.jitter)


@one_by_one
def maximise(
    model: keras.Model,
    channels: int | Sequence[int],
    layer: Layer | None = None,
    *,
    where: str = "middle",
    start: np.ndarray | None = None,
    recipe: Recipe = Recipe(),
) -> Pictures:
    r"""Synthesise the pictures to which channels of a layer respond most.

    Gradient ascent on the pixels, from noise on grey, by tf-keras-vis. Each step raises

    .. math:: \ln\, (a_c(x) - a_c(x_0)) - \lambda_1\, \mathrm{TV}(x) - \lambda_2\, \lVert x - 1/2 \rVert

    where :math:`a_c` is the channel's activation before its ReLU (which is deaf below 0) and :math:`x_0` the start. The
    logarithm of what was gained makes the two regularisers weigh alike at every layer, whatever its unit and bias.

    Parameters
    ----------
    model : keras.Model
        Not changed.
    channels : int or sequence of int (n,)
    layer : str or int, optional
        By default the last whose map has more than one cell.
    where : "middle" or "everywhere"
        :math:`a_c` of the middle cell, which gives a picture as large as its receptive field, amid grey; or the mean
        over all cells, which gives a texture.
    start : float32 (n, size, size, 3), in [0, 1], optional
        Where to begin, instead of noise.
    recipe : Recipe
        Steps, seed, size, :math:`\lambda_1`, :math:`\lambda_2` and the like.

    Raises
    ------
    CrackvizError
        Where there is no such layer or channel, an argument is out of its range, or the layers don't take the size.

    Notes
    -----
    Erhan, Bengio, Courville, Vincent: *Visualizing higher-layer features of a deep network*, 2009; Olah, Mordvintsev,
    Schubert: *Feature visualization*, Distill 2017. Departures from tf-keras-vis: the pixels are kept in [0, 1] in
    every step (it cuts them at the end only); the norm is taken from mid-grey (it pulls towards black, which is what a
    crack is); the jitter stays within its bounds, instead of walking off, and has a random generator of its own; all
    pictures move equally quickly. ``THEORY.md`` T4.
    """
    name = layer_names(model, layer)[0]
    tensor = map_layers(model)[name]
    numbers = [int(c) for c in np.atleast_1d(np.asarray(channels))]
    if not numbers or not all(0 <= c < tensor.shape[-1] for c in numbers):
        raise CrackvizError(
            f"channels is {channels!r}; expected numbers from 0 to {tensor.shape[-1] - 1}, the channels of {name!r}."
        )
    check_choice("where", where, ("middle", "everywhere"))

    def score(maps: tf.Tensor) -> tf.Tensor:
        chosen = tf.gather(maps, numbers, axis=3, batch_dims=0)
        own = tf.transpose(tf.linalg.diag_part(tf.transpose(chosen, (1, 2, 0, 3))), (2, 0, 1))
        if where == "middle":
            return own[:, own.shape[1] // 2, own.shape[2] // 2]
        return tf.reduce_mean(own, axis=(1, 2))

    found, linear = _climb(model, tensor, score, numbers, start, recipe.filled(3.0, 2))
    if where == "everywhere":
        return found
    height, width = linear.outputs[0].shape[1:3]
    try:
        box = field_box(linear, list(walk(linear))[-1], (height // 2, width // 2))
    except CrackvizError:
        return found
    return found._replace(box=box)


@one_by_one
def maximise_logit(
    model: keras.Model,
    target: Target = "crack",
    *,
    start: np.ndarray | None = None,
    recipe: Recipe = Recipe(),
) -> Pictures:
    """Synthesise the picture that the network finds most like a class: the one of the largest logit.

    The logit, not the probability, which is 1 and without slope long before. Arguments and errors are otherwise those
    of :func:`maximise`; values are in logits.

    Parameters
    ----------
    target : str or int
        Whose logit; "no_crack" is minus that of "crack", where the network has one.
    start : float32 (n, size, size, 3), in [0, 1], optional
        Pictures to begin with, such as real patches; by default one of noise.

    Notes
    -----
    Simonyan, Vedaldi, Zisserman: *Deep inside convolutional networks*, ICLR workshop 2014. ``THEORY.md`` T4.
    """
    column, sign = target_index(model, target)

    def score(logits: tf.Tensor) -> tf.Tensor:
        return sign * logits[:, column]

    count = 1 if start is None else len(start)
    return _climb(model, tail(model).output, score, range(count), start, recipe.filled(10.0, 4))[0]


def _climb(
    model: keras.Model,
    tensor: Any,
    score: Callable[[tf.Tensor], tf.Tensor],
    numbers: Sequence[int],
    start: np.ndarray | None,
    recipe: Recipe,
) -> tuple[Pictures, keras.Model]:
    from tf_keras_vis.activation_maximization import ActivationMaximization  # type: ignore[import-untyped]
    from tf_keras_vis.activation_maximization.input_modifiers import Jitter  # type: ignore[import-untyped]

    class SteadyJitter(Jitter):
        random, place = np.random.default_rng((recipe.seed, 1)), np.zeros(2, int)

        def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
            before, self.place = self.place, self.random.integers(-self.jitter, self.jitter + 1, 2)
            return tf.roll(pictures, self.place - before, (1, 2))

    shaken, linear, compiled = SteadyJitter(recipe.jitter), _linear(model, tensor, recipe.size), _compiler(recipe)
    linear.call = compiled(linear.call)  # else tf-keras-vis runs it operation by operation
    if start is None:
        start = _noise(linear.inputs[0].shape[1:], recipe.seed, numbers)
    elif len(start) != len(numbers):
        raise CrackvizError(f"start holds {len(start)} pictures for {len(numbers)} channels; expected one each.")
    start = check_images(linear, start)

    @compiled
    def admissible(pictures: tf.Tensor) -> tf.Tensor:
        if not recipe.colour:
            pictures = tf.repeat(tf.reduce_mean(pictures, axis=3, keepdims=True), 3, axis=3)
        return tf.clip_by_value(pictures, 0.0, 1.0)

    started = score(linear([start], training=False))

    @compiled
    def gain(output: tf.Tensor) -> tf.Tensor:  # its gradient is that of the logarithm of what was gained
        gained = score(output) - started
        return gained / tf.stop_gradient(tf.abs(gained) + 1e-6)

    @compiled
    def even(gradient: tf.Tensor) -> tf.Tensor:  # a picture in which little moves is changed as quickly as any
        size = tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2, 3), keepdims=True))
        return tf.math.divide_no_nan(gradient, size)

    with progress(None, "climbing", recipe.steps, unit="step") as bar:
        images = ActivationMaximization(linear)(
            gain,
            seed_input=tf.constant(start),
            input_range=(0.0, 1.0),
            input_modifiers=[shaken, admissible],
            regularizers=_penalties(recipe),
            steps=recipe.steps,
            gradient_modifier=even,
            optimizer=keras.optimizers.Adam(recipe.learning_rate),
            callbacks=[_moving(bar)],
        )
    images = admissible(tf.roll(images, -shaken.place, (1, 2))).numpy()
    reached = score(linear([images], training=False))
    return Pictures(images, reached.numpy(), started.numpy(), (0, 0, *images.shape[1:3])), linear


def _compiler(recipe: Recipe) -> Callable[[Any], Any]:
    """Return what compiles a function that is called in each step; for few steps that takes longer than it saves."""
    return tf.function if recipe.steps >= 20 else lambda function: function


def _penalties(recipe: Recipe) -> list[Any]:
    """Return the regularisers."""
    from tf_keras_vis.activation_maximization.regularizers import Norm, TotalVariation2D  # type: ignore[import-untyped]

    compiled = _compiler(recipe)

    class Smoothness(TotalVariation2D):
        @compiled
        def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
            return super().__call__(pictures)

    class Greyness(Norm):
        @compiled
        def __call__(self, pictures: tf.Tensor) -> tf.Tensor:
            return super().__call__(pictures - 0.5)

    return [Smoothness(recipe.smoothness), Greyness(recipe.greyness, p=2)]


def _moving(bar: Any) -> Any:
    """Return what moves a progress bar at every step."""
    from tf_keras_vis.activation_maximization.callbacks import Callback  # type: ignore[import-untyped]

    class Step(Callback):
        def __call__(self, *_: Any, **__: Any) -> None:
            bar.update()

    return Step()


def _noise(shape: Any, seed: int, numbers: Sequence[int]) -> np.ndarray:
    """Return noise on grey, by the number of each picture: strong enough to wake ReLUs that sleep on plain grey."""
    if None in shape:
        raise CrackvizError("The model takes images of any size: say which, by size.")
    noise = [np.random.default_rng((seed, 0, number)).uniform(-0.25, 0.25, shape) for number in numbers]
    return np.stack(noise).astype(np.float32) + np.float32(0.5)


def _linear(model: keras.Model, tensor: Any, size: int | None) -> keras.Model:
    """Return a copy of the network up to `tensor`, without the activation there, for images of `size` px."""
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear  # type: ignore[import-untyped]

    part = keras.Model([model.inputs[0]], tensor)
    sides = (size, size) if size is not None else tuple(model.inputs[0].shape[1:3])
    try:
        copy = keras.models.clone_model(part, input_tensors=[keras.Input((*sides, 3))])
        copy.set_weights(part.get_weights())
    except (ValueError, TypeError) as error:
        raise CrackvizError(
            f"The layers don't take pictures of {sides[0]} x {sides[1]} px ({str(error).splitlines()[0]}). "
            "Leave size out."
        ) from error
    ReplaceToLinear()(copy)
    return copy
