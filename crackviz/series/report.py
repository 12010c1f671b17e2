"""The pages of one run and of many, to be read without server or network, and a run in words."""

from __future__ import annotations

import base64
import functools
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import ROOT, CrackvizError
from crackviz.files import read_json, replacing
from crackviz.series.hashes import Hashes
from crackviz.series.pages import page_of
from crackviz.series.records import Run, duration, existing_config, look, read_config, stale
from crackviz.series.table import (
    HEADLINES,
    REPLICATE,
    compared,
    flattened,
    interval,
    means,
    points_of,
    table_of,
    write_table,
)

if TYPE_CHECKING:
    import jinja2
    import pandas as pd


_SHOWN = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")  # of the packages
_WIDEST = 1200  # pixels of a figure on the page
_DPI = 80  # of the plots of many runs
_PLOTTED = 60  # points of a grid beyond which nothing could be read off a plot
_HUES = 8  # colours that are still told apart
_ROWS = 1000  # runs listed on the page; results.csv has them all


# --- one run ----------------------------------------------------------------------------------------------------------


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
        title, body = page_of(run / "notebooks" / f"{name}.ipynb")
        found = {
            "name": name,
            "title": title or name.replace("_", " "),
            "body": body,
            "claims": made.get(name, []),
            "numbers": _numbers(results.get(name, {})),
            "figures": _shown(run, figures.get(name, [])),
            "status": "interrupted" if record["status"] == "running" else record["status"],
        }
        sections.append(record | found)
    for before, section, after in zip([None, *sections], sections, [*sections[1:], None], strict=False):
        if section["body"]:
            to = run / "notebooks" / f"{section['name']}.html"
            _render("notebook.html", to, page=section, title=section["title"], before=before, after=after)
    index = run / "index.html"
    given = {"sections": sections, "others": _shown(run, figures.get("", [])), "config": config, "shown": _SHOWN}
    _render("run.html", index, title=f"crackviz: {run.name}", run=run.name, **given)
    return index


def figures_of(run: Path) -> dict[str, list[dict[str, str]]]:
    """Return the saved figures of each notebook, as :func:`save_figure` has marked them."""
    from PIL import Image

    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted((run / "figures").glob("*.png")):
        try:
            with Image.open(path) as image:
                source = str(image.info.get("Source", ""))
        except (OSError, ValueError):
            continue  # not a picture: nothing to show
        found.setdefault(source, []).append({"name": path.stem, "file": path.name})
    return found


def _shown(run: Path, figures: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return figures with small copies as WebP in base64: the page stays light, a click leads to the whole figure."""
    from PIL import Image

    made = []
    for figure in figures:
        try:
            with Image.open(run / "figures" / figure["file"]) as image:
                small = image.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            continue  # it is cut off, or damaged, behind its head
        small.thumbnail((_WIDEST, 4 * _WIDEST), Image.Resampling.BOX, reducing_gap=None)
        file = io.BytesIO()
        small.save(file, "WEBP", quality=80, method=2)
        made.append({**figure, "data": _base64(file.getvalue())})
    return made


def _numbers(results: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return rows of a name and a text; a number with its interval is one row."""
    known = flattened({name: value for name, value in results.items() if name != HEADLINES}, " · ")
    rows = []
    for name, value in known.items():
        low, high = known.get(f"{name} · low"), known.get(f"{name} · high")
        if not name.endswith((" · low", " · high")) or name.rpartition(" · ")[0] not in known:
            rows.append((name, _number(value) + (f" [{_number(low)}, {_number(high)}]" if low is not None else "")))
    return rows


def _number(value: Any) -> str:
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(item, list | Mapping) for item in value)):
        return f"{len(value)} entries in results.json"
    if isinstance(value, list):
        return ", ".join(map(_number, value))
    if value is None:
        return "not defined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def describe_run(folder: str | Path) -> str:
    """Return outcomes, claims that don't hold, parameters and origin of a run, as text; refuse what is none."""
    run = Path(folder).expanduser().resolve()
    config, made, at_glance = existing_config(run), read_json(run / "claims.json"), look(run)
    records, hardware = config["notebooks"], config["hardware"]
    why = stale(records, Hashes(config["manifests"]))
    width = max(map(len, records), default=0)
    lines = [f"{run}: {at_glance.status}{', stale' if why else ''}, {duration(at_glance.seconds)}", ""]
    for stem, record in records.items():
        held = [claim["holds"] for claim in made.get(stem, [])]
        claims = f"{sum(held)}/{len(held)} claims" if held else ""
        memory = f"{record['memory_MiB']:,} MiB" if record.get("memory_MiB") else ""
        took = duration(record["seconds"]) if "seconds" in record else ""
        lines.append(f"  {stem:{width}}  {record['status']:11}  {took:>8}  {memory:>10}  {claims}".rstrip())
        notes = [f"stale: {why[stem]}"] if stem in why else []
        notes += [record["error"]["message"][:300]] if record["status"] == "failed" and "error" in record else []
        lines += [f"  {'':{width}}  {note}" for note in notes]
    broken = [f"  {c['id']} {c['statement']}" for claims in made.values() for c in claims if not c["holds"]]
    lines += ["", "Claims that do not hold here:", *broken] if broken else []
    manifest = config["manifests"].get(config["data"] or "", {})
    versions = [f"{name} {config['packages'][name]}" for name in _SHOWN if name in config["packages"]]
    threads = f", {hardware['threads']} threads used" if hardware["threads"] else ""
    facts = {
        "data": (config["data"] or "synthetic") + (f", hash {manifest['hash']}" if manifest else ""),
        "seed": config["seed"],
        "parameters": ", ".join(f"{name} = {value}" for name, value in config["parameters"].items()) or "defaults",
        "begun": config["started"],
        "command": config["command"],
        "crackviz": config["crackviz"] + (f" ({config['revision']})" if config["revision"] else ""),
        "software": ", ".join([f"Python {config['python']}", *versions]),
        "machine": f"{hardware['system']}, {hardware['processor']}, {hardware['cores']} cores{threads}, "
        f"{hardware['memory_GiB']} GiB",
    }
    return "\n".join([*lines, "", *(f"{name:>10}  {value}" for name, value in facts.items())])


