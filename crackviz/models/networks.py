"""The networks: built flat, ending in an average and one logit, or told apart from those that do not."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from keras import layers

from crackviz import CrackvizError
from crackviz.models.saving import annotate, metadata

IMAGENET = {
    "file": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    "origin": "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/",
    "sha256": "882efdb4d10bf7151214f1f8c984792c554362c610a3d500adc35709b348297d",
}
"""The ImageNet weights of MobileNetV2, alpha = 0.35, as Keras publishes them (Apache-2.0)."""


Block = tuple[int, int, int, bool]
"""Filters, kernel size, stride, max-pooling after it."""


LOCAL: list[Block] = [(16, 4, 2, False), (32, 3, 1, True), (48, 3, 1, False), (64, 3, 1, False), (64, 3, 1, False)]


def _check(name: str, image_size: int | None, n_classes: int, shrinks: int) -> None:
    if n_classes < 2:
        raise CrackvizError(f"n_classes is {n_classes}; a classifier needs at least 2 classes.")
    if image_size is not None and image_size < 2 * shrinks:
        raise CrackvizError(
            f"image_size is {image_size}; {name} halves the image down to 1/{shrinks}, so it needs at least "
            f"{2 * shrinks} px to keep a map of 2 x 2 cells."
        )


def _convolutions(x: Any, blocks: Sequence[Block], first_seed: int) -> Any:
    for number, (filters, kernel, stride, pooled) in enumerate(blocks, start=1):
        x = layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            activation="relu",
            kernel_initializer=keras.initializers.HeUniform(seed=first_seed + number - 1),
            name=f"conv{number}",
        )(x)
        if pooled:
            x = layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x


def _head(x: Any, n_classes: int, seed: int) -> Any:
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


def _gap_network(blocks: Sequence[Block], name: str, image_size: int | None, n_classes: int, seed: int) -> keras.Model:
    _check(name, image_size, n_classes, _shrinks(blocks))
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = _convolutions(inputs, blocks, 1000 * seed)
    return keras.Model(inputs, _head(x, n_classes, 1000 * seed + len(blocks)), name=name)


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


def deep_cnn(image_size: int | None = 128, *, n_classes: int = 2, seed: int = 0) -> keras.Model:
    """Build the usual classifier of textbooks and papers: convolutions, then dense layers, then a softmax.

    Four times Conv2D + ReLU + MaxPooling2D (16, 32, 64, 64 filters of 3 x 3), GlobalAveragePooling2D, Dropout,
    Dense(64) + ReLU, Dropout, one logit a class: 64,802 weights. A cell of its last map is 16 px wide and sees 46 px.
    Where such networks flatten the last map, this one averages it, so that it takes any size. But a Dense layer with
    its ReLU comes after the average: the logit is no weighted sum of the maps, and no map adds up to it.

    Parameters
    ----------
    image_size : int or None
        Side of the square input in px, at least 32 and best a multiple of 16; None takes any size.
    n_classes : int
        k >= 2 gives k logits and a softmax over k classes.
    seed : int
        Seed of the initial weights.

    Returns
    -------
    keras.Model
        Input (N, image_size, image_size, 3) float32 in [0, 1]; output (N, k) probabilities, "crack" in column 1.

    Raises
    ------
    CrackvizError
        Where the image is too small or there are fewer than two classes.

    Notes
    -----
    Srivastava et al.: *Dropout*, JMLR 15, 2014. Cha, Choi, Büyüköztürk: *Deep learning-based crack damage detection
    using convolutional neural networks*, Computer-Aided Civil and Infrastructure Engineering 32, 2017. ``THEORY.md``
    T10.
    """
    blocks = [(16, 3, 1, True), (32, 3, 1, True), (64, 3, 1, True), (64, 3, 1, True)]
    _check("deep_cnn", image_size, n_classes, _shrinks(blocks))
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

    Parameters
    ----------
    image_size : int or None
        Side of the square input in px, at least 32, a multiple of 4 or one less (128, 227, 256; not 226), as the paths'
        maps must fit; None takes any multiple of 4.
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
        Where the image is too small or of a size that doesn't fit, or there are fewer than two classes.

    Notes
    -----
    This package's own. Gates computed on one path and applied to another are those of Srivastava, Greff, Schmidhuber:
    *Highway networks*, 2015; small receptive fields for the sake of explanation those of Brendel, Bethge:
    *Approximating CNNs with bag-of-local-features models*, ICLR 2019. ``benchmarks/README.md`` lists the designs that
    were tried. ``THEORY.md`` T2, T10.
    """
    _check("local_cnn", image_size, n_classes, 16)
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
    around = layers.AveragePooling2D((37, 1), strides=1, padding="same", name="around_rows")(grey)
    around = layers.AveragePooling2D((1, 37), strides=1, padding="same", name="around")(around)
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
    model = keras.Model(inputs, _head(evidence, n_classes, first + 10), name="local_cnn")
    if n_classes == 2:  # one map against a crack and one for it: two of one sign would take long to part, if ever
        kernel = model.get_layer("logit").kernel
        kernel.assign(np.abs(kernel) * np.array([[-1.0], [1.0]]))
    return model


