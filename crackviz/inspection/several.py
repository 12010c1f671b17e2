"""Several photographs in a row: one that can't be read doesn't stop the others, and what is done is kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crackviz import CrackvizError, __version__
from crackviz.contracts import check_number
from crackviz.data.layouts import SUFFIXES
from crackviz.files import file_hash, is_full, read_json, short_hash
from crackviz.inspection import brief, outputs, page
from crackviz.inspection.inspecting import Choices, inspect

_SUFFIXES = sorted(SUFFIXES | {".heic", ".heif"})  # where HEIC can't be read, that is said of the photograph


def photographs(named: Sequence[str | Path]) -> list[Path]:
    """Return the photographs that are meant by files and folders, in their order, each once.

    Of a folder, the pictures in it by their suffix, by name. A CrackvizError for a folder without any, or no name.
    """
    found: list[Path] = []
    for one in map(Path, named):
        if not one.is_dir():
            found.append(one)
            continue
        inside = sorted(path for path in one.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not inside:
            raise CrackvizError(f"{one} holds no photographs: expected files that end in {', '.join(_SUFFIXES)}.")
        found += inside
    if not found:
        raise CrackvizError("No photograph is named: give files, or a folder that holds some.")
    return list(dict.fromkeys(found))


def inspect_several(
    named: Sequence[str | Path],
    out: str | Path,
    mm_per_px: float | None = None,
    network: str = "trace_cnn",
    choices: Choices | None = None,
    tell: Callable[[str], object] = print,
) -> dict[Path, str]:
    """Inspect photographs, and write for each a folder with its page, tables and drawings, and one page of all.

    A photograph whose folder holds a finished inspection of the same file, made with the same choices, network and
    version, is left alone: after a stop, the same call goes on where it was.

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
        Where nothing can be done at all: no photographs, an output folder that is in use or can't be written, no space.
    """
    choices = choices or Choices()
    if mm_per_px is not None:
        check_number("mm_per_px", mm_per_px, 0, inclusive=False)
    paths, out = photographs(named), Path(out)
    folders = dict(zip(paths, _folders(paths, out), strict=True))
    errors: dict[Path, str] = {}
    noted = ""
    with _alone(out):
        for path, folder in folders.items():
            note = ""
            try:
                key = _key(path, mm_per_px, network, choices)
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
    """Return a folder for each photograph, of its name; of two with one name the second has a number."""
    taken: dict[str, int] = {}
    folders = []
    for path in paths:
        count = taken[path.stem.lower()] = taken.get(path.stem.lower(), 0) + 1
        folders.append(out / (path.stem if count == 1 else f"{path.stem}-{count}"))
    return folders


def _key(path: Path, mm_per_px: float | None, network: str, choices: Choices) -> str:
    """Return what tells this inspection from others: of the file's content and of all that it is made with."""
    try:
        content = file_hash(path)
        model = Path(network)
        weights = file_hash(model) if model.is_file() else network
    except OSError as error:
        raise CrackvizError(f"{path} can't be read: {error.strerror or error}.") from error
    made = json.dumps(asdict(choices), sort_keys=True, default=str)
    return short_hash(content, str(mm_per_px), weights, made, __version__)


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
