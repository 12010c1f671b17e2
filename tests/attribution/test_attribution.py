"""Grad-CAM: the exact sum, hand-computed maps, and everything that must or must not change the answer."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from crackviz import CrackvizError, attribution, models
from crackviz.attribution import cams, network


def random_images(count: int = 3, side: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), np.float32)


@pytest.fixture(params=["gap_cnn", "gap_cnn_deep", "gap_cnn_far", "local_cnn"])
def model(request: pytest.FixtureRequest) -> keras.Model:
    """The networks that end in an average and one logit; for the others see the end of this file."""
    model = models.build(request.param, 32, seed=5)
    weights = model.get_weights()
    weights[-1][:] = 0.7  # a bias that would be missed
    model.set_weights(weights)
    return model


def test_the_signed_map_sums_to_logit_less_bias(model: keras.Model) -> None:
    images = random_images(8)
    maps = attribution.grad_cam(model, images, upsample=False)
    evidence = attribution.logits(model, images) - attribution.bias(model)[0]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), evidence, rtol=1e-5, atol=1e-6)
    assert np.abs(evidence).min() > 1e-3, "nothing was tested"


def line_detector(bias: float = 0.0) -> keras.Model:
    """One convolution that answers to a dark vertical line between brighter neighbours, on 5 x 5 pixels."""
    inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(1, (1, 3), activation="relu", name="conv")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Activation("sigmoid")(layers.Dense(1, name="logit")(x))
    model = keras.Model(inputs, outputs)
    kernel = np.array([1.0, -2.0, 1.0]).reshape(1, 3, 1, 1).repeat(3, axis=2) / 3
    model.set_weights([kernel, np.zeros(1), np.array([[3.0]]), np.array([bias])])
    return model


def test_five_by_five_by_hand() -> None:
    """A black line in column 2 of a white square.

    The filter sees columns (0,1,2), (1,2,3), (2,3,4): 1-2+0 = -1 -> 0, 1-0+1 = 2, 0-2+1 = -1 -> 0. So A is
    [0, 2, 0] in each of 5 rows, its mean 10/15, the logit 3 * 10/15 = 2; alpha = 3/15, and L = [0, 0.4, 0].
    """
    image = np.ones((1, 5, 5, 3), np.float32)
    image[:, :, 2] = 0
    model = line_detector(bias=-0.5)
    np.testing.assert_allclose(attribution.logits(model, image), [2 - 0.5], rtol=1e-6)
    by_hand = np.tile([0, 0.4, 0], (5, 1))[np.newaxis]
    np.testing.assert_allclose(attribution.grad_cam(model, image, upsample=False), by_hand, atol=1e-7)
    # 3 columns become 5, half-pixel: output x lies at (x + 0.5) * 3/5 - 0.5 = -0.2, 0.4, 1, 1.6, 2.2.
    enlarged = np.tile([0, 0.16, 0.4, 0.16, 0], (5, 1))[np.newaxis]
    np.testing.assert_allclose(attribution.grad_cam(model, image), enlarged, atol=1e-6)
    no_crack = attribution.grad_cam(model, image, target="no_crack", upsample=False)
    np.testing.assert_allclose(no_crack, -by_hand, atol=1e-7)


def test_an_earlier_layer_by_hand() -> None:
    """Where the gradient differs between cells, its mean is taken over all of them."""
    inputs = keras.Input((2, 2, 3))
    x = layers.Conv2D(2, 1, use_bias=False, name="first")(inputs)
    x = layers.ReLU(name="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[0, 0, 1, 1], kernel[0, 0, 2, 0] = 1, 1, -1
    model.set_weights([kernel, np.array([[4.0], [-8.0]]), np.zeros(1)])
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[0, :, :, 0] = [[1, 0.5], [0, 0]]  # first channel: 1, 0.5, and below
    image[0, :, :, 2] = [[0, 0], [0.5, 0]]  # -0.5, which the ReLU cuts off
    image[0, :, :, 1] = [[0, 0], [0, 0.25]]
    # dz/dA: channel 0: 4/4 where positive (2 of 4 cells), so alpha 0.5; channel 1: -8/4 in 1 of 4 cells: -0.5.
    expected = 0.5 * np.array([[1, 0.5], [-0.5, 0]]) - 0.5 * np.array([[0, 0], [0, 0.25]])
    got = attribution.grad_cam(model, image, layer="first", upsample=False)[0]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_upsampling_is_half_pixel_bilinear(model: keras.Model) -> None:
    images = random_images()
    small = attribution.grad_cam(model, images, upsample=False)
    expected = tf.image.resize(small[..., None], (32, 32), "bilinear").numpy()[..., 0]
    np.testing.assert_allclose(attribution.grad_cam(model, images), expected, atol=1e-6)


def test_as_tf_keras_vis(model: keras.Model) -> None:
    """The positive part, before its own scaling and enlarging, is that of tf-keras-vis."""
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
    from tf_keras_vis.utils.scores import BinaryScore

    images = random_images()
    if attribution.grad_cam(model, images).max() <= 0:  # they cut off all that is against
        *rest, kernel, bias = model.get_weights()
        model.set_weights([*rest, -kernel, bias])
    theirs = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)(
        BinaryScore([True] * 3),
        images,
        penultimate_layer=attribution.default_layer(model),
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
        expand_cam=False,
    )
    theirs = np.asarray(theirs)
    ours = attribution.grad_cam(model, images, upsample=False)
    np.testing.assert_allclose(ours.clip(min=0), theirs, atol=1e-4)
    assert theirs.max() > 0


def test_two_sided_maps_never_overlap(model: keras.Model) -> None:
    images = random_images()
    crack, no_crack = (attribution.grad_cam(model, images, target=name) for name in ("crack", "no_crack"))
    np.testing.assert_array_equal(crack, -no_crack)
    assert not (crack.clip(min=0) * no_crack.clip(min=0)).any()
    np.testing.assert_array_equal(crack, attribution.grad_cam(model, images, target=1))
    np.testing.assert_array_equal(no_crack, attribution.grad_cam(model, images, target=0))


def test_layer_and_weights_change_the_answer_and_the_bias_does_not(model: keras.Model) -> None:
    images = random_images()
    before = attribution.grad_cam(model, images)
    assert not np.allclose(before, attribution.grad_cam(model, images, layer="conv1"), atol=1e-4)
    weights = model.get_weights()
    model.set_weights([*weights[:-1], weights[-1] + 3])
    np.testing.assert_allclose(attribution.grad_cam(model, images), before, atol=1e-6)
    model.set_weights([*weights[:-2], 2 * weights[-2], weights[-1]])
    np.testing.assert_allclose(attribution.grad_cam(model, images), 2 * before, rtol=1e-4, atol=1e-6)


def test_default_layer_is_the_last_with_a_map(model: keras.Model) -> None:
    name = attribution.default_layer(model)
    assert (
        name
        == {"gap_cnn": "pool2", "gap_cnn_deep": "conv4", "gap_cnn_far": "conv5", "local_cnn": "evidence"}[model.name]
    )
    images = random_images()
    np.testing.assert_array_equal(attribution.grad_cam(model, images), attribution.grad_cam(model, images, layer=name))


def test_a_batch_equals_its_images_one_by_one(model: keras.Model) -> None:
    images = random_images(5)
    singly = np.concatenate([attribution.grad_cam(model, image[np.newaxis]) for image in images])
    np.testing.assert_allclose(attribution.grad_cam(model, images), singly, atol=1e-5)


def test_no_retracing_for_another_batch_size(model: keras.Model) -> None:
    attribution.grad_cam(model, random_images(2))
    (compiled,) = (made for key, made in network._CACHE[model].items() if key[0] is cams._build)
    for count in (1, 3, 7):
        attribution.grad_cam(model, random_images(count), target="no_crack")
    assert compiled.experimental_get_tracing_count() == 1


def test_a_saturated_sigmoid_still_gives_a_map(model: keras.Model) -> None:
    images = random_images()
    before = attribution.grad_cam(model, images)
    weights = model.get_weights()
    model.set_weights([*weights[:-1], weights[-1] + 60])
    assert (model.predict(images, verbose=0) == 1).all()
    np.testing.assert_allclose(attribution.grad_cam(model, images), before, atol=1e-5)


def test_a_dead_network_gives_zeros(model: keras.Model) -> None:
    model.set_weights([np.zeros_like(value) for value in model.get_weights()])
    for layer in (None, "conv1"):
        maps = attribution.grad_cam(model, random_images(), layer=layer)
        assert maps.shape == (3, 32, 32) and maps.dtype == np.float32 and not maps.any()


@pytest.mark.parametrize("ending", ["sigmoid", "softmax", "softmax layer", "linear"])
def test_foreign_endings(ending: str, tmp_path: Path) -> None:
    """The logit is recovered from the same weights, also from a Sequential that went through an .h5 file."""
    units = 1 if ending in ("sigmoid", "linear") else 3
    activation = ending if ending in ("sigmoid", "softmax") else None
    stack = [
        keras.Input((32, 32, 3)),
        layers.Conv2D(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(units, activation=activation, bias_initializer="ones"),
        *([layers.Softmax()] if ending == "softmax layer" else []),
    ]
    keras.Sequential(stack).save(tmp_path / "foreign.h5")
    model = models.load(tmp_path / "foreign.h5")
    images = random_images()
    got = attribution.logits(model, images)
    assert got.shape == ((3,) if units == 1 else (3, units))
    predicted = model.predict(images, verbose=0)
    by_hand = {"sigmoid": tf.sigmoid, "linear": tf.identity}.get(ending, tf.nn.softmax)(got).numpy()
    np.testing.assert_allclose(by_hand.reshape(predicted.shape), predicted, atol=1e-5)
    for target in range(units):
        maps = attribution.grad_cam(model, images, target=target if units > 1 else 1, upsample=False)
        logit = got if units == 1 else got[:, target]
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), logit - 1, rtol=1e-4, atol=1e-5)


def mobilenet(side: int = 64) -> keras.Model:
    return keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None, input_shape=(side, side, 3))


def test_a_flat_mobilenet() -> None:
    base = mobilenet()
    pooled = layers.GlobalAveragePooling2D()(base.outputs[0])
    model = keras.Model(base.inputs, layers.Dense(1, activation="sigmoid")(pooled))
    for layer in base.layers:  # an untrained network in inference mode has activations near 1e-11 otherwise
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([*layer.get_weights()[:3], np.full_like(layer.get_weights()[3], 1e-3)])
    images = random_images(2, 64)
    maps = attribution.grad_cam(model, images, upsample=False)
    assert attribution.default_layer(model) == "out_relu" and maps.shape == (2, 2, 2)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), attribution.logits(model, images), rtol=1e-3)
    assert attribution.ladder(model).loc["out_relu", "stride"] == 32


def test_a_nested_base_is_explained_at_its_end_and_refused_inside() -> None:
    model = keras.Sequential(
        [keras.Input((64, 64, 3)), mobilenet(), layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")]
    )
    images = random_images(2, 64)
    maps = attribution.grad_cam(model, images, upsample=False)
    assert maps.shape == (2, 2, 2)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), attribution.logits(model, images), rtol=1e-3, atol=1e-9)
    with pytest.raises(CrackvizError, match=r"'Conv_1' lies inside the nested model.*flat"):
        attribution.grad_cam(model, images, layer="Conv_1")


def test_a_model_used_inside_another_one_is_still_explained(model: keras.Model) -> None:
    """Training wraps the network in another model; that must not confuse its graph."""
    images = random_images()
    before = attribution.grad_cam(model, images)
    inputs = keras.Input((32, 32, 3))
    wrapper = keras.Model(inputs, model(inputs))
    network._CACHE.clear()
    np.testing.assert_array_equal(attribution.grad_cam(model, images), before)
    with pytest.raises(CrackvizError, match="explain the inner one"):
        attribution.grad_cam(wrapper, images)


def test_ladder_of_the_project(model: keras.Model) -> None:
    table = attribution.ladder(model)
    last = table.loc[attribution.default_layer(model)]
    known = {"gap_cnn": (4, 10), "gap_cnn_deep": (8, 38), "gap_cnn_far": (8, 58), "local_cnn": (1, 50)}
    assert (last["stride"], last["receptive_field"]) == known[model.name]
    assert "image" not in table.index and "gap" not in table.index


def test_receptive_field_is_reached_and_not_exceeded() -> None:
    """By the gradient, with positive weights, so that no ReLU hides a path (max-pooling hides some)."""
    inputs = keras.Input((64, 64, 3))
    x = layers.Conv2D(2, 5, strides=2, padding="same")(inputs)
    x = layers.AveragePooling2D(2)(x)
    x = layers.Conv2D(2, 3, dilation_rate=2, padding="same", name="last")(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    model.set_weights([np.abs(value) + 0.1 for value in model.get_weights()])
    part = keras.Model(model.inputs, model.get_layer("last").output)
    image = tf.ones((1, 64, 64, 3))
    with tf.GradientTape() as tape:
        tape.watch(image)
        cell = tf.reduce_sum(part(image)[:, 8, 8])
    touched = np.flatnonzero(np.abs(tape.gradient(cell, image).numpy()).sum(axis=(0, 2, 3)))
    row = attribution.ladder(model).loc["last"]
    assert row["receptive_field"] == np.ptp(touched) + 1 == 5 + 2 + 4 * 4
    assert row["stride"] == 4


def test_the_bounds_themselves_are_taken() -> None:
    model = models.gap_cnn(32)
    images = random_images()
    images[0, 0, 0] = [0.0, -0.0, 1.0]
    assert attribution.check_images(model, images) is images
    assert len(attribution.grad_cam(model, images[:, :, ::-1])) == 3
    images[1, 5, 5, 2] = np.nextafter(np.float32(1), np.float32(2))
    with pytest.raises(CrackvizError, match=r"expected \[0, 1\]"):
        attribution.check_images(model, images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.uint8), "uint8.*/ 255"),
        (np.zeros((1, 32, 32, 3), np.float16), "float16"),
        (np.zeros((1, 32, 32, 3), np.float64), "float64"),
        (np.full((1, 32, 32, 3), 200, np.float32), "200.*Divide by 255"),
        (np.full((1, 32, 32, 3), -0.5, np.float32), "-0.5"),
        (np.full((1, 32, 32, 3), np.nan, np.float32), "without NaN"),
        (np.zeros((32, 32, 3), np.float32), "Add the batch axis"),
        (np.zeros((1, 32, 32, 1), np.float32), r"expected \(N, H, W, 3\)"),
        (np.zeros((0, 32, 32, 3), np.float32), "N, H, W > 0"),
        (np.zeros((1, 48, 32, 3), np.float32), "48 x 32 px, but the model takes 32 x 32"),
    ],
)
def test_images_that_break_the_contract_are_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        attribution.grad_cam(models.gap_cnn(32), images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "spall"}, "'spall'; expected 'no_crack' or 'crack'"),
        ({"target": 2}, "from 0 to 1"),
        ({"target": None}, "None; expected a class"),
        ({"layer": "conv9"}, "no layer 'conv9'; choose one of conv1, pool1, conv2, pool2"),
        ({"layer": "gap"}, "no map"),
        ({"layer": "image"}, "no map"),
    ],
)
def test_wrong_targets_and_layers_are_refused(options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        attribution.grad_cam(models.gap_cnn(32), random_images(), **options)


def test_models_that_cannot_be_explained_are_refused() -> None:
    unbuilt = keras.Sequential([layers.Conv2D(2, 3), layers.GlobalAveragePooling2D(), layers.Dense(1)])
    with pytest.raises(CrackvizError, match="has no graph yet"):
        attribution.grad_cam(unbuilt, random_images())
    inputs = keras.Input((8, 8, 3))
    pooled = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))
    with pytest.raises(CrackvizError, match="ends in GlobalAveragePooling2D"):
        attribution.logits(pooled, random_images(1, 8))
    flat = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inputs)))
    with pytest.raises(CrackvizError, match="more than one cell"):
        attribution.grad_cam(flat, random_images(1, 8))


def test_the_cache_lets_models_go() -> None:
    import gc
    import weakref

    model = models.gap_cnn(32)
    attribution.grad_cam(model, random_images())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_a_layer_that_is_used_twice_has_two_names() -> None:
    inputs = keras.Input((32, 32, 3))
    relu = layers.ReLU(name="relu")
    x = relu(layers.Conv2D(4, 3, padding="same", name="first")(inputs))
    x = relu(layers.Conv2D(4, 3, padding="same", name="second")(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling2D()(x)))
    assert list(attribution.ladder(model).index) == ["first", "relu", "second", "relu:2"]
    assert attribution.default_layer(model) == "relu:2"
    images = random_images()
    maps = attribution.grad_cam(model, images, upsample=False)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), attribution.logits(model, images), rtol=1e-4, atol=1e-6)
    assert not np.allclose(maps, attribution.grad_cam(model, images, layer="relu", upsample=False))


def test_what_a_cell_of_an_unknown_layer_sees_is_not_guessed() -> None:
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(inputs)
    x = layers.UpSampling2D(2, interpolation="bicubic", name="up")(x)
    x = layers.Conv2D(4, 3, padding="same", name="after")(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    fields = attribution.ladder(model)["receptive_field"]
    assert fields["conv"] == 3 and np.isnan(fields["up"]) and np.isnan(fields["after"])


def test_more_images_than_a_chunk(model: keras.Model) -> None:
    images = random_images(attribution.CHUNK + 3)
    maps, values = attribution.grad_cam(model, images, upsample=False), attribution.logits(model, images)
    assert len(maps) == len(values) == len(images)
    last = attribution.grad_cam(model, images[-1:], upsample=False)
    np.testing.assert_allclose(maps[-1:], last, atol=1e-5)


def test_dense_on_a_map_is_refused() -> None:
    inputs = keras.Input((32, 32, 3))
    with pytest.raises(CrackvizError, match="pool or flatten"):
        attribution.grad_cam(keras.Model(inputs, layers.Dense(1)(inputs)), random_images())


# --- where a dense layer lies between the average and the logits ----------------------------------------------------


@pytest.fixture
def softmax() -> keras.Model:
    model = models.deep_cnn(32, seed=5)
    weights = [value if value.ndim > 1 else np.full_like(value, 0.2) for value in model.get_weights()]
    model.set_weights(weights)
    return model


def test_a_dense_layer_behind_the_average_keeps_the_map_from_adding_up(softmax: keras.Model) -> None:
    images = random_images(8)
    maps = attribution.grad_cam(softmax, images, upsample=False)
    assert attribution.default_layer(softmax) == "pool4" and maps.shape == (8, 2, 2)
    missing = attribution.completeness_error(softmax, images, maps)
    evidence = attribution.logits(softmax, images)[:, 1] - attribution.bias(softmax)[1]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)) - evidence, missing, rtol=1e-4, atol=1e-5)
    assert np.abs(missing).max() > 1e-2
    with pytest.raises(CrackvizError, match="must feed GlobalAveragePooling2D alone, and that the last Dense"):
        attribution.METHODS["cam"](softmax, images)


def test_of_two_logits_each_has_a_map_and_the_difference_is_the_decisions(softmax: keras.Model) -> None:
    """Adding a number to both logits changes no probability; it changes each map, and not their difference."""
    images = random_images(4)

    def maps() -> tuple[np.ndarray, np.ndarray]:
        both = [attribution.grad_cam(softmax, images, target=name) for name in ("crack", "no_crack")]
        return both[0], both[0] - both[1]

    one, difference = maps()
    before = softmax.predict(images, verbose=0)
    *rest, kernel, bias = softmax.get_weights()
    softmax.set_weights([*rest, kernel + np.linspace(-1, 1, len(kernel))[:, np.newaxis], bias])
    np.testing.assert_allclose(softmax.predict(images, verbose=0), before, atol=1e-5)
    np.testing.assert_allclose(maps()[1], difference, atol=1e-4)
    assert np.abs(maps()[0] - one).max() > 1e-2
