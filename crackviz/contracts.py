"""What numbers, choices, images, masks and maps must be, and the names of the classes: each checked in one place.

What doesn't fit is a :class:`CrackvizError` that says what was found, what was expected, and what to do.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sized
from typing import Any, TypeVar, cast

import numpy as np

from crackviz import CrackvizError

CLASS_NAMES = ("no_crack", "crack")
PREPROCESSING = 1
"""Version of what `read_image` does to a picture: a saved model names the one that it was trained with."""

Number = TypeVar("Number", bound=float)
Function = TypeVar("Function", bound=Callable[..., Any])


def check_number(
    name: str,
    value: Number,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    whole: bool = False,
    inclusive: bool = True,
) -> Number:
    """Return `value` if it is a number within its bounds, a `whole` one, the bounds `inclusive`; else it is refused.

    NumPy's kinds of numbers count; booleans, NaN and infinities don't. `name` is what messages call it.
    """
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    is_number = isinstance(value, kinds) and not isinstance(value, bool) and _is_finite(value)
    if is_number and (low < value < high or (inclusive and low <= value <= high)):
        return value
    kind = "a whole number" if whole else "a number"
    if math.isfinite(high):
        span = f" from {low:,.15g} to {high:,.15g}" if inclusive else f" between {low:,.15g} and {high:,.15g}"
    else:
        span = (f" from {low:,.15g} on" if inclusive else f" above {low:,.15g}") if math.isfinite(low) else ""
    raise CrackvizError(f"{name} is {value!r:.80}; expected {kind}{span}.")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


def check_kind(name: str, value: object, kind: type) -> None:
    """Raise a CrackvizError unless `value` is of a class of options: a dict in its place would not be checked."""
    if not isinstance(value, kind):
        raise CrackvizError(f"{name} is {value!r:.80}; expected {kind.__name__}(…), which names its options.")


def closest(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return " Did you mean ...?" with the one of `known` that is most like `name`, or "" where none is."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]}?" if near else ""


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise a CrackvizError that lists the choices and the nearest of them, unless `value` is one of them."""
    known = list(choices)
    if not any(type(value) is type(choice) and value == choice for choice in known):
        raise CrackvizError(
            f"{name} is {value!r}; expected one of {', '.join(map(str, known))}.{closest(value, map(str, known))}"
        )


def check_flag(name: str, value: object) -> bool:
    """Return `value` if it is True or False, NumPy's included; else it is refused: "no" would count as yes."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise CrackvizError(f"{name} is {value!r}; expected True or False.")


def check_options(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a CrackvizError that lists the options that `what` has, and the nearest, unless all given are known."""
    names = list(known)
    for name in given:
        if name not in names:
            raise CrackvizError(
                f"{what} has no option {name!r}.{closest(name, names)} Known: {', '.join(names) or 'none'}."
            )


def one_by_one(function: Function) -> Function:
    """Let a function take the options that it has in one object (recipe, bootstrap, options) by their names, too.

    ``evaluate(…, resamples=0)`` then means ``evaluate(…, bootstrap=Bootstrap(resamples=0))``. What both don't know is
    a CrackvizError.
    """
    own = inspect.signature(function).parameters
    bundles: dict[str, Any] = {name: one.default for name, one in own.items() if dataclasses.is_dataclass(one.default)}
    fields = {name: [field.name for field in dataclasses.fields(one)] for name, one in bundles.items()}
    known = dict.fromkeys([*own, *(field for of in fields.values() for field in of)])

    @functools.wraps(function)
    def call(*values: Any, **given: Any) -> Any:
        check_options(function.__name__, given, known)
        loose = given.keys() - own.keys()
        kept: Mapping[str, Any] = {name: value for name, value in given.items() if name not in loose}
        for name, of in fields.items() if loose else ():
            if parts := {field: given[field] for field in of if field in loose}:
                kept = {**kept, name: dataclasses.replace(kept.get(name) or bundles[name], **parts)}
        return function(*values, **kept)

    return cast(Function, call)


def check_lengths(**values: Sized | None) -> None:
    """Raise a CrackvizError unless all that are given have as many entries as the first."""
    lengths = {name: len(value) for name, value in values.items() if value is not None}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise CrackvizError(f"{found}; expected as many of each, one an image.")


