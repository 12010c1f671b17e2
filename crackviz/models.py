"""CNN definitions, saving and loading (``THEORY.md`` T2).

Every network of this module is a flat functional model of the form ::

    image in [0, 1] -> [Conv2D + ReLU (+ MaxPooling2D)] x n -> GlobalAveragePooling2D
                    -> Dense(1, name="logit") -> Activation("sigmoid", name="probability")

so the logit is a weighted average of the last activation maps plus a bias, and a class activation map adds up
to it exactly (``THEORY.md`` T6). With k > 2 classes there are k logits and a softmax.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import absl.logging
import keras
import numpy as np
import pandas as pd
from keras import layers

from crackviz import CrackvizError

PRETRAINED = Path(__file__).parent / "pretrained"

Block = tuple[int, int, int, bool]
"""Filters, kernel size, stride, max-pooling after it."""


def _gap_network(blocks: Sequence[Block], name: str, image_size: int | None, n_classes: int, seed: int) -> keras.Model:
    if n_classes < 2:
        raise CrackvizError(f"n_classes is {n_classes}; a classifier needs at least 2 classes.")
    shrinks = 1
    for _, _, stride, pooled in blocks:
        shrinks *= stride * (2 if pooled else 1)
    if image_size is not None and image_size < 2 * shrinks:
        raise CrackvizError(
            f"image_size is {image_size}; {name} halves the image down to 1/{shrinks}, so it needs at least "
            f"{2 * shrinks} px to keep a map of 2 x 2 cells."
        )
    seeds = iter(range(1000 * seed, 1000 * seed + len(blocks) + 1))
    inputs = x = keras.Input((image_size, image_size, 3), name="image")
    for number, (filters, kernel, stride, pooled) in enumerate(blocks, start=1):
        x = layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(seed=next(seeds)),
            name=f"conv{number}",
        )(x)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(
        1 if n_classes == 2 else n_classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed=next(seeds)),
        name="logit",
    )(x)
    outputs = layers.Activation("sigmoid" if n_classes == 2 else "softmax", name="probability")(x)
    return keras.Model(inputs, outputs, name=name)


def gap_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the smallest network that does the job: two convolutions and an average.

    Conv2D(16) + ReLU, MaxPooling2D, Conv2D(32) + ReLU, MaxPooling2D, GlobalAveragePooling2D, one logit: 5,121
    weights. A cell of its last map is 4 px wide and sees 10 px, so it knows texture and edges, not shapes.

    Parameters
    ----------
    image_size : int or None
        Side of the square input in px, at least 8 and best a multiple of 4; None takes any size.
    n_classes : int
        2 gives one logit and a sigmoid (probability of class 1), k > 2 gives k logits and a softmax.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        Input (N, image_size, image_size, 3) float32 in [0, 1]; output (N, 1) probability, or (N, k).

    Raises
    ------
    CrackvizError
        Where the image is too small or there are fewer than two classes.

    Notes
    -----
    Lin, Chen, Yan: *Network in Network*, ICLR 2014 (global average pooling). ``THEORY.md`` T2.
    """
    return _gap_network([(16, 3, 1, True), (32, 3, 1, True)], "gap_cnn", image_size, n_classes, seed)


