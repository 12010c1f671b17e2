"""Notebooks executed one after the other into a run folder."""

from __future__ import annotations

import glob
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.contracts import check_flag
from crackviz.files import absolute, is_full, read_json, write_json
from crackviz.progress import watched
from crackviz.series.hashes import Hashes
from crackviz.series.lesson import open_run, run_folder
from crackviz.series.notebooks import RESERVED, assign, find_notebooks, parameters_of
from crackviz.series.records import BY_HAND, claims_of, locked, outcome, plan, provenance, read_config
from crackviz.series.report import figures_of, report, report_if_old

Tell = Callable[..., None]
"""Is called as :func:`say` is, with what a person wants to know."""

_report = threading.Lock()  # runs of a sweep share a process: what makes the pages is loaded once, and takes turns


def say(text: str, end: str = "\n", again: str = "") -> None:
    """Print a line; where nobody reads it any more (``| head -1``), go on in silence: no run is lost for that.

    ``again`` is the one of :class:`Options` that would run again what a line tells of; the command names its flag.
    """
    try:
        print(text, end=end, flush=True)
    except UnicodeEncodeError:  # a locale without "…"
        known = sys.stdout.encoding or "ascii"
        say(text.encode(known, "replace").decode(known), end)
    except OSError:  # BrokenPipeError, or a terminal that is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class NotebookFailed(CrackvizError):
    """A notebook of the series did not reach its end; ``index`` is the report, in which it is marked."""

    def __init__(self, message: str, index: Path, argument: str = "") -> None:
        super().__init__(message, argument)
        self.index = index


@dataclass(frozen=True)
class Options:
    """How notebooks are run, whichever they are; negative, infinite or undefined numbers are refused."""

    timeout: float = 4 * 3600
    """Seconds that one notebook may take; 0 for no limit."""
    threads: int = 0
    """Threads of TensorFlow and the numerical libraries; 0 leaves the choice to them, and in a sweep divides the cores
    among the runs that go on at once. Trainings depend on it in their last digits, and these grow."""
    again: tuple[str, ...] = ("failed", "stale")
    """What is run again besides what is missing or was broken off: notebooks that "failed", that are "stale" (their
    cells, parameters or data, or crackviz, have changed since), or that are "done"."""
    fail_fast: bool = False
    """Run nothing after a notebook that fails."""

    def __post_init__(self) -> None:
        check_flag("fail_fast", self.fail_fast)
        for name, value in (("timeout", self.timeout), ("threads", self.threads)):
            if not 0 <= value < math.inf:
                raise CrackvizError(f"{name} is {value}; expected 0 or more.", name)


@dataclass(frozen=True)
class Order:
    """One run that is to be executed, here or by a worker of a sweep."""

    run: str
    """Its folder, or an address."""
    notebooks: Mapping[str, dict[str, Any]]
    """All parameters of each, by its path."""
    options: Options = Options()
    texts: Mapping[str, str] = field(default_factory=dict)
    """Those of the notebooks, by their paths, for workers that don't see these."""
    manifests: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Those of the data, where they are known already."""
    ticket: str = ""
    """By which it is stopped; see :func:`crackviz.series.kernel.stop`."""
    command: str = ""
    """What a person has called, where that isn't this process."""
    wait: float = 0.0
    """Seconds to wait for another process that runs into the same folder."""
    slots: Mapping[str, int] = field(default_factory=dict)
    """How many runs go on at once, by host; "" is this one."""


def plan_run(
    notebooks: Iterable[str | Path] = (),
    *,
    data: str | Path = "",
    out: str | Path = "runs/series",
    parameters: Mapping[str, Any] | None = None,
    options: Options = Options(),
) -> dict[str, str]:
    """Return, by name, why :func:`run_series` would run each chosen notebook, "" if its outcome still holds.

    Nothing is made or run; what it would refuse before anything runs is refused here.
    """
    chosen = checked(notebooks, data, parameters)
    config = read_config(run_folder(out, chosen))
    values = {path.stem: known for path, known in chosen.items()}
    reasons = plan(values, config.get("notebooks", {}), Hashes(config.get("manifests")), options.again)
    return {stem: reasons.get(stem, "") for stem in values}


