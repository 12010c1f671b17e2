"""Whole photographs: tiles equal one pass, lines, widths, what isn't judged, and what is written."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from chromium import CHROMIUM, MISSING, open_page
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from crackviz import CrackvizError, attribution, data, inspection, models, synthetic
from crackviz.inspection import command, inspecting, novelty, photographs, several, skeletons, traces, widths


@pytest.fixture(scope="module")
def wall() -> synthetic.Patch:
    return synthetic.photograph(
        3, synthetic.Settings(seed=41, distractor_rate=0.1, crack_width=(2, 8)), size=(520, 430)
    )


@pytest.fixture(scope="module")
def photo(wall: synthetic.Patch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walls") / "wall.png"
    Image.fromarray(wall.image).save(path)
    return path


# --- the map ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("network", "period", "reach"), [("trace_cnn", 16, 100), ("local_cnn", 4, 26)])
def test_tiles_equal_one_pass_by_the_library_s_own_map(network: str, period: int, reach: int, photo: Path) -> None:
    model = models.load_pretrained(network)
    photograph = inspection.Photograph(photo)
    shape = (photograph.height, photograph.width)
    mirrored = np.pad(data.read_image(photo), ((0, -shape[0] % period), (0, -shape[1] % period), (0, 0)), "symmetric")
    whole = models.resized(model, None)
    expected = attribution.grad_cam(
        whole, mirrored[np.newaxis].astype(np.float32) / 255, layer="evidence", upsample=False
    )
    expected = (
        expected[0] * mirrored.shape[0] * mirrored.shape[1]
    )  # logits per cell become those of a window full of it
    for tile in (64, 130, 1024):
        mapper = inspection.Mapper(model, tile)
        assert (mapper.surroundings.period, mapper.surroundings.reach) == (period, reach)
        done: list[int] = []
        found = mapper(photograph, np.empty(shape, np.float32), done.append)
        assert np.abs(found - expected[: shape[0], : shape[1]]).max() <= 1e-4 * inspection.largest(mapper)
        assert sum(done) == shape[0] * shape[1]
        if tile == 64:
            first = found
    assert np.abs(found - first).max() <= 1e-6 * inspection.largest(mapper)


def test_a_cell_sees_no_more_than_its_reach(photo: Path) -> None:
    mapper = inspection.Mapper(models.load_pretrained("trace_cnn"))
    reach = mapper.surroundings.reach
    rng = np.random.default_rng(0)
    picture = rng.uniform(0, 1, (1, 320, 320, 3)).astype(np.float32)
    changed = picture.copy()
    changed[:, :, 160 + reach + 1 :] = 0
    one, other = (mapper._map(some, mapper._along).numpy()[0] for some in (picture, changed))
    assert np.array_equal(one[:, :161], other[:, :161]) and not np.array_equal(one, other)


def test_networks_without_an_exact_map_are_refused_with_the_reason() -> None:
    with pytest.raises(CrackvizError, match="a cell for every 8 px"):
        inspection.Mapper(models.load_pretrained("gap_cnn_deep"))
    inputs = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = keras.layers.LayerNormalization(axis=(-1,))(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    normalised = keras.Model(inputs, keras.layers.Activation("sigmoid")(keras.layers.Dense(1, name="logit")(x)))
    with pytest.raises(CrackvizError, match="LayerNormalization"):
        inspection.surroundings(normalised)
    x = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3, padding="same")(inputs))
    flat = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid", name="logit")(x))
    with pytest.raises(CrackvizError, match="averages no map"):
        inspection.surroundings(flat)
    with pytest.raises(CrackvizError, match="tile is 0"):
        inspection.Mapper(models.load_pretrained("trace_cnn"), 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(1, 5), st.integers(1, 9))
def test_every_window_s_logit_is_its_mean_and_the_bias(height: int, width: int, side: int, step: int) -> None:
    values = np.random.default_rng(height * width).normal(size=(height, width)).astype(np.float32)
    found = inspection.window_logits(values, -2.5, side, step)
    tops, lefts = inspection.places(height, step, side), inspection.places(width, step, side)
    assert found.shape == (len(tops), len(lefts)) and tops[-1] + side == height and lefts[-1] + side == width
    i, j = len(tops) - 1, len(lefts) // 2
    expected = values[tops[i] : tops[i] + side, lefts[j] : lefts[j] + side].astype(float).mean() - 2.5
    assert found[i, j] == pytest.approx(expected, abs=1e-9)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["plain", "deflate", "tiles", "sixteen", "grey"])
def test_tiff_in_stripes_is_read_as_read_image_reads_it(how: str, wall: synthetic.Patch, tmp_path: Path) -> None:
    import tifffile

    picture: np.ndarray = wall.image
    more: dict[str, Any] = {"photometric": "rgb"}
    if how == "sixteen":
        picture = picture.astype(np.uint16) * 257 - picture.astype(np.uint16) // 3
    if how == "grey":
        picture, more = picture[..., 0], {"photometric": "minisblack"}
    if how in ("deflate", "sixteen"):
        more |= {"compression": "zlib", "rowsperstrip": 37}
    if how == "tiles":
        more |= {"compression": "zlib", "tile": (64, 48)}
    tifffile.imwrite(tmp_path / "a.tif", picture, **more)
    photograph = inspection.Photograph(tmp_path / "a.tif")
    assert photograph.in_stripes and (photograph.height, photograph.width) == picture.shape[:2]
    expected = picture if picture.ndim == 3 else np.repeat(picture[..., np.newaxis], 3, axis=2)
    if how == "sixteen":
        expected = (expected.astype(np.uint32) + 128) // 257
    else:
        assert np.array_equal(expected, data.read_image(tmp_path / "a.tif"))
    for top, bottom in ((0, picture.shape[0]), (30, 90), (400, 430)):
        assert np.array_equal(photograph.rows(top, bottom), expected[top:bottom])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_tiff_that_was_cut_off_is_named(compression: str | None, wall: synthetic.Patch, tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", wall.image, photometric="rgb", compression=compression, rowsperstrip=37)
    held = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(held[: len(held) * 3 // 4])
    with pytest.raises(CrackvizError, match=r"cut\.tif can't be read as a picture"):
        inspection.Photograph(tmp_path / "cut.tif")


def test_big_endian_sixteen_bits_are_read_as_little_endian_ones(wall: synthetic.Patch, tmp_path: Path) -> None:
    import tifffile

    picture = wall.image.astype(np.uint16) * 257
    for order in "<>":
        tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", byteorder=order)  # type: ignore[arg-type]
        photograph = inspection.Photograph(tmp_path / "a.tif")
        assert photograph.in_stripes and np.array_equal(photograph.rows(11, 77), wall.image[11:77])


def test_a_map_on_the_disk_keeps_its_values_when_it_is_let_go(tmp_path: Path) -> None:
    held = np.memmap(tmp_path / "map", np.float32, "w+", shape=(300, 40))
    held[:] = np.arange(12_000, dtype=np.float32).reshape(300, 40)
    for part in (held, held[20:50], np.asarray(held)):
        photographs.let_go(part)
        assert np.array_equal(held.ravel(), np.arange(12_000, dtype=np.float32))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_camera_s_twelve_bits_in_sixteen_are_refused(
    compression: str | None, wall: synthetic.Patch, tmp_path: Path
) -> None:
    import tifffile

    file = tmp_path / "dark.tif"
    picture = wall.image.astype(np.uint16) * 16
    tifffile.imwrite(file, picture, photometric="rgb", compression=compression, rowsperstrip=37)
    with pytest.raises(CrackvizError, match="12 bits, and it would be read as nearly black") as told:
        inspection.Photograph(file)
    assert str(file) in str(told.value)
    picture[-1] *= 15  # one bright row, the last, and the others are just dark
    tifffile.imwrite(file, picture, photometric="rgb", compression=compression, rowsperstrip=37)
    expected = (picture.astype(np.uint32) + 128) // 257
    assert np.array_equal(inspection.Photograph(file).rows(0, len(picture)), expected)


def test_turned_cmyk_and_others_are_read_whole(wall: synthetic.Patch, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(wall.image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(wall.image).convert("CMYK").save(tmp_path / "cmyk.jpg")
    for name, shape in (("turned.jpg", (520, 430)), ("cmyk.jpg", (430, 520))):
        photograph = inspection.Photograph(tmp_path / name)
        assert (photograph.height, photograph.width) == shape and not photograph.in_stripes
        assert np.array_equal(photograph.rows(5, 50), data.read_image(tmp_path / name)[5:50])


def test_too_large_and_unreadable_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("1", (20_000, 15_000)).save(tmp_path / "huge.png")  # 300 megapixels
    with pytest.raises(CrackvizError, match=r"20000 x 15000 pixels exceed 210,000,000"):
        inspection.Photograph(tmp_path / "huge.png")
    assert Image.MAX_IMAGE_PIXELS is None or Image.MAX_IMAGE_PIXELS < 100_000_000
    with pytest.raises(CrackvizError, match="no such file"):
        inspection.Photograph(tmp_path / "none.jpg")
    (tmp_path / "cut.tif").write_bytes(b"II*\0\x08\0\0\0")
    with pytest.raises(CrackvizError, match="can't be read as a picture"):
        inspection.Photograph(tmp_path / "cut.tif")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(CrackvizError, match="can't be read as a picture") as told:
        inspection.Photograph(tmp_path / "phone.heic")
    if "HEIF" not in data.images.formats():
        assert 'pip install "crackviz[heic]"' in str(told.value)


def test_a_telephone_s_heic_is_inspected_with_the_extra(wall: synthetic.Patch, tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif isn't installed")
    pytest.importorskip("ezdxf", reason="ezdxf isn't installed")
    file = tmp_path / "IMG_0001.HEIC"
    heif.from_pillow(Image.fromarray(wall.image)).save(file, quality=95)
    photograph = inspection.Photograph(file)
    assert (photograph.height, photograph.width) == wall.image.shape[:2] and not photograph.in_stripes
    assert np.abs(photograph.rows(0, 430).astype(int) - wall.image).mean() < 3
    assert np.array_equal(photograph.rows(7, 90), data.read_image(file)[7:90])
    errors = inspection.inspect_several([tmp_path], tmp_path / "out", 0.5, tell=lambda _: None)
    assert errors == {file: ""} and (tmp_path / "out" / "IMG_0001" / "index.html").exists()


# --- lines ------------------------------------------------------------------------------------------------------------


def drawn(*lines: tuple[tuple[float, float], tuple[float, float]], shape: tuple[int, int] = (200, 300)) -> np.ndarray:
    """A map with straight lines 3 px wide of value 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    found = np.zeros(shape, np.float32)
    for (x0, y0), (x1, y1) in lines:
        long = np.hypot(x1 - x0, y1 - y0)
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / long
        beside = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / long
        found[(np.abs(beside) <= 1.5) & (along >= 0) & (along <= long)] = 1
    return found


