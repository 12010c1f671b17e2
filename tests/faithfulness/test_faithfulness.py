"""Scores that ask the network, fresh weights, the table of scores, and agreement with other packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, sparse
from scipy.sparse import linalg

from crackviz import CrackvizError, attribution, faithfulness, models, plots
from crackviz.bootstrap import Bootstrap
from crackviz.faithfulness import Options, imputation

SIDE = 32


def planted(seed: int = 0, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Noise with a dark column of 2 px at a random place; the last picture has none."""
    rng = np.random.default_rng(seed)
    images = (0.7 + 0.03 * rng.normal(size=(count, SIDE, SIDE, 1))).repeat(3, axis=-1).clip(0, 1).astype(np.float32)
    masks = np.zeros((count, SIDE, SIDE), bool)
    for n in range(count - 1):
        left = int(rng.integers(4, SIDE - 6))
        masks[n, :, left : left + 2] = True
        images[n, :, left : left + 2] = 0.1
    return images, masks


IMAGES, MASKS = planted()


def darkness_network(side: int | None = SIDE, gain: float = 200.0) -> keras.Model:
    """A network whose logit is known: gain x the mean darkness below 0.5, less 5."""
    x = inputs = keras.Input((side, side, 3))
    x = keras.layers.Conv2D(1, 1, activation="relu", name="dark")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(1, name="logit")(x)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(x))
    model.set_weights([np.full((1, 1, 3, 1), -1 / 3), np.array([0.5]), np.array([[gain]]), np.array([-5.0])])
    return model


MODEL = darkness_network()


def logit(images: np.ndarray) -> np.ndarray:
    return 200 * np.maximum(0.5 - images.mean(axis=-1), 0).mean(axis=(1, 2)) - 5


# --- deletion and insertion ---------------------------------------------------------------------------------------


def test_the_curves_are_those_of_the_pictures_built_one_by_one() -> None:
    maps = np.random.default_rng(1).permutation(IMAGES[..., 0].size).reshape(MASKS.shape).astype(np.float32)
    for baseline in ("black", "mean", "blur", 0.3):
        curves = faithfulness.deletion_insertion(MODEL, IMAGES, maps, steps=5, baseline=baseline)
        base = attribution.baseline_images(IMAGES, baseline)
        assert curves.shares == pytest.approx(np.linspace(0, 1, 6), abs=1e-3)
        for step, share in enumerate(curves.shares):
            top = np.zeros(maps.shape, bool)
            for n, values in enumerate(maps):
                top[n] = values > np.sort(values.ravel())[::-1][min(round(share * 1024), 1023)]
                if share == 1:
                    top[n] = True
            without = np.where(top[..., None], base, IMAGES)
            within = np.where(top[..., None], IMAGES, base)
            assert curves.deletion[:, step] == pytest.approx(logit(without), abs=1e-3)
            assert curves.insertion[:, step] == pytest.approx(logit(within), abs=1e-3)
        assert curves.insertion_probability == pytest.approx(1 / (1 + np.exp(-curves.insertion)), abs=1e-5)


def test_the_truth_wins_and_its_complement_loses() -> None:
    pictures, masks = IMAGES[:-1], MASKS[:-1]
    rng = np.random.default_rng(0)
    areas = {}
    for name, maps in {"truth": masks, "against": ~masks, "random": rng.random(masks.shape)}.items():
        curves = faithfulness.deletion_insertion(MODEL, pictures, maps.astype(np.float32), steps=16, baseline="mean")
        areas[name] = [area.mean() for area in curves.areas("logit")]
    assert areas["truth"][0] < areas["random"][0] < areas["against"][0]
    assert areas["truth"][1] > areas["random"][1] > areas["against"][1]
    roads = {
        name: faithfulness.road(MODEL, pictures, m.astype(np.float32)).mean()
        for name, m in {"truth": masks, "against": ~masks, "random": rng.random(masks.shape)}.items()
    }
    assert roads["truth"] > 0.2
    assert roads["against"] < -0.2
    assert abs(roads["random"]) < 0.1


