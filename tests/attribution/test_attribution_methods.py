"""Every attribution method: hand-computed maps, and what must or must not change the answer."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from crackviz import CrackvizError, attribution, models
from crackviz.attribution import METHODS, network, pictures
from crackviz.attribution.occlusion import _masks, occlusion_windows

FEW: dict[str, dict[str, Any]] = {
    "rise": {"n_samples": 24},
    "lime": {"n_samples": 24, "n_segments": 9},
    "smooth_grad": {"n_samples": 5},
    "integrated_gradients": {"n_samples": 8},
}
NETWORK = [name for name, method in METHODS.items() if method.kind != "baseline"]
CAMS = [name for name, method in METHODS.items() if method.kind == "cam"]
every = pytest.mark.parametrize("name", METHODS)


def random_images(count: int = 3, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), np.float32)


def explain(name: str, model: keras.Model, images: np.ndarray, **options: Any) -> np.ndarray:
    return METHODS[name](model, images, **FEW.get(name, {}) | options)


def built(name: str, seed: int) -> keras.Model:
    """A network of the project, 32 px, with biases: without them it is a straight line from black to any image."""
    model = models.build(name, 32, seed=seed)
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.endswith("bias"):
            weight.assign(rng.normal(0, 0.2, weight.shape))
    model.layers[-2].kernel.assign(20 * model.layers[-2].kernel)  # logits of some units, as of a trained network
    return with_bias(model, 0.7)


def with_bias(model: keras.Model, bias: float) -> keras.Model:
    model.set_weights([*model.get_weights()[:-1], np.full_like(model.get_weights()[-1], bias)])
    return model


@pytest.fixture(scope="module", params=["gap_cnn", "gap_cnn_deep", "local_cnn"])
def model(request: pytest.FixtureRequest) -> keras.Model:
    """Shared by the tests of this module: none may leave it changed."""
    return built(request.param, 5)


@pytest.fixture(scope="module")
def deep() -> keras.Model:
    return built("gap_cnn_deep", 5)


# --- the contract -------------------------------------------------------------------------------------------------


@every
def test_a_map_for_each_image(name: str, deep: keras.Model) -> None:
    maps = explain(name, deep, random_images())
    assert maps.shape == (3, 32, 32) and maps.dtype == np.float32
    assert np.isfinite(maps).all() and maps.any()
    maps += 1  # an array of one's own, not a view of something kept
    assert METHODS[name].signed or explain(name, deep, random_images()).min() >= 0
    if METHODS[name].kind == "cam":
        assert explain(name, deep, random_images(), upsample=False).shape[1] < 32


@every
def test_a_batch_equals_its_images_one_by_one(name: str, deep: keras.Model) -> None:
    images = random_images(5)
    singly = np.concatenate([explain(name, deep, image[np.newaxis]) for image in images])
    np.testing.assert_allclose(explain(name, deep, images), singly, atol=1e-5)


@every
def test_more_images_than_a_chunk(name: str, deep: keras.Model) -> None:
    images = random_images(attribution.CHUNK + 3)
    maps = explain(name, deep, images)
    assert len(maps) == len(images)
    np.testing.assert_allclose(maps[-3:], explain(name, deep, images[-3:]), atol=1e-5)


@every
def test_images_that_break_the_contract_are_refused(name: str, deep: keras.Model) -> None:
    good = random_images(1)
    for images, message in (
        ((255 * good).astype(np.uint8), "uint8"),
        (good.astype(np.float16), "float16"),
        (255 * good, "Divide by 255"),
        (good[0], "batch axis"),
    ):
        with pytest.raises(CrackvizError, match=message):
            explain(name, deep, images)
    with pytest.raises(CrackvizError, match="spall"):
        explain(name, deep, good, target="spall")
    with pytest.raises(CrackvizError, match="no layer 'conv9'" if METHODS[name].kind == "cam" else "leave it out"):
        explain(name, deep, good, layer="conv9")


@every
def test_passes_are_as_many_as_said(name: str) -> None:
    class Count(layers.Layer):
        def build(self, shape: Any) -> None:
            self.images = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            self.images.assign_add(tf.cast(tf.shape(x)[0], tf.float32))
            return x

    inputs = keras.Input((32, 32, 3))
    count = Count()
    x = layers.Conv2D(6, 3, activation="relu", strides=2)(count(inputs))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    images = random_images(2)
    explain(name, model, images)  # which translates the network, and may try its layers out
    count.images.assign(0)
    explain(name, model, images)
    forward, backward = METHODS[name].passes(model, images, **FEW.get(name, {}))
    whole = 1 if name == "ablation_cam" else forward  # its others begin behind the layer
    assert count.images.numpy() == whole * len(images) and backward <= forward


def test_the_table_of_methods(deep: keras.Model) -> None:
    table = attribution.methods_table(deep, random_images())
    assert list(table.index) == list(METHODS)
    order = """cam grad_cam grad_cam_plus_plus hires_cam layer_cam xgrad_cam score_cam eigen_cam ablation_cam thin_cam
        gradient input_x_gradient smooth_grad integrated_gradients deep_lift guided_backprop occlusion rise lime random
        darkness local_darkness edges"""
    assert list(METHODS) == order.split()
    for name, method in METHODS.items():
        assert getattr(attribution, name) is method.function and method.function.__name__ == name
        assert list(signature(method.function).parameters)[:5] == ["model", "images", "target", "layer", "upsample"]
        assert method.function.__doc__
    assert tuple(table.loc["score_cam", ["forward", "backward"]]) == (65, 0)
    assert tuple(table.loc["occlusion", ["forward", "backward"]]) == (10, 0)
    assert METHODS["score_cam"].passes(deep, random_images(), layer="conv1") == (17, 0)
    assert METHODS["occlusion"].passes(deep, random_images(), size=4, stride=4) == (65, 0)
    assert METHODS["rise"].passes(deep, random_images(), n_samples=7) == (7, 0)
    assert table["paper"].ne("").all()


# --- what must change the answer, and what must not ---------------------------------------------------------------


@every
def test_the_target_changes_the_answer_where_it_enters(name: str, deep: keras.Model) -> None:
    images = random_images()
    crack, no_crack = (explain(name, deep, images, target=target) for target in ("crack", "no_crack"))
    np.testing.assert_array_equal(no_crack, explain(name, deep, images, target=0))
    if not METHODS[name].by_class:
        np.testing.assert_array_equal(crack, no_crack)
    elif METHODS[name].signed and name != "guided_backprop":  # which drops other gradients for either
        np.testing.assert_allclose(no_crack, -crack, atol=1e-6)
        assert (np.minimum(crack.clip(min=0), no_crack.clip(min=0)) < 1e-6).all(), "the two sides overlap"
    else:
        assert np.abs(crack - no_crack).max() > 0.05 * np.abs(crack).max()


@every
def test_weights_change_the_answer_of_all_but_baselines(name: str, deep: keras.Model) -> None:
    images = random_images()
    other = built("gap_cnn_deep", 6)
    before, after = explain(name, deep, images), explain(name, other, images)
    assert np.array_equal(before, after) == (METHODS[name].kind == "baseline")
    # and what was traced before reads the weights as they are now
    kept = other.get_weights()
    other.set_weights(deep.get_weights())
    np.testing.assert_allclose(explain(name, other, images), before, atol=1e-6)
    other.set_weights(kept)
    np.testing.assert_allclose(explain(name, other, images), after, atol=1e-6)


@every
def test_a_constant_on_the_logit_changes_nothing(name: str, deep: keras.Model) -> None:
    """Not even one that saturates the sigmoid in float32."""
    images = random_images()
    before = explain(name, deep, images)
    try:
        with_bias(deep, 60.7)
        assert (deep.predict(images, verbose=0) == 1).all()
        np.testing.assert_allclose(explain(name, deep, images), before, atol=1e-4 * np.abs(before).max() + 1e-5)
    finally:
        with_bias(deep, 0.7)


@pytest.mark.parametrize("name", NETWORK)
def test_a_dead_network_gives_zeros(name: str) -> None:
    model = models.gap_cnn_deep(32)
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    for images in (random_images(), np.zeros((1, 32, 32, 3), np.float32), np.ones((1, 32, 32, 3), np.float32)):
        maps = explain(name, model, images)
        assert maps.shape == (len(images), 32, 32) and not maps.any()
    if METHODS[name].kind == "cam" and name != "cam":
        assert not explain(name, model, images, layer="conv2").any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gradient", {"channels": "max"}),
        ("guided_backprop", {"channels": "max"}),
        ("smooth_grad", {"n_samples": 6}),
        ("smooth_grad", {"noise": 0.3}),
        ("smooth_grad", {"seed": 1}),
        ("smooth_grad", {"channels": "max"}),
        ("integrated_gradients", {"n_samples": 2}),
        ("integrated_gradients", {"baseline": "black"}),
        ("integrated_gradients", {"baseline": "blur"}),
        ("integrated_gradients", {"baseline": 0.3}),
        ("deep_lift", {"baseline": "black"}),
        ("deep_lift", {"baseline": 0.3}),
        ("occlusion", {"size": 8}),
        ("occlusion", {"stride": 4}),
        ("occlusion", {"baseline": "black"}),
        ("occlusion", {"baseline": "blur"}),
        ("rise", {"n_samples": 25}),
        ("rise", {"cells": 4}),
        ("rise", {"keep": 0.3}),
        ("rise", {"seed": 1}),
        ("lime", {"n_samples": 25}),
        ("lime", {"n_segments": 16}),
        ("lime", {"baseline": "black"}),
        ("lime", {"seed": 1}),
        ("random", {"seed": 1}),
        ("local_darkness", {"sigma": 2.0}),
        ("edges", {"sigma": 2.0}),
        *((name, {"layer": "conv2"}) for name in CAMS if name != "cam"),
    ],
)
def test_changing_an_option_changes_the_answer(name: str, options: dict[str, Any], deep: keras.Model) -> None:
    images = random_images()
    before, after = explain(name, deep, images), explain(name, deep, images, **options)
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    np.testing.assert_array_equal(after, explain(name, deep, images, **options))


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("smooth_grad", "rise", "lime", "random")])
def test_flipping_the_image_flips_the_map(name: str, deep: keras.Model) -> None:
    """Of a network whose kernels are mirror images of themselves."""
    kept = deep.get_weights()
    mirrored = [value + value[:, ::-1] if value.ndim == 4 else value for value in kept]
    images = random_images()
    # In a plain reference neighbours are alike at the border, and max-pooling takes the first of them.
    options = {"baseline": "blur"} if name == "deep_lift" else {}
    try:
        deep.set_weights(mirrored)
        maps, flipped = (explain(name, deep, some, **options) for some in (images, images[:, :, ::-1].copy()))
    finally:
        deep.set_weights(kept)
    np.testing.assert_allclose(flipped[:, :, ::-1], maps, atol=1e-4 * np.abs(maps).max())


# --- layers -------------------------------------------------------------------------------------------------------


def test_a_layer_by_its_rung(deep: keras.Model) -> None:
    images = random_images()
    names = list(attribution.ladder(deep).index)
    for rung, layer in ((-1, names[-1]), (0, names[0]), (len(names) - 1, names[-1]), (np.int64(2), names[2])):
        maps = attribution.grad_cam(deep, images, layer=rung)
        np.testing.assert_array_equal(maps, attribution.grad_cam(deep, images, layer=layer))
    for rung in (len(names), -len(names) - 1):
        with pytest.raises(CrackvizError, match="the ladder has 6 rungs: conv1"):
            attribution.grad_cam(deep, images, layer=rung)
    with pytest.raises(CrackvizError, match="no layer True"):
        attribution.grad_cam(deep, images, layer=True)


@pytest.mark.parametrize("name", ["grad_cam", "layer_cam"])
def test_several_layers_give_their_mean(name: str, deep: keras.Model) -> None:
    """In logits per cell of the coarsest: a cell of conv2 is a sixteenth of one of conv4."""
    images = random_images()
    one = explain(name, deep, images, layer="conv4")
    np.testing.assert_array_equal(explain(name, deep, images, layer=["conv4"]), one)
    both = (one + 16 * explain(name, deep, images, layer="conv2")) / 2
    for several in (["conv2", "conv4"], (-1, "conv2")):
        np.testing.assert_allclose(explain(name, deep, images, layer=several), both, rtol=1e-5, atol=1e-6)
    with pytest.raises(CrackvizError, match="2 layers with upsample=False"):
        explain(name, deep, images, layer=["conv2", "conv4"], upsample=False)
    for wrong in ([], ["conv4", -1]):
        with pytest.raises(CrackvizError, match="each once"):
            explain(name, deep, images, layer=wrong)


def test_cam_reads_the_last_layer_only(deep: keras.Model) -> None:
    for layer in ("conv2", ["conv2", "conv4"]):
        with pytest.raises(CrackvizError, match="must feed GlobalAveragePooling2D alone"):
            attribution.cam(deep, random_images(), layer=layer)
    for one_layer in (attribution.score_cam, attribution.ablation_cam):
        with pytest.raises(CrackvizError, match="one layer, got 2"):
            one_layer(deep, random_images(), layer=["conv2", "conv4"])


# --- what adds up -------------------------------------------------------------------------------------------------


SIGNED = ("cam", "grad_cam", "hires_cam", "xgrad_cam", "ablation_cam")


def test_at_the_last_layer_the_family_is_two_maps(model: keras.Model) -> None:
    images = random_images()
    signed = [explain(name, model, images, upsample=False) for name in SIGNED]
    positive = [explain(name, model, images, upsample=False) for name in ("layer_cam", "grad_cam_plus_plus")]
    for maps in signed[1:]:
        np.testing.assert_allclose(maps, signed[0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(positive[1], positive[0], rtol=1e-5, atol=1e-7)
    against = [attribution.layer_cam(model, images, upsample=False, target="no_crack")]
    np.testing.assert_allclose(positive[0] - against[0], signed[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in NETWORK if METHODS[name].complete])
def test_complete_methods_are(name: str, model: keras.Model) -> None:
    target = "no_crack" if model.name == "gap_cnn" else "crack"
    images = random_images(6)
    few = {"n_samples": 200} if name == "integrated_gradients" else {}
    maps = METHODS[name](model, images, target=target, upsample=False, **few)
    baseline = "mean" if METHODS[name].kind == "pixels" else None
    error = attribution.completeness_error(model, images, maps, target=target, baseline=baseline)
    evidence = attribution.logits(model, images) - 0.7
    assert np.median(np.abs(evidence)) > 0.5, "nothing was tested"
    assert (np.abs(error) < (5e-3 if baseline else 1e-5) * np.abs(maps).sum((1, 2))).all()


@pytest.mark.parametrize("name", [name for name in NETWORK if not METHODS[name].complete])
def test_the_others_are_not(name: str, deep: keras.Model) -> None:
    images = random_images(6)
    maps = explain(name, deep, images, upsample=False)
    for baseline in (None, "black"):
        assert np.abs(attribution.completeness_error(deep, images, maps, baseline=baseline)).max() > 1e-2


@pytest.mark.parametrize("baseline", ["black", "mean", "blur", 0.5, "image"])
def test_integrated_gradients_close_in_on_their_sum(baseline: Any, deep: keras.Model) -> None:
    images = random_images(4)
    baseline = images[::-1] if isinstance(baseline, str) and baseline == "image" else baseline
    errors = []
    for n_samples in (2, 20, 200):
        maps = attribution.integrated_gradients(deep, images, n_samples=n_samples, baseline=baseline)
        error = attribution.completeness_error(deep, images, maps, baseline=baseline)
        errors.append(np.abs(error).mean())
    assert errors[2] < 0.02 and errors[2] < errors[0] / 10


def test_expected_gradients_are_the_mean_over_the_background(deep: keras.Model) -> None:
    """The mean of the maps from each image, and the sum that follows."""
    images, background = random_images(3), random_images(4, seed=7) * 0.5
    singly = [
        attribution.integrated_gradients(deep, images, baseline=one[np.newaxis], n_samples=200) for one in background
    ]
    got = attribution.integrated_gradients(deep, images, background=background, n_samples=800)
    np.testing.assert_allclose(got, np.mean(singly, axis=0), atol=0.02 * np.abs(got).max())
    error = attribution.completeness_error(deep, images, got, background=background)
    z = attribution.logits(deep, images) - attribution.logits(deep, background).mean()
    np.testing.assert_allclose(got.sum((1, 2)) - error, z, atol=1e-4)
    assert np.abs(error).max() < 0.02 < np.abs(z).min()
    errors = [
        np.abs(
            attribution.completeness_error(
                deep,
                images,
                attribution.integrated_gradients(deep, images, background=background, n_samples=n),
                background=background,
            )
        ).mean()
        for n in (4, 40, 400)
    ]
    assert errors[2] < errors[0] / 5


def test_expected_gradients_of_a_line() -> None:
    """Of a linear network one step from each is exact: the slope times the distance from the mean background."""
    linear = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])
    images, background = random_images(2, 8), random_images(5, 8, seed=3)
    got = attribution.integrated_gradients(linear, images, background=background, n_samples=5)
    from_mean = attribution.integrated_gradients(
        linear, images, baseline=background.mean(0, keepdims=True), n_samples=1
    )
    np.testing.assert_allclose(got, from_mean, atol=1e-5)
    np.testing.assert_allclose(
        got[1:], attribution.integrated_gradients(linear, images[1:], background=background, n_samples=5), atol=1e-6
    )
    for options, message in (
        ({"background": background, "n_samples": 7}, "n_samples is 7, but the background has 5 images"),
        ({"background": background[:, :4], "n_samples": 5}, "explained ones"),
        ({"background": background, "n_samples": 5, "baseline": "black"}, "one of them"),
        ({"background": background * 255}, "Divide by 255"),
    ):
        with pytest.raises(CrackvizError, match=message):
            attribution.integrated_gradients(linear, images, **options)


def test_xgrad_cam_keeps_the_sum_of_hires_cam(deep: keras.Model) -> None:
    images = random_images()
    sums = [
        explain(name, deep, images, layer="conv2", upsample=False).sum((1, 2)) for name in ("xgrad_cam", "hires_cam")
    ]
    np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-5)
    one = explain("grad_cam", deep, images, layer="conv2", upsample=False).sum((1, 2))
    assert not np.allclose(one, sums[0], rtol=1e-2)


def test_completeness_error_refuses_what_does_not_fit(deep: keras.Model) -> None:
    images = random_images()
    with pytest.raises(CrackvizError, match="2 maps for 3 images"):
        attribution.completeness_error(deep, images, np.zeros((2, 4, 4), np.float32))
    for baseline, message in (
        ("grey", "'black', 'mean', 'blur'"),
        (np.zeros(5), "doesn't fit"),
        (1.5, "1.5; expected"),
    ):
        for call in (attribution.integrated_gradients, attribution.occlusion):
            with pytest.raises(CrackvizError, match=message):
                call(deep, images, baseline=baseline)


@pytest.mark.parametrize("target", ["crack", "no_crack"])
def test_thin_cam_hands_out_what_grad_cam_found(target: str, deep: keras.Model) -> None:
    images = random_images()
    thin = attribution.thin_cam(deep, images, target=target, upsample=False)
    coarse = attribution.grad_cam(deep, images, target=target, upsample=False)
    assert thin.shape == (3, 16, 16) and coarse.shape == (3, 4, 4)
    np.testing.assert_allclose(thin.sum((1, 2)), coarse.sum((1, 2)), rtol=1e-4, atol=1e-5)
    several = attribution.thin_cam(deep, images, target=target, layer=["conv2", "conv3", "conv4"], upsample=False)
    np.testing.assert_allclose(several, thin, atol=1e-6)  # the last of each stride
    at_conv3 = attribution.thin_cam(deep, images, layer="conv3", upsample=False)
    sums = attribution.grad_cam(deep, images, layer="conv3", upsample=False).sum((1, 2))
    np.testing.assert_allclose(at_conv3.sum((1, 2)), sums, rtol=1e-4, atol=1e-5)


def test_thin_cam_by_hand() -> None:
    """One coarse cell of evidence and a fine layer that lights up in one of its four cells: all of it goes there."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(1, 3, padding="same", use_bias=False, activation="relu", name="fine")(inputs)
    x = layers.AveragePooling2D(2, name="coarse")(x)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(layers.GlobalAveragePooling2D()(x)))
    kernel = np.zeros((3, 3, 3, 1))
    kernel[1, 1] = 1  # it could see its neighbours, and doesn't look
    model.set_weights([kernel, np.array([[16.0]])])
    image = np.zeros((1, 4, 4, 3), np.float32)
    image[0, 1, 0] = 1  # A of fine is 3 there, of coarse 0.75 in its cell (0, 0); the logit is 16 * 0.75 / 4 = 3
    thin = attribution.thin_cam(model, image, upsample=False)[0]
    np.testing.assert_allclose(attribution.grad_cam(model, image, upsample=False)[0], [[3, 0], [0, 0]], atol=1e-6)
    expected = np.zeros((4, 4))
    expected[1, 0] = 3
    np.testing.assert_allclose(thin, expected, atol=0.01)  # all but the floor of a thousandth of the mean
    model.set_weights([kernel, np.array([[-16.0]])])  # against: spread evenly, and nowhere else
    thin = attribution.thin_cam(model, image, upsample=False)[0]
    np.testing.assert_allclose(thin.sum(), -3, rtol=1e-5)
    assert thin[0, 0] == thin.min() < 0 and not thin[3].any()


