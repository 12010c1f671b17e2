"""Networks that were made elsewhere: what range of pictures they take, which class they call 1, what they answer.

Everywhere in crackviz a network takes images in [0, 1], and its label 1 is the crack. What doesn't is made to fit here,
once, so that no other place has to know.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.models.graph import AUGMENTING, ending, has_graph, input_of, tail, walk

Range = tuple[float, float]
SCALED = "crackviz_input_range"
"""Name of the layer that scales [0, 1] to what a network takes."""
UNIT: Range = (0.0, 1.0)
BYTES: Range = (0.0, 255.0)
_SCALING = (keras.layers.Normalization, keras.layers.BatchNormalization)


def wanted_range(model: keras.Model) -> Range | None:
    """Tell which range of pictures a network takes, by what its first layers make of 0 and 1; None for no answer.

    Looked at are the layers up to the first that has learned something, in nested models, too: Rescaling,
    Normalization, the operations of ``preprocess_input``, a first BatchNormalization. Where a step of 1 hardly counts
    after them, or what they map to 0 lies above 2, the pictures are those of 0 to 255.
    """
    if any(layer.name == SCALED for layer in model.layers):
        return UNIT
    if not str(input_of(model).dtype).startswith(("float", "bfloat")):
        return BYTES
    side = [size or 32 for size in input_of(model).shape[1:3]]
    levels = np.stack([np.zeros((*side, 3), np.float32), np.ones((*side, 3), np.float32)])
    values = _first_layers(model, levels)
    low, high = np.asarray(values[:, values.shape[1] // 2, values.shape[2] // 2], np.float64)
    step = high - low
    if not np.isfinite([low, high]).all() or not step.any() or (np.allclose(step, 1, atol=1e-2) and not low.any()):
        return None
    zero = -low[step != 0] / step[step != 0]
    return BYTES if np.median(np.abs(step)) <= 1 / 50 or np.median(zero) > 2 else UNIT


def _first_layers(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return what the layers before the first that has learned something make of images, three channels still."""
    steps = walk(model)
    readers: dict[str, list[str]] = {name: [] for name in steps}
    blank: list[str] = []  # nothing learned up to here
    for name, (layer, before, _) in steps.items():
        for one in before:
            readers[one].append(name)
        learned = getattr(layer, "weights", None) and not isinstance(layer, _SCALING)
        if not learned and set(before) <= set(blank):
            blank.append(name)
    for name in reversed(blank):
        shape = tuple(steps[name].output.shape)
        if len(shape) == 4 and shape[-1] == 3 and not _passes(readers, next(iter(steps)), next(reversed(steps)), name):
            break
    seen = _apply(model, steps[name].output, images)
    inner = steps[readers[name][0]].layer if len(readers[name]) == 1 else None
    return _first_layers(inner, seen) if isinstance(inner, keras.Model) else seen


def _passes(readers: dict[str, list[str]], start: str, end: str, gate: str) -> bool:
    """Tell whether a way leads from the first layer to the last that doesn't go through `gate`."""
    waiting, seen = [start], {gate}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        if name == end:
            return True
        seen.add(name)
        waiting += readers[name]
    return False


def _apply(model: keras.Model, output: Any, images: np.ndarray) -> np.ndarray:
    return np.asarray(keras.Model(input_of(model), output)(images, training=False))


def adapted(model: keras.Model, input_range: Range | None = None) -> keras.Model:
    """Return a network for images in [0, 1]: a copy of `model`, with the same weights.

    Where `model` takes another range, a layer before it scales the images. What fits already is returned as it is.

    Parameters
    ----------
    model : keras.Model
        A graph of layers, with one RGB image as its input.
    input_range : (float, float), optional
        What the black and the white of a picture were when it was trained, such as (0, 255) or (-1, 1). By default it
        is told by its first layers, and [0, 1] where these don't say.

    Raises
    ------
    CrackvizError
        Where the model has no graph, or the range makes no sense.
    """
    low, high = check_range(input_range) or wanted_range(model) or UNIT
    inputs = input_of(model)
    floats = str(inputs.dtype).startswith(("float", "bfloat"))
    if ((low, high) == UNIT and floats) or any(layer.name == SCALED for layer in model.layers):
        return model
    images = keras.Input(inputs.shape[1:], dtype="float32", name="image")
    scaled = keras.layers.Rescaling(high - low, low, name=SCALED, dtype="float32")(images)
    return _fresh(keras.Model(images, _again(model, scaled), name=model.name))


