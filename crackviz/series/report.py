"""The report of a run: pages that need neither a server nor a network."""

from __future__ import annotations

import base64
import functools
import html
import io
import mimetypes
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from crackviz import ROOT, CrackvizError
from crackviz.files import read_json, replacing
from crackviz.series.records import read_config

if TYPE_CHECKING:
    import jinja2


_SHOWN = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")  # of the packages
_WIDEST = 1200  # pixels of a figure on the page
_FETCHED = re.compile(r"@import[^;]*;?|url\(\s*['\"]?(?!data:)[^)]*\)", re.IGNORECASE)  # what a style could load


def report(run: str | Path) -> Path:
    """Write ``index.html`` of a run, and a page for each executed notebook, to be read without server or network.

    The pages hold their pictures and styles themselves, run no script, and show ``$…$`` as MathML.

    Parameters
    ----------
    run : str or Path
        A run folder, of :func:`run_series` or of notebooks run by hand.

    Returns
    -------
    Path
        ``index.html`` in the run folder.

    Raises
    ------
    CrackvizError
        If the folder is no run folder, or cannot be written to.
    """
    run = Path(run).expanduser().resolve()
    config, results = read_config(run), read_json(run / "results.json")
    made = read_json(run / "claims.json")
    records: dict[str, dict[str, Any]] = config.get("notebooks", {})
    figures = figures_of(run)
    names = sorted({*records, *made, *results, *figures} - {""})
    if not names:
        raise CrackvizError(
            f"{run} is no run folder: found no config.json, claims.json or results.json of crackviz in it."
        )
    sections = []
    for name in names:
        record = records.get(name, {"status": "by hand"})
        title, body = _page(run / "notebooks" / f"{name}.ipynb")
        sections.append(
            record
            | {
                "name": name,
                "title": title or name.replace("_", " "),
                "body": body,
                "claims": made.get(name, []),
                "numbers": list(_rows(results.get(name, {}))),
                "figures": _shown(run, figures.get(name, [])),
                "status": "interrupted" if record["status"] == "running" else record["status"],
            }
        )
    others = _shown(run, figures.get("", []))
    for number, section in enumerate(sections):
        if section["body"]:
            around = {
                "before": sections[number - 1] if number else None,
                "after": next(iter(sections[number + 1 :]), None),
            }
            to = run / "notebooks" / f"{section['name']}.html"
            render("notebook.html", to, page=section, title=section["title"], **around)
    title = f"crackviz: {run.name}"
    given = {"sections": sections, "others": others, "config": config, "run": run.name, "shown": _SHOWN}
    render("run.html", run / "index.html", title=title, **given)
    return run / "index.html"


@functools.cache  # it keeps the compiled templates: a run has a page for each notebook
def _environment() -> jinja2.Environment:
    import jinja2

    loader = jinja2.FileSystemLoader(ROOT / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render(template: str, path: Path, **given: Any) -> None:
    """Write a page from a template of ``crackviz/templates``, whole or not at all."""
    text = _environment().get_template(template).render(short=_short, **given)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def figures_of(run: Path) -> dict[str, list[dict[str, str]]]:
    """Return the saved figures of each notebook, as :func:`save_figure` has marked them."""
    from PIL import Image

    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted((run / "figures").glob("*.png")):
        try:
            with Image.open(path) as image:
                source = str(image.info.get("Source", ""))
        except OSError:
            continue  # not a picture: nothing to show
        found.setdefault(source, []).append({"name": path.stem, "file": path.name})
    return found


def _shown(run: Path, figures: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return figures with small copies as WebP in base64: the page stays light, a click leads to the whole figure."""
    from PIL import Image

    made = []
    for figure in figures:
        with Image.open(run / "figures" / figure["file"]) as image:
            small = image.convert("RGB")
        small.thumbnail((_WIDEST, 4 * _WIDEST), Image.Resampling.BOX, reducing_gap=None)
        file = io.BytesIO()
        small.save(file, "WEBP", quality=80, method=2)
        made.append({**figure, "data": base64.b64encode(file.getvalue()).decode("ascii")})
    return made


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")


def _rows(value: Any, name: str = "") -> Iterable[tuple[str, str]]:
    """Flatten results to rows of a name and a text; a value with its interval is one row."""
    if isinstance(value, Mapping):
        interval = [value.get(key) for key in ("value", "low", "high")]
        if all(isinstance(number, int | float) for number in interval):
            yield name, "{} [{}, {}]".format(*map(_number, interval))
            return
        for key, item in value.items():
            yield from _rows(item, f"{name} · {key}" if name else str(key))
    elif isinstance(value, list) and (len(value) > 8 or any(isinstance(item, list | Mapping) for item in value)):
        yield name, f"{len(value)} entries in results.json"
    elif isinstance(value, list):
        yield name, ", ".join(map(_number, value))
    else:
        yield name, _number(value)


def _short(value: float) -> str:
    return "–" if value != value else f"{value:.3g}"


def _number(value: Any) -> str:
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _page(notebook: Path) -> tuple[str, str]:
    """Return title and HTML body of an executed notebook, without anything that a browser would have to fetch."""
    if not notebook.exists():
        return "", ""
    import nbformat
    from bs4 import BeautifulSoup
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

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            for active in ("application/vnd.jupyter.widget-view+json", "application/javascript"):
                shown.pop(active, None)  # leaves the plain text that comes with it
            if "text/latex" in shown and "text/html" not in shown:
                shown["text/html"] = markdown(shown["text/latex"])
    exporter = HTMLExporter(template_name="basic")
    exporter.register_filter("markdown2html", markdown)
    soup = BeautifulSoup(exporter.from_notebook_node(content)[0], "html.parser")
    for element in soup.find_all(["script", "link", "iframe", "object", "embed", "base", "meta"]):
        element.decompose()
    # Pictures of the text lie beside the notebook that was run; the executed copy keeps its path.
    beside = Path(content.metadata.get("papermill", {}).get("input_path") or notebook).parent
    for element in soup.find_all(src=True):
        source = str(element["src"])
        kind = mimetypes.guess_type(source)[0] or ""
        if source.startswith("data:"):
            continue
        if element.name == "img" and kind.startswith("image/") and (beside / unquote(source)).is_file():
            element["src"] = f"data:{kind};base64,{_base64(beside / unquote(source))}"
        else:
            element.replace_with(f"[picture: {element.get('alt') or ''} {source}]")
    for element in soup.find_all("a", href=True):
        target, mark, anchor = str(element["href"]).partition("#")
        if not target or re.match(r"[a-z]+:|//", target):
            continue
        if (notebook.parent / unquote(target)).exists():  # another notebook of the run: its page is easier to read
            element["href"] = re.sub(r"\.ipynb$", ".html", target) + mark + anchor
        elif (beside / unquote(target)).exists():
            element["href"] = quote(os.path.relpath(beside / unquote(target), notebook.parent)) + mark + anchor
        else:
            element.unwrap()
    for element in soup.find_all(["image", "use"]):  # of an SVG
        element.attrs = {name: value for name, value in element.attrs.items() if "href" not in name}
    for element in soup.find_all(style=True):
        element["style"] = _FETCHED.sub("", str(element["style"]))
    for element in soup.find_all("style"):
        element.string = _FETCHED.sub("", element.get_text())
    for element in soup.find_all(srcset=True):
        del element["srcset"]
    heading = soup.find("h1")
    return (heading.get_text().strip() if heading else ""), str(soup)


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
