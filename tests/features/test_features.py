"""Kernels, activation maps, synthesised pictures, and the patches of a data set that come closest."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image

from crackviz import CrackvizError, attribution, data, features, models
from crackviz.features import maximisation


def random_images(count: int = 3, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), np.float32)


@pytest.fixture(params=["gap_cnn", "gap_cnn_deep", "local_cnn"])
def model(request: pytest.FixtureRequest) -> keras.Model:
    model = models.build(request.param, 32, seed=5)
    weights = model.get_weights()
    weights[-1][:] = 0.7  # a bias that would be missed
    model.set_weights(weights)
    return model


@pytest.mark.slow
def test_the_shipped_network_likes_no_real_crack_as_much_as_a_synthesised_picture() -> None:
    """By a factor of ten, as THEORY T4 says, with the recipe of notebook 04."""
    model = models.load_pretrained("gap_cnn_deep")
    table = data.index("synthetic:patches=2000")
    cracks = data.load_images(table.loc[table["label"] == 1, "path"], 128)
    assert 90 < attribution.logits(model, cracks).max() < 125
    found = features.maximise_logit(model, "crack", recipe=features.Recipe(steps=100, seed=0, size=None))
    assert 800 < found.reached[0] < 1300


def two_channels() -> keras.Model:
    """Channel 0 is red, channel 1 is green less a half; the logit is 4 · mean red - 8 · mean green + 0.5."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 1, activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid", name="end")(x))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[0, 0, 1, 1] = 1, 1
    model.set_weights([kernel, np.array([0, -0.5]), np.array([[4.0], [-8.0]]), np.array([0.5])])
    return model


# --- kernels ------------------------------------------------------------------------------------------------------


def test_kernels_are_the_weights(model: keras.Model) -> None:
    weights = features.kernels(model)
    raw = model.get_layer("conv1").get_weights()[0]
    assert weights.shape == (raw.shape[3], *raw.shape[:3])
    np.testing.assert_array_equal(weights[2], raw[..., 2])


