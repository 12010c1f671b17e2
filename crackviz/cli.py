"""The command ``crackviz``: the series without a browser, and its report."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from crackviz import CrackvizError, __version__

_EXAMPLES = """\b
Examples:
  crackviz run                                    the whole series, into runs/series
  crackviz run --data path/to/pictures            on your own pictures
  crackviz run --data synthetic:seed=1            on other synthetic walls
  crackviz run 02 03 --out runs/seed1 -p seed 1   two notebooks with another seed
  crackviz report runs/seed1                      write index.html anew
"""


@click.group(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="crackviz %(version)s")
def main() -> None:
    """Explain concrete-crack classifiers, and test the explanations."""


@main.command(epilog=_EXAMPLES)
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
@click.option("--timeout", default=240.0, show_default=True, metavar="MINUTES", help="Limit for a notebook; 0: none.")
def run(
    notebooks: tuple[str, ...], data: str, out: str, parameters: tuple[tuple[str, str], ...], timeout: float
) -> None:
    """Execute notebooks in order, and write a report.

    NOTEBOOK is a number (06), a name (06_grad_cam) or a path; without one the whole series is run. The exit code
    is 0 if every notebook reached its end, 1 if one failed, 2 if nothing could be run as asked.
    """
    from crackviz import series

    given = dict(parameters)
    if len(given) < len(parameters):
        twice = next(name for name in given if sum(name == other for other, _ in parameters) > 1)
        raise _fail(f"Parameter {twice} is given twice.", 2)
    if not 0 <= timeout < float("inf"):
        raise _fail(f"--timeout {timeout} is no time: expected minutes, or 0 for no limit.", 2)
    signal.signal(signal.SIGTERM, _terminate)  # as for Ctrl-C: stop the kernel, keep what there is
    try:
        index = series.run_series(notebooks, data=data, out=out, parameters=given, timeout=timeout * 60)
    except series.NotebookFailed as failure:
        _say_where(failure.index)
        raise _fail(str(failure), 1) from None
    except CrackvizError as error:
        raise _fail(str(error), 2) from None
    except KeyboardInterrupt:
        _say_where(Path(out).resolve() / "index.html")
        raise _fail("Interrupted.", 130) from None
    _say_where(index)


@main.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
def report(run: Path) -> None:
    """Write index.html of the run folder RUN anew, from what lies in it."""
    from crackviz import series

    try:
        _say_where(series.report(run))
    except CrackvizError as error:
        raise _fail(str(error), 2) from None


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say_where(index: Path) -> None:
    if index.exists():
        click.echo(f"Report: {os.path.relpath(index) if index.is_relative_to(Path.cwd()) else index}")


def _fail(message: str, code: int) -> SystemExit:
    click.echo(f"crackviz: {message}", err=True)
    return SystemExit(code)


if __name__ == "__main__":
    sys.exit(main())
