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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "can't be read .*Expected a CSV file with the columns row, col and label"),
        ("row,label\n0,1\n", "no column col; it has row, label"),
        (GOOD.replace("wall", "wand"), "no row of wall: look at its column photo"),
        ("row,col,label\n2,0,1\n", "row '2' and col '0'; wall.png has rows 0 to 1 and cols 0 to 2 of tiles of 32 px"),
        ("row,col,label\n0,-1,1\n", "col '-1'"),
        ("row,col,label\n0,0.5,1\n", "col '0.5'"),
        ("row,col,label\n0,,1\n", "col ''"),
        ("row,col,label\n0,0,yes\n", "the label 'yes'; expected 1 where a tile is cracked"),
    ],
)
def test_what_can_t_be_labels_is_refused(text: str, said: str, photograph: inspection.Photograph) -> None:
    with pytest.raises(CrackvizError, match=said):
        read(text, photograph)


def test_no_such_file(photograph: inspection.Photograph) -> None:
    with pytest.raises(CrackvizError, match=r"nowhere\.csv, can't be read"):
        inspection.read_tile_labels("nowhere.csv", photograph, 32)
