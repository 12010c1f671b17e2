"""Two runs compared: outcomes, claims, numbers, figures."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from crackviz.contracts import check_number
from crackviz.files import absolute, write_json
from crackviz.series.records import claims_of, existing_config, results_of
from crackviz.series.report import figures_of
from crackviz.series.table import flattened, is_time

_MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """Something in which two runs differ more than is allowed."""

    kind: str
    """outcome, claim, value (what a claim measured), number or figure."""
    name: str
    first: Any
    second: Any

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.first} before, {self.second} now"


def compare(
    first: str | Path, second: str | Path, *, rtol: float = 1e-3, atol: float = 1e-6, figure_tolerance: float = 3.0
) -> list[Difference]:
    """Return in what two runs differ: outcomes, claims, what ``results.json`` holds besides times, and figures.

    What claims measured is compared where both runs have kept it; that of an identity is a rounding error and is not.

    Parameters
    ----------
    first, second : str or Path
        Run folders.
    rtol, atol : float
        Numbers are alike if they differ by at most ``atol + rtol * |first|``.
    figure_tolerance : float
        Figures are alike if their pixels differ by at most that many grey levels of 255 on average.

    Raises
    ------
    CrackvizError
        If one of them is no run, or a tolerance is no number from 0 on.
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol), ("figure_tolerance", figure_tolerance)):
        check_number(name, tolerance, 0)
    one, other = (_contents(absolute("The run", run)) for run in (first, second))
    found = []
    for kind, before in one.items():
        for name in dict.fromkeys([*before, *other[kind]]):
            a, b = before.get(name, _MISSING), other[kind].get(name, _MISSING)
            if kind == "figure":
                a, b = "as it was", _apart(a, b, figure_tolerance)
            if kind == "value" and _MISSING in (a, b):
                continue  # an older run has not kept it, or the claim itself is missing, which is told
            if not _alike(a, b, rtol, atol):
                found.append(Difference(kind, name, a, b))
    return found


def write_comparison(found: list[Difference], first: str | Path, second: str | Path) -> Path:
    """Write what :func:`compare` has found as ``comparison.json`` into the second run, and return its path."""
    path = absolute("The run", second) / "comparison.json"
    differences = [asdict(difference) for difference in found]
    write_json(path, {"with": absolute("The run", first), "differences": differences})
    return path


def _contents(run: Path) -> dict[str, dict[str, Any]]:
    """Return what is compared, by kind and name."""
    outcomes = {
        stem: ": ".join(filter(None, (record["status"], record.get("error", {}).get("message", "")[:200])))
        for stem, record in existing_config(run)["notebooks"].items()
    }
    made = {f"{claim['id']} of {stem}": claim for stem, many in claims_of(run).items() for claim in many}
    claims = {name: "holds" if claim["holds"] else "does not hold" for name, claim in made.items()}
    numbers = {k: v for k, v in flattened(results_of(run)).items() if not is_time(k)}
    # an identity's number is a rounding error, which no two machines share
    values = {name: c["value"] for name, c in made.items() if "value" in c and not c.get("identity")}
    figures = {f["name"]: run / "figures" / f["file"] for made in figures_of(run).values() for f in made}
    return {"outcome": outcomes, "claim": claims, "value": values, "number": numbers, "figure": figures}


def _alike(first: Any, second: Any, rtol: float, atol: float) -> bool:
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return all(_alike(a, b, rtol, atol) for a, b in zip(first, second, strict=True))
    if isinstance(first, int | float) and isinstance(second, int | float):
        return math.isclose(second, first, rel_tol=0, abs_tol=atol + rtol * abs(first))
    return bool(first == second)


def _apart(first: Any, second: Any, tolerance: float) -> str:
    """Say how two pictures differ: "as it was" where hardly."""
    import numpy as np
    from PIL import Image

    if _MISSING in (first, second):
        return "new" if first == _MISSING else _MISSING
    try:
        with Image.open(first) as one, Image.open(second) as other:
            pixels = [np.asarray(image.convert("RGB"), np.float32) for image in (one, other)]
    except (OSError, SyntaxError, ValueError) as error:
        return f"not to be read ({error})"
    if pixels[0].shape != pixels[1].shape:
        return "of another size"
    apart = float(np.abs(pixels[0] - pixels[1]).mean())
    return "as it was" if apart <= tolerance else f"{apart:.1f} grey levels off"
