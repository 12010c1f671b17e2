"""A Keras graph as plain JavaScript: one line a layer, and the weights as one block of bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.models.graph import AUGMENTING, Step, tail, walk

Weights = dict[str, np.ndarray]
_SAME = (keras.layers.Dropout, keras.layers.SpatialDropout2D, keras.layers.Identity, *AUGMENTING)
_ACTIVATIONS = {"linear": "", "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "tanh": "tanh"}
_WORDS = set(
    """break case class const default delete do else export for function if in new return this var
    void""".split()  # noqa: SIM905
)


class _Writer:
    """Collects the lines and the weights of one network."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.weights: Weights = {}

    def weight(self, layer: str, kind: str, value: np.ndarray | None) -> str:
        if value is None:
            return "null"
        name = f"{layer}/{kind}"
        self.weights[name] = np.asarray(value, np.float32)
        return f'weights["{name}"]'

    def learnt(self, name: str, layer: Any) -> str:
        """Return a layer's kernel and bias as two arguments."""
        kernel = self.weight(name, "kernel", layer.kernel.numpy())
        return f"{kernel}, {self.weight(name, 'bias', layer.bias.numpy() if layer.use_bias else None)}"


def to_javascript(model: keras.Model, with_map: bool) -> tuple[str, Weights]:
    """Return the body of a function ``network(image, weights)`` that answers ``{logit, map}``, and the weights.

    The network has one logit and one size; a layer of a kind that the page doesn't know is refused by name.
    """
    steps, end, writer = walk(model), tail(model), _Writer()
    names = {name: _identifier(name) for name in steps}
    last = next(name for name, step in steps.items() if step.layer is end.layer)
    for name, step in steps.items():
        before = [names[one] for one in step.inputs]
        if not before:
            names[name] = "image"
        elif name == last:
            break
        elif with_map and name == end.inputs[0]:
            names[name] = names[step.inputs[0]]  # the average is taken by explain()
        else:
            writer.lines.append(f"  const {names[name]} = {_call(name, step, before, writer)};")
    kernel, bias = end.layer.kernel.numpy(), end.layer.bias.numpy() if end.layer.use_bias else np.zeros(1)
    source, k = names[end.inputs[0]], writer.weight(last, "kernel", kernel)
    b = writer.weight(last, "bias", bias)
    if with_map:
        writer.lines.append(f"  return explain({source}, {k}, {b}[0]);")
    else:
        writer.lines.append(f"  return {{logit: dense({source}, {k}, {b}, 1).data[0], map: null}};")
    return "\n".join(["function network(image, weights) {", *writer.lines, "}"]), writer.weights


def _identifier(name: str) -> str:
    word = re.sub(r"\W", "_", name)
    return f"{word}_" if word in _WORDS or word in _FUNCTIONS or word[:1].isdigit() or word == "weights" else word


def _call(name: str, step: Step, before: list[str], writer: _Writer) -> str:
    layer = step.layer
    if isinstance(layer, _SAME):
        return before[0]
    for kind, write in _KINDS.items():
        if type(layer) is kind:
            return write(name, layer, before, writer)
    known = ", ".join(sorted(kind.__name__ for kind in _KINDS))
    raise CrackvizError(f"The page can't compute layer {name!r}: {type(layer).__name__} is none of {known}. Take onnx.")


def _refuse_unless(layer: Any, fits: bool, what: str) -> None:
    if not fits:
        raise CrackvizError(
            f"The page can't compute layer {layer.name!r}: {type(layer).__name__} with {what}. Export it as onnx or "
            "litert."
        )


def _activated(layer: Any, call: str) -> str:
    name = getattr(layer.activation, "__name__", str(layer.activation))
    _refuse_unless(layer, name in _ACTIVATIONS, f"the activation {name}")
    return f"{_ACTIVATIONS[name]}({call})" if _ACTIVATIONS[name] else call


def _slides(layer: Any, *, kernel: str = "kernel_size") -> str:
    size = list(getattr(layer, kernel))
    return f'{size}, {list(layer.strides)}, "{layer.padding}"'


