"""The networks that start from nothing: built flat, most of them ending in an average and one logit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from crackviz import CrackvizError
from crackviz.contracts import check_number

Block = tuple[int, int, int, bool]
"""Filters, kernel size, stride, max-pooling after it."""
LOCAL: list[Block] = [(16, 4, 2, False), (32, 3, 1, True), (48, 3, 1, False), (64, 3, 1, False), (64, 3, 1, False)]


def check_size(image_size: int | None) -> None:
    """Raise a CrackvizError unless `image_size` is a side in px, or None."""
    if image_size is not None:
        check_number("image_size", image_size, 1, 16_384, whole=True)


def check_build(name: str, image_size: int | None, n_classes: int, shrinks: int) -> None:
    """Raise a CrackvizError unless a network that makes images smaller by `shrinks` can be built."""
    check_size(image_size)
    if keras.config.image_data_format() != "channels_last":
        raise CrackvizError(
            "Keras is set to channels_first; crackviz's images are (N, H, W, 3). Call "
            'keras.config.set_image_data_format("channels_last"), or set it in keras.json.'
        )
    check_precision()
    if n_classes < 2:
        raise CrackvizError(f"n_classes is {n_classes}; a classifier needs at least 2 classes.")
    if image_size is not None and image_size < 2 * shrinks:
        raise CrackvizError(
            f"image_size is {image_size}; {name} halves the image down to 1/{shrinks}, so it needs at least "
            f"{2 * shrinks} px to keep a map of 2 x 2 cells."
        )


def check_precision() -> None:
    """Raise a CrackvizError unless Keras computes in float32: its settings, or keras.json, may say otherwise."""
    if keras.config.floatx() != "float32":
        raise CrackvizError(
            f"Keras is set to {keras.config.floatx()}; crackviz's networks compute in float32. Call "
            'keras.config.set_floatx("float32"), or set it in keras.json.'
        )


def _convolutions(x: Any, blocks: Sequence[Block], first_seed: int, start: float = 1.0) -> Any:
    """Add convolutions that start as He et al. say; the first one with `start` times their weights."""
    for number, (filters, kernel, stride, pooled) in enumerate(blocks, start=1):
        gain = 2 * start**2 if number == 1 else 2
        x = layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.VarianceScaling(
                gain, "fan_in", "uniform", seed=first_seed + number - 1
            ),
            name=f"conv{number}",
        )(x)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x


def head(x: Any, n_classes: int, seed: int) -> Any:
    """Average, one logit for two classes or k for more, and their probabilities."""
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    x = layers.Dense(
        1 if n_classes == 2 else n_classes,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
        name="logit",
    )(x)
    return layers.Activation("sigmoid" if n_classes == 2 else "softmax", name="probability")(x)


def _shrinks(blocks: Sequence[Block]) -> int:
    return int(np.prod([stride * (2 if pooled else 1) for _, _, stride, pooled in blocks]))


def _gap_network(
    blocks: Sequence[Block], name: str, image_size: int | None, n_classes: int, seed: int, *, scaled: bool = False
) -> keras.Model:
    check_build(name, image_size, n_classes, _shrinks(blocks))
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(4.0, offset=-2.2, name="scale")(inputs) if scaled else inputs
    x = _convolutions(x, blocks, 1000 * seed, 0.1 if scaled else 1.0)
    return keras.Model(inputs, head(x, n_classes, 1000 * seed + len(blocks)), name=name)


def gap_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the smallest network of all: two convolutions and an average.

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

    Arguments, returns and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 16 and best a multiple
    of 8, so that the cells of the last map cover the image exactly. ``THEORY.md`` T2.
    """
    blocks = [(16, 4, 2, False), (32, 3, 1, True), (48, 3, 1, True), (64, 3, 1, False)]
    return _gap_network(blocks, "gap_cnn_deep", image_size, n_classes, seed)


