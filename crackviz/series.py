"""The notebooks as a batch: run folders, papermill, and a report that needs no server.

A run folder holds everything that one pass through the series has produced::

    runs/<name>/   config.json  results.json  claims.json  index.html
                   figures/  notebooks/  logs/             (and what the notebooks themselves keep)

Files are written beside their final name and renamed, so a file that is there is whole; what an interrupted run
leaves has ``.part-`` in its name.
"""

from __future__ import annotations

import ast
import difflib
import glob
import importlib.metadata
import logging
import math
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError, __version__, claims
from crackviz._report import figures_of, report
from crackviz.claims import read_json, replacing, update_json, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "NotebookFailed",
    "find_notebooks",
    "open_run",
    "parameters_of",
    "report",
    "run_series",
    "save_figure",
    "write_json",
    "write_results",
]

_NUMBERED = "[0-9][0-9]_*.ipynb"
# Both are given by run_series itself, so that every notebook of a run agrees on them.
_RESERVED = {"run": "--out", "data": "--data"}
# TensorFlow's C++ start-up lines go to file descriptor 2, past Python: ipykernel would show them in the notebook.
KERNEL_ARGUMENTS = ("--IPKernelApp.capture_fd_output=False",)
_VERSIONS = ("tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib", "papermill")


class NotebookFailed(CrackvizError):
    """A notebook of the series did not reach its end; ``index`` is the report, in which it is marked."""

    def __init__(self, message: str, index: Path) -> None:
        super().__init__(message)
        self.index = index


# --- what a notebook calls ---------------------------------------------------------------------------------------


def open_run(run: str | Path = "", notebook: str = "") -> Path:
    """Return the run folder, made ready, and start the record of the notebook's claims.

    Parameters
    ----------
    run : str or Path, default ""
        The folder. ``""`` takes the environment variable ``CRACKVIZ_RUN``; where that is not set, ``runs/lesson``
        beside the ``notebooks/`` folder, or in the working directory if there is none.
    notebook : str, default ""
        The calling notebook's name without ending, such as ``"06_grad_cam"``.

    Returns
    -------
    Path
        Absolute; it holds ``figures/``, ``logs/`` and ``notebooks/``.

    Raises
    ------
    CrackvizError
        If the folder cannot be made or written to.
    """
    chosen = str(run) or os.environ.get("CRACKVIZ_RUN", "")
    folder = Path(chosen).expanduser().resolve() if chosen else (_root() or Path.cwd()) / "runs" / "lesson"
    try:
        for name in ("figures", "logs", "notebooks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise CrackvizError(
            f"Cannot use {folder} as the run folder: {error.strerror or error}. Expected a folder that you may "
            "write to, with space left; choose another one."
        ) from error
    if notebook:
        claims.start(folder, notebook)
        logging.getLogger("tensorflow").addFilter(_is_error)
    return folder


def _is_error(record: logging.LogRecord) -> bool:
    """Let TensorFlow's errors through: each new network is traced anew, and it warns of that amid the lesson."""
    return record.levelno >= logging.ERROR


def save_figure(run: str | Path, figure: Figure, name: str) -> Path:
    """Keep a matplotlib figure as ``figures/<name>.png`` of the run, marked with the notebook it comes from.

    Parameters
    ----------
    run : str or Path
        The run folder, as :func:`open_run` returned it.
    figure : matplotlib.figure.Figure
        Saved at 110 dots per inch, with tight borders.
    name : str
        Letters, digits, ``_`` and ``-``; begin it with the notebook's number (``"06_signed_map"``).

    Raises
    ------
    CrackvizError
        If the name is not of that kind, or the file cannot be written.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise CrackvizError(f"{name!r} is no figure name: use letters, digits, _ and - only, such as '06_signed_map'.")
    path = Path(run) / "figures" / f"{name}.png"
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110, bbox_inches="tight", metadata={"Source": claims.current_notebook()})
    return path


def write_results(run: str | Path, notebook: str, results: Mapping[str, object]) -> None:
    """Set the notebook's entry in ``results.json`` of the run and keep those of the others.

    Parameters
    ----------
    run : str or Path
        The run folder.
    notebook : str
        The notebook's name without ending.
    results : mapping
        Numbers, texts, lists and mappings of them; see :func:`write_json`. NaN becomes ``null``.

    Raises
    ------
    CrackvizError
        If the file cannot be written, or an existing one cannot be read.
    """
    update_json(Path(run) / "results.json", {notebook: dict(results)})


# --- finding and checking notebooks ------------------------------------------------------------------------------


def _root() -> Path | None:
    """Return the folder that holds ``notebooks/``: from the working directory upwards, or around the package."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[1]):
        notebooks = folder / "notebooks"
        is_run = (folder / "config.json").exists()  # a run folder keeps executed copies under the same name
        if not is_run and (any(notebooks.glob(_NUMBERED)) or (notebooks / "source").is_dir()):
            return folder
    return None