def test_without_a_finer_layer_thin_cam_is_grad_cam() -> None:
    """A layer that sees a pixel at a time isn't finer: it knows no place better than the picture does."""
    images = random_images(2, 8)
    for first in ([], [layers.Conv2D(4, 1), layers.AveragePooling2D(2)]):
        stack = [*first, layers.Conv2D(4, 3), layers.GlobalAveragePooling2D(), layers.Dense(1)]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
        np.testing.assert_allclose(attribution.thin_cam(model, images), attribution.grad_cam(model, images), atol=1e-7)


# --- by hand ------------------------------------------------------------------------------------------------------


def two_channels() -> tuple[keras.Model, np.ndarray, np.ndarray, np.ndarray]:
    """A 2 x 2 image through two channels, a ReLU and an average: the model, the image, A and G of the first layer."""
    inputs = keras.Input((2, 2, 3))
    x = layers.Conv2D(2, 1, use_bias=False, name="first")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="relu")(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[0, 0, 1, 1], kernel[0, 0, 2, 0] = 1, 1, -1
    model.set_weights([kernel, np.array([[4.0], [-8.0]]), np.zeros(1)])
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, :, :, 0] = [[1, 0.5], [0, 0]]
    image[0, :, :, 1] = [[0, 0], [0, 0.25]]
    image[0, :, :, 2] = [[0, 0], [0.5, 0]]
    A = np.stack([[[1, 0.5], [-0.5, 0]], [[0, 0], [0, 0.25]]], axis=-1)
    G = np.stack([[[1, 1], [0, 0]], [[0, 0], [0, -2]]], axis=-1)  # 4/4 and -8/4, where the ReLU is open
    return model, image, A, G


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hires_cam", [[1, 0.5], [0, -0.5]]),  # A G, summed over the channels
        ("layer_cam", [[1, 0.5], [0, 0]]),  # without the second channel's negative gradient
        ("ablation_cam", 1.5 * np.array([[1, 0.5], [-0.5, 0]]) - 2 * np.array([[0, 0], [0, 0.25]])),  # falls: 1.5, -0.5
        # alpha: sum(A G) / sum(A) = 1.5 / 1 and -0.5 / 0.25
        ("xgrad_cam", 1.5 * np.array([[1, 0.5], [-0.5, 0]]) - 2 * np.array([[0, 0], [0, 0.25]])),
        # alpha: 1 / (2 + sum(A) G) = 1/3 where G is 1, so a half each when they add up to 1; the other channel has none
        ("grad_cam_plus_plus", [[1, 0.5], [-0.5, 0]]),
        ("gradient", [[0, 0], [0, -2]]),  # first channel: 1 for red, -1 for blue
        ("input_x_gradient", [[1, 0.5], [0, -0.5]]),
        ("guided_backprop", [[0, 0], [0, 0]]),  # red and blue cancel; green has a negative gradient
    ],
)
def test_by_hand(name: str, expected: Any) -> None:
    model, image, A, G = two_channels()
    assert (A * G).sum() == pytest.approx(attribution.logits(model, image)[0])
    options = {"layer": "first"} if METHODS[name].kind == "cam" else {}
    np.testing.assert_allclose(METHODS[name](model, image, upsample=False, **options)[0], expected, atol=1e-6)


