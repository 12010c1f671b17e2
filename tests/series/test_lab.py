"""JupyterLab as `make lab` starts it: every link leads somewhere, and the theory stands beside the notebook."""

from __future__ import annotations

import json
import posixpath
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chromium import CHROMIUM, MISSING, open_page
from lab_server import serving
from made import write_notebook
from nbclient import NotebookClient

from crackviz import CrackvizError
from crackviz.series import lab

ROOT = Path(__file__).resolve().parents[2]


def test_a_workspace_names_both_panes() -> None:
    data = lab.layout("notebooks/06_grad_cam.ipynb")["data"]
    dock = data["layout-restorer:data"]["main"]["dock"]
    assert [pane["widgets"] for pane in dock["children"]] == [[key] for key in list(data)[1:]]
    assert [data[key]["data"]["path"] for key in list(data)[1:]] == ["notebooks/06_grad_cam.ipynb", "THEORY.md"]


def test_the_section_that_each_notebook_opens_with() -> None:
    found = lab.sections(ROOT)
    assert found["06_grad_cam"] == "t6-grad-cam"
    assert all(anchor.startswith(f"t{int(name[:2])}-") for name, anchor in found.items())
    assert set(found) == {path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}


def test_a_notebook_that_does_not_exist() -> None:
    with pytest.raises(CrackvizError, match="no notebook '77'"):
        lab.command("77")


def test_no_theory_beside_the_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_a.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CrackvizError, match=r"no THEORY\.md"):
        lab.command("00")
    assert not (tmp_path / ".lab").exists()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a JupyterLab that `make lesson N=06` has started."""
    with serving(ROOT, "06") as address:
        yield address


def contents(server: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server}/api/contents/{urllib.parse.quote(path)}?token=lesson") as answer:
        return json.load(answer)


def text_of(found: dict[str, Any]) -> str:
    if found["type"] == "notebook":
        return "\n".join("".join(c["source"]) for c in found["content"]["cells"] if c["cell_type"] == "markdown")
    return found["content"]


def links_of(text: str) -> list[str]:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [link for link in re.findall(r"\]\(([^()\s]+)\)", text) if not re.match(r"https?:|mailto:", link)]


KERNEL_SETTINGS = Path(sys.prefix) / "etc" / "ipython" / "ipython_kernel_config.py"


@pytest.mark.slow
@pytest.mark.skipif(not KERNEL_SETTINGS.is_file(), reason="an environment that make setup hasn't made")
def test_the_first_cells_show_no_red_block_and_ask_for_onednn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    cells = ["import keras\nimport tensorflow as tf", "_ = tf.zeros(1)", "from crackviz import attribution"]
    asked = "import os\nassert os.environ['TF_ENABLE_ONEDNN_OPTS'] == '1'"
    notebook = nbformat.read(write_notebook(tmp_path / "a.ipynb", [*cells, asked]), as_version=4)
    NotebookClient(notebook).execute()
    assert [cell.outputs for cell in notebook.cells] == [[], [], [], []]


def test_a_mistake_shows_its_message_alone(tmp_path: Path) -> None:
    cells = ["from crackviz import data", "data.index('nowhere')"]
    notebook = nbformat.read(write_notebook(tmp_path / "a.ipynb", cells), as_version=4)
    NotebookClient(notebook, allow_errors=True).execute()
    (output,) = notebook.cells[1].outputs
    shown = "\n".join(output.traceback)
    assert shown.startswith("CrackvizError: There is no folder") and "Traceback" not in shown and "line" not in shown


@pytest.mark.slow
def test_every_link_leads_somewhere(server: str) -> None:
    names = [f"notebooks/{path.name}" for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]
    seen: dict[str, dict[str, Any]] = {}
    count, broken = 0, []
    for name in (*names, "THEORY.md", "README.md"):
        for link in links_of(text_of(contents(server, name))):
            path, _, fragment = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            try:
                seen[target] = seen.get(target) or contents(server, target)
            except urllib.error.HTTPError as error:
                broken.append(f"{name}: {link} ({error.code})")
                continue
            if fragment.startswith("cell-id="):
                ids = {cell["id"] for cell in seen[target]["content"]["cells"]}
                found = fragment.removeprefix("cell-id=") in ids
            else:
                found = not fragment or f'<a id="{fragment}"></a>' in text_of(seen[target])
            if not found:
                broken.append(f"{name}: {link} has no such anchor")
            count += 1
    assert not broken
    assert count > 60


@pytest.mark.slow
def test_the_file_browser_shows_what_a_student_needs(server: str) -> None:
    assert {entry["name"] for entry in contents(server, "notebooks")["content"]} == {
        path.name for path in (ROOT / "notebooks").iterdir() if path.suffix in (".ipynb", ".png")
    }
    assert {"THEORY.md", "README.md", "notebooks"} <= {entry["name"] for entry in contents(server, "")["content"]}


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_a_click_in_the_notebook_turns_the_theory_to_its_section(server: str, tmp_path: Path) -> None:
    with open_page(tmp_path / "profile") as page:
        page.go(f"{server}/lab/workspaces/06_grad_cam?token=lesson")
        page.until("!!(document.querySelector('.jp-MarkdownViewer h2') && document.querySelector('.jp-Notebook h1'))")
        page.until("document.querySelectorAll('.jp-MarkdownViewer mjx-container').length > 100")
        box = "(e => { const r = e.getBoundingClientRect(); return [r.left, r.right, r.top] })"
        left = page.ask(f"{box}(document.querySelector('.jp-NotebookPanel'))")
        right = page.ask(f"{box}(document.querySelector('.jp-MarkdownViewer'))")
        assert left[1] <= right[0] and left[1] - left[0] > 500 and right[1] - right[0] > 400 and right[1] <= 1366
        heading = "[...document.querySelectorAll('.jp-MarkdownViewer h2')].find(e => e.textContent.startsWith('T6'))"
        page.until(f"(top => top > 0 && top < 200)({box}({heading})[2])", 20)  # it opens at the notebook's section
        page.ask("document.body.dispatchEvent(new WheelEvent('wheel', {bubbles: true}))")  # the reader scrolls
        page.ask("document.querySelector('.jp-MarkdownViewer h1').scrollIntoView()")
        page.until(f"{box}({heading})[2] > 768")
        page.ask("[...document.querySelectorAll('.jp-Notebook a')].find(e => e.textContent.startsWith('T6')).click()")
        page.until(f"(top => top > 0 && top < 400)({box}({heading})[2])", 20)
        statement = "[...document.querySelectorAll('.jp-MarkdownViewer a')].find(e => e.textContent == 'T6.8')"
        cell = "[...document.querySelectorAll('.jp-CodeCell')].find(e => e.textContent.includes('\"T6.8\"'))"
        page.ask(f"{statement}.click()")  # the statement leads to the cell that checks it
        page.until(f"(top => top > 0 && top < 768)({cell} ? {box}({cell})[2] : 0)", 20)
        assert not page.ask("document.querySelectorAll('.jp-MarkdownViewer').length - 1"), "no second copy of it"
        assert not page.ask("document.querySelectorAll('.jp-NotebookPanel').length - 1"), "nor of the notebook"
        assert not page.ask("document.querySelectorAll('.Toastify__toast, .jp-Dialog').length"), "nothing pops up"
        assert not [url for url in page.asked if not url.startswith((server, "data:", "blob:", "about:"))]
