"""The command ``crackviz``: the series without a browser, one run or many, and their reports."""

from __future__ import annotations

import math
import os
import signal
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from crackviz import ROOT, CrackvizError, __version__
from crackviz.progress import start_tensorflow

_TEMPLATES = ROOT / "templates"
_GRID = textwrap.indent((_TEMPLATES / "grid.toml").read_text("utf-8").rstrip(), "  ")
# click leaves the lines of a paragraph as they are where it begins with \b.
_EXAMPLES = {
    name: "\b\n" + text.replace("{grid}", _GRID).replace("\n\n", "\n\n\b\n")
    for name, text in tomllib.loads((_TEMPLATES / "examples.toml").read_text("utf-8")).items()
}
_AGAIN = {"done": "--force", "failed": "--retry-failed", "stale": "--stale"}


@click.group(epilog=_EXAMPLES["crackviz"], context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="crackviz %(version)s")
def main() -> None:
    """Explain concrete-crack classifiers, and test the explanations."""


def _running(command: Any) -> Any:
    """Give a command the options that run and sweep share; all but --dry-run go to :func:`_options`."""
    shared = (
        click.option("--timeout", default=240.0, show_default=True, metavar="MINUTES", help="For a notebook; 0: none."),
        click.option("--threads", default=0, metavar="N", help="Threads of a run; 0: its share of the cores."),
        click.option("--force", is_flag=True, help="Run again what is finished, too."),
        click.option("--fail-fast", is_flag=True, help="Stop at the first notebook that fails."),
        click.option("--dry-run", is_flag=True, help="Say what would be run and why; run nothing."),
    )
    for option in reversed(shared):
        command = option(command)
    return command


@main.command(epilog=_EXAMPLES["run"], short_help="Execute notebooks in order.")
@click.argument("notebooks", nargs=-1, metavar="[NOTEBOOK]...")
@click.option("--data", default="", metavar="FOLDER", help="Pictures to run on; without it, synthetic concrete.")
@click.option(
    "--out", default="runs/series", show_default=True, metavar="FOLDER", help="Run folder, made if it is missing."
)
@click.option("--crack-class", default="", metavar="NAME", help="The folder whose pictures show cracks.")
@click.option(
    "--groups", default="", metavar="HOW", help="Pictures of one place: folder:1, a regular expression, or a CSV file."
)
@click.option(
    "-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE",
    help="A value for the notebooks' parameters cell; repeatable.",
)  # fmt: skip
@_running
def run(
    notebooks: tuple[str, ...],
    data: str,
    out: str,
    crack_class: str,
    groups: str,
    parameters: tuple[tuple[str, str], ...],
    dry_run: bool,
    **how: Any,
) -> None:
    """Execute notebooks in order, and write a report.

    NOTEBOOK is a number (06), a name (06_grad_cam) or a path; without one the whole series is run. What the run folder
    holds already, made from the same cells, parameters, data and code, is left alone. The exit code is 0 if every
    notebook reached its end, 1 if one failed, 2 if nothing could be run as asked.
    """
    from crackviz import series

    with _stopping(out):
        parameters += tuple(
            (name, value) for name, value in (("crack_class", crack_class), ("groups", groups)) if value
        )
        given = dict(parameters)
        if len(given) < len(parameters):
            twice = next(name for name in given if sum(name == other for other, _ in parameters) > 1)
            raise CrackvizError(f"Parameter {twice} is given twice.")
        chosen: dict[str, Any] = {"data": data, "out": out, "parameters": given}
        chosen["options"] = _options(("failed", "stale"), **how)
        if not dry_run:
            _say_where(series.run_series(notebooks, **chosen, tell=_tell))
            return
        for stem, why in series.plan_run(notebooks, **chosen).items():
            _tell(f"{stem}: {f'would be run ({why})' if why else 'up to date'}")


@main.command(epilog=_EXAMPLES["sweep"], short_help="Execute a grid of runs.")
@click.argument("grid", metavar="GRID.toml")
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
    grid: str, out: str, jobs: int, scheduler: str, retry_failed: bool, stale: bool, dry_run: bool, **how: Any
) -> None:
    """Execute notebooks for every point of a grid, and compare the runs.

    Each run gets a folder; beside them lie results.csv and index.html. An interrupted sweep goes on with what is
    missing when it is called again. The exit code is 0 if every run reached its end, 1 if not, 2 if nothing
    could be run as asked.
    """
    from crackviz import series

    with _stopping(out):
        options = _options(("failed",) * retry_failed + ("stale",) * stale, **how)
        if not dry_run:
            _say_where(series.run_sweep(grid, out=out, jobs=jobs, scheduler=scheduler, options=options, tell=_tell))
            return
        runs = series.plan_sweep(grid, out=out, jobs=jobs, scheduler=scheduler, again=options.again)
        for name, planned in runs.items():
            if reasons := planned["notebooks"]:
                why = ", ".join(dict.fromkeys(why for why in reasons.values() if not why.startswith("comes after")))
                _tell(f"{name}: {_many(len(reasons))} would be run ({why})")
            elif planned["stale"]:
                _tell(f"{name}: left as it is, stale ({planned['stale']})", again="stale")
            else:
                _tell(f"{name}: left as it is, {planned['status']}", again="failed" * (planned["status"] == "failed"))
        todo = [planned["notebooks"] for planned in runs.values() if planned["notebooks"]]
        _tell(f"{len(todo)} of {len(runs)} runs, {_many(sum(map(len, todo)))}")


