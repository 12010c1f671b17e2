"""Exercises that answer back: ``exercise("06.1", answer)`` says whether it is right, or what is wrong.

What is asked for lies in ``answers/NN.toml``, a table for each exercise, made by ``notebooks/answers.py``. No answer
can be read there in passing: words are hashed, numbers packed; what depends on the network is computed by the library.

    kind      answer           the table holds
    words     text, or a set   ``right``, a hash; ``wrong``, hashes with what to say to them
    numbers   value or array   ``right``, packed, and its ``shape``
    library   value or array   ``library``, the function that gives it, for ``exercise(…, of=arguments)``; ``options``
    function  a function       ``inputs``, shapes and ranges of arrays drawn at random; ``right``, packed results
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import inspect
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from crackviz import ROOT, CrackvizError
from crackviz.files import in_base64

TRIES = 3  # times that a function is tried


def exercise(number: str, answer: object = ..., *, of: Sequence[Any] = ()) -> None:
    """Check an answer to an exercise of the series, and print one line about it. It never stops a notebook.

    Parameters
    ----------
    number : str
        Notebook and exercise, such as ``"06.1"``.
    answer : object
        Words, a set of them, a number, an array or a function, as the exercise asks. ``...`` is no answer yet.
    of : sequence
        What the library is asked about, where the right answer depends on it, such as ``(model, images)``.

    Raises
    ------
    CrackvizError
        If there is no such exercise, or `of` is missing.
    """
    wrong = mistake(number, answer, of=of)
    if answer is ...:
        print(f"· {number} is waiting for your answer")
    else:
        print(f"✗ {number} {wrong}" if wrong else f"✓ {number} right")


def mistake(number: str, answer: object, *, of: Sequence[Any] = ()) -> str:
    """Return what is wrong with an answer, ``""`` if nothing is; see :func:`exercise`."""
    asked = _asked(number)
    if answer is ...:
        return "there is no answer yet: put yours in place of the dots"
    if answer is None:
        return "the answer is None, which a function without return gives, and print(…), too"
    if asked["kind"] == "words":
        return _words(number, asked, answer)
    if asked["kind"] == "function":
        return _function(number, asked, answer)
    if asked["kind"] == "numbers":
        return difference(answer, unpacked(asked["right"], asked["shape"]), asked.get("rtol", 1e-3), rounded=True)
    if not of:
        raise CrackvizError(f"Exercise {number} depends on the network: give of=, such as of=(model, images).", "of")
    module, _, name = asked["library"].rpartition(".")
    try:
        right = getattr(importlib.import_module(f"crackviz.{module}"), name)(*of, **asked.get("options", {}))
    except TypeError as error:
        raise CrackvizError(
            f"of= doesn't fit exercise {number} ({error}); expected such as (model, images).", "of"
        ) from error
    return difference(answer, np.asarray(right), asked.get("rtol", 1e-3), rounded=True)


def hashed(number: str, words: object) -> str:
    """Return the hash of words, or of a set of words; case, order and blanks don't count."""
    many = [words] if isinstance(words, str) else sorted(map(_plain, words))  # type: ignore[call-overload]
    return hashlib.sha256(f"{number} {' | '.join(map(_plain, many))}".encode(errors="surrogatepass")).hexdigest()[:16]


def packed(numbers: Any) -> str:
    """Return numbers as text that says nothing to the eye."""
    return in_base64(np.asarray(numbers, "<f8").tobytes())


def unpacked(text: str, shape: Iterable[int]) -> np.ndarray:
    """Return the numbers that :func:`packed` has packed, float64, in a shape."""
    return np.frombuffer(base64.b64decode(text), "<f8").reshape(tuple(shape))


def drawn(number: str, inputs: Sequence[Mapping[str, Any]], attempt: int) -> list[np.ndarray]:
    """Return the arrays that a function is tried on: the same each time, float64, uniform from ``low`` to ``high``."""
    seed = int.from_bytes(hashlib.sha256(f"{number} {attempt}".encode()).digest()[:8], "big")
    random = np.random.Generator(np.random.PCG64(seed))
    return [random.uniform(one.get("low", 0.0), one.get("high", 1.0), one["shape"]) for one in inputs]


