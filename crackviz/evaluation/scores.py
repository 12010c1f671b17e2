"""Predictions, and the scores of a network's answers with bootstrap intervals."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn import metrics

from crackviz import CrackvizError, data
from crackviz.bootstrap import LEAST_GROUPS, PICTURES, Bootstrap, proportion
from crackviz.contracts import CLASS_NAMES, one_by_one
from crackviz.evaluation.calibration import calibration_error
from crackviz.evaluation.predictions import Predictions
from crackviz.models.known import check_input_range


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
    check_input_range(model)
    with data.pipeline(table, image_size, batch_size=batch_size) as feed:
        probabilities = model.predict(feed, verbose=0)
    if not isinstance(probabilities, np.ndarray):
        raise CrackvizError(
            f"The model {model.name!r} answers with {type(probabilities).__name__}; expected one array (N, k). Name "
            "one of its outputs: keras.Model(model.inputs, model.output[…])."
        )
    return probabilities[:, -1] if probabilities.shape[-1] <= 2 else probabilities


def _scores(found: Predictions, weights: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Every score of `evaluate` for one weighting of the pictures; NaN where a score is undefined."""
    labels, both, k = found.labels, found.both, found.k
    table = np.bincount(labels * k + found.predicted, weights, k * k).reshape(k, k)
    right, said, true = table.diagonal(), table.sum(0), table.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall = right / said, right / true
        f1 = 2 * right / (said + true)
    scores = {"accuracy": right.sum() / table.sum()}
    for i, name in enumerate(names):
        scores |= {f"precision/{name}": precision[i], f"recall/{name}": recall[i], f"f1/{name}": f1[i]}

    one_vs_rest = [(labels == i, both[:, i]) for i in ([1] if found.binary else range(k))]
    ranked = {"roc_auc": metrics.roc_auc_score, "average_precision": metrics.average_precision_score}
    for name, score in ranked.items():  # ranks need both kinds to be there; a resample may lack one
        known = (true > 0).all()
        each = [score(y, p, sample_weight=weights) for y, p in one_vs_rest] if known else [np.nan]
        scores[name] = np.clip(np.mean(each), 0, 1)  # summed up, the shares of all right ones are 1 + 2e-16
    of_truth = both[np.arange(len(labels)), labels].astype(np.float64)
    clipped = np.clip(of_truth, np.finfo(np.float32).eps, 1)  # one sure mistake must not make it infinite
    scores["log_loss"] = np.average(-np.log(clipped), weights=weights)
    errors = (1 - of_truth) ** 2 if found.binary else ((both - np.eye(k)[labels]) ** 2).sum(1)
    scores["brier"] = np.average(errors, weights=weights)
    scores["calibration_error"] = calibration_error(labels, found.probabilities, weights=weights)
    return {name: float(value) for name, value in scores.items()}


@one_by_one
def evaluate(
    labels: np.ndarray | Sequence[int],
    probabilities: np.ndarray,
    *,
    class_names: Sequence[str] = CLASS_NAMES,
    threshold: float = 0.5,
    bootstrap: Bootstrap = PICTURES,
) -> dict[str, Any]:
    """Score predictions, each score with its interval.

    Parameters
    ----------
    labels : int (N,)
        0 … k-1.
    probabilities : float (N,), (N, 1) or (N, k), in [0, 1]
        As :func:`predict` or the model itself returns them.
    class_names : sequence of str
        k names.
    threshold : float
        "crack" is predicted from this probability on; two classes only.
    bootstrap : Bootstrap
        ``Bootstrap(table["group"])`` draws the pictures of a group together.

    Returns
    -------
    dict
        Ready for JSON: ``pictures``, ``groups``, ``threshold``, ``confidence``, ``class_names``, ``support``
        (pictures per class), ``confusion_matrix`` (rows truth, columns prediction), and ``scores``: name ->
        {``value``, ``low``, ``high``} for accuracy, precision, recall and F1 of each class, ROC-AUC, average
        precision, log loss, Brier score, expected calibration error; and ``notes``, a list of sentences, given as
        warnings, too: answers the wrong way round, or one answer to all pictures. A score that is undefined is None; so
        are the bounds without resamples, where fewer than 5 groups have a part in the score (of recall: groups of that
        class), too few to know the spread, and where all resamples are alike.

    Notes
    -----
    The bounds are a bootstrap's, which can't imagine a mistake that it hasn't seen. Where it touches 0 or 1, another
    interval stands in its place: Wilson's for accuracy, precision and recall, and for F1, which grows with the share
    TP / (TP + FP + FN); Newcombe's of ROC-AUC for two classes (*Confidence intervals for an effect size measure based
    on the Mann-Whitney statistic. Part 2*, Statistics in Medicine 25, 2006, method 5). Both take so many pictures as
    the groups are worth. ``THEORY.md`` T3.
    """
    found = Predictions(np.asarray(labels), probabilities, threshold)
    _check_names(class_names, found.k)
    rounds = bootstrap.weights(len(found.labels))
    drawn = pd.DataFrame([_scores(found[times > 0], times[times > 0].astype(float), class_names) for times in rounds])
    groups = np.unique(bootstrap.members(len(found.labels)), return_inverse=True)[1].ravel()
    intervals = {str(name): bootstrap.interval(drawn[name].to_numpy()) for name in drawn}
    notes = _doubts(found, intervals["roc_auc"])
    for note in notes:
        warnings.warn(note, stacklevel=3)
    if bootstrap.resamples:
        intervals |= _bounded(found, groups, class_names, intervals, bootstrap.confidence)
    return {
        "pictures": len(found.labels),
        "groups": len(np.unique(groups)),
        "threshold": threshold if found.binary else None,
        "confidence": bootstrap.confidence,
        "class_names": list(class_names),
        "support": np.bincount(found.labels, minlength=found.k).tolist(),
        "confusion_matrix": metrics.confusion_matrix(found.labels, found.predicted, labels=range(found.k)).tolist(),
        "scores": {
            name: {what: None if np.isnan(number) else number for what, number in ends.items()}
            for name, ends in intervals.items()
        },
        "notes": notes,
    }