def check_images(images: np.ndarray) -> np.ndarray:
    """Return `images` as an array, if it is float32 (N, H, W, 3) in [0, 1], or raise a CrackvizError.

    Nothing is converted silently: a map of images that the network never saw the like of looks as convincing as any.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3 or not images.size:
        advice = " Add the batch axis: images[np.newaxis]." if images.ndim == 3 else ""
        raise CrackvizError(f"Images have shape {images.shape}; expected (N, H, W, 3), N, H, W > 0.{advice}")
    if images.dtype != np.float32:
        advice = "images.astype('float32') / 255" if images.dtype == np.uint8 else "images.astype('float32')"
        raise CrackvizError(f"Images are {images.dtype}; expected float32 in [0, 1]. Use {advice}.")
    # Read as whole numbers, the floats from 0 to 1 are those up to 1.0's; negative ones and NaN are larger. One pass.
    within = images.view(np.uint32).max() <= np.float32(1).view(np.uint32)
    if not within and not (images.min() >= 0 and images.max() <= 1):  # -0.0 alone gets here and passes
        low, high = float(images.min()), float(images.max())
        advice = " Divide by 255." if high > 2 else ""
        advice = " Rounding did that: use images.clip(0, 1)." if low > -1e-3 and 1 < high < 1.001 else advice
        raise CrackvizError(f"Images reach from {low:.8g} to {high:.8g}; expected [0, 1] without NaN.{advice}")
    return images


def as_masks(masks: np.ndarray, threshold: float | None = None, name: str = "Masks") -> np.ndarray:
    """Return `masks` as bool (N, H, W), and refuse to guess: numbers without a threshold raise a CrackvizError.

    Parameters
    ----------
    masks : bool (N, H, W), or numbers together with `threshold`
    threshold : float, optional
        A pixel is crack above it: 127 for anti-aliased greys up to 255.
    name : str
        What messages call them.
    """
    masks = np.asarray(masks)
    if masks.ndim != 3 or not masks.size:
        advice = f" Add the batch axis: {name.lower()}[np.newaxis]." if masks.ndim == 2 else ""
        raise CrackvizError(f"{name} have shape {masks.shape}; expected (N, H, W), N > 0.{advice}")
    if masks.dtype == bool:
        return masks
    if threshold is not None:
        if np.isnan(threshold) or np.isnan(masks.astype(np.float64)).any():
            raise CrackvizError(f"{name} or their threshold hold NaN; expected numbers.")
        return masks > threshold
    values = np.unique(masks)
    found = ", ".join(f"{value:g}" for value in values[:4]) + (", …" if len(values) > 4 else "")
    level = float(values[-1]) / 2 if len(values) <= 2 else 127 if values[-1] > 1 else 0.5
    kind = "" if len(values) <= 2 else " They are greys, as edges drawn softly are: say from which one on it is crack."
    raise CrackvizError(
        f"{name} are {masks.dtype} with {len(values)} values ({found}); expected bool.{kind} Give a threshold, such as "
        f"{name.lower()} > {level:g}."
    )


def check_maps(maps: np.ndarray, shape: tuple[int, ...], name: str = "Maps") -> np.ndarray:
    """Return `maps` as an array of finite floats of `shape` (N, H, W), or raise a CrackvizError."""
    maps = np.asarray(maps)
    if not np.issubdtype(maps.dtype, np.number) and maps.dtype != bool:
        raise CrackvizError(f"{name} are {maps.dtype}; expected numbers.")
    if maps.shape != shape:
        raise CrackvizError(f"{name} have shape {maps.shape}; expected {shape}. Ask for maps with upsample=True.")
    if not np.isfinite(maps).all():
        where = np.flatnonzero(~np.isfinite(maps.reshape(len(maps), -1)).all(axis=1))
        raise CrackvizError(
            f"{name} hold NaN or infinity (number {', '.join(map(str, where[:5]))}). Leave these pictures out, or mend "
            "the method: a map that says nothing is 0."
        )
    return maps if np.issubdtype(maps.dtype, np.floating) else maps.astype(np.float32)
