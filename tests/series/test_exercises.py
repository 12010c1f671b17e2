"""Exercises: right answers pass, and wrong ones hear what is wrong with them."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackviz import CrackvizError, models, synthetic
from crackviz.series import exercise
from crackviz.series.exercises import difference, mistake, packed, unpacked

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("answers", ROOT / "notebooks" / "answers.py")
assert spec is not None and spec.loader is not None
answers: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(answers)
stored = [number for number, solution in answers.SOLUTIONS.items() if solution["kind"] != "library"]


@pytest.mark.parametrize("path", sorted(answers.FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_the_files_are_those_of_the_solutions(path: Path) -> None:
    found, wanted = (tomllib.loads(text) for text in (path.read_text("utf-8"), answers.written(path.stem)))
    assert found.keys() == wanted.keys()
    for number, table in wanted.items():
        if table["kind"] in ("function", "numbers"):  # the last digits may differ from machine to machine
            right = unpacked(found[number].pop("right"), [-1])
            np.testing.assert_allclose(right, unpacked(table.pop("right"), [-1]), rtol=1e-9)
        assert found[number] == table


@pytest.mark.parametrize("number", stored)
def test_every_solution_is_right_and_every_wrong_one_is_told_why(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    solution = answers.SOLUTIONS[number]
    exercise(number, solution["solution"])
    assert capsys.readouterr().out == f"✓ {number} right\n"
    for wrong, say in solution.get("wrong", []):
        exercise(number, wrong)
        assert capsys.readouterr().out == f"✗ {number} {say}\n"


def test_an_answer_that_the_library_knows() -> None:
    model = models.build("gap_cnn", 32)
    images = np.stack([synthetic.patch(k).image[:32, :32] for k in range(2)]) / np.float32(255)
    from crackviz import attribution

    right = attribution.hires_cam(model, images, upsample=False)
    assert mistake("06.2", right, of=(model, images)) == ""
    assert "sign is turned" in mistake("06.2", -right, of=(model, images))
    assert "shape" in mistake("06.2", attribution.hires_cam(model, images), of=(model, images))
    with pytest.raises(CrackvizError, match="give of="):
        exercise("06.2", right)


def test_no_answer_yet_stops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for number in answers.SOLUTIONS:
        exercise(number)
        exercise(number, None)
    said = capsys.readouterr().out.splitlines()
    assert all("waiting" in line for line in said[::2]) and all("no answer yet" in line for line in said[1::2])


@pytest.mark.parametrize("number", ["6.1", "T6.1", "06.99", "99.1", 6.1])
def test_an_exercise_that_does_not_exist(number: Any) -> None:
    with pytest.raises(CrackvizError, match="exercise"):
        exercise(number, 1)


def test_words() -> None:
    assert mistake("06.1", " Decisions ") == mistake("06.1", ["decisions"]) == ""
    assert "Did you mean decisions?" in mistake("06.1", "decison")
    assert "words" in mistake("06.1", 3) and "words" in mistake("06.1", [3])
    assert mistake("06.1", {"maps"}) == "try it: set the doubled weights, and compare"


def cam(activations: Any, weights: Any) -> Any:
    return activations @ weights / 12


def test_functions() -> None:
    def spoils(activations: Any, weights: Any) -> Any:
        activations /= 12
        return activations @ weights

    def stops(activations: Any, weights: Any) -> Any:
        return activations @ weights[:2]

    def forgets(activations: Any, weights: Any) -> None:
        cam(activations, weights)

    assert mistake("06.3", cam) == ""
    for function, said in (
        (spoils, "work on a copy"),
        (stops, "stopped with ValueError"),
        (forgets, "returns nothing"),
        (lambda a: a, "other arguments"),
        (lambda a, w: a @ w, "12 times"),
        (lambda a, w: -cam(a, w), "sign is turned"),
        (lambda a, w: cam(a, w).clip(0), "negative part"),
        (lambda a, w: cam(a, w).swapaxes(1, 2), "another order"),
        (lambda a, w: a.mean(axis=(1, 2)) @ w, "the shape is (2,), expected (2, 3, 4)"),
        (lambda a, w: cam(a, w) + 0.25, "too large by 0.25"),
        (cam(np.ones((2, 3, 4, 5)), np.ones(5)), "a function is asked for"),
    ):
        assert said in mistake("06.3", function), said


RIGHT = np.array([[0.1, -0.4, 0.2], [0.3, 0.7, -0.9], [0.6, 0.5, 0.0]])


def test_numbers() -> None:
    assert difference(0.7, np.array(0.7)) == difference(np.float32(0.7), np.array(0.7)) == ""
    wrong_first = RIGHT + np.eye(3) * [1, 0, 0]
    for found, right, said in (
        (70, np.array(0.7), "percent"),
        (0.8, np.array(0.7), "too large"),
        (0.6, np.array(0.7), "too small"),
        (9.0, np.array(0.7), "by far"),
        ("0.7", np.array(0.7), "a number is asked for, not str"),
        ([[1], [1, 2]], RIGHT, "array of numbers"),
        ([0.7], np.array(0.7), "one number is asked for"),
        (0.7, RIGHT, "one number, where an array is asked for"),
        (RIGHT[None], RIGHT, "an axis of length 1"),
        (RIGHT.T, RIGHT, "rows and columns are swapped"),
        (RIGHT[::-1], RIGHT, "reverse order"),
        (np.abs(RIGHT), RIGHT, "absolute"),
        (RIGHT * 0 + 1, RIGHT, "same everywhere"),
        (RIGHT / np.array(0.0), RIGHT, "divided by 0"),
        (wrong_first, RIGHT, "1 of 9 is wrong; the first is [0, 0], too large with 1.1"),
    ):
        with np.errstate(all="ignore"):
            assert said in difference(found, right), said
    assert "0.7" not in difference(0.8, np.array(0.7)), "it doesn't give the answer away"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(1.01, 50))
def test_what_is_off_is_never_right(values: list[float], factor: float) -> None:
    right = np.array([*values, 1e6])
    assert difference(right, right) == ""
    assert difference(right * factor, right) != ""
    np.testing.assert_array_equal(unpacked(packed(right), right.shape), right)
