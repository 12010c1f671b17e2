"""Scores against a known cause, on networks whose answers can be worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy import stats

from crackviz import CrackvizError
from crackviz import faithfulness as faith
from crackviz.bootstrap import Bootstrap

COUNT, SIDE = 24, 16


def dark_network() -> keras.Model:
    """Return a network whose logit is 10 times the mean darkness: 10 (1 - mean), the bias being 10."""
    inputs = keras.Input((SIDE, SIDE, 3))
    grey = keras.layers.Conv2D(1, 1, name="grey")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(grey)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="logit")(pooled))
    model.get_layer("grey").set_weights([np.full((1, 1, 3, 1), -1 / 3, "float32"), np.zeros(1, "float32")])
    model.get_layer("logit").set_weights([np.full((1, 1), 10, "float32"), np.full(1, 10, "float32")])
    return model


def objects() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return squares of several sizes, some darker and some lighter than the wall, and the wall without them."""
    rng = np.random.default_rng(0)
    without = np.full((COUNT, SIDE, SIDE, 3), 0.5, "float32")
    where = np.zeros((COUNT, SIDE, SIDE), bool)
    for n in range(COUNT):
        size = 2 + n % 5
        where[n, 3 : 3 + size, 4 : 4 + size] = True
    tone = rng.permutation(np.linspace(0.1, 0.9, COUNT)).astype("float32")
    images = np.where(where[..., None], tone[:, None, None, None], without)
    return images, without, where


def told(images: np.ndarray) -> np.ndarray:
    """Return the map that is the truth of `dark_network`: what each pixel adds to the wall's logit."""
    return 10 * (0.5 - images.mean(axis=-1)) / SIDE**2


def test_the_worth_is_the_change_of_the_logit() -> None:
    images, without, where = objects()
    model = dark_network()
    by_hand = 10 * ((0.5 - images.mean(axis=-1)) * where).sum(axis=(1, 2)) / SIDE**2
    assert np.allclose(faith.worth(model, images, without), by_hand, atol=1e-5)
    assert np.allclose(faith.worth(model, images, without, target="no_crack"), -by_hand, atol=1e-5)
    assert np.allclose(faith.worth(model, without, without), 0)


def test_evidence_is_summed_with_its_sign_inside_alone() -> None:
    maps = np.array([[[1.0, -2.0], [4.0, 8.0]], [[1.0, 1.0], [1.0, 1.0]]])
    where = np.array([[[True, True], [False, True]], [[False, False], [False, True]]])
    assert faith.evidence_inside(maps, where).tolist() == [7.0, 1.0]


def test_the_true_map_predicts_and_its_opposite_is_punished() -> None:
    images, without, where = objects()
    given = {"true": told(images), "opposite": -told(images), "constant": np.zeros(images.shape[:3])}
    table = faith.cause_scores(dark_network(), images, without, where, methods=given, untrained=False)
    value = table["known_cause", "value"]
    assert value["trained", "true"] == pytest.approx(1)
    assert value["trained", "opposite"] == pytest.approx(-1)
    assert value["trained", "constant"] == 0
    worth = faith.worth(dark_network(), images, without)
    assert np.allclose(table.attrs["worth"], worth)
    by_scipy = stats.spearmanr(where.sum(axis=(1, 2)), worth).statistic
    assert value["none", "area"] == pytest.approx(by_scipy)
    assert {"darkness", "local_darkness", "edges", "random", "area"} == set(value["none"].index)
    assert table.loc[("trained", "true"), ("known_cause", "beats")] >= 0
    assert np.isnan(table.loc[("none", "area"), ("known_cause", "beats")])


def test_fresh_weights_are_held_against_the_trained_networks_answers() -> None:
    images, without, where = objects()
    table = faith.cause_scores(
        dark_network(), images, without, where, methods=["grad_cam"], untrained=["grad_cam"], bootstrap=Bootstrap()
    )
    assert [key for key in table.index if key[0] == "untrained"] == [("untrained", "grad_cam")]
    assert len(table.attrs["worth"]) == table.attrs["objects"] == COUNT


def test_intervals_hold_the_value_and_come_of_whole_groups() -> None:
    images, without, where = objects()
    noisy = told(images) + np.random.default_rng(1).normal(0, 0.01, images.shape[:3])

    def table(bootstrap: Bootstrap) -> list[float]:
        found = faith.cause_scores(
            dark_network(), images, without, where, methods={"m": noisy}, untrained=False, bootstrap=bootstrap
        )
        return found.loc[("trained", "m"), "known_cause"].tolist()

    value, low, high, _ = table(Bootstrap(resamples=200))
    assert low < value < high
    again = table(Bootstrap(np.arange(COUNT) // 4, resamples=200))
    assert again[0] == value and again[1:3] != [low, high], "the groups change the interval, not the value"
    assert np.isnan(table(Bootstrap(np.arange(COUNT) // 12, resamples=200))[1]), "two groups have no interval"


def test_what_does_not_fit_is_refused() -> None:
    images, without, where = objects()
    model = dark_network()
    with pytest.raises(CrackvizError, match="pairs"):
        faith.worth(model, images, without[:-1])
    with pytest.raises(CrackvizError, match="needs 10"):
        faith.cause_scores(model, images[:9], without[:9], where[:9])
    empty = where.copy()
    empty[5] = False
    with pytest.raises(CrackvizError, match="object 5 is empty"):
        faith.cause_scores(model, images, without, empty)


def test_complexity_is_the_entropy_of_the_histogram() -> None:
    ramp = np.arange(16, dtype=float).reshape(1, 4, 4)
    assert faith.complexity(ramp, bins=16)[0] == pytest.approx(np.log(16))
    assert faith.complexity(ramp, bins=4)[0] == pytest.approx(np.log(4))
    halves = np.repeat([0.0, 5.0], 8).reshape(1, 4, 4)
    assert faith.complexity(halves)[0] == pytest.approx(np.log(2))
    assert faith.complexity(np.ones((1, 4, 4)))[0] == 0
    assert faith.complexity(-3 * ramp, bins=16) == pytest.approx(faith.complexity(ramp, bins=16))
    with pytest.raises(CrackvizError, match="bins"):
        faith.complexity(ramp, bins=1)


def test_the_rise_of_complexity_is_told_at_each_step() -> None:
    images = objects()[0]
    ramp = np.broadcast_to(np.arange(SIDE**2, dtype=float).reshape(SIDE, SIDE), images.shape[:3])
    two = np.where(ramp > 127, 1.0, 0.0)
    trained = dark_network()

    def turns(model: keras.Model, images: np.ndarray) -> np.ndarray:
        same = np.allclose(model.get_layer("logit").get_weights()[0], 10)
        return np.array(two if same else ramp)

    methods = {"turns": turns, "stays": lambda model, images: np.array(ramp), "flat": lambda m, images: 0 * ramp}
    test = faith.randomisation_test(trained, images, methods, draws=1)
    last = test[test["step"] == test["step"].max()].set_index("method")["rise"]
    assert last["turns"] == pytest.approx(faith.complexity(ramp[:1])[0] / np.log(2) - 1)
    assert last["stays"] == 0
    assert np.isnan(last["flat"])
    assert faith.verdict(test).loc["turns", "rise"] == last["turns"]
