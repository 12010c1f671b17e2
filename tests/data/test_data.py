"""Finding, hashing, splitting and feeding pictures, on pictures that the tests draw."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from crackviz import CrackvizError, data, synthetic


def put(path: Path, seed: int = 0, side: int = 20) -> Path:
    """A picture of noise, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def labels_of(table: pd.DataFrame) -> dict[str, int]:
    root = Path(table.attrs["root"])
    return {
        Path(path).relative_to(root).as_posix(): label
        for path, label in zip(table["path"], table["label"], strict=True)
    }


# --- index ------------------------------------------------------------------------------------------------


def test_the_small_set_is_found_as_metu(small_set: Path) -> None:
    table = data.index(small_set)
    assert list(table.columns) == ["path", "label", "group", "source", "mask"]
    assert table["label"].value_counts().to_dict() == {0: 40, 1: 40}
    assert (table["path"].str.contains("Positive") == (table["label"] == 1)).all()
    assert set(table["source"]) == {"metu"} and set(table["mask"]) == {""}
    assert table["group"].nunique() == 80, "the same number in both classes is not the same group"
    assert table["path"].is_monotonic_increasing
    assert table.attrs == {"root": str(small_set), "class_names": ("no_crack", "crack"), "skipped": []}


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        ("Negative", "Positive"),
        ("negative", "POSITIVE"),
        ("uncracked", "Cracked"),
        ("no_crack", "crack"),
        ("Non-crack", "Crack"),
        ("archive/archive/Negative", "archive/archive/Positive"),
        ("Negative/part 1", "Positive/part 2/deeper"),
        ("Cracks of 2018/negative", "Cracks of 2018/positive"),
    ],
)
def test_two_classes_by_their_names(tmp_path: Path, negative: str, positive: str) -> None:
    put(tmp_path / negative / "a.jpg")
    put(tmp_path / positive / "b.jpg")
    table = data.index(tmp_path)
    assert labels_of(table) == {f"{negative}/a.jpg": 0, f"{positive}/b.jpg": 1}
    assert table.attrs["class_names"] == ("no_crack", "crack")


def test_sdnet_groups_by_photograph(tmp_path: Path) -> None:
    for name in ("W/CW/7100-1.jpg", "W/UW/7100-2.jpg", "W/UW/7101-1.jpg", "D/CD/7001-9.jpg", "D/UD/7001-10.jpg"):
        put(tmp_path / "SDNET2018" / name)
    table = data.index(tmp_path)
    assert list(table["label"]) == [1, 0, 1, 0, 0]
    assert list(table["group"]) == [f"SDNET2018/{g}" for g in ("D/7001", "D/7001", "W/7100", "W/7100", "W/7101")]
    assert set(table["source"]) == {"sdnet2018"}


def test_any_folder_tree_and_a_publishers_own_split(tmp_path: Path) -> None:
    for name in ("train/rust/1.png", "train/spalling/1.png", "test/rust/2.png", "test/Efflorescence/3.png"):
        put(tmp_path / "set" / name)
    table = data.index(tmp_path)
    assert table.attrs["class_names"] == ("Efflorescence", "rust", "spalling")
    assert labels_of(table) == {
        "set/test/Efflorescence/3.png": 0,
        "set/test/rust/2.png": 1,
        "set/train/rust/1.png": 1,
        "set/train/spalling/1.png": 2,
    }


def test_a_third_class_beside_the_known_two_is_not_lost(tmp_path: Path) -> None:
    for name in ("set/crack/1.png", "set/no_crack/1.png", "set/Spalling/1.png", "set/Spalling/near/2.png", "top.png"):
        put(tmp_path / name)
    table = data.index(tmp_path)
    assert table.attrs["class_names"] == ("no_crack", "crack", "Spalling")
    assert list(table["label"]) == [2, 2, 1, 0]
    assert table.attrs["skipped"] == [{"path": str(tmp_path / "top.png"), "reason": "in no class folder"}]


def test_the_same_stem_in_one_folder_is_one_group(tmp_path: Path) -> None:
    for name in ("crack/1.png", "crack/1.jpg", "crack/2.jpg", "no_crack/1.jpg"):
        put(tmp_path / name)
    assert list(data.index(tmp_path)["group"]) == ["crack/1", "crack/1", "crack/2", "no_crack/1"]