def test_arguments_change_the_answer() -> None:
    maps = np.random.default_rng(2).random(MASKS.shape).astype(np.float32)

    def area(**options: Any) -> np.ndarray:
        return np.stack(faithfulness.deletion_insertion(MODEL, IMAGES, maps, **options).areas())

    first = area(steps=4)
    assert np.array_equal(first, area(steps=4))
    for other in ({"baseline": "black"}, {"baseline": "inpaint"}, {"target": "no_crack"}, {"shares": [0, 0.1, 1]}):
        assert not np.allclose(first, area(**{"steps": 4, **other})), other
    flat = np.zeros_like(maps)  # equal values fall in random order, which the seed decides
    ties = [faithfulness.deletion_insertion(MODEL, IMAGES, flat, steps=4, seed=seed).deletion for seed in (0, 0, 1)]
    assert np.array_equal(ties[0], ties[1])
    assert not np.array_equal(ties[0], ties[2])
    both = [faithfulness.deletion_insertion(MODEL, IMAGES, maps, steps=4, target=t).deletion for t in ("crack", 0)]
    assert both[0] == pytest.approx(-both[1])


def test_a_softmax_has_its_probabilities() -> None:
    model = models.gap_cnn(SIDE, n_classes=3)
    maps = np.random.default_rng(2).random(MASKS.shape).astype(np.float32)
    curves = faithfulness.deletion_insertion(model, IMAGES, maps, target=2, steps=2)
    assert curves.deletion_probability[:, 0] == pytest.approx(model.predict(IMAGES, verbose=0)[:, 2], abs=1e-5)


@pytest.mark.slow
def test_any_number_of_images_and_any_size_gives_the_same() -> None:
    images, _ = planted(1, 20)
    maps = np.random.default_rng(3).random(images.shape[:3]).astype(np.float32)
    for baseline in ("blur", "inpaint"):
        many = faithfulness.deletion_insertion(MODEL, images, maps, steps=4, baseline=baseline)
        one = faithfulness.deletion_insertion(MODEL, images[17:18], maps[17:18], steps=4, baseline=baseline)
        assert many.deletion[17:18] == pytest.approx(one.deletion, abs=1e-4)
        free = faithfulness.deletion_insertion(darkness_network(None), images, maps, steps=4, baseline=baseline)
        assert free.insertion == pytest.approx(many.insertion, abs=1e-4)


# --- imputation ---------------------------------------------------------------------------------------------------


