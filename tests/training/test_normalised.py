"""Batch normalisation in training, folded into the kernels afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, data, models, training
from crackviz.training.normalised import fold, normalised

RECIPE = training.Recipe(epochs=2, batch_size=16, normalise=True)


def taught(model: keras.Model, seed: int) -> keras.Model:
    """Copy it with normalisation, and give that any state that a training may leave."""
    rng = np.random.default_rng(seed)
    copy = normalised(model)
    for layer in copy.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            n = layer.gamma.shape[0]
            layer.set_weights(
                [rng.normal(1, 0.5, n), rng.normal(0, 1, n), rng.normal(0, 1, n), rng.uniform(0.01, 4, n)]
            )
    return copy


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["gap_cnn", "gap_cnn_far", "deep_cnn"])
def test_the_folded_network_answers_as_the_normalised_one(seed: int, name: str) -> None:
    model = models.build(name, 32, seed=1)
    copy = taught(model, seed)
    images = np.random.default_rng(seed).random((3, 32, 32, 3), np.float32)
    before = model(images, training=False).numpy()
    fold(copy, model)
    logits = [one(images, training=False).numpy() for one in (model, copy)]
    np.testing.assert_allclose(*logits, atol=2e-4)
    assert not np.allclose(before, logits[0], atol=1e-3)


def test_by_hand() -> None:
    """One pixel, one kernel: (2x + 1 - 3) * 4 / sqrt(15.999 + 0.001) + 5 = 2x + 3."""
    inputs = keras.Input((1, 1, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="relu", name="one")(inputs))
    model.get_layer("one").set_weights([np.full((1, 1, 1, 1), 2.0), np.array([1.0])])
    copy = normalised(model)
    copy.get_layer("one_normalised").set_weights([np.array([value]) for value in (4.0, 5.0, 3.0, 15.999)])
    fold(copy, model)
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
    copy = normalised(model)
    assert [layer.name for layer in copy.layers if "normalised" in layer.name] == ["usual_normalised"]
    assert not copy.get_layer("frozen").trainable and len(copy.trainable_weights) == len(model.trainable_weights) + 2
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    before = model(images, training=False).numpy()
    fold(copy, model)
    np.testing.assert_allclose(model(images, training=False), before / np.sqrt(1.001), rtol=1e-5)


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
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = models.gap_cnn_far(32), models.gap_cnn_far(32)
    history = training.train(whole, table, tmp_path / "whole", RECIPE, image_size=32)
    write = training.Checkpoint.on_epoch_end

    def break_off(self: training.Checkpoint, epoch: int, logs: dict | None = None) -> None:
        write(self, epoch, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "on_epoch_end", break_off)
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


@pytest.mark.slow
def test_with_mixed_precision(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn_far(32)
    training.train(model, table, tmp_path, replace(RECIPE, mixed_precision=True), image_size=32)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
