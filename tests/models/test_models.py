"""The networks, and that a saved one comes back the same or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, attribution, features, models
from crackviz.models.foreign import wanted_range


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 32, 32, 3), np.float32)


def test_seed_network_has_the_weights_counted_by_hand() -> None:
    assert models.gap_cnn(64).count_params() == 16 * 28 + 32 * 145 + 33 == 5121
    deep = 16 * (48 + 1) + 32 * (144 + 1) + 48 * (288 + 1) + 64 * (432 + 1) + 65
    assert models.gap_cnn_deep(64).count_params() == deep == 47073
    far = 16 * (48 + 1) + 32 * (144 + 1) + 48 * (288 + 1) + 64 * (432 + 1) + 64 * (576 + 1) + 65
    assert models.gap_cnn_far(64).count_params() == far == 84001


@pytest.mark.parametrize("side", [128.0, "128", True, 0])
def test_a_size_that_is_none_is_refused_by_every_network(side: Any) -> None:
    for name in models.MODELS:
        with pytest.raises(CrackvizError, match="image_size is"):
            getattr(models, name)(side)


def test_the_far_network_looks_from_a_light_grey_and_its_first_kernels_start_small() -> None:
    """A patch of that grey says nothing: what answers it is the bias, which starts at zero."""
    model = models.gap_cnn_far(64, seed=3)
    grey, white = (np.full((1, 64, 64, 3), level, np.float32) for level in (0.55, 1.0))
    small, large = (abs(float(attribution.logits(model, images)[0])) for images in (grey, white))
    assert small < 1e-5 < 1e-3 < large
    largest = abs(model.get_layer("conv1").get_weights()[0]).max()
    assert 0.9 < largest / (0.1 * np.sqrt(6 / 48)) <= 1, "a tenth of He's uniform start"
    assert wanted_range(model) == (0.0, 1.0), "its pictures stay those in [0, 1]"


SMALLEST = {"gap_cnn": 8, "gap_cnn_deep": 16, "gap_cnn_far": 16, "deep_cnn": 32, "local_cnn": 32, "mobilenet_v2": 64}
LIGHT = [name for name in models.MODELS if name != "mobilenet_v2"]
AVERAGED = [name for name in LIGHT if name != "deep_cnn"]


def every(names: Iterable[str] = models.MODELS) -> pytest.MarkDecorator:
    """Parametrise by network; MobileNetV2, of 155 layers, is slow to build."""
    slow = {"mobilenet_v2": [pytest.mark.slow]}
    return pytest.mark.parametrize("name", [pytest.param(name, marks=slow.get(name, [])) for name in names])


@every(name for name in models.MODELS if name != "deep_cnn")
def test_ends_in_gap_logit_probability(name: str, images: np.ndarray) -> None:
    model = models.build(name, 64)
    assert [layer.name for layer in model.layers[-3:]] == ["gap", "logit", "probability"]
    assert [type(layer).__name__ for layer in model.layers[-3:]] == ["GlobalAveragePooling2D", "Dense", "Activation"]
    assert model.output_shape == (None, 1)


def test_deep_cnn_is_a_softmax_over_two_classes(images: np.ndarray) -> None:
    model = models.deep_cnn(32)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 4 and kinds.count("Dropout") == 2
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [64, 2]
    probabilities = model(images, training=False).numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    convolutions = 16 * 28 + 32 * 145 + 64 * 289 + 64 * 577
    assert model.count_params() == convolutions + 64 * 65 + 2 * 65 == 64802
    # dropout is drawn in training only
    twice = [model(images, training=True).numpy() for _ in range(2)]
    assert not np.array_equal(*twice) and np.array_equal(probabilities, model(images, training=False).numpy())


@every()
def test_k_classes_and_any_size(name: str, images: np.ndarray) -> None:
    model = models.build(name, None, n_classes=3)
    if name == "trace_cnn":  # what is halved four times and joined again takes multiples of 16
        images = np.pad(images, ((0, 0), (0, -images.shape[1] % 16), (0, -images.shape[2] % 16), (0, 0)))
        assert model(images[:, :32, :16], training=False).shape == (3, 3)
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    if name != "trace_cnn":
        assert model(images[:, :20, :24], training=False).shape == (3, 3)


@every()
def test_seed_fixes_the_weights(name: str) -> None:
    first, same, other = (models.build(name, 64, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    random = [i for i, value in enumerate(first) if value.ndim > 1 and not (value == value.flat[0]).all()]
    assert len(random) > 2 and not any(np.array_equal(first[i], other[i]) for i in random)


@every(AVERAGED)
def test_stays_aligned_with_the_image(name: str) -> None:
    """With mirrored kernels, a mirrored image must give exactly the mirrored map: no layer pads one side only."""
    model = models.build(name, 32)
    mirrored = models.build(name, 32)
    for layer, twin in zip(model.layers, mirrored.layers, strict=True):
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose):
            kernel, *bias = layer.get_weights()
            twin.set_weights([kernel[:, ::-1], *bias])
    last = [keras.Model(m.inputs[0], m.layers[-4].output) for m in (model, mirrored)]
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    maps = last[0](image).numpy()
    np.testing.assert_allclose(last[1](image[:, :, ::-1]), maps[:, :, ::-1], rtol=1e-4, atol=1e-5 * maps.max())


@every(SMALLEST)
def test_too_small_an_image_is_refused(name: str) -> None:
    size = SMALLEST[name]
    with pytest.raises(CrackvizError, match=f"image_size is {size - 1}"):
        models.build(name, size - 1)
    assert models.build(name, size)


def test_unknown_names_and_class_counts_are_refused() -> None:
    with pytest.raises(CrackvizError, match=r"'resnet'.*gap_cnn"):
        models.build("resnet")
    with pytest.raises(CrackvizError, match="n_classes is 1"):
        models.build("gap_cnn", n_classes=1)


@every()
def test_both_files_reload_to_the_same_predictions(name: str, images: np.ndarray, tmp_path: Path) -> None:
    model = models.build(name, None, seed=3)
    before = model.predict(images, verbose=0)
    saved = models.save(model, tmp_path / "new" / "folder")
    assert [path.suffix for path in saved] == [".keras", ".h5"]
    for path in saved:
        np.testing.assert_allclose(models.load(path).predict(images, verbose=0), before, atol=1e-6, rtol=0)
    assert sorted(path.name for path in saved[0].parent.iterdir()) == ["model.h5", "model.keras"]


def test_a_folder_is_loaded_by_its_model(tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"neither model\.keras nor model\.h5"):
        models.load(tmp_path)
    models.save(models.gap_cnn(32), tmp_path)
    assert models.load(tmp_path).name == "gap_cnn"
    (tmp_path / "model.keras").unlink()
    assert models.load(tmp_path).name == "gap_cnn"


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("damage", ["empty", "text", "half"])
def test_a_damaged_file_is_refused(suffix: str, damage: str, tmp_path: Path) -> None:
    models.save(models.gap_cnn(32), tmp_path)
    path = tmp_path / f"model{suffix}"
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"no model", "half": whole[: len(whole) // 2]}[damage])
    with pytest.raises(CrackvizError, match=r"could not be read as a model.*Save or copy it again"):
        models.load(path)


def test_weights_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "only.weights.h5"
    models.gap_cnn(32).save_weights(path)
    with pytest.raises(CrackvizError, match="weights only"):
        models.load(path)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_code_in_a_file_is_never_run(suffix: str, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda values: values * 2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / f"code{suffix}")
    with pytest.raises(CrackvizError, match="Lambda"):
        models.load(tmp_path / f"code{suffix}")


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match="no model file"):
        models.load(tmp_path / "none.h5")
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(CrackvizError, match=r"ends in \.keras"):
        models.load(tmp_path / "picture.png")


def test_another_input_size_is_refused(tmp_path: Path) -> None:
    models.save(models.gap_cnn(32), tmp_path)
    with pytest.raises(CrackvizError, match=r"32 x 32 px, but image_size is 64.*Set image_size to 32"):
        models.load(tmp_path, image_size=64)
    assert models.image_size(models.load(tmp_path, image_size=32)) == 32


def test_grey_input_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 1))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs)).save(tmp_path / "grey.keras")
    with pytest.raises(CrackvizError, match="one RGB image"):
        models.load(tmp_path / "grey.keras")


def test_any_size_passes_the_size_check(tmp_path: Path) -> None:
    models.save(models.gap_cnn(None), tmp_path)
    assert models.image_size(models.load(tmp_path, image_size=99)) is None


def test_a_full_disk_leaves_the_old_model(tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    old = models.gap_cnn(32, seed=1)
    models.save(old, tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=500_000)
    with monkeypatch.context() as patch, pytest.raises(CrackvizError, match="0 MiB are left on the disk, 2 MiB"):
        patch.setattr(shutil, "disk_usage", lambda path: usage)
        models.save(models.gap_cnn_deep(32), tmp_path)

    def broken(self: keras.Model, path: Path) -> None:
        path.write_bytes(b"half")
        if path.suffix == ".h5":
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(CrackvizError, match="No space left"):
        patch.setattr(keras.Model, "save", broken)
        models.save(models.gap_cnn_deep(32), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.h5", "model.keras"]
    expected = old.predict(images, verbose=0)
    for name in ("model.h5", "model.keras"):
        np.testing.assert_allclose(models.load(tmp_path / name).predict(images, verbose=0), expected, atol=1e-6)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CrackvizError, match="could not be saved"):
        models.save(models.gap_cnn(32), tmp_path / "file" / "run")


def test_the_shipped_model_is_the_published_one() -> None:
    model = models.load_pretrained()
    assert model.name == models.PREFERRED == "local_cnn" and models.image_size(model) == 128
    assert 0 < models.metadata(model).threshold <= 0.5 and "METU" in models.metadata(model).trained_on
    for path in models.PRETRAINED.glob("*.h5"):
        assert path.stat().st_size <= 2_000_000
    with pytest.raises(CrackvizError, match="shipped network's name is 'none'"):
        models.load_pretrained("none")


def test_a_model_is_made_to_take_another_size() -> None:
    model = models.gap_cnn(32, seed=1)
    models.annotate(model, threshold=0.3)
    image = np.random.default_rng(0).random((1, 48, 48, 3), np.float32)
    expected = models.gap_cnn(48, seed=1)(image)
    for size in (48, None):
        other = models.resized(model, size)
        assert models.image_size(other) == size and models.metadata(other).threshold == 0.3
        np.testing.assert_array_equal(other(image), expected)
    with pytest.raises(CrackvizError, match="image_size is 30"):
        models.resized(models.local_cnn(32), 30)
    inputs = keras.Input((32, 32, 3))
    flat = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(inputs)))
    with pytest.raises(CrackvizError, match="can't be made to take 48 px"):
        models.resized(flat, 48)


def test_a_changed_shipped_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = json.loads((models.PRETRAINED / "models.json").read_text("utf-8"))
    file = published[models.PREFERRED]["file"]
    content = bytearray((models.PRETRAINED / file).read_bytes())
    content[-100] ^= 1
    (tmp_path / file).write_bytes(content)
    (tmp_path / "models.json").write_text(json.dumps(published))
    monkeypatch.setattr("crackviz.models.shipped.PRETRAINED", tmp_path)
    with pytest.raises(CrackvizError, match="not the published file"):
        models.load_pretrained()
    (tmp_path / file).unlink()
    with pytest.raises(CrackvizError, match="missing"):
        models.load_pretrained()


def test_a_run_without_a_model_takes_the_shipped_one_and_says_so(tmp_path: Path) -> None:
    assert "comes with crackviz" in models.find(tmp_path).origin
    models.save(models.gap_cnn(32), tmp_path)
    net = models.find(tmp_path)
    assert net.load().name == "gap_cnn" and net.origin == "gap_cnn, trained in this run"


def test_a_network_can_be_chosen_in_the_place_of_the_runs(tmp_path: Path) -> None:
    models.save(models.gap_cnn(32), tmp_path / "run")
    models.save(models.gap_cnn_deep(32), tmp_path / "other")
    run, other = tmp_path / "run", str(tmp_path / "other")
    assert models.find(run).path == run and not models.find(run).shipped
    assert models.find(run, network="mobilenet_v2").shipped == "mobilenet_v2"
    assert models.find(tmp_path, "gap_cnn_deep").shipped == "gap_cnn_deep"
    for network, origin in ((other, "from other"), (f"{other}/model.h5", "from model.h5")):
        net = models.find(run, network=network)
        assert net.load().name == "gap_cnn_deep" and net.origin == f"gap_cnn_deep, {origin}"
    assert models.find(run, network="local_cnn").origin == "local_cnn, as it comes with crackviz"
    for wrong in ("local_cn", str(tmp_path)):
        with pytest.raises(CrackvizError, match=r"no trained network .*a shipped one: .*local_cnn"):
            models.find(run, network=wrong)


def test_summary_lists_every_layer() -> None:
    table = models.summary(models.gap_cnn(32))
    assert table.loc["conv2", "weights"] == 4640 and table.loc["pool2", "output"] == "8 × 8 × 32"
    assert table["weights"].sum() == 5121


# --- what a file tells of itself ----------------------------------------------------------------------------------

TOLD = {"trained_on": "80 drawn patches", "threshold": 0.3, "temperature": 1.7, "image_size": 32}


def change(path: Path, **changes: object) -> None:
    """Make a file tell something else."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            file.attrs["crackviz"] = json.dumps(json.loads(file.attrs["crackviz"]) | changes)
        return
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["crackviz.json"] = json.dumps(json.loads(members["crackviz.json"]) | changes).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = models.gap_cnn(32)
    models.annotate(model, **TOLD)
    return models.save(model, tmp_path_factory.mktemp("told"))[0].parent


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_both_files_tell_what_they_were_trained_on(suffix: str, told: Path) -> None:
    expected = models.Metadata(**TOLD)
    assert models.read_metadata(told / f"model.{suffix}") == expected
    model = models.load(told / f"model.{suffix}", image_size=32, class_names=("no_crack", "crack"))
    assert models.metadata(model) == expected
    assert expected.class_names == ("no_crack", "crack") and expected.preprocessing == 1


