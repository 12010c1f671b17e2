"""Taught where to look: the loss on the place of the evidence, and trainings with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, attribution, data, faithfulness, models, training
from crackviz.training.place import Placed

RECIPE = training.Recipe(epochs=2, batch_size=8, augment=False, place=1.0)


def maps(*rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)[..., None]


def test_the_loss_is_that_computed_by_hand() -> None:
    evidence = maps([[0.5, 0.25], [0.25, 0.25]], [[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.9], [0.9, 0.9]])
    masks = maps([[1, 0], [0, 0]], [[0, 0], [0, 0]], [[1, 1], [1, 1]])
    known = np.array([1, 1, 0], np.float32)
    first = (1.2 * np.log(2) - 3 * np.log(0.75)) / 4
    second = np.log(2)
    dice = 1 - (2 * 0.5 + 5) / (1 + 1.25 + 5)
    expected = 10 * (first + second) / 2 + 0.5 * dice
    assert float(training.place_loss(evidence, masks, known)) == pytest.approx(expected, rel=1e-5)


def test_no_known_mask_no_loss() -> None:
    evidence = maps([[0.9, 0.1], [0.3, 0.7]])
    assert float(training.place_loss(evidence, np.zeros_like(evidence), np.zeros(1, np.float32))) == 0.0


def test_evidence_on_the_mask_costs_least() -> None:
    mask = maps([[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    known = np.ones(1, np.float32)
    right, beside, none = (
        float(training.place_loss(np.clip(shown, 0.02, 0.98), mask, known))
        for shown in (mask, mask[:, :, ::-1], np.zeros_like(mask))
    )
    assert right < none < beside


def test_what_is_unknown_is_passed_over_by_the_layer() -> None:
    layer = Placed(3.0)
    evidence = maps([[0.5, 0.5], [0.5, 0.5]], [[0.9, 0.9], [0.9, 0.9]])
    masks = maps([[1, 0], [0, 0]], [[-1, -1], [-1, -1]])
    assert np.array_equal(layer(evidence, masks, np.ones((2, 1))), np.ones((2, 1)))
    alone = training.place_loss(evidence[:1], masks[:1], np.ones(1, np.float32))
    assert float(layer.losses[0]) == pytest.approx(3 * float(alone), rel=1e-6)


def test_masks_move_as_their_pictures_do() -> None:
    rng = np.random.default_rng(0)
    masks = (rng.random((6, 32, 32, 1)) < 0.1).astype(np.float32)
    images = np.repeat(masks, 3, -1)
    strengths = {"contrast": 0, "brightness": 0, "zoom": 0.3, "grey": 0}
    layer = data.augmentation(3, **strengths)
    inputs = keras.Input((32, 32, 3)), keras.Input((32, 32, 1))
    both = keras.Model(inputs, data.varied_alike(layer, *inputs))((images, masks), training=True)
    varied, truth = (np.asarray(part) for part in both)
    assert not np.array_equal(varied, images)
    np.testing.assert_allclose(varied[..., :1], truth, atol=1e-5)


def test_colours_of_a_mask_do_not_vary() -> None:
    images, masks = np.full((4, 16, 16, 3), 0.5, np.float32), np.full((4, 16, 16, 1), -1, np.float32)
    layer = data.augmentation(0, flip=0, rotation=0, zoom=0, brightness=0.3, contrast=0.3)
    inputs = keras.Input((16, 16, 3)), keras.Input((16, 16, 1))
    varied, truth = keras.Model(inputs, data.varied_alike(layer, *inputs))((images, masks), training=True)
    assert np.array_equal(truth, masks)
    assert not np.array_equal(varied, images)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return data.split(data.scan(data.index("synthetic:patches=48,image_size=32,crack_width=(2,4),seed=5")), seed=0)


def trained(table: pd.DataFrame, folder: Path, recipe: training.Recipe) -> keras.Model:
    model = models.build("trace_cnn", 32, seed=0)
    training.train(model, table, folder, recipe, image_size=32)
    return model


def test_masks_change_what_is_learnt(table: pd.DataFrame, tmp_path: Path) -> None:
    one, half, without = (
        trained(table, tmp_path / str(place), replace(RECIPE, place=place)).get_layer("score").get_weights()[0]
        for place in (1.0, 0.5, 0.0)
    )
    assert not np.array_equal(one, without)
    assert not np.array_equal(one, half)


def test_masks_of_validation_pictures_count_in_its_loss(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.build("trace_cnn", 32, seed=0)
    with_place = training.train(model, table, tmp_path / "a", replace(RECIPE, epochs=1), image_size=32)
    asked = table[table["split"] == "validation"]
    images = data.load_images(asked["path"], 32)
    probability = np.clip(model.predict(images, verbose=0)[:, 0], 1e-7, 1 - 1e-7)
    answers = -np.mean(np.where(asked["label"] == 1, np.log(probability), np.log(1 - probability)))
    masks = np.zeros((len(asked), 32, 32, 1), np.float32)
    there = np.flatnonzero(asked["mask"] != "")
    masks[there, ..., 0] = data.load_masks(asked["mask"].iloc[there], 32)
    evidence = keras.Model(model.inputs, model.get_layer("evidence").output).predict(images, verbose=0)
    place = float(training.place_loss(evidence, masks, np.ones(len(asked), np.float32)))
    assert with_place["val_loss"].iloc[-1] == pytest.approx(answers + place, rel=1e-3)


def test_a_taught_training_resumes_to_the_same_end(table: pd.DataFrame, tmp_path: Path) -> None:
    whole = trained(table, tmp_path / "whole", RECIPE)

    class Broken(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    model = models.build("trace_cnn", 32, seed=0)
    with pytest.raises(KeyboardInterrupt):
        training.train(model, table, tmp_path / "broken", RECIPE, image_size=32, callbacks=[Broken()])
    resumed = trained(table, tmp_path / "broken", RECIPE)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_mask_is_another_training(table: pd.DataFrame, tmp_path: Path) -> None:
    once = replace(RECIPE, epochs=1)
    trained(table, tmp_path, once)
    before = (tmp_path / "training.json").read_text()
    other = table.copy()
    rows = other.index[(other["mask"] != "") & (other["split"] == "train")][:2]
    other.loc[rows, "mask"] = other.loc[rows[::-1], "mask"].to_numpy()  # the same masks, on other pictures
    trained(other, tmp_path, once)
    assert (tmp_path / "training.json").read_text() != before


@pytest.mark.parametrize("name", ["gap_cnn", "local_cnn"])
def test_a_network_without_bounded_evidence_is_refused(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    with pytest.raises(CrackvizError, match=f"'{name}' can't be taught where to look"):
        training.train(models.build(name, 32), table, tmp_path, RECIPE, image_size=32)


def test_no_mask_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match="no picture has a mask"):
        trained(table.assign(mask=""), tmp_path, RECIPE)


def test_a_layer_of_ones_own_is_refused() -> None:
    with pytest.raises(CrackvizError, match="give augment as a mapping"):
        training.Recipe(augment=keras.layers.GaussianNoise(0.1), place=1.0)


@pytest.mark.parametrize("size", [32, 33, 47, 128, 226, 227])
def test_the_traced_map_has_a_cell_a_pixel_and_adds_up(size: int) -> None:
    model = models.build("trace_cnn", size, seed=1)
    images = np.random.default_rng(0).random((2, size, size, 3), np.float32)
    maps = attribution.METHODS["grad_cam"](model, images, upsample=False)
    assert maps.shape == (2, size, size)
    total = maps.sum((1, 2)) + attribution.bias(model)
    np.testing.assert_allclose(total, attribution.logits(model, images).ravel(), rtol=1e-4, atol=1e-4)


def test_the_traced_map_is_not_shifted() -> None:
    """A dark line's evidence, as filters answer it at once, lies on the line: a flip of the picture flips the map."""
    model = models.build("trace_cnn", 64, seed=0)
    images = np.random.default_rng(1).random((1, 64, 64, 3), np.float32)
    for layer in model.layers:  # filters without a direction, so that only padding could tell left from right
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            kernel, bias = layer.get_weights()
            kernel = kernel + kernel[:, ::-1]
            layer.set_weights([kernel / 2, bias])
    maps = attribution.METHODS["grad_cam"](model, images)
    mirrored = attribution.METHODS["grad_cam"](model, images[:, :, ::-1])
    np.testing.assert_allclose(mirrored[:, :, ::-1], maps, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_taught_on_masks_a_network_looks_nearer_to_the_crack(tmp_path: Path) -> None:
    table = data.split(data.scan(data.index("synthetic:patches=320,image_size=64,crack_width=(2,6),seed=6")), seed=0)
    asked = table[(table["split"] == "test") & (table["label"] == 1)]
    known = faithfulness.truth(data.load_masks(asked["mask"], 64))
    images = data.load_images(asked["path"], 64)
    near = []
    for place in (0.0, 1.0):
        model = models.build("trace_cnn", 64, seed=0)
        recipe = training.Recipe(epochs=24, patience=24, batch_size=16, place=place)
        training.train(model, table, tmp_path / str(place), recipe, image_size=64)
        maps = attribution.METHODS["grad_cam"](model, images)
        near.append(np.nanmean(faithfulness.evidence_near(maps, known, distance=4)))
    assert near[1] > near[0] + 0.2


class Shift(keras.layers.Layer):
    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        return keras.ops.roll(images, 3, axis=1)


@pytest.mark.parametrize("layer", [Shift(), keras.layers.RandAugment((0, 1)), keras.Sequential([Shift()])])
def test_layers_that_do_not_tell_how_they_move_pixels_are_refused_with_masks(layer: keras.Layer) -> None:
    with pytest.raises(CrackvizError, match="doesn't tell how it moves pixels"):
        data.varied_alike(layer, keras.Input((16, 16, 3)), keras.Input((16, 16, 1)))


def test_masks_move_with_layers_within_layers() -> None:
    masks = (np.random.default_rng(0).random((6, 32, 32, 1)) < 0.1).astype(np.float32)
    layer = keras.Sequential([keras.Sequential([data.augmentation(1, contrast=0, brightness=0)])])
    inputs = keras.Input((32, 32, 3)), keras.Input((32, 32, 1))
    both = keras.Model(inputs, data.varied_alike(layer, *inputs))((np.repeat(masks, 3, -1), masks), training=True)
    varied, truth = (np.asarray(part) for part in both)
    assert not np.array_equal(truth, masks)
    np.testing.assert_allclose(varied[..., :1], truth, atol=1e-5)
