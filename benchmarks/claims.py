"""Table of every claim's value over seeds and data sets, and how far each keeps from its bound.

    ln -s path/to/metu metu
    crackviz sweep benchmarks/claims.toml --out runs/claims
    crackviz sweep benchmarks/claims_metu.toml --out runs/claims_metu
    python benchmarks/claims.py runs/claims/* runs/claims_metu/*

Of the run folders claims.json and config.json are read.

A claim is nearer to its bound than its spread if on one of the data sets the smallest distance of its values is at
most the standard deviation, over the seeds, of value less bound: then another seed may break it there. Identities are
listed and not judged, claims without a number only counted. Where an error's size is asked (``SIZES``), distance and
spread are powers of ten: there ten times as much is one step, from a hundredth as from a tenth. Prints the table, the
doubtful ones first, and writes benchmarks/results/claims.json, and the table of the nearest ones.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _cards
import numpy as np

from crackviz.files import read_json, write_json

SIZES = ("T10.6", "T12.12")


def distance(value: float, relation: str, bound: Any) -> float:
    """Return how far a value lies within its bound; below 0 where it doesn't hold, 0 for an equality that does."""
    if relation == "within":
        return float(min(value - bound[0], bound[1] - value))
    if relation == "==":
        return -abs(value - bound)
    return float(value - bound if relation.startswith(">") else bound - value)


def collected(runs: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    """Return the claims of run folders by their number, each with the data that it was made on."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        on = read_json(run / "config.json").get("data") or "synthetic"
        for many in read_json(run / "claims.json").values():
            for one in many:
                found[one["id"]].append(one | {"data": Path(str(on)).name})
    return dict(sorted(found.items(), key=lambda item: [int(n) for n in item[0][1:].split(".")]))


def row(made: list[dict[str, Any]], powers_of_ten: bool = False) -> dict[str, Any]:
    """Return the values of one claim over all runs; their spread and distance to the bound on the worst data set."""
    numbers = [one for one in made if one.get("value") is not None]
    kind = "identity" if made[0].get("identity") else "finding"
    found: dict[str, Any] = {"statement": made[0]["statement"], "kind": kind, "runs": len(made)}
    found["holds"] = sum(one["holds"] for one in made)
    if not numbers:
        return found
    by_data, beyond, distances = defaultdict(list), defaultdict(list), defaultdict(list)
    for one in numbers:
        by_data[one["data"]].append(one["value"])
        value, bound = (np.log10(max(one[key], 1e-12)) if powers_of_ten else one[key] for key in ("value", "bound"))
        beyond[one["data"]].append(value - np.mean(bound))  # a run may have a bound of its own
        distances[one["data"]].append(distance(value, one["relation"], bound))
    bounds = [one["bound"] for one in numbers]
    spreads = {name: float(np.std(values, ddof=1)) for name, values in beyond.items() if len(values) > 1}
    nearest = {name: min(values) for name, values in distances.items()}
    worst = min(spreads, key=lambda name: nearest[name] / max(spreads[name], 1e-12), default=None)
    found |= {"in powers of ten": True} if powers_of_ten else {}
    found |= {
        "relation": numbers[0]["relation"],
        "bound": bounds[0] if all(bound == bounds[0] for bound in bounds) else "each run's own",
        "values": {name: [float(f"{value:.4g}") for value in values] for name, values in by_data.items()},
        "spread": None if worst is None else float(f"{spreads[worst]:.3g}"),
        "nearest": float(f"{nearest[worst] if worst else min(nearest.values()):.3g}"),
    }
    judged = kind == "finding" and numbers[0]["relation"] != "=="
    found["doubtful"] = bool(judged and worst is not None and not nearest[worst] > spreads[worst])
    return found


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows as Markdown, the doubtful claims first."""
    lines = ["| claim | kind | holds | values | bound | nearest | spread |", "|---|---|---|---|---|---|---|"]
    for id, one in sorted(rows.items(), key=lambda item: not item[1].get("doubtful", False)):
        ranges = {name: f"{min(v):.3g} … {max(v):.3g}" for name, v in one.get("values", {}).items()}
        cells = [
            f"{'**' if one.get('doubtful') else ''}{id}{'** doubtful' if one.get('doubtful') else ''}",
            one["kind"],
        ]
        cells += [f"{one['holds']} of {one['runs']}", "; ".join(f"{name} {text}" for name, text in ranges.items())]
        cells += [f"{one.get('relation', '')} {one.get('bound', '')}".strip()]
        cells += ["" if one.get(key) is None else f"{one[key]:.3g}" for key in ("nearest", "spread")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, as of a sweep over seeds and data")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "claims.json")
    options = parser.parse_args()
    runs = [run for run in options.runs if (run / "claims.json").is_file()]
    if not runs:
        parser.error("none of these folders holds a claims.json")
    rows = {id: row(made, id in SIZES) for id, made in collected(runs).items()}
    write_json(options.out, {"runs": len(runs), "claims": rows})
    print(table(rows))
    doubtful = [id for id, one in rows.items() if one.get("doubtful")]
    broken = [id for id, one in rows.items() if one["holds"] < one["runs"]]
    print(json.dumps({"runs": len(runs), "claims": len(rows), "doubtful": doubtful, "not in every run": broken}))
    if options.out == parser.get_default("out"):
        _cards.update()


if __name__ == "__main__":
    main()