def test_integrated_gradients_by_hand() -> None:
    """Between black and this image the network is a straight line, and elsewhere the midpoints count."""
    model, image, A, G = two_channels()
    got = attribution.integrated_gradients(model, image, baseline="black")[0]
    np.testing.assert_allclose(got, (A * G).sum(axis=-1), atol=1e-6)
    bent = keras.Sequential(
        [keras.Input((1, 1, 3)), layers.Conv2D(1, 1, activation="softplus"), layers.Flatten(), layers.Dense(1)]
    )
    bent.set_weights([np.array([8.0, 0, 0]).reshape(1, 1, 3, 1), np.array([-4.0]), np.array([[1.0]]), np.zeros(1)])
    white = np.ones((1, 1, 1, 3), np.float32)  # z climbs from ln(1 + e^-4) to ln(1 + e^4), by 4
    got = attribution.integrated_gradients(bent, white, baseline="black", n_samples=16)
    np.testing.assert_allclose(got.item(), 4, atol=0.01)  # the right-hand sum would be 0.24 too much


def test_gradient_takes_the_largest_channel_when_told() -> None:
    model, image, _, _ = two_channels()
    got = attribution.gradient(model, image, channels="max")[0]
    np.testing.assert_allclose(got, [[1, 1], [0, 2]], atol=1e-6)
    with pytest.raises(CrackvizError, match="expected one of sum, max"):
        attribution.gradient(model, image, channels="mean")


