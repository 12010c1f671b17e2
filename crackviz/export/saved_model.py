"""TensorFlow's SavedModel: a folder, read by TensorFlow, TensorFlow Serving and many converters."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from crackviz.export.checking import Answers, Run
from crackviz.export.explained import Explained, in_parts

ABOUT = "crackviz.json"
"""The metadata, in the folder ``assets.extra``, which TensorFlow leaves to others."""


def write(made: Explained, folder: Path) -> None:
    """Write the folder."""
    made.model.export(folder, format="tf_saved_model", verbose=False)
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / ABOUT).write_text(made.text, encoding="utf-8")


def runner(folder: Path) -> Run:
    """Return images -> answers, by the folder's signature ``serving_default``."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder))
    call = loaded.signatures["serving_default"]

    def answer(images: np.ndarray) -> Answers:
        return call(image=tf.constant(images))

    answer.keeps = loaded  # type: ignore[attr-defined]  # its variables would go with it
    return partial(in_parts, answer)