def test_images_and_masks_are_paired_by_stem(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "images/b.jpg", "images/c.jpg", "Masks/a.png", "Masks/b_mask.png"):
        put(tmp_path / "set" / name)
    for name in ("images/d.jpg", "Masks/d.png", "Masks/d.bmp", "Masks/e.png"):
        put(tmp_path / "set" / name)
    table = data.index(tmp_path)
    home = tmp_path / "set"
    assert list(table["path"]) == [str(home / "images/a.jpg"), str(home / "images/b.jpg")]
    assert list(table["mask"]) == [str(home / "Masks/a.png"), str(home / "Masks/b_mask.png")]
    assert set(table["label"]) == {1} and set(table["source"]) == {"image+mask"}
    assert {(Path(s["path"]).name, s["reason"]) for s in table.attrs["skipped"]} == {
        ("c.jpg", "no masks of this name"),
        ("d.jpg", "2 masks of this name"),
        ("e.png", "a mask without a picture"),
    }


def test_stray_pictures_beside_images_and_masks_are_skipped(tmp_path: Path) -> None:
    for name in ("images/a.jpg", "masks/a.png", "overview.png"):
        put(tmp_path / name)
    table = data.index(tmp_path)
    assert len(table) == 1
    assert table.attrs["skipped"] == [{"path": str(tmp_path / "overview.png"), "reason": "in no class folder"}]


def test_linked_folders_are_followed_and_circles_are_not(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / "1.png")
    put(tmp_path / "set" / "Negative" / "1.png")
    (tmp_path / "set" / "Positive").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set" / "Negative" / "again").symlink_to(tmp_path / "set")
    assert list(data.index(tmp_path / "set")["label"]) == [0, 1]


def test_no_folder_means_synthetic_concrete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small = synthetic.dataset(synthetic.Settings(patches=8, image_size=48, crack_width=(2, 8)))
    asked: list[synthetic.Settings] = []
    monkeypatch.setattr(synthetic, "dataset", lambda settings: asked.append(settings) or small)
    assert len(data.index()) == len(data.index("synthetic")) == len(data.index("synthetic:seed=4")) == 8
    assert asked == [synthetic.Settings(), synthetic.Settings(), synthetic.Settings(seed=4)]
    (tmp_path / "synthetic").mkdir()
    monkeypatch.chdir(tmp_path)
    assert data.synthetic_settings("./synthetic") is None, "a folder of this name is reached by its path"
    assert data.synthetic_settings(tmp_path / "synthetic") is None


# --- subset -----------------------------------------------------------------------------------------------


def make_table(groups: list[tuple[str, int]]) -> pd.DataFrame:
    """A table of (group, label) rows."""
    table = pd.DataFrame(groups, columns=["group", "label"]).assign(mask="", source="folders")
    table["path"] = [f"/pictures/{i}.png" for i in range(len(table))]
    table.attrs = {"root": "/pictures", "class_names": ("no_crack", "crack"), "skipped": []}
    return table


def test_subset_keeps_proportions_and_groups_and_the_seed_decides() -> None:
    table = make_table([(f"{label}/{i // 2}", label) for label, n in ((0, 600), (1, 200)) for i in range(n)])
    one = data.subset(table, 80, seed=3)
    assert one["label"].value_counts().to_dict() == {0: 60, 1: 20}
    assert set(one.groupby("group").size()) == {2}, "near-duplicates stay together"
    assert one["path"].tolist() == sorted(one["path"], key=lambda p: int(Path(p).stem)), "in the table's order"
    pd.testing.assert_frame_equal(one, data.subset(table, 80, seed=3))
    assert set(one["path"]) != set(data.subset(table, 80, seed=4)["path"])
    assert one.attrs == table.attrs
    assert len(data.subset(table, 800)) == len(data.subset(table, 10_000)) == 800


def test_subset_thins_photographs_so_that_many_take_part() -> None:
    table = make_table([(f"photo{i % 12}", int(i % 5 == 0)) for i in range(3000)])
    few = data.subset(table, 200)
    assert 180 <= len(few) <= 200
    assert few["group"].nunique() == 12
    assert set(data.split(few)["split"]) == set(data.SPLITS)


