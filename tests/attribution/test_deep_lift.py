"""DeepLIFT: hand-computed maps, the sum that must be kept, and what has no rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from crackviz import CrackvizError, attribution, models


def images_of(count: int = 3, side: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), np.float32)


def network(*stack: Any, side: int = 12, seed: int = 1) -> keras.Model:
    """Layers behind each other, one logit, and biases, without which a ReLU never bends between black and an image."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((side, side, 3)), *stack, layers.Dense(1)])
    rng = np.random.default_rng(seed)
    model.set_weights([v if v.ndim > 1 else v + rng.normal(0, 0.3, v.shape) for v in model.get_weights()])
    return model


def pixel(*values: float) -> np.ndarray:
    return np.array(values, np.float32).reshape(1, 1, 1, 3)


def of_one_pixel(kernel: list[list[float]], bias: list[float], last: list[float], activation: str) -> keras.Model:
    """A picture of one pixel, a layer of two units, a logit."""
    stack = [layers.Conv2D(2, 1, activation=activation), layers.Flatten(), layers.Dense(1)]
    model = keras.Sequential([keras.Input((1, 1, 3)), *stack])
    model.set_weights([np.reshape(kernel, (1, 1, 3, 2)), np.array(bias), np.reshape(last, (2, 1)), np.array([0.7])])
    return model


# --- by hand ------------------------------------------------------------------------------------------------------


def test_relu_by_hand() -> None:
    """Red opens a ReLU half way, green one that was open: slopes 1/2 and 1."""
    model = of_one_pixel([[2, 0], [0, 1], [0, 0]], [-1, 0.5], [3, -4], "relu")
    # first unit: -1 -> 1, so 0 -> 1 after the ReLU; second: 0.5 -> 1, before and after. The logit goes from -2 to -1.
    got = [
        attribution.deep_lift(model, pixel(*values), baseline="black").item()
        for values in ((1, 0.5, 0), (1, 0, 0), (0, 0.5, 0))
    ]
    np.testing.assert_allclose(got, [3 - 2, 3, -2], atol=1e-6)
    assert attribution.gradient(model, pixel(1, 0.5, 0)).item() == 2 * 3 - 4, "the slope at the image is another"
    against = attribution.deep_lift(model, pixel(1, 0.5, 0), baseline="black", target="no_crack")
    np.testing.assert_allclose(against.item(), -1, atol=1e-6)


