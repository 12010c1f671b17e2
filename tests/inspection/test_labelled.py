"""Labels of tiles, as a person writes them and as they may go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crackviz import CrackvizError, inspection

GOOD = "photo,row,col,label\nwall,0,0,1\nwall,1,2,uncracked\nother,9,9,1\nwall,1,1, Cracked\n"


@pytest.fixture
def photograph(tmp_path: Path) -> inspection.Photograph:
    Image.fromarray(np.full((70, 110, 3), 128, np.uint8)).save(tmp_path / "wall.png")
    return inspection.Photograph(tmp_path / "wall.png")


def read(text: str, photograph: inspection.Photograph, tile: int = 32) -> list[list[int]]:
    path = photograph.path.with_name("tiles.csv")
    path.write_text(text, "utf-8")
    return inspection.read_tile_labels(path, photograph, tile).astype(int).to_numpy().tolist()


def test_this_photograph_s_rows_are_read(photograph: inspection.Photograph) -> None:
    assert read(GOOD, photograph) == [[0, 0, 1], [1, 2, 0], [1, 1, 1]]
    assert read("row,col,label\n1,0,no_crack\n", photograph) == [[1, 0, 0]]
    assert read("\ufeffPhoto, Row,col,label\nother,0,0,1\n wall.png ,1,1.0,1\n", photograph) == [[1, 1, 1]]
    assert read("row,col,label,\n0,2,1,\n", photograph) == [[0, 2, 1]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "can't be read .*Save the table as CSV in UTF-8"),
        ("row,label\n0,1\n", "no column col, or two of them; it has row, label"),
        (GOOD.replace("wall", "wand"), "no row of wall; its column photo holds other, wand"),
        ("row,col,label\n2,0,1\n", "row '2' and col '0'; wall.png has rows 0 to 1 and cols 0 to 2 of tiles of 32 px"),
        ("row,col,label\n0,-1,1\n", "col '-1'"),
        ("row,col,label\n0,0.5,1\n", "col '0.5'"),
        ("row,col,label\n0,,1\n", "col ''"),
        ("row,col,label\n0,0,yes\n", "the label 'yes'; expected 1 where a tile is cracked"),
        ("row,col,label\n0,0,1\n0,0,0\n", "row 0 and col 0 more than once"),
        ("row,col,label\n0,1,1,0\n1,1,1,1\n", "can't be read .* 4"),
        ("row;col;label\n0;0;1\n", "no column row, or two of them; it has row;col;label"),
        ("row,col,label,label\n0,0,1,0\n", "no column label, or two of them"),
        ("row,col,label\n", "no rows below its first line"),
        ("row,col,label,\n0,0,1,x\n", "values in a column without a name"),
    ],
)
def test_what_can_t_be_labels_is_refused(text: str, said: str, photograph: inspection.Photograph) -> None:
    with pytest.raises(CrackvizError, match=said):
        read(text, photograph)


@pytest.mark.parametrize("name", ["nowhere.csv", "wall.png", "wall.gz", "."])
def test_no_such_file_or_none_with_labels(name: str, photograph: inspection.Photograph) -> None:
    (photograph.path.parent / "wall.gz").write_bytes(b"\x1f\x8b cut off")
    with pytest.raises(CrackvizError, match="can't be read"):
        inspection.read_tile_labels(photograph.path.parent / name, photograph, 32)


def test_tiles_and_photographs_that_are_none(photograph: inspection.Photograph) -> None:
    path = photograph.path.with_name("tiles.csv")
    path.write_text(GOOD, "utf-8")
    with pytest.raises(CrackvizError, match="tile is 71; expected a whole number from 1 to 70"):
        inspection.read_tile_labels(path, photograph, 71)
    with pytest.raises(CrackvizError, match=r"photograph is 'wall\.png'; expected an inspection\.Photograph"):
        inspection.read_tile_labels(path, "wall.png", 32)  # type: ignore[arg-type]
