"""Run folders: what they record, whether that still holds, and who may write to them.

``config.json`` holds one record for each notebook: its outcome, parameters, time, memory, and the hashes of what it was
made from. From these it is told what is left to do (:func:`plan`) and what is stale (:func:`changes`).
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from crackviz import ROOT, CrackvizError, __version__
from crackviz.claims import EXCUSED
from crackviz.files import read_json
from crackviz.progress import cores
from crackviz.series.hashes import Hashes
from crackviz.series.notebooks import notebooks_folder

LAYOUT = 2
"""Number of the layout that this version writes; in ``config.json`` as ``layout``. The first one had none."""

_RECORD = {"status", "path", "parameters", "sources"}
_SOURCES = {"notebook", "package", "data", "files"}
BY_HAND = ("claims.json", "results.json", EXCUSED)
"""What notebooks write, by name: so they do where no command runs them."""
_WORST = ("running", "interrupted", "failed", "not run", "done")


def changes(record: Mapping[str, Any], hashes: Hashes, values: Mapping[str, Any] | None = None) -> list[str]:
    """Say what has changed since a notebook was run; ``values`` are wanted, by default those of its record."""
    then, recorded = record["sources"], record["parameters"]
    wanted = dict(recorded if values is None else values)
    path = Path(record["path"])
    if not path.exists() and (folder := notebooks_folder()):  # the run may come from elsewhere
        path = folder / path.name
    now = hashes.sources(path, wanted)
    found = [
        f"{name} was {recorded.get(name)!r}, is {wanted.get(name)!r}"
        for name in wanted.keys() | recorded.keys()
        if name != "run" and recorded.get(name) != wanted.get(name)
    ]
    pairs = {"the notebook": (then["notebook"], now["notebook"]), "crackviz": (then["package"], now["package"])}
    if recorded.get("data") == wanted.get("data"):
        pairs["the data"] = then["data"], now["data"]
    same = [name for name in then["files"] if recorded.get(name) == wanted.get(name)]
    pairs |= {name: (then["files"][name], now["files"].get(name, "")) for name in same}
    found += [f"{what} {'changed' if new else 'is gone'}" for what, (old, new) in pairs.items() if old != new]
    return sorted(found)


def stale(
    records: Mapping[str, Mapping[str, Any]], hashes: Hashes, wanted: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Return, for each finished notebook whose outcome holds no longer, or isn't what is wanted, why."""
    found: dict[str, str] = {}
    for stem, record in records.items():
        if record["status"] != "done":
            continue
        why = changes(record, hashes, (wanted or {}).get(stem)) + _run_since(stem, records)
        if why:
            found[stem] = ", ".join(why)
    return found


