"""Synthetic concrete: photographs of walls with cracks, whose every pixel is known (``THEORY.md`` T1).

A wall is composed at random (surface, cracks, things that look like cracks), photographed, and cut into patches.
Nothing is downloaded, and the truth is exact: mask and centre line of the cracks, and the pixels of each distractor.

`patch` makes one patch by its number, `photograph` a whole wall, `dataset` a folder that `crackviz.data` reads like any
other data set. The same settings give the same bytes on every machine and in any number of processes.
"""

from __future__ import annotations

import ast
import csv
import difflib
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from crackviz import CrackvizError, _cracks, _marks, _render
from crackviz._noise import Window
from crackviz._progress import progress

DISTRACTORS = tuple(_marks.MAKERS)
"""What lies on the walls and is no crack, by name."""
SHORTCUTS = ("chalk_line", "scale_bar", "date_stamp", "colour_cast")
"""What can be planted beside cracks, see `Settings`."""
PREFIX = "synthetic"
"""How `crackviz.data` names these sets: "synthetic", or with settings "synthetic:seed=1,distractor_rate=0.9"."""

RENDERER = 1
"""Part of a set's key: to be raised with every change of the renderer that changes a pixel."""

Image8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Settings:
    """The dials of a synthetic data set. Lengths are in px of the patch.

    Parameters
    ----------
    patches : int
        How many, 1 to 1,000,000.
    image_size : int
        Side of a patch, 32 to 1,024. A photograph is 8 patches wide and 6 high.
    patches_per_photo : int
        Patches cut from one photograph, 1 to 100: the fewer, the more walls there are.
    crack_share : float
        Share of patches with a crack, 0 to 1.
    crack_width : (float, float)
        Least and greatest width of a crack's middle, within 0.3 and 25, and at most a fifth of the patch; branches are
        thinner, wide spots wider.
    contrast : float
        Darkness of the cracks, 0.1 to 1.
    distractor_rate : float
        Share of patches, with and without a crack, that are meant to show a distractor, 0 to 1. Where no place fits,
        one shows none, or one by chance.
    shortcut : str
        "" or one of `SHORTCUTS`, planted into patches. A chalk mark or scale bar then lies on no wall otherwise.
    shortcut_correlation : float
        Between shortcut and class, -1 to 1: r plants it into (1 + r) / 2 of the patches with a crack and (1 - r) / 2 of
        those without. 0.9 stands for 95 % and 5 %; 0 for half of either.
    seed : int
        0 or more. Another seed is another set of walls.

    Raises
    ------
    CrackvizError
        A value out of its bounds.
    """

    patches: int = 2000
    image_size: int = 128
    patches_per_photo: int = 8
    crack_share: float = 0.5
    crack_width: tuple[float, float] = (1.8, 13.0)
    contrast: float = 1.0
    distractor_rate: float = 0.4
    shortcut: str = ""
    shortcut_correlation: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "patches": (1, 1_000_000),
            "image_size": (32, 1024),
            "patches_per_photo": (1, 100),
            "crack_share": (0.0, 1.0),
            "contrast": (0.1, 1.0),
            "distractor_rate": (0.0, 1.0),
            "shortcut_correlation": (-1.0, 1.0),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in bounds.items():
            _check(name, getattr(self, name), low, high)
            object.__setattr__(self, name, type(low)(getattr(self, name)))
        widths = self.crack_width
        if not isinstance(widths, Sequence) or len(widths) != 2:
            raise CrackvizError(f"crack_width={widths!r}: expected two numbers, least and greatest, such as (1.8, 13).")
        for width in widths:
            _check("crack_width", width, 0.3, min(25.0, self.image_size / 5))
        object.__setattr__(self, "crack_width", (float(widths[0]), float(widths[1])))
        if widths[0] > widths[1]:
            raise CrackvizError(f"crack_width={widths!r}: the least is greater than the greatest; turn them round.")
        if self.shortcut and self.shortcut not in SHORTCUTS:
            raise CrackvizError(f"shortcut={self.shortcut!r}: expected '' or one of {', '.join(SHORTCUTS)}.")

    @property
    def photo_size(self) -> tuple[int, int]:
        """Width and height of a photograph [px]."""
        return 8 * self.image_size, 6 * self.image_size

    @property
    def key(self) -> str:
        """What tells this set from others: a hash of the settings and of the version of the renderer."""
        return hashlib.sha256(json.dumps([asdict(self), RENDERER]).encode()).hexdigest()[:16]


def _check(name: str, value: Any, low: float, high: float) -> None:
    whole = isinstance(low, int)
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise CrackvizError(f"{name}={value!r}: expected {kind} from {low:,} to {high:,}.")


def settings_of(name: str) -> Settings | None:
    """Return the settings that the name of a data set stands for, None where it doesn't mean synthetic concrete."""
    name = name or PREFIX
    return parse(name) if name.split(":")[0] == PREFIX else None


