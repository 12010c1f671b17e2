"""ONNX: one file, read by onnxruntime and by most other programs that run networks."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import numpy as np

from crackviz.export.checking import Answers, Run
from crackviz.export.explained import Explained, in_parts

OPSET = 17
NEEDS = ("tf2onnx", "onnx", "onnxruntime")


def write(made: Explained, path: Path) -> None:
    """Write the file; the metadata lie in its ``metadata_props``, by key, JSON for what isn't text."""
    import tensorflow as tf
    import tf2onnx

    side = made.image_size
    spec = tf.TensorSpec((None, side, side, 3), tf.float32, name="image")
    call = tf.function(lambda image: made.model(image, training=False), input_signature=[spec])
    level = logging.getLogger("tf2onnx").level
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    try:
        graph, _ = tf2onnx.convert.from_function(call, input_signature=[spec], opset=OPSET)
    finally:
        logging.getLogger("tf2onnx").setLevel(level)
    ends = {"image": made.model.inputs[0].shape}
    ends |= {name: tensor.shape for name, tensor in made.model.output.items()}
    axes = ("pictures", "height", "width")
    for value in (*graph.graph.input, *graph.graph.output):  # converters lose ranks, and name axes unk__137
        for number, (dim, known) in enumerate(zip(value.type.tensor_type.shape.dim, ends[value.name], strict=True)):
            if known is None:
                dim.dim_param = axes[number] if value.name == "image" or not number else f"map_{axes[number]}"
            else:
                dim.dim_value = known
    entry = graph.metadata_props.add()
    entry.key, entry.value = "crackviz", made.text
    path.write_bytes(graph.SerializeToString())


def runner(path: Path) -> Run:
    """Return images -> answers, by onnxruntime on the processor."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def answer(images: np.ndarray) -> Answers:
        return dict(zip(names, session.run(names, {"image": images}), strict=True))

    return partial(in_parts, answer)
