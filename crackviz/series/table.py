"""One table of many runs: a row each, and, over the seeds, means with intervals."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError
from crackviz.files import read_json, replacing
from crackviz.series.records import Run

if TYPE_CHECKING:
    import pandas as pd


REPLICATE = "seed"
"""The parameter over which is averaged."""


FACTS = ("run", "status", "stale", "notebooks", "failed", "claims_hold", "claims_made", "seconds", "memory_MiB")
"""Columns that are no result."""


_HEADLINES = (
    "scores.accuracy",
    "scores.recall/crack",
    "scores.precision/crack",
    "scores.roc_auc",
    "scores.calibration_error",
    "gap_cnn_deep: validation accuracy",
    "scores.trained/grad_cam.evidence_4px",
)
_TIMES = re.compile(r"(^|\W)(ms|milliseconds?|seconds?|minutes?)(\W|$)")
_CONFIDENCE = 0.95


def axes_of(runs: Sequence[Run]) -> list[str]:
    """Return the names of the parameters in which runs differ, the seed last."""
    points = [point_of(run) for run in runs]
    names = {name: None for point in points for name in point}
    differ = [name for name in names if len({repr(point.get(name)) for point in points}) > 1]
    return sorted(differ, key=lambda name: name == REPLICATE)


def point_of(run: Run) -> dict[str, Any]:
    """Return the data, the seed and the parameters that a run was given."""
    used = {name: run.config.get(name) for name in ("data", REPLICATE) if run.config.get(name) is not None}
    return used | run.config.get("parameters", {})


def table_of(runs: Sequence[Run], points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """Return a row for each run.

    Parameters
    ----------
    runs : sequence of Run
    points : sequence of mapping
        What tells the runs apart: values by the name of the axis.
    names : sequence of str
        What the runs are called.

    Returns
    -------
    pandas.DataFrame
        ``FACTS``, a column for each axis, and one for each number or text in ``results.json``, called
        ``notebook.name``; of a number with an interval, ``.low`` and ``.high`` as well. Lists are left out, and what a
        notebook wrote that did not reach its end.
    """
    import pandas as pd

    rows = []
    for run, point, name in zip(runs, points, names, strict=True):
        records = run.records.values()
        results = read_json(run.folder / "results.json") if run.records else {}
        ended = {stem: entry for stem, entry in results.items() if run.records.get(stem, {}).get("status") == "done"}
        row: dict[str, Any] = {
            "run": name,
            "status": run.status,
            "stale": run.stale,
            "notebooks": sum(record["status"] == "done" for record in records),
            "failed": ", ".join(stem for stem, record in run.records.items() if record["status"] == "failed"),
            "claims_hold": run.claims[0],
            "claims_made": run.claims[1],
            "seconds": round(run.seconds, 1),
            "memory_MiB": max((record.get("memory_MiB") or 0 for record in records), default=0),
            **{axis: value if isinstance(value, int | float | str) else repr(value) for axis, value in point.items()},
        }
        rows.append(flattened(ended) | row)
    first = [*FACTS, *dict.fromkeys(axis for point in points for axis in point)]
    table = pd.DataFrame(rows)
    return table[[*first, *(name for name in table.columns if name not in first)]]


def flattened(value: Any, name: str = "", found: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the numbers and texts of nested results, each by its dotted name."""
    found = {} if found is None else found
    if isinstance(value, dict):
        if isinstance(value.get("value"), int | float) and "low" in value and "high" in value:
            found[name] = value["value"]
            found[f"{name}.low"], found[f"{name}.high"] = value["low"], value["high"]
            return found
        for key, item in value.items():
            flattened(item, f"{name}.{key}" if name else key, found)
    elif isinstance(value, int | float | str):
        found[name] = value
    return found


def is_time(name: str) -> bool:
    """Say whether a result is a time, by its name: times differ from run to run by themselves."""
    return bool(_TIMES.search(name))


def write_table(table: pd.DataFrame, folder: Path) -> None:
    """Write ``results.csv``, and ``results.parquet`` where pyarrow is there to write it, whole or not at all."""
    with replacing(folder / "results.csv") as part:
        table.to_csv(part, index=False)
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return
    mixed = {str(name): table[name].astype("string") for name in table.columns if table[name].dtype == object}
    with replacing(folder / "results.parquet") as part:
        table.assign(**mixed).to_parquet(part, index=False)


def compared(table: pd.DataFrame, axes: Sequence[str], patterns: Sequence[str] = (), limit: int = 6) -> list[str]:
    """Return the results worth comparing: those that match a pattern, or numbers that differ between runs.

    Of the latter, first those that people ask for, and one for each notebook before a second one of any.

    Raises
    ------
    CrackvizError
        If a pattern matches no number.
    """
    import pandas as pd

    columns = [str(name) for name in table.columns]
    left = [name for name in columns if name not in FACTS and name not in axes and not name.endswith((".low", ".high"))]
    numbers = [name for name in left if pd.api.types.is_numeric_dtype(table[name])]
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = [name for name in numbers if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            known = ", ".join(numbers[:8]) or "none"
            raise CrackvizError(f"No result is called {pattern!r}. Numbers of these runs: {known} …")
        found |= dict.fromkeys(matching)
    if patterns:
        return list(found)
    differing = [name for name in numbers if len(set(table[name].dropna())) > 1 and not is_time(name)]
    filled: dict[str, int] = {}  # by notebook: the runs in which it left something
    for name in numbers:
        notebook = name.split(".")[0]
        filled[notebook] = max(filled.get(notebook, 0), int(table[name].count()))
    turn: dict[str, int] = {}
    ranked = []
    for name in differing:
        notebook, _, rest = name.partition(".")
        if table[name].count() < filled[notebook]:  # of some runs only, such as the score of a network by its name
            continue
        turn[notebook] = turn.get(notebook, 0) + 1
        headline = next((rank for rank, end in enumerate(_HEADLINES) if rest == end), len(_HEADLINES))
        ranked.append((headline, turn[notebook], name))
    return [name for *_, name in sorted(ranked, key=lambda entry: entry[:2])][:limit]


def interval(values: Any) -> tuple[float, float]:
    """Return the 95 % interval of a mean by Student's t; NaN for fewer than two values."""
    import numpy as np
    from scipy import stats

    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + _CONFIDENCE) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known))
    return float(known.mean() - half), float(known.mean() + half)


def means(table: pd.DataFrame, axes: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Return, for each point of the grid without the seed, how many runs have results, and means with intervals.

    Returns
    -------
    pandas.DataFrame
        The axes, ``runs``, and for each metric its mean, ``.low`` and ``.high`` (NaN for a single run).
    """
    import pandas as pd

    fixed = [axis for axis in axes if axis != REPLICATE]
    known = table[table[list(metrics)].notna().any(axis=1)] if metrics else table
    groups = known.groupby(fixed, sort=False, dropna=False) if fixed else [((), known)]
    rows = []
    for key, group in groups:
        row: dict[str, Any] = dict(zip(fixed, key if isinstance(key, tuple) else (key,), strict=True))
        row["runs"] = len(group)
        for metric in metrics:
            row[metric] = float(group[metric].mean())
            row[f"{metric}.low"], row[f"{metric}.high"] = interval(group[metric])
        rows.append(row)
    return pd.DataFrame(rows)