def test_keras_itself_reads_both_files(told: Path, images: np.ndarray) -> None:
    one, other = (keras.models.load_model(told / f"model.{suffix}", compile=False) for suffix in ("keras", "h5"))
    np.testing.assert_array_equal(one(images), other(images))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessing": 99}, r"preprocessing version 99.*by version 1"),
        ({"input_range": [1, 0]}, "can't be read.*input_range"),
        ({"class_names": ["a", "b", "c"]}, "2 classes apart, but 3 are named"),
        ({"image_size": 64}, "32 px, but says that it was trained on 64 px"),
        ({"threshold": 2.0}, "threshold is 2"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"colour": "grey"}, "can't be read"),
    ],
    ids=str,
)
def test_a_file_that_does_not_fit_is_refused(
    suffix: str, changes: dict, message: str, told: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(told / f"model.{suffix}", tmp_path))
    change(path, **changes)
    with pytest.raises(CrackvizError, match=message):
        models.load(path)


def test_another_label_map_than_the_expected_is_refused(told: Path, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"labels no_crack, crack .*expected sound, cracked"):
        models.load(told, class_names=("sound", "cracked"))
    path = Path(shutil.copy(told / "model.h5", tmp_path))
    change(path, class_names=["asphalt", "brick"])
    assert models.metadata(models.load(path)).class_names == ("asphalt", "brick")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_made_elsewhere_tells_nothing_and_is_taken(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"foreign.{suffix}"
    models.gap_cnn(32).save(path)
    assert models.read_metadata(path) is None
    assert models.metadata(models.load(path)) == models.Metadata(image_size=32)


def test_annotations_are_checked_and_go_with_the_model_through_a_file(tmp_path: Path) -> None:
    model = models.gap_cnn(None, n_classes=3)
    assert models.metadata(model).class_names == ("class_0", "class_1", "class_2")
    models.annotate(model, class_names=["a", "b", "c"], image_size=96)
    models.annotate(model, trained_on="x")
    models.save(model, tmp_path)
    again = models.metadata(models.load(tmp_path, image_size=200))  # it takes any size
    assert again == models.Metadata(class_names=("a", "b", "c"), image_size=96, trained_on="x")
    for changes, message in (
        ({"class_names": ("a", "b")}, "3 classes apart"),
        ({"class_names": ("a", "a", "b")}, "two or more different names"),
        ({"treshold": 0.5}, r"metadata has no option 'treshold'. Did you mean threshold\?"),
        ({"image_size": -1}, "image_size is -1"),
    ):
        with pytest.raises(CrackvizError, match=message):
            models.annotate(model, **changes)
    assert models.metadata(model) == again


def test_saving_twice_gives_the_same_metadata_once(tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    for threshold in (0.2, 0.4):
        models.annotate(model, threshold=threshold)
        models.save(model, tmp_path)
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        assert archive.namelist().count("crackviz.json") == 1
    assert {models.read_metadata(tmp_path / name).threshold for name in ("model.h5", "model.keras")} == {0.4}  # type: ignore[union-attr]


def test_the_shipped_model_tells_what_it_was_trained_on() -> None:
    known = models.metadata(models.load_pretrained())
    assert "METU" in known.trained_on and known.class_names == ("no_crack", "crack")


# --- transfer -----------------------------------------------------------------------------------------------------


def test_set_trainable_freezes_up_to_a_layer() -> None:
    model = models.gap_cnn(32)
    assert models.set_trainable(model, "conv2") == 4640 + 33
    assert [layer.name for layer in model.layers if layer.trainable_weights] == ["conv2", "logit"]
    assert models.set_trainable(model) == 33
    assert models.set_trainable(model, "conv1") == 5121
    with pytest.raises(CrackvizError, match="no layer 'conv9'"):
        models.set_trainable(model, "conv9")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "nowhere.h5"}, "no file of weights nowhere"),
        ({"weights": "imagenet", "alpha": 0.5}, "for alpha=0.35, whose hash is known"),
    ],
)
def test_weights_that_cannot_be_had_are_explained(options: dict, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        models.mobilenet_v2(64, **options)


def test_without_a_connection_the_download_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(*arguments: object, **options: object) -> str:
        raise Exception("URL fetch failure: no route to host")

    monkeypatch.setattr(keras.utils, "get_file", offline)
    with pytest.raises(CrackvizError, match=r"could not be downloaded \(URL fetch failure.*weights=None"):
        models.mobilenet_v2(64, weights="imagenet")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert models.imagenet_weights() is None
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / str(models.IMAGENET["file"])).write_bytes(b"x")
    assert models.imagenet_weights() == tmp_path / "models" / models.IMAGENET["file"]


