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
import skimage.data
from chromium import CHROMIUM, MISSING, Page, open_page
from PIL import Image

from crackviz import data, export, models, synthetic
from crackviz.export import html
from crackviz.export.checking import pictures
from crackviz.export.layers import to_javascript
from crackviz.inspection import novelty

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


def test_a_photograph_can_be_stopped_and_what_was_asked_is_told(page: Page) -> None:
    give(page, synthetic.photograph(3, size=(700, 500)).image)
    page.ask("crackviz.view.resize(64)")
    page.ask("window.ended = crackviz.view.askWhole(); 0")
    page.until("crackviz.view.windows.length > 2")
    page.ask("document.getElementById('stop').click()")
    assert page.ask("ended") is None and page.ask("document.getElementById('progress').hidden")
    done = page.ask("crackviz.view.windows.length")
    assert 2 < done < 88  # of 11 x 8
    said = page.ask("document.getElementById('answer').textContent")
    assert (
        "The photograph, asked about in part (88 windows): " in said and f" of {done} windows are called cracks" in said
    )


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
    page.ask("savePicture(crackviz.view)")
    assert page.until("crackviz.view.saved") > 10_000


def test_a_picture_of_100_megapixels_is_refused(page: Page) -> None:
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    text = base64.b64encode(buffer.getvalue()).decode()
    page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
    page.ask("crackviz.view.choose(new File([given], 'a.png')).then(() => 0)")
    said = page.ask("document.getElementById('message').textContent")
    assert said == "This picture has 100 megapixels; up to 64 fit here. Cut it, or take it with fewer."


def press(page: Page, key: str, code: int = 0) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        page.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_every_control_is_reached_and_the_ruler_drawn_by_keys(page: Page) -> None:
    give(page, synthetic.photograph(3, size=(700, 500)).image)
    page.ask("document.getElementById('ruler').open = true; document.activeElement.blur(); 0")
    reached = []
    for _ in range(20):
        press(page, "Tab", 9)
        reached.append(page.ask("document.activeElement.id || document.activeElement.textContent"))
    wanted = ["camera", "file", "example", "picture", "size", "whole", "rule", "length"]
    wanted += ["opacity", "threshold", "save", "h-limits"]
    assert [name for name in reached if name in wanted][: len(wanted)] == wanted
    assert any("About this network" in name for name in reached)
    page.ask("document.getElementById('rule').checked = true; document.getElementById('length').value = 50;"
             "document.getElementById('picture').focus()")  # fmt: skip
    for key in ("Enter", "ArrowRight", "ArrowRight", "Enter"):
        press(page, key)
    size = page.ask("crackviz.view.square.size")
    moved = page.ask("crackviz.view.ruler.to[0] - crackviz.view.ruler.from[0]")
    assert moved == pytest.approx(size / 2, abs=2)
    assert f"One pixel is {50 / moved:#.2g} mm wide" in page.ask("document.getElementById('scale').textContent")


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


def some_squares() -> list[np.ndarray]:
    """Squares of 128 px of many kinds: drawn ones, noise, letters, flat ones, colours, stripes, a real photograph."""
    rng = np.random.default_rng(3)
    drawn = [np.rint(image * 255).astype(np.uint8) for image in pictures(128, 3)]
    stripes = np.broadcast_to((np.arange(128) % 16 < 8)[:, np.newaxis, np.newaxis] * np.uint8(255), (128, 128, 3))
    astronaut = skimage.data.astronaut()[40:168, 170:298]
    noise = rng.integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    return [*drawn, *noise, stripes, astronaut, np.full((128, 128, 3), (255, 0, 200), np.uint8)]


def test_how_far_a_square_is_from_usual_is_counted_as_in_python(page: Page) -> None:
    usual, warned = novelty.usual(), []
    for square in some_squares():
        text = base64.b64encode(np.ascontiguousarray(square).tobytes()).decode()
        page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
        numbers = page.ask("describe(given, 128)")
        wanted = novelty.describe(square[np.newaxis])[0]
        np.testing.assert_allclose(numbers, wanted, atol=1e-4)  # float32 sums there
        away = page.ask("distance(describe(given, 128), facts.usual)")
        assert away == pytest.approx(novelty.distance(square[np.newaxis])[0], rel=1e-3)
        warned.append(away > usual.limit)
    assert warned[:3] == [False] * 3 and all(warned[3:])
    assert page.ask("facts.usual.limit") == usual.limit  # the file's, never a copy of the number


