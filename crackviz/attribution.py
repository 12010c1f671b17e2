"""Where in an image a decision comes from (``THEORY.md`` T6).

One function per method, one signature::

    METHODS[name](model, images, *, target="crack", layer=None, upsample=True) -> float32 (N, H, W)

A map is raw and signed: positive where the image speaks for the target, negative where it speaks against it, in
logits per position. Scaling is left to the display.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from crackviz import CrackvizError, data

Target = str | int
CHUNK = 16
"""Images that go through the network at once."""


class _Step(NamedTuple):
    """One use of a layer, on the way from a model's input to its output."""

    layer: Any
    inputs: list[str]
    output: Any


def _input(model: keras.Model) -> Any:
    if not getattr(model, "built", False) or not getattr(model, "outputs", None):
        raise CrackvizError(
            f"The model {model.name!r} has no graph yet: call it on a batch of images, or give it keras.Input first."
        )
    if len(model.outputs) != 1 or len(model.inputs) != 1:
        raise CrackvizError(
            f"The model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one of each."
        )
    return model.inputs[0]


def _graph(model: keras.Model) -> dict[str, _Step]:
    """List the layers between the model's input and output, by name, in the order of computation.

    ``layer.output`` would not do: it is ambiguous for a layer that several models share, and for a nested model
    it is the inner tensor, which the outer graph doesn't know.
    """
    start = _input(model)
    found: dict[tuple[int, int], tuple[Any, list[Any], Any]] = {}
    waiting = [model.outputs[0]]
    while waiting:
        tensor = waiting[-1]
        operation, node_index = tensor._keras_history[:2]
        key = (id(operation), node_index)
        inputs = [] if tensor is start else list(operation._inbound_nodes[node_index].input_tensors)
        missing = [before for before in inputs if _key(before) not in found]
        waiting = waiting + missing if missing else waiting[:-1]
        if not missing:
            found[key] = (operation, inputs, tensor)
    names: dict[tuple[int, int], str] = {}
    for key, (operation, _, _) in found.items():  # a layer that is used again is called relu, relu:2, ...
        times = sum(other[0] == key[0] for other in names)
        names[key] = operation.name if times == 0 else f"{operation.name}:{times + 1}"
    return {
        names[key]: _Step(operation, [names[_key(before)] for before in inputs], tensor)
        for key, (operation, inputs, tensor) in found.items()
    }


def _key(tensor: Any) -> tuple[int, int]:
    operation, node_index = tensor._keras_history[:2]
    return id(operation), node_index


def _tail(model: keras.Model) -> _Step:
    """Find the layer that makes the logits: the last Dense, followed by nothing but an activation."""
    steps = _graph(model)
    step = list(steps.values())[-1]
    while isinstance(step.layer, (keras.layers.Activation, keras.layers.Softmax)):
        step = steps[step.inputs[0]]
    if not isinstance(step.layer, keras.layers.Dense):
        raise CrackvizError(
            f"The model ends in {type(step.layer).__name__} {step.layer.name!r}; expected Dense, with an activation "
            "in it or after it, so that the logit can be read. Where the whole network is nested in another model, "
            "explain the inner one."
        )
    if len(steps[step.inputs[0]].output.shape) != 2:
        raise CrackvizError(
            f"The last Dense layer {step.layer.name!r} gets {tuple(steps[step.inputs[0]].output.shape)}; expected "
            "(N, features): pool or flatten before it."
        )
    return step