def find_notebooks(chosen: Iterable[str | Path] = ()) -> list[Path]:
    """Return the series, or the chosen notebooks in the order given.

    Parameters
    ----------
    chosen : iterable of str or Path
        Each a path, a name (``"06_grad_cam"``) or a number (``"06"``, ``"6"``); none at all stands for the
        whole series.

    Raises
    ------
    CrackvizError
        If there is no series here, or no such notebook, or two of the same name.
    """
    root = _root()
    series = sorted((root / "notebooks").glob(_NUMBERED)) if root else []
    wanted = [str(name) for name in chosen]
    if not wanted:
        if not series:
            raise CrackvizError(
                "Found no notebooks here: expected a folder notebooks/ with 00_….ipynb and so on, in the working "
                "directory or above it. Change to the folder of crackviz, or name the notebooks by their paths."
            )
        return series
    by_name = {path.stem: path for path in series}
    found: dict[str, Path] = {}
    for name in wanted:
        path = by_name.get(name) or (Path(name).resolve() if name.endswith(".ipynb") else None)
        if name.isdigit():
            path = next((p for p in series if int(p.stem[:2]) == int(name)), None)
        if path is None or not path.is_file():
            close = difflib.get_close_matches(Path(name).stem, by_name, n=1, cutoff=0.4)
            hint = f" Did you mean {close[0]}?" if close else ""
            known = ", ".join(by_name) or "none, since no notebooks/ folder is near"
            raise CrackvizError(f"There is no notebook {name!r}.{hint} Those of the series: {known}.")
        if found.setdefault(path.stem, path) != path:
            raise CrackvizError(f"Two notebooks are named {path.stem}: their outputs would overwrite each other.")
    return list(found.values())


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Return the names and default values in the notebook's cell tagged ``parameters``.

    Raises
    ------
    CrackvizError
        If the file is no notebook, or that cell holds something other than names with literals.
    """
    import nbformat

    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except Exception as error:  # nbformat raises many kinds for what is no notebook
        raise CrackvizError(f"Cannot read {notebook} as a notebook: {error!s:.200}") from error
    source = next((c.source for c in cells if "parameters" in c.metadata.get("tags", [])), "")
    defaults: dict[str, Any] = {}
    try:
        for statement in ast.parse(source).body:
            match statement:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    defaults[name] = ast.literal_eval(value)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    defaults[name] = ast.literal_eval(value)
                case ast.Expr(value=ast.Constant()):
                    pass  # a docstring
                case _:
                    raise ValueError(ast.unparse(statement))
    except (SyntaxError, ValueError) as error:
        raise CrackvizError(
            f"The parameters cell of {notebook.name} must hold only lines such as seed = 0, found: {error}"
        ) from error
    return defaults


def _typed(name: str, value: Any, default: Any) -> Any:
    """Return the value as the kind of thing that the default is, or refuse it."""
    try:
        if isinstance(default, str):
            return str(value)
        if isinstance(value, str):
            text = value.strip()
            if isinstance(default, bool):
                truths = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
                return truths[text.lower()]
            if default is None:
                try:
                    value = ast.literal_eval(text)
                except (ValueError, SyntaxError):
                    return value
            else:
                value = float(text) if isinstance(default, float) else ast.literal_eval(text)
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError
        # papermill would write a tuple out as text
        value, default = (list(v) if isinstance(v, tuple) else v for v in (value, default))
        if default is not None and type(value) is not type(default):
            raise ValueError
        return value
    except (KeyError, ValueError, SyntaxError):
        kind = "true or false" if isinstance(default, bool) else type(default).__name__
        raise CrackvizError(
            f"Parameter {name} cannot be {value!r}: expected {kind}, such as its default {default!r}."
        ) from None


def _assign(notebooks: Iterable[Path], given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return for each notebook its defaults with the given values in their place; every name must be known."""
    for name in given.keys() & _RESERVED.keys():
        raise CrackvizError(f"Give {name} by {_RESERVED[name]}, not as a parameter: the notebooks must agree on it.")
    defaults = {path.stem: parameters_of(path) for path in notebooks}
    known = {name: None for values in defaults.values() for name in values if name not in _RESERVED}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise CrackvizError(
                f"No chosen notebook has a parameter {name!r}.{hint} Known: {', '.join(known) or 'none'}."
            )
    return {
        stem: values | {name: _typed(name, given[name], values[name]) for name in given if name in values}
        for stem, values in defaults.items()
    }


