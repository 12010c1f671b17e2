"""Run folders at an address that fsspec understands, such as ``s3://bucket/runs``; needs ``crackviz[cluster]``.

A run is carried there when it has ended, ``config.json`` last: a run without it is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from crackviz import CrackvizError

MARK = "config.json"


# These know no folders; to make one would make a bucket by a misspelt name.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}


def is_address(place: str) -> bool:
    """Say whether a place is an address rather than a path."""
    return "://" in place


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise CrackvizError(f"{address} needs fsspec: pip install 'crackviz[cluster]'") from None
    try:
        return fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:  # each says which package it lacks, or that the protocol is unknown
        raise CrackvizError(f"Cannot use {address}: {error}") from error


def _make(system: Any, folder: str) -> None:
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    if not protocols & _WITHOUT_FOLDERS:
        system.makedirs(folder, exist_ok=True)


def check(address: str) -> None:
    """Write a file there and remove it again.

    Raises
    ------
    CrackvizError
        If that fails, or a package is missing.
    """
    system, path = _open(address)
    try:
        _make(system, path)
        system.pipe_file(f"{path}/.probe", b"x")
        system.rm_file(f"{path}/.probe")
    except Exception as error:  # each kind of store raises its own
        raise CrackvizError(f"Cannot write to {address}: {error}") from error


def push(folder: Path, address: str, names: Iterable[str] | None = None) -> None:
    """Carry a folder's files to an address: those named, or all, ``config.json`` last."""
    system, path = _open(address)
    found = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    chosen = sorted(found if names is None else names, key=lambda name: (name == MARK, name))
    try:
        if MARK in chosen and system.exists(f"{path}/{MARK}"):
            system.rm_file(f"{path}/{MARK}")
        for name in chosen:
            _make(system, f"{path}/{name}".rsplit("/", 1)[0])
            system.put_file(str(folder / name), f"{path}/{name}")
    except Exception as error:
        raise CrackvizError(f"Cannot write to {address}: {error}") from error


def fetch(address: str, folder: Path, names: Iterable[str] | None = None) -> bool:
    """Bring a run's files here, those named or all; False where there is no finished run."""
    system, path = _open(address)
    try:
        if not system.exists(f"{path}/{MARK}"):
            return False
        found = [name.removeprefix(path).lstrip("/") for name in system.find(path)]
        for name in found if names is None else set(names) & set(found):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{path}/{name}", str(folder / name))
    except CrackvizError:
        raise
    except Exception as error:
        raise CrackvizError(f"Cannot read {address}: {error}") from error
    return True