PLAIN = inspection.Rules(shortest=20, mean=0.5, branch=0)


@pytest.mark.parametrize(("end", "degrees"), [((250, 100), 0), ((140, 20), 45), ((60, 190), 90), ((140, 180), 135)])
def test_length_and_direction_of_a_straight_line(end: tuple[float, float], degrees: float) -> None:
    start = (60.0, 100.0) if degrees != 90 else (60.0, 10.0)
    (crack,) = inspection.trace(drawn((start, end)), 1.0, PLAIN)
    assert crack.length == pytest.approx(np.hypot(end[0] - start[0], end[1] - start[1]), abs=3)
    assert min(abs(crack.orientation - degrees), 180 - abs(crack.orientation - degrees)) < 2
    assert crack.junctions == 0 and crack.stray < 0.02 and crack.evidence == 1


def test_a_fork_is_one_crack_with_a_junction_and_spurs_go() -> None:
    fork = drawn(((20, 100), (150, 100)), ((150, 100), (260, 40)), ((150, 100), (260, 160)))
    (crack,) = inspection.trace(fork, 1.0, PLAIN)
    assert crack.junctions == 1 and len(crack.lines) == 3
    spurred = np.maximum(drawn(((20, 100), (260, 100))), drawn(((150, 100), (150, 91))))
    (pruned,) = inspection.trace(spurred, 1.0, PLAIN)
    assert len(pruned.lines) == 1 and pruned.junctions == 0
    (kept,) = inspection.trace(spurred, 1.0, inspection.Rules(shortest=20, mean=0.5, spur=2))
    assert len(kept.lines) == 3 and kept.length > pruned.length


