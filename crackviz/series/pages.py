"""An executed notebook as HTML that holds all it shows: pictures, styles, mathematics as MathML; nothing active."""

from __future__ import annotations

import base64
import html
import mimetypes
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

_FETCHED = re.compile(r"@import[^;]*;?|url\(\s*['\"]?(?!data:)[^)]*\)", re.IGNORECASE)  # what a style could load


def page_of(notebook: Path) -> tuple[str, str]:
    """Return title and HTML body of an executed notebook, without anything that a browser would have to fetch."""
    if not notebook.exists():
        return "", ""
    import nbformat
    from bs4 import BeautifulSoup

    content = nbformat.read(notebook, as_version=4)
    soup = BeautifulSoup(_converted(content), "html.parser")
    # Pictures of the text lie beside the notebook that was run; the executed copy keeps its path.
    beside = Path(content.metadata.get("papermill", {}).get("input_path") or notebook).parent
    _hold(soup, beside)
    _link(soup, beside, notebook.parent)
    heading = soup.find("h1")
    return (heading.get_text().strip() if heading else ""), str(soup)


def _converted(content: Any) -> str:
    """Return a notebook as HTML, with MathML and without widgets."""
    from nbconvert.exporters import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath, MathInlineParser

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return _mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return _mathml(body, "inline")

        def latex_environment(self, name: str, body: str) -> str:
            return _mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

    class Inline(MathInlineParser):
        # $5 and $6 are money: maths begins and ends without a space, holds no other $ and meets no digit.
        INLINE_MATH_TEX = r"(?<![$\\])\$(?![\s$])(?P<math_inline_tex>(?:\\(?s:.)|[^$\\])+?)(?<!\s)\$(?![\d$])"
        SPECIFICATION = MathInlineParser.SPECIFICATION | {"inline_math_tex": INLINE_MATH_TEX}

    def markdown(source: str) -> str:
        renderer = Renderer(escape=False, exclude_anchor_links=True)
        return str(MarkdownWithMath(renderer=renderer, inline=Inline()).render(source))

    for cell in content.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            for active in ("application/vnd.jupyter.widget-view+json", "application/javascript"):
                shown.pop(active, None)  # leaves the plain text that comes with it
            if "text/latex" in shown and "text/html" not in shown:
                shown["text/html"] = markdown(shown["text/latex"])
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", markdown)
    return str(exporter.from_notebook_node(content)[0])


def _hold(soup: BeautifulSoup, beside: Path) -> None:
    """Put pictures that lie `beside` the notebook into the page, and take out all else that a browser would fetch."""
    for element in soup.find_all(["script", "link", "iframe", "object", "embed", "base", "meta"]):
        element.decompose()
    for element in soup.find_all("form"):
        element.unwrap()
    for element in soup.find_all(src=True):
        source = str(element["src"])
        kind = mimetypes.guess_type(source)[0] or ""
        if source.startswith("data:"):
            continue
        if element.name == "img" and kind.startswith("image/") and (beside / unquote(source)).is_file():
            data = base64.b64encode((beside / unquote(source)).read_bytes()).decode("ascii")
            element["src"] = f"data:{kind};base64,{data}"
        else:
            element.replace_with(f"[picture: {element.get('alt') or ''} {source}]")
    for element in soup.find_all(True):
        in_svg = element.name in ("image", "use")
        for name in [n for n in element.attrs if n == "srcset" or n.startswith("on") or (in_svg and "href" in n)]:
            del element[name]
        if "style" in element.attrs:
            element["style"] = _FETCHED.sub("", str(element["style"]))
    for element in soup.find_all("style"):
        element.string = _FETCHED.sub("", element.get_text())


def _link(soup: BeautifulSoup, beside: Path, here: Path) -> None:
    """Let links lead from `here` to pages of the run, or to what lies `beside` the notebook; take out all others."""
    for element in soup.find_all("a", href=True):
        target, mark, anchor = str(element["href"]).partition("#")
        if not target or re.match(r"https?:|mailto:|//", target):
            continue
        if (here / unquote(target)).exists():  # another notebook of the run: its page is easier to read
            element["href"] = re.sub(r"\.ipynb$", ".html", target) + mark + anchor
        elif (beside / unquote(target)).exists():
            element["href"] = quote(os.path.relpath(beside / unquote(target), here)) + mark + anchor
        else:
            element.unwrap()


def _mathml(latex: str, display: str) -> str:
    """Return MathML, or the source as code where it holds a command that the converter does not know."""
    from latex2mathml.converter import convert

    # What latex2mathml does not know, in words that it knows.
    known = latex.strip().replace(r"\operatorname*", r"\operatorname").replace(r"\arg", r"\operatorname{arg}")
    known = re.sub(r"\{(aligned|split)\}", "{align*}", known)
    try:
        shown = convert(known, display=display)
    except Exception:  # it raises various kinds
        shown = r"<mi>\unknown</mi>"
    if re.search(r">\\[A-Za-z]+<|<mi>&</mi>", shown):
        return f'<code class="latex">{html.escape(latex.strip())}</code>'
    return shown.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")
