"""Bars in a notebook: seen while they move, gone when they are done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import IPython.display
import nbformat
import pytest
from made import write_notebook
from nbclient import NotebookClient

from crackviz import progress, series

BAR = """
import time
from crackviz.progress import progress
print("before")
for _ in progress(range(3), "counting <all>", 3):
    time.sleep(0.2)
print("after")
"""


def test_a_bar_leaves_nothing_behind(tmp_path: Path) -> None:
    notebook = nbformat.read(write_notebook(tmp_path / "a.ipynb", [BAR]), as_version=4)
    NotebookClient(notebook).execute()
    outputs = notebook.cells[0].outputs
    assert [o.output_type for o in outputs] == ["stream", "display_data", "stream"]
    assert {o.name for o in outputs if o.output_type == "stream"} == {"stdout"}, "stderr is a red box"
    assert not any(outputs[1].data.values()), "of the bar no line is left"
    series.settle_streams(notebook)
    assert [o.text for o in notebook.cells[0].outputs] == ["before\nafter\n"]


def test_a_bar_within_a_bar_leaves_nothing_behind_either(tmp_path: Path) -> None:
    within = BAR.replace("    time", "    for _ in progress(range(2), 'within', 2):\n        time")
    notebook = nbformat.read(write_notebook(tmp_path / "a.ipynb", [within]), as_version=4)
    NotebookClient(notebook).execute()
    assert not any(any(out.data.values()) for out in notebook.cells[0].outputs if out.output_type == "display_data")
    series.settle_streams(notebook)
    assert [o.text for o in notebook.cells[0].outputs] == ["before\nafter\n"]


def test_what_a_notebook_is_shown_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Handle:
        def display(self, data: Any, raw: bool) -> None:
            shown.append(("new", data["text/html"]))

        def update(self, data: Any, raw: bool) -> None:
            shown.append(("drawn anew", data["text/html"]))

    monkeypatch.setattr(IPython.display, "DisplayHandle", Handle)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    bar = progress.progress(None, "a <b>", 2)
    bar.update()
    bar.refresh()
    bar.close()
    kinds, lines = zip(*shown, strict=True)
    assert kinds == ("new", *["drawn anew"] * (len(kinds) - 1)) and len(kinds) >= 3
    assert lines[-1] == "" and all(line.startswith("<pre>a &lt;b&gt;: ") for line in lines if line)
    assert "50%" in [line for line in lines if line][-1]
