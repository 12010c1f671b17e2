"""The network that is made to be explained: where × what."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from crackviz import CrackvizError, attribution, features, models


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return models.local_cnn(64, seed=3)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def at(model: keras.Model, layer: str, images: np.ndarray) -> np.ndarray:
    return keras.Model(model.inputs[0], model.get_layer(layer).output)(images).numpy()


def test_where_is_the_darkness_of_a_pixel_against_its_surroundings(model: keras.Model) -> None:
    image = np.full((1, 64, 64, 3), 0.6, np.float32)
    image[0, 30, 40] = (0.1, 0.3, 0.2)
    where = at(model, "where", image)[0, :, :, 0]
    around = 0.6 - (0.6 - 0.2) / 37**2
    assert where[30, 40] == pytest.approx(np.tanh(12 * (around - 0.2 - 0.04)), abs=1e-5)
    where[30, 40] = 0
    assert not where.any()  # the others are lighter than what is around them
    image[0, 30, 40] = 0.6 - 0.039
    assert not at(model, "where", image).any()  # and this is too little to count


def test_nothing_dark_is_no_evidence_at_all(model: keras.Model) -> None:
    images = np.stack([np.full((64, 64, 3), value, np.float32) for value in (0.0, 0.5, 1.0)])
    assert not attribution.grad_cam(model, images, upsample=False).any()
    np.testing.assert_array_equal(attribution.logits(model, images).ravel(), attribution.bias(model)[0])

    images = np.full((1, 64, 64, 3), 0.5, np.float32)
    images[0, 30:34] = 0.9  # a light line: its surroundings are darker than the mean, it is not
    evidence = attribution.grad_cam(model, images, upsample=False)[0]
    assert not evidence[30:34].any() and np.abs(evidence).max() > 1e-4


def test_no_pixel_can_outshout_the_others(model: keras.Model) -> None:
    weights = np.abs(model.get_layer("logit").get_weights()[0]).sum()
    images = noise(3, 64, 64, 3) * np.linspace(0, 1, 64, dtype=np.float32)[:, np.newaxis]
    assert np.abs(attribution.grad_cam(model, images, upsample=False)).max() <= 64 * weights / 64**2
    for layer, top in (("where", 1), ("bounded", 1)):
        values = at(model, layer, images)
        assert values.min() >= 0 and values.max() <= top


def test_the_map_adds_up_at_any_size(model: keras.Model) -> None:
    for side in (64, 75, 128, 227):
        other = models.resized(model, side)
        images = noise(2, side, side, 3, seed=side)
        maps = attribution.grad_cam(other, images, upsample=False)
        assert maps.shape == (2, side, side) and np.abs(maps).max() > 0
        exact = attribution.logits(other, images).ravel() - attribution.bias(other)
        np.testing.assert_allclose(maps.sum((1, 2)), exact, rtol=1e-4, atol=1e-5)
    free = models.resized(model, None)
    np.testing.assert_allclose(attribution.logits(free, images[:, :224, :224]).shape, (2,))
    np.testing.assert_array_equal(
        attribution.logits(free, images[:, :64, :64]), attribution.logits(model, images[:, :64, :64])
    )


@pytest.mark.parametrize("side", [32, 36, 64])
def test_gradients_add_up_at_every_size(side: int) -> None:
    """TensorFlow's gradient of a mean is wrong where the mean is wider than the picture."""
    model, images = models.local_cnn(side, seed=3), noise(2, side, side, 3, seed=side)
    maps = attribution.integrated_gradients(model, images, n_samples=64)
    error = attribution.completeness_error(model, images, maps, baseline="mean")
    assert (np.abs(error) < 2e-3 * np.abs(maps).sum((1, 2))).all()


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ((36, 64), r"'around_rows' of 'local_cnn' averages over 37 x 1 cells, but images of 36 x 64 px .*larger"),
        ((45, 64), r"45 x 64 px, .* Cut them to 44 x 64"),
        ((2, 64), "too few"),
    ],
)
def test_images_that_a_network_of_any_size_cannot_take(side: tuple[int, int], message: str) -> None:
    free = models.local_cnn(None)
    for explain in (attribution.grad_cam, attribution.gradient, attribution.logits):
        with pytest.raises(CrackvizError, match=message):
            explain(free, noise(1, *side, 3))
    assert attribution.gradient(free, noise(1, 40, 64, 3)).shape == (1, 40, 64)


