"""Scores against hand-computed values, scikit-learn, and the rules that intervals obey."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.stats import binomtest, rankdata
from sklearn import metrics

from crackviz import CrackvizError, evaluation
from crackviz.bootstrap import proportion
from crackviz.evaluation import Bootstrap, Predictions
from crackviz.evaluation.scores import _scores

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
PROBABILITIES = np.array([0.1, 0.2, 0.4, 0.9, 0.3, 0.6, 0.7, 0.8, 0.95, 0.5])


def scores(result: dict) -> dict[str, float]:
    return {name: entry["value"] for name, entry in result["scores"].items()}


def test_by_hand() -> None:
    """3 sound patches right, 1 false alarm; 5 cracks found (0.5 counts as an alarm), 1 missed."""
    result = evaluation.evaluate(LABELS, PROBABILITIES, bootstrap=Bootstrap(resamples=10))
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
    got = scores(evaluation.evaluate(labels, probabilities, threshold=0.6, bootstrap=Bootstrap(resamples=0)))
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
    result = evaluation.evaluate(labels, probabilities, class_names=["a", "b", "c"], bootstrap=Bootstrap(resamples=5))
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
    one = _scores(Predictions(labels, probabilities), weights, names)
    copies = Predictions(np.repeat(labels, times), np.repeat(probabilities, times))
    two = _scores(copies, np.ones(times.sum()), names)
    for name, value in one.items():
        np.testing.assert_allclose(value, two[name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_interval_is_about_that_of_the_binomial() -> None:
    labels = np.zeros(400, int)
    labels[:200] = 1
    probabilities = np.where(np.arange(400) % 10 == 0, 1 - labels, labels).astype(float)
    interval = evaluation.evaluate(labels, probabilities, bootstrap=Bootstrap(seed=3))["scores"]["accuracy"]
    assert interval["value"] == pytest.approx(0.9)
    width = 2 * 1.96 * np.sqrt(0.9 * 0.1 / 400)
    assert interval["high"] - interval["low"] == pytest.approx(width, rel=0.15)


def test_groups_widen_the_interval() -> None:
    """Each picture ten times over is no more evidence than once."""
    labels, probabilities = np.tile(LABELS, 10), np.tile(PROBABILITIES, 10)
    groups = np.tile(np.arange(10), 10)
    alone = evaluation.evaluate(labels, probabilities, bootstrap=Bootstrap(resamples=300))
    grouped = evaluation.evaluate(labels, probabilities, bootstrap=Bootstrap(groups, resamples=300))
    once = evaluation.evaluate(LABELS, PROBABILITIES, bootstrap=Bootstrap(resamples=300))

    def width(result: dict) -> float:
        return result["scores"]["accuracy"]["high"] - result["scores"]["accuracy"]["low"]

    assert scores(alone) == pytest.approx(scores(grouped))
    assert width(grouped) > 2 * width(alone)
    assert width(grouped) == pytest.approx(width(once))
    assert grouped["groups"] == 10 and alone["groups"] == 100


def test_arguments_change_the_answer() -> None:
    def evaluate(threshold: float = 0.5, **options: Any) -> dict:
        bootstrap = Bootstrap(resamples=200, **options)
        return evaluation.evaluate(LABELS, PROBABILITIES, threshold=threshold, bootstrap=bootstrap)

    base = evaluate()
    assert evaluate() == base
    assert evaluate(seed=1)["scores"] != base["scores"]
    assert evaluate(threshold=0.65)["confusion_matrix"] == [[3, 1], [3, 3]]
    narrow = evaluate(confidence=0.5)["scores"]["brier"]
    wide = base["scores"]["brier"]
    assert wide["low"] < narrow["low"] < narrow["high"] < wide["high"]


def test_undefined_scores_are_none_and_json_holds_them() -> None:
    result = evaluation.evaluate([0, 0, 0], np.array([0.1, 0.2, 0.3]), bootstrap=Bootstrap(resamples=20))
    assert result["scores"]["roc_auc"] == {"value": None, "low": None, "high": None}
    assert result["scores"]["precision/crack"]["value"] is None
    assert result["scores"]["accuracy"]["value"] == 1
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_one_sure_mistake_leaves_the_log_loss_finite() -> None:
    assert np.isfinite(
        scores(evaluation.evaluate([0, 1], np.array([1.0, 1.0]), bootstrap=Bootstrap(resamples=0)))["log_loss"]
    )


@pytest.mark.parametrize(
    ("labels", "probabilities", "options", "message"),
    [
        ([], np.array([]), {}, "table is empty"),
        ([0, 1], np.array([0.1]), {}, "don't belong together"),
        ([0, 1], np.array([0.1, 1.2]), {}, "Are they logits"),
        ([0, 1], np.array([0.1, np.nan]), {}, "without NaN"),
        ([0, 2], np.array([0.1, 0.2]), {}, "expected 0 to 1"),
        ([0, 1], np.array([0.1, 0.2]), {"bootstrap": Bootstrap([1])}, "1 groups for 2 pictures"),
        ([0, 1], np.array([0.1, 0.2]), {"bootstrap": Bootstrap([np.nan, 1.0])}, "Some groups are missing"),
        ([0, 1], np.array([0.1, 0.2]), {"bootstrap": Bootstrap(np.array([None, "a"]))}, "Some groups are missing"),
        ([0, 1], np.array([0.1, 0.2]), {"class_names": ["a"]}, "1 class names"),
        ([0, 1], np.array([0.1, 0.2]), {"class_names": "ab"}, "one text"),
        ([0, 1], np.array([0.1, 0.2]), {"threshold": 2}, "threshold is 2"),
    ],
)
def test_wrong_input_is_refused(labels: list, probabilities: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        evaluation.evaluate(labels, probabilities, **options)


def test_what_a_model_returns_is_taken_as_it_is() -> None:
    base = evaluation.evaluate(LABELS, PROBABILITIES, bootstrap=Bootstrap(resamples=5))
    assert evaluation.evaluate(LABELS, PROBABILITIES[:, None], bootstrap=Bootstrap(resamples=5)) == base
    assert (
        evaluation.evaluate(LABELS, np.stack([1 - PROBABILITIES, PROBABILITIES], 1), bootstrap=Bootstrap(resamples=5))
        == base
    )
    columns = np.stack([1 - PROBABILITIES, PROBABILITIES], 1)
    error = evaluation.calibration_error(LABELS, PROBABILITIES)
    assert evaluation.calibration_error(LABELS, columns) == error
    assert evaluation.calibration_error(LABELS, PROBABILITIES[:, None]) == error
    assert evaluation.threshold_for([0, 1], np.array([[0.3, 0.7], [0.9, 0.1]]), specificity=1) == np.nextafter(0.7, 1)
    with pytest.raises(CrackvizError, match="labels holds 'crack'; expected numbers"):
        evaluation.evaluate(["crack"], np.array([0.5]))


def test_tables() -> None:
    result = evaluation.evaluate(LABELS, PROBABILITIES, bootstrap=Bootstrap(resamples=10))
    assert list(evaluation.report(result).columns) == ["value", "low", "high"]
    assert evaluation.class_report(result).loc["crack", "support"] == 6
    assert evaluation.class_report(result).loc["no_crack", "precision"] == pytest.approx(0.75)


def test_mistakes_come_surest_first() -> None:
    table = pd.DataFrame({"path": list("abcdefghij"), "label": LABELS, "group": "g"}, index=range(10, 20))
    wrong = evaluation.mistakes(table, PROBABILITIES)
    assert wrong["path"].tolist() == ["d", "e"] and wrong.index.tolist() == [13, 14]
    assert wrong["truth"].tolist() == ["no_crack", "crack"] and wrong["predicted"].tolist() == ["crack", "no_crack"]
    assert wrong["confidence"].tolist() == pytest.approx([0.9, 0.7])
    assert wrong["group"].tolist() == ["g", "g"]
    # At 0.75 four cracks are missed, besides the false alarm.
    assert evaluation.mistakes(table, PROBABILITIES, threshold=0.75)["path"].tolist() == ["d", "e", "j", "f", "g"]
    assert evaluation.mistakes(table, LABELS.astype(float)).empty


def test_mistakes_among_k_classes_have_the_tables_names() -> None:
    table = pd.DataFrame({"path": ["a", "b"], "label": [2, 1]})
    table.attrs["class_names"] = ("x", "y", "z")
    wrong = evaluation.mistakes(table, np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]))
    assert wrong[["path", "truth", "predicted", "confidence"]].to_numpy().tolist() == [["a", "z", "x", 0.7]]
    with pytest.raises(CrackvizError, match="2 class names"):
        evaluation.mistakes(table, np.full((2, 3), 1 / 3), class_names=["x", "y"])


# --- the bootstrap --------------------------------------------------------------------------------------------------


def test_weights_draw_whole_groups() -> None:
    groups = np.array(list("aabbccddee"))
    drawn = Bootstrap(groups, 500).weights(len(groups))
    assert drawn.shape == (501, 10) and (drawn[0] == 1).all()
    assert (drawn[:, ::2] == drawn[:, 1::2]).all() and (drawn.sum(axis=1) == 10).all()
    assert drawn[1:].mean(axis=0) == pytest.approx(1, abs=0.15)
    assert not np.array_equal(drawn, Bootstrap(groups, 500, seed=1).weights(len(groups)))


def test_a_few_groups_have_no_interval() -> None:
    """Of four photographs all right, [1, 1] would be no more than a repetition."""
    for count, known in ((1, False), (4, False), (5, True)):
        drawn = Bootstrap(np.arange(20) % count)
        result = evaluation.evaluate([0, 1] * 10, np.linspace(0.1, 0.8, 20), bootstrap=drawn)
        compared = evaluation.compare([0, 1] * 10, [0, 1] * 10, [0, 0] * 10, bootstrap=drawn)
        for found in (result["scores"]["brier"], compared["difference"]):
            assert found["value"] is not None
            assert (found["low"] is not None) == (found["high"] is not None) == known
        assert result["groups"] == compared["groups"] == count


def test_intervals_leave_out_equal_tails_and_what_is_undefined() -> None:
    draws = [7.0, np.nan, *range(101)]
    assert Bootstrap(confidence=0.9).interval(draws) == pytest.approx({"value": 7, "low": 5, "high": 95})
    assert np.isnan(Bootstrap(confidence=0.9).interval([7.0, np.nan])["low"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"confidence": 95}, "confidence is 95; expected a number between 0 and 1"),
        ({"confidence": 1.0}, "confidence is 1.0"),
        ({"resamples": -1}, "resamples is -1"),
        ({"resamples": 0.5}, "resamples is 0.5"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_a_bootstrap_that_is_none(options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        Bootstrap(**options)


# --- temperature ----------------------------------------------------------------------------------------------------


def drawn(count: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are true as often as the logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return (rng.random(count) < expit(logits)).astype(int), logits


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_the_temperature_of_right_logits_times_a_factor_is_the_factor(factor: float) -> None:
    labels, logits = drawn()
    found = evaluation.fit_temperature(labels, factor * logits)
    assert found.value == pytest.approx(factor, rel=0.05) and found.note == ""
    assert found.value == pytest.approx(factor * evaluation.fit_temperature(labels, logits).value, rel=1e-4)
    assert found.before == pytest.approx(metrics.log_loss(labels, expit(factor * logits)))
    assert found.after == pytest.approx(metrics.log_loss(labels, expit(factor * logits / found.value)))
    calibrated = evaluation.apply_temperature(factor * logits, found.value)
    assert evaluation.calibration_error(labels, calibrated) < 0.02


def test_the_temperature_of_k_classes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    labels = (softmax(logits, axis=1).cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    found = evaluation.fit_temperature(labels, 2.5 * logits + rng.normal(size=(20_000, 1)))
    assert found.value == pytest.approx(2.5, rel=0.05) and found.note == ""
    assert found.after == pytest.approx(metrics.log_loss(labels, softmax(2.5 * logits / found.value, axis=1)), rel=1e-6)


def test_two_columns_are_one_logit() -> None:
    labels, logits = drawn(500)
    one = evaluation.fit_temperature(labels, 3 * logits)
    two = evaluation.fit_temperature(labels, np.stack([-1.5 * logits, 1.5 * logits], 1))
    assert one[:3] == pytest.approx(two[:3])
    assert evaluation.fit_temperature(labels, 3 * logits[:, None]) == one
    np.testing.assert_allclose(
        evaluation.apply_temperature(np.stack([-logits, logits], 1), 2)[:, 1],
        evaluation.apply_temperature(2 * logits[:, None], 2),
    )


def test_a_temperature_without_a_minimum_says_so() -> None:
    labels, logits = np.array([0, 0, 1, 1]), np.array([-1.0, -2.0, 0.5, 3.0])
    found = evaluation.fit_temperature(labels, logits)
    assert found.value == pytest.approx(0.05) and "all 4 pictures are in their class" in found.note
    found = evaluation.fit_temperature(labels, logits, bounds=(0.5, 2))
    assert found.value == pytest.approx(0.5) and found.after < found.before
    found = evaluation.fit_temperature(labels, -logits)
    assert found.value == pytest.approx(20) and "no better than chance" in found.note
    labels, logits = drawn(500)
    found = evaluation.fit_temperature(labels, logits, bounds=(2, 5))
    assert found.value == pytest.approx(2) and "lower temperature than the bound, 2" in found.note
    three = np.array([[3.0, 0, 0], [0, 1, 0], [0, 0, 2]])
    assert "all 3 pictures" in evaluation.fit_temperature([0, 1, 2], three).note


@pytest.mark.parametrize(
    ("labels", "logits", "options", "message"),
    [
        ([1, 1], [0.1, 2.0], {}, r"All 2 labels are alike \(1\)"),
        ([], [], {}, r"All 0 labels are alike \(none\)"),
        ([0, 1], [0.1], {}, "don't belong together"),
        ([0, 1], [0.1, np.inf], {}, "infinite or NaN"),
        ([0, 2], [0.1, 0.2], {}, "expected 0 to 1"),
        ([0, 1], [0.0, 0.0], {}, "all logits are alike"),
        ([0, 1], [0.1, 0.2], {"bounds": (2, 1)}, "expected 0 < low < high"),
    ],
)
def test_a_temperature_that_cannot_be_fitted(labels: list, logits: list, options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        evaluation.fit_temperature(np.array(labels, int), np.array(logits), **options)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-8, 8).map(lambda z: round(z, 3)), min_size=2, max_size=20), st.floats(0.5, 20))
def test_a_temperature_keeps_order_and_answers(logits: list[float], temperature: float) -> None:
    logits_ = np.array(logits)
    scaled = evaluation.apply_temperature(logits_, temperature)
    np.testing.assert_array_equal(rankdata(scaled), rankdata(logits_))
    np.testing.assert_array_equal(scaled >= 0.5, logits_ >= 0)
    labels = np.arange(len(logits)) % 2
    assert metrics.roc_auc_score(labels, scaled) == metrics.roc_auc_score(labels, logits_)
    assert (np.abs(scaled - 0.5) <= np.abs(expit(logits_) - 0.5) + 1e-12).all() == (temperature >= 1 or not any(logits))


def test_log_odds() -> None:
    one = np.float32([0.5, 0.9, 1 - 2**-24, 1.0, 0.0])
    odds = evaluation.log_odds(one)
    assert odds[:2] == pytest.approx([0, np.log(9)], abs=1e-6)
    assert np.isfinite(odds).all() and odds[4] < -80 < 16.6 < odds[2] < odds[3] < 17.4
    np.testing.assert_allclose(evaluation.apply_temperature(odds, 1), one, atol=1e-7)
    np.testing.assert_array_equal(evaluation.log_odds(one[:, None]), odds)
    three = np.array([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(softmax(evaluation.log_odds(three), axis=1), three, atol=1e-12)
    with pytest.raises(CrackvizError, match="Are they logits"):
        evaluation.log_odds(np.array([3.0]))
    with pytest.raises(CrackvizError, match="temperature is 0"):
        evaluation.apply_temperature(odds, 0)


# --- prevalence -----------------------------------------------------------------------------------------------------


def test_prior_correction_by_hand() -> None:
    """Odds of 9 to 1 at even shares are odds of 9 to 99 where one in a hundred is cracked."""
    assert evaluation.correct_prior([0.9, 0.5], 0.5, 0.01) == pytest.approx([9 / 108, 0.01])
    assert evaluation.correct_prior(np.array([0.0, 1.0]), 0.5, 0.01).tolist() == [0, 1]
    three = evaluation.correct_prior(np.array([[0.5, 0.25, 0.25]]), [0.5, 0.25, 0.25], [0.1, 0.1, 0.8])
    assert three == pytest.approx(np.array([[0.1, 0.1, 0.8]]))
    two = evaluation.correct_prior(np.array([[0.1, 0.9]]), [0.5, 0.5], [0.99, 0.01])
    assert two[0] == pytest.approx([99 / 108, 9 / 108])


def test_corrected_probabilities_are_right_where_cracks_are_rare() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random(200_000) < 0.1).astype(int)
    z = rng.normal(2.0 * labels - 1, 1)  # of even shares: log odds 2 z
    at_even_shares = expit(2 * z)
    assert evaluation.calibration_error(labels, at_even_shares) > 0.1
    assert evaluation.calibration_error(labels, evaluation.correct_prior(at_even_shares, 0.5, 0.1)) < 0.005


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_prior_correction_goes_there_and_back(probabilities: list[float], here: float, there: float) -> None:
    p = np.array(probabilities)
    np.testing.assert_allclose(evaluation.correct_prior(p, here, here), p, atol=1e-12)
    moved = evaluation.correct_prior(p, here, there)
    assert ((moved - p) * (there - here) >= -1e-12).all()
    np.testing.assert_allclose(evaluation.correct_prior(moved, there, here), p, atol=1e-9)


@pytest.mark.parametrize(
    ("learnt", "actual", "message"),
    [(0, 0.5, "learnt is 0"), (0.5, 1, "actual is 1"), ([0.2, 0.2], 0.5, "add up to 1"), (0.5, [0.2] * 5, "2 classes")],
)
def test_a_wrong_share_is_refused(learnt: Any, actual: Any, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        evaluation.correct_prior(np.array([0.5]), learnt, actual)


def test_precision_at_a_prevalence_by_hand() -> None:
    """Recall 5/6, false alarms 1/4: at one in ten 0.1 * 5/6 against 0.9 * 1/4."""
    table = evaluation.precision_at(LABELS, PROBABILITIES, [0.6, 0.1])
    assert table["value"].tolist() == pytest.approx([5 / 6, (0.5 / 6) / (0.5 / 6 + 0.9 / 4)])
    assert (table["low"] < table["value"]).all() and (table["value"] < table["high"]).all()
    assert table.index.tolist() == [0.6, 0.1] and table.index.name == "prevalence"
    high = evaluation.precision_at(LABELS, PROBABILITIES, 0.1, threshold=0.95)
    assert high["value"].item() == 1 and high["low"].item() < 0.2  # one alarm, and it is right
    narrow = evaluation.precision_at(LABELS, PROBABILITIES, 0.1, bootstrap=Bootstrap(confidence=0.5))
    assert table["low"].iloc[1] < narrow["low"].item() < narrow["high"].item() < table["high"].iloc[1]
    silent = evaluation.precision_at(LABELS, PROBABILITIES, 0.1, threshold=1.0)
    assert np.isnan(silent["value"].item()) and silent["low"].item() == 0 and silent["high"].item() == 1


def test_the_interval_of_precision_is_newcombes() -> None:
    """MOVER-R as it is printed, for false alarms (a) over recall (b), each with Wilson's interval."""
    a, b = 1 / 4, 5 / 6
    one, two = (binomtest(k, n).proportion_ci(method="wilson") for k, n in ((1, 4), (5, 6)))
    bounds = []
    for sign, u, v in ((-1, one.low, two.high), (1, one.high, two.low)):
        root = np.sqrt((a * b) ** 2 - u * v * (2 * a - u) * (2 * b - v))
        bounds.append((a * b + sign * root) / (v * (2 * b - v)))
    row = evaluation.precision_at(LABELS, PROBABILITIES, 0.1).iloc[0]
    assert row["high"] == pytest.approx(0.1 / (0.1 + 0.9 * bounds[0]))
    assert row["low"] == pytest.approx(0.1 / (0.1 + 0.9 * bounds[1]))


