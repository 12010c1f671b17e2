"""Hashes of what a run is made from: the cells of a notebook, the package, the data, and files that parameters name.

A run whose hashes are no longer those of today is stale.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

from crackviz.files import file_hash, is_run_folder, package_hash, short_hash
from crackviz.progress import cores, progress


class Hashes:
    """Hashes as they are now; each is taken once in the life of an object.

    Of ``manifests`` taken earlier, by the name of the data, the hash is believed where sizes and times of all files are
    still the same: no file is read then.
    """

    def __init__(self, manifests: Mapping[str, dict[str, Any]] | None = None) -> None:
        self.manifests = dict(manifests or {})
        self._checked: set[str] = set()
        self._known: dict[str, str] = {}

    @cached_property
    def package(self) -> str:
        """Of what every module does, and of the shipped networks; comments, docstrings and layout don't count."""
        return package_hash()

    def notebook(self, path: Path) -> str:
        """Of the kinds, texts and tags of a notebook's cells; "" where there is none any more."""
        key = f"cells of {path}"  # a parameter may name the same file
        if key not in self._known:
            try:
                cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
                parts = [[c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])] for c in cells]
            except (OSError, ValueError, KeyError, TypeError):
                return ""
            self._known[key] = short_hash(*map(json.dumps, parts))
        return self._known[key]

    def data(self, name: str) -> str:
        """Of every file of a data set, by name and content; of synthetic concrete, its settings and renderer.

        "" where there is no such data set any more. The manifest is then in ``manifests[name]``: hash, files, bytes,
        and ``stat``, the hash of all names, sizes and times.
        """
        if name in self._checked:
            return str(self.manifests[name]["hash"])
        from crackviz import synthetic  # loads nothing but what renders

        if settings := synthetic.settings_of(name):
            self.manifests[name] = {"hash": settings.key, "files": settings.patches, "bytes": None, "stat": None}
        elif not Path(name).is_dir():
            return ""
        else:
            found = {p.relative_to(name).as_posix(): (p, p.stat()) for p in _files(Path(name))}
            stat = short_hash(*(f"{n} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}" for n, (_, s) in found.items()))
            if self.manifests.get(name, {}).get("stat") != stat:
                size = sum(s.st_size for _, s in found.values())
                with ThreadPoolExecutor(min(16, cores())) as pool:  # hashing lets go of the lock
                    read = pool.map(file_hash, [p for p, _ in found.values()])
                    contents = list(progress(read, "checking the data", len(found), unit="file", hidden=size < 1e9))
                digest = short_hash(*(f"{n} {c}" for n, c in zip(found, contents, strict=True)))
                self.manifests[name] = {"hash": digest, "files": len(found), "bytes": size, "stat": stat}
        self._checked.add(name)
        return str(self.manifests[name]["hash"])

    def file(self, name: str) -> str:
        """Of a file, or of all files of a folder, of a run folder its networks; "" where there is none."""
        if name not in self._known:
            path = Path(name)
            if path.is_file():
                self._known[name] = file_hash(path)
            elif path.is_dir():
                # of a run folder the networks count, and not the pages written since
                models = [p for p in _files(path, runs=True) if p.suffix in {".keras", ".h5"}] or _files(path)
                self._known[name] = short_hash(*(f"{p.relative_to(path).as_posix()} {file_hash(p)}" for p in models))
            else:
                return ""
        return self._known[name]

    def sources(self, path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hashes that a notebook's run with these parameters depends on."""
        files = {n: v for n, v in values.items() if n not in ("data", "run") and isinstance(v, str) and os.sep in v}
        return {
            "notebook": self.notebook(path),
            "package": self.package,
            "data": self.data(values["data"]) if "data" in values else None,
            "files": {name: self.file(value) for name, value in files.items() if Path(value).is_absolute()},
        }


_LEFT_BY_WINDOWS = {"thumbs.db", "ehthumbs.db", "desktop.ini"}
"""Files that come by looking at a folder, and change no data."""


def _files(root: Path, *, runs: bool = False) -> list[Path]:
    """Return the files below a folder, hidden ones and run folders left out, sorted."""
    from crackviz.data.leftovers import is_passed_over

    found: list[Path] = []
    seen: set[str] = set()
    for place, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        is_run = not runs and place != str(root) and is_run_folder([*files, *below])
        if real in seen or is_run:  # a link may lead in a circle
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not is_passed_over(name))
        found += [Path(place) / n for n in files if n[0] != "." and n.casefold() not in _LEFT_BY_WINDOWS]
    return sorted(path for path in found if path.is_file())
