"""Groups that people can name: photographs by file name, folder, pattern or CSV."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crackviz import CrackvizError, data

NAMED = [
    "Walls/{label}/{photo}-{tile}.png", "{label}/wall{photo}_tile{tile}.png", "{label}/IMG_{photo}_r{row}_c{tile}.png",
    "train/{label}/wall{photo}_jpg.rf.{tile}a{tile}f.jpg",
    "{label}/IMG_{photo}-x{tile}-y{row}.jpg", "train/{label}/w{photo} patch {tile}.png",
]  # fmt: skip


def tiles(root: Path, pattern: str, photos: int = 6) -> Path:
    for photo in range(photos):
        for tile in range(8):
            label = ("no_crack", "crack")[tile % 2]
            path = root / pattern.format(photo=7060 + photo, tile=tile, row=photo % 2, label=label)
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng([photo, tile]).integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(noise).save(path)
    return root


def photographs(table: pd.DataFrame) -> pd.Series:
    return table["path"].str.extract(r"(70\d\d)", expand=False)


def alone(table: pd.DataFrame) -> bool:
    """Whether groups and photographs are the same."""
    photo = photographs(table)
    pairs = pd.DataFrame({"group": table["group"], "photo": photo}).drop_duplicates()
    return pairs["group"].is_unique and pairs["photo"].is_unique


@pytest.mark.parametrize("pattern", NAMED)
def test_tiles_of_a_photograph_are_known_by_their_names(tmp_path: Path, pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = data.index(tiles(tmp_path, pattern))
    assert alone(table) and table["group"].nunique() == 6
    table = data.split(table)
    assert table.groupby(photographs(table))["split"].nunique().max() == 1


@pytest.mark.parametrize("photos", [1, 2])
def test_too_few_photographs_to_split_are_left_alone(tmp_path: Path, photos: int) -> None:
    assert data.index(tiles(tmp_path, NAMED[1], photos))["group"].nunique() == 8 * photos


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        ("fold{photo}/{label}/{tile}.png", "folder:1"),
        ("set/fold{photo}/{label}/{tile}.png", "folder:2"),
        ("{label}/fold{photo}/{tile}.png", "folder:2"),
        ("{label}/wall{photo}_{tile}.png", r"wall(\d+)"),
        ("{label}/wall{photo}_{tile}.png", r"(.+)_\d+"),
        ("{label}/wall{photo}_{tile}.png", r"wall\d+"),
    ],
)
def test_groups_that_are_asked_for(tmp_path: Path, pattern: str, groups: str) -> None:
    root = tiles(tmp_path, pattern)
    with pytest.warns(UserWarning, match="training and test at once"):
        assert not alone(data.index(root))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = data.index(root, groups=groups)
        assert data.index(root, groups="each")["group"].nunique() == 48
    assert alone(table) and table["group"].nunique() == 6, set(table["group"])


def test_groups_from_a_csv(tmp_path: Path) -> None:
    root = tiles(tmp_path / "set", "{label}/{photo}x{tile}.png")
    plain = data.index(root, groups="each")
    names = [Path(path).relative_to(root).as_posix() for path in plain["path"]]
    file = tmp_path / "groups.csv"
    for listed in (names, [Path(name).name for name in names]):
        pd.DataFrame({"path": listed, "group": photographs(plain)}).to_csv(file, index=False)
        assert alone(data.index(root, groups=str(file)))
    one = data.prepare(root, tmp_path / "split.csv", groups=str(file))
    rows = pd.DataFrame({"path": names, "group": range(len(names))})
    rows.to_csv(file, index=False)
    assert (
        data.prepare(root, tmp_path / "split.csv", groups=str(file))["group"].nunique() == 48 > one["group"].nunique()
    )
    for wrong, message in (
        (rows[1:], "47 of 48 pictures, but not of"),
        (rows.assign(group=""), "without a group"),
        (pd.concat([rows, rows.assign(group="x")]), "or with two"),
        (rows.rename(columns={"group": "photo"}), "columns path, photo; expected path"),
    ):
        wrong.to_csv(file, index=False)
        with pytest.raises(CrackvizError, match=message):
            data.index(root, groups=str(file))
    with pytest.raises(CrackvizError, match="can't be read as a CSV"):
        data.index(root, groups="nowhere.csv")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("folder:1", "names their class or part"), ("folder:5", "there is none"), ("folder:0", "from 1 on"),
        ("(", "no regular expression"), (r"roof(\d)", "0 of 48 names, but not in"),
    ],
)  # fmt: skip
def test_groups_that_do_not_fit(tmp_path: Path, groups: str, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        data.index(tiles(tmp_path, "{label}/{photo}.{tile}.png"), groups=groups)


def test_plain_numbers_give_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pattern in ("{label}/{photo}{tile}.png", "{label}/crack_{photo}{tile}.png", "{label}/DSC{photo}{tile}.png"):
            data.index(tiles(tmp_path / pattern[8:12], pattern))


@pytest.mark.parametrize("pattern", ["wall{photo}/{label}/{tile}.png", "{label}/IMG_{photo}/{tile}.png"])
def test_numbered_folders_of_photographs_are_photographs(tmp_path: Path, pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = data.index(tiles(tmp_path, pattern))
    assert alone(table) and table["group"].nunique() == 6


def test_numbered_folders_of_other_names_are_asked_about(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="The classes lie in 6 folders"):
        assert not alone(data.index(tiles(tmp_path, "fold{photo}/{label}/{tile}.png")))


@pytest.mark.parametrize("pattern", ["{label}/{photo} ({tile}).png", "{label}/w{photo} - Copy ({tile}).png"])
def test_numbers_in_brackets_are_asked_about(tmp_path: Path, pattern: str) -> None:
    with pytest.warns(UserWarning, match="share 6 beginnings"):
        data.index(tiles(tmp_path, pattern))
