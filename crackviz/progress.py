"""One progress bar for everything that takes its time."""

from __future__ import annotations

import html
import os
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm


def cores() -> int:
    """Return how many cores this process may use: fewer than there are, in a container or by taskset."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def watched() -> bool:
    """Say whether somebody sees what is written to stderr; it may be closed."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def in_notebook() -> bool:
    """Say whether this process is a notebook's kernel, where what is displayed goes into a cell."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    return get_ipython() is not None


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
    notebook = in_notebook()  # its stderr is no terminal, and shows a red box
    file: Any = _Shown() if notebook and not hidden else None
    return tqdm(
        items,
        what,
        total,
        unit=f" {unit}",
        leave=False,
        disable=hidden or not (notebook or watched()),
        unit_scale=scale,
        file=file,
    )


class _Shown:
    """What tqdm writes, as one output of a notebook's cell that is drawn anew; empty in the end, it takes no room."""

    encoding = "utf-8"  # tqdm asks which characters it may draw with

    def __init__(self) -> None:
        self._handle: Any = None

    def write(self, text: str) -> None:
        from IPython.display import DisplayHandle

        if not text.replace("\x1b[A", "").strip("\n"):
            return  # tqdm moves the cursor to the line of a bar within a bar, and here each has an output of its own
        line = html.escape(text.strip("\r\n "))
        data = {"text/html": f"<pre>{line}</pre>" if line else "", "text/plain": ""}
        if self._handle is None and line:
            self._handle = DisplayHandle()
            self._handle.display(data, raw=True)
        elif self._handle is not None:
            self._handle.update(data, raw=True)

    def flush(self) -> None:
        """Do nothing: what is written is shown."""


def start_tensorflow() -> None:
    """Import TensorFlow, and let it look for devices, with stderr closed: its C++ has no other way to be silenced."""
    sys.stderr.flush()
    with Path(os.devnull).open("w") as nowhere:
        try:
            kept = os.dup(2)
        except OSError:  # closed by who called: 2>&-
            kept = -1
        try:
            os.dup2(nowhere.fileno(), 2)
            import tensorflow as tf

            tf.config.list_logical_devices()
        finally:
            if kept >= 0:
                os.dup2(kept, 2)
                os.close(kept)