@pytest.mark.parametrize(("size", "starts"), [(150, [11]), (256, [0, 128]), (230, [0, 102])])
def test_a_square_is_judged_by_its_pieces_as_they_are_in_the_photograph(
    page: Page, size: int, starts: list[int]
) -> None:
    square = np.rint(pictures(size, 1)[0] * 255).astype(np.uint8)
    square[-40:, -40:] = some_squares()[3][:40, :40]  # noise in one corner
    text = base64.b64encode(np.ascontiguousarray(square).tobytes()).decode()
    page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
    pieces = [square[top : top + 128, left : left + 128] for top in starts for left in starts]
    wanted = max(novelty.distance(piece[np.newaxis])[0] for piece in pieces)
    assert page.ask(f"strangest(given, {size}, facts.usual).away") == pytest.approx(wanted, rel=1e-3)


def test_a_picture_unlike_anything_is_warned_of(page: Page) -> None:
    give(page, np.rint(pictures(128, 1)[0] * 255).astype(np.uint8))
    assert page.ask("document.getElementById('warning').hidden")
    give(page, np.full((256, 256, 3), (255, 0, 200), np.uint8))
    warning = page.until("document.getElementById('warning').textContent")
    assert (
        warning.startswith("Unlike anything seen: this square lies ") and "more blurred, of another colour" in warning
    )
    assert page.ask("crackviz.view.askWhole().then((all) => all.every((one) => one.unlike))")
    assert "Crossed out: 4 of 4 windows, unlike" in page.ask("document.getElementById('warning').textContent")


def test_the_page_holds_the_weights_to_the_digit(page: Page, made: Any) -> None:
    weights = to_javascript(made.source, True)[1].values()
    digits = page.ask("facts.digits")
    wanted = np.concatenate([html.rounded(one, digits).ravel() for one in weights])
    np.testing.assert_array_equal(numbers(page.ask(f"{AS_TEXT}(block)")), wanted)
    kept, given = wanted, np.concatenate([one.ravel() for one in weights])
    assert digits < 24 and (kept != given).any() and np.abs(kept - given).max() <= 2.0**-digits * np.abs(given).max()


def test_an_older_browser_and_a_damaged_page_are_told_in_a_sentence(file: Path, tmp_path: Path) -> None:
    text = file.read_text("utf-8")
    damaged = re.sub(r'(<script id="block"[^>]*>\s*)\S{9}', r"\g<1>123456789", text, count=1)
    (tmp_path / "damaged.html").write_text(damaged, encoding="utf-8")
    for path, script, said in (
        (file, "delete window.DecompressionStream", "This browser is too old"),
        (tmp_path / "damaged.html", "", "This page is damaged"),
    ):
        with open_page(tmp_path / f"profile {path.stem}", (390, 844)) as opened:
            opened.send("Page.addScriptToEvaluateOnNewDocument", source=script)
            opened.go(path.as_uri())
            assert said in opened.until("document.getElementById('message')?.textContent")
            assert opened.ask("document.getElementById('file').disabled")


def test_without_workers_it_computes_all_the_same(file: Path, made: Any, tmp_path: Path) -> None:
    with open_page(tmp_path / "profile", (390, 844)) as page:
        page.send("Page.addScriptToEvaluateOnNewDocument", source="delete window.Worker")
        page.go(file.as_uri())
        page.until(READY)
        assert page.ask("typeof Worker") == "undefined" and not page.ask("crackviz.view.pool.workers.length")
        answers_as_keras_does(page, made)
        assert page.ask("crackviz.view.askWhole().then((all) => all.length)") == 1
        assert not page.complained


def test_workers_that_fail_are_done_without(page: Page, made: Any) -> None:
    page.ask("crackviz.view.pool.workers = []; 0")
    answers_as_keras_does(page, made)


def answers_as_keras_does(page: Page, made: Any) -> None:
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
