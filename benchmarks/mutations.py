"""Do the fast tests notice a fault? Seeded ones, one at a time, in a copy of the tree.

    python benchmarks/mutations.py                      all of them: hours on two cores
    python benchmarks/mutations.py --only 3 17 42       these
    python benchmarks/mutations.py --check              only whether each fault still finds its place in the source

Each fault is a line of `FAULTS`: a file, a text that stands in it once, and what takes its place: a sign, an axis, a
normalisation, an off-by-one, a wrong layer. The fast tests of its subject run on a copy of the tree; a fault that they
let pass *survives* and is printed. Before that the tests run on the copy as it is: they must pass. Each outcome goes to
benchmarks/results/mutations.json at once, and what was found of the others stays there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _faults import FAULTS, Fault

from crackviz.files import write_json

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "mutations.json"
COPIED = ("crackviz", "tests", "pyproject.toml", "THEORY.md", "README.md", "Makefile", "CONTRIBUTING.md")
LIMIT = 1200  # seconds: a fault that makes the tests hang is noticed, too


def misplaced() -> list[str]:
    """Return the faults whose text doesn't stand in its file exactly once."""
    found = []
    for number, fault in enumerate(FAULTS):
        count = (ROOT / "crackviz" / fault.file).read_text(encoding="utf-8").count(fault.old)
        if count != 1 or fault.old == fault.new:
            found.append(f"{number} in {fault.file}: {fault.old!r} stands there {count} times")
    return found


def tested(tree: Path, subject: str) -> tuple[bool, str]:
    """Run the fast tests of a subject in a copy of the tree; return whether they pass, and their last line."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        f"tests/{subject}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return False, f"no end after {LIMIT} s"
    lines = [
        line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))
    ] or done.stdout.splitlines()
    if done.returncode not in (0, 1, 2):  # not pytest's "passed", "failed", "could not be collected"
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0, lines[-1] if lines else ""


def tried(tree: Path, fault: Fault) -> dict[str, Any]:
    """Put a fault into the copy, test, and take it out again."""
    path = tree / "crackviz" / fault.file
    text = path.read_text(encoding="utf-8")
    began = time.monotonic()
    try:
        path.write_text(text.replace(fault.old, fault.new), encoding="utf-8")
        survives, said = tested(tree, fault.subject)
    finally:
        path.write_text(text, encoding="utf-8")
    return {"survives": survives, "noticed by": "" if survives else said[:160], "s": round(time.monotonic() - began)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", type=int, metavar="N", help="numbers of faults, from 0")
    parser.add_argument("--check", action="store_true", help="run no test")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if wrong := misplaced():
        sys.exit("These faults no longer find their place:\n" + "\n".join(wrong))
    if options.check:
        print(f"{len(FAULTS)} faults, each in its place")
        return
    numbers = range(len(FAULTS)) if options.only is None else options.only
    known = json.loads(options.out.read_text(encoding="utf-8"))["faults"] if options.out.exists() else {}
    same = [n for n, fault in enumerate(FAULTS) if known.get(str(n), {}).get("new") == fault.new]
    results = {str(n): known[str(n)] for n in same}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                tree.mkdir(exist_ok=True)
                shutil.copy(source, tree / name)
        for subject in sorted({FAULTS[n].subject for n in numbers}):
            passes, said = tested(tree, subject)
            if not passes:
                sys.exit(f"The tests of {subject} fail without any fault: {said}")
        for n in numbers:
            fault = FAULTS[n]
            results[str(n)] = {"file": fault.file, "kind": fault.kind, "old": fault.old, "new": fault.new}
            results[str(n)] |= tried(tree, fault)
            print(
                n,
                "SURVIVES" if results[str(n)]["survives"] else "noticed",
                fault.file,
                fault.old,
                "→",
                fault.new,
                flush=True,
            )
            survivors = [n for n, one in results.items() if one["survives"]]
            write_json(options.out, {"faults": results, "survivors": survivors})
    print(f"{len(results) - len(survivors)} of {len(results)} noticed; survivors: {', '.join(survivors) or 'none'}")


if __name__ == "__main__":
    main()
