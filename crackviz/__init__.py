"""crackviz: explaining concrete-crack classifiers, and testing the explanations.

The submodules load on first use, so that ``import crackviz`` stays quick and TensorFlow is imported only by
the calls that need it. ``THEORY.md`` holds the reasoning behind every function; the notebooks put it to work.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

__version__ = "0.1.0"
ROOT = Path(__file__).resolve().parent  # of the package; modules may move, what lies here does not

if "keras" not in sys.modules:  # crackviz is made of TensorFlow, whatever ~/.keras/keras.json prefers
    os.environ["KERAS_BACKEND"] = "tensorflow"
# TensorFlow reads both when it is first imported. Its start-up lines tell nobody anything. And by itself it uses oneDNN
# on processors with instructions for neural networks alone (VNNI, AMX); others gain by it, too.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

_SUBMODULES = (
    "synthetic",
    "data",
    "models",
    "training",
    "evaluation",
    "attribution",
    "features",
    "faithfulness",
    "inspection",
    "export",
    "plots",
    "claims",
    "series",
    "cli",
)
__all__ = ["CrackvizError", *_SUBMODULES]


class CrackvizError(Exception):
    """A mistake that the caller can mend: the message says what was found, what was expected, what to do.

    ``argument`` names the argument that is to blame, for the command to add its flag; "" for none in particular.
    """

    def __init__(self, message: str = "", argument: str = "") -> None:
        super().__init__(message)
        self.argument = argument

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the message, without the lines of ours that led to it."""
        return [f"{type(self).__name__}: {self}"]


if "keras" in sys.modules and sys.modules["keras"].config.backend() != "tensorflow":
    raise CrackvizError(
        f"Keras has been loaded with the backend {sys.modules['keras'].config.backend()}; crackviz needs TensorFlow. "
        "Import crackviz before keras, or set KERAS_BACKEND=tensorflow."
    )


def __getattr__(name: str) -> ModuleType:
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
