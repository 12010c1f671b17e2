"""When not to answer: risk against coverage, and a threshold that keeps a promise (``THEORY.md`` T13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_lengths, check_number
from crackviz.evaluation.predictions import Predictions


def risk_coverage(losses: np.ndarray | Sequence[float], doubt: np.ndarray | Sequence[float]) -> pd.DataFrame:
    """Return what is lost on the pictures that are answered, for every share of them that can be.

    The pictures of least doubt are answered first; those of equal doubt together.

    Parameters
    ----------
    losses : float or bool (N,), N > 0
        What answering each picture costs: mostly whether the answer is wrong.
    doubt : float (N,)
        The higher, the sooner a picture is left to a person.

    Returns
    -------
    pandas.DataFrame
        ``doubt`` (answered up to this one), ``coverage`` (share of the pictures that are), ``risk`` (their mean loss):
        a row for every different doubt, from the least.

    Raises
    ------
    CrackvizError
        Where there is nothing, the lengths differ, or something isn't finite.

    Notes
    -----
    El-Yaniv, Wiener: *On the foundations of noise-free selective classification*, JMLR 11, 2010. ``THEORY.md`` T13.
    """
    found = pd.DataFrame({"doubt": _finite("doubt", doubt), "loss": _finite("losses", losses, len(doubt))})
    told = found.groupby("doubt")["loss"].agg(["sum", "size"]).cumsum()
    return pd.DataFrame(
        {
            "doubt": told.index,
            "coverage": (told["size"] / len(found)).to_numpy(),
            "risk": (told["sum"] / told["size"]).to_numpy(),
        }
    )


def conformal_threshold(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    recall: float,
    groups: Sequence[Any] | np.ndarray | None = None,
) -> float:
    r"""Return the highest threshold that promises a recall on new pictures, and not only on these.

    Of n walls with cracks, let each miss a share of its cracked pictures at a threshold. The one that is returned keeps
    their sum plus 1, over n + 1, at :math:`1 - r` or below. On a new wall, drawn as these were, the *expected* share
    that is missed is then no more: over walls and over choices of these n, not for each of them.

    Parameters
    ----------
    labels : int (N,)
        0 or 1. Only cracked pictures count.
    probabilities : float (N,), in [0, 1]
        Of label 1. The network must not have seen these pictures.
    recall : float
        Wished, above 0 and below 1.
    groups : sequence (N,), optional
        The wall, or photograph, of each picture: what is drawn anew as a whole. By default each is one.

    Returns
    -------
    float
        In [0, 1]; "crack" from this probability on.

    Raises
    ------
    CrackvizError
        Where there are fewer than :math:`r / (1 - r)` walls with cracks: then no threshold can promise it.

    Notes
    -----
    Angelopoulos, Bates, Fisch, Lei, Schuster: *Conformal risk control*, 2022. ``THEORY.md`` T13.
    """
    check_number("recall", recall, 0, 1, inclusive=False)
    found = Predictions(np.asarray(labels), probabilities)
    if not found.binary:
        raise CrackvizError(f"There are probabilities of {found.k} classes; a threshold is for two classes.")
    check_lengths(labels=found.labels, groups=groups)
    cracked = found.labels == 1
    walls = np.arange(len(cracked)) if groups is None else np.asarray(groups)
    members, sizes = np.unique(walls[cracked].astype(str), return_inverse=True, return_counts=True)[1:]
    allowed = (1 - recall) * (len(sizes) + 1) - 1
    if allowed < -1e-9:
        raise CrackvizError(
            f"There are cracks in {len(sizes)} walls or groups; a recall of {recall:g} can be promised from "
            f"{int(np.ceil(recall / (1 - recall) - 1e-9))} on. Take more of them, or wish for less."
        )
    order = np.argsort(found.probabilities[cracked], kind="stable")
    sure = found.probabilities[cracked][order]
    # what is missed once the threshold lies above the k least probable pictures
    missed = np.concatenate([[0.0], np.cumsum(1 / sizes[members[order]])])
    first = np.searchsorted(sure, sure, side="left")  # a threshold at a probability misses all that lie below it
    return float(sure[missed[first] <= allowed + 1e-9].max())


def _finite(name: str, values: np.ndarray | Sequence[float], length: int | None = None) -> np.ndarray:
    found = np.asarray(values, float)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all() or length not in (None, len(found)):
        wanted = "a finite number for every picture" + (f", {length} of them" if length is not None else "")
        raise CrackvizError(f"{name} is of shape {found.shape}; expected {wanted}.")
    return found