def test_no_false_alarm_is_no_proof() -> None:
    """None in 300, so up to about 4 in 300 by Wilson: 0.01 against 0.99 * 0.0126 at the worst."""
    labels = np.repeat([0, 1], 300)
    table = evaluation.precision_at(labels, labels.astype(float), 0.01)
    bound = binomtest(0, 300).proportion_ci(method="wilson").high
    assert table["value"].item() == table["high"].item() == 1
    assert table["low"].item() == pytest.approx(0.01 / (0.01 + 0.99 * bound), rel=0.02)
    assert 0.4 < table["low"].item() < 0.5


def test_rates_have_wilsons_interval_and_groups_count_as_one() -> None:
    happened = np.arange(40) < 7
    share, *bounds = proportion(happened, np.arange(40), 0.9).values()
    wilson = binomtest(7, 40).proportion_ci(0.9, method="wilson")
    assert share == 7 / 40 and bounds == pytest.approx([wilson.low, wilson.high])
    copies = np.repeat(happened, 5)
    grouped = proportion(copies, np.repeat(np.arange(40), 5), 0.9)
    assert [grouped["low"], grouped["high"]] == pytest.approx(bounds)
    alone = proportion(copies, np.arange(200), 0.9)
    assert bounds[0] < alone["low"] < alone["high"] < bounds[1]
    single = proportion(copies, np.zeros(200), 0.9)
    assert single["high"] - single["low"] > 0.7  # one witness
    wilson = binomtest(12, 12).proportion_ci(0.95, method="wilson")
    assert proportion(np.ones(60), np.arange(60) // 5, 0.95) == pytest.approx(
        {"value": 1, "low": wilson.low, "high": 1}
    )


