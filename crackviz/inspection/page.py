"""The page of an inspection: one file, printable, without anything to fetch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from crackviz import CrackvizError
from crackviz.files import make_folder, read_json, render
from crackviz.inspection.brief import jpeg, picture, sentence
from crackviz.inspection.inspecting import Inspection
from crackviz.inspection.outputs import color_of, record
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.quality import REASONS, unjudged
from crackviz.inspection.tiles import WINDOW

WIDE = 1600
"""Width of the photograph in the page, at most [px]."""
CLOSE = 320
"""Side of a close-up [px of the photograph]."""
CLOSE_UPS = 12
UNKNOWN = "#8e44ad"
SHOWN = 40
"""Cracks in the page's table; all are in cracks.csv."""


def write(found: Inspection, folder: Path) -> None:
    """Write ``index.html`` into a folder, whole or not at all; a CrackvizError where that fails."""
    make_folder(folder)
    photograph = Photograph(found.path)
    counted = found.counted
    names = [*found.choices.names, "width not known"] if found.mm_per_px else ["cracks"]
    colors = [color_of(i, max(len(names) - 1, 1)) for i in range(len(names) - 1)] + [UNKNOWN]
    step = max(1, found.width // 1500)
    lines = []
    for number, line in found.lines:
        crack = found.cracks.loc[number]
        sure = number in counted.index
        kind = names.index(str(crack["class"])) if crack["class"] in names else len(names) - 1
        thin = line[np.unique(np.r_[np.arange(0, len(line), 3 * step), len(line) - 1])]
        lines.append(
            {
                "points": " ".join(f"{x:.0f},{y:.0f}" for x, y in thin + 0.5),
                "color": colors[kind] if sure else "#666666",
                "dashed": not sure,
            }
        )
    silent = unjudged(found.windows)
    render(
        "inspection.html",
        folder / "index.html",
        title=f"crackviz: {found.path.name}",
        found=found,
        sentence=sentence(record(found)),
        record=record(found),
        picture=picture(photograph, WIDE),
        lines=lines,
        stroke=max(2.0, found.width / 450),
        legend=list(zip(names, colors, strict=True)),
        labels=_labels(found),
        silent=silent[["left", "top"]].to_numpy().tolist(),
        window=WINDOW,
        border=found.choices.limits.border or 0,
        reasons={REASONS[reason]: share for reason, share in found.summary["not_judged"].items()},
        unit="mm" if found.mm_per_px else "px",
        rows=counted.head(SHOWN),
        more=max(0, len(counted) - SHOWN),
        apart=found.cracks.drop(counted.index).head(SHOWN),
        close_ups=_close_ups(found, photograph),
    )


def overview(out: Path, folders: Mapping[Path, Path], errors: Mapping[Path, str]) -> None:
    """Write ``index.html`` of several photographs: a line and a link for each, or why it wasn't inspected.

    Those that an earlier call has inspected into the same folder come last.
    """
    rows = []
    for path, folder in folders.items():
        held = {} if errors[path] else read_json(folder / "inspection.json")
        rows.append({"name": path.name, "link": f"{folder.name}/index.html", "error": errors[path]})
        rows[-1]["sentence"] = sentence(held) if held else ""
    for file in sorted(out.glob("*/inspection.json")):
        with suppress(CrackvizError, KeyError, TypeError):  # damaged, or of another tool
            if file.parent not in folders.values() and (file.parent / "index.html").exists():
                held = read_json(file)
                link = f"{file.parent.name}/index.html"
                rows.append({"name": held["photograph"], "link": link, "error": "", "sentence": sentence(held)})
    render("inspections.html", out / "index.html", title="crackviz: inspected photographs", rows=rows)


def _labels(found: Inspection) -> list[dict[str, float | int]]:
    """Return where the numbers of the longest cracks stand: at their widest stretch."""
    size = max(18, found.width // 55)
    counted = found.counted.head(SHOWN)
    rows = counted[counted["widest_x"].notna()]
    return [
        {
            "number": int(str(number)),
            "x": min(float(row["widest_x"]) + size / 2, found.width - 2.0 * size),
            "y": max(float(row["widest_y"]) - size / 3, 1.1 * size),
            "size": size,
        }
        for number, row in rows.iterrows()
    ]


def _close_ups(found: Inspection, photograph: Photograph) -> list[dict[str, Any]]:
    """Return pieces of the photograph around the widest stretches of the widest cracks."""
    unit = "mm" if found.mm_per_px else "px"
    counted = found.counted
    shown = []
    for number, crack in counted[counted["widest_x"].notna()].nlargest(CLOSE_UPS, f"widest_{unit}").iterrows():
        left = int(np.clip(crack["widest_x"] - CLOSE / 2, 0, max(found.width - CLOSE, 0)))
        top = int(np.clip(crack["widest_y"] - CLOSE / 2, 0, max(found.height - CLOSE, 0)))
        rows = photograph.rows(top, min(top + CLOSE, found.height))[:, left : left + CLOSE]
        shown.append(
            {
                "number": number,
                "picture": jpeg(Image.fromarray(np.ascontiguousarray(rows)), 88),
                "width": crack[f"widest_{unit}"],
                "low": crack[f"widest_low_{unit}"],
                "high": crack[f"widest_high_{unit}"],
                "kind": crack["kind"],
                "bar": 10 / found.mm_per_px / CLOSE if found.mm_per_px and 10 / found.mm_per_px < CLOSE else 0,
            }
        )
    return shown
