"""A sweep: a run folder for each point of a grid, one table, one page."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Collection, Iterable
from concurrent.futures import CancelledError, Future, as_completed, wait
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.files import absolute, read_json, write_json
from crackviz.progress import watched
from crackviz.series import records, workers
from crackviz.series.grid import Grid, read_grid
from crackviz.series.hashes import Hashes
from crackviz.series.lesson import run_folder
from crackviz.series.overview import make_folder, summarise_sweep
from crackviz.series.records import Run, look, read_config
from crackviz.series.run import Options, Order, Tell, checked, say

_DEFAULTS = Options(again=())  # whatever has run to an end is left alone
_SMALL = ("config.json", "results.json", "claims.json")  # what a table needs of a run
_WAIT = 60.0  # seconds for the kernel of a worker that died to let go of its run
_ROOM = 3_000_000  # bytes that an executed notebook, its page and its figures take, with room to spare
_PATIENCE = 20.0  # seconds for kernels to heed an interruption, before they are killed


class SweepFailed(CrackvizError):
    """Some runs of a sweep did not reach their end; ``index`` is the page, in which they are marked, "" for none."""

    def __init__(self, message: str, index: str) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class _Planned:
    """One run of a sweep, before it is begun."""

    point: dict[str, Any]
    notebooks: dict[str, dict[str, Any]]
    """All parameters of each, by its path."""
    reasons: dict[str, str]
    """Of the notebooks that are to be run."""
    run: Run
    """As it lies there."""
    stale: str
    """Why what lies there isn't what is wanted, "" if it is."""


