"""What an inspection leaves behind: tables, lines for QGIS and CAD, the map as a picture, and a record of how."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from crackviz import __version__
from crackviz.files import file_hash, make_folder, replacing, short_hash, write_json
from crackviz.inspection.inspecting import Inspection
from crackviz.inspection.photographs import let_go

CELL = 512
_LAYERS = ("#7fb3d5", "#2e86c1", "#f39c12", "#d35400", "#922b21")
"""Colours from thin to wide; the last serves all wider classes."""


def color_of(number: int, count: int) -> str:
    """Return the colour of a class of width, of `count`."""
    return _LAYERS[round(number * (len(_LAYERS) - 1) / max(count - 1, 1))]


def write(found: Inspection, folder: Path, key: str = "") -> None:
    """Write everything but the page into a folder, each file whole or not at all, ``inspection.json`` last.

    ``cracks.csv``, ``points.csv``, ``windows.csv``; ``cracks.geojson`` and ``map.tif`` (16 bits, 65535 for the largest
    value that the map can hold, 0 for none and for evidence against) with the world file ``map.tfw``;
    ``photograph.wld`` for the photograph itself; ``cracks.dxf``. In these, x goes to the right and y up, in mm where
    the scale is known, else in px, from the upper left corner of the photograph.

    Raises
    ------
    CrackvizError
        Where a file can't be written: no space, no permission.
    """
    make_folder(folder)
    for name, table in (("cracks", found.cracks), ("points", found.points), ("windows", found.windows)):
        with replacing(folder / f"{name}.csv") as part:
            table.to_csv(part, float_format="%.6g", index=name == "cracks")
    write_json(folder / "cracks.geojson", _geojson(found))
    _write_dxf(found, folder / "cracks.dxf")
    _write_map(found, folder / "map.tif")
    scale = found.mm_per_px or 1.0
    for name in ("map.tfw", "photograph.wld"):
        with replacing(folder / name) as part:  # px size, no turn, and where the middle of the first px lies
            part.write_text("".join(f"{value:.10g}\n" for value in (scale, 0, 0, -scale, scale / 2, -scale / 2)))
    whose = {"key": key, "place": place_of(found.path), "content": file_hash(found.path)}
    write_json(folder / "inspection.json", record(found) | whose)


def place_of(path: Path) -> str:
    """Return what tells where a photograph lies, from which nobody can read it: pages are handed on."""
    return short_hash(str(path.resolve()))


def record(found: Inspection) -> dict[str, Any]:
    """Return what was inspected, how, with what, and what was found in short."""
    import keras
    import tensorflow as tf

    versions = {"crackviz": __version__, "python": platform.python_version()}
    versions |= {"tensorflow": tf.__version__, "keras": keras.__version__, "numpy": np.__version__}
    return {
        "photograph": found.path.name,
        "width": found.width,
        "height": found.height,
        "mm_per_px": found.mm_per_px,
        "network": found.network,
        "bias": found.bias,
        "full": found.full,
        "choices": asdict(found.choices),
        "summary": found.summary,
        "too_far": found.too_far,
        "note": found.note,
        "versions": versions,
    }


def place(found: Inspection, points: np.ndarray) -> np.ndarray:
    """Return points (n, 2) of the photograph [px] where drawings have them: y up, in mm, or px without a scale."""
    return (points + 0.5) * np.array([1, -1]) * (found.mm_per_px or 1.0)


def _geojson(found: Inspection) -> dict[str, Any]:
    features = []
    for number, line in found.lines:
        crack = found.cracks.loc[number]
        kept = ("length_px", "length_mm", "widest_px", "widest_mm", "widest_low_mm", "widest_high_mm", "kind", "class")
        told = {name: crack[name] for name in (*kept, "straight", "judged")}
        shape = {"type": "LineString", "coordinates": np.round(place(found, line), 3)}
        features.append({"type": "Feature", "properties": {"crack": number} | told, "geometry": shape})
    return {"type": "FeatureCollection", "name": found.path.stem, "features": features}


def _write_dxf(found: Inspection, path: Path) -> None:
    import ezdxf
    from ezdxf import colors, units

    drawing = ezdxf.new("R2010")
    drawing.units = units.MM if found.mm_per_px else units.IN  # without a scale there is no unit that is right
    if not found.mm_per_px:
        drawing.header["$INSUNITS"] = 0
    names = [*found.choices.names, "width not known", "straight"]
    for i, name in enumerate(names):
        layer = drawing.layers.add(_layer(name))
        layer.rgb = colors.RGB.from_hex(color_of(min(i, len(found.choices.names) - 1), len(found.choices.names)))
    for number, line in found.lines:
        crack = found.cracks.loc[number]
        name = "straight" if crack["straight"] else crack["class"] or "width not known"
        drawing.modelspace().add_lwpolyline(place(found, line).tolist(), dxfattribs={"layer": _layer(name)})
    with replacing(path) as part, part.open("w", encoding="utf-8") as file:
        drawing.write(file)


def _layer(name: str) -> str:
    return "crack " + name.replace("–", "-").replace(".", "_")  # a CAD program's layers allow few signs


def _write_map(found: Inspection, path: Path) -> None:
    import tifffile

    with replacing(path) as part:
        tifffile.imwrite(
            part,
            _cells(found),
            shape=found.map.shape,
            dtype=np.uint16,
            tile=(CELL, CELL),
            compression="zlib",
            photometric="minisblack",
            bigtiff=found.map.size > 1_000_000_000,
            metadata=None,
        )


def _cells(found: Inspection) -> Iterator[np.ndarray]:
    for top in range(0, found.height, CELL):
        for left in range(0, found.width, CELL):
            part = np.asarray(found.map[top : top + CELL, left : left + CELL])
            cell = np.zeros((CELL, CELL), np.uint16)
            cell[: part.shape[0], : part.shape[1]] = np.rint(np.clip(part / found.full, 0, 1) * 65535)
            yield cell
        let_go(found.map)
