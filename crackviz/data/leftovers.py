"""Folders among pictures that no person made: hidden ones, a system's, and small copies of the pictures."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

_SYSTEM = {"__macosx", "__pycache__", "lost+found", "system volume information"}
"""NAS and Windows mark theirs by @, # or $, with small copies of the pictures in them."""
_COPIES = re.compile(r"[^a-z]*(thumb(nail)?|preview)s?[^a-z]*")
"""As programs for photographs and for pages of the web call them."""


def is_passed_over(name: str) -> bool:
    """Tell whether a folder of this name below a data set is no part of it."""
    return name[0] in ".@$#" or name.casefold() in _SYSTEM or _COPIES.fullmatch(name.casefold()) is not None


def warn_of(folders: Sequence[Path], suffixes: Collection[str]) -> None:
    """Name those of the folders passed over in which pictures lie; of hidden ones, those of small copies alone."""
    telling = [folder for folder in folders if folder.name[0] != "." or "thumb" in folder.name.lower()]
    if holding := [folder for folder in telling if _holds_pictures(folder, suffixes)]:
        names = ", ".join(ascii(str(folder)) for folder in holding[:3])
        more = f" and {len(holding) - 3:,} more" if len(holding) > 3 else ""
        warnings.warn(
            f"Pictures in {names}{more} are left out: programs keep small copies of pictures in folders of such names. "
            "If these are others, rename the folder.",
            stacklevel=5,
        )


def _holds_pictures(folder: Path, suffixes: Collection[str]) -> bool:
    names = (name for _, _, files in os.walk(folder) for name in files)
    return any(name[0] != "." and PurePath(name).suffix.lower() in suffixes for name in names)
