"""One table of many runs, means over seeds, and how they are drawn."""

from __future__ import annotations

import itertools
import json
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.collections import LineCollection, PathCollection

from crackviz import CrackvizError, plots, series
from crackviz.series.overview import _picture
from crackviz.series.records import Run, look
from crackviz.series.table import (
    compared,
    flattened,
    idle_axes,
    interval,
    is_time,
    means,
    points_of,
    table_of,
    write_table,
)


def make_run(folder: Path, results: dict[str, Any], *, status: str = "done", **parameters: Any) -> Path:
    """A run folder as a run leaves it, without any running."""
    run = series.open_run(folder)
    sources = {"notebook": "", "package": "", "data": "", "files": {}}
    record = {
        "path": "/nowhere/00_n.ipynb",
        "sources": sources,
        "status": status,
        "seconds": 2.5,
        "memory_MiB": 300,
        "parameters": parameters,
        "started": "2026",
    }
    seed = parameters.get("seed", 0)
    given = {name: value for name, value in parameters.items() if name != "data"}
    config = {"layout": 2, "crackviz": "x", "started": "2026-01-01T10:00:00", "data": parameters.get("data", "")}
    config |= {
        "seed": seed,
        "parameters": given,
        "notebooks": dict.fromkeys({"00_n", *results}, record),
        "manifests": {},
    }
    series.write_json(run / "config.json", config)
    series.write_json(run / "results.json", results)
    series.write_json(run / "claims.json", {"00_n": [{"id": "T0.1", "statement": "x", "holds": status == "done"}]})
    return run


def glance(run: Path) -> Run:
    config = json.loads((run / "config.json").read_text())
    return Run(run, config["notebooks"]["00_n"]["status"], "", config["notebooks"], config, (1, 1))


def test_results_become_columns() -> None:
    results = {
        "03": {"accuracy": {"value": 0.5, "low": 0.25, "high": 0.75, "n": 9}, "n": 3, "model": "net", "many": [1, 2]},
        "08": {"scores": {"a/b": {"f1": 1.0}}, "nothing": None, "low": {"value": 1.0}},
    }
    assert flattened(results) == {
        "03.accuracy": 0.5, "03.accuracy.low": 0.25, "03.accuracy.high": 0.75, "03.n": 3, "03.model": "net",
        "03.accuracy.n": 9, "03.many": [1, 2], "08.scores.a/b.f1": 1.0, "08.nothing": None, "08.low.value": 1.0,
    }  # fmt: skip


def test_the_interval_of_a_mean_is_students() -> None:
    low, high = interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / np.sqrt(3), 2 + 4.302653 / np.sqrt(3)))
    assert interval([1.0, 2.0, np.nan, 3.0]) == (low, high)
    for few in ([], [1.0], [1.0, np.nan], [1.0, 2.0]):
        assert np.isnan(interval(few)).all()
    for name in (
        "scores.recall/crack",
        "share found",
        "the_share",
        "recall 0.95",
        "calibration_error",
        "tiles, ROC-AUC",
    ):
        assert interval([0.9, 0.95, 1.0], f"03.{name}")[1] == 1, "a share ends at 1"
        assert interval([0.01, 0.2, 0.1], f"03.{name}")[0] == 0, "and at 0"
        assert np.isnan(interval([1.0, 1.0, 1.0], f"03.{name}")).all(), "equal shares of few pictures are no certainty"
    for name in ("log_loss", "accuracy, network less darkness", "gap.accuracy gap"):
        assert interval([0.01, 0.2, 0.1], f"03.{name}")[0] < 0, "a difference may be negative"
    assert interval([-0.1, 0.2, 0.1], "03.share")[0] < 0, "the name misleads"
    assert interval([8.0, 8.0, 8.0], "03.channels") == (8, 8)
    assert interval([0.9, 0.95, 1.0], "03.log_loss")[1] > 1


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=8), st.floats(-10, 10), st.floats(0.01, 10))
def test_the_interval_moves_and_stretches_with_the_values(values: list[float], shift: float, scale: float) -> None:
    low, high = interval(values)
    assert low <= np.mean(values) + 1e-9 and np.mean(values) - 1e-9 <= high
    moved = interval([scale * value + shift for value in values])
    assert moved == pytest.approx((scale * low + shift, scale * high + shift), abs=1e-6)