def test_max_images_of_index(small_set: Path) -> None:
    assert data.index(small_set, max_images=20)["label"].value_counts().to_dict() == {0: 10, 1: 10}
    with pytest.raises(CrackvizError, match="3 per class"):
        data.index(small_set, max_images=5)


def test_too_small_a_max_images_is_refused_before_concrete_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "dataset", lambda *args, **how: pytest.fail("it was drawn"))
    with pytest.raises(CrackvizError, match="max_images=5: expected 6"):
        data.index("synthetic:patches=5000,seed=77", max_images=5)


# --- reading ----------------------------------------------------------------------------------------------


def test_resizing_is_antialiased(tmp_path: Path) -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "board.png")
    small = data.read_image(tmp_path / "board.png", 8)
    assert small.shape == (8, 8, 3) and small.dtype == np.uint8
    assert np.all(np.abs(small.astype(int) - 128) < 12), "plain bilinear sampling would give 0 and 255"


def test_pictures_come_in_order_as_read(small_set: Path) -> None:
    paths = data.index(small_set)["path"][:30]
    images = data.load_images(paths, 16)
    assert images.dtype == np.float32 and images.shape == (30, 16, 16, 3)
    for path, image in zip(paths, images, strict=True):
        np.testing.assert_array_equal(image, data.read_image(path, 16).astype(np.float32) / np.float32(255))
    assert data.load_images([], 16).shape == (0, 16, 16, 3)


def test_more_than_two_gib_are_refused() -> None:
    with pytest.raises(CrackvizError, match=r"2.3 GiB.*data.pipeline"):
        data.load_images(["x.jpg"] * 4000, 227)


def test_masks_are_cut_at_127(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 127, 128, 255]] * 4, np.uint8)).save(tmp_path / "soft.png")
    Image.fromarray(np.array([[0, 1, 1, 0]] * 4, np.uint8)).save(tmp_path / "ones.png")
    masks = data.load_masks([tmp_path / "soft.png", tmp_path / "ones.png"], 4)
    assert masks.dtype == bool and masks.shape == (2, 4, 4)
    assert masks[:, 0].tolist() == [[False, False, True, True], [False, True, True, False]]
    Image.fromarray(np.repeat([[255, 255, 90, 90], [0, 90, 255, 200]], 2, axis=0).astype(np.uint8)).save(
        tmp_path / "b.png"
    )
    assert data.load_masks([tmp_path / "b.png"], 2).tolist() == [[[True, False], [False, True]]]
    assert data.load_masks([], 4).shape == (0, 4, 4)


# --- near-duplicates --------------------------------------------------------------------------------------


def test_dhash_by_hand() -> None:
    ramp = np.broadcast_to(np.arange(170, dtype=np.uint8)[None, :, None], (160, 170, 3))
    assert data.dhash(ramp) == b"\xff" * 32
    assert data.dhash(ramp[:, ::-1]) == bytes(32)
    half = np.concatenate([ramp[:80], ramp[80:, ::-1]])
    assert data.dhash(half) == b"\xff" * 16 + bytes(16), "two bytes a row, from the top"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.integers(0, 20), st.integers(0, 2**32 - 1))
def test_near_duplicate_pairs_are_all_pairs_within_the_distance(n: int, distance: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (4, 256), np.uint8)[rng.integers(0, 4, n)]  # four clusters, ...
    for row in bits:
        row[rng.choice(256, rng.integers(0, 12), replace=False)] ^= 1  # ... up to 22 bits wide
    hashes = [np.packbits(row).tobytes() for row in bits]
    expected = [[i, j] for i in range(n) for j in range(i + 1, n) if (bits[i] != bits[j]).sum() <= distance]
    pairs = data.near_duplicate_pairs(hashes, distance)
    assert pairs.dtype == np.int64 and pairs.shape[1] == 2
    assert pairs.tolist() == expected


def test_pairs_across_blocks() -> None:
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32) for _ in range(5000)]
    hashes[4999], hashes[2050] = hashes[3], hashes[2047]
    assert data.near_duplicate_pairs(hashes).tolist() == [[3, 4999], [2047, 2050]]


