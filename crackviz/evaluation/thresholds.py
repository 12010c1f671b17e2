"""From which probability on to call it a crack (``THEORY.md`` T3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn import metrics

from crackviz import CrackvizError
from crackviz.bootstrap import PICTURES, Bootstrap, proportion
from crackviz.contracts import check_number, one_by_one
from crackviz.evaluation.calibration import correct_prior
from crackviz.evaluation.predictions import Predictions


def threshold_by_cost(
    cost_of_missing: float, cost_of_alarm: float = 1.0, *, learnt: float | None = None, actual: float | None = None
) -> float:
    r"""Return the probability from which on an alarm costs less than silence.

    For right probabilities that is :math:`t = C_{FP} / (C_{FP} + C_{FN})`. Where the network learnt from another share
    of cracked pictures than it is going to meet, its own probabilities are compared with the threshold returned here,
    whose odds are changed accordingly: the same as correcting them by :func:`correct_prior` and comparing with t.

    Parameters
    ----------
    cost_of_missing, cost_of_alarm : float
        Cost of a missed crack and of a false alarm, above 0, in the same unit; only their ratio counts.
    learnt, actual : float, optional
        Share of cracked pictures that the network was trained on, and where it is going to be used, between 0 and 1.
        Both or neither.

    Returns
    -------
    float
        In (0, 1).

    Notes
    -----
    Elkan: *The foundations of cost-sensitive learning*, IJCAI 2001. ``THEORY.md`` T3.
    """
    _check_costs(cost_of_missing=cost_of_missing, cost_of_alarm=cost_of_alarm)
    threshold = cost_of_alarm / (cost_of_alarm + cost_of_missing)
    if (learnt is None) != (actual is None):
        raise CrackvizError(f"learnt is {learnt} and actual {actual}; give both shares, or neither.")
    if learnt is None or actual is None:
        return threshold
    # Back from the place of use to where the network comes from.
    return float(correct_prior(np.array([threshold]), actual, learnt)[0])


def cost_curve(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    *,
    cost_of_missing: float,
    cost_of_alarm: float = 1.0,
    prevalence: float | None = None,
) -> pd.DataFrame:
    r"""Return what each threshold would have cost on these pictures.

    The cost is :math:`C_{FN}\, \pi\, (1 - r) + C_{FP}\, (1 - \pi)\, f`, with recall r and false-alarm rate f. Choose
    the cheapest on validation pictures, ``curve.loc[curve["cost"].idxmin()]``, and judge it on others.

    Parameters
    ----------
    labels : int (N,)
        0 or 1, both of them there.
    probabilities : float (N,), in [0, 1]
        Of label 1.
    cost_of_missing, cost_of_alarm : float
        As for :func:`threshold_by_cost`.
    prevalence : float, optional
        Share of cracked pictures where the network is going to be used; by default that of `labels`.

    Returns
    -------
    pandas.DataFrame
        A row for each threshold that makes a difference, from the highest: ``threshold`` (the first is infinite: no
        alarm at all), ``recall``, ``specificity``, ``cost`` (mean, a picture, in the unit of the costs).
    """
    _check_costs(cost_of_missing=cost_of_missing, cost_of_alarm=cost_of_alarm)
    curve = _roc(labels, probabilities)
    share = float(np.mean(labels)) if prevalence is None else prevalence
    check_number("prevalence", share, 0, 1, inclusive=False)
    missed, alarmed = 1 - curve["recall"], 1 - curve["specificity"]
    return curve.assign(cost=cost_of_missing * share * missed + cost_of_alarm * (1 - share) * alarmed)


def threshold_for(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    *,
    recall: float | None = None,
    specificity: float | None = None,
) -> float:
    """Return the threshold that reaches a wanted recall, or a wanted specificity, on these pictures.

    Choose it on validation pictures: on others it reaches about that much, and as often less as more.

    Parameters
    ----------
    labels, probabilities
        As for :func:`cost_curve`.
    recall, specificity : float, optional
        Share of the cracked pictures that must be found: the highest threshold that finds them. Or share of the sound
        pictures that must raise no alarm: the lowest threshold that keeps them quiet. One of the two, in (0, 1].

    Returns
    -------
    float
        In [0, 1]; "crack" from this probability on.

    Raises
    ------
    CrackvizError
        Where no threshold in [0, 1] reaches it.
    """
    if (recall is None) == (specificity is None):
        raise CrackvizError("Name a recall or a specificity to reach, one of the two.")
    name, wanted = ("recall", recall) if recall is not None else ("specificity", specificity)
    check_number(name, wanted, 0, 1)  # type: ignore[type-var]
    if not wanted:
        raise CrackvizError(f"{name} is {wanted}; expected a share above 0, and 1 at the most.")
    curve = _roc(labels, probabilities)
    reached = curve[curve[name] >= wanted - 1e-12]  # 0.95 of 20 pictures is 19, whatever floats make of it
    threshold = reached["threshold"].max() if name == "recall" else reached["threshold"].min()
    if not np.isfinite(threshold):  # above the surest picture, which is a sound one
        threshold = np.nextafter(curve["threshold"].iloc[1], 2.0)
    if threshold > 1:
        raise CrackvizError(
            f"A specificity of {wanted} can't be reached: at least one sound picture has probability 1. Ask for less."
        )
    return float(threshold)


@one_by_one
def precision_at(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    prevalence: float | Sequence[float] | np.ndarray,
    *,
    threshold: float = 0.5,
    bootstrap: Bootstrap = PICTURES,
) -> pd.DataFrame:
    r"""Return the precision that these pictures promise where cracks have another prevalence.

    With recall r and false-alarm rate f it is :math:`\pi r / (\pi r + (1 - \pi) f)`, where a cracked patch looks the
    same here and there, and a sound one too.

    Parameters
    ----------
    labels, probabilities
        As for :func:`cost_curve`.
    prevalence : float or sequence of float
        Shares of cracked pictures, between 0 and 1.
    threshold : float
        "crack" from this probability on.
    bootstrap : Bootstrap
        Its groups and confidence count; nothing is drawn. Where the pictures of a group are alike in being right or
        wrong, the rates count as measured on so many fewer pictures (the design effect).

    Returns
    -------
    pandas.DataFrame
        Indexed by ``prevalence``; columns value, low, high. The value is NaN where no picture raises an alarm. The
        interval isn't a bootstrap's, which without a false alarm would be [1, 1]: it is wide there, and rightly so.

    Notes
    -----
    Wilson's interval of each rate, with the effective number of pictures (Korn, Graubard: *Survey Methodology* 24,
    1998), joined to one of their ratio f / r (Newcombe: *MOVER-R confidence intervals for ratios and products of two
    independently estimated quantities*, Statistical Methods in Medical Research 25, 2016), of which precision is a
    falling function. The two rates are taken as independent. ``THEORY.md`` T3.
    """
    found = _binary(labels, probabilities, threshold)
    groups = bootstrap.members(len(found.labels))
    shares = np.atleast_1d(np.asarray(prevalence, dtype=float))
    for share in shares:
        check_number("prevalence", float(share), 0, 1, inclusive=False)
    alarm, cracked = found.predicted, found.labels == 1
    recall, low_recall, high_recall = proportion(alarm[cracked], groups[cracked], bootstrap.confidence).values()
    false_rate, low_false, high_false = proportion(alarm[~cracked], groups[~cracked], bootstrap.confidence).values()
    least = _ratio_low(false_rate, low_false, recall, high_recall)
    most = _ratio_low(recall, low_recall, false_rate, high_false)
    with np.errstate(invalid="ignore"):
        value = shares * recall / (shares * recall + (1 - shares) * false_rate)
    low, high = shares * most / (shares * most + 1 - shares), shares / (shares + (1 - shares) * least)
    return pd.DataFrame({"value": value, "low": low, "high": high}, index=pd.Index(shares, name="prevalence"))


def _ratio_low(a: float, low: float, b: float, high: float) -> float:
    """Return the lower bound of a / b from the lower one of a and the upper one of b (MOVER-R)."""
    if a == 0:
        return 0.0
    inner = (a * b) ** 2 - low * (2 * a - low) * high * (2 * b - high)
    return low * (2 * a - low) / (a * b + float(np.sqrt(max(inner, 0.0))))


def _roc(labels: np.ndarray | Sequence[int], probabilities: np.ndarray) -> pd.DataFrame:
    """Threshold, recall and specificity at every threshold that makes a difference, from the highest."""
    found = _binary(labels, probabilities)
    false_rate, recall, threshold = metrics.roc_curve(found.labels, found.probabilities, drop_intermediate=False)
    return pd.DataFrame({"threshold": threshold, "recall": recall, "specificity": 1 - false_rate})


def _binary(labels: np.ndarray | Sequence[int], probabilities: np.ndarray, threshold: float = 0.5) -> Predictions:
    """Return what is said of two classes, both of them there, or refuse it."""
    found = Predictions(np.asarray(labels), probabilities, threshold)
    if not found.binary:
        raise CrackvizError(f"There are probabilities of {found.k} classes; a threshold is for two classes.")
    if len(np.unique(found.labels)) < 2:
        raise CrackvizError(
            f"All labels are {found.labels[0]}; expected both 0 and 1. Recall and false alarms need pictures of both."
        )
    return found


def _check_costs(**costs: float) -> None:
    for name, cost in costs.items():
        check_number(name, cost, 0, inclusive=False)
