"""From a wall to a photograph of it: surface, layers, light, camera; any window of it by itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from crackviz.synthetic.layers import Layer, Points
from crackviz.synthetic.noise import Float, Window, smooth, step, streaks, white
from crackviz.synthetic.scene import OCTAVES, Scene

SUPERSAMPLING = 4
MARGIN = 8
"""What the camera's blur reaches [px]."""
_OPAQUE = {"cable", "scale_bar", "date_stamp"}


class Rendered(NamedTuple):
    """A window of a photograph with its truth."""

    image: npt.NDArray[np.uint8]  # (H, W, 3)
    crack: npt.NDArray[np.bool_]  # (H, W)
    centreline: npt.NDArray[np.bool_]  # (H, W)
    marks: dict[str, npt.NDArray[np.bool_]]  # kind -> (H, W), those that are there
    where: npt.NDArray[np.bool_]  # (H, W), what was left out: where one would see it
    touched: npt.NDArray[np.bool_]  # (H, W), every pixel that it changes, with what light and camera carry on


def render(
    wall: Scene, window: Window, extra: Sequence[Layer] = (), cast: Sequence[float] = (1, 1, 1), *, without: str = ""
) -> Rendered:
    """Photograph a window of the scene, before JPEG.

    extra holds layers in the window's own coordinates (shortcuts), cast a tint of the whole picture. What is called
    `without` ("crack", or a distractor's name) is left out. Nothing is drawn at random here: textures and noise hang on
    the place alone, so all else stays as it is.
    """
    wide = window.grown(MARGIN)
    image = _bare(wall, wide)
    crack = np.zeros((wide.height, wide.width), bool)
    centreline, touched = crack.copy(), crack.copy()
    marks: dict[str, npt.NDArray[np.bool_]] = {}
    moved = [(layer, Window(-MARGIN, -MARGIN, wide.width, wide.height)) for layer in extra]
    for layer, place in [*((layer, wide) for layer in wall.within(wide)), *moved]:
        drawn = _draw(layer, place)
        if drawn is None:
            continue
        box, outline, opacity = drawn
        gone = layer.owner == without != ""
        alpha = opacity if gone and not layer.named else _worn(layer, wall, place, box, opacity)
        if gone:
            touched[box] |= opacity > 0
        else:
            _lay(image[:, box[0], box[1]], layer, wall, alpha)
        if outline is not None:
            crack[box] |= outline
            _trace(centreline, layer.line, place)
        elif layer.named:
            there = marks.setdefault(layer.kind, np.zeros_like(crack))
            there[box] |= alpha > 0.3
        if layer.kind in _OPAQUE and layer.named and not gone:
            crack[box] &= alpha < 0.5
            centreline[box] &= alpha < 0.5
    crack |= centreline
    image *= _light(wall, wide)
    picture = _expose(image, wall, wide, cast)
    inner = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    marks = {kind: there[inner] for kind, there in marks.items() if there[inner].any()}
    nothing = np.zeros((window.height, window.width), bool)
    if touched.any():
        touched = ndimage.maximum_filter(touched, 2 * _carried(wall) + 1)
    seen = Rendered(picture[inner], crack[inner], centreline[inner], marks, nothing, touched[inner])
    if without == "crack":
        return seen._replace(crack=nothing, centreline=nothing, where=seen.crack)
    return seen._replace(where=marks.pop(without, nothing))


def _carried(wall: Scene) -> int:
    """How far light and camera carry a change, at most [px]: the lit edge, then motion, blur, sharpening."""
    of = wall.camera
    return 3 + max(abs(way) for way in of.motion) + len(_gaussian(of.blur, 2.5)) // 2 + (of.sharpen > 0.15)


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
    for number, (spacing, deviation) in enumerate(zip(OCTAVES, of.albedo, strict=True)):
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


def _draw(layer: Layer, window: Window) -> tuple[Box, npt.NDArray[np.bool_] | None, Float] | None:
    """Draw a layer's polygons: where in the window, there a crack's pixels (half covered or more), and the opacity."""
    reach = layer.reach
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


def _worn(layer: Layer, wall: Scene, window: Window, box: Box, opacity: Float) -> Float:
    """Let the grain of the wall eat into a drawn layer: return its coverage."""
    if not layer.ragged:
        return opacity
    place = Window(window.x + box[1].start, window.y + box[0].start, opacity.shape[1], opacity.shape[0])
    salt = wall.surface.salt + 60 + len(layer.kind)
    noise: Any = smooth(place, layer.grain, salt) + smooth(place, 2.7 * layer.grain, salt + 1) * np.float32(0.6)
    worn: Any = step(opacity * np.float32(0.5) + np.float32(0.75) - noise * np.float32(0.6 * layer.ragged))
    return np.asarray(opacity * worn, np.float32)


def _lay(part: Float, layer: Layer, wall: Scene, opacity: Float) -> None:
    """Lay a layer of some coverage on its part of the image, in place."""
    colour = np.array(layer.colour, np.float32)[:, None, None]
    if layer.multiply:
        part *= 1 + opacity * (colour - 1)
    else:
        part += opacity * (colour - part)
    if layer.relief:
        part *= 1 + _slope(_blur(opacity, 0.8), wall.camera.light) * np.float32(2.2 * layer.relief)


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
