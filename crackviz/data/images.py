"""Pictures and masks read from files: RGB, float32 in [0, 1], boolean."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
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
_LARGE = 2**24  # pixels from which pictures are decoded one at a time: each takes some 12 bytes a pixel on the way
_decoding = threading.Lock()
TWELVE_BITS = 4095
"""The largest sample of cameras of 12 bits, which save them in 16."""
_BITS_PER_SAMPLE = 258  # the tag of TIFF
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
    with _opened(path, "a picture") as picture:
        rgb = _to_rgb(picture)
        if size is not None and rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
        return np.array(rgb)


def open_rgb(path: str | Path, most: int = MAX_PIXELS) -> Image.Image:
    """Return a picture of at most `most` pixels as Pillow's RGB image, upright; see :func:`read_image`."""
    with _opened(path, "a picture", most) as picture:
        return _to_rgb(picture)


@contextmanager
def _opened(path: str | Path, what: str, most: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture, undecoded yet; what goes wrong with it in the block is a CrackvizError that names it."""
    large, allowed = False, Image.MAX_IMAGE_PIXELS
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe would be waited for
            raise CrackvizError("it is no file")
        if most > MAX_PIXELS:  # Pillow would refuse it; only for one picture at a time, as the setting is Pillow's
            Image.MAX_IMAGE_PIXELS = most
        with Image.open(path, formats=formats()) as picture:
            if picture.width * picture.height > most:
                raise CrackvizError(_too_large(f"{picture.width} x {picture.height} pixels", most))
            large = picture.width * picture.height > _LARGE and _decoding.acquire()
            yield picture
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        gone = isinstance(error, FileNotFoundError)
        bomb = isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning)
        reason = str(error).replace(repr(str(path)), "it").removesuffix(".") or type(error).__name__
        reason = "there is no such file" if gone else _too_large("its pixels", most) if bomb else reason
        if isinstance(error, UnidentifiedImageError) and _is_heic(path):
            reason = 'it is HEIC, as telephones write it; reading that needs pip install "crackviz[heic]"'
        raise CrackvizError(f"{path} can't be read as {what}: {reason}. Replace or remove it.") from error
    finally:
        if large:
            _decoding.release()
        if most > MAX_PIXELS:
            Image.MAX_IMAGE_PIXELS = allowed


def _is_heic(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def _too_large(found: str, most: int) -> str:
    return f"{found} exceed {most:,}, the most that is decoded: cut it into tiles"


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Return an opened picture, undecoded yet, as RGB, upright, 8 bits a sample."""
    deep = any(";16" in str(tile[3]) for tile in getattr(picture, "tile", ()))  # of 16, Pillow keeps the upper half
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I") or picture.mode == "F":
        return Image.fromarray(_eight_bits(picture)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        rgb = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    else:
        picture.load()
        rgb = picture if picture.mode == "RGB" else picture.convert("RGB")  # which would copy it
    if deep and 0 < max(high for _, high in rgb.getextrema()) <= TWELVE_BITS // 257:  # type: ignore[misc]
        check_sixteen_bits(TWELVE_BITS)
    return rgb


def _eight_bits(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Return samples of 12 or 16 bits as 8, the largest that they can hold as 255."""
    bits = getattr(picture, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    samples = np.asarray(picture)
    if samples.min() < 0 or samples.max() > 65535 or picture.mode == "F":
        raise CrackvizError(f"{samples.dtype} samples of unknown range; save it with 8 or 16 bits")
    if bits == 12:
        return to_eight_bits(samples, TWELVE_BITS)
    check_sixteen_bits(int(samples.max()))
    return to_eight_bits(samples)


def to_eight_bits(samples: np.ndarray, top: int = 65535) -> npt.NDArray[np.uint8]:
    """Return samples from 0 to `top` as 0 to 255, rounded."""
    return ((samples.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def check_sixteen_bits(highest: int, before: str = "") -> None:
    """Refuse 16 bits whose highest sample says that the camera had 12: they would be read as nearly black."""
    if 0 < highest <= TWELVE_BITS:
        raise CrackvizError(
            f"{before}its 16-bit samples reach {highest:,} of 65,535 at most, as of cameras of 12 bits, and it would "
            "be read as nearly black; save it with 8 bits, or multiply the samples by 16"
        )


def read_mask(path: str | Path, size: int | None = None) -> npt.NDArray[np.bool_]:
    """Read a mask; it is thresholded after resizing, so that a pixel is crack where most of it is.

    White is crack: from 128 on, of three channels the highest; 1 of 0 and 1; with 16 bits 65535, 255 or 1. Transparency
    is passed over where colour says the same, or it is the same everywhere. A CrackvizError where something lies above
    0 and nothing above the half, which is neither a mask nor an empty one, and where the truth lies in the
    transparency: transparent may mean crack as well as ground.
    """
    with _opened(path, "a mask") as picture:
        ImageOps.exif_transpose(picture, in_place=True)
        grey = Image.fromarray(_mask_of(picture))
    if size is not None and grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def _mask_of(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """Return an opened mask as 0 to 255, above 127 where it is crack."""
    if picture.has_transparency_data:
        alpha = np.asarray(picture.convert("RGBA"))[..., 3]
        colour = np.asarray(picture.convert("RGBA").convert("RGB")).max(axis=2)  # without what it is laid on
        if alpha.min() < alpha.max() and not np.array_equal(alpha > 127, colour > 127):
            raise CrackvizError(
                "its truth lies in the transparency, or is hidden by it, and transparent may mean crack as well as "
                "ground; save it without an alpha channel, white where there is a crack, else black"
            )
        samples, most = colour, 255
    elif picture.mode.startswith("I"):
        deep = np.asarray(picture)
        most = 255 if 1 < deep.max() <= 255 else 65535
        samples = deep
    elif picture.mode == "F":
        raise CrackvizError("it holds floats; write it with 0 and 255")
    else:
        samples, most = np.asarray(picture.convert("RGB")).max(axis=2), 255
    top = int(samples.max())
    if samples.min() < 0 or 1 < top <= most // 2 or top > most:
        raise CrackvizError(
            f"it reaches {top} of {most}, and a crack is white, or 1 of 0 and 1; write it with 0 and 255"
        )
    if top <= 1:
        return samples.astype(np.uint8) * np.uint8(255)
    return (samples if most == 255 else (samples.astype(np.uint32) + 128) // 257).astype(np.uint8)


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
