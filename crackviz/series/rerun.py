"""Two runs compared: claims, numbers, figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crackviz.files import read_json, write_json
from crackviz.series.records import existing_config
from crackviz.series.report import figures_of
from crackviz.series.table import is_time

_MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """Something in which two runs differ more than is allowed."""

    kind: str
    """claim, number, figure or outcome."""
    name: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.first} before, {self.second} now"


def compare(
    first: str | Path, second: str | Path, *, rtol: float = 1e-3, atol: float = 1e-6, figure_tolerance: float = 3.0
) -> list[Difference]:
    """Return in what two runs differ: outcomes, claims, numbers of ``results.json``, and figures.

    Parameters
    ----------
    first, second : str or Path
        Run folders.
    rtol, atol : float
        Numbers are alike if they differ by at most ``atol + rtol * |first|``. Times are not compared.
    figure_tolerance : float
        Figures are alike if their pixels differ by at most that many grey levels of 255 on average.

    Raises
    ------
    CrackvizError
        If one of them is no run.
    """
    found: list[Difference] = []
    one, other = Path(first).expanduser().resolve(), Path(second).expanduser().resolve()
    outcomes = [
        {stem: record["status"] for stem, record in existing_config(run)["notebooks"].items()} for run in (one, other)
    ]
    found += _differing("outcome", *outcomes)
    made = [
        {
            f"{claim['id']} of {stem}": "holds" if claim["holds"] else "does not hold"
            for stem, claims in read_json(run / "claims.json").items()
            for claim in claims
        }
        for run in (one, other)
    ]
    found += _differing("claim", *made)
    numbers = [dict(_leaves(read_json(run / "results.json"))) for run in (one, other)]
    found += [
        difference
        for difference in _differing("number", *numbers)
        if not is_time(difference.name) and not _close(difference.first, difference.second, rtol, atol)
    ]
    figures = [
        {figure["name"]: run / "figures" / figure["file"] for group in figures_of(run).values() for figure in group}
        for run in (one, other)
    ]
    for name in sorted(figures[0].keys() | figures[1].keys()):
        apart = _apart(figures[0].get(name), figures[1].get(name))
        if apart is None or apart > figure_tolerance:
            what = "of another size, or missing" if apart is None else f"{apart:.1f} grey levels off"
            found.append(Difference("figure", name, "as it was", what))
    return found


def write_comparison(found: list[Difference], first: Path, second: Path) -> None:
    """Write ``comparison.json`` into the second run."""
    entries = [{"kind": d.kind, "name": d.name, "first": d.first, "second": d.second} for d in found]
    write_json(second / "comparison.json", {"with": str(first), "differences": entries})


def _differing(kind: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Difference]:
    names = [*first, *(name for name in second if name not in first)]
    pairs = [(name, first.get(name, _MISSING), second.get(name, _MISSING)) for name in names]
    return [Difference(kind, name, a, b) for name, a, b in pairs if a != b]


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{name}[{index}]")]
    return [(name, value)]


def _close(first: Any, second: Any, rtol: float, atol: float) -> bool:
    if not isinstance(first, int | float) or not isinstance(second, int | float):
        return False
    return math.isclose(second, first, rel_tol=0, abs_tol=atol + rtol * abs(first))


def _apart(first: Path | None, second: Path | None) -> float | None:
    """Return the mean difference of two pictures in grey levels; None where their sizes differ, or one is missing."""
    import numpy as np
    from PIL import Image

    if first is None or second is None:
        return None
    with Image.open(first) as one, Image.open(second) as other:
        if one.size != other.size:
            return None
        pixels = [np.asarray(image.convert("RGB"), np.float32) for image in (one, other)]
    return float(np.abs(pixels[0] - pixels[1]).mean())