def test_scan_joins_near_duplicates_and_their_near_duplicates(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = rng.integers(80, 120, (5, 16, 17), np.uint8)
    for i in range(1, 4):  # each picture differs from the one before by a few cells, the last from the first by more
        cells[i] = cells[i - 1]
        cells[i, 4 * i, ::3] += 100
    for i, name in enumerate(("Negative/0", "Negative/1", "Negative/2", "Negative/3", "Positive/other")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.kron(cells[i], np.ones((4, 4), np.uint8))).save(tmp_path / f"{name}.png")
    table = data.scan(data.index(tmp_path))
    pairs = data.near_duplicate_pairs(table["hash"].tolist())
    assert [0, 1] in pairs.tolist() and [0, 3] not in pairs.tolist(), "the test's own premise"
    assert table["group"].tolist() == ["Negative/0"] * 4 + ["Positive/other"]
    assert table["width"].tolist() == [68] * 5 and table["height"].tolist() == [64] * 5
    assert all(len(value) == 32 for value in table["hash"])
    apart = data.scan(data.index(tmp_path), near_duplicates=False)
    assert apart["group"].nunique() == 5


def test_scan_keeps_photographs_together_when_it_joins(tmp_path: Path) -> None:
    for i, name in enumerate(("CW/1-1.png", "UW/1-2.png", "UW/2-1.png", "CW/3-1.png")):
        put(tmp_path / name, seed=i)
    (tmp_path / "UW/2-2.png").write_bytes((tmp_path / "UW/1-2.png").read_bytes())
    index = data.index(tmp_path)
    names = [Path(path).name for path in index["path"]]
    groups = dict(zip(names, data.scan(index)["group"], strict=True))
    assert groups == {"1-1.png": "1", "1-2.png": "1", "2-1.png": "1", "2-2.png": "1", "3-1.png": "3"}


def test_scan_looks_into_the_masks(tmp_path: Path) -> None:
    for i, name in enumerate("abc"):
        put(tmp_path / "images" / f"{name}.png", seed=i)
        mask = np.zeros((20, 20), np.uint8)
        mask[5, :] = 255 * (name != "b")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask[: 20 if name != "c" else 10]).save(tmp_path / "masks" / f"{name}.png")
    table = data.scan(data.index(tmp_path))
    assert labels_of(table) == {"images/a.png": 1, "images/b.png": 0}
    assert [s["reason"] for s in table.attrs["skipped"]] == ["its mask is 20 x 10"]
    assert (table["mask"] != "").all()


# --- splitting --------------------------------------------------------------------------------------------


@st.composite
def grouped_tables(draw: st.DrawFn) -> pd.DataFrame:
    rows = []
    for label in range(draw(st.integers(2, 3))):
        for g in range(draw(st.integers(3, 25))):
            rows += [(f"{label}-{g}", label)] * draw(st.integers(1, 4))
    for g in range(draw(st.integers(0, 4))):  # photographs that hold both classes
        rows += [(f"mixed{g}", g % 2), (f"mixed{g}", 1)]
    return make_table(rows)


@settings(max_examples=60, deadline=None)
@given(grouped_tables(), st.integers(0, 5), st.sampled_from([0.1, 0.15, 0.2, 0.33]), st.sampled_from([0.0, 0.15, 0.4]))
def test_split_invariants(table: pd.DataFrame, seed: int, validation: float, test: float) -> None:
    done = data.split(table, validation=validation, test=test, seed=seed)
    pd.testing.assert_frame_equal(done.drop(columns="split"), table)
    assert done.groupby("group")["split"].nunique().max() == 1, "no group straddles"
    expected = set(data.SPLITS) if test else {"train", "validation"}
    for _, rows in done.groupby("label"):
        assert set(rows["split"]) == expected, "every class in every split"
    data.check_split(done)
    pd.testing.assert_frame_equal(done, data.split(table, validation=validation, test=test, seed=seed))