def test_gaps_are_bridged_where_ends_point_at_each_other() -> None:
    broken = drawn(((20, 100), (120, 100)), ((140, 100), (260, 100)))
    (crack,) = inspection.trace(broken, 1.0, PLAIN)
    assert crack.length == pytest.approx(240, abs=4) and 15 < crack.bridged < 25
    assert len(inspection.trace(broken, 1.0, inspection.Rules(shortest=20, mean=0.5, gap=10))) == 2
    beside = drawn(((20, 100), (120, 100)), ((126, 78), (126, 20)))  # a corner: 90 degrees
    assert len(inspection.trace(beside, 1.0, PLAIN)) == 2


def test_hysteresis_length_and_mean_leave_lines_out() -> None:
    line = drawn(((20, 100), (260, 100)))
    assert not inspection.trace(0.6 * line, 1.0, PLAIN)  # nowhere strong
    half = line.copy()
    half[:, 60:] *= 0.4
    (crack,) = inspection.trace(half, 1.0, PLAIN)  # strong at one end, and weak all along
    assert crack.length > 230
    assert not inspection.trace(half, 1.0, inspection.Rules(shortest=20, mean=0.8))
    assert not inspection.trace(line, 1.0, inspection.Rules(shortest=300))
    assert not inspection.trace(np.zeros_like(line), 1.0, PLAIN)


