"""Shortcuts: the share by hand, the rules for what is left out, pairs with and without a mark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from crackviz import CrackvizError, attribution, data, faithfulness, models, plots, synthetic, training
from crackviz.bootstrap import Bootstrap

SIDE = 12


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A map of zeros, a crack in column 2, a mark in column 9."""
    crack, mark = np.zeros((2, 1, SIDE, SIDE), bool)
    crack[0, :, 2], mark[0, :, 9] = True, True
    return np.zeros((1, SIDE, SIDE), np.float32), crack, mark


def share(maps: np.ndarray, crack: np.ndarray, mark: np.ndarray, **options: Any) -> dict[str, Any]:
    drawn = {name: options.pop(name) for name in ("groups", "resamples", "confidence", "seed") if name in options}
    return faithfulness.shortcut_share(maps, crack, mark, bootstrap=Bootstrap(**{"resamples": 0, **drawn}), **options)


# --- the share ----------------------------------------------------------------------------------------------------


def test_the_share_by_hand() -> None:
    maps, crack, mark = scene()
    maps[0, 0, 2] = 1  # on the crack
    maps[0, 1, 9] = 2  # on the mark
    maps[0, 2, 11] = 1  # 2 px from the mark
    maps[0, 3, 5] = 12  # 3 px from the crack, 4 from the mark: near neither
    maps[0, 4, 9] = -50  # the mark speaks against: no evidence for
    found = share(maps, crack, mark)
    assert found["pooled"]["value"] == found["mean"]["value"] == found["shares"][0] == 0.75
    assert found["elsewhere"] == 0.75
    assert found["chance"] == 0.5  # five columns around either
    assert (found["images"], found["groups"], set(found["excluded"].values())) == (1, 1, {0})
    assert share(maps, crack, mark, tolerance=1)["pooled"]["value"] == 2 / 3
    assert share(maps, crack, mark, tolerance=3)["pooled"]["value"] == 3 / 16
    # wide enough that the territories meet: columns 0-5 are nearer to the crack, 6-11 to the mark
    maps[0, 5, 6] = 8
    assert share(maps, crack, mark, tolerance=4)["pooled"]["value"] == 11 / 24


def test_what_is_equally_near_counts_by_halves() -> None:
    maps, crack, mark = scene()
    mark[:] = np.roll(crack, 2, axis=2)  # columns 2 and 4
    maps[0, 0, 3] = 1
    maps[0, 1, 2] = 3
    assert share(maps, crack, mark)["pooled"]["value"] == 0.5 / 4
    maps[0, 0, 3], mark[0, 0, 2] = 0, True  # a mark on the crack itself
    maps[0, 0, 2] = 1
    assert share(maps, crack, mark)["pooled"]["value"] == 0.5 / 4


def test_pooled_weighs_by_evidence_and_mean_does_not() -> None:
    maps, crack, mark = (np.repeat(part, 2, axis=0) for part in scene())
    maps[0, 0, 9] = 9
    maps[1, 0, 2] = 1
    found = share(maps, crack, mark)
    assert (found["pooled"]["value"], found["mean"]["value"]) == (0.9, 0.5)


def test_what_is_left_out_and_why() -> None:
    maps, crack, mark = (np.repeat(part, 6, axis=0) for part in scene())
    maps[:, 0, 2] = 1
    crack[0] = False
    mark[1] = False
    crack[2] = mark[2] = False
    maps[3] = 0
    maps[4] = -1
    maps[4, 0, 6] = 1  # near neither
    found = share(maps, crack, mark, tolerance=1)
    assert found["excluded"] == {"no crack": 2, "no distractor": 1, "no positive evidence near either": 2}
    assert found["images"] == 1
    assert np.isnan(found["shares"][:5]).all() and found["shares"][5] == 0
    assert share(maps, crack, mark, groups=list("aabbcd"))["groups"] == 1
    with pytest.raises(CrackvizError, match=r"2 no crack, 1 no distractor, 2 no positive evidence"):
        share(maps[:5], crack[:5], mark[:5], tolerance=1)


