"""Whether the probabilities are right, and what sets them right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, logit, softmax

from crackviz import CrackvizError
from crackviz.contracts import check_number
from crackviz.evaluation.predictions import Predictions, check_probabilities, columns, one_column

CALIBRATION_BINS = 15
TEMPERATURES = 0.05, 20.0
"""Between these bounds a temperature is sought."""


class Temperature(NamedTuple):
    """What :func:`fit_temperature` found."""

    value: float
    """The temperature: above 1 the probabilities were too sure, below 1 not sure enough."""
    before: float
    """Log loss of the pictures it was fitted on, in nats, at temperature 1."""
    after: float
    """The same at `value`."""
    note: str = ""
    """Why `value` is a bound and no minimum; empty where it is one. A bound says more about the pictures than about the
    network: temperature 1 is the better choice then."""


def calibration_error(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    bins: int = CALIBRATION_BINS,
    weights: np.ndarray | None = None,
) -> float:
    r"""Return the expected calibration error: how far stated probabilities lie from what happens.

    The pictures are sorted into `bins` equal intervals of probability; in each, the mean probability is compared
    with the share that really are cracked, :math:`\mathrm{ECE} = \sum_b \frac{n_b}{N} |\bar p_b - \bar y_b|`. For
    k > 2 classes the probability is that of the predicted class, and the share that of right predictions.

    Parameters
    ----------
    labels : int (N,)
    probabilities : float (N,), (N, 1) or (N, k), in [0, 1]
    bins : int
        At least 1.
    weights : float (N,), optional

    Returns
    -------
    float
        In [0, 1]; 0 is best. Biased upwards in small samples: a perfectly calibrated model whose probabilities are
        spread evenly gets about sqrt(bins / N) / 3, not 0. Drawing the pictures anew adds to it, so a bootstrap's
        interval lies too high. It can be fooled: one that always says the base rate scores 0.

    Notes
    -----
    Guo, Pleiss, Sun, Weinberger: *On calibration of modern neural networks*, ICML 2017. ``THEORY.md`` T3.
    """
    check_number("bins", bins, 1, whole=True)
    found = Predictions(labels, probabilities)
    if found.binary:
        happened, stated = found.labels.astype(float), found.probabilities
    else:
        happened, stated = (found.predicted == found.labels).astype(float), found.both.max(1)
    weights = np.ones(len(stated)) if weights is None else np.asarray(weights, float)
    if weights.shape != stated.shape or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
        raise CrackvizError(f"The weights have shape {weights.shape}; expected {stated.shape}, 0 or more, not all 0.")
    number = np.minimum((stated * bins).astype(int), bins - 1)
    gaps = np.bincount(number, weights * (stated - happened), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return logits that give these probabilities.

    A network's probability is a float32, which can't tell 1 from what lies nearer to it than 6e-8: there the logit is
    cut, at 17.3. Where more is wanted, take :func:`crackviz.attribution.logits`.

    Parameters
    ----------
    probabilities : float (N,), (N, 1) or (N, k), in [0, 1]

    Returns
    -------
    numpy.ndarray
        float64 (N,): ln(p / (1 - p)); for (N, k) ln p, of which the softmax is p.
    """
    probabilities = one_column(probabilities)
    check_probabilities(probabilities)
    least, most = 2.0**-126, 1 - (2.0**-53 if probabilities.dtype == np.float64 else 2.0**-25)
    probabilities = probabilities.astype(np.float64)
    return np.log(probabilities.clip(min=least)) if probabilities.ndim == 2 else logit(probabilities.clip(least, most))


