"""Kernels of a convolution, as arrays and as pictures."""

from __future__ import annotations

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.attribution.network import walk
from crackviz.contracts import check_choice


def kernels(model: keras.Model, layer: str | None = None) -> np.ndarray:
    """Return the weights of the convolution that reads the colours.

    Parameters
    ----------
    model : keras.Model
    layer : str, optional
        By default the first convolution with three input channels whose kernels are larger than one pixel.

    Returns
    -------
    numpy.ndarray
        float32 (filters, height, width, 3): signed, in activation per unit of red, green, blue.

    Raises
    ------
    CrackvizError
        Where there is no such layer, it is no convolution, or reads something else than three colours: the weights of
        a deeper layer are no picture.

    ``THEORY.md`` T4.
    """
    steps = walk(model)
    found = {name: step.layer for name, step in steps.items() if isinstance(step.layer, keras.layers.Conv2D)}
    if layer is None:
        colours = [name for name, one in found.items() if one.kernel.shape[2] == 3]
        colours.sort(key=lambda name: found[name].kernel.shape[0] == 1)  # stable: those that have a pattern come first
        if not colours:
            raise CrackvizError(
                f"No convolution of {model.name!r} reads three colours; its convolutions: {', '.join(found) or 'none'}."
            )
        layer = colours[0]
    if layer not in found:
        raise CrackvizError(f"{layer!r} is no convolution of the model; choose one of {', '.join(found) or 'none'}.")
    weights = np.asarray(found[layer].kernel, np.float32)
    if weights.shape[2] != 3:
        raise CrackvizError(
            f"Layer {layer!r} reads {weights.shape[2]} channels, no colours, so its weights are no picture. "
            f"Ask what it responds to: features.maximise(model, layer={layer!r})."
        )
    return weights.transpose(3, 0, 1, 2)


def kernel_images(weights: np.ndarray, scale: str = "shared") -> tuple[np.ndarray, np.ndarray]:
    r"""Turn signed weights into colours: :math:`\frac12 + w / (2 m)`, so that mid-grey is 0.

    Parameters
    ----------
    weights : float (F, h, w, 3)
        As :func:`kernels` returns them.
    scale : "shared" or "filter"
        What m is: the largest absolute weight of all filters, so that a weak filter looks pale; or of each its own.

    Returns
    -------
    images : float32 (F, h, w, 3), in [0, 1]
        Nothing is stretched or cut: weight 0 is 0.5 in every colour. A filter of zeros is grey.
    limits : float32 (F,)
        m: the weight that stands at 1, and, negative, at 0.

    ``THEORY.md`` T4.
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or weights.shape[-1] != 3:
        raise CrackvizError(f"Weights have shape {weights.shape}; expected (filters, height, width, 3).")
    check_choice("scale", scale, ("shared", "filter"))
    limits = np.abs(weights).max(axis=(1, 2, 3))
    if scale == "shared":
        limits = np.full_like(limits, limits.max())
    divisor = np.where(limits > 0, limits, 1)[:, None, None, None]
    return (0.5 + weights / (2 * divisor)).astype(np.float32), limits
