"""The trained networks that come with the package, and which network is meant."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import ROOT, CrackvizError
from crackviz.contracts import check_choice
from crackviz.files import as_path, check_published, file_hash
from crackviz.models.building import one_logit
from crackviz.models.known import annotate, metadata
from crackviz.models.saving import load, model_file, read_metadata

PRETRAINED = ROOT / "pretrained"
PREFERRED = "local_cnn"
"""The shipped model that is meant where none is named."""


def _published() -> dict[str, dict[str, Any]]:
    try:
        found = dict(json.loads((PRETRAINED / "models.json").read_text("utf-8")))
        for entry in found.values():
            _ = entry["file"] + entry["sha256"] + entry["seen_sha256"]
        _ = found[PREFERRED]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CrackvizError(
            f"{PRETRAINED / 'models.json'}, the list of shipped networks, can't be read ({error!r:.100}). Install "
            "crackviz again."
        ) from error
    return found


def load_pretrained(name: str = PREFERRED) -> keras.Model:
    """Load a model that comes with crackviz; ``crackviz/pretrained/MODEL_CARD.md`` describes the one preferred.

    A CrackvizError where there is none of this name, or the file isn't the one that was published (SHA-256).
    """
    published = _published()
    check_choice("The shipped network's name", name, published)
    path = check_published(PRETRAINED / published[name]["file"], published[name]["sha256"])
    model = load(path)
    if read_metadata(path) is None:
        known = ("class_names", "image_size", "preprocessing", "trained_on")
        annotate(model, **{key: published[name][key] for key in known})
    return model


def shipped_as(model: keras.Model) -> str:
    """Return the name of the shipped network that has the name and the weights of `model`, or ""."""
    if model.name not in _published():
        return ""
    theirs, ours = load_pretrained(model.name).get_weights(), model.get_weights()
    same = len(theirs) == len(ours) and all(np.array_equal(a, b) for a, b in zip(theirs, ours, strict=True))
    return model.name if same else ""


def fingerprints(table: pd.DataFrame) -> np.ndarray:
    """Return a number for each picture of a scanned table: uint64 (N,), equal for equal difference hashes."""
    return np.array(
        [int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big") for value in table["hash"]], np.uint64
    )


def seen_by_pretrained(table: pd.DataFrame, name: str = PREFERRED) -> np.ndarray:
    """Tell which pictures of a scanned table the shipped model was trained or validated on: bool (N,).

    A picture counts as seen if its difference hash is that of one that was. Raises as :func:`load_pretrained` does.
    """
    published = _published()
    check_choice("The shipped network's name", name, published)
    path = check_published(PRETRAINED / f"{name}.seen.npy", published[name]["seen_sha256"])
    return np.isin(fingerprints(table), np.load(path))


@dataclass(frozen=True)
class Network:
    """The trained network that is meant, as :func:`find` returns it."""

    path: Path
    """The file, or the run folder that holds it."""
    shipped: str = ""
    """Its name, if it comes with crackviz."""
    named: bool = False
    """Whether it was asked for, and doesn't belong to the run or stand in for the run's."""

    @cached_property
    def _model(self) -> keras.Model:
        return one_logit(load_pretrained(self.shipped) if self.shipped else load(self.path))

    @property
    def identity(self) -> str:
        """What tells its weights from others: its name, if it comes with crackviz, else its file's hash (SHA-256)."""
        file = self.path if self.path.is_file() else model_file(self.path)
        try:
            return self.shipped or file_hash(file or self.path)
        except OSError as error:
            raise CrackvizError(f"{self.path} can't be read: {error.strerror or error}.") from error

    def load(self) -> keras.Model:
        """Return the model, with one logit where it tells two classes apart (:func:`crackviz.models.one_logit`).

        It is read from its file at the first call. Raises as :func:`load` does.
        """
        return self._model

    @property
    def foreign(self) -> str:
        """Why findings on the networks of the series needn't hold for this one: it was made elsewhere. Else ""."""
        if self.shipped or metadata(self.load()).trained_on:
            return ""
        return "it was found on the networks of this series, and this one was made elsewhere"

    @property
    def origin(self) -> str:
        """Where it comes from, in words."""
        if self.shipped:
            why = "" if self.named else ": this run has trained none (notebook 02)"
            return f"{self.shipped}, as it comes with crackviz{why}"
        given = metadata(self.load()).input_range or (0, 1)
        scaled = f"; pictures are scaled to {given[0]:g} … {given[1]:g} for it" if given != (0, 1) else ""
        return f"{self.load().name}, {f'from {self.path.name}' if self.named else 'trained in this run'}{scaled}"


def find(folder: str | Path, name: str = PREFERRED, network: str = "") -> Network:
    """Find the trained network that is meant: that of a run folder, a shipped one, or another.

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
    Network
        :func:`crackviz.training.unseen` tells which test pictures are new to it.

    Raises
    ------
    CrackvizError
        If `network` is none of the three.
    """
    if not network:
        return Network(Path(folder)) if model_file(folder) else Network(PRETRAINED, name)
    published = _published()
    if network in published:
        return Network(PRETRAINED, network, named=True)
    path = Path(os.path.expanduser(as_path("network", network)))  # noqa: PTH111 - it takes any text
    if path.is_file() or model_file(path) or (path / "saved_model.pb").is_file():  # the last one load refuses
        return Network(path, named=True)
    raise CrackvizError(
        f"There is no trained network {network!r}: expected a .keras or .h5 file, a run folder with model.keras in it, "
        f"or a shipped one: {', '.join(published)}."
    )
