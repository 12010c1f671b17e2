"""Where in an image a decision comes from (``THEORY.md`` T6, T7).

One function per method, one signature::

    METHODS[name](model, images, *, target="crack", layer=None, upsample=True) -> float32 (N, H, W)

A map is raw and signed: positive where the image speaks for the target, negative where it speaks against it, in
logits per position where its method has such a unit. Scaling is left to the display.
"""

from __future__ import annotations

from crackviz.attribution.ablation_cam import ablation_cam
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
from crackviz.attribution.deep_lift import deep_lift
from crackviz.attribution.gradients import (
    Baseline,
    baseline_images,
    gradient,
    input_x_gradient,
    integrated_gradients,
    smooth_grad,
)
from crackviz.attribution.guided import guided_backprop
from crackviz.attribution.methods import METHODS, completeness_error, methods_table
from crackviz.attribution.network import (
    CHUNK,
    Layer,
    Target,
    adds_up,
    bias,
    check_images,
    default_layer,
    logits,
    target_index,
)
from crackviz.attribution.occlusion import lime, occlusion, rise
from crackviz.attribution.receptive_fields import ladder, measured_field
from crackviz.attribution.registry import Method
from crackviz.attribution.thin_cam import thin_cam

__all__ = [
    "CHUNK",
    "METHODS",
    "Baseline",
    "Layer",
    "Method",
    "Target",
    "ablation_cam",
    "adds_up",
    "baseline_images",
    "bias",
    "cam",
    "check_images",
    "completeness_error",
    "darkness",
    "deep_lift",
    "default_layer",
    "edges",
    "eigen_cam",
    "grad_cam",
    "grad_cam_plus_plus",
    "gradient",
    "guided_backprop",
    "hires_cam",
    "input_x_gradient",
    "integrated_gradients",
    "ladder",
    "layer_cam",
    "lime",
    "local_darkness",
    "logits",
    "measured_field",
    "methods_table",
    "occlusion",
    "random",
    "rise",
    "score_cam",
    "smooth_grad",
    "target_index",
    "thin_cam",
    "xgrad_cam",
]
