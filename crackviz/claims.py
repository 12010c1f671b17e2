"""Claims: statements of ``THEORY.md`` that are checked where they are made.

A notebook says ``claim("T6.2", "the signed map sums to logit − bias", error, "<", 1e-4)``, and a line with the
measured value and its bound is printed: ``✓ T6.2 the signed map sums to logit − bias (3.1e-06 < 0.0001)``. The
digits of the value may differ from machine to machine: nbval leaves the brackets out of its comparison, by
``notebooks/nbval_sanitize.cfg``. What was claimed, what was found, and whether it holds, is kept in ``claims.json``
of the run. In a notebook a link to the statement follows the line.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crackviz import CrackvizError
from crackviz.contracts import check_flag
from crackviz.files import update_json
from crackviz.progress import in_notebook

_ID = re.compile(r"T\d+\.\d+")
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq}
EXCUSED = "excused.json"
"""The record of a run that holds the claims that don't apply to it."""
RELATIONS = (*_RELATIONS, "within")
"""What :func:`claim` may compare by; ``"within"`` takes a pair, the smallest and the largest value allowed."""


class _Record:
    """The claims of the notebook that runs in this process; without a file until :func:`start` names one."""

    file: Path | None = None
    notebook = ""
    made: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - replaced as a whole by start()
    excused: dict[str, dict[str, Any]] = {}  # noqa: RUF012


def start(run_folder: str | Path, notebook: str) -> None:
    """Record the claims that follow under a notebook's name, and forget its older ones.

    Parameters
    ----------
    run_folder : str or Path
        An existing run folder; the record is its ``claims.json``, one list for each notebook of
        ``{"id": "T6.2", "statement": "...", "holds": true, "value": 3e-6, "relation": "<", "bound": 1e-4}``.
        Claims without a number have the first three only, identities have ``"identity": true`` besides. Those that
        don't apply are in ``excused.json`` beside it, with the reason as ``"unless"``.
    notebook : str
        The notebook's name without ending, such as ``"06_grad_cam"``.

    Raises
    ------
    CrackvizError
        If the record cannot be written, or an existing one is not a record of claims.
    """
    _Record.file = Path(run_folder) / "claims.json"
    _Record.notebook = notebook
    _Record.made, _Record.excused = {}, {}
    _save()
    if (excused := _Record.file.with_name(EXCUSED)).exists():
        update_json(excused, {notebook: []})


def claim(
    id: str,
    statement: str,
    value: object,
    relation: str = "",
    bound: object = None,
    *,
    provided: object = True,
    identity: bool = False,
    unless: str = "",
) -> None:
    """Check a statement, say so with the number behind it, and record it.

    Parameters
    ----------
    id : str
        The claim's number in ``THEORY.md``: ``T<section>.<number>``, such as ``"T6.2"``.
    statement : str
        The statement in words, on one line, without a number that another machine could give differently.
    value : float or bool
        The number that was measured: one real number of Python, NumPy or TensorFlow. NaN and infinities never
        hold. Or, without a relation, what must be true: one boolean. Lone numbers are refused, since nearly every
        number counts as true.
    relation : str
        One of ``<``, ``<=``, ``>``, ``>=``, ``==`` and ``within``.
    bound : float or pair of float
        What the value is compared with; for ``within`` the smallest and the largest value allowed.
    provided : bool
        What must be true besides and has no number.
    identity : bool
        The statement is a definition, or algebra: it tests the program and could not come out otherwise. Such a
        claim is printed with ``≡`` in place of the tick.
    unless : str
        Why the statement doesn't apply here, in words, such as what :func:`crackviz.attribution.adds_up` returns; then
        nothing fails, and this is printed and recorded, with the number if there is one and whether the statement
        would hold. ``""`` where it applies.

    Raises
    ------
    AssertionError
        If the statement is false; it is recorded as false before.
    CrackvizError
        If the id, the statement, the value, the relation or the bound is not of the kind above, or the notebook has
        already used the id for another statement.
    """
    if not isinstance(id, str) or not _ID.fullmatch(id):
        raise CrackvizError(f"{id!r} is no claim id: expected T<section>.<number> of THEORY.md, such as 'T6.2'.")
    if not isinstance(statement, str) or not statement.strip() or "\n" in statement:
        raise CrackvizError(f"Claim {id}: the statement must be one line of text, found {statement!r}.")
    if not isinstance(unless or "", str):
        raise CrackvizError(f'Claim {id}: unless is {unless!r:.80}; expected the reason in words, or "".')
    check_flag("identity", identity)
    besides = _truth(id, provided)
    found: dict[str, Any] = {"id": id, "statement": statement}
    if unless:
        _excuse(found, unless, value, relation, bound, besides)
        _point_to(id)
        return
    if not relation and bound is None:
        found["holds"] = _truth(id, value) and besides
    else:
        measured, limit = _number(id, value), _bound(id, relation, bound)
        found["holds"] = _compare(measured, relation, limit) and besides
        found |= {"value": measured, "relation": relation, "bound": limit}
    if identity:
        found["identity"] = True
    _keep(found)
    numbers = in_words(found)
    if not found["holds"]:
        reason = f" ({numbers}{'' if besides else ', and something besides is not so'})" if numbers else ""
        _point_to(id)
        raise AssertionError(f"{id} does not hold here: {statement}{reason}")
    print(f"{'≡' if identity else '✓'} {id} {statement}{f' ({numbers})' if numbers else ''}")
    _point_to(id)


def _point_to(id: str) -> None:
    """In a notebook of the series, show a link to the statement: the same on every machine, so nbval may compare it."""
    if _Record.notebook and in_notebook():
        from IPython.display import display

        words = f"{id} in the theory"
        display({"text/markdown": f"[{words}](../THEORY.md#{id.lower()})", "text/plain": words}, raw=True)