def test_runs_become_rows_and_means(tmp_path: Path) -> None:
    runs = []
    for lr, seed, accuracy in ((0.1, 0, 0.8), (0.1, 1, 0.9), (0.2, 0, 0.5), (0.2, 1, 0.6)):
        results = {"03": {"accuracy": accuracy, "seconds": seed, "same": 1, "name": "x", "many": [1], "none": None}}
        results["03"]["headlines"] = ["same", "accuracy", "gone"]
        status = "failed" if (lr, seed) == (0.2, 1) else "done"
        runs.append(glance(make_run(tmp_path / f"{lr}-{seed}", results, status=status, lr=lr, seed=seed)))
    points = points_of(runs)
    assert points == [{"lr": run.config["parameters"]["lr"], "seed": run.config["seed"]} for run in runs]
    assert list(points[0]) == ["lr", "seed"]
    table = table_of(runs, points, ["a", "b", "c", "d"])
    assert list(table["run"]) == ["a", "b", "c", "d"]
    assert list(table["03.accuracy"].dropna()) == [0.8, 0.9, 0.5]
    assert [name for name in table if name.startswith("03")] == ["03.accuracy", "03.seconds", "03.same", "03.name"]
    assert table.attrs["headlines"] == ["03.same", "03.accuracy"]
    assert list(table["status"]) == ["done", "done", "done", "failed"]
    assert list(table["notebooks"]) == [2, 2, 2, 0]
    assert compared(table, ["lr", "seed"]) == ["03.accuracy"]  # not what is the same, a time or a text
    averages = means(table, ["lr", "seed"], ["03.accuracy"])
    assert list(averages["lr"]) == [0.1, 0.2]
    assert list(averages["runs"]) == [2, 1]  # what a failed notebook wrote doesn't count
    assert list(averages["03.accuracy"]) == pytest.approx([0.85, 0.5])
    assert averages["03.accuracy.low"].isna().all(), "of two runs nothing is known"
    third = pd.concat([table.head(2), table.head(2).assign(seed=[2, 3])])
    averages = means(third, ["lr", "seed"], ["03.accuracy"])
    assert (averages["03.accuracy.low"][0], averages["03.accuracy.high"][0]) == pytest.approx(
        interval(third["03.accuracy"])
    )
    only_seeds = means(table.head(2), ["seed"], ["03.accuracy"])
    assert list(only_seeds["runs"]) == [2]


def test_what_is_compared_can_be_chosen() -> None:
    table = pd.DataFrame({"run": ["a", "b"], "seed": [0, 1], "1.x": [1, 2], "1.y": [1, 3], "2.z": [1, 4], "2.t": "ab"})
    table["2.z.low"], table["2.z.high"] = 0, 5
    assert compared(table, ["seed"]) == ["1.x", "2.z", "1.y"]  # by turns
    assert compared(table, ["seed"], limit=1) == ["1.x"]
    assert compared(table.assign(**{"1.x": [1, None]}), ["seed"]) == ["1.y", "2.z"]  # not of some runs only
    known = table.assign(**{"3.a": [1, 2], "3.scores.roc_auc": [1, 2], "3.scores.accuracy": [1, 2]})
    known.attrs["headlines"] = ["3.scores.accuracy", "2.t", "3.scores.roc_auc"]
    assert compared(known, ["seed"])[:3] == ["3.scores.accuracy", "3.scores.roc_auc", "1.x"]
    assert compared(table, ["seed"], ["1.*", "2.z"]) == ["1.x", "1.y", "2.z"]
    assert compared(table, ["seed"], ["1.y"]) == ["1.y"]
    for pattern in ("3.*", "2.t", "seed", "2.z.low"):
        with pytest.raises(CrackvizError, match=r"No result is called.*1\.x"):
            compared(table, ["seed"], [pattern])


@pytest.mark.parametrize(
    ("name", "time"),
    [("07.milliseconds per picture.cam", True), ("x.ms", True), ("10.seconds", True), ("a.items", False),
     ("x.terms", False), ("lesson.systems", False), ("training time [seconds]", True)],
)  # fmt: skip
def test_times_are_known_by_their_names(name: str, time: bool) -> None:
    assert is_time(name) == time