@given(
    arrays.arrays(np.float32, (3, 8, 8), elements=st.floats(-4, 4, width=32)),
    arrays.arrays(bool, (2, 3, 8, 8)),
    st.floats(0, 12),
)
def test_exchanging_the_masks_gives_the_complement(maps: np.ndarray, masks: np.ndarray, tolerance: float) -> None:
    masks[:, 0, 0, :2] = [[True, False], [False, True]]
    maps[0, 0, :2] = 1
    one = share(maps, *masks, tolerance=tolerance)
    other = share(maps, *masks[::-1], tolerance=tolerance)
    for name in ("pooled", "mean"):
        assert 0 <= one[name]["value"] <= 1
        assert one[name]["value"] == pytest.approx(1 - other[name]["value"], abs=1e-12)
    assert one["images"] == other["images"]
    scaled = share(3 * maps, *masks, tolerance=tolerance)  # a share has no unit
    assert scaled["pooled"]["value"] == pytest.approx(one["pooled"]["value"], abs=1e-6)


def test_a_constant_map_has_the_chance_level() -> None:
    rng = np.random.default_rng(0)
    crack, mark = rng.random((2, 5, 20, 20)) < 0.02
    maps = np.full((5, 20, 20), 0.3, np.float32)
    found = share(maps, crack, mark)
    assert found["pooled"]["value"] == pytest.approx(found["chance"], abs=1e-9)
    assert 0 < found["chance"] < 1


def test_the_interval_draws_whole_groups() -> None:
    rng = np.random.default_rng(0)
    maps, crack, mark = (np.repeat(part, 40, axis=0) for part in scene())
    of = np.repeat(np.arange(8), 5)
    maps[:, 0, 9] = rng.random(8)[of]  # photographs differ, their patches don't
    maps[:, 0, 2] = 1
    alone, grouped = (share(maps, crack, mark, resamples=2000, groups=groups)["mean"] for groups in (None, of))
    assert alone["value"] == grouped["value"]
    assert grouped["low"] < grouped["value"] < grouped["high"]
    assert grouped["high"] - grouped["low"] > 1.7 * (alone["high"] - alone["low"])
    # against the plain bootstrap, written out
    values = share(maps, crack, mark)["shares"].reshape(8, 5).mean(1)
    drawn = values[rng.integers(8, size=(4000, 8))].mean(1)
    assert np.allclose(np.quantile(drawn, [0.025, 0.975]), [grouped["low"], grouped["high"]], atol=0.02)
    narrow = share(maps, crack, mark, resamples=2000, groups=of, confidence=0.5)["mean"]
    assert narrow["high"] - narrow["low"] < 0.5 * (grouped["high"] - grouped["low"])
    assert share(maps, crack, mark, resamples=50, seed=1) != share(maps, crack, mark, resamples=50, seed=2)
    assert np.isnan(share(maps, crack, mark, resamples=50, groups=[0] * 40)["mean"]["low"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, c, d: (m[0], c, d), r"the maps \(12, 12\)"),
        (lambda m, c, d: (m * np.nan, c, d), "Maps hold NaN"),
        (lambda m, c, d: (m, c[:, :6], d), r"crack_masks have shape \(1, 6, 12\).*upsample=True"),
        (lambda m, c, d: (m, c, d[..., None]), "distractor_masks have shape"),
        (
            lambda m, c, d: (m, c * np.uint8(255), d),
            r"crack_masks are uint8 with 2 values \(0, 255\).*crack_masks > 127\.5",
        ),
        (
            lambda m, c, d: (m, c, d * np.linspace(0, 1, SIDE)[:, None]),
            r"distractor_masks are float64 .* bool.* greys",
        ),
        (lambda m, c, d: (m, c * 0.0 + np.nan, d), "crack_masks are float64 .* expected bool"),
    ],
)
def test_what_the_share_refuses(change: Any, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        share(*change(*scene()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1}, "tolerance is -1"),
        ({"tolerance": np.nan}, "tolerance is nan"),
        ({"groups": [1, 2]}, "2 groups for 1 pictures"),
        ({"confidence": 1}, "confidence is 1"),
        ({"resamples": -1}, "resamples is -1"),
    ],
)
def test_the_share_refuses_options(options: dict[str, Any], message: str) -> None:
    maps, crack, mark = scene()
    with pytest.raises(CrackvizError, match=message):
        share(maps + 1, crack, mark, **options)


