"""Notebooks executed one after the other into a run folder."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.files import read_json, write_json
from crackviz.series.hashes import Hashes
from crackviz.series.kernel import describe, execute
from crackviz.series.lesson import open_run
from crackviz.series.notebooks import RESERVED, assign, find_notebooks, parameters_of
from crackviz.series.records import locked, plan, provenance, read_config
from crackviz.series.report import figures_of, report
from crackviz.series.terminal import Display

Listener = Callable[[dict[str, Any]], None]


class NotebookFailed(CrackvizError):
    """A notebook of the series did not reach its end; ``index`` is the report, in which it is marked."""

    def __init__(self, message: str, index: Path) -> None:
        super().__init__(message)
        self.index = index


def plan_run(
    notebooks: Iterable[str | Path] = (),
    *,
    data: str | Path = "",
    out: str | Path = "runs/series",
    parameters: Mapping[str, Any] | None = None,
    again: Collection[str] = ("failed", "stale"),
) -> dict[str, str]:
    """Return what :func:`run_series` would run, with the reasons; nothing is made or run.

    Parameters
    ----------
    notebooks, data, out, parameters, again
        As for :func:`run_series`.

    Returns
    -------
    dict
        Each chosen notebook's name, with the reason why it would be run, "" if its outcome still holds.

    Raises
    ------
    CrackvizError
        As :func:`run_series` does before anything runs.
    """
    paths, values = checked(notebooks, data, parameters)
    run = _run_folder(out, paths)
    config = read_config(run)
    reasons = plan(values, config.get("notebooks", {}), Hashes(config.get("manifests")), again)
    return {stem: reasons.get(stem, "") for stem in values}


def run_series(
    notebooks: Iterable[str | Path] = (),
    *,
    data: str | Path = "",
    out: str | Path = "runs/series",
    parameters: Mapping[str, Any] | None = None,
    timeout: float = 4 * 3600,
    threads: int = 0,
    again: Collection[str] = ("failed", "stale"),
    fail_fast: bool = False,
    wait: float = 0.0,
    listener: Listener | None = None,
) -> Path:
    """Execute notebooks one after the other into a run folder, and write the report.

    Everything that can be checked is checked before the first one starts. A notebook whose outcome is there already is
    left alone, and so is the rest of the folder; from the first one that is run on, all that follow are run.

    Parameters
    ----------
    notebooks : iterable of str or Path
        As for :func:`find_notebooks`; none at all stands for the whole series.
    data : str or Path, default ""
        Folder of pictures, handed to the notebooks as ``data``; ``""`` leaves them their default.
    out : str or Path, default "runs/series"
        The run folder.
    parameters : mapping, optional
        Values for the notebooks' ``parameters`` cells. Each notebook gets those that it knows; text is
        converted to the type of the default.
    timeout : float, default 14400
        Seconds that one notebook may take; 0 for no limit.
    threads : int, default 0
        Threads of TensorFlow and the numerical libraries; 0 leaves the choice to them. Trainings depend on it in their
        last digits, and these grow.
    again : collection of str
        What is run again besides what is missing or was broken off: notebooks that "failed", that are "stale" (their
        cells, parameters or data, or crackviz, have changed since), or that are "done".
    fail_fast : bool, default False
        Run nothing after a notebook that fails.
    wait : float, default 0
        Seconds to wait for another process that runs into the same folder.
    listener : callable, optional
        Is told what happens, as mappings with the key ``event``: "plan", "start", "cell", "end". By default a line
        is printed for each notebook.

    Returns
    -------
    Path
        ``index.html`` of the run.

    Raises
    ------
    NotebookFailed
        If a notebook fails. Its outputs, with the traceback, and the report are kept.
    CrackvizError
        If a notebook, a parameter, the data or the run folder is not as it must be, or another process is running into
        the folder; nothing has been run then.
    """
    paths, values = checked(notebooks, data, parameters)
    run = _run_folder(out, paths)
    return execute_run(
        {path: values[path.stem] for path in paths},
        run,
        timeout=timeout,
        threads=threads,
        again=again,
        fail_fast=fail_fast,
        wait=wait,
        listener=listener,
    )


def execute_run(
    wanted: Mapping[Path, dict[str, Any]],
    run: Path,
    *,
    timeout: float,
    threads: int,
    again: Collection[str],
    fail_fast: bool = False,
    wait: float = 0.0,
    listener: Listener | None = None,
    manifests: Mapping[str, dict[str, Any]] | None = None,
    origins: Mapping[str, str] | None = None,
    command: str = "",
) -> Path:
    """Execute notebooks with all their parameters as given; see :func:`run_series`.

    ``manifests`` are those of the data, where they are known already; ``origins`` say where a notebook comes from of
    which a copy is executed; ``command`` is what a person has called, where that isn't this process.
    """
    from crackviz import data as datasets

    read_config(run)  # another layout is refused before the folder is touched
    open_run(run)
    with locked(run, wait=wait), ExitStack() as stack:
        tell = listener or stack.enter_context(closing(Display()))
        for folder in {values["data"] for values in wanted.values() if "data" in values}:
            datasets.locate(folder)  # synthetic concrete is made now, where its progress shows
        config = read_config(run)
        hashes = Hashes(config.get("manifests", {}) | dict(manifests or {}))
        values = {path.stem: known | ({"run": str(run)} if "run" in known else {}) for path, known in wanted.items()}
        records: dict[str, dict[str, Any]] = config.get("notebooks", {})
        reasons = plan(values, records, hashes, again)
        tell({"event": "plan", "run": reasons, "left": [stem for stem in values if stem not in reasons]})
        if not reasons:
            return run / "index.html" if (run / "index.html").exists() else report(run)
        chosen = [path for path in wanted if path.stem in reasons]
        _clear(run, set(reasons))
        for path in chosen:
            records[path.stem] = {
                "status": "not run",
                "path": (origins or {}).get(path.stem, str(path)),
                "parameters": values[path.stem],
                "sources": hashes.sources(path, values[path.stem]),
            }
        used = {str(record["parameters"]["data"]) for record in records.values() if "data" in record["parameters"]}
        manifests_used = {name: hashes.manifests[name] for name in sorted(used) if name in hashes.manifests}
        config = provenance(threads, command) | {
            "manifests": manifests_used,
            "notebooks": dict(sorted(records.items())),
        }
        config |= _in_common(config["notebooks"])
        limits: dict[str, Any] = {"timeout": timeout, "threads": threads, "fail_fast": fail_fast}
        try:
            stopped = _execute_all({path: values[path.stem] for path in chosen}, run, config, tell, **limits)
            index = report(run)
        except CrackvizError as error:  # a disk that is full by now: what was begun has failed, and was no wrong use
            raise NotebookFailed(str(error), run / "index.html") from error
    if stopped and not isinstance(stopped, Exception):
        raise stopped
    failed = [path.stem for path in chosen if records[path.stem]["status"] == "failed"]
    if failed:
        what = records[failed[0]]["error"]
        others = f" So did {', '.join(failed[1:])}." if failed[1:] else ""
        raise NotebookFailed(f"{failed[0]} failed{what['where']}: {what['message']}{others}", index) from stopped
    return index


def _execute_all(
    chosen: Mapping[Path, dict[str, Any]],
    run: Path,
    config: dict[str, Any],
    tell: Listener,
    *,
    timeout: float,
    threads: int,
    fail_fast: bool,
) -> BaseException | None:
    """Execute notebooks one after the other and record how each ends; return what stopped it before the last."""
    for number, (path, values) in enumerate(chosen.items(), start=1):
        record = config["notebooks"][path.stem]
        record |= {"status": "running", "started": datetime.now(UTC).isoformat(timespec="milliseconds")}
        write_json(run / "config.json", config)
        what = {"notebook": path.stem, "number": number, "of": len(chosen)}
        tell({"event": "start", **what})
        began = time.monotonic()
        stopped: BaseException | None = None
        try:
            execute(
                path,
                run,
                _injected(path, values),
                timeout=timeout,
                threads=threads,
                record=record,
                on_cell=partial(_tell_cell, tell, what),
            )
            record["status"] = "done"
        except BaseException as error:  # Ctrl-C as well leaves a report that says how far it came
            record["status"] = "failed" if isinstance(error, Exception) else "interrupted"
            record["error"] = describe(error)
            if fail_fast or not isinstance(error, Exception) or _is_full(error):
                stopped = error
        record["seconds"] = round(time.monotonic() - began, 1)
        made = [claim["holds"] for claim in read_json(run / "claims.json").get(path.stem, [])]
        write_json(run / "config.json", config)
        ended = {key: record.get(key) for key in ("status", "seconds", "memory_MiB")}
        tell({"event": "end", **what, **ended, "claims": [sum(made), len(made)]})
        if stopped:
            return stopped
    return None


def _tell_cell(tell: Listener, what: Mapping[str, Any], cell: int, cells: int) -> None:
    tell({"event": "cell", "cell": cell, "cells": cells, **what})


def checked(
    notebooks: Iterable[str | Path], data: str | Path, parameters: Mapping[str, Any] | None
) -> tuple[list[Path], dict[str, dict[str, Any]]]:
    """Return the chosen notebooks and the parameters of each, or refuse what isn't as it must be."""
    from crackviz import data as datasets

    paths = find_notebooks(notebooks)
    values = assign(paths, parameters or {})
    if str(data):
        if not datasets.synthetic_settings(data):
            folder = Path(data).expanduser().resolve()
            if not folder.exists():
                raise CrackvizError(f"There is no {folder}: expected a folder of pictures. Check --data.")
            data = datasets.locate(folder)
        if not any("data" in known for known in values.values()):
            raise CrackvizError("None of the chosen notebooks takes pictures: leave --data out, or choose others.")
        for known in values.values():
            if "data" in known:
                known["data"] = str(data)
    return paths, values


