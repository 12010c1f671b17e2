"""What a run folder records, whether it still holds, what is left to do, and who may write."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import until, write_notebook

from crackviz import CrackvizError, files, series
from crackviz.series import hashes, records
from crackviz.series.hashes import Hashes
from crackviz.series.notebooks import assign
from crackviz.series.records import plan, stale

CELLS = ["# A title", "parameters: run = ''  # run\ndata = ''  # pictures\nseed = 0  # seed", "print(seed)"]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    return write_notebook(tmp_path / "nb" / "00_first.ipynb", CELLS)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", ".hidden", ".cache/x"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def record_of(path: Path, status: str = "done", **values: Any) -> dict[str, Any]:
    given = {"run": "r", "data": "", "seed": 0} | values
    sources = Hashes().sources(path, given)
    return {
        "status": status, "path": str(path), "parameters": given, "sources": sources, "started": "2026-01-01T00:00:00",
    }  # fmt: skip


# --- hashes -------------------------------------------------------------------------------------------------------


def test_a_notebooks_hash_is_that_of_its_cells(notebook: Path) -> None:
    before = Hashes().notebook(notebook)
    content = nbformat.read(notebook, as_version=4)
    content.cells[2].outputs = [nbformat.v4.new_output("stream", text="0\n")]
    content.cells[2].execution_count = 7
    content.metadata["x"] = 1
    nbformat.write(content, notebook)
    assert Hashes().notebook(notebook) == before
    for change in (
        lambda: content.cells[2].update(source="print(seed + 1)"),
        lambda: content.cells[1].metadata.update(tags=[]),
        lambda: content.cells.append(nbformat.v4.new_markdown_cell("more")),
        lambda: content.cells.reverse(),
    ):
        earlier = Hashes().notebook(notebook)
        change()
        nbformat.write(content, notebook)
        assert Hashes().notebook(notebook) != earlier
    assert Hashes().notebook(notebook.with_name("gone.ipynb")) == ""


def test_the_hash_of_data_sees_every_file_by_name_and_content(pictures: Path) -> None:
    name = str(pictures)
    hashes = Hashes()
    before = hashes.data(name)
    assert hashes.manifests[name] == {"hash": before, "files": 3, "bytes": 21, "stat": hashes.manifests[name]["stat"]}
    (pictures / ".hidden").write_text("other")
    run = series.open_run(pictures / "run", "00_first")  # a run among the pictures is none of them
    series.write_json(run / "config.json", {"layout": 2})
    assert Hashes().data(name) == before
    (pictures / "a" / "1.jpg").write_text("A/1.jpg")  # as long as before
    changed = Hashes().data(name)
    assert changed != before
    known, one = Hashes(), pictures / "a" / "1.jpg"
    assert known.data(name) == changed
    times = one.stat()
    one.write_text("b/1.jpg")
    os.utime(one, ns=(times.st_atime_ns, times.st_mtime_ns))  # as `cp -p` leaves it
    assert Hashes(known.manifests).data(name) not in (before, changed)
    (pictures / "a" / "2.jpg").rename(pictures / "a" / "3.jpg")
    assert Hashes().data(name) not in (before, changed)
    (pictures / "loop").symlink_to(pictures)
    assert Hashes().data(str(pictures / "gone")) == ""


def test_pictures_beside_a_config_of_any_tool_count(pictures: Path) -> None:
    (pictures / "config.json").write_text('{"tool": "labels"}')
    (pictures / "a" / "config.json").write_text("{}")
    hashes = Hashes()
    before = hashes.data(str(pictures))
    assert hashes.manifests[str(pictures)]["files"] == 5
    (pictures / "a" / "1.jpg").write_text("A/1.jpg")
    assert Hashes().data(str(pictures)) != before


def test_files_that_look_as_before_are_not_read_again(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = str(pictures)
    first = Hashes()
    digest = first.data(name)
    read: list[Path] = []
    content = hashes.file_hash
    monkeypatch.setattr(hashes, "file_hash", lambda path: read.append(path) or content(path))
    again = Hashes(first.manifests)
    assert again.data(name) == digest and not read
    os.utime(pictures / "b" / "1.jpg")
    assert Hashes(first.manifests).data(name) == digest and len(read) == 3  # other times, the same content


def test_the_hash_of_synthetic_concrete_is_its_settings() -> None:
    hashes = Hashes()
    assert hashes.data("") == hashes.data("synthetic") != hashes.data("synthetic:seed=1")
    assert hashes.manifests[""]["files"] == 4000


def test_files_named_by_parameters_count(tmp_path: Path, notebook: Path) -> None:
    network = tmp_path / "net.h5"
    network.write_bytes(b"1")
    values = {"run": str(tmp_path), "network": str(network), "text": "local_cnn"}
    before = Hashes().sources(notebook, values)
    assert before["files"] == {"network": before["files"]["network"]}  # run is no input, local_cnn no path
    network.write_bytes(b"2")
    assert Hashes().sources(notebook, values)["files"] != before["files"]
    folder = series.open_run(tmp_path / "other")
    (folder / "model.h5").write_bytes(b"1")
    of_run = Hashes().file(str(folder))
    (folder / "index.html").write_text("a page written since")
    assert Hashes().file(str(folder)) == of_run
    (folder / "model.h5").write_bytes(b"2")
    assert Hashes().file(str(folder)) != of_run


def test_the_package_counts(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "a.py").write_text("x = 1")
    monkeypatch.setattr(files, "ROOT", tmp_path / "package")
    record = record_of(notebook)
    assert records.changes(record, Hashes()) == []
    for same in ("x = 1  # a comment", '"""A docstring."""\n\nx = 1', "x = (\n    1\n)"):
        (tmp_path / "package" / "a.py").write_text(same)
        assert records.changes(record, Hashes()) == []
    (tmp_path / "package" / "cli.py").write_text("y = 1")
    assert records.changes(record, Hashes()) == [], "the command line changes no result"
    (tmp_path / "package" / "a.py").write_text("x = 2")
    assert records.changes(record, Hashes()) == ["crackviz changed"]


def test_relative_files_are_made_absolute(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write_notebook(tmp_path / "own.ipynb", ["parameters: network = ''  # network\nname = ''  # name"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.h5").touch()
    (tmp_path / "plain").touch()
    assert assign([own], {"network": "net.h5", "name": "plain"}) == {
        own: {"network": str(tmp_path / "net.h5"), "name": "plain"}
    }


# --- what has changed, what is to be done -------------------------------------------------------------------------


def test_a_run_is_stale_once_what_it_was_made_from_changes(notebook: Path, pictures: Path) -> None:
    record = record_of(notebook, data=str(pictures))
    assert records.changes(record, Hashes()) == []
    wanted = record["parameters"] | {"seed": 1, "run": "elsewhere"}
    assert records.changes(record, Hashes(), wanted) == ["seed was 0, is 1"]
    (pictures / "a" / "1.jpg").write_text("new")
    write_notebook(notebook, [*CELLS, "1"])
    assert records.changes(record, Hashes()) == ["the data changed", "the notebook changed"]
    notebook.unlink()
    for path in sorted(pictures.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    pictures.rmdir()
    assert records.changes(record, Hashes()) == ["the data is gone", "the notebook is gone"]


def test_an_earlier_notebook_run_since_makes_the_later_ones_stale(notebook: Path) -> None:
    records = {"00_a": record_of(notebook), "01_b": record_of(notebook), "02_c": record_of(notebook, "failed")}
    assert stale(records, Hashes()) == {}
    records["00_a"]["started"] = "2026-01-02T00:00:00"
    assert stale(records, Hashes()) == {"01_b": "00_a was run since"}
    wanted = {stem: record["parameters"] for stem, record in records.items()}
    assert plan(wanted, records, Hashes(), ("stale",))["01_b"] == "00_a was run since", "listed and run alike"
    for number, record in enumerate(records.values()):
        record["begun"] = number
    assert stale(records, Hashes()) == {}, "a clock that was set back"
    records["00_a"]["begun"] = 3
    assert stale(records, Hashes()) == {"01_b": "00_a was run since"}


STATES = ("new", "done", "stale", "failed", "interrupted", "running", "not run")


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Hashes]:
    """A record, and hashes taken once."""
    path = write_notebook(tmp_path_factory.mktemp("same") / "00_first.ipynb", CELLS)
    return record_of(path), Hashes()


def planned(
    same: tuple[dict[str, Any], Hashes], states: tuple[str, ...], again: tuple[str, ...] = ()
) -> dict[str, str]:
    wanted, records = {}, {}
    for number, state in enumerate(states):
        stem = f"{number:02d}_n"
        seed = 1 if state == "stale" else 0
        wanted[stem] = {"run": "r", "data": "", "seed": seed}
        if state != "new":
            records[stem] = same[0] | {"status": "done" if state == "stale" else state}
    return plan(wanted, records, same[1], again)


@pytest.mark.parametrize(
    ("state", "again", "reason"),
    [
        ("new", (), "new"),
        ("not run", (), "new"),
        ("interrupted", (), "broken off before"),
        ("running", (), "broken off before"),
        ("done", ("failed", "stale"), None),
        ("done", ("done",), "asked for"),
        ("failed", ("stale", "done"), None),
        ("failed", ("failed",), "failed before"),
        ("stale", ("failed",), None),
        ("stale", ("stale",), "seed was 0, is 1"),
    ],
)
def test_what_is_run_again_and_why(same: Any, state: str, again: tuple[str, ...], reason: str | None) -> None:
    assert planned(same, (state,), again).get("00_n") == reason


@pytest.mark.parametrize("again", [(), ("failed",), ("stale",), ("failed", "stale", "done")])
def test_from_the_first_on_everything_is_run(same: Any, again: tuple[str, ...]) -> None:
    for states in itertools.product(STATES, repeat=2):
        alone = [bool(planned(same, (state,), again)) for state in states]
        first = alone.index(True) if True in alone else len(states)
        assert list(planned(same, states, again)) == [f"{n:02d}_n" for n in range(first, len(states))]


# --- reading and finding ------------------------------------------------------------------------------------------


def test_a_folder_of_another_layout_is_refused_and_still_listed(tmp_path: Path, notebook: Path) -> None:
    run = series.open_run(tmp_path / "old")
    old = {"crackviz": "0.0.9", "notebooks": {"00_first": {"status": "done"}}}
    for config, message in ((old, r"an older crackviz \(0.0.9, layout 1"), (old | {"layout": 99}, "a newer crackviz")):
        series.write_json(run / "config.json", config)
        before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
        for call in (
            lambda: series.run_series([notebook], out=run),
            lambda: series.report(run),
            lambda: series.compare(run, run),
            lambda: series.plan_run([notebook], out=run),
            lambda: series.summarise_runs([run, run]),
        ):
            with pytest.raises(CrackvizError, match=message):
                call()
        assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
        assert series.look(run).status.startswith("layout ")
    assert list(series.find_runs(tmp_path)) == [run]


def test_runs_are_found_but_not_what_lies_in_them(tmp_path: Path) -> None:
    for name in ("a", "sweep/b", "sweep/c", "deep/er/still/d", "x/y/z/too/deep"):
        run = series.open_run(tmp_path / name)
        series.write_json(run / "config.json", {"layout": 2, "notebooks": {}, "manifests": {}})
    inner = series.open_run(tmp_path / "a" / "within")
    series.write_json(inner / "config.json", {"layout": 2})
    by_hand = series.open_run(tmp_path / "lesson", "00_first")
    (tmp_path / "a file").touch()
    found = [run.relative_to(tmp_path).as_posix() for run in series.find_runs(tmp_path)]
    assert found == ["a", "lesson", "sweep/b", "sweep/c"]
    assert list(series.find_runs(tmp_path / "a")) == [tmp_path / "a"]
    assert series.look(by_hand).status == "by hand"
    assert list(series.find_runs(tmp_path / "none")) == []


@given(st.lists(st.sampled_from(["done", "failed", "interrupted", "running", "not run"]), max_size=6))
def test_a_run_is_as_good_as_its_worst_notebook(states: list[str]) -> None:
    status = records.status_of({str(n): {"status": state} for n, state in enumerate(states)})
    assert status == "done" if states and set(states) == {"done"} else status != "done"
    if "failed" in states and not {"running", "interrupted"} & set(states):
        assert status == "failed"


# --- one process at a time ----------------------------------------------------------------------------------------


def test_a_folder_has_one_writer_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from crackviz.series.records import locked\n"
        "with locked(Path(sys.argv[1])):\n    Path(sys.argv[1], 'held').touch(); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        until((tmp_path / "held").exists)
        assert records.is_locked(tmp_path)
        with pytest.raises(CrackvizError, match="Another process is running into"), records.locked(tmp_path):
            pytest.fail("two writers")
    finally:
        other.kill()
        other.wait()
    with records.locked(tmp_path, wait=5):
        pass
    assert not records.is_locked(tmp_path)


def test_a_run_into_a_folder_in_use_is_refused(tmp_path: Path, notebook: Path) -> None:
    run = series.open_run(tmp_path / "run")
    with records.locked(run), pytest.raises(CrackvizError, match="Another process"):
        series.run_series([notebook], out=run)
    assert not (run / "config.json").exists()