def test_the_table_is_written_as_csv_and_parquet(tmp_path: Path) -> None:
    table = pd.DataFrame({"run": ["a", "b"], "x": [1.5, None], "mixed": [1, "text"], "lr": ["0.1", "0.2"]})
    write_table(table, tmp_path)
    read = pd.read_csv(tmp_path / "results.csv")
    assert list(read["run"]) == ["a", "b"] and read["x"][0] == 1.5 and np.isnan(read["x"][1])
    pytest.importorskip("pyarrow", reason="Parquet needs crackviz[cluster]")
    parquet = pd.read_parquet(tmp_path / "results.parquet")
    assert list(parquet["mixed"]) == ["1", "text"] and parquet["x"][0] == 1.5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.parquet"]


def test_runs_are_compared_on_a_page(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / f"{data}{seed}", {"03": {"accuracy": 0.8 + 0.01 * seed}}, data=data, seed=seed)
        for data in ("a", "b")
        for seed in (0, 1, 2)
    ]
    index = series.summarise_runs(runs)
    assert index == tmp_path / "index.html"
    page = index.read_text()
    for part in ("6 runs", "6 done", "<br>accuracy</th>", 'href="a0/index.html"', "data:image/png;base64",
                 "0.81 <span", "1 of 1", "300 MiB"):  # fmt: skip
        assert part in page, part
    assert pd.read_csv(tmp_path / "results.csv")["03.accuracy"].tolist() == pytest.approx([0.8, 0.81, 0.82] * 2)
    other = series.summarise_runs(runs[:2], out=tmp_path / "both", metrics=["03.*"])
    assert other == tmp_path / "both" / "index.html" and 'href="../a0/index.html"' in other.read_text()
    with pytest.raises(CrackvizError, match="No result is called 'x'"):
        series.summarise_runs(runs, metrics=["x"])
    with pytest.raises(CrackvizError, match="is no run folder"):
        series.summarise_runs([*runs, tmp_path])
    with pytest.raises(CrackvizError, match="would overwrite the report of"):
        series.summarise_runs(runs, out=runs[0])


@pytest.mark.parametrize("sizes", [(1,), (3,), (2, 3), (2, 2, 2), (2, 3, 3), (2, 12)])
def test_any_number_of_axes_is_drawn(sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"axis_{n}" for n in range(len(sizes))]
    points = list(itertools.product(*(range(size) for size in sizes)))
    table = pd.DataFrame(points, columns=names).assign(**{"03.f1": np.arange(len(points)) / 10})
    drawn: list[Any] = []
    draw = plots.RunsDisplay.from_table
    monkeypatch.setattr(plots.RunsDisplay, "from_table", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1])
    assert len(_picture(table, ["03.f1"], names)) > 1000
    heights = sorted(np.concatenate([dots.get_offsets()[:, 1] for dots in drawn[0].ax_[0].collections]))
    assert heights == pytest.approx(sorted(table["03.f1"]))
    assert set(drawn[0].x.split(", ")) | set(filter(None, drawn[0].hue.split(", "))) == set(names)


def test_long_labels_find_room() -> None:
    names = [f"synthetic:patches={n},image_size=96,crack_width=(2,8)" for n in range(20)]
    table = pd.DataFrame({"data": names, **{f"03.f{n}": np.arange(20.0) for n in range(4)}})
    with warnings.catch_warnings(action="error"):  # as where the layout breaks down
        display = plots.RunsDisplay.from_table(table, list(table.columns[1:]), x="data")
        display.figure_.canvas.draw()
    for axis in display.ax_:
        assert [label.get_text() for label in axis.get_xticklabels()] == names
        assert axis.get_window_extent().height > 150
    plt.close(display.figure_)


def test_the_display_shows_what_it_is_given() -> None:
    table = pd.DataFrame(
        {
            "lr": [0.1, 0.1, 0.1, 0.2, 0.2, 0.2] * 2,
            "data": ["a"] * 6 + ["b"] * 6,
            "3.x": np.arange(12.0),
            "3.y": np.arange(12.0) / 2,
        }
    )
    display = plots.RunsDisplay.from_table(table, ["3.x", "3.y"], x="lr", hue="data", interval=interval)
    assert [axis.get_ylabel() for axis in display.ax_] == ["x", "y"]
    assert [label.get_text() for label in display.ax_[0].get_xticklabels()] == ["0.1", "0.2"]
    assert [text.get_text() for text in display.figure_.legends[0].get_texts()] == ["a", "b"]
    dots = np.concatenate([c.get_offsets()[:, 1] for c in display.ax_[0].collections])
    assert sorted(dots) == list(range(12))
    heights = [tuple(line.get_ydata()) for line in display.ax_[0].lines]
    bounds = {value for line in heights for value in line if len(line) >= 2}
    assert {*np.round(interval([0, 1, 2]), 6)} <= {*np.round(list(bounds), 6)}
    plt.close(display.figure_)
    alone = plots.RunsDisplay.from_table(table, ["3.x"])
    assert alone.ax_.shape == (1,) and not alone.figure_.legends
    plt.close(alone.figure_)
    for wrong in ({"metrics": ["none"]}, {"metrics": ["3.x"], "x": "none"}, {"metrics": []}):
        with pytest.raises(CrackvizError, match=r"no column 'none'|no metric"):
            plots.RunsDisplay.from_table(table, **wrong)


