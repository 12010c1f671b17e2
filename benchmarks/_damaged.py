"""Files of crackviz's own, damaged; see robustness.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from crackviz import data, series
from crackviz.series.grid import read_grid


def damaged(
    place: Path, rng: np.random.Generator
) -> Iterator[tuple[str, Callable[[], Any], Callable[[Any], bool] | None]]:
    """Files of our own, damaged: what is read of them is what was written, or they are named."""
    from crackviz import models, training

    run = series.open_run(place / "run")
    rows = {
        "status": "done",
        "path": "/n/00_a.ipynb",
        "parameters": {},
        "sources": {"notebook": "", "package": "", "data": None, "files": {}},
        "started": "2026",
    }
    kept = {
        "config.json": {
            "layout": 2,
            "crackviz": "x",
            "notebooks": {"00_a": rows},
            "manifests": {},
            "data": "",
            "seed": 0,
            "parameters": {},
            "started": "2026",
            "command": "x",
            "hardware": {},
            "packages": {},
        },
        "claims.json": {"00_a": [{"id": "T0.1", "statement": "x", "holds": True}]},
        "results.json": {"00_a": {"score": 0.5}},
    }
    for name, content in kept.items():
        series.write_json(run / name, content)
    for label in ("crack", "no_crack"):
        (place / "set" / label).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(place / "set" / label / f"{number}.png")
    data.write_split(data.split(data.scan(data.index(place / "set"))), place / "split.csv")
    (place / "history.csv").write_text("epoch,loss,val_loss\n1,0.5,0.25\n2,0.25,0.125\n")
    (place / "grid.toml").write_text("notebooks = ['a.ipynb']\n[grid]\nseed = [0, 1]\n")
    models.save(models.gap_cnn(16), place)
    uses: dict[Path, Callable[[], Any]] = {
        run / "config.json": lambda: str(series.look(run).status),
        run / "claims.json": lambda: series.compare(run, run),
        run / "results.json": lambda: series.compare(run, run),
        place / "split.csv": lambda: data.read_split(place / "split.csv")["label"].tolist(),
        place / "history.csv": lambda: training.read_history(place)["val_loss"].tolist(),
        place / "grid.toml": lambda: len(read_grid(place / "grid.toml").points()),
        place / "model.keras": lambda: [w.tobytes() for w in models.load(place / "model.keras").get_weights()],
    }
    for path, use in uses.items():
        whole, before = path.read_bytes(), use()
        spoilt = {
            "empty": b"",
            "NULs": bytes(len(whole)),
            "not UTF-8": b"\xff\xfe" + whole,
            "[]": b"[]",
            "null": b"null",
            "{": b"{",
            "deep": b"[" * 100_000,
            "text": b'"x"',
            "number": b"7",
        }
        spoilt |= {f"cut {share}": whole[: int(share * len(whole))] for share in (0.1, 0.3, 0.5, 0.7, 0.9)}

        def tried(p: Path = path, u: Callable[[], Any] = use, w: bytes = whole, content: bytes = b"") -> Any:
            try:
                p.write_bytes(content)
                return u()
            finally:
                p.write_bytes(w)

        for what, content in spoilt.items():
            # a row of `list` says that it can't be read; a history or a grid that was cut at the end of a line is whole
            known = lambda a, b=before, p=path: a == b or a == "not readable" or p.suffix in (".csv", ".toml")  # noqa: E731
            if path.name == "config.json" and content == b"":
                known = lambda a: a in ("not readable", "by hand")  # noqa: E731
            yield f"{path.name} {what}", lambda t=tried, c=content: t(content=c), known
    for what, content in {
        "list": {"00_a": 3},
        "entries": {"00_a": [{}]},
        "holds": {"00_a": [{"id": 1, "statement": "", "holds": 1}]},
    }.items():

        def within(c: dict[str, Any] = content) -> Any:
            series.write_json(run / "claims.json", c)
            try:
                return series.compare(run, run)
            finally:
                series.write_json(run / "claims.json", kept["claims.json"])

        yield f"claims.json within: {what}", within, None
