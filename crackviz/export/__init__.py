"""A network and its exact map, for programs that have neither Python nor Keras (``THEORY.md`` T6, T12).

``crackviz.export(model, "crack.html")`` writes a page, ``.tflite`` LiteRT, ``.onnx`` ONNX, and any other name a folder
with a TensorFlow SavedModel. Each has two outputs, ``probability`` and ``map``; the cells of the map sum to the logit
less the bias. Each is run by its own runtime and held against Keras before it gets its name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from crackviz.export.checking import Agreement, compare
from crackviz.export.explained import Explained, explained
from crackviz.export.serving import serve
from crackviz.export.writing import FORMATS, QUANTIZED, Exported, export, runner

__all__ = [
    "FORMATS",
    "QUANTIZED",
    "Agreement",
    "Explained",
    "Exported",
    "compare",
    "explained",
    "export",
    "runner",
    "serve",
]


class _Callable(ModuleType):
    """The package itself can be called: ``crackviz.export(…)`` is ``crackviz.export.export(…)``."""

    def __call__(self, *arguments: Any, **options: Any) -> Exported:
        return export(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