def run_series(
    notebooks: Iterable[str | Path] = (),
    *,
    data: str | Path = "",
    out: str | Path = "runs/series",
    parameters: Mapping[str, Any] | None = None,
    options: Options = Options(),
    tell: Tell = say,
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
    options : Options
    tell : callable
        Is called as :func:`crackviz.series.run.say` is, with what happens.

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
    chosen = checked(notebooks, data, parameters)
    run = run_folder(out, chosen)
    return execute_run(Order(str(run), {str(path): values for path, values in chosen.items()}, options), run, tell=tell)


def execute_run(order: Order, run: Path, copies: Path | None = None, tell: Tell = say) -> Path:
    """Execute an order into a folder; ``copies`` is the folder of the notebooks' texts, where the order has some."""
    from crackviz import data as datasets

    read_config(run)  # another layout is refused before the folder is touched
    open_run(run)
    with locked(run, wait=order.wait):
        for folder in {known["data"] for known in order.notebooks.values() if "data" in known}:
            datasets.locate(folder)  # synthetic concrete is made now, where its progress shows
        config = read_config(run)
        records: dict[str, dict[str, Any]] = config.get("notebooks", {})
        hashes = Hashes(config.get("manifests", {}) | dict(order.manifests))
        origins = {Path(name).stem: name for name in order.notebooks}
        given = {stem: order.notebooks[name] for stem, name in origins.items()}
        values = {stem: known | ({"run": str(run)} if "run" in known else {}) for stem, known in given.items()}
        reasons = plan(values, records, hashes, order.options.again)
        _tell_plan(tell, values, reasons)
        if not reasons:
            return report_if_old(run)
        broken = {stem for stem in reasons if records.get(stem, {}).get("status") in ("running", "interrupted")}
        _clear(run, set(reasons), set(reasons) - broken if "done" in order.options.again else set())
        chosen: dict[Path, dict[str, Any]] = {}
        for stem in reasons:
            path = copies / Path(origins[stem]).name if copies else Path(origins[stem])
            chosen[path] = known = values[stem]
            sources = hashes.sources(path, known)
            records[stem] = {"status": "not run", "path": origins[stem], "parameters": known, "sources": sources}
        used = {str(record["parameters"]["data"]) for record in records.values() if "data" in record["parameters"]}
        config = provenance(order.options.threads, order.command) | {
            "manifests": {name: hashes.manifests[name] for name in sorted(used) if name in hashes.manifests},
            "notebooks": dict(sorted(records.items())),
            **_in_common(records),
        }
        try:
            stopped = _execute_all(chosen, run, config, order, tell)
            with _report:
                index = report(run)
        except CrackvizError as error:  # a disk that is full by now: what was begun has failed, and was no wrong use
            raise NotebookFailed(str(error), run / "index.html") from error
    if stopped and not isinstance(stopped, Exception):
        raise stopped
    if failed := [stem for stem in reasons if records[stem]["status"] == "failed"]:
        what = records[failed[0]]["error"]
        others = f" So did {', '.join(failed[1:])}." if failed[1:] else ""
        argument = "timeout" if what["name"] == "CellTimeoutError" else ""
        message = f"{failed[0]} failed{what['where']}: {what['message']}{others}"
        raise NotebookFailed(message, index, argument) from stopped
    return index


def _execute_all(
    chosen: Mapping[Path, dict[str, Any]], run: Path, config: dict[str, Any], order: Order, tell: Tell
) -> BaseException | None:
    """Execute notebooks one after the other and record how each ends; return what stopped it before the last."""
    from crackviz.series.kernel import Execution, Stopped, describe, is_stopped

    options, ticket = order.options, order.ticket
    seen = not ticket and watched()  # then a bar names the notebook, until it has ended
    executions = [
        Execution(path, run, _injected(path, values), options.timeout, options.threads, ticket, seen)
        for path, values in chosen.items()
    ]
    with ExitStack() as at_end:
        for number, execution in enumerate(executions, start=1):
            if is_stopped(ticket):
                return Stopped()
            stem = execution.path.stem
            record = config["notebooks"][stem]
            begun = 1 + max((known.get("begun", 0) for known in config["notebooks"].values()), default=0)
            record |= {"status": "running", "started": datetime.now(UTC).isoformat(timespec="milliseconds")}
            record["begun"] = begun  # clocks are set back; a count isn't
            write_json(run / "config.json", config)
            name = f"[{number}/{len(executions)}] {stem} …"
            if not seen:
                tell(name, end=" ")
            if not ticket and number < len(executions):  # the runs of a sweep use all processors as it is
                at_end.callback(executions[number].discard)
                executions[number].prepare()
            began = time.monotonic()
            stopped: BaseException | None = None
            try:
                execution.execute()
                record["status"] = "done"
            except BaseException as error:  # Ctrl-C as well leaves a report that says how far it came
                record["status"] = "failed" if isinstance(error, Exception) else "interrupted"
                record["error"] = describe(error)
                if options.fail_fast or not isinstance(error, Exception) or is_full(error):
                    stopped = error
            record |= {"seconds": round(time.monotonic() - began, 3), **execution.found}
            write_json(run / "config.json", config)
            made = [claim["holds"] for claim in claims_of(run).get(stem, [])]
            how = outcome(record["status"], record["seconds"], (sum(made), len(made)))
            tell(f"{name} {how}" if seen else how)
            if stopped:
                return stopped
    return None


def _tell_plan(tell: Tell, values: Iterable[str], reasons: Mapping[str, str]) -> None:
    """Say what is left alone, and what is run again for which reason."""
    if left := ", ".join(stem for stem in values if stem not in reasons):
        tell(f"up to date: {left}", again="" if reasons else "done")
    for why in dict.fromkeys(reasons.values()):
        if why != "new" and not why.startswith("comes after"):
            tell(f"run again, {why}: {', '.join(stem for stem, reason in reasons.items() if reason == why)}")


_READING = {"crack_class", "groups"}
"""Parameters that say how a folder of pictures is read."""


def checked(
    notebooks: Iterable[str | Path], data: str | Path, parameters: Mapping[str, Any] | None
) -> dict[Path, dict[str, Any]]:
    """Return the chosen notebooks with all parameters of each, or refuse what isn't as it must be."""
    from crackviz import data as datasets

    chosen = assign(find_notebooks(notebooks), parameters or {})
    for network in sorted({values["network"] for values in chosen.values() if values.get("network")}):
        from crackviz import models  # with Keras, so not before a network is named

        models.find("", network=network)
    if str(data):
        if not datasets.synthetic_settings(data):
            folder = absolute("data", data)
            if not folder.exists():
                raise CrackvizError(f"There is no {folder}: expected a folder of pictures.", "data")
            data = datasets.locate(folder)
        having = [values for values in chosen.values() if "data" in values]
        if not having:
            raise CrackvizError("None of the chosen notebooks takes pictures: name none, or choose others.", "data")
        for values in having:
            values["data"] = str(data)
        if not datasets.synthetic_settings(data):
            asked = [{name: values[name] for name in _READING} for values in having if values.keys() >= _READING]
            for options in [one for i, one in enumerate(asked) if one not in asked[:i]]:
                datasets.two_classes(data, **options)  # names alone: what is wrong is said once, before anything runs
    for values in chosen.values():
        idle = [name for name in sorted(_READING) if values.get(name)]
        if idle and "data" in values and datasets.synthetic_settings(values["data"]):
            raise CrackvizError(
                f"{idle[0]} is for a folder of pictures, and synthetic concrete is none: leave it out, or give data.",
                idle[0].replace("_", "-"),
            )
    return chosen


def _injected(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that papermill has to write into a notebook: all that are not its own."""
    own = parameters_of(path)
    return {name: value for name, value in values.items() if value != own.get(name)}


def _in_common(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the data, the seed, and what was given, of all notebooks of a run together."""
    used, given = dict[str, Any](), dict[str, Any]()
    for _, record in sorted(records.items()):
        path = Path(record["path"])
        used |= record["parameters"]
        given |= _injected(path, record["parameters"]) if path.exists() else {}
    chosen = {name: value for name, value in given.items() if name not in RESERVED}
    return {"data": used.get("data"), "seed": used.get("seed"), "parameters": chosen}


def _clear(run: Path, stems: set[str], anew: set[str]) -> None:
    """Remove what an earlier run of these notebooks left: it must not pass for this run's.

    Trainings hold by themselves what they were made from, and are left, but not those of notebooks to be run `anew`.
    """
    for name in BY_HAND:
        if (content := read_json(run / name)).keys() & stems:
            write_json(run / name, {stem: entry for stem, entry in content.items() if stem not in stems})
    figures = figures_of(run)
    old = [run / "figures" / figure["file"] for stem in stems for figure in figures.get(stem, [])]
    old += [path for stem in stems for path in (run / "notebooks").glob(f"{glob.escape(stem)}.*")]
    trainings = run.rglob("training.json") if anew else ()
    old += [path for path in trainings if read_json(path).get("notebook", "") in {"", *anew}]
    try:
        for path in [run / "index.html", *old]:  # the page goes first, and is made last
            path.unlink(missing_ok=True)
    except OSError as error:
        raise CrackvizError(
            f"Cannot remove {error.filename}: {error.strerror}. Remove it, or choose another run folder.", "out"
        ) from error