def difference(found: object, right: np.ndarray, rtol: float = 1e-3, *, rounded: bool = False) -> str:
    """Return in words in what numbers differ from the right ones, ``""`` where they don't; it doesn't give them away.

    Parameters
    ----------
    found : object
        A number, or what ``np.asarray`` makes an array of numbers of.
    right : numpy.ndarray
        Of any shape.
    rtol : float
        What may be missing, as a share of the largest right number.
    rounded : bool
        Whether right numbers may be rounded, as people read them off and type them in.
    """
    try:
        numbers = np.asarray(found)
    except Exception:  # a ragged list, or whatever a foreign object does
        numbers = np.asarray(None)
    if numbers.dtype.kind not in "biuf":
        return f"{'an array of numbers' if right.shape else 'a number'} is asked for, not {type(found).__name__}"
    if numbers.shape != right.shape:
        return _shapes(numbers, right)
    numbers = numbers.astype(float)
    none = np.isnan(numbers) & np.isnan(right)  # a score of a picture that has none
    if not (np.isfinite(numbers) | none).all():
        return f"{_count(~(np.isfinite(numbers) | none))} not a finite number: is something divided by 0?"
    room = rtol * max(float(np.abs(right[np.isfinite(right)]).max(initial=0)), 1e-12)
    wrong = ~((np.abs(numbers - right) <= room) | none)
    if rounded and wrong.any():
        wrong &= ~(_are_rounded(numbers, right) | _is_rounded_alike(numbers, right))
    if not wrong.any():
        return ""
    known = "" if np.isnan(right).any() else _known_mistake(numbers, right, room)
    return known or _direction(numbers, right, wrong)


def _is_rounded(found: float, right: float) -> bool:
    """Say whether a number is the right one rounded: to two digits or more, not before the point, and no count."""
    if not np.isfinite(right) or right == round(right):
        return bool(found == right)
    if abs(found - right) > 0.051 * abs(right):  # soon said, as maps have many pixels
        return False
    least = max(2, len(str(int(abs(right)))))
    for digits in range(least, least + 4):  # with more of them it is within the tolerance
        for side in (1 - 1e-12, 1 + 1e-12):  # a half may go up or down
            typed = float(f"{right * side:.{digits}g}")
            whole = abs(right) < 1 and typed == round(typed)  # nearly perfect isn't perfect
            if not whole and abs(found - typed) <= 2e-7 * abs(typed):  # it may be kept as float32
                return True
    return False


_are_rounded = np.vectorize(_is_rounded, otypes=[bool])


def _is_rounded_alike(found: np.ndarray, right: np.ndarray) -> bool:
    """Say whether an array is the right one by ``np.round``, of whose largest number two digits are left."""
    if right.size < 2 or not np.isfinite(right).all():
        return False
    least = max(1, 1 - int(np.floor(np.log10(max(np.abs(right).max(), 1e-12)))))
    return any(np.allclose(found, np.round(right, digits), 2e-7, 1e-9) for digits in range(least, least + 4))


def _known_mistake(found: np.ndarray, right: np.ndarray, room: float) -> str:
    """Name a mistake that is often made, if it is one."""

    def near(other: np.ndarray) -> bool:
        return other.shape == found.shape and bool(np.abs(found - other).max() <= 2 * room)

    if near(-right):
        return "the sign is turned"
    if ((np.abs(found / 100 - right) <= 2 * room) | _are_rounded(found / 100, right)).all():
        return f"a hundred times too large{': is it in percent?' if ((right >= 0) & (right <= 1)).all() else ''}"
    if right.size > 1:
        if near(right.clip(min=0)):
            return "the negative part is missing"
        if near(np.abs(right)):
            return "the sign is lost: these are the absolute values"
        if any(near(np.flip(right, axis)) for axis in range(right.ndim)):
            return "the right numbers in the reverse order"
        if right.ndim > 1 and near(np.swapaxes(right, -1, -2)):
            return "rows and columns are swapped"
        if (found == found.flat[0]).all():
            return "it is the same everywhere"
        factor = float((found * right).sum() / (right**2).sum())
        if factor and np.abs(found - factor * right).max() <= 2 * abs(factor) * room:
            return f"all of it is {factor:.3g} times what it should be"
        if near(right + (offset := float((found - right).mean()))):
            return f"all of it is too {'large' if offset > 0 else 'small'} by {abs(offset):.3g}"
    return ""


