"""The trained networks that come with the package, and which network is meant."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from crackviz import ROOT, CrackvizError
from crackviz.models.saving import annotate, find, load, read_metadata

PRETRAINED = ROOT / "pretrained"
PREFERRED = "local_cnn"
"""The shipped model that is meant where none is named."""


def load_pretrained(name: str = PREFERRED) -> keras.Model:
    """Load a model that comes with crackviz; ``crackviz/pretrained/MODEL_CARD.md`` describes the one preferred.

    Raises
    ------
    CrackvizError
        Where there is none of this name, or the file isn't the one that was published (SHA-256).
    """
    published = json.loads((PRETRAINED / "models.json").read_text("utf-8"))
    if name not in published:
        raise CrackvizError(f"There is no shipped model {name!r}; choose one of {', '.join(published)}.")
    path = PRETRAINED / published[name]["file"]
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
    if digest != published[name]["sha256"]:
        raise CrackvizError(
            f"{path} is not the published file (SHA-256 {digest[:12]}…, expected "
            f"{published[name]['sha256'][:12]}…). Install crackviz again."
        )
    model = load(path)
    if read_metadata(path) is None:
        known = ("class_names", "image_size", "preprocessing", "trained_on")
        annotate(model, **{key: published[name][key] for key in known})
    return model


def fingerprints(table: pd.DataFrame) -> np.ndarray:
    """Return a number for each picture of a scanned table: uint64 (N,), equal for equal difference hashes."""
    return np.array(
        [int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big") for value in table["hash"]], np.uint64
    )


def seen_by_pretrained(table: pd.DataFrame, name: str = PREFERRED) -> np.ndarray:
    """Tell which pictures the shipped model was trained or validated on.

    Parameters
    ----------
    table : pandas.DataFrame
        With the column ``hash`` of :func:`crackviz.data.scan`.
    name : str
        The shipped model.

    Returns
    -------
    numpy.ndarray
        bool (N,). A picture counts as seen if its difference hash is that of one that was.
    """
    return np.isin(fingerprints(table), np.load(PRETRAINED / f"{name}.seen.npy"))


def chosen(folder: str | Path, name: str = PREFERRED, network: str = "") -> tuple[Path | None, str]:
    """Say which trained network is meant: that of a run folder, a shipped one, or another.

    Parameters
    ----------
    folder : str or Path
        Run folder.
    name : str
        The shipped network that is meant where the folder holds none.
    network : str
        Where it isn't "", this one in their place: a file, another run folder, or the name of a shipped one.

    Returns
    -------
    (Path or None, str)
        File or folder to load and "", or None and the name of a shipped network.

    Raises
    ------
    CrackvizError
        If `network` is none of the three.
    """
    if not network:
        return (Path(folder), "") if find(folder) else (None, name)
    published = json.loads((PRETRAINED / "models.json").read_text("utf-8"))
    if network in published:
        return None, network
    path = Path(network).expanduser()
    if path.is_file() or find(path):
        return path, ""
    raise CrackvizError(
        f"There is no trained network {network!r}: expected a .keras or .h5 file, a run folder with model.keras in it, "
        f"or a shipped one: {', '.join(published)}."
    )


def load_or_pretrained(folder: str | Path, name: str = PREFERRED, network: str = "") -> tuple[keras.Model, str]:
    """Load the network that :func:`chosen` finds.

    Returns
    -------
    (keras.Model, str)
        The model, and a sentence that says where it comes from.
    """
    path, shipped = chosen(folder, name, network)
    if path is None:
        why = "" if network else ": this run has trained none (notebook 02)"
        return load_pretrained(shipped), f"{shipped}, as it comes with crackviz{why}"
    model = load(path)
    return model, f"{model.name}, {f'from {path.name}' if network else 'trained in this run'}"
