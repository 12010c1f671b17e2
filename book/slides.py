"""A notebook's headings, text and figures as slides, in one page that needs no net: python book/slides.py 06 [FILE].

Code and tables are left out, figures fill the slide, claims stand below what they belong to. Arrows and the space bar
turn the slides, and scroll one that is longer than the screen, such as a tall figure at its full size. The outputs are
those of the committed notebook, or of ``--notebooks FOLDER``, such as that of a run.
"""

from __future__ import annotations

import argparse
import html
import sys
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from crackviz import CrackvizError
from crackviz.files import replacing
from crackviz.series.notebooks import find_notebooks
from crackviz.series.pages import page_of

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
LEFT_OUT = ("Exercises", "Two questions")  # for the reader, not for the room


def slides(body: str) -> list[str]:
    """Return the slides of a notebook's page: one for each heading with its text, one for each figure."""
    made, heading, text = [], "", ""

    def turn() -> None:
        nonlocal text
        if text:
            made.append(f"{heading}{text}")
        text = ""

    soup = BeautifulSoup(body, "html.parser")
    for link in soup.find_all("a", href=True):
        if not str(link["href"]).startswith("http"):
            link.unwrap()  # it leads to a file that doesn't lie beside the slides
    for element in _parts(soup):
        name = element.name or ""
        if name in ("h1", "h2", "h3"):
            turn()
            heading = str(element)
            if element.get_text().strip() in LEFT_OUT:
                break
        elif name == "img":
            turn()
            made.append(f'{heading}<div class="figure">{element}</div>')
        elif name == "pre":
            said = [line for line in element.get_text().splitlines() if line.startswith(("✓ T", "≡ T"))]
            text += "".join(f'<p class="claim">{html.escape(line)}</p>' for line in said)
        else:
            text += str(element)
    turn()
    return made


def _parts(soup: BeautifulSoup) -> list[Tag]:
    """Return what may go on slides, in order: text, pictures of outputs, and what outputs print."""
    found: list[Tag] = []
    for cell in soup.select(".cell, .jp-Cell"):
        rendered = cell.select_one(".text_cell_render, .jp-RenderedMarkdown")
        if "code_cell" in cell["class"] or "jp-CodeCell" in cell["class"]:
            found += cell.select(".output img, .jp-OutputArea img, .output pre, .jp-OutputArea pre")
        elif rendered:
            found += [part for part in rendered.find_all(recursive=False) if part.name != "details"]
    return found


def main() -> int:
    """Write the slides; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="number or name")
    parser.add_argument("file", nargs="?", type=Path, help="build/slides/NN_name.html if none is named")
    parser.add_argument("--notebooks", type=Path, help="folder of executed notebooks")
    arguments = parser.parse_args()
    try:
        notebook = find_notebooks([arguments.notebook])[0]
        title, body = page_of((arguments.notebooks or notebook.parent) / notebook.name)
    except CrackvizError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    found = slides(body)
    if not found:
        print(f"Error: there is no {notebook.name} in {arguments.notebooks}.", file=sys.stderr)
        return 2
    target = arguments.file or ROOT / "build" / "slides" / f"{notebook.stem}.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    sections = "\n".join(f"<section>{one}</section>" for one in found)
    page = (HERE / "slides.html").read_text("utf-8").replace("{{title}}", html.escape(title))
    with replacing(target) as part:
        part.write_text(page.replace("{{slides}}", sections), encoding="utf-8")
    print(f"{len(found)} slides: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