@pytest.mark.slow
def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.weights.h5"
    models.gap_cnn(32).save_weights(path)
    with pytest.raises(CrackvizError, match="doesn't hold the weights of MobileNetV2"):
        models.mobilenet_v2(64, weights=path)


@pytest.mark.slow
@pytest.mark.slow
def test_what_a_cell_of_mobilenet_sees_lies_half_a_cell_to_the_right_and_below() -> None:
    """Keras pads strided layers there only (THEORY T10): the middle of the field is 15.5 px off that of the cell."""
    model = models.mobilenet_v2(96, seed=0)
    for row, column in ((0, 0), (1, 2)):
        top, left, bottom, right = features.field_box(model, "out_relu", (row, column), clip=False)
        assert ((top + bottom) / 2, (left + right) / 2) == (32 * row + 16 + 15.5, 32 * column + 16 + 15.5)


def test_mobilenet_is_keras_own_on_scaled_images(images: np.ndarray) -> None:
    """The same weights in Keras' own network, fed with images in [-1, 1], give the same last map."""
    model = models.mobilenet_v2(64, seed=2)
    assert model.count_params() == 410_208 + 1281
    assert not [layer for layer in model.layers if isinstance(layer, keras.Model)], "nested"
    theirs = keras.applications.MobileNetV2(input_shape=(64, 64, 3), alpha=0.35, include_top=False, weights=None)
    theirs.set_weights(model.get_weights()[:-2])
    mine = keras.Model(model.inputs[0], model.get_layer("out_relu").output)
    pictures = np.random.default_rng(1).random((2, 64, 64, 3), np.float32)
    np.testing.assert_allclose(mine(pictures), theirs(2 * pictures - 1), rtol=1e-4, atol=1e-5)
    assert models.mobilenet_v2(64, alpha=0.5).count_params() > model.count_params()


