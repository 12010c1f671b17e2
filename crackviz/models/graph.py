"""A network as a graph of layers: walked from its input to its output, and whether crackviz can follow it at all."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import keras
import numpy as np

from crackviz import CrackvizError

AUGMENTING = (  # they change pictures in a training, and nothing outside it
    *(getattr(keras.layers, name) for name in dir(keras.layers) if name.startswith("Random") and name != "RandomCrop"),
    *(keras.layers.GaussianNoise, keras.layers.GaussianDropout, keras.layers.AlphaDropout),
    *(keras.layers.ActivityRegularization,),
    *(
        getattr(keras.layers, name)
        for name in ("RandAugment", "AugMix", "MixUp", "CutMix")
        if hasattr(keras.layers, name)
    ),
)
_GRAPHS: weakref.WeakKeyDictionary[keras.Model, dict[str, Step]] = weakref.WeakKeyDictionary()


class Step(NamedTuple):
    """One use of a layer, on the way from a model's input to its output."""

    layer: Any
    inputs: list[str]
    output: Any


def input_of(model: keras.Model) -> Any:
    """Return the one symbolic input of a model; a CrackvizError where it has none, or several, or several outputs."""
    if not isinstance(model, keras.Model):
        raise CrackvizError(
            f"The model is {model!r:.80}; expected a Keras model. Read one from its file by models.load(path)."
        )
    inputs, outputs = _ends(model)
    if inputs is None or outputs is None:
        if isinstance(model, keras.Sequential):
            how = "it was never given an input. Call it on a batch of images, or give it keras.Input first."
        else:
            how = (
                "it is a class of its own, whose layers can't be followed from outside. Make it a graph: "
                "inputs = keras.Input((height, width, 3)); keras.Model(inputs, model.call(inputs))."
            )
        raise CrackvizError(f"The model {model.name!r} has no graph yet: {how}")
    if len(outputs) != 1 or len(inputs) != 1:
        raise CrackvizError(
            f"The model has {len(inputs)} inputs and {len(outputs)} outputs; expected one of each. Take the part that "
            "tells cracks: keras.Model(image, answer), of one of model.inputs and one of model.outputs."
        )
    return inputs[0]


def _ends(model: keras.Model) -> tuple[Any, Any]:
    try:
        return model.inputs or None, model.outputs or None
    except (AttributeError, ValueError):  # of a Sequential that was never built, and of a subclassed model
        return None, None


def has_graph(model: keras.Model) -> bool:
    """Tell whether a model is a graph of layers with one input and one output."""
    inputs, outputs = _ends(model)
    return inputs is not None and outputs is not None and len(inputs) == len(outputs) == 1


def images_of(model: keras.Model) -> Any:
    """Return the symbolic input of a model that takes RGB images as numbers; a CrackvizError where it doesn't."""
    images = input_of(model)
    shape = tuple(images.shape)
    if len(shape) != 4 or shape[-1] != 3:
        first = len(shape) == 4 and shape[1] == 3
        why = "Channels come last here: permute them in a layer of its own. " if first else ""
        one = len(shape) == 4 and shape[-1] == 1
        why = "For a network of greys, put a layer before it that makes greys of RGB. " if one else why
        raise CrackvizError(
            f"The model {model.name!r} takes input of shape {shape}; expected one RGB image (N, H, W, 3). {why}"
        )
    if not str(images.dtype).startswith(("float", "bfloat")):
        raise CrackvizError(
            f"The model {model.name!r} takes {images.dtype} numbers, and [0, 1] would be cut to 0 and 1. Let "
            "models.adapted(model) put an input of float32 before it."
        )
    return images


def walk(model: keras.Model) -> dict[str, Step]:
    """List the layers between the model's input and output, by name, in the order of computation.

    ``layer.output`` would not do: it is ambiguous for a layer that several models share, and for a nested model
    it is the inner tensor, which the outer graph doesn't know. A layer that is used again is called relu, relu:2, ...
    Walked once; a Sequential that was changed since is walked anew.
    """
    start = input_of(model)
    if model in _GRAPHS and list(_GRAPHS[model].values())[-1].output is model.outputs[0]:
        return _GRAPHS[model]
    steps: dict[str, Step] = {}
    names: dict[Any, str] = {}  # of the steps, by their layer and which of its uses it is
    waiting = [model.outputs[0]]
    while waiting:
        layer, use = key = waiting[-1]._keras_history[:2]
        before = [] if waiting[-1] is start else list(layer._inbound_nodes[use].input_tensors)
        missing = [tensor for tensor in before if tensor._keras_history[:2] not in names]
        if missing:
            waiting += missing
            continue
        output = waiting.pop()
        if key not in names:
            uses = 1 + sum(step.layer is layer for step in steps.values())
            names[key] = layer.name if uses == 1 else f"{layer.name}:{uses}"
            steps[names[key]] = Step(layer, [names[tensor._keras_history[:2]] for tensor in before], output)
    _GRAPHS[model] = steps
    return steps


def tail(model: keras.Model) -> Step:
    """Find the layer that makes the logits: the last Dense, followed by nothing but an activation."""
    steps = walk(model)
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
    if quantized := getattr(step.layer, "quantization_mode", None):
        raise CrackvizError(
            f"The last Dense layer {step.layer.name!r} is quantized ({quantized}): its weights are no plain numbers "
            "any more, and no map could add up. Take the network as it was before model.quantize(), or its file."
        )
    if step.layer.units == 1 and ending(model, step) == "softmax":
        raise CrackvizError(
            f"The model ends in one unit with a softmax ({step.layer.name!r}), which answers 1 to every picture. Use a "
            "sigmoid, or two units."
        )
    return step


def ending(model: keras.Model, dense: Step | None = None) -> str:
    """Tell what a model makes of its logits: "sigmoid", "softmax", "linear" (nothing), or "other". Known by trying."""
    steps, dense = list(walk(model).values()), tail(model) if dense is None else dense
    logits = np.linspace(-2, 3, 3 * dense.layer.units, dtype=np.float32).reshape(3, -1)
    activations = [step.layer for step in steps[[step.layer for step in steps].index(dense.layer) + 1 :]]
    values = logits
    for activation in (dense.layer.activation, *activations):
        values = np.asarray(activation(keras.ops.convert_to_tensor(values)), np.float32)
    odds = np.exp(logits.astype(np.float64))
    kinds = {"linear": logits, "sigmoid": odds / (1 + odds), "softmax": odds / odds.sum(axis=1, keepdims=True)}
    near = [kind for kind, known in kinds.items() if np.allclose(values, known, atol=1e-2, rtol=1e-2)]
    return near[0] if near else "other"
