"""Model files: what is kept in them beside the network, and that they are there whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import absl.logging
import h5py
import keras

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES, PREPROCESSING

KEPT_AS = "crackviz"
"""Name of the metadata in a file: an attribute of the H5 root, a member ``crackviz.json`` of the ``.keras`` archive."""


@dataclass(frozen=True)
class Metadata:
    """What a person has to know to use a trained network; kept inside its files.

    Parameters
    ----------
    class_names : tuple of str
        The label map: the name of label 0, 1, …
    image_size : int or None
        Side in px of the square pictures that it was trained on; None where it wasn't.
    preprocessing : int
        Version of what `crackviz.data.read_image` does to a picture.
    trained_on : str
        The training data, in words; "" where it wasn't trained.
    threshold : float
        "crack" is called from this probability on; two classes only.
    temperature : float
        What the logits are divided by for calibrated probabilities; 1 where nothing was calibrated.
    """

    class_names: tuple[str, ...] = CLASS_NAMES
    image_size: int | None = None
    preprocessing: int = PREPROCESSING
    trained_on: str = ""
    threshold: float = 0.5
    temperature: float = 1.0

    def __post_init__(self) -> None:
        names = tuple(str(name) for name in self.class_names)  # JSON has lists
        object.__setattr__(self, "class_names", names)
        wrong = [
            f"{name} is {value!r}, expected {expected}"
            for name, value, fits, expected in (
                ("class_names", names, len(set(names)) == len(names) > 1, "two or more different names"),
                ("image_size", self.image_size, self.image_size is None or self.image_size > 0, "pixels, or None"),
                ("threshold", self.threshold, 0 <= self.threshold <= 1, "a probability"),
                ("temperature", self.temperature, 0 < self.temperature < float("inf"), "a number above 0"),
            )
            if not fits
        ]
        if wrong:
            raise CrackvizError(f"A model's metadata don't make sense: {'; '.join(wrong)}. Correct them.")


_KNOWN: weakref.WeakKeyDictionary[keras.Model, Metadata] = weakref.WeakKeyDictionary()


def _classes(model: keras.Model) -> int:
    return max(int(model.outputs[0].shape[-1]), 2)


def metadata(model: keras.Model) -> Metadata:
    """Return what is known about `model`: as it was trained, loaded or annotated; defaults where nothing is."""
    if model not in _KNOWN:
        count = _classes(model)
        names = CLASS_NAMES if count == 2 else tuple(f"class_{number}" for number in range(count))
        return Metadata(class_names=names, image_size=model.inputs[0].shape[1])
    return _KNOWN[model]


def annotate(model: keras.Model, **changes: Any) -> Metadata:
    """Change fields of :class:`Metadata` that are known about `model`, to be kept by :func:`save`; return all of them.

    A CrackvizError where there is no such field, or a value makes no sense or doesn't fit the network.
    """
    try:
        changed = replace(metadata(model), **changes)
    except TypeError as error:
        fields = ", ".join(Metadata.__dataclass_fields__)
        raise CrackvizError(f"A model's metadata are {fields}; got {', '.join(changes)}.") from error
    _check_fit(f"The model {model.name!r}", model, changed)
    _KNOWN[model] = changed
    return changed


def _check_fit(what: str, model: keras.Model, known: Metadata) -> None:
    if len(known.class_names) != _classes(model):
        raise CrackvizError(
            f"{what} tells {_classes(model)} classes apart, but {len(known.class_names)} are named "
            f"({', '.join(known.class_names)}). Name as many, or build it with n_classes={len(known.class_names)}."
        )
    side = model.inputs[0].shape[1]
    if None not in (side, known.image_size) and side != known.image_size:
        raise CrackvizError(
            f"{what} takes images of {side} px, but says that it was trained on {known.image_size} px. One of them is "
            "wrong: save it again from the training."
        )


def save(model: keras.Model, folder: str | Path, name: str = "model") -> tuple[Path, Path]:
    """Save `model` as ``<name>.keras`` and ``<name>.h5``; each file appears whole or not at all.

    What :func:`metadata` tells of the model goes into both files, whose paths are returned. `folder` is made where it
    doesn't exist. A CrackvizError where it can't be written, or the disk is full.
    """
    folder = Path(folder)
    # The .keras file comes first: Keras 3.15 strips the optimizer while it writes the .h5.
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
            write_metadata(part / target.name, metadata(model))
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


def write_metadata(path: Path, known: Metadata) -> None:
    """Write metadata into a model file that has none yet."""
    text = json.dumps(asdict(known))
    if path.suffix == ".keras":
        # Of one date, as Keras's own members are: the same model then gives the same file.
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo(f"{KEPT_AS}.json", (1980, 1, 1, 0, 0, 0)), text)
    else:
        with h5py.File(path, "a") as file:
            file.attrs[KEPT_AS] = text


def read_metadata(path: str | Path) -> Metadata | None:
    """Read the metadata of a model file, without the network; None where it holds none (a foreign file)."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                text = archive.read(f"{KEPT_AS}.json") if f"{KEPT_AS}.json" in names else None
        else:
            with h5py.File(path) as file:
                text = file.attrs.get(KEPT_AS)
        return None if text is None else Metadata(**json.loads(text))
    except (CrackvizError, OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise CrackvizError(f"The metadata of {path} can't be read ({error}). Save or copy it again.") from error


def model_file(folder: str | Path) -> Path | None:
    """Return the model file of a run folder, ``model.keras`` before ``model.h5``; None where it holds neither."""
    files = (Path(folder) / name for name in ("model.keras", "model.h5"))
    return next((path for path in files if path.is_file()), None)


def load(path: str | Path, *, image_size: int | None = None, class_names: Sequence[str] | None = None) -> keras.Model:
    """Load a model from a ``.keras`` or ``.h5`` file, or from the run folder that holds one.

    What the file tells of itself is checked, and handed on to :func:`metadata`. A file that was made elsewhere tells
    nothing, and is taken as it is.

    Parameters
    ----------
    path : path
        A file, or a folder with ``model.keras`` or ``model.h5`` in it.
    image_size : int, optional
        Side in px of the images that it will get; refused where the model was made for another one.
    class_names : sequence of str, optional
        The label map that it will be used with; refused where it was trained with another one.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    CrackvizError
        Where there is no such file, it is damaged, holds no whole model (weights only), contains code (a Lambda
        layer: never run from a file), doesn't take RGB images, or takes images of another size; where it was trained
        with another preprocessing or with the labels in another order, or contradicts itself.
    """
    path = Path(path)
    if path.is_dir():
        found = model_file(path)
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
    known = read_metadata(path)
    if known is not None:
        _check_fit(str(path), model, known)
        _check_use(path, known, class_names)
        _KNOWN[model] = known
    return model


def _check_use(path: Path, known: Metadata, class_names: Sequence[str] | None) -> None:
    if known.preprocessing != PREPROCESSING:
        raise CrackvizError(
            f"{path} was trained on pictures of preprocessing version {known.preprocessing}; this crackviz reads them "
            f"by version {PREPROCESSING}, so its answers would be off. Train it again, or install the crackviz "
            "that it comes from."
        )
    if class_names is None and known.class_names == CLASS_NAMES[::-1]:
        class_names = CLASS_NAMES  # "crack" as label 0 would turn every answer round, wherever it is used
    if class_names is not None and tuple(class_names) != known.class_names:
        raise CrackvizError(
            f"{path} was trained with the labels {', '.join(known.class_names)} (from 0 on); expected "
            f"{', '.join(class_names)}. Train it again with these, or use it with its own."
        )
