"""CNN definitions, saving and loading (``THEORY.md`` T2, T10).

Every network of this module is a flat functional model that takes images in [0, 1] and ends in layers called ``logit``
and ``probability``. All but :func:`deep_cnn` are of the form ::

    image in [0, 1] -> layers that give maps -> GlobalAveragePooling2D
                    -> Dense(1, name="logit") -> Activation("sigmoid", name="probability")

so the logit is a weighted average of the last activation maps plus a bias, and a class activation map adds up
to it exactly (``THEORY.md`` T6). With k > 2 classes there are k logits and a softmax.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import ROOT, CrackvizError
from crackviz._architectures import (
    IMAGENET,
    deep_cnn,
    gap_cnn,
    gap_cnn_deep,
    imagenet_weights,
    local_cnn,
    mobilenet_v2,
    set_trainable,
)
from crackviz._saving import Metadata, annotate, find, load, metadata, read_metadata, save

__all__ = [
    "IMAGENET",
    "MODELS",
    "PREFERRED",
    "PRETRAINED",
    "Metadata",
    "annotate",
    "build",
    "chosen",
    "deep_cnn",
    "find",
    "fingerprints",
    "gap_cnn",
    "gap_cnn_deep",
    "image_size",
    "imagenet_weights",
    "load",
    "load_or_pretrained",
    "load_pretrained",
    "local_cnn",
    "metadata",
    "mobilenet_v2",
    "read_metadata",
    "resized",
    "save",
    "seen_by_pretrained",
    "set_trainable",
    "summary",
]

PRETRAINED = ROOT / "pretrained"
PREFERRED = "local_cnn"
"""The shipped model that is meant where none is named."""
MODELS: dict[str, Callable[..., keras.Model]] = {
    "gap_cnn": gap_cnn,
    "gap_cnn_deep": gap_cnn_deep,
    "deep_cnn": deep_cnn,
    "local_cnn": local_cnn,
    "mobilenet_v2": mobilenet_v2,
}
"""The networks by name, as :func:`build` takes it."""


def build(name: str, image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0, **options: Any) -> keras.Model:
    """Build the network called `name` (a key of :data:`MODELS`); see :func:`gap_cnn` for the arguments.

    Parameters
    ----------
    name : str
    image_size : int or None
    n_classes, seed : int
    **options
        Of that network alone, such as ``weights`` of :func:`mobilenet_v2`.

    Raises
    ------
    CrackvizError
        Where there is no network of this name.
    """
    if name not in MODELS:
        raise CrackvizError(f"There is no network {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name](image_size, n_classes=n_classes, seed=seed, **options)


def image_size(model: keras.Model) -> int | None:
    """Return the side in px of the square images that `model` takes; None where it takes any."""
    return model.inputs[0].shape[1]


def resized(model: keras.Model, image_size: int | None) -> keras.Model:
    """Return a copy of `model`, with the same weights, for images of another size.

    A network whose maps are averaged has no weight that depends on the size. Its answers do: a crack that is twice
    as many pixels wide is another crack to it, so the new size should show the concrete at about the same scale.

    Parameters
    ----------
    model : keras.Model
    image_size : int or None
        Side in px of the square images it shall take; None takes any.

    Returns
    -------
    keras.Model

    Raises
    ------
    CrackvizError
        Where the network is bound to its size: by a layer that flattens its maps, or paths that don't meet.
    """
    try:
        if model.name == "local_cnn":  # which layers it has depends on the size
            other = local_cnn(image_size, n_classes=max(model.output_shape[-1], 2))
        else:
            other = keras.models.clone_model(model, keras.Input((image_size, image_size, 3), name=model.inputs[0].name))
        for layer in model.layers:
            if layer.weights:
                other.get_layer(layer.name).set_weights(layer.get_weights())
    except ValueError as error:  # Keras's kind for shapes that don't fit
        raise CrackvizError(
            f"The model {model.name!r} can't be made to take {image_size} px images "
            f"({str(error).strip().splitlines()[0]}). Try a multiple of 4, or resize the images."
        ) from error
    known = metadata(model)
    annotate(other, **(asdict(known) | {"image_size": image_size or known.image_size}))
    return other


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


def summary(model: keras.Model) -> pd.DataFrame:
    """Return a table of the layers: name, kind, output shape (without N), number of weights.

    Returns
    -------
    pandas.DataFrame
    """
    rows = [
        {
            "layer": layer.name,
            "kind": type(layer).__name__,
            "output": " × ".join(map(str, tuple(layer.output.shape)[1:])),
            "weights": layer.count_params(),
        }
        for layer in model.layers
    ]
    return pd.DataFrame(rows).set_index("layer")