def plan_sweep(
    grid: str | Path | Grid,
    *,
    out: str | Path = "runs/sweep",
    jobs: int = 1,
    scheduler: str = "",
    again: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Return what :func:`run_sweep` would do with each run; nothing is made, and what it would refuse is refused here.

    By run, ``notebooks`` maps those that would be run to the reason; ``status`` is how it lies there, and ``stale``
    what has changed since it was made, "" for nothing.
    """
    _check_jobs(jobs, scheduler)
    with tempfile.TemporaryDirectory() as place:
        runs = _plan(_read(grid), str(out), _mirror(str(out), Path(place)), again, Hashes())
    return {
        name: {"notebooks": run.reasons, "status": run.run.status, "stale": run.stale} for name, run in runs.items()
    }


def run_sweep(
    grid: str | Path | Grid,
    *,
    out: str | Path = "runs/sweep",
    jobs: int = 1,
    scheduler: str = "",
    options: Options = _DEFAULTS,
    tell: Tell = say,
) -> str:
    """Execute notebooks for every point of a grid, and compare the runs.

    What has been run already is left alone, so an interrupted sweep goes on where it was.

    Parameters
    ----------
    grid : str, Path or Grid
        A TOML file, see :func:`read_grid`.
    out : str or Path, default "runs/sweep"
        Folder of the sweep, or an address that fsspec understands (``s3://bucket/sweep``).
    jobs : int, default 1
        Runs at once on this machine; each notebook is a process of its own.
    scheduler : str, default ""
        Address of a Dask scheduler whose workers do the runs, or ``"local:4"`` for four workers of this machine.
    options : Options
        As for a run; ``fail_fast`` stops all runs when a notebook of one fails.
    tell : callable
        Is called as :func:`crackviz.series.run.say` is, with what happens.

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
    from crackviz import data as datasets

    described = _read(grid)
    remote = workers.is_address(str(out))
    out = str(out) if remote else str(absolute("out", out))
    _check_jobs(jobs, scheduler)
    with ExitStack() as stack:
        folder = _mirror(out, Path(stack.enter_context(tempfile.TemporaryDirectory())))
        hashes = Hashes()
        runs = _plan(described, out, folder, options.again, hashes)
        todo = {name: run for name, run in runs.items() if run.reasons}
        _check_room(folder, sum(len(run.reasons) for run in todo.values()))
        notebooks = [values for run in todo.values() for values in run.notebooks.values()]
        for data in {values["data"] for values in notebooks if "data" in values}:
            datasets.locate(data)  # synthetic concrete is made now, once, where its progress shows
        if remote:
            workers.check(out)
        else:
            make_folder(folder)
            stack.enter_context(records.locked(folder))
        pool = workers.cluster(scheduler) if scheduler and todo else workers.local(jobs)
        stack.callback(pool.close)
        if pool.client:
            workers.check_sees(pool, "" if remote else out, [value for known in notebooks for value in known.values()])
        record = _begin(folder, described, runs, options.threads, tell)
        common: dict[str, Any] = {
            "options": options,
            "manifests": hashes.manifests,
            "ticket": uuid.uuid4().hex[:12],
            "command": record["command"],
            "wait": _WAIT,
            "slots": pool.slots,
        }
        orders = {
            name: Order(f"{out}/{name}", run.notebooks, texts=pool.texts(run.notebooks), **common)
            for name, run in todo.items()
        }
        stopped = _follow(orders, pool, folder, record["problems"], tell)
        try:
            index = _finish(folder, out, record)
        except CrackvizError as error:  # a disk that is full by now: what was begun has failed, and was no wrong use
            raise SweepFailed(str(error), "") from error
        ended = {name: look(folder / name).status for name in runs}
    if stopped is not None:
        raise stopped
    _all_ended(ended, record["problems"], index)
    return index


def _all_ended(ended: dict[str, str], problems: dict[str, str], index: str) -> None:
    """Raise a SweepFailed that names the first run that didn't reach its end, if there is one."""
    if failed := [name for name, status in ended.items() if status != "done" or name in problems]:
        first = problems.get(failed[0]) or f"it is {ended[failed[0]]}"
        raise SweepFailed(f"{len(failed)} of {len(ended)} runs did not reach their end: {failed[0]}: {first}", index)


def _check_jobs(jobs: int, scheduler: str) -> None:
    if jobs < 1:
        raise CrackvizError(f"jobs is {jobs}; expected 1 or more.", "jobs")
    if scheduler and jobs > 1:
        raise CrackvizError("jobs are for this machine, a scheduler for a cluster: choose one of them.", "scheduler")


def _read(grid: str | Path | Grid) -> Grid:
    return grid if isinstance(grid, Grid) else read_grid(grid)


def _mirror(out: str, place: Path) -> Path:
    """Return the folder in which the small files of a sweep lie: the sweep's own, or a copy of what is elsewhere."""
    return place if workers.is_address(out) else absolute("out", out)


def _plan(grid: Grid, out: str, folder: Path, again: Collection[str], hashes: Hashes) -> dict[str, _Planned]:
    """Check every point of the grid, and say what is to be run of it."""
    if folder.exists() and not folder.is_dir():
        raise CrackvizError(f"Cannot use {folder} as the folder of the sweep: it is a file. Choose another one.", "out")
    read_config(folder, "sweep.json")
    if read_config(folder):
        raise CrackvizError(f"{folder} is a single run's folder: choose another one for the sweep.", "out")
    found: dict[str, _Planned] = {}
    same: dict[str, str] = {}
    for name, point in grid.points().items():
        given = grid.parameters | point
        data = given.pop("data", "")
        chosen = checked(grid.notebooks, "" if data == "synthetic" else data, given)  # one set, one name
        values = {path.stem: known for path, known in chosen.items()}
        other = same.setdefault(json.dumps(values, sort_keys=True, default=str), name)
        if other != name:
            raise CrackvizError(f"The runs {other} and {name} would be the same: their parameters have one meaning.")
        run = run_folder(folder / name, chosen)
        if workers.is_address(out):
            workers.fetch(f"{out}/{name}", run, _SMALL)
        config = read_config(run)
        for data_name, manifest in config.get("manifests", {}).items():
            hashes.manifests.setdefault(data_name, manifest)
        reasons = records.plan(values, config.get("notebooks", {}), hashes, again)
        there = look(run)
        why = next(iter(records.stale(there.records, hashes, values).values()), "")
        found[name] = _Planned(point, {str(path): known for path, known in chosen.items()}, reasons, there, why)
        for known in values.values() if reasons else ():  # manifests of all data, for the runs that are begun
            if "data" in known:
                hashes.data(known["data"])
    return found


def _check_room(folder: Path, notebooks: int) -> None:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free, need = shutil.disk_usage(place).free, notebooks * _ROOM
    if free < need:
        raise CrackvizError(
            f"{place} has {free / 1e6:,.0f} MB left, and {notebooks} notebooks need some {need / 1e6:,.0f} MB: free "
            "some space, or choose another folder.",
            "out",
        )


def _begin(folder: Path, grid: Grid, runs: dict[str, _Planned], threads: int, tell: Tell) -> dict[str, Any]:
    """Say what is left alone, and write ``sweep.json``; of problems those are kept that runs had which are left."""
    left = {name: run for name, run in runs.items() if not run.reasons}
    known = read_json(folder / "sweep.json").get("problems", {})
    record = records.provenance(threads) | {
        "grid": asdict(grid),
        "runs": {name: run.point for name, run in runs.items()},
        "problems": {name: why for name, why in known.items() if name in left},
        "stale": {name: run.stale for name, run in left.items() if run.stale},
    }
    write_json(folder / "sweep.json", record)
    states = [run.run.status for run in left.values()]
    if done := states.count("done"):
        tell(f"{done} of {len(runs)} runs have reached their end before")
    if failed := states.count("failed"):
        tell(f"{failed} have failed before", again="failed")
    if why := record["stale"]:
        tell(f"{len(why)} are stale ({next(iter(why.values()))})", again="stale")
    return record


def _follow(
    orders: dict[str, Order], pool: workers.Pool, folder: Path, problems: dict[str, str], tell: Tell
) -> BaseException | None:
    """Execute runs, say how each ends, and note the problems; return what a person, or a defect, stopped them by."""
    if not orders:
        return None
    from tqdm import tqdm

    import crackviz.series.kernel  # noqa: F401 - loaded once, before threads do it at the same time

    ticket = next(iter(orders.values())).ticket
    began = time.monotonic()
    futures: dict[Future[tuple[str, str]], str] = {}
    bar = tqdm(total=len(orders), desc="sweep", unit="run", leave=False, disable=not watched())
    try:
        futures |= {pool.executor.submit(workers.work, order): name for name, order in orders.items()}
        for number, future in enumerate(as_completed(futures), start=1):
            name, (status, why) = futures[future], _result(future)
            if status != "done":
                problems[name] = why
            if workers.is_address(orders[name].run):
                with suppress(CrackvizError):
                    workers.fetch(orders[name].run, folder / name, _SMALL)
            run = look(folder / name)
            left = (time.monotonic() - began) * (len(orders) - number) / number
            about = f"; about {records.duration(left)} left" if number < len(orders) else ""
            with bar.external_write_mode():
                tell(f"[{number}/{len(orders)}] {name} … {records.outcome(status, run.seconds, run.claims)}{about}")
            bar.update()
            if orders[name].options.fail_fast and status not in ("done", "interrupted"):
                _stop(pool, futures, ticket)
    except BaseException as error:  # Ctrl-C, but a defect must not leave kernels either
        with suppress(KeyboardInterrupt):  # a second Ctrl-C doesn't wait
            _stop(pool, futures, ticket)
            wait(futures, _PATIENCE)
        _stop(pool, futures, ticket, at_once=True)
        wait(futures, _PATIENCE)
        problems |= {name: _result(future)[1] for future, name in futures.items() if _result(future)[0] != "done"}
        return error
    finally:
        bar.close()
    return None


def _stop(pool: workers.Pool, futures: Iterable[Future[Any]], ticket: str, at_once: bool = False) -> None:
    """Forget the runs that wait, and interrupt those that go on."""
    from crackviz.series.kernel import stop

    for future in futures:
        future.cancel()
    with suppress(Exception):  # a scheduler that is gone has stopped already
        pool.everywhere(stop, ticket, at_once)


def _result(future: Future[tuple[str, str]]) -> tuple[str, str]:
    """Return how a run ended; a cluster may have lost it."""
    if not future.done():
        return "interrupted", "interrupted"
    try:
        return future.result()
    except CancelledError:
        return "interrupted", "not begun"
    except Exception as error:  # of Dask: a worker that died too often, a connection that is gone
        return "died", f"{type(error).__name__}: {error}"[:500]


def _finish(folder: Path, out: str, record: dict[str, Any]) -> str:
    """Write the record, the table and the page, and carry them to where they belong."""
    write_json(folder / "sweep.json", record)
    index = summarise_sweep(folder, record, record["grid"]["metrics"])
    if not workers.is_address(out):
        return str(index)
    made = [name for name in ("sweep.json", "results.csv", "results.parquet", "index.html") if (folder / name).exists()]
    workers.push(folder, out, made)
    return f"{out}/index.html"
