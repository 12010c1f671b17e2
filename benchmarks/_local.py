"""Designs of `local_cnn` whose fixed path looks for dark lines as well as for darkness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from crackviz import CrackvizError
from crackviz.models.networks import LOCAL, Block, _convolutions, check_build, head

DIRECTIONS = 16  # 11 degrees apart: with 8, a thin line between two of them is hardly seen


@dataclass(frozen=True)
class Design:
    """What a network is made of.

    Attributes
    ----------
    dark, line : (float, float)
        Gain and margin of darkness and of lines: `gain` times what is beyond `margin`, in grey values, goes into tanh.
    around : int
        Side of the surroundings that a dark pixel is darker than, in cells of 4 px.
    lines : tuple of (int, float, float, int)
        How much smaller the picture is made before lines are looked for, 2 or 4 times, since wider lines are found in
        a smaller one; and there half a line's width, half its length, and the side of the kernel [px]. None: darkness
        alone.
    beside : float
        What is left of a dark pixel that lies on no line, in [0, 1].
    blocks : tuple of Block
        Convolutions that tell what is seen; cells of 4 px.
    about : int
        Cells over which that is averaged.
    """

    dark: tuple[float, float] = (12, 0.04)
    line: tuple[float, float] = (20, 0.03)
    around: int = 17
    lines: tuple[tuple[int, float, float, int], ...] = ((2, 0.9, 4.0, 13), (4, 1.2, 4.0, 13), (4, 2.6, 6.0, 21))
    beside: float = 0.2
    blocks: tuple[Block, ...] = tuple(LOCAL)
    about: int = 5


def line_kernels(sigma: float, length: float, size: int) -> np.ndarray:
    """Return kernels that answer to a dark line in one direction each: float32 (size, size, 1, DIRECTIONS).

    Across it the second derivative of a Gaussian, along it a Gaussian, less what answers in all directions alike, as a
    pore does. Each sums to zero, and its positive part to one, so that it answers to a line in grey values.
    """
    y, x = np.meshgrid(*[np.arange(size) - (size - 1) / 2] * 2, indexing="ij")
    found = []
    for angle in np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        kernel = (across**2 / sigma**2 - 1) * np.exp(-(across**2) / 2 / sigma**2 - along**2 / 2 / length**2)
        found.append(kernel - kernel.mean())
    kernels = np.stack(found, -1)
    kernels -= kernels.mean(-1, keepdims=True)
    return (kernels / np.maximum(kernels, 0).sum((0, 1)))[:, :, None].astype(np.float32)


def _fixed(x: Any, kernel: np.ndarray, name: str, bias: float = 0.0, activation: str | None = None) -> Any:
    """Convolve by weights that don't learn."""
    count = kernel.shape[-1]
    layer = layers.Conv2D(count, kernel.shape[:2], padding="same", trainable=False, activation=activation, name=name)
    found = layer(x)
    layer.set_weights([kernel.astype(np.float32), np.full(count, bias, np.float32)])
    return found


def _mean(x: Any, side: int, name: str) -> Any:
    """Average over `side` cells: over fewer where the map is smaller, as TensorFlow's gradient would be wrong."""
    side = min(side, (x.shape[1] or side) - 1 | 1)
    x = layers.AveragePooling2D((side, 1), strides=1, padding="same", name=f"{name}_rows")(x)
    return layers.AveragePooling2D((1, side), strides=1, padding="same", name=name)(x)


def _enlarged(x: Any, scale: int, side: int | None, name: str) -> Any:
    """Enlarge a map by `scale`, and cut off the last rows and columns, which it has too many."""
    x = layers.UpSampling2D(scale, name=name)(x)
    beyond = x.shape[1] - side if side else 0
    return layers.Cropping2D(((0, beyond), (0, beyond)), name=f"{name}_cut")(x) if beyond else x


def _where(grey: Any, design: Design) -> Any:
    """Return how much each pixel is part of a dark line: one map, 0 to 1, as large as the picture."""
    side, found = grey.shape[1], []
    small = {scale: layers.AveragePooling2D(scale, padding="same", name=f"by_{scale}")(grey) for scale in (2, 4)}
    around = _enlarged(_mean(small[4], design.around, "around"), 4, side, "around_enlarged")
    difference = layers.Subtract(name="difference")([around, grey])
    gain, margin = design.dark
    darker = layers.Activation("relu", name="darker")(layers.Rescaling(gain, -gain * margin, name="margin")(difference))
    dark = layers.Activation("tanh", name="dark")(darker)
    gain, margin = design.line
    for number, (scale, sigma, length, size) in enumerate(design.lines, 1):
        # A kernel sums to zero, so a local mean taken off changes little, but at the rim, where zeros are padded.
        level = layers.Subtract(name=f"level{number}")([small[scale], _mean(small[scale], size, f"mean{number}")])
        kernels = gain * line_kernels(sigma, length, size)
        every = _fixed(level, kernels, f"directions{number}", -gain * margin, "relu")
        line = _fixed(every, np.full((1, 1, DIRECTIONS, 1), 8 / DIRECTIONS), f"line{number}")
        found.append(_enlarged(line, scale, side, f"line{number}_enlarged"))
    if not found:
        return dark
    line = layers.Activation("tanh", name="line")(layers.Add(name="lines")(found) if len(found) > 1 else found[0])
    softened = layers.Rescaling(1 - design.beside, design.beside, name="softened")(line)
    return layers.Multiply(name="where")([dark, softened])


def designed(design: Design, image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build a `local_cnn` of a design; see :func:`crackviz.models.local_cnn` for all that is alike.

    Of any size (None) it takes pictures from 84 px on.
    """
    check_build("local_cnn", image_size, n_classes, 16)
    beyond = -(image_size or 0) % 4  # rows that enlarged maps have too many; two or more, and they would be shifted
    if image_size is not None and beyond > 1:
        raise CrackvizError(
            f"image_size is {image_size}; local_cnn needs a multiple of 4 or one less: "
            f"take {image_size + beyond - 4} or {image_size + beyond}."
        )
    first = 1000 * seed
    inputs = keras.Input((image_size, image_size, 3), name="image")
    grey = layers.Conv2D(
        1, 1, use_bias=False, trainable=False, kernel_initializer=keras.initializers.Constant(1 / 3), name="grey"
    )(inputs)
    # Few pixels are dark, and the average is over all: a mean of some units lets the last weights be of some units.
    where = layers.Rescaling(64, name="weighed")(_where(grey, design))
    x = _convolutions(inputs, design.blocks, first)
    x = layers.Conv2D(
        max(2, n_classes), 1, kernel_initializer=keras.initializers.HeUniform(seed=first + 9), name="what"
    )(x)
    x = layers.AveragePooling2D(design.about, strides=1, padding="same", name="about")(x)
    # Without the normalisation "bounded" soon stands at 1 everywhere, and the network knows darkness alone.
    x = layers.BatchNormalization(momentum=0.97, name="normalised")(x)
    x = _enlarged(layers.Activation("sigmoid", name="bounded")(x), 4, image_size, "enlarged")
    evidence = layers.Multiply(name="evidence")([where, x])
    model = keras.Model(inputs, head(evidence, n_classes, first + 10), name="local_cnn")
    if n_classes == 2:  # one map against a crack and one for it: two of one sign would take long to part, if ever
        kernel = model.get_layer("logit").kernel
        kernel.assign(np.abs(kernel) * np.array([[-1.0], [1.0]]))
    return model
