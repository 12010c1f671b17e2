"""What bad input gets: a clear CrackvizError, or a skip that is counted and named. The tests make every file."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crackviz import CrackvizError, data

RED, BLUE = (200, 30, 40), (20, 60, 220)


def fill(folder: Path, count: int = 8, classes: tuple[str, ...] = ("Negative", "Positive")) -> Path:
    """A sound data set of noise pictures, `count` in each class."""
    for c, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            noise = np.random.default_rng([c, i]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(noise).save(folder / name / f"{i}.png")
    return folder


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file by hand, as Pillow writes neither 16-bit RGB nor what it would refuse to read."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def skipped(table: pd.DataFrame) -> dict[str, str]:
    return {Path(entry["path"]).name: entry["reason"] for entry in table.attrs["skipped"]}


# --- folders ----------------------------------------------------------------------------------------------


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(
        CrackvizError, match=r"(?s)There is no folder .*nowhere.*5y9wdsg2zt.*Positive/.*data\.index.*command and make"
    ):
        data.index(tmp_path / "nowhere")


def test_a_folder_that_lies_further_up_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")  # as in JupyterLab
    meant = rf"There is no folder .*notebooks.pictures\. There is {re.escape(str(tmp_path / 'pictures'))}: if"
    with pytest.raises(CrackvizError, match=meant):
        data.index("pictures")
    with pytest.raises(CrackvizError, match=r"notebooks.elsewhere\.\n"):
        data.index("elsewhere")


def test_an_archive_or_a_picture_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "archive.zip").write_bytes(b"PK")
    with pytest.raises(CrackvizError, match=r"is a file; expected a folder of pictures. Unpack the archive"):
        data.index(tmp_path / "archive.zip")
    (tmp_path / "1.jpg").write_bytes(b"")
    with pytest.raises(CrackvizError, match=r"is a file; expected a folder of pictures. Name one"):
        data.index(tmp_path / "1.jpg")


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"no class folder at all. Pictures lie in: nowhere"):
        data.index(tmp_path)


@pytest.mark.parametrize("classes", [("Negative", "Positive"), ("rust", "moss"), ("a", "b", "c")])
def test_an_empty_class(tmp_path: Path, classes: tuple[str, ...]) -> None:
    fill(tmp_path, 3, classes[:-1])
    (tmp_path / classes[-1]).mkdir()
    with pytest.raises(CrackvizError, match="Fill or remove an empty class") as caught:
        data.index(tmp_path)
    last = "crack" if classes[-1] == "Positive" else classes[-1]
    assert f"{last}: 0" in str(caught.value)


@pytest.mark.parametrize("name", ["Positive", "rust", "W/CW"])
def test_one_class_only(tmp_path: Path, name: str) -> None:
    fill(tmp_path, 3, (name,))
    with pytest.raises(CrackvizError, match=rf"two or more classes.*Pictures lie in: {name}") as caught:
        data.index(tmp_path)
    assert "Negative/   *.jpg" in str(caught.value)


def test_the_class_folder_itself(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    with pytest.raises(CrackvizError, match="Pictures lie in: the folder itself"):
        data.index(tmp_path / "Positive")


def test_masks_for_training_have_one_class(tmp_path: Path) -> None:
    fill(tmp_path, 6, ("images", "masks"))
    table = data.index(tmp_path)
    assert set(table["label"]) == {1}
    with pytest.raises(CrackvizError, match="two or more classes"):
        data.split(table)


def test_a_mask_folder_without_masks(tmp_path: Path) -> None:
    fill(tmp_path, 2, ("images",))
    (tmp_path / "masks").mkdir()
    with pytest.raises(CrackvizError, match=r"(?s)two or more classes.*images/0.png: no masks of this name"):
        data.index(tmp_path)


def test_nested_twice_with_what_archives_and_systems_leave(tmp_path: Path) -> None:
    fill(tmp_path / "surface-crack-detection" / "Concrete", 3)
    for junk in ("__MACOSX/Positive/._1.jpg", "__MACOSX/Positive/1.jpg", ".cache/Negative/1.jpg", ".DS_Store"):
        (tmp_path / junk).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / junk).write_bytes(b"junk")
    with pytest.warns(UserWarning, match="__MACOSX' are left out"):
        table = data.index(tmp_path)
    assert table["label"].value_counts().to_dict() == {0: 3, 1: 3}
    assert table.attrs["skipped"] == [], "system files are no news"


def test_other_files_among_pictures_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    (tmp_path / "Positive" / "notes.txt").write_text("crack?")
    (tmp_path / "Negative" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "manifest.csv").write_text("beside no picture")
    table = data.index(tmp_path)
    assert len(table) == 6
    assert skipped(table) == {"notes.txt": "not a picture", "Thumbs.db": "not a picture"}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_fit_no_csv(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    for name in (b"a\nb.png", b"\xff\xfe.png"):
        os.link(tmp_path / "Positive" / "0.png", os.fsencode(tmp_path / "Positive") + b"/" + name)
    table = data.index(tmp_path)
    assert len(table) == 6 and len(table.attrs["skipped"]) == 2
    data.write_split(data.split(table), tmp_path / "split.csv")
    assert len(data.read_split(tmp_path / "split.csv")) == 6


# --- kinds of pictures ------------------------------------------------------------------------------------


def solid(mode: str, colour: object, **options: object) -> Callable[[Path], None]:
    suffix = str(options.pop("suffix", "PNG"))
    return lambda path: Image.new(mode, (10, 8), colour).save(path, suffix, **options)  # type: ignore[arg-type]


def palette(path: Path) -> None:
    picture = Image.new("P", (10, 8), 1)
    picture.putpalette([0, 0, 0, *RED])
    picture.save(path, "PNG")


def palette_with_a_hole(path: Path) -> None:
    picture = Image.new("P", (10, 8), 1)
    picture.putpalette([*BLUE, *RED])
    picture.save(path, "PNG", transparency=1)


def animated(kind: str) -> Callable[[Path], None]:
    frames = [Image.new("RGB", (10, 8), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    return lambda path: frames[0].save(path, kind, save_all=True, append_images=frames[1:], **options)


def rgb16(path: Path) -> None:
    row = b"\0" + np.tile(np.array([200 * 257, 30 * 257, 40 * 257], ">u2"), 10).tobytes()
    path.write_bytes(png(10, 8, 16, 2, row * 8))


KINDS: dict[str, tuple[Callable[[Path], None], tuple[int, int, int], int]] = {
    "plain": (solid("RGB", RED), RED, 0),
    "grey": (solid("L", 77), (77, 77, 77), 0),
    "black and white": (solid("1", 1), (255, 255, 255), 0),
    "cmyk": (solid("CMYK", (0, 217, 204, 55), suffix="TIFF"), RED, 1),
    "cmyk jpeg": (solid("CMYK", (0, 217, 204, 55), suffix="JPEG", quality=100), RED, 3),
    "16-bit grey": (solid("I;16", 77 * 257), (77, 77, 77), 0),
    "16-bit grey, white": (solid("I;16", 65535), (255, 255, 255), 0),
    "16-bit grey tiff": (solid("I;16", 77 * 257 + 100, suffix="TIFF"), (77, 77, 77), 0),
    "16-bit colour": (rgb16, RED, 0),
    "palette": (palette, RED, 0),
    "palette with a hole": (palette_with_a_hole, (255, 255, 255), 0),
    "opaque alpha": (solid("RGBA", (*RED, 255)), RED, 0),
    "half transparent": (solid("RGBA", (0, 0, 0, 128)), (127, 127, 127), 1),
    "wholly transparent": (solid("RGBA", (*RED, 0)), (255, 255, 255), 0),
    "grey with alpha": (solid("LA", (0, 0)), (255, 255, 255), 0),
    "animated gif": (animated("GIF"), RED, 0),
    "animated png": (animated("PNG"), RED, 0),
    "animated webp": (animated("WEBP"), RED, 0),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_becomes_rgb(kind: str, tmp_path: Path) -> None:
    make, colour, tolerance = KINDS[kind]
    path = tmp_path / "picture.jpg"  # the suffix lies for most of them
    make(path)
    image = data.read_image(path)
    assert image.dtype == np.uint8 and image.shape == (8, 10, 3)
    assert np.abs(image.astype(int) - colour).max() <= tolerance
    assert data.read_image(path, 4).shape == (4, 4, 3)


def test_every_kind_passes_a_scan(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    for kind, (make, _, _) in KINDS.items():
        make(tmp_path / "Positive" / f"{kind}.jpg")
    table = data.scan(data.index(tmp_path), near_duplicates=False)
    assert len(table) == 6 + len(KINDS) and not table.attrs["skipped"]


def test_16_bits_keep_their_order(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for suffix in ("png", "tiff", "ppm"):
        Image.fromarray(ramp).save(tmp_path / f"ramp.{suffix}")
        np.testing.assert_array_equal(data.read_image(tmp_path / f"ramp.{suffix}")[..., 0], np.rint(ramp / 257))


@pytest.mark.parametrize(("mode", "value"), [("F", 0.5), ("I", 70_000), ("I", -1)])
def test_samples_of_unknown_range_are_refused(mode: str, value: float, tmp_path: Path) -> None:
    Image.new(mode, (4, 4), value).save(tmp_path / "odd.tiff")
    with pytest.raises(CrackvizError, match=r"odd.tiff.*unknown range; save it with 8 or 16 bits"):
        data.read_image(tmp_path / "odd.tiff")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed(orientation: int, tmp_path: Path) -> None:
    upright = np.zeros((8, 16, 3), np.uint8)
    upright[:4, :8] = RED  # red in the upper left
    stored = {  # how a camera that is held so stores the scene
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(data.read_image(tmp_path / "turned.png"), upright)


# --- broken files -----------------------------------------------------------------------------------------


def truncated_jpeg(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path, "JPEG")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def broken_png(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)


BROKEN: dict[str, Callable[[Path], object]] = {
    "truncated": truncated_jpeg,
    "broken_png": broken_png,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("this is no picture"),
    "html": lambda path: path.write_text("<html>404</html>"),
    "dangling": lambda path: path.symlink_to("gone.jpg"),
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.jpg"
    BROKEN[kind](path)
    with pytest.raises(CrackvizError, match=rf"{kind}.jpg can't be read as a picture: .+ Replace or remove it"):
        data.read_image(path)


def test_broken_files_are_skipped_counted_and_named(tmp_path: Path) -> None:
    fill(tmp_path, 30)
    kinds = [kind for kind in BROKEN if kind != "folder"]
    for kind in kinds:
        BROKEN[kind](tmp_path / "Positive" / f"{kind}.jpg")
    found = data.index(tmp_path)
    assert len(found) == 60 + len(kinds)
    table = data.scan(found)
    assert len(table) == 60
    assert set(skipped(table)) == {f"{kind}.jpg" for kind in kinds}
    assert found.attrs["skipped"] == [], "the given table is left alone"


def test_too_many_broken_files_stop_the_set(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    for i in range(3):
        (tmp_path / "Positive" / f"bad{i}.jpg").write_bytes(b"")
    with pytest.raises(
        CrackvizError, match=r"(?s)3 of 13 pictures can't be used, over 10%:.*bad0.jpg.*max_bad_fraction"
    ):
        data.scan(data.index(tmp_path))
    assert len(data.scan(data.index(tmp_path), max_bad_fraction=0.3)) == 10
    (tmp_path / "Positive" / "bad0.jpg").unlink()
    assert len(data.scan(data.index(tmp_path))) == 10, "one or two never stop a set, however small"


def test_a_class_of_broken_files_only(tmp_path: Path) -> None:
    fill(tmp_path, 30, ("Negative",))
    (tmp_path / "Positive").mkdir()
    (tmp_path / "Positive" / "bad.jpg").write_bytes(b"")
    with pytest.raises(CrackvizError, match=r"class has no usable picture left: .*bad.jpg"):
        data.scan(data.index(tmp_path))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(png(20_000, 20_000, 1, 0, bytes(2501) * 20_000))
    assert bomb.stat().st_size < 1_000_000
    code = """if True:
        import resource, sys
        from crackviz import CrackvizError, data
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        before = peak()
        try:
            data.read_image(sys.argv[1])
        except CrackvizError as error:
            print(peak() - before, error)
    """
    done = subprocess.run([sys.executable, "-c", code, str(bomb)], capture_output=True, text=True, check=True)
    grown, message = done.stdout.split(" ", 1)
    assert int(grown) < 100_000, "kilobytes"
    assert "bomb.png" in message and "pixels" in message


def test_large_pictures_are_refused_whatever_pillow_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    (tmp_path / "large.png").write_bytes(png(9460, 9460, 1, 0, bytes(1184) * 9460))
    with pytest.raises(CrackvizError, match=r"large.png.*9460 x 9460 pixels exceed 89,478,485"):
        data.read_image(tmp_path / "large.png")


def test_readers_name_the_bad_file(tmp_path: Path) -> None:
    table = data.index(fill(tmp_path, 3))
    (tmp_path / "Positive" / "1.png").write_bytes(b"spoiled since")
    for use in (lambda: data.load_images(table["path"], 8), lambda: data.pipeline(table, 8, seed=0)):
        with pytest.raises(CrackvizError, match=r"Positive/1.png can't be read"):
            use()


# --- contradictions ---------------------------------------------------------------------------------------


def test_the_same_picture_in_both_classes(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    twin = tmp_path / "Positive" / "3.png"
    Image.open(twin).save(tmp_path / "Negative" / "copy.bmp")  # other bytes, the same pixels
    Image.open(tmp_path / "Positive" / "5.png").save(tmp_path / "Positive" / "again.png")
    table = data.scan(data.index(tmp_path))
    assert skipped(table) == dict.fromkeys(("3.png", "copy.bmp"), "the same picture lies in another class")
    assert len(table) == 40
    groups = table.set_index(table["path"].map(lambda path: "/".join(Path(path).parts[-2:])))["group"]
    assert groups["Positive/5.png"] == groups["Positive/again.png"], "copies in one class stay, in one group"


def test_too_few_groups_to_split(tmp_path: Path) -> None:
    table = data.index(fill(tmp_path, 2))
    with pytest.raises(
        CrackvizError, match=r"4 pictures can't be split into 3 parts .*\{0: 2, 1: 2\}.*taken elsewhere"
    ):
        data.split(table)
    assert set(data.split(table, validation=0, test=0.5)["split"]) == {"train", "test"}


def test_fewer_pictures_than_a_batch_go_all_the_way(tmp_path: Path) -> None:
    table = data.split(data.scan(data.index(fill(tmp_path, 3))))
    assert table.groupby("split").size().to_dict() == {"train": 2, "validation": 2, "test": 2}
    ((x, y),) = list(data.pipeline(table[table["split"] == "train"], 8, batch_size=32, seed=0))
    assert x.shape == (2, 8, 8, 3) and sorted(y[:, 0]) == [0, 1]


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.1), (0.5, 0.5), (0, 0), (float("nan"), 0.1)])
def test_impossible_shares(validation: float, test: float, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=r"expected shares of 0 or more|is (-0\.1|nan); expected a number"):
        data.split(data.index(fill(tmp_path, 8)), validation=validation, test=test)


@pytest.mark.parametrize("use", [lambda t: data.split(t, seed=-1), lambda t: data.subset(t, 8, seed=-1)])
def test_a_negative_seed(use: Callable[[pd.DataFrame], object], tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match="seed is -1; expected a whole number"):
        use(data.index(fill(tmp_path, 8)))


def test_an_empty_table() -> None:
    with pytest.raises(CrackvizError, match="holds no picture"):
        data.scan(pd.DataFrame({"path": [], "mask": [], "label": [], "group": []}))


# --- split.csv --------------------------------------------------------------------------------------------


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    table = data.split(data.index(fill(tmp_path / "set", 8)))
    (tmp_path / "file").write_text("in the way")
    for target in (tmp_path / "file" / "split.csv", tmp_path / "set"):
        with pytest.raises(CrackvizError, match=r"Cannot write .*choose an output folder"):
            data.write_split(table, target)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "set"], "nothing half-written"
    with pytest.raises(CrackvizError, match="lost its attrs"):
        data.write_split(pd.DataFrame({"group": ["a"], "split": ["train"]}), tmp_path / "split.csv")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    table = data.split(data.index(fill(tmp_path / "set", 60)))
    (tmp_path / "split.csv").write_text("the old one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # the kernel then refuses, as for a full disk
    try:
        with pytest.raises(CrackvizError, match=r"Cannot write .*split\.csv.*Free some space"):
            data.write_split(table, tmp_path / "split.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "split.csv").read_text() == "the old one"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "split.csv"]


@pytest.mark.parametrize(
    "content", ["", "path,label\na,1\n", "# {}\npath\na\n", "# [1]\npath\n", '# {"root": "x"}\n', "\xff\x00", None]
)
def test_another_file_than_a_split(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "split.csv").write_text(content, encoding="latin-1")
    with pytest.raises(CrackvizError, match=r"is not a file of data.write_split"):
        data.read_split(tmp_path / "split.csv")


def test_unknown_splits_are_refused() -> None:
    for table in (pd.DataFrame({"group": ["a"]}), pd.DataFrame({"group": ["a"], "split": ["exam"]})):
        with pytest.raises(CrackvizError, match="train, validation, test"):
            data.check_split(table)


# --- numbers, pipes, PostScript, masks, split.csv -------------------------------------------------------------------


@pytest.mark.parametrize(
    "use",
    [
        *(lambda t, size=size: data.read_image(t["path"][0], size) for size in (0, -3, 32.5, "a", True, 10**9)),
        *(lambda t, size=size: data.load_images(t["path"], size) for size in (0, 32.5)),
        *(lambda t, seed=seed: data.split(t, seed=seed) for seed in (1.5, "a")),
        *(lambda t, many=many: data.index(t.attrs["root"], max_images=many) for many in ("7", 1.5, None)),
        *(lambda t, folder=folder: data.index(folder) for folder in (None, 3, ["a"], "a\0b")),
        *(lambda t, far=far: data.scan(t, max_distance=far) for far in (-1, float("nan"), "a")),
        *(lambda t, size=size: data.pipeline(t, size) for size in (0, 32.5)),
        *(lambda t, how=how: data.augmentation(**how) for how in (
            {"rotation": 5}, {"contrast": -1}, {"zoom": "a"}, {"noise": -1}, {"seed": -1}, {"flip": None},
            {"flip": 0.5})),
        lambda t: data.index("synthetic:" + "-" * 9999 + "9"),
        lambda t: data.write_split(data.split(t).assign(path="/elsewhere/a.png"), Path(t.attrs["root"]) / "s.csv"),
    ],
)  # fmt: skip
def test_what_cant_be_is_named(use: Callable[[pd.DataFrame], object], tmp_path: Path) -> None:
    with pytest.raises(CrackvizError):
        use(data.index(fill(tmp_path, 8)))


def test_a_pipe_is_not_waited_for_and_postscript_not_executed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(CrackvizError, match="it is no file"):
        data.read_image(tmp_path / "pipe.jpg")
    (tmp_path / "x.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(CrackvizError, match="cannot identify image file"):
        data.read_image(tmp_path / "x.jpg")
    with pytest.raises(CrackvizError, match="there is no such file"):
        data.read_image(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize(
    ("dtype", "value", "cracked"),
    [(np.uint8, 0, False), (np.uint8, 1, True), (np.uint8, 2, None), (np.uint8, 127, None), (np.uint8, 128, True),
     (np.uint16, 0, False), (np.uint16, 1, True), (np.uint16, 100, None), (np.uint16, 255, True),
     (np.uint16, 30000, None), (np.uint16, 40000, True), (np.uint16, 65535, True)],
)  # fmt: skip
def test_a_mask_says_crack_or_no_crack_or_is_left_out(
    dtype: type, value: int, cracked: bool | None, tmp_path: Path
) -> None:
    pixels = np.zeros((8, 8), dtype)
    pixels[2:4] = value
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    if cracked is None:
        with pytest.raises(CrackvizError, match=f"it reaches {value} of"):
            data.images.read_mask(tmp_path / "mask.png")
        return
    assert data.images.read_mask(tmp_path / "mask.png").any() == cracked


@pytest.mark.parametrize(
    ("colour", "alpha", "cracked"),
    [("white", "crack", None), ("black", "crack", None), ("white", "ground", None), ("crack", "crack", 2),
     ("crack", "opaque", 2), ("crack", "clear", 2), ("crack", "ground", None)],
)  # fmt: skip
def test_a_mask_whose_truth_is_transparent_is_not_guessed(
    colour: str, alpha: str, cracked: int | None, tmp_path: Path
) -> None:
    crack = np.zeros((8, 8), np.uint8)
    crack[2:4] = 255
    planes = {"crack": crack, "ground": 255 - crack, "white": crack * 0 + 255, "opaque": crack * 0 + 255}
    planes |= {"black": crack * 0, "clear": crack * 0}
    pixels = np.dstack([planes[colour]] * 3 + [planes[alpha]])
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    if cracked is None:
        with pytest.raises(CrackvizError, match=r"mask\.png can't be read as a mask: its truth lies"):
            data.images.read_mask(tmp_path / "mask.png")
        return
    assert data.images.read_mask(tmp_path / "mask.png").sum(axis=0).tolist() == [cracked] * 8


def test_twelve_bits_are_scaled_where_the_file_says_so_and_refused_where_not(tmp_path: Path) -> None:
    samples = np.arange(0, 4096, 16, dtype=np.uint16).reshape(16, 16)
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in samples.reshape(-1, 2).astype(int).tolist()
    )
    tags = [(256, 16), (257, 16), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 16), (279, len(packed))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    whole = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + entries + bytes(4)
    (tmp_path / "twelve.tif").write_bytes(whole)
    read = data.read_image(tmp_path / "twelve.tif")[..., 0]
    np.testing.assert_array_equal(read, np.round(samples / 4095 * 255))
    for name in ("sixteen.tif", "sixteen.png"):
        Image.fromarray(samples).save(tmp_path / name)
        with pytest.raises(CrackvizError, match=r"reach 4,080 of 65,535.*save it with 8 bits, or multiply"):
            data.read_image(tmp_path / name)
        Image.fromarray(samples * 16).save(tmp_path / name)
        np.testing.assert_array_equal(data.read_image(tmp_path / name)[..., 0], np.round(samples * 16 / 257))
    Image.fromarray(samples * 0).save(tmp_path / "black.png")
    assert data.read_image(tmp_path / "black.png").max() == 0, "a black picture is one"


@pytest.mark.parametrize("size", [(10_000, 9_400), (30_000, 9_400)], ids=["over", "over twice"])
def test_what_is_too_large_is_refused_by_its_header(size: tuple[int, int], tmp_path: Path) -> None:
    body = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", 0) + b"IDAT" + bytes(4))
    for read in (data.read_image, data.images.read_mask):
        with (
            warnings.catch_warnings(action="ignore"),
            pytest.raises(CrackvizError, match="exceed 89,478,485, the"),
        ):
            read(tmp_path / "huge.png")


TAMPERED = [
    (",1,", ",crack,"), (",1,", ",,"), (",1,", ",7,"), ("label", "lable"),
    ('["no_crack", "crack"]', '["crack"]'), ('["no_crack", "crack"]', '"ab"'),
]  # fmt: skip


@pytest.mark.parametrize("old_new", TAMPERED)
def test_a_split_that_was_tampered_with_is_refused(old_new: tuple[str, str], tmp_path: Path) -> None:
    data.write_split(data.split(data.scan(data.index(fill(tmp_path, 8)))), tmp_path / "split.csv")
    text = (tmp_path / "split.csv").read_text()
    assert old_new[0] in text
    (tmp_path / "split.csv").write_text(text.replace(*old_new, 1))
    with pytest.raises(CrackvizError, match=r"is not a file of data\.write_split"):
        data.read_split(tmp_path / "split.csv")


def test_a_run_folder_among_the_pictures_is_no_class(tmp_path: Path) -> None:
    root = fill(tmp_path, 6)
    before = data.index(root)
    run = root / "Positive" / "runs" / "x"
    shutil.copytree(root / "Positive", run / "figures", ignore=shutil.ignore_patterns("runs"))
    (run / "config.json").write_text("{}")
    pd.testing.assert_frame_equal(data.index(root), before)
    (run / "config.json").unlink()
    assert len(data.index(root)) > len(before), "without it, these are pictures like others"


def test_names_that_are_no_text_are_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "ok", 6)
    odd = Path(os.fsdecode(os.fsencode(root) + b"/Pr\xfcf"))
    shutil.copytree(root / "Positive", odd)
    assert any(entry["reason"] == "unprintable folder name" for entry in data.index(root).attrs["skipped"])
    with pytest.raises(CrackvizError, match=r"\\udcfcf' has a name that is no text.*Rename it"):
        data.index(odd)
    named = shutil.copytree(tmp_path / "ok", tmp_path / "日本\u3000語\u00a0x", ignore=shutil.ignore_patterns("Pr*"))
    assert len(data.index(named)) == len(data.index(root)), "blanks of other scripts are text"


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"max_images": -1}])
def test_numbers_are_looked_at_before_a_set_is_made(
    wrong: dict[str, int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRACKVIZ_CACHE", str(tmp_path))
    with pytest.raises(CrackvizError, match=f"{next(iter(wrong))} is -1"):
        data.index("synthetic:patches=40", **wrong)
    assert not [*tmp_path.iterdir()]
