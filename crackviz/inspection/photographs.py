"""Photographs of any size, read a few rows at a time where their format allows."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crackviz import CrackvizError
from crackviz.data.images import TWELVE_BITS, check_sixteen_bits, open_rgb, to_eight_bits
from crackviz.files import as_path

MOST_WHOLE = 210_000_000
"""Pixels up to which a photograph that can't be read in stripes is decoded whole: Pillow takes 4 bytes for each."""
MOST = 4_000_000_000
"""Pixels up to which a striped TIFF is read."""
_ROWS = 512
_PLAIN = (1, 8, 32946)  # TIFF's numbers of compressions that need no further package: none, and deflate by two names


class Photograph:
    """A photograph, as RGB, upright: as :func:`crackviz.data.read_image` reads it, but a few rows at a time.

    Uncompressed and deflated TIFF files of 8 or 16 bits are read in stripes (tifffile), whatever their size up to
    `MOST` pixels. All others are decoded whole by Pillow, up to `MOST_WHOLE` pixels.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    CrackvizError
        Naming the file: missing, no picture, truncated, too large, or samples of an unknown range.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = as_path("The photograph", path)
        self._page = _striped(self.path)
        if self._page is None:
            self._picture = open_rgb(self.path, MOST_WHOLE)
            self.width, self.height = self._picture.size
        else:
            self.height, self.width = self._page.imagelength, self._page.imagewidth
            self._check_depth()

    def _check_depth(self) -> None:
        """Refuse 16 bits that hold 12, as read_image does; what really has 16 shows it in its first rows, mostly."""
        if self._page.dtype != np.uint16:
            return
        highest = 0
        for top in range(0, self.height, _ROWS):
            highest = max(highest, int(self._samples(top, min(top + _ROWS, self.height)).max()))
            if highest > TWELVE_BITS:
                return
        check_sixteen_bits(highest, f"{self.path} can't be read as a picture: ")

    @property
    def in_stripes(self) -> bool:
        """Whether only the rows that are asked for are decoded."""
        return self._page is not None

    def rows(self, top: int, bottom: int) -> npt.NDArray[np.uint8]:
        """Return the rows from `top` to before `bottom`: uint8 (bottom - top, W, 3)."""
        if self._page is None:
            return np.asarray(self._picture.crop((0, top, self.width, bottom)))
        return _as_rgb(self._samples(top, bottom))

    def _samples(self, top: int, bottom: int) -> np.ndarray:
        try:
            return self._plain(top, bottom) if self._page.is_memmappable else self._decoded(top, bottom)
        except MemoryError:
            raise
        except Exception as error:  # damaged strips raise what zlib, NumPy and tifffile each like
            raise CrackvizError(
                f"{self.path} can't be read as a picture: rows {top} to {bottom} are damaged ({error!s:.100}). Replace "
                "or remove it."
            ) from error

    def _plain(self, top: int, bottom: int) -> np.ndarray:
        """Read rows that lie in the file as they are. Mapped into memory, all that was read would stay there."""
        page = self._page
        shape = (bottom - top, *page.shape[1:])
        kind = page.dtype.newbyteorder(page.parent.byteorder)
        start = page.dataoffsets[0] + top * int(np.prod(page.shape[1:])) * kind.itemsize
        rows = np.fromfile(self.path, kind, int(np.prod(shape)), offset=start)
        return rows.reshape(shape).astype(page.dtype, copy=False)

    def _decoded(self, top: int, bottom: int) -> np.ndarray:
        """Decode the strips or tiles that reach into the rows."""
        page = self._page
        rows = np.zeros((bottom - top, *page.shape[1:]), page.dtype)
        high = page.tilelength if page.is_tiled else page.rowsperstrip
        across = -(-page.imagewidth // page.tilewidth) if page.is_tiled else 1
        for number in range(top // high * across, (-(-bottom // high)) * across):
            page.parent.filehandle.seek(page.dataoffsets[number])
            data = page.parent.filehandle.read(page.databytecounts[number])
            segment, place, _ = page.decode(data, number)
            if segment is None:
                continue
            y, x = place[2], place[3]  # tiles at the right and lower edge are padded
            part = segment.reshape(segment.shape[-3], -1, *page.shape[2:])[:, : page.imagewidth - x]
            low, end = max(y, top), min(y + len(part), bottom)
            rows[low - top : end - top, x : x + part.shape[1]] = part[low - y : end - y]
        return rows


def let_go(values: np.ndarray) -> None:
    """Write out what a map on the disk holds in memory, and free it; of others nothing changes.

    The system would do so by itself where memory is short, and else let a large map grow into it.
    """
    if isinstance(values, np.memmap) and hasattr(mmap, "MADV_DONTNEED"):
        values.flush()
        whole = values
        while isinstance(whole.base, np.memmap):
            whole = whole.base
        whole._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def _as_rgb(samples: np.ndarray) -> npt.NDArray[np.uint8]:
    if samples.dtype == np.uint16:  # as read_image: 65535 becomes 255
        samples = to_eight_bits(samples)
    if samples.ndim == 2:
        samples = np.repeat(samples[..., np.newaxis], 3, axis=2)
    return np.ascontiguousarray(samples)


def _striped(path: Path) -> Any:
    """Return the first page of a TIFF that can be read in stripes, or None."""
    try:
        with path.open("rb") as file:
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return None
    except OSError:
        return None  # Pillow's reader says what is wrong
    import tifffile

    try:
        page: Any = tifffile.TiffFile(path).pages[0]
        turned = page.tags.get("Orientation")
        fits = page.compression in _PLAIN and page.photometric in (1, 2) and page.planarconfig == 1
        fits = fits and page.bitspersample in (8, 16) and page.dtype in (np.uint8, np.uint16)  # 12 bits are Pillow's
        fits = fits and page.shape[2:] in ((), (3,)) and page.imagedepth == 1
        ends = [start + count for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
        fits = fits and max(ends) <= page.parent.filehandle.size  # else it was cut off, and Pillow says so
    except Exception:  # a damaged file raises nearly anything, and Pillow's reader says what is wrong
        return None
    if not fits or (turned is not None and turned.value != 1):
        return None
    if page.imagewidth * page.imagelength > MOST:
        raise CrackvizError(
            f"{path} has {page.imagewidth} x {page.imagelength} pixels; expected at most {MOST:,}. Cut it up."
        )
    return page
