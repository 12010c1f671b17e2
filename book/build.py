"""The theory and the executed notebooks as a book that needs no server and no net: python book/build.py [FOLDER].

THEORY.md is cut into its sections; each stands before its notebook. Outputs are those of the committed notebooks, or of
``--notebooks FOLDER``, such as that of a run. ``FOLDER/index.html`` (``build/book`` if none is named) opens it.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from crackviz.series.lab import sections

ROOT = Path(__file__).resolve().parents[1]
HERE = Path(__file__).resolve().parent
NEEDED = ("sphinx", "myst_nb", "sphinx_book_theme")
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])+)\]\(([^()\s]+)\)")
FIRST = """# crackviz

How a convolutional network decides that a concrete surface is cracked, and how far its explanation can be believed.
Each chapter is a section of the theory, followed by its notebook as it came out when it was last run.

"""


def chapters(theory: str) -> dict[str, str]:
    """Return the sections of THEORY.md by their anchors, in order; what comes before the first is ``theory``."""
    parts = re.split(r'(?m)^<a id="([\w-]+)"></a>\n+(?=## )', theory)
    named = {anchor: f"({anchor})=\n{text[1:]}" for anchor, text in zip(parts[1::2], parts[2::2], strict=True)}
    raised = {anchor: re.sub(r"(?m)^#(#+ )", r"\1", text) for anchor, text in named.items()}
    opening = re.sub(r"(?s)\*\*Contents\*\*.*", "", parts[0])
    return {"theory": opening, **raised}


def places(parts: dict[str, str]) -> dict[str, str]:
    """Return for each anchor of THEORY.md the page of the book that holds it."""
    found = {"": "theory"}
    for page, text in parts.items():
        found |= dict.fromkeys([page, *re.findall(r'<a id="([\w.-]+)"></a>', text)], page)
    return found


def led(text: str, pages: dict[str, str], cells: dict[str, str], here: str) -> str:
    """Return Markdown whose links lead to pages of the book; those to files outside it keep their text alone."""

    def link(found: re.Match[str]) -> str:
        words, target = found[1], found[2]
        if re.match(r"https?:|mailto:", target):
            return found[0]
        path, _, anchor = target.partition("#")
        name = path.rsplit("/", 1)[-1]
        if name == "THEORY.md" or (not path and here in pages.values()):
            page = pages.get(anchor)
        else:
            page = Path(name).stem if Path(name).stem in cells.values() or name == "TEACHING.md" else None
            anchor = anchor.removeprefix("cell-id=")
        if page is None:
            return words
        address = f"{page}.html" if page != here or not anchor else ""
        return f'<a href="{address}{"#" * bool(anchor)}{anchor}">{words}</a>'

    fenced = re.split(r"(?s)(```.*?```|`[^`\n]*`)", text)
    # A link may hold code: only what isn't code is looked at, or a link with its code as a whole.
    return (
        LINK.sub(link, text)
        if not any("](" in code for code in fenced[1::2])
        else "".join(part if k % 2 else LINK.sub(link, part) for k, part in enumerate(fenced))
    )


def notebook(path: Path, pages: dict[str, str], cells: dict[str, str]) -> Any:
    """Return a notebook with links that lead through the book, an anchor at each claim, and texts for its pictures."""
    content = nbformat.read(path, as_version=4)
    shown = []
    for cell in content.cells:
        if cell.cell_type == "markdown":
            cell.source = led(cell.source, pages, cells, path.stem)
        elif cell.id in cells:  # where a statement of the theory leads
            shown.append(nbformat.v4.new_markdown_cell(f'<a id="{cell.id}"></a>'))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if "text/markdown" in data:
                data["text/markdown"] = led(data["text/markdown"], pages, cells, path.stem)
            if alt := output.get("metadata", {}).get("image/png", {}).get("alt"):
                cell.metadata["mystnb"] = {"image": {"alt": alt}}
        shown.append(cell)
    content.cells = shown
    return content


def prepare(source: Path, notebooks: Path) -> None:
    """Write what Sphinx reads."""
    parts = chapters((ROOT / "THEORY.md").read_text("utf-8"))
    pages = places(parts)
    found = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    cells = {cell.id: path.stem for path in found for cell in nbformat.read(path, 4).cells if cell.id.startswith("T")}
    cells |= {path.stem: path.stem for path in found}
    of = {anchor: name for name, anchor in sections(ROOT).items()}
    order = []
    for page, text in parts.items():
        (source / f"{page}.md").write_text(led(text, pages, cells, page), "utf-8")
        order += [page, *([of[page]] if page in of else [])]
    for path in found:
        nbformat.write(notebook(path, pages, cells), source / path.name)
    teaching = led((ROOT / "TEACHING.md").read_text("utf-8"), {}, cells, "TEACHING")
    (source / "TEACHING.md").write_text(teaching, "utf-8")
    order += [*(path.stem for path in found if path.stem not in order), "TEACHING"]
    tree = "\n".join(["```{toctree}", ":maxdepth: 1", "", *order, "```"])
    (source / "index.md").write_text(f"{FIRST}{tree}\n", "utf-8")
    for picture in (ROOT / "notebooks").glob("*.png"):
        shutil.copy(picture, source)


def main() -> int:
    """Make the book; return Sphinx' exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "book")
    parser.add_argument("--notebooks", type=Path, default=ROOT / "notebooks", help="folder of executed notebooks")
    arguments = parser.parse_args()
    lacking = [name for name in NEEDED if not importlib.util.find_spec(name)]
    if lacking:
        print(f"The book needs {', '.join(lacking)}: pip install 'crackviz[book]'", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="crackviz-book-") as place:
        prepare(Path(place), arguments.notebooks)
        options = ["-q", "-b", "html", "-c", str(HERE), "-d", f"{place}/.doctrees"]
        done = subprocess.run([sys.executable, "-m", "sphinx", *options, place, str(arguments.folder)], check=False)
    if not done.returncode:
        print(f"The book: {arguments.folder / 'index.html'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
