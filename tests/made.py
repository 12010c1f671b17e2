"""What several tests make: notebooks, processes of the command, checks of what they leave."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat


def write_notebook(path: Path, cells: list[str]) -> Path:
    """Cells beginning with # and a blank are text, the one beginning with "parameters: " is tagged so."""
    notebook = nbformat.v4.new_notebook()
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for text in cells:
        if text.startswith("# ") and text != "# only a remark":
            cell = nbformat.v4.new_markdown_cell(text)
        else:
            cell = nbformat.v4.new_code_cell(text.removeprefix("parameters: "))
            if text.startswith("parameters: "):
                cell.metadata.tags = ["parameters"]
        notebook.cells.append(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def json_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def whole(run: Path) -> None:
    """Every file that has its final name can be read."""
    for path in run.rglob("*"):
        if path.suffix in (".json", ".ipynb") and ".part-" not in path.name:
            json_of(path)
        if path.suffix == ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


def crackviz(*arguments: str, **kwargs: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "crackviz.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def until(condition: Callable[[], object], seconds: float = 60.0, every: float = 0.1) -> None:
    """Wait until a condition holds; fail when it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(every)
