"""Labels that somebody gave the tiles of a photograph, read from a CSV file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_number
from crackviz.files import as_path
from crackviz.inspection.photographs import Photograph

_CRACKED, _SOUND = ("1", "crack", "cracked"), ("0", "no_crack", "sound", "uncracked")


def read_tile_labels(path: str | Path, photograph: Photograph, tile: int) -> pd.DataFrame:
    """Read which tiles of a photograph show a crack.

    Parameters
    ----------
    path : str or Path
        A CSV file with the columns row and col (of a tile, from 0, counted from the upper left corner) and label (1,
        crack or cracked; 0, no_crack, uncracked or sound). With a column photo, which holds file names without their
        ending, only this photograph's rows count. So SDNET2018's labels can be kept.
    photograph : Photograph
    tile : int
        Side of a tile [px].

    Returns
    -------
    pandas.DataFrame
        row and col (int), cracked (bool).

    Raises
    ------
    CrackvizError
        Where the file can't be read, lacks a column, has no row of this photograph, names a tile that lies beyond it,
        or a label that is none.
    """
    path = as_path("The file of tile labels", path)
    check_number("tile", tile, 1, whole=True)
    try:
        table = pd.read_csv(path, dtype=str).fillna("")
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise CrackvizError(
            f"The labels of the tiles, {path}, can't be read ({error}). Expected a CSV file with the columns row, col "
            "and label."
        ) from error
    if missing := [name for name in ("row", "col", "label") if name not in table]:
        raise CrackvizError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))[:200]}. Expected "
            "are row, col (from 0) and label (1 where the tile is cracked, else 0)."
        )
    if "photo" in table:
        table = table[table["photo"] == photograph.path.stem]
    if table.empty:
        raise CrackvizError(f"{path} has no row of {photograph.path.stem}: look at its column photo.")
    places = table[["row", "col"]].apply(pd.to_numeric, errors="coerce")
    within = (photograph.height // tile, photograph.width // tile)
    wrong = ~((places >= 0) & (places < within) & (places % 1 == 0)).all(axis=1)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise CrackvizError(
            f"{path} names the tile of row {row['row']!r} and col {row['col']!r}; {photograph.path.name} has rows 0 to "
            f"{within[0] - 1} and cols 0 to {within[1] - 1} of tiles of {tile} px. Is tile right?"
        )
    said = table["label"].str.strip().str.lower()
    if unknown := [label for label in said.unique() if label not in (*_CRACKED, *_SOUND)]:
        raise CrackvizError(f"{path} has the label {unknown[0]!r}; expected 1 where a tile is cracked, else 0.")
    return places.astype(int).assign(cracked=np.isin(said, _CRACKED))
