"""One progress bar for everything that takes its time."""

from __future__ import annotations

import os
import sys
from typing import Any

from tqdm import tqdm


def cores() -> int:
    """Return how many cores this process may use: fewer than there are, in a container or by taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def watched() -> bool:
    """Say whether somebody sees what is written to stderr; it may be closed."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def progress(
    items: Any, what: str, total: int, *, unit: str = "picture", hidden: bool = False, scale: bool = False
) -> Any:
    """Return `items` with a tqdm bar that is shown where somebody watches, and vanishes at the end.

    Parameters
    ----------
    items : iterable or None
        None for a bar that is moved by hand.
    what : str
        What is going on.
    total : int
        Number of items.
    unit : str
        What is counted.
    hidden : bool
        Show nothing, because it takes no time.
    scale : bool
        Count in thousands, millions, ...
    """
    seen = watched() or "ipykernel" in sys.modules  # a notebook's stderr is no terminal
    return tqdm(items, what, total, unit=f" {unit}", leave=False, disable=hidden or not seen, unit_scale=scale)
