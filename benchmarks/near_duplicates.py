"""Compare the near-duplicates that crackviz finds in METU with those of the set's manifest.

    python benchmarks/near_duplicates.py path/to/metu

Writes benchmarks/results/near_duplicates.json. The manifest's groups are connected components of a 256-bit
difference hash at distance 12 or less; a pair is any two pictures of one group.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crackviz import data
from crackviz.data import duplicates


def pairs_within(groups: pd.Series) -> set[tuple[int, int]]:
    return {pair for rows in groups.groupby(groups).indices.values() for pair in combinations(sorted(rows), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="METU's folder, with manifest.csv in it")
    folder = parser.parse_args().folder.absolute()

    single = data.index(folder)
    start = time.perf_counter()
    table = data.scan(single, near_duplicates=False)
    read = time.perf_counter() - start
    start = time.perf_counter()
    data.near_duplicate_pairs(table["hash"].tolist())
    matched = time.perf_counter() - start

    names = [Path(path).relative_to(folder).as_posix() for path in table["path"]]
    manifest = pd.read_csv(folder / "manifest.csv").set_index("path")["near_duplicate_group"]
    truth = pairs_within(manifest[names].reset_index(drop=True))
    by_distance: dict[str, Any] = {}
    for distance in (0, 4, 8, 12, 16, 20, 24):
        table["group"] = duplicates.merge_groups(
            single["group"], data.near_duplicate_pairs(table["hash"].tolist(), distance)
        )
        found = pairs_within(table["group"])
        by_distance[str(distance)] = {
            "found": len(found & truth),
            "missed": len(truth - found),
            "extra": len(found - truth),
            "groups": table["group"].nunique(),
            "groups_across_classes": int(table.groupby("group")["label"].nunique().gt(1).sum()),
        }
    signs = np.random.default_rng(0).integers(0, 256, (40_000, 32), np.uint8)
    start = time.perf_counter()
    data.near_duplicate_pairs([row.tobytes() for row in signs])
    figures = {
        "pictures": len(table),
        "pairs_of_the_manifest": len(truth),
        "by_max_distance": by_distance,
        "seconds_to_read_and_hash": round(read, 1),
        "seconds_to_compare": round(matched, 2),
        "seconds_to_compare_40000": round(time.perf_counter() - start, 1),
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "near_duplicates.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
