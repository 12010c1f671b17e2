"""What a notebook calls: its run folder, its figures, its results."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crackviz import CrackvizError, claims
from crackviz.files import replacing, update_json
from crackviz.progress import in_notebook
from crackviz.series.notebooks import series_root

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def open_run(run: str | Path = "", notebook: str = "") -> Path:
    """Return the run folder, made ready, and start the record of the notebook's claims.

    Parameters
    ----------
    run : str or Path, default ""
        The folder. ``""`` takes the environment variable ``CRACKVIZ_RUN``; where that is not set, ``runs/lesson``
        beside the ``notebooks/`` folder that the working directory lies in or holds, or else in the working directory.
    notebook : str, default ""
        The calling notebook's name without ending, such as ``"06_grad_cam"``.

    Returns
    -------
    Path
        Absolute; it holds ``figures/``, ``logs/`` and ``notebooks/``.

    Raises
    ------
    CrackvizError
        If the folder cannot be made or written to.
    """
    chosen = str(run) or os.environ.get("CRACKVIZ_RUN", "")
    folder = Path(chosen).expanduser().resolve() if chosen else _usual_folder()
    try:
        for name in ("figures", "logs", "notebooks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
    except OSError as error:
        raise CrackvizError(
            f"Cannot use {folder} as the run folder: {error.strerror or error}. Expected a folder that you may "
            "write to, with space left; choose another one."
        ) from error
    if notebook:
        claims.start(folder, notebook)
        logging.getLogger("tensorflow").addFilter(_is_error)
        # When a kernel with TensorFlow ends, collecting its millions of objects takes more than a second.
        atexit.register(gc.freeze)
    return folder


def _usual_folder() -> Path:
    """Return ``runs/lesson``; a notebook run from elsewhere must not write into the lesson of a clone."""
    return (series_root(packaged=False) or Path.cwd()) / "runs" / "lesson"


def _is_error(record: logging.LogRecord) -> bool:
    """Let TensorFlow's errors through: each new network is traced anew, and it warns of that amid the lesson."""
    return record.levelno >= logging.ERROR


def save_figure(run: str | Path, figure: Figure, name: str, *, alt: str = "") -> Path:
    """Keep a matplotlib figure as ``figures/<name>.png`` of the run, marked with the notebook it comes from.

    With an alternative text, a notebook shows the figure here and not at the end of the cell: only so can the text go
    with it, into the report and the book.

    Parameters
    ----------
    run : str or Path
        The run folder, as :func:`open_run` returned it.
    figure : matplotlib.figure.Figure
        Saved at 110 dots per inch, with tight borders.
    name : str
        Letters, digits, ``_`` and ``-``; begin it with the notebook's number (``"06_signed_map"``).
    alt : str
        What the figure shows, for those who can't see it: one or two sentences, without line breaks, true on every run.
        It is kept in the file as the PNG text ``Description``.

    Raises
    ------
    CrackvizError
        If the name or the text is not of that kind, or the file cannot be written.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise CrackvizError(f"{name!r} is no figure name: use letters, digits, _ and - only, such as '06_signed_map'.")
    if not isinstance(alt, str) or "\n" in alt or alt != alt.strip():
        raise CrackvizError(f"{alt!r:.80} is no alternative text of {name}: say on one line what the figure shows.")
    path = Path(run) / "figures" / f"{name}.png"
    about = {"Source": claims.current_notebook()} | ({"Description": alt} if alt else {})
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=110, bbox_inches="tight", metadata=about)
    if alt and in_notebook():
        import matplotlib.pyplot as plt
        from IPython.display import display

        display(figure, metadata={"image/png": {"alt": alt}})
        plt.close(figure)  # or it would be shown a second time
    return path


def write_results(run: str | Path, notebook: str, results: Mapping[str, object]) -> None:
    """Set the notebook's entry in ``results.json`` of the run and keep those of the others.

    Parameters
    ----------
    run : str or Path
        The run folder.
    notebook : str
        The notebook's name without ending.
    results : mapping
        Numbers, texts, lists and mappings of them; see :func:`write_json`. NaN becomes ``null``. ``"headlines"``, a
        list of their names, such as ``"scores.accuracy"``, says which ones are compared first where runs differ.

    Raises
    ------
    CrackvizError
        If the file cannot be written, or an existing one cannot be read.
    """
    update_json(Path(run) / "results.json", {notebook: dict(results)})


def run_folder(out: str | Path, chosen: Mapping[Path, Mapping[str, Any]]) -> Path:
    """Return the run folder, or refuse one that can't be, or would take the place of notebooks or of their pictures."""
    if "://" in str(out):
        raise CrackvizError(f"{out} is an address, and a single run needs a folder: only sweeps write there.", "out")
    try:
        run = Path(out).expanduser().resolve()
        _ = run.exists(), str(run).encode()
    except (OSError, RuntimeError, ValueError) as error:  # too long, a link in a circle, no such home, a NUL
        raise CrackvizError(
            f"Cannot use {str(out)[:200]!r} as the run folder: {error!s:.60}. Choose another.", "out"
        ) from error
    for place in (run, *run.parents):
        if place.exists():
            if not place.is_dir():
                found = "it is a file" if place == run else f"{place} is a file"
                raise CrackvizError(f"Cannot use {run} as the run folder: {found}. Choose another one.", "out")
            break
    if any(path.parent == run / "notebooks" for path in chosen):
        raise CrackvizError(f"Running into {run} would overwrite the notebooks themselves: choose another one.", "out")
    if any(values.get("data") and Path(values["data"]) == run for values in chosen.values()):
        raise CrackvizError(
            f"The run folder {run} is the folder of the pictures, among which it would put its own. Choose another, "
            "such as one within it.",
            "out",
        )
    return run
