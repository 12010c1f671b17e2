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
_PICTURE = re.compile(r"data:image/[\w.+-]+(;base64)?,[\w+/=%.~-]*|data:,")
_TAGS = frozenset(
    """a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 h3
    h4 h5 h6 hr i img ins kbd li main mark ol p pre q s samp section small span strong sub summary sup table tbody td
    tfoot th thead tr tt u ul var math merror mfrac mi mlabeledtr mmultiscripts mn mo mover mpadded mphantom mprescripts
    mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder munderover none semantics
    menclose""".split()  # noqa: SIM905
)
_ATTRIBUTES = frozenset(
    """accent accentunder align alt class colspan columnalign columnlines columnspacing dir display displaystyle fence
    form frame height href id lang linethickness lspace mathcolor mathsize mathvariant maxsize minsize movablelimits
    name notation open rowalign rowlines rowspacing rowspan rspace scope scriptlevel separator src start stretchy style
    title valign voffset width""".split()  # noqa: SIM905
)
_PROPERTIES = frozenset(
    """border border-collapse border-left border-right border-top border-bottom border-spacing display
    font-family line-height list-style margin margin-left margin-right margin-top margin-bottom max-width min-width
    padding padding-left padding-right padding-top padding-bottom""".split()  # noqa: SIM905
)
"""What bleach doesn't know of styles and is harmless; ``position`` isn't: it could cover the page."""


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
    return (heading.get_text().strip() if heading else ""), _cleaned(soup)


def _converted(content: Any) -> str:
    """Return a notebook as HTML, with MathML and without widgets."""
    from nbconvert.exporters import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath, MathInlineParser

    class Renderer(IPythonRenderer):
        def block_math(self, body: str) -> str:
            return mathml(body, "block")

        def inline_math(self, body: str) -> str:
            return mathml(body, "inline")

        def latex_environment(self, name: str, body: str) -> str:
            return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")

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
            if "image/svg+xml" in shown:  # within the page a drawing may hold scripts, as a picture it can't
                drawn = base64.b64encode("".join(shown.pop("image/svg+xml")).encode()).decode("ascii")
                shown["text/html"] = f'<img alt="drawing" src="data:image/svg+xml;base64,{drawn}">'
            if "text/latex" in shown and "text/html" not in shown:
                shown["text/html"] = markdown(shown["text/latex"])
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", markdown)
    return str(exporter.from_notebook_node(content)[0])


def _hold(soup: BeautifulSoup, beside: Path) -> None:
    """Put pictures that lie `beside` the notebook into the page, and name those that a browser would fetch."""
    for element in soup.find_all(["script", "template", "noscript", "title"]):  # their text isn't to be read either
        element.decompose()
    for element in soup.find_all("img", alt=True):
        # nbconvert escapes it twice, and so does bleach where it holds a quotation mark
        element["alt"] = html.unescape(str(element["alt"])).replace('"', "\N{RIGHT DOUBLE QUOTATION MARK}")
    for element in soup.find_all(src=True):
        source = str(element["src"])
        kind = mimetypes.guess_type(source)[0] or ""
        if source.startswith("data:"):
            continue
        there = os.path.isfile(beside / unquote(source))  # noqa: PTH113 - it takes any text
        if element.name == "img" and kind.startswith("image/") and there:
            data = base64.b64encode((beside / unquote(source)).read_bytes()).decode("ascii")
            element["src"] = f"data:{kind};base64,{data}"
        else:
            element.replace_with(f"[picture: {element.get('alt') or ''} {source}]")


def _cleaned(soup: BeautifulSoup) -> str:
    """Return the page with nothing in it but what `_TAGS` and `_ATTRIBUTES` name: nothing active, nothing to fetch."""
    from bleach.css_sanitizer import ALLOWED_CSS_PROPERTIES, CSSSanitizer
    from bleach.sanitizer import Cleaner

    styles = "".join(element.extract().get_text() for element in soup.find_all("style"))
    for element in soup.find_all(style=True):
        element["style"] = _FETCHED.sub("", str(element["style"]))
    held = []
    for picture in soup.find_all("img"):  # megabytes that need no parsing
        held.append(str(picture.get("src")) if _PICTURE.fullmatch(str(picture.get("src"))) else "data:,")
        picture["src"] = f"#{len(held) - 1}"
    cleaner = Cleaner(
        tags=_TAGS,
        attributes=lambda tag, name, value: name in _ATTRIBUTES and not value.strip().lower().startswith("data:"),
        protocols={"http", "https", "mailto"},
        strip=True,
        css_sanitizer=CSSSanitizer(allowed_css_properties={*ALLOWED_CSS_PROPERTIES, *_PROPERTIES}),
    )
    page = re.sub(r'src="#(\d+)"', lambda found: f'src="{held[int(found[1])]}"', cleaner.clean(str(soup)))
    styles = _FETCHED.sub("", re.sub(r"\\|<|/\*.*?\*/|position\s*:", "", styles, flags=re.DOTALL))  # or hide an address
    return f"<style>{styles}</style>{page}" if styles.strip() else page


def _link(soup: BeautifulSoup, beside: Path, here: Path) -> None:
    """Let links lead from `here` to pages of the run, or to what lies `beside` the notebook; take out all others."""
    for element in soup.find_all("a", href=True):
        target, mark, anchor = str(element["href"]).partition("#")
        if not target or re.match(r"https?:|mailto:|//", target):
            continue
        to = unquote(target)
        if os.path.exists(here / to):  # noqa: PTH110 - another notebook of the run: its page is easier to read
            element["href"] = re.sub(r"\.ipynb$", ".html", target) + mark + anchor
        elif os.path.exists(beside / to):  # noqa: PTH110 - it takes any text
            element["href"] = quote(os.path.relpath(beside / to, here)) + mark + anchor
        else:
            element.unwrap()


def mathml(latex: str, display: str) -> str:
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
