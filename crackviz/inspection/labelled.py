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
_SAVE = "Save the table as CSV in UTF-8, separated by commas, with the columns row, col and label"


def read_tile_labels(path: str | Path, photograph: Photograph, tile: int) -> pd.DataFrame:
    """Read which tiles of a photograph show a crack.

    Parameters
    ----------
    path : str or Path
        A CSV file with the columns row and col (of a tile, from 0, counted from the upper left corner) and label (1,
        crack or cracked; 0, no_crack, uncracked or sound). With a column photo, which holds file names with their
        ending or without, only this photograph's rows count. So SDNET2018's labels can be kept.
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
        Where the file can't be read, lacks a column, has no row of this photograph, names a tile twice or one that lies
        beyond the photograph, or has another label than these.
    """
    path = as_path("The file of tile labels", path)
    if not isinstance(photograph, Photograph):
        raise CrackvizError(f"photograph is {photograph!r:.80}; expected an inspection.Photograph.")
    check_number("tile", tile, 1, min(photograph.height, photograph.width), whole=True)
    table = _table(path)
    if "photo" in table:
        names = sorted(table["photo"].unique())
        table = table[table["photo"].isin([photograph.path.stem, photograph.path.name])]
        if table.empty:
            raise CrackvizError(
                f"{path} has no row of {photograph.path.stem}; its column photo holds {', '.join(names)[:200]}."
            )
    places = table[["row", "col"]].apply(pd.to_numeric, errors="coerce")
    within = (photograph.height // tile, photograph.width // tile)
    wrong = ~((places >= 0) & (places < within) & (places % 1 == 0)).all(axis=1)
    if wrong.any():
        row = table[wrong].iloc[0]
        raise CrackvizError(
            f"{path} names the tile of row {row['row']!r:.40} and col {row['col']!r:.40}; {photograph.path.name} has "
            f"rows 0 to {within[0] - 1} and cols 0 to {within[1] - 1} of tiles of {tile} px. Check the side of a tile."
        )
    if (twice := places.duplicated()).any():
        row, col = places[twice].iloc[0].astype(int)
        raise CrackvizError(f"{path} names the tile of row {row} and col {col} more than once: keep one of its rows.")
    said = table["label"].str.lower()
    if unknown := [label for label in said.unique() if label not in (*_CRACKED, *_SOUND)]:
        raise CrackvizError(f"{path} has the label {unknown[0]!r:.40}; expected 1 where a tile is cracked, else 0.")
    return places.astype(int).assign(cracked=np.isin(said, _CRACKED))


def _table(path: Path) -> pd.DataFrame:
    """Read the file as text without blanks around; raise a CrackvizError unless it has the columns, and rows."""
    if not path.is_file():
        raise CrackvizError(f"The labels of the tiles, {path}, can't be read: there is no such file.")
    try:
        lines = pd.read_csv(
            path, dtype=str, header=None, compression=None, keep_default_na=False, encoding="utf-8-sig", engine="c"
        )
    except (OSError, ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        reason = " ".join(str(error).split())
        raise CrackvizError(f"The labels of the tiles, {path}, can't be read ({reason:.200}). {_SAVE}.") from error
    lines = lines.fillna("").apply(lambda column: column.str.strip())
    table = lines[1:].set_axis(lines.iloc[0].str.lower().tolist(), axis=1)
    table = table.loc[:, (table != "").any() | (table.columns != "")]  # commas at the ends of lines
    if missing := [name for name in ("row", "col", "label") if list(table.columns).count(name) != 1]:
        raise CrackvizError(
            f"{path} has no column {missing[0]}, or two of them; it has {', '.join(map(str, table.columns))[:200]}. "
            f"{_SAVE}."
        )
    if "" in table.columns:
        raise CrackvizError(f"{path} has values in a column without a name. {_SAVE}.")
    if table.empty:
        raise CrackvizError(f"{path} has no rows below its first line. {_SAVE}.")
    return table
