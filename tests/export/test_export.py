"""Files for other programs: each is run by its own runtime and held against Keras."""

from __future__ import annotations

import base64
import json
import socket
import struct
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

import crackviz as cv
from crackviz import CrackvizError, attribution, export, models
from crackviz.cli import main
from crackviz.export import html, litert, onnx, writing
from crackviz.export.checking import pictures

IMAGES = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)


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
        ("a", {"with_map": "no"}, "with_map is 'no'; expected True or False"),
        ("a.onnx", {"format": "html"}, "ends as onnx, and the format is html"),
        ("a\0.onnx", {}, "no path on this machine"),
        (f"{'a' * 300}.onnx", {}, "no path on this machine"),
        ("a", {"images": IMAGES, "labels": [[0], [1]]}, "don't belong together"),
        ("a", {"images": IMAGES, "labels": ["crack", "no_crack"]}, "expected numbers of classes"),
        ("a", {"images": IMAGES, "labels": [0, 2]}, "expected 0 to 1 for 2 classes"),
        ("a", {"images": IMAGES, "labels": [0, np.nan]}, "expected numbers of classes"),
    ],
)
def test_a_wrong_question_gets_a_sentence(small: Any, tmp_path: Path, path: str, options: Any, said: str) -> None:
    with pytest.raises(CrackvizError, match=said):
        export.export(small, tmp_path / path, **options)


@pytest.mark.parametrize("wrong", [None, "local_cnn", 3, tf.function(lambda images: images)])
def test_what_is_no_network_is_said(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(CrackvizError, match="expected a Keras model"):
        export.export(wrong, tmp_path / "a")


@pytest.mark.parametrize("path", [None, 3, "s3://bucket/a.onnx"])
def test_what_is_no_path_is_said(small: Any, path: Any) -> None:
    for call in (lambda: export.export(small, path), lambda: export.runner(path), lambda: export.serve(path)):
        with pytest.raises(CrackvizError, match="path"):
            call()


@pytest.mark.parametrize("name", ["a.onnx", "a.tflite", "a"])
def test_a_file_that_is_damaged_or_missing_is_named(tmp_path: Path, name: str) -> None:
    pytest.importorskip("onnxruntime", reason="the extra export isn't installed")
    with pytest.raises(CrackvizError, match="There is no file"):
        export.runner(tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(CrackvizError, match=r"can't be read as .*Export it again"):
        export.runner(tmp_path / name)


def test_what_a_converter_cannot_do_is_said_in_a_sentence(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("op not known\n" * 100)

    monkeypatch.setattr(writing.saved_model, "write", fail)
    with pytest.raises(CrackvizError, match=r"can't be written as saved_model \(op not known") as told:
        export.export(small, tmp_path / "a")
    assert len(str(told.value)) < 400 and not list(tmp_path.iterdir())
    half = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3, dtype="mixed_float16")])
    half.add(keras.layers.GlobalAveragePooling2D(dtype="mixed_float16"))
    half.add(keras.layers.Dense(1, activation="sigmoid", dtype="float32"))
    with pytest.raises(CrackvizError, match="compute in float16: build it in float32"):
        export.export(half, tmp_path / "a")


def test_a_file_called_html_is_a_page(tmp_path: Path) -> None:
    assert writing._format(tmp_path / ".html", "") == "html"
    assert writing._format(tmp_path / "page", "html") == "html"


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


@pytest.mark.parametrize(("name", "quantize", "most"), [("local_cnn", "", 400_000), ("trace_cnn", "float16", 700_000)])
def test_a_page_is_easily_sent(name: str, quantize: str, most: int, tmp_path: Path) -> None:
    html.write(export.explained(models.load_pretrained(name), 128), tmp_path / "a.html", quantize)
    assert (tmp_path / "a.html").stat().st_size < most


