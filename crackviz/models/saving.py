"""Model files: what is kept in them beside the network, and that they are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import absl.logging
import h5py
import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES, PREPROCESSING
from crackviz.files import as_path, short_hash
from crackviz.models.foreign import UNIT, adapted, check_range, wanted_range
from crackviz.models.graph import images_of, input_of, walk
from crackviz.models.known import KNOWN, TURNED_ROUND, Metadata, annotate, check_fit, metadata
from crackviz.models.reading import read

DIGEST = "crackviz_weights"
"""Name of the attribute of an .h5 file that holds a hash of the weights: unlike a .keras file, it has none itself."""
KEPT_AS = "crackviz"
"""Name of the metadata in a file: an attribute of the H5 root, a member ``crackviz.json`` of the ``.keras`` archive."""


def save(model: keras.Model, folder: str | Path, name: str = "model") -> tuple[Path, ...]:
    """Save `model` as ``<name>.keras`` and ``<name>.h5``; each file appears whole or not at all.

    What :func:`metadata` tells of the model goes into both files, whose paths are returned. The older format can't hold
    operations outside layers, such as those of ``preprocess_input``; there the .h5 is left out, with a warning.
    `folder` is made where it doesn't exist. A CrackvizError where it can't be written, or the disk is full.
    """
    folder = Path(folder)
    # The .keras file comes first: Keras 3.15 strips the optimizer while it writes the .h5.
    targets: tuple[Path, ...] = (folder / f"{name}.keras", folder / f"{name}.h5")
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
        with h5py.File(part / targets[1].name, "a") as file:
            file.attrs[DIGEST] = _digest(model)
        if not _is_plain(model) and not _is_read(part / targets[1].name):
            targets[1].unlink(missing_ok=True)  # it would be an older network's
            targets = targets[:1]
            warnings.warn(
                f"{model.name!r} is saved as {targets[0].name} alone: its .h5 could not be read again, since that "
                "format holds Keras' own layers only.",
                stacklevel=2,
            )
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


def _digest(model: keras.Model) -> str:
    """Return a hash of a network's weights, in whichever order."""
    return short_hash(*sorted(hashlib.sha256(np.asarray(w).tobytes()).hexdigest() for w in model.get_weights()))


def _check_weights(path: Path, model: keras.Model) -> None:
    """Raise a CrackvizError where an .h5 file holds other weights than were saved: a bit of it has turned."""
    if path.suffix.lower() != ".keras":
        with h5py.File(path) as file:
            known = file.attrs.get(DIGEST)
        if known is not None and known != _digest(model):
            raise CrackvizError(
                f"{path} is damaged: its weights aren't those that were saved. Copy it again, or take the .keras file "
                "beside it."
            )


def _is_plain(model: keras.Model) -> bool:
    """Tell whether a network is built of nothing but Keras' own layers."""
    layers = (getattr(step.layer, "layer", step.layer) for step in walk(model).values())
    return all(
        _is_plain(layer) if isinstance(layer, keras.Model) else type(layer).__module__.startswith("keras.src.layers")
        for layer in layers
    )


def _is_read(path: Path) -> bool:
    try:
        read(path)
    except CrackvizError:
        return False
    return True


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


def load(
    path: str | Path,
    *,
    image_size: int | None = None,
    class_names: Sequence[str] | None = None,
    input_range: tuple[float, float] | None = None,
) -> keras.Model:
    """Load a model from a ``.keras`` or ``.h5`` file, or from the run folder that holds one.

    What the file tells of itself is checked, and handed on to :func:`metadata`. A file that was made elsewhere tells
    nothing. Whichever it is, the network that is returned takes images in [0, 1], and where it says that the crack was
    its label 0 it is turned: see :func:`crackviz.models.adapted` and :func:`annotate`.

    Parameters
    ----------
    path : path
        A file, or a folder with ``model.keras`` or ``model.h5`` in it.
    image_size : int, optional
        Side in px of the images that it will get; refused where the model was made for another one.
    class_names : sequence of str, optional
        The label map that it was trained with; refused where the file names another one. ("crack", "no_crack") says of
        a foreign file that the crack is label 0 there, and turns the network round.
    input_range : (float, float), optional
        What the black and the white of a picture were when it was trained, such as (0, 255) or (-1, 1). By default the
        file's metadata tell, or else the network's first layers.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    CrackvizError
        Where there is no such file, it can't be read (Keras' reason is given, and what to do), holds no whole model
        (weights only), contains code (a Lambda layer: never run from a file), doesn't take RGB images, or takes images
        of another size; where it was trained with another preprocessing or other labels, or contradicts itself.
    """
    path = as_path("The model", path)
    if path.is_dir():
        found = model_file(path)
        if found is None and (path / "saved_model.pb").is_file():
            raise CrackvizError(
                f"{path} is a TensorFlow SavedModel, which is compiled: it has no layers to be explained. Save the "
                'network where it was built by model.save("model.keras").'
            )
        if found is None:
            raise CrackvizError(
                f"{path} holds neither model.keras nor model.h5. Train one (notebook 02), or name a file."
            )
        path = found
    model = read(path)
    _check_weights(path, model)
    try:
        shape = tuple(input_of(model).shape)
        if len(shape) != 4 or shape[-1] != 3:
            images_of(model)
    except CrackvizError as error:
        raise CrackvizError(f"{path} doesn't hold a network that crackviz can use. {error}") from error
    if image_size is not None and shape[1:3] != (None, None) and shape[1:3] != (image_size, image_size):
        square = shape[1] == shape[2]
        how = f"Set image_size to {shape[1]}, or train" if square else "Pictures are read as squares here: train"
        raise CrackvizError(
            f"{path} was made for images of {shape[1]} x {shape[2]} px, but image_size is {image_size}. "
            f"{how} a model of that size."
        )
    known = read_metadata(path)
    if known is not None:
        check_fit(str(path), model, known)
        _check_use(path, known, class_names)
    elif class_names is not None:
        known = replace(metadata(model), class_names=tuple(class_names))
        check_fit(str(path), model, known)
    return _fitted(model, known, input_range)


def _fitted(model: keras.Model, known: Metadata | None, input_range: tuple[float, float] | None) -> keras.Model:
    """Return a network from a file made to take [0, 1] and to call the crack 1, with what is known about it."""
    asked = check_range(input_range) or (known.input_range if known else None)
    found = asked or wanted_range(model)
    fit = adapted(model, asked)
    if known is not None or fit is not model:
        base = known or metadata(model)
        KNOWN[fit] = replace(base, class_names=CLASS_NAMES if base.class_names == TURNED_ROUND else base.class_names)
        if found not in (None, UNIT):
            annotate(fit, input_range=found)
        if base.class_names == TURNED_ROUND:
            annotate(fit, class_names=TURNED_ROUND)
    return fit


def _check_use(path: Path, known: Metadata, class_names: Sequence[str] | None) -> None:
    if known.preprocessing != PREPROCESSING:
        raise CrackvizError(
            f"{path} was trained on pictures of preprocessing version {known.preprocessing}; this crackviz reads them "
            f"by version {PREPROCESSING}, so its answers would be off. Train it again, or install the crackviz "
            "that it comes from."
        )
    if class_names is not None and tuple(class_names) != known.class_names:
        raise CrackvizError(
            f"{path} was trained with the labels {', '.join(known.class_names)} (from 0 on); expected "
            f"{', '.join(class_names)}. Train it again with these, or use it with its own."
        )