def _direction(found: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> str:
    if not right.shape:
        if np.isnan(right):
            return "there is no value: NaN is right"
        far = right and (found / right > 10 or found / right < 0.1)
        return f"too {'large' if found > right else 'small'}{', by far' if far else ''}"
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    names = {1: "number {}", 2: "row {}, column {}"}
    where = names.get(right.ndim, "at {}" + ", {}" * (right.ndim - 1)).format(*(i + 1 for i in place))
    side = "large" if found[place] > right[place] else "small"
    what = f"is too {side} with {found[place]:.3g}"
    if np.isnan(right[place]):
        what = "has no value: NaN is right there"
    return f"{_count(wrong)} wrong; the first, {where} (counted from 1), {what}"


def _shapes(found: np.ndarray, right: np.ndarray) -> str:
    if not found.shape:
        return "one number, where an array is asked for"
    if not right.shape:
        return f"one number is asked for, and this is an array of shape {found.shape}"
    said = f"the shape is {found.shape}, expected {right.shape}"
    if found.squeeze().shape == right.squeeze().shape:
        return f"{said}: an axis of length 1 is too many or missing"
    return f"{said}: the axes are in another order" if sorted(found.shape) == sorted(right.shape) else said


def _count(marked: np.ndarray) -> str:
    if not marked.shape:
        return "it is"
    return f"{int(marked.sum())} of {marked.size} {'is' if marked.sum() == 1 else 'are'}"


def _words(number: str, asked: Mapping[str, Any], answer: object) -> str:
    several = isinstance(answer, set | frozenset | list | tuple) and all(isinstance(word, str) for word in answer)
    if not isinstance(answer, str) and not several:
        return f"words in quotation marks are asked for, or a set of them, not {type(answer).__name__}"
    found = hashed(number, answer)
    if found == asked["right"]:
        return ""
    choices = asked.get("choices", [])
    given = [answer] if isinstance(answer, str) else list(answer)  # type: ignore[call-overload]
    unknown = [word for word in given if _plain(word) not in map(_plain, choices)]
    if choices and unknown:
        return f"{unknown[0]!r} is none of {', '.join(choices)}"
    told = {one["hash"]: one["say"] for one in asked.get("wrong", [])}
    return str(told.get(found, asked.get("hint", "that isn't it")))


def _function(number: str, asked: Mapping[str, Any], answer: object) -> str:
    if not callable(answer):
        return f"a function is asked for, not {type(answer).__name__}: give its name, without brackets"
    inputs, shape = asked["inputs"], asked["shape"]
    right = unpacked(asked["right"], (TRIES, *shape))
    for attempt in range(TRIES):
        if said := _tried(answer, drawn(number, inputs, attempt), right[attempt], asked.get("rtol", 1e-3)):
            shapes = ", ".join(str(tuple(one["shape"])) for one in inputs)
            return f"tried on arrays of shape {shapes}: {said}"
    return ""


def _tried(function: Callable[..., Any], arrays: list[np.ndarray], right: np.ndarray, rtol: float) -> str:
    try:
        inspect.signature(function).bind(*arrays)
    except TypeError as error:
        return f"it takes other arguments ({error})"
    except ValueError:
        pass  # a built-in function doesn't tell
    given = [array.copy() for array in arrays]
    try:
        found = function(*given)
    except (Exception, SystemExit) as error:  # exit() in a function would end the lesson
        lines = str(error).strip().splitlines()  # the answer to a student is one line
        return f"it stopped with {type(error).__name__}{f': {lines[0]:.200}' if lines else ''}"
    if found is None:
        return "it returns nothing: does it end in return?"
    if not all(np.array_equal(a, b) for a, b in zip(given, arrays, strict=True)):
        return "it changes the array that it was given: work on a copy"
    return difference(found, right, rtol)


def _asked(number: str) -> dict[str, Any]:
    found = re.fullmatch(r"(\d\d)\.\d+", number) if isinstance(number, str) else None
    if not found:
        raise CrackvizError(f"{number!r} is no exercise: expected notebook and number, such as '06.1'.")
    path = ROOT / "series" / "answers" / f"{found[1]}.toml"
    known = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    if number not in known:
        raise CrackvizError(f"There is no exercise {number} to be checked. Known: {', '.join(known) or 'none'}.")
    return dict(known[number])


def _plain(words: str) -> str:
    return re.sub(r"\s+", " ", words).strip().casefold()
