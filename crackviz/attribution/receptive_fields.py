"""Strides and receptive fields of layers: computed, measured, and the box that a cell sees."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.network import Layer, Network, check_images, compiled, layer_names, walk
from crackviz.contracts import check_flag
from crackviz.models.graph import AUGMENTING

Pair = tuple[int, int]
SLIDING = (
    keras.layers.Conv2D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
)
POINTWISE = (
    *(keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.BatchNormalization),
    *(keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.Identity, keras.layers.Rescaling),
    *(keras.layers.Concatenate, keras.layers.Normalization, *AUGMENTING),
    *(keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply, keras.layers.Average, keras.layers.Maximum),
)


def field_box(
    model: keras.Model, layer: Layer | None, cell: Pair, size: Pair | None = None, *, clip: bool = True
) -> tuple[int, int, int, int]:
    r"""Return the box of input pixels that a cell of a layer sees.

    Cell i of a kernel of k cells, in steps of s, after p cells of padding, sees the cells :math:`is - p` to
    :math:`is - p + k - 1` of the layer before; this is followed back to the pixels. A dilated kernel's holes count.

    Parameters
    ----------
    model : keras.Model
    layer : str, int or None
        None: the last whose map has more than one cell.
    cell : (int, int)
        Row and column, counted from 0.
    size : (int, int), optional
        Height and width of the images in px, where the model takes any.
    clip : bool
        Cut the box off at the picture's border. False: it may reach into the padding, and has the same size everywhere.

    Returns
    -------
    (int, int, int, int)
        top, left, bottom, right in px, half-open: ``image[top:bottom, left:right]`` is what the cell sees.

    Raises
    ------
    CrackvizError
        Where there is no such layer or cell, or a layer on the way is of a kind whose view isn't known.

    Notes
    -----
    :func:`ladder` names the paper. ``THEORY.md`` T5.
    """
    check_flag("clip", clip)
    name = layer_names(model, layer)[0]
    given = model.inputs[0].shape[1:3]
    if None in given:
        if size is None:
            raise CrackvizError("The model takes images of any size: say which, by size=(height, width).")
        given = size
    steps = walk(model)
    sides: dict[str, Pair] = {}  # height and width of each layer's map
    for one, (operation, inputs, _) in steps.items():
        before = sides[inputs[0]] if inputs else given
        sides[one] = (_side(operation, 0, before[0]), _side(operation, 1, before[1])) if inputs else before
        if one == name:
            break
    if not all(0 <= place < count for place, count in zip(cell, sides[name], strict=True)):
        raise CrackvizError(
            f"cell is {cell}, but layer {name!r} has {sides[name][0]} x {sides[name][1]} cells, counted from 0."
        )
    seen: dict[str, list[Pair]] = {name: [(cell[0], cell[0]), (cell[1], cell[1])]}
    for one in reversed(list(sides)):
        if one not in seen:
            continue
        operation, inputs, _ = steps[one]
        if not inputs:
            box = seen[one]
        for before in inputs:
            spans = [_back(operation, axis, seen[one][axis], sides[before][axis]) for axis in (0, 1)]
            if before in seen:  # two paths meet: what either sees
                spans = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(spans, seen[before], strict=True)]
            seen[before] = spans
    (top, bottom), (left, right) = box
    if clip:
        (top, bottom), (left, right) = (
            (max(low, 0), min(high, side - 1)) for (low, high), side in zip(box, given, strict=True)
        )
    return top, left, bottom + 1, right + 1


def _view(layer: Any, axis: int, side: int | None) -> tuple[int, int | Fraction, int | Fraction, int | Fraction] | None:
    """Return kernel, step, and padding before and behind, along an axis; None for a layer of which it isn't known.

    Cell i sees `kernel` cells of the `side` before the layer, from i · step - padding on.
    """
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return 1, 1, *layer.padding[axis]
    if isinstance(layer, keras.layers.Cropping2D):
        return 1, 1, -layer.cropping[axis][0], -layer.cropping[axis][1]
    if isinstance(layer, POINTWISE):
        return 1, 1, 0, 0
    if isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation in ("nearest", "bilinear"):
        small = Fraction(1, layer.size[axis])
        if layer.interpolation == "nearest":
            return 1, small, 0, 1 - small
        return 2, small, (1 - small) / 2, (3 - small) / 2  # between the middles of two cells
    if isinstance(layer, keras.layers.Conv2DTranspose) and layer.kernel_size == layer.strides:  # no two cells overlap
        small = Fraction(1, layer.strides[axis])
        return 1, small, 0, 1 - small
    if not isinstance(layer, SLIDING):
        return None
    size = getattr(layer, "kernel_size", None) or layer.pool_size
    dilation = np.broadcast_to(getattr(layer, "dilation_rate", 1), 2)  # a dilated kernel's holes count
    kernel, step = (size[axis] - 1) * int(dilation[axis]) + 1, layer.strides[axis]
    padded = max((-(-side // step) - 1) * step + kernel - side, 0) if side and layer.padding == "same" else 0
    return kernel, step, padded // 2, padded - padded // 2


def _side(layer: Any, axis: int, side: int) -> int:
    """Return how many cells a layer makes of `side` cells."""
    view = _view(layer, axis, side)
    if view is None:
        raise CrackvizError(
            f"What a cell sees through {type(layer).__name__} {layer.name!r} isn't known. "
            "Measure it: attribution.measured_field(model, images, layer)."
        )
    kernel, step, before, behind = view
    return int((side + before + behind - kernel) // step) + 1


def _back(layer: Any, axis: int, span: Pair, side: int) -> Pair:
    """Return which cells before a layer, of `side`, those from `span[0]` to `span[1]` after it see."""
    kernel, step, padding, _ = _view(layer, axis, side) or (0, 0, 0, 0)
    low, high = (place * step - padding for place in span)
    if isinstance(layer, keras.layers.UpSampling2D) and kernel == 2:  # beyond the last middle there is one cell alone
        return max(math.floor(low), 0), min(math.ceil(high), side - 1)
    return math.floor(low), math.floor(high) + kernel - 1


def ladder(model: keras.Model) -> pd.DataFrame:
    """List the layers whose maps can be explained, with what one cell of each sees.

    Returns
    -------
    pandas.DataFrame
        Indexed by layer name, in the order of the network: ``kind``, ``height``, ``width`` (cells; None where the
        model takes any size), ``channels``, ``stride`` (distance of two cells in input px), ``receptive_field``
        (side in input px of the square that a cell can depend on; the largest, where paths of several lengths meet)
        and ``cell`` (side in input px of a cell as it is drawn: the image's height over the rows, which is the stride
        where that divides the image; NaN where the model takes any size). NaN where a layer's kind isn't known.

    Notes
    -----
    Computed from kernels and strides; :func:`measured_field` confirms it by the gradient. Araujo, Norris, Sim:
    *Computing receptive fields of convolutional neural networks*, Distill 2019. ``THEORY.md`` T6.
    """
    seen: dict[str, np.ndarray] = {}  # stride and receptive field, along both axes
    rows = {}
    height = model.inputs[0].shape[1]
    for name, (layer, inputs, output) in walk(model).items():
        if not inputs:
            seen[name] = np.ones((2, 2))
            continue
        stride, field = np.max([seen[earlier] for earlier in inputs], axis=0)
        views = [_view(layer, axis, None) or (np.nan, np.nan) for axis in (0, 1)]
        kernel, step = (np.array([float(view[i]) for view in views]) for i in (0, 1))
        seen[name] = np.array([stride * step, field + (kernel - 1) * stride])
        if len(shape := output.shape) == 4:
            cell = height / shape[1] if height and shape[1] else np.nan
            rows[name] = (type(layer).__name__, *shape[1:], *seen[name].max(axis=1), cell)
    columns = ["kind", "height", "width", "channels", "stride", "receptive_field", "cell"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("layer")


def measured_field(
    model: keras.Model, images: np.ndarray, layer: Layer | None = None, *, cell: tuple[int, int] | None = None
) -> tuple[slice, slice]:
    """Measure, by the gradient, which pixels one cell of a layer depends on.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
        Where the cell is asked. A ReLU that is shut and a pixel that isn't the largest of its pooling window hide
        their path, so take several, and busy ones: noise does well.
    layer : str or int, optional
        By default the last whose map has more than one cell.
    cell : (int, int), optional
        Row and column of the cell; by default the middle one.

    Returns
    -------
    (slice, slice)
        Rows and columns of the smallest rectangle that holds every pixel with a gradient, for any of the images, by any
        channel: ``image[rows, columns]`` is what the cell saw. Never larger than the receptive field of :func:`ladder`,
        and as large where no path was hidden. Both are ``slice(0, 0)`` for a dead network.

    Raises
    ------
    CrackvizError
        Where the images break the contract, or there is no such layer or cell. ``THEORY.md`` T6.
    """
    images = check_images(model, images)
    names = layer_names(model, layer)
    gradient = compiled(model, _build_field, names)
    height, width = (int(side) for side in gradient(images[:1], (0, 0))[1])
    row, column = (height // 2, width // 2) if cell is None else cell
    if not (0 <= row < height and 0 <= column < width):
        raise CrackvizError(f"cell is {cell}, but layer {names[0]!r} has {height} x {width} cells, counted from 0.")
    touched = gradient(images, (row, column))[0].numpy()
    return _extent(touched.any(axis=1)), _extent(touched.any(axis=0))


def _extent(touched: np.ndarray) -> slice:
    where = np.flatnonzero(touched)
    return slice(int(where[0]), int(where[-1]) + 1) if len(where) else slice(0, 0)


def _build_field(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, tf.TensorSpec((2,), tf.int32)])
    def field(images: tf.Tensor, cell: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            maps = network.activations(images)[0]
            # Not the plain sum: the gradients of two channels might cancel.
            values = maps[:, cell[0], cell[1]]
            weighed = tf.reduce_sum(values * tf.random.stateless_uniform(tf.shape(values), (0, 0), 0.5, 1.5))
        gradient = tape.gradient(weighed, images, unconnected_gradients="zero")
        return tf.reduce_any(gradient != 0, axis=(0, 3)), tf.shape(maps)[1:3]

    return field