def test_grey_is_zero_and_the_scale_is_told() -> None:
    weights = np.zeros((3, 1, 1, 3), np.float32)
    weights[0, 0, 0], weights[1, 0, 0] = [2, -2, 0], [0.5, 0, -0.25]
    images, limits = features.kernel_images(weights)
    np.testing.assert_allclose(images[:, 0, 0], [[1, 0, 0.5], [0.625, 0.5, 0.4375], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(limits, [2, 2, 2])
    images, limits = features.kernel_images(weights, "filter")
    np.testing.assert_allclose(images[:, 0, 0], [[1, 0, 0.5], [1, 0.5, 0.25], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(limits, [2, 0.5, 0])
    np.testing.assert_allclose((images - 0.5) * 2 * limits[:, None, None, None], weights, atol=1e-7)  # nothing is lost
    with pytest.raises(CrackvizError, match="'minmax'; expected one of shared, filter"):
        features.kernel_images(weights, "minmax")
    with pytest.raises(CrackvizError, match=r"\(1, 1, 3\); expected"):
        features.kernel_images(weights[0])


def test_deeper_kernels_are_no_pictures(model: keras.Model) -> None:
    with pytest.raises(CrackvizError, match=r"reads 16 channels.*features\.maximise"):
        features.kernels(model, "conv2")
    with pytest.raises(CrackvizError, match="'gap' is no convolution of the model; choose one of conv1, conv2"):
        features.kernels(model, "gap")
    grey = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.GlobalMaxPooling2D(), layers.Dense(1)])
    with pytest.raises(CrackvizError, match="reads three colours"):
        features.kernels(grey)


# --- activation maps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_maps_are_the_layers_output(model: keras.Model, layer: str) -> None:
    images = random_images(20)
    expected = keras.Model(model.inputs[0], model.get_layer(layer).output)(images).numpy()
    plain = features.activation_maps(model, images, layer, order=None)
    np.testing.assert_allclose(plain.maps, expected, atol=1e-6)
    ordered = features.activation_maps(model, images, layer)
    for n in (0, 19):
        np.testing.assert_allclose(ordered.maps[n], expected[n][..., ordered.channels[n]], atol=1e-6)
        np.testing.assert_array_equal(ordered.contributions[n], plain.contributions[n, ordered.channels[n]])
        assert (np.diff(np.abs(ordered.contributions[n])) <= 0).all()
        assert sorted(ordered.channels[n]) == list(range(expected.shape[3]))
    shared = features.activation_maps(model, images, layer, order="shared")
    assert (shared.channels == shared.channels[0]).all()
    assert (np.diff(np.abs(shared.contributions).mean(axis=0)) <= 1e-7).all()
    np.testing.assert_allclose(shared.maps[3], expected[3][..., shared.channels[3]], atol=1e-6)


def test_contributions_sum_to_the_logit_less_the_bias(model: keras.Model) -> None:
    images = random_images(5)
    found = features.activation_maps(model, images)
    evidence = attribution.logits(model, images) - attribution.bias(model)[0]
    np.testing.assert_allclose(found.contributions.sum(axis=1), evidence, rtol=1e-5, atol=1e-6)
    weights = model.get_layer("logit").get_weights()[0][:, 0]
    by_hand = weights[found.channels] * found.maps.mean(axis=(1, 2))
    np.testing.assert_allclose(found.contributions, by_hand, rtol=1e-4, atol=1e-6)
    against = features.activation_maps(model, images, target="no_crack")
    np.testing.assert_array_equal(against.contributions, -found.contributions)


def test_order_by_hand() -> None:
    image = np.zeros((2, 4, 4, 3), np.float32)
    image[0, ..., 0], image[0, ..., 1] = 1, 0.75  # 4 · 1 against 8 · 0.25
    image[1, ..., 0], image[1, ..., 1] = 0.25, 1  # 4 · 0.25 against 8 · 0.5
    model = two_channels()
    found = features.activation_maps(model, image)
    np.testing.assert_allclose(found.contributions, [[4, -2], [-4, 1]], rtol=1e-6)
    assert found.channels.tolist() == [[0, 1], [1, 0]]
    np.testing.assert_allclose(found.maps[:, 0, 0], [[1, 0.25], [0.5, 0.25]])
    assert found.layer == "conv"
    shared = features.activation_maps(model, image, order="shared")  # means 2.5 and 3
    assert shared.channels.tolist() == [[1, 0], [1, 0]]


def test_one_image_is_followed_through_all_layers(model: keras.Model) -> None:
    image = random_images(1)
    steps = features.follow(model, image)
    assert list(steps) == list(attribution.ladder(model).index)
    for name, step in steps.items():
        alone = features.activation_maps(model, image, name)
        np.testing.assert_allclose(step.maps, alone.maps, atol=1e-6)
        np.testing.assert_allclose(step.contributions, alone.contributions, atol=1e-5)
    assert list(features.follow(model, image, ["conv2", "conv1"])) == ["conv1", "conv2"]
    with pytest.raises(CrackvizError, match="One image"):
        features.follow(model, random_images(2))


def test_wrong_arguments_of_maps(model: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CrackvizError, match="order is 'size'"):
        features.activation_maps(model, random_images(), order="size")
    with pytest.raises(CrackvizError, match="no layer 'conv9'"):
        features.activation_maps(model, random_images(), "conv9")
    with pytest.raises(CrackvizError, match="float64"):
        features.activation_maps(model, random_images().astype(np.float64))
    monkeypatch.setattr("crackviz.features.activations.MAX_ARRAY_BYTES", 2**20)
    with pytest.raises(CrackvizError, match=r"300 images take .*top_patches"):
        features.activation_maps(model, random_images(300), "conv1")


# --- patches ------------------------------------------------------------------------------------------------------


def planted() -> tuple[np.ndarray, np.ndarray]:
    """40 grey pictures of 16 px; in some a bright spot, the brightest last."""
    images = np.full((40, 16, 16, 3), 0.25, np.float32)
    where = np.array([[7, 3, 5], [21, 0, 0], [38, 15, 9]])
    for (n, row, column), value in zip(where, (0.5, 0.75, 1.0), strict=True):
        images[n, row, column] = value
    return images, where


def spot_finder() -> keras.Model:
    """Channel 1 sums the reds of 3 x 3 pixels, the middle one ninefold; channel 0 is dead."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(2, 3, padding="same", activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[..., 0, 1] = 1
    kernel[1, 1, 0, 1] = 9
    model.set_weights([kernel, np.array([-1.0, 0]), np.ones((2, 1)), np.zeros(1)])
    return model


def test_planted_patches_are_found() -> None:
    images, where = planted()
    model = spot_finder()
    found = features.top_patches(model, images, channels=1, count=3)
    assert found["index"].tolist() == [38, 21, 7] and found["rank"].tolist() == [0, 1, 2]
    assert found[["row", "column"]].to_numpy().tolist() == where[::-1, 1:].tolist()
    # 9 · spot + the neighbours that lie in the picture: 5 at the edge, 3 in the corner, 8 inside
    np.testing.assert_allclose(found["value"], [9 + 5 / 4, 6.75 + 3 / 4, 4.5 + 8 / 4], rtol=1e-6)
    assert found[["top", "left", "bottom", "right"]].to_numpy().tolist()[0] == [14, 8, 17, 11]


def test_dead_channels_and_ties_take_the_first() -> None:
    images, _ = planted()
    found = features.top_patches(spot_finder(), images, channels=[0], count=2)
    assert found["value"].tolist() == [0, 0] and found["index"].tolist() == [0, 1]


def test_patches_of_arrays_paths_and_tables_agree(tmp_path: Path) -> None:
    model = models.gap_cnn(24, seed=3)
    pixels = np.random.default_rng(2).integers(0, 256, (140, 24, 24, 3), dtype=np.uint8)
    paths = [tmp_path / f"{n:03d}.png" for n in range(len(pixels))]
    for path, picture in zip(paths, pixels, strict=True):
        Image.fromarray(picture).save(path)
    images = (pixels / np.float32(255)).astype(np.float32)
    of_arrays = features.top_patches(model, images, "conv2", count=4)
    maps = keras.Model(model.inputs[0], model.get_layer("conv2").output)(images).numpy()
    best = maps.max(axis=(1, 2))
    for channel in range(maps.shape[3]):
        rows = of_arrays[of_arrays["channel"] == channel]
        expected = np.sort(best[:, channel])[::-1][:4]
        np.testing.assert_allclose(rows["value"], expected, atol=1e-6)
        for row in rows.itertuples():
            assert maps[row.index, row.row, row.column, channel] == pytest.approx(row.value, abs=1e-6)
    pd.testing.assert_frame_equal(features.top_patches(model, paths, "conv2", count=4), of_arrays)
    table = pd.DataFrame({"path": paths})
    pd.testing.assert_frame_equal(features.top_patches(model, table, "conv2", count=4), of_arrays)
    some = features.top_patches(model, images, "conv2", channels=[3, 1], count=4)
    assert some["channel"].tolist() == [3] * 4 + [1] * 4
    pd.testing.assert_frame_equal(
        some.iloc[:4].reset_index(drop=True), of_arrays[of_arrays["channel"] == 3].reset_index(drop=True)
    )


def test_crops_show_what_the_cell_saw() -> None:
    images, _ = planted()
    found = features.top_patches(spot_finder(), images, channels=1, count=3)
    cut = features.crops(images[found["index"]], found)
    assert cut.shape == (3, 3, 3, 3)
    np.testing.assert_allclose(cut[0, :, :, 0], [[0.25] * 3, [0.25, 1, 0.25], [0.5] * 3])  # beyond the lower edge: grey
    np.testing.assert_allclose(cut[1, :, :, 0], [[0.5] * 3, [0.5, 0.75, 0.25], [0.5, 0.25, 0.25]])
    with pytest.raises(CrackvizError, match="2 pictures for 3 boxes"):
        features.crops(images[:2], found)


def test_wrong_arguments_of_patches(model: keras.Model) -> None:
    images = random_images()
    for wrong in (64, [0, 0], [], -1):
        with pytest.raises(CrackvizError, match=r"expected numbers from 0 to 1?\d?\d"):
            features.top_patches(model, images, "conv1", channels=wrong)
    with pytest.raises(CrackvizError, match="count is 0"):
        features.top_patches(model, images, count=0)
    with pytest.raises(CrackvizError, match="no picture"):
        features.top_patches(model, [])
    with pytest.raises(CrackvizError, match="columns file; expected path"):
        features.top_patches(model, pd.DataFrame({"file": ["a"]}))
    with pytest.raises(CrackvizError, match="image_size"):
        features.top_patches(models.gap_cnn(None), ["a.png"])


# --- synthesis ----------------------------------------------------------------------------------------------------

QUICK = {"steps": 12, "size": 32}
RECIPE = [field.name for field in dataclasses.fields(features.Recipe)]


def maximise(model: keras.Model, *arguments: Any, **options: Any) -> features.Pictures:
    """`features.maximise`, with the parts of its recipe among the options."""
    recipe = features.Recipe(**{name: options.pop(name) for name in RECIPE if name in options})
    return features.maximise(model, *arguments, recipe=recipe, **options)


def maximise_logit(model: keras.Model, *arguments: Any, steps: int, **options: Any) -> features.Pictures:
    recipe = features.Recipe(steps=steps, size=options.pop("size", None))
    return features.maximise_logit(model, *arguments, recipe=recipe, **options)


@pytest.fixture(scope="module")
def deep() -> keras.Model:
    return models.gap_cnn_deep(64, seed=2)


def test_a_seed_fixes_the_picture(deep: keras.Model) -> None:
    before = [weight.copy() for weight in deep.get_weights()]
    first = maximise(deep, [1, 3], "conv2", **QUICK)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - is it left alone?
    again = maximise(deep, [1, 3], "conv2", **QUICK)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    assert first.images.tobytes() == again.images.tobytes()
    assert first.images.shape == (2, 32, 32, 3) and first.images.dtype == np.float32
    assert first.images.min() >= 0 and first.images.max() <= 1
    for one, other in zip(before, deep.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert deep.get_layer("conv2").activation is keras.activations.relu, "the given model was changed"


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"channels": [2]},
        {"layer": "conv3"},
        {"where": "everywhere"},
        {"smoothness": 30.0},
        {"greyness": 30.0},
        {"jitter": 0},
        {"steps": 6},
        {"colour": False},
        {"learning_rate": 0.01},
        {"start": np.full((1, 32, 32, 3), 0.4, np.float32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_argument_changes_the_answer(deep: keras.Model, change: dict) -> None:
    given = {"channels": [1], "layer": "conv2", **QUICK}
    changed = maximise(deep, **{**given, **change})
    assert np.abs(maximise(deep, **given).images - changed.images).max() > 1e-3


def test_filters_that_sleep_on_grey_are_woken() -> None:
    """Where no ReLU is open there is no gradient to climb; noise must open some."""
    model = models.gap_cnn_far(32, seed=0)
    kernel, bias = model.get_layer("conv1").get_weights()
    model.get_layer("conv1").set_weights([kernel, bias - 0.2])
    faint = np.random.default_rng(0).uniform(0.45, 0.55, (1, 32, 32, 3)).astype(np.float32)
    asleep = maximise(model, [0], "conv2", start=faint, steps=5)
    awake = maximise(model, [0], "conv2", steps=5)
    assert asleep.reached == asleep.started
    assert awake.reached > awake.started


def test_the_answer_exceeds_the_start_and_noise(deep: keras.Model) -> None:
    found = maximise(deep, [0, 1, 2], "conv2", steps=60, size=32, smoothness=0, greyness=0, jitter=0)
    assert (found.reached > found.started).all()
    noise = random_images(64)
    linear = keras.models.clone_model(keras.Model(deep.inputs[0], deep.get_layer("conv2").output))
    linear.set_weights(deep.get_weights()[:4])
    linear.layers[-1].activation = keras.activations.linear
    big = np.full((64, 64, 64, 3), 0.5, np.float32)
    big[:, :32, :32] = noise
    maps = linear(big).numpy()[:, 1:15, 1:15, :3]
    assert (found.reached > maps.max(axis=(0, 1, 2))).all()


def test_the_value_is_the_cells_activation(deep: keras.Model) -> None:
    """Where it is above 0, the network's own map holds it, at the cell in the middle, which sees the box."""
    found = maximise(deep, [0, 5], "conv2", steps=30)
    assert (found.reached > 0).all()
    maps = features.activation_maps(deep, found.images, "conv2", order=None).maps
    np.testing.assert_allclose(found.reached, [maps[0, 16, 16, 0], maps[1, 16, 16, 5]], rtol=1e-5)
    assert found.box == features.field_box(deep, "conv2", (16, 16)) and found.box[2] - found.box[0] == 8
    top, left, bottom, right = found.box
    outside = found.images.copy()
    outside[:, top:bottom, left:right] = 0.5
    inside = np.where(outside == 0.5, found.images, 0.5).astype(np.float32)
    changed = features.activation_maps(deep, inside, "conv2", order=None).maps
    np.testing.assert_allclose([changed[0, 16, 16, 0], changed[1, 16, 16, 5]], found.reached, rtol=1e-5)


def test_a_picture_does_not_depend_on_its_company(deep: keras.Model) -> None:
    alone = maximise(deep, 3, "conv2", **QUICK)
    together = maximise(deep, [1, 3], "conv2", **QUICK)
    np.testing.assert_allclose(alone.images[0], together.images[1], atol=2e-3)


def test_the_logit_is_raised_not_the_probability() -> None:
    model = models.gap_cnn(24, seed=1)
    weights = model.get_weights()
    weights[-1][:] = 40  # p = 1 in float32, without a slope
    model.set_weights(weights)
    found = maximise_logit(model, steps=30)
    told = features.Recipe(steps=30, smoothness=10.0, jitter=4)
    np.testing.assert_array_equal(features.maximise_logit(model, recipe=told).images, found.images)
    assert found.images.shape == (1, 24, 24, 3)
    np.testing.assert_allclose(found.reached, attribution.logits(model, found.images), rtol=1e-5)
    assert found.reached[0] > found.started[0] + 1e-3
    against = maximise_logit(model, "no_crack", steps=30)
    np.testing.assert_allclose(against.reached, -attribution.logits(model, against.images), rtol=1e-5)
    assert against.reached[0] > against.started[0] + 1e-3
    patches = random_images(2, 24)
    begun = maximise_logit(model, steps=3, start=patches)
    assert begun.images.shape == patches.shape and np.abs(begun.images - patches).max() < 0.2
    np.testing.assert_allclose(begun.started, attribution.logits(model, patches), rtol=1e-5)


def test_without_colour_the_three_are_equal(deep: keras.Model) -> None:
    grey = maximise(deep, 1, "conv2", colour=False, **QUICK).images
    assert np.ptp(grey, axis=3).max() < 1e-6 and np.ptp(grey) > 0.1


def test_foreign_models() -> None:
    sequential = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, kernel_initializer=keras.initializers.HeUniform(seed=0)),
            layers.ReLU(name="relu"),
            layers.Flatten(),
            layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed=1)),
        ]
    )
    assert maximise(sequential, 1, "relu", steps=20).images.shape == (1, 16, 16, 3)
    found = maximise_logit(sequential, 2, steps=5)
    assert found.reached[0] > found.started[0]
    with pytest.raises(CrackvizError, match="don't take pictures of 20 x 20 px"):
        maximise_logit(sequential, 2, steps=3, size=20)
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, name="inside"), layers.ReLU()], name="base")
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(inner(inputs))
    nested = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    assert maximise(nested, 0, "base", steps=20).images.shape == (1, 16, 16, 3)
    assert maximise_logit(nested, steps=3).reached.shape == (1,)
    with pytest.raises(CrackvizError, match="nested model 'base'"):
        maximise(nested, 0, "inside", steps=3)


