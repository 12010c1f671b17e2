"""DeepLIFT: a network run twice, and a way back on which every bend is replaced by the straight line across it.

The network is taken apart into steps, each of which is linear or has a rule. A rule is the way back of its step: given
the step's input for the image and for the reference, it turns the multipliers of its output into those of its input.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from crackviz import CrackvizError
from crackviz.attribution.gradients import Baseline, baseline_images, pixel_method
from crackviz.attribution.network import VECTOR, Network, chunks, compiled, walk

Function = Callable[..., tf.Tensor]
Rule = Callable[[list[tf.Tensor], list[tf.Tensor], tf.Tensor, tf.Tensor], tf.Tensor]

LINEAR = (
    *(layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D, layers.Conv2DTranspose, layers.Dense),
    *(layers.BatchNormalization, layers.Normalization, layers.Rescaling, layers.Dropout, layers.SpatialDropout2D),
    *(layers.AveragePooling2D, layers.GlobalAveragePooling2D, layers.UpSampling2D, layers.ZeroPadding2D),
    *(layers.Cropping2D, layers.Flatten, layers.Reshape, layers.Permute, layers.Identity),
    *(layers.Add, layers.Subtract, layers.Average, layers.Concatenate),
)
"""Linear but for a constant, their `activation` left out, as long as nothing is being trained."""


class Part(NamedTuple):
    """One step of the network: what it computes of which others, and its rule; None where it is linear."""

    name: str
    inputs: list[str]
    function: Function
    rule: Rule | None
    largest: bool = False
    """Whether it is a maximum of windows."""


@pixel_method("DeepLIFT", "Shrikumar et al. 2017", signed=True, complete=True, cost=(2, 1))
def deep_lift(model: keras.Model, images: np.ndarray, along: np.ndarray, *, baseline: Baseline = "mean") -> np.ndarray:
    r"""Hand the logit's difference from a reference back, layer by layer, down to the pixels: the rescale rule.

    A linear step hands back by its weights. A bend :math:`y = f(x)` does so by the slope of the straight line from the
    reference to the image, :math:`m = \Delta y / \Delta x`, in place of the slope at the image; so that exactly, but
    for rounding,

    .. math:: L = (x - x') \, m, \qquad \sum L = z(x) - z(x').

    It costs two passes forwards and one backwards, and has what integrated gradients need many steps for. Other
    arguments, result and errors are those of :func:`gradient`, in logits per pixel; refused besides are networks with a
    layer that has no rule.

    Parameters
    ----------
    baseline : "black", "mean", "blur", number or array
        The reference; see :func:`baseline_images` and :func:`integrated_gradients`.

    Notes
    -----
    Shrikumar, Greenside, Kundaje: *Learning Important Features Through Propagating Activation Differences*, ICML 2017.
    Rules beyond the paper: max-pooling hands a rise to the image's largest cell and a fall to the reference's, as
    captum does (Kokhlikyan et al. 2020); but where several of the reference are equally large, as in a plain one, and
    the image's largest is one of them, a fall goes there, too (captum: to the first). A ReLU that a max-pooling alone
    reads is taken after it: the same function, without windows that hold nothing but zeros. A product hands back to
    each factor by the mean of the other's two values, which is the Shapley value of two players:
    :math:`\Delta(ab) = \Delta a \, (b + b')/2 + \Delta b \, (a + a')/2`.
    Where :math:`\Delta x` is 0 the slope at the image is taken. The paper's other rule, RevealCancel, isn't here.
    ``THEORY.md`` T7.
    """
    lift = compiled(model, _build_lift)
    start = None if isinstance(baseline, str) and baseline != "black" else baseline_images(images, baseline)
    alike = start is not None and not start.strides[0]  # one reference for all: it goes through the network once a lot
    maps = np.empty(images.shape[:3], np.float32)
    for some in chunks(images):
        base = baseline_images(images[some], baseline) if start is None else start[slice(1) if alike else some]
        maps[some] = lift(images[some], np.ascontiguousarray(base), along).numpy()
    return maps


def _build_lift(network: Network) -> Any:
    parts = _cut_off_last(_parts(keras.Model(network.network.inputs, network.network.outputs[-1])))

    @tf.function(input_signature=[network.signature, network.signature, VECTOR])
    def lift(images: tf.Tensor, base: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        reference = {parts[0].name: base}
        for part in parts[1:]:
            reference[part.name] = part.function(*(reference[name] for name in part.inputs))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            values = {parts[0].name: images}
            for part in parts[1:]:
                given = [values[name] for name in part.inputs]
                values[part.name] = part.function(*given)
                if part.rule:
                    there = [reference[name] for name in part.inputs]
                    values[part.name] = part.rule(given, there, values[part.name], reference[part.name])
            score = tf.tensordot(network.logits(values[parts[-1].name]), along, 1)
        multipliers = tape.gradient(score, images, unconnected_gradients="zero")
        return tf.reduce_sum(multipliers * (images - base), axis=-1)

    return lift


# --- taking a network apart ---------------------------------------------------------------------------------------


def _parts(model: keras.Model, prefix: str = "", start: str = "") -> list[Part]:
    """List the steps from the model's input, which comes first, to its output, nested models taken apart as well."""
    found: list[Part] = []
    names: dict[str, str] = {}  # of the part that ends a step of the graph
    for name, step in walk(model).items():
        inputs = [names[one] for one in step.inputs]
        if not inputs and start:  # a nested model begins where the outer one has come to
            names[name] = start
            continue
        if isinstance(step.layer, keras.Model):
            found += _parts(step.layer, f"{prefix}{name}/", inputs[0])
        else:
            found += _rules(step.layer, prefix + name, inputs)
        names[name] = found[-1].name
    return found


