"""Seconds that `import crackviz` takes beyond the interpreter's own start; the median of 20 processes each.

python benchmarks/import_time.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def start(statement: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begin


def main() -> None:
    times = {statement: [start(statement) for _ in range(20)] for statement in ("pass", "import crackviz")}
    bare, ours = (statistics.median(values) for values in times.values())
    figures = {"interpreter_s": round(bare, 3), "import_crackviz_s": round(ours - bare, 3)}
    print(figures)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "import_time.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