def logits(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the logits of `images`: what the network computes before the sigmoid or softmax.

    Parameters
    ----------
    model : keras.Model
        Ends in Dense, with an activation in it or after it.
    images : float32 (N, H, W, 3), in [0, 1]

    Returns
    -------
    numpy.ndarray
        float32 (N,) for one sigmoid unit, (N, k) for k classes.

    Raises
    ------
    CrackvizError
        Where the model's end isn't understood, or the images break the contract.
    """
    images = check_images(model, images)
    values = _in_chunks(_compiled(model, None).logits, images)
    return values[:, 0] if values.shape[1] == 1 else values


def bias(model: keras.Model) -> np.ndarray:
    """Return the bias of the logits: (1,) or (k,) float32, the part that no pixel accounts for."""
    dense = _tail(model).layer
    return dense.bias.numpy() if dense.use_bias else np.zeros(dense.units, np.float32)


def check_images(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return `images` where they keep the contract: float32 (N, H, W, 3) in [0, 1], of the model's size.

    Raises
    ------
    CrackvizError
        Otherwise. Nothing is converted silently: a map of images that the network never saw the like of looks
        as convincing as any.
    """
    if not isinstance(images, np.ndarray):
        images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or len(images) == 0:
        advice = " Add the batch axis: images[np.newaxis]." if images.ndim == 3 else ""
        raise CrackvizError(f"Images have shape {images.shape}; expected (N, H, W, 3), N > 0.{advice}")
    if images.dtype != np.float32:
        advice = "images.astype('float32') / 255" if images.dtype == np.uint8 else "images.astype('float32')"
        raise CrackvizError(f"Images are {images.dtype}; expected float32 in [0, 1]. Use {advice}.")
    # Read as whole numbers, the floats from 0 to 1 are those up to 1.0's; negative ones and NaN are larger. One pass.
    within = images.view(np.uint32).max() <= np.float32(1).view(np.uint32)
    if not within and not (images.min() >= 0 and images.max() <= 1):  # -0.0 alone gets here and passes
        low, high = float(images.min()), float(images.max())
        advice = " Divide by 255." if high > 2 else ""
        raise CrackvizError(f"Images reach from {low:g} to {high:g}; expected [0, 1] without NaN.{advice}")
    wanted = tuple(_input(model).shape[1:3])
    if any(side is not None and side != got for side, got in zip(wanted, images.shape[1:3], strict=True)):
        raise CrackvizError(
            f"Images are {images.shape[1]} x {images.shape[2]} px, but the model takes {wanted[0]} x {wanted[1]}. "
            f"Read them by data.load_images(paths, {wanted[0]})."
        )
    return images


def target_index(model: keras.Model, target: Target) -> tuple[int, float]:
    """Return which logit stands for `target`, and its sign.

    Parameters
    ----------
    model : keras.Model
    target : str or int
        "crack" or "no_crack", or the number of the class. With one logit, "no_crack" (0) is the same logit with
        the sign turned.

    Returns
    -------
    (int, float)
        Column of the logits, +1.0 or -1.0.

    Raises
    ------
    CrackvizError
        Where there is no such class.
    """
    units = _compiled(model, None).units
    classes = max(units, 2)
    if isinstance(target, str):
        if classes != 2 or target not in data.CLASS_NAMES:
            expected = " or ".join(map(repr, data.CLASS_NAMES)) if classes == 2 else f"0 … {classes - 1}"
            raise CrackvizError(f"target is {target!r}; expected {expected} for this model of {classes} classes.")
        target = data.CLASS_NAMES.index(target)
    if not isinstance(target, int | np.integer) or not 0 <= target < classes:
        raise CrackvizError(f"target is {target!r}; expected a class from 0 to {classes - 1}.")
    return (0, 1.0 if target == 1 else -1.0) if units == 1 else (int(target), 1.0)


def ladder(model: keras.Model) -> pd.DataFrame:
    """List the layers whose maps can be explained, with what one cell of each sees.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    pandas.DataFrame
        Indexed by layer name, in the order of the network: ``kind``, ``height``, ``width`` (cells; None where the
        model takes any size), ``channels``, ``stride`` (distance of two cells in input px) and
        ``receptive_field`` (side in input px of the square that a cell can depend on; the largest, where paths of
        several lengths meet). NaN where a layer's kind isn't known.

    Notes
    -----
    Araujo, Norris, Sim: *Computing receptive fields of convolutional neural networks*, Distill 2019.
    ``THEORY.md`` T6.
    """
    seen: dict[str, tuple[float, float]] = {}
    rows = []
    for name, (layer, inputs, output) in _graph(model).items():
        if not inputs:
            seen[name] = (1.0, 1.0)
            continue
        before = [seen[earlier] for earlier in inputs]
        stride, field = (float(np.max(values)) for values in zip(*before, strict=True))
        kernel, step = _kernel_and_stride(layer)
        seen[name] = (stride * step, field + (kernel - 1) * stride)
        shape = output.shape
        if len(shape) != 4:
            continue
        rows.append(
            {
                "layer": name,
                "kind": type(layer).__name__,
                "height": shape[1],
                "width": shape[2],
                "channels": shape[3],
                "stride": seen[name][0],
                "receptive_field": seen[name][1],
            }
        )
    columns = ["layer", "kind", "height", "width", "channels", "stride", "receptive_field"]
    return pd.DataFrame(rows, columns=columns).set_index("layer")


_SLIDING = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)
_POINTWISE = (
    *(keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.BatchNormalization),
    *(keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.Identity, keras.layers.Rescaling),
    *(keras.layers.ZeroPadding2D, keras.layers.Add, keras.layers.Concatenate, keras.layers.Normalization),
)


