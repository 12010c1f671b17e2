"""What pages may not hold, and how they look on a phone."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest
from bs4 import BeautifulSoup
from chromium import CHROMIUM, MISSING, open_page
from made import write_notebook

from crackviz import series
from crackviz.series.pages import _ATTRIBUTES, _TAGS

HOSTILE = (
    '<a href="javascript:alert(1)">l</a><a href="data:text/html,x">d</a><a href="https://example.org">fine</a>'
    '<svg onload="alert(2)"><script>alert(3)</script><circle r="5"></circle></svg>'
    '<details ontoggle="alert(4)" open>kept</details><math><mi href="javascript:alert(6)">x</mi></math>'
    '<form action="http://evil.example"><input name="q"><button>go</button></form><iframe srcdoc="x"></iframe>'
    '<img src="data:image/png;base64,AAAA" onerror="alert(5)"><img src="data:text/html,x"><img src="#0">'
    '<p style="position:fixed;top:0;color:red;background:u\\72l(//e.example/x)">s</p>'
    '<meta http-equiv="refresh" content="0;url=//e.example"><base href="//e.example"><style>b{color:red} '
    'body{position:fixed;background:u\\72l(//e.example/y)} @im/**/port "//e.example/z"; </style>'
    "<svg><style><img src=x onerror=alert(7)></style></svg><math><mtext><table><mglyph><style><img src=x "
    "onerror=alert(8)></style></mglyph></table></mtext></math><template><script>alert(9)</script></template>"
    '<noscript><p title="</noscript><img src=x onerror=alert(10)>"></noscript>'
)
DRAWN = "<svg xmlns='http://www.w3.org/2000/svg' width='900' height='20'><script>alert(11)</script></svg>"


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))

    def handle_data(self, text: str) -> None:
        if self.cdata_elem == "style":
            self.styles.append(text)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs and their comparison: hostile outputs, and everything as wide as it can be."""
    place = tmp_path_factory.mktemp("pages")
    run = series.open_run(place / "run")
    row = "|".join(["number one"] * 8)
    text = f"# T\n\n{HOSTILE}\n\n$x^2$ **{'long' * 60}**\n\n|{row}|\n{'|-' * 8}|\n|{row}|\n\n"
    path = write_notebook(run / "notebooks" / "00_x.ipynb", [text + "$$" + "+".join(["x_{7}"] * 60) + "$$", "x = 1"])
    notebook, out = nbformat.read(path, 4), nbformat.v4.new_output
    wide = f"<table><tr>{'<td>123456789</td>' * 30}</tr></table>"
    notebook.cells[1].outputs = [
        out("display_data", data={"text/html": HOSTILE + wide}),
        out("stream", name="stdout", text="w" * 500),
        out("display_data", data={"image/svg+xml": DRAWN}),
    ]
    nbformat.write(notebook, path)
    record: dict[str, Any] = {
        "status": "failed", "path": "/x", "parameters": {}, "seconds": 3.0, "memory_MiB": 300,
        "sources": {"notebook": "", "package": "", "data": "", "files": {}},
        "error": {"name": "E", "message": "m" * 300, "where": " in cell [3]", "traceback": "t" * 400},
    }  # fmt: skip
    config = {
        "layout": 2, "crackviz": "x", "revision": None, "started": "2026", "command": "c" * 300, "python": "3",
        "hardware": {"system": "k" * 90, "machine": "x", "processor": "p" * 60, "cores": 2, "threads": None,
                     "memory_GiB": 4},
        "packages": {}, "notebooks": {"00_x": record, "01_" + "n" * 80: record}, "data": "/d" * 60, "seed": 0,
        "manifests": {"/d" * 60: {"hash": "h" * 16, "files": 3, "bytes": 3}}, "parameters": {"network": "/n" * 80},
    }  # fmt: skip
    for folder in (run, series.open_run(place / "other")):
        series.write_json(folder / "config.json", config)
        series.write_json(folder / "results.json", {"00_x": {"a_long_name" * 9: 0.5, "text": "t" * 300}})
        claims = [{"id": "T0.1", "statement": "s" * 200, "holds": False}]
        series.write_json(folder / "claims.json", {"00_x": claims})
        series.report(folder)
    series.summarise_runs([run, place / "other"], out=place / "both")
    return place


def test_a_page_holds_nothing_active_that_it_did_not_make(pages: Path) -> None:
    parser = Elements()
    text = (pages / "run" / "notebooks" / "00_x.html").read_text()
    parser.feed(text)
    body = parser.found[[tag for tag, _ in parser.found].index("main") + 1 :]
    for tag, attributes in body:
        assert tag in _TAGS or tag == "style", tag
        for name, value in attributes.items():
            assert name in _ATTRIBUTES, (tag, name)
            assert not re.match(r"\s*(javascript|vbscript):", value or "", re.I)
            assert not (value or "").startswith("data:") or (tag == "img" and name == "src"), (tag, name, value)
            assert name != "style" or not re.search(r"position|url|\\\\", value or ""), value
    assert not re.search(r"url\(|@import|position|<", "".join(parser.styles[1:]))
    assert not any(value == "#0" for _, attributes in body for value in attributes.values())
    for kept in (
        "kept</details>",
        'href="https://example.org"',
        "data:image/png;base64,AAAA",
        "<math",
        "data:image/svg",
    ):
        assert kept in text, kept


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_pages_fit_a_phone(pages: Path, tmp_path: Path) -> None:
    with open_page(tmp_path / "profile", (390, 844)) as page:
        for name in ("run/index.html", "run/notebooks/00_x.html", "both/index.html"):
            page.go((pages / name).as_uri())
            page.until(f"document.readyState == 'complete' && location.href.endsWith({name!r})")
            assert page.ask("document.documentElement.scrollWidth") <= 390, name


def test_links_that_can_be_no_path_are_taken_out(tmp_path: Path) -> None:
    run, long = series.open_run(tmp_path / "run", "00_a"), "x" * 300
    series.write_results(run, "00_a", {"a": 1})
    write_notebook(run / "notebooks" / "00_a.ipynb", [f"# A\n[far]({long}) [nul](%00) ![seen]({long}.png)"])
    series.report(run)
    page = (run / "notebooks" / "00_a.html").read_text()
    assert "far" in page and f"[picture: seen {long}.png]" in page and f'href="{long}' not in page


def test_a_run_leads_to_the_book_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notebooks").mkdir()
    write_notebook(tmp_path / "notebooks" / "00_a.ipynb", [])  # by which a series is known
    monkeypatch.chdir(tmp_path)
    run, book = series.open_run(tmp_path / "runs" / "a b", "00_a"), tmp_path / "build" / "book" / "index.html"
    series.write_results(run, "00_a", {"x": 1})
    assert ">The book<" not in series.report(run).read_text("utf-8")
    book.parent.mkdir(parents=True)
    book.write_text("a book")
    page = BeautifulSoup(series.report(run).read_text("utf-8"), "html.parser")
    (link,) = (one for one in page.find_all("a") if one.get_text() == "The book")
    assert (run / unquote(str(link["href"]))).read_text() == "a book"
