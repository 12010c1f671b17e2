"""A synthetic data set on disk: made once, checked, kept in a cache."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from crackviz import CrackvizError
from crackviz.progress import cores, progress
from crackviz.synthetic import distractors
from crackviz.synthetic.patches import Image8, Mask, Patch, patch
from crackviz.synthetic.settings import PREFIX, RENDERER, SHORTCUTS, Settings

DISTRACTORS = tuple(distractors.MAKERS)
"""What lies on the walls and is no crack, by name."""
_KINDS = (*DISTRACTORS, *(name for name in SHORTCUTS if name not in DISTRACTORS))
_COLUMNS = ("name", "label", "photo", "x", "y", "distractors", "sha256")
_BLOCK = 64


def dataset(settings: Settings | None = None, *, cache: str | Path | None = None, jobs: int | None = None) -> Path:
    """Return the folder of a data set, made now or before.

    It holds ``images/*.jpg``, ``masks/*.png`` (255 in the cracks), ``details/*.png`` (see `details`) and
    ``patches.csv``, and `crackviz.data.index` reads it. Every file is checked against its hash; a damaged set is made
    anew.

    Parameters
    ----------
    settings : Settings, optional
    cache : path, optional
        Where sets are kept, each under its `Settings.key`; by default CRACKVIZ_CACHE, or the user's cache folder.
    jobs : int, optional
        Processes that render; by default one per core. The result does not depend on it.

    Returns
    -------
    Path

    Raises
    ------
    CrackvizError
        The folder can't be written, or the disk is full. Nothing half-made stays.
    """
    from filelock import FileLock

    settings = settings or Settings()
    home = Path(cache or os.environ.get("CRACKVIZ_CACHE") or _user_cache()).expanduser().absolute()
    folder = home / f"{PREFIX}-{settings.key}"
    if _whole(folder):
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):  # one process makes sets; the others wait, and find them made
            if not _whole(folder):
                _make(settings, folder, jobs)
    except OSError as error:
        raise CrackvizError(
            f"The synthetic set could not be kept in {home}: {error}. Free some space, or name another folder by the "
            "environment variable CRACKVIZ_CACHE."
        ) from error
    return folder


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("crackviz", appauthor=False)


def _make(settings: Settings, folder: Path, jobs: int | None) -> None:
    """Make a set in the place of a damaged one, or of none; the caller holds the lock."""
    for left in folder.parent.glob(f".{PREFIX}-*.part"):  # by a process that was killed: it holds no lock any more
        shutil.rmtree(left, ignore_errors=True)
    # a name of its own, since a killed process' helpers may still be writing into theirs
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent))
    try:
        _write(settings, part, jobs)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(settings: Settings, part: Path, jobs: int | None) -> None:
    from joblib import Parallel, delayed

    for name in ("images", "masks", "details"):
        (part / name).mkdir()
    blocks = [range(i, min(i + _BLOCK, settings.patches)) for i in range(0, settings.patches, _BLOCK)]
    jobs = min(jobs or cores(), len(blocks))
    # Of a parent that was killed, helpers wait for work so long [s], and then end.
    run = Parallel(n_jobs=jobs, return_as="generator", backend="loky", idle_worker_timeout=15)
    rows: list[dict[str, Any]] = []
    bar = progress(None, "Making synthetic concrete", settings.patches, unit="patch", hidden=settings.patches <= 200)
    with bar:
        for made in run(delayed(_write_block)(settings, part, block) for block in blocks):
            rows += made
            bar.update(len(made))
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    digest = hashlib.sha256(text.getvalue().encode()).hexdigest()
    head = json.dumps({"settings": asdict(settings), "renderer": RENDERER, "sha256": digest})
    (part / "patches.csv").write_text(f"# {head}\n{text.getvalue()}", "utf-8", newline="")


def _write_block(settings: Settings, part: Path, numbers: Sequence[int]) -> list[dict[str, Any]]:
    rows = []
    for number in numbers:
        made = patch(number, settings)
        name = f"{made.photo:05d}-{number % settings.patches_per_photo:02d}"
        files = {
            "images": made.jpeg,
            "masks": _png(made.mask.astype(np.uint8) * 255),
            "details": _png(_packed(made)),
        }
        for folder, content in files.items():
            (part / folder / f"{name}.{'jpg' if folder == 'images' else 'png'}").write_bytes(content)
        rows.append(
            {
                "name": name,
                "label": made.label,
                "photo": made.photo,
                "x": made.position[0],
                "y": made.position[1],
                "distractors": " ".join(sorted(made.distractors)),
                "sha256": hashlib.sha256(b"".join(files.values())).hexdigest(),
            }
        )
    return rows


def _png(grey: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _packed(made: Patch) -> Image8:
    """One number per pixel: 128 on the centre line, plus 1 + the number of the distractor that lies on top."""
    packed = np.zeros(made.mask.shape, np.uint8)
    for kind, there in made.distractors.items():
        packed[there] = _KINDS.index(kind) + 1
    return packed + np.uint8(128) * made.centreline


def details(path: str | Path) -> tuple[Mask, dict[str, Mask]]:
    """Read what is known of a patch of a `dataset` besides its mask.

    Parameters
    ----------
    path : path
        The patch's image, ``<set>/images/<name>.jpg``.

    Returns
    -------
    (numpy.ndarray, dict)
        The cracks' centre line, bool (H, W), and each distractor's pixels by its name, bool (H, W). Where several
        overlap, the uppermost.

    Raises
    ------
    CrackvizError
        No such file: the picture isn't of a synthetic set.
    """
    path = Path(path)
    file = path.parent.parent / "details" / f"{path.stem}.png"
    try:
        with Image.open(file) as picture:
            packed = np.array(picture)
    except OSError as error:
        raise CrackvizError(
            f"{path} has no details: {file} can't be read ({error}). Only patches of a synthetic set have them."
        ) from error
    kinds = packed & 127
    return packed >= 128, {_KINDS[number - 1]: kinds == number for number in np.unique(kinds) if number}


def listing(folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]] | None:
    """Read ``patches.csv`` of a set: its head and its rows; None where there is none, or it is damaged."""
    try:
        head, body = (folder / "patches.csv").read_text("utf-8").split("\n", 1)
        about = json.loads(head.removeprefix("# "))
        if hashlib.sha256(body.encode()).hexdigest() != about["sha256"]:
            return None
        return about, list(csv.DictReader(io.StringIO(body)))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _whole(folder: Path) -> bool:
    """Tell whether every file of a set is there and as it was written."""
    found = listing(folder)
    if found is None:
        return False
    try:
        for row in found[1]:
            files = (f"images/{row['name']}.jpg", f"masks/{row['name']}.png", f"details/{row['name']}.png")
            digest = hashlib.sha256(b"".join((folder / file).read_bytes() for file in files))
            if digest.hexdigest() != row["sha256"]:
                return False
    except OSError:
        return False
    return True
