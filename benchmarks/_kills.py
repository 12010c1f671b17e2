"""Runs, sweeps, trainings, synthetic sets and inspections killed at random moments; see robustness.py."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_TRAIN = """
import sys; from pathlib import Path; from crackviz import data, models, training
place = Path(sys.argv[1]); table = data.prepare(place / "set", place / "out" / "split.csv")
training.train(models.gap_cnn(16), table, place / "out", training.Recipe(epochs=6, batch_size=2), image_size=16)
"""
_NOTEBOOK = [
    "parameters: run = ''  # run folder\nseed = 0  # seed",
    "import time\nimport numpy\nfrom crackviz import series\nfolder = series.open_run(run, '{0}')",
    "time.sleep(0.5)\nseries.write_results(folder, '{0}', {{'x': seed + 0.5}})",
]


def kills(place: Path, rng: np.random.Generator, count: int = 24) -> Iterator[tuple[str, Callable[[], str], None]]:
    """Kill what takes its time at a random moment; the same command does what is missing."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from made import write_notebook

    base = place / "base"
    for stem in ("00_a", "01_b"):
        write_notebook(base / f"{stem}.ipynb", [text.format(stem) for text in _NOTEBOOK])
    (base / "grid.toml").write_text("notebooks = ['00_a.ipynb', '01_b.ipynb']\n[grid]\nseed = [0, 1]\n")
    for label in ("crack", "no_crack"):
        (base / "set" / label).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(base / "set" / label / f"{number}.png")
    wall = np.clip(rng.normal(170, 6, (400, 400, 3)), 0, 255)
    wall[:, 198:203] *= 0.3  # a crack of 5 px
    for number in range(2):
        (base / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.rot90(wall, number).astype(np.uint8)).save(base / "photos" / f"{number}.png")
    (base / "out").mkdir()
    command = [sys.executable, "-m", "crackviz.cli"]
    made = "from crackviz import data; print(len(data.index('synthetic:patches=64,image_size=32,crack_width=(1,4)')))"
    ways = {
        "run": [*command, "run", "00_a.ipynb", "01_b.ipynb", "--out", "out"],
        "sweep": [*command, "sweep", "grid.toml", "--out", "out", "--jobs", "2"],
        "training": [sys.executable, "-c", _TRAIN, "."],
        "synthetic set": [sys.executable, "-c", made],
        "inspection": [*command, "inspect", "photos", "--out", "out"],
    }
    whole: dict[str, tuple[float, Any]] = {}
    for number in range(count):
        what = list(ways)[number % len(ways)]
        if what not in whole:
            shutil.copytree(base, place / what)
            began = time.monotonic()
            _called(ways[what], place / what)
            whole[what] = time.monotonic() - began, _left(place / what)
        moment, how = (
            float(rng.uniform(0.05, 1.0)) * whole[what][0],
            (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[number % 3],
        )
        folder = place / f"kill{number}"
        shutil.copytree(base, folder)
        killed = lambda w=what, f=folder, m=moment, h=how: _killed(ways[w], f, m, h, whole[w][1])  # noqa: E731
        yield f"{what} {number}: {how.name} at {moment:.1f} s", killed, None


def _called(command: list[str], folder: Path) -> None:
    env = os.environ | {"CRACKVIZ_CACHE": str(folder / "out" / "cache")}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise RuntimeError(f"rc {done.returncode}: {done.stdout[-300:]} {done.stderr[-300:]}")


def _left(folder: Path) -> Any:
    """Return what a way leaves that must not depend on kills: results, histories, and pictures."""
    results = [json.loads(path.read_text()) for path in sorted((folder / "out").rglob("results.json"))]
    configs = [json.loads(path.read_text()) for path in sorted((folder / "out").rglob("config.json"))]
    states = [record["status"] for config in configs for record in config["notebooks"].values()]
    history = [path.read_text() for path in sorted((folder / "out").rglob("history.csv"))]
    drawn = {path.name: path.read_bytes() for path in (folder / "out" / "cache").rglob("*.png")}
    tables = {str(path.relative_to(folder)): path.read_bytes() for path in (folder / "out").rglob("cracks.csv")}
    return results, states, history, drawn, tables


def _killed(command: list[str], folder: Path, moment: float, how: signal.Signals, expected: Any) -> str:
    env = os.environ | {"CRACKVIZ_CACHE": str(folder / "out" / "cache")}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # under nohup it is ignored, by children as well
    process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with_time = time.monotonic() + moment
    while process.poll() is None and time.monotonic() < with_time:
        time.sleep(0.02)
    if process.poll() is None:
        process.send_signal(how)
        process.wait(300)
    for path in (folder / "out").rglob("*"):
        if path.suffix in (".json", ".ipynb") and ".part-" not in path.name:
            try:
                found = json.loads(path.read_text())
            except ValueError:
                return "half-written"
            if path.name == "config.json" and "failed" in {r["status"] for r in found["notebooks"].values()}:
                return "lost"
    try:
        _called(command, folder)
    except (RuntimeError, subprocess.TimeoutExpired):
        return "lost"
    return "right" if _left(folder) == expected else "silent wrong"
