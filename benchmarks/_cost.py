"""What an inspection costs, each figure in a process of its own: ``python benchmarks/_cost.py time|memory FILE``."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

SIZES = {"16.5 megapixels": (4608, 3584), "201 megapixels": (16384, 12288)}
REPEATS = 2


def write_photograph(path: Path, width: int, height: int) -> None:
    """Write a striped TIFF of any size, a few rows at a time: a drawn wall over and over."""
    from crackviz import synthetic

    settings = synthetic.Settings(seed=950, distractor_rate=0.2, crack_width=(1.0, 9.0))
    wall = synthetic.photograph(0, settings, size=(2048, 1536)).image
    rows = np.tile(wall, (1, -(-width // wall.shape[1]), 1))[:, :width]
    parts = (rows[np.arange(top, min(top + 512, height)) % len(rows)] for top in range(0, height, 512))
    tifffile.imwrite(
        path, parts, shape=(height, width, 3), dtype=np.uint8, photometric="rgb", rowsperstrip=512, metadata=None
    )


def measure_time(path: Path) -> dict[str, float]:
    """Seconds of the tiles and of compiled forward passes of as many pixels, one after the other, several times."""
    from crackviz import inspection, models
    from crackviz.attribution.network import build_logits, compiled

    photograph = inspection.Photograph(path)
    mapper = inspection.Mapper(models.load_pretrained("trace_cnn"))
    out = np.empty((photograph.height, photograph.width), np.float32)
    passes = compiled(mapper.model, build_logits)
    windows = (
        photograph.rows(0, 2048)[:2048, :4096].reshape(16, 128, 32, 128, 3).swapaxes(1, 2).reshape(-1, 128, 128, 3)
    )
    windows = windows.astype(np.float32) / 255
    batches = round(out.size / (32 * 128 * 128))

    def forward() -> None:
        for i in range(batches):
            some = i % (len(windows) // 32) * 32
            passes(windows[some : some + 32]).numpy()

    found: dict[str, list[float]] = {"tiles": [], "passes": []}
    asked: list[tuple[str, Callable[[], Any]]] = [("tiles", lambda: mapper(photograph, out)), ("passes", forward)]
    for turn in range(REPEATS + 1):  # the first one traces
        for name, ask in asked:
            began = time.perf_counter()
            ask()
            found[name] += [time.perf_counter() - began] * (turn > 0)
    tiles, compiled_passes = (statistics.median(found[name]) for name in ("tiles", "passes"))
    return {
        "seconds of tiles": tiles,
        "seconds of passes": compiled_passes,
        "tiles over passes": tiles / compiled_passes,
    }


def measure_memory(path: Path) -> dict[str, float]:
    """Inspect a photograph as the command does; return the process's greatest resident set, files it maps included."""
    from crackviz import inspection

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        errors = inspection.inspect_several([path], out, 0.5)
    assert errors == {path: ""}, errors
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"GiB": most, "seconds": time.perf_counter() - began}


def cost() -> dict[str, Any]:
    """Measure both in fresh processes."""
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, size in SIZES.items():
            path = Path(folder) / f"{size[0]}.tif"
            write_photograph(path, *size)
            for what in ("time", "memory") if size == SIZES["16.5 megapixels"] else ("memory",):
                command = [sys.executable, __file__, what, str(path)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                told[f"{name}: {what}"] = json.loads(done.stdout.splitlines()[-1])
                print(name, what, told[f"{name}: {what}"], flush=True)
            path.unlink()
    return told


if __name__ == "__main__":
    print(json.dumps({"time": measure_time, "memory": measure_memory}[sys.argv[1]](Path(sys.argv[2]))))