@main.command("list", epilog=_EXAMPLES["list"], short_help="List runs, or tell what one holds.")
@click.argument("folder", default="runs", metavar="[FOLDER]")
def list_(folder: str) -> None:
    """List the runs at and below FOLDER (default: runs), and what has become of them; of one run, tell all.

    A run is stale when its notebooks, its data or crackviz have changed since. Of a single run are told its outcomes,
    claims, parameters, and what it was made with.
    """
    from crackviz import series
    from crackviz.series.hashes import Hashes
    from crackviz.series.records import duration

    top = Path(folder)
    with _stopping():
        if not os.path.isdir(folder):  # noqa: PTH112 - the text may be too long for a path
            raise CrackvizError(f"There is no folder {folder}: expected one with runs, as `crackviz run` makes them.")
        if (top / "config.json").exists():
            from crackviz.series.report import describe_run

            _tell(describe_run(top))
            return
        hashes = Hashes()
        rows = [("run", "outcome", "notebooks", "claims", "time", "begun", "")]
        for found in series.find_runs(top):
            run = series.look(found, hashes)
            done = sum(record["status"] == "done" for record in run.records.values())
            notebooks, took = (f"{done}/{len(run.records)}", duration(run.seconds)) if run.records else ("", "")
            claims = "{}/{}".format(*run.claims) if run.claims[1] else ""
            begun = str(run.config.get("started", ""))[:16].replace("T", " ")
            stale = f"stale: {run.stale}" if run.stale else ""
            rows.append((str(found), run.status, notebooks, claims, took, begun, stale))
        if len(rows) == 1:
            _tell(f"No runs in {folder}.")
            return
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            _tell("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@main.command(epilog=_EXAMPLES["report"], short_help="Write a report, or compare runs.")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--out", default="", metavar="FOLDER", help="Where the comparison goes; default: where the runs lie.")
@click.option("--metric", multiple=True, metavar="PATTERN", help="Results to be compared; repeatable.")
@click.option("--rtol", default=1e-3, show_default=True, help="Of two runs: relative tolerance of numbers.")
@click.option("--atol", default=1e-6, show_default=True, help="Of two runs: absolute tolerance of numbers.")
@click.option(
    "--figures", default=3.0, show_default=True, help="Of two runs: mean difference of figures, of 255 greys."
)
def report(runs: tuple[str, ...], out: str, metric: tuple[str, ...], rtol: float, atol: float, figures: float) -> None:
    """Write the report of a run anew, or a page and a table that compare several, from what lies there.

    Of two runs claims, numbers and figures are compared as well: in what they differ is told, and kept in
    comparison.json of the second. The exit code is then 0 if they are alike, 1 if they differ.
    """
    from crackviz import series

    with _stopping():
        alone = len(runs) == 1 and not os.path.exists(Path(runs[0], "sweep.json"))  # noqa: PTH110
        given = click.get_current_context().get_parameter_source
        for name in ("out", "metric") * alone + ("rtol", "atol", "figures") * (len(runs) != 2):
            if given(name) is not click.core.ParameterSource.DEFAULT:
                raise CrackvizError(
                    f"This is for a comparison of {'two' if len(runs) > 1 else 'more'} runs: here it says nothing.",
                    name,
                )
        if alone:
            _say_where(series.report(runs[0]))
            return
        _say_where(series.summarise_runs(runs, out=out, metrics=metric))
        if len(runs) != 2:
            return
        first, second = (Path(folder).resolve() for folder in runs)
        found = series.compare(first, second, rtol=rtol, atol=atol, figure_tolerance=figures)
        series.write_comparison(found, first, second)
        for difference in found:
            _tell(str(difference))
        if found:
            raise _fail(f"{len(found)} differences; they are in {_near(second / 'comparison.json')}.", 1)
        _tell("Alike: outcomes, claims, numbers and figures.")


@main.command("export", short_help="Write a network and its map for another program.")
@click.argument("model")
@click.option("--out", required=True, metavar="FILE", help="crack.html, .tflite, .onnx; any other name is a folder.")
@click.option("--format", default="", metavar="NAME", help="html, litert, onnx, saved_model; default: FILE's end.")
@click.option("--size", default="", metavar="PIXELS", help="Side of the pictures, or free; default: the network's.")
@click.option("--no-map", is_flag=True, help="The probability alone.")
@click.option("--quantize", default="", metavar="HOW", help="float16; for LiteRT dynamic and int8, too.")
@click.option("--data", default="", metavar="FOLDER", help="Your pictures, to check the file on.")
def export_(model: str, **asked: Any) -> None:
    """Write MODEL (a file, a run folder, or a shipped one such as local_cnn) so that it runs without Python.

    The file is run and held against Keras; the difference is printed, and what is off isn't written.
    """
    with _stopping():
        start_tensorflow()
        from crackviz.export.asked import export_as_asked

        export_as_asked(model, **asked)


