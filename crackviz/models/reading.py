"""Model files as people have them: read by Keras, and blamed for the right reason where they can't be."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import h5py
import keras

from crackviz import CrackvizError
from crackviz.models.networks import check_precision

SUFFIXES = (".keras", ".h5", ".hdf5")


def read(path: Path) -> keras.Model:
    """Return the model of a file, not compiled; a CrackvizError that says why where it can't be read."""
    check_precision()  # or pictures are rounded on their way to the answer, and not on that to the map
    if not path.is_file():
        raise CrackvizError(f"There is no model file {path}. Train one (notebook 02), or name another file.")
    if path.suffix.lower() not in SUFFIXES:
        raise CrackvizError(f"{path} is no model file: expected a name that ends in .keras, .h5 or .hdf5.")
    try:
        if path.suffix == path.suffix.lower():
            return keras.models.load_model(path, compile=False)
        with tempfile.TemporaryDirectory() as folder:  # Keras knows the endings in small letters only
            copy = shutil.copy(path, Path(folder) / path.with_suffix(path.suffix.lower()).name)
            return keras.models.load_model(copy, compile=False)
    except Exception as error:  # Keras, h5py and zipfile each raise their own kinds for a damaged file
        words = _reason(str(error))
        raise CrackvizError(
            f"{path} could not be read as a model ({type(error).__name__}: {words}). {_advice(path, str(error))}"
        ) from error


def saved_by(path: Path) -> str:
    """Return the version of Keras that a model file names, or "" where it names none."""
    try:
        if path.suffix.lower() == ".keras":
            with zipfile.ZipFile(path) as archive:
                return str(json.loads(archive.read("metadata.json"))["keras_version"])
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version", "")
            return version.decode() if isinstance(version, bytes) else str(version)
    except Exception:  # it is damaged, which is said elsewhere
        return ""


def _reason(message: str) -> str:
    """Return Keras' own words for what went wrong: the innermost exception, where several are quoted."""
    inner = message.rpartition("Exception encountered:")[2].strip() or message.strip()
    lines = [line.strip() for line in inner.splitlines() if line.strip()]
    return " ".join(lines)[:300] if lines else "no reason is given"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _advice(path: Path, message: str) -> str:
    """Say what to do about a file that can't be read, by what Keras says and by who wrote it."""
    version = saved_by(path)
    if "Lambda" in message:
        return "It holds a Lambda layer, which is code: that is never run from a file. Build it of Keras' own layers."
    if "No model config" in message or "no model config" in message:
        return "It holds weights only: build the network, load_weights, and save the whole by model.save()."
    if version and _numbers(version)[:1] < (3,):
        return (
            f"It was saved by Keras {version}, and this is Keras {keras.__version__}, which reads most of such files, "
            "but not this one. Build the network here, load_weights from the file, and save it by model.save()."
        )
    if version and _numbers(version) > _numbers(keras.__version__):
        return (
            f"It was saved by Keras {version}, newer than Keras {keras.__version__} here: install that, or a newer one."
        )
    unknown = re.search(r"(?:locate (?:class|function)|Unknown (?:layer|object|function):?) '([^']+)'", message)
    if unknown:
        return (
            f"It holds {unknown[1]}, which Keras doesn't know. In Python, import the module that defines it with "
            "@keras.saving.register_keras_serializable(), then models.load; or build it of Keras' own layers."
        )
    if version and path.suffix.lower() != ".keras" and "deserializ" in message:
        return "A .h5 file can't hold operations outside layers, as preprocess_input makes: save it as .keras."
    return (
        "Expected a whole Keras model saved by model.save(); the file may be damaged, or hold weights only. "
        "Save or copy it again."
    )
