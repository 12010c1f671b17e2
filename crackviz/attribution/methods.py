"""All methods under one signature, what they cost, and whether their maps add up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.attribution.baselines import darkness, edges, local_darkness, random
from crackviz.attribution.cams import (
    cam,
    eigen_cam,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    score_cam,
    xgrad_cam,
)
from crackviz.attribution.gradients import (
    Baseline,
    baseline_images,
    gradient,
    guided_backprop,
    input_x_gradient,
    integrated_gradients,
    smooth_grad,
)
from crackviz.attribution.network import (
    Target,
    bias,
    check_images,
    layer_names,
    logits,
    map_layers,
    target_index,
)
from crackviz.attribution.occlusion import occlusion, occlusion_windows, rise
from crackviz.attribution.thin_cam import thin_cam

Passes = tuple[int, int]


@dataclass(frozen=True)
class Method:
    """An attribution method, and what has to be known about it.

    Calling it calls its function.

    Attributes
    ----------
    function : callable
        ``function(model, images, *, target="crack", layer=None, upsample=True, …) -> float32 (N, H, W)``
    kind : "cam", "pixels" or "baseline"
        What it explains: cells of a layer, or pixels; a baseline explains nothing, and the network doesn't enter.
    title, paper : str
    signed : bool
        Whether negative values speak against the target. Else the map says how much, not which way.
    complete : bool
        Whether the map adds up to the logit less the bias (of "cam", without upsampling, at the default layer of
        this package's networks), or to the logit less the baseline's (of "pixels", up to the number of steps).
    by_class : bool
        Whether the target enters.
    """

    function: Callable[..., np.ndarray]
    kind: str
    title: str
    paper: str
    signed: bool = False
    complete: bool = False
    by_class: bool = True
    cost: Passes | Callable[..., Passes] = (1, 1)

    def __call__(self, model: keras.Model, images: np.ndarray, **options: Any) -> np.ndarray:
        """Return the maps; see the function."""
        return self.function(model, images, **options)

    def passes(self, model: keras.Model, images: np.ndarray, **options: Any) -> Passes:
        """Return how many forward and backward passes the function makes for each of `images`.

        `options` are those that the function would get. A backward pass may stop at the layer that is explained, and
        costs next to nothing where that is the last one.
        """
        if not callable(self.cost):
            return self.cost
        defaults = {name: given.default for name, given in signature(self.function).parameters.items()}
        return self.cost(model, images, {**defaults, **options})


def _channels(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return 1 + int(map_layers(model)[layer_names(model, options["layer"])[0]].shape[-1]), 0


def _samples(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return options["n_samples"], options["n_samples"]


def _masks(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return options["n_samples"], 0


def _windows(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    rows, columns = (len(occlusion_windows(side, options["size"], options["stride"])) for side in images.shape[1:3])
    return 1 + rows * columns, 0


_OWN = "a baseline"
METHODS: dict[str, Method] = {
    "cam": Method(cam, "cam", "CAM", "Zhou et al. 2016", True, True, cost=(1, 0)),
    "grad_cam": Method(grad_cam, "cam", "Grad-CAM", "Selvaraju et al. 2017", True, True),
    "grad_cam_plus_plus": Method(grad_cam_plus_plus, "cam", "Grad-CAM++", "Chattopadhay et al. 2018"),
    "hires_cam": Method(hires_cam, "cam", "HiResCAM", "Draelos, Carin 2020", True, True),
    "layer_cam": Method(layer_cam, "cam", "LayerCAM", "Jiang et al. 2021"),
    "xgrad_cam": Method(xgrad_cam, "cam", "XGrad-CAM", "Fu et al. 2020", True, True),
    "score_cam": Method(score_cam, "cam", "Score-CAM", "Wang et al. 2020", cost=_channels),
    "eigen_cam": Method(eigen_cam, "cam", "Eigen-CAM", "Bany Muhammad, Yeasin 2020", by_class=False, cost=(1, 0)),
    "thin_cam": Method(thin_cam, "cam", "thin CAM", "crackviz", True, True),
    "gradient": Method(gradient, "pixels", "gradient", "Simonyan et al. 2014", True),
    "input_x_gradient": Method(input_x_gradient, "pixels", "input × gradient", "Shrikumar et al. 2016", True),
    "smooth_grad": Method(smooth_grad, "pixels", "SmoothGrad", "Smilkov et al. 2017", True, cost=_samples),
    "integrated_gradients": Method(
        integrated_gradients, "pixels", "integrated gradients", "Sundararajan et al. 2017", True, True, cost=_samples
    ),
    "guided_backprop": Method(guided_backprop, "pixels", "guided backprop", "Springenberg et al. 2015", True),
    "occlusion": Method(occlusion, "pixels", "occlusion", "Zeiler, Fergus 2014", True, cost=_windows),
    "rise": Method(rise, "pixels", "RISE", "Petsiuk et al. 2018", True, cost=_masks),
    "random": Method(random, "baseline", "random", _OWN, by_class=False, cost=(0, 0)),
    "darkness": Method(darkness, "baseline", "darkness", _OWN, by_class=False, cost=(0, 0)),
    "local_darkness": Method(local_darkness, "baseline", "local darkness", _OWN, True, by_class=False, cost=(0, 0)),
    "edges": Method(edges, "baseline", "edges", _OWN, by_class=False, cost=(0, 0)),
}
"""Attribution methods by name."""


def methods_table(model: keras.Model, images: np.ndarray) -> pd.DataFrame:
    """List :data:`METHODS`, with what each costs for this model and images of this size, by its defaults.

    Returns
    -------
    pandas.DataFrame
        Indexed by name: title, kind, paper, forward, backward (passes for each image), signed, complete, by_class.
    """
    rows = {}
    for name, method in METHODS.items():
        forward, backward = method.passes(model, images)
        rows[name] = {
            "title": method.title,
            "kind": method.kind,
            "paper": method.paper,
            "forward": forward,
            "backward": backward,
            "signed": method.signed,
            "complete": method.complete,
            "by_class": method.by_class,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")


def completeness_error(
    model: keras.Model,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    target: Target = "crack",
    baseline: Baseline | None = None,
) -> np.ndarray:
    r"""Return what is missing in maps that ought to add up: :math:`\sum L - (z(x) - z_0)`.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
    maps : float32 (N, h, w)
        Of `images`, as a method gave them; cells of a layer without upsampling.
    target : str or int
    baseline : optional
        What the maps were made against, as for :func:`integrated_gradients`; :math:`z_0` is its logit. None: the bias.

    Returns
    -------
    numpy.ndarray
        float32 (N,), in logits. Put it into proportion to ``z - z_0``, and beware where that is small.

    Raises
    ------
    CrackvizError
        Where images and maps differ in number, or the arguments are wrong.

    Notes
    -----
    Sundararajan et al. 2017 call it completeness; others, efficiency or summation to delta. ``THEORY.md`` T7.
    """
    images = check_images(model, images)
    if len(maps) != len(images):
        raise CrackvizError(f"{len(maps)} maps for {len(images)} images; expected one each.")
    column, sign = target_index(model, target)
    scores = logits(model, images).reshape(len(images), -1)[:, column]
    if baseline is None:
        zero = bias(model)[column]
    else:
        nothing = np.ascontiguousarray(baseline_images(images, baseline))
        zero = logits(model, nothing).reshape(len(images), -1)[:, column]
    return (maps.sum(axis=(1, 2), dtype=np.float64) - sign * (scores - zero)).astype(np.float32)