# --- running ------------------------------------------------------------------------------------------------------


def run_series(
    notebooks: Iterable[str | Path] = (),
    *,
    data: str | Path = "",
    out: str | Path = "runs/series",
    parameters: Mapping[str, Any] | None = None,
    timeout: float = 4 * 3600,
) -> Path:
    """Execute notebooks one after the other into a run folder, and write the report.

    Everything that can be checked is checked before the first one starts.

    Parameters
    ----------
    notebooks : iterable of str or Path
        As for :func:`find_notebooks`; none at all stands for the whole series.
    data : str or Path, default ""
        Folder of pictures, handed to the notebooks as ``data``; ``""`` leaves them their default.
    out : str or Path, default "runs/series"
        The run folder. What an earlier run of the same notebooks left there is replaced, the rest kept.
    parameters : mapping, optional
        Values for the notebooks' ``parameters`` cells. Each notebook gets those that it knows; text is
        converted to the type of the default.
    timeout : float, default 14400
        Seconds that one notebook may take; 0 for no limit.

    Returns
    -------
    Path
        ``index.html`` of the run.

    Raises
    ------
    NotebookFailed
        If a notebook fails; those after it are not run. Its outputs, with the traceback, and the report are kept.
    CrackvizError
        If a notebook, a parameter, the data or the run folder is not as it must be; nothing has been run then.
    """
    from crackviz import data as datasets

    paths = find_notebooks(notebooks)
    given = dict(parameters or {})
    values = _assign(paths, given)
    takes_pictures = any("data" in known for known in values.values())
    if str(data):
        given["data"] = str(data)
        if not datasets.synthetic_settings(data):
            folder = Path(data).expanduser().resolve()
            if not folder.exists():
                raise CrackvizError(f"There is no {folder}: expected a folder of pictures. Check --data.")
            given["data"] = str(folder)
        if not takes_pictures:
            raise CrackvizError("None of the chosen notebooks takes pictures: leave --data out, or choose others.")
    run = Path(out).expanduser().resolve()
    if any(path.parent == run / "notebooks" for path in paths):
        raise CrackvizError(f"Running into {run} would overwrite the notebooks themselves: choose another --out.")
    if takes_pictures:
        datasets.locate(given.get("data", ""))  # synthetic concrete is made now, where its progress shows
    run = open_run(run)
    given["run"] = str(run)
    for known in values.values():
        known |= {name: given[name] for name in _RESERVED if name in known and name in given}

    _clear(run, {path.stem for path in paths})
    records: dict[str, dict[str, Any]] = read_json(run / "config.json").get("notebooks", {})
    records |= {stem: {"status": "not run", "parameters": known} for stem, known in values.items()}
    config = _config(given, values) | {"notebooks": records}
    stopped: BaseException | None = None
    for number, path in enumerate(paths, start=1):
        record = records[path.stem]
        record["status"] = "running"
        write_json(run / "config.json", config)
        progress = _Progress(f"[{number}/{len(paths)}] {path.stem}")
        began = time.monotonic()
        try:
            passed = {name: value for name, value in values[path.stem].items() if name in given}
            _execute(path, run, passed, timeout, progress)
            record["status"] = "done"
        except BaseException as error:  # Ctrl-C as well leaves a report that says how far it came
            stopped = error
            record["status"] = "failed" if isinstance(error, Exception) else "interrupted"
            record["error"] = _describe(error)
        record["seconds"] = round(time.monotonic() - began, 1)
        progress.end(record, read_json(run / "claims.json").get(path.stem, []))
        write_json(run / "config.json", config)
        if stopped:
            break
    index = report(run)
    if isinstance(stopped, Exception):
        what = record["error"]
        raise NotebookFailed(f"{path.stem} failed{what['where']}: {what['message']}", index) from stopped
    if stopped:
        raise stopped
    return index


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


def _config(given: Mapping[str, Any], values: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        revision = ""  # an installed package has none
    used = {name: value for known in values.values() for name, value in known.items()}
    return {
        "crackviz": __version__,
        "revision": revision or None,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "platform": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _VERSIONS},
        },
        "data": given.get("data"),
        "seed": used.get("seed"),
        "parameters": {name: used[name] for name in given if name not in _RESERVED},
    }