def gap_cnn_deep(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the deeper sibling of :func:`gap_cnn`: four convolutions, then the same average and logit.

    The first convolution has stride 2 and a 4 x 4 kernel: with "same" padding an even kernel pads both sides of
    an even-sized image alike, so that no map is shifted against the image. A cell of the last map is 8 px wide
    and sees 38 px: enough to tell a crack from a pore or a stain.

    Parameters
    ----------
    image_size : int or None
        Side of the square input in px, at least 16 and best a multiple of 8, so that the cells of the last map cover
        the image exactly; None takes any size.
    n_classes : int
        2 gives one logit and a sigmoid (probability of class 1), k > 2 gives k logits and a softmax.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        Input (N, image_size, image_size, 3) float32 in [0, 1]; output (N, 1) probability, or (N, k).

    Raises
    ------
    CrackvizError
        Where the image is too small or there are fewer than two classes.

    Notes
    -----
    ``THEORY.md`` T2.
    """
    blocks = [(16, 4, 2, False), (32, 3, 1, True), (48, 3, 1, True), (64, 3, 1, False)]
    return _gap_network(blocks, "gap_cnn_deep", image_size, n_classes, seed)


MODELS = {"gap_cnn": gap_cnn, "gap_cnn_deep": gap_cnn_deep}
"""The networks by name, as :func:`build` takes it."""


def build(name: str, image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the network called `name` (a key of :data:`MODELS`); see :func:`gap_cnn` for the arguments.

    Raises
    ------
    CrackvizError
        Where there is no network of this name.
    """
    if name not in MODELS:
        raise CrackvizError(f"There is no network {name!r}; choose one of {', '.join(MODELS)}.")
    return MODELS[name](image_size, n_classes=n_classes, seed=seed)


def save(model: keras.Model, folder: str | Path, name: str = "model") -> tuple[Path, Path]:
    """Save `model` as ``<name>.keras`` and ``<name>.h5``; each file appears whole or not at all.

    The ``.keras`` file comes first: Keras 3.15 strips the optimizer while it writes the ``.h5``.

    Parameters
    ----------
    model : keras.Model
    folder : path
        Made where it doesn't exist.
    name : str
        File name without its ending.

    Returns
    -------
    (Path, Path)
        The ``.keras`` and the ``.h5`` file.

    Raises
    ------
    CrackvizError
        Where the folder can't be written, or the disk is full.
    """
    folder = Path(folder)
    targets = folder / f"{name}.keras", folder / f"{name}.h5"
    part = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # HDF5 floods stderr when it meets a full disk, so the space is looked for first.
        need, there = 3 * sum(weight.nbytes for weight in model.get_weights()) + 2**20, shutil.disk_usage(folder).free
        if there < need:
            raise OSError(f"{there / 2**20:.0f} MiB are left on the disk, {need / 2**20:.0f} MiB are needed")
        part = Path(tempfile.mkdtemp(prefix=f".{name}-", suffix=".part", dir=folder))
        for target in targets:
            with _without_advice():
                model.save(part / target.name)
        for target in targets:
            (part / target.name).replace(target)
    except (OSError, RuntimeError) as error:  # h5py reports a full disk as RuntimeError
        raise CrackvizError(
            f"The model could not be saved in {folder}: {error}. Is there space, and may it be written?"
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
    return targets


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep Keras from advising against H5 in every notebook: it is written on purpose, beside the new format."""
    level = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        yield
    finally:
        absl.logging.set_verbosity(level)


def find(folder: str | Path) -> Path | None:
    """Return the model file of a run folder, ``model.keras`` before ``model.h5``; None where it holds neither."""
    files = (Path(folder) / name for name in ("model.keras", "model.h5"))
    return next((path for path in files if path.is_file()), None)


def load(path: str | Path, *, image_size: int | None = None) -> keras.Model:
    """Load a model from a ``.keras`` or ``.h5`` file, or from the run folder that holds one.

    Parameters
    ----------
    path : path
        A file, or a folder with ``model.keras`` or ``model.h5`` in it.
    image_size : int, optional
        Side in px of the images that it will get; refused where the model was made for another one.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    CrackvizError
        Where there is no such file, it is damaged, holds no whole model (weights only), contains code (a Lambda
        layer: never run from a file), doesn't take RGB images, or takes images of another size.
    """
    path = Path(path)
    if path.is_dir():
        found = find(path)
        if found is None:
            raise CrackvizError(
                f"{path} holds neither model.keras nor model.h5. Train one (notebook 02), or name a file."
            )
        path = found
    if not path.is_file():
        raise CrackvizError(f"There is no model file {path}. Train one (notebook 02), or name another file.")
    if path.suffix.lower() not in (".keras", ".h5", ".hdf5"):
        raise CrackvizError(f"{path} is no model file: expected a name that ends in .keras, .h5 or .hdf5.")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, h5py and zipfile each raise their own kinds for a damaged file
        raise CrackvizError(
            f"{path} could not be read as a model ({type(error).__name__}: {str(error).splitlines()[0]}). "
            "Expected a whole Keras model saved by model.save(); the file may be damaged, hold weights only, or "
            "contain a Lambda layer. Save or copy it again."
        ) from error
    shape = model.inputs[0].shape
    if len(model.inputs) != 1 or len(shape) != 4 or shape[-1] != 3:
        raise CrackvizError(f"{path} takes input of shape {tuple(shape)}; expected one RGB image (N, H, W, 3).")
    if image_size is not None and shape[1:3] != (None, None) and shape[1:3] != (image_size, image_size):
        raise CrackvizError(
            f"{path} was made for images of {shape[1]} x {shape[2]} px, but image_size is {image_size}. "
            f"Set image_size to {shape[1]}, or train a model of that size."
        )
    return model


def image_size(model: keras.Model) -> int | None:
    """Return the side in px of the square images that `model` takes; None where it takes any."""
    return model.inputs[0].shape[1]


def load_pretrained(name: str = "gap_cnn_deep") -> keras.Model:
    """Load the model that comes with crackviz; ``crackviz/pretrained/MODEL_CARD.md`` describes it.

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
    return load(path)


def fingerprints(table: pd.DataFrame) -> np.ndarray:
    """Return a number for each picture of a scanned table: uint64 (N,), equal for equal difference hashes."""
    return np.array(
        [int.from_bytes(hashlib.blake2b(value, digest_size=8).digest(), "big") for value in table["hash"]], np.uint64
    )


def seen_by_pretrained(table: pd.DataFrame, name: str = "gap_cnn_deep") -> np.ndarray:
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


def load_or_pretrained(folder: str | Path) -> tuple[keras.Model, str]:
    """Load the model of a run folder, or the shipped one where the folder holds none.

    Returns
    -------
    (keras.Model, str)
        The model, and a sentence that says where it comes from.
    """
    if find(folder):
        model = load(folder)
        return model, f"{model.name}, trained in this run"
    model = load_pretrained()
    return model, f"{model.name}, as it comes with crackviz: this run has trained none (notebook 02)"


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