def test_split_shares_and_seeds() -> None:
    table = make_table([(f"{label}-{i // 2}", label) for label, n in ((0, 900), (1, 300)) for i in range(n)])
    splits = [data.split(table, seed=seed) for seed in range(3)]
    for done in splits:
        shares = done["split"].value_counts(normalize=True)
        assert abs(shares["test"] - 0.15) < 0.02 and abs(shares["validation"] - 0.15) < 0.02
        assert np.allclose(done.groupby("split")["label"].mean(), 0.25, atol=0.01)
    assert len({tuple(done["split"]) for done in splits}) == 3, "another seed, another split"
    first, second = (set(done["path"][done["split"] == "test"]) for done in splits[:2])
    assert first & second and first - second, "another seed also cuts other folds"
    assert set(data.split(table, validation=0.25, test=0)["split"]) == {"train", "validation"}


def test_an_ungrouped_split_leaks_and_says_so(tmp_path: Path) -> None:
    table = make_table([(f"{label}-{i // 4}", label) for label in (0, 1) for i in range(200)])
    leaking = data.split(table, grouped=False)
    with pytest.raises(CrackvizError, match=r"leaks: \d+ groups .*0-\d+"):
        data.check_split(leaking)
    assert data.split(table).attrs["grouped"] and not leaking.attrs["grouped"]
    moved = data.split(table)
    moved.loc[0, "split"] = "test" if moved.loc[0, "split"] != "test" else "train"
    with pytest.raises(CrackvizError, match="leaks: 1 groups"):
        data.write_split(moved, tmp_path / "split.csv")
    assert not list(tmp_path.iterdir())


def test_a_split_is_read_back_as_written(small_set: Path, tmp_path: Path) -> None:
    odd = put(tmp_path / "here" / "Positive" / 'NA, "1" #ü.png', seed=9)
    for i in range(8):
        put(tmp_path / "here" / ("Positive" if i % 2 else "Negative") / f"{i:03d}.png", seed=i)
    (tmp_path / "here" / "Negative" / "notes.txt").write_text("x")
    table = data.split(data.scan(data.index(tmp_path / "here")))
    assert str(odd) in set(table["path"])
    file = tmp_path / "run" / "split.csv"
    data.write_split(table, file)
    assert [p.name for p in file.parent.iterdir()] == ["split.csv"]
    again = data.read_split(file)
    pd.testing.assert_frame_equal(again, table)
    assert again.attrs == table.attrs

    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(CrackvizError, match=r"9 of 9 pictures.*are not there"):
        data.read_split(file)
    there = data.read_split(file, root=tmp_path / "there")
    assert there["split"].tolist() == table["split"].tolist()
    assert all(Path(p).is_file() for p in there["path"])
    assert there.attrs["root"] == str(tmp_path / "there")
    assert there.attrs["skipped"][0]["path"] == str(tmp_path / "there" / "Negative" / "notes.txt")


def test_a_leaking_file_is_refused_unless_it_was_made_so(small_set: Path, tmp_path: Path) -> None:
    table = data.index(small_set)
    table["group"] = [f"{label}-{i // 4}" for i, label in enumerate(table["label"])]
    data.write_split(data.split(table, grouped=False), tmp_path / "open.csv")
    assert not data.read_split(tmp_path / "open.csv").attrs["grouped"]
    text = (tmp_path / "open.csv").read_text().replace('"grouped": false', '"grouped": true')
    (tmp_path / "hidden.csv").write_text(text)
    with pytest.raises(CrackvizError, match="leaks"):
        data.read_split(tmp_path / "hidden.csv")


