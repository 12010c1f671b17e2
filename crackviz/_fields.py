"""Which pixels a cell sees. Private; :mod:`crackviz.features` is the public face."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz._graph import Layer, layer_names, walk
from crackviz._ladder import ENLARGING, POINTWISE, SLIDING

Pair = tuple[int, int]


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
        Where there is no such layer or cell, a layer on the way is of a kind whose view isn't known, or the size is
        missing.

    Notes
    -----
    :func:`crackviz.attribution.measured_field` confirms it by the gradient. Araujo, Norris, Sim: *Computing receptive
    fields of convolutional neural networks*, Distill 2019. ``THEORY.md`` T5.
    """
    name = layer_names(model, layer)[0]
    given = model.inputs[0].shape[1:3]
    if None in given:
        if size is None:
            raise CrackvizError("The model takes images of any size: say which, by size=(height, width).")
        given = size
    steps = walk(model)
    sides: dict[str, Pair] = {}  # height and width of each layer's map
    for one, (operation, inputs, _) in steps.items():
        sides[one] = _sides(operation, sides[inputs[0]]) if inputs else (int(given[0]), int(given[1]))
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


def _window(layer: Any, axis: int) -> tuple[int, int, bool]:
    """Return kernel, step, and whether padding keeps the size, along one axis."""
    size = getattr(layer, "kernel_size", None) or layer.pool_size
    dilation = getattr(layer, "dilation_rate", (1, 1))
    dilation = dilation if isinstance(dilation, tuple | list) else (dilation, dilation)
    return (size[axis] - 1) * dilation[axis] + 1, layer.strides[axis], layer.padding == "same"


def _sides(layer: Any, before: Pair) -> Pair:
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return (before[0] + sum(layer.padding[0]), before[1] + sum(layer.padding[1]))
    if isinstance(layer, keras.layers.Cropping2D):
        return (before[0] - sum(layer.cropping[0]), before[1] - sum(layer.cropping[1]))
    if isinstance(layer, POINTWISE):
        return before
    if isinstance(layer, keras.layers.UpSampling2D) and layer.interpolation in ENLARGING:
        return before[0] * layer.size[0], before[1] * layer.size[1]
    if not isinstance(layer, SLIDING):
        raise CrackvizError(
            f"What a cell sees through {type(layer).__name__} {layer.name!r} isn't known. "
            "Measure it: attribution.measured_field(model, images, layer)."
        )
    sides = []
    for axis, side in enumerate(before):
        kernel, step, same = _window(layer, axis)
        sides.append(-(-side // step) if same else (side - kernel) // step + 1)
    return sides[0], sides[1]


def _back(layer: Any, axis: int, span: Pair, side: int) -> Pair:
    """Return which cells before a layer, of `side`, those from `span[0]` to `span[1]` after it see."""
    if isinstance(layer, keras.layers.ZeroPadding2D):
        return span[0] - layer.padding[axis][0], span[1] - layer.padding[axis][0]
    if isinstance(layer, keras.layers.Cropping2D):
        return span[0] + layer.cropping[axis][0], span[1] + layer.cropping[axis][0]
    if isinstance(layer, POINTWISE):
        return span
    if isinstance(layer, keras.layers.UpSampling2D):
        times = layer.size[axis]
        if ENLARGING[layer.interpolation] == 1:
            return span[0] // times, span[1] // times
        low, high = ((place + 0.5) / times - 0.5 for place in span)  # between the middles of two cells
        return max(int(np.floor(low)), 0), min(int(np.ceil(high)), side - 1)
    kernel, step, same = _window(layer, axis)
    padded = max((int(np.ceil(side / step)) - 1) * step + kernel - side, 0) // 2 if same else 0
    return span[0] * step - padded, span[1] * step - padded + kernel - 1
