"""From a wall to a photograph of it: surface, layers, light, camera; any window of it by itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from crackviz import _cracks, _marks
from crackviz._cracks import Layer, Points
from crackviz._noise import Float, Window, smooth, step, streaks, white

SUPERSAMPLING = 4
MARGIN = 8
"""What the camera's blur reaches [px]."""
_ABOVE = {"shadow", "pen_mark", "chalk_mark", "scale_bar", "cable", "debris", "date_stamp"}
_OPAQUE = {"cable", "scale_bar", "date_stamp"}
_OCTAVES = (1.0, 2.3, 5.0, 12.0, 30.0, 90.0)


class Rendered(NamedTuple):
    """A window of a photograph with its truth."""

    image: npt.NDArray[np.uint8]  # (H, W, 3)
    crack: npt.NDArray[np.bool_]  # (H, W)
    centreline: npt.NDArray[np.bool_]  # (H, W)
    marks: dict[str, npt.NDArray[np.bool_]]  # kind -> (H, W), those that are there


@dataclass(frozen=True)
class Surface:
    """Concrete without anything on it."""

    colour: tuple[float, float, float]
    salt: int
    albedo: tuple[float, ...]  # standard deviation of each octave
    zoom: float
    cloud: float  # blotches of another tone
    grain: float  # contrast of sand and aggregate
    grain_size: float
    roughness: float  # of the relief
    relief_size: float
    trowel: float  # strength of directed marks
    trowel_angle: float
    trowel_width: float
    warmth: float  # variation of the tint


@dataclass(frozen=True)
class Camera:
    """Light and camera of one photograph."""

    light: tuple[float, float]  # direction that it comes from, in the picture
    gradient: tuple[float, float]
    vignette: float
    exposure: float
    tint: tuple[float, float, float]
    blur: float  # sigma [px]
    motion: tuple[int, int]  # px
    sharpen: float
    noise: float
    colour_noise: float
    quality: int


@dataclass(frozen=True)
class Scene:
    """A wall and how it is photographed."""

    size: tuple[int, int]
    surface: Surface
    camera: Camera
    layers: tuple[Layer, ...]

    @cached_property
    def cracks(self) -> list[Layer]:
        """The layers that are cracks."""
        return [layer for layer in self.layers if layer.kind == "crack"]

    @cached_property
    def lines(self) -> Points:
        """The cracks' centre lines: (points, 2)."""
        return np.concatenate([layer.line for layer in self.cracks])

    @cached_property
    def plain(self) -> Points:
        """Those points of `lines` where nobody can miss the crack."""
        return self.lines[np.concatenate([layer.plain for layer in self.cracks])]

    @cached_property
    def clearance(self) -> float:
        """How far a crack reaches beside its centre line, at most [px]."""
        return max(layer.clearance() for layer in self.cracks)

    @cached_property
    def middles(self) -> Points:
        """Where the distractors are: the middles of their polygons, (polygons, 2)."""
        marks = [layer.polygons.mean(axis=1) for layer in self.layers if layer.named and layer.kind != "crack"]
        return np.concatenate([np.empty((0, 2)), *marks])

    @cached_property
    def reaches(self) -> Points:
        """Left, top, right, bottom of what each layer can change: (layers, 4)."""
        return np.array([layer.box for layer in self.layers]) + np.outer([_reach(one) for one in self.layers], _OUT)

    def within(self, window: Window) -> list[Layer]:
        """Return the layers that may reach into the window, in their order."""
        left, top, right, low = self.reaches.T
        hit = (left < window.x + window.width) & (right > window.x)
        hit &= (top < window.y + window.height) & (low > window.y)
        return [self.layers[i] for i in np.flatnonzero(hit)]