def mobilenet_v2(
    image_size: int | None = 128,
    *,
    n_classes: int = 2,
    seed: int = 0,
    weights: str | Path | None = None,
    alpha: float = 0.35,
) -> keras.Model:
    """Build MobileNetV2 with an average and a logit of our own: the base of transfer learning.

    The base is that of Keras Applications, flat in this model, not nested, so that all of its layers can be explained.
    Images in [0, 1] come in; a layer of the model scales them to [-1, 1], as it was trained. Its last map has cells
    of 32 px, each of which sees the whole of a small patch.

    Parameters
    ----------
    image_size : int or None
        Side of the square input in px, at least 64 and best a multiple of 32; None takes any size.
    n_classes : int
        2 gives one logit and a sigmoid (probability of class 1), k > 2 gives k logits and a softmax.
    seed : int
        Seed of the initial weights: of the head, or of all layers where `weights` is None.
    weights : str, Path or None
        Of the base. None: random. "imagenet": downloaded by Keras, 2 MB, unless Keras has kept them from before, and
        checked against a known hash; for alpha=0.35 alone. Otherwise the path of a local file, such as Keras's own
        ``mobilenet_v2_…_0.35_224_no_top.h5``; it serves all image sizes. With weights, the base comes frozen, so that
        only the head learns: see :func:`set_trainable`.
    alpha : float
        Width: the share of MobileNetV2's channels. 0.35 has 411,489 weights.

    Returns
    -------
    keras.Model
        Input (N, image_size, image_size, 3) float32 in [0, 1]; output (N, 1) probability, or (N, k).

    Raises
    ------
    CrackvizError
        Where the image is too small, there are fewer than two classes, the weights can't be had or don't fit.

    Notes
    -----
    Sandler, Howard, Zhu, Zhmoginov, Chen: *MobileNetV2: inverted residuals and linear bottlenecks*, CVPR 2018.
    ``THEORY.md`` T10.
    """
    _check("mobilenet_v2", image_size, n_classes, 32)
    path = None if weights is None else _imagenet_file(weights, alpha)
    inputs = keras.Input((image_size, image_size, 3), name="image")
    scaled = layers.Rescaling(2.0, offset=-1.0, name="scale")(inputs)
    base = keras.applications.MobileNetV2(input_tensor=scaled, alpha=alpha, include_top=False, weights=None)
    for number, layer in enumerate(base.layers):  # Keras's own initial weights hang on what ran before
        if hasattr(layer, "kernel"):
            layer.kernel.assign(keras.initializers.HeUniform(seed=1000 * seed + number + 1)(layer.kernel.shape))
    if path is not None:
        try:
            with warnings.catch_warnings(action="ignore"):  # many, where the file is another network's
                base.load_weights(path)
        except Exception as error:  # h5py and Keras raise their own kinds for a damaged or a foreign file
            raise CrackvizError(
                f"{path} doesn't hold the weights of MobileNetV2 with alpha={alpha} ({str(error).splitlines()[0]}). "
                f"Expected a file such as {IMAGENET['file']}; name another one, or give its alpha."
            ) from error
    model = keras.Model(inputs, _head(base.outputs[0], n_classes, 1000 * seed), name="mobilenet_v2")
    if path is not None:
        set_trainable(model)
    return model


def imagenet_weights() -> Path | None:
    """Return the ImageNet weights that Keras has kept from an earlier download; None where there are none."""
    path = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / IMAGENET["file"]
    return path if path.is_file() else None


def _imagenet_file(weights: str | Path, alpha: float) -> Path:
    if weights != "imagenet":
        path = Path(weights).expanduser()
        if not path.is_file():
            raise CrackvizError(
                f'There is no file of weights {path}. Name one, or "imagenet" to let Keras download it, or None for '
                "random weights."
            )
        return path
    if alpha != 0.35:
        raise CrackvizError(
            f'weights="imagenet" is for alpha=0.35, whose hash is known; alpha is {alpha}. Download the file yourself '
            f"({IMAGENET['origin']}) and name its path."
        )
    try:
        return Path(
            keras.utils.get_file(
                IMAGENET["file"],
                IMAGENET["origin"] + IMAGENET["file"],
                cache_subdir="models",
                file_hash=IMAGENET["sha256"],
            )
        )
    except Exception as error:  # urllib's and the file system's own kinds; ValueError for another hash
        raise CrackvizError(
            f"The ImageNet weights could not be downloaded ({str(error).splitlines()[0][:200]}). Without a connection, "
            f"get {IMAGENET['file']} on another machine and name its path as weights; weights=None starts from random "
            'ones, and models.load_pretrained("mobilenet_v2") is a trained network.'
        ) from error


def set_trainable(model: keras.Model, first: str | None = None) -> int:
    """Set which layers learn: the head alone, or all from a chosen depth on; the rest keeps its weights.

    BatchNormalization layers stay frozen at any depth, which in Keras also keeps them in inference mode: their running
    means come from a million pictures, and a few batches of concrete would spoil them.

    Parameters
    ----------
    model : keras.Model
        Changed in place; :func:`crackviz.training.train` takes it as it is.
    first : str, optional
        Name of the first layer that learns, such as ``"block_13_expand"``; None stands for the head, the last Dense
        layer.

    Returns
    -------
    int
        Number of weights that learn.

    Raises
    ------
    CrackvizError
        Where there is no such layer.
    """
    names = [layer.name for layer in model.layers]
    if first is None:
        first = next((layer.name for layer in model.layers[::-1] if isinstance(layer, layers.Dense)), names[-1])
    if first not in names:
        raise CrackvizError(f"The model {model.name!r} has no layer {first!r}; see models.summary(model).")
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= names.index(first) and not isinstance(layer, layers.BatchNormalization)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


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
