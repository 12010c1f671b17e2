"""The notebooks of the series: where they are, which parameters they take and with which values, what they show."""

from __future__ import annotations

import ast
import copy
import functools
import json
import math
import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from crackviz import ROOT, CrackvizError
from crackviz.contracts import closest

# TensorFlow's C++ start-up lines go to file descriptor 2, past Python: ipykernel would show them in the notebook.
KERNEL_ARGUMENTS = ("--IPKernelApp.capture_fd_output=False",)
# Both are given by run_series itself, so that every notebook of a run agrees on them.
RESERVED = {"run": "out", "data": "data"}
_NUMBERED = "[0-9][0-9]_*.ipynb"
_SLOW_TO_LOAD = {
    *("PIL", "crackviz", "keras", "matplotlib", "numpy", "pandas", "scipy", "seaborn", "skimage", "sklearn"),
    *("tensorflow", "tf_keras_vis"),
}


def series_root(*, packaged: bool = True) -> Path | None:
    """Return the folder that holds ``notebooks/``: from the working directory upwards, or else around the package."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise CrackvizError("The working folder was removed. Change to another one.") from None
    for folder in (here, *here.parents, *((ROOT.parent,) if packaged else ())):
        notebooks = folder / "notebooks"
        is_run = (folder / "config.json").exists()  # a run folder keeps executed copies under the same name
        if not is_run and (any(notebooks.glob(_NUMBERED)) or (notebooks / "source").is_dir()):
            return folder
    return None


def notebooks_folder() -> Path | None:
    """Return the folder of the series; an installed package brings one into ``share/crackviz`` of its environment."""
    root = series_root() or Path(sysconfig.get_path("data")) / "share" / "crackviz"
    return folder if any((folder := root / "notebooks").glob(_NUMBERED)) else None


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
    folder = notebooks_folder()
    series = sorted(folder.glob(_NUMBERED)) if folder else []
    wanted = [str(name) for name in chosen]
    if not wanted:
        if not series:
            raise CrackvizError(
                "Found no notebooks here: expected a folder notebooks/ with 00_….ipynb and so on, in the working "
                "directory or above it. Change to a clone of crackviz's repository, or name the notebooks by path."
            )
        return series
    by_name = {path.stem: path for path in series}
    found: dict[str, Path] = {}
    for name in wanted:
        path = by_name.get(name) or (Path(name).resolve() if name.endswith(".ipynb") else None)
        if name.isdecimal():
            path = next((p for p in series if int(p.stem[:2]) == int(name)), None)
        if path is None or not os.path.isfile(path):  # noqa: PTH113 - the name may be too long for a path
            known = ", ".join(by_name) or "none, since no notebooks/ folder is near"
            hint = closest(Path(name).stem, by_name, 0.4)
            raise CrackvizError(f"There is no notebook {name!r}.{hint} Those of the series: {known}.")
        if found.setdefault(path.stem, path) != path:
            raise CrackvizError(f"Two notebooks are named {path.stem}: their outputs would overwrite each other.")
    return list(found.values())


def parameters_of(notebook: Path) -> dict[str, Any]:
    """Return the names and default values in the notebook's cell tagged ``parameters``.

    papermill's own ``inspect_notebook`` passes over what is no such line, which here would be lost without a word.

    Raises
    ------
    CrackvizError
        If the file is no notebook, or that cell holds something other than names with literals.
    """
    try:
        return copy.deepcopy(_parameters_of(notebook, notebook.stat().st_mtime_ns))
    except OSError as error:
        raise CrackvizError(f"Cannot read {notebook}: {error.strerror or error}.") from error


@functools.lru_cache(maxsize=256)  # a sweep asks for each of its runs
def _parameters_of(notebook: Path, changed: int) -> dict[str, Any]:
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CrackvizError(f"Cannot read {notebook} as a notebook: {error!s:.200}") from error
    defaults: dict[str, Any] = {}
    try:
        for statement in ast.parse("".join(sources[:1])).body:
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


def loaded_first(notebook: Path) -> str:
    """Return the imports of large libraries with which a notebook's first cell after its parameters begins, as code.

    Nothing comes before them but imports of Python's own, so that they may as well be loaded before the notebook runs:
    what a cell or a module of the user's does first, such as to set a variable that TensorFlow reads, ends the list.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]
    first = next((cell for cell in code if "parameters" not in cell["metadata"].get("tags", [])), {"source": ""})
    try:
        statements = ast.parse("".join(first["source"])).body
    except (SyntaxError, ValueError):  # a magic
        return ""
    chosen = []
    for statement in statements:
        match statement:
            case ast.Import(names=names):
                roots = {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0):
                roots = {module.partition(".")[0]}
            case _:
                break
        if not roots <= _SLOW_TO_LOAD | sys.stdlib_module_names:
            break
        if roots & _SLOW_TO_LOAD:
            chosen.append(ast.unparse(statement))
    return "\n".join(chosen)


def typed(name: str, value: Any, default: Any) -> Any:
    """Return the value as the kind of thing that the default is, or refuse it."""
    try:
        if isinstance(default, str):
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError
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
    except (KeyError, ValueError, SyntaxError, MemoryError, RecursionError):  # the last two: brackets without end
        kind = "true or false" if isinstance(default, bool) else type(default).__name__.replace("str", "text")
        raise CrackvizError(
            f"Parameter {name} cannot be {value!r:.200}: expected {kind}, such as its default {default!r}."
        ) from None


def assign(notebooks: Iterable[Path], given: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """Return for each notebook its defaults with the given values in their place; every name must be known."""
    for name in given.keys() & RESERVED.keys():
        what = RESERVED[name]
        raise CrackvizError(f"Give {name} by {what}, not as a parameter: the notebooks must agree on it.", what)
    defaults = {path: parameters_of(path) for path in notebooks}
    known = {name: None for values in defaults.values() for name in values if name not in RESERVED}
    for name in given:
        if name not in known:
            hint, names = closest(name, known), ", ".join(known) or "none"
            raise CrackvizError(f"No chosen notebook has a parameter {name!r}.{hint} Known: {names}.")
    return {
        path: values | {name: _located(typed(name, given[name], values[name])) for name in given if name in values}
        for path, values in defaults.items()
    }


def _located(value: Any) -> Any:
    """Return the name of an existing file made absolute, since a run may begin in another folder; else the value."""
    if isinstance(value, str) and (os.sep in value or Path(value).suffix):
        name = os.path.expanduser(value)  # noqa: PTH111 - these two take any text, and it may be no path at all
        return os.path.realpath(name) if os.path.exists(name) else value  # noqa: PTH110
    return value


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
            cell.outputs = [o for o in kept if (o.text.strip() if o.output_type == "stream" else not _vanished(o))]


def _vanished(output: Any) -> bool:
    """Say whether an output was shown for a while, and holds nothing now."""
    return output.output_type == "display_data" and not any(output.data.values())