def solved(image: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Solve the equations of the linear imputation exactly."""
    count = int(gone.sum())
    if count in (0, gone.size):
        return image.copy() if not count else np.full_like(image, 0.5)
    number = np.full(gone.shape, -1)
    number[gone] = np.arange(count)
    rows, columns = np.nonzero(gone)
    diagonal, right = np.zeros(count), np.zeros((count, image.shape[-1]))
    entries: list[tuple[np.ndarray, np.ndarray, float]] = []
    for (down, across), weight in np.ndenumerate(imputation._STENCIL):
        y, x = rows + down - 1, columns + across - 1
        here = np.flatnonzero((y >= 0) & (y < gone.shape[0]) & (x >= 0) & (x < gone.shape[1]))
        diagonal[here] += weight
        other = number[y[here], x[here]]
        right[here[other < 0]] += weight * image[y[here], x[here]][other < 0]
        entries.append((here[other >= 0], other[other >= 0], float(weight)))
    which, others = (np.concatenate([entry[i] for entry in entries]) for i in (0, 1))
    weights = np.concatenate([np.full(len(entry[0]), -entry[2]) for entry in entries])
    matrix = sparse.csc_matrix((weights, (which, others)), (count, count)) + sparse.diags(diagonal, format="csc")
    result = image.copy()
    result[gone] = linalg.splu(matrix).solve(right).astype(np.float32)
    return result


def test_imputation_solves_the_equations() -> None:
    rng = np.random.default_rng(0)
    images = ndimage.gaussian_filter(rng.random((3, SIDE, SIDE, 3)), (0, 2, 2, 0)).astype(np.float32)
    missing = ndimage.gaussian_filter(rng.normal(size=(3, SIDE, SIDE)), (0, 2, 2)) > 0
    exact = np.stack([solved(*both) for both in zip(images, missing, strict=True)])
    assert np.array_equal(exact[~missing], images[~missing])
    weights = imputation._STENCIL[..., None]
    for picture, gone in zip(exact, missing, strict=True):
        around = ndimage.convolve(picture, weights, mode="constant")
        whole = ndimage.convolve(np.ones((SIDE, SIDE, 1)), weights, mode="constant")
        assert (around / whole)[gone] == pytest.approx(picture[gone], abs=1e-4)
    near = faithfulness.impute(images, missing)
    assert np.array_equal(near[~missing], images[~missing])
    assert np.sqrt(((near - exact)[missing] ** 2).mean()) < 0.15 * images.std()
    gone = np.ones((1, SIDE, SIDE), bool)
    assert faithfulness.impute(images[:1], gone) == pytest.approx(0.5)
    assert np.array_equal(faithfulness.impute(images[:1], ~gone), images[:1])
    with pytest.raises(CrackvizError, match="expected"):
        faithfulness.impute(images, missing.astype(float))


# --- drop, infidelity, sensitivity ----------------------------------------------------------------------------------


def test_average_drop_by_hand() -> None:
    pictures, masks = IMAGES[:2], MASKS[:2].astype(np.float32)
    whole = 1 / (1 + np.exp(-logit(pictures)))
    none = 1 / (1 + np.exp(5.0))
    drop, rise = faithfulness.average_drop(MODEL, pictures, np.zeros_like(masks), baseline=0.9)
    assert drop == pytest.approx((whole - none) / whole, abs=1e-4)
    assert not rise.any()
    drop, rise = faithfulness.average_drop(MODEL, pictures, np.ones_like(masks), baseline=0.9)
    assert drop == pytest.approx(0, abs=1e-6)
    drop, rise = faithfulness.average_drop(MODEL, pictures, masks - 0.5, baseline="black")  # the rest becomes black
    assert rise.all()
    assert not drop.any()


def test_infidelity_of_the_account_is_0_and_of_its_opposite_1() -> None:
    pictures = IMAGES[:-1]
    falls = faithfulness.measure_falls(MODEL, pictures, baseline=0.9)
    evidence = attribution.grad_cam(MODEL, pictures)  # of a linear network: what covering takes away, exactly
    assert faithfulness.infidelity(evidence, falls) == pytest.approx(0, abs=1e-5)
    assert faithfulness.infidelity(7 * evidence, falls) == pytest.approx(0, abs=1e-5)
    assert faithfulness.infidelity(-evidence, falls) == pytest.approx(1)
    d = falls.values.reshape(len(pictures), -1).astype(float)  # noqa: PD011  (no table of pandas)
    assert faithfulness.infidelity(np.ones_like(evidence), falls) == pytest.approx(
        1 - d.mean(axis=1) ** 2 / (d**2).mean(axis=1), abs=1e-6
    )
    sound = faithfulness.measure_falls(MODEL, IMAGES[-1:], baseline="mean")
    assert np.isnan(faithfulness.infidelity(evidence[:1], sound)).all()
    with pytest.raises(CrackvizError, match="squares"):
        faithfulness.infidelity(evidence[:, :20], falls)
    with pytest.raises(CrackvizError, match="expected"):
        faithfulness.infidelity(evidence[:2], falls)


def test_sensitivity_of_a_steady_map_is_0_and_of_noise_as_stated() -> None:
    steady = faithfulness.sensitivity_max(lambda model, x: np.ones(x.shape[:3]), MODEL, IMAGES, n_samples=2)
    assert not steady.any()
    noisy = faithfulness.sensitivity_max(attribution.random, MODEL, IMAGES, n_samples=1)
    assert noisy == pytest.approx(np.sqrt(1 / 2), abs=0.05)
    assert np.isnan(faithfulness.sensitivity_max(lambda model, x: np.zeros(x.shape[:3]), MODEL, IMAGES)).all()
    small, large = (
        faithfulness.sensitivity_max(attribution.grad_cam, MODEL, IMAGES[:2], radius=r).mean() for r in (0.01, 0.1)
    )
    assert small < large


# --- fresh weights ------------------------------------------------------------------------------------------------


def seeded_network() -> keras.Model:
    init = keras.initializers.HeUniform(seed=3)  # as the package's own networks: a fixed seed
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Rescaling(2.0, -1)(x)
    x = keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=init, use_bias=False, name="conv1")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu1")(x)
    x = keras.layers.SeparableConv2D(6, 3, padding="same", activation="relu", name="conv2")(x)
    x = keras.layers.GlobalAveragePooling2D(name="gap")(x)
    x = keras.layers.Dense(1, name="logit")(x)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid", name="probability")(x))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(np.float32) for w in model.get_weights()])
    return model


def test_fresh_weights_are_fresh_and_the_given_network_stays() -> None:
    model = seeded_network()
    before = [w.copy() for w in model.get_weights()]
    fresh, again, other = (faithfulness.randomise(model, seed=seed) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(fresh.get_weights(), again.get_weights(), strict=True))
    paths = ["/".join(w.path.split("/")[-2:]) for w in model.weights]
    drawn = dict(zip(paths, zip(before, fresh.get_weights(), other.get_weights(), strict=True), strict=True))
    for path, (old, new, another) in drawn.items():
        assert not np.allclose(old, new), path
        assert path.endswith("kernel") == (not np.array_equal(new, another)), path
    assert not drawn["norm/moving_mean"][1].any()
    assert (drawn["norm/moving_variance"][1] == 1).all()
    start = keras.models.clone_model(model).get_layer("conv1").get_weights()[0]
    assert not np.array_equal(drawn["conv1/kernel"][1], start)  # not the draw that the network began with
    limit = np.sqrt(6 / 27)  # HeUniform
    assert np.abs(drawn["conv1/kernel"][1]).max() <= limit
    assert np.abs(drawn["conv1/kernel"][1]).max() > 0.8 * limit


def test_chosen_layers_only() -> None:
    model = seeded_network()
    fresh = faithfulness.randomise(model, layers=["conv2"], seed=5)
    changed = {
        layer.name
        for layer, old in zip(fresh.layers, model.layers, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(layer.get_weights(), old.get_weights(), strict=True))
    }
    assert changed == {"conv2"}
    whole = faithfulness.randomise(model, seed=5).get_layer("conv2").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(fresh.get_layer("conv2").get_weights(), whole, strict=True))
    with pytest.raises(CrackvizError, match="no layer 'relu1' with weights"):
        faithfulness.randomise(model, layers=["relu1"])


def test_a_layer_whose_copy_has_another_name_is_drawn_anew() -> None:
    @keras.saving.register_keras_serializable()
    class Doubled(keras.layers.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.inner = keras.layers.Dense(8)

        def call(self, x: Any) -> Any:
            return 2 * self.inner(x)

        def get_config(self) -> dict[str, Any]:
            return {}  # people forget the name

    stack = [keras.layers.Conv2D(4, 3), Doubled(), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((32, 32, 3)), *stack])
    fresh = faithfulness.randomise(model, seed=1)
    old, new = (one.layers[1].inner.kernel.numpy() for one in (model, fresh))
    assert old.shape == new.shape and not np.isclose(old, new).any()
    only = faithfulness.randomise(model, layers=[model.layers[1].name], seed=1)
    np.testing.assert_array_equal(only.layers[1].inner.kernel.numpy(), new)
    np.testing.assert_array_equal(only.layers[0].kernel.numpy(), model.layers[0].kernel.numpy())


def test_the_randomisation_test_cascades_or_does_not() -> None:
    model = seeded_network()
    seen: list[list[np.ndarray]] = []

    def spy(network: keras.Model, images: np.ndarray) -> np.ndarray:
        seen.append(network.get_weights())
        return attribution.gradient(network, images)

    counts = {}
    for mode in ("cascading", "independent"):
        seen.clear()
        table = faithfulness.randomisation_test(model, IMAGES[:2], {"spy": spy}, mode=mode, draws=1)
        assert table["layer"].tolist() == ["trained", "logit", "conv2", "norm", "conv1"]
        first = model.get_weights()
        counts[mode] = [sum(not np.array_equal(a, b) for a, b in zip(first, w, strict=True)) for w in seen]
        assert (table.loc[table["step"] == 0, ["rank", "rank_abs", "ssim", "ssim_abs"]] == 1).all(axis=None)
    assert counts["cascading"] == [0, 2, 5, 9, 10]
    assert counts["independent"] == [0, 2, 3, 4, 1]


def test_the_verdict_on_methods_that_do_and_do_not_read_the_weights() -> None:
    table = faithfulness.randomisation_test(
        MODEL, IMAGES, {"grad_cam": attribution.grad_cam, "edges": attribution.edges}, draws=4
    )
    found = faithfulness.verdict(table)
    assert not found.loc["edges", "passes"]
    assert found.loc["edges", "kept"] == pytest.approx(1)
    assert found.loc["grad_cam", "passes"]
    for bad in ({"mode": "sideways"}, {"draws": 0}):
        with pytest.raises(CrackvizError, match="expected"):
            faithfulness.randomisation_test(MODEL, IMAGES, {"edges": attribution.edges}, **bad)


def test_the_verdict_is_given_in_the_middle_of_the_network_by_the_least_of_the_draws() -> None:
    steps, layers = [0, 1, 2, 3, 4] * 2, ["trained", "logit", "conv3", "conv2", "conv1"] * 2
    ranks = [1, 0.9, 0.8, 0.1, 0.2, 1, 0.9, 0.6, 0.9, 0.4]
    rises = [0, 0, 0, 0, 1.0, 0, 0, 0, 0, 2.0]
    test = pd.DataFrame({"method": "a", "step": steps, "layer": layers, "rank": ranks, "rise": rises})
    found = faithfulness.verdict(test).loc["a"]
    assert found.to_dict() == {"kept": 0.6, "layer": "conv3", "passes": False, "rise": 1.5}
    test.loc[2, "rank"] = 0.4
    assert faithfulness.verdict(test).loc["a", "passes"]


def test_a_weight_without_an_initializer_is_refused() -> None:
    class Odd(keras.layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(1,), name="scale")

        def call(self, x: Any) -> Any:
            return x * self.scale

    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(Odd(name="odd")(x)))
    with pytest.raises(CrackvizError, match=r"'odd'.*without an initializer"):
        faithfulness.randomise(keras.Model(inputs, x))


def test_likeness_of_maps() -> None:
    maps = np.random.default_rng(0).normal(size=(3, SIDE, SIDE))
    for like in (faithfulness.rank_correlation, faithfulness.similarity):
        assert like(maps, 5 * maps) == pytest.approx(1)
        assert (like(maps, -maps) < 0.6).all()
        assert like(maps, -maps, signed=False) == pytest.approx(1)
        assert not like(maps, np.zeros_like(maps)).any()
        assert (np.abs(like(maps, maps[::-1])[[0, 2]]) < 0.2).all()
    assert faithfulness.rank_correlation(maps, -maps) == pytest.approx(-1)
    assert faithfulness.rank_correlation(maps, maps**3) == pytest.approx(1)
    scales = np.array([1, 1e-3, 50]).reshape(3, 1, 1)  # each map by its own largest value
    np.testing.assert_allclose(faithfulness.similarity(scales * maps, maps**3), faithfulness.similarity(maps, maps**3))
    assert (faithfulness.similarity(maps, maps**3) < 0.99).all()
    with pytest.raises(CrackvizError, match="7 x 7"):
        faithfulness.similarity(maps[:, :5], maps[:, :5])


# --- the table ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> Any:
    mine = {"truth": MASKS.astype(np.float32), "grad_cam": attribution.METHODS["grad_cam"]}
    return faithfulness.score_methods(
        MODEL,
        IMAGES,
        MASKS,
        methods=mine,
        untrained=["grad_cam"],
        options=Options(perturbed=2, steps=4),
        bootstrap=Bootstrap(resamples=50),
    )


def test_the_table_has_every_row_and_score(table: Any) -> None:
    rows = [("trained", "truth"), ("trained", "grad_cam"), ("untrained", "grad_cam")]
    assert list(table.index) == rows + [("none", name) for name in ("random", "darkness", "local_darkness", "edges")]
    assert set(table.columns.get_level_values(0)) == set(faithfulness.SCORES) - {"sensitivity"}
    assert (table.attrs["images"], table.attrs["excluded"], table.attrs["perturbed"]) == (5, 1, 2)
    values = table.xs("value", axis=1, level=1)
    truth = values.loc["trained", "truth"]
    assert truth[["pointing", "evidence_0px", "average_precision", "f1", "iou", "coverage_1px"]].to_numpy() == (
        pytest.approx(1)
    )
    assert values.loc[("trained", "grad_cam"), "completeness"] == pytest.approx(0, abs=1e-4)
    assert values["completeness"].isna().sum() == 6
    frame, pooled = faithfulness.localisation_scores(attribution.edges(MODEL, IMAGES), MASKS)
    assert values.loc[("none", "edges"), "evidence_4px"] == pytest.approx(frame["evidence_4px"].mean())
    assert values.loc[("none", "edges"), "f1"] == pytest.approx(pooled.f1, rel=1e-6)
    assert table.attrs["thresholds"]["none/edges"] == pytest.approx(pooled.threshold)
    assert table["evidence_4px", "beats"].loc["none"].isna().all()
    assert table.loc[("trained", "truth"), ("evidence_0px", "beats")] == 1
    for score in values:
        low, high = table[score, "low"], table[score, "high"]
        inside = (low <= values[score] + 1e-9) & (values[score] <= high + 1e-9)
        assert (inside | values[score].isna()).all(), score


def test_the_table_can_be_drawn(table: Any) -> None:
    display = plots.MethodScoresDisplay.from_table(table, scores=["evidence_4px", "deletion"])
    assert [axis.get_title().split("\n")[1] for axis in display.ax_.flat] == ["higher is better", "lower is better"]
    labels = [text.get_text() for text in display.ax_.flat[0].get_yticklabels()]
    assert labels[0] == "truth"
    assert labels[-4:] != sorted(labels[-4:])  # by score, not by name
    with pytest.raises(CrackvizError, match="no score nonsense"):
        plots.MethodScoresDisplay.from_table(table, scores=["nonsense"])


def test_the_tests_can_be_drawn() -> None:
    maps = {"truth": MASKS.astype(np.float32), "flat": np.zeros(MASKS.shape, np.float32)}
    curves = {name: faithfulness.deletion_insertion(MODEL, IMAGES, m, steps=4) for name, m in maps.items()}
    for unit, ending in (("probability", "_probability"), ("logit", "")):
        display = plots.PerturbationCurvesDisplay.from_curves(curves, unit=unit)
        shown = display.ax_.flat[0].lines[0]
        assert shown.get_ydata() == pytest.approx(getattr(curves["truth"], "deletion" + ending).mean(axis=0))
        assert shown.get_xdata() == pytest.approx(100 * curves["truth"].shares)
    test = faithfulness.randomisation_test(MODEL, IMAGES[:2], {"edges": attribution.edges}, draws=1)
    display = plots.RandomisationDisplay.from_test(test, column="ssim")
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["trained", "logit", "dark"]
    assert display.ax_.get_ylabel().startswith("SSIM")
    with pytest.raises(CrackvizError, match="expected one of rank"):
        plots.RandomisationDisplay.from_test(test, column="beauty")
    with pytest.raises(CrackvizError, match="unit is 'percent'; expected one of probability, logit"):
        plots.PerturbationCurvesDisplay.from_curves(curves, unit="percent")


def test_without_masks_all_images_count_and_masked_scores_are_left_out() -> None:
    found = faithfulness.score_methods(
        MODEL, IMAGES, methods=["grad_cam"], scores=["infidelity"], untrained=False, bootstrap=Bootstrap(resamples=0)
    )
    assert found.attrs["images"] == len(IMAGES)
    assert list(found.columns.get_level_values(0).unique()) == ["infidelity"]
    assert found["infidelity", "low"].isna().all()
    with pytest.raises(CrackvizError, match="'f1' needs masks"):
        faithfulness.score_methods(MODEL, IMAGES, scores=["f1"])


def test_slopes_are_scored_by_their_size_and_groups_widen_intervals() -> None:
    options: dict[str, Any] = {"scores": ["evidence_0px"], "untrained": False, "options": Options(baselines=False)}
    slope = attribution.gradient(MODEL, IMAGES)  # negative on the crack: brighter is less cracked
    by_name = faithfulness.score_methods(MODEL, IMAGES, MASKS, methods={"gradient": slope}, **options)
    given = faithfulness.score_methods(MODEL, IMAGES, MASKS, methods={"mine": slope}, **options)
    assert by_name["evidence_0px", "value"].iloc[0] == pytest.approx(1)
    assert given["evidence_0px", "value"].iloc[0] == 0
    edges = {"mine": attribution.edges(MODEL, IMAGES)}
    alone, together = (
        faithfulness.score_methods(MODEL, IMAGES, MASKS, methods=edges, bootstrap=Bootstrap(groups), **options)[
            "evidence_0px"
        ]
        for groups in (None, [0] * 6)
    )
    assert (alone["high"] > alone["low"]).all()
    assert together["value"].to_numpy() == pytest.approx(alone["value"].to_numpy(), rel=1e-6)
    assert together[["low", "high", "beats"]].isna().all(axis=None)  # one group: nothing to draw


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": MASKS[:, :16]}, "expected one mask of the image's size"),
        ({"masks": MASKS.astype(np.uint8) * 255}, "Give a threshold"),
        ({"masks": np.zeros_like(MASKS)}, "None of the 6 masks"),
        ({"methods": ["grad_kam"]}, r"method is 'grad_kam'; expected one of .* Did you mean grad_cam\?"),
        ({"methods": "grad_cam"}, "expected a list"),
        ({"scores": ["beauty"]}, "score is 'beauty'; expected one of pointing, "),
        ({"options": Options({"rise": {}})}, "options for 'rise'"),
        ({"untrained": ["rise"]}, "untrained names 'rise'"),
        ({"bootstrap": Bootstrap([1, 2])}, "2 groups for 6 pictures"),
        ({"methods": {"mine": np.full(MASKS.shape, np.nan)}}, "Maps of trained/mine hold NaN"),
        ({"methods": {"mine": np.zeros((6, 4, 4))}}, r"Maps of trained/mine have shape \(5, 4, 4\)"),
        ({"methods": ["guided_backprop"], "model": "linear"}, "trained/guided_backprop.*no ReLU"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    given = {"masks": MASKS, "methods": ["grad_cam"], "scores": ["evidence_0px"], "untrained": False, **change}
    model = MODEL
    if given.pop("model", None):
        x = keras.Input((SIDE, SIDE, 3))
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(1, 1)(x))
        model = keras.Model(x, keras.layers.Dense(1)(pooled))
    with pytest.raises(CrackvizError, match=message):
        faithfulness.score_methods(model, IMAGES, **given)


def test_options_that_are_none() -> None:
    for wrong in (0, True, 1.5):
        with pytest.raises(CrackvizError, match=f"perturbed is {wrong}; expected a whole number from 1 on"):
            Options(perturbed=wrong)  # type: ignore[arg-type]


def test_a_threshold_takes_greys() -> None:
    options: dict[str, Any] = {"methods": ["grad_cam"], "scores": ["evidence_0px"], "untrained": False}
    grey = MASKS.astype(np.uint8) * 200
    found = faithfulness.score_methods(MODEL, IMAGES, faithfulness.as_masks(grey, 127), **options)
    assert found.equals(faithfulness.score_methods(MODEL, IMAGES, MASKS, **options))


# --- other packages -----------------------------------------------------------------------------------------------

REFERENCE = json.loads((Path(__file__).parent / "reference_scores.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def reference_arrays() -> tuple[keras.Model, np.ndarray, np.ndarray, np.ndarray]:
    """Return a network, images, maps and masks: those on which the other packages were run."""
    rng = np.random.default_rng(2026)
    maps = ndimage.gaussian_filter(rng.normal(size=(4, 32, 32)), (0, 2, 2)).astype(np.float32)
    masks = np.zeros((4, 32, 32), bool)
    for n in range(4):
        masks[n, np.arange(32), (8 + 4 * n + np.arange(32) // 4) % 32] = True
    maps[:2] += 0.3 * masks[:2]
    texture = ndimage.gaussian_filter(rng.normal(size=(4, 32, 32, 3)), (0, 1, 1, 0))
    images = np.clip(0.6 + 0.15 * texture - 0.4 * masks[..., None], 0, 1).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 4)).astype(np.float32)
    weights = (40 * rng.normal(size=(4, 1))).astype(np.float32) / 8
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, activation="relu")(x)
    x = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(x))
    model.set_weights([kernel, weights, np.array(REFERENCE["bias"], np.float32)])
    assert model.predict(images, verbose=0)[:, 0] == pytest.approx(REFERENCE["probability"], abs=1e-4)
    return model, images, maps, masks


def test_as_quantus_says(reference_arrays: Any) -> None:
    _, _, maps, masks = reference_arrays
    assert faithfulness.pointing_game(maps, masks).tolist() == [float(hit) for hit in REFERENCE["pointing"]]
    assert faithfulness.evidence_near(maps, masks) == pytest.approx(REFERENCE["localisation"], abs=1e-5)


def test_as_xplique_says(reference_arrays: Any) -> None:
    model, images, maps, _ = reference_arrays
    curves = faithfulness.deletion_insertion(model, images, maps, steps=16, baseline="black")
    down, up = curves.areas()
    assert down == pytest.approx(REFERENCE["deletion"], abs=1e-5)
    assert up == pytest.approx(REFERENCE["insertion"], abs=1e-5)


def test_as_pytorch_grad_cam_says(reference_arrays: Any) -> None:
    model, images, maps, _ = reference_arrays
    missing = maps > np.quantile(maps, 0.6)
    filled = [solved(*both)[both[1]] for both in zip(images, missing, strict=True)]
    means = [values.mean() for values in filled]
    squares = [(values.astype(float) ** 2).sum() for values in filled]
    assert means == pytest.approx(REFERENCE["imputed mean of missing"], abs=1e-5)
    assert squares == pytest.approx(REFERENCE["imputed squares"], rel=1e-5)
    # Theirs removes below a percentile and solves exactly, and the noise is another.
    assert faithfulness.road(model, images, maps) == pytest.approx(REFERENCE["road"], abs=0.05)