def parse(text: str) -> Settings:
    """Read settings written as "synthetic" or "synthetic:name=value,name=value".

    Raises
    ------
    CrackvizError
        An unknown name, or a value that is none or out of its bounds.
    """
    head, _, rest = text.partition(":")
    if head != PREFIX:
        raise CrackvizError(f"{text!r}: expected {PREFIX!r}, or {PREFIX!r} and settings, such as '{PREFIX}:seed=1'.")
    try:
        call = ast.parse(f"f({rest})", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args
        given = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise CrackvizError(
            f"{text!r}: expected settings such as '{PREFIX}:seed=1,crack_width=(1,8),shortcut=\"scale_bar\"'."
        ) from None
    known = [field.name for field in fields(Settings)]
    for name in given.keys() - set(known):
        close = difflib.get_close_matches(name, known, n=1)
        raise CrackvizError(
            f"{text!r}: there is no setting {name!r}.{f' Did you mean {close[0]}?' if close else ''} "
            f"Known: {', '.join(known)}."
        )
    return Settings(**given)


# --- one patch, one photograph ----------------------------------------------------------------------------------------


class Patch(NamedTuple):
    """A patch, or a whole photograph, with its truth."""

    image: Image8
    """uint8 (H, W, 3), as it comes out of the JPEG file."""
    mask: Mask
    """bool (H, W): the opening of the cracks. Hairlines below one px are one px wide here."""
    centreline: Mask
    """bool (H, W), within the mask: the cracks' middle, one px wide."""
    distractors: dict[str, Mask]
    """Name of each distractor or planted shortcut that shows, and where: bool (H, W). They may cover cracks."""
    label: int
    """1 where a crack was cut out on purpose, else 0: then the mask is empty. Of a photograph: whether it has one."""
    photo: int
    """Number of the photograph: patches of one belong in one part of a split."""
    position: tuple[int, int]
    """Left and top edge in the photograph [px]."""
    jpeg: bytes
    """The file."""


@lru_cache(maxsize=4)
def _scene(settings: Settings, photo: int, size: tuple[int, int]) -> _render.Scene:
    without = {"chalk_line": ("chalk_mark",), "scale_bar": ("scale_bar",)}.get(settings.shortcut, ())
    return _render.scene(
        (settings.seed, photo),
        size,
        widths=settings.crack_width,
        contrast=settings.contrast,
        distractors=45 * settings.distractor_rate * (128 / settings.image_size) ** 2,
        without=without,
        side=settings.image_size if size == settings.photo_size else 0,
    )


def photograph(number: int, settings: Settings | None = None, *, size: tuple[int, int] | None = None) -> Patch:
    """Photograph wall `number` whole; planted shortcuts are no part of it.

    Parameters
    ----------
    number : int
        0 or more.
    settings : Settings, optional
    size : (int, int), optional
        Width and height [px], 64 to 8,192 each; by default `Settings.photo_size`, the photograph that the patches are
        cut from. Another size is another wall.

    Returns
    -------
    Patch
        Equal to the patches where they lie, but for what JPEG makes of either.
    """
    settings = settings or Settings()
    _check("number", number, 0, 2**31)
    size = settings.photo_size if size is None else size
    if not isinstance(size, Sequence) or len(size) != 2:
        raise CrackvizError(f"size={size!r}: expected (width, height) in px.")
    for side in size:
        _check("size", side, 64, 8192)
    wall = _scene(settings, int(number), (int(size[0]), int(size[1])))
    made = _render.render(wall, Window(0, 0, *wall.size))
    return _developed(made, wall, int(made.crack.any()), int(number), (0, 0))


def patch(number: int, settings: Settings | None = None, *, planted: bool | None = None) -> Patch:
    """Make patch `number` of a set, without making the others.

    Parameters
    ----------
    number : int
        0 or more; also beyond `Settings.patches`.
    settings : Settings, optional
    planted : bool, optional
        Whether the shortcut is there: True and False give the same patch with and without it. By default the
        settings' correlation decides.

    Returns
    -------
    Patch
    """
    settings = settings or Settings()
    _check("number", number, 0, 2**62)
    if planted and not settings.shortcut:
        raise CrackvizError(f"planted=True, but the settings name no shortcut; choose one of {', '.join(SHORTCUTS)}.")
    photo = int(number) // settings.patches_per_photo
    label = int(np.floor((number + 1) * settings.crack_share) - np.floor(number * settings.crack_share))
    wall = _scene(settings, photo, settings.photo_size)
    place = _place(wall, settings, label, np.random.default_rng([settings.seed, photo, 10, int(number)]))
    rng = np.random.default_rng([settings.seed, photo, 11, int(number)])
    share = (1 + (1 if label else -1) * settings.shortcut_correlation) / 2
    drawn = rng.random() < share
    extra: list[_cracks.Layer] = []
    cast = (1.0, 1.0, 1.0)
    if settings.shortcut and (drawn if planted is None else planted):
        if settings.shortcut == "colour_cast":
            cast = (1.12, 1.0, 0.84)
        else:
            extra = _marks.planted(settings.shortcut, rng, settings.image_size, _longest(wall, place))
    made = _render.render(wall, place, extra, cast)
    if cast[0] != 1:
        made.marks["colour_cast"] = np.ones_like(made.crack)
    return _developed(made, wall, label, photo, (place.x, place.y))


def _developed(made: _render.Rendered, wall: _render.Scene, label: int, photo: int, at: tuple[int, int]) -> Patch:
    file = _render.jpeg(made.image, wall.camera.quality)
    image = np.array(Image.open(io.BytesIO(file)))
    return Patch(image, made.crack, made.centreline, made.marks, label, photo, at, file)


def _inside(points: npt.NDArray[np.float64], x: float, y: float, side: float) -> npt.NDArray[np.bool_]:
    return (points[:, 0] > x) & (points[:, 0] < x + side) & (points[:, 1] > y) & (points[:, 1] < y + side)


def _place(wall: _render.Scene, settings: Settings, label: int, rng: np.random.Generator) -> Window:
    """Choose where to cut: along a crack or clear of all, and with a distractor in it as often as asked for."""
    side = settings.image_size
    limit = np.array(wall.size) - side
    cracks, plain, middles = wall.lines, wall.plain, wall.middles
    clear = 4 + wall.clearance
    wanted = rng.random() < settings.distractor_rate
    found: Window | None = None
    for attempt in range(2000):
        if found and attempt >= 60:
            break
        if label:
            near = plain[rng.integers(len(plain))] + rng.uniform(-0.32, 0.32, 2) * side
        elif wanted and len(middles) and rng.random() < 0.7:
            near = middles[rng.integers(len(middles))] + rng.uniform(-0.4, 0.4, 2) * side
        else:
            near = side / 2 + rng.uniform(0, 1, 2) * limit
        x, y = np.clip(np.floor(near - side / 2), 0, limit).astype(int).tolist()
        if label:  # a third of the side or more, well inside and not fading: nobody can say that it isn't there
            fits = int(_inside(plain, x + 0.08 * side, y + 0.08 * side, 0.84 * side).sum()) * 0.7 > 0.35 * side
        else:
            fits = not _inside(cracks, x - clear, y - clear, side + 2 * clear).any()
        if fits:
            found = found or Window(x, y, side, side)
            if bool(_inside(middles, x + 4, y + 4, side - 8).any()) == wanted:
                return Window(x, y, side, side)
    if found is None:
        raise RuntimeError(f"no place for a patch with label {label}: the wall should have been composed otherwise")
    return found


def _longest(wall: _render.Scene, place: Window) -> npt.NDArray[np.float64]:
    """Centre line, in the patch's coordinates, of the crack that runs furthest through it."""
    pieces = [layer.line[_inside(layer.line, place.x, place.y, place.width)] for layer in wall.cracks]
    return max(pieces, key=len) - (place.x, place.y)


# --- a whole set ------------------------------------------------------------------------------------------------------

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
    settings = settings or Settings()
    home = Path(cache or os.environ.get("CRACKVIZ_CACHE") or _user_cache()).expanduser().absolute()
    folder = home / f"{PREFIX}-{settings.key}"
    if _whole(folder):
        return folder
    part: Path | None = None
    try:
        home.mkdir(parents=True, exist_ok=True)
        _sweep(home)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=home))
        _write(settings, part, jobs)
        _install(part, folder)
    except OSError as error:
        raise CrackvizError(
            f"The synthetic set could not be kept in {home}: {error}. Free some space, or name another folder by the "
            "environment variable CRACKVIZ_CACHE."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def _user_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("crackviz", appauthor=False)


def _sweep(home: Path) -> None:
    """Remove what killed processes have left, once it is a day old."""
    for left in home.glob(f".{PREFIX}-*.part"):
        try:
            if time.time() - left.stat().st_mtime > 86400:
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            pass  # another process was quicker


def _install(part: Path, folder: Path) -> None:
    """Put a finished set in its place, unless another process has meanwhile; a damaged one makes room."""
    try:
        part.rename(folder)
    except OSError:
        if _whole(folder):
            return
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", suffix=".part", dir=folder.parent))
        folder.rename(aside / "damaged")
        shutil.rmtree(aside, ignore_errors=True)
        part.rename(folder)


def _write(settings: Settings, part: Path, jobs: int | None) -> None:
    from joblib import Parallel, delayed

    for name in ("images", "masks", "details"):
        (part / name).mkdir()
    blocks = [range(i, min(i + _BLOCK, settings.patches)) for i in range(0, settings.patches, _BLOCK)]
    jobs = min(jobs or os.cpu_count() or 1, len(blocks))
    run = Parallel(n_jobs=jobs, return_as="generator")
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
