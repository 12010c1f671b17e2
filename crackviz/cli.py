"""The command ``crackviz``: the series without a browser, one run or many, and their reports."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from crackviz import ROOT, CrackvizError, __version__

_EXAMPLES = """\b
Examples:
  crackviz run                                    the whole series, into runs/series
  crackviz run --data path/to/pictures            on your own pictures
  crackviz run 02 03 --out runs/seed1 -p seed 1   two notebooks with another seed
  crackviz sweep grid.yaml --jobs 2               a run for each point of a grid, and one table
  crackviz list                                   what has been run
"""
_RUN = """\b
Examples:
  crackviz run                                    the whole series, into runs/series
  crackviz run --data path/to/pictures            on your own pictures
  crackviz run --data synthetic:seed=1            on other synthetic walls
  crackviz run 02 03 --out runs/seed1 -p seed 1   two notebooks with another seed
  crackviz run 03 -p network runs/seed1           ask the network of another run
  crackviz run --dry-run                          what would be run, and why
"""
_SWEEP = f"""\b
Example, a file grid.yaml:
{textwrap.indent((ROOT / "templates" / "grid.yaml").read_text("utf-8").rstrip(), "  ")}
\b
  crackviz sweep grid.yaml --dry-run
  crackviz sweep grid.yaml --out runs/seeds --jobs 2
  crackviz sweep grid.yaml --out runs/seeds --retry-failed
  crackviz sweep grid.yaml --out s3://bucket/seeds --scheduler tcp://10.0.0.5:8786
"""
_LIST = """\b
Examples:
  crackviz list
  crackviz list runs/seeds
"""
_SHOW = """\b
Example:
  crackviz show runs/series
"""
_REPORT = """\b
Examples:
  crackviz report runs/seed1                      write its index.html anew
  crackviz report runs/seeds                      the table and the page of a sweep anew
  crackviz report runs/a runs/b --out runs/both --metric '03_evaluation.*'
