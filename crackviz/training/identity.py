"""What tells one training from another: pictures, masks, code, and the files that it has left."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from crackviz import ROOT, CrackvizError
from crackviz.files import code_hash, file_hash, read_json, short_hash

_FILES = ("model.keras", "model.h5", "history.csv")
_TRAINED_BY = ("data", "models", "training")  # packages whose code makes a network what it is


def contents(rows: pd.DataFrame, *, masks: bool = False) -> str:
    """Return a hash of what is in the files, whatever they are called, with what is said of each; and of its mask."""
    seen = rows["mask"] if masks else [""] * len(rows)
    told = zip(rows["path"], rows["label"], rows["split"], seen, strict=True)
    return short_hash(
        *sorted(
            f"{_digest(path)} {label} {part}{f' {_digest(mask)}' if mask else ''}" for path, label, part, mask in told
        )
    )


def _digest(path: str) -> str:
    try:
        return hashlib.blake2b(Path(path).read_bytes(), digest_size=16).hexdigest()
    except OSError as error:
        raise CrackvizError(f"A picture can't be read: {error}. Put it back, or make the table anew.") from error


def code() -> str:
    """Return a hash of the code that a training depends on: another one would have made another network of this."""
    found = [ROOT / "contracts.py", *(path for name in _TRAINED_BY for path in (ROOT / name).glob("*.py"))]
    return code_hash({path.relative_to(ROOT).as_posix(): path for path in found})


def digests(folder: Path) -> dict[str, str]:
    """Return a hash of each file that a training leaves."""
    return {name: file_hash(folder / name) for name in _FILES}


def is_done(folder: Path, identity: dict[str, Any]) -> bool:
    """Say whether `folder` holds this very training, with the files that it has left and no others."""
    if not all((folder / name).is_file() for name in ("training.json", *_FILES)):
        return False
    known = read_json(folder / "training.json")
    return known.items() >= identity.items() and known.get("files") == digests(folder)
