"""Grids: what a TOML file may hold, and the runs that it stands for."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackviz import CrackvizError, series
from crackviz.series.grid import EXAMPLE


def read(tmp_path: Path, text: str) -> series.Grid:
    (tmp_path / "grid.toml").write_text(text)
    return series.read_grid(tmp_path / "grid.toml")


def test_the_example_is_a_grid(tmp_path: Path) -> None:
    grid = read(tmp_path, EXAMPLE)
    assert grid.notebooks == ["02", "03"]
    assert grid.parameters == {"epochs": 30}
    assert grid.metrics == ["03_evaluation.scores.*"]
    assert list(grid.points()) == [
        "data=synthetic,seed=0", "data=synthetic,seed=1", "data=synthetic,seed=2",
        "data=pictures,seed=0", "data=pictures,seed=1", "data=pictures,seed=2",
    ]  # fmt: skip
    assert grid.points()["data=pictures,seed=1"] == {"data": "path/to/pictures", "seed": 1}


def test_numbers_are_read_as_people_mean_them(tmp_path: Path) -> None:
    grid = read(tmp_path, "notebooks = ['02', 8, 'own.ipynb']\ngrid.x = [1e-3, 0.5, -2, 1_000, true, 'no-1']")
    assert grid.notebooks == ["02", "8", "own.ipynb"]
    assert grid.axes["x"] == [0.001, 0.5, -2, 1000, True, "no-1"]
    assert [type(value) for value in grid.axes["x"]] == [float, float, int, int, bool, str]
    assert read(tmp_path, "notebooks = 'own.ipynb'\ngrid.x = [1]").notebooks == ["own.ipynb"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid.seed = [0, 1, 0]", "seed holds 0 twice"),
        ("grid.seed = [1e5, 100000]", "seed holds 100000 twice"),
        ("grid.rate = [0.0, -0.0]", "rate holds 0 twice"),
        ("[grid]\nseed = [0]\nseed = [1]", "line 3, 'seed = .1.': .*names a key twice: keep one"),
        ("[grid]\nseed = [0]\n[grid]\nlr = [1]", "line 3, '.grid.': .*names a key twice"),
        ("grid = {seed = [0], seed = [1]}", "line 1.*seed.*names a key twice"),
        ("grid.seed = []\ngrid.lr = [1]", "seed is an empty list, so there would be no run"),
        ("[grid]", "grid is empty.*crackviz run"),
        ("grid.seed = 3", r"seed must be a list, such as \[3\]"),
        ("grid = [1]", "no table called grid"),
        ("seed = [0]", "no table called grid"),
        ("", "no table called grid"),
        ("notebook = [2]\ngrid.seed = [0]", "has 'notebook', which means nothing.*notebooks, parameters, grid, metr"),
        ("[grid]\nseed = [0]\n[parameters]\nseed = 1", "seed both under grid and under parameters"),
        ("parameters = [1]\ngrid.seed = [0]", "parameters must be a table"),
        ("notebooks = [{a = 1}]\ngrid.seed = [0]", "notebooks must be a list of texts"),
        ("grid.seed = [0", "is no TOML"),
        ("notebooks = [02]\ngrid.seed = [0]", r"line 1, .notebooks = \[02\].*is no TOML"),
        (
            f"grid.seed = {list(range(101))}\ngrid.lr = {list(range(100))}",
            r"10,100 runs \(101 seed x 100 lr\); expected 10",
        ),
    ],
)
def test_what_is_no_grid_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        read(tmp_path, text)


def test_a_huge_grid_is_refused_before_it_is_expanded() -> None:
    with pytest.raises(CrackvizError, match="the grid has 1,000,000,000,000,000 runs"):
        series.Grid({f"a{n}": list(range(1000)) for n in range(5)}).points()


def test_a_file_that_is_not_there_or_none_of_ours_is_named(tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"none\.toml: No such file.*Expected a file such as"):
        series.read_grid(tmp_path / "none.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00grid")
    with pytest.raises(CrackvizError, match="is no TOML"):
        series.read_grid(tmp_path / "binary.toml")
    with pytest.raises(CrackvizError, match=r"(?s)grid\.yaml is YAML; grids are TOML.*\[grid\]"):
        series.read_grid(tmp_path / "grid.yaml")


VALUES = st.one_of(st.integers(), st.floats(allow_nan=False), st.text(max_size=200), st.booleans())
NAMES = st.from_regex(r"[a-z_]{1,12}", fullmatch=True)
AXES = st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=4, unique_by=repr), min_size=1, max_size=3)


@given(AXES)
def test_every_point_has_a_folder_of_its_own(axes: dict[str, list[Any]]) -> None:
    points = series.Grid(axes).points()
    assert len(points) == math.prod(len(values) for values in axes.values())
    for name, point in points.items():
        assert re.fullmatch(r"[\w.+=,~-]{1,80}", name), name
        assert list(point) == list(axes)
    assert {repr(point) for point in points.values()} == {repr(point) for point in series.Grid(axes).points().values()}


def test_equal_last_parts_of_paths_are_told_apart_whatever_their_order() -> None:
    names = list(series.Grid({"data": ["a/b", "c/b", "d/b"]}).points())
    turned = series.Grid({"data": ["a/b", "d/b", "c/b"]}).points()
    assert len(set(names)) == 3 and all(name.startswith("data=b~") for name in names)
    assert turned[names[1]] == {"data": "c/b"}


def test_a_folders_name_does_not_depend_on_the_order_of_an_axis() -> None:
    """Else a value put first would find another's run under its name."""

    def named(places: list[str]) -> dict[str, str]:
        return {point["data"]: name for name, point in series.Grid({"data": places}).points().items()}

    forward, backward = named(["a/x", "b/x", "c/y"]), named(["c/y", "b/x", "a/x"])
    assert forward == backward and len(set(forward.values())) == 3 and forward["c/y"] == "data=y"


def test_lists_in_lists_without_end(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text(f"[grid]\nseed={'[' * 5000}{']' * 5000}")
    with pytest.raises(CrackvizError, match=r"deep\.toml holds lists in lists"):
        series.read_grid(tmp_path / "deep.toml")