def _again(model: keras.Model, images: Any, end: Any = None, *, flat: bool = False) -> Any:
    """Return what a model's layers make of other images, layer by layer: called, it would be nested, out of reach.

    `end` is one of its symbolic tensors, by default its output; with `flat` nested models are taken apart, too, and
    what only augments is left out.
    """
    end = model.outputs[0] if end is None else end
    made = {id(input_of(model)): images}
    for step in walk(model).values():
        if id(end) in made:
            break
        if step.inputs:
            layer, use = step.output._keras_history[:2]
            node = layer._inbound_nodes[use]
            arguments, options = node.arguments.fill_in(made)
            if flat and isinstance(layer, keras.Model) and has_graph(layer):
                outputs = [_again(layer, arguments[0], flat=True)]
            elif flat and isinstance(layer, AUGMENTING):  # called by hand, it would change the pictures
                outputs = [arguments[0]]
            else:
                outputs = keras.tree.flatten(layer(*arguments, **options))
            made |= {id(old): new for old, new in zip(node.outputs, outputs, strict=True)}
    return made[id(end)]


def with_one_logit(model: keras.Model) -> keras.Model:
    """Return the same answers from a flat network that ends in ``Dense(1, name="logit")`` and a sigmoid.

    The softmax of two logits is the sigmoid of their difference, so its one logit is the evidence for the crack less
    that against it. A network that ends in logits gets its sigmoid. One of more classes, or of another end, is returned
    as it is.
    """
    try:
        step = tail(model)
        kind = ending(model, step)
    except CrackvizError:
        return model
    dense, steps = step.layer, walk(model)
    if (dense.units, kind) not in ((1, "sigmoid"), (2, "softmax"), (1, "linear"), (2, "linear")):
        return model
    nested = any(isinstance(one.layer, (keras.Model, *AUGMENTING)) for one in steps.values())
    plain = dense.activation is keras.activations.linear and dense.use_bias
    if dense.units == 1 and dense.name == "logit" and kind == "sigmoid" and plain and not nested:
        return model
    inputs, features = input_of(model), steps[step.inputs[0]].output
    for flat in (True, False):  # of two nested layers with one name, no flat network can be made
        try:
            images = keras.Input(inputs.shape[1:], dtype=inputs.dtype, name="image")
            last = keras.layers.Dense(1, name="logit", dtype="float32")
            logit = last(_again(model, images, features, flat=flat))
            answer = keras.layers.Activation("sigmoid", name="probability", dtype="float32")(logit)
            made = keras.Model(images, answer, name=model.name)
        except ValueError:
            continue
        kernel = np.asarray(dense.kernel, np.float32)
        bias = np.asarray(dense.bias, np.float32) if dense.use_bias else np.zeros(dense.units, np.float32)
        one = dense.units == 1
        last.set_weights([kernel if one else kernel[:, 1:] - kernel[:, :1], bias if one else bias[1:] - bias[:1]])
        return _fresh(made)
    return model


def _fresh(model: keras.Model) -> keras.Model:
    """Return a copy whose layers belong to no other network, or else ``layer.output`` would be that of the other."""
    try:
        copy = keras.models.clone_model(model)
    except (ValueError, TypeError, NotImplementedError):  # Keras' kinds for a layer that it can't build anew
        return model
    copy.set_weights(model.get_weights())
    return copy


def check_range(input_range: Any) -> Range | None:
    """Return a range as two numbers, the second above the first, or None as it is; else raise a CrackvizError."""
    if input_range is None:
        return None
    try:
        low, high = (float(end) for end in input_range)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if isinstance(input_range, str) or not -np.inf < low < high < np.inf:
        raise CrackvizError(f"input_range is {input_range!r}; expected what black and white are, such as (0, 255).")
    return low, high


def turn(model: keras.Model) -> None:
    """Turn the two answers of a network round, by the weights of its last layer: what was label 0 becomes label 1."""
    dense = tail(model).layer
    kind = ending(model)
    if dense.units > 2 or (dense.units == 1 and kind not in ("sigmoid", "linear")) or kind == "other":
        raise CrackvizError(
            f"The model {model.name!r} ends in {dense.units} units ({kind}), whose two answers can't be turned round; "
            "expected a sigmoid, or a softmax of two."
        )
    for variable in (dense.kernel, dense.bias) if dense.use_bias else (dense.kernel,):
        values = np.asarray(variable)
        variable.assign(-values if dense.units == 1 else values[..., ::-1])
