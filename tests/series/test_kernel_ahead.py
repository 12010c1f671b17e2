"""Kernels that start before their notebook's turn: what they load, what they don't, and that none is left."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from crackviz import series
from crackviz.series.kernel import Execution
from crackviz.series.notebooks import find_notebooks, loaded_first
from crackviz.series.run import NotebookFailed, Options


def kernels_running() -> list[psutil.Process]:
    """Return this process' kernels; one that has ended and isn't asked after yet, a zombie, isn't running."""
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # ended since; ZombieProcess is one of its kinds
            if "ipykernel" in " ".join(child.cmdline()):
                found.append(child)
    return found


def written(path: Path, *cells: str) -> Path:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in ("seed = 0", *cells)])
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)
    return path


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("import io\nimport keras\nfrom crackviz import data", "import keras\nfrom crackviz import data"),
        ("import keras\nimport settings\nimport pandas", "import keras"),  # the user's module may do anything
        ("import os\nos.environ['KERAS_BACKEND'] = 'jax'\nimport keras", ""),
        ("from os import path\nx = 1\nimport numpy", ""),
        ("%matplotlib inline\nimport numpy", ""),
        ("from . import keras", ""),
        ("import keras, settings", ""),
        ("import matplotlib.pyplot as plt\nprint(1)\nimport numpy", "import matplotlib.pyplot as plt"),
        ("'''Text.'''", ""),
    ],
)
def test_only_what_comes_first_anyway_is_loaded_ahead(tmp_path: Path, cell: str, expected: str) -> None:
    assert loaded_first(written(tmp_path / "a.ipynb", cell, "import pandas")) == expected


def test_a_notebook_of_parameters_alone_loads_nothing(tmp_path: Path) -> None:
    assert loaded_first(written(tmp_path / "a.ipynb")) == ""


def test_every_notebook_of_the_series_is_prepared() -> None:
    for path in find_notebooks():
        assert "keras" in (code := loaded_first(path)) or "crackviz" in code, path.name


NOTES = "import os, sys, psutil\nprint(os.getpid(), psutil.Process().create_time(), sorted(sys.modules))"


@pytest.mark.slow
def test_the_next_kernel_loads_while_a_notebook_runs_and_leaves_no_name(tmp_path: Path) -> None:
    ends = "import pathlib, time\ntime.sleep(5)\n_ = pathlib.Path('{}').write_text(str(time.time()))"
    first = written(tmp_path / "00_a.ipynb", ends.format(tmp_path / "ended"))
    second = written(tmp_path / "01_b.ipynb", "import numpy as np\ndel np", NOTES, "print(np)")
    with pytest.raises(NotebookFailed, match="name 'np' is not defined"):
        series.run_series([first, second], out=tmp_path / "run")
    found = nbformat.read(tmp_path / "run" / "notebooks" / "01_b.ipynb", as_version=4).cells
    cells = [cell for cell in found if cell.cell_type == "code" and cell.execution_count]
    pid, created, modules = cells[-2].outputs[0].text.split(" ", 2)
    assert float(created) < float((tmp_path / "ended").read_text()) - 3
    assert "'numpy'" in modules
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4]
    assert int(pid) not in [kernel.pid for kernel in kernels_running()]


@pytest.mark.slow
def test_a_kernel_that_was_prepared_in_vain_is_ended(tmp_path: Path) -> None:
    first = written(tmp_path / "00_a.ipynb", "import time\ntime.sleep(2)\nraise ValueError('no')")
    second = written(tmp_path / "01_b.ipynb", "import numpy")
    with pytest.raises(NotebookFailed, match="no"):
        series.run_series([first, second], out=tmp_path / "run", options=Options(fail_fast=True))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["notebooks"]["01_b"]["status"] == "not run"
    time.sleep(1)
    assert kernels_running() == []


@pytest.mark.slow
def test_a_kernel_that_is_starting_when_its_run_is_broken_off_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def broken_off(client: NotebookClient) -> None:
        seen.extend([*kernels_running(), client.kc])
        raise KeyboardInterrupt

    monkeypatch.setattr(NotebookClient, "start_new_kernel_client", broken_off)
    (tmp_path / "run" / "logs").mkdir(parents=True)
    (tmp_path / "run" / "notebooks").mkdir()
    with pytest.raises(KeyboardInterrupt):
        Execution(written(tmp_path / "a.ipynb"), tmp_path / "run", {}).execute()
    assert len(seen) == 2, "no kernel had been started"
    assert kernels_running() == []


@pytest.mark.slow
def test_a_prepared_kernel_that_died_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "run" / "logs").mkdir(parents=True)
    (tmp_path / "run" / "notebooks").mkdir()
    execution = Execution(written(tmp_path / "a.ipynb", "import numpy", "print(6 * 7)"), tmp_path / "run", {})
    execution.prepare()
    process = execution.manager.provisioner.process
    process.kill()
    process.wait()
    execution.execute()
    cells = nbformat.read(tmp_path / "run" / "notebooks" / "a.ipynb", as_version=4).cells
    assert cells[-1].outputs[0].text == "42\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "status"),
    [
        ("import sys\nprint(1)\nsys.exit()\nprint(2)", "failed"),
        ("raise SystemExit(0)", "failed"),
        ("try:\n    raise SystemExit\nexcept SystemExit:\n    print(2)", "done"),
    ],
)
def test_a_last_cell_that_breaks_itself_off_is_no_success(tmp_path: Path, last: str, status: str) -> None:
    path = written(tmp_path / "a.ipynb", last)
    try:
        series.run_series([path], out=tmp_path / "run")
        assert status == "done"
    except NotebookFailed as error:
        assert "nothing behind that was run" in str(error) and status == "failed"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["notebooks"]["a"]["status"] == status
    shown = (tmp_path / "run" / "notebooks" / "a.ipynb").read_text()
    assert ("2" in [o.get("text", "").strip() for o in nbformat.reads(shown, 4).cells[-1].outputs]) == (
        status == "done"
    )
