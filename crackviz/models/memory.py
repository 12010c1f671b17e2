"""Memory of the process that computes: what is freed is kept for the next array of its size."""

from __future__ import annotations

import ctypes
from contextlib import suppress

from crackviz.contracts import check_number

KEPT = 64 * 2**20
"""Bytes that stay when memory is freed."""
_TOP_PAD = -2  # M_TOP_PAD of malloc.h


def keep_freed(size: int = KEPT) -> bool:
    """Let the C library keep `size` bytes of what is freed; return whether it does.

    A step of a training frees arrays of some MB, and asks for the like in the next one. TensorFlow, once it is fed by
    Python, has glibc hand them back to the system in between, which must fill every page with zeros again: a third of
    what a training of notebook 02 costs (``benchmarks/training.py``). A process is larger by some hundred MB for it.
    Other C libraries have no such switch, and nothing happens. `size` 131072 is glibc's own value.
    """
    check_number("size", size, 0, 2**31 - 1, whole=True)
    with suppress(OSError, AttributeError, TypeError):  # not glibc; Windows has no library of that name at all
        return bool(ctypes.CDLL(None).mallopt(_TOP_PAD, size))
    return False
