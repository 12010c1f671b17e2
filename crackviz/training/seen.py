"""Which pictures a network has learnt from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from crackviz import CrackvizError, models


def _fingerprint(table: pd.DataFrame) -> str:
    """Return a hash of which pictures are trained on, by name: the folder may have moved."""
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in table["path"]]
    rows = zip(names, table["label"], table["split"], strict=True)
    return hashlib.sha256("\n".join(sorted(map(str, rows))).encode()).hexdigest()[:16]


def check_trained_on(folder: str | Path, table: pd.DataFrame) -> None:
    """Raise where the model in `folder` was trained on another split than `table`'s.

    Its test pictures may then be among those that the model was trained on. Nothing is checked where the folder
    holds no model.

    Raises
    ------
    CrackvizError
        Where the splits differ.
    """
    if not _trained_on(folder, table):
        raise CrackvizError(
            f"The model in {folder} was trained on another split than this one: other pictures, max_images or seed. "
            "It may have seen the test pictures. Train it again (notebook 02), or use another run folder."
        )


def _trained_on(folder: str | Path, table: pd.DataFrame) -> bool:
    """Say whether a folder's network was trained on this split; True where nothing is known."""
    path = Path(folder) / "training.json"
    return not path.is_file() or bool(json.loads(path.read_text("utf-8"))["pictures"] == _fingerprint(table))


def seen(folder: str | Path, table: pd.DataFrame, name: str = models.PREFERRED, network: str = "") -> np.ndarray:
    """Tell which pictures a network has learnt from, as far as is known.

    Of the run's own network these are the training part; of a shipped one, or of one trained on another split, what it
    was trained *or* validated on, recognised by the difference hash. Of a file that lies alone nothing is known, and
    none counts as seen.

    Parameters
    ----------
    folder, name, network
        As for :func:`crackviz.models.chosen`.
    table : pandas.DataFrame
        From :func:`crackviz.data.prepare`.

    Returns
    -------
    numpy.ndarray
        bool (N,), a row of the table each.

    Raises
    ------
    CrackvizError
        Where the run's own network was trained on another split.
    """
    path, shipped = models.chosen(folder, name, network)
    if path is None:
        return models.seen_by_pretrained(table, shipped)
    home = path if path.is_dir() else path.parent
    if not network:
        check_trained_on(home, table)
    elif not (home / "training.json").is_file() or not _trained_on(home, table):
        # notebook 02 keeps its second network in a folder within the run's
        split = next((p / "split.csv" for p in (home, home.parent) if (p / "split.csv").is_file()), None)
        if split is None:
            return np.zeros(len(table), bool)
        other = pd.read_csv(split, skiprows=1, keep_default_na=False)
        return table["hash"].map(bytes.hex).isin(other.loc[other["split"] != "test", "hash"]).to_numpy()
    return (table["split"] == "train").to_numpy()


def unseen(folder: str | Path, table: pd.DataFrame, name: str = models.PREFERRED, network: str = "") -> pd.DataFrame:
    """Return the test pictures that a network has never seen; see :func:`seen`.

    Returns
    -------
    pandas.DataFrame
        Rows of the test part.

    Raises
    ------
    CrackvizError
        Where the run's own network was trained on another split, or what is left lacks a class.
    """
    fair = table[(table["split"] == "test") & ~seen(folder, table, name, network)]
    test = table[table["split"] == "test"]
    if fair["label"].nunique() < test["label"].nunique():
        path, shipped = models.chosen(folder, name, network)
        raise CrackvizError(
            f"{f'The shipped {shipped}' if path is None else path} was trained on {len(test) - len(fair):,} of the "
            f"{len(test):,} test pictures, and what is left lacks a class. Train a network of your own (notebook 02), "
            "or use all pictures (max_images=0)."
        )
    return fair
