"""The checks that all subjects share: what passes, what is refused, and what the message says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackviz import CrackvizError, contracts
from crackviz.contracts import check_choice, check_images, check_lengths, check_number, closest


@given(value=st.floats(-5, 5) | st.integers(-5, 5), low=st.floats(-4, 4), high=st.floats(-4, 4))
def test_a_number_passes_exactly_within_its_bounds(value: float, low: float, high: float) -> None:
    for inclusive in (False, True):
        inside = low <= value <= high if inclusive else low < value < high
        try:
            assert check_number("x", value, low, high, inclusive=inclusive) is value
            assert inside
        except CrackvizError:
            assert not inside


@pytest.mark.parametrize("wrong", [True, None, "1", math.nan, math.inf, [1], np.array([1.0]), 1 + 0j])
def test_what_is_no_number(wrong: object) -> None:
    with pytest.raises(CrackvizError, match=r"x is .*; expected a number from 0 to 9"):
        check_number("x", wrong, 0, 9)  # type: ignore[type-var]


def test_whole_numbers() -> None:
    assert check_number("n", np.int64(3), 1, whole=True) == 3
    for wrong in (1.0, np.float32(2), 0):
        with pytest.raises(CrackvizError, match=r"n is .*; expected a whole number from 1 on\."):
            check_number("n", wrong, 1, whole=True)


def test_the_message_says_which_bounds() -> None:
    with pytest.raises(CrackvizError, match=r"t is 0; expected a number above 0\."):
        check_number("t", 0, 0, inclusive=False)
    with pytest.raises(CrackvizError, match=r"c is 1; expected a number between 0 and 1\."):
        check_number("c", 1, 0, 1, inclusive=False)
    with pytest.raises(CrackvizError, match=r"n is 9\.0; expected a whole number from 1 to 1,000,000\."):
        check_number("n", 9.0, 1, 1_000_000, whole=True)


def test_choices() -> None:
    check_choice("mode", "blur", ["blur", "mean"])
    with pytest.raises(CrackvizError, match=r"mode is 'blurr'; expected one of blur, mean\. Did you mean blur\?"):
        check_choice("mode", "blurr", ["blur", "mean"])
    with pytest.raises(CrackvizError, match="expected one of 1, 2"):
        check_choice("column", True, [1, 2])
    assert closest("zzz", ["blur"]) == ""


def test_lengths() -> None:
    check_lengths(labels=[1, 2], groups=None, names=("a", "b"))
    with pytest.raises(CrackvizError, match="labels has 2, groups has 3; expected as many of each"):
        check_lengths(labels=[1, 2], groups=[1, 2, 3])


def test_a_rounded_one_is_told_from_bytes() -> None:
    images = np.full((1, 2, 2, 3), np.float32(1.0000001))
    with pytest.raises(CrackvizError, match=r"reach from 1\.0000001 to 1\.0000001.*clip\(0, 1\)"):
        check_images(images)
    with pytest.raises(CrackvizError, match="Divide by 255"):
        check_images(images * 200)


def test_a_flag_is_true_or_false() -> None:
    assert contracts.check_flag("grouped", True) is True and contracts.check_flag("grouped", np.False_) is False
    for value in ("yes", "no", 1, 0, None, np.ones(1, bool), [True]):
        with pytest.raises(CrackvizError, match=r"^grouped is .*; expected True or False"):
            contracts.check_flag("grouped", value)


@dataclass(frozen=True)
class Made:
    depth: int = 1
    seed: int = 0


@contracts.one_by_one
def made(size: int, *, seed: int = 7, options: Made = Made()) -> tuple[int, int, Made]:
    """What is given arrives."""
    return size, seed, options


def test_options_are_taken_in_one_object_or_by_their_names() -> None:
    call: Any = made
    assert call(3) == (3, 7, Made())
    assert call(3, depth=5) == (3, 7, Made(5)), "as if by options=Made(depth=5)"
    assert call(3, depth=5, options=Made(2, 9)) == (3, 7, Made(5, 9)), "a name given beside the object wins"
    assert call(3, seed=1) == (3, 1, Made()), "a name that the function has itself stays its own"
    assert made.__doc__ == "What is given arrives."
    with pytest.raises(CrackvizError, match=r"made has no option 'dept'\. Did you mean depth\? Known: size, seed, opt"):
        call(3, dept=5)