def test_two_ways_between_two_nodes_become_a_ring() -> None:
    """Two branches from one node to another, each node with a spur: without the spurs nothing else ends there."""
    way = np.array([[50.0, 50], [70, 30], [90, 50]])
    back = np.array([[50.0, 50], [70, 70], [90, 50]])
    spurs = [np.array([[50.0, 50], [45, 50]]), np.array([[90.0, 50], [95, 50]])]
    branches = [
        skeletons.Branch(points, np.ones(len(points)), ends)
        for points, ends in ((way, (0, 1)), (back, (0, 1)), (spurs[0], (0, -1)), (spurs[1], (1, -1)))
    ]
    left = traces.prune(skeletons.Graph(branches, np.array([[50.0, 50], [90, 50]])), 12)
    (ring,) = left.branches
    assert ring.ends[0] == ring.ends[1] and ring.length == pytest.approx(4 * np.hypot(20, 20))


def test_any_map_becomes_lines() -> None:
    for seed in range(12):
        values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(300, 300)), 2.5)
        values = (values / values.max()).astype(np.float32)
        for rules in (inspection.Rules(0.1, 0.3, shortest=10, mean=0, branch=0), inspection.Rules(0.2, 0.2, spur=40)):
            for crack in inspection.trace(values, 1.0, rules):
                assert crack.length >= rules.shortest and crack.evidence >= rules.mean


def test_a_weak_branch_goes_and_the_crack_stays() -> None:
    faint = 0.5 * drawn(((150, 100), (260, 160)))
    fork = np.maximum(drawn(((20, 100), (150, 100)), ((150, 100), (260, 40))), faint)
    (whole,) = inspection.trace(fork, 1.0, PLAIN)
    assert len(whole.lines) == 3
    (crack,) = inspection.trace(fork, 1.0, inspection.Rules(shortest=20, mean=0.5, branch=0.7))
    assert len(crack.lines) == 2 and whole.length - crack.length == pytest.approx(np.hypot(110, 60), abs=6)
    assert not inspection.trace(fork, 1.0, inspection.Rules(shortest=300, mean=0.5, branch=0.7))
    assert inspection.trace(fork, 1.0, inspection.Rules(shortest=300, mean=0.5, branch=0))


def test_stripes_give_the_lines_of_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    values = (ndimage.gaussian_filter(rng.normal(size=(1200, 300)), 5) > 0.05).astype(np.float32)
    values = ndimage.gaussian_filter(values * (ndimage.gaussian_filter(rng.normal(size=values.shape), 3) > 0), 1)
    whole, near = inspection.skeleton(values, 0.3, 0.6)
    monkeypatch.setattr(skeletons, "STRIPE", 1)
    parts, _ = inspection.skeleton(values, 0.3, 0.6)
    assert len(np.setxor1d(whole, parts)) <= 0.005 * len(whole) and len(whole) > 500 and (near > 0.3).all()
    monkeypatch.setattr(skeletons, "MOST", 100)
    with pytest.raises(CrackvizError, match="Is it a photograph of concrete"):
        inspection.skeleton(values, 0.3, 0.6)


def test_smoothing_holds_the_ends_and_mends_stairs() -> None:
    stairs = np.stack([np.repeat(np.arange(60), 2), np.r_[np.repeat(np.arange(60), 2)[1:], 59]], axis=1).astype(float)
    smooth = inspection.smoothed(stairs, 3.0)
    assert np.allclose(smooth[[0, -1]], stairs[[0, -1]])
    assert traces.length_of(smooth) == pytest.approx(np.hypot(59, 59), rel=0.02)
    assert traces.length_of(stairs) > 1.3 * traces.length_of(smooth)
    with pytest.raises(CrackvizError, match="weak is 2"):
        inspection.Rules(weak=2)


# --- widths -----------------------------------------------------------------------------------------------------------


