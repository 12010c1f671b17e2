"""A map for objects thinner than a cell: what the last layer says, drawn where finer layers say it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz.attribution.cams import Layers, over_cells, weigh
from crackviz.attribution.network import (
    VECTOR,
    Network,
    Target,
    check_images,
    compiled,
    direction,
    in_chunks,
    layer_names,
)
from crackviz.attribution.pictures import cells, enlarge
from crackviz.attribution.receptive_fields import ladder
from crackviz.attribution.registry import method


@method("cam", "thin CAM", "crackviz", signed=True, complete=True)
def thin_cam(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: Layers = None, upsample: bool = True
) -> np.ndarray:
    r"""Let the last layer say what, and finer layers where: for objects thinner than a cell.

    A deep cell's evidence may stem from anywhere in its receptive field, and Grad-CAM draws it in the cell's middle,
    often beside the crack. Here the positive evidence :math:`e_k` of each cell k (Grad-CAM) is handed out over what the
    cell saw, a tent :math:`\Lambda_k` as wide as its receptive field, in proportion to the finer layers' own positive
    evidence f (the mean of HiResCAM at the last layer of each smaller stride). What speaks against the target is no
    thin thing: it stays where Grad-CAM draws it.

    .. math:: L_p = f_p \sum_k \frac{T_{kp}\, \max(0, e_k)}{\sum_q T_{kq} f_q} + \text{the negative part, bilinear}

    No evidence is added or lost, so the cells still sum to the logit less the bias. Where the finer layers see nothing,
    f is the same everywhere and the evidence stays where Grad-CAM put it, only wider.

    Arguments, result and errors are those of :func:`grad_cam`, but for `layer`: what is handed out, by default the last
    with a map. Of several layers it is that with the fewest cells; the others say where. Without `upsample` the map is
    (N, h, w) as the finest layer has it; in logits per cell of the finest layer.

    Notes
    -----
    This package's own; ``benchmarks/attribution.py`` measures it on pictures with masks, beside the methods that it is
    made of. With one logit, the thin thing is class 1, "crack", for either target. Guiding it by the picture's darkness
    as well would raise its scores, and its agreement with a mask would no longer be the network's. ``THEORY.md`` T7.
    """
    images, along = check_images(model, images), direction(model, target)
    names = layer_names(model, layer)
    table = ladder(model)
    strides, fields = ({str(k): float(v) for k, v in table[c].items()} for c in ("stride", "receptive_field"))
    if len(names) == 1:
        rungs = list(strides)
        # The last of each stride; but a layer that sees a pixel at a time knows no place better than another.
        last = {strides[name]: name for name in rungs[: rungs.index(names[0])] if fields[name] > 1}
        names = (*(name for stride, name in last.items() if stride < strides[names[0]]), *names)
    names = tuple(sorted(names, key=lambda name: strides[name]))
    reach = fields[names[-1]] / (2 * strides[names[-1]])  # half of what a cell saw, in cells
    reach = 2.0 if np.isnan(reach) else min(max(reach, 1.0), 3.0)  # what lies farther out moves a cell little
    explain = compiled(model, _build_thin, names, reach, bool(upsample))
    sign, along = (along[0], np.ones_like(along)) if len(along) == 1 else (1, along)
    return sign * in_chunks(lambda some: explain(some, along), images)


def _build_thin(network: Network, reach: float, upsample: bool) -> Any:
    def tents(few: tf.Tensor, many: tf.Tensor, reach: float) -> tf.Tensor:
        few, many = tf.cast(few, tf.float32), tf.cast(many, tf.float32)
        place = (tf.range(many) + 0.5) * few / many - 0.5
        return tf.nn.relu(1.0 - tf.abs(place[:, tf.newaxis] - tf.range(few)) / reach)

    def hand_out(evidence: tf.Tensor, by: tf.Tensor, reach: float) -> tf.Tensor:
        few, many = tf.shape(evidence), tf.shape(by)
        rows, columns = (tents(few[axis], many[axis], reach) for axis in (1, 2))
        shares = tf.einsum("pi,npq,qj->nij", rows, by, columns)
        return by * tf.einsum("pi,nij,qj->npq", rows, evidence / shares, columns)

    @tf.function(input_signature=[network.signature, VECTOR])
    def explain(images: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        *fine, (A, G) = network.evidence(images, along)
        maps = what = weigh(A, over_cells(G, tf.reduce_mean))  # as Grad-CAM does
        if fine:
            where = tf.nn.relu(tf.add_n([enlarge(weigh(A, G) * cells(A), fine[0][0]) for A, G in fine]))  # HiResCAM
            where += 1e-3 * tf.reduce_mean(where, axis=(1, 2), keepdims=True)
            where = tf.math.divide_no_nan(where, tf.reduce_max(where, axis=(1, 2), keepdims=True)) + 1e-6
            maps = hand_out(tf.nn.relu(what), where, reach) - hand_out(tf.nn.relu(-what), tf.ones_like(where), 1.0)
        return enlarge(maps, images) if upsample else maps

    return explain