def test_smooth_grad_of_a_line_is_its_slope(deep: keras.Model) -> None:
    """Without noise it is the gradient; of a linear network it is, whatever the noise."""
    images = random_images()
    np.testing.assert_allclose(
        attribution.smooth_grad(deep, images, noise=0.0, n_samples=3), attribution.gradient(deep, images), atol=1e-6
    )
    linear = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)])
    images = random_images(2, 8)
    smooth = attribution.smooth_grad(linear, images, noise=0.5, n_samples=3)
    np.testing.assert_allclose(smooth, attribution.gradient(linear, images), atol=1e-5)
    with pytest.raises(CrackvizError, match="noise is -1"):
        attribution.smooth_grad(linear, images, noise=-1)


def test_smooth_grads_noise_comes_in_pairs_that_cancel_on_a_parabola() -> None:
    """Its gradient is a straight line: what is added once and subtracted once changes no mean."""
    inputs = keras.Input((8, 8, 3))
    curved = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(layers.Multiply()([inputs, inputs]))))
    images = random_images(2, 8)
    slope = attribution.gradient(curved, images)
    np.testing.assert_allclose(attribution.smooth_grad(curved, images, noise=0.5, n_samples=4), slope, atol=1e-5)
    alone = attribution.smooth_grad(curved, images, noise=0.5, n_samples=3)  # the last has no partner
    assert np.abs(alone - slope).max() > 0.01


