"""Networks that were made elsewhere: what they take, which class they call 1, how their files are read."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers as L

from crackviz import CrackvizError, attribution, evaluation, faithfulness, features, models
from crackviz.attribution.receptive_fields import field_box

SIDE = 32


def network(*first: Any, end: Any = None, side: int | None = SIDE, dtype: str = "float32") -> keras.Model:
    """A small network with `first` at its beginning, of the same weights whatever that is."""
    keras.utils.set_random_seed(7)
    inputs = keras.Input((side, side, 3), dtype=dtype)
    values = inputs
    for layer in first:
        values = layer(values)
    values = L.GlobalAveragePooling2D()(L.Conv2D(6, 3, activation="relu")(values))
    return keras.Model(inputs, (end or L.Dense(1, activation="sigmoid"))(values))


def pictures(count: int = 4, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(3).random((count, side, side, 3), dtype=np.float32)


def normalisation(mean: float, variance: float) -> L.Normalization:
    return L.Normalization(mean=[mean] * 3, variance=[variance] * 3)


def seen_batches(mean: float, variance: float) -> L.BatchNormalization:
    return L.BatchNormalization(
        moving_mean_initializer=keras.initializers.Constant(mean),
        moving_variance_initializer=keras.initializers.Constant(variance),
    )


def nested(*first: Any) -> Any:
    base = network(*first)
    return keras.Model(base.inputs, base.layers[-3].output, name="base")


BYTES = {
    "1/255": lambda: [L.Rescaling(1 / 255)],
    "1/127.5 - 1": lambda: [L.Rescaling(1 / 127.5, offset=-1)],
    "after augmentation": lambda: [L.RandomFlip(), L.RandomRotation(0.1), L.Rescaling(1 / 255)],
    "normalization": lambda: [normalisation(120, 60**2)],
    "batch normalization": lambda: [seen_batches(130, 50**2)],
    "tf": lambda: [keras.applications.mobilenet_v2.preprocess_input],
    "caffe": lambda: [keras.applications.vgg16.preprocess_input],
    "torch": lambda: [keras.applications.densenet.preprocess_input],
    "two steps": lambda: [L.Rescaling(1 / 255), normalisation(0.45, 0.05)],
}
UNIT = {
    "nothing": list,
    "2x - 1": lambda: [L.Rescaling(2.0, offset=-1.0)],
    "normalization": lambda: [normalisation(0.6, 0.2**2)],
    "fresh batch normalization": lambda: [L.BatchNormalization()],
    "batch normalization": lambda: [seen_batches(0.6, 0.2**2)],
    "to 255 and back": lambda: [L.Rescaling(255), L.Rescaling(1 / 255)],
}


@pytest.mark.parametrize("first", BYTES)
@pytest.mark.parametrize("inside", [False, True], ids=["flat", "nested"])
def test_a_network_that_scales_by_itself_gets_what_it_was_trained_on(first: str, inside: bool, tmp_path: Path) -> None:
    layers = BYTES[first]()
    if inside:
        keras.utils.set_random_seed(7)
        model = keras.Sequential(
            [keras.Input((SIDE, SIDE, 3)), nested(*layers), L.GlobalAveragePooling2D(), L.Dense(1)]
        )
    else:
        model = network(*layers)
    images = pictures()
    own = np.asarray(model(images * 255, training=False))
    with pytest.raises(CrackvizError, match=r"takes pictures from 0 to 255.*models\.adapted"):
        attribution.logits(model, images)
    fit = models.adapted(model)
    assert fit.layers[1].name == "crackviz_input_range"
    answers = np.asarray(fit(images, training=False))
    np.testing.assert_allclose(answers, own, atol=1e-5)
    assert np.ptp(attribution.logits(fit, images)) > 0
    assert np.abs(attribution.gradient(fit, images)).max() > 0
    model.save(tmp_path / "foreign.keras")
    loaded = models.load(tmp_path / "foreign.keras")
    np.testing.assert_allclose(np.asarray(loaded(images, training=False)), answers, atol=1e-5)
    assert models.metadata(loaded).input_range == (0, 255)
    kept = models.load(models.save(loaded, tmp_path)[0])
    assert [layer.name for layer in kept.layers].count("crackviz_input_range") == 1, "scaled once, not twice"
    np.testing.assert_allclose(np.asarray(kept(images, training=False)), answers, atol=1e-5)


@pytest.mark.parametrize("first", UNIT)
def test_a_network_for_0_to_1_stays_as_it_is(first: str, tmp_path: Path) -> None:
    model = network(*UNIT[first]())
    assert models.adapted(model) is model
    attribution.logits(model, pictures())
    model.save(tmp_path / "foreign.keras")
    loaded = models.load(tmp_path / "foreign.keras")
    np.testing.assert_allclose(np.asarray(loaded(pictures())), np.asarray(model(pictures())), atol=1e-6)
    assert models.metadata(loaded) == models.Metadata(image_size=SIDE)


@pytest.mark.parametrize("name", ["EfficientNetB0", "MobileNetV3Small", "ConvNeXtTiny", "EfficientNetV2B0"])
@pytest.mark.slow
def test_applications_that_scale_by_themselves(name: str) -> None:
    base = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(SIDE, SIDE, 3))
    nested = keras.Sequential([keras.Input((SIDE, SIDE, 3)), base, L.GlobalAveragePooling2D(), L.Dense(1)])
    flat = keras.Model(base.inputs, L.Dense(1)(L.GlobalAveragePooling2D()(base.output)))
    for model in (nested, flat):
        assert models.adapted(model).layers[1].name == "crackviz_input_range"


def test_a_range_can_be_said_and_is_kept(tmp_path: Path) -> None:
    model = network()
    model.save(tmp_path / "foreign.keras")
    images = pictures()
    loaded = models.load(tmp_path / "foreign.keras", input_range=(-1, 1))
    np.testing.assert_allclose(np.asarray(loaded(images)), np.asarray(model(2 * images - 1)), atol=1e-6)
    models.annotate(model, input_range=(0, 255))
    with pytest.raises(CrackvizError, match=r"from 0 to 255, its metadata say"):
        attribution.logits(model, images)
    for path in models.save(model, tmp_path):
        again = models.load(path)
        np.testing.assert_allclose(np.asarray(again(images)), np.asarray(model(images * 255)), atol=1e-5)
    scaling = network(L.Rescaling(1 / 255))
    models.annotate(scaling, input_range=(0, 1))
    attribution.logits(scaling, images)  # whoever says so knows better
    for wrong in ((1, 0), (0,), "ab", (0, np.inf), 3):
        with pytest.raises(CrackvizError, match="input_range"):
            models.load(tmp_path / "foreign.keras", input_range=wrong)


def test_whole_numbers_as_input_are_put_behind_floats(tmp_path: Path) -> None:
    model = network(L.Rescaling(1 / 255), dtype="uint8")
    with pytest.raises(CrackvizError, match=r"takes uint8 numbers.*models\.adapted"):
        attribution.grad_cam(model, pictures())
    model.save(tmp_path / "foreign.keras")
    images = np.round(pictures() * 255).astype(np.uint8)
    for fit in (models.adapted(model), models.load(tmp_path / "foreign.keras")):
        np.testing.assert_allclose(
            np.asarray(fit(images.astype(np.float32) / 255)), np.asarray(model(images)), atol=1e-5
        )
        assert np.abs(attribution.gradient(fit, images.astype(np.float32) / 255)).max() > 0


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (lambda: L.Dense(1), lambda z: 1 / (1 + np.exp(-z[:, 0]))),
        (lambda: L.Dense(2), lambda z: np.exp(z[:, 1]) / np.exp(z).sum(axis=1)),
        (lambda: L.Dense(2, activation="softmax"), lambda p: p[:, 1]),
        (lambda: L.Dense(1, activation="sigmoid", use_bias=False), lambda p: p[:, 0]),
    ],
    ids=["one logit", "two logits", "softmax", "no bias"],
)
@pytest.mark.parametrize("inside", [False, True], ids=["flat", "nested"])
def test_lessons_get_every_network_of_two_classes_with_one_logit(
    end: Any, answer: Any, inside: bool, tmp_path: Path
) -> None:
    model = network(end=end())
    if inside:
        head = [L.GlobalAveragePooling2D(), end()]
        model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), nested(L.Conv2D(3, 3)), *head])
    model.save(tmp_path / "foreign.keras")
    net = models.find(tmp_path, network=str(tmp_path / "foreign.keras"))
    lesson = net.load()
    want = answer(np.asarray(model(pictures()), np.float64))
    np.testing.assert_allclose(lesson.predict(pictures(), verbose=0)[:, 0], want, atol=1e-6)
    logits = attribution.logits(lesson, pictures())
    np.testing.assert_allclose(logits, np.log(want / (1 - want)), atol=1e-4)
    assert [layer.name for layer in lesson.layers[-2:]] == ["logit", "probability"]
    assert not any(isinstance(layer, keras.Model) for layer in lesson.layers)
    assert attribution.adds_up(lesson) == ""
    cells = attribution.grad_cam(lesson, pictures(), upsample=False)
    np.testing.assert_allclose(cells.sum(axis=(1, 2)), logits - attribution.bias(lesson)[0], atol=1e-5)
    assert net.foreign and not models.find(tmp_path / "none").foreign


def test_what_needs_an_exact_sum_is_told_from_what_does_not() -> None:
    inputs = keras.Input((SIDE, SIDE, 3))
    maps = L.Conv2D(4, 3, activation="relu", name="last")(inputs)
    pooled = L.GlobalAveragePooling2D()(maps)
    assert attribution.adds_up(keras.Model(inputs, L.Dense(1)(pooled))) == ""
    for end, kind in ((L.Dense(1)(L.Flatten()(maps)), "Flatten"), (L.Dense(1)(L.Dense(3)(pooled)), "Dense")):
        assert "last" in attribution.adds_up(keras.Model(inputs, end))
        assert kind in attribution.adds_up(keras.Model(inputs, end))


ENDS = {
    "sigmoid": lambda: L.Dense(1, activation="sigmoid"),
    "softmax of two": lambda: L.Dense(2, activation="softmax"),
    "no bias": lambda: L.Dense(1, activation="sigmoid", use_bias=False),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_network_that_calls_the_crack_0_is_turned_once(end: str, tmp_path: Path) -> None:
    model, images = network(end=ENDS[end]()), pictures()
    before, maps = np.asarray(model(images)), attribution.grad_cam(model, images, target="no_crack")
    turned = 1 - before if before.shape[1] == 1 else before[:, ::-1]
    for _ in range(2):  # a cell that is run again turns nothing back
        known = models.annotate(model, class_names=("crack", "no_crack"), threshold=0.25)
        assert known.class_names == ("no_crack", "crack") and known.threshold == 0.25
        np.testing.assert_allclose(np.asarray(model(images)), turned, atol=1e-6)
    np.testing.assert_allclose(attribution.grad_cam(model, images, target="crack"), maps, atol=1e-5)
    for path in models.save(model, tmp_path):
        np.testing.assert_allclose(np.asarray(models.load(path)(images)), turned, atol=1e-6)


def test_a_file_that_names_the_crack_first_is_turned_when_read(tmp_path: Path) -> None:
    model, images = network(), pictures()
    before = np.asarray(model(images))
    model.save(tmp_path / "foreign.keras")
    loaded = models.load(tmp_path / "foreign.keras", class_names=("crack", "no_crack"))
    np.testing.assert_allclose(np.asarray(loaded(images)), 1 - before, atol=1e-6)
    assert models.metadata(loaded).class_names == ("no_crack", "crack")
    path = models.save(models.load(tmp_path / "foreign.keras"), tmp_path)[1]
    with h5py.File(path, "a") as file:
        kept = json.loads(file.attrs["crackviz"])
        file.attrs["crackviz"] = json.dumps(kept | {"class_names": ["crack", "no_crack"], "threshold": 0.3})
    loaded = models.load(path)
    np.testing.assert_allclose(np.asarray(loaded(images)), 1 - before, atol=1e-6)
    assert models.metadata(loaded).threshold == pytest.approx(0.7)
    with pytest.raises(CrackvizError, match="trained with the labels crack, no_crack"):
        models.load(path, class_names=("no_crack", "crack"))
    three = network(end=L.Dense(3, activation="softmax"))
    with pytest.raises(CrackvizError, match="3 classes apart"):
        models.annotate(three, class_names=("crack", "no_crack"))
    odd = network(end=L.Dense(1, activation="tanh"))
    with pytest.raises(CrackvizError, match="can't be turned round"):
        models.annotate(odd, class_names=("crack", "no_crack"))


def test_scores_the_wrong_way_round_are_named() -> None:
    labels = np.arange(200) % 2
    right = np.clip(labels * 0.6 + np.random.default_rng(0).random(200) * 0.4, 0, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluation.evaluate(labels, right)["notes"] == []
        noise = evaluation.evaluate(labels, np.random.default_rng(1).random(200))
    assert noise["notes"] == []
    with pytest.warns(UserWarning, match=r"ROC-AUC is 0\.0\d, far below.*the wrong way round.*annotate.*crack_class"):
        assert evaluation.evaluate(labels, 1 - right)["notes"]
    with pytest.warns(UserWarning, match=r"one answer to all 200 pictures \(0\.7700\).*input_range"):
        assert evaluation.evaluate(labels, np.full(200, 0.77))["notes"]


def test_a_changed_sequential_is_asked_anew() -> None:
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(1)])
    assert attribution.logits(model, pictures()).shape == (4,)
    model.pop()
    model.add(L.Dense(3, activation="softmax"))
    np.testing.assert_allclose(
        np.exp(attribution.logits(model, pictures())) / np.exp(attribution.logits(model, pictures())).sum(1)[:, None],
        np.asarray(model(pictures())),
        atol=1e-6,
    )


@pytest.mark.parametrize("name", ["logits", "grad_cam", "gradient", "occlusion", "guided_backprop"])
def test_another_activation_changes_the_answer(name: str) -> None:
    """As tools that explain networks exchange them, of the last layer or of another: none of the old one is kept."""
    stack = [
        L.Conv2D(4, 3, activation="relu", name="first"),
        L.Conv2D(4, 3, activation="relu"),
        L.Flatten(),
        L.Dense(1),
    ]
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *stack])
    explain, images = getattr(attribution, name), pictures()
    explain(model, images)
    model.get_layer("first").activation = keras.activations.tanh
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_allclose(explain(model, images), explain(copy, images), atol=1e-6)


@pytest.mark.parametrize("policy", ["float64", "float16", "mixed_float16"])
def test_other_precisions(policy: str) -> None:
    inputs = keras.Input((SIDE, SIDE, 3))
    values = L.GlobalAveragePooling2D(dtype=policy)(L.Conv2D(4, 3, activation="relu", dtype=policy)(inputs))
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid", dtype=policy)(values))
    own = np.asarray(model(pictures()), np.float64)[:, 0]
    logits = attribution.logits(model, pictures())
    assert logits.dtype == np.float32
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), own, atol=2e-3)
    for method in ("cam", "grad_cam", "score_cam", "gradient", "occlusion"):
        maps = getattr(attribution, method)(model, pictures())
        assert maps.dtype == np.float32 and np.isfinite(maps).all()


# --- what can't be explained ------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.pool, self.dense = L.GlobalAveragePooling2D(), L.Dense(1)

    def call(self, images: Any) -> Any:
        return self.dense(self.pool(images))


class Doubling(L.Layer):
    def call(self, values: Any) -> Any:
        return 2 * values


def test_networks_outside_the_contract_are_refused_by_name() -> None:
    grey = keras.Sequential([keras.Input((SIDE, SIDE, 1)), L.GlobalAveragePooling2D(), L.Dense(1)])
    first = keras.Sequential(
        [keras.Input((3, SIDE, SIDE)), L.Permute((2, 3, 1)), L.GlobalAveragePooling2D(), L.Dense(1)]
    )
    wide = keras.Sequential([keras.Input((64, 96, 3)), L.GlobalAveragePooling2D(), L.Dense(1)])
    subclassed = Subclassed()
    subclassed(pictures())
    for model, message in (
        (grey, r"\(None, 32, 32, 1\); expected one RGB.*makes greys of RGB"),
        (first, r"Channels come last"),
        (wide, r"takes 64 x 96. Cut or resize"),
        (subclassed, r"class of its own.*model\.call"),
        (keras.Sequential([L.GlobalAveragePooling2D(), L.Dense(1)]), r"never given an input"),
        (network(end=L.Dense(1, activation="softmax")), r"one unit with a softmax.*answers 1"),
        (None, r"The model is None; expected a Keras model"),
        ("model.keras", r"models\.load"),
    ):
        with pytest.raises(CrackvizError, match=message):
            attribution.grad_cam(model, pictures())
    inputs = keras.Input((SIDE, SIDE, 3))
    attribution.logits(keras.Model(inputs, subclassed.call(inputs)), pictures())  # as the message says
    coded = keras.Sequential([keras.Input((SIDE, SIDE, 3)), L.Lambda(lambda v: 2 * v, output_shape=(SIDE, SIDE, 3))])
    coded.add(L.Conv2D(4, 3))
    with pytest.raises(CrackvizError, match=r"can't be built a second time.*Lambda"):
        faithfulness.randomise(coded)


def test_augmentation_inside_is_passed_through() -> None:
    plain, augmented = (
        network(),
        network(L.RandomFlip(), L.RandomRotation(0.1), L.GaussianNoise(0.1), L.RandAugment(), L.CutMix()),
    )
    layer = augmented.layers[-3].name
    assert attribution.ladder(augmented).loc[layer, ["stride", "receptive_field"]].tolist() == [1, 3]
    assert field_box(augmented, layer, (0, 0)) == field_box(plain, None, (0, 0))
    pd_plain = features.top_patches(plain, pictures(), count=2)
    pd_augmented = features.top_patches(augmented, pictures(), layer=layer, count=2)
    assert pd_plain["index"].tolist() == pd_augmented["index"].tolist()


@pytest.mark.parametrize("idle", [[L.Dropout(0.5)], [L.Dropout(0.5), L.Identity(), L.GaussianNoise(0.1)]], ids=len)
def test_dropout_after_the_average_leaves_the_sum_exact(idle: list[Any]) -> None:
    body = [L.Conv2D(6, 3, activation="relu"), L.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *body, *idle, L.Dense(1, activation="sigmoid")])
    assert attribution.adds_up(model) == ""
    maps = attribution.grad_cam(model, pictures(), upsample=False)
    np.testing.assert_allclose(maps.sum((1, 2)), attribution.logits(model, pictures()).ravel(), atol=1e-5)
    bent = keras.Sequential([keras.Input((SIDE, SIDE, 3)), *body, L.Dense(4, "relu"), L.Dense(1, "sigmoid")])
    assert "Dense" in attribution.adds_up(bent)


def attending() -> keras.Model:
    inputs = keras.Input((SIDE, SIDE, 3))
    values = L.Reshape((-1, 8))(L.Conv2D(8, 3, strides=2, activation="relu")(inputs))
    values = L.GlobalAveragePooling1D()(L.LayerNormalization()(L.MultiHeadAttention(2, 4)(values, values)))
    return keras.Model(inputs, L.Dense(1, activation="sigmoid")(values))


def test_attention_is_drawn_anew() -> None:
    model = attending()
    fresh, again = (faithfulness.randomise(model, seed=1) for _ in range(2))
    for old, new, same in zip(model.weights, fresh.weights, again.weights, strict=True):
        assert np.array_equal(new, same), old.path
        assert old.name != "kernel" or not np.allclose(old, new), f"{old.path} is as it was"
    methods = {"gradient": attribution.gradient}
    test = faithfulness.randomisation_test(model, pictures(2), methods, draws=1)
    assert len(test) == 5, "trained, and four layers with weights"
    options = faithfulness.Options(perturbed=2, baselines=False)
    table = faithfulness.score_methods(model, pictures(), methods=["grad_cam"], scores=["drop"], options=options)
    assert ("untrained", "grad_cam") in table.index


class Odd(L.Layer):
    """A layer of somebody's own, whose weight tells no initializer."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(1,), name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale


