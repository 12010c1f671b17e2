"""The page and the table about many runs: those of a sweep, or any that lie there."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError
from crackviz.files import absolute, in_base64, read_json, render
from crackviz.series.hashes import Hashes
from crackviz.series.records import Run, existing_config, look
from crackviz.series.table import REPLICATE, compared, idle_axes, interval, means, points_of, table_of, write_table

if TYPE_CHECKING:
    import pandas as pd

_DPI = 80  # of the plots
_PLOTTED = 60  # points of a grid beyond which nothing could be read off a plot
_HUES = 8  # colours that are still told apart
_ROWS = 1000  # runs listed on the page; results.csv has them all


def summarise_sweep(folder: Path, record: dict[str, Any], metrics: Sequence[str], strict: bool = False) -> Path:
    """Write the page of a sweep from its ``sweep.json``; `strict` refuses a metric that matches nothing."""
    hashes = Hashes()
    runs = []
    for name in record["runs"]:
        run = look(folder / name, hashes)
        if not run.records:
            run = Run(run.folder, "missing")
        elif not run.stale and name in record.get("stale", {}):  # made with other parameters than this grid's
            run = replace(run, stale=record["stale"][name])
        runs.append(run)
    fixed = ", ".join(f"{name} = {value}" for name, value in record["grid"]["parameters"].items())
    facts = {
        "Notebooks": ", ".join(record["grid"]["notebooks"]) or "the whole series",
        **{f"Varied: {axis}": ", ".join(map(str, values)) for axis, values in record["grid"]["axes"].items()},
        **({"Fixed": fixed} if fixed else {}),
        "Command": record["command"],
        "Begun": record["started"].replace("T", " "),
        "Software": f"crackviz {record['crackviz']}" + (f" ({record['revision']})" if record["revision"] else ""),
        "Machine": f"{record['hardware']['system']}, {record['hardware']['cores']} cores",
    }
    points, problems = list(record["runs"].values()), record["problems"]
    return _summarise(runs, folder, metrics, points=points, strict=strict, facts=facts, problems=problems)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it; raise a CrackvizError where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrackvizError(f"Cannot make {folder}: {error.strerror or error}. Choose another one.", "out") from error


def summarise_runs(runs: Sequence[str | Path], *, out: str | Path = "", metrics: Sequence[str] = ()) -> Path:
    """Compare runs that lie there: of a sweep's folder, or any.

    Parameters
    ----------
    runs : sequence of str or Path
        Run folders, or one folder of a sweep.
    out : str or Path, default ""
        Folder for ``results.csv`` and ``index.html``, whose path is returned; "" is the sweep's folder, or the one that
        all runs lie in.
    metrics : sequence of str
        Patterns of results to be compared, such as ``"03_evaluation.*"``; none leaves the choice to crackviz.

    Raises
    ------
    CrackvizError
        If a folder is no run, a pattern matches nothing, or the page cannot be written.
    """
    folders = [absolute("The run", run) for run in runs]
    if len(folders) == 1 and (record := read_json(folders[0] / "sweep.json")):
        return summarise_sweep(folders[0], record, metrics or record["grid"]["metrics"], strict=True)
    common = absolute("out", out) if str(out) else Path(os.path.commonpath([f.parent for f in folders]))
    for folder in folders:
        existing_config(folder)
    hashes = Hashes()
    if (common / "config.json").exists():
        raise CrackvizError(
            f"The comparison would overwrite the report of the run {common}: choose another one.", "out"
        )
    make_folder(common)
    return _summarise([look(folder, hashes) for folder in folders], common, metrics)


def _summarise(
    runs: Sequence[Run],
    folder: Path,
    metrics: Sequence[str],
    *,
    points: Sequence[Mapping[str, Any]] | None = None,
    strict: bool = True,
    **shown: Mapping[str, Any],
) -> Path:
    """Write table and page about runs; `points` tell them apart, by default the parameters in which they differ.

    A pattern that matches nothing is refused if `strict`; else the page says so, since it must not be lost for that.
    """
    points = points_of(runs) if points is None else points
    axes = list(dict.fromkeys(axis for point in points for axis in point))
    common = Path(os.path.commonpath([run.folder.parent for run in runs]))
    table = table_of(runs, points, [run.folder.relative_to(common).as_posix() for run in runs])
    write_table(table, folder)
    problem, chosen = "", []
    try:
        chosen = compared(table, axes, metrics)
    except CrackvizError as error:
        if strict:
            raise
        problem = str(error)
    readable = _shortened(table, axes)
    fixed = [axis for axis in axes if axis != REPLICATE]
    given = {
        "title": f"crackviz: {folder.name}",
        "name": folder.name,
        "problem": problem,
        "picture": _picture(readable, chosen, fixed) if chosen else "",
        "axes": axes,
        "fixed": fixed,
        "metrics": chosen,
        "averages": means(readable, axes, chosen).to_dict("records") if chosen else [],
        "repeated": REPLICATE in axes,
        "idle": idle_axes(table, axes),
        "bars": any(f"{metric}.low" in table for metric in chosen),
        "rows": table.head(_ROWS).to_dict("records"),
        "left_out": max(len(table) - _ROWS, 0),
        "links": [Path(os.path.relpath(run.folder / "index.html", folder)).as_posix() for run in runs[:_ROWS]],
        "counts": table["status"].value_counts().to_dict(),
        "stale": int((table["stale"] != "").sum()),
    }
    render("summary.html", folder / "index.html", **{"facts": {}, "problems": {}} | given | shown)
    return folder / "index.html"


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
    return in_base64(file.getvalue())
