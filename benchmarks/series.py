"""Minutes and peak memory of `make run` on a folder of pictures, and seconds of a second, dry set-up.

    python benchmarks/series.py path/to/metu [--out runs/benchmark] [--max 2000]

All pictures of the folder are used, or `--max` of them.

Memory is the sum over make and all its descendants of their resident sets, sampled twice a second. Writes
benchmarks/results/series.json, with the minutes of each notebook.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from crackviz.files import read_json

ROOT = Path(__file__).resolve().parents[1]


def make(*arguments: str) -> tuple[float, float]:
    """Run make; return its seconds and the peak of the tree's memory in GiB."""
    peak = 0
    start = time.perf_counter()
    process = subprocess.Popen(["make", "-C", str(ROOT), *arguments])
    ended = threading.Event()

    def watch() -> None:
        nonlocal peak
        tree = psutil.Process(process.pid)
        while not ended.wait(0.5):
            total = 0
            with suppress(psutil.Error):
                for member in [tree, *tree.children(recursive=True)]:
                    with suppress(psutil.Error):
                        total += member.memory_info().rss
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code:
        raise SystemExit(code)
    return time.perf_counter() - start, peak / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmark")
    parser.add_argument("--max", type=int, default=0, help="so many of the pictures; 0 takes all")
    options = parser.parse_args()
    make("setup")
    dry, _ = make("setup")
    given = (f"DATA={options.folder.resolve()}", f"OUT={options.out.resolve()}", f"MAX={options.max}")
    seconds, peak = make("run", *given)
    config = json.loads((options.out / "config.json").read_text("utf-8"))
    claims = [claim for made in read_json(options.out / "claims.json").values() for claim in made]
    figures = {
        "max_images": options.max,
        "dry_setup_s": round(dry, 2),
        "make_run_minutes": round(seconds / 60, 1),
        "peak_memory_GiB": round(peak, 2),
        "claims": f"{sum(claim['holds'] for claim in claims)} of {len(claims)} hold",
        "notebook_minutes": {name: round(entry["seconds"] / 60, 1) for name, entry in config["notebooks"].items()},
    }
    print(json.dumps(figures, indent=1))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "series.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