def test_prepare_makes_a_split_once(small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "split.csv"
    table = data.prepare(small_set, file, seed=1)
    pd.testing.assert_frame_equal(table, data.read_split(file))
    assert set(table["split"]) == set(data.SPLITS) and len(table) == 80
    made = file.stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr("crackviz.data.table.scan", None)
        pd.testing.assert_frame_equal(data.prepare(small_set, file, seed=1), table)
    assert file.stat().st_mtime_ns == made
    assert set(data.prepare(small_set, file, seed=2)["path"][:5]) and file.stat().st_mtime_ns != made, "another seed"
    assert len(data.prepare(small_set, file, seed=2, max_images=40)) == 40


def test_a_split_never_outlives_the_pictures_it_was_made_from(small_set: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(small_set, tmp_path / "set"))
    file = tmp_path / "split.csv"

    def now() -> tuple[int, int, str]:
        table = data.prepare(root, file)
        return len(table), int(table["label"].sum()), file.read_text()

    assert now() == (first := now()) and first[:2] == (80, 40)
    shutil.copy(root / "Positive" / "00001.jpg", root / "Positive" / "99999.jpg")
    assert now()[:2] == (81, 41), "added"
    (root / "Positive" / "99999.jpg").unlink()
    (root / "Negative" / "00002.jpg").unlink()
    assert now()[:2] == (79, 40), "removed"
    (root / "Positive" / "00003.jpg").rename(root / "Negative" / "00002.jpg")
    assert now()[:2] == (79, 39), "relabelled"
    before, picture = now()[2], root / "Positive" / "00004.jpg"
    times = picture.stat()
    content = bytearray((root / "Positive" / "00005.jpg").read_bytes())
    picture.write_bytes(content[: times.st_size].ljust(times.st_size, b"\0"))
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert now()[2] != before, "replaced by another of the same size and time"


# --- feeding ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Ten pictures whose grey value is their number times ten."""
    folder = tmp_path_factory.mktemp("numbered")
    for i in range(10):
        path = folder / ("Positive" if i >= 5 else "Negative") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (6, 6), 10 * i).save(path)
    return data.index(folder)


def stream(table: pd.DataFrame, epochs: range, batch_size: int = 4, seed: int = 7) -> list[list[int]]:
    """The numbers of the pictures of each batch."""
    feed = data.pipeline(table, 4, batch_size=batch_size, seed=seed, epoch=epochs.start)
    found = []
    for epoch in epochs:
        feed.begin(epoch)
        found += [np.rint(x[:, 0, 0, 0] * 25.5).astype(int).tolist() for x, _ in feed]
    return found


def test_pipeline_in_order_and_scaled(numbered: pd.DataFrame) -> None:
    feed = data.pipeline(numbered, 4, batch_size=4)
    assert len(feed) == 3 and [len(x) for x, _ in feed] == [4, 4, 2]
    images, labels = (np.concatenate(part) for part in zip(*feed, strict=True))
    assert images.dtype == labels.dtype == np.float32 and images.shape == (10, 4, 4, 3) and labels.shape == (10, 1)
    np.testing.assert_array_equal(images, data.load_images(numbered["path"], 4))
    assert labels[:, 0].tolist() == numbered["label"].tolist()


def test_three_classes_get_whole_numbers(tmp_path: Path) -> None:
    for i, name in enumerate(("a", "b", "c")):
        put(tmp_path / name / "1.png", seed=i)
    ((_, labels),) = list(data.pipeline(data.index(tmp_path), 8))
    assert labels.dtype == "int32" and labels.tolist() == [0, 1, 2]


def test_each_picture_is_decoded_once_for_all_epochs(numbered: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: Counter[str] = Counter()
    read_image = data.read_image

    def counted(path: str, size: int | None = None) -> np.ndarray:
        decoded[path] += 1
        return read_image(path, size)

    monkeypatch.setattr("crackviz.data.feeding.read_image", counted)
    feed = data.pipeline(numbered, 4, batch_size=3, seed=1)
    for epoch in range(5):
        feed.begin(epoch)
        assert sum(len(x) for x, _ in feed) == 10
    assert decoded == dict.fromkeys(numbered["path"], 1)


def test_the_order_depends_on_seed_and_epoch_alone(numbered: pd.DataFrame) -> None:
    whole = stream(numbered, range(6))
    epochs = [[*chain(*whole[3 * e : 3 * e + 3])] for e in range(6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs), "each epoch holds every picture once"
    assert [len(batch) for batch in whole] == [4, 4, 2] * 6, "no batch crosses an epoch's end"
    assert len({tuple(epoch) for epoch in epochs}) == 6
    for first in range(1, 6):
        assert stream(numbered, range(first, 6)) == whole[3 * first :], "a resumed training sees the same batches"
    assert stream(numbered, range(6), seed=8) != whole
    assert stream(numbered, range(6), batch_size=10) == epochs, "whatever the batch size"


def test_images_and_labels_stay_together(numbered: pd.DataFrame) -> None:
    for epoch in range(3):
        for x, y in data.pipeline(numbered, 4, batch_size=3, seed=2, epoch=epoch):
            assert (y[:, 0] == (np.rint(x[:, 0, 0, 0] * 25.5) >= 5)).all()


def test_fewer_pictures_than_a_batch(numbered: pd.DataFrame) -> None:
    ((x, y),) = list(data.pipeline(numbered, 4, batch_size=32, seed=0))
    assert x.shape == (10, 4, 4, 3) and y.shape == (10, 1)


def test_after_a_with_the_pictures_are_gone_whatever_keras_keeps(numbered: pd.DataFrame) -> None:
    import gc
    import weakref

    import keras

    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with data.pipeline(numbered, 4, seed=0) as feed:
        pictures = weakref.ref(feed.images)
        model.fit(feed, epochs=2, shuffle=False, verbose=0)
        assert model.predict(feed, verbose=0).shape == (10, 1)
    gc.collect()
    assert pictures() is None


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"epoch": -1}, {"seed": -1}])
def test_pipeline_refuses_nonsense(numbered: pd.DataFrame, wrong: dict[str, int]) -> None:
    with pytest.raises(CrackvizError, match=f"{next(iter(wrong))} is .* expected a whole number"):
        data.pipeline(numbered, 4, **wrong)  # type: ignore[arg-type]