def test_eigen_cam_is_the_first_singular_vector(model: keras.Model) -> None:
    images = random_images()
    layer = attribution.default_layer(model)
    maps = attribution.eigen_cam(model, images, upsample=False)
    for A, got in zip(keras.Model(model.inputs, model.get_layer(layer).output)(images).numpy(), maps, strict=True):
        U, S, _ = np.linalg.svd(A.reshape(-1, A.shape[-1]), full_matrices=False)
        expected = (U[:, 0] * S[0]).reshape(A.shape[:2])
        np.testing.assert_allclose(got, expected * np.sign(expected.sum()), rtol=1e-3, atol=1e-3)


def test_ablation_cam_where_paths_lead_round_the_layer() -> None:
    """Channel by channel, by a network that has the channel's kernel and bias at zero."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu", bias_initializer="ones", padding="same", name="first")(inputs)
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.MaxPooling2D(2)(inputs)])
    x = layers.Conv2D(5, 3, activation="tanh")(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(x)))
    images, first = random_images(2, 12), model.get_layer("first")
    got = attribution.ablation_cam(model, images, layer="first", upsample=False)
    A, before = keras.Model(inputs, first.output)(images).numpy(), attribution.logits(model, images)
    expected, weights = np.zeros(A.shape[:3]), first.get_weights()
    for channel in range(4):
        first.set_weights([value * (np.arange(4) != channel) for value in weights])
        fall = before - attribution.logits(model, images)
        expected += (fall / A[..., channel].sum((1, 2)))[:, None, None] * A[..., channel]
    first.set_weights(weights)
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)
    assert first.output is not None, "the layer has become ambiguous"


def through_channels(model: keras.Model, images: np.ndarray, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """The layer's activations (N, h, w, C), and the logits (N, C) or (N, C, k) of the images seen through them."""
    A = keras.Model(model.inputs, model.get_layer(layer).output)(images).numpy()
    found = []
    for image, maps in zip(images, A, strict=True):
        masks = tf.image.resize(np.moveaxis(maps, -1, 0)[..., None], image.shape[:2], "bilinear").numpy()
        low, high = masks.min((1, 2, 3), keepdims=True), masks.max((1, 2, 3), keepdims=True)
        masks = np.divide(masks - low, high - low, out=np.zeros_like(masks), where=high > low)
        found.append(attribution.logits(model, image * masks))
    return A, np.stack(found)


def test_score_cam_by_hand(deep: keras.Model) -> None:
    """Channel by channel, in NumPy."""
    images = random_images(2)
    A, scores = through_channels(deep, images, "conv4")
    by_hand = [a @ (np.exp(z) / np.exp(z).sum()) for a, z in zip(A, scores, strict=True)]
    np.testing.assert_allclose(attribution.score_cam(deep, images, upsample=False), by_hand, rtol=1e-4, atol=1e-5)


def brightness() -> keras.Model:
    """A network whose logit is the mean brightness: every fall can be told in advance."""
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(inputs)))
    model.set_weights([np.full((3, 1), 1 / 3), np.zeros(1)])
    return model


def test_occlusion_by_hand() -> None:
    """Two squares of 4 x 8 make the image; covered black, each takes its own brightness away."""
    model = brightness()
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[0, :4, :4] = 1  # a quarter of the image: the logit is 0.25
    falls = attribution.occlusion(model, image, size=4, stride=4, baseline="black", upsample=False)
    np.testing.assert_allclose(falls[0], [[0.25, 0], [0, 0]], atol=1e-6)
    maps = attribution.occlusion(model, image, size=4, stride=2, baseline="black")
    falls = attribution.occlusion(model, image, size=4, stride=2, baseline="black", upsample=False)[0]
    np.testing.assert_allclose(falls[:2, :2], [[0.25, 0.125], [0.125, 0.0625]], atol=1e-6)
    # Pixel (2, 0) lies in the squares that begin in rows 0 and 2 and in column 0.
    np.testing.assert_allclose(maps[0, 2, 0], (0.25 + 0.125) / 2, atol=1e-6)
    white = np.ones((1, 8, 8, 3), np.float32)
    assert not attribution.occlusion(model, white, size=3, stride=3, baseline="mean").any()
    assert list(occlusion_windows(8, 3, 3)) == [0, 3, 5]
    for options, message in (
        ({"size": 9}, "smaller square"),
        ({"size": 0}, "size is 0"),
        ({"size": 3, "stride": 4}, "leave gaps"),
        ({"stride": 1.5}, "stride is 1.5"),
    ):
        with pytest.raises(CrackvizError, match=message):
            attribution.occlusion(model, image, **options)