def gap_cnn_far(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the sibling that notebook 02 trains: five convolutions, which see far, then the same average and logit.

    A first layer, which learns nothing, looks at concrete from a light grey, 0.55, and four times as large: all
    patches are much alike, and what differs is learnt sooner so. The weights of the first convolution start at a
    tenth of the usual size, so that what they are in the end has been learnt. It has stride 2 and a 4 x 4 kernel: with
    "same" padding an even kernel pads both sides of an even-sized image alike, so that no map is shifted against the
    image. A cell of the last map is 8 px wide and sees 58 px: enough to tell a crack from a pore or a stain. 84,001
    weights.

    Arguments, returns and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 16 and best a multiple
    of 8, so that the cells of the last map cover the image exactly. ``THEORY.md`` T2.
    """
    blocks = [(16, 4, 2, True), (32, 3, 1, False), (48, 3, 1, True), (64, 3, 1, False), (64, 3, 1, False)]
    return _gap_network(blocks, "gap_cnn_far", image_size, n_classes, seed, scaled=True)


def deep_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the usual classifier of textbooks and papers: convolutions, then dense layers, then a softmax.

    Four times Conv2D + ReLU + MaxPooling2D (16, 32, 64, 64 filters of 3 x 3), GlobalAveragePooling2D, Dropout,
    Dense(64) + ReLU, Dropout, one logit a class: 64,802 weights. A cell of its last map is 16 px wide and sees 46 px.
    Where such networks flatten the last map, this one averages it, so that it takes any size. But a Dense layer with
    its ReLU comes after the average: the logit is no weighted sum of the maps, and no map adds up to it.

    Arguments and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 32 and best a multiple of 16.
    The output is (N, k) probabilities for any number of classes, two included, "crack" in column 1.

    Notes
    -----
    Srivastava et al.: *Dropout*, JMLR 15, 2014. Cha, Choi, Büyüköztürk: *Deep learning-based crack damage detection
    using convolutional neural networks*, Computer-Aided Civil and Infrastructure Engineering 32, 2017. ``THEORY.md``
    T10.
    """
    blocks = [(16, 3, 1, True), (32, 3, 1, True), (64, 3, 1, True), (64, 3, 1, True)]
    check_build("deep_cnn", image_size, n_classes, _shrinks(blocks))
    first = 1000 * seed
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = layers.GlobalAveragePooling2D(name="gap")(_convolutions(inputs, blocks, first))
    x = layers.Dropout(0.25, seed=first + 10, name="dropout1")(x)
    x = layers.Dense(
        64, activation="relu", kernel_initializer=keras.initializers.HeUniform(seed=first + 11), name="dense"
    )(x)
    x = layers.Dropout(0.25, seed=first + 12, name="dropout2")(x)
    x = layers.Dense(n_classes, kernel_initializer=keras.initializers.GlorotUniform(seed=first + 13), name="logit")(x)
    return keras.Model(inputs, layers.Activation("softmax", name="probability")(x), name="deep_cnn")


def local_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    r"""Build a network made to be explained: its evidence lies on dark pixels, because it is computed there.

    Two paths meet in a product. *Where*: how much darker a pixel is than the 37 px around it, as a number from 0 to 1,
    fixed and not learnt. *What*: five convolutions, averaged over 20 px, that tell whether there is a crack about, as
    two numbers from 0 to 1, one of which may speak for a crack and one against it (as many as classes, where there are
    more). A cell of the last map, one pixel, is their product

    .. math:: A_k(p) = 64 \tanh(12 \max(0, \bar g_p - g_p - 0.04)) \; \sigma(f_k(p))

    (g is the grey value, f the learnt maps), followed by the average and the logit. So a pixel that isn't dark holds
    nothing for or against a crack, none can outshout the others, each cell depends on a square of 50 px and no more,
    and the map still adds up to the logit less the bias. 84,073 weights learn. The price is in the premise: a crack
    that is lighter than its surroundings (sealed, or filled with lime) can't be found.

    Arguments, returns and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 32, a multiple of 4 or
    one less (128, 227, 256; not 226), as the paths' maps must fit; None takes any multiple of 4 from 40 px on.

    Notes
    -----
    This package's own. Gates computed on one path and applied to another are those of Srivastava, Greff, Schmidhuber:
    *Highway networks*, 2015; small receptive fields for the sake of explanation those of Brendel, Bethge:
    *Approximating CNNs with bag-of-local-features models*, ICLR 2019. ``benchmarks/README.md`` lists the designs that
    were tried. ``THEORY.md`` T2, T10.
    """
    check_build("local_cnn", image_size, n_classes, 16)
    beyond = -(image_size or 0) % 4  # rows that the enlarged maps have too many
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
    # Odd, and never over the picture's edges on both sides: there TensorFlow's gradient of a mean is wrong.
    side = min(37, (image_size or 37) - 1 | 1)
    around = layers.AveragePooling2D((side, 1), strides=1, padding="same", name="around_rows")(grey)
    around = layers.AveragePooling2D((1, side), strides=1, padding="same", name="around")(around)
    difference = layers.Subtract(name="difference")([around, grey])
    darker = layers.Activation("relu", name="darker")(layers.Rescaling(12, -12 * 0.04, name="margin")(difference))
    where = layers.Activation("tanh", name="where")(darker)
    # Few pixels are dark, and the average is over all: a mean of some units lets the last weights be of some units.
    where = layers.Rescaling(64, name="weighed")(where)
    x = _convolutions(inputs, LOCAL, first)
    x = layers.Conv2D(
        max(2, n_classes), 1, kernel_initializer=keras.initializers.HeUniform(seed=first + 9), name="what"
    )(x)
    x = layers.AveragePooling2D(5, strides=1, padding="same", name="about")(x)
    # Without the normalisation "bounded" soon stands at 1 everywhere, and the network knows darkness alone.
    x = layers.BatchNormalization(momentum=0.97, name="normalised")(x)
    x = layers.Activation("sigmoid", name="bounded")(x)
    x = layers.UpSampling2D(4, name="enlarged")(x)
    if beyond:
        x = layers.Cropping2D(((0, beyond), (0, beyond)), name="cropped")(x)
    evidence = layers.Multiply(name="evidence")([where, x])
    model = keras.Model(inputs, head(evidence, n_classes, first + 10), name="local_cnn")
    if n_classes == 2:  # one map against a crack and one for it: two of one sign would take long to part, if ever
        kernel = model.get_layer("logit").kernel
        kernel.assign(np.abs(kernel) * np.array([[-1.0], [1.0]]))
    return model


TRACE = (16, 32, 48, 64)


def trace_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    r"""Build a network that can be taught where to look: an encoder and a decoder whose last map has one cell a pixel.

    Four times the map is halved (16, 32, 48, 64 channels), three times it is enlarged again and joined with the
    encoder's map of that size; a transposed convolution enlarges the last, and a sigmoid bounds it. So a cell of the
    map of evidence is a number from 0 to 1, one a pixel, which can be compared with a mask; a cell sees at most 158 px.
    The map is averaged into one logit as in all networks here,

    .. math:: z = b + w \frac{1}{hw} \sum_p \sigma(f(p)),

    and adds up to the logit less the bias. 282,053 weights.

    Trained on labels alone it is a network like others; :class:`crackviz.training.Recipe` has ``place`` for training
    it on masks as well.

    Arguments, returns and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 32, of any parity;
    None takes any multiple of 16. With k > 2 classes there are k maps.

    Notes
    -----
    Ronneberger, Fischer, Brox: *U-Net*, MICCAI 2015, for the encoder and decoder. Ross, Hughes, Doshi-Velez: *Right
    for the right reasons*, IJCAI 2017, for a loss on the explanation. ``THEORY.md`` T11.
    """
    check_build("trace_cnn", image_size, n_classes, 16)
    first, number = 1000 * seed, 0

    def convolution(x: Any, filters: int, kernel: int = 3, stride: int = 1) -> Any:
        nonlocal number
        number += 1
        return layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(seed=first + number),
            name=f"conv{number}",
        )(x)

    def cut_to(x: Any, side: int | None, name: str) -> Any:
        beyond = x.shape[1] - side if side else 0  # an odd side, halved and doubled, has one row too many
        return layers.Cropping2D(((0, beyond), (0, beyond)), name=name)(x) if beyond else x

    inputs = keras.Input((image_size, image_size, 3), name="image")
    x, joints = inputs, []
    for depth, filters in enumerate(TRACE):
        x = convolution(convolution(x, filters, 4, 2), filters)
        if depth > 1:
            x = convolution(x, filters)
        joints.append(x)
    for depth, filters in reversed(list(enumerate(TRACE[:-1]))):
        x = layers.UpSampling2D(2, name=f"enlarged{depth + 1}")(convolution(x, filters, 1))
        x = cut_to(x, joints[depth].shape[1], f"cut{depth + 1}")
        x = convolution(layers.Concatenate(name=f"joined{depth + 1}")([x, joints[depth]]), filters)
    x = layers.Conv2DTranspose(
        1 if n_classes == 2 else n_classes,
        2,
        strides=2,
        kernel_initializer=keras.initializers.GlorotUniform(seed=first + 50),
        bias_initializer=keras.initializers.Constant(-3.0),  # cracks are few pixels: nearly nothing at first
        name="score",
    )(convolution(x, TRACE[0]))
    x = layers.Activation("sigmoid", name="evidence")(cut_to(x, image_size, "cut"))
    model = keras.Model(inputs, head(x, n_classes, first + 51), name="trace_cnn")
    if n_classes == 2:  # more evidence is more crack, and a crack is a hundredth of the pixels
        kernel, bias = model.get_layer("logit").get_weights()
        model.get_layer("logit").set_weights([np.full_like(kernel, 120.0), np.full_like(bias, -3.0)])
    return model
