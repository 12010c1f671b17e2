"""The book: made in a minute, complete, and without anything that would have to be fetched."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import nbformat
import pytest
from bs4 import BeautifulSoup
from chromium import CHROMIUM, MISSING, open_page

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("book", ROOT / "book" / "build.py")
assert spec is not None and spec.loader is not None
book: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
lacking = [name for name in ("sphinx", "myst_nb", "sphinx_book_theme") if not importlib.util.find_spec(name)]
needs_sphinx = pytest.mark.skipif(bool(lacking), reason=f"no {', '.join(lacking)}: pip install 'crackviz[book]'")


slides_spec = importlib.util.spec_from_file_location("slides", ROOT / "book" / "slides.py")
assert slides_spec is not None and slides_spec.loader is not None
slides: Any = importlib.util.module_from_spec(slides_spec)
slides_spec.loader.exec_module(slides)


def test_without_sphinx_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(book, "NEEDED", ("sphinx_that_is_not_there",))
    monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path / "book")])
    assert book.main() == 2
    assert "pip install 'crackviz[book]'" in capsys.readouterr().err and not (tmp_path / "book").exists()


def test_slides_hold_text_figures_and_claims_and_nothing_to_be_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    picture = nbformat.v4.new_output("display_data", {"image/png": PIXEL}, metadata={"image/png": {"alt": "a dot"}})
    said = nbformat.v4.new_output("stream", name="stdout", text="noise\n✓ T6.1 it is so\n")
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell("# 06 · Title\n\nThe logit $z = 1$."),
        nbformat.v4.new_code_cell("secret = 1", outputs=[picture]),
        nbformat.v4.new_markdown_cell("## Next\n\nMore.\n\n<details><summary>a</summary>\n\nb\n\n</details>"),
        nbformat.v4.new_code_cell("claim()", outputs=[said]),
        nbformat.v4.new_markdown_cell("## Exercises\n\nHard ones."),
    ]
    nbformat.write(notebook, tmp_path / "06_grad_cam.ipynb")
    monkeypatch.setattr(sys, "argv", ["slides.py", "06", str(tmp_path / "s.html"), "--notebooks", str(tmp_path)])
    assert slides.main() == 0 and capsys.readouterr().out.startswith("3 slides")
    text = (tmp_path / "s.html").read_text("utf-8")
    first, second, third = BeautifulSoup(text, "html.parser").find_all("section")
    assert first.h1 and first.find("math") and not first.find("img")
    assert second.h1 and second.img["alt"] == "a dot"
    assert third.h2.get_text() == "Next" and third.select_one(".claim").get_text() == "✓ T6.1 it is so"
    assert not re.search("secret|noise|Exercises|<details|https?:", text)
    monkeypatch.setattr(sys, "argv", ["slides.py", "77"])
    assert slides.main() == 2 and "no notebook '77'" in capsys.readouterr().err


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
@pytest.mark.slow
def test_slides_of_a_notebook_of_the_series(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "book" / "slides.py", "06", tmp_path / "s.html"], check=True)
    with open_page(tmp_path / "profile") as page:
        page.go((tmp_path / "s.html").as_uri())
        page.until("document.querySelectorAll('section').length > 10 && document.readyState == 'complete'")
        scale = "i => Math.min(i.width / i.naturalWidth, i.height / i.naturalHeight)"
        scales = f"[...document.querySelectorAll('.figure img')].map({scale})"
        assert min(page.ask(scales)) > 0.74, "figures are large"

        def turned(section: int, scrolled: str, key: str = "ArrowRight") -> None:
            page.send("Input.dispatchKeyEvent", type="keyDown", key=key, code=key)
            there = f"Math.abs(s.getBoundingClientRect().top) < 5 && s.scrollTop {scrolled}"
            page.until(f"(s => {there})(document.querySelectorAll('section')[{section}])", 10)

        turned(1, "== 0")
        tall = page.ask(
            "[...document.querySelectorAll('section')].findIndex(s => s.scrollHeight > s.clientHeight + 100)"
        )
        assert tall >= 0
        page.ask(f"document.querySelectorAll('section')[{tall}].scrollIntoView()")
        turned(tall, "> 50")  # the rest of a long slide comes before the next one
        more = "<p style='flex: none; height: 2000px'>"
        page.ask(f'document.querySelector("section").insertAdjacentHTML("beforeend", "{more}")')
        turned(0, "== 0", "Home")
        turned(0, "== 0", "ArrowLeft")
        last = page.ask("document.querySelectorAll('section').length") - 1
        turned(last, "== 0", "End")
        assert {url.split(":")[0] for url in page.asked} <= {"file", "data", "about", "blob"}


def test_the_theory_is_cut_into_its_sections() -> None:
    theory = (ROOT / "THEORY.md").read_text("utf-8")
    parts = book.chapters(theory)
    headings = re.findall(r"(?m)^## (.*)$", theory)
    assert [re.search(r"(?m)^# (.*)$", text)[1] for text in list(parts.values())[1:]] == headings  # type: ignore[index]
    pages = book.places(parts)
    assert set(re.findall(r'<a id="([\w.-]+)"></a>', theory)) <= set(pages)
    assert pages["t6.2"] == pages["t6-grad-cam"] == "t6-grad-cam" and pages[""] == "theory"


def test_links_lead_through_the_book() -> None:
    pages, cells = {"": "theory", "t6.2": "t6-grad-cam"}, {"T6-2": "06_grad_cam", "06_grad_cam": "06_grad_cam"}
    for text, here, wanted in (
        ("see [`T6.2`](../THEORY.md#t6.2)", "06_grad_cam", 'see <a href="t6-grad-cam.html#t6.2">`T6.2`</a>'),
        ("[**a** [b]](#t6.2)", "t6-grad-cam", '<a href="#t6.2">**a** [b]</a>'),
        ("[T6.2](notebooks/06_grad_cam.ipynb#cell-id=T6-2)", "x", '<a href="06_grad_cam.html#T6-2">T6.2</a>'),
        ("[card](../crackviz/pretrained/MODEL_CARD.md) [w](https://a.b)", "x", "card [w](https://a.b)"),
        ("`a[0](x)` ![p](p.png)", "x", "`a[0](x)` ![p](p.png)"),
    ):
        assert book.led(text, pages, cells, here) == wanted


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The book as `make book` makes it, in a folder with a difficult name."""
    folder = tmp_path_factory.mktemp("a # book") / "book"
    done = subprocess.run(
        [sys.executable, ROOT / "book" / "build.py", folder], capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


def soup_of(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text("utf-8"), "html.parser")


@needs_sphinx
@pytest.mark.slow
def test_nothing_is_fetched_and_every_link_resolves(pages: Path) -> None:
    soups = {page.name: soup_of(page) for page in pages.glob("*.html")}
    anchors = {name: {str(e["id"]) for e in soup.find_all(id=True)} for name, soup in soups.items()}
    count = 0
    for name, soup in soups.items():
        for element in soup.find_all(["script", "link", "img", "iframe", "source", "audio", "video"]):
            address = str(element.get("src") or element.get("href") or "")
            assert not re.match(r"(https?:)?//", address), f"{name}: {element}"
            if address and not address.startswith("data:"):
                assert (pages / unquote(address.split("?")[0].split("#")[0])).exists(), f"{name}: {address}"
        for element in soup.find_all("a", href=True):
            path, anchor = urldefrag(str(element["href"]))
            if re.match(r"https?:|mailto:", path):
                continue
            target = unquote(path) or name
            assert (pages / target).is_file(), f"{name}: {element['href']}"
            if anchor and name not in ("genindex.html", "search.html"):
                assert unquote(anchor) in anchors[target], f"{name}: {element['href']} has no such anchor"
            count += 1
    assert count > 1000
    for sheet in pages.rglob("*.css"):
        for address in re.findall(r"url\(\s*['\"]?([^'\")]+)", sheet.read_text("utf-8")):
            assert not re.match(r"(https?:)?//", address), f"{sheet.name}: {address}"
        assert not re.search(r"@import\s+(url\()?['\"]?(https?:)?//", sheet.read_text("utf-8"))


@needs_sphinx
@pytest.mark.slow
def test_the_book_holds_what_theory_and_notebooks_hold(pages: Path) -> None:
    links = [str(a["href"]) for a in soup_of(pages / "index.html").select(".toctree-wrapper a")]
    assert (
        links.index("t6-grad-cam.html") + 1
        == links.index("06_grad_cam.html")
        < links.index("07_attribution_methods.html")
    )
    for source in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        content = nbformat.read(source, 4)
        soup = soup_of(pages / f"{source.stem}.html")
        pictures = sum("image/png" in o.get("data", {}) for c in content.cells for o in c.get("outputs", []))
        assert len(soup.select(".cell_output img")) == pictures
        folded = sum(c.source.count("<details>") for c in content.cells)
        assert len(soup.find_all("details", class_=False)) == folded and soup.select_one(".prev-next-area a")
        assert not soup.select("code.latex"), "a formula that couldn't be shown"
        assert "$" not in "".join(p.get_text() for p in soup.select("article p"))
    assert len(soup_of(pages / "t6-grad-cam.html").find_all("math")) > 10


@needs_sphinx
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_it_opens_and_searches_from_a_file(pages: Path, tmp_path: Path) -> None:
    with open_page(tmp_path / "profile") as page:
        page.go((pages / "search.html").as_uri() + "?q=saliency")
        page.until("document.querySelectorAll('#search-results li a').length > 0")
        page.go((pages / "t6-grad-cam.html").as_uri() + "#t6.8")
        page.until("location.hash == '#t6.8' && document.readyState == 'complete'")
        place = "document.getElementById('t6.8').getBoundingClientRect().top"
        page.until(f"{place} >= 0 && {place} < 768")
        box = page.ask(
            "(r => [r.width, r.height])(document.querySelector('math[display=block]').getBoundingClientRect())"
        )
        assert box[0] > 50 and box[1] > 20
        assert {url.split(":")[0] for url in page.asked} <= {"file", "data", "about", "blob"}, page.asked