def test_each_run_shows_its_own_interval() -> None:
    """Also where nothing is repeated: without it two scores look as if they were known exactly."""
    table = pd.DataFrame({"data": ["a", "b", "b"], "net": ["x", "x", "y"], "3.f1": [0.5, 0.7, 0.8]})
    table = table.assign(**{"3.f1.low": [0.4, 0.5, np.nan], "3.f1.high": [0.6, 0.8, np.nan]})
    display = plots.RunsDisplay.from_table(table, ["3.f1"], x="data", hue="net", interval=interval)
    lines = [c.get_segments()[0] for c in display.ax_[0].collections if isinstance(c, LineCollection)]
    assert [[tuple(end) for end in line] for line in lines] == [
        [(pytest.approx(place), low), (pytest.approx(place), high)]
        for place, low, high in ((-0.3, 0.4, 0.6), (0.7, 0.5, 0.8))
    ]
    drawn = [c.get_offsets() for c in display.ax_[0].collections if isinstance(c, PathCollection)]
    dots = [tuple(dot) for dot in np.concatenate(drawn)]
    assert (pytest.approx(-0.3), 0.5) in dots and (pytest.approx(0.7), 0.7) in dots, "through its dot"
    plt.close(display.figure_)


def test_a_setting_that_changed_no_number_is_said_to(tmp_path: Path) -> None:
    runs = [
        make_run(
            tmp_path / f"{size}-{seed}",
            {"03": {"accuracy": 0.8 + seed / 10, "seconds": size}},
            image_size=size,
            seed=seed,
        )
        for size in (96, 128)
        for seed in (0, 1)
    ]
    page = series.summarise_runs(runs).read_text()
    assert "image size has changed no number here" in page and "seed has changed" not in page
    table = pd.DataFrame({"a": [1, 1, 2], "b": [1, 2, 2], "3.x": [0.1, 0.2, 0.2], "3.t": ["u", "v", "w"]})
    assert idle_axes(table, ["a", "b"]) == ["a"]
    assert idle_axes(table[:1], ["a", "b"]) == [], "one run tells nothing"
    assert idle_axes(table.drop(columns="3.x"), ["a", "b"]) == []


def test_what_was_not_given_had_its_default(tmp_path: Path) -> None:
    given = make_run(tmp_path / "a", {}, image_size=96, seed=0)
    default = make_run(tmp_path / "b", {}, image_size=128, seed=0)
    config = json.loads((default / "config.json").read_text())
    series.write_json(default / "config.json", config | {"parameters": {}, "data": ""})
    assert points_of([glance(given), glance(default)]) == [{"image_size": 96}, {"image_size": 128}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("claims.json", {"03": [{"id": "T1.1"}]}),
        ("claims.json", {"03": 3}),
        ("claims.json", {"03": [{"id": "T1.1", "statement": "x", "holds": "yes"}]}),
        ("results.json", {"03": [1]}),
        ("config.json", {"notebooks": {"03": {}}}),
        ("config.json", {"notebooks": []}),
    ],
)
def test_what_is_damaged_within_is_named(name: str, content: dict[str, Any], tmp_path: Path) -> None:
    one, other = (make_run(tmp_path / name, {"03": {"accuracy": 0.5}}) for name in "ab")
    known = json.loads((other / name).read_text())
    series.write_json(other / name, known | content)
    for use in (lambda: series.report(other), lambda: series.compare(one, other)):
        with pytest.raises(CrackvizError, match=rf"b/{name} is damaged"):
            use()
    assert name == "results.json" or look(other).status == "not readable"