def lines_of(widths_px: list[float], blur: float, path: Path) -> tuple[np.ndarray, list[traces.Crack]]:
    """A photograph of upright lines of known width, blurred and noisy, and the map and lines that lie on them."""
    fine, height, gap = 8, 400, 80
    width = gap * len(widths_px)
    x = (np.arange(width * fine) + 0.5) / fine
    row = np.full(len(x), 0.7)
    centres = [gap * (i + 0.5) + 0.37 for i in range(len(widths_px))]
    for centre, wide in zip(centres, widths_px, strict=True):
        row[np.abs(x - centre) <= wide / 2] *= 0.4
    row = ndimage.gaussian_filter1d(row, blur * fine).reshape(-1, fine).mean(axis=1)
    picture = row + np.random.default_rng(0).normal(0, 0.01, (height, width))
    Image.fromarray(np.rint(np.repeat(picture[..., np.newaxis], 3, 2).clip(0, 1) * 255).astype(np.uint8)).save(path)
    values = np.zeros((height, width), np.float32)
    cracks = []
    for centre, wide in zip(centres, widths_px, strict=True):
        values[:, np.abs(np.arange(width) + 0.5 - centre) <= max(wide, 2) / 2] = 1
        line = np.stack([np.full(height, centre - 0.5), np.arange(height)], axis=1).astype(float)
        cracks.append(traces.Crack([line], 1.0, 0, 0.0))
    return values, cracks


@pytest.mark.parametrize("blur", [0.6, 1.2])
def test_widths_of_lines_that_are_known(blur: float, tmp_path: Path) -> None:
    truth = [0.5, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0]
    values, cracks = lines_of(truth, blur, tmp_path / "a.png")
    found = inspection.measure(inspection.Photograph(tmp_path / "a.png"), values, 1.0, cracks)
    middle = found[found["y"].between(40, 360)].groupby("crack")
    kinds = middle["kind"].agg(lambda of: of.mode()[0]).tolist()
    assert kinds[0] == "thinner than" and kinds[1:3] == ["estimated"] * 2 and kinds[4:] == ["measured"] * 3
    assert middle["width_px"].median().to_numpy()[1:] == pytest.approx(truth[1:], abs=0.35)
    assert (middle["low_px"].median().to_numpy() <= truth).all() and (
        middle["high_px"].median().to_numpy() >= truth
    ).all()
    assert middle["low_px"].median().iloc[0] == 0


def test_errors_widen_the_bars_and_edges_are_unknown(tmp_path: Path) -> None:
    values, cracks = lines_of([4.0, 5.0], 0.8, tmp_path / "a.png")
    photograph = inspection.Photograph(tmp_path / "a.png")
    usual = inspection.measure(photograph, values, 1.0, cracks)
    unsure = inspection.measure(photograph, values, 1.0, cracks, inspection.Errors(scale=0.3))
    assert ((unsure["high_px"] - unsure["low_px"]) > 1.5 * (usual["high_px"] - usual["low_px"])).all()
    edge = traces.Crack([np.stack([np.full(100, 3.0), np.arange(100.0)], axis=1)], 1.0, 0, 0.0)
    assert set(inspection.measure(photograph, values, 1.0, [edge])["kind"]) == {"unknown"}
    assert inspection.measure(photograph, values, 1.0, []).empty


def test_blur_makes_a_thin_line_2_355_wide_and_leaves_a_wide_one() -> None:
    assert widths._unblurred(np.array([2.0 * 2.355, 12.0]), 2.0) == pytest.approx([0, 12.0], abs=0.1)


# --- what isn't judged ------------------------------------------------------------------------------------------------


def test_what_a_window_is_like_does_not_depend_on_those_beside_it() -> None:
    windows = np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3), np.uint8)
    windows[1, 40:60] = 20
    windows[2, :, 40:60] = 240
    alone = np.concatenate([novelty.describe(one[np.newaxis]) for one in windows])
    np.testing.assert_allclose(novelty.describe(windows), alone, rtol=1e-6)