# --- many runs --------------------------------------------------------------------------------------------------------


def summarise(
    runs: Sequence[Run],
    folder: Path,
    *,
    points: Sequence[Mapping[str, Any]] | None = None,
    metrics: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
    problems: Mapping[str, str] | None = None,
    strict: bool = False,
) -> Path:
    """Write ``results.csv`` and ``index.html`` about many runs into a folder.

    Parameters
    ----------
    runs : sequence of Run
    folder : Path
        An existing folder.
    points : sequence of mapping, optional
        What tells the runs apart; by default the parameters in which they differ.
    metrics : sequence of str
        Patterns of results to be compared; none at all leaves the choice to :func:`crackviz.series.table.compared`.
    facts : mapping, optional
        What the page tells of how they were made.
    problems : mapping, optional
        Why runs did not reach their end.
    strict : bool, default False
        Refuse a pattern that matches nothing; else the page says so, since it must not be lost for that.

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    CrackvizError
        If a file cannot be written.
    """
    points = points_of(runs) if points is None else points
    axes = list(dict.fromkeys(axis for point in points for axis in point))
    common = Path(os.path.commonpath([run.folder.parent for run in runs]))
    table = table_of(runs, points, [run.folder.relative_to(common).as_posix() for run in runs])
    write_table(table, folder)
    page = folder / "index.html"
    problem, chosen = "", []
    try:
        chosen = compared(table, axes, metrics)
    except CrackvizError as error:
        if strict:
            raise
        problem = str(error)
    readable = _shortened(table, axes)
    averages = means(readable, axes, chosen)
    fixed = [axis for axis in axes if axis != REPLICATE]
    _render(
        "summary.html",
        page,
        title=f"crackviz: {folder.name}",
        name=folder.name,
        problem=problem,
        picture=_picture(readable, chosen, fixed) if chosen else "",
        axes=axes,
        fixed=fixed,
        metrics=chosen,
        averages=averages.to_dict("records") if chosen else [],
        repeated=REPLICATE in axes,
        rows=table.head(_ROWS).to_dict("records"),
        left_out=max(len(table) - _ROWS, 0),
        links=[Path(os.path.relpath(run.folder / "index.html", folder)).as_posix() for run in runs[:_ROWS]],
        counts=table["status"].value_counts().to_dict(),
        stale=int((table["stale"] != "").sum()),
        facts=dict(facts or {}),
        problems=dict(problems or {}),
    )
    return page


def _shortened(table: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Return the table with paths along its axes cut down to their last part, where that still tells them apart."""
    short = {}
    for axis in axes:
        values = table[axis].map(
            lambda value: Path(value).name if isinstance(value, str) and os.sep in value else value
        )
        if values.nunique() == table[axis].nunique():
            short[axis] = values
    return table.assign(**short)


def _picture(table: pd.DataFrame, metrics: Sequence[str], fixed: list[str]) -> str:
    """Return the plots as a PNG in base64; "" where there is nothing to be read off them."""
    import matplotlib.pyplot as plt

    from crackviz import plots

    ended = table[table[list(metrics)].notna().any(axis=1)]
    if ended.empty or len(ended[fixed].drop_duplicates()) > _PLOTTED:
        return ""
    joined = {", ".join(axes): ended[axes].astype(str).agg(", ".join, axis=1) for axes in (fixed[1:], fixed) if axes}
    ended = ended.assign(**joined)
    x, hue = ", ".join(fixed[:1]), ", ".join(fixed[1:])
    if hue and ended[hue].nunique() > _HUES:
        x, hue = ", ".join(fixed), ""
    display = plots.RunsDisplay.from_table(ended, metrics, x=x, hue=hue, interval=interval)
    file = io.BytesIO()
    display.figure_.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")
    plt.close(display.figure_)
    return _base64(file.getvalue())


# --- what both need ---------------------------------------------------------------------------------------------------


@functools.cache  # it keeps the compiled templates: a run has a page for each notebook
def _environment() -> jinja2.Environment:
    import jinja2

    loader = jinja2.FileSystemLoader(ROOT / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _render(template: str, path: Path, **given: Any) -> None:
    """Write a page from a template of ``crackviz/templates``, whole or not at all."""
    text = _environment().get_template(template).render(**given)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
