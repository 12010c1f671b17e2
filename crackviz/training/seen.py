"""Which pictures a network has learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from crackviz import CrackvizError, data, models
from crackviz.files import read_json, short_hash
from crackviz.models import Network


def fingerprint(table: pd.DataFrame) -> str:
    """Return a hash of which pictures are trained on, by name and looks: the folder may have moved."""
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in table["path"]]
    looks = [value.hex() for value in table["hash"]] if "hash" in table else [""] * len(table)
    rows = zip(names, table["label"], table["split"], looks, strict=True)
    return short_hash(*sorted(map(str, rows)))


def check_trained_on(folder: str | Path, table: pd.DataFrame) -> None:
    """Raise where the model in `folder` was trained on another split than `table`'s.

    Its test pictures may then be among those that the model was trained on. Nothing is checked where the folder
    holds no model.
    """
    known = read_json(Path(folder) / "training.json")
    if known and known.get("pictures") != fingerprint(table):
        raise CrackvizError(
            f"The model in {folder} was trained on another split than this one: other pictures, max_images or seed. "
            "It may have seen the test pictures. Train it again (notebook 02), or use another run folder."
        )


def seen(network: Network, table: pd.DataFrame) -> np.ndarray:
    """Tell which pictures a network has learnt from, as far as is known.

    Of the run's own network these are the training part; of a shipped one, or of one trained on another split, what it
    was trained *or* validated on, recognised by the difference hash. Of a file that lies alone nothing is known, and
    none counts as seen.

    Takes what :func:`crackviz.models.find` and :func:`crackviz.data.prepare` return, and gives bool (N,), one for each
    row of the table. A CrackvizError where the run's own network was trained on another split.
    """
    if network.shipped:
        return models.seen_by_pretrained(table, network.shipped)
    home = network.path if network.path.is_dir() else network.path.parent
    if not network.named:
        check_trained_on(home, table)
    elif read_json(home / "training.json").get("pictures") != fingerprint(table):
        # notebook 02 keeps its second network in a folder within the run's
        split = next((p / "split.csv" for p in (home, home.parent) if (p / "split.csv").is_file()), None)
        if split is None:
            return np.zeros(len(table), bool)
        other = data.read_split(split, pictures=False)
        return table["hash"].isin(other.loc[other["split"] != "test", "hash"]).to_numpy()
    return (table["split"] == "train").to_numpy()


def unseen(network: Network, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the test part that a network has never seen, as :func:`seen` tells.

    A CrackvizError where what is left lacks a class, or the run's own network was trained on another split.
    """
    test = table[table["split"] == "test"]
    fair = test[~seen(network, table)[table["split"] == "test"]]
    if fair["label"].nunique() < test["label"].nunique():
        raise CrackvizError(
            f"{f'The shipped {network.shipped}' if network.shipped else network.path} was trained on "
            f"{len(test) - len(fair):,} of the {len(test):,} test pictures, and what is left lacks a class. Train a "
            "network of your own (notebook 02), or use all pictures (max_images=0)."
        )
    return fair