def test_a_page_keeps_more_digits_where_answers_would_move(small: Any) -> None:
    for factor, digits in ((1, 20), (30, 22), (3000, 24)):  # the same network, its answers some times as large
        made = export.explained(small)
        kernel = made.model.get_layer("sums").get_weights()[0]
        made.model.get_layer("sums").set_weights([kernel * factor])
        assert html.enough_digits(made) == digits


PAGE = '<p>page <script id="engine"></script>'


def asked(address: tuple[str, int], text: str) -> bytes:
    """Send bytes as they are: clients of Python would tidy the path."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(text.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize("lan", [False, True])
def test_nothing_but_the_page_can_be_read_and_nothing_written(
    tmp_path: Path, lan: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    (tmp_path / "secret.txt").write_text("secret")
    server = export.serve(tmp_path / "a.html", port=0, lan=lan, tell=lambda _: None)
    address = ("127.0.0.1", server.server_port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for path in ("/secret.txt", "/../secret.txt", "//secret.txt", "/%2e%2e/secret.txt", "/./", "/..", "secret.txt"):
            answer = asked(address, f"GET {path} HTTP/1.0\r\n\r\n")
            assert b" 404 " in answer.splitlines()[0] and b"secret\n" not in answer, path
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = asked(address, f"{method} / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
            assert b" 501 " in answer.splitlines()[0], method
        head, _, body = asked(address, "HEAD /?a=1 HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
        assert b" 200 " in head and f"Content-Length: {len(PAGE)}".encode() in head and body == b""
        asked(address, "\0\xff nonsense\r\n\r\n")
        connection = socket.create_connection(address)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET / HT")
        connection.close()  # reset in the middle
        assert asked(address, "GET / HTTP/1.0\r\n\r\n").endswith(PAGE.encode())
    finally:
        server.shutdown()
        server.server_close()
    assert "Traceback" not in capfd.readouterr().err


def test_what_is_no_page_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>my diary")
    for path, said in (
        ("a.html", "is no page that crackviz exported"),
        ("b.html", "can't be read"),
        (".", "can't be read"),
    ):
        with pytest.raises(CrackvizError, match=said):
            export.serve(tmp_path / path, port=0)
    for port in (-1, 70_000, 1.5):
        with pytest.raises(CrackvizError, match="port is"):
            export.serve(tmp_path / "a.html", port=port)  # type: ignore[arg-type]


@pytest.mark.parametrize("bits", [11, 18, 24])
def test_weights_are_rounded_and_packed_so_that_they_come_back(bits: int) -> None:
    scales = 10.0 ** np.arange(-20, 5)[:, np.newaxis]
    values = (np.random.default_rng(0).normal(size=500) * scales).astype(np.float32)
    kept = html.rounded(np.append(values.ravel(), [0, -0.0, 1, -3]).astype(np.float32), bits)
    assert np.abs(kept[:-4] / values.ravel() - 1).max() <= (2.0**-bits if bits < 24 else 0)
    assert (kept.view(np.uint32) & ((1 << (24 - bits)) - 1) == 0).all()
    text = html.base85(html.pack(kept))
    assert "<" not in text and "/" not in text
    planes = np.frombuffer(zlib.decompressobj().decompress(base64.b85decode(text.replace(".", "<"))), np.uint8)
    exponents, seven, *others = planes.reshape(4, -1).astype(np.uint32)
    bits = (seven >> 7 << 31) | (exponents << 23) | ((seven & 127) << 16) | (others[0] << 8) | others[1]
    assert (bits.astype(np.uint32).view(np.float32) == kept).all()


def test_the_page_is_served_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(PAGE)
    told: list[str] = []
    server = export.serve(tmp_path / "a.html", port=0, tell=told.append)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert urllib.request.urlopen(f"{address}/").read() == PAGE.encode() and address in told[0] and len(told) == 1
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


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["export", "", "--out", "a"], "No network is named"), (["serve", ""], "No network is named"),
     (["serve", "local_cnn", "--port", "-1"], "port is -1")],
)  # fmt: skip
def test_no_network_is_not_the_usual_one(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and said in result.stderr and not result.stdout