def test_without_a_mistake_the_intervals_are_no_points() -> None:
    """Ten of ten right: by a bootstrap [1, 1], by Wilson [0.72, 1]. Newcombe's of the area, and F1's, by hand."""
    labels = np.repeat([0, 1], 10)
    said = np.where(labels, 0.9, 0.1) + np.linspace(0, 0.05, 20)
    found = evaluation.evaluate(labels, said, bootstrap=Bootstrap(resamples=200))["scores"]
    wilson = binomtest(10, 10).proportion_ci(0.95, method="wilson")
    both = binomtest(20, 20).proportion_ci(0.95, method="wilson")
    assert found["recall/crack"] == pytest.approx({"value": 1, "low": wilson.low, "high": 1})
    assert found["precision/no_crack"] == found["recall/no_crack"] == found["recall/crack"]
    assert found["accuracy"]["low"] == pytest.approx(both.low)
    share = wilson.low  # of TP / (TP + FP + FN)
    assert found["f1/crack"]["low"] == pytest.approx(2 * share / (1 + share))
    area = found["roc_auc"]["low"]
    spread = area * (1 - area) * (1 + 9 * ((1 - area) / (2 - area) + area / (1 + area))) / 100
    assert 0.6 < area < 1 and (1 - area) ** 2 == pytest.approx(1.959964**2 * spread, rel=1e-4)
    assert found["average_precision"]["value"] == pytest.approx(1) and found["average_precision"]["low"] is None
    grouped = evaluation.evaluate(labels, said, bootstrap=Bootstrap(np.arange(20) // 2, resamples=200))["scores"]
    assert grouped["accuracy"]["low"] == pytest.approx(wilson.low), "ten groups, whatever they hold"


def test_the_groups_that_count_are_those_of_the_score() -> None:
    """All cracks lie in two photographs of twelve: of recall nothing is known, of accuracy something is."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 10
    labels = (groups < 2).astype(int)
    found = evaluation.evaluate(labels, rng.random(120), bootstrap=Bootstrap(groups, resamples=100))["scores"]
    assert found["recall/crack"]["low"] is found["roc_auc"]["low"] is None
    assert found["recall/no_crack"]["low"] is not None and found["accuracy"]["low"] is not None


@settings(max_examples=25, deadline=None)
@example(8618, 35, 0.46875)  # an average precision of 1.0000000000000002
@given(st.integers(0, 2**20), st.integers(5, 40), st.floats(0, 1))
def test_bounds_lie_around_their_value_and_within_what_is_possible(seed: int, count: int, skill: float) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    said = np.clip(skill * labels + (1 - skill) * rng.random(count), 0, 1)
    drawn = Bootstrap(rng.integers(0, 12, count), resamples=30)
    for name, ends in evaluation.evaluate(labels, said, bootstrap=drawn)["scores"].items():
        if ends["low"] is not None and name != "log_loss":
            assert 0 <= ends["low"] < ends["high"] <= 1, name
            assert name in ("brier", "calibration_error") or ends["low"] <= ends["value"] <= ends["high"], name


def test_two_that_always_agree_differ_by_no_more_than_groups_can_tell() -> None:
    answers = np.arange(60) % 2
    for groups, count in ((None, 60), (np.arange(60) // 6, 10)):
        found = evaluation.compare(answers, answers, answers, bootstrap=Bootstrap(groups))["difference"]
        high = binomtest(0, count).proportion_ci(0.95, method="wilson").high
        assert found == pytest.approx({"value": 0, "low": -high, "high": high})
    worst = evaluation.compare(answers, 1 - answers, answers)["difference"]
    assert worst["value"] == worst["low"] == -1 and -1 < worst["high"] < -0.8


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: evaluation.evaluate(LABELS, PROBABILITIES.astype(str)), "expected numbers"),
        (lambda: evaluation.evaluate(LABELS, PROBABILITIES.astype(complex)), "expected numbers"),
        (lambda: evaluation.evaluate(None, PROBABILITIES), "expected numbers of classes"),
        (lambda: evaluation.evaluate(LABELS, np.full((len(LABELS), 3), 0.6), class_names="abc"), "add up to 1.8"),
        (lambda: evaluation.evaluate(LABELS, PROBABILITIES, class_names=("a", "a")), "all different"),
        (lambda: evaluation.calibration_error(LABELS, PROBABILITIES, weights=np.zeros(len(LABELS))), "not all 0"),
        (lambda: evaluation.calibration_error(LABELS, PROBABILITIES, weights=np.ones(3)), "weights have shape"),
        (lambda: evaluation.threshold_for(LABELS, PROBABILITIES, recall="0.9"), "recall is '0.9'"),
    ],
)
def test_what_is_no_number_is_named(use: Any, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        use()


def test_the_interval_of_precision_covers() -> None:
    """Of 400 draws with recall 0.9 and false alarms 0.03, the interval holds the true precision in about 95 %."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [200, 60])
    true = 0.05 * 0.9 / (0.05 * 0.9 + 0.95 * 0.03)
    held = 0
    for _ in range(400):
        alarm = rng.random(260) < np.where(labels == 1, 0.9, 0.03)
        row = evaluation.precision_at(labels, alarm.astype(float), 0.05).iloc[0]
        held += row["low"] <= true <= row["high"]
    assert 0.92 < held / 400 < 0.99


# --- thresholds -----------------------------------------------------------------------------------------------------


def test_the_threshold_by_cost() -> None:
    assert evaluation.threshold_by_cost(20) == pytest.approx(1 / 21)
    assert evaluation.threshold_by_cost(3, 1) == evaluation.threshold_by_cost(6, 2) == 0.25
    # Odds 1 to 20, times 99 from a wall of one in a hundred back to even shares.
    assert evaluation.threshold_by_cost(20, learnt=0.5, actual=0.01) == pytest.approx((99 / 20) / (1 + 99 / 20))
    assert evaluation.threshold_by_cost(20, learnt=0.3, actual=0.3) == pytest.approx(1 / 21)


def test_the_formulas_threshold_is_the_cheapest_for_right_probabilities() -> None:
    labels, logits = drawn()
    curve = evaluation.cost_curve(labels, expit(logits), cost_of_missing=4)
    at_formula = curve.iloc[(curve["threshold"] - 0.2).abs().argmin()]
    assert at_formula["cost"] <= 1.01 * curve["cost"].min()
    assert curve.loc[curve["cost"].idxmin(), "threshold"] == pytest.approx(0.2, abs=0.05)
    # The same pictures on a wall: those with a crack weigh less, and the threshold rises as the formula says.
    wall = evaluation.cost_curve(labels, expit(logits), cost_of_missing=4, prevalence=0.1)
    formula = evaluation.threshold_by_cost(4, learnt=labels.mean(), actual=0.1)
    assert formula > 0.5
    assert wall.loc[wall["cost"].idxmin(), "threshold"] == pytest.approx(formula, abs=0.08)


def test_the_cost_curve_by_hand() -> None:
    curve = evaluation.cost_curve(LABELS, PROBABILITIES, cost_of_missing=20, cost_of_alarm=2).set_index("threshold")
    assert curve.index[0] == np.inf and curve.index[1:].tolist() == sorted(PROBABILITIES, reverse=True)
    assert curve.loc[0.5].tolist() == pytest.approx([5 / 6, 3 / 4, (20 * 1 + 2 * 1) / 10])
    assert curve.iloc[0].tolist() == pytest.approx([0, 1, 20 * 0.6])
    rare = evaluation.cost_curve(LABELS, PROBABILITIES, cost_of_missing=20, prevalence=0.1).set_index("threshold")
    assert rare.loc[0.5, "cost"] == pytest.approx(20 * 0.1 / 6 + 0.9 / 4)


def test_the_threshold_for_a_duty() -> None:
    def threshold(**wanted: float) -> float:
        return evaluation.threshold_for(LABELS, PROBABILITIES, **wanted)

    assert threshold(recall=1) == 0.3 and threshold(recall=5 / 6) == 0.5 and threshold(recall=0.01) == 0.95
    assert threshold(specificity=0.25) == pytest.approx(0.2) and threshold(specificity=0.75) == 0.5
    assert 0.9 < threshold(specificity=1) <= 0.95
    assert evaluation.threshold_for([0, 1], np.array([0.9, 0.1]), specificity=1) == np.nextafter(0.9, 1)
    ten = np.append(np.arange(10) / 10, 0.95)  # 1 - 9 / 10 is a little less than 0.1, and yet a tenth is kept quiet
    assert evaluation.threshold_for([0] * 10 + [1], ten, specificity=0.1) == 0.1
    with pytest.raises(CrackvizError, match="can't be reached"):
        evaluation.threshold_for([0, 1], np.array([1.0, 0.1]), specificity=1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluation.threshold_by_cost(0), "cost_of_missing is 0; expected a number above 0"),
        (lambda: evaluation.threshold_by_cost(1, np.inf), "cost_of_alarm is inf"),
        (lambda: evaluation.threshold_by_cost(1, learnt=0.5), "both shares, or neither"),
        (lambda: evaluation.threshold_by_cost(1, learnt=0.5, actual=1), "learnt is 1|actual is 1"),
        (lambda: evaluation.cost_curve(LABELS, PROBABILITIES, cost_of_missing=-1), "cost_of_missing is -1"),
        (lambda: evaluation.cost_curve(LABELS, PROBABILITIES, cost_of_missing=1, prevalence=1), "prevalence is 1"),
        (lambda: evaluation.cost_curve([1, 1], np.array([0.1, 0.2]), cost_of_missing=1), "expected both 0 and 1"),
        (lambda: evaluation.cost_curve([0, 1], np.full((2, 3), 1 / 3), cost_of_missing=1), "for two classes"),
        (lambda: evaluation.threshold_for(LABELS, PROBABILITIES), "one of the two"),
        (lambda: evaluation.threshold_for(LABELS, PROBABILITIES, recall=0.5, specificity=0.5), "one of the two"),
        (lambda: evaluation.threshold_for(LABELS, PROBABILITIES, recall=95), "recall is 95"),
        (lambda: evaluation.threshold_for(LABELS, 10 * PROBABILITIES, recall=0.5), "Are they logits"),
        (lambda: evaluation.precision_at(LABELS, PROBABILITIES, [0.5, 0]), "prevalence is 0"),
        (
            lambda: evaluation.precision_at(LABELS, PROBABILITIES, 0.5, bootstrap=Bootstrap([1])),
            "1 groups for 10 pictures",
        ),
        (lambda: evaluation.precision_at(LABELS, PROBABILITIES, 0.5, threshold=2), "threshold is 2"),
    ],
)
def test_a_wrong_wish_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        call()


