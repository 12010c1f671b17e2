"""Export: made, run, held against Keras, and only then given its name."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError, contracts, models
from crackviz.attribution.network import check_images, check_network
from crackviz.evaluation.predictions import Predictions
from crackviz.export import html, litert, onnx, saved_model
from crackviz.export.checking import Agreement, Run, compare, pictures
from crackviz.export.explained import Explained, Size, explained
from crackviz.files import as_path, replacing
from crackviz.models.graph import images_of

FORMATS = {"html": ".html", "litert": ".tflite", "onnx": ".onnx", "saved_model": ""}
"""The formats, and the ends of their files' names; a SavedModel is a folder."""
QUANTIZED = {"litert": ("float16", "dynamic", "int8"), "html": ("float16",)}
"""How weights can be stored in fewer bits: as float16, in a page with its 11 digits and the exponents of float32; as
int8, with activations "dynamic"; or both int8."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes
    ----------
    path : Path
    format : str
    size : int
        Bytes.
    agreement : Agreement or None
        The file against Keras; None where nothing here could run it (a page, without a browser).
    about : dict
        The metadata inside it.
    """

    path: Path
    format: str
    size: int
    agreement: Agreement | None
    about: dict[str, Any]


def export(
    model: keras.Model,
    path: str | Path,
    format: str = "",
    *,
    image_size: Size = None,
    with_map: bool = True,
    quantize: str = "",
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> Exported:
    """Write a network and its exact map for another program; a line says how far the file's answers are from Keras'.

    Parameters
    ----------
    model : keras.Model
    path : path
        The file, or for a SavedModel the folder. An older one is replaced.
    format : str
        "html", "litert", "onnx" or "saved_model"; by default the end of the name tells.
    image_size : int, "free" or None
        Side of the pictures in px, "free" for any (not of a page); None is the network's own, or the one that it was
        trained on.
    with_map : bool
        False leaves the map out; networks without an exact map are refused otherwise.
    quantize : str
        "" stores the weights as they are, in a page with so many of their 24 binary digits (20 or more) that the
        answers stay. "float16", and for LiteRT "dynamic" and "int8", store fewer bits; what that costs is said, and
        nothing is refused for it.
    images : float32 (N, H, W, 3) in [0, 1], optional
        Pictures of yours for the check, and for the activations' ranges of "int8"; by default drawn patches.
    labels : int (N,), optional
        Theirs, for the accuracy.

    Returns
    -------
    Exported

    Raises
    ------
    CrackvizError
        Where the network can't be exported so, a package is missing, the target can't be written, or the file answers
        otherwise than Keras; then nothing is left of it.
    """
    path = as_path("out", path)
    format = _format(path, format)
    if quantize:
        allowed = QUANTIZED.get(format, ())
        if quantize not in allowed:
            kinds = ", ".join(allowed) or "nothing but the weights as they are"
            raise CrackvizError(f"quantize is {quantize!r}; {format} takes {kinds}.", "quantize")
    if labels is not None and images is None:
        raise CrackvizError("Labels without images: give the images, too.", "labels")
    check_network(model)
    _check_target(path, format)
    _check_packages(format)
    if format == "html" and image_size is None and images_of(model).shape[1] is None:
        image_size = models.metadata(model).image_size or 128
    made = explained(model, image_size, with_map=with_map)
    given = pictures(made.image_size) if images is None else check_images(made.source, images)
    labels = None if labels is None else Predictions(labels, made(given)["probability"]).labels
    with tempfile.TemporaryDirectory(prefix="crackviz-") as place:
        part = Path(place) / f"crackviz{FORMATS[format]}"
        with _converting(made, format):
            _writers(quantize, given)[format](made, part)
        run = runner(part, format, made)
        agreement = None if run is None else compare(made, run, given, labels)
        if agreement and (agreement.off if not quantize else not np.isfinite(agreement.logit)):
            raise CrackvizError(
                f"The {format} file of {model.name!r} is off, and isn't written: {agreement}. Please report it, with "
                "the versions of tensorflow and of the format's packages."
            )
        _move(part, path)
    found = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in found)
    kind = f", {quantize}" if quantize else ""
    said = f"against Keras {agreement}" if agreement else html.UNCHECKED
    print(f"{path}: {format}{kind}, {size / 1000:,.0f} kB; {said}.")
    return Exported(path, format, size, agreement, made.about)


