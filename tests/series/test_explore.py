"""The notebook with sliders: a slider that moves changes its figure, in a kernel and as a page in a browser."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from chromium import CHROMIUM, MISSING, open_page
from nbclient import NotebookClient

from crackviz import CrackvizError
from crackviz.series import lab

ROOT = Path(__file__).resolve().parents[2]
VOILA = importlib.util.find_spec("voila") is not None


def on_few_pictures(data: Path, target: Path) -> Path:
    """The notebook with other defaults, where a page of it can be opened as well."""
    notebook = nbformat.read(ROOT / "notebooks" / "explore.ipynb", as_version=4)
    (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
    parameters.source += f"\ndata, max_images = {str(data)!r}, 0"
    (target / "notebooks").mkdir(parents=True)
    (target / "notebooks" / "00_a.ipynb").write_text("{}")  # by which a series is known
    nbformat.write(notebook, target / "notebooks" / "explore.ipynb")
    return target / "notebooks" / "explore.ipynb"


MOVED = """\
def changes(picture, control, value):
    before = picture.value
    control.value = value
    return picture.value != before and picture.value[:4] == b"\\x89PNG"


print(changes(threshold_picture, prevalence, 0.1), changes(threshold_picture, cost, 50))
before = threshold_picture.value, map_picture.value
threshold.value = 0.9
print(before[0] != threshold_picture.value)
print(changes(map_picture, layer, list(layers.values())[0]), changes(map_picture, smoothing, 4))
print(changes(map_picture, method, "darkness"), changes(map_picture, which, list(pictures)[1]))
"""

UPLOADED = """\
from datetime import datetime

from PIL import Image

place = io.BytesIO()
Image.new("RGB", (90, 60), (90, 90, 90)).save(place, "PNG")
for name, content in (("my wall.png", place.getvalue()), ("broken.png", b"no picture")):
    before = map_picture.value
    upload.value = [
        dict(name=name, type="image/png", size=len(content), content=memoryview(content), last_modified=datetime.now())
    ]
    print(which.value, map_picture.value != before, said.value)
"""


@pytest.mark.slow
def test_every_slider_changes_its_figure_and_a_picture_can_be_added(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRACKVIZ_RUN", str(tmp_path / "run"))
    notebook = nbformat.read(on_few_pictures(small_set, tmp_path), as_version=4)
    notebook.cells += [nbformat.v4.new_code_cell(MOVED), nbformat.v4.new_code_cell(UPLOADED)]
    NotebookClient(notebook, timeout=600).execute()
    moved, uploaded = ("".join(out.text for out in cell.outputs if "text" in out) for cell in notebook.cells[-2:])
    assert moved.split() == ["True"] * 7
    good, broken = uploaded.splitlines()
    assert good.startswith("yours: my wall.png True")
    assert broken.startswith("yours: my wall.png False <b>") and "broken.png" in broken
    shown = [out for cell in notebook.cells for out in cell.get("outputs", []) if out.output_type == "display_data"]
    assert sum("application/vnd.jupyter.widget-view+json" in out.data for out in shown) >= 3


def test_what_opens_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: True if name == "voila" else found(name))
    line = lab.app("--no-browser")
    assert line[:3] == [sys.executable, "-m", "voila"] and line[3] == str(ROOT / "notebooks" / "explore.ipynb")
    assert "--Voila.ip=127.0.0.1" in line and line[-1] == "--no-browser"
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "crackviz.series.lab app $(LAB)" in makefile
    monkeypatch.setattr(lab, "notebooks_folder", lambda: tmp_path)
    with pytest.raises(CrackvizError, match=r"no notebooks/explore\.ipynb"):
        lab.app()
    monkeypatch.setattr(lab.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CrackvizError, match=r"crackviz\[app\]"):
        lab.app()
    assert lab.main(["app"]) == 2


@pytest.fixture
def page_address(small_set: Path, tmp_path: Path) -> Iterator[str]:
    """Address of the page as `make app` starts it, on few pictures."""
    on_few_pictures(small_set, tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment |= {"CRACKVIZ_RUN": str(tmp_path / "run"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "crackviz.series.lab", "app", "--no-browser", f"--port={port}"]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        except OSError:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.3)
    yield address
    process.terminate()
    process.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(not VOILA, reason="no Voilà: pip install 'crackviz[app]'")
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_a_slider_that_moves_changes_the_figure_in_the_browser(page_address: str, tmp_path: Path) -> None:
    with open_page(tmp_path / "profile") as page:
        page.go(page_address)
        images = "[...document.querySelectorAll('img.widget-image')].filter(e => e.naturalWidth > 300)"
        page.until(f"{images}.length == 2", 600)
        assert not page.ask("document.body.innerText.includes('import ipywidgets')"), "the page shows no code"
        sources = page.ask(f"{images}.map(e => e.src)")
        handle = "document.querySelectorAll('.noUi-handle')"
        assert page.ask(f"{handle}.length") >= 5
        before = page.ask(f"{handle}[0].getAttribute('aria-valuenow')")
        page.ask(f"{handle}[0].scrollIntoView({{block: 'center'}})")
        x, y = page.ask(f"(r => [r.left + r.width / 2, r.top + r.height / 2])({handle}[0].getBoundingClientRect())")
        for kind, along in (("mouseMoved", 0), ("mousePressed", 0), ("mouseMoved", 15), ("mouseMoved", 40)):
            pressed = {"button": "left", "buttons": 1, "clickCount": 1} if kind == "mousePressed" or along else {}
            page.send("Input.dispatchMouseEvent", type=kind, x=x + along, y=y, **pressed)
        page.send("Input.dispatchMouseEvent", type="mouseReleased", x=x + 40, y=y, button="left", clickCount=1)
        page.until(f"{handle}[0].getAttribute('aria-valuenow') != '{before}'", 20)
        page.until(f"{images}[0].src != '{sources[0]}'", 60)
        page.picture(tmp_path / "moved.png")
        here = (page_address, "data:", "blob:", "about:", "ws")
        icons = "https://cdn.jsdelivr.net/npm/@fortawesome/"  # Voilà's own page asks for them; it works without
        assert {url for url in page.asked if not url.startswith(here)} <= {u for u in page.asked if u.startswith(icons)}