def _cut_off_last(parts: list[Part]) -> list[Part]:
    """Take a ReLU that only a max-pooling reads after that pooling: the same function, but its zeros aren't all alike.

    What is largest in a window is what it was before, as long as there are no ties; of many zeros none would be.
    """
    made = {part.name: part for part in parts}
    readers = [name for part in parts for name in part.inputs]
    found = {part.name: part for part in parts}
    for pool in parts:
        relu = made[pool.inputs[0]] if pool.inputs else pool
        if pool.largest and relu.rule is _relu and readers.count(relu.name) == 1:
            found[relu.name] = pool._replace(name=relu.name, inputs=relu.inputs)
            found[pool.name] = relu._replace(name=pool.name, inputs=pool.inputs)
    return list(found.values())


def _rules(layer: Any, name: str, inputs: list[str]) -> list[Part]:
    """Return a layer's parts: what it computes, and its activation after that."""
    kind = type(layer)
    if not inputs:
        return [Part(name, inputs, tf.identity, None)]
    if kind in LINEAR:
        function = _merging(layer) if len(inputs) > 1 else layer
        activation = getattr(layer, "activation", None)
        if activation in (None, keras.activations.linear):
            return [Part(name, inputs, function, None)]
        before = Part(f"{name} before its activation", inputs, _without_activation(layer), None)
        return [before, Part(name, [before.name], activation, _bend(activation, layer))]
    if kind in (layers.MaxPooling2D, layers.GlobalMaxPooling2D):
        return [Part(name, inputs, layer, _maximum(layer), largest=True)]
    if kind is layers.Multiply and len(inputs) == 2:
        return [Part(name, inputs, tf.multiply, _product)]
    if len(inputs) == 1:
        return [Part(name, inputs, layer, _bend(layer, layer))]
    raise _no_rule(layer)


def _no_rule(layer: Any) -> CrackvizError:
    return CrackvizError(
        f"DeepLIFT has no rule for {type(layer).__name__} {layer.name!r}. It knows convolutions, dense layers, "
        "pooling, batch normalisation, sums, concatenation, the product of two, and activations that see one value at "
        "a time. Take integrated_gradients for this model."
    )


def _merging(layer: Any) -> Function:
    return lambda *inputs: layer(list(inputs))


def _without_activation(layer: Any) -> Function:
    """Return what a layer computes before its activation, by its weights as they are when it is called."""
    twin = type(layer).from_config(layer.get_config() | {"activation": None})
    twin.build(*(layer._build_shapes_dict.values()))

    def linear(x: tf.Tensor) -> tf.Tensor:
        weights = ([one.value for one in part] for part in (layer.trainable_variables, layer.non_trainable_variables))
        return twin.stateless_call(*weights, x)[0]

    return linear


# --- rules: the way back of a step ----------------------------------------------------------------------------------


def _back(inputs: list[tf.Tensor], output: tf.Tensor, multipliers: Callable[[tf.Tensor], Any]) -> tf.Tensor:
    """Return `output` such that its gradient by `inputs` is what `multipliers` makes of the one that arrives."""

    @tf.custom_gradient
    def through(*_: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], Any]]:
        return tf.identity(output), multipliers

    return through(*inputs)


