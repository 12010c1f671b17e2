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
from crackviz.files import read_json
from crackviz.series.hashes import Hashes

LAYOUT = 2
"""Number of the layout that this version writes; in ``config.json`` as ``layout``. The first one had none."""


_BY_HAND = ("claims.json", "results.json")
_WORST = ("running", "interrupted", "failed", "not run", "done")


# --- reading ------------------------------------------------------------------------------------------------------


def read_config(run: Path, name: str = "config.json") -> dict[str, Any]:
    """Return ``config.json`` of a run, or ``sweep.json`` of a sweep, {} if there is none.

    Raises
    ------
    CrackvizError
        If another version of crackviz has laid the folder out in another way.
    """
    config = read_json(run / name)
    if config and config.get("layout") != LAYOUT:
        age = "an older" if config.get("layout", 1) < LAYOUT else "a newer"
        raise CrackvizError(
            f"{run} was made by {age} crackviz ({config.get('crackviz', 'unknown')}, layout "
            f"{config.get('layout', 1)}; this one, {__version__}, has layout {LAYOUT}). Its pages can still be opened; "
            "to run again, choose another folder or remove this one."
        )
    return config


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


def changes(record: Mapping[str, Any], hashes: Hashes, values: Mapping[str, Any] | None = None) -> list[str]:
    """Say what has changed since a notebook was run; nothing where its outcome still holds.

    Parameters
    ----------
    record : mapping
        Of the notebook, as ``config.json`` keeps it.
    hashes : Hashes
        As they are now.
    values : mapping, optional
        The parameters that are wanted; by default those of the record.
    """
    then, recorded = record["sources"], record["parameters"]
    wanted = dict(recorded if values is None else values)
    now = hashes.sources(hashes.where(record["path"]), wanted)
    found = [
        f"{name} was {recorded.get(name)!r}, is {wanted.get(name)!r}"
        for name in wanted.keys() | recorded.keys()
        if name != "run" and recorded.get(name) != wanted.get(name)
    ]
    for key, what in (("notebook", "the notebook"), ("package", "crackviz"), ("data", "the data")):
        if then[key] != now[key] and not (key == "data" and found and wanted.get("data") != recorded.get("data")):
            found.append(f"{what} {'is gone' if now[key] == '' else 'changed'}")
    found += [
        f"{name} {'is gone' if now['files'].get(name) == '' else 'changed'}"
        for name, digest in then["files"].items()
        if now["files"].get(name) != digest and recorded.get(name) == wanted.get(name)
    ]
    return sorted(found)


def stale(
    records: Mapping[str, Mapping[str, Any]], hashes: Hashes, wanted: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Return, for each finished notebook whose outcome holds no longer, or isn't what is wanted, why."""
    found: dict[str, str] = {}
    for stem, record in records.items():
        if record["status"] != "done":
            continue
        why = changes(record, hashes, (wanted or {}).get(stem))
        why += [
            f"{other} was run since"
            for other, earlier in records.items()
            if other < stem and earlier.get("started", "") > record["started"]
        ]
        if why:
            found[stem] = ", ".join(why)
    return found


def plan(
    wanted: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Mapping[str, Any]],
    hashes: Hashes,
    again: Collection[str] = (),
) -> dict[str, str]:
    """Return which notebooks are to be run, in order, each with the reason.

    Parameters
    ----------
    wanted : mapping
        Notebooks with their parameters.
    records : mapping
        Of the notebooks that have been run.
    hashes : Hashes
        As they are now.
    again : collection of str
        What else is run again besides what never reached its end: "failed", "stale", "done".

    Notes
    -----
    A notebook may use what an earlier one left, so all that follow the first one are run again, too.
    """
    reasons: dict[str, str] = {}
    for stem, values in wanted.items():
        record = records.get(stem)
        status = record["status"] if record else "new"
        if reasons:
            reasons[stem] = "new" if not record else f"comes after {next(iter(reasons))}"
        elif record is None or status not in ("done", "failed"):
            reasons[stem] = "new" if status in ("new", "not run") else "broken off before"
        elif status == "failed":
            if "failed" in again:
                reasons[stem] = "failed before"
        elif "done" in again:
            reasons[stem] = "asked for"
        elif "stale" in again and (why := changes(record, hashes, values)):
            reasons[stem] = ", ".join(why)
    return reasons


# --- looking for runs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run folder at a glance."""

    folder: Path
    status: str
    """done, failed, interrupted, running, not run, by hand, or another layout."""
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
        config = read_config(folder)
    except CrackvizError:
        layout = read_json(folder / "config.json").get("layout", 1)
        return Run(folder, f"layout {layout}")
    made = [claim for claims in read_json(folder / "claims.json").values() for claim in claims]
    count = sum(claim["holds"] for claim in made), len(made)
    if not config:
        return Run(folder, "by hand", claims=count)
    records = config["notebooks"]
    status = status_of(records)
    if status == "running" and not is_locked(folder):
        status = "interrupted"
    why: dict[str, str] = {}
    if hashes is not None:
        for name, manifest in config["manifests"].items():
            hashes.manifests.setdefault(name, manifest)
        why = stale(records, hashes)
    return Run(folder, status, next(iter(why.values()), ""), records, config, count)


def find_runs(folder: Path, depth: int = 3) -> Iterator[Path]:
    """Yield the run folders at and below a folder, sorted, at most `depth` levels down; not those within a run."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    names = {entry.name for entry in entries}
    if "config.json" in names or (names & set(_BY_HAND) and "figures" in names):
        yield folder
    elif depth:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith("."):
                yield from find_runs(Path(entry.path), depth - 1)


# --- writing ------------------------------------------------------------------------------------------------------


@contextmanager
def locked(folder: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Hold a run folder alone. The lock ends with the process that holds it, however that ends.

    Parameters
    ----------
    folder : Path
        An existing folder.
    wait : float
        Seconds to wait for another process.

    Raises
    ------
    CrackvizError
        If another process holds it.
    """
    import filelock

    lock = filelock.FileLock(folder / ".lock", timeout=wait)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise CrackvizError(
            f"Another process is running into {folder}. Wait for it, stop it, or choose another folder."
        ) from None
    except OSError as error:
        raise CrackvizError(
            f"Cannot use {folder} as the run folder: {error.strerror or error}. Expected a folder that you may write "
            "to, with space left; choose another one."
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
    import psutil

    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        revision = subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        revision = ""  # an installed package has none
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
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": threads or None,
            "memory_GiB": round(psutil.virtual_memory().total / 2**30, 1),
        },
        "python": platform.python_version(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }


def _processor() -> str:
    try:  # platform.processor() is empty on Linux
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        return next(line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
