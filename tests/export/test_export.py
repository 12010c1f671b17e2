"""Files for other programs: each is run by its own runtime and held against Keras."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from click.testing import CliRunner

import crackviz as cv
from crackviz import CrackvizError, attribution, export, models
from crackviz.cli import main
from crackviz.export import html, litert, onnx, writing
from crackviz.export.checking import pictures


@pytest.fixture(scope="module")
def small() -> Any:
    return models.build("gap_cnn", 32, seed=1)


def test_the_second_output_is_the_exact_map(small: Any) -> None:
    images = pictures(32, 4)
    made = export.explained(small)
    answers = made(images)
    maps = attribution.grad_cam(small, images, upsample=False)
    np.testing.assert_allclose(answers["map"], maps, atol=1e-8)
    np.testing.assert_allclose(answers["map"].sum((1, 2)) + made.bias, attribution.logits(small, images), atol=1e-5)


def test_a_map_of_another_size_is_divided_by_its_own_cells(small: Any) -> None:
    made = export.explained(small, "free")
    assert made.image_size is None
    for side in (32, 48):
        images = pictures(side, 2)
        total = made(images)["map"].sum((1, 2)) + made.bias
        np.testing.assert_allclose(total, made.logits(images), atol=1e-5)


def test_more_classes_have_a_map_each(tmp_path: Path) -> None:
    made = export.explained(models.build("gap_cnn", 32, n_classes=3))
    images = pictures(32, 2)
    np.testing.assert_allclose(made(images)["map"].sum((1, 2)) + made.bias, made.logits(images), atol=1e-5)
    with pytest.raises(CrackvizError, match="3 classes"):
        html.write(made, tmp_path / "a.html")


def test_an_inexact_map_is_refused_with_the_reason_or_left_out(tmp_path: Path) -> None:
    deep = models.build("deep_cnn", 32)
    with pytest.raises(CrackvizError, match=r"isn't exact: between pool4 .* Dense.*--no-map"):
        export.explained(deep)
    made = export.explained(deep, with_map=False)
    assert list(made(pictures(32, 1))) == ["probability"] and not made.has_map and "bias" not in made.about


@pytest.mark.slow
@pytest.mark.parametrize(("name", "package"), [("a.onnx", "onnxruntime"), ("a.tflite", "ai_edge_litert"), ("a", "")])
@pytest.mark.parametrize("size", [None, "free"])
def test_a_file_answers_as_keras_does(small: Any, tmp_path: Path, name: str, package: str, size: Any) -> None:
    if package:
        pytest.importorskip(package)
    written = cv.export(small, tmp_path / name, image_size=size)  # type: ignore[operator]
    assert written.agreement is not None and not written.agreement.off
    run = export.runner(tmp_path / name)
    assert run is not None
    images = pictures(40 if size else 32, 3)
    answers = run(images)
    wanted = export.explained(small, size)(images)
    assert answers["probability"].shape == (3, 1) and answers["map"].shape == wanted["map"].shape
    np.testing.assert_allclose(answers["map"], wanted["map"], atol=1e-6)


@pytest.mark.slow
def test_the_metadata_are_inside(small: Any, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    made = export.explained(small, licence="CC0")
    litert.write(made, tmp_path / "a.tflite", "", pictures(32, 2))
    about = json.loads(zipfile.ZipFile(tmp_path / "a.tflite").read("crackviz.json"))
    assert about == json.loads(made.text)
    assert about["licence"] == "CC0" and about["map_size"] == [8, 8] and about["class_names"] == ["no_crack", "crack"]
    read = pytest.importorskip("onnx")
    onnx.write(made, tmp_path / "a.onnx")
    graph = read.load(str(tmp_path / "a.onnx"))
    assert json.loads(graph.metadata_props[0].value) == about
    shapes = {one.name: len(one.type.tensor_type.shape.dim) for one in graph.graph.output}
    assert shapes == {"probability": 2, "map": 3}


def test_a_shipped_network_is_known_by_its_weights() -> None:
    model = models.load_pretrained("gap_cnn_deep")
    assert export.explained(model, 64).about["shipped_as"] == "gap_cnn_deep"
    weights = model.get_weights()
    model.set_weights([weights[0] + 1e-3, *weights[1:]])
    about = export.explained(model).about
    assert about["shipped_as"] == "" and about["licence"] == "not stated"


def test_a_file_that_is_off_is_not_written(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def turned(path: Path, format: str, made: Any) -> Any:
        return lambda images: {**made(images), "map": made(images)["map"] + 0.01}

    monkeypatch.setattr(writing, "runner", turned)
    with pytest.raises(CrackvizError, match="is off, and isn't written"):
        export.export(small, tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("a.h5", {}, "names no format"),
        ("no/a.onnx", {}, "There is no folder"),
        ("a.onnx", {"quantize": "int8"}, "nothing but the weights as they are"),
        ("a.onnx", {"format": "onix"}, "Did you mean onnx"),
        (".", {"format": "html"}, "is a folder"),
        ("a", {"labels": np.zeros(2, int)}, "Labels without images"),
        ("a", {"image_size": 3}, "image_size is 3"),
    ],
)
def test_a_wrong_question_gets_a_sentence(small: Any, tmp_path: Path, path: str, options: Any, said: str) -> None:
    with pytest.raises(CrackvizError, match=said):
        export.export(small, tmp_path / path, **options)


def test_a_missing_package_is_named_with_its_extra(small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CrackvizError, match=r"needs ai_edge_litert.*pip install 'crackviz\[export\]'"):
        export.export(small, tmp_path / "a.tflite")


def test_another_folder_is_not_replaced(small: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    with pytest.raises(CrackvizError, match="no SavedModel: it isn't replaced"):
        export.export(small, tmp_path / "mine")
    assert (tmp_path / "mine" / "a.txt").read_text() == "mine"


def test_a_layer_that_the_page_does_not_know_is_named() -> None:
    inputs = keras.Input((32, 32, 3), name="image")
    x = keras.layers.SeparableConv2D(4, 3, name="apart")(inputs)
    x = keras.layers.Dense(1, name="logit")(keras.layers.GlobalAveragePooling2D(name="gap")(x))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid", name="probability")(x))
    with pytest.raises(CrackvizError, match="can't compute layer 'apart': SeparableConv2D"):
        html.write(export.explained(model), Path("never.html"))


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    asked = ["export", "local_cnn", "--out", str(tmp_path / "a.onnx"), "--size", "big"]
    done = CliRunner().invoke(main, asked)
    assert done.exit_code == 2 and "'big' is no size" in done.stderr and "(--size)" in done.stderr


def test_the_page_is_served_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>page")
    told: list[str] = []
    server = export.serve(tmp_path / "a.html", port=0, tell=told.append)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert urllib.request.urlopen(f"{address}/").read() == b"<p>page" and address in told[0] and len(told) == 1
        for url, data in ((f"{address}/a.html", None), (f"{address}/../etc/passwd", None), (f"{address}/", b"x")):
            with pytest.raises(urllib.error.HTTPError):
                urllib.request.urlopen(url, data)
        with pytest.raises(CrackvizError, match="can't be used"):
            export.serve(tmp_path / "a.html", port=server.server_port)
    finally:
        server.shutdown()
        server.server_close()
    server = export.serve(tmp_path / "a.html", port=0, lan=True, tell=told.append)
    server.server_close()
    assert "Everyone in this network" in told[-1]
