"""Synthetic concrete: exact truth, the same bytes everywhere, dials that do what they say, a cache that holds."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from crackviz import CrackvizError, data, synthetic
from crackviz.synthetic import Settings, cracks, layers, noise, patch, patches, photograph, rendering
from crackviz.synthetic.noise import Window

SMALL = Settings(patches=24, image_size=48, crack_width=(1.6, 8.0), patches_per_photo=4)
SPEC = "synthetic:patches=24,image_size=48,crack_width=(1.6,8),patches_per_photo=4"


@functools.cache
def known(number: int, rate: float = 0.4) -> synthetic.Patch:
    """A patch that several tests look at and none changes: of the default set, but for its rate of distractors."""
    return patch(number, Settings(distractor_rate=rate))


def digest(*numbers: int, of: Settings | None = None) -> str:
    """Hash of what is seen and known of some patches; of the pixels before JPEG, which is not ours."""
    of = of or Settings()
    whole = hashlib.sha256()
    for number in numbers:
        made = patch(number, of)
        wall = patches._scene(of, made.photo, of.photo_size)
        bare = rendering.render(wall, Window(*made.position, of.image_size, of.image_size))
        whole.update(bare.image.tobytes() + made.mask.tobytes() + made.centreline.tobytes())
        for kind, there in sorted(made.distractors.items()):
            whole.update(kind.encode() + there.tobytes())
    return whole.hexdigest()


# --- the same everywhere ------------------------------------------------------------------------------------------


def test_the_bytes_are_those_of_another_machine() -> None:
    """Each hash was made once. A change of a pixel raises RENDERER: run this file to print the hash for it."""
    assert digest(0, 1, 9, 100, 1999) == KNOWN[synthetic.RENDERER]


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        # another processor: without the wide instructions NumPy and OpenBLAS choose other code
        {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512_SKX AVX2 FMA3", "OPENBLAS_CORETYPE": "Nehalem"},
    ],
    ids=["one thread", "an older processor"],
)
def test_threads_and_processors_make_no_difference(environment: dict[str, str]) -> None:
    code = "import sys; sys.path.insert(0, 'tests/synthetic'); import test_synthetic as t; print(t.digest(*range(40)))"
    root = Path(__file__).resolve().parents[2]
    here = {**os.environ, **environment}
    printed = subprocess.run([sys.executable, "-c", code], env=here, cwd=root, capture_output=True, text=True)
    assert printed.stdout.strip() == digest(*range(40)), printed.stderr


def test_a_patch_does_not_depend_on_what_was_made_before() -> None:
    first = patch(17)
    for number in (3, 16, 18, 90):
        patch(number)
    again = patch(17)
    assert again.jpeg == first.jpeg
    assert np.array_equal(again.mask, first.mask)


def test_patches_are_cut_from_photographs() -> None:
    wall = patches._scene(SMALL, 2, SMALL.photo_size)
    whole = rendering.render(wall, Window(0, 0, *wall.size))
    for number in range(8, 12):
        made = patch(number, SMALL)
        assert made.photo == 2
        x, y = made.position
        cut = (slice(y, y + 48), slice(x, x + 48))
        assert np.array_equal(rendering.render(wall, Window(x, y, 48, 48)).image, whole.image[cut])
        assert np.array_equal(made.mask, whole.crack[cut])
        assert np.array_equal(made.centreline, whole.centreline[cut])
        assert all(np.array_equal(there, whole.marks[kind][cut]) for kind, there in made.distractors.items())
    photo = photograph(2, SMALL)
    assert photo.image.shape == (288, 384, 3)
    assert np.array_equal(photo.mask, whole.crack)
    assert abs(photo.image.astype(int) - whole.image).mean() < 6, "JPEG changes little"


def test_a_photograph_has_the_size_that_is_asked_for() -> None:
    photo = photograph(1, size=(300, 200))
    assert photo.image.shape == (200, 300, 3)
    assert photo.mask.shape == photo.centreline.shape == (200, 300)
    assert np.array_equal(np.array(Image.open(io.BytesIO(photo.jpeg))), photo.image)


# --- fields -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", [1.0, 2.3, 9.0])
def test_smooth_noise_has_mean_0_and_variance_1(spacing: float) -> None:
    field = np.concatenate([noise.smooth(Window(0, 0, 400, 400), spacing, salt) for salt in range(8)])
    assert abs(field.mean()) < 0.05
    assert abs(field.std() - 1) < 0.06
    assert field.dtype == np.float32


def test_smooth_noise_is_as_fine_as_asked() -> None:
    def correlation(spacing: float, distance: int) -> float:
        field = noise.smooth(Window(-50, 7, 600, 600), spacing, 3)
        return float(np.corrcoef(field[:, distance:].ravel(), field[:, :-distance].ravel())[0, 1])

    assert abs(correlation(1.0, 1)) < 0.02
    assert correlation(12.0, 2) > 0.9
    assert abs(correlation(12.0, 48)) < 0.1
    assert correlation(4.0, 4) < correlation(12.0, 4)


@given(x=st.integers(-5000, 5000), y=st.integers(-5000, 5000), spacing=st.sampled_from([1.0, 1.7, 6.0, 33.0]))
@settings(max_examples=30, deadline=None)
def test_any_window_shows_the_same_field(x: int, y: int, spacing: float) -> None:
    whole = noise.smooth(Window(x, y, 60, 50), spacing, 5)
    part = noise.smooth(Window(x + 13, y + 7, 20, 30), spacing, 5)
    assert np.array_equal(part, whole[7:37, 13:33])
    drawn = noise.streaks(Window(x, y, 60, 50), 20, 3, 0.7, 5)
    assert np.array_equal(noise.streaks(Window(x + 13, y + 7, 20, 30), 20, 3, 0.7, 5), drawn[7:37, 13:33])


def test_streaks_run_along_their_angle() -> None:
    field = noise.streaks(Window(0, 0, 300, 300), 30, 3, 0.0, 1)
    along = np.corrcoef(field[:, 6:].ravel(), field[:, :-6].ravel())[0, 1]
    across = np.corrcoef(field[6:].ravel(), field[:-6].ravel())[0, 1]
    assert along > 0.8
    assert abs(across) < 0.2


# --- cracks and their masks ---------------------------------------------------------------------------------------


def drawn(line: np.ndarray, half: float) -> np.ndarray:
    wide = np.full(len(line), half)
    quads = layers.ribbon(line, wide, wide)
    layer = layers.Layer("crack", quads, np.ones(len(quads)), (0, 0, 0))
    found = rendering._draw(layer, Window(0, 0, 40, 40))
    assert found is not None
    box, outline, _ = found
    mask = np.zeros((40, 40), bool)
    mask[box] = outline
    return mask


def test_the_mask_of_a_straight_crack_is_known() -> None:
    level = drawn(np.stack([np.linspace(-5, 45, 11), np.full(11, 20.0)], axis=1), 2.0)
    assert np.array_equal(np.flatnonzero(level.any(axis=1)), [18, 19, 20, 21])
    assert level[18:22].all()
    plumb = drawn(np.stack([np.full(11, 7.5), np.linspace(-5, 45, 11)], axis=1), 0.5)
    assert np.array_equal(np.flatnonzero(plumb.any(axis=0)), [7])
    slanted = drawn(np.stack([np.linspace(0, 40, 9), np.linspace(0, 40, 9)], axis=1), 3.0)
    y, x = np.mgrid[:40, :40] + 0.5
    distance = abs(x - y) / np.sqrt(2)
    inner = (x + y > 8) & (x + y < 72)
    assert slanted[(distance < 2.4) & inner].all()
    assert not slanted[distance > 3.6].any()


def test_a_centre_line_is_drawn_where_it_runs() -> None:
    there = np.zeros((4, 5), bool)
    line = np.array([[11.5, 23.5], [12.2, 23.9], [14.9, 20.0], [15.0, 21.0], [9.9, 21.0]])
    rendering._trace(there, line, Window(10, 20, 5, 4))
    assert sorted(zip(*np.nonzero(there), strict=True)) == [(0, 4), (3, 1), (3, 2)], (
        "(row, column); the last two lie outside"
    )
    sides = []
    for number in range(1, 60, 2):
        made = patch(number, Settings(crack_width=(9, 12), distractor_rate=0))
        depth = ndimage.distance_transform_edt(made.mask)
        sides.append(np.median(depth[made.centreline]) / np.quantile(depth[made.mask], 0.95))
    assert np.median(sides) > 0.6, "in the middle of the opening"


def test_a_fractal_line_joins_its_ends_and_is_as_rough_as_asked() -> None:
    start, end = np.array([10.0, 20.0]), np.array([410.0, 120.0])

    def line(roughness: float, seed: int) -> np.ndarray:
        return cracks.fractal(np.random.default_rng(seed), start, end, roughness)

    def sinuosity(roughness: float) -> float:
        lengths = [np.hypot(*np.diff(line(roughness, seed), axis=0).T).sum() for seed in range(20)]
        return float(np.mean(lengths) / np.hypot(*(end - start)))

    assert np.array_equal(line(0.1, 0)[[0, -1]], [start, end])
    assert np.hypot(*np.diff(line(0.05, 0), axis=0).T).max() < 12
    assert abs(sinuosity(0.0) - 1) < 1e-9
    assert 1.001 < sinuosity(0.03) < sinuosity(0.1)


def test_labels_masks_and_centre_lines_agree() -> None:
    for number in range(120):
        made = known(number)
        assert made.label == number % 2, "half of the patches, in turn"
        assert made.image.shape == (128, 128, 3) and made.image.dtype == np.uint8
        assert made.mask.dtype == made.centreline.dtype == bool
        assert not (made.centreline & ~made.mask).any()
        assert made.mask.any() == bool(made.label)
        if made.label:
            assert made.centreline.sum() > 0.3 * 128, "a crack that nobody can miss"
            assert made.mask.mean() < 0.6
    assert not known(0).mask.any()


def test_a_crack_is_darker_than_what_lies_beside_it() -> None:
    darker = []
    for number in range(1, 160, 2):
        made = known(number, 0.0)
        grey = made.image.mean(axis=2)
        beside = ndimage.binary_dilation(made.mask, iterations=8) & ~ndimage.binary_dilation(made.mask, iterations=3)
        darker.append(grey[beside].mean() - grey[made.mask].mean())
    assert np.mean(np.array(darker) > 0) > 0.95
    assert np.median(darker) > 20


# --- dials --------------------------------------------------------------------------------------------------------


def test_every_dial_changes_the_answer() -> None:
    base = Settings(shortcut="scale_bar")
    other: dict[str, Any] = {
        "image_size": 100,
        "patches_per_photo": 9,
        "crack_share": 0.3,
        "crack_width": (3.0, 9.0),
        "contrast": 0.4,
        "distractor_rate": 0.9,
        "shortcut": "date_stamp",
        "shortcut_correlation": -1.0,
        "seed": 1,
    }
    assert {*other, "patches"} == {field.name for field in fields(Settings)}
    plain = [patch(number, base).jpeg for number in range(10)]
    for name, value in other.items():
        turned = replace(base, **{name: value})
        assert turned.key != base.key
        assert [patch(number, turned).jpeg for number in range(10)] != plain, name
    assert replace(base, patches=10).key != base.key
    assert [patch(number, replace(base, patches=10)).jpeg for number in range(10)] == plain


def width_of(made: synthetic.Patch) -> float:
    return float(made.mask.sum() / made.centreline.sum())


def test_crack_width_and_contrast_do_what_they_say() -> None:
    numbers = range(1, 80, 2)
    thin, wide = Settings(crack_width=(1.0, 1.5), distractor_rate=0), Settings(crack_width=(9, 12), distractor_rate=0)
    assert np.median([width_of(patch(n, thin)) for n in numbers]) < 2.2
    assert np.median([width_of(patch(n, wide)) for n in numbers]) > 4

    def darkness(contrast: float) -> float:
        made = [patch(n, Settings(contrast=contrast, crack_width=(6, 8), distractor_rate=0)) for n in numbers]
        return float(np.mean([p.image[~p.mask].mean() - p.image[p.mask].mean() for p in made]))

    assert darkness(0.2) < 0.6 * darkness(1.0)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_of_cracks_is_exact(share: float) -> None:
    labels = [patch(number, replace(SMALL, crack_share=share)).label for number in range(40)]
    assert sum(labels) == round(share * 40)


def test_distractors_lie_in_both_classes() -> None:
    def shown(rate: float) -> tuple[float, float]:
        made = [known(number, rate) for number in range(100)]
        there = np.array([bool(p.distractors) for p in made])
        labels = np.array([p.label for p in made])
        return float(there[labels == 1].mean()), float(there[labels == 0].mean())

    assert shown(0.0) == (0, 0)
    some, many = shown(0.4), shown(1.0)
    assert all(0.25 < share < 0.75 for share in some)
    assert abs(some[0] - some[1]) < 0.25
    assert min(many) > 0.7


@pytest.mark.slow
def test_every_distractor_occurs_with_and_without_a_crack() -> None:
    seen: dict[int, set[str]] = {0: set(), 1: set()}
    for number in range(1200):
        made = known(number)
        seen[made.label] |= set(made.distractors)
    assert seen[0] == seen[1] == set(synthetic.DISTRACTORS)


@pytest.mark.parametrize("shortcut", synthetic.SHORTCUTS)
@pytest.mark.parametrize("number", [6, 7])
def test_a_shortcut_changes_its_own_pixels_alone(shortcut: str, number: int) -> None:
    of = Settings(shortcut=shortcut)
    with_it, without = patch(number, of, planted=True), patch(number, of, planted=False)
    name = "chalk_mark" if shortcut == "chalk_line" else shortcut
    assert name in with_it.distractors and name not in without.distractors
    assert with_it.position == without.position and with_it.label == without.label
    touched = abs(with_it.image.astype(int) - without.image).max(axis=2)
    mark = with_it.distractors[name]
    assert (touched[mark] > 0).mean() > 0.9
    near = ndimage.binary_dilation(mark, iterations=24)  # blur, chalk too thin to count, and JPEG's blocks of 16 px
    assert (touched[~near] <= 8).all()


def test_the_correlation_of_a_shortcut_is_as_asked() -> None:
    def rates(correlation: float) -> tuple[float, float]:
        of = replace(SMALL, shortcut="scale_bar", shortcut_correlation=correlation)
        made = [patch(number, of) for number in range(400)]
        there, labels = np.array(["scale_bar" in p.distractors for p in made]), np.array([p.label for p in made])
        return float(there[labels == 1].mean()), float(there[labels == 0].mean())

    assert rates(1.0) == (1, 0)
    assert rates(-1.0) == (0, 1)
    cracked, sound = rates(0.9)
    assert 0.9 < cracked < 0.99 and 0.01 < sound < 0.1


def test_a_chalk_line_runs_beside_the_crack() -> None:
    of = Settings(shortcut="chalk_line", distractor_rate=0)
    near = []
    for number in range(1, 60, 2):
        made = patch(number, of, planted=True)
        distance = ndimage.distance_transform_edt(~made.mask)
        near.append(float(np.median(distance[made.distractors["chalk_mark"]])))
    assert np.median(near) < 20


valid = st.builds(
    Settings,
    image_size=st.integers(32, 96),
    patches_per_photo=st.integers(1, 30),
    crack_share=st.floats(0, 1),
    crack_width=st.tuples(st.floats(0.3, 6.4), st.floats(0.3, 6.4)).map(sorted).map(tuple),
    contrast=st.floats(0.1, 1),
    distractor_rate=st.floats(0, 1),
    shortcut=st.sampled_from(["", *synthetic.SHORTCUTS]),
    shortcut_correlation=st.floats(-1, 1),
    seed=st.integers(0, 2**63 - 1),
)


@given(of=valid, number=st.integers(0, 10**9))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_settings_make_a_patch(of: Settings, number: int) -> None:
    made = patch(number, of)
    assert made.image.shape == (of.image_size, of.image_size, 3)
    assert made.mask.any() <= bool(made.label), "a sound patch has no crack"
    assert not (made.centreline & ~made.mask).any()
    assert all(there.any() and there.shape == made.mask.shape for there in made.distractors.values())


# --- bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patches": 0}, r"patches is 0; expected a whole number from 1 to 1,000,000"),
        ({"patches": 2.5}, r"patches is 2.5; expected a whole number"),
        ({"patches": True}, r"patches is True"),
        ({"image_size": 16}, r"image_size is 16; .* from 32 to 1,024"),
        ({"patches_per_photo": 101}, r"patches_per_photo is 101"),
        ({"crack_share": 1.5}, r"crack_share is 1.5; expected a number from 0 to 1\."),
        ({"crack_share": float("nan")}, r"crack_share is nan"),
        ({"contrast": 0}, r"contrast is 0; .* from 0.1 to 1\."),
        ({"distractor_rate": "much"}, r"distractor_rate is 'much'"),
        ({"crack_width": 3}, r"crack_width is 3; expected two numbers"),
        ({"crack_width": (0.1, 3)}, r"crack_width is 0.1; expected a number from 0.3 to 25"),
        ({"crack_width": (1, 30)}, r"crack_width is 30"),
        ({"crack_width": (1, 9), "image_size": 40}, r"crack_width is 9; .* to 8\."),
        ({"crack_width": (5, 2)}, r"the least is greater than the greatest"),
        ({"shortcut": "chalk"}, r"shortcut is 'chalk'; expected '' or one of chalk_line.* Did you mean chalk_line"),
        ({"shortcut_correlation": 1.1}, r"shortcut_correlation is 1.1; .* -1 to 1\."),
        ({"seed": -1}, r"seed is -1; .* from 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        Settings(**given)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: patch(-1), "number is -1"),
        (lambda: patch(0, planted=True), "settings name no shortcut; choose one of chalk_line"),
        (lambda: photograph(0, size=(10, 400)), "size is 10; .* from 64 to 8,192"),
        (lambda: photograph(0, size=400), r"size is 400; expected \(width, height\)"),  # type: ignore[arg-type]
        (lambda: synthetic.parse("synthetic:sed=1"), "no setting 'sed'. Did you mean seed?"),
        (lambda: synthetic.parse("synthetic:seed"), "expected settings such as"),
        (lambda: synthetic.parse("synthetic:seed=1,seed=2"), "seed is given 2 times; expected it once"),
        (lambda: synthetic.parse("synthetic:1)(seed=2"), "expected settings such as"),
        (lambda: synthetic.parse("synthetic:**{'seed': 2}"), "no setting None. Known: patches"),
        (lambda: synthetic.parse("synthetic:seed=open('x')"), "expected settings such as"),
        (lambda: synthetic.parse("concrete"), "'concrete': expected 'synthetic'"),
        (lambda: synthetic.details("a/images/b.jpg"), r"has no details: a/details/b.png can't be read"),
        (lambda: data.index("synthetic:seed=-3"), "seed is -3"),
    ],
)
def test_mistakes_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        call()


def test_settings_are_read_from_text() -> None:
    assert synthetic.parse("synthetic") == Settings()
    text = "synthetic:seed=3, crack_width=(2, 5), shortcut='scale_bar'"
    assert synthetic.parse(text) == Settings(seed=3, crack_width=(2, 5), shortcut="scale_bar")
    assert Settings(crack_width=[2, 5]).key == Settings(crack_width=(2.0, 5.0)).key  # type: ignore[arg-type]


# --- the set on the disk ------------------------------------------------------------------------------------------


def kept(cache: Path) -> list[Path]:
    """What lies in a cache, besides the file that its writers lock."""
    return [path for path in cache.iterdir() if path.name != ".lock"]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_set_is_made_once_and_read_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKVIZ_CACHE", str(tmp_path))
    table = data.scan(data.index(SPEC))
    root = Path(table.attrs["root"])
    assert root == synthetic.dataset(SMALL, jobs=1) == synthetic.dataset(SMALL)
    assert [path.name for path in kept(tmp_path)] == [root.name]
    assert len(table) == 24 and set(table["source"]) == {"synthetic"} and not table.attrs["skipped"]
    assert table["label"].sum() == 12
    images = data.load_images(table["path"], 48)
    masks = data.load_masks(table["mask"], 48)
    for row, (path, label, group) in enumerate(zip(table["path"], table["label"], table["group"], strict=True)):
        photo, number = map(int, Path(path).stem.split("-"))
        made = patch(4 * photo + number, SMALL)
        assert np.array_equal(np.round(images[row] * 255).astype(np.uint8), made.image)
        assert np.array_equal(masks[row], made.mask)
        assert label == made.label and group == f"photograph {photo}"
        centreline, marks = synthetic.details(path)
        assert np.array_equal(centreline, made.centreline)
        assert marks.keys() <= made.distractors.keys() == set(table["distractors"][row].split())
        assert all((there & ~made.distractors[kind]).sum() == 0 for kind, there in marks.items())
    divided = data.split(table, seed=1)
    data.check_split(divided)
    data.write_split(divided, tmp_path / "split.csv")
    assert list(data.read_split(tmp_path / "split.csv")["distractors"]) == list(divided["distractors"])


def test_one_process_or_several_make_the_same_bytes(tmp_path: Path) -> None:
    of = replace(SMALL, patches=130)
    one, two = (synthetic.dataset(of, cache=tmp_path / str(jobs), jobs=jobs) for jobs in (1, 2))
    assert content(one) == content(two)
    assert len(content(one)) == 3 * 130 + 1


@pytest.mark.parametrize("damage", ["a flipped bit", "a lost mask", "a cut list", "a changed label", "no list"])
def test_a_damaged_set_is_made_again(tmp_path: Path, damage: str) -> None:
    folder = synthetic.dataset(SMALL, cache=tmp_path)
    before, number = content(folder), folder.stat().st_ino
    assert synthetic.dataset(SMALL, cache=tmp_path).stat().st_ino == number
    picture, listed = next((folder / "images").iterdir()), folder / "patches.csv"
    if damage == "a flipped bit":
        raw = bytearray(picture.read_bytes())
        raw[len(raw) // 2] ^= 1
        picture.write_bytes(raw)
    elif damage == "a lost mask":
        next((folder / "masks").iterdir()).unlink()
    elif damage == "a cut list":
        listed.write_bytes(listed.read_bytes()[:-200])
    elif damage == "a changed label":
        listed.write_text(listed.read_text().replace(",0,", ",1,", 1))
    else:
        listed.unlink()
    assert synthetic.dataset(SMALL, cache=tmp_path) == folder
    assert content(folder) == before
    assert [path.name for path in kept(tmp_path)] == [folder.name], "no leftovers"


MAKE = "import sys; from crackviz import synthetic; print(synthetic.dataset(synthetic.parse(sys.argv[1])))"


def process(home: Path, spec: str) -> subprocess.Popen[str]:
    env = {**os.environ, "CRACKVIZ_CACHE": str(home)}
    command = [sys.executable, "-c", MAKE, spec]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True)


@pytest.mark.slow
def test_two_processes_at_once_make_one_set(tmp_path: Path) -> None:
    both = [process(tmp_path, SPEC) for _ in range(2)]
    printed = [one.communicate(timeout=120)[0].strip() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert printed[0] == printed[1]
    assert [str(path) for path in kept(tmp_path)] == [printed[0]]
    assert sys.modules["crackviz.synthetic.dataset"]._whole(Path(printed[0]))  # a function has the module's name


@pytest.mark.slow
def test_a_killed_process_leaves_nothing_that_is_taken_for_a_set(tmp_path: Path) -> None:
    spec = "synthetic:patches=3000,image_size=48,crack_width=(1.6,8)"
    one = process(tmp_path, spec)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob(".*/images/*.jpg"))) < 20:
        time.sleep(0.05)
    os.killpg(one.pid, signal.SIGKILL)
    one.communicate()
    left = kept(tmp_path)
    assert left and all(path.name.endswith(".part") for path in left)
    folder = synthetic.dataset(SMALL, cache=tmp_path)
    assert [path.name for path in kept(tmp_path)] == [folder.name]


def test_a_full_disk_or_a_bad_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CrackvizError, match=r"could not be kept in .*file.*CRACKVIZ_CACHE"):
        synthetic.dataset(SMALL, cache=tmp_path / "file")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["crackviz.synthetic.dataset"], "_write_block", full)
    with pytest.raises(CrackvizError, match="No space left on device"):
        synthetic.dataset(SMALL, cache=tmp_path / "cache", jobs=1)
    assert kept(tmp_path / "cache") == []


def test_the_list_says_what_the_set_was_made_from(tmp_path: Path) -> None:
    folder = synthetic.dataset(SMALL, cache=tmp_path)
    found = synthetic.listing(folder)
    assert found is not None
    assert Settings(**{**found[0]["settings"]}) == SMALL
    assert json.loads((folder / "patches.csv").read_text().split("\n")[0][2:])["renderer"] == synthetic.RENDERER
    assert synthetic.listing(tmp_path) is None


# --- not trivial --------------------------------------------------------------------------------------------------


def best_accuracy(score: np.ndarray, labels: np.ndarray) -> float:
    order = np.argsort(score, kind="stable")
    correct = np.concatenate([[0], np.cumsum(np.where(labels[order] == 0, 1, -1))]) + labels.sum()
    return float(max(correct.max(), len(labels) - correct.min()) / len(labels))


def test_the_best_threshold_is_found() -> None:
    labels = np.array([0, 0, 1, 1])
    assert best_accuracy(np.array([1.0, 2, 3, 4]), labels) == 1
    assert best_accuracy(np.array([4.0, 3, 2, 1]), labels) == 1
    assert best_accuracy(np.array([1.0, 3, 2, 4]), labels) == 0.75


@pytest.mark.slow
def test_two_line_rules_do_not_tell_the_classes_of_the_default_set_apart() -> None:
    made = [known(number) for number in range(Settings().patches)]
    labels = np.array([p.label for p in made])
    grey = np.stack([p.image for p in made]).mean(axis=3) / 255
    sobel = np.hypot(ndimage.sobel(grey, axis=1), ndimage.sobel(grey, axis=2))
    local = grey - ndimage.uniform_filter(grey, (0, 15, 15))
    rules = {
        "darkest pixel": grey.min(axis=(1, 2)),
        "darkest percent": np.quantile(grey, 0.01, axis=(1, 2)),
        "mean intensity": grey.mean(axis=(1, 2)),
        "spread": grey.std(axis=(1, 2)),
        "edge density": (sobel > 0.4).mean(axis=(1, 2)),
        "mean edge": sobel.mean(axis=(1, 2)),
        "strongest edge": sobel.max(axis=(1, 2)),
        "locally dark share": (local < -0.1).mean(axis=(1, 2)),
        "darkest against its surroundings": local.min(axis=(1, 2)),
        "red against blue": np.stack([p.image for p in made]).mean(axis=(1, 2)) @ [1, 0, -1],
    }
    reached = {name: best_accuracy(score, labels) for name, score in rules.items()}
    assert max(reached[name] for name in ("darkest pixel", "mean intensity", "edge density")) < 0.75, reached
    assert max(reached.values()) < 0.85, reached


KNOWN = {1: "cfebfd21d0f23dd9707b8a842fb64571698aee104424fd85af45ac48ce7a33f4"}

if __name__ == "__main__":
    print(digest(0, 1, 9, 100, 1999))