# --- two models -----------------------------------------------------------------------------------------------------


def test_mcnemar_by_hand() -> None:
    """10 both right, 1 only the first, 6 only the second, 3 both wrong; (1 + 7) throws of 2^7, two-sided."""
    labels = np.ones(20, int)
    first = np.repeat([1, 1, 0, 0], [10, 1, 6, 3])
    second = np.repeat([1, 0, 1, 0], [10, 1, 6, 3])
    result = evaluation.compare(labels, first, second)
    assert [result[key] for key in ("both_right", "only_first", "only_second", "both_wrong")] == [10, 1, 6, 3]
    assert result["p_value"] == pytest.approx(2 * (1 + 7) / 2**7)
    assert result["difference"]["value"] == pytest.approx(-5 / 20)
    assert result["difference"]["low"] < -0.25 < result["difference"]["high"] < 0
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    other = evaluation.compare(labels, second, first)
    assert other["p_value"] == result["p_value"] and other["difference"]["value"] == pytest.approx(0.25)
    only = evaluation.compare(labels[10:17], first[10:17] == 1, second[10:17] == 1)
    assert only["p_value"] == result["p_value"]


def test_equal_models_and_k_classes() -> None:
    same = evaluation.compare(LABELS, LABELS, LABELS, bootstrap=Bootstrap(resamples=0))
    assert same["p_value"] == 1 and same["difference"] == {"value": 0, "low": None, "high": None}
    three = evaluation.compare([0, 1, 2], [0, 1, 1], [0, 2, 2])
    assert (three["both_right"], three["only_first"], three["only_second"]) == (1, 1, 1)


