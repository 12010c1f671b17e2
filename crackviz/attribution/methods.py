"""All methods under one signature, what they cost, and whether their maps add up."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.attribution.gradients import Baseline, baseline_images
from crackviz.attribution.network import Target, bias, check_images, logits, target_index
from crackviz.attribution.registry import KINDS, REGISTERED, Method

for _module in (
    "cams",
    "thin_cam",
    "gradients",
    "deep_lift",
    "guided",
    "occlusion",
    "baselines",
):  # each enters its methods
    import_module(f"crackviz.attribution.{_module}")
METHODS: dict[str, Method] = dict(sorted(REGISTERED.items(), key=lambda entry: KINDS.index(entry[1].kind)))
"""Attribution methods by name: class activation maps, methods that explain pixels, baselines."""


def methods_table(model: keras.Model, images: np.ndarray) -> pd.DataFrame:
    """List :data:`METHODS`, with what each costs for this model and images of this size, by its defaults.

    Indexed by name: title, kind, paper, forward, backward (passes for each image), signed, complete, by_class.
    """
    facts = ["title", "kind", "paper", "forward", "backward", "signed", "complete", "by_class"]
    rows = {
        name: vars(method) | dict(zip(("forward", "backward"), method.passes(model, images), strict=True))
        for name, method in METHODS.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")[facts].rename_axis("method")


def completeness_error(
    model: keras.Model,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    target: Target = "crack",
    baseline: Baseline | None = None,
    background: np.ndarray | None = None,
) -> np.ndarray:
    r"""Return what is missing in maps that ought to add up: :math:`\sum L - (z(x) - z_0)`.

    Parameters
    ----------
    model, images, target
        As the method took them.
    maps : float32 (N, h, w)
        Of `images`, as a method gave them; cells of a layer without upsampling.
    baseline : optional
        What the maps were made against, as for :func:`integrated_gradients`; :math:`z_0` is its logit. None: the bias.
    background : float32 (B, H, W, 3), optional
        What expected gradients were made against; :math:`z_0` is the mean of its logits.

    Returns
    -------
    numpy.ndarray
        float32 (N,), in logits. Put it into proportion to ``z - z_0``, and beware where that is small.

    Notes
    -----
    Sundararajan et al. 2017 call it completeness; others, efficiency or summation to delta. ``THEORY.md`` T7.
    """
    images = check_images(model, images)
    if len(maps) != len(images):
        raise CrackvizError(f"{len(maps)} maps for {len(images)} images; expected one each.")
    column, sign = target_index(model, target)
    scores = logits(model, images).reshape(len(images), -1)[:, column]
    zero: Any
    if background is not None:
        zero = logits(model, background).reshape(len(background), -1)[:, column].mean(dtype=np.float64)
    elif baseline is None:
        zero = bias(model)[column]
    else:
        nothing = np.ascontiguousarray(baseline_images(images, baseline))
        zero = logits(model, nothing).reshape(len(images), -1)[:, column]
    return (maps.sum(axis=(1, 2), dtype=np.float64) - sign * (scores - zero)).astype(np.float32)
