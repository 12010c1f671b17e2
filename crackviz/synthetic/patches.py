"""Patches and photographs of synthetic walls, with what is true of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from crackviz import CrackvizError
from crackviz.contracts import check_choice, check_flag, check_number
from crackviz.synthetic import rendering, scene, shortcuts
from crackviz.synthetic.distractors import MAKERS
from crackviz.synthetic.layers import Layer, Points, owned
from crackviz.synthetic.noise import Window
from crackviz.synthetic.settings import SHORTCUTS, Settings

Image8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
OBJECTS = ("crack", *MAKERS, "date_stamp", "colour_cast")
"""What `without` takes away. A planted chalk line is a chalk mark."""
PLAIN = (1.0, 1.0, 1.0)
BLOCK = 16
"""What JPEG packs together [px]: four blocks of 8 x 8 share one of each colour."""


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


class _Composed(NamedTuple):
    """What a patch is photographed from."""

    label: int
    photo: int
    wall: scene.Scene
    place: Window
    extra: list[Layer]
    cast: tuple[float, float, float]


class Counterpart(NamedTuple):
    """A patch without one of its objects: what the camera would have seen."""

    patch: Patch
    """The same wall, place, light, noise and file quality, and the truth that remains."""
    where: Mask
    """bool (H, W): the object's pixels in the patch that has it, its `Patch.mask` or one of `Patch.distractors`."""
    touched: Mask
    """bool (H, W): every pixel that may differ: the object with its rims and soft edges, what light and camera carry
    on from it, and the blocks of 16 x 16 px that JPEG packs together. All others are the same, byte for byte."""


@lru_cache(maxsize=4)
def _scene(settings: Settings, photo: int, size: tuple[int, int]) -> scene.Scene:
    without = {"chalk_line": ("chalk_mark",), "scale_bar": ("scale_bar",)}.get(settings.shortcut, ())
    return scene.scene(
        (settings.seed, photo),
        size,
        widths=settings.crack_width,
        contrast=settings.contrast,
        distractors=45 * settings.distractor_rate * (128 / settings.image_size) ** 2,
        without=without,
        side=settings.image_size if size == settings.photo_size else 0,
    )


def photograph(
    number: int, settings: Settings | None = None, *, size: tuple[int, int] | None = None, without: str = ""
) -> Patch:
    """Photograph wall `number` whole; planted shortcuts are no part of it.

    Parameters
    ----------
    number : int
        0 or more.
    settings : Settings, optional
    size : (int, int), optional
        Width and height [px], 64 to 8,192 each; by default `Settings.photo_size`, the photograph that the patches are
        cut from. Another size is another wall.
    without : str
        "crack" for the same wall before it cracked, or a distractor's name; "" leaves nothing out.

    Returns
    -------
    Patch
        Equal to the patches where they lie, but for what JPEG makes of either.
    """
    if without:
        check_choice("without", without, OBJECTS)
    wall = _wall(number, settings, size)
    made = rendering.render(wall, Window(0, 0, *wall.size), without=without)
    return _developed(made, wall, int(made.crack.any()), int(number), (0, 0))


def centre_lines(number: int, settings: Settings | None = None, *, size: tuple[int, int] | None = None) -> Points:
    """Return where the cracks of `photograph` run and how wide they open: x, y, width [px], float64 (points, 3).

    Points are less than one px apart; those that lie outside the photograph are left out. Cracks under a cable or a
    scale bar are listed, too: `Patch.centreline` is True only where one sees them. Arguments are those of `photograph`.
    """
    wall = _wall(number, settings, size)
    points = np.concatenate([np.column_stack([layer.line, layer.width]) for layer in wall.cracks])
    return points[((points[:, :2] >= 0) & (points[:, :2] < wall.size)).all(axis=1)]


def _wall(number: int, settings: Settings | None, size: tuple[int, int] | None) -> scene.Scene:
    settings = settings or Settings()
    check_number("number", number, 0, 2**31, whole=True)
    size = settings.photo_size if size is None else size
    if not isinstance(size, Sequence) or len(size) != 2:
        raise CrackvizError(f"size is {size!r}; expected (width, height) in px.")
    for side in size:
        check_number("size", side, 64, 8192, whole=True)
    return _scene(settings, int(number), (int(size[0]), int(size[1])))


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
    label, photo, wall, place, extra, cast = _composed(number, settings, planted)
    made = rendering.render(wall, place, extra, cast)
    if cast != PLAIN:
        made.marks["colour_cast"] = np.ones_like(made.crack)
    return _developed(made, wall, label, photo, (place.x, place.y))


