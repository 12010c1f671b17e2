"""The pages of one run, to be read without server or network, and a run in words."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from crackviz import CrackvizError
from crackviz.claims import EXCUSED, in_words
from crackviz.files import absolute, in_base64, render
from crackviz.series.hashes import Hashes
from crackviz.series.notebooks import series_root
from crackviz.series.pages import page_of
from crackviz.series.records import (
    claims_of,
    duration,
    excused_of,
    existing_config,
    look,
    read_config,
    results_of,
    stale,
)
from crackviz.series.table import HEADLINES, flattened

_SHOWN = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")  # of the packages
_WIDEST = 1200  # pixels of a figure on the page


def report(run: str | Path) -> Path:
    """Write ``index.html`` of a run, and a page for each executed notebook, to be read without server or network.

    The pages hold their pictures and styles themselves, run no script, and show ``$…$`` as MathML.

    Parameters
    ----------
    run : str or Path
        A run folder, of :func:`run_series` or of notebooks run by hand; its ``index.html`` is returned.

    Raises
    ------
    CrackvizError
        If the folder is no run folder, or cannot be written to.
    """
    run = absolute("The run", run)
    config, results = read_config(run), results_of(run)
    made, excused = claims_of(run), excused_of(run)
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
            "claims": [claim | {"compared": in_words(claim)} for claim in made.get(name, [])],
            "excused": excused.get(name, []),
            "numbers": _numbers(results.get(name, {})),
            "figures": _shown(run, figures.get(name, [])),
            "status": "interrupted" if record["status"] == "running" else record["status"],
        }
        sections.append(record | found)
    for before, section, after in zip([None, *sections], sections, [*sections[1:], None], strict=False):
        if section["body"]:
            to = run / "notebooks" / f"{section['name']}.html"
            render("notebook.html", to, page=section, title=section["title"], before=before, after=after)
    index = run / "index.html"
    given = {"sections": sections, "others": _shown(run, figures.get("", [])), "config": config, "shown": _SHOWN}
    given |= {"pictures": _pictures(run), "book": _book(run)}
    render("run.html", index, title=f"crackviz: {run.name}", run=run.name, **given)
    return index


def _book(run: Path) -> str:
    """Return the way from a run to the book of the series, "" where nobody has made one (``make book``)."""
    try:
        book = (series_root() or run) / "build" / "book" / "index.html"
        return quote(Path(os.path.relpath(book, run)).as_posix()) if book.is_file() else ""
    except (CrackvizError, ValueError, OSError):  # the working folder was removed; another drive; no right to look
        return ""


def _pictures(run: Path) -> str:
    """Say how many pictures in how many groups the run looked at; "" where it made no split."""
    from crackviz.data import read_split

    def count(table: Any) -> str:
        pictures, groups = len(table), table["group"].nunique()
        return f"{pictures:,} picture{'s' * (pictures != 1)} in {groups:,} group{'s' * (groups != 1)}"

    try:
        table = read_split(run / "split.csv", pictures=False)
    except CrackvizError:
        return ""
    return f"{count(table)}; in the test part {count(table[table['split'] == 'test'])}"


def report_if_old(run: Path) -> Path:
    """Return ``index.html`` of a run, made anew where it is missing or something that it shows was written since."""
    index = run / "index.html"
    shown = [run / name for name in ("config.json", "claims.json", "results.json", EXCUSED)]
    shown += [*(run / "notebooks").glob("*.ipynb"), *(run / "figures").glob("*.png")]
    newest = max((path.stat().st_mtime_ns for path in shown if path.is_file()), default=0)
    return index if index.is_file() and index.stat().st_mtime_ns >= newest else report(run)


def figures_of(run: Path) -> dict[str, list[dict[str, str]]]:
    """Return the saved figures of each notebook, as :func:`save_figure` has marked them."""
    from PIL import Image

    found: dict[str, list[dict[str, str]]] = {}
    for path in sorted((run / "figures").glob("*.png")):
        try:
            with Image.open(path) as image:
                source, alt = (str(image.info.get(key, "")) for key in ("Source", "Description"))
        except (OSError, ValueError):
            continue  # not a picture: nothing to show
        found.setdefault(source, []).append({"name": path.stem, "file": path.name, "alt": alt})
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
        made.append({**figure, "data": in_base64(file.getvalue())})
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
    run = absolute("The run", folder)
    config, made, at_glance = existing_config(run), claims_of(run), look(run)
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
        if stem in why:
            lines.append(f"  {'':{width}}  stale: {why[stem]}")
        if record["status"] == "failed":
            lines.append(f"  {'':{width}}  {record['error']['message'][:300]}")
    broken = [
        f"  {c['id']} {c['statement']}{f' ({in_words(c)})' if in_words(c) else ''}"
        for claims in made.values()
        for c in claims
        if not c["holds"]
    ]
    lines += ["", "Claims that do not hold here:", *broken] if broken else []
    excused = [f"  {c['id']} {c['statement']}: {c['unless']}" for claims in excused_of(run).values() for c in claims]
    lines += ["", "Claims that do not apply here:", *excused] if excused else []
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
