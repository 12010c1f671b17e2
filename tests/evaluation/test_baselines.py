"""Answers without a network, on pictures whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackviz import CrackvizError, evaluation

SIDE = 64


def walls(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(0.6 + 0.02 * rng.standard_normal((count, SIDE, SIDE, 1)), 0, 1).repeat(3, 3).astype("float32")


def test_grey_numbers_by_hand() -> None:
    picture = np.full((1, 4, 10, 3), 0.8, "float32")
    picture[:, :, 4:6] = 0.2  # a fifth of the pixels; two steps of 0.6 in each row of nine
    found = dict(zip(evaluation.GREY_NUMBERS, evaluation.grey_numbers(picture)[0], strict=True))
    assert found["darkest hundredth"] == found["darkest twentieth"] == pytest.approx(0.2)
    assert found["median"] == pytest.approx(0.8)
    assert found["spread"] == pytest.approx(0.6 * np.sqrt(0.2 * 0.8))
    assert found["mean step"] == pytest.approx(2 * 0.6 / 9)
    assert found["steepest hundredth"] == pytest.approx(0.6)


@given(row=st.integers(8, SIDE - 9), start=st.integers(0, 20), length=st.integers(25, 43))
@settings(max_examples=25, deadline=None)
def test_a_dark_line_is_as_long_as_drawn(row: int, start: int, length: int) -> None:
    picture = np.full((1, SIDE, SIDE, 3), 0.7, "float32")
    picture[0, row : row + 3, start : start + length] = 0.2
    found = evaluation.ridge_extent(picture)[0] * SIDE * np.sqrt(2)
    assert -4 < found - length < 13, "but for the blur at its ends, which reaches four sigma"


def test_a_line_stands_out_of_the_grain_and_turning_changes_nothing() -> None:
    plain = walls(1)
    dark = plain.copy()
    dark[0, 30:33, :] -= 0.4
    values = evaluation.ridge_extent(np.concatenate([plain, dark]))
    assert values[1] > 0.7 > 2 * values[0]
    turned = evaluation.ridge_extent(np.ascontiguousarray(np.rot90(dark, axes=(1, 2))))
    assert turned[0] == pytest.approx(values[1], abs=0.03)


def test_arguments_change_the_answer_and_a_flat_wall_has_no_ridge() -> None:
    pictures = walls(4, 1)
    base = evaluation.ridge_extent(pictures)
    assert not np.array_equal(evaluation.ridge_extent(pictures, sigma=3), base)
    assert (evaluation.ridge_extent(pictures, share=0.3) > base).all()
    assert evaluation.ridge_extent(np.full((1, SIDE, SIDE, 3), 0.5, "float32"))[0] == 0
    for wrong in ({"sigma": 0}, {"share": 1.0}):
        with pytest.raises(CrackvizError, match=next(iter(wrong))):
            evaluation.ridge_extent(pictures, **wrong)
