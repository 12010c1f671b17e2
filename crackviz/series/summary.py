"""What compares many runs: ``results.csv``, and a page with plots, means and a row for each run."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError, plots
from crackviz.series.records import Run
from crackviz.series.report import render
from crackviz.series.table import REPLICATE, axes_of, compared, interval, means, point_of, table_of, write_table

if TYPE_CHECKING:
    import pandas as pd


_DPI = 80
_PLOTTED = 60  # points of a grid beyond which nothing could be read off a plot
_HUES = 8  # colours that are still told apart
_ROWS = 1000  # runs listed on the page; results.csv has them all


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
    if points is None:
        names_of_axes = axes_of(runs)
        points = [{axis: point_of(run).get(axis) for axis in names_of_axes} for run in runs]
    axes = list(dict.fromkeys(axis for point in points for axis in point))
    table = table_of(runs, points, _names(runs, folder))
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
    render(
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
        links=[_link(run.folder / "index.html", folder) for run in runs[:_ROWS]],
        counts=table["status"].value_counts().to_dict(),
        stale=int((table["stale"] != "").sum()),
        facts=dict(facts or {}),
        problems=_grouped(problems or {}),
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


def _grouped(problems: Mapping[str, str]) -> dict[str, str]:
    """Return each problem once, with the runs that have it."""
    found: dict[str, list[str]] = {}
    for name, why in problems.items():
        found.setdefault(why, []).append(name)
    return {why: ", ".join(names) for why, names in found.items()}


def _names(runs: Sequence[Run], folder: Path) -> list[str]:
    """Return what tells the runs' folders apart: their names, or, where these repeat, their paths."""
    names = [run.folder.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [Path(os.path.relpath(run.folder, folder)).as_posix() for run in runs]


def _link(page: Path, folder: Path) -> str:
    return Path(os.path.relpath(page, folder)).as_posix()


def _joined(table: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    return table[list(columns)].astype(str).agg(", ".join, axis=1)


def _picture(table: pd.DataFrame, metrics: Sequence[str], fixed: Sequence[str]) -> str:
    """Return the plots as a PNG in base64; "" where there is nothing to be read off them."""
    import matplotlib.pyplot as plt

    ended = table[table[list(metrics)].notna().any(axis=1)]
    if ended.empty or len(ended[list(fixed)].drop_duplicates()) > _PLOTTED:
        return ""
    ended = ended.assign(**{", ".join(axes): _joined(ended, axes) for axes in (fixed[1:], fixed) if len(axes) > 1})
    x, hue = ", ".join(fixed[:1]), ", ".join(fixed[1:])
    if hue and ended[hue].nunique() > _HUES:
        x, hue = ", ".join(fixed), ""
    display = plots.RunsDisplay.from_table(ended, metrics, x=x, hue=hue, interval=interval)
    file = io.BytesIO()
    display.figure_.savefig(file, format="png", dpi=_DPI, bbox_inches="tight")
    plt.close(display.figure_)
    return base64.b64encode(file.getvalue()).decode("ascii")
