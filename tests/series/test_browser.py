"""The pages in a real browser: they show what they should, load nothing, print. Skipped where there is no Chromium."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from chromium import CHROMIUM, MISSING, QUIET
from made import write_notebook
from PIL import Image

from crackviz import series

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]
CELLS = [
    "# A page\n\n$$\\sum_k w_k A_k$$",
    "parameters: run: str = ''  # run folder\nseed: int = 0  # seed",
    "from crackviz import series\nfrom crackviz.claims import claim\nfolder = series.open_run(run, '00_page')",
    "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\nax.plot([0, 1, seed])\n"
    "_ = series.save_figure(folder, figure, '00_curve')",
    "claim('T0.1', 'the page shows this claim', True)\n"
    "series.write_results(folder, '00_page', {'accuracy': 0.8 + seed / 50, 'loss': 1 / (seed + 1)})",
    "claim('T0.2', 'seed two fails', seed != 2)",
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs, one of them failed, and the page that compares them."""
    folder = tmp_path_factory.mktemp("a # page")
    notebook = write_notebook(folder / "00_page.ipynb", CELLS)
    (folder / "runs").mkdir()
    for seed in range(3):
        try:
            series.run_series([notebook], out=folder / "runs" / f"seed={seed}", parameters={"seed": seed})
        except series.NotebookFailed:
            assert seed == 2
    series.summarise_runs([folder / "runs" / f"seed={seed}" for seed in range(3)])
    return folder / "runs"


def browse(url: str, place: Path, *arguments: str, server: str = "~NOTFOUND") -> subprocess.CompletedProcess[str]:
    """Open a page; every host that is asked for is the server, or isn't found."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM,
        *QUIET,
        "--enable-logging=stderr",
        "--v=0",
        f"--user-data-dir={place / 'profile'}",
        f"--host-resolver-rules=MAP * {server}",
    ]
    done = subprocess.run([*command, *arguments, url], capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr  # what a page's own policy forbids is complained of there
    return done


@pytest.fixture
def served(pages: Path) -> Iterator[tuple[str, list[str]]]:
    """The pages on a server, and what it is asked for, as host/path; the browser's own errands are left out."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['Host']}{self.path}")
            super().do_GET()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(pages)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def errands(asked: list[str]) -> list[str]:
    return [entry for entry in asked if "google" not in entry and not entry.endswith("/favicon.ico")]


@pytest.mark.parametrize(
    "name", ["index.html", "seed=0/index.html", "seed=2/index.html", "seed=0/notebooks/00_page.html"]
)
def test_a_page_is_shown_and_loads_nothing(
    pages: Path, served: tuple[str, list[str]], tmp_path: Path, name: str
) -> None:
    server, asked = served
    shot = tmp_path / "page.png"
    browse(f"http://page.test/{name}", tmp_path, f"--screenshot={shot}", "--window-size=1280,1600", server=server)
    with Image.open(shot) as image:
        pixels = np.asarray(image.convert("L"), float)
    assert pixels.shape == (1600, 1280)
    assert 0.002 < (pixels[:800] < 100).mean() < 0.3  # dark letters on a light page
    assert errands(asked) == [f"page.test/{name}"]


def test_what_a_page_loads_would_be_seen(pages: Path, served: tuple[str, list[str]], tmp_path: Path) -> None:
    server, asked = served
    (pages / "bad.html").write_text("<img src='http://example.org/a.png'><img src='b.png'>")
    browse("http://page.test/bad.html", tmp_path, f"--screenshot={tmp_path / 'page.png'}", server=server)
    assert sorted(errands(asked)) == ["example.org/a.png", "page.test/b.png", "page.test/bad.html"]


def test_the_comparison_says_what_became_of_the_runs(pages: Path, tmp_path: Path) -> None:
    dom = browse((pages / "index.html").as_uri(), tmp_path, "--dump-dom").stdout
    for part in (
        "3 runs",
        "2 done",
        "1 failed",
        "00 page</span><br>accuracy",
        'href="seed%3D0/index.html"',
        "1 of 2",
        "2 of 2",
    ):
        assert part in dom, part
    for target in re.findall(r'href="([^"]+)"', dom):
        assert (pages / target.replace("%3D", "=")).exists(), target


def test_a_run_shows_its_claims_and_its_failure(pages: Path, tmp_path: Path) -> None:
    good = browse((pages / "seed=0" / "index.html").as_uri(), tmp_path, "--dump-dom").stdout
    bad = browse((pages / "seed=2" / "index.html").as_uri(), tmp_path, "--dump-dom").stdout
    assert "the page shows this claim" in good and "✗" not in good and "MiB of memory at most" in good
    assert "seed two fails" in bad and "(does not hold here)" in bad and "It stopped in cell" in bad
    notebook = browse((pages / "seed=0" / "notebooks" / "00_page.html").as_uri(), tmp_path, "--dump-dom").stdout
    assert '<math display="block">' in notebook


def test_the_pages_print(pages: Path, tmp_path: Path) -> None:
    for name in ("index.html", "seed=0/index.html"):
        pdf = tmp_path / "page.pdf"
        browse((pages / name).as_uri(), tmp_path, f"--print-to-pdf={pdf}")
        assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 10_000
        assert len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) in (1, 2)


def test_pages_are_light(pages: Path) -> None:
    assert (pages / "index.html").stat().st_size < 300_000
    assert (pages / "seed=0" / "index.html").stat().st_size < 100_000
    assert json.loads((pages / "seed=0" / "config.json").read_text())["layout"] == 2
