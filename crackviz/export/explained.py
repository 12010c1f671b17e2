"""A network with two outputs, its probability and its exact map, and what has to be known to use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import crackviz
from crackviz import CrackvizError, contracts, models
from crackviz.attribution.network import adds_up, check_network, default_layer, logits, map_layers
from crackviz.models.graph import ending, tail, walk
from crackviz.models.shipped import PRETRAINED, shipped_as

FREE = "free"
"""The image size of a file that takes pictures of any size."""
Size = int | str | None


@dataclass(frozen=True, eq=False)
class Explained:
    """What is exported: the network with both outputs, and what goes along with it.

    Attributes
    ----------
    model : keras.Model
        From ``image`` (N, H, W, 3) float32 in [0, 1] to ``probability`` (N, 1) or (N, k) and, unless it was left out,
        ``map`` (N, h, w), logits per cell for label 1; (N, h, w, k) for k > 2 classes.
    source : keras.Model
        The network that it was made of: flat, with one logit for two classes.
    bias : numpy.ndarray
        float32 (1,) or (k,): the part of the logits that no cell accounts for.
    image_size : int or None
        Side of the pictures in px; None takes any.
    about : dict
        What goes into the file: JSON values.
    """

    model: keras.Model
    source: keras.Model
    bias: np.ndarray
    image_size: int | None
    about: dict[str, Any]

    @property
    def has_map(self) -> bool:
        """Whether it has the output ``map``."""
        return "map" in self.model.output

    def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Return what Keras answers, by output, for `images` float32 (N, H, W, 3) in [0, 1]."""
        return in_parts(lambda some: self.model(some, training=False), images)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Return Keras' logits of `images`: float32 (N,), or (N, k)."""
        return logits(self.source, images)

    @property
    def text(self) -> str:
        """``about`` as JSON."""
        return json.dumps(self.about, ensure_ascii=False, indent=1)


def in_parts(answer: Callable[[np.ndarray], dict[str, Any]], images: np.ndarray) -> dict[str, np.ndarray]:
    """Return what `answer` says of images, by output, sixteen of them at a time."""
    parts = [answer(images[i : i + 16]) for i in range(0, len(images), 16)]
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}


class _PerCell(keras.layers.Layer):
    """The weighted sums of the cells as the map: divided by their number, which may differ from picture to picture."""

    def call(self, sums: Any) -> Any:
        shape = tf.shape(sums)
        cells = sums / tf.cast(shape[1] * shape[2], sums.dtype)
        return tf.squeeze(cells, -1) if sums.shape[-1] == 1 else cells

    def compute_output_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return shape[:3] if shape[-1] == 1 else shape


def explained(model: keras.Model, image_size: Size = None, *, with_map: bool = True, licence: str = "") -> Explained:
    r"""Give a network a second output: its map, exact, without a gradient.

    The logit is a weighted average of the last map's channels plus a bias, so a 1 x 1 convolution by
    :math:`w_k / hw` *is* Grad-CAM there, and sums to the logit less the bias. ``THEORY.md`` T6.

    Parameters
    ----------
    model : keras.Model
        Any that crackviz can follow; of two classes or more.
    image_size : int, "free" or None
        Side of the square pictures in px; "free" takes any size; None keeps the network's own.
    with_map : bool
        False leaves the map out.
    licence : str
        Under which the network may be used; by default that of crackviz for its own networks, else "not stated".

    Raises
    ------
    CrackvizError
        Where no exact map exists (the reason is said), the size can't be had, or weights are NaN or infinite.
    """
    if image_size is not None and image_size != FREE:
        contracts.check_number("image_size", image_size, 8, 4096, whole=True)  # type: ignore[type-var]
    contracts.check_flag("with_map", with_map)
    check_network(model)
    source = models.one_logit(model)
    shipped = shipped_as(source)
    side = None if image_size == FREE else image_size
    if image_size is not None and source.inputs[0].shape[1] != side:
        source = models.resized(source, side)  # type: ignore[arg-type]
    if ending(source) not in ("sigmoid", "softmax"):
        raise CrackvizError(f"{model.name!r} ends in {ending(source)}; a probability is made by sigmoid or softmax.")
    dense = tail(source).layer
    outputs = {"probability": source.outputs[0]}
    if with_map:
        outputs["map"] = _map(source, dense)
    bias = dense.bias.numpy() if dense.use_bias else np.zeros(dense.units, np.float32)
    two = keras.Model(source.inputs[0], outputs, name=source.name)
    about = _about(source, with_map, bias, shipped, licence)
    return Explained(two, source, bias, source.inputs[0].shape[1], about)


def _map(source: keras.Model, dense: Any) -> Any:
    reason = adds_up(source)
    if reason:
        raise CrackvizError(
            f"The map of {source.name!r} isn't exact: {reason}. Export it without a map (with_map=False, --no-map), or "
            f"take a network whose evidence is averaged, such as {models.PREFERRED}."
        )
    sums = keras.layers.Conv2D(dense.units, 1, use_bias=False, name="sums", dtype="float32")
    cells = sums(map_layers(source)[default_layer(source)])
    sums.set_weights([dense.kernel.numpy()[np.newaxis, np.newaxis]])
    return _PerCell(name="map", dtype="float32")(cells)


def _about(source: keras.Model, with_map: bool, bias: np.ndarray, shipped: str, licence: str) -> dict[str, Any]:
    """Return what a program or a person has to know to use the file."""
    known = models.metadata(source)
    layer = walk(source)[default_layer(source)].output if with_map else None
    lines = {
        "network": source.name,
        "shipped_as": shipped,
        "made_by": f"crackviz {crackviz.__version__}",
        "input": "image: float32 (N, height, width, 3), RGB, 0 to 1; 8-bit samples divided by 255",
        "resizing": "upright by EXIF; to a square by an antialiased triangle filter (Pillow's BILINEAR), before the "
        f"division; crackviz preprocessing version {known.preprocessing}",
        "probability": "float32 (N, 1) of label 1, or (N, k)",
    }
    about = asdict(known) | lines | {"class_names": list(known.class_names), "side": source.inputs[0].shape[1]}
    if layer is not None:
        about["map"] = "float32 (N, rows, columns), logits per cell for label 1; k > 2 classes come last. Its sum plus "
        about["map"] += "the bias is the logit"
        about["bias"] = [float(value) for value in bias]
        about["map_size"] = [layer.shape[1], layer.shape[2]]
    about["licence"] = licence or ("MIT (crackviz)" if shipped else "not stated")
    return about


def limits_in_words(about: dict[str, Any]) -> list[str]:
    """Return the limits of a network in plain words, one a line: its card's, or what holds for any."""
    card = _card(about["shipped_as"])
    found = card.split("## In plain words\n", 1)[1].split("\n## ")[0] if "## In plain words\n" in card else ""
    limits = [line[2:].strip() for line in found.splitlines() if line.startswith("- ")]
    return limits or [
        "Nothing is known here about where this network fails: it didn't come with crackviz.",
        "It knows pictures like those that trained it. On others its answer can be wrong and sure.",
        "A whole photograph is not a patch: ask about squares in which a crack is 1 to 14 pixels wide.",
        "It is no tool for deciding whether a structure is safe.",
    ]


def _card(shipped: str) -> str:
    """Return the text of a shipped network's model card; "" for another one."""
    if not shipped:
        return ""
    name = "MODEL_CARD.md" if shipped == models.PREFERRED else f"MODEL_CARD_{shipped}.md"
    return (PRETRAINED / name).read_text("utf-8")