def test_pipeline_refuses_an_empty_table_and_too_much(numbered: pd.DataFrame) -> None:
    with pytest.raises(CrackvizError, match="no pictures"):
        data.pipeline(numbered[:0], 4)
    with pytest.raises(CrackvizError, match="this machine has"):
        data.pipeline(pd.concat([numbered] * 100), 16_000)


# --- augmentation -----------------------------------------------------------------------------------------


def test_augmentation_varies_in_training_only_the_same_for_one_seed() -> None:
    images = np.random.default_rng(0).random((16, 24, 24, 3), np.float32)
    images[:4], images[4:8] = 0, 1
    first, second, other = (data.augmentation(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first(images, training=False), images)
    runs = [[layers(images, training=True).numpy() for _ in range(3)] for layers in (first, second, other)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])
    assert not np.array_equal(runs[0][0], runs[0][1]), "each call varies anew"
    assert np.min(runs) >= 0 and np.max(runs) <= 1
    assert runs[0][0].shape == images.shape and runs[0][0].dtype == np.float32


@pytest.mark.parametrize("name", ["flip", "rotation", "contrast", "brightness", "zoom"])
def test_every_argument_of_augmentation_has_its_effect(name: str) -> None:
    off: dict[str, float] = {"flip": False, "rotation": 0, "contrast": 0, "brightness": 0, "zoom": 0}
    images = np.random.default_rng(0).random((8, 16, 16, 3), np.float32)
    np.testing.assert_array_equal(data.augmentation(**off)(images, training=True), images)  # type: ignore[arg-type]
    on = {**off, name: True if name == "flip" else 0.5}
    first, other = (data.augmentation(seed, **on)(images, training=True).numpy() for seed in (0, 1))  # type: ignore[arg-type]
    assert not np.array_equal(first, images)
    assert not np.array_equal(first, other), "every layer takes its seed from the one given"
    assert first.min() >= 0 and first.max() <= 1, "each alone stays in the range"


def test_borders_are_reflected() -> None:
    images = np.full((8, 24, 24, 3), 0.7, np.float32)
    varied = data.augmentation(contrast=0, brightness=0, rotation=0.25, zoom=0.3)(images, training=True)
    np.testing.assert_allclose(varied, 0.7, atol=1e-5)


# --- METU and start-up ------------------------------------------------------------------------------------


def test_offline_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(_: str) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=offline))
    with pytest.raises(
        CrackvizError, match=r"(?s)no route to host.*5y9wdsg2zt.*Positive/.*data\.index.*command and make"
    ):
        data.fetch_metu()
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(CrackvizError, match="pip install kagglehub"):
        data.fetch_metu()


def test_what_was_fetched_is_checked(small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", SimpleNamespace(dataset_download=lambda _: str(small_set)))
    with pytest.raises(CrackvizError, match=r"not METU as published: \{0: 40, 1: 40\} .*20,000"):
        data.fetch_metu()


def test_the_module_imports_no_tensorflow() -> None:
    code = "import sys, crackviz.data; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_zero_keeps_all(small_set: Path) -> None:
    table = data.index(small_set)
    pd.testing.assert_frame_equal(data.subset(table, 0), table)