def _bend(function: Function, layer: Any) -> Rule | None:
    """Return the rescale rule of a function of single values, None of a straight line; refused is one of several."""
    probe = np.array([-1e4, -10, -1, -0.1, 0, 1, 5, 1e4], np.float32)
    alone = together = np.zeros(0)
    with suppress(Exception):  # whatever doesn't take one tensor, or not of this shape, has no rule
        together, alone = (np.ravel(function(tf.reshape(probe, shape))) for shape in ((1, 1, 1, 8), (8, 1, 1, 1)))
    if together.shape != (8,) or not np.allclose(together, alone):
        raise _no_rule(layer)
    if np.allclose(together, together[4] + (together[5] - together[4]) * probe):
        return None
    if np.array_equal(together, np.maximum(probe, 0)):
        return _relu

    def rule(inputs: list[tf.Tensor], there: list[tf.Tensor], y: tf.Tensor, y0: tf.Tensor) -> tf.Tensor:
        (x,), (r,) = inputs, there

        def rescale(g: tf.Tensor) -> tf.Tensor:
            way = x - r
            middle = (x + r) / 2
            with tf.GradientTape() as tape:
                tape.watch(middle)
                value = function(middle)
            slope = tape.gradient(value, middle)
            return g * tf.where(tf.abs(way) > 1e-5, tf.math.divide_no_nan(y - y0, way), slope)

        return _back([x], y, rescale)

    return rule


def _relu(inputs: list[tf.Tensor], there: list[tf.Tensor], y: tf.Tensor, y0: tf.Tensor) -> tf.Tensor:
    def rescale(g: tf.Tensor) -> tf.Tensor:
        both = y + y0  # (relu(x) - relu(r)) / (x - r) without a difference that float32 would lose
        return g * tf.math.divide_no_nan(both, 2.0 * both - (inputs[0] + there[0]))

    return _back(inputs, y, rescale)


def _product(inputs: list[tf.Tensor], there: list[tf.Tensor], y: tf.Tensor, y0: tf.Tensor) -> tf.Tensor:
    a, b = (tf.broadcast_to(one, tf.shape(y)) for one in inputs)
    return _back([a, b], y, lambda g: (g * (b + there[1]) / 2, g * (a + there[0]) / 2))


def _maximum(layer: Any) -> Rule:
    """Return the rule of max-pooling: a window's change goes to one cell, the largest in the image or the reference."""
    select, spread = (_of_all if isinstance(layer, layers.GlobalMaxPooling2D) else _of_windows)(layer)

    def rule(inputs: list[tf.Tensor], there: list[tf.Tensor], y: tf.Tensor, y0: tf.Tensor) -> tf.Tensor:
        (x,), (r,) = inputs, (tf.broadcast_to(there[0], tf.shape(inputs[0])),)
        top = tf.broadcast_to(y0, tf.shape(y))

        def hand_back(g: tf.Tensor) -> tf.Tensor:
            before, after = select(x, y, r), select(r, top, x)
            # All to the image's largest cell, where it rose, or fell from where it was a largest one, but for rounding.
            still = tf.where(y == top, 1.0, -1.0)
            to_image = tf.where(y == before, still, tf.math.divide_no_nan(y - top, y - before))
            to_reference = tf.math.divide_no_nan(y - top, after - top)
            stays = tf.logical_and(to_image >= 0.0, to_image < 1.001)
            to_image, to_reference = tf.where(stays, g * to_image, 0.0), tf.where(stays, 0.0, g * to_reference)
            return spread(x, y, to_image) + spread(r, top, to_reference)

        return _back([x], y, hand_back)

    return rule


def _of_windows(layer: Any) -> tuple[Function, Function]:
    """Return what reads values where x is largest, window by window, and what puts values there."""
    how = {
        "ksize": [1, *layer.pool_size, 1],
        "strides": [1, *layer.strides, 1],
        "padding": layer.padding.upper(),
    }
    ops = tf.raw_ops

    def select(x: tf.Tensor, y: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return ops.MaxPoolGradGrad(orig_input=x, orig_output=y, grad=values, **how)

    return select, lambda x, y, values: ops.MaxPoolGrad(orig_input=x, orig_output=y, grad=values, **how)


def _of_all(layer: Any) -> tuple[Function, Function]:
    """Return the same of a maximum over the whole map."""

    def largest(x: tf.Tensor) -> tf.Tensor:
        """Return 1 where a channel is largest, first, in (N, H W, C)."""
        rows = tf.reshape(x, (tf.shape(x)[0], -1, x.shape[-1]))
        return tf.one_hot(tf.argmax(rows, axis=1), tf.shape(rows)[1], axis=1)

    def select(x: tf.Tensor, y: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        found = tf.reduce_sum(largest(x) * tf.reshape(values, (tf.shape(x)[0], -1, x.shape[-1])), axis=1)
        return tf.reshape(found, tf.shape(y))

    def spread(x: tf.Tensor, y: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(largest(x) * tf.reshape(values, (tf.shape(x)[0], 1, x.shape[-1])), tf.shape(x))

    return select, spread