def test_where_the_size_is_cropped_nothing_is_shifted(model: keras.Model) -> None:
    """At 63 px the paths meet after a row and a column of the enlarged maps are cut off, on the far side."""
    images = noise(2, 64, 64, 3, seed=8)
    whole = attribution.grad_cam(model, images, upsample=False) * 64**2
    less = attribution.grad_cam(models.resized(model, 63), images[:, :63, :63], upsample=False) * 63**2
    np.testing.assert_allclose(less[:, :5, :5], whole[:, :5, :5], rtol=1e-3, atol=1e-4)  # far from the cut: the same


def test_a_cell_sees_50_px_and_no_more(model: keras.Model) -> None:
    images = noise(6, 64, 64, 3)
    assert attribution.ladder(model).loc["evidence", ["stride", "receptive_field"]].tolist() == [1, 50]
    assert attribution.ladder(model).loc["around_rows", "receptive_field"] == 37
    for cell in ((31, 30), (32, 24), (0, 63)):
        rows, columns = attribution.measured_field(model, images, cell=cell)
        box = features.field_box(model, None, cell)
        assert (rows.start, columns.start, rows.stop, columns.stop) == box
    top, left, bottom, right = features.field_box(model, None, (31, 31))
    assert bottom - top == right - left == 50
    images[:, 31, 31] = 0  # dark: or there would be nothing to compare
    other = noise(6, 64, 64, 3, seed=1)
    other[:, top:bottom, left:right] = images[:, top:bottom, left:right]
    maps = [attribution.grad_cam(model, some, upsample=False)[:, 31, 31] for some in (images, other)]
    np.testing.assert_allclose(*maps, rtol=1e-4, atol=1e-7)
    other[:, top, left] = 1 - other[:, top, left]
    assert np.abs(maps[0]).min() > 1e-5
    assert (maps[0] != attribution.grad_cam(model, other, upsample=False)[:, 31, 31]).any()


def test_what_is_fixed_stays_fixed_and_the_rest_is_counted(model: keras.Model) -> None:
    fixed = [weight.path for weight in model.non_trainable_weights]
    assert sorted(fixed) == ["grey/kernel", "normalised/moving_mean", "normalised/moving_variance"]
    assert model.count_params() == 84_073 + 3 + 2 * 2
    assert features.kernels(model).shape == (16, 4, 4, 3)  # of the first layer with a pattern, not of the grey value


@pytest.mark.parametrize("side", [65, 66, 225, 226])
def test_sizes_that_do_not_fit_are_refused_with_two_that_do(side: int) -> None:
    with pytest.raises(CrackvizError, match=f"image_size is {side}") as caught:
        models.local_cnn(side)
    numbers = [int(word.strip(".")) for word in str(caught.value).split() if word.strip(".").isdigit()]
    for fits in numbers[-2:]:
        assert models.local_cnn(fits).outputs[0].shape == (None, 1)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize("times", [2, 3])
def test_what_a_cell_sees_through_an_enlarged_map(interpolation: str, times: int) -> None:
    L = keras.layers
    image = keras.Input((48, 48, 3))
    x = L.Conv2D(4, 3, strides=2, padding="same", name="small")(image)
    x = L.UpSampling2D(times, interpolation=interpolation, name="large")(x)
    x = L.Dense(1, name="logit")(L.GlobalAveragePooling2D()(x))
    network = keras.Model(image, L.Activation("sigmoid")(x))
    row = attribution.ladder(network).loc["large"]
    assert row["stride"] == pytest.approx(2 / times)
    assert row["receptive_field"] == {"nearest": 3, "bilinear": 5}[interpolation]
    images = noise(4, 48, 48, 3)
    for cell in range(20, 20 + times):
        rows, columns = attribution.measured_field(network, images, "large", cell=(cell, 30))
        box = features.field_box(network, "large", (cell, 30))
        seen = rows.start, columns.start, rows.stop, columns.stop
        # In the middle of a cell (times = 3) bilinear gives its neighbours no weight: then less is seen than may be.
        assert box[0] <= seen[0] and box[1] <= seen[1] and box[2] >= seen[2] and box[3] >= seen[3]
        if interpolation == "nearest" or times == 2:
            assert seen == box


def test_more_classes_have_more_maps() -> None:
    model = models.local_cnn(32, n_classes=4)
    assert model.get_layer("bounded").output.shape[-1] == 4 and model.output_shape == (None, 4)
    np.testing.assert_allclose(model(noise(2, 32, 32, 3)).numpy().sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_one_map_starts_against_a_crack_and_one_for_it(seed: int) -> None:
    against, speaks_for = models.local_cnn(32, seed=seed).get_layer("logit").get_weights()[0].ravel()
    assert against < 0 < speaks_for
