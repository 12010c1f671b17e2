"""The networks, and that a saved one comes back the same or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from crackviz import CrackvizError, models


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 32, 32, 3), np.float32)


def test_seed_network_has_the_weights_counted_by_hand() -> None:
    assert models.gap_cnn(64).count_params() == 16 * 28 + 32 * 145 + 33 == 5121
    deep = 16 * (48 + 1) + 32 * (144 + 1) + 48 * (288 + 1) + 64 * (432 + 1) + 65
    assert models.gap_cnn_deep(64).count_params() == deep == 47073


@pytest.mark.parametrize("name", models.MODELS)
def test_ends_in_gap_logit_probability(name: str, images: np.ndarray) -> None:
    model = models.build(name, 32)
    assert [layer.name for layer in model.layers[-3:]] == ["gap", "logit", "probability"]
    assert [type(layer).__name__ for layer in model.layers[-3:]] == ["GlobalAveragePooling2D", "Dense", "Activation"]
    assert model.predict(images, verbose=0).shape == (3, 1)


@pytest.mark.parametrize("name", models.MODELS)
def test_k_classes_and_any_size(name: str, images: np.ndarray) -> None:
    model = models.build(name, None, n_classes=3)
    probabilities = model.predict(images, verbose=0)
    assert probabilities.shape == (3, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert model.predict(images[:, :20, :24], verbose=0).shape == (3, 3)


def test_seed_fixes_the_weights() -> None:
    first, same, other = (models.gap_cnn(32, seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[2], other[2])


@pytest.mark.parametrize("name", models.MODELS)
def test_stays_aligned_with_the_image(name: str) -> None:
    """With mirrored kernels, a mirrored image must give exactly the mirrored map: no layer pads one side only."""
    model = models.build(name, 32)
    mirrored = models.build(name, 32)
    for layer, twin in zip(model.layers, mirrored.layers, strict=True):
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            twin.set_weights([kernel[:, ::-1], bias])
    last = [keras.Model(m.inputs[0], m.layers[-4].output) for m in (model, mirrored)]
    image = np.random.default_rng(0).random((1, 32, 32, 3), np.float32)
    np.testing.assert_allclose(last[1](image[:, :, ::-1]), last[0](image)[:, :, ::-1], atol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("gap_cnn", 7), ("gap_cnn_deep", 15)])
def test_too_small_an_image_is_refused(name: str, size: int) -> None:
    with pytest.raises(CrackvizError, match=f"image_size is {size}"):
        models.build(name, size)
    assert models.build(name, size + 1)


def test_unknown_names_and_class_counts_are_refused() -> None:
    with pytest.raises(CrackvizError, match=r"'resnet'.*gap_cnn"):
        models.build("resnet")
    with pytest.raises(CrackvizError, match="n_classes is 1"):
        models.build("gap_cnn", n_classes=1)


@pytest.mark.parametrize("name", models.MODELS)
def test_both_files_reload_to_the_same_predictions(name: str, images: np.ndarray, tmp_path: Path) -> None:
    model = models.build(name, 32, seed=3)
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
    assert model.name == "gap_cnn_deep" and models.image_size(model) == 128
    with pytest.raises(CrackvizError, match="no shipped model 'none'"):
        models.load_pretrained("none")


def test_a_changed_shipped_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = json.loads((models.PRETRAINED / "models.json").read_text("utf-8"))
    file = published["gap_cnn_deep"]["file"]
    content = bytearray((models.PRETRAINED / file).read_bytes())
    content[-100] ^= 1
    (tmp_path / file).write_bytes(content)
    (tmp_path / "models.json").write_text(json.dumps(published))
    monkeypatch.setattr(models, "PRETRAINED", tmp_path)
    with pytest.raises(CrackvizError, match="not the published file"):
        models.load_pretrained()
    (tmp_path / file).unlink()
    with pytest.raises(CrackvizError, match="missing"):
        models.load_pretrained()


def test_a_run_without_a_model_takes_the_shipped_one_and_says_so(tmp_path: Path) -> None:
    assert "comes with crackviz" in models.load_or_pretrained(tmp_path)[1]
    models.save(models.gap_cnn(32), tmp_path)
    model, origin = models.load_or_pretrained(tmp_path)
    assert model.name == "gap_cnn" and origin == "gap_cnn, trained in this run"


def test_summary_lists_every_layer() -> None:
    table = models.summary(models.gap_cnn(32))
    assert table.loc["conv2", "weights"] == 4640 and table.loc["pool2", "output"] == "8 × 8 × 32"
    assert table["weights"].sum() == 5121
