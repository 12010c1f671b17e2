"""A layer of a person's own that varies training pictures: used as it is, in training only, and told from others."""

from __future__ import annotations

import hashlib
import json
from types import CodeType, FunctionType
from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.files import short_hash

_USUAL = {*vars(keras.layers.Layer()), "name", "built", "function", "layers", "operations"}


class InTraining(keras.layers.Layer):
    """Vary pictures by `layer` in training, and pass them on in validation: the saved network has no such layer."""

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__(name="varied")
        self.layer = layer

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the pictures, varied if `training`."""
        return self.layer(images, training=True) if training else images


def check_own_layer(layer: keras.Layer, size: int) -> None:
    """Raise a CrackvizError where a layer fails on pictures of `size`, makes others of them, or would learn itself."""
    grey = np.full((2, size, size, 3), 0.5, np.float32)
    try:
        varied = np.asarray(layer(grey, training=True))
    except Exception as error:  # a person's code: anything
        raise CrackvizError(
            f"The layer of augment, {type(layer).__name__}, fails on pictures ({str(error)[:200]}). Expected one that "
            "takes (B, H, W, 3) in [0, 1] and gives the same."
        ) from error
    if varied.shape != grey.shape or varied.dtype.kind != "f" or not np.isfinite(varied).all():
        raise CrackvizError(
            f"The layer of augment, {type(layer).__name__}, makes {varied.shape} {varied.dtype} of {grey.shape} "
            "float32; expected pictures of the same shape and type, without NaN."
        )
    if layer.trainable_weights:
        raise CrackvizError(
            f"The layer of augment, {type(layer).__name__}, has weights that would be trained, and is no part of the "
            "saved network. Freeze it (layer.trainable = False), or make it a part of the network."
        )


def layer_hash(layer: keras.Layer) -> str:
    """Return a hash of what a layer does: settings, attributes, weights, and the code of classes of one's own."""
    told = []
    for part in layer._flatten_layers():
        if type(part).__module__.startswith("keras.src.models") or isinstance(
            part, keras.layers.InputLayer
        ):  # they differ before and after the first call, and what they hold is told
            continue
        own = [
            kind for kind in type(part).__mro__ if not kind.__module__.startswith(("keras.", "tensorflow.", "builtins"))
        ]
        code = [_code(value) for kind in own for _, value in sorted(vars(kind).items())]
        values = {k: plain(v) for k, v in sorted(vars(part).items()) if k not in _USUAL and k[0] != "_"}
        weights = [hashlib.sha256(np.asarray(w).tobytes()).hexdigest() for w in part.weights if "seed" not in w.path]
        told.append(json.dumps([type(part).__name__, _settings(part), values, _code(getattr(part, "function", None))]))
        told += [*code, *weights]
    return short_hash(*told)


def _settings(part: keras.Layer) -> Any:
    if isinstance(part, keras.Model | keras.layers.Lambda):  # its layers are told one by one; or its function is
        return None
    try:
        return plain(part.get_config())
    except NotImplementedError:  # arguments that JSON has no form for: the attributes tell
        return None


def plain(value: Any) -> Any:
    """Return settings without names, shapes and addresses in memory: these count up with each layer that is made."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items() if k not in ("name", "build_config", "shared_object_id")}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return _code(value) or type(value).__name__


def _code(value: Any) -> str:
    """Return what a function does and has bound, as text; empty for what is none."""
    if isinstance(value, CodeType):
        parts = [_code(x) if isinstance(x, CodeType) else repr(x) for x in value.co_consts]
        return f"{value.co_code.hex()} {value.co_names} {parts}"
    if isinstance(value, classmethod | staticmethod | property):
        value = getattr(value, "__func__", getattr(value, "fget", None))
    value = getattr(value, "__wrapped__", value)
    if not isinstance(value, FunctionType):
        return ""
    bound = []
    for cell in value.__closure__ or ():
        try:
            bound.append(plain(cell.cell_contents))
        except ValueError:  # not bound yet
            bound.append(None)
    return f"{_code(value.__code__)} {plain(value.__defaults__)} {plain(value.__kwdefaults__)} {bound}"
