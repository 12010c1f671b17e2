"""Batch normalisation in training, folded into the kernels afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, data, models, training
from crackviz.training.normalised import fold, measure, normalised

RECIPE = training.Recipe(epochs=2, batch_size=16, normalise=True)


def taught(model: keras.Model, seed: int) -> tuple[keras.Model, dict[str, str]]:
    """Copy it with normalisation, and give that any state that a training may leave."""
    rng = np.random.default_rng(seed)
    copy, pairs = normalised(model)
    for layer in copy.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [rng.normal(1, 0.5, n), rng.normal(0, 1, n), rng.normal(0, 1, n), rng.uniform(0.01, 4, n)]
            )
    return copy, pairs


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["gap_cnn", "gap_cnn_far", "deep_cnn"])
def test_the_folded_network_answers_as_the_normalised_one(seed: int, name: str) -> None:
    model = models.build(name, 32, seed=1)
    copy, pairs = taught(model, seed)
    images = np.random.default_rng(seed).random((3, 32, 32, 3), np.float32)
    before = model(images, training=False).numpy()
    fold(copy, model, pairs)
    logits = [one(images, training=False).numpy() for one in (model, copy)]
    np.testing.assert_allclose(*logits, atol=2e-4)
    assert not np.allclose(before, logits[0], atol=1e-3)


def test_by_hand() -> None:
    """One pixel, one kernel: (2x + 1 - 3) * 4 / sqrt(15.999 + 0.001) + 5 = 2x + 3."""
    inputs = keras.Input((1, 1, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="relu", name="one")(inputs))
    model.get_layer("one").set_weights([np.full((1, 1, 1, 1), 2.0), np.array([1.0])])
    copy, pairs = normalised(model)
    copy.get_layer("one_normalised").set_weights([np.array([value]) for value in (4.0, 5.0, 3.0, 15.999)])
    fold(copy, model, pairs)
    kernel, bias = model.get_layer("one").get_weights()
    assert kernel.item() == pytest.approx(2) and bias.item() == pytest.approx(3)


def test_what_cannot_be_folded_is_left_as_it_is() -> None:
    inputs = keras.Input((8, 8, 3))
    twice = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="twice")
    x = twice(twice(inputs))
    x = keras.layers.Conv2D(4, 3, activation="relu", use_bias=False, name="no_bias")(x)
    x = keras.layers.Conv2D(4, 3, name="linear")(x)
    frozen = keras.layers.Conv2D(4, 3, activation="relu", name="frozen")
    frozen.trainable = False
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, activation="relu", name="usual")(frozen(x)))
    copy, pairs = normalised(model)
    assert pairs == {"usual": "usual_normalised"}
    assert not copy.get_layer("frozen").trainable and len(copy.trainable_weights) == len(model.trainable_weights) + 2
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    before = model(images, training=False).numpy()
    fold(copy, model, pairs)
    np.testing.assert_allclose(model(images, training=False), before / np.sqrt(1.001), rtol=1e-5)


def test_names_of_ones_own_are_left_alone() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="own")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="own_normalised")(x))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="usual")(x)
    model = keras.Model(inputs, keras.layers.Activation("relu", name="usual_normalised_activation")(x))
    copy, pairs = taught(model, 1)
    assert set(pairs) == {"usual"} and pairs["usual"] not in {layer.name for layer in model.layers}
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    fold(copy, model, pairs)
    np.testing.assert_allclose(model(images, training=False), copy(images, training=False), atol=1e-4)


def test_means_and_variances_are_those_of_the_pictures() -> None:
    """Of two batches alike, whatever was there before; the layer after it is measured behind it."""
    model = models.gap_cnn(32, seed=1)
    copy, pairs = taught(model, 0)
    batches = np.random.default_rng(0).random((2, 4, 32, 32, 3), np.float32)
    measure(copy, [(images, None) for images in batches], pairs)
    first = keras.Model(copy.inputs[0], copy.get_layer("conv1").output)
    maps = np.stack([first(images, training=False).numpy() for images in batches])
    _, _, mean, variance = copy.get_layer(pairs["conv1"]).get_weights()
    np.testing.assert_allclose(mean, maps.mean(axis=(0, 1, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(variance, maps.var(axis=(1, 2, 3)).mean(axis=0), rtol=1e-4)
    assert copy.get_layer(pairs["conv1"]).momentum == 0.99


def test_a_network_with_nothing_to_normalise_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x), name="linear")
    with pytest.raises(CrackvizError, match=r"'linear' has no Conv2D that learns.*normalise=False"):
        training.train(model, table, tmp_path / "run", RECIPE, image_size=32)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def table(small_set: Path) -> pd.DataFrame:
    return data.split(data.scan(data.index(small_set)), validation=0.2, test=0.2)


@pytest.mark.slow
def test_it_is_saved_plain_and_resumes_to_the_same_end(
    table: pd.DataFrame, tmp_path: Path, broken_off: Callable[[], AbstractContextManager[None]]
) -> None:
    whole, broken = models.gap_cnn_far(32), models.gap_cnn_far(32)
    history = training.train(whole, table, tmp_path / "whole", RECIPE, image_size=32)
    with broken_off():
        training.train(broken, table, tmp_path / "broken", RECIPE, image_size=32)
    resumed = training.train(broken, table, tmp_path / "broken", RECIPE, image_size=32)
    pd.testing.assert_frame_equal(resumed, history, check_exact=True)
    stored = models.load(tmp_path / "whole")
    assert [layer.name for layer in stored.layers] == [layer.name for layer in models.gap_cnn_far(32).layers]
    for one, other, third in zip(whole.get_weights(), broken.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)
    validated = table[table["split"] == "validation"]
    answers = stored.predict(data.load_images(validated["path"], 32), verbose=0).ravel()
    truth = validated["label"].to_numpy()
    loss = -np.mean(np.log(np.where(truth == 1, answers, 1 - answers)))
    assert loss == pytest.approx(history["val_loss"].min(), rel=1e-3), "what was validated isn't what was saved"


def test_a_sequential_network_is_trained(table: pd.DataFrame, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((32, 32, 3))], name="chain")
    model.add(keras.layers.Conv2D(4, 3, activation="relu"))
    model.add(keras.layers.Conv2D(4, 3, activation="relu"))
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(1, activation="sigmoid"))
    assert len(normalised(model)[1]) == 2
    before = model.get_weights()
    training.train(model, table, tmp_path, replace(RECIPE, epochs=1), image_size=32)
    assert all(not np.array_equal(*both) for both in zip(before, model.get_weights(), strict=True))


def test_what_has_learnt_is_not_normalised(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    training.train(model, table, tmp_path / "first", replace(RECIPE, epochs=1), image_size=32)
    with pytest.raises(CrackvizError, match=r"'gap_cnn' has learnt already.*Build the network anew"):
        training.train(model, table, tmp_path / "second", RECIPE, image_size=32)
    assert not (tmp_path / "second").exists()
    training.train(model, table, tmp_path / "second", replace(RECIPE, normalise=False), image_size=32)


@pytest.mark.slow
def test_with_few_pictures_it_is_validated_as_it_is(table: pd.DataFrame, tmp_path: Path) -> None:
    """Running means would still be those of the start after so few steps, and patience would count wrong numbers."""
    split = data.prepare("synthetic:patches=200", tmp_path / "split.csv")
    recipe = training.Recipe(epochs=10, batch_size=16, normalise=True)
    history = training.train(models.gap_cnn_far(32), split, tmp_path / "run", recipe, image_size=32)
    assert history["val_loss"].min() < 0.6 and history["val_accuracy"].max() > 0.7


@pytest.mark.slow
def test_with_mixed_precision(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn_far(32)
    training.train(model, table, tmp_path, replace(RECIPE, mixed_precision=True), image_size=32)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