@contextmanager
def _converting(made: Explained, format: str) -> Iterator[None]:
    """Turn what a converter raises, nearly anything, into a CrackvizError; its log would fill the screen."""
    try:
        yield
    except (CrackvizError, MemoryError):
        raise
    except Exception as error:
        half = {layer.compute_dtype for layer in made.source.layers} - {"float32"}
        how = (
            f"Its layers compute in {', '.join(sorted(half))}: build it in float32." if half else "Take another format."
        )
        reason = " ".join(str(error).split())[:200]
        raise CrackvizError(f"{made.source.name!r} can't be written as {format} ({reason}). {how}", "format") from error


def _writers(quantize: str, images: np.ndarray) -> dict[str, Callable[[Explained, Path], None]]:
    return {
        "html": lambda made, path: html.write(made, path, quantize),
        "litert": lambda made, path: litert.write(made, path, quantize, images),
        "onnx": onnx.write,
        "saved_model": saved_model.write,
    }


def runner(path: str | Path, format: str = "", made: Explained | None = None) -> Run | None:
    """Return a function from images to answers, run by a file's own runtime: ai-edge-litert, onnxruntime, TensorFlow.

    A page is run by Chromium, and needs `made`, what it was made of; None where there is none. A CrackvizError where
    the format's packages are missing.
    """
    path = as_path("path", path)
    format = _format(path, format)
    _check_packages(format)
    if not path.exists():
        raise CrackvizError(f"There is no file {path}. Export it: crackviz export.")
    if format == "html":
        if made is None:
            raise CrackvizError("A page is run with what it was made of: runner(path, made=export.explained(model)).")
        return html.runner(path, made)
    try:
        return {"litert": litert.runner, "onnx": onnx.runner, "saved_model": saved_model.runner}[format](path)
    except Exception as error:  # each runtime has its own kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise CrackvizError(f"{path} can't be read as {format} ({reason}). Export it again.") from error


def _format(path: Path, format: str) -> str:
    ends = {end: kind for kind, end in FORMATS.items()}
    end = path.name if path.name in ends else path.suffix  # of a file called .html, too
    if not format and end not in ends:
        raise CrackvizError(
            f"The end of {path.name} names no format: expected {', '.join(filter(None, ends))}, none for a folder "
            f"(SavedModel), or format, one of {', '.join(FORMATS)}.",
            "format",
        )
    format = format or ends[end]
    contracts.check_choice("format", format, FORMATS)
    if end and ends.get(end, format) != format:
        raise CrackvizError(f"{path.name} ends as {ends[end]}, and the format is {format}. Give one of them.", "format")
    return format


def _check_packages(format: str) -> None:
    needed = {"litert": litert.NEEDS, "onnx": onnx.NEEDS}.get(format, ())
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise CrackvizError(
            f"The format {format} needs {' and '.join(missing)}, not installed here. Install crackviz with its extra: "
            "pip install 'crackviz[export]'."
        )


def _check_target(path: Path, format: str) -> None:
    if not path.parent.is_dir():
        raise CrackvizError(f"There is no folder {path.parent}: make it, or name another file.", "out")
    if format != "saved_model" and path.is_dir():
        raise CrackvizError(f"{path} is a folder; expected the name of a file{FORMATS[format]}.", "out")
    ours = path.is_dir() and ((path / "saved_model.pb").is_file() or not any(path.iterdir()))
    if format == "saved_model" and path.exists() and not ours:
        raise CrackvizError(f"{path} is there and no SavedModel: it isn't replaced. Name another folder.", "out")


def _move(part: Path, path: Path) -> None:
    """Put what was made at its place, whole or not at all."""
    with replacing(path) as beside:
        if not part.is_dir():
            shutil.copyfile(part, beside)
            return
        try:
            shutil.copytree(part, beside)
            if path.is_dir():
                shutil.rmtree(path)  # a folder isn't replaced by a full one
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            raise
