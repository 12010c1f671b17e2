"""Several photographs in a row: one that can't be read doesn't stop the others, and what is done is kept."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crackviz import CrackvizError
from crackviz.data.layouts import SUFFIXES
from crackviz.files import as_path, file_hash, is_full, package_hash, read_json, short_hash
from crackviz.inspection import brief, outputs, page
from crackviz.inspection.inspecting import Choices, checked, identity, inspect

_SUFFIXES = sorted(SUFFIXES | {".heic", ".heif"})  # where HEIC can't be read, that is said of the photograph


def photographs(named: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the photographs that are meant by files and folders, in their order, each once.

    Of a folder, the pictures in it by their suffix, by name; not hidden ones, such as macOS leaves beside others
    ("._wall.jpg"). A CrackvizError for a folder without any, or no name.
    """
    found: list[Path] = []
    for one in (as_path("The photograph", name) for name in ([named] if isinstance(named, str | Path) else named)):
        if not one.is_dir():
            found.append(one)
            continue
        try:
            inside = sorted(p for p in one.iterdir() if p.suffix.lower() in _SUFFIXES and p.name[0] != ".")
        except OSError as error:
            raise CrackvizError(f"{one} can't be read: {error.strerror or error}.") from error
        if not inside:
            raise CrackvizError(f"{one} holds no photographs: expected files that end in {', '.join(_SUFFIXES)}.")
        found += inside
    if not found:
        raise CrackvizError("No photograph is named: give files, or a folder that holds some.")
    return list({path.resolve(): path for path in found}.values())


def inspect_several(
    named: str | Path | Sequence[str | Path],
    out: str | Path,
    mm_per_px: float | None = None,
    network: str = "trace_cnn",
    choices: Choices | None = None,
    tell: Callable[[str], object] = print,
) -> dict[Path, str]:
    """Inspect photographs, and write for each a folder with its page, tables and drawings, and one page of all.

    A photograph whose folder holds a finished inspection of the same file, made with the same choices, network and
    code, is left alone: after a stop, the same call goes on where it was.

    Parameters
    ----------
    named : sequence of paths
        Photographs, and folders of them.
    out : str or Path
        Folder, made if it is missing.
    mm_per_px, network, choices
        As :func:`inspect` takes them.
    tell : callable
        Called with a line for each photograph.

    Returns
    -------
    dict
        Each photograph's error, "" for those that were inspected.

    Raises
    ------
    CrackvizError
        Where nothing can be done at all: no photographs, no such network, an output folder that is in use or can't be
        written, no space.
    """
    choices, mm_per_px = checked(choices, mm_per_px)
    paths, out = photographs(named), as_path("out", out)
    made_by = identity(network), package_hash()
    folders = dict(zip(paths, _folders(paths, out), strict=True))
    errors: dict[Path, str] = {}
    noted = ""
    with _alone(out):
        for path, folder in folders.items():
            note = ""
            try:
                key = _key(path, mm_per_px, made_by, choices)
                if read_json(folder / "inspection.json").get("key") != key or not (folder / "index.html").exists():
                    found = inspect(path, mm_per_px, network, choices)
                    page.write(found, folder)
                    outputs.write(found, folder, key)
                    said, note = brief.sentence(outputs.record(found)), found.note
                else:
                    said = "has been inspected, left as it is"
                errors[path] = ""
            except CrackvizError as error:
                if is_full(error):
                    raise
                said = errors[path] = str(error)
            page.overview(out, {path: folders[path] for path in errors}, errors)
            tell(f"{path.name}: {said}")  # after all is written: who stops it now finds it there
            if note and not noted:
                tell(note)
            noted = noted or note
    return errors


def _folders(paths: Sequence[Path], out: Path) -> list[Path]:
    """Return a folder for each photograph, of its name; of two with one name the second has a number.

    It keeps its folder in later calls, and another one of that name, from elsewhere, gets its own.
    """
    taken = {"index.html"}  # the page of all
    folders = []
    for path in paths:
        # ".." would be the folder above, and what is no text or no letter can't stand in a link
        stem = re.sub(r"[^\x20-\ud7ff\ue000-\U0010ffff]", "_", path.stem).strip(". ") or "photograph"
        names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
        name = next(name for name in names if name.casefold() not in taken and not _is_anothers(out / name, path))
        taken.add(name.casefold())
        folders.append(out / name)
    return folders


def _is_anothers(folder: Path, path: Path) -> bool:
    """Tell whether a folder holds the inspection of another photograph: neither of that place nor of that content."""
    with suppress(CrackvizError, OSError):  # what can't be read is said where it is used
        held = read_json(folder / "inspection.json")
        if held.get("place") and held["place"] != outputs.place_of(path):
            return bool(held.get("content") != file_hash(path))
    return False


def _key(path: Path, mm_per_px: float | None, made_by: Sequence[str], choices: Choices) -> str:
    """Return what tells this inspection from others: of the file's content and of all that it is made with."""
    try:
        content = file_hash(path)
    except OSError as error:
        raise CrackvizError(f"{path} can't be read: {error.strerror or error}.") from error
    made = json.dumps(asdict(choices), sort_keys=True, default=str)
    return short_hash(content, str(mm_per_px), made, *made_by)


@contextmanager
def _alone(out: Path) -> Iterator[Any]:
    """Hold the output folder; a CrackvizError if another inspection does, or it can't be made."""
    import filelock

    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(out / ".lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise CrackvizError(f"{out} is in use by another inspection. Wait for it, or choose another folder.") from None
    except OSError as error:
        raise CrackvizError(f"Cannot write to {out}: {error.strerror or error}. Choose another folder.") from error
    try:
        yield lock
    finally:
        lock.release()