def _excuse(found: dict[str, Any], unless: str, value: object, relation: str, bound: object, besides: bool) -> None:
    """Say and record that a claim doesn't apply, and what it would come to if it did: an excuse must hide nothing."""
    told = ""
    if not relation:
        told = f"; it {'holds all the same' if _truth(found['id'], value) and besides else 'would not hold'}"
    else:
        measured, limit = _number(found["id"], value), _bound(found["id"], relation, bound)
        if math.isfinite(measured):
            found |= {"value": measured, "relation": relation, "bound": limit}
            held = _compare(measured, relation, limit) and besides
            more = "" if besides else ", and something besides is not so"
            told = f"; it {'holds all the same' if held else 'would not hold'} ({in_words(found)}{more})"
    found["unless"] = unless + told
    print(f"– {found['id']} does not apply here: {found['unless']}")
    if _Record.file is not None:
        _Record.excused[found["id"]] = found
        _Record.made.pop(found["id"], None)
        update_json(_Record.file.with_name(EXCUSED), {_Record.notebook: list(_Record.excused.values())})


def current_notebook() -> str:
    """Return the name that :func:`start` was last given in this process, ``""`` before."""
    return _Record.notebook


def in_words(claim: Mapping[str, Any]) -> str:
    """Return what a record of ``claims.json`` compares, such as ``"0.764 > 0.5"``; ``""`` if it has no number.

    Three significant digits are given, and more where fewer would not show on which side of the bound the value lies.
    """
    if "relation" not in claim:
        return ""
    value, relation, bound = claim["value"], claim["relation"], claim["bound"]
    ends = bound if relation == "within" else [bound]
    for digits in range(3, 18):
        texts = [_digits(number, digits) for number in (value, *ends)]
        if all((text == texts[0]) == (end == value) for text, end in zip(texts[1:], ends, strict=True)):
            break
    return (
        f"{texts[0]} within {texts[1]} to {texts[2]}" if relation == "within" else f"{texts[0]} {relation} {texts[1]}"
    )


def _digits(number: float | None, digits: int) -> str:
    if number is None or not math.isfinite(number):
        return "not a number"
    if isinstance(number, int) or (abs(number) >= 1000 and number == round(number)):
        return f"{number:,.0f}"
    text = f"{number:,.0f}" if 10**digits <= abs(number) < 1e9 else f"{number:.{digits}g}"
    return "−" + text[1:] if text.startswith("-") else text


def _truth(id: str, condition: object) -> bool:
    value = _scalar(id, condition)
    if value.shape != () or value.dtype != bool:
        shape = f" of shape {value.shape}" if value.shape else ""
        raise CrackvizError(
            f"Claim {id}: the condition must be one true or false, found {type(condition).__name__}{shape}: "
            f"{condition!r:.80}. Write a number with its bound, such as (error, '<', 1e-4), or use .all() on an array "
            "of comparisons."
        )
    return bool(value)


def _number(id: str, number: object, what: str = "value") -> float | int:
    value = _scalar(id, number)
    if value.shape != () or value.dtype.kind not in "iuf":
        shape = f" of shape {value.shape}" if value.shape else ""
        raise CrackvizError(
            f"Claim {id}: the {what} must be one real number, found {type(number).__name__}{shape}: {number!r:.80}. "
            "Take the .max(), .min() or .mean() of an array; a true or false is claimed without a relation."
        )
    return int(value) if value.dtype.kind in "iu" else float(value)


def _bound(id: str, relation: str, bound: object) -> Any:
    if relation not in RELATIONS:
        raise CrackvizError(f"Claim {id}: {relation!r} is no relation: expected one of {', '.join(RELATIONS)}.")
    if relation != "within":
        limits = [_number(id, bound, "bound")]
    elif isinstance(bound, tuple | list) and len(bound) == 2:
        limits = [_number(id, end, "bound") for end in bound]
    else:
        raise CrackvizError(f"Claim {id}: 'within' takes the smallest and the largest value, found {bound!r:.80}.")
    if not all(map(math.isfinite, limits)) or limits != sorted(limits):
        raise CrackvizError(f"Claim {id}: a bound must be finite, the smaller one first, found {bound!r:.80}.")
    return limits if relation == "within" else limits[0]


def _compare(value: float, relation: str, bound: Any) -> bool:
    if not math.isfinite(value):
        return False
    if relation == "within":
        return bool(bound[0] <= value <= bound[1])
    return bool(_RELATIONS[relation](value, bound))


def _scalar(id: str, value: object) -> np.ndarray:
    try:
        return np.asarray(value)
    except Exception as error:  # a symbolic tensor raises whatever its library likes
        raise CrackvizError(f"Claim {id}: the condition has no value ({error}).") from error


def _keep(found: dict[str, Any]) -> None:
    """Put a claim into the record of its notebook."""
    if _Record.file is None:
        return
    id, statement = found["id"], found["statement"]
    earlier = _Record.made.get(id)
    if earlier is not None and earlier["statement"] != statement:
        raise CrackvizError(
            f"Claim {id} stands for two statements: {earlier['statement']!r} and {statement!r}. Give the "
            "second one an id of its own; if you have reworded it just now, run the notebook from its start."
        )
    _Record.made[id] = found
    _save()


def _save() -> None:
    """Write this notebook's claims beside those of the others.

    The whole list is written every time, so that what two notebooks running at once may overwrite of each other
    comes back with the next claim.
    """
    assert _Record.file is not None
    update_json(_Record.file, {_Record.notebook: list(_Record.made.values())})
