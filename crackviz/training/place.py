"""The loss on where evidence lies, for networks that are taught by masks as well as by labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from crackviz import CrackvizError

CROSS_ENTROPY, OVERLAP = 10.0, 0.5
"""What a pixel's cross-entropy and a picture's Dice loss count for, beside the cross-entropy of its label."""
_CRACK, _SMOOTH = 1.2, 5.0  # a pixel of the crack counts a little more; an overlap of few pixels is no fraction of 0


def place_loss(evidence: Any, masks: Any, known: Any) -> Any:
    """Return how far evidence lies from where it ought to: a scalar, 0 for a map that equals the masks.

    Ten times the mean cross-entropy of the pixels, over the pictures whose mask is known, plus half of the mean Dice
    loss over those of them that show a crack. A picture without a crack has a known mask: an empty one.

    Parameters
    ----------
    evidence : tensor (B, H, W, 1)
        In [0, 1], such as the map that feeds the average of :func:`crackviz.models.trace_cnn`.
    masks : tensor (B, H, W, 1)
        1 on cracks, 0 elsewhere, or between where a mask was made smaller.
    known : tensor (B,)
        1 where a picture's mask is known, 0 where nobody knows (its row of `masks` is passed over).

    Notes
    -----
    Ross, Hughes, Doshi-Velez: *Right for the right reasons*, IJCAI 2017. Milletari, Navab, Ahmadi: *V-Net*, 3DV 2016
    (the Dice loss). ``THEORY.md`` T11.
    """
    shown = ops.clip(ops.cast(evidence, "float32"), 1e-6, 1 - 1e-6)
    pixels = -(_CRACK * masks * ops.log(shown) + (1 - masks) * ops.log(1 - shown))
    entropy = ops.sum(ops.mean(pixels, (1, 2, 3)) * known) / ops.maximum(ops.sum(known), 1.0)
    area = ops.sum(masks, (1, 2, 3))
    cracked = known * ops.cast(area > 0, "float32")
    both = 2 * ops.sum(masks * shown, (1, 2, 3)) + _SMOOTH
    dice = 1 - both / (area + ops.sum(shown, (1, 2, 3)) + _SMOOTH)
    return CROSS_ENTROPY * entropy + OVERLAP * ops.sum(dice * cracked) / ops.maximum(ops.sum(cracked), 1.0)


class Placed(keras.layers.Layer):
    """Pass a network's answers on, and add `weight` times the loss on the place of its evidence to a training's.

    Called with evidence (B, h, w, 1), masks (B, H, W, 1), all -1 where unknown, and the answers.
    """

    def __init__(self, weight: float) -> None:
        super().__init__(name="placed")
        self.weight = weight

    def call(self, evidence: Any, masks: Any, answers: Any) -> Any:
        """Return `answers`."""
        known = ops.cast(ops.min(masks, (1, 2, 3)) > -0.5, "float32")
        if masks.shape[1:3] != evidence.shape[1:3]:
            masks = ops.image.resize(masks, evidence.shape[1:3], antialias=True)
        self.add_loss(self.weight * place_loss(evidence, ops.clip(masks, 0.0, 1.0), known))
        return answers


def bounded_evidence(model: keras.Model) -> Any:
    """Return the tensor of the one map that feeds the average; a CrackvizError where it isn't one from 0 to 1."""
    names = [layer.name for layer in model.layers]
    layer = model.get_layer("evidence") if "evidence" in names else None
    if not isinstance(layer, keras.layers.Activation) or layer.activation is not keras.activations.sigmoid:
        raise CrackvizError(
            f"{model.name!r} can't be taught where to look: its last map isn't bounded in [0, 1] by a sigmoid layer "
            "called 'evidence'. Take trace_cnn, or a recipe with place=0."
        )
    if layer.output.shape[-1] != 1:
        raise CrackvizError(f"{model.name!r} has {layer.output.shape[-1]} maps of evidence; masks tell of two classes.")
    return layer.output
