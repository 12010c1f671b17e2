"""Predictions, and the scores of a network's answers with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn import metrics

from crackviz import CrackvizError, data
from crackviz.bootstrap import percentiles, resamples_of
from crackviz.contracts import CLASS_NAMES
from crackviz.evaluation.calibration import (
    calibration_error,
    check_probabilities,
)


def predict(model: keras.Model, table: pd.DataFrame, image_size: int = 128, *, batch_size: int = 64) -> np.ndarray:
    """Return the probabilities that `model` gives to the pictures of `table`, in the table's order.

    Parameters
    ----------
    model : keras.Model
        Ends in a sigmoid or a softmax.
    table : pandas.DataFrame
        From :func:`crackviz.data.index`; its column ``path`` is read.
    image_size : int
        Side in px to which the pictures are resized.
    batch_size : int

    Returns
    -------
    numpy.ndarray
        float32 (N,), the probability of label 1; or (N, k), one column a class, for k > 2 classes.
    """
    with data.pipeline(table, image_size, batch_size=batch_size) as feed:
        probabilities = model.predict(feed, verbose=0)
    if probabilities.shape[-1] == 2:
        return probabilities[:, 1]
    return probabilities[:, 0] if probabilities.shape[-1] == 1 else probabilities


def _scores(
    labels: np.ndarray, probabilities: np.ndarray, weights: np.ndarray, threshold: float, names: Sequence[str]
) -> dict[str, float]:
    """Every score of `evaluate` for one weighting of the pictures; NaN where a score is undefined."""
    binary = probabilities.ndim == 1
    both = np.stack([1 - probabilities, probabilities], 1) if binary else probabilities
    k = both.shape[1]
    predicted = (probabilities >= threshold).astype(int) if binary else probabilities.argmax(1)
    table = np.bincount(labels * k + predicted, weights, k * k).reshape(k, k)
    right, said, true = table.diagonal(), table.sum(0), table.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / said, right / true
        f1 = 2 * right / (said + true)
    scores = {"accuracy": right.sum() / table.sum()}
    for i, name in enumerate(names):
        scores |= {f"precision/{name}": precision[i], f"recall/{name}": recall[i], f"f1/{name}": f1[i]}

    # Ranks need both kinds to be there; a resample may lack one.
    columns = [1] if binary else range(k)
    if (true > 0).all():
        one_vs_rest = [(labels == i, both[:, i]) for i in columns]
        scores["roc_auc"] = np.mean([metrics.roc_auc_score(y, p, sample_weight=weights) for y, p in one_vs_rest])
        scores["average_precision"] = np.mean(
            [metrics.average_precision_score(y, p, sample_weight=weights) for y, p in one_vs_rest]
        )
    else:
        scores["roc_auc"] = scores["average_precision"] = np.nan
    of_truth = both[np.arange(len(labels)), labels].astype(np.float64)
    clipped = np.clip(of_truth, np.finfo(np.float32).eps, 1)  # one sure mistake must not make it infinite
    scores["log_loss"] = np.average(-np.log(clipped), weights=weights)
    errors = (1 - of_truth) ** 2 if binary else ((both - np.eye(k)[labels]) ** 2).sum(1)
    scores["brier"] = np.average(errors, weights=weights)
    scores["calibration_error"] = calibration_error(labels, probabilities, weights=weights)
    return {name: float(value) for name, value in scores.items()}


def evaluate(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    *,
    class_names: Sequence[str] = CLASS_NAMES,
    groups: np.ndarray | Sequence[Any] | None = None,
    threshold: float = 0.5,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Score predictions, each score with its bootstrap interval.

    The intervals come from drawing pictures anew with replacement; with `groups`, whole groups are drawn, since
    pictures of one photograph are no independent witnesses (Field, Welsh 2007).

    Parameters
    ----------
    labels : int (N,)
        0 … k-1.
    probabilities : float (N,), (N, 1) or (N, k), in [0, 1]
        As :func:`predict` or the model itself returns them.
    class_names : sequence of str
        k names.
    groups : sequence (N,), optional
        Group of each picture.
    threshold : float
        "crack" is predicted from this probability on; two classes only.
    resamples : int
        Number of bootstrap resamples; 0 leaves the intervals out (NaN).
    confidence : float
        Coverage of the percentile intervals, in (0, 1).
    seed : int

    Returns
    -------
    dict
        Ready for JSON: ``pictures``, ``groups``, ``threshold``, ``confidence``, ``class_names``, ``support``
        (pictures per class), ``confusion_matrix`` (rows truth, columns prediction), and ``scores``: name ->
        {``value``, ``low``, ``high``} for accuracy, precision, recall and F1 of each class, ROC-AUC, average
        precision, log loss, Brier score, expected calibration error. A score that is undefined is None.

    Raises
    ------
    CrackvizError
        Where there is nothing to score, or lengths, labels, probabilities or bounds don't fit.

    Notes
    -----
    Efron, Tibshirani: *An Introduction to the Bootstrap*, 1993, ch. 13. ``THEORY.md`` T3.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim == 2 and probabilities.shape[1] <= 2:  # one sigmoid unit, or a softmax over two
        probabilities = probabilities[:, -1]
    if not np.issubdtype(np.asarray(labels).dtype, np.number) and len(labels):
        raise CrackvizError(f"Labels are {np.asarray(labels).dtype}, such as {labels[0]!r}; expected numbers from 0.")
    labels = np.asarray(labels, dtype=int)
    k = 2 if probabilities.ndim == 1 else probabilities.shape[-1]
    groups = np.arange(len(labels)) if groups is None else np.asarray(groups)
    _check(labels, probabilities, groups, k, class_names, threshold, confidence)

    point = _scores(labels, probabilities, np.ones(len(labels)), threshold, class_names)
    drawn = []
    for times in resamples_of(groups, resamples, seed):
        keep = times > 0
        drawn.append(_scores(labels[keep], probabilities[keep], times[keep], threshold, class_names))
    bounds = {name: percentiles([scores[name] for scores in drawn], confidence) for name in point}

    predicted = (probabilities >= threshold).astype(int) if k == 2 else probabilities.argmax(1)
    return {
        "pictures": len(labels),
        "groups": len(np.unique(groups)),
        "threshold": threshold if k == 2 else None,
        "confidence": confidence,
        "class_names": list(class_names),
        "support": np.bincount(labels, minlength=k).tolist(),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=range(k)).tolist(),
        "scores": {
            name: {"value": _number(point[name]), "low": _number(low), "high": _number(high)}
            for name, (low, high) in bounds.items()
        },
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _check(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray,
    k: int,
    class_names: Sequence[str],
    threshold: float,
    confidence: float,
) -> None:
    if len(labels) == 0:
        raise CrackvizError("There are no predictions to score: the table is empty.")
    if probabilities.ndim > 2 or len(probabilities) != len(labels) or len(groups) != len(labels):
        raise CrackvizError(
            f"{len(labels)} labels, probabilities of shape {probabilities.shape} and {len(groups)} groups don't "
            "belong together; expected (N,), (N,) or (N, k), and (N,)."
        )
    check_probabilities(probabilities)
    if labels.min() < 0 or labels.max() >= k:
        raise CrackvizError(
            f"Labels reach from {labels.min()} to {labels.max()}; expected 0 to {k - 1} for {k} classes."
        )
    if len(class_names) != k:
        raise CrackvizError(f"{len(class_names)} class names {tuple(class_names)} for {k} classes.")
    if not 0 <= threshold <= 1 or not 0 < confidence < 1:
        raise CrackvizError(f"threshold is {threshold} and confidence {confidence}; expected [0, 1] and (0, 1).")


def report(result: dict[str, Any]) -> pd.DataFrame:
    """Return the scores of :func:`evaluate` as a table: score, value, low, high."""
    table = pd.DataFrame.from_dict(result["scores"], orient="index", columns=["value", "low", "high"])
    return table.astype(float).rename_axis("score")


def class_report(result: dict[str, Any]) -> pd.DataFrame:
    """Return precision, recall, F1 and support per class, from what :func:`evaluate` returns."""
    rows = {
        name: {score: result["scores"][f"{score}/{name}"]["value"] for score in ("precision", "recall", "f1")}
        | {"support": support}
        for name, support in zip(result["class_names"], result["support"], strict=True)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("class")


def mistakes(
    table: pd.DataFrame, probabilities: np.ndarray, *, class_names: Sequence[str] | None = None, threshold: float = 0.5
) -> pd.DataFrame:
    """Return the pictures that the model gets wrong, the surest mistake first.

    The first are the ones to look at: a sure mistake is a wrong label, or a kind of picture new to the model.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``path`` and ``label``, such as :func:`crackviz.data.index` returns; others, and the index, are kept.
    probabilities : float (N,), (N, 1) or (N, k), in [0, 1]
        In the table's order, as :func:`predict` returns them.
    class_names : sequence of str, optional
        k names; those of the table by default.
    threshold : float
        "crack" is predicted from this probability on; two classes only.

    Returns
    -------
    pandas.DataFrame
        Columns ``path``, ``truth`` and ``predicted`` (names), ``confidence`` (the probability of the predicted class),
        then the table's others.

    Raises
    ------
    CrackvizError
        As :func:`evaluate` does.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.ndim == 2 and probabilities.shape[1] <= 2:
        probabilities = probabilities[:, -1]
    labels = table["label"].to_numpy()
    names = list(table.attrs.get("class_names", CLASS_NAMES) if class_names is None else class_names)
    k = 2 if probabilities.ndim == 1 else probabilities.shape[-1]
    _check(labels, probabilities, labels, k, names, threshold, 0.5)
    both = np.stack([1 - probabilities, probabilities], 1) if k == 2 else probabilities
    predicted = (probabilities >= threshold).astype(int) if k == 2 else probabilities.argmax(1)
    columns = {
        "path": table["path"],
        "truth": [names[label] for label in labels],
        "predicted": [names[label] for label in predicted],
        "confidence": both[np.arange(len(labels)), predicted],
    }
    every = pd.DataFrame(columns, index=table.index).join(table.drop(columns=columns.keys() & set(table)))
    return every[predicted != labels].sort_values("confidence", ascending=False, kind="stable")