# --- pairs --------------------------------------------------------------------------------------------------------


def brightness(bias: float = -0.5, units: int = 1) -> keras.Model:
    """A network whose logit is 3 (mean of the pixels) + bias; with more units, the last says so."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(units, name="logit")
    x = dense(x)
    kernel, offset = np.zeros((3, units), np.float32), np.zeros(units, np.float32)
    kernel[:, -1], offset[-1] = 1, bias
    dense.set_weights([kernel, offset])
    return keras.Model(inputs, keras.layers.Activation("sigmoid" if units == 1 else "softmax")(x))


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Four pairs: with logits of (1, 0.4), (-0.2, -0.8), (0.1, -0.2) and (0.1, 0.1)."""
    logits = np.array([[1, 0.4], [-0.2, -0.8], [0.1, -0.2], [0.1, 0.1]], np.float32)
    images = ((logits + 1) / 3)[..., None, None, None] * np.ones((8, 8, 3), np.float32)
    return np.ascontiguousarray(images[:, 0]), np.ascontiguousarray(images[:, 1])


def test_pairs_by_hand() -> None:
    model, (marked, plain) = brightness(-1), pairs()
    found = faithfulness.counterfactual(model, marked, plain)
    assert np.allclose(found["logits_with"], [1, -0.2, 0.1, 0.1], atol=1e-5)
    assert np.allclose(found["logits_without"], [0.4, -0.8, -0.2, 0.1], atol=1e-5)
    assert found["logit"]["value"] == pytest.approx((0.6 + 0.6 + 0.3) / 3, abs=1e-5)
    p = 1 / (1 + np.exp(-np.array([[1, 0.4], [-0.2, -0.8], [0.1, -0.2]])))
    assert found["probability"]["value"] == pytest.approx((p[:, 0] - p[:, 1]).mean(), abs=1e-5)
    assert (found["pairs"], found["excluded"]) == (3, {"equal pictures": 1})
    assert [found[name]["value"] for name in ("flips", "to_target", "from_target")] == [1 / 3, 1 / 3, 0]
    back = faithfulness.counterfactual(model, plain, marked)
    assert back["logit"]["value"] == pytest.approx(-found["logit"]["value"])
    assert [back[name]["value"] for name in ("flips", "to_target", "from_target")] == [1 / 3, 0, 1 / 3]


def test_the_arguments_of_pairs_change_the_answer() -> None:
    model, (marked, plain) = brightness(-1), pairs()
    other = faithfulness.counterfactual(model, marked, plain, target="no_crack")
    assert other["logit"]["value"] == pytest.approx(-0.5, abs=1e-5)
    assert other["from_target"]["value"] == 1 / 3
    assert faithfulness.counterfactual(model, marked, plain, threshold=0.65)["flips"]["value"] == 1 / 3  # 0.73, 0.60
    assert faithfulness.counterfactual(model, marked, plain, threshold=0.9)["flips"]["value"] == 0
    many = np.repeat(marked, 2, axis=0), np.repeat(plain, 2, axis=0)
    one, wide = (
        faithfulness.counterfactual(model, *many, bootstrap=Bootstrap(confidence=c))["logit"] for c in (0.5, 0.95)
    )
    assert wide["low"] <= one["low"] <= one["value"] <= one["high"] <= wide["high"]
    assert wide["low"] < wide["high"]
    grouped = faithfulness.counterfactual(model, marked, plain, bootstrap=Bootstrap(["a", "a", "a", "b"]))
    assert grouped["groups"] == 1 and np.isnan(grouped["logit"]["low"])
    two = faithfulness.counterfactual(brightness(-1, units=2), marked, plain)  # a softmax over two says the same
    assert two["probability"]["value"] == pytest.approx(-other["probability"]["value"], abs=1e-5)
    assert two["flips"]["value"] == 1 / 3