def test_a_table_of_scores_leaves_out_what_a_network_does_not_allow() -> None:
    inputs = keras.Input((SIDE, SIDE, 3))
    values = L.Reshape((-1, 8))(Odd()(L.Conv2D(8, 3, strides=2, activation="relu")(inputs)))
    values = L.GlobalAveragePooling1D()(values)
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid")(values))
    options = faithfulness.Options(perturbed=2, baselines=False)
    with pytest.warns(UserWarning, match="Left out.*untrained/grad_cam"):
        table = faithfulness.score_methods(model, pictures(), methods=["grad_cam"], scores=["drop"], options=options)
    assert list(table.index) == [("trained", "grad_cam")]
    assert "without an initializer" in table.attrs["errors"]["untrained/grad_cam"]
    table = faithfulness.score_methods(model, pictures(), scores=["drop"], untrained=["grad_cam"], options=options)
    assert {"untrained/grad_cam", "trained/cam"} <= table.attrs["errors"].keys()


# --- files ------------------------------------------------------------------------------------------------


def test_files_are_blamed_for_the_right_reason(tmp_path: Path) -> None:
    plain = network(L.DepthwiseConv2D(3))
    plain.save(tmp_path / "new.h5")
    shutil.copy(tmp_path / "new.h5", tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "a") as file:  # as TensorFlow 2.15 wrote it
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"]["groups"] = 1
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), "2.15.0"
    keras.Sequential([L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(1)]).save(tmp_path / "unbuilt.keras")
    subclassed = Subclassed()
    subclassed(pictures())
    subclassed.save(tmp_path / "subclassed.keras")
    network(Doubling()).save(tmp_path / "custom.keras")
    network(Doubling()).save(tmp_path / "custom.h5")
    plain.save_weights(tmp_path / "w.weights.h5")
    (tmp_path / "w.weights.h5").rename(tmp_path / "weights.h5")
    a, b = keras.Input((SIDE, SIDE, 3)), keras.Input((3,))
    two = keras.Model([a, b], L.Dense(1)(L.Concatenate()([L.GlobalAveragePooling2D()(a), b])))
    two.save(tmp_path / "two.keras")
    for name, message in (
        ("old.h5", r"Unrecognized keyword arguments.*groups.*saved by Keras 2\.15\.0.*load_weights"),
        ("unbuilt.keras", r"never given an input"),
        ("subclassed.keras", r"class of its own"),
        ("custom.keras", r"Doubling.*which Keras doesn't know.*register_keras_serializable"),
        ("custom.h5", r"Doubling.*which Keras doesn't know"),
        ("weights.h5", r"holds weights only"),
        ("two.keras", r"2 inputs and 1 outputs"),
    ):
        with pytest.raises(CrackvizError, match=rf"{name}.*{message}"):
            models.load(tmp_path / name)