def _conv(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    plain = tuple(layer.dilation_rate) == (1, 1) and layer.groups == 1
    _refuse_unless(layer, plain, "dilation or groups")
    return _activated(layer, f"conv2d({before[0]}, {writer.learnt(name, layer)}, {layer.filters}, {_slides(layer)})")


def _depthwise(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    plain = tuple(layer.dilation_rate) == (1, 1) and layer.depth_multiplier == 1
    _refuse_unless(layer, plain, "dilation or a depth multiplier")
    return _activated(layer, f"depthwiseConv2d({before[0]}, {writer.learnt(name, layer)}, {_slides(layer)})")


def _transposed(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    plain = tuple(layer.kernel_size) == tuple(layer.strides) and layer.output_padding is None
    _refuse_unless(layer, plain, "a kernel that isn't as large as its stride")
    ends = f"{layer.filters}, {list(layer.kernel_size)}"
    return _activated(layer, f"conv2dTranspose({before[0]}, {writer.learnt(name, layer)}, {ends})")


def _normalised(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    mean, variance = (np.asarray(value, np.float64) for value in (layer.moving_mean, layer.moving_variance))
    factor = 1 / np.sqrt(variance + layer.epsilon) * (np.asarray(layer.gamma, np.float64) if layer.scale else 1.0)
    summand = (np.asarray(layer.beta, np.float64) if layer.center else 0.0) - mean * factor
    return f"affine({before[0]}, {writer.weight(name, 'factor', factor)}, {writer.weight(name, 'summand', summand)})"


def _rescaled(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    factor, summand = (np.atleast_1d(np.asarray(value, np.float64)) for value in (layer.scale, layer.offset))
    return f"affine({before[0]}, {writer.weight(name, 'factor', factor)}, {writer.weight(name, 'summand', summand)})"


def _relu(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    plain = not layer.negative_slope and not layer.threshold and layer.max_value in (None, 6)
    _refuse_unless(layer, plain, "a slope, a threshold or another maximum than 6")
    return f"{'relu6' if layer.max_value else 'relu'}({before[0]})"


def _upsampled(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    _refuse_unless(layer, layer.interpolation == "nearest", f"{layer.interpolation} interpolation")
    return f"upSampling({before[0]}, {list(layer.size)})"


def _pooled(function: str) -> Callable[..., str]:
    return lambda name, layer, before, writer: f"{function}({before[0]}, {_slides(layer, kernel='pool_size')})"


def _edged(function: str, attribute: str) -> Callable[..., str]:
    return lambda name, layer, before, writer: (
        f"{function}({before[0]}, {[list(side) for side in getattr(layer, attribute)]})"
    )


def _joined(function: str) -> Callable[..., str]:
    return lambda name, layer, before, writer: f"{function}({', '.join(before)})"


def _concatenated(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    _refuse_unless(layer, layer.axis in (-1, 3), f"axis {layer.axis}")
    return f"concatenate({', '.join(before)})"


def _dense(name: str, layer: Any, before: list[str], writer: _Writer) -> str:
    return _activated(layer, f"dense({before[0]}, {writer.learnt(name, layer)}, {layer.units})")


_KINDS: dict[type, Callable[[str, Any, list[str], _Writer], str]] = {
    keras.layers.Conv2D: _conv,
    keras.layers.DepthwiseConv2D: _depthwise,
    keras.layers.Conv2DTranspose: _transposed,
    keras.layers.BatchNormalization: _normalised,
    keras.layers.Rescaling: _rescaled,
    keras.layers.Activation: lambda name, layer, before, writer: _activated(layer, before[0]),
    keras.layers.ReLU: _relu,
    keras.layers.UpSampling2D: _upsampled,
    keras.layers.MaxPooling2D: _pooled("maxPooling"),
    keras.layers.AveragePooling2D: _pooled("averagePooling"),
    keras.layers.Cropping2D: _edged("cropping", "cropping"),
    keras.layers.ZeroPadding2D: _edged("zeroPadding", "padding"),
    keras.layers.Add: _joined("add"),
    keras.layers.Subtract: _joined("subtract"),
    keras.layers.Multiply: _joined("multiply"),
    keras.layers.Concatenate: _concatenated,
    keras.layers.GlobalAveragePooling2D: lambda name, layer, before, writer: f"globalAveragePooling({before[0]})",
    keras.layers.Dense: _dense,
}
_FUNCTIONS = set(
    """add affine averagePooling concatenate conv2d conv2dTranspose cropping dense depthwiseConv2d explain
    globalAveragePooling image inEights maxPooling multiply network newMap packed pooling relu relu6 sigmoid slide store
    subtract tanh together upSampling zeroPadding""".split()  # noqa: SIM905
)
