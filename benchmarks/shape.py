"""How large the library is, and how quickly it starts, held against bounds; exit code 1 where one is broken.

    python benchmarks/shape.py                                           prints the figures
    python benchmarks/shape.py --out benchmarks/results/shape.json       and keeps them

Lines are counted with docstrings and blank lines, a function's without its docstring. Parameters are counted without
`self` and `cls`; a display's `from_…` may have more of them, as its drawing has many choices. Times are medians of five
processes, beside those of a bare interpreter: machines differ, so `tests/test_packaging.py` holds the sizes alone.
"""

from __future__ import annotations

import argparse
import ast
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "crackviz"

LINES = 12_500
LINES_OF_A_FILE = 350
LINES_OF_A_FUNCTION = 60
PARAMETERS = 8
SECONDS = {"import crackviz": 0.3, "crackviz --help": 0.5}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, Function]]:
    """Yield the functions and methods of a file, those within others too, each with its dotted name."""

    def walk(node: ast.AST, within: str) -> Iterator[tuple[str, Function]]:
        for child in ast.iter_child_nodes(node):
            inside = within
            if isinstance(child, Function | ast.ClassDef):
                inside = f"{within}.{child.name}"
            if isinstance(child, Function):
                yield inside, child
            yield from walk(child, inside)

    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    return walk(ast.parse(path.read_text("utf-8")), name)


def length(function: Function) -> int:
    """Lines of a function, its signature among them, its decorators and its docstring not."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        first = function.body[0]
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def parameters(function: Function) -> int:
    """Parameters of a function, `self` and `cls` aside."""
    of = function.args
    every = [*of.posonlyargs, *of.args, *of.kwonlyargs, *filter(None, (of.vararg, of.kwarg))]
    return sum(argument.arg not in ("self", "cls") for argument in every)


def sizes() -> dict[str, Any]:
    """Count lines, and name what is larger than its bound."""
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in sorted(PACKAGE.rglob("*.py"))}
    every = [found for path in lines for found in functions(path)]
    packages = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
    return {
        "lines": sum(lines.values()),
        "files": len(lines),
        "modules of a package": {path.name: len(list(path.glob("*.py"))) - 1 for path in packages},
        "lines of a package": {
            path.name: sum(count for file, count in lines.items() if path in file.parents) for path in packages
        },
        "long files": {
            path.relative_to(ROOT).as_posix(): count for path, count in lines.items() if count > LINES_OF_A_FILE
        },
        "long functions": {name: length(one) for name, one in every if length(one) > LINES_OF_A_FUNCTION},
        "long signatures": {
            name: parameters(one)
            for name, one in every
            if parameters(one) > PARAMETERS and not (one.name.startswith("from_") and ".plots." in name)
        },
    }


def seconds(*command: str) -> float:
    """Median time of five processes."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return round(statistics.median(times), 3)


def broken(figures: dict[str, Any]) -> list[str]:
    """Say which bounds are broken, in words."""
    said = []
    if figures["lines"] > LINES:
        said.append(f"crackviz has {figures['lines']:,} lines; expected at most {LINES:,}.")
    for kind, bound, unit in (
        ("long files", LINES_OF_A_FILE, "lines"),
        ("long functions", LINES_OF_A_FUNCTION, "lines without its docstring"),
        ("long signatures", PARAMETERS, "parameters"),
    ):
        said += [f"{name} has {count} {unit}; expected at most {bound}." for name, count in figures[kind].items()]
    for what, taken in figures.get("seconds", {}).items():
        if taken > SECONDS.get(what, taken):
            said.append(f"{what} takes {taken} s; expected at most {SECONDS[what]} s.")
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep the figures in this JSON file")
    options = parser.parse_args()
    figures = sizes()
    figures["seconds"] = {
        "python -c pass": seconds("-c", "pass"),
        "import crackviz": seconds("-c", "import crackviz"),
        "crackviz --help": seconds("-m", "crackviz.cli", "--help"),
    }
    text = json.dumps(figures, indent=1, ensure_ascii=False)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", "utf-8")
    if said := broken(figures):
        sys.exit("\n".join(said))


if __name__ == "__main__":
    main()