def _log(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def surface(rng: np.random.Generator) -> Surface:
    """Cast a wall: smooth or sandy, trowelled or rough, grey, brownish or greenish."""
    grey = rng.uniform(0.32, 0.82)
    warm, green = rng.normal(0.028, 0.034), rng.normal(0.004, 0.008)
    colour = tuple(float(c) for c in grey * np.array([1 + warm, 1 + 0.1 * warm + green, 1 - 1.2 * warm]))
    overall, tilt = _log(rng, 0.006, 0.035), rng.normal(0, 0.18)
    bands = np.exp(tilt * (np.arange(len(_OCTAVES)) - 2) + rng.normal(0, 0.35, len(_OCTAVES)))
    sandy = rng.random() < 0.35
    return Surface(
        colour=colour,  # type: ignore[arg-type]
        salt=int(rng.integers(2**31)),
        albedo=tuple(float(v) for v in np.minimum(overall * bands, 0.05)),
        zoom=_log(rng, 0.7, 2.0),
        cloud=_log(rng, 0.02, 0.25) if rng.random() < 0.5 else 0.0,
        grain=_log(rng, 0.05, 0.3) if sandy else _log(rng, 0.004, 0.05),
        grain_size=rng.uniform(1.3, 4.5),
        roughness=_log(rng, 0.01, 0.16),
        relief_size=_log(rng, 1.6, 7),
        trowel=_log(rng, 0.03, 0.13) if not sandy and rng.random() < 0.4 else 0.0,
        trowel_angle=rng.uniform(0, np.pi),
        trowel_width=_log(rng, 2.0, 6),
        warmth=_log(rng, 0.003, 0.03),
    )


def camera(rng: np.random.Generator) -> Camera:
    """Take a photograph: mostly a sharpened and denoised one of a telephone."""
    angle = rng.uniform(0, 2 * np.pi)
    tilt, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    motion = (0, 0)
    if rng.random() < 0.15:
        length, way = rng.integers(2, 5), rng.uniform(0, np.pi)
        motion = (round(float(length * np.cos(way))), round(float(length * np.sin(way))))
    return Camera(
        light=(float(np.cos(angle)), float(np.sin(angle))),
        gradient=(float(slope * np.cos(tilt)), float(slope * np.sin(tilt))),
        vignette=rng.uniform(0, 0.3),
        exposure=_log(rng, 0.85, 1.18),
        tint=tuple(float(v) for v in np.exp(rng.normal(0, 0.012, 3))),  # type: ignore[arg-type]
        blur=_log(rng, 0.4, 1.0) if rng.random() < 0.8 else _log(rng, 1.0, 1.7),
        motion=motion,
        sharpen=rng.uniform(0, 1.2),
        noise=_log(rng, 0.002, 0.02),
        colour_noise=_log(rng, 0.001, 0.008),
        quality=int(rng.integers(70, 97)),
    )


def scene(
    seed: Sequence[int],
    size: tuple[int, int],
    *,
    widths: tuple[float, float],
    contrast: float,
    distractors: float,
    without: Sequence[str] = (),
    side: int = 0,
) -> Scene:
    """Compose a wall of (width, height) px with cracks, and on average `distractors` marks per 1,000 x 1,000 px.

    Cracks that leave no room for a patch of `side` px without a crack are left out.
    """
    one, two, three, four = (np.random.default_rng([*seed, part]) for part in range(4))
    wall, lens = surface(one), camera(two)
    base = np.array(wall.colour)
    dark = three.uniform(0.08, 0.36)
    look = _cracks.Look(
        widths=widths,
        contrast=contrast * three.uniform(0.75, 1.0),
        colour=tuple(float(v) for v in base * dark * np.exp(three.normal(0, 0.05, 3))),  # type: ignore[arg-type]
        dust=tuple(float(min(0.95, v)) for v in base * three.uniform(0.85, 1.15)),  # type: ignore[arg-type]
        relief=three.uniform(0.0, 0.55),
        spalls=three.random() < 0.45,
        rim=three.uniform(0.4, 2.0) if three.random() < 0.5 else 0.0,
        rim_left=three.random() < 0.5,
    )
    groups = _cracks.cracks(three, size, look)
    while len(groups) > 1 and not _room(groups, size, side):
        groups.pop()
    cracked = [layer for group in groups for layer in group]
    extent = np.array(size, float)
    lines = [layer.line for layer in cracked if len(layer.line)]
    kinds = [kind for kind in _marks.MAKERS if kind not in without]
    often = np.array([_marks.FREQUENT.get(kind, 1.0) for kind in kinds])
    kinds = [kinds[int(i)] for i in four.choice(len(kinds), 400, p=often / often.sum())]
    favourite = kinds[:3]
    below: list[Layer] = _pores(four, extent, wall)
    above: list[Layer] = []
    for _ in range(int(four.poisson(distractors * size[0] * size[1] / 1e6))):
        kind = favourite[int(four.integers(3))] if four.random() < 0.5 else kinds[int(four.integers(len(kinds)))]
        if lines and four.random() < 0.35:
            line = lines[int(four.integers(len(lines)))]
            at = line[int(four.integers(len(line)))] + four.normal(0, 25, 2)
        else:
            at = extent * four.uniform(0, 1, 2)
        made = _marks.MAKERS[kind](four, extent, at, _log(four, 0.7, 1.7))
        (above if kind in _ABOVE else below).extend(made)
    return Scene(size, wall, lens, (*below, *cracked, *above))


def _room(groups: Sequence[Sequence[Layer]], size: tuple[int, int], side: int) -> bool:
    """Tell whether somewhere a square of `side` px is clear of all cracks."""
    found = [layer for group in groups for layer in group if layer.kind == "crack"]
    points = np.concatenate([layer.line for layer in found])[::3]
    clear = 8 + max(layer.clearance() for layer in found)
    near, far = -clear, side + clear
    for x in range(0, size[0] - side + 1, max(1, side // 2)):
        column = points[(points[:, 0] > x + near) & (points[:, 0] < x + far), 1]
        tops = np.arange(0, size[1] - side + 1, max(1, side // 2))
        taken = (column[None] > tops[:, None] + near) & (column[None] < tops[:, None] + far)
        if not taken.any(axis=1).all():
            return True
    return False


def _pores(rng: np.random.Generator, extent: Points, wall: Surface) -> list[Layer]:
    """Sprinkle single pores and light specks over the wall, a few or hundreds."""
    made = []
    area = float(extent.prod()) / 1e6
    pores = int(rng.poisson(_log(rng, 50, 1000) * area))
    if pores:
        sizes = np.minimum(np.exp(rng.normal(0.1, 0.55, pores)) * wall.zoom * 0.9, 9)
        made.append(_marks.holes(rng, "pores", rng.uniform(0, 1, (pores, 2)) * extent, sizes, named=False))
    specks = int(rng.poisson(_log(rng, 3, 300) * area))
    if specks:
        sizes = np.minimum(np.exp(rng.normal(0.1, 0.6, specks)) * wall.zoom, 9)
        layer = _marks.holes(rng, "specks", rng.uniform(0, 1, (specks, 2)) * extent, sizes, named=False)
        light = float(min(0.97, max(wall.colour) * rng.uniform(1.15, 1.5)))
        made.append(replace(layer, colour=(light, light, 0.96 * light), relief=-0.3 * layer.relief, ragged=0.4))
    return made


# --- rendering ------------------------------------------------------------------------------------------------


def render(wall: Scene, window: Window, extra: Sequence[Layer] = (), cast: Sequence[float] = (1, 1, 1)) -> Rendered:
    """Photograph a window of the scene, before JPEG.

    extra holds layers in the window's own coordinates (shortcuts), cast a tint of the whole picture.
    """
    wide = window.grown(MARGIN)
    image = _bare(wall, wide)
    crack = np.zeros((wide.height, wide.width), bool)
    centreline = crack.copy()
    marks: dict[str, npt.NDArray[np.bool_]] = {}
    moved = [(layer, Window(-MARGIN, -MARGIN, wide.width, wide.height)) for layer in extra]
    for layer, place in [*((layer, wide) for layer in wall.within(wide)), *moved]:
        drawn = _draw(layer, place)
        if drawn is None:
            continue
        box, outline, opacity = drawn
        alpha = _lay(image, layer, wall, place, box, opacity)
        if outline is not None:
            crack[box] |= outline
            _trace(centreline, layer.line, place)
        elif layer.named:
            there = marks.setdefault(layer.kind, np.zeros_like(crack))
            there[box] |= alpha > 0.3
        if layer.kind in _OPAQUE and layer.named:
            crack[box] &= alpha < 0.5
            centreline[box] &= alpha < 0.5
    crack |= centreline
    image *= _light(wall, wide)
    picture = _expose(image, wall, wide, cast)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    marks = {kind: there[inner] for kind, there in marks.items() if there[inner].any()}
    return Rendered(picture[inner], crack[inner], centreline[inner], marks)


@lru_cache(maxsize=256)
def _gaussian(sigma: float, truncate: float) -> npt.NDArray[np.float64]:
    reach = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-reach, reach + 1) ** 2)
    return weights / weights.sum()


def _blur(image: Float, sigma: float, *, truncate: float = 3.0, mode: str = "constant") -> Float:
    """Blur by a Gaussian: SciPy's gaussian_filter, less what it does to find its kernel anew each time."""
    weights = _gaussian(sigma, truncate)
    return ndimage.correlate1d(ndimage.correlate1d(image, weights, -2, mode=mode), weights, -1, mode=mode)


def jpeg(image: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode a picture as the camera would."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _bare(wall: Scene, window: Window) -> Float:
    """Return the surface alone, without light: RGB float32 (3, H, W), for a plane at a time is quicker."""
    of, light = wall.surface, wall.camera.light
    tone = np.zeros((window.height, window.width), np.float32)
    for number, (spacing, deviation) in enumerate(zip(_OCTAVES, of.albedo, strict=True)):
        tone += smooth(window, max(1.0, spacing * of.zoom), of.salt + number) * np.float32(deviation)
    if of.cloud:
        cloud = smooth(window, 70 * of.zoom, of.salt + 20) + np.float32(0.4) * smooth(
            window, 14 * of.zoom, of.salt + 21
        )
        tone += (step(cloud * np.float32(1.2)) - np.float32(0.4)) * np.float32(of.cloud)
    if of.grain > 0.01:
        sand = smooth(window, of.grain_size, of.salt + 30)
        loud = np.clip(np.abs(sand) - np.float32(0.9), 0, np.float32(1.4))
        tone += np.where(sand > 0, loud, -loud) * np.float32(of.grain)
    height = smooth(window, of.relief_size, of.salt + 40) + np.float32(1.6) * smooth(
        window, 2.6 * of.relief_size, of.salt + 41
    )
    height *= np.float32(of.roughness)
    if of.trowel:
        height += streaks(window, 14 * of.trowel_width, of.trowel_width, of.trowel_angle, of.salt + 42) * np.float32(
            of.trowel * 1.5
        )
    tone += _slope(height, light)
    tint = smooth(window, 60 * of.zoom, of.salt + 50) * np.float32(of.warmth)
    tone += 1
    image = np.empty((3, *tone.shape), np.float32)
    for channel, (base, weight) in enumerate(zip(of.colour, (1.0, 0.1, -1.1), strict=True)):
        np.multiply(tone + tint * np.float32(weight), np.float32(base), out=image[channel])
    return image


def _slope(height: Float, light: tuple[float, float]) -> Float:
    """Brightness of a relief that is lit from one side: its slope towards the light."""
    lit = np.zeros_like(height)
    lit[:, 1:-1] -= np.float32(light[0] / 2) * (height[:, 2:] - height[:, :-2])
    lit[1:-1] -= np.float32(light[1] / 2) * (height[2:] - height[:-2])
    return lit


Box = tuple[slice, slice]


_FULL = [0] + [255] * 255
_OUT = np.array([-1.0, -1.0, 1.0, 1.0])


def _reach(layer: Layer) -> int:
    return 2 + int(np.ceil(3 * layer.softness))


def _draw(layer: Layer, window: Window) -> tuple[Box, npt.NDArray[np.bool_] | None, Float] | None:
    """Draw a layer's polygons: where in the window, there a crack's pixels (half covered or more), and the opacity."""
    reach = _reach(layer)
    near = window.grown(reach)
    boxes = layer.boxes
    hit = (boxes[:, 0] < near.x + near.width) & (boxes[:, 2] > near.x)
    hit &= (boxes[:, 1] < near.y + near.height) & (boxes[:, 3] > near.y)
    if not hit.any():
        return None
    found = boxes[hit]
    left, top = np.floor(np.maximum(found.min(axis=0)[:2] - reach, (near.x, near.y))).astype(int)
    right, low = np.ceil(np.minimum(found.max(axis=0)[2:] + reach, (near.x + near.width, near.y + near.height))).astype(
        int
    )
    k = SUPERSAMPLING
    canvas = Image.new("L", ((right - left) * k, (low - top) * k))
    paint = ImageDraw.Draw(canvas)
    corners = ((layer.polygons[hit] - (left, top)) * k - 0.5).reshape(hit.sum(), -1).tolist()
    for polygon, value in zip(corners, np.maximum(1, np.round(layer.opacity[hit] * 255)).astype(int), strict=True):
        paint.polygon(polygon, fill=int(value))
    outline = np.asarray(canvas.point(_FULL).reduce(k)) > 127 if layer.kind == "crack" else None
    opacity = np.asarray(canvas.reduce(k), np.float32) / np.float32(255)
    if layer.softness > 0.05:
        opacity = _blur(opacity, layer.softness)
    x, y = max(left, window.x), max(top, window.y)
    right, low = min(right, window.x + window.width), min(low, window.y + window.height)
    if x >= right or y >= low:
        return None
    cut = (slice(y - top, low - top), slice(x - left, right - left))
    box = (slice(y - window.y, low - window.y), slice(x - window.x, right - window.x))
    return box, None if outline is None else outline[cut], opacity[cut]


def _lay(image: Float, layer: Layer, wall: Scene, window: Window, box: Box, opacity: Float) -> Float:
    """Lay a drawn layer on the image, in place; return its coverage after the grain has eaten into it."""
    if layer.ragged:
        place = Window(window.x + box[1].start, window.y + box[0].start, opacity.shape[1], opacity.shape[0])
        salt = wall.surface.salt + 60 + len(layer.kind)
        noise: Any = smooth(place, layer.grain, salt) + smooth(place, 2.7 * layer.grain, salt + 1) * np.float32(0.6)
        opacity = opacity * step(opacity * np.float32(0.5) + np.float32(0.75) - noise * np.float32(0.6 * layer.ragged))
    part = image[:, box[0], box[1]]
    colour = np.array(layer.colour, np.float32)[:, None, None]
    if layer.multiply:
        part *= 1 + opacity * (colour - 1)
    else:
        part += opacity * (colour - part)
    if layer.relief:
        part *= 1 + _slope(_blur(opacity, 0.8), wall.camera.light) * np.float32(2.2 * layer.relief)
    return opacity


def _trace(centreline: npt.NDArray[np.bool_], line: Points, window: Window) -> None:
    x, y = np.floor(line - (window.x, window.y)).astype(int).T
    inside = (x >= 0) & (y >= 0) & (x < window.width) & (y < window.height)
    centreline[y[inside], x[inside]] = True


def _light(wall: Scene, window: Window) -> Float:
    """Uneven light and vignetting over the whole photograph."""
    width, height = wall.size
    of = wall.camera
    y, x = np.ogrid[window.y : window.y + window.height, window.x : window.x + window.width]
    x, y = (x / width - 0.5).astype(np.float32), (y / height - 0.5).astype(np.float32)
    slope = 1 + x * np.float32(of.gradient[0]) + y * np.float32(of.gradient[1])
    return np.float32(of.exposure) * slope * (1 - np.float32(of.vignette) * (x * x + y * y))


def _expose(image: Float, wall: Scene, window: Window, cast: Sequence[float]) -> npt.NDArray[np.uint8]:
    """Blur, move, add noise, sharpen, tint, clip and round."""
    of = wall.camera
    salt = wall.surface.salt + 90
    grey = white(window, salt) * np.float32(of.noise)
    warm = white(window, salt + 1) * np.float32(of.colour_noise)
    image[0] += grey + warm
    image[1] += grey
    image[2] += grey - warm
    if of.motion != (0, 0):  # by no more than the margin, so what comes in from the other side is cut off
        moved = np.roll(image, (of.motion[1], of.motion[0]), (1, 2))
        half = np.roll(image, (round(of.motion[1] / 2), round(of.motion[0] / 2)), (1, 2))
        image = (image + moved + half) * np.float32(1 / 3)
    image = _blur(image, of.blur, truncate=2.5, mode="nearest")
    if of.sharpen > 0.15:
        soft = ndimage.uniform_filter(image, (1, 3, 3), mode="nearest")
        image += (image - soft) * np.float32(of.sharpen)
    tint = np.array([t * c for t, c in zip(of.tint, cast, strict=True)], np.float32)
    image *= (tint * np.float32(255))[:, None, None]
    image += np.float32(0.5)
    return np.ascontiguousarray(np.clip(image, 0, 255, out=image).astype(np.uint8).transpose(1, 2, 0))