@pytest.mark.slow
def test_imagenet_weights_come_frozen_and_batchnorm_stays_so() -> None:
    path = Path(os.environ["CRACKVIZ_DATA"]).parent / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    if not path.is_file():
        pytest.skip(f"no ImageNet weights: {path} doesn't exist")
    model = models.mobilenet_v2(96, weights=path)
    with h5py.File(path) as file:
        first = np.array(file["Conv1"]["Conv1"]["kernel:0"])
    np.testing.assert_array_equal(model.get_layer("Conv1").kernel, first)
    assert [layer.name for layer in model.layers if layer.trainable_weights] == ["logit"]
    assert models.set_trainable(model, "block_13_expand") > 100_000
    assert not [la for la in model.layers if isinstance(la, keras.layers.BatchNormalization) and la.trainable]
    means = model.get_layer("Conv_1_bn").moving_mean.numpy()
    model(np.random.default_rng(0).random((2, 96, 96, 3), np.float32), training=True)
    np.testing.assert_array_equal(model.get_layer("Conv_1_bn").moving_mean, means)


@pytest.mark.slow
def test_the_shipped_mobilenet_is_small_and_tells_where_it_comes_from() -> None:
    published = json.loads((models.PRETRAINED / "models.json").read_text("utf-8"))
    assert (models.PRETRAINED / published["mobilenet_v2"]["file"]).stat().st_size <= 2_000_000
    model = models.load_pretrained("mobilenet_v2")
    known = models.metadata(model)
    assert (model.name, known.image_size, known.class_names) == ("mobilenet_v2", 128, ("no_crack", "crack"))
    assert len(np.load(models.PRETRAINED / "mobilenet_v2.seen.npy")) > 6000


