"""Exercises: right answers pass, and wrong ones hear what is wrong with them."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbclient import NotebookClient

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


# --- in the notebooks ---------------------------------------------------------------------------------------------

build_spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks" / "build.py")
assert build_spec is not None and build_spec.loader is not None
build: Any = importlib.util.module_from_spec(build_spec)
build_spec.loader.exec_module(build)
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py"))
EXERCISE = re.compile(r"\*\*(\d\d\.\d+)\*\* (★{1,3}) \S")
FOLDED = re.compile(r"\A<details><summary>Solution</summary>\n\n(.*?)```python\n(.*?)```\n\n</details>", re.DOTALL)


def exercises_of(source: Path) -> dict[str, tuple[str, str, str]]:
    """Stars, the cell to be filled in, and the folded solution of each exercise of a notebook."""
    cells = build.from_source(source).cells
    found = {}
    for before, cell, after in zip(cells, cells[1:], cells[2:], strict=False):
        if "exercise" in cell.metadata.get("tags", []):
            (number, stars) = EXERCISE.findall(before.source.split("</details>")[-1])[-1]
            solution = FOLDED.match(after.source)
            assert solution and solution[1].strip(), f"{number} has no folded solution"
            found[number] = stars, cell.source, solution[2]
    return found


def filled(cell: str, solution: str) -> str:
    """An exercise's cell with the solution in place of the dots."""
    assert cell.count("answer = ...") == 1
    return cell.replace("answer = ...", solution)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_has_exercises_of_each_kind(source: Path) -> None:
    found = exercises_of(source)
    assert {len(stars) for stars, _, _ in found.values()} == {1, 2, 3}
    order = [len(stars) for stars, _, _ in found.values()]
    assert order == sorted(order), "the easy ones first"
    assert list(found) == [number for number in answers.SOLUTIONS if number.startswith(f"{source.stem[:2]}.")]
    assert list(found) == [f"{source.stem[:2]}.{k}" for k in range(1, len(found) + 1)]
    text = "\n".join(cell.source for cell in build.from_source(source).cells if cell.cell_type == "markdown")
    assert len(EXERCISE.findall(text)) == len(found)
    for number, (_, cell, _) in found.items():
        calls = [node for node in ast.walk(ast.parse(cell)) if isinstance(node, ast.Call)]
        (call,) = [node for node in calls if ast.unparse(node.func) == "cv.series.exercise"]
        assert ast.literal_eval(call.args[0]) == number
        assert bool(call.keywords) == (answers.SOLUTIONS[number]["kind"] == "library")


SETTLED = {"image_size", "table", "answer"}  # fitted to the network; with its parts; the exercises' own name


