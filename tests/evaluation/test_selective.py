"""Risk against coverage, and thresholds that keep a promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crackviz import CrackvizError
from crackviz.evaluation import conformal_threshold, risk_coverage, threshold_for


def test_risk_and_coverage_by_hand() -> None:
    curve = risk_coverage([1, 0, 0, 1, 0], [0.9, 0.1, 0.2, 0.2, 0.5])
    assert curve["doubt"].tolist() == [0.1, 0.2, 0.5, 0.9]
    assert curve["coverage"].tolist() == pytest.approx([0.2, 0.6, 0.8, 1.0])  # equal doubts are answered together
    assert curve["risk"].tolist() == pytest.approx([0, 1 / 3, 1 / 4, 2 / 5])


@given(arrays(bool, 20), arrays(float, 20, elements=st.floats(-5, 5)))
def test_with_all_answered_the_risk_is_the_mean_loss(wrong: np.ndarray, doubt: np.ndarray) -> None:
    curve = risk_coverage(wrong, doubt)
    assert curve["coverage"].iloc[-1] == 1
    assert curve["risk"].iloc[-1] == pytest.approx(wrong.mean())
    assert curve["coverage"].is_monotonic_increasing and curve["doubt"].is_unique
    for _, row in curve.iterrows():
        assert row["risk"] == pytest.approx(wrong[doubt <= row["doubt"]].mean())


@pytest.mark.parametrize(
    ("losses", "doubt"), [([], []), ([1, 0], [1.0]), ([1, 0], [1.0, np.nan]), ([[1, 0]], [1.0, 2.0])]
)
def test_curves_of_nothing_or_of_what_does_not_fit_are_refused(losses: list[float], doubt: list[float]) -> None:
    with pytest.raises(CrackvizError, match="expected a finite number for every picture"):
        risk_coverage(losses, doubt)


def test_a_promise_by_hand() -> None:
    labels = np.r_[np.ones(9), np.zeros(3)]
    probabilities = np.r_[np.arange(1, 10) / 10, [0.05, 0.5, 0.95]]
    # nine cracks: (missed + 1) / 10 is at most 0.3 with two missed, so the third one up is found
    assert conformal_threshold(labels, probabilities, 0.7) == pytest.approx(0.3)
    assert conformal_threshold(labels, probabilities, 0.9) == pytest.approx(0.1)  # none may be missed
    with pytest.raises(CrackvizError, match=r"9 walls or groups; a recall of 0\.95 can be promised from 19 on"):
        conformal_threshold(labels, probabilities, 0.95)


def test_a_wall_counts_once_however_many_pictures_it_has() -> None:
    labels = np.ones(8, int)
    probabilities = np.array([0.1, 0.2, 0.3, 0.4, 0.9, 0.9, 0.9, 0.9])
    walls = ["a"] * 4 + ["b", "c", "d", "e"]
    # five walls: (missed + 1) / 6 at most 0.25 leaves half a wall: two of the four pictures of a
    assert conformal_threshold(labels, probabilities, 0.75, walls) == pytest.approx(0.3)
    assert conformal_threshold(labels, probabilities, 0.75) == pytest.approx(0.2)


def test_on_walls_like_these_the_promise_is_kept_on_average_and_the_plain_threshold_is_not() -> None:
    rng = np.random.default_rng(0)
    kept, plain = [], []
    for _ in range(4000):
        logits = rng.normal(1, 1, (10, 4)) + rng.normal(0, 2, (10, 1))  # the pictures of a wall are alike
        chance = 1 / (1 + np.exp(-logits))
        ours, next_one = chance[:9].ravel(), chance[9]
        labels = np.r_[np.ones(36), 0]
        limit = conformal_threshold(labels, np.r_[ours, 0.5], 0.8, [*np.repeat(np.arange(9), 4), 99])
        kept.append((next_one >= limit).mean())
        plain.append((next_one >= threshold_for(labels, np.r_[ours, 0.5], recall=0.8)).mean())
    assert 0.8 - 0.01 < np.mean(kept) < 0.8 + 2 / 10 + 0.01  # the theorem's two bounds, and three standard errors
    assert np.mean(plain) < 0.8 - 0.01 < np.mean(kept)


@given(arrays(float, 40, elements=st.floats(0, 1)), arrays(int, 40, elements=st.integers(0, 5)), st.floats(0.05, 0.8))
def test_it_is_the_highest_threshold_that_keeps_the_bound(
    probabilities: np.ndarray, walls: np.ndarray, recall: float
) -> None:
    labels = np.ones(40, int)
    names = np.unique(walls)

    def bound(threshold: float) -> float:
        missed = [np.mean(probabilities[walls == name] < threshold) for name in names]
        return (sum(missed) + 1) / (len(names) + 1)

    if 1 / (len(names) + 1) > 1 - recall + 1e-9:
        with pytest.raises(CrackvizError, match="can be promised from"):
            conformal_threshold(labels, probabilities, recall, walls)
        return
    chosen = conformal_threshold(labels, probabilities, recall, walls)
    assert bound(chosen) <= 1 - recall + 1e-6
    higher = probabilities[probabilities > chosen]
    assert not len(higher) or bound(higher.min()) > 1 - recall - 1e-6


def test_what_can_promise_nothing_is_refused() -> None:
    with pytest.raises(CrackvizError, match="cracks in 0 walls"):
        conformal_threshold([0, 0], np.array([0.2, 0.3]), 0.5)
    with pytest.raises(CrackvizError, match="recall"):
        conformal_threshold([1, 1], np.array([0.2, 0.3]), 1.0)
    with pytest.raises(CrackvizError, match="groups has 1"):
        conformal_threshold([1, 1], np.array([0.2, 0.3]), 0.5, ["a"])
    with pytest.raises(CrackvizError, match="for two classes"):
        conformal_threshold([0, 1], np.full((2, 3), 1 / 3), 0.5)
