"""MobileNetV2 for transfer learning: its ImageNet weights, and which layers learn."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers

from crackviz import CrackvizError
from crackviz.models.networks import check_build, head

IMAGENET = {
    "file": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5",
    "origin": "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/",
    "sha256": "882efdb4d10bf7151214f1f8c984792c554362c610a3d500adc35709b348297d",
}
"""The ImageNet weights of MobileNetV2, alpha = 0.35, as Keras publishes them (Apache-2.0)."""


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

    Further arguments, returns and raises are those of :func:`gap_cnn`, but for ``image_size``: at least 64 and best a
    multiple of 32. Where `weights` are given, ``seed`` is that of the head alone.

    Parameters
    ----------
    weights : str, Path or None
        Of the base. None: random. "imagenet": downloaded by Keras, 2 MB, unless Keras has kept them from before, and
        checked against a known hash; for alpha=0.35 alone. Otherwise the path of a local file, such as Keras's own
        ``mobilenet_v2_…_0.35_224_no_top.h5``; it serves all image sizes. With weights, the base comes frozen, so that
        only the head learns: see :func:`set_trainable`.
    alpha : float
        Width: the share of MobileNetV2's channels. 0.35 has 411,489 weights.

    Notes
    -----
    Sandler, Howard, Zhu, Zhmoginov, Chen: *MobileNetV2: inverted residuals and linear bottlenecks*, CVPR 2018.
    ``THEORY.md`` T10.
    """
    check_build("mobilenet_v2", image_size, n_classes, 32)
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
    model = keras.Model(inputs, head(base.outputs[0], n_classes, 1000 * seed), name="mobilenet_v2")
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
    name, url = IMAGENET["file"], IMAGENET["origin"] + IMAGENET["file"]
    try:
        return Path(keras.utils.get_file(name, url, cache_subdir="models", file_hash=IMAGENET["sha256"]))
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
        Name of the first layer that learns, such as ``"block_13_expand"``; None stands for the last Dense layer.

    Returns
    -------
    int
        Number of weights that learn.
    """
    names = [layer.name for layer in model.layers]
    if first is None:
        first = next((layer.name for layer in model.layers[::-1] if isinstance(layer, layers.Dense)), names[-1])
    if first not in names:
        raise CrackvizError(f"The model {model.name!r} has no layer {first!r}; see models.summary(model).")
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= names.index(first) and not isinstance(layer, layers.BatchNormalization)
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