def _kernel_and_stride(layer: keras.layers.Layer) -> tuple[float, float]:
    """Return (kernel, stride) of the larger side; NaN for layers of which it isn't known what a cell sees."""
    if isinstance(layer, _POINTWISE):
        return 1, 1
    if not isinstance(layer, _SLIDING):
        return np.nan, np.nan
    size = getattr(layer, "kernel_size", getattr(layer, "pool_size", (1, 1)))
    return (max(size) - 1) * max(getattr(layer, "dilation_rate", (1, 1))) + 1, max(layer.strides)


def default_layer(model: keras.Model) -> str:
    """Return the name of the layer that is explained where none is named: the last with a map of H, W > 1."""
    table = ladder(model)
    more_than_one = ~((table["height"] == 1) | (table["width"] == 1))
    if not more_than_one.any():
        raise CrackvizError(
            f"The model {model.name!r} has no layer with a map of more than one cell: there is nothing to draw."
        )
    return str(table.index[more_than_one][-1])


def _layer_output(model: keras.Model, name: str | None) -> Any:
    name = default_layer(model) if name is None else name
    steps = _graph(model)
    choices = ", ".join(ladder(model).index)
    if name in steps:
        output = steps[name].output
        if len(output.shape) != 4 or not steps[name].inputs:
            raise CrackvizError(f"Layer {name!r} gives {tuple(output.shape)}, no map of it; choose one of {choices}.")
        return output
    for outer, step in steps.items():
        if isinstance(step.layer, keras.Model) and any(inner.name == name for inner in step.layer.layers):
            raise CrackvizError(
                f"Layer {name!r} lies inside the nested model {outer!r}, out of reach of the gradient. Build the "
                f"network flat (an application takes input_tensor=…), or choose {outer!r} itself."
            )
    raise CrackvizError(f"There is no layer {name!r}; choose one of {choices}.")


class _Compiled(NamedTuple):
    """What explains one layer of a model, traced once for any number of images."""

    grad_cam: Callable[..., Any]
    logits: Callable[..., Any]
    units: int


_CACHE: weakref.WeakKeyDictionary[keras.Model, dict[Any, _Compiled]] = weakref.WeakKeyDictionary()


