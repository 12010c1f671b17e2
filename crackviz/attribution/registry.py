"""What has to be known about an attribution method, said where the method is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper, wraps
from inspect import Signature, signature
from typing import Any, TypeVar, cast

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.contracts import check_flag, check_options

Passes = tuple[int, int]
Cost = Passes | Callable[[keras.Model, np.ndarray, dict[str, Any]], Passes]
Function = TypeVar("Function", bound=Callable[..., np.ndarray])
KINDS = ("cam", "pixels", "baseline")


@dataclass(frozen=True)
class Method:
    """An attribution method, and what has to be known about it. Calling it calls its function.

    Attributes
    ----------
    function : callable
        ``function(model, images, *, target="crack", layer=None, upsample=True, …) -> float32 (N, H, W)``
    kind : "cam", "pixels" or "baseline"
        What it explains: cells of a layer, or pixels; a baseline explains nothing, and the network doesn't enter.
    title, paper : str
    signed : bool
        Whether negative values speak against the target. Else the map says how much, not which way.
    complete : bool
        Whether the map adds up to the logit less the bias (of "cam", without upsampling, at the default layer of
        this package's networks), or to the logit less the baseline's (of "pixels", up to the number of steps).
    by_class : bool
        Whether the target enters.
    cost : (int, int) or callable
        Forward and backward passes for an image, or what counts them, of the model, the images and all options.
    """

    function: Callable[..., np.ndarray]
    kind: str
    title: str
    paper: str
    signed: bool = False
    complete: bool = False
    by_class: bool = True
    cost: Cost = (1, 1)

    def __call__(self, model: keras.Model, images: np.ndarray, **options: Any) -> np.ndarray:
        """Return the maps; see the function."""
        return self.function(model, images, **options)

    def passes(self, model: keras.Model, images: np.ndarray, **options: Any) -> Passes:
        """Return how many forward and backward passes the function makes for each of `images`.

        `options` are those that the function would get. A backward pass may stop at the layer that is explained, and
        costs next to nothing where that is the last one.
        """
        if not callable(self.cost):
            return self.cost
        defaults = {name: given.default for name, given in signature(self.function).parameters.items()}
        return self.cost(model, images, {**defaults, **options})


REGISTERED: dict[str, Method] = {}


def method(kind: str, title: str, paper: str, **facts: Any) -> Callable[[Function], Function]:
    """Enter the function below among the methods, under its name; `facts` are the other attributes of Method."""

    def enter(function: Function) -> Function:
        known = signature(function)

        @wraps(function)
        def checked(*values: Any, **options: Any) -> np.ndarray:
            check_options(function.__name__, options, known.parameters)
            check_flag("upsample", options.get("upsample", True))
            maps = function(*values, **options)
            if not np.isfinite(maps).all():
                raise CrackvizError(
                    f"The maps of {function.__name__} hold NaN or infinity: numbers grow too large within the network, "
                    "though its weights are finite. Look for huge weights and negative variances, or train it anew."
                )
            return maps

        checked.__signature__ = known  # type: ignore[attr-defined]
        REGISTERED[function.__name__] = Method(checked, kind, title, paper, **facts)
        return cast(Function, checked)

    return enter


def public(explain: Any, function: Callable[..., Any]) -> Any:
    """Give `explain(model, images, *, …, **options)` the name, the docstring and the own options of `function`."""
    given, own = (signature(one).parameters.values() for one in (explain, function))
    shown = [one for one in given if one.kind is not one.VAR_KEYWORD]
    named = {one.name for one in shown}
    shown += [one for one in own if one.kind is one.KEYWORD_ONLY and one.name not in named]
    update_wrapper(explain, function, ("__module__", "__name__", "__qualname__", "__doc__"))
    del explain.__wrapped__  # help() shows what the public function takes
    explain.__signature__ = Signature(shown, return_annotation="np.ndarray")
    return explain