def test_groups_widen_the_interval_of_a_difference() -> None:
    labels = np.ones(200, int)
    first, second = np.tile(np.repeat([1, 1, 0], [12, 5, 3]), 10), np.tile(np.repeat([1, 0, 1], [12, 5, 3]), 10)
    alone = evaluation.compare(labels, first, second)
    grouped = evaluation.compare(labels, first, second, bootstrap=Bootstrap(np.tile(np.arange(20), 10)))
    once = evaluation.compare(labels[:20], first[:20], second[:20])
    assert grouped["p_value"] == alone["p_value"] < 0.05
    assert grouped["difference"] == pytest.approx(once["difference"])
    assert grouped["difference"]["low"] < 0 < alone["difference"]["low"]
    assert (grouped["groups"], alone["groups"]) == (20, 200)
    assert evaluation.compare(labels, first, second, bootstrap=Bootstrap(seed=1))["difference"] != alone["difference"]
    narrow = evaluation.compare(labels, first, second, bootstrap=Bootstrap(confidence=0.5))["difference"]
    assert alone["difference"]["low"] < narrow["low"] < narrow["high"] < alone["difference"]["high"]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([0, 1], [0, 1], [0]), {}, "for the same pictures"),
        (([], [], []), {}, "N > 0"),
        (([0, 1], [0, 1], [0, 1]), {"bootstrap": Bootstrap([1])}, "1 groups for 2 pictures"),
        (([0, 1], [0, 1], [0.2, 0.7]), {}, "second holds .*0.2.*probabilities"),
        (([0, 1], ["a", "b"], [0, 1]), {}, "first holds .*'a'"),
    ],
)
def test_what_cannot_be_compared(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        evaluation.compare(*arguments, **options)
