"""One table of many runs: a row each, and, over the seeds, means with intervals."""

from __future__ import annotations

import fnmatch
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError
from crackviz.files import replacing
from crackviz.series.records import Run, results_of

if TYPE_CHECKING:
    import pandas as pd


REPLICATE = "seed"
"""The parameter over which is averaged."""
HEADLINES = "headlines"
"""The entry of a notebook's results that names those of them which are shown first."""
FACTS = ("run", "status", "stale", "notebooks", "failed", "claims_hold", "claims_made", "seconds", "memory_MiB")
"""Columns that are no result."""
_FEWEST = 3  # runs of which an interval is made: of two it would be some nine times as wide as what they differ by
_SPREAD: list[Any] = ["mean", "sem", "count", "min", "max"]
_SHARE = re.compile(  # what lies between 0 and 1 by what it is
    r"(^|[\W_])(accuracy|average_precision|precision|recall|f1|auc|iou|brier|calibration_error|specificity|sensitivity"
    r"|share|coverage|risk|prevalence|pointing|intervals that hold|told apart|evidence (within|on)|found (from|on))"
    r"([\W_]|$)",
    re.IGNORECASE,
)
_DIFFERENCE = re.compile(r"(^|[\W_])(less|gap|gain|difference|change|rise|lead|lost|more)([\W_]|$)", re.IGNORECASE)
_TIMES = re.compile(r"(^|\W)(ms|milliseconds?|seconds?|minutes?)(\W|$)")


