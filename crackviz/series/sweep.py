"""A sweep: a run folder for each point of a grid, one table, one page."""

from __future__ import annotations

import json
import os
import queue
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.files import read_json, write_json
from crackviz.series import store
from crackviz.series.grid import Grid, check_axis, read_grid
from crackviz.series.hashes import Hashes
from crackviz.series.records import Run, existing_config, locked, look, plan, provenance, read_config, stale
from crackviz.series.run import checked
from crackviz.series.terminal import Display
from crackviz.series.workers import Cluster, Processes

Listener = Callable[[dict[str, Any]], None]
_SMALL = ("config.json", "results.json", "claims.json")  # what a table needs of a run
_WAIT = 60.0  # seconds for a process of a worker that died to let go of its run
_ROOM = 3_000_000  # bytes that an executed notebook, its page and its figures take, with room to spare
_POLL = 0.2  # seconds between looks at what has ended
_STOPPING = 60.0  # seconds for kernels to stop after Ctrl-C


class SweepFailed(CrackvizError):
    """Some runs of a sweep did not reach their end; ``index`` is the page, in which they are marked, "" for none."""

    def __init__(self, message: str, index: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class _Planned:
    """One run of a sweep, before it is begun."""

    point: dict[str, Any]
    notebooks: dict[str, Path]
    values: dict[str, dict[str, Any]]
    reasons: dict[str, str]
    """Of the notebooks that are to be run."""
    run: Run
    """As it lies there."""

    def stale(self, hashes: Hashes) -> str:
        """Say why what lies there isn't what is wanted, "" if it is."""
        return next(iter(stale(self.run.records, hashes, self.values).values()), "")


def plan_sweep(
    grid: str | Path | Grid, *, out: str | Path = "runs/sweep", again: Collection[str] = ()
) -> dict[str, dict[str, Any]]:
    """Return what :func:`run_sweep` would do with each run; nothing is made.

    Parameters
    ----------
    grid, out, again
        As for :func:`run_sweep`.

    Returns
    -------
    dict
        By run: ``notebooks``, a mapping of those that would be run to the reason; ``status``, how it lies there; and
        ``stale``, what has changed since it was made, "" for nothing.

    Raises
    ------
    CrackvizError
        As :func:`run_sweep` does before anything runs.
    """
    hashes = Hashes()
    with tempfile.TemporaryDirectory() as place:
        runs = _plan(_read(grid), str(out), _mirror(str(out), Path(place)), again, hashes)
    return {
        name: {
            "notebooks": run.reasons,
            "status": run.run.status,
            "stale": run.stale(hashes),
        }
        for name, run in runs.items()
    }


def run_sweep(
    grid: str | Path | Grid,
    *,
    out: str | Path = "runs/sweep",
    jobs: int = 1,
    threads: int = 0,
    scheduler: str = "",
    timeout: float = 4 * 3600,
    again: Collection[str] = (),
    fail_fast: bool = False,
    listener: Listener | None = None,
) -> str:
    """Execute notebooks for every point of a grid, and compare the runs.

    What has been run already is left alone, so an interrupted sweep goes on where it was.

    Parameters
    ----------
    grid : str, Path or Grid
        A YAML file, see :func:`read_grid`.
    out : str or Path, default "runs/sweep"
        Folder of the sweep, or an address that fsspec understands (``s3://bucket/sweep``).
    jobs : int, default 1
        Runs at once on this machine, each in processes of its own.
    threads : int, default 0
        Threads of each run; 0 divides the cores among the runs that go on at once.
    scheduler : str, default ""
        Address of a Dask scheduler whose workers do the runs, or ``"local:4"`` for four workers of this machine.
    timeout : float, default 14400
        Seconds that one notebook may take; 0 for no limit.
    again : collection of str
        What is run again besides what is missing or was broken off: "failed", "stale", "done".
    fail_fast : bool, default False
        Stop everything when a notebook fails.
    listener : callable, optional
        Is told what happens; by default it is shown.

    Returns
    -------
    str
        Where ``index.html`` of the sweep is.

    Raises
    ------
    SweepFailed
        If a run fails. What it and the others have made is kept.
    CrackvizError
        If the grid, a parameter, the data, the folder or the scheduler is not as it must be; nothing has been run then.
    """
    described = _read(grid)
    out = str(out) if store.is_address(str(out)) else str(Path(out).expanduser().resolve())
    if jobs < 1 or threads < 0:
        raise CrackvizError(f"jobs={jobs}, threads={threads}: expected one job or more, and no negative threads.")
    if scheduler and jobs > 1:
        raise CrackvizError("--jobs is for this machine, --scheduler for a cluster: choose one of them.")
    with ExitStack() as stack:
        folder = _mirror(out, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        hashes = Hashes()
        runs = _plan(described, out, folder, again, hashes)
        todo = {name: run for name, run in runs.items() if run.reasons}
        _check_room(folder, sum(len(run.reasons) for run in todo.values()))
        _make_synthetic(todo.values())
        if store.is_address(out):
            store.check(out)
        else:
            _make(folder)
            stack.enter_context(locked(folder))
        events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        sweep = uuid.uuid4().hex[:12]
        executor: Processes | Cluster | None = None
        if todo:
            executor = Cluster(sweep, scheduler, events.put) if scheduler else Processes(sweep, jobs, events.put)
            stack.callback(executor.close)
            if isinstance(executor, Cluster):
                _check_sees(executor, folder, out, todo.values())
        record = _begin(folder, described, runs, threads)
        tell = listener or stack.enter_context(
            closing(Display(sum(len(run.reasons) for run in todo.values()), len(todo)))
        )
        left = _left(runs, hashes)
        record["stale"] = left["stale"]
        tell({"event": "sweep", "runs": len(runs), **left})
        stopped: BaseException | None = None
        if executor is not None:
            options = {"timeout": timeout, "threads": threads, "again": sorted(again), "fail_fast": fail_fast}
            options |= {"wait": _WAIT, "manifests": hashes.manifests, "command": record["command"]}
            orders = [_order(sweep, name, run, out, executor, options) for name, run in todo.items()]
            waiting = {executor.submit(order): order["name"] for order in orders}
            following = _Following(folder, out, {name: len(run.reasons) for name, run in todo.items()}, tell)
            try:
                following.follow(waiting, events, executor if fail_fast else None)
            except BaseException as error:  # Ctrl-C, but a defect must not leave processes either
                stopped = error
                executor.stop()
                with suppress(KeyboardInterrupt):
                    wait(waiting, _STOPPING)
            record["problems"] |= following.problems
        try:
            write_json(folder / "sweep.json", record)
            index = _finish(folder, out, described, record)
        except CrackvizError as error:  # a disk that is full by now: what was begun has failed, and was no wrong use
            raise SweepFailed(str(error), "") from error
        ended = {name: look(folder / name).status for name in runs}
    if stopped is not None:
        raise stopped
    problems = record["problems"]
    failed = [name for name, status in ended.items() if status != "done" or name in problems]
    if failed:
        first = problems.get(failed[0]) or f"it is {ended[failed[0]]}"
        raise SweepFailed(f"{len(failed)} of {len(runs)} runs did not reach their end: {failed[0]}: {first}", index)
    return index


# --- before ---------------------------------------------------------------------------------------------------------


def _read(grid: str | Path | Grid) -> Grid:
    return grid if isinstance(grid, Grid) else read_grid(grid)


def _mirror(out: str, place: Path) -> Path:
    """Return the folder in which the small files of a sweep lie: the sweep's own, or a copy of what is elsewhere."""
    return place if store.is_address(out) else Path(out).expanduser().resolve()


def _plan(grid: Grid, out: str, folder: Path, again: Collection[str], hashes: Hashes) -> dict[str, _Planned]:
    """Check every point of the grid, and say what is to be run of it."""
    if folder.exists() and not folder.is_dir():
        raise CrackvizError(f"Cannot use {folder} as the folder of the sweep: it is a file. Choose another one.")
    read_config(folder, "sweep.json")
    if read_config(folder):
        raise CrackvizError(f"{folder} is a single run's folder: choose another --out for the sweep.")
    if not grid.axes:
        raise CrackvizError("The grid has no axis, so nothing would vary: for a single run use crackviz run.")
    for axis, wanted in grid.axes.items():
        check_axis(axis, wanted)
    found: dict[str, _Planned] = {}
    same: dict[str, str] = {}
    for name, point in grid.points().items():
        given = grid.parameters | point
        data = given.pop("data", "")
        paths, values = checked(grid.notebooks, "" if data == "synthetic" else data, given)  # one set, one name
        key = json.dumps(values, sort_keys=True, default=str)
        if key in same:
            raise CrackvizError(
                f"The runs {same[key]} and {name} would be the same: their parameters have one meaning."
            )
        same[key] = name
        run = folder / name
        if any(path.parent == run / "notebooks" for path in paths):
            raise CrackvizError(f"Running into {run} would overwrite the notebooks themselves: choose another --out.")
        if store.is_address(out):
            store.fetch(f"{out}/{name}", run, _SMALL)
        config = read_config(run)
        for data_name, manifest in config.get("manifests", {}).items():
            hashes.manifests.setdefault(data_name, manifest)
        reasons = plan(values, config.get("notebooks", {}), hashes, again)
        found[name] = _Planned(point, {path.stem: path for path in paths}, values, reasons, look(run))
    for run_planned in found.values():  # manifests of all data, for the processes that are started
        for known in run_planned.values.values():
            if "data" in known and run_planned.reasons:
                hashes.data(known["data"])
    return found


def _left(runs: dict[str, _Planned], hashes: Hashes) -> dict[str, Any]:
    """Return how many runs are left alone as done and as failed, and which of them are stale, with the reason."""
    left = {name: run for name, run in runs.items() if not run.reasons}
    states = [run.run.status for run in left.values()]
    why = {name: reason for name, run in left.items() if (reason := run.stale(hashes))}
    return {"done": states.count("done"), "failed": states.count("failed"), "stale": why}


def _check_room(folder: Path, notebooks: int) -> None:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free, need = shutil.disk_usage(place).free, notebooks * _ROOM
    if free < need:
        raise CrackvizError(
            f"{place} has {free / 1e6:,.0f} MB left, and {notebooks} notebooks need some {need / 1e6:,.0f} MB: free "
            "some space, or choose another --out."
        )


def _make_synthetic(runs: Iterable[_Planned]) -> None:
    """Make synthetic concrete now, once, where its progress shows."""
    from crackviz import data as datasets

    for name in {known["data"] for run in runs for known in run.values.values() if "data" in known}:
        datasets.locate(name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrackvizError(f"Cannot make {folder}: {error.strerror or error}. Choose another --out.") from error


def _check_sees(executor: Cluster, folder: Path, out: str, runs: Iterable[_Planned]) -> None:
    """Refuse files and folders that a worker of the cluster does not see."""
    values = [value for run in runs for known in run.values.values() for value in known.values()]
    paths = {value for value in values if isinstance(value, str) and Path(value).is_absolute()}
    probe = folder / f".probe-{os.getpid()}"
    if not store.is_address(out):
        probe.touch()
        paths.add(str(probe))
    try:
        executor.check_sees(sorted(paths))
    finally:
        probe.unlink(missing_ok=True)


def _begin(folder: Path, grid: Grid, runs: dict[str, _Planned], threads: int) -> dict[str, Any]:
    """Write ``sweep.json``; of problems those are kept that runs had which are left alone now."""
    known = read_json(folder / "sweep.json").get("problems", {})
    record = provenance(threads) | {
        "grid": asdict(grid),
        "runs": {name: run.point for name, run in runs.items()},
        "problems": {name: why for name, why in known.items() if name in runs and not runs[name].reasons},
    }
    write_json(folder / "sweep.json", record)
    return record


# --- meanwhile ------------------------------------------------------------------------------------------------------


def _order(
    sweep: str, name: str, run: _Planned, out: str, executor: Processes | Cluster, options: dict[str, Any]
) -> dict[str, Any]:
    origins = {stem: str(path) for stem, path in run.notebooks.items()}
    return {
        "name": name,
        "sweep": sweep,
        "run": f"{out}/{name}" if store.is_address(out) else str(Path(out) / name),
        "notebooks": [
            (str(path), _without_outputs(path) if executor.ships else None, run.values[stem])
            for stem, path in run.notebooks.items()
        ],
        "options": options | {"origins": origins},
        "slots": executor.slots,
    }


def _without_outputs(path: Path) -> str:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
    return json.dumps(notebook)


class _Following:
    """Tells what happens to the runs of a sweep, until every one has ended.

    Parameters
    ----------
    folder : Path
        In which the small files of the runs lie.
    out : str
        Folder or address of the sweep.
    notebooks : dict
        How many are to be run, by run.
    tell : callable
    """

    def __init__(self, folder: Path, out: str, notebooks: dict[str, int], tell: Listener) -> None:
        self.folder, self.out, self.notebooks, self.tell = folder, out, notebooks, tell
        self.problems: dict[str, str] = {}

    def follow(
        self,
        waiting: dict[Future[dict[str, Any]], str],
        events: queue.SimpleQueue[dict[str, Any]],
        stop_at_failure: Processes | Cluster | None,
    ) -> None:
        """Wait for all runs; with an executor given, stop it when one fails."""
        left = dict(waiting)
        while left:
            with suppress(queue.Empty):
                event = events.get(timeout=_POLL)
                while True:
                    if event["run_name"] in left.values():
                        self.tell(event)
                    event = events.get_nowait()
            for future in [future for future in left if future.done()]:
                status = self._end(left.pop(future), _result(future))
                if stop_at_failure and status in ("failed", "died", "refused"):
                    stop_at_failure.stop()
                    for other in left:
                        other.cancel()

    def _end(self, name: str, result: dict[str, Any]) -> str:
        if result["status"] != "done":
            self.problems[name] = result["message"] or result["status"]
        if store.is_address(self.out):
            with suppress(CrackvizError):
                store.fetch(f"{self.out}/{name}", self.folder / name, _SMALL)
        run = look(self.folder / name)
        what = {"event": "run end", "run_name": name, "notebooks": self.notebooks[name]}
        self.tell(what | {"seconds": run.seconds, "claims": run.claims, "status": result["status"]})
        return str(result["status"])


def _result(future: Future[dict[str, Any]]) -> dict[str, Any]:
    """Return how a run ended; a cluster may have lost it."""
    try:
        return future.result()
    except CancelledError:
        return {"status": "interrupted", "message": "not begun"}
    except Exception as error:  # of Dask: a worker that died too often, a connection that is gone
        return {"status": "died", "message": f"{type(error).__name__}: {error}"[:500]}


# --- after ----------------------------------------------------------------------------------------------------------


def _finish(folder: Path, out: str, grid: Grid, record: dict[str, Any]) -> str:
    index = _summary(folder, record, grid.metrics)
    if not store.is_address(out):
        return str(index)
    made = [name for name in ("sweep.json", "results.csv", "results.parquet", "index.html") if (folder / name).exists()]
    store.push(folder, out, made)
    return f"{out}/index.html"


def _summary(folder: Path, record: dict[str, Any], metrics: Sequence[str], strict: bool = False) -> Path:
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
        return _summary(folders[0], record, metrics or record["grid"]["metrics"], strict=True)
    from crackviz.series.report import summarise

    for folder in folders:
        existing_config(folder)
    hashes = Hashes()
    common = Path(out).expanduser().resolve() if str(out) else Path(os.path.commonpath([f.parent for f in folders]))
    if (common / "config.json").exists():
        raise CrackvizError(f"The comparison would overwrite the report of the run {common}: choose another --out.")
    _make(common)
    return summarise([look(folder, hashes) for folder in folders], common, metrics=metrics, strict=True)
