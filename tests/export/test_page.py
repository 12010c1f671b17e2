"""The page in a real browser, opened from a file: its answers are Keras', and nothing leaves it."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import CHROMIUM, MISSING, Page, open_page
from PIL import Image

from crackviz import data, export, models, synthetic
from crackviz.export import html
from crackviz.export.checking import pictures

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]
READY = "document.body && document.body.dataset.ready === 'yes'"


@pytest.fixture(scope="module")
def made() -> Any:
    return export.explained(models.load_pretrained(), 128)


@pytest.fixture(scope="module")
def file(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "crack.html"
    html.write(made, path)
    return path


@pytest.fixture
def page(file: Path, tmp_path: Path) -> Iterator[Page]:
    with open_page(tmp_path / "profile", (390, 844)) as opened:
        opened.go(file.as_uri())
        opened.until(READY)
        yield opened
        assert not opened.complained
        assert all(url == file.as_uri() or url.startswith(("blob:null/", "data:")) for url in opened.asked), (
            opened.asked
        )


def numbers(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4")


def give(page: Page, image: np.ndarray) -> None:
    """Choose a picture, as a person's file would be."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
    page.ask("crackviz.view.choose(new File([given], 'a.png', {type: 'image/png'})).then(() => 0)")
    page.until("crackviz.view.found !== null")


AS_TEXT = "((map) => btoa(Array.from(new Uint8Array(map.buffer), (b) => String.fromCharCode(b)).join('')))"


def test_eight_patches_are_answered_as_by_keras(page: Page, made: Any) -> None:
    images = pictures(128, 8)
    maps, logits = made(images)["map"], made.logits(images)
    for image, map_, logit in zip(images, maps, logits, strict=True):
        give(page, np.rint(image * 255).astype(np.uint8))
        page.ask("crackviz.view.resize(128)")
        page.until("crackviz.view.found && crackviz.view.found.square.size === 128")
        assert abs(page.ask("crackviz.view.found.logit") - logit) <= 1e-4
        found = numbers(page.ask(f"{AS_TEXT}(crackviz.view.found.map)"))
        assert np.abs(found.reshape(map_.shape) - map_).max() <= 1e-6


def test_a_photograph_is_answered_as_by_keras_window_by_window(page: Page, made: Any, tmp_path: Path) -> None:
    photo = synthetic.photograph(3, size=(700, 500)).image
    give(page, photo)
    page.ask("crackviz.view.resize(200)")
    count = page.ask("crackviz.view.askWhole(true).then((all) => all.length)")
    assert count == 4 * 3  # 700 x 500 in windows of 200, the last ones shifted inwards
    cut = []
    for number in range(count):
        left, top = (page.ask(f"crackviz.view.windows[{number}].{side}") for side in ("left", "top"))
        window = photo[top : top + 200, left : left + 200]
        assert window.shape == (200, 200, 3)
        Image.fromarray(window).save(tmp_path / f"{number:03}.png")
        cut.append(tmp_path / f"{number:03}.png")
    images = data.load_images(cut, 128)  # the page makes them smaller to the bit as Pillow does
    logits, maps = made.logits(images), made(images)["map"]
    found = page.ask("crackviz.view.windows.map((one) => one.logit)")
    assert np.abs(np.array(found) - logits).max() <= 1e-4
    for number, map_ in enumerate(maps):
        cells = numbers(page.ask(f"{AS_TEXT}(crackviz.view.windows[{number}].map)"))
        assert np.abs(cells.reshape(map_.shape) - map_).max() <= 1e-6
    said = page.ask("document.getElementById('answer').textContent")
    threshold = made.about["threshold"]
    assert f"{int((1 / (1 + np.exp(-logits)) >= threshold).sum())} of {count} windows are called cracks" in said