def fit_temperature(
    labels: np.ndarray | Sequence[int], logits: np.ndarray, *, bounds: tuple[float, float] = TEMPERATURES
) -> Temperature:
    """Find the temperature by which logits are divided to make the log loss smallest.

    Fit it on validation pictures, judge it on others.

    Parameters
    ----------
    labels : int (N,)
        0 … k-1, of at least two classes.
    logits : float (N,) or (N, 1) of label 1, or (N, k)
        From :func:`crackviz.attribution.logits`, or :func:`log_odds`.
    bounds : (float, float)
        The lowest and the highest temperature to try, above 0.

    Returns
    -------
    Temperature
        Its value is a bound where the log loss only ever falls towards it: the lower one where every picture is put in
        its class, the upper one where the logits are no better than chance.

    Raises
    ------
    CrackvizError
        Where all labels (any temperature could be had, according to their prevalence) or all logits are alike.

    Notes
    -----
    Guo, Pleiss, Sun, Weinberger: *On calibration of modern neural networks*, ICML 2017. The log loss is convex in the
    inverse temperature, so there is one minimum. ``THEORY.md`` T3.
    """
    labels, logits = np.asarray(labels), one_column(np.asarray(logits, dtype=np.float64))
    if logits.ndim == 1:
        logits = np.stack([np.zeros(len(logits)), logits], axis=1)  # the softmax of these is the sigmoid
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise CrackvizError(f"Labels of shape {labels.shape} and logits of shape {logits.shape} don't belong together.")
    if not np.isfinite(logits).all():
        raise CrackvizError("Some logits are infinite or NaN; expected finite ones. Take them from log_odds.")
    if len(present := np.unique(labels)) < 2:
        raise CrackvizError(
            f"All {len(labels)} labels are alike ({', '.join(map(str, present)) or 'none'}): a temperature needs "
            "pictures of two classes at least. Fit it on more validation pictures."
        )
    if not np.isin(present, np.arange(logits.shape[1])).all():
        raise CrackvizError(f"Labels are {present[:9]}; expected 0 to {logits.shape[1] - 1}, a column of logits each.")
    low, high = bounds
    if not 0 < low < high < np.inf:
        raise CrackvizError(f"bounds are {bounds}; expected 0 < low < high.")

    rows = np.arange(len(labels))
    ahead = logits[rows, labels][:, None] - logits  # of the true class, over each class
    if not ahead.any():
        raise CrackvizError("In every picture all logits are alike: there is nothing that a temperature could change.")

    def loss(log_temperature: float) -> float:
        return float(np.abs(log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels]).mean())

    note = ""
    if ahead.min() >= 0:
        best = np.log(low)
        note = f"all {len(labels)} pictures are in their class: the lower the temperature, the lower the loss"
    elif ahead.sum() <= 0:
        best = np.log(high)
        note = "the logits are no better than chance: the higher the temperature, the lower the loss"
    else:
        best = minimize_scalar(loss, bounds=np.log(bounds), method="bounded", options={"xatol": 1e-7}).x
        for bound, side in ((low, "lower"), (high, "higher")):
            if abs(best - np.log(bound)) < 1e-5:
                best, note = np.log(bound), f"the minimum lies at a {side} temperature than the bound, {bound:g}"
    return Temperature(float(np.exp(best)), loss(0.0), loss(best), note)


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return the probabilities of `logits` at a temperature.

    Parameters
    ----------
    logits : float (N,) or (N, 1) of label 1, or (N, k)
    temperature : float
        Above 0; 1 leaves the probabilities what they are.

    Returns
    -------
    numpy.ndarray
        float64 (N,), or (N, k). Their order is that of the logits, so ROC-AUC and the answers at 0.5 stay.
    """
    check_number("temperature", temperature, 0, inclusive=False)
    scaled = one_column(np.asarray(logits, dtype=np.float64)) / temperature
    return softmax(scaled, axis=1) if scaled.ndim == 2 else expit(scaled)


def correct_prior(
    probabilities: np.ndarray, learnt: float | Sequence[float], actual: float | Sequence[float]
) -> np.ndarray:
    r"""Carry probabilities over to a place where the classes have other shares.

    By Bayes' rule :math:`p'_i \propto p_i\, \pi'_i / \pi_i`. It holds where a cracked patch looks the same in both
    places, and a sound one too, and where the probabilities were right in the first place.

    Parameters
    ----------
    probabilities : float (N,) of label 1, or (N, k), in [0, 1]
    learnt, actual : float, or k floats
        Share of label 1, between 0 and 1, or of each class, which add up to 1: among the pictures that the network was
        trained on, and where it is going to be used.

    Returns
    -------
    numpy.ndarray
        float64 (N,) or (N, k), as `probabilities`. Their order is kept.

    Notes
    -----
    Saerens, Latinne, Decaestecker: *Adjusting the outputs of a classifier to new a priori probabilities: a simple
    procedure*, Neural Computation 14, 2002. ``THEORY.md`` T3.
    """
    probabilities = one_column(np.asarray(probabilities, dtype=np.float64))
    check_probabilities(probabilities)
    both = columns(probabilities)
    shares = []
    for name, value in (("learnt", learnt), ("actual", actual)):
        share = np.array([1 - value, value] if np.isscalar(value) else value, dtype=float)  # type: ignore[operator]
        if share.shape != both.shape[1:] or not ((share > 0) & (share < 1)).all() or abs(share.sum() - 1) > 1e-6:
            raise CrackvizError(
                f"{name} is {value}; expected the share of label 1, between 0 and 1, or those of all "
                f"{both.shape[1]} classes, which add up to 1."
            )
        shares.append(share)
    weighed = both * shares[1] / shares[0]
    weighed /= weighed.sum(axis=1, keepdims=True)
    return weighed[:, 1] if probabilities.ndim == 1 else weighed