def _run_since(stem: str, records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Say which notebooks that come before one were begun after it, by their count or, of older crackviz, by clock."""
    mark = "begun" if all("begun" in record for record in records.values() if "started" in record) else "started"
    begun = records[stem].get(mark)
    return [
        f"{other} was run since"
        for other, earlier in records.items()
        if other < stem and begun is not None and mark in earlier and earlier[mark] > begun
    ]


def plan(
    wanted: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Mapping[str, Any]],
    hashes: Hashes,
    again: Collection[str] = (),
) -> dict[str, str]:
    """Return which of the wanted notebooks are to be run, in order, each with the reason.

    These are what never reached its end, what ``again`` names ("failed", "stale", "done"), and all that follow the
    first one, since a notebook may use what an earlier one left.
    """
    reasons: dict[str, str] = {}
    for stem, values in wanted.items():
        record = records.get(stem, {"status": "not run"})
        status, why = record["status"], ""
        if reasons and stem in records:
            why = f"comes after {next(iter(reasons))}"
        elif reasons or status == "not run":
            why = "new"
        elif status not in ("done", "failed"):
            why = "broken off before"
        elif status in again:
            why = "asked for" if status == "done" else "failed before"
        elif status == "done" and "stale" in again:
            why = ", ".join(changes(record, hashes, values) + _run_since(stem, records))
        if why:
            reasons[stem] = why
    return reasons


def read_config(run: Path, name: str = "config.json") -> dict[str, Any]:
    """Return ``config.json`` of a run, or ``sweep.json`` of a sweep, {} if there is none; refuse another layout."""
    config = read_json(run / name)
    if config and not config.keys() & {"layout", "crackviz"}:
        raise CrackvizError(f"{run / name} isn't of crackviz. Choose another folder, or remove the file.", "out")
    if config and config.get("layout") != LAYOUT:
        layout = config.get("layout", 1)
        age = "an older" if isinstance(layout, int) and layout < LAYOUT else "a newer"
        raise CrackvizError(
            f"{run} was made by {age} crackviz ({config.get('crackviz', 'unknown')}, layout "
            f"{layout}; this one, {__version__}, has layout {LAYOUT}). Its pages can still be opened; "
            "to run again, choose another folder or remove this one."
        )
    if config and name == "config.json":
        _check_config(config, run / name)
    return config


def _check_config(config: Mapping[str, Any], path: Path) -> None:
    """Raise a CrackvizError unless what a run's record must hold is there."""
    records = config.get("notebooks")
    whole = isinstance(records, dict) and isinstance(config.get("manifests"), dict)
    for record in records.values() if isinstance(records, dict) else ():
        whole &= isinstance(record, dict) and isinstance(record.get("sources"), dict)
        whole = whole and record.keys() >= _RECORD and record["sources"].keys() >= _SOURCES
        whole = whole and isinstance(record["parameters"], dict) and isinstance(record["sources"]["files"], dict)
        whole = whole and (record["status"] != "failed" or isinstance(record.get("error"), dict))
    if not whole:
        raise CrackvizError(
            f"{path} is damaged: it doesn't hold what crackviz has written. Remove it, or choose another run folder."
        )


def claims_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return ``claims.json`` of a run, {} if there is none; refuse one that is damaged within."""
    found = read_json(run / "claims.json")
    for made in found.values():
        entries = made if isinstance(made, list) else [None]
        if not all(
            isinstance(c, dict) and isinstance(c.get("holds"), bool) and {"id", "statement"} <= {*c} for c in entries
        ):
            raise CrackvizError(
                f"{run / 'claims.json'} is damaged: {entries!r:.60}. Remove it, and run the notebooks again."
            )
    return found


def excused_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the claims that don't apply to a run, by notebook, each with the reason as ``unless``."""
    found = read_json(run / EXCUSED)
    for made in found.values():
        entries = made if isinstance(made, list) else [None]
        if not all(isinstance(c, dict) and {"id", "statement", "unless"} <= {*c} for c in entries):
            raise CrackvizError(f"{run / EXCUSED} is damaged: {entries!r:.60}. Remove it, and run the notebooks again.")
    return found


def results_of(run: Path) -> dict[str, dict[str, Any]]:
    """Return ``results.json`` of a run, {} if there is none; refuse one that is damaged within."""
    found = read_json(run / "results.json")
    if odd := [entry for entry in found.values() if not isinstance(entry, dict)]:
        raise CrackvizError(
            f"{run / 'results.json'} is damaged: {odd[0]!r:.60}. Remove it, and run the notebooks again."
        )
    return found


def existing_config(run: Path) -> dict[str, Any]:
    """Return ``config.json`` of a run that must be there; see :func:`read_config`."""
    config = read_config(run)
    if (run / "sweep.json").exists():
        raise CrackvizError(
            f"{run} is the folder of a sweep. Name one of its runs; they are listed by: crackviz list {run}"
        )
    if not config:
        raise CrackvizError(
            f"{run} is no run folder: it has no config.json, as `crackviz run` writes it. Runs near here are listed "
            "by: crackviz list"
        )
    return config


def status_of(records: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the outcome of a run: the worst of its notebooks'."""
    found = {str(record["status"]) for record in records.values()}
    return next((status for status in _WORST if status in found), "not run")


@dataclass(frozen=True)
class Run:
    """A run folder at a glance."""

    folder: Path
    status: str
    """done, failed, interrupted, running, not run, by hand, another layout, or not readable."""
    stale: str = ""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    claims: tuple[int, int] = (0, 0)
    """How many hold, and how many were made."""

    @property
    def seconds(self) -> float:
        """The sum over its notebooks."""
        return float(sum(record.get("seconds") or 0 for record in self.records.values()))


def look(folder: Path, hashes: Hashes | None = None) -> Run:
    """Return a run folder at a glance; staleness is looked at only where `hashes` are given."""
    try:
        config = read_json(folder / "config.json")
        if config and config.get("layout") != LAYOUT:
            known = config.keys() & {"layout", "crackviz"}
            return Run(folder, f"layout {config.get('layout', 1)}" if known else "not readable")
        made = [claim["holds"] for claims in claims_of(folder).values() for claim in claims]
        if not config:
            return Run(folder, "by hand", claims=(sum(made), len(made)))
        records = config["notebooks"]
        status = status_of(records)
        if status == "running" and not is_locked(folder):
            status = "interrupted"
        why: dict[str, str] = {}
        if hashes is not None:
            for name, manifest in config["manifests"].items():
                hashes.manifests.setdefault(name, manifest)
            why = stale(records, hashes)
    except (CrackvizError, KeyError, TypeError, AttributeError):  # whatever others have written there
        return Run(folder, "not readable")
    return Run(folder, status, next(iter(why.values()), ""), records, config, (sum(made), len(made)))


def find_runs(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Yield the run folders at and below a folder, sorted, at most `depth` levels down; not those within a run."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries}
    if "config.json" in names or (names & set(BY_HAND) and "figures" in names):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield from find_runs(Path(entry.path), depth - 1)


def duration(seconds: float) -> str:
    """Return a time in words: ``"45 s"``, ``"12 min"``, ``"3 h 20 min"``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def outcome(status: str, seconds: float, claims: tuple[int, int]) -> str:
    """Return an outcome in words, such as ``"FAILED after 12 s, 3 of 4 claims hold"``."""
    text = duration(seconds) if status == "done" else f"{status.upper()} after {duration(seconds)}"
    return text + (f", {claims[0]} of {claims[1]} claims hold" if claims[1] else "")


@contextmanager
def locked(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold an existing folder alone, refused after `wait` seconds; the lock ends with its process, however it ends."""
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise CrackvizError(
            f"Another process is running into {folder}. Wait for it, stop it, or choose another folder.", "out"
        ) from None
    except OSError as error:
        raise CrackvizError(
            f"Cannot use {folder} as the run folder: {error.strerror or error}. Expected a folder that you may write "
            "to, with space left; choose another one.",
            "out",
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Say whether a process is running into a folder; where nobody can write, nobody is."""
    import filelock

    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            return False
    except filelock.Timeout:
        return True
    except OSError:
        return False


def provenance(threads: int, command: str = "") -> dict[str, Any]:
    """Return what tells later where, when and with what a run was made; the command is that of this process."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        revision = ""  # an installed package has none
    try:  # platform.processor() is empty on Linux, and Windows knows no sysconf
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        processor = platform.processor()
    sysconf = getattr(os, "sysconf", lambda name: 0)
    packages = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions() if d.metadata["Name"]}
    return {
        "layout": LAYOUT,
        "crackviz": __version__,
        "revision": revision or None,
        "command": command or shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "hardware": {
            "system": platform.platform(),
            "machine": platform.machine(),
            "processor": processor,
            "cores": cores(),
            "threads": threads or None,
            "memory_GiB": round(sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") / 2**30, 1),
        },
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
