"""One progress bar for everything that takes its time."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress(items: Any, what: str, total: int, *, unit: str = "picture", hidden: bool = False) -> Any:
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
    """
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules  # a notebook's stderr is no terminal
    return tqdm(items, what, total, unit=f" {unit}", leave=False, disable=hidden or not watched)
