"""CNN definitions, saving and loading (``THEORY.md`` T2, T10).

Every network of this module is a flat functional model that takes images in [0, 1] and ends in layers called ``logit``
and ``probability``. All but :func:`deep_cnn` are of the form ::

    image in [0, 1] -> layers that give maps -> GlobalAveragePooling2D
                    -> Dense(1, name="logit") -> Activation("sigmoid", name="probability")

so the logit is a weighted average of the last activation maps plus a bias, and a class activation map adds up
to it exactly (``THEORY.md`` T6). With k > 2 classes there are k logits and a softmax.
"""

from __future__ import annotations

from crackviz.models.networks import (
    IMAGENET,
    MODELS,
    build,
    deep_cnn,
    gap_cnn,
    gap_cnn_deep,
    image_size,
    imagenet_weights,
    local_cnn,
    mobilenet_v2,
    resized,
    set_trainable,
    summary,
)
from crackviz.models.saving import Metadata, annotate, find, load, metadata, read_metadata, save
from crackviz.models.shipped import (
    PREFERRED,
    PRETRAINED,
    chosen,
    fingerprints,
    load_or_pretrained,
    load_pretrained,
    seen_by_pretrained,
)

__all__ = [
    "IMAGENET",
    "MODELS",
    "PREFERRED",
    "PRETRAINED",
    "Metadata",
    "annotate",
    "build",
    "chosen",
    "deep_cnn",
    "find",
    "fingerprints",
    "gap_cnn",
    "gap_cnn_deep",
    "image_size",
    "imagenet_weights",
    "load",
    "load_or_pretrained",
    "load_pretrained",
    "local_cnn",
    "metadata",
    "mobilenet_v2",
    "read_metadata",
    "resized",
    "save",
    "seen_by_pretrained",
    "set_trainable",
    "summary",
]
