"""TensorFlow's SavedModel: a folder, read by TensorFlow, TensorFlow Serving and many converters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from crackviz.export.checking import Answers, Run
from crackviz.export.explained import Explained

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

    def run(images: np.ndarray) -> Answers:
        answers = [call(image=tf.constant(images[i : i + 16])) for i in range(0, len(images), 16)]
        return {name: np.concatenate([part[name].numpy() for part in answers]) for name in answers[0]}

    run.keeps = loaded  # type: ignore[attr-defined]  # its variables would go with it
    return run
