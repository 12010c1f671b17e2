"""An inspection in a sentence and a small picture."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from crackviz.files import in_base64
from crackviz.inspection.photographs import Photograph


def sentence(held: Mapping[str, Any]) -> str:
    """Return what was found, in a sentence, of what :func:`crackviz.inspection.outputs.record` returns."""
    summary = held["summary"]
    unit = "mm" if held["mm_per_px"] else "px"
    long = summary[f"length_{unit}"]
    length = f"{long / 1000:.2f} m" if unit == "mm" else f"{long:.0f} px"
    count = summary["cracks"]
    told = f"{count or 'no'} crack{'s' if count != 1 else ''}" + (f", {length} in all" if count else "")
    if f"widest_{unit}" in summary:
        low, high = summary[f"widest_low_{unit}"], summary[f"widest_high_{unit}"]
        told += f", the widest {summary[f'widest_{unit}']:.2g} {unit} (95 %: {low:.2g} to {high:.2g})"
    silent = sum(summary["not_judged"].values())
    told += f"; {silent:.0%} of the photograph isn't judged" if silent >= 0.005 else ""
    told += f"; {summary['straight']} straight line{'s' * (summary['straight'] != 1)} not counted" * bool(
        summary["straight"]
    )
    return told + ("; without a scale" if unit == "px" else "")


def brief(photograph: Photograph, text: str, lines: Sequence[tuple[bool, np.ndarray]]) -> str:
    """Return an inspection as a notebook shows it: `text`, and the photograph with its lines, those that count red."""
    width, height = photograph.width, photograph.height
    drawn = "".join(
        f'<polyline points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in line[::4])}" fill="none" '
        f'stroke="{"#d7191c" if counts else "#666666"}" stroke-width="{width / 400:.1f}"/>'
        for counts, line in lines
    )
    return (
        f"<p>{html.escape(text)}</p>"
        f'<svg viewBox="0 0 {width} {height}" style="max-width:900px" role="img">'
        f'<image href="data:image/jpeg;base64,{picture(photograph, 900)}" width="{width}" height="{height}"/>'
        f"{drawn}</svg>"
    )


def picture(photograph: Photograph, wide: int) -> str:
    """Return the photograph, reduced, as JPEG in base64; read a few rows at a time."""
    share = min(1.0, wide / photograph.width)
    size = max(1, round(photograph.width * share)), max(1, round(photograph.height * share))
    small = Image.new("RGB", size)
    for low in range(0, size[1], 128):
        high = min(low + 128, size[1])
        top, bottom = low / size[1] * photograph.height, high / size[1] * photograph.height
        first, last = int(top), min(int(np.ceil(bottom)), photograph.height)
        part = Image.fromarray(photograph.rows(first, last))
        box = (0, top - first, photograph.width, bottom - first)
        small.paste(part.resize((size[0], high - low), Image.Resampling.BOX, box), (0, low))
    return jpeg(small)


def jpeg(image: Image.Image, quality: int = 82) -> str:
    """Return an image as JPEG in base64, as pages hold it."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return in_base64(file.getvalue())
