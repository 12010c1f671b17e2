"""A grid of runs, as a YAML file describes it: which notebooks, which parameters vary, which stay."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crackviz import ROOT, CrackvizError

EXAMPLE = (ROOT / "templates" / "grid.yaml").read_text("utf-8")
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
        """Return the runs: a name that serves as a folder's, and the values of the axes."""
        found: dict[str, dict[str, Any]] = {}
        for values in itertools.product(*self.axes.values()):
            point = dict(zip(self.axes, values, strict=True))
            name = ",".join(f"{axis}={_short(value)}" for axis, value in point.items())
            if name in found or len(name) > _LONGEST:  # two folders of one name in different places, long texts
                digest = hashlib.sha256(repr(point).encode()).hexdigest()[:6]
                name = f"{name[: _LONGEST - 7].rstrip('. ,')}~{digest}"
            found[name] = point
        return found


def read_grid(path: str | Path) -> Grid:
    """Read a grid from a YAML file.

    Raises
    ------
    CrackvizError
        If the file can't be read, holds something else, or a value twice, or gives no run at all.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """Refuses a key that stands twice, of which YAML would silently take the last."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if keys.count(key) > 1:
                    raise CrackvizError(f"{path} names {key!r} twice: keep one of them.")
            return super().construct_mapping(node, deep)

    # Numbers of notebooks begin with a zero, by which YAML 1.1 would read 010 as eight.
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:int"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?e[-+]?[0-9]+$"), None)
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except OSError as error:
        why = error.strerror or error
        raise CrackvizError(f"Cannot read {path}: {why}. Expected a file such as\n{EXAMPLE}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CrackvizError(f"{path} is no YAML ({' '.join(str(error).split())}). Expected\n{EXAMPLE}") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("grid"), Mapping):
        raise CrackvizError(f"{path} has no mapping called grid. Expected a file such as\n{EXAMPLE}")
    if not content["grid"]:
        raise CrackvizError(f"In {path}, grid is empty, so nothing would vary: for a single run use crackviz run.")
    if unknown := [key for key in content if key not in _KEYS]:
        raise CrackvizError(f"{path} has {unknown[0]!r}, which means nothing here: expected {', '.join(_KEYS)}.")
    parameters = content.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise CrackvizError(f"In {path}, parameters must be a mapping such as {{epochs: 30}}, found {parameters!r}.")
    if both := [name for name in content["grid"] if name in parameters]:
        raise CrackvizError(f"{path} names {both[0]} both under grid and under parameters: keep one of them.")
    return Grid(
        {str(name): _axis(path, str(name), values) for name, values in content["grid"].items()},
        _texts(path, "notebooks", content.get("notebooks")),
        {str(name): value for name, value in parameters.items()},
        _texts(path, "metrics", content.get("metrics")),
    )


def _axis(path: str | Path, name: str, values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise CrackvizError(f"In {path}, {name} must be a list, such as [{values}]; found {values!r}.")
    check_axis(name, values, f"In {path}, ")
    return values


def check_axis(name: str, values: list[Any], where: str = "") -> None:
    """Refuse an axis without a value, or with one that stands twice."""
    if not values:
        raise CrackvizError(f"{where}{name} is an empty list, so there would be no run. Give it a value.")
    seen = [repr(value) for value in values]
    for value in seen:
        if seen.count(value) > 1:
            raise CrackvizError(f"{where}{name} holds {value} twice, which would be the same run: keep one of them.")


def _texts(path: str | Path, name: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    if wrong := [entry for entry in values if not isinstance(entry, str | int)]:
        raise CrackvizError(f"In {path}, {name} must be a list of texts, found {wrong[0]!r}.")
    return [str(entry) for entry in values]


def _short(value: Any) -> str:
    """Return a value as part of a folder's name: of a path, its last part."""
    text = str(value) if value != "" else "default"
    if "/" in text or "\\" in text:
        text = re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return re.sub(r"[^\w.+-]+", "_", text).strip("_") or "_"
