"""The command: what it prints, and with which code it exits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result
from made import write_notebook

from crackviz import CrackvizError, __version__, cli, series
from crackviz.cli import main


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Record the calls of run_series instead of running anything."""
    made: list[dict[str, Any]] = []
    index = tmp_path / "index.html"
    index.touch()

    def record(notebooks: Any, **kwargs: Any) -> Path:
        made.append({"notebooks": notebooks, **kwargs})
        return index

    monkeypatch.setattr(series, "run_series", record)
    return made


def test_how_a_folder_is_read_reaches_the_notebooks(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    assert call("run", "--data", "d", "--crack-class", "spall", "--groups", "folder:1").exit_code == 0
    assert calls[0]["parameters"] == {"crack_class": "spall", "groups": "folder:1"}
    result = call("run", "--crack-class", "a", "-p", "crack_class", "b")
    assert result.exit_code == 2 and "crack_class is given twice" in result.stderr


def test_help_shows_examples() -> None:
    for arguments in (["--help"], ["run", "-h"]):
        result = call(*arguments)
        assert result.exit_code == 0
        assert "crackviz run 02 03 --out runs/seed1 -p seed 1 " in result.output
    assert call("--version").output == f"crackviz {__version__}\n"


def test_the_arguments_reach_the_series(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    result = call("run", "02", "x.ipynb", "--data", "d", "--out", "o", "-p", "seed", "1", "-p", "deep", "-5")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"Report: {tmp_path / 'index.html'}"
    assert calls == [
        {
            "notebooks": ("02", "x.ipynb"),
            "data": "d",
            "out": "o",
            "parameters": {"seed": "1", "deep": "-5"},
            "options": series.Options(240 * 60, 0, ("failed", "stale"), False),
            "tell": cli._tell,
        }
    ]


def test_the_report_is_named_from_here(
    calls: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("run").stdout == "Report: index.html\n"


def test_a_failed_notebook_exits_1_and_names_the_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    index = tmp_path / "index.html"
    index.touch()

    def fail(*args: Any, **kwargs: Any) -> Path:
        raise series.NotebookFailed("02_training failed in cell [4]: ValueError: x", index)

    monkeypatch.setattr(series, "run_series", fail)
    result = call("run")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == f"Report: {index}"
    assert result.stderr == "crackviz: 02_training failed in cell [4]: ValueError: x\n"


def test_wrong_use_exits_2_with_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, message in (
        (["run", "nothing.ipynb"], "no notebook 'nothing.ipynb'"),
        (["run", "-p", "seed", "1", "-p", "seed", "2"], "seed is given twice"),
        (["run", "--timeout", "-1"], "--timeout"),
        (["run", "--timeout", "nan"], "--timeout"),
        (["report", str(tmp_path / "none")], "no run folder"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2, arguments
        assert re.fullmatch(r"crackviz: .*\n", result.stderr), result.stderr
        assert message in result.stderr
        assert result.stdout == ""

    def interrupted(*args: Any, **kwargs: Any) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(series, "run_series", interrupted)
    assert call("run", "--out", str(tmp_path)).exit_code == 130


def test_what_is_no_path_is_said_to_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "g.toml").write_text("notebooks = ['a.ipynb']\n[grid]\nseed = [0, 1]\n")
    write_notebook(tmp_path / "a.ipynb", ["parameters: run = ''\ndata = ''\nseed = 0\nname = ''"])
    for run in "ab":
        (tmp_path / run).mkdir()
        series.write_results(tmp_path / run, "a", {"accuracy": 0.5})
    long = "x" * 300
    for arguments, message in (
        (["list", long], "There is no folder xxx"),
        (["report", long], "no path on this machine (File name too long)"),
        (["report", "a", "b", "--out", "loop"], "no path on this machine"),
        (["report", "a", "b", "--out", "s3://bucket/x"], "no path on this machine (an address)"),
        (["report", "a", "~nobody-here/b"], "Could not determine home"),
        (["sweep", "g.toml", "--out", long, "--dry-run"], "no path on this machine (File name too long)"),
        (["sweep", "g.toml", "--out", "loop"], "no path on this machine"),
        (["sweep", "g.toml", "--jobs", "0", "--dry-run"], "jobs is 0"),
        (["sweep", "g.toml", "--jobs", "2", "--scheduler", "local:2", "--dry-run"], "choose one of them"),
        (["run", f"{long}.ipynb"], "There is no notebook 'xxx"),
        (["run", "²"], "There is no notebook '²'"),
        (["run", "a.ipynb", "--data", long], "no path on this machine (File name too long)"),
        (["run", "a.ipynb", "--data", "~nobody-here/x"], "Could not determine home"),
    ):
        result = call(*arguments)
        assert result.exit_code == 2 and message in result.stderr, (arguments, result.exception, result.stderr)
    given = ["-p", "name", f"(.+)/{long}.{long}"]  # a text that looks like a path and can be none stays a text
    assert call("run", "a.ipynb", "--out", "r", *given, "--dry-run").stdout == "a: would be run (new)\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.ipynb", "b", "g.toml", "loop"]


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Path:
        raise ZeroDivisionError

    monkeypatch.setattr(series, "run_series", broken)
    assert isinstance(call("run").exception, ZeroDivisionError)


def test_report_writes_the_page(tmp_path: Path) -> None:
    series.write_results(tmp_path, "03_evaluation", {"accuracy": 0.5})
    result = call("report", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout == f"Report: {tmp_path / 'index.html'}\n"
    with pytest.raises(CrackvizError):
        series.report(tmp_path / "figures")


def test_report_refuses_options_that_would_change_nothing(tmp_path: Path) -> None:
    runs = [str(tmp_path / name) for name in "abc"]
    for run in runs:
        Path(run).mkdir()
        series.write_results(run, "03_evaluation", {"accuracy": 0.5})
    cases = [(1, ("--out", str(tmp_path / "o"))), (1, ("--metric", "x*")), (1, ("--rtol", "1e-3"))]
    cases += [(1, ("--atol", "0")), (1, ("--figures", "9")), (3, ("--rtol", "0.5")), (3, ("--figures", "9"))]
    for number, option in cases:
        result = call("report", *runs[:number], *option)
        assert result.exit_code == 2, option
        assert f"({option[0]})" in result.stderr and "comparison" in result.stderr
    assert not (tmp_path / "o").exists() and not (tmp_path / "a" / "index.html").exists()


@pytest.mark.slow
def test_from_the_shell(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_markdown_cell("# Fails"), nbformat.v4.new_code_cell("seed = 0"), "1 / 0", "print(1)"]
    cells = [nbformat.v4.new_code_cell(c) if isinstance(c, str) else c for c in cells]
    cells[1].metadata.tags = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "fails.ipynb")

    def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "crackviz.cli", "run", "fails.ipynb", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    refused = shell("-p", "sede", "1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "Did you mean seed?" in refused.stderr
    assert not (tmp_path / "runs").exists()
    (tmp_path / "file").touch()
    refused = shell("--out", "file")
    assert refused.returncode == 2
    assert re.fullmatch(r"crackviz: Cannot use .*file as the run folder: it is a file.*\n", refused.stderr)
    failed = shell("-p", "seed", "1")
    assert failed.returncode == 1
    assert failed.stdout.splitlines()[-1] == f"Report: {Path('runs/series/index.html')}"
    assert re.fullmatch(r"crackviz: fails failed in cell \[3\]: ZeroDivisionError: .*\n", failed.stderr)


def test_nothing_heavy_is_imported_early() -> None:
    code = "import sys, crackviz, crackviz.cli; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "crackviz.cli" in loaded
    heavy = {"numpy", "tensorflow", "keras", "pandas", "papermill", "nbconvert", "nbformat", "matplotlib", "jinja2"}
    assert heavy.isdisjoint(loaded)
    code = "import sys, crackviz.series, crackviz.claims; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert (heavy - {"numpy"}).isdisjoint(loaded)