def test_keys_move_the_square_and_the_threshold_changes_the_call(page: Page) -> None:
    give(page, synthetic.photograph(3, size=(700, 500)).image)
    before = page.ask("crackviz.view.square.x")
    page.ask("document.getElementById('picture').focus()")
    for kind in ("keyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    assert page.ask("crackviz.view.square.x") > before
    page.until("crackviz.view.found !== null")
    for threshold, called in (("0.0000001", "so here: crack"), ("0.99999999", "so here: no crack")):
        page.ask("crackviz.view.found.logit = 3; const range = document.getElementById('threshold');"
                 "range.min = 0; range.max = 1;"
                 f" range.value = {threshold}; crackviz.view.show()".join("{}"))  # fmt: skip
        assert called in page.ask("document.getElementById('answer').textContent")


def test_the_ruler_measures_and_a_picture_is_saved(page: Page) -> None:
    give(page, synthetic.photograph(3, size=(700, 500)).image)
    page.ask("document.getElementById('rule').checked = true; document.getElementById('length').value = 50;"
             "crackviz.view.ruler = {from: [100, 100], to: [300, 100]}; crackviz.view.show()")  # fmt: skip
    assert "One pixel is 0.25 mm wide" in page.ask("document.getElementById('scale').textContent")
    page.ask("crackviz.view.save()")
    assert page.until("crackviz.view.saved") > 10_000


@pytest.mark.parametrize(
    ("content", "said"), [(b"no picture", "can't be read as a picture"), (None, "at least 32"), (b"", "can't be read")]
)
def test_a_bad_picture_is_told_in_a_sentence(page: Page, content: bytes | None, said: str) -> None:
    if content is None:
        buffer = io.BytesIO()
        Image.new("RGB", (20, 90)).save(buffer, "PNG")
        content = buffer.getvalue()
    text = base64.b64encode(content).decode()
    page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
    page.ask("crackviz.view.choose(new File([given], 'a.png')).then(() => 0)")
    assert said in page.ask("document.getElementById('message').textContent")


def test_a_picture_unlike_anything_is_warned_of(page: Page) -> None:
    usual = np.rint(pictures(128, 1)[0] * 255).astype(np.uint8)
    give(page, usual)
    assert page.ask("document.getElementById('warning').hidden")
    give(page, np.full((256, 256, 3), (255, 0, 200), np.uint8))
    assert "flatter" in page.until("document.getElementById('warning').textContent")


def test_without_workers_it_computes_all_the_same(page: Page, made: Any) -> None:
    page.ask("crackviz.view.pool.workers = []; 0")
    image = np.rint(pictures(128, 1)[0] * 255).astype(np.uint8)
    give(page, image)
    page.ask("crackviz.view.resize(128)")
    page.until("crackviz.view.found && crackviz.view.found.square.size === 128")
    logit = made.logits(image[np.newaxis].astype(np.float32) / 255)[0]
    assert abs(page.ask("crackviz.view.found.logit") - logit) <= 1e-4


def luminance(colour: str) -> float:
    parts = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_contrast_is_enough_in_light_and_dark(file: Path) -> None:
    schemes = re.findall(r":root \{ ([^}]*--ink[^}]*) \}", file.read_text("utf-8"))
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", scheme))
        pairs = [("ink", "page"), ("soft", "page"), ("act", "page"), ("on-act", "act"), ("warn", "warn-page")]
        for front, back in pairs:
            light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (front, back)


def test_nothing_is_wider_than_a_phone_and_every_control_has_a_name(page: Page) -> None:
    give(page, synthetic.photograph(3, size=(700, 500)).image)
    assert page.ask("document.documentElement.scrollWidth") <= 390
    names = page.ask("Array.from(document.querySelectorAll('input, button, canvas, progress'), (one) => "
                     "one.labels?.[0]?.textContent || one.textContent || one.getAttribute('aria-label'))")  # fmt: skip
    assert len(names) > 10 and all(names)


@pytest.mark.parametrize("name", ["gap_cnn", "gap_cnn_deep", "trace_cnn", "local_cnn", "mobilenet_v2"])
def test_every_network_with_an_exact_map_is_computed_by_the_page(name: str, tmp_path: Path) -> None:
    size = 95 if name in ("trace_cnn", "local_cnn") else 64  # odd sides are cropped
    model = models.build(name, size, seed=3, **({"weights": None} if name == "mobilenet_v2" else {}))
    made = export.explained(model, size)
    path = tmp_path / "a.html"
    html.write(made, path)
    run = html.runner(path, made)
    assert run is not None
    found = export.compare(made, run, pictures(size, 4))
    assert found.logit <= 1e-4 and found.map is not None and found.map <= 1e-6 and not found.decisions
