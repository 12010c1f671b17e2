"""Pictures and masks read from files: RGB, float32 in [0, 1], boolean."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from crackviz import CrackvizError
from crackviz.contracts import check_number
from crackviz.progress import cores, progress

MAX_PIXELS = 89_478_485
"""Larger pictures are refused undecoded (Pillow's own level of warning: 256 MiB as RGB, 9,459 x 9,459)."""


MAX_SIDE = 16_384
"""Pictures are resized to no more pixels a side."""
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF", "DIB", "TGA", "ICO")
MAX_ARRAY_BYTES = 2 * 1024**3
Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def formats() -> list[str]:
    """Return Pillow's names of what is read: not PostScript, which it would hand to a program that executes it."""
    Image.init()
    with suppress(ImportError):  # the extra "heic"
        import pillow_heif

        pillow_heif.register_heif_opener()
    return [name for name in _FORMATS if name in Image.OPEN]  # which there are depends on how Pillow was built


def read_image(path: str | Path, size: int | None = None) -> npt.NDArray[np.uint8]:
    """Read any picture as RGB, the way that every part of crackviz sees it (`PREPROCESSING` version 1).

    The first frame of an animation, turned upright as its EXIF data say; 16-bit samples scaled to 8 bits
    (65535 becomes 255; Pillow alone would clip); grey, palette, CMYK and others converted to RGB; transparent
    parts laid on white, as a page or a viewer shows them. Colour profiles are ignored. A file's content counts,
    not its suffix.

    Parameters
    ----------
    path : str or Path
    size : int, optional
        Resize to size x size by an antialiased triangle filter (Pillow's BILINEAR), without keeping the aspect ratio.

    Returns
    -------
    uint8 array (H, W, 3), 0 to 255

    Raises
    ------
    CrackvizError
        Naming the file: missing, no picture, truncated, over `MAX_PIXELS`, or samples of an unknown range.
    """
    if size is not None:
        check_number("size", size, 1, MAX_SIDE, whole=True)
    rgb = open_rgb(path)
    if size is not None and rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(rgb)


def open_rgb(path: str | Path, most: int = MAX_PIXELS) -> Image.Image:
    """Return a picture of at most `most` pixels as Pillow's RGB image, upright; see :func:`read_image`."""
    allowed = Image.MAX_IMAGE_PIXELS
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would be waited for
            raise CrackvizError("it is no file")
        if most > MAX_PIXELS:  # Pillow would refuse it; only for one picture at a time, as the setting is Pillow's
            Image.MAX_IMAGE_PIXELS = most
        with Image.open(path, formats=formats()) as picture:
            if picture.width * picture.height > most:
                raise CrackvizError(f"{picture.width} x {picture.height} pixels exceed {most:,}: tile it")
            return _to_rgb(ImageOps.exif_transpose(picture))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        gone = isinstance(error, FileNotFoundError)
        reason = "there is no such file" if gone else str(error).replace(repr(str(path)), "it") or type(error).__name__
        if isinstance(error, UnidentifiedImageError) and _is_heic(path):
            reason = 'it is HEIC, as telephones write it; reading that needs pip install "crackviz[heic]"'
        raise CrackvizError(f"{path} can't be read as a picture: {reason}. Replace or remove it.") from error
    finally:
        if most > MAX_PIXELS:
            Image.MAX_IMAGE_PIXELS = allowed


def _is_heic(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        samples = np.asarray(picture)
        if samples.min() < 0 or samples.max() > 65535 or picture.mode == "F":
            raise CrackvizError(f"{samples.dtype} samples of unknown range; save it with 8 or 16 bits")
        return Image.fromarray(((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def read_mask(path: str | Path, size: int | None = None) -> npt.NDArray[np.bool_]:
    """Read a mask; it is thresholded after resizing, so that a pixel is crack where most of it is.

    What holds 0 and 1 alone is read so. A CrackvizError where something lies above 0 and nothing above 127, which is
    neither a mask nor an empty one, and where the truth lies in the transparency of a picture of one colour.
    """
    samples = read_image(path).max(axis=2)
    if samples.max() <= 1:  # some sets write 1; as 16 bits it is rounded to 0
        samples = _ones(path, samples)
    elif samples.max() <= 127:
        raise CrackvizError(
            f"{path} can't be read as a mask: it reaches {samples.max()} of 255, and a crack is white, or 1 of 0 and "
            "1. Write it with 0 and 255."
        )
    grey = Image.fromarray(samples)
    if size is not None and grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def _ones(path: str | Path, samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a mask that holds no more than 1 of 255 as one of 0 and 255."""
    with Image.open(path, formats=formats()) as picture:
        if picture.mode.startswith("I"):
            deep = np.asarray(picture)
            if deep.max() > 1:
                raise CrackvizError(
                    f"{path} can't be read as a mask: it reaches {deep.max()} of 65535, and a crack is white, or 1 of "
                    "0 and 1. Write it with 0 and 255."
                )
            return np.asarray(deep, np.uint8) * np.uint8(255)
    return samples * np.uint8(255)


def parallel(task: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result]:
    """Do a task for each item, in threads: Pillow decodes and resizes outside the lock of the interpreter."""
    with ThreadPoolExecutor(min(16, cores())) as pool:
        return list(progress(pool.map(task, items), what, len(items), hidden=len(items) <= 500))


def load_images(paths: Iterable[str | Path], size: int) -> npt.NDArray[np.float32]:
    """Read pictures into memory: float32 (N, size, size, 3) in [0, 1].

    More than 2 GiB (3,472 pictures of 227 pixels) is refused, as laptops have 8 and Keras makes copies:
    `pipeline` holds four times as many in the same room, and converts batch by batch.
    """
    paths = list(paths)
    check_number("size", size, 1, MAX_SIDE, whole=True)
    if (need := len(paths) * size * size * 12) > MAX_ARRAY_BYTES:
        raise CrackvizError(
            f"{len(paths):,} pictures of {size} x {size} take {need / 2**30:.1f} GiB as one float32 array, more "
            f"than {MAX_ARRAY_BYTES / 2**30:g}. Use data.pipeline, a smaller size, or fewer pictures (max_images)."
        )
    images = np.empty((len(paths), size, size, 3), np.float32)
    parallel(lambda i: np.divide(read_image(paths[i], size), 255, out=images[i]), range(len(paths)), "Reading")
    return images


def load_masks(paths: Iterable[str | Path], size: int) -> npt.NDArray[np.bool_]:
    """Read masks, white (over 127, or 1 of 0 and 1) where there is a crack: bool (N, size, size)."""
    check_number("size", size, 1, MAX_SIDE, whole=True)
    masks = parallel(lambda path: read_mask(path, size), list(paths), "Reading masks")
    return np.stack(masks) if masks else np.empty((0, size, size), bool)
