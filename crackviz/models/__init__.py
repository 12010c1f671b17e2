"""CNN definitions, saving and loading (``THEORY.md`` T2, T10).

Every network of this module is a flat functional model that takes images in [0, 1] and ends in layers called ``logit``
and ``probability``. All but :func:`deep_cnn` are of the form ::

    image in [0, 1] -> layers that give maps -> GlobalAveragePooling2D
                    -> Dense(1, name="logit") -> Activation("sigmoid", name="probability")

so the logit is a weighted average of the last activation maps plus a bias, and a class activation map adds up
to it exactly (``THEORY.md`` T6). With k > 2 classes there are k logits and a softmax.
"""

from __future__ import annotations

from crackviz.models.building import MODELS, build, image_size, one_logit, resized, size_for, summary
from crackviz.models.foreign import adapted
from crackviz.models.known import Metadata, annotate, metadata
from crackviz.models.memory import keep_freed
from crackviz.models.mobilenet import IMAGENET, imagenet_weights, mobilenet_v2, set_trainable
from crackviz.models.networks import deep_cnn, gap_cnn, gap_cnn_deep, gap_cnn_far, local_cnn, trace_cnn
from crackviz.models.saving import load, read_metadata, save
from crackviz.models.shipped import (
    PREFERRED,
    PRETRAINED,
    Network,
    find,
    fingerprints,
    load_pretrained,
    seen_by_pretrained,
)

__all__ = [
    "IMAGENET",
    "MODELS",
    "PREFERRED",
    "PRETRAINED",
    "Metadata",
    "Network",
    "adapted",
    "annotate",
    "build",
    "deep_cnn",
    "find",
    "fingerprints",
    "gap_cnn",
    "gap_cnn_deep",
    "gap_cnn_far",
    "image_size",
    "imagenet_weights",
    "load",
    "load_pretrained",
    "local_cnn",
    "metadata",
    "mobilenet_v2",
    "one_logit",
    "read_metadata",
    "resized",
    "save",
    "seen_by_pretrained",
    "set_trainable",
    "size_for",
    "summary",
    "trace_cnn",
]

keep_freed()  # whoever has networks will compute with them
