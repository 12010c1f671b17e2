"""Freed memory: what is kept of it, where the C library can."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

import pytest

from crackviz import CrackvizError
from crackviz.models import memory

FAULTS = """
import resource, sys
import numpy as np
{before}
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
began = faults()
for _ in range(50):
    many = [np.ones(2**17) for _ in range(8)]  # 1 MiB each, freed together
print(faults() - began)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None) if sys.platform != "win32" else 0, "mallopt"), reason="no glibc")
def test_memory_that_was_freed_is_not_asked_for_again() -> None:
    def pages(before: str) -> int:
        run = subprocess.run([sys.executable, "-c", FAULTS.format(before=before)], capture_output=True, check=True)
        return int(run.stdout)

    kept = pages("from crackviz.models.memory import keep_freed\nassert keep_freed()")
    assert kept < 8_000 < pages("")  # 8 MiB are 2,048 pages; fifty times, if they are given back


def test_where_the_c_library_has_no_such_switch_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert memory.keep_freed() is False


@pytest.mark.parametrize("size", [-1, 2**31, 1.5, "x", None])
def test_a_size_that_the_library_cannot_be_told_is_refused(size: Any) -> None:
    with pytest.raises(CrackvizError, match="size is"):
        memory.keep_freed(size)
