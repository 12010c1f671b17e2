"""LiteRT (TensorFlow Lite): one file for phones and small boards, read by ai-edge-litert."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz.export.checking import Answers, Run
from crackviz.export.explained import Explained, in_parts

NEEDS = ("ai_edge_litert",)
ABOUT = "crackviz.json"
"""The metadata: a zip archive behind the network, where LiteRT's own tools keep a file's attachments."""


class _Enlarged(keras.layers.UpSampling2D):
    """Keras' own repeats and reshapes, which loses the number of channels where sizes are free."""

    def call(self, maps: Any) -> Any:
        shape = tf.shape(maps)
        return tf.image.resize(maps, (shape[1] * self.size[0], shape[2] * self.size[1]), method="nearest")


def write(made: Explained, path: Path, quantize: str, images: np.ndarray) -> None:
    """Write the file; `images` calibrate the activations of "int8", whose input and outputs stay float32."""
    model = made.model
    if made.image_size is None:
        model = _with_channels(model)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantize:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.representative_dataset = lambda: ([one[np.newaxis]] for one in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras tells where its temporary copy lies, int8 that its ends stay float32
        content = converter.convert()
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(ABOUT, (1980, 1, 1, 0, 0, 0)), made.text)


def _with_channels(model: keras.Model) -> keras.Model:
    def fresh(layer: Any) -> Any:
        enlarges = type(layer) is keras.layers.UpSampling2D and layer.interpolation == "nearest"
        return (_Enlarged if enlarges else type(layer)).from_config(layer.get_config())

    other = keras.models.clone_model(model, clone_function=fresh)
    other.set_weights(model.get_weights())
    return other


def runner(path: Path) -> Run:
    """Return images -> answers, by ai-edge-litert."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    number = interpreter.get_input_details()[0]["index"]

    def answer(images: np.ndarray) -> Answers:
        interpreter.resize_tensor_input(number, images.shape)
        interpreter.allocate_tensors()
        return dict(interpreter.get_signature_runner("serving_default")(image=images))

    return partial(in_parts, answer)