def test_wrong_arguments_of_synthesis(deep: keras.Model) -> None:
    with pytest.raises(CrackvizError, match="expected numbers from 0 to 31, the channels of 'conv2'"):
        maximise(deep, 32, "conv2")
    with pytest.raises(CrackvizError, match="where is 'centre'"):
        maximise(deep, 0, where="centre")
    for name, wrong, expected in (
        ("steps", 0, "0; expected a whole number from 1 on"),
        ("steps", 1.5, "1.5; expected a whole number"),
        ("seed", -1, "-1; expected a whole number from 0 on"),
        ("smoothness", -1.0, "-1.0; expected a number from 0 on"),
        ("greyness", np.nan, "nan; expected a number from 0 on"),
        ("learning_rate", 0.0, "0.0; expected a number above 0"),
        ("jitter", -1, "-1; expected a whole number from 0 on"),
    ):
        with pytest.raises(CrackvizError, match=f"{name} is {expected}"):
            features.Recipe(**{name: wrong})
    with pytest.raises(CrackvizError, match="start holds 2 pictures for 1 channels"):
        maximise(deep, 0, start=random_images(2, 64))
    with pytest.raises(CrackvizError, match="reach from"):
        maximise(deep, 0, start=255 * random_images(1, 64))
    with pytest.raises(CrackvizError, match="by size"):
        maximise(models.gap_cnn(None), 0)