def test_a_file_of_a_newer_keras_says_so(tmp_path: Path) -> None:
    import zipfile

    network(Doubling()).save(tmp_path / "here.keras")
    with zipfile.ZipFile(tmp_path / "here.keras") as source, zipfile.ZipFile(tmp_path / "new.keras", "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "metadata.json":
                text = json.dumps(json.loads(text) | {"keras_version": "97.1.0"}).encode()
            target.writestr(name, text)
    with pytest.raises(CrackvizError, match=r"saved by Keras 97\.1\.0, newer than Keras 3"):
        models.load(tmp_path / "new.keras")


def test_endings_in_capitals_are_read(tmp_path: Path) -> None:
    for name in ("a.keras", "b.h5"):
        network().save(tmp_path / name)
        capital = (tmp_path / name).rename(tmp_path / name.upper())
        np.testing.assert_allclose(np.asarray(models.load(capital)(pictures())), np.asarray(network()(pictures())))


def test_an_h5_that_could_not_be_read_is_left_out_with_a_word(tmp_path: Path) -> None:
    assert [path.name for path in models.save(network(), tmp_path)] == ["model.keras", "model.h5"]
    with pytest.warns(UserWarning, match=r"model\.keras alone"):
        saved = models.save(network(keras.applications.mobilenet_v2.preprocess_input), tmp_path)
    assert [path.name for path in saved] == ["model.keras"]
    assert not (tmp_path / "model.h5").exists(), "that of the older network must not pass for this one's"
    models.load(saved[0])


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_a_quantized_end_has_no_weights_that_could_be_read(mode: str) -> None:
    """Its kernel holds whole numbers to be scaled: taken as weights, maps were off by a hundred logits."""
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize(mode)
    for call in (attribution.logits, attribution.grad_cam):
        with pytest.raises(CrackvizError, match=rf"quantized \({mode}\).*before model\.quantize"):
            call(model, pictures())


def test_a_saved_model_says_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    for call in (models.load, lambda path: models.find("", network=str(path)).load()):
        with pytest.raises(CrackvizError, match="is a TensorFlow SavedModel, which is compiled"):
            call(tmp_path)
    with pytest.raises(CrackvizError, match="The model is None; expected the path"):
        models.load(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [True, 128.0, "128", "free", 0, 100_000])
def test_a_side_is_a_whole_number(size: Any) -> None:
    for call in (lambda: models.build("gap_cnn", size), lambda: models.resized(network(side=None), size)):
        with pytest.raises(CrackvizError, match="image_size is"):
            call()


@pytest.mark.parametrize(
    ("name", "size", "said"),
    [("gap_cnn_deep", 100, "covers 96 px"), ("deep_cnn", 100, "covers 96 px"), ("deep_cnn", 36, "covers 32 px"),
     ("gap_cnn", 99, "covers 96 px"), ("gap_cnn", 100, ""), ("gap_cnn_deep", 104, ""), ("trace_cnn", 100, ""),
     ("local_cnn", 100, "")],
)  # fmt: skip
def test_a_side_that_halving_cuts_is_named(name: str, size: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    models.build(name, size)
    assert said in capsys.readouterr().out if said else not capsys.readouterr().out
    models.size_for(models.build(name, None), size)
    assert said in capsys.readouterr().out if said else not capsys.readouterr().out


@pytest.mark.parametrize("kept", ["float16", "float64"])
def test_nothing_is_loaded_or_built_in_another_precision(tmp_path: Path, kept: str) -> None:
    models.save(models.gap_cnn(32), tmp_path)
    keras.config.set_floatx(kept)
    try:
        for wanted in (lambda: models.load(tmp_path), lambda: models.gap_cnn(32), models.load_pretrained):
            with pytest.raises(CrackvizError, match=rf"Keras is set to {kept}.*float32"):
                wanted()
    finally:
        keras.config.set_floatx("float32")


def test_averages_wider_than_their_maps_are_refused_wherever_they_stand() -> None:
    """TensorFlow's gradient of one is wrong; a layer that is shared, or within another one, has no input of its own."""

    def network(size: int) -> keras.Model:
        x = inputs = keras.Input((SIDE, SIDE, 3))
        pool = L.AveragePooling2D(size, strides=1, padding="same", name="wide")
        for step in (pool, L.Conv2D(4, 3, strides=4), pool):
            x = step(x)
        return keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(x)))

    assert attribution.gradient(network(3), pictures()).any()
    with pytest.raises(CrackvizError, match=rf"'wide' .* averages over 11 x 11 cells, but .* give it {SIDE // 4} x"):
        attribution.gradient(network(11), pictures())

    @keras.saving.register_keras_serializable("tests")
    class Within(L.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.pool = L.AveragePooling2D(3, strides=1, padding="same")

        def call(self, values: Any) -> Any:
            return self.pool(values)

    x = inputs = keras.Input((SIDE, SIDE, 3))
    model = keras.Model(inputs, L.Dense(1)(L.GlobalAveragePooling2D()(Within()(x))))
    assert attribution.gradient(model, pictures()).shape == pictures().shape[:3]


def test_a_network_of_any_size_with_a_layer_that_cannot_be_copied_is_explained() -> None:
    class Scaled(L.Layer):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def call(self, values: Any) -> Any:
            return self.factor * values

    inputs = keras.Input((None, None, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(Scaled(2.0)(inputs)))
    model = keras.Model(inputs, L.Dense(1)(x))
    assert attribution.gradient(model, pictures()).shape == pictures().shape[:3]
