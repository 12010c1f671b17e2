"""What the layers of a network respond to (``THEORY.md`` T4, T5).

Four ways to ask one question. Read the weights (:func:`kernels`), where they are still colours; follow a picture
through the layers (:func:`activation_maps`, :func:`follow`); synthesise what a filter or the class wants
(:func:`maximise`, :func:`maximise_logit`); look up what a data set has of it (:func:`top_patches`).
"""

from __future__ import annotations

from crackviz.attribution.receptive_fields import field_box
from crackviz.features.activations import Activations, activation_maps, follow
from crackviz.features.kernels import kernel_images, kernels
from crackviz.features.maximisation import Pictures, Recipe, maximise, maximise_logit
from crackviz.features.top_patches import crops, top_patches

__all__ = [
    "Activations",
    "Pictures",
    "Recipe",
    "activation_maps",
    "crops",
    "field_box",
    "follow",
    "kernel_images",
    "kernels",
    "maximise",
    "maximise_logit",
    "top_patches",
]