@pytest.mark.slow
def test_the_shipped_mobilenet_has_the_base_of_imagenet() -> None:
    path = Path(os.environ["CRACKVIZ_DATA"]).parent / "weights" / "mobilenet_v2_0.35_224_no_top.h5"
    if not path.is_file():
        pytest.skip(f"no ImageNet weights: {path} doesn't exist")
    shipped, fresh = models.load_pretrained("mobilenet_v2"), models.mobilenet_v2(128, weights=path)
    equal = [np.array_equal(a, b) for a, b in zip(shipped.get_weights(), fresh.get_weights(), strict=True)]
    assert all(equal[:-2]) and not any(equal[-2:])


@pytest.mark.parametrize("content", ["{", "[]", '{"local_cnn": 3}', '{"local_cnn": {"file": "x"}}', "\xff"])
def test_a_damaged_list_of_shipped_networks_is_named(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["crackviz.models.shipped"], "PRETRAINED", tmp_path)
    for _ in range(2):  # gone, and damaged
        with pytest.raises(CrackvizError, match=r"models\.json, the list of shipped networks, can't be read"):
            models.load_pretrained()
        (tmp_path / "models.json").write_text(content, "latin-1")


def test_one_turned_bit_in_what_a_network_has_seen_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("models.json", "local_cnn.seen.npy"):
        shutil.copy(models.PRETRAINED / name, tmp_path / name)
    monkeypatch.setattr(sys.modules["crackviz.models.shipped"], "PRETRAINED", tmp_path)
    table = pd.DataFrame({"hash": [b"\0" * 32]})
    assert models.seen_by_pretrained(table).tolist() == [False]
    content = bytearray((tmp_path / "local_cnn.seen.npy").read_bytes())
    content[-5] ^= 1
    (tmp_path / "local_cnn.seen.npy").write_bytes(content)
    with pytest.raises(CrackvizError, match=r"local_cnn\.seen\.npy is not the published file"):
        models.seen_by_pretrained(table)
    with pytest.raises(CrackvizError, match=r"shipped network's name is 'local'.*Did you mean local_cnn"):
        models.seen_by_pretrained(table, "local")


def test_one_turned_bit_in_the_weights_of_an_h5_is_found(tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    path = models.save(model, tmp_path)[1]
    models.load(path)
    with h5py.File(path, "a") as file:
        found: list[Any] = []
        file.visititems(lambda _, one: found.append(one) if isinstance(one, h5py.Dataset) and one.ndim == 4 else None)
        found[0][0, 0, 0, 0] = found[0][0, 0, 0, 0] * 2 + 1
    with pytest.raises(CrackvizError, match=r"model\.h5 is damaged: its weights aren't those that were saved"):
        models.load(path)


@pytest.mark.parametrize(
    "wrong",
    [{"class_names": "ab"}, {"class_names": 3}, {"class_names": ["a", "a"]}, {"image_size": "64"},
     {"image_size": True}, {"threshold": "0.5"}, {"threshold": np.nan}, {"temperature": 0}, {"trained_on": 3},
     {"preprocessing": "1"}, {"input_range": "01"}],
)  # fmt: skip
def test_metadata_of_another_kind_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CrackvizError, match=next(iter(wrong))):
        models.Metadata(**wrong)
