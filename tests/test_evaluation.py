"""Scores against hand-computed values, scikit-learn, and the rules that intervals obey."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from crackviz import CrackvizError, evaluation

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.4, 0.9, 0.3, 0.6, 0.7, 0.8, 0.95, 0.5])


def scores(result: dict) -> dict[str, float]:
    return {name: entry["value"] for name, entry in result["scores"].items()}


def test_by_hand() -> None:
    """3 sound patches right, 1 false alarm; 5 cracks found (0.5 counts as an alarm), 1 missed."""
    result = evaluation.evaluate(LABELS, PROBABILITIES, resamples=10)
    assert result["confusion_matrix"] == [[3, 1], [1, 5]]
    assert result["support"] == [4, 6] and result["pictures"] == 10
    got = scores(result)
    assert got["accuracy"] == pytest.approx(0.8)
    assert got["precision/crack"] == got["recall/crack"] == got["f1/crack"] == pytest.approx(5 / 6)
    assert got["precision/no_crack"] == got["recall/no_crack"] == pytest.approx(3 / 4)
    # Pairs in order, of 24: those with 0.9 lose to all but 0.95 (1), 0.4 beats 0.3 (5), the others are all right.
    assert got["roc_auc"] == pytest.approx((6 + 6 + 5 + 1) / 24)
    assert got["brier"] == pytest.approx(np.mean((PROBABILITIES - LABELS) ** 2))


def test_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 300)
    probabilities = np.clip(0.3 * labels + 0.7 * rng.random(300), 0.001, 0.999)
    got = scores(evaluation.evaluate(labels, probabilities, resamples=0, threshold=0.6))
    predicted = probabilities >= 0.6
    assert got["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert got["f1/crack"] == pytest.approx(metrics.f1_score(labels, predicted))
    assert got["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities))
    assert got["average_precision"] == pytest.approx(metrics.average_precision_score(labels, probabilities))
    assert got["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert got["brier"] == pytest.approx(metrics.brier_score_loss(labels, probabilities))


def test_k_classes_as_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    probabilities = rng.dirichlet([1, 1, 1], 300) * 0.6 + 0.4 * np.eye(3)[labels]
    result = evaluation.evaluate(labels, probabilities, class_names=["a", "b", "c"], resamples=5)
    got = scores(result)
    predicted = probabilities.argmax(1)
    assert result["confusion_matrix"] == metrics.confusion_matrix(labels, predicted).tolist()
    assert got["recall/b"] == pytest.approx(metrics.recall_score(labels, predicted, average=None)[1])
    assert got["roc_auc"] == pytest.approx(metrics.roc_auc_score(labels, probabilities, multi_class="ovr"))
    assert got["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    assert result["threshold"] is None


def test_calibration_error_by_hand() -> None:
    """Bin 0 holds 0.1 and 0.3 (mean 0.2, none cracked), bin 1 holds 0.8, 0.8 (one cracked)."""
    error = evaluation.calibration_error(np.array([0, 0, 1, 0]), np.array([0.1, 0.3, 0.8, 0.8]), bins=2)
    assert error == pytest.approx(0.5 * 0.2 + 0.5 * 0.3)
    assert evaluation.calibration_error(np.array([0, 1]), np.array([0.0, 1.0])) == 0
    assert evaluation.calibration_error(np.array([1, 0]), np.array([0.0, 1.0])) == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1, width=32)), min_size=1, max_size=30))
def test_weights_are_copies(pairs: list[tuple[int, float]]) -> None:
    """A picture of weight 3 counts as three pictures."""
    labels, probabilities = (np.array(column) for column in zip(*pairs, strict=True))
    weights = np.arange(len(labels)) % 3 + 1.0
    times = weights.astype(int)
    names = ("no_crack", "crack")
    one = evaluation._scores(labels, probabilities, weights, 0.5, names)
    copies = np.repeat(labels, times), np.repeat(probabilities, times)
    two = evaluation._scores(*copies, np.ones(times.sum()), 0.5, names)
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_interval_is_about_that_of_the_binomial() -> None:
    labels = np.zeros(400, int)
    labels[:200] = 1
    probabilities = np.where(np.arange(400) % 10 == 0, 1 - labels, labels).astype(float)
    interval = evaluation.evaluate(labels, probabilities, seed=3)["scores"]["accuracy"]
    assert interval["value"] == pytest.approx(0.9)
    width = 2 * 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert interval["high"] - interval["low"] == pytest.approx(width, rel=0.15)


def test_groups_widen_the_interval() -> None:
    """Each picture ten times over is no more evidence than once."""
    labels, probabilities = np.tile(LABELS, 10), np.tile(PROBABILITIES, 10)
    groups = np.tile(np.arange(10), 10)
    alone = evaluation.evaluate(labels, probabilities, resamples=300)
    grouped = evaluation.evaluate(labels, probabilities, groups=groups, resamples=300)
    once = evaluation.evaluate(LABELS, PROBABILITIES, resamples=300)

    def width(result: dict) -> float:
        return result["scores"]["accuracy"]["high"] - result["scores"]["accuracy"]["low"]

    assert scores(alone) == pytest.approx(scores(grouped))
    assert width(grouped) > 2 * width(alone)
    assert width(grouped) == pytest.approx(width(once))
    assert grouped["groups"] == 10 and alone["groups"] == 100


def test_arguments_change_the_answer() -> None:
    def evaluate(**options: float) -> dict:
        return evaluation.evaluate(LABELS, PROBABILITIES, resamples=200, **options)  # type: ignore[arg-type]

    base = evaluate()
    assert evaluate() == base
    assert evaluate(seed=1)["scores"] != base["scores"]
    assert evaluate(threshold=0.65)["confusion_matrix"] == [[3, 1], [3, 3]]
    narrow = evaluate(confidence=0.5)["scores"]["brier"]
    wide = base["scores"]["brier"]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_undefined_scores_are_none_and_json_holds_them() -> None:
    result = evaluation.evaluate([0, 0, 0], np.array([0.1, 0.2, 0.3]), resamples=20)
    assert result["scores"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert result["scores"]["precision/crack"]["value"] is None
    assert result["scores"]["accuracy"]["value"] == 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_one_sure_mistake_leaves_the_log_loss_finite() -> None:
    assert np.isfinite(scores(evaluation.evaluate([0, 1], np.array([1.0, 1.0]), resamples=0))["log_loss"])


@pytest.mark.parametrize(
    ("labels", "probabilities", "options", "message"),
    [
        ([], np.array([]), {}, "table is empty"),
        ([0, 1], np.array([0.1]), {}, "don't belong together"),
        ([0, 1], np.array([0.1, 1.2]), {}, "Are they logits"),
        ([0, 1], np.array([0.1, np.nan]), {}, "without NaN"),
        ([0, 2], np.array([0.1, 0.2]), {}, "expected 0 to 1"),
        ([0, 1], np.array([0.1, 0.2]), {"groups": [1]}, "don't belong together"),
        ([0, 1], np.array([0.1, 0.2]), {"class_names": ["a"]}, "1 class names"),
        ([0, 1], np.array([0.1, 0.2]), {"threshold": 2}, "threshold is 2"),
        ([0, 1], np.array([0.1, 0.2]), {"confidence": 95}, "confidence 95"),
    ],
)
def test_wrong_input_is_refused(labels: list, probabilities: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        evaluation.evaluate(labels, probabilities, **options)


def test_what_a_model_returns_is_taken_as_it_is() -> None:
    base = evaluation.evaluate(LABELS, PROBABILITIES, resamples=5)
    assert evaluation.evaluate(LABELS, PROBABILITIES[:, None], resamples=5) == base
    assert evaluation.evaluate(LABELS, np.stack([1 - PROBABILITIES, PROBABILITIES], 1), resamples=5) == base
    with pytest.raises(CrackvizError, match="such as 'crack'; expected numbers"):
        evaluation.evaluate(["crack"], np.array([0.5]))


def test_tables() -> None:
    result = evaluation.evaluate(LABELS, PROBABILITIES, resamples=10)
    assert list(evaluation.report(result).columns) == ["value", "low", "high"]
    assert evaluation.class_report(result).loc["crack", "support"] == 6
    assert evaluation.class_report(result).loc["no_crack", "precision"] == pytest.approx(0.75)