def without(number: int, kind: str, settings: Settings | None = None, *, planted: bool | None = None) -> Counterpart:
    """Make patch `number` once more, without its crack or one of its distractors: a counterfactual that is true.

    Wall, place, light, noise and camera stay the same, since each of them is drawn by itself. What lay under the object
    comes to light. All that bears the name goes: every branch of the cracks with rims, chips and dust; each bug hole.

    Parameters
    ----------
    number, settings, planted
        As in `patch`.
    kind : str
        "crack", or a name in the patch's `Patch.distractors`, planted or not.

    Returns
    -------
    Counterpart

    Raises
    ------
    CrackvizError
        The patch shows no such thing; the message says what it shows.

    Notes
    -----
    ``THEORY.md`` T8: how much an object is worth to a network.
    """
    settings = settings or Settings()
    check_choice("kind", kind, OBJECTS)
    label, photo, wall, place, extra, cast = _composed(number, settings, planted)
    tinted = cast != PLAIN
    made = rendering.render(wall, place, extra, PLAIN if kind == "colour_cast" else cast, without=kind)
    if tinted and kind == "colour_cast":
        made = made._replace(where=~made.where, touched=~made.touched)
    elif tinted:
        made.marks["colour_cast"] = np.ones_like(made.crack)
    if not made.where.any():
        shown = [*(["crack"] if made.crack.any() else []), *sorted(made.marks)]
        raise CrackvizError(
            f"Patch {number} shows no {kind}, so it can't be taken away. It shows {', '.join(shown) or 'a bare wall'}."
        )
    file = _developed(made, wall, 0 if kind == "crack" else label, photo, (place.x, place.y))
    return Counterpart(file, made.where, _packed_together(made.touched))


def _packed_together(touched: Mask) -> Mask:
    """Grow to JPEG's blocks, 16 px with their halved colour, and to the px beside them, where colour is smoothed."""
    high, wide = touched.shape
    tall, broad = -(-high // BLOCK), -(-wide // BLOCK)
    padded = np.zeros((tall * BLOCK, broad * BLOCK), bool)
    padded[:high, :wide] = touched
    blocks = padded.reshape(tall, BLOCK, broad, BLOCK).any(axis=(1, 3))
    whole = np.kron(blocks, np.ones((BLOCK, BLOCK), bool))[:high, :wide]
    return np.asarray(ndimage.binary_dilation(whole, np.ones((3, 3), bool)))


def _composed(number: int, settings: Settings, planted: bool | None) -> _Composed:
    """Choose wall and place of a patch, and what is planted into it."""
    check_number("number", number, 0, 2**62, whole=True)
    if planted is not None:
        check_flag("planted", planted)
    if planted and not settings.shortcut:
        raise CrackvizError(f"planted is True, but settings name no shortcut; choose one of {', '.join(SHORTCUTS)}.")
    photo = int(number) // settings.patches_per_photo
    label = int(np.floor((number + 1) * settings.crack_share) - np.floor(number * settings.crack_share))
    wall = _scene(settings, photo, settings.photo_size)
    place = _place(wall, settings, label, np.random.default_rng([settings.seed, photo, 10, int(number)]))
    rng = np.random.default_rng([settings.seed, photo, 11, int(number)])
    share = (1 + (1 if label else -1) * settings.shortcut_correlation) / 2
    drawn = rng.random() < share
    extra: list[Layer] = []
    cast = PLAIN
    if settings.shortcut and (drawn if planted is None else planted):
        if settings.shortcut == "colour_cast":
            cast = (1.12, 1.0, 0.84)
        else:
            extra = shortcuts.planted(settings.shortcut, rng, settings.image_size, _longest(wall, place))
            extra = owned(extra, extra[0].kind)
    return _Composed(label, photo, wall, place, extra, cast)


def _developed(made: rendering.Rendered, wall: scene.Scene, label: int, photo: int, at: tuple[int, int]) -> Patch:
    file = rendering.jpeg(made.image, wall.camera.quality)
    image = np.array(Image.open(io.BytesIO(file)))
    return Patch(image, made.crack, made.centreline, made.marks, label, photo, at, file)


def _inside(points: npt.NDArray[np.float64], x: float, y: float, side: float) -> npt.NDArray[np.bool_]:
    return (points[:, 0] > x) & (points[:, 0] < x + side) & (points[:, 1] > y) & (points[:, 1] < y + side)


def _place(wall: scene.Scene, settings: Settings, label: int, rng: np.random.Generator) -> Window:
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


def _longest(wall: scene.Scene, place: Window) -> npt.NDArray[np.float64]:
    """Centre line, in the patch's coordinates, of the crack that runs furthest through it."""
    pieces = [layer.line[_inside(layer.line, place.x, place.y, place.width)] for layer in wall.cracks]
    return max(pieces, key=len) - (place.x, place.y)
