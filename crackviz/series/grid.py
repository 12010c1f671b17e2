"""A grid of runs, as a TOML file describes it: which notebooks, which parameters vary, which stay."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import tomllib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crackviz import ROOT, CrackvizError

EXAMPLE = (ROOT / "templates" / "grid.toml").read_text("utf-8")
MOST = 10_000
"""Runs that a grid may stand for."""
_KEYS = ("notebooks", "parameters", "grid", "metrics")
_LONGEST = 80  # characters of a folder's name


@dataclass(frozen=True)
class Grid:
    """Parameters of many runs."""

    axes: dict[str, list[Any]]
    """What varies: each name with its values."""
    notebooks: list[str] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)
    """What stays the same."""
    metrics: list[str] = field(default_factory=list)
    """Patterns of results to be compared."""

    def points(self) -> dict[str, dict[str, Any]]:
        """Return the runs: a name that serves as a folder's, and the values of the axes.

        Raises
        ------
        CrackvizError
            If an axis has no value, or one twice, or the grid stands for more than ``MOST`` runs.
        """
        self.check()
        found: dict[str, dict[str, Any]] = {}
        points = [dict(zip(self.axes, values, strict=True)) for values in itertools.product(*self.axes.values())]
        names = [",".join(f"{axis}={_short(value)}" for axis, value in point.items()) for point in points]
        times = Counter(names)
        for name, point in zip(names, points, strict=True):
            # Two folders of one name in different places, and long texts: each gets a name that no other can take.
            if times[name] > 1 or len(name) > _LONGEST:
                digest = hashlib.sha256(repr(point).encode()).hexdigest()[:6]
                name = f"{name[: _LONGEST - 7].rstrip('. ,')}~{digest}"
            found[name] = point
        return found

    def check(self, where: str = "") -> None:
        """Refuse what :meth:`points` couldn't expand; `where` begins the messages."""
        if not self.axes:
            raise CrackvizError(f"{where}grid is empty, so nothing would vary: for a single run use crackviz run.")
        for name, values in self.axes.items():
            if not isinstance(values, list):
                raise CrackvizError(f"{where}{name} must be a list, such as [{values}]; found {values!r}.")
            if not values:
                raise CrackvizError(f"{where}{name} is an empty list, so there would be no run. Give it a value.")
            if twice := [text for text, times in Counter(map(_meant, values)).items() if times > 1]:
                raise CrackvizError(
                    f"{where}{name} holds {twice[0]} twice, which would be the same run: keep one of them."
                )
        if (runs := math.prod(map(len, self.axes.values()))) > MOST:
            counts = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
            raise CrackvizError(f"{where}the grid has {runs:,} runs ({counts}); expected {MOST:,} at most.")


def _meant(value: Any) -> str:
    """Return a value as text, alike for 1 and 1.0."""
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)


def read_grid(path: str | Path) -> Grid:
    """Read a grid from a TOML file, such as ``crackviz sweep --help`` shows.

    Raises
    ------
    CrackvizError
        If the file cannot be read, or is no such grid.
    """
    if Path(path).suffix in (".yaml", ".yml"):
        raise CrackvizError(f"{path} is YAML; grids are TOML. Expected a file such as\n{EXAMPLE}")
    text = ""
    try:
        text = Path(path).read_bytes().decode("utf-8") + "\n"  # a last line without one has no number
        content = tomllib.loads(text)
    except OSError as error:
        why = error.strerror or error
        raise CrackvizError(f"Cannot read {path}: {why}. Expected a file such as\n{EXAMPLE}") from error
    except RecursionError as error:
        raise CrackvizError(f"{path} holds lists in lists without end. Expected a file such as\n{EXAMPLE}") from error
    except ValueError as error:
        line = re.search(r"at line (\d+)", str(error))
        at = f"line {line[1]}, {text.splitlines()[int(line[1]) - 1].strip()!r}: {error}" if line else str(error)
        twice = re.match(r"Cannot (overwrite|declare|mutate)", str(error))
        what = "names a key twice: keep one of them" if twice else f"is no TOML. Expected\n{EXAMPLE}"
        raise CrackvizError(f"{path}, {at}; it {what}") from error
    if not isinstance(content.get("grid"), dict):
        raise CrackvizError(f"{path} has no table called grid. Expected a file such as\n{EXAMPLE}")
    if unknown := [key for key in content if key not in _KEYS]:
        raise CrackvizError(f"{path} has {unknown[0]!r}, which means nothing here: expected {', '.join(_KEYS)}.")
    axes, parameters = content["grid"], content.get("parameters", {})
    if not isinstance(parameters, dict):
        raise CrackvizError(f"In {path}, parameters must be a table such as {{epochs = 30}}, found {parameters!r}.")
    if both := [name for name in axes if name in parameters]:
        raise CrackvizError(f"{path} names {both[0]} both under grid and under parameters: keep one of them.")
    notebooks, metrics = (_texts(path, name, content.get(name, [])) for name in ("notebooks", "metrics"))
    grid = Grid(axes, notebooks, parameters, metrics)
    grid.check(f"In {path}, ")
    return grid


def _texts(path: str | Path, name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    if wrong := [entry for entry in values if isinstance(entry, bool) or not isinstance(entry, str | int)]:
        raise CrackvizError(f"In {path}, {name} must be a list of texts, found {wrong[0]!r}.")
    return [str(entry) for entry in values]


def _short(value: Any) -> str:
    """Return a value as part of a folder's name: of a path, its last part."""
    text = str(value) if value != "" else "default"
    if "/" in text or "\\" in text:
        text = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "_"