def test_dark_bright_blurred_and_strange_windows(photo: Path, wall: synthetic.Patch, tmp_path: Path) -> None:
    picture = np.concatenate([wall.image[:256, :512]] * 5)
    picture[256:512] //= 12
    picture[512:768] = 250
    picture[768:1024] = ndimage.gaussian_filter(picture[768:1024], (4, 4, 0))
    noise = np.random.default_rng(0).integers(0, 256, (16, 32, 3), np.uint8)
    picture[1024:] = np.kron(noise, np.ones((16, 16, 1), np.uint8))  # a mosaic
    Image.fromarray(picture).save(tmp_path / "a.png")
    windows = inspection.look(inspection.Photograph(tmp_path / "a.png"))
    reasons = inspection.judge(windows)
    assert set(reasons[windows["top"] < 256]) <= {"", "unlike"} and (reasons[windows["top"] < 256] == "").mean() >= 0.75
    for top, reason in ((256, "dark"), (512, "bright"), (768, "blurred"), (1024, "unlike")):
        assert set(reasons[(windows["top"] >= top) & (windows["top"] < top + 256)]) == {reason}
    assert (inspection.judge(windows, inspection.Limits(0, 1, 0, 1e9)) == "").all()
    assert set(reasons) - {""} <= set(inspection.REASONS)


def test_the_border_is_as_wide_as_the_network_looks(photo: Path) -> None:
    windows = inspection.look(inspection.Photograph(photo))  # 520 x 430
    plain = windows.set_index(["left", "top"])["edge"]
    assert plain[128, 128] == 128 and plain[256, 128] == 128 and plain[0, 128] == 0 and plain[384, 128] == 8
    assert plain[392, 256] == 0 and plain[256, 256] == 46 and plain[256, 302] == 0
    free = inspection.Limits(0, 1, 0, 1e9)
    assert (inspection.judge(windows, free) == "").all()  # by itself it doesn't know the network
    for border in (8, 46, 128, 129):
        reasons = inspection.judge(windows, inspection.Limits(0, 1, 0, 1e9, border))
        assert ((reasons == "border") == (windows["edge"] < border)).all()
    dark = inspection.judge(windows, inspection.Limits(dark=2, border=300))
    assert set(dark) == {"dark"}  # the first reason counts
    choices = inspection.Choices(rules=inspection.Rules(shortest=60), limits=free)
    for network, reach in (("trace_cnn", 100), ("local_cnn", 26)):
        found = inspection.inspect(photo, 0.5, network, choices)
        assert found.choices.limits.border == reach
        assert set(found.windows.loc[found.windows["reason"] == "border", "edge"]) == {
            edge for edge in windows["edge"] if edge < reach
        }
        assert found.summary["not_judged"]["border"] == pytest.approx((windows["edge"] < reach).mean())
        assert found.cracks["judged"].all()  # a line there counts all the same


# --- an inspection ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(photo: Path) -> inspection.Inspection:
    choices = inspection.Choices(rules=inspection.Rules(shortest=60))
    return inspection.inspect(photo, 0.5, choices=choices)


def test_an_inspection_finds_the_drawn_crack(found: inspection.Inspection, wall: synthetic.Patch) -> None:
    assert len(found.counted)
    points = np.rint(np.concatenate([line for number, line in found.lines if number in found.counted.index])).astype(
        int
    )
    far = ndimage.distance_transform_edt(~wall.mask)
    assert (far[points[:, 1].clip(0, 429), points[:, 0].clip(0, 519)] <= 4).mean() > 0.9
    assert np.allclose(found.cracks["length_mm"], found.cracks["length_px"] * 0.5)
    assert found.summary["length_mm"] == pytest.approx(found.counted["length_mm"].sum())
    assert found.too_far and set(found.points["class"]) <= {"", *found.choices.names}
    assert found._repr_html_().count("<polyline") == len(found.lines)


def test_prevalence_moves_the_probabilities_and_no_scale_means_no_mm(photo: Path) -> None:
    one = inspection.inspect(photo, choices=inspection.Choices(rules=inspection.Rules(shortest=60)))
    rare = inspection.inspect(photo, choices=inspection.Choices(0.02, rules=inspection.Rules(shortest=60)))
    p = one.windows["probability"]
    expected = p * 0.02 / (p * 0.02 + (1 - p) * 0.98)
    assert np.allclose(rare.windows["probability"], expected) and (rare.windows["probability"] < p).all()
    assert one.too_far is None and one.cracks["length_mm"].isna().all() and set(one.points["class"]) == {""}
    assert "length_px" in one.summary and "length_mm" not in one.summary


@pytest.mark.parametrize("size", [(100, 300), (5000, 1)])
def test_a_photograph_smaller_than_a_window_is_refused(size: tuple[int, int], tmp_path: Path) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    with pytest.raises(CrackvizError, match=f"{size[0]} x {size[1]} px; expected at least 128"):
        inspection.inspect(tmp_path / "a.png")