def _compiled(model: keras.Model, layer: str | None) -> _Compiled:
    made = _CACHE.setdefault(model, {})
    if layer in made:
        return made[layer]
    tail = _tail(model)
    # The functions hold the layers, not the model: a cache entry must not keep its own key alive.
    features = _graph(model)[tail.inputs[0]].output
    network = keras.Model(model.inputs[0], [_layer_output(model, layer), features])
    dense = tail.layer
    signature = tf.TensorSpec((None, *model.inputs[0].shape[1:]), tf.float32)

    def logits_of(features: tf.Tensor) -> tf.Tensor:
        values = tf.matmul(tf.cast(features, tf.float32), dense.kernel)
        return values + dense.bias if dense.use_bias else values

    @tf.function(
        input_signature=[
            signature,
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((), tf.float32),
            tf.TensorSpec((), tf.bool),
        ]
    )
    def grad_cam_maps(images: tf.Tensor, index: tf.Tensor, sign: tf.Tensor, upsample: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            activations, features = network(images, training=False)
            score = sign * tf.gather(logits_of(features), index, axis=1)
        gradient = tape.gradient(score, activations, unconnected_gradients="zero")
        weights = tf.reduce_mean(gradient, axis=(1, 2))
        maps = tf.einsum("nhwc,nc->nhw", activations, weights)
        if upsample:
            maps = _enlarge(maps, tf.shape(images)[1:3])
        return maps

    @tf.function(input_signature=[signature])
    def only_logits(images: tf.Tensor) -> tf.Tensor:
        return logits_of(network(images, training=False)[1])

    made[layer] = _Compiled(grad_cam_maps, only_logits, dense.units)
    return made[layer]


def _in_chunks(explain: Callable[..., Any], images: np.ndarray) -> np.ndarray:
    """Explain some images after the others: the activations of a few stay in the processor's cache."""
    first = explain(images[:CHUNK]).numpy()
    if len(images) <= CHUNK:
        return first
    values = np.empty((len(images), *first.shape[1:]), first.dtype)
    values[:CHUNK] = first
    for i in range(CHUNK, len(images), CHUNK):
        values[i : i + CHUNK] = explain(images[i : i + CHUNK]).numpy()
    return values


@tf.function(input_signature=[tf.TensorSpec((None, None, None), tf.float32), tf.TensorSpec((2,), tf.int32)])
def _enlarge(maps: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    return tf.image.resize(maps[..., tf.newaxis], size, "bilinear")[..., 0]


def grad_cam(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    layer: str | None = None,
    upsample: bool = True,
) -> np.ndarray:
    r"""Explain a decision by Grad-CAM: signed, unscaled, of the logit.

    With the activations :math:`A_{ijc}` of `layer` and the target's logit :math:`z`,

    .. math:: L_{ij} = \sum_c \alpha_c A_{ijc}, \qquad
              \alpha_c = \frac{1}{HW} \sum_{ij} \frac{\partial z}{\partial A_{ijc}}.

    At the layer that feeds the global average pooling the map adds up to the logit less the bias, exactly:
    :math:`\sum_{ij} L_{ij} = z - b`, as long as it isn't enlarged. At an earlier layer it doesn't, and there the map
    is an approximation. Enlarged, it lies exactly on an image whose side is a multiple of the layer's stride; on
    others it is stretched by the remainder.

    Parameters
    ----------
    model : keras.Model
        Ends in Dense, with a sigmoid or softmax in it or after it.
    images : float32 (N, H, W, 3), in [0, 1]
    target : str or int
        Class to explain. With one logit, the map of "no_crack" is that of "crack" with the sign turned.
    layer : str, optional
        Name of a layer with a 4-D output; by default the last whose map has more than one cell. See
        :func:`ladder`.
    upsample : bool
        Whether the map is enlarged to the image's size: bilinear, half-pixel centres, so nothing shifts.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W), or (N, h, w) as the layer has it without `upsample`. In logits per cell of the layer;
        a dead network gives zeros.

    Raises
    ------
    CrackvizError
        Where the images break the contract, or there is no such target or layer.

    Notes
    -----
    Selvaraju et al.: *Grad-CAM*, ICCV 2017. Two departures: the paper keeps the positive part only, here the
    negative part stays, because it is what speaks for the other class; and the paper's networks end in a softmax
    of k logits, whereas one logit and its negative stand for two classes here. ``THEORY.md`` T6.
    """
    images = check_images(model, images)
    index, sign = target_index(model, target)
    explain = _compiled(model, layer).grad_cam
    if len(images) <= CHUNK:  # for a few images a second call would cost half a forward pass
        return explain(images, index, sign, upsample).numpy()
    maps = _in_chunks(lambda some: explain(some, index, sign, False), images)
    return _enlarge(maps, images.shape[1:3]).numpy() if upsample else maps


METHODS: dict[str, Callable[..., np.ndarray]] = {"grad_cam": grad_cam}
"""Attribution methods by name."""
