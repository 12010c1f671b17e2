"""Claims: statements of ``THEORY.md`` that are checked where they are made.

A notebook says ``claim("T6.2", "the signed map sums to logit − bias", error < 1e-4)``. The line that is printed
holds no digit that depends on the machine, so that nbval can compare it; what was claimed, and whether it holds,
is kept in ``claims.json`` of the run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from crackviz import CrackvizError
from crackviz.files import update_json

_ID = re.compile(r"T\d+\.\d+")


class _Record:
    """The claims of the notebook that runs in this process; without a file until :func:`start` names one."""

    file: Path | None = None
    notebook = ""
    made: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - replaced as a whole by start()


def start(run_folder: str | Path, notebook: str) -> None:
    """Record the claims that follow under a notebook's name, and forget its older ones.

    Parameters
    ----------
    run_folder : str or Path
        An existing run folder; the record is its ``claims.json``, one list of
        ``{"id": "T6.2", "statement": "...", "holds": true}`` for each notebook.
    notebook : str
        The notebook's name without ending, such as ``"06_grad_cam"``.

    Raises
    ------
    CrackvizError
        If the record cannot be written, or an existing one is not a record of claims.
    """
    _Record.file = Path(run_folder) / "claims.json"
    _Record.notebook = notebook
    _Record.made = {}
    _save()


def claim(id: str, statement: str, condition: object) -> None:
    """Check a statement, say so, and record it.

    Parameters
    ----------
    id : str
        The claim's number in ``THEORY.md``: ``T<section>.<number>``, such as ``"T6.2"``.
    statement : str
        The statement in words, on one line, without a number that another machine could give differently.
    condition : bool
        What must be true: one Python, NumPy or TensorFlow boolean. Numbers are refused, since nearly every
        number counts as true, and NaN does as well.

    Raises
    ------
    AssertionError
        If the statement is false; it is recorded as false before.
    CrackvizError
        If the id, the statement or the condition is not of the kind above, or the notebook has already used
        the id for another statement.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise CrackvizError(f"{id!r} is no claim id: expected T<section>.<number> of THEORY.md, such as 'T6.2'.")
    if not isinstance(statement, str) or not statement.strip() or "\n" in statement:
        raise CrackvizError(f"Claim {id}: the statement must be one line of text, found {statement!r}.")
    holds = _truth(id, condition)
    if _Record.file is not None:
        earlier = _Record.made.get(id)
        if earlier is not None and earlier["statement"] != statement:
            raise CrackvizError(
                f"Claim {id} stands for two statements: {earlier['statement']!r} and {statement!r}. Give the "
                "second one an id of its own; if you have reworded it just now, run the notebook from its start."
            )
        _Record.made[id] = {"id": id, "statement": statement, "holds": holds}
        _save()
    if not holds:
        raise AssertionError(f"{id} does not hold here: {statement}")
    print(f"✓ {id} {statement}")


def current_notebook() -> str:
    """Return the name that :func:`start` was last given in this process, ``""`` before."""
    return _Record.notebook


def _truth(id: str, condition: object) -> bool:
    try:
        value = np.asarray(condition)
    except Exception as error:  # a symbolic tensor raises whatever its library likes
        raise CrackvizError(f"Claim {id}: the condition has no value ({error}).") from error
    if value.shape != () or value.dtype != bool:
        shape = f" of shape {value.shape}" if value.shape else ""
        raise CrackvizError(
            f"Claim {id}: the condition must be one true or false, found {type(condition).__name__}{shape}: "
            f"{condition!r:.80}. Write a comparison, such as error < 1e-4, or use .all() on an array of them."
        )
    return bool(value)


def _save() -> None:
    """Write this notebook's claims beside those of the others.

    The whole list is written every time, so that what two notebooks running at once may overwrite of each other
    comes back with the next claim.
    """
    assert _Record.file is not None
    update_json(_Record.file, {_Record.notebook: list(_Record.made.values())})