@main.command(short_help="Show a network's page in a browser.")
@click.argument("model", default="local_cnn", metavar="[MODEL]")
@click.option("--port", default=8000, show_default=True, metavar="N")
@click.option("--lan", is_flag=True, help="For phones in the same network, too; anyone there can open it.")
def serve(model: str, port: int, lan: bool) -> None:
    """Serve MODEL's page, or a page that was exported, to this machine."""
    with _stopping():
        start_tensorflow()
        from crackviz.export.asked import serve_as_asked

        serve_as_asked(model, port, lan, _tell)


@main.command(epilog=_EXAMPLES["inspect"], short_help="Inspect photographs of walls.")
@click.argument("photographs", nargs=-1, required=True, metavar="PHOTO|FOLDER...")
@click.option("--mm-per-px", type=float, metavar="MM", help="Millimetres on the wall of a pixel.")
@click.option("--ruler", default="", metavar="TEXT", help='The same from a ruler in the photograph: "812 px = 50 mm".')
@click.option("--network", default="trace_cnn", show_default=True, metavar="NAME", help="A shipped network or a file.")
@click.option("--threshold", type=float, metavar="SHARE", help="Evidence that a line must hold on average, 0 to 1.")
@click.option("--prevalence", type=float, metavar="SHARE", help="Share of 128 px windows of such walls with a crack.")
@click.option("--limit-mm", default=0.3, show_default=True, metavar="MM", help="The width that matters.")
@click.option("--out", default="report", show_default=True, metavar="FOLDER", help="Where pages and tables go.")
def inspect(photographs: tuple[str, ...], mm_per_px: float | None, ruler: str, out: str, **how: Any) -> None:
    """Find cracks on photographs of walls, as lines with widths and error bars, and say what can't be judged.

    Writes a page, tables, and drawings for QGIS and CAD of each photograph. Called again, it goes on where it was. The
    exit code is 0 if every photograph was inspected, 1 if one wasn't, 2 if nothing could be done as asked.
    """
    with _stopping(out):
        start_tensorflow()
        from crackviz.inspection.command import inspect_photographs

        if not inspect_photographs(photographs, out, mm_per_px, ruler, tell=_tell, **how):
            raise _fail("some photographs could not be inspected; the lines above say why.", 1)


# --- what the commands share ----------------------------------------------------------------------------------------


@contextmanager
def _stopping(out: str = "") -> Iterator[None]:
    """Turn what can go wrong into one line on stderr and an exit code; say where the report is, if there is one."""
    # jsonschema, which nbformat imports, compiles grammars for IRIs where it can, which takes a second and no notebook
    # asks for: importing it fails, as where it isn't installed.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called: 2>&-
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    try:
        Path.cwd()
    except FileNotFoundError:
        raise _fail("The working folder was removed. Change to another one.", 2) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: stop the kernels, keep what there is
    from crackviz.series import NotebookFailed, SweepFailed

    try:
        yield
    except CrackvizError as error:
        code = 2
        if isinstance(error, NotebookFailed | SweepFailed):
            code = 1
            _say_where(error.index)
        raise _fail(f"{error} (--{error.argument})" if error.argument else str(error), code) from None
    except KeyboardInterrupt:
        if out and (Path(out) / "index.html").exists():
            _say_where((Path(out) / "index.html").resolve())
        raise _fail("Interrupted. Called again, it goes on where it was.", 130) from None


def _options(again: tuple[str, ...], *, timeout: float, threads: int, force: bool, fail_fast: bool) -> Any:
    """Return the options of a run, or of the runs of a sweep."""
    from crackviz.series import Options

    if not 0 <= timeout < math.inf:
        raise CrackvizError(f"{timeout} is no time: expected minutes, or 0 for no limit.", "timeout")
    return Options(timeout * 60, threads, ("failed", "stale", "done") if force else again, fail_fast)


def _tell(text: str, end: str = "\n", again: str = "") -> None:
    """Print a line, with the flag that runs again what it tells of."""
    from crackviz.series.run import say

    say(f"{text}; run again by {_AGAIN[again]}" if again else text, end)


def _many(count: int) -> str:
    return f"{count} notebook{'s' if count != 1 else ''}"


def _near(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _say_where(index: Path | str) -> None:
    if isinstance(index, str) and "://" in index:
        _tell(f"Report: {index}")
    elif str(index) and Path(index).exists():
        _tell(f"Report: {_near(Path(index))}")


def _fail(message: str, code: int) -> SystemExit:
    click.echo(f"crackviz: {message}", err=True)
    return SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