def test_tanh_by_hand() -> None:
    model = of_one_pixel([[1, 0], [0, 1], [0, 0]], [0, 1], [5, 2], "tanh")
    got = attribution.deep_lift(model, pixel(0.5, 1, 0), baseline="black").item()
    np.testing.assert_allclose(got, 5 * np.tanh(0.5) + 2 * (np.tanh(2) - np.tanh(1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("image", "reference", "expected"),
    [
        ([0.9, 0.3, 0.2, 0.1], [0.1, 0.4, 0.2, 0.1], [0.5, 0, 0, 0]),  # a rise: to the image's largest
        ([0.3, 0.2, 0.1, 0.1], [0.1, 0.8, 0.2, 0.1], [0, -0.5, 0, 0]),  # a fall: to the reference's
        ([0.1, 0.3, 0.2, 0.2], [0.8, 0.8, 0.8, 0.8], [0, -0.5, 0, 0]),  # all alike: where the image is largest
        ([0.1, 0.3, 0.2, 0.2], [0.8, 0.2, 0.8, 0.2], [-0.5, 0, 0, 0]),  # alike elsewhere: to the first
        ([0.4, 0.4, 0.1, 0.2], [0.4, 0.1, 0.2, 0.2], [0, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize(
    "layer", [layers.MaxPooling2D(2), layers.MaxPooling2D(2, padding="same"), layers.GlobalMaxPooling2D()]
)
def test_max_pooling_by_hand(layer: Any, image: Any, reference: Any, expected: Any) -> None:
    model = keras.Sequential(
        [keras.Input((2, 2, 3)), type(layer).from_config(layer.get_config()), layers.Flatten(), layers.Dense(1)]
    )
    model.set_weights([np.array([[1.0], [0], [0]]), np.zeros(1)])
    x, r = (np.zeros((1, 2, 2, 3), np.float32) for _ in range(2))
    x[..., 0], r[..., 0] = np.reshape(image, (2, 2)), np.reshape(reference, (2, 2))
    got = attribution.deep_lift(model, x, baseline=r)
    np.testing.assert_allclose(got[0], np.reshape(expected, (2, 2)), atol=1e-6)


def test_overlapping_windows_add_up() -> None:
    """One row 0.2, 0.9, 0.4 in windows of two: the middle cell is the largest in both."""
    model = keras.Sequential(
        [keras.Input((1, 3, 3)), layers.MaxPooling2D((1, 2), 1), layers.Flatten(), layers.Dense(1)]
    )
    model.set_weights([np.array([[1.0], [0], [0], [10], [0], [0]]), np.zeros(1)])
    x = np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, :, 0] = [0.2, 0.9, 0.4]
    got = attribution.deep_lift(model, x, baseline="black")
    np.testing.assert_allclose(got[0, 0], [0, 0.9 + 9, 0], atol=1e-5)


def test_a_product_by_hand() -> None:
    """Red goes from 1 to 2, green from 0 to 1, their product from 0 to 2: half of it to red, three halves to green."""
    inputs = keras.Input((1, 1, 3))
    a, b = (layers.Conv2D(1, 1, name=name)(inputs) for name in "ab")
    outputs = layers.Dense(1)(layers.GlobalAveragePooling2D()(layers.Multiply()([a, b])))
    model = keras.Model(inputs, outputs)
    kernels = [np.reshape(v, (1, 1, 3, 1)) for v in ([1.0, 0, 0], [0, 2.0, 0])]
    model.set_weights([kernels[0], np.ones(1), kernels[1], np.zeros(1), np.ones((1, 1)), np.zeros(1)])
    image = pixel(1, 0.5, 0)
    assert attribution.deep_lift(model, image, baseline="black").item() == pytest.approx(2)
    # alone: green moves nothing where red is as it was, and b' is 0, so what is red's is 0.5 of it
    model.get_layer("a").bias.assign([0.0])  # a: 0 -> 1
    assert attribution.deep_lift(model, image, baseline="black").item() == pytest.approx(1)
    by_red = attribution.deep_lift(model, image, baseline=pixel(0, 0.5, 0)).item()
    np.testing.assert_allclose(by_red, 1, atol=1e-6)  # 0 -> 1, where b stays 1


# --- other packages -----------------------------------------------------------------------------------------------

THEIRS = json.loads((Path(__file__).parent / "reference_maps.json").read_text("utf-8"))
"""Maps of captum and pytorch-grad-cam, and the network, as ``benchmarks/reference_maps.py`` has made them."""


@pytest.fixture(scope="module")
def theirs() -> tuple[keras.Model, np.ndarray]:
    first, last = (
        layers.MaxPooling2D(2, name="first"),
        layers.Conv2D(5, 3, padding="same", activation="relu", name="last"),
    )
    stack = [layers.Conv2D(4, 3, padding="same"), first, last]
    model = keras.Sequential([keras.Input((6, 8, 3)), *stack, layers.GlobalAveragePooling2D(), layers.Dense(1)])
    pairs = zip(THEIRS["kernels"], THEIRS["biases"], strict=True)
    model.set_weights([np.array(value) for pair in pairs for value in pair])
    images = np.array(THEIRS["pictures"], np.float32)
    np.testing.assert_allclose(attribution.logits(model, images), THEIRS["logits"], atol=1e-5)
    return model, images


def test_as_captum(theirs: tuple[keras.Model, np.ndarray]) -> None:
    model, images = theirs
    references = np.array(THEIRS["references"], np.float32)
    expected = np.array(THEIRS["captum DeepLift, against the references"])
    np.testing.assert_allclose(attribution.deep_lift(model, images, baseline=references), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("layer", ["first", "last"])
def test_grad_cam_plus_plus_as_pytorch_grad_cam(layer: str, theirs: tuple[keras.Model, np.ndarray]) -> None:
    """Its weights aren't divided by the sum of alpha over the cells of positive gradient, which the authors' are."""
    model, images = theirs
    at, end = model.get_layer(layer), model.layers.index(model.get_layer(layer))
    A = keras.Model(model.inputs[0], at.output)(images)
    with tf.GradientTape() as tape:
        tape.watch(A)
        z = A
        for later in model.layers[end + 1 :]:
            z = later(z)
    G = np.asarray(tape.gradient(z, A), np.float64)
    A = np.asarray(A, np.float64)
    alpha = G**2 / (2 * G**2 + A.sum((1, 2), keepdims=True) * G**3 + 1e-6)  # the 1e-6 is theirs
    alpha = np.where(G != 0, alpha, 0)
    weights = (np.maximum(G, 0) * alpha).sum((1, 2), keepdims=True)
    expected = np.array(THEIRS[f"grad-cam GradCAMPlusPlus, {layer} layer"])
    np.testing.assert_allclose((weights * A).sum(-1), expected, rtol=1e-3, atol=1e-5)
    alpha = np.where(G > 0, 1 / (2 + A.sum((1, 2), keepdims=True) * G), 0)
    total = alpha.sum((1, 2), keepdims=True)
    weights = (np.maximum(G, 0) * alpha).sum((1, 2), keepdims=True) / np.where(total > 0, total, 1)
    got = attribution.grad_cam_plus_plus(model, images, layer=layer, upsample=False)
    np.testing.assert_allclose(got, (weights * A).sum(-1), rtol=1e-4, atol=1e-6)
    assert got.max() > 0.01


# --- what must hold -----------------------------------------------------------------------------------------------

BLOCKS: dict[str, Callable[[], list[Any]]] = {
    "convolution": lambda: [layers.Conv2D(4, 3, padding="same", activation="relu")],
    "strided": lambda: [layers.Conv2D(5, 4, strides=2, padding="same", activation="tanh")],
    "depthwise": lambda: [layers.DepthwiseConv2D(3, activation="sigmoid"), layers.LeakyReLU()],
    "normalised": lambda: [layers.Conv2D(4, 1), layers.BatchNormalization(), layers.Activation("relu")],
    "largest": lambda: [layers.MaxPooling2D(2)],
    "largest, overlapping": lambda: [layers.Conv2D(3, 1), layers.MaxPooling2D(3, 2, padding="same")],
    "mean": lambda: [layers.AveragePooling2D(3, 1, padding="same"), layers.ELU()],
    "enlarged": lambda: [layers.UpSampling2D(2, interpolation="bilinear"), layers.ReLU(max_value=0.4)],
    "left out": lambda: [layers.Dropout(0.5), layers.Cropping2D(1), layers.ZeroPadding2D(1)],
}
ENDS: dict[str, Callable[[], list[Any]]] = {
    "mean": lambda: [layers.GlobalAveragePooling2D()],
    "largest": lambda: [layers.GlobalMaxPooling2D(), layers.Dense(5, activation="relu")],
    "flat": lambda: [layers.Flatten(), layers.Dense(4, activation="sigmoid")],
}


@settings(max_examples=12, deadline=None)
@given(
    blocks=st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=3),
    end=st.sampled_from(sorted(ENDS)),
    baseline=st.sampled_from(["black", "mean", "blur", 0.5, "another"]),
    seed=st.integers(0, 10**6),
)
def test_it_sums_to_the_difference(blocks: list[str], end: str, baseline: Any, seed: int) -> None:
    model = network(*(layer for name in blocks for layer in BLOCKS[name]()), *ENDS[end](), seed=seed)
    images = images_of(2, seed=seed)
    baseline = images[::-1] if baseline == "another" else baseline
    maps = attribution.deep_lift(model, images, baseline=baseline)
    error = attribution.completeness_error(model, images, maps, baseline=baseline)
    assert np.isfinite(maps).all()
    assert np.abs(error).max() < 1e-5 * (1 + np.abs(maps).sum(axis=(1, 2)).max())


def test_paths_that_part_and_meet() -> None:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((12, 12, 3))
    a = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    b = layers.Conv2D(3, 1, activation="tanh")(inputs)
    met = [layers.Add()([a, b]), layers.Subtract()([a, b]), layers.Average()([a, b]), layers.Multiply()([a, b])]
    x = layers.Concatenate()([*met, layers.MaxPooling2D(3, 1, padding="same")(a)])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu", bias_initializer="ones")(x))
    model = keras.Model(inputs, layers.Dense(1)(x))
    images = images_of()
    maps = attribution.deep_lift(model, images)
    error = attribution.completeness_error(model, images, maps, baseline="mean")
    difference = maps.sum(axis=(1, 2)) - error
    assert np.abs(difference).min() > 1e-2, "nothing was tested"
    assert (np.abs(error) < 1e-4 * np.abs(difference)).all()


@pytest.mark.parametrize(
    "name", ["gap_cnn", "gap_cnn_deep", "local_cnn", pytest.param("mobilenet_v2", marks=pytest.mark.slow)]
)
def test_the_shipped_networks_sum_to_the_difference(name: str) -> None:
    model = models.gap_cnn(64, seed=3) if name == "gap_cnn" else models.load_pretrained(name)
    images = images_of(2, models.image_size(model) or 64)
    maps = attribution.deep_lift(model, images)
    error = attribution.completeness_error(model, images, maps, baseline="mean")
    difference = maps.sum(axis=(1, 2)) - error
    assert (np.abs(error) < 1e-4 * np.abs(difference)).all()


def test_of_a_straight_line_it_is_integrated_gradients() -> None:
    linear = network(layers.Conv2D(3, 3), layers.AveragePooling2D(2), layers.BatchNormalization(), layers.Flatten())
    images = images_of()
    for baseline in ("mean", 0.3):
        maps = attribution.deep_lift(linear, images, baseline=baseline)
        few = attribution.integrated_gradients(linear, images, baseline=baseline, n_samples=1)
        np.testing.assert_allclose(maps, few, atol=1e-6)
        assert maps.any()


def test_where_nothing_differs_the_slope_at_the_image_counts() -> None:
    """A ReLU whose input is the same by cancelling: 1 more here, 1 less there, and each has its part."""
    model = keras.Sequential(
        [keras.Input((1, 2, 3)), layers.Conv2D(1, (1, 2)), layers.ReLU(), layers.Flatten(), layers.Dense(1)]
    )
    model.set_weights(
        [np.array([1.0, 0, 0, 1, 0, 0]).reshape(1, 2, 3, 1), np.array([0.5]), np.ones((1, 1)), np.zeros(1)]
    )
    x, r = (np.zeros((1, 1, 2, 3), np.float32) for _ in range(2))
    x[..., 0], r[..., 0] = [0.25, 0.75], [0.75, 0.25]
    got = attribution.deep_lift(model, x, baseline=r)[0, 0]
    np.testing.assert_allclose(got, [-0.5, 0.5], atol=1e-6)


def test_one_reference_for_all_is_that_reference_for_each() -> None:
    model = network(layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2), layers.GlobalAveragePooling2D())
    images = images_of(attribution.CHUNK + 2)
    other = images_of(1, seed=9)
    for alike, each in (
        ("black", np.zeros_like(images)),
        (0.25, np.full_like(images, 0.25)),
        (other, np.repeat(other, len(images), 0)),
    ):
        np.testing.assert_allclose(
            attribution.deep_lift(model, images, baseline=alike),
            attribution.deep_lift(model, images, baseline=each),
            atol=1e-6,
        )


def test_wherever_the_activation_is() -> None:
    """In the layer, after it, an operation, in a nested model: the same map; and it reads the weights as they are."""
    conv = layers.Conv2D

    def cut(x: Any) -> Any:
        return keras.ops.maximum(x, 0.0)

    kinds: list[list[Any]] = [
        [conv(4, 3, activation="relu")],
        [conv(4, 3), layers.ReLU()],
        [conv(4, 3), layers.Activation("relu")],
        [conv(4, 3, activation=layers.ReLU())],
        [conv(4, 3, activation=cut)],
        [keras.Sequential([keras.Input((12, 12, 3)), conv(4, 3, activation="relu")])],
    ]
    made = [network(*kind, layers.MaxPooling2D(2), layers.GlobalAveragePooling2D()) for kind in kinds]
    inputs = keras.Input((12, 12, 3))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(2)(keras.ops.relu(conv(4, 3)(inputs))))
    made.append(keras.Model(inputs, layers.Dense(1)(x)))
    images = images_of()
    first = attribution.deep_lift(made[0], images)
    for other in made[1:]:
        before = attribution.deep_lift(other, images)
        other.set_weights([2 * value for value in made[0].get_weights()])
        assert not np.allclose(attribution.deep_lift(other, images), before, atol=1e-4)
        other.set_weights(made[0].get_weights())
        np.testing.assert_allclose(attribution.deep_lift(other, images), first, atol=1e-6)
    assert made[0].layers[0].output is not None, "the layer has become ambiguous"


def test_a_relu_before_max_pooling_is_taken_after_it() -> None:
    """Where others read the ReLU, too, it stays; the sum holds either way."""
    images, conv = images_of(), layers.Conv2D
    before = network(conv(4, 3, activation="relu"), layers.MaxPooling2D(2), layers.GlobalAveragePooling2D())
    after = network(conv(4, 3), layers.MaxPooling2D(2), layers.ReLU(), layers.GlobalAveragePooling2D())
    after.set_weights(before.get_weights())
    maps = attribution.deep_lift(before, images)
    np.testing.assert_allclose(maps, attribution.deep_lift(after, images), atol=1e-6)
    inputs = keras.Input((12, 12, 3))
    x = conv(4, 3, activation="relu", bias_initializer="ones")(inputs)
    parts = [layers.GlobalAveragePooling2D()(one) for one in (x, layers.MaxPooling2D(2)(x))]
    both = keras.Model(inputs, layers.Dense(1)(layers.Concatenate()(parts)))
    maps = attribution.deep_lift(both, images)
    assert np.abs(attribution.completeness_error(both, images, maps, baseline="mean")).max() < 1e-5


def test_what_has_no_rule_is_refused() -> None:
    images = images_of()
    inputs = keras.Input((12, 12, 3))
    for unknown in (
        layers.Softmax(name="unknown"),
        layers.Activation("softmax", name="unknown"),
        layers.LayerNormalization(name="unknown"),
        layers.Conv2D(3, 1, activation="softmax", name="unknown"),
        layers.PReLU(name="unknown"),
    ):
        with pytest.raises(CrackvizError, match=r"no rule for .* 'unknown'.*integrated_gradients"):
            attribution.deep_lift(network(unknown, layers.GlobalAveragePooling2D()), images)
    three = layers.Multiply(name="unknown")([inputs, inputs, inputs])
    largest = layers.Maximum(name="unknown")([inputs, layers.Conv2D(3, 1)(inputs)])
    for x in (three, largest):
        model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
        with pytest.raises(CrackvizError, match="no rule"):
            attribution.deep_lift(model, images)