@pytest.mark.parametrize("colour", [True, False])
def test_compiled_steps_go_where_others_go(deep: keras.Model, monkeypatch: pytest.MonkeyPatch, colour: bool) -> None:
    given = {"steps": 20, "size": 32, "colour": colour}
    compiled = maximise(deep, [1, 3], "conv2", **given)
    monkeypatch.setattr(maximisation, "_compiler", lambda recipe: lambda function: function)
    others = maximise(deep, [1, 3], "conv2", **given)
    assert np.abs(compiled.images - others.images).mean() < 1e-3
    np.testing.assert_allclose(compiled.reached, others.reached, rtol=0.01)


def test_a_few_steps_are_not_compiled(deep: keras.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled anew in each call, they would take longer, and TensorFlow would warn of it after five calls."""
    warnings: list[str] = []
    monkeypatch.setattr(tf.get_logger(), "warning", lambda text, *_: warnings.append(text))
    for channel in range(8):
        maximise(deep, channel, "conv2", steps=1, size=32)
    assert not [text for text in warnings if "retracing" in text]


def test_the_score_is_what_tf_keras_vis_maximises(deep: keras.Model) -> None:
    """One step without jitter or regularisers goes up the gradient of the layer, as the tape gives it."""
    start = random_images(1, 32) * np.float32(0.2) + np.float32(0.4)
    found = maximise(
        deep, 2, "conv1", steps=1, size=32, start=start, smoothness=0, greyness=0, jitter=0, learning_rate=0.01
    )
    x = tf.Variable(start)
    kernel, bias = deep.get_layer("conv1").get_weights()
    with tf.GradientTape() as tape:
        value = tf.nn.conv2d(x, kernel, 2, "SAME")[0, 8, 8, 2] + bias[2]
    sign = np.sign(tape.gradient(value, x).numpy())
    np.testing.assert_allclose(found.images - start, 0.01 * sign, atol=1e-4)