class _Progress:
    """One line for each notebook; on a terminal a bar over its cells in the meantime."""

    def __init__(self, name: str) -> None:
        from tqdm import tqdm

        self.name = name
        self.live = sys.stderr.isatty()
        self.bar = tqdm(desc=name, unit="cell", leave=False, disable=not self.live)
        if not self.live:
            print(name, end=" … ", flush=True)

    def cell(self, index: int, cells: int) -> None:
        self.bar.total, self.bar.n = cells, index
        self.bar.refresh()

    def end(self, record: Mapping[str, Any], made: list[dict[str, Any]]) -> None:
        self.bar.close()
        outcome = "" if record["status"] == "done" else f"{record['status'].upper()} after "
        marks = f", {sum(c['holds'] for c in made)} of {len(made)} claims hold" if made else ""
        print(f"{f'{self.name} … ' if self.live else ''}{outcome}{record['seconds']:.0f} s{marks}", flush=True)


def _execute(path: Path, run: Path, values: Mapping[str, Any], timeout: float, progress: _Progress) -> None:
    """Run one notebook in a kernel of its own; its output is kept however it ends, and the kernel never."""
    import nbformat
    import papermill
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it warns of is raised or checked here
    deadline = time.monotonic() + timeout
    current = 0

    class Quiet(Engine):
        """papermill's own engine, with the kernel's raw stdout and stderr in a log file."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
            def on_cell_start(cell: Any, cell_index: int) -> None:
                nonlocal current
                current = cell_index
                progress.cell(cell_index, len(nb_man.nb.cells))

            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                timeout_func=lambda cell: max(1, round(deadline - time.monotonic())) if timeout else None,
                on_cell_start=on_cell_start,
                extra_arguments=list(KERNEL_ARGUMENTS),
            )
            with (run / "logs" / f"{path.stem}.kernel.log").open("wb") as log:
                client.execute(stdout=log, stderr=log, env={**os.environ, "CRACKVIZ_RUN": str(run)})

    papermill_engines.register("crackviz", Quiet)
    final = run / "notebooks" / path.name
    part = final.with_name(f"{path.stem}.part-{os.getpid()}.ipynb")
    source, target = (str(p).replace("{", "{{").replace("}", "}}") for p in (path, part))  # papermill formats them

    def keep(error: BaseException | None) -> None:
        notebook = nbformat.read(part, as_version=4)
        settle_streams(notebook)
        notebook.metadata.papermill.update(input_path=str(path), output_path=str(final))
        if error is not None and not isinstance(error, PapermillExecutionError):
            # papermill shows nothing where the kernel died, hung or was interrupted
            what = _describe(error)
            shown = nbformat.v4.new_output("error", ename=what["name"], evalue=what["message"])
            shown.traceback = [what["message"]]
            notebook.cells[current].setdefault("outputs", []).append(shown)
        nbformat.write(notebook, part)
        part.replace(final)

    try:
        executed = papermill.execute_notebook(
            source,
            target,
            parameters=dict(values),
            engine_name="crackviz",
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
        for cell in executed.cells:
            if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
                raise RuntimeError("it ended before its last cell; does a cell call exit()?")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # the cell that was broken off complains, when nobody waits for it
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        with suppress(Exception):  # on a full disk there may be nothing to keep: the first error counts
            keep(error)
        raise
    keep(None)


def settle_streams(notebook: Any) -> None:
    """Join what each cell has printed to one output per stream, and keep of a redrawn line its last state.

    nbclient's ``coalesce_streams`` does the same, but takes time quadratic in the length of a line.
    """
    for cell in notebook.cells:
        joined: dict[str, Any] = {}
        kept = []
        for output in cell.get("outputs", []):
            first = joined.setdefault(output.name, output) if output.output_type == "stream" else output
            if first is output:
                kept.append(output)
            else:
                first.text += output.text
        for output in joined.values():
            lines = output.text.split("\n")
            output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
        if kept:  # of a bar that has cleared itself nothing is left
            cell.outputs = [o for o in kept if o.output_type != "stream" or o.text.strip()]


def _describe(error: BaseException) -> dict[str, str]:
    """Return what a reader needs of an exception that ended a notebook: name, message, where, traceback."""
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return {
            "name": error.ename,
            "message": _plain(f"{error.ename}: {error.evalue}"),
            "where": f" in cell [{error.exec_count}]",
            "traceback": _plain("\n".join(error.traceback)),
        }
    name = type(error).__name__
    message = {
        "CellTimeoutError": "it took longer than the time limit; raise it with --timeout",
        "DeadKernelError": "its Python process ended by itself, which mostly means that memory ran out",
        "KeyboardInterrupt": "interrupted",
    }.get(name, f"{name}: {error}")
    return {"name": name, "message": message, "where": "", "traceback": message}


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
