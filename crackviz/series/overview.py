"""The page and the table about many runs: those of a sweep, or any that lie there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.files import read_json
from crackviz.series.hashes import Hashes
from crackviz.series.records import Run, existing_config, look


def summarise_sweep(folder: Path, record: dict[str, Any], metrics: Sequence[str], strict: bool = False) -> Path:
    """Write the page of a sweep from its ``sweep.json``; `strict` refuses a metric that matches nothing."""
    from crackviz.series.report import summarise

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
    given = {"metrics": metrics, "facts": facts, "problems": record["problems"], "strict": strict}
    return summarise(runs, folder, points=list(record["runs"].values()), **given)


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
        Folder for ``results.csv`` and ``index.html``; "" is the sweep's folder, or the one that all runs lie in.
    metrics : sequence of str
        Patterns of results to be compared, such as ``"03_evaluation.*"``; none leaves the choice to crackviz.

    Returns
    -------
    Path
        ``index.html``.

    Raises
    ------
    CrackvizError
        If a folder is no run, a pattern matches nothing, or the page cannot be written.
    """
    folders = [Path(run).expanduser().resolve() for run in runs]
    if len(folders) == 1 and (record := read_json(folders[0] / "sweep.json")):
        return summarise_sweep(folders[0], record, metrics or record["grid"]["metrics"], strict=True)
    from crackviz.series.report import summarise

    for folder in folders:
        existing_config(folder)
    hashes = Hashes()
    common = Path(out).expanduser().resolve() if str(out) else Path(os.path.commonpath([f.parent for f in folders]))
    if (common / "config.json").exists():
        raise CrackvizError(
            f"The comparison would overwrite the report of the run {common}: choose another one.", "out"
        )
    make_folder(common)
    return summarise([look(folder, hashes) for folder in folders], common, metrics=metrics, strict=True)