class Surroundings(dict[str, Any]):
    """What a notebook has made before its exercises, in small; no name that the notebook itself doesn't know."""

    def __init__(self, source: Path) -> None:
        import keras
        import tensorflow as tf

        import crackviz as cv
        from crackviz import attribution, faithfulness

        model = models.build("gap_cnn_deep", 32)
        images = np.stack([synthetic.patch(k).image[:32, :32] for k in range(3)]) / np.float32(255)
        layer = attribution.default_layer(model)
        cells = build.from_source(source).cells
        tree = ast.parse("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
        known = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        known |= {name.asname or name.name.split(".")[0] for node in imports for name in node.names}
        known |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        rng = np.random.default_rng(0)
        stand_ins = {
            "np": np,
            "tf": tf,
            "keras": keras,
            "cv": cv,
            "comb": __import__("math").comb,
            "explain": attribution,
            "faith": faithfulness,
            "model": model,
            "images": images,
            "image_size": 32,
            "patch": images[:1],
            "whole": keras.Model(model.inputs[0], [model.get_layer(layer).output, model.get_layer("logit").output]),
            "convolutions": [name for name in attribution.ladder(model).index if "conv" in name],
            "table": {"hash": [rng.bytes(2) * 16 for _ in range(60)]},
            "scaled": rng.random(9),
            "learnt": 0.5,
            "drawn": rng.random((3, 40, 40)) < 0.1,
            "mask": np.array([[1, 0], [0, 0]]),
        }
        self.update({name: value for name, value in stand_ins.items() if name in known})
        for text in (cell.source for cell in cells if "def slide(" in cell.source):  # pure arithmetic
            exec(text, self)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_folded_solution_is_right(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    surroundings = Surroundings(source)
    for number, (_, cell, solution) in exercises_of(source).items():
        exec(cell, surroundings)
        assert capsys.readouterr().out == f"· {number} is waiting for your answer\n"
        exec(filled(cell, solution), surroundings)
        assert capsys.readouterr().out == f"✓ {number} right\n", solution


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_what_a_solution_reads_has_one_meaning(source: Path) -> None:
    """In the notebook the last one counts, and the text of an exercise points to some place above."""
    codes = [cell.source for cell in build.from_source(source).cells if cell.cell_type == "code"]
    bound: Counter[str] = Counter()
    for code in codes:
        nodes = [node for part in ast.parse(code).body for node in _outside_functions(part)]
        names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
        bound.update(names | {node.name for node in nodes if isinstance(node, ast.FunctionDef)})
    for number, (_, cell, solution) in exercises_of(source).items():
        nodes = list(ast.walk(ast.parse(filled(cell, solution))))
        own = {node.arg for node in nodes if isinstance(node, ast.arg)}
        own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        read = {node.id for node in nodes if isinstance(node, ast.Name)} - own - SETTLED
        assert not [name for name in read if bound[name] > 1], number


def _outside_functions(part: ast.AST) -> Iterator[ast.AST]:
    yield part
    if not isinstance(part, ast.FunctionDef | ast.Lambda):
        for child in ast.iter_child_nodes(part):
            yield from _outside_functions(child)


@pytest.mark.slow
def test_a_notebook_with_its_solutions_filled_in_runs_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = next(path for path in SOURCES if path.stem.startswith("06"))
    monkeypatch.setenv("CRACKVIZ_RUN", str(tmp_path / "run"))
    notebook = build.from_source(source)
    found = exercises_of(source)
    for cell in notebook.cells:
        if "exercise" in cell.metadata.get("tags", []):
            _, empty, solution = next(one for one in found.values() if one[1] == cell.source)
            cell.source = filled(empty, solution)
        if "parameters" in cell.metadata.get("tags", []):
            cell.source += "\ndata = 'synthetic:patches=400'"
    NotebookClient(notebook, timeout=300).execute()
    asked = [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", [])]
    said = ["".join(out.text for out in cell.outputs) for cell in asked]  # a stream may come in several pieces
    assert said == [f"✓ {number} right\n" for number in found]


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
    assert all("waiting" in line for line in said[::2])
    assert all("function without return" in line for line in said[1::2])


@pytest.mark.parametrize("number", ["6.1", "T6.1", "06.99", "99.1", 6.1])
def test_an_exercise_that_does_not_exist(number: Any) -> None:
    with pytest.raises(CrackvizError, match="exercise"):
        exercise(number, 1)


def test_words() -> None:
    assert mistake("06.1", " Decisions ") == mistake("06.1", ["decisions"]) == ""
    assert "is none of maps, logits, probabilities, decisions" in mistake("06.1", "decison")
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
        (70, np.array(0.7), "a hundred times too large: is it in percent?"),
        (700, np.array(7), "a hundred times too large"),
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
        (np.full_like(RIGHT, np.inf), RIGHT, "divided by 0"),
        (wrong_first, RIGHT, "1 of 9 is wrong; the first, row 1, column 1 (counted from 1), is too large with 1.1"),
    ):
        with np.errstate(all="ignore"):
            assert said in difference(found, right), said
    assert "percent" not in difference(700, np.array(7))
    assert "the first, number 2 (counted from 1), is too large with 9" in difference([0.3, 9], np.array([0.3, 0.4]))
    assert "0.7" not in difference(0.8, np.array(0.7)), "it doesn't give the answer away"


def test_numbers_that_were_typed_in_may_be_rounded() -> None:
    right = np.array(0.06977)
    assert difference(0.07, right, rounded=True) == difference(0.0698, right, rounded=True) == ""
    assert difference(0.07, right) == "too large"
    for typed, of in ((0.06, right), (0.069, right), (0.1, right), (0.3, 1 / 3), (160, 163.85), (5100, 5121.0)):
        assert difference(typed, np.array(of), rounded=True) != "", typed
    assert difference(164, np.array(163.85), rounded=True) == ""
    assert difference([0.33, 2, 12.3], np.array([1 / 3, 2.0, 12.345]), rounded=True) == ""
    assert "1 of 3" in difference([0.33, 2.1, 12.3], np.array([1 / 3, 2.0, 12.345]), rounded=True)
    for number, typed in (("03.3", 0.07), ("13.2", 0.33), ("12.2", 0.69)):  # as their solutions say it
        assert mistake(number, typed) == mistake(number, np.float32(typed)) == ""
        assert mistake(number, round(100 * typed)) == "a hundred times too large: is it in percent?"
    assert difference([0.51, 0.03], np.array([0.5123, 0.0341]), rounded=True) == "", "np.round"
    assert difference([0.5, 0.0], np.array([0.5123, 0.0341]), rounded=True) != ""
    assert all(difference(typed, np.array(typed * 0.996), rounded=True) for typed in (1, -1)), "nearly perfect"
    for found, unknown in ((5.0, np.nan), ([5.0, 0.1], [np.nan, 0.1]), ([5.0, 5.0], [np.nan, np.nan])):
        assert "NaN is right" in difference(found, np.array(unknown), rounded=True)
        assert difference(unknown, np.array(unknown), rounded=True) == ""
    assert difference(5.0, np.array(np.inf), rounded=True) != ""
    assert all(difference(half, np.array(0.125), rounded=True) == "" for half in (0.12, 0.13)), "Python; at school"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.floats(1.01, 50))
def test_what_is_off_is_never_right(values: list[float], factor: float) -> None:
    right = np.array([*values, 1e6])
    assert difference(right, right) == ""
    assert difference(right * factor, right) != ""
    np.testing.assert_array_equal(unpacked(packed(right), right.shape), right)


def test_what_does_not_fit_an_exercise_is_a_sentence() -> None:
    for of in (5, (None,)):
        with pytest.raises(CrackvizError, match="of= doesn't fit exercise"):
            mistake("06.2", np.zeros(3), of=of)  # type: ignore[arg-type]
    assert mistake("06.1", "\ud800")

    def leaves(a: Any, b: Any) -> None:
        raise SystemExit(3)

    assert "it stopped with SystemExit" in mistake("06.3", leaves)


@pytest.mark.parametrize("text", ["", "first\nsecond", "\n first\r\nsecond", "first\rsecond", "first\u2028second"])
def test_an_exception_is_told_in_one_line(text: str) -> None:
    def raises(a: Any, b: Any) -> None:
        raise ValueError(text)

    assert mistake("06.3", raises).endswith(f": it stopped with ValueError{': first' if text else ''}")


def test_an_interruption_interrupts() -> None:
    def interrupted(a: Any, b: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exercise("06.3", interrupted)