@pytest.mark.parametrize("wrong", [{"prevalence": 0}, {"limit_mm": -1}, {"classes": ()}, {"classes": (0.2, 0.1)}])
def test_choices_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(CrackvizError):
        inspection.Choices(**wrong)


# --- outputs, the command ---------------------------------------------------------------------------------------------


def test_the_ruler() -> None:
    assert command.scale_of("812 px = 50 mm") == pytest.approx(50 / 812)
    assert command.scale_of("400px=0,2 m") == pytest.approx(0.5)
    for wrong in ("0 px = 50 mm", "800 px = 0 cm", "50 mm", "8 px = 2 inch"):
        with pytest.raises(CrackvizError, match="ruler is") as told:
            command.scale_of(wrong)
        assert told.value.argument == "ruler"


def test_several_photographs_leave_whole_files_and_go_on(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ezdxf", reason="ezdxf isn't installed")
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    told: list[str] = []
    choices = inspection.Choices(rules=inspection.Rules(shortest=60))
    errors = inspection.inspect_several(
        [tmp_path / "broken.jpg", photo], tmp_path / "out", 0.5, choices=choices, tell=told.append
    )
    assert errors[photo] == "" and "can't be read" in errors[tmp_path / "broken.jpg"]
    folder = tmp_path / "out" / "wall"
    held = json.loads((folder / "inspection.json").read_text())
    assert held["mm_per_px"] == 0.5 and held["choices"]["rules"]["shortest"] == 60
    page = (folder / "index.html").read_text("utf-8")
    assert "decides nothing" in page and "<polyline" in page and "http" not in page.replace("http-equiv", "")
    assert "broken.jpg" in (tmp_path / "out" / "index.html").read_text("utf-8")
    lines = json.loads((folder / "cracks.geojson").read_text())["features"]
    first = np.array(lines[0]["geometry"]["coordinates"])
    assert (first[:, 1] < 0).all() and first[:, 0].max() <= 520 * 0.5
    import ezdxf
    import tifffile

    drawing = ezdxf.readfile(folder / "cracks.dxf")
    assert len(drawing.modelspace()) == len(lines) and drawing.units == 4
    picture = tifffile.imread(folder / "map.tif")
    assert picture.shape == (430, 520) and picture.dtype == np.uint16 and picture.max() > 60_000
    assert (folder / "map.tfw").read_text().split() == ["0.5", "0", "0", "-0.5", "0.25", "-0.25"]
    told.clear()
    before = (folder / "index.html").stat().st_mtime_ns
    inspection.inspect_several([photo], tmp_path / "out", 0.5, choices=choices, tell=told.append)
    assert (
        told == ["wall.png: has been inspected, left as it is"] and (folder / "index.html").stat().st_mtime_ns == before
    )
    inspection.inspect_several([photo], tmp_path / "out", 0.4, choices=choices, tell=told.append)
    assert json.loads((folder / "inspection.json").read_text())["mm_per_px"] == 0.4
    monkeypatch.setattr(several, "package_hash", lambda: "of other code")
    told.clear()
    inspection.inspect_several([photo], tmp_path / "out", 0.4, choices=choices, tell=told.append)
    assert "left as it is" not in told[0], "other code may see other cracks"


def test_another_network_is_noted_once(photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("ezdxf", reason="ezdxf isn't installed")
    (tmp_path / "b.png").write_bytes(photo.read_bytes())
    for network, count in (("local_cnn", 1), ("trace_cnn", 0)):
        told: list[str] = []
        inspection.inspect_several([photo, tmp_path / "b.png"], tmp_path / "out", 0.5, network, tell=told.append)
        assert sum("were found with trace_cnn. With local_cnn most cracks" in line for line in told) == count
        for name in ("wall", "b"):
            held = json.loads((tmp_path / "out" / name / "inspection.json").read_text())
            assert bool(held["note"]) == bool(count)
            page = (tmp_path / "out" / name / "index.html").read_text("utf-8")
            assert ("were found with trace_cnn" in page) == bool(count)


def test_folders_names_and_an_output_in_use(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CrackvizError, match="holds no photographs"):
        several.photographs([tmp_path / "empty"])
    assert several.photographs([photo.parent, photo]) == [photo]
    twins = [tmp_path / "a" / "x.jpg", tmp_path / "b" / "x.png"]
    assert [folder.name for folder in several._folders(twins, tmp_path)] == ["x", "x-2"]
    with several._alone(tmp_path / "out"), pytest.raises(CrackvizError, match="in use"):
        inspection.inspect_several([photo], tmp_path / "out")
    (tmp_path / "file").write_text("")
    with pytest.raises(CrackvizError, match="Cannot write"):
        inspection.inspect_several([photo], tmp_path / "file" / "out")


def test_a_full_disk_stops_all_and_leaves_no_half_a_file(photo: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CrackvizError, match="No space left"):
        inspection.inspect_several([photo], tmp_path / "out", tell=lambda _: None)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != ".lock"]


def run(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crackviz.cli", "inspect", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def test_the_command_refuses_what_it_cannot_do(photo: Path, tmp_path: Path) -> None:
    done = run(photo, "--ruler", "0 px = 50 mm", cwd=tmp_path)
    assert done.returncode == 2 and "no length" in done.stderr and "(--ruler)" in done.stderr
    done = run(photo, "--mm-per-px", "0.5", "--ruler", "8 px = 1 mm", cwd=tmp_path)
    assert done.returncode == 2 and "one of them" in done.stderr
    done = run(photo, "--network", "", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith(
        "crackviz: network is ''; expected"
    )  # and of TensorFlow nothing
    assert done.stderr.count("\n") == 1 and not done.stdout


def test_a_scale_of_nothing_is_refused_before_anything_is_written(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"mm_per_px is 0; expected a number from 1e-06"):
        several.inspect_several([photo], tmp_path / "out", 0)
    assert not (tmp_path / "out").exists()


def test_a_usual_width_leaves_limits_out() -> None:
    rows = [("estimated", 2.0, 1.0), ("thinner than", 9.0, 0.0), ("thinner than", 8.0, 0.0)]
    points = pd.DataFrame(rows, columns=["kind", "width_px", "low_px"])
    points = points.assign(crack=[1, 1, 2], high_px=points["width_px"] + 1, x=0.0, y=0.0)
    cracks = pd.DataFrame({"length_px": [90.0, 80.0]}, index=pd.Index([1, 2], name="crack"))
    windows = pd.DataFrame({"left": [0], "top": [0], "reason": [""]})
    told = inspecting._measured(cracks, points, windows, 0.5, inspecting.Choices())
    assert told["width_px"].tolist() == [2.0, 8.0], "a limit stands where nothing was measured"
    assert told["width_mm"].tolist() == [1.0, 4.0]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["kill", "Ctrl-C", "terminate"])
def test_stopped_half_way_what_is_done_is_kept(how: signal.Signals, photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("ezdxf", reason="ezdxf isn't installed")
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for i in range(4):
        (folder / f"{i}.png").write_bytes(photo.read_bytes())
    command = [sys.executable, "-u", "-m", "crackviz.cli", "inspect", str(folder), "--out", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where tests run in the background it is off
    )
    assert process.stdout is not None and process.stdout.readline().startswith("0.png")
    process.send_signal(how)
    told, complained = process.communicate()
    done = sorted(out.glob("*/inspection.json"))
    assert 1 <= len(done) < 4 and all(json.loads(path.read_text())["key"] for path in done)
    if how != signal.SIGKILL:
        assert process.returncode == 130 and "Called again, it goes on where it was" in complained
        assert "Traceback" not in complained and "index.html" in told
        assert "0/index.html" in (out / "index.html").read_text("utf-8")
        assert not [path for path in out.rglob("*") if ".part-" in path.name]
    before = {path: path.read_bytes() for path in done}
    again = run(folder, "--out", out)
    assert again.returncode == 0 and again.stdout.count("left as it is") == len(done)
    assert len(list(out.glob("*/index.html"))) == 4
    assert all(path.read_bytes() == content for path, content in before.items())


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_page_fits_a_telephone_and_asks_for_nothing(photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("ezdxf", reason="ezdxf isn't installed")
    choices = inspection.Choices(rules=inspection.Rules(shortest=60))
    inspection.inspect_several([photo], tmp_path / "out", 0.5, choices=choices, tell=lambda _: None)
    with open_page(tmp_path / "profile", (390, 844)) as page:
        for name in ("index.html", "wall/index.html"):
            file = tmp_path / "out" / name
            page.go(file.as_uri())
            page.until(f"document.readyState === 'complete' && location.href === '{file.as_uri()}'")
            assert page.ask("document.documentElement.scrollWidth") <= 390, name
        assert page.ask("document.querySelectorAll('svg polyline').length") > 0
        assert page.ask("[...document.images].every((image) => image.naturalWidth > 0)")
        assert not page.complained
        assert all(url.startswith(("file:", "data:")) for url in page.asked)
