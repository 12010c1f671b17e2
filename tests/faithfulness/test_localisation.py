"""Scores of maps against masks: planted truth, chance levels, rules for odd maps, bad input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics

from crackviz import CrackvizError, faithfulness

SIDE = 48


def lines(count: int = 3, side: int = SIDE) -> np.ndarray:
    """A slanting crack of 2 px in each image."""
    masks = np.zeros((count, side, side), bool)
    rows = np.arange(side)
    for n in range(count):
        for width in (0, 1):
            masks[n, rows, (8 + 10 * n + rows // 3 + width) % side] = True
    return masks


MASKS = lines()
SHARE = MASKS.mean()
PER_IMAGE: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pointing": faithfulness.pointing_game,
    "evidence": faithfulness.evidence_near,
    "precision": faithfulness.average_precision,
    "coverage": faithfulness.centreline_coverage,
    "f1": lambda maps, masks: np.array([faithfulness.best_f1(maps, masks).f1]),
    "iou": lambda maps, masks: np.array([faithfulness.best_f1(maps, masks).iou]),
    "precision_0": lambda maps, masks: faithfulness.tolerant_precision_recall(
        maps, masks, threshold=faithfulness.best_f1(maps, masks).threshold, tolerance=0
    )[0],
    "recall_0": lambda maps, masks: faithfulness.tolerant_precision_recall(maps, masks, threshold=0.5, tolerance=0)[1],
}


@pytest.mark.parametrize("score", PER_IMAGE)
def test_a_map_that_is_the_mask_is_at_the_best_value(score: str) -> None:
    assert PER_IMAGE[score](MASKS.astype(np.float32), MASKS) == pytest.approx(1.0)


@pytest.mark.parametrize("score", PER_IMAGE)
def test_its_complement_is_at_the_worst_value(score: str) -> None:
    found = PER_IMAGE[score]((~MASKS).astype(np.float32), MASKS)
    crack, sound = int(MASKS[0].sum()), int((~MASKS[0]).sum())
    ranks = np.arange(1, crack + 1)
    worst = {  # all crack pixels come last; the threshold may still call everything
        "precision": float((ranks / (sound + ranks)).mean()),
        "f1": 2 * SHARE / (1 + SHARE),
        "iou": SHARE,
        "precision_0": SHARE,
    }
    assert found == pytest.approx(worst.get(score, 0.0))


@pytest.mark.parametrize("distance", [0, 2, 4, 8])
def test_tolerances_on_the_mask_grown_and_on_its_complement(distance: int) -> None:
    near = faithfulness.truth(MASKS).distance <= distance
    assert faithfulness.evidence_near(near.astype(float), MASKS, distance=distance) == pytest.approx(1)
    assert not faithfulness.evidence_near((~near).astype(float), MASKS, distance=distance).any()
    assert not faithfulness.pointing_game((~near).astype(float), MASKS, tolerance=distance).any()
    if distance:
        assert (faithfulness.evidence_near(near.astype(float), MASKS, distance=distance - 1) < 1).all()


def test_noise_scores_at_the_stated_chance_levels() -> None:
    rng = np.random.default_rng(0)
    frames = [faithfulness.localisation_scores(rng.random(MASKS.shape), MASKS)[0].mean() for _ in range(60)]
    pooled = [faithfulness.best_f1(rng.random(MASKS.shape), MASKS) for _ in range(60)]
    found = {name: np.array([frame[name] for frame in frames]) for name in frames[0].index}
    found |= {"f1": np.array([one.f1 for one in pooled]), "iou": np.array([one.iou for one in pooled])}
    levels = faithfulness.chance_levels(MASKS)
    assert set(levels) == set(found) - {"recall_2px"}
    assert levels["average_precision"] == pytest.approx(
        faithfulness.average_precision(np.ones(MASKS.shape), MASKS).mean(), rel=1e-12
    )
    for name, level in levels.items():
        # One draw's standard error; the best of many thresholds, or of ranks, lies a little above the level by nature.
        error = found[name].std(ddof=1)
        assert abs(found[name].mean() - level) < 3 * error, name
        if name.startswith(("pointing", "evidence", "average")):  # these are unbiased: so the mean's error holds, too
            assert abs(found[name].mean() - level) < 3 * error / np.sqrt(60), name


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.float64, (1, 7, 7), elements=st.floats(-1, 1, width=32)), st.integers(0, 2**32))
def test_average_precision_is_the_mean_over_random_orders_of_ties(maps: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random(maps.shape) < 0.3
    mask[:, 0, 0] = True
    maps = maps.round(1)  # ties
    order = np.argsort(-(maps.ravel() + 1e-6 * rng.random((1000, 49))), axis=1)
    found = mask.ravel()[order]
    precision = found.cumsum(axis=1) / np.arange(1, 50)
    draws = (precision * found).sum(axis=1) / mask.sum()
    error = draws.std() / np.sqrt(1000)
    assert abs(faithfulness.average_precision(maps, mask)[0] - draws.mean()) <= 5 * error + 1e-9


def test_average_precision_agrees_with_scikit_learn_without_ties() -> None:
    maps = np.random.default_rng(1).normal(size=MASKS.shape)
    expected = [metrics.average_precision_score(m.ravel(), v.ravel()) for m, v in zip(MASKS, maps, strict=True)]
    assert faithfulness.average_precision(maps, MASKS) == pytest.approx(expected)


def test_best_f1_is_the_best_and_names_its_threshold() -> None:
    maps = np.random.default_rng(2).normal(size=MASKS.shape).round(1) + MASKS
    best = faithfulness.best_f1(maps, MASKS)
    every = [metrics.f1_score(MASKS.ravel(), (maps >= level).ravel()) for level in np.unique(maps)]
    assert best.f1 == pytest.approx(max(every))
    called = maps >= best.threshold
    assert metrics.f1_score(MASKS.ravel(), called.ravel()) == pytest.approx(best.f1)
    assert metrics.jaccard_score(MASKS.ravel(), called.ravel()) == pytest.approx(best.iou)
    assert metrics.precision_score(MASKS.ravel(), called.ravel()) == pytest.approx(best.precision)
    assert metrics.recall_score(MASKS.ravel(), called.ravel()) == pytest.approx(best.recall)


def test_by_hand() -> None:
    masks = np.zeros((1, 3, 5), bool)
    masks[0, 1, 1:4] = True
    maps = np.array([[[0, 0, 2, 0, 0], [1, 0, 1, 0, 0], [0, 0, 0, -5, 4.0]]])
    assert faithfulness.pointing_game(maps, masks) == 0
    assert faithfulness.pointing_game(maps, masks, tolerance=1.4) == 0
    assert faithfulness.pointing_game(maps, masks, tolerance=1.5) == 1
    assert faithfulness.evidence_near(maps, masks) == pytest.approx(1 / 8)
    assert faithfulness.evidence_near(maps, masks, distance=1) == pytest.approx(4 / 8)
    # The three highest are 4, 2, and one of the two ones: the line is (1, 1), (1, 2), (1, 3).
    assert faithfulness.centreline_coverage(maps, faithfulness.truth(masks, masks)) == pytest.approx(
        (0 + 1 / 2 + 0) / 3
    )
    # Within 1 px: the 2 covers the middle; the ones at (1, 0) and (1, 2) cover the left each, the second the right.
    found = faithfulness.centreline_coverage(maps, faithfulness.truth(masks, masks), tolerance=1)
    assert found == pytest.approx((1 + 1 + 1 / 2) / 3)
    precision, recall = faithfulness.tolerant_precision_recall(maps, masks, threshold=1, tolerance=1)
    assert precision == pytest.approx(3 / 4)
    assert recall == pytest.approx(1)
    assert faithfulness.tolerant_precision_recall(maps, masks, threshold=9)[0] == 0


# --- rules --------------------------------------------------------------------------------------------------------


def test_empty_masks_are_excluded_and_counted() -> None:
    masks = MASKS.copy()
    masks[1] = False
    maps = np.random.default_rng(3).random(masks.shape)
    maps[1, 0, 0] = 9  # would be a false alarm at any threshold
    frame, pooled = faithfulness.localisation_scores(maps, masks)
    assert frame.isna().all(axis=1).tolist() == [False, True, False]
    assert (pooled.images, pooled.excluded) == (2, 1)
    assert pooled[:5] == faithfulness.best_f1(maps[[0, 2]], masks[[0, 2]])[:5]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_a_constant_map_is_a_miss(value: float) -> None:
    maps = np.full(MASKS.shape, value)
    assert not faithfulness.pointing_game(maps, MASKS, tolerance=8).any()
    assert not faithfulness.centreline_coverage(maps, MASKS, tolerance=8).any()
    assert faithfulness.best_f1(maps, MASKS).f1 == pytest.approx(2 * SHARE / (1 + SHARE))
    assert faithfulness.average_precision(maps, MASKS) == pytest.approx(SHARE, rel=0.1)
    expected = MASKS.mean(axis=(1, 2)) if value > 0 else 0
    assert faithfulness.evidence_near(maps, MASKS) == pytest.approx(expected)


def test_a_map_without_a_positive_value_points_nowhere() -> None:
    maps = np.where(MASKS, -0.1, -1.0)
    assert not faithfulness.pointing_game(maps, MASKS).any()
    assert not faithfulness.evidence_near(maps, MASKS, distance=8).any()
    assert not faithfulness.centreline_coverage(maps, MASKS).any()
    assert faithfulness.average_precision(maps, MASKS) == pytest.approx(1)  # it ranks, though
    best = faithfulness.best_f1(maps, MASKS)
    assert best.f1 == pytest.approx(1)
    assert best.threshold == pytest.approx(-0.1)


def test_ties_count_by_expectation() -> None:
    maps = np.zeros(MASKS.shape)
    maps[0, 0, :] = maps[1, :, :2] = maps[2, 0, 0] = 1
    hits = faithfulness.pointing_game(maps, MASKS)
    assert hits == pytest.approx([MASKS[0, 0].mean(), MASKS[1, :, :2].mean(), float(MASKS[2, 0, 0])])
    area = int(MASKS[0].sum())
    wide = np.zeros((1, SIDE, SIDE))
    wide[0, : SIDE // 2] = 1  # more tied pixels than may be taken: each has the same chance
    known = faithfulness.truth(MASKS[:1])
    upper = known.lines[0, : SIDE // 2].sum() / known.lines[0].sum()
    assert faithfulness.centreline_coverage(wide, known) == pytest.approx(upper * area / (SIDE * SIDE // 2))
    rng = np.random.default_rng(4)
    drawn = [
        faithfulness.centreline_coverage(wide * (1 + 1e-3 * rng.random(wide.shape)), known, tolerance=2)[0]
        for _ in range(150)
    ]
    error = np.std(drawn) / np.sqrt(150)
    assert abs(np.mean(drawn) - faithfulness.centreline_coverage(wide, known, tolerance=2)[0]) < 4 * error


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 50), st.integers(0, 1000))
def test_a_map_s_unit_changes_no_score(factor: float, seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=MASKS.shape).round(2)
    frame, pooled = faithfulness.localisation_scores(maps, MASKS)
    other, scaled = faithfulness.localisation_scores(factor * maps, MASKS)
    assert other.to_numpy() == pytest.approx(frame.to_numpy())
    assert scaled.f1 == pytest.approx(pooled.f1)
    assert scaled.threshold == pytest.approx(factor * pooled.threshold)


def test_scores_rise_with_the_distance_and_known_lines_enter() -> None:
    maps = np.random.default_rng(5).random(MASKS.shape)
    shares = [faithfulness.evidence_near(maps, MASKS, distance=d) for d in (0, 2, 4, 8)]
    assert (np.diff(shares, axis=0) > 0).all()
    edge = MASKS & ~np.roll(MASKS, 1, axis=2)  # another centre line: the left one of the two columns
    known = faithfulness.truth(MASKS, edge)
    assert (known.lines == edge).all()
    assert (faithfulness.centreline_coverage(maps, known) != faithfulness.centreline_coverage(maps, MASKS)).any()


# --- bad input ----------------------------------------------------------------------------------------------------

GREYS = np.array([0, 12, 200, 255], np.uint8)[np.random.default_rng(0).integers(0, 4, MASKS.shape)]


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (MASKS.astype(np.uint8) * 255, r"uint8 with 2 values \(0, 255\); expected bool.*masks > 127"),
        (MASKS.astype(np.float32), r"float32 with 2 values \(0, 1\).*masks > 0.5"),
        (GREYS, r"4 values \(0, 12, 200, 255\).*greys.*masks > 127"),
        (MASKS[0], r"masks\[np.newaxis\]"),
        (MASKS[..., np.newaxis], r"expected \(N, H, W\)"),
        (np.zeros_like(MASKS), "None of the 3 masks shows a crack"),
    ],
)
def test_masks_that_are_none_are_refused(masks: np.ndarray, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        faithfulness.pointing_game(np.zeros(MASKS.shape), masks)


def test_a_threshold_makes_masks() -> None:
    assert (faithfulness.as_masks(GREYS, 127) == (GREYS > 127)).all()
    assert (faithfulness.as_masks(GREYS, 200) != faithfulness.as_masks(GREYS, 12)).any()
    with pytest.raises(CrackvizError, match="NaN"):
        faithfulness.as_masks(GREYS, np.nan)


def test_maps_that_do_not_fit_are_refused() -> None:
    for score in PER_IMAGE.values():
        with pytest.raises(CrackvizError, match=r"\(3, 12, 12\); expected \(3, 48, 48\)"):
            score(np.zeros((3, 12, 12)), MASKS)
        bad = np.zeros(MASKS.shape)
        bad[1, 0, 0] = np.nan
        with pytest.raises(CrackvizError, match=r"NaN or infinity \(number 1\)"):
            score(bad, MASKS)
        with pytest.raises(CrackvizError, match="Maps are <U1; expected numbers"):
            score(np.full(MASKS.shape, "a"), MASKS)
    maps = np.zeros(MASKS.shape)
    for call in (
        lambda: faithfulness.pointing_game(maps, MASKS, tolerance=-1),
        lambda: faithfulness.evidence_near(maps, MASKS, distance=np.nan),
        lambda: faithfulness.tolerant_precision_recall(maps, MASKS, threshold=np.nan),
        lambda: faithfulness.truth(MASKS, MASKS[:2]),
        lambda: faithfulness.truth(MASKS, np.zeros_like(MASKS)),
    ):
        with pytest.raises(CrackvizError, match="expected"):
            call()
