"""The map of a whole photograph, tile by tile, exactly as one pass would give it; and the logit of every window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import lcm
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.network import Network, bias, check_network, compiled, direction, feeds_the_end, map_layers
from crackviz.attribution.receptive_fields import field_box, ladder
from crackviz.contracts import check_number
from crackviz.inspection.photographs import Photograph, let_go
from crackviz.models import one_logit, resized
from crackviz.models.graph import walk
from crackviz.models.shipped import shipped_as

WINDOW = 128
"""Side of the windows that are answered and judged one by one [px]: what the shipped networks were taught on."""
TILE = 1024
"""Side of a tile [px], less its surroundings."""


@dataclass(frozen=True)
class Surroundings:
    """What a tile needs around it, so that its map is that of the whole photograph.

    ``layer`` is the one whose map adds up to the logit; tiles begin at multiples of ``period`` px; ``reach`` is how far
    a cell of the map looks beyond itself, at most [px].
    """

    layer: str
    period: int
    reach: int

    @property
    def margin(self) -> int:
        """Reach, in whole periods [px]."""
        return -(-self.reach // self.period) * self.period


def surroundings(model: keras.Model) -> Surroundings:
    """Find from a network's graph what its tiles need around them.

    Parameters
    ----------
    model : keras.Model
        One whose images may have any size (:func:`crackviz.models.resized` with None).

    Returns
    -------
    Surroundings

    Raises
    ------
    CrackvizError
        Where tiles can't equal one pass: a layer reads the whole picture at once, or isn't known; the map doesn't feed
        a global average and that the last layer; or it has no cell for every pixel.
    """
    names = [name for name in map_layers(model) if feeds_the_end(model, name)]
    if not names:
        raise CrackvizError(
            f"{model.name!r} averages no map into its logit, so a photograph has no exact map. Take a network that "
            "ends in a global average and one Dense layer, such as trace_cnn or local_cnn."
        )
    layer = names[-1]
    table = ladder(model)
    seen = table.loc[:layer]
    unknown = seen.index[seen["receptive_field"].isna()]
    if len(unknown):
        unsure = str(unknown[0])
        kind = type(walk(model)[unsure].layer).__name__
        raise CrackvizError(
            f"What a cell sees through {kind} {unsure!r} of {model.name!r} isn't known or has no bound, so tiles "
            "can't be shown to equal one pass. Take trace_cnn or local_cnn."
        )
    stride = float(seen["stride"].iloc[-1])
    if stride != 1:
        raise CrackvizError(
            f"The map {layer!r} of {model.name!r} has a cell for every {stride:.0f} px; lines are "
            "drawn from a map with one for every pixel. Take trace_cnn or local_cnn."
        )
    period = lcm(*(int(stride) for stride in seen["stride"] if stride >= 1))
    side = period * (2 * int(-(-seen["receptive_field"].max() // period)) + 3)
    middle = side // period // 2 * period
    reach = 0
    for cell in range(middle, middle + period):
        top, left, bottom, right = field_box(model, layer, (cell, cell), (side, side), clip=False)
        after = field_box(model, layer, (cell + period, cell + period), (side, side), clip=False)
        if after != (top + period, left + period, bottom + period, right + period):
            raise CrackvizError(
                f"{model.name!r} treats places in the picture differently, so it can't be cut in tiles."
            )
        reach = max(reach, cell - top, bottom - 1 - cell, cell - left, right - 1 - cell)
    return Surroundings(layer, period, reach)


class Mapper:
    """A network that maps photographs exactly.

    Parameters
    ----------
    model : keras.Model
        Two classes.
    tile : int
        Side of a tile, less its surroundings [px]; made a multiple of the network's period. Changes the time and the
        memory that is needed, never the map.

    Attributes
    ----------
    surroundings : Surroundings
    bias : float
        The logit of a window whose map is 0.
    """

    def __init__(self, model: keras.Model, tile: int = TILE) -> None:
        check_number("tile", tile, 1, 8192, whole=True)
        check_network(model)
        self.model = resized(one_logit(model), None)
        if self.model.output_shape[-1] != 1:
            raise CrackvizError(f"{model.name!r} tells {self.model.output_shape[-1]} classes apart; expected two.")
        self.surroundings = surroundings(self.model)
        self.tile = -(-tile // self.surroundings.period) * self.surroundings.period
        self.bias = float(bias(self.model)[0])
        self._along = direction(self.model, "crack")
        self._map = compiled(self.model, _build_map, (self.surroundings.layer,))

    @cached_property
    def shipped(self) -> str:
        """The name under which crackviz ships these weights, or "": asked once, as it reads the shipped file."""
        return shipped_as(self.model)

    def __call__(self, photograph: Photograph, out: np.ndarray, tell: Callable[[int], Any] | None = None) -> np.ndarray:
        """Write the map of a photograph into `out`, float32 (H, W), which may lie on the disk; return it.

        Each pixel holds what the logit of a window would be above the bias if all its pixels held as much: the mean of
        the map over a window, plus the bias, is the window's logit. Right and below, where the sides are no multiples
        of the network's period, the photograph is mirrored; elsewhere its edge is an edge to the network.

        Parameters
        ----------
        photograph : Photograph
        out : float32 (H, W)
        tell : callable, optional
            Called with the number of pixels done since it was last called.
        """
        height, width = out.shape
        for top in range(0, height, self.tile):
            bottom = min(top + self.tile, height)
            first, rows = self._rows(photograph, top, bottom)
            for left in range(0, width, self.tile):
                right = min(left + self.tile, width)
                begin = max(left - self.surroundings.margin, 0)
                end = -(-right // self.surroundings.period) * self.surroundings.period + self.surroundings.margin
                part = self._map(rows[np.newaxis, :, begin:end].astype(np.float32) / 255, self._along)[0]
                out[top:bottom, left:right] = part[top - first : bottom - first, left - begin : right - begin]
                if tell is not None:
                    tell((bottom - top) * (right - left))
            let_go(out)
        return out

    def _rows(self, photograph: Photograph, top: int, bottom: int) -> tuple[int, np.ndarray]:
        """Return the rows that a row of tiles needs, mirrored to whole periods, and which is the first of them."""
        period, margin = self.surroundings.period, self.surroundings.margin
        first = max(top - margin, 0)
        last = -(-bottom // period) * period + margin
        whole = -(-photograph.height // period) * period
        rows = photograph.rows(first, min(last, photograph.height))
        below = max(min(last, whole) - photograph.height, 0)
        right = -photograph.width % period
        return first, np.pad(rows, ((0, below), (0, right), (0, 0)), "symmetric")


def _build_map(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, tf.TensorSpec((None,), tf.float32)])
    def explain(images: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        weights = tf.tensordot(tf.cast(network.dense.kernel, tf.float32), along, 1)
        return tf.tensordot(network.activations(images)[0], weights, 1)

    return explain


def places(length: int, step: int, side: int = WINDOW) -> np.ndarray:
    """Return where windows of `side` px begin along `length` px, `step` apart; the last is moved in to the edge."""
    return np.unique(np.r_[np.arange(0, length - side + 1, step), length - side])


def window_logits(values: np.ndarray, bias: float, side: int = WINDOW, step: int | None = None) -> np.ndarray:
    """Return the logit of every window of a map: the mean of the map over it, plus the bias.

    Parameters
    ----------
    values : float (H, W)
        The map, as :class:`Mapper` gives it.
    bias : float
    side : int
        Of a window [px], at most that of the map.
    step : int, optional
        Between windows [px]; by default `side`, so that none overlap but the last, which are moved in to the edge.

    Returns
    -------
    float64 (rows, columns)
        What the network says of each window with its surroundings in view. Cut out and asked alone, a window's edges
        are edges to it, and its logit a little another. :func:`places` tells where they begin.

    Notes
    -----
    Crow: *Summed-area tables for texture mapping*, SIGGRAPH 1984.
    """
    check_number("side", side, 1, min(values.shape), whole=True)
    step = side if step is None else step
    check_number("step", step, 1, whole=True)
    rows, lefts = [], places(values.shape[1], step, side)
    for top in places(values.shape[0], step, side):  # a stripe at a time: a whole integral image is twice the map
        across = np.concatenate([[0.0], np.cumsum(values[top : top + side].sum(axis=0, dtype=np.float64))])
        rows.append((across[lefts + side] - across[lefts]) / side**2)
        let_go(values)
    return np.stack(rows) + bias
