"""Claims: statements of ``THEORY.md`` that are checked where they are made.

A notebook says ``claim("T6.2", "the signed map sums to logit − bias", error < 1e-4)``. The line that is printed
holds no digit that depends on the machine, so that nbval can compare it; what was claimed, and whether it holds,
is kept in ``claims.json`` of the run. The atomic writing of a run's small files lives here too, because
:mod:`crackviz.series` needs it as well.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from crackviz import CrackvizError

__all__ = ["claim", "start"]

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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file name to write to, which becomes ``path`` when the block ends well and vanishes when it fails.

    Raises
    ------
    CrackvizError
        If the file cannot be written: no space, no permission, no such folder.
    """
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise CrackvizError(
            f"Cannot write {path}: {error.strerror or error}. Free some space there, or choose an output folder "
            "that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_json(path: str | Path, obj: object) -> None:
    """Write an object as JSON, whole or not at all.

    NumPy scalars and arrays become numbers and lists, paths become text, and NaN and infinities become ``null``,
    because JSON has no word for them.

    Raises
    ------
    CrackvizError
        If the file cannot be written.
    TypeError
        If the object holds something that has no form in JSON.
    """
    text = json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a run's JSON file, an empty one if there is no file.

    Raises
    ------
    CrackvizError
        If the file is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CrackvizError(f"Cannot read {path}: {error}. Remove the file, or choose another run folder.") from error
    if not isinstance(content, dict):
        raise CrackvizError(
            f"{path} holds no JSON object, as crackviz writes it. Remove it, or choose another run folder."
        )
    return content


def update_json(path: Path, new: Mapping[str, object]) -> None:
    """Set the given keys of the object in a JSON file and keep the others; see :func:`write_json`."""
    write_json(path, {**read_json(path), **new})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