"""


@click.group(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="crackviz %(version)s")
def main() -> None:
    """Explain concrete-crack classifiers, and test the explanations."""


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_timeout = click.option(
    "--timeout", default=240.0, show_default=True, metavar="MINUTES", help="Limit for a notebook; 0: none."
)
_running = _options(
    _timeout,
    click.option("--threads", default=0, metavar="N", help="Threads of a run; 0: its share of the cores."),
    click.option("--force", is_flag=True, help="Run again what is finished, too."),
    click.option("--fail-fast", is_flag=True, help="Stop at the first notebook that fails."),
    click.option("--dry-run", is_flag=True, help="Say what would be run and why; run nothing."),
)


@main.command(epilog=_RUN, short_help="Execute notebooks in order.")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--data", default="", metavar="FOLDER", help="Pictures to run on; without it, synthetic concrete.")
@click.option(
    "--out", default="runs/series", show_default=True, metavar="FOLDER", help="Run folder, made if it is missing."
)
@click.option(
    "-p",
    "parameters",
    nargs=2,
    multiple=True,
    metavar="NAME VALUE",
    help="A value for the notebooks' parameters cell; repeatable.",
)
@_running
def run(
    notebooks: tuple[str, ...],
    data: str,
    out: str,
    parameters: tuple[tuple[str, str], ...],
    timeout: float,
    threads: int,
    force: bool,
    fail_fast: bool,
    dry_run: bool,
) -> None:
    """Execute notebooks in order, and write a report.

    NOTEBOOK is a number (06), a name (06_grad_cam) or a path; without one the whole series is run. What the run folder
    holds already, made from the same cells, parameters, data and code, is left alone. The exit code is 0 if every
    notebook reached its end, 1 if one failed, 2 if nothing could be run as asked.
    """
    from crackviz import series

    given = dict(parameters)
    if len(given) < len(parameters):
        twice = next(name for name in given if sum(name == other for other, _ in parameters) > 1)
        raise _fail(f"Parameter {twice} is given twice.", 2)
    again = ("failed", "stale", "done") if force else ("failed", "stale")
    chosen: dict[str, Any] = {"data": data, "out": out, "parameters": given, "again": again}
    with _stopping(Path(out) / "index.html"):
        if dry_run:
            _say_plan(series.plan_run(notebooks, **chosen))
            return
        limits: dict[str, Any] = {
            "timeout": _seconds(timeout),
            "threads": _count("--threads", threads, 0),
            "fail_fast": fail_fast,
        }
        _say_where(series.run_series(notebooks, **chosen, **limits))


@main.command(epilog=_SWEEP, short_help="Execute a grid of runs.")
@click.argument("grid", metavar="GRID.yaml")
@click.option(
    "--out", default="runs/sweep", show_default=True, metavar="FOLDER", help="Folder or address of the sweep."
)
@click.option("--jobs", default=1, show_default=True, metavar="N", help="Runs at once on this machine.")
@click.option(
    "--scheduler", default="", metavar="ADDRESS", help="Dask cluster: tcp://host:port, or local:4 to start one here."
)
@click.option("--retry-failed", is_flag=True, help="Run again what has failed.")
@click.option("--stale", is_flag=True, help="Run again what was made from other code, parameters or data.")
@_running
def sweep(
    grid: str,
    out: str,
    jobs: int,
    scheduler: str,
    retry_failed: bool,
    stale: bool,
    timeout: float,
    threads: int,
    force: bool,
    fail_fast: bool,
    dry_run: bool,
) -> None:
    """Execute notebooks for every point of a grid, and compare the runs.

    Each run gets a folder; beside them lie results.csv and index.html. An interrupted sweep goes on with what is
    missing when it is called again. The exit code is 0 if every run reached its end, 1 if not, 2 if nothing
    could be run as asked.
    """
    from crackviz import series

    flags = {"failed": retry_failed or force, "stale": stale or force, "done": force}
    again = tuple(name for name, chosen in flags.items() if chosen)
    index = Path("none") if "://" in out else Path(out) / "index.html"
    with _stopping(index):
        _count("--jobs", jobs, 1)
        if dry_run:
            _say_sweep(series.plan_sweep(grid, out=out, again=again))
            return
        limits: dict[str, Any] = {
            "timeout": _seconds(timeout),
            "threads": _count("--threads", threads, 0),
            "fail_fast": fail_fast,
        }
        _say_where(series.run_sweep(grid, out=out, jobs=jobs, scheduler=scheduler, again=again, **limits))


@main.command("list", epilog=_LIST, short_help="List runs, and what has become of them.")
@click.argument("folder", default="runs", metavar="[FOLDER]")
def list_(folder: str) -> None:
    """List the runs at and below FOLDER (default: runs), and what has become of them.

    A run is stale when its notebooks, its data or crackviz have changed since.
    """
    from crackviz import series
    from crackviz.series.hashes import Hashes
    from crackviz.series.terminal import duration

    top = Path(folder)
    with _stopping():
        if not top.is_dir():
            raise CrackvizError(f"There is no folder {folder}: expected one with runs, as `crackviz run` makes them.")
        hashes = Hashes()
        rows = [("run", "outcome", "notebooks", "claims", "time", "begun", "")]
        for found in series.find_runs(top):
            at_glance = series.look(found, hashes)
            done = sum(record["status"] == "done" for record in at_glance.records.values())
            held, made = at_glance.claims
            rows.append(
                (
                    str(found),
                    at_glance.status,
                    f"{done}/{len(at_glance.records)}" if at_glance.records else "",
                    f"{held}/{made}" if made else "",
                    duration(at_glance.seconds) if at_glance.records else "",
                    str(at_glance.config.get("started", ""))[:16].replace("T", " "),
                    f"stale: {at_glance.stale}" if at_glance.stale else "",
                )
            )
        if len(rows) == 1:
            click.echo(f"No runs in {folder}.")
            return
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        for row in rows:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@main.command(epilog=_SHOW, short_help="Tell what a run folder holds.")
@click.argument("run", metavar="RUN")
def show(run: str) -> None:
    """Tell what the run folder RUN holds: outcomes, claims, parameters, and what it was made with."""
    with _stopping():
        from crackviz.series.report import describe_run

        click.echo(describe_run(run))


@main.command(epilog=_REPORT, short_help="Write a report, or compare runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", default="", metavar="FOLDER", help="Where the comparison goes; default: where the runs lie.")
@click.option("--metric", "metrics", multiple=True, metavar="PATTERN", help="Results to be compared; repeatable.")
def report(runs: tuple[str, ...], out: str, metrics: tuple[str, ...]) -> None:
    """Write the report of a run anew, or a page and a table that compare several, from what lies there."""
    from crackviz import series

    with _stopping():
        many = len(runs) > 1 or (Path(runs[0]) / "sweep.json").exists()
        _say_where(series.summarise_runs(runs, out=out, metrics=metrics) if many else series.report(runs[0]))


# --- what the commands share ----------------------------------------------------------------------------------------


@contextmanager
def _stopping(index: Path | None = None) -> Iterator[None]:
    """Turn what can go wrong into one line on stderr and an exit code; say where the report is, if there is one."""
    from crackviz.series.kernel import spare_grammars
    from crackviz.series.run import NotebookFailed
    from crackviz.series.sweep import SweepFailed

    spare_grammars()
    signal.signal(signal.SIGTERM, _terminate)  # as for Ctrl-C: stop the kernel, keep what there is
    try:
        yield
    except (NotebookFailed, SweepFailed) as failure:
        _say_where(failure.index)
        raise _fail(str(failure), 1) from None
    except CrackvizError as error:
        raise _fail(str(error), 2) from None
    except KeyboardInterrupt:
        if index is not None and index.exists():
            _say_where(index.resolve())
        raise _fail("Interrupted. Called again, it goes on where it was.", 130) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _seconds(minutes: float) -> float:
    if not 0 <= minutes < float("inf"):
        raise CrackvizError(f"--timeout {minutes} is no time: expected minutes, or 0 for no limit.")
    return minutes * 60


def _count(option: str, value: int, least: int) -> int:
    if value < least:
        raise CrackvizError(f"{option} {value}: expected {least} or more.")
    return value


def _say_plan(reasons: dict[str, str]) -> None:
    for stem, why in reasons.items():
        click.echo(f"{stem}: {f'would be run ({why})' if why else 'up to date'}")


def _say_sweep(runs: dict[str, dict[str, Any]]) -> None:
    for name, run in runs.items():
        if reasons := run["notebooks"]:
            why = ", ".join(dict.fromkeys(why for why in reasons.values() if not why.startswith("comes after")))
            click.echo(f"{name}: {_many(len(reasons))} would be run ({why})")
        elif run["stale"]:
            click.echo(f"{name}: left as it is, stale ({run['stale']}); --stale runs it again")
        else:
            again = "; --retry-failed runs it again" if run["status"] == "failed" else ""
            click.echo(f"{name}: left as it is, {run['status']}{again}")
    todo = [run["notebooks"] for run in runs.values() if run["notebooks"]]
    click.echo(f"{len(todo)} of {len(runs)} runs, {_many(sum(map(len, todo)))}")


def _many(count: int) -> str:
    return f"{count} notebook{'s' if count != 1 else ''}"


def _near(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say_where(index: Path | str) -> None:
    if isinstance(index, str) and "://" in index:
        click.echo(f"Report: {index}")
    elif str(index) and Path(index).exists():
        click.echo(f"Report: {_near(Path(index))}")


def _fail(message: str, code: int) -> SystemExit:
    click.echo(f"crackviz: {message}", err=True)
    return SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