def _run_folder(out: str | Path, paths: Iterable[Path]) -> Path:
    run = Path(out).expanduser().resolve()
    if run.exists() and not run.is_dir():
        raise CrackvizError(f"Cannot use {run} as the run folder: it is a file. Choose another one.")
    if any(path.parent == run / "notebooks" for path in paths):
        raise CrackvizError(f"Running into {run} would overwrite the notebooks themselves: choose another --out.")
    return run


def _injected(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that papermill has to write into a notebook: all that are not its own."""
    own = parameters_of(path)
    return {name: value for name, value in values.items() if value != own.get(name)}


def _in_common(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the data, the seed, and what was given, of all notebooks of a run together."""
    used: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for record in records.values():
        path = Path(record["path"])
        used |= record["parameters"]
        given |= _injected(path, record["parameters"]) if path.exists() else {}
    chosen = {name: value for name, value in given.items() if name not in RESERVED}
    return {"data": used.get("data"), "seed": used.get("seed"), "parameters": chosen}


def _is_full(error: BaseException | None) -> bool:
    """Say whether an error comes from a disk without space, on which what follows would fail as well."""
    import errno

    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clear(run: Path, stems: set[str]) -> None:
    """Remove what an earlier run of these notebooks left: it must not pass for this run's."""
    for name in ("claims.json", "results.json"):
        if (content := read_json(run / name)).keys() & stems:
            write_json(run / name, {stem: entry for stem, entry in content.items() if stem not in stems})
    figures = figures_of(run)
    old = [run / "figures" / figure["file"] for stem in stems for figure in figures.get(stem, [])]
    old += [path for stem in stems for path in (run / "notebooks").glob(f"{glob.escape(stem)}.*")]
    for path in old:
        path.unlink(missing_ok=True)