def test_what_pairs_refuse() -> None:
    model, (marked, plain) = brightness(), pairs()
    for arguments, options, message in [
        ((marked, plain[:2]), {}, "expected pairs"),
        ((marked, marked), {}, "Every picture equals its partner"),
        ((marked * 255, plain), {}, "expected .0, 1."),
        ((marked, plain), {"threshold": 2}, "threshold is 2"),
        ((marked, plain), {"bootstrap": Bootstrap([1])}, "1 groups for 4"),
        ((marked, plain), {"target": "chalk"}, "target is 'chalk'"),
    ]:
        with pytest.raises(CrackvizError, match=message):
            faithfulness.counterfactual(model, *arguments, **options)


def test_pairs_are_drawn_as_they_are() -> None:
    without, with_it = np.array([-1.0, 2.0, -3.0]), np.array([1.0, 3.0, -2.0])
    display = plots.PairsDisplay.from_logits({"cracked": (without, with_it), "sound": (with_it, without)})
    first = display.ax_[0]
    drawn = sorted(tuple(line.get_ydata()) for line in first.lines if len(line.get_ydata()) == 2)
    assert [ends for ends in drawn if ends != (0, 0)] == [(-3, -2), (-1, 1), (2, 3)]
    assert "1 of 3 answers change" in first.get_title()
    assert first.get_ylim() == display.ax_[1].get_ylim()
    assert first.get_ylim()[0] < -3 and first.get_ylim()[1] > 3
    plt.close(display.figure_)
    for wrong, message in [({}, "no panel"), ({"a": (without, with_it[:2])}, r"\(3,\) and \(2,\)")]:
        with pytest.raises(CrackvizError, match=message):
            plots.PairsDisplay.from_logits(wrong)
    with pytest.raises(CrackvizError, match="Logits of 'a' hold NaN"):
        plots.PairsDisplay.from_logits({"a": (without, with_it * np.nan)})


# --- a real one ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_planted_mark_is_found_and_an_absent_one_is_not(tmp_path: Path) -> None:
    # thin and faint cracks: the bar is much the easier of the two to learn
    settings = synthetic.Settings(
        patches=800, image_size=64, patches_per_photo=4, crack_width=(1.2, 3), contrast=0.4, shortcut="scale_bar"
    )
    other = replace(settings, seed=1000)
    asked = [[synthetic.patch(n, other, planted=planted) for n in range(60)] for planted in (True, False)]
    marked, plain = (np.stack([p.image for p in some]).astype(np.float32) / 255 for some in asked)
    cracked = np.array([p.label == 1 for p in asked[0]])
    crack = np.stack([p.mask for p in asked[0]])
    bar = np.stack([p.distractors["scale_bar"] for p in asked[0]])
    planted = models.build("gap_cnn_deep", 64)
    recipe = training.Recipe(epochs=10, patience=10, learning_rate=4e-3, decay=0.88, augment=False)
    training.train(planted, data.split(data.index(synthetic.dataset(settings))), tmp_path, recipe, image_size=64)
    without = models.build("local_cnn", 64)  # the shipped one never saw a bar that stood for a crack
    without.set_weights(models.load_pretrained("local_cnn").get_weights())
    shares, alarms = {}, {}
    for name, model in {"planted": planted, "without": without}.items():
        maps = attribution.thin_cam(model, marked[cracked])
        shares[name] = faithfulness.shortcut_share(maps, crack[cracked], bar[cracked])["pooled"]["value"]
        change = faithfulness.counterfactual(model, marked[~cracked], plain[~cracked])
        alarms[name] = change["to_target"]["value"]
    # benchmarks/shortcuts.py has ten seeds, and networks trained alike with and without the bar
    # taught the same faint cracks without the bar, which is the easier thing to see, one has 0.58 of its evidence there
    assert shares["planted"] > 0.75
    assert shares["without"] < 0.15
    assert alarms["planted"] > alarms["without"] + 0.2