def _doubts(found: Predictions, auc: dict[str, float]) -> list[str]:
    """Say what makes the scores of two classes meaningless, if anything does."""
    if not found.binary or np.isnan(auc["value"]):
        return []
    count, low, high = len(found.labels), found.probabilities.min(), found.probabilities.max()
    if count >= 10 and high - low < 1e-4:
        return [
            f"The network gives one answer to all {count:,} pictures ({low:.4f}). Does it take other pictures than "
            "those in [0, 1]? models.load(path, input_range=(0, 255)) says so, and models.save keeps it."
        ]
    turned = auc["high"] < 0.5 if not np.isnan(auc["high"]) else auc["value"] < 0.3
    if turned and auc["value"] < 0.4:
        return [
            f"ROC-AUC is {auc['value']:.2f}, far below the 0.5 of guessing: the network tells the pictures apart, but "
            "the wrong way round. Its label 0 is the crack, or the labels of the pictures are turned. Say so of the "
            'network by models.annotate(model, class_names=("crack", "no_crack")), then models.save; of the pictures '
            "by crack_class."
        ]
    return []


def _bounded(
    found: Predictions, groups: np.ndarray, names: Sequence[str], intervals: dict[str, dict[str, float]], level: float
) -> dict[str, dict[str, float]]:
    """Return the intervals that the bootstrap can't give: from too few groups none, at 0 or 1 another kind."""
    every = np.ones(len(found.labels), bool)
    taking: dict[str, tuple[np.ndarray, np.ndarray]] = {"accuracy": (every, found.labels == found.predicted)}
    for i, name in enumerate(names):
        true, said = found.labels == i, found.predicted == i
        taking |= {
            f"precision/{name}": (said, true),
            f"recall/{name}": (true, said),
            f"f1/{name}": (true | said, true & said),
        }
    of_class = [len(np.unique(groups[found.labels == i])) for i in range(found.k)]
    mended: dict[str, dict[str, float]] = {}
    for name, ends in intervals.items():
        part, happened = taking.get(name, (every, every))
        few = min(of_class) if name in ("roc_auc", "average_precision") else len(np.unique(groups[part]))
        touches = ends["low"] <= 0 or ends["high"] >= 1
        if few < LEAST_GROUPS or (name not in taking and np.isclose(ends["low"], ends["high"], rtol=1e-9, atol=1e-12)):
            mended[name] = {**ends, "low": np.nan, "high": np.nan}
        if few < LEAST_GROUPS or not touches or np.isnan(ends["value"]):
            continue
        if name in taking:
            low, high = list(proportion(happened[part], groups[part], level).values())[1:]
            as_f1 = (lambda share: 2 * share / (1 + share)) if name.startswith("f1/") else float
            mended[name] = {**ends, "low": as_f1(low), "high": as_f1(high)}
        elif name == "roc_auc" and found.binary:
            mended[name] = {**ends, **_newcombe(ends["value"], of_class[0], of_class[1], level)}
    return mended


def _newcombe(area: float, some: int, others: int, level: float) -> dict[str, float]:
    """Return Newcombe's interval of a ROC-AUC from so many independent pictures of either class."""
    z, each = norm.ppf((1 + level) / 2), (some + others) / 2 - 1

    def beyond(true: float) -> float:
        spread = true * (1 - true) * (1 + each * ((1 - true) / (2 - true) + true / (1 + true))) / (some * others)
        return float((area - true) ** 2 - z**2 * spread)

    inside = min(max(area, 1e-12), 1 - 1e-12)  # at 0 and 1 themselves the spread is 0
    return {
        "low": brentq(beyond, 0, inside) if area > 0 else 0.0,
        "high": brentq(beyond, inside, 1) if area < 1 else 1.0,
    }


def _check_names(names: Sequence[str], k: int) -> None:
    if isinstance(names, str):
        raise CrackvizError(
            f"The class names are {names!r}, one text; expected several, such as ('no_crack', 'crack')."
        )
    if len(names) != k:
        raise CrackvizError(f"{len(names)} class names {tuple(names)} for {k} classes.")
    if len(set(names)) < k:
        raise CrackvizError(
            f"The class names {tuple(names)} aren't all different; expected a name of its own for each."
        )


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

    A sure mistake is a wrong label, or a kind of picture new to the model.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``path`` and ``label``, such as :func:`crackviz.data.index` returns; others, and the index, are kept.
    probabilities, threshold
        As for :func:`evaluate`, in the table's order.
    class_names : sequence of str, optional
        k names; those of the table by default.

    Returns
    -------
    pandas.DataFrame
        Columns ``path``, ``truth`` and ``predicted`` (names), ``confidence`` (the probability of the predicted class),
        then the table's others.
    """
    found = Predictions(table["label"].to_numpy(), probabilities, threshold)
    names = list(table.attrs.get("class_names", CLASS_NAMES) if class_names is None else class_names)
    _check_names(names, found.k)
    columns = {
        "path": table["path"],
        "truth": [names[label] for label in found.labels],
        "predicted": [names[label] for label in found.predicted],
        "confidence": found.both[np.arange(len(table)), found.predicted],
    }
    every = pd.DataFrame(columns, index=table.index).join(table.drop(columns=columns.keys() & set(table)))
    return every[found.predicted != found.labels].sort_values("confidence", ascending=False, kind="stable")
