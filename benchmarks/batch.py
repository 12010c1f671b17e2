"""What running notebooks as a batch costs over running their cells.

    python benchmarks/batch.py overhead    the default series: seconds that no cell has asked for (a quarter of an hour)
    python benchmarks/batch.py jobs        two runs at once against one after the other
    python benchmarks/batch.py many        200 runs of a trivial notebook: memory of the process that leads them
    python benchmarks/batch.py folders     listing and comparing 1,000 run folders

Each is measured in fresh processes of the command ``crackviz``, and writes its part of benchmarks/results/batch.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
import psutil

RESULTS = Path(__file__).parent / "results" / "batch.json"
ROOT = Path(__file__).resolve().parents[1]
COMMAND = [sys.executable, "-m", "crackviz.cli"]


def crackviz(*arguments: str | Path, cwd: Path = ROOT, sample: float = 0.0) -> tuple[float, list[float]]:
    """Run the command; return its seconds, and, with `sample` seconds between looks, its own resident set in MiB."""
    began = time.perf_counter()
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], cwd=cwd, stdout=subprocess.DEVNULL)
    memory: list[float] = []
    leader = psutil.Process(process.pid)
    while sample and process.poll() is None:
        try:
            memory.append(leader.memory_info().rss / 2**20)
        except psutil.Error:
            break
        time.sleep(sample)
    if process.wait():
        raise SystemExit(f"crackviz {' '.join(map(str, arguments))} ended with code {process.returncode}")
    return time.perf_counter() - began, memory


def notebook(path: Path, *cells: str) -> None:
    """Write a notebook with the parameters run, seed and busy."""
    parameters = "run: str = ''  # run folder\nseed: int = 0  # seed\nbusy: float = 0.0  # seconds of computing"
    opening = f"from crackviz import series\nfolder = series.open_run(run, {path.stem!r})"
    code = [nbformat.v4.new_code_cell(text) for text in (parameters, opening, *cells)]
    code[0].metadata.tags = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=code), path)


def grid(path: Path, name: str, runs: int, **parameters: Any) -> None:
    """Write a grid of so many seeds."""
    fixed = "".join(f"parameters.{key} = {value}\n" for key, value in parameters.items())
    path.write_text(f"notebooks = ['{name}']\n{fixed}grid.seed = {list(range(runs))}\n", "utf-8")


def overhead(place: Path) -> dict[str, Any]:
    """Time the whole default series, and what no cell has asked for."""
    seconds, _ = crackviz("run", "--out", place / "series")
    records = json.loads((place / "series" / "config.json").read_text("utf-8"))["notebooks"]
    cells = sum(record["cells_seconds"] for record in records.values())
    each = {name: round(record["seconds"] - record["cells_seconds"], 1) for name, record in records.items()}
    return {
        "notebooks": len(records),
        "whole_s": round(seconds, 1),
        "cells_s": round(cells, 1),
        "over_the_cells_percent": round(100 * (seconds - cells) / cells, 1),
        "per_notebook_s": round((seconds - cells) / len(records), 2),
        "within_notebooks_s": each,
    }


def jobs(place: Path, runs: int = 8, busy: float = 15.0) -> dict[str, Any]:
    """Compare a sweep of single-threaded runs two at a time with one after the other, in turns."""
    work = "import time\nend = time.process_time() + busy\nwhile time.process_time() < end:\n    sum(range(10000))"
    notebook(place / "busy.ipynb", work)
    grid(place / "busy.toml", "busy.ipynb", runs, busy=busy)
    times: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(2):
        for at_once in (1, 2):
            out = place / f"busy-{turn}-{at_once}"
            seconds, _ = crackviz("sweep", "busy.toml", "--out", out, "--jobs", at_once, "--threads", 1, cwd=place)
            times[at_once].append(seconds)
    serial, parallel = (statistics.median(times[at_once]) for at_once in (1, 2))
    return {
        "runs": runs,
        "busy_s_each": busy,
        "cores": os.cpu_count(),
        "serial_s": round(serial, 1),
        "two_jobs_s": round(parallel, 1),
        "ratio": round(parallel / serial, 3),
    }


def many(place: Path, runs: int = 200) -> dict[str, Any]:
    """Follow the memory of the leading process through many trivial runs."""
    notebook(place / "trivial.ipynb", "series.write_results(folder, 'trivial', {'x': seed})")
    grid(place / "trivial.toml", "trivial.ipynb", runs)
    out = place / "trivial"
    seconds, memory = crackviz("sweep", "trivial.toml", "--out", out, "--jobs", 2, cwd=place, sample=0.5)
    running = memory[: int(len(memory) * 0.97)]  # the table and the page at the end are made once
    quarter = len(running) // 4
    first, last = statistics.median(running[quarter : 2 * quarter]), statistics.median(running[-quarter:])
    return {
        "runs": runs,
        "seconds_per_run": round(seconds / runs, 2),
        "leader_MiB_second_quarter": round(first, 1),
        "leader_MiB_last_quarter": round(last, 1),
        "growth_KiB_per_run": round(1024 * (last - first) / (runs * 0.625), 1),
        "leader_MiB_peak": round(max(memory), 1),
    }


def folders(place: Path, count: int = 1000) -> dict[str, Any]:
    """List and compare many run folders, each with the small files that notebooks 02 and 03 leave."""
    crackviz("run", "02", "03", "--out", place / "one", "-p", "max_images", 300, "-p", "epochs", 1)
    for number in range(count):
        run = place / "runs" / f"seed={number}"
        run.mkdir(parents=True)
        for name in ("results.json", "claims.json"):
            shutil.copyfile(place / "one" / name, run / name)
        config = json.loads((place / "one" / "config.json").read_text("utf-8"))
        config |= {"seed": number, "parameters": config["parameters"] | {"seed": number}}
        (run / "config.json").write_text(json.dumps(config), "utf-8")
    listing = statistics.median(crackviz("list", place / "runs")[0] for _ in range(5))
    runs = sorted((place / "runs").iterdir())
    comparing = statistics.median(crackviz("report", *runs)[0] for _ in range(5))
    nothing = statistics.median(crackviz("--version")[0] for _ in range(5))
    columns = (place / "runs" / "results.csv").read_text("utf-8").splitlines()[0].count(",") + 1
    return {
        "folders": count,
        "columns": columns,
        "list_s": round(listing, 2),
        "report_s": round(comparing, 2),
        "both_s": round(listing + comparing, 2),
        "start_of_the_command_s": round(nothing, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "jobs", "many", "folders"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        figures = globals()[options.what](Path(place))
    print(json.dumps(figures, indent=1))
    known = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {options.what: figures}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