def points_of(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return what tells runs apart: of data, seed and parameters those in which they differ, the seed last."""
    given = [
        {"data": run.config.get("data") or "synthetic", REPLICATE: run.config.get(REPLICATE)}
        | run.config.get("parameters", {})
        for run in runs
    ]
    for known, run in zip(given, runs, strict=True):  # where it wasn't given, its default
        for record in run.records.values():
            defaults = record["parameters"].items()
            known |= {name: v for name, v in defaults if name not in known and any(name in other for other in given)}
    names = dict.fromkeys(name for known in given for name in known)
    differ = [name for name in names if len({repr(known.get(name)) for known in given}) > 1]
    axes = sorted(differ, key=lambda name: name == REPLICATE)
    return [{axis: known.get(axis) for axis in axes} for known in given]


def table_of(runs: Sequence[Run], points: Sequence[Mapping[str, Any]], names: Sequence[str]) -> pd.DataFrame:
    """Return a row for each run; ``points`` tell the runs apart, and ``names`` are what they are called.

    Its columns are ``FACTS``, one for each axis, and one for each number or text in ``results.json``, called
    ``notebook.name``; of a number with an interval, ``.low`` and ``.high`` as well. Lists are left out, and what a
    notebook wrote that did not reach its end. ``attrs["headlines"]`` are the columns that notebooks name so.
    """
    import pandas as pd

    rows = []
    headlines: dict[str, None] = {}
    for run, point, name in zip(runs, points, names, strict=True):
        records = run.records
        results = results_of(run.folder) if records else {}
        ended = {stem: entry for stem, entry in results.items() if records.get(stem, {}).get("status") == "done"}
        headlines |= {f"{stem}.{name}": None for stem, entry in ended.items() for name in entry.get(HEADLINES, ())}
        row: dict[str, Any] = {
            "run": name,
            "status": run.status,
            "stale": run.stale,
            "notebooks": sum(record["status"] == "done" for record in records.values()),
            "failed": ", ".join(stem for stem, record in records.items() if record["status"] == "failed"),
            "claims_hold": run.claims[0],
            "claims_made": run.claims[1],
            "seconds": round(run.seconds, 1),
            "memory_MiB": max((record.get("memory_MiB") or 0 for record in records.values()), default=0),
            **{axis: value if isinstance(value, int | float | str) else repr(value) for axis, value in point.items()},
        }
        rows.append({key: v for key, v in flattened(ended).items() if isinstance(v, int | float | str)} | row)
    first = [*FACTS, *dict.fromkeys(axis for point in points for axis in point)]
    table = pd.DataFrame(rows)
    table = table[[*first, *(name for name in table.columns if name not in first)]]
    table.attrs[HEADLINES] = [name for name in headlines if name in table]
    return table


def flattened(value: Mapping[str, Any], between: str = ".") -> dict[str, Any]:
    """Return nested results by their whole names; of a number with an interval, its bounds as ``low`` and ``high``."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        if not isinstance(item, Mapping):
            found[key] = item
            continue
        inner = dict(item)
        if isinstance(inner.get("value"), int | float) and {"low", "high"} <= inner.keys():
            found[key] = inner.pop("value")
        found |= {f"{key}{between}{name}": leaf for name, leaf in flattened(inner, between).items()}
    return found


def idle_axes(table: pd.DataFrame, axes: Sequence[str]) -> list[str]:
    """Return the axes along which no number has changed, though runs differ in nothing else."""
    numbers = [name for name in table.select_dtypes("number") if name not in {*FACTS, *axes} and not is_time(str(name))]
    shown = table.assign(**{axis: table[axis].astype(str) for axis in axes}).dropna(subset=numbers, how="all")
    found = []
    for axis in axes:
        others = [other for other in axes if other != axis]
        groups = [rows for _, rows in shown.groupby(others)] if others else [shown]
        several = [rows[numbers] for rows in groups if len(set(rows[axis])) > 1]
        if numbers and several and all(len(rows.drop_duplicates()) == 1 for rows in several):
            found.append(axis)
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

    Of the latter, first the table's headlines, then one for each notebook before a second one of any; none that only
    some of the runs of its notebook left, such as the score of a network by its name. A pattern that matches no number
    is refused.
    """
    left_out = {*FACTS, *axes}
    numbers = [str(name) for name in table.select_dtypes(["number", "bool"]) if name not in left_out]
    numbers = [name for name in numbers if not name.endswith((".low", ".high"))]
    found: dict[str, None] = {}
    for pattern in patterns:
        matching = fnmatch.filter(numbers, pattern)
        if not matching:
            known = ", ".join(numbers[:8]) or "none"
            raise CrackvizError(f"No result is called {pattern!r}. Numbers of these runs: {known} …")
        found |= dict.fromkeys(matching)
    if patterns:
        return list(found)
    notebooks: dict[str, list[str]] = {}
    for name in numbers:
        notebooks.setdefault(name.split(".")[0], []).append(name)
    worth = []
    for names in notebooks.values():
        most = max(table[name].count() for name in names)
        whole = [name for name in names if table[name].count() == most and not is_time(name)]
        worth.append([name for name in whole if len(set(table[name].dropna())) > 1])
    by_turns = [name for turn in itertools.zip_longest(*worth) for name in turn if name]
    headlines = [name for name in table.attrs.get(HEADLINES, ()) if name in by_turns]
    return list(dict.fromkeys([*headlines, *by_turns]))[:limit]


def interval(values: Any, name: str = "") -> tuple[float, float]:
    """Return the 95 % interval of a mean by Student's t; NaN for fewer than three values, of which two say nothing.

    Of a result that by its `name` is a share, such as a recall, it ends at 0 and 1, and is NaN where all values are
    equal: pictures are few, and the next run's share may be another one.
    """
    import pandas as pd

    of = pd.Series(values, dtype=float).agg(_SPREAD).to_frame().T
    low, high = (float(end.iloc[0]) for end in _ends(of, name))
    return low, high


def _ends(of: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    """Return the lower and the upper ends of intervals, of the `_SPREAD` of a result by its name."""
    from scipy import stats

    half = stats.t.ppf(0.975, of["count"] - 1) * of["sem"].where(of["count"] >= _FEWEST)
    low, high = of["mean"] - half, of["mean"] + half
    if not is_share(name) or (of["min"] < 0).any() or (of["max"] > 1).any():  # the last two: its name misleads
        return low, high
    unequal = of["min"] < of["max"]
    return low.clip(0).where(unequal), high.clip(None, 1).where(unequal)


def is_share(name: str) -> bool:
    """Say whether a result lies between 0 and 1, as far as its name tells."""
    last = re.split(r"\.(?!\d)", name)[-1]
    return bool(_SHARE.search(last)) and not _DIFFERENCE.search(last)


def means(table: pd.DataFrame, axes: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Return a row for each point of the grid without the seed: the axes, how many runs have results, and means.

    Of each metric there is its mean, ``.low`` and ``.high`` (NaN for fewer than three runs).
    """
    fixed = [axis for axis in axes if axis != REPLICATE]
    known = table[table[list(metrics)].notna().any(axis=1)] if metrics else table
    groups = known.groupby(fixed or (lambda row: 0), sort=False, dropna=False)
    found = groups.size().to_frame("runs")
    for metric in metrics:
        of = groups[metric].agg(_SPREAD)
        found[metric], (found[f"{metric}.low"], found[f"{metric}.high"]) = of["mean"], _ends(of, metric)
    return found.reset_index(drop=not fixed)
