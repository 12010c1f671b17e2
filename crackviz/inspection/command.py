"""What ``crackviz inspect`` does: its options become an inspection's."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.inspection.inspecting import Choices
from crackviz.inspection.several import inspect_several
from crackviz.inspection.traces import Rules

_TO_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0}


def scale_of(ruler: str) -> float:
    """Return the mm of a px that a ruler tells: "812 px = 50 mm", in mm, cm or m.

    Raises
    ------
    CrackvizError
        Where it isn't written so, one of its lengths is 0, or a number such as 1,000 can be read in two ways.
    """
    number = r"(\d+(?:[.,]\d+)?)"
    read = re.fullmatch(rf"\s*{number}\s*px\s*=\s*{number}\s*(mm|cm|m)\s*", ruler, re.ASCII)
    if not read:
        raise CrackvizError(f'ruler is {ruler!r}; expected px and a length, such as "812 px = 50 mm".', "ruler")
    if unsure := [value for value in read.groups()[:2] if re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", value)]:
        raise CrackvizError(
            f"ruler is {ruler!r}: {unsure[0]} may be thousands or a decimal. Write {re.sub('[.,]', '', unsure[0])} for "
            f"the first, {unsure[0]}0 for the second.",
            "ruler",
        )
    pixels, length = (float(value.replace(",", ".")) for value in read.groups()[:2])
    if not pixels or not length:
        raise CrackvizError(f"ruler is {ruler!r}: a ruler of no length has no scale. Expected both above 0.", "ruler")
    return length * _TO_MM[read[3]] / pixels


def inspect_photographs(
    named: Sequence[str],
    out: str,
    mm_per_px: float | None,
    ruler: str,
    *,
    network: str,
    threshold: float | None,
    tell: Callable[[str], object],
    **choices: Any,
) -> bool:
    """Inspect photographs as the command is asked to; return whether all could be. Raises as `inspect_several`."""
    if ruler and mm_per_px is not None:
        raise CrackvizError("Both a scale and a ruler are given; expected one of them.", "ruler")
    scale = scale_of(ruler) if ruler else mm_per_px
    rules = Rules() if threshold is None else Rules(mean=threshold)
    if scale is None and choices["limit_mm"] != Choices.limit_mm:
        raise CrackvizError("limit_mm says nothing without a scale: give --mm-per-px or --ruler, too.", "limit-mm")
    errors = inspect_several(named, out, scale, network, Choices(rules=rules, **choices), tell=tell)
    tell(f"Report: {Path(out) / 'index.html'}")
    return not any(errors.values())