def test_rise_is_the_slope_of_a_straight_line(deep: keras.Model) -> None:
    """Pixel by pixel, by least squares, over the masks that were used."""
    images = random_images(2)
    n, cells = 40, 4
    got = attribution.rise(deep, images, n_samples=n, cells=cells, seed=3)
    rng = np.random.default_rng(3)
    grids = (rng.random((n, cells + 1, cells + 1)) < 0.5).astype(np.float32)
    masks = _masks(grids, rng.random((n, 2), np.float32), (32, 32)).numpy()
    assert masks.min() >= 0 and masks.max() <= 1 and 0.4 < masks.mean() < 0.6
    for image, map_ in zip(images, got, strict=True):
        z = attribution.logits(deep, image * masks[..., np.newaxis])
        slopes = [np.polyfit(masks[:, i, j], z, 1)[0] for i, j in ((0, 0), (5, 17), (31, 30))]
        np.testing.assert_allclose(map_[[0, 5, 31], [0, 17, 30]], slopes, rtol=1e-3, atol=1e-4)


def test_rise_finds_what_matters() -> None:
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[0, :4, :4] = 1
    maps = attribution.rise(brightness(), image, n_samples=400, cells=2)[0]
    assert maps[:4, :4].mean() > 3 * np.abs(maps[4:, 4:]).mean()
    for options in ({"keep": 1.0}, {"n_samples": 1}, {"n_samples": 0}, {"cells": 0}):
        with pytest.raises(CrackvizError):
            attribution.rise(brightness(), image, **options)


def test_lime_finds_the_weights_of_a_straight_line() -> None:
    """Four quarters of a picture: each has as its coefficient what its pixels add to the mean brightness."""
    image = np.full((1, 8, 8, 3), 0.2, np.float32)
    image[0, :, 4:] = 0.8
    for baseline, expected in (("black", [0.05, 0.2]), (0.2, [0, 0.15])):
        maps = attribution.lime(brightness(), image, n_segments=4, n_samples=4000, baseline=baseline)[0]
        np.testing.assert_allclose(maps[:, [0, 7]], np.tile(expected, (8, 1)), rtol=0.02, atol=1e-3)
        assert len(np.unique(maps)) == 4
    grain = 0.5 + 0.05 * np.random.default_rng(0).normal(size=(1, 64, 64, 1)).astype(np.float32).repeat(3, axis=3)
    parts = len(np.unique(attribution.lime(models.gap_cnn(64), grain, n_samples=100)))
    assert 20 < parts < 60, "superpixels of grain have run into each other"
    for options in ({"n_samples": 1}, {"n_segments": 1}):
        with pytest.raises(CrackvizError):
            attribution.lime(brightness(), image, **options)


def test_guided_backprop_wherever_the_relu_is() -> None:
    """In the layer, after it, in an Activation, in a nested model, of whatever kind: the same map, not the gradient."""
    images = random_images(2, 16)

    def network(relu: Callable[[int], list[Any]]) -> keras.Model:
        keras.utils.set_random_seed(3)
        stack = [keras.Input((16, 16, 3)), *relu(4), *relu(6), layers.GlobalAveragePooling2D(), layers.Dense(1)]
        return keras.Sequential(stack)

    kinds: list[Callable[[int], list[Any]]] = [
        lambda n: [layers.Conv2D(n, 3, activation="relu")],
        lambda n: [layers.Conv2D(n, 3), layers.ReLU()],
        lambda n: [layers.Conv2D(n, 3), layers.Activation("relu")],
        lambda n: [layers.Conv2D(n, 3, activation=tf.nn.relu)],
        lambda n: [layers.Conv2D(n, 3, activation=keras.ops.relu)],
        lambda n: [layers.Conv2D(n, 3, activation=layers.ReLU())],
        lambda n: [layers.Conv2D(n, 3, activation=lambda x: tf.maximum(x, 0.0))],
        lambda n: [layers.Conv2D(n, 3, activation="relu" if n == 4 else tf.nn.relu)],
    ]
    inside = network(kinds[0])
    nested = keras.Sequential([keras.Input((16, 16, 3)), keras.Sequential(inside.layers[:2]), *inside.layers[2:]])
    first = attribution.guided_backprop(inside, images)
    assert first.any() and not np.allclose(first, attribution.gradient(inside, images), rtol=0.1)
    x = layers.Conv2D(4, 3)(start := keras.Input((16, 16, 3)))
    x = keras.activations.relu(layers.Conv2D(6, 3)(keras.ops.relu(x)))
    operations = keras.Model(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    x = 2.0 - (2.0 - keras.ops.maximum(layers.Conv2D(4, 3)(start), 0.0))  # numbers before and behind the tensor
    x = keras.ops.maximum(x1=0.0, x2=layers.Conv2D(6, 3)(1.0 * x))
    numbers = keras.Model(start, layers.Dense(1)(layers.GlobalAveragePooling2D()(x / 1.0)))
    for other in (*map(network, kinds[1:]), nested, operations, numbers):
        other.set_weights(inside.get_weights())
        np.testing.assert_allclose(attribution.guided_backprop(other, images), first, atol=1e-6)
    plain = network(lambda n: [layers.Conv2D(n, 3, activation="tanh")])
    with pytest.raises(CrackvizError, match="no ReLU"):
        attribution.guided_backprop(plain, images)
    assert inside.layers[0].output is not None, "calling the layer again has made it ambiguous"


def test_guided_backprop_is_not_half_guided() -> None:
    class Block(layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.inner = layers.Conv2D(4, 3, activation="relu", name="inner")

        def call(self, x: Any) -> Any:
            return 2 * self.inner(x)

    stack = [Block(), layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(1)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stack])
    with pytest.raises(CrackvizError, match="Block 'block' has a ReLU inside, 'inner'"):
        attribution.guided_backprop(model, random_images(1, 16))


def test_guided_backprop_by_hand() -> None:
    """Two ways to the logit, by +1 and -1: the gradient takes both, the guided one the first alone."""
    inputs = keras.Input((1, 1, 3))
    x = layers.Conv2D(2, 1, activation="relu", use_bias=False)(inputs)
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(layers.Flatten()(x)))
    model.set_weights([np.array([[2.0, 3], [0, 0], [0, 0]]).reshape(1, 1, 3, 2), np.array([[1.0], [-1]])])
    image = np.full((1, 1, 1, 3), 0.5, np.float32)
    assert attribution.gradient(model, image).item() == 2 - 3
    assert attribution.guided_backprop(model, image).item() == 2
    assert attribution.guided_backprop(model, image, target="no_crack").item() == 3


def test_baselines_by_hand(deep: keras.Model) -> None:
    image = np.full((1, 32, 32, 3), 0.8, np.float32)
    image[0, :, 15] = 0.1  # a dark line
    np.testing.assert_allclose(attribution.darkness(deep, image)[0, 4, [3, 15]], [0.2, 0.9], atol=1e-6)
    local = attribution.local_darkness(deep, image)[0]
    assert (local.argmax(axis=1) == 15).all() and local[:, 5].max() < 0.05
    slope = attribution.edges(deep, image)[0]
    assert set(slope.argmax(axis=1)) <= {14, 16} and slope[4, 15] < 1e-6
    noise = attribution.random(deep, np.concatenate([image, image / 2]))
    assert not np.array_equal(*noise) and 0.45 < noise.mean() < 0.55


# --- tf-keras-vis -------------------------------------------------------------------------------------------------


def classifier(blocks: list[Any], seed: int, units: int = 2) -> keras.Model:
    """A small network of linear outputs, which tf-keras-vis takes as it is."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((16, 16, 3))
    for block in blocks:
        x = block(x)
    return keras.Model(inputs, layers.Dense(units, name="logit")(x))


def three_networks(stride: int) -> list[keras.Model]:
    conv = layers.Conv2D
    relu = {"activation": "relu", "padding": "same"}
    return [
        classifier([conv(4, 3, strides=stride, **relu), conv(6, 3, name="last", **relu), layers.Flatten()], 1),
        classifier(
            [
                *(conv(4, 5, padding="same"), layers.BatchNormalization(), layers.ReLU()),
                *(conv(5, 3, strides=stride, name="last", **relu), conv(3, 3, **relu)),
                layers.GlobalAveragePooling2D(),
            ],
            2,
        ),
        classifier(
            [
                conv(8, 3, name="last", strides=stride, **relu),
                layers.GlobalMaxPooling2D(),
                layers.Dense(7, activation="tanh"),
            ],
            3,
            units=3,
        ),
    ]


@pytest.mark.parametrize("number", range(3))
def test_as_tf_keras_vis(number: int) -> None:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.layercam import Layercam
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    model = three_networks(stride=2)[number]
    images = random_images(3, 16)
    score = CategoricalScore([1] * 3)
    raw = {
        "penultimate_layer": "last",
        "seek_penultimate_conv_layer": False,
        "normalize_cam": False,
        "expand_cam": False,
        "activation_modifier": None,
    }
    for name, theirs in (("grad_cam", Gradcam(model)), ("layer_cam", Layercam(model))):
        expected = np.asarray(theirs(score, images, **raw))
        got = METHODS[name](model, images, target=1, layer="last", upsample=False)
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(got, expected, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=name)
    expected = np.asarray(Saliency(model)(score, images, normalize_map=False))
    got = attribution.gradient(model, images, target=1, channels="max")
    np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3", "conv4"])
def test_grad_cam_plus_plus_as_its_authors_write_it(layer: str, deep: keras.Model) -> None:
    """Their numerators, denominators and threshold, in float64; tf-keras-vis keeps an older rule at earlier layers."""
    images = random_images(4)
    A = keras.Model(deep.inputs, deep.get_layer(layer).output)(images)
    with tf.GradientTape() as tape:
        tape.watch(A)
        z = deep_from(deep, layer)(A)
    G = np.asarray(tape.gradient(z, A), np.float64)
    A = np.asarray(A, np.float64)
    sums = A.sum(axis=(1, 2), keepdims=True)
    denominators = 2 * G**2 + sums * G**3
    alphas = G**2 / np.where(denominators != 0, denominators, 1)
    alphas = np.where(np.maximum(G, 0) != 0, alphas, 0)
    constants = alphas.sum(axis=(1, 2), keepdims=True)
    alphas /= np.where(constants != 0, constants, 1)
    expected = (A * (np.maximum(G, 0) * alphas).sum(axis=(1, 2), keepdims=True)).sum(axis=-1)
    got = attribution.grad_cam_plus_plus(deep, images, layer=layer, upsample=False)
    assert (got >= 0).all() and expected.max() > 0
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4 * expected.max())


def deep_from(model: keras.Model, layer: str) -> keras.Model:
    """What follows a layer, as a network of its own: the network is a plain chain."""
    names = [one.name for one in model.layers]
    rest = model.layers[names.index(layer) + 1 : names.index("logit") + 1]
    inputs = keras.Input(model.get_layer(layer).output.shape[1:])
    x = inputs
    for one in rest:
        x = one(x)
    return keras.Model(inputs, x)


@pytest.mark.parametrize("number", range(3))
def test_score_cam_as_tf_keras_vis(number: int) -> None:
    """Weighed by probabilities, as it does, where the layer is as large as the image, since it enlarges differently.

    The same weighed by the softmax of the logits over the channels is ours.
    """
    from tf_keras_vis.scorecam import Scorecam
    from tf_keras_vis.utils.scores import CategoricalScore

    model = three_networks(stride=1)[number]
    images = random_images(3, 16)
    expected = Scorecam(model)(
        CategoricalScore([1] * 3),
        images,
        penultimate_layer="last",
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
        expand_cam=False,
    )
    A, scores = through_channels(model, images, "last")
    weights = tf.nn.softmax(scores).numpy()[..., 1]
    got = np.einsum("nhwc,nc->nhw", A, weights).clip(min=0)
    np.testing.assert_allclose(got, np.asarray(expected), atol=1e-4)
    ours = np.einsum("nhwc,nc->nhw", A, tf.nn.softmax(scores[..., 1], axis=1)).clip(min=0)
    np.testing.assert_allclose(
        attribution.score_cam(model, images, target=1, layer="last", upsample=False), ours, atol=1e-4
    )
    assert got.max() > 0.01


# --- other people's models ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in METHODS if name != "cam"])
def test_a_model_of_three_classes_without_a_size(name: str) -> None:
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(4, 3, strides=2, activation="relu", kernel_initializer=keras.initializers.HeUniform(seed=2)),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, activation="softmax", kernel_initializer=keras.initializers.HeUniform(seed=2)),
        ]
    )
    maps = [explain(name, model, random_images(2, side), target=2) for side in (16, 24, 33)]
    assert [one.shape for one in maps] == [(2, 16, 16), (2, 24, 24), (2, 33, 33)]
    other = explain(name, model, random_images(2, 24), target=1)
    assert np.array_equal(other, maps[1]) != METHODS[name].by_class
    for count in (1, 3):
        explain(name, model, random_images(count, 24), target=2)
    traced = [
        made for made in network._CACHE.get(model, {}).values() if hasattr(made, "experimental_get_tracing_count")
    ]
    assert [made.experimental_get_tracing_count() for made in traced] == [1] * len(traced)
    assert traced or METHODS[name].kind == "baseline"


def test_cam_refuses_another_ending() -> None:
    model = three_networks(2)[2]
    with pytest.raises(CrackvizError, match="take grad_cam"):
        attribution.cam(model, random_images(1, 16), target=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "nested"),
    [("thin_cam", False), ("hires_cam", True), ("guided_backprop", True), ("occlusion", True), ("deep_lift", True)],
)
def test_mobilenet(name: str, nested: bool) -> None:
    base = keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None, input_shape=(64, 64, 3))
    for layer in base.layers:  # an untrained network in inference mode has activations near 1e-11 otherwise
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([*layer.get_weights()[:3], np.full_like(layer.get_weights()[3], 0.1)])
    tail = [layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")]
    if nested:
        model = keras.Sequential([keras.Input((64, 64, 3)), base, *tail])
    else:
        model = keras.Model(base.inputs, tail[1](tail[0](base.outputs[0])))
    maps = explain(name, model, random_images(2, 64))
    assert maps.shape == (2, 64, 64) and np.isfinite(maps).all() and maps.any()


# --- properties ---------------------------------------------------------------------------------------------------

sizes = st.integers(1, 9)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 4), height=sizes, width=sizes, up=st.tuples(sizes, sizes), seed=st.integers(0, 99))
def test_enlarging_is_half_pixel_bilinear(count: int, height: int, width: int, up: tuple[int, int], seed: int) -> None:
    maps = np.random.default_rng(seed).normal(size=(count, height, width)).astype(np.float32)
    size = (height + 4 * up[0], width + 4 * up[1])
    expected = tf.image.resize(maps[..., None], size, "bilinear").numpy()[..., 0]
    np.testing.assert_allclose(pictures.enlarge(tf.constant(maps), tf.zeros((1, *size, 3))), expected, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(
    kernels=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2), st.integers(1, 2)), min_size=1, max_size=3),
    pool=st.booleans(),
    sign=st.sampled_from([1, -1]),
)
def test_the_receptive_field_is_what_the_gradient_says(
    kernels: list[tuple[int, int, int]], pool: bool, sign: int
) -> None:
    """With weights of one sign and average pooling nothing hides a path: computed and measured are the same."""
    x = inputs = keras.Input((64, 64, 3))
    for kernel, stride, dilation in kernels:
        x = layers.Conv2D(2, kernel, strides=stride if dilation == 1 else 1, dilation_rate=dilation, padding="same")(x)
    if pool:
        x = layers.AveragePooling2D(2)(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    first, *others = (np.abs(value) + 0.1 for value in model.get_weights())
    model.set_weights([sign * first, *others])
    field = attribution.ladder(model)["receptive_field"].iloc[-1]
    rows, columns = attribution.measured_field(model, random_images(1, 64))
    assert rows.stop - rows.start == columns.stop - columns.start == field


def test_the_measured_field_of_a_real_network(model: keras.Model) -> None:
    images = random_images(8)
    for name, row in attribution.ladder(model).iterrows():
        rows, columns = attribution.measured_field(model, images, str(name))
        assert 0 < rows.stop - rows.start <= min(row["receptive_field"], 32)
        assert 0 < columns.stop - columns.start <= min(row["receptive_field"], 32)
    first = attribution.measured_field(model, images, 0, cell=(0, 3))
    assert first[0].start == 0 and first[1].start > 0
    with pytest.raises(CrackvizError, match="counted from 0"):
        attribution.measured_field(model, images, cell=(99, 0))
    assert model.get_layer("conv1").strides[0] == attribution.ladder(model).loc["conv1", "cell"]


def test_a_dead_network_sees_nothing() -> None:
    model = models.gap_cnn(32)
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    assert attribution.measured_field(model, random_images()) == (slice(0, 0), slice(0, 0))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), target=st.sampled_from(["crack", "no_crack", 0, 1]), dark=st.booleans())
def test_signed_maps_sum_to_the_logit(seed: int, target: Any, dark: bool) -> None:
    model = _SUMS.setdefault("model", with_bias(models.gap_cnn_deep(32, seed=1), -0.4))
    images = random_images(2, seed=seed) * (0.1 if dark else 1)
    for name in ("grad_cam", "thin_cam"):
        maps = explain(name, model, images.astype(np.float32), target=target, upsample=False)
        error = attribution.completeness_error(model, images, maps, target=target)
        assert np.abs(error).max() < 1e-5 * (1 + np.abs(maps).sum((1, 2)).max())


_SUMS: dict[str, keras.Model] = {}


@pytest.mark.parametrize("name", attribution.METHODS)
def test_options_are_known_and_flags_are_flags(name: str) -> None:
    images = np.zeros((1, 32, 32, 3), np.float32)
    model = models.gap_cnn(32)
    for call in (attribution.METHODS[name], getattr(attribution, name)):
        with pytest.raises(CrackvizError, match=rf"{name} has no option 'uspample'\. Did you mean upsample\? Known: "):
            call(model, images, uspample=False)
        with pytest.raises(CrackvizError, match="upsample is 'yes'; expected True or False"):
            call(model, images, upsample="yes")


@pytest.mark.parametrize("name", ["eigen_cam", "grad_cam", "occlusion", "gradient"])
def test_maps_that_would_hold_no_numbers_are_refused(name: str) -> None:
    net = keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Conv2D(2, 3), layers.BatchNormalization(),
         layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")]
    )  # fmt: skip
    net.layers[1].moving_variance.assign([-1.0, -1.0])
    with pytest.raises(CrackvizError, match=f"The maps of {name} hold NaN or infinity"):
        attribution.METHODS[name](net, random_images(1, 16))
