"""Displays of maps on images: attributions, the ladder of layers, activation maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from crackviz import CrackvizError
from crackviz.plots.drawing import (
    FONT,
    Scale,
    add_color_bar,
    check_count,
    check_finite,
    check_maps,
    color_map,
    given_axes,
    new_axes,
    outline,
    overlay,
    scale_limits,
    scale_text,
    title_lines,
    unit_of,
)


@dataclass
class ActivationMapsDisplay:
    """Images, and the maps of some channels of a layer for each, cell by cell.

    A single image is laid out in rows of six, several have a row each. Nothing is smoothed: a cell is a square.

    Parameters
    ----------
    images : float (N, H, W, 3), in [0, 1]
    maps : float (N, h, w, C)
        In the order in which they are drawn.
    channels : int (N, C), optional
        The maps' numbers in the layer.
    contributions : float (N, C), optional
        To the logit, written above each map.
    titles : sequence of str (N,), optional
        Of the images.
    count : int
        Maps drawn for each image: the first so many.
    scale : "image", "shared" or (vmin, vmax)
        "shared": one colour bar for all that is drawn; "image": each by its own largest value, written above it.
    label : str
        Of the colour bar.
    """

    images: np.ndarray
    maps: np.ndarray
    channels: np.ndarray | None = None
    contributions: np.ndarray | None = None
    titles: Sequence[str] | None = None
    count: int = 11
    scale: Scale = "shared"
    label: str = "activation"
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_maps(
        cls,
        images: np.ndarray,
        maps: np.ndarray,
        *,
        channels: np.ndarray | None = None,
        contributions: np.ndarray | None = None,
        titles: Sequence[str] | None = None,
        count: int = 11,
        scale: Scale = "shared",
        label: str = "activation",
        ax: Any = None,
    ) -> ActivationMapsDisplay:
        """Draw `images` and `maps`; see the class for the arguments."""
        return cls(images, maps, channels, contributions, titles, count, scale, label).plot(ax)

    def plot(self, ax: Any = None) -> ActivationMapsDisplay:
        """Draw on `ax` (an array of at least N x (1 + maps) axes, in rows), or on a new figure.

        ``ax_`` is an array (N, 1 + maps).
        """
        number = len(self.images)
        if number == 0 or np.ndim(self.maps) != 4 or len(self.maps) != number:
            raise CrackvizError(
                f"Maps of shape {np.shape(self.maps)} for {number} images; expected (N, h, w, C), N > 0."
            )
        check_finite("Maps", self.maps)
        for name, values in (
            ("titles", self.titles),
            ("channels", self.channels),
            ("contributions", self.contributions),
        ):
            check_count(name, values, number)
        shown = np.moveaxis(self.maps[..., : self.count], 3, 1)
        shape = (number, 1 + shown.shape[1])
        lines = 1 + (self.contributions is not None) + (self.scale == "image")
        cell = (1.9, 1.9 + 0.2 * lines)
        if ax is None and number == 1:
            figure, axes = new_axes(shape[1], 6, cell)
            axes = axes.ravel()[: shape[1]]
        elif ax is None:
            figure, axes = new_axes(shape[0] * shape[1], shape[1], cell)
        else:
            figure, axes = given_axes(ax, shape[0] * shape[1])
        axes = axes.ravel()[: shape[0] * shape[1]].reshape(shape)
        limits = scale_limits(shown.reshape(-1, *shown.shape[2:]), self.scale)
        for n, row in enumerate(axes):
            row[0].imshow(self.images[n], vmin=0, vmax=1)
            row[0].set_title(self.titles[n] if self.titles is not None else "", fontsize=FONT)
            for k, axis in enumerate(row[1:]):
                self._plot_map(axis, n, k, shown[n, k], limits[n * shown.shape[1] + k])
            for axis in row:
                axis.axis("off")
        if self.scale != "image" and limits and limits[0][0] < limits[0][1]:
            add_color_bar(figure, axes.ravel().tolist(), limits[0], self.label)
        self.figure_, self.ax_ = figure, axes
        return self

    def _plot_map(self, axis: Any, n: int, k: int, values: np.ndarray, limits: tuple[float, float]) -> None:
        low, high = limits
        axis.imshow(
            values, cmap=color_map(limits), vmin=low, vmax=high if low < high else low + 1, interpolation="nearest"
        )
        texts = [f"channel {self.channels[n, k]}" if self.channels is not None else ""]
        if self.contributions is not None:
            texts.append(f"{self.contributions[n, k]:+.2f}")
        if not values.any():
            texts.append("the map is zero")
        elif self.scale == "image":
            texts.append(scale_text(limits))
        axis.set_title("\n".join(filter(None, texts)), fontsize=FONT)


PER_CELL = "[logits per cell]"


def _headings(
    titles: Sequence[str] | None, logits: Sequence[float] | np.ndarray | None, count: int
) -> list[str] | None:
    """Return what is written above each image: its title, its logit, or both."""
    check_count("titles", titles, count)
    check_count("logits", logits, count)
    if logits is None:
        return None if titles is None else list(titles)
    values = [f"logit {value:+.1f}" for value in logits]
    return values if titles is None else [f"{title}\n{value}" for title, value in zip(titles, values, strict=True)]


@dataclass
class AttributionDisplay:
    """Images and, under each, its attribution map laid over it in grey.

    A signed map is drawn in a diverging colour map centred at 0 (red: for the target, blue: against it), a map
    without negative values in a one-sided one. The stronger the evidence, the more opaque; a map that is zero
    everywhere shows the bare image and says so.

    Parameters
    ----------
    images : float (N, H, W, 3), in [0, 1]
    maps : float (N, H, W)
        Raw, as an attribution method returns them.
    titles : sequence of str (N,), optional
    scale : "image", "shared" or (vmin, vmax)
        See :func:`scale_limits`.
    target : str
        What positive values speak for; named on the colour bar.
    label : str, optional
        Of the colour bar, where the values are no logits of `target`.
    masks : bool (N, H, W), optional
        Outlined on the maps.
    columns : int, optional
        Images in a row; at most 6 by default.
    logits : sequence of float (N,), optional
        Written above each image.
    """

    images: np.ndarray
    maps: np.ndarray
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    target: str = "crack"
    label: str | None = None
    masks: np.ndarray | None = None
    columns: int | None = None
    logits: Sequence[float] | np.ndarray | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_maps(
        cls,
        images: np.ndarray,
        maps: np.ndarray,
        *,
        titles: Sequence[str] | None = None,
        scale: Scale = "shared",
        target: str = "crack",
        label: str | None = None,
        masks: np.ndarray | None = None,
        columns: int | None = None,
        logits: Sequence[float] | np.ndarray | None = None,
        ax: Any = None,
    ) -> AttributionDisplay:
        """Draw `images` and `maps`; see the class for the arguments."""
        return cls(images, maps, titles, scale, target, label, masks, columns, logits).plot(ax)

    def plot(self, ax: Any = None) -> AttributionDisplay:
        """Draw on `ax` (an array of at least 2 N axes: images, then maps), or on a new figure."""
        check_maps("Maps", self.maps, self.images)
        count = len(self.images)
        titles = _headings(self.titles, self.logits, count)
        check_count("masks", self.masks, count)
        if ax is None:
            columns = min(count, self.columns or 6)
            rows = 2 * -(-count // columns)
            size = (2.1 * columns + 1.2, (2.1 + 0.11 * title_lines(titles)) * rows)
            figure = plt.figure(figsize=size, layout="constrained")
            axes = figure.subplots(rows, columns, squeeze=False)
            pairs = [
                (axes[2 * (i // columns), i % columns], axes[2 * (i // columns) + 1, i % columns]) for i in range(count)
            ]
            for axis in axes.flat:
                axis.axis("off")
        else:
            figure, axes = given_axes(ax, 2 * count)
            pairs = list(zip(axes.flat[:count], axes.flat[count : 2 * count], strict=True))
        limits = scale_limits(self.maps, self.scale)
        for i, (above, below) in enumerate(pairs):
            above.imshow(self.images[i], vmin=0, vmax=1)
            above.axis("off")
            if titles is not None:
                above.set_title(titles[i], fontsize=FONT)
            _draw_map(below, self.images[i], self.maps[i], limits[i], self.masks[i] if self.masks is not None else None)
        if len(set(limits)) == 1 and limits[0][0] < limits[0][1]:
            against = " (blue: against)" if limits[0][0] < 0 else ""
            label = self.label or f"evidence for {self.target}{against}\n{PER_CELL}"
            add_color_bar(figure, axes, limits[0], label)
        elif self.scale == "image":
            for (_, below), limit in zip(pairs, limits, strict=True):
                below.set_title(scale_text(limit), fontsize=FONT)
        self.figure_, self.ax_ = figure, axes
        return self


def _draw_map(
    axis: Axes, image: np.ndarray, values: np.ndarray, limits: tuple[float, float], mask: np.ndarray | None
) -> None:
    overlay(axis, image, values, limits)
    if mask is not None:
        outline(axis, mask)
    if not values.any():
        axis.set_title("the map is zero", fontsize=FONT)


@dataclass
class AttributionGridDisplay:
    """Several maps of each image: methods against images, every method on a named scale of its own.

    The first row (or column) shows the images. Methods have different units, so each has one colour bar, which holds
    for all its maps, except with scale="image", where each map says its own scale, and with a pair, where one bar holds
    for all. The maps of a single image are laid out in rows of six.

    Parameters
    ----------
    images : float (N, H, W, 3), in [0, 1]
    maps : mapping of str to float (N, H, W)
        Method -> its maps of all the images, raw and of the images' size.
    titles : sequence of str (N,), optional
        Of the images.
    scale : "image", "shared" or (vmin, vmax)
        "shared" is shared by the images, not by the methods. See :func:`scale_limits`.
    label : str or mapping of str to str, optional
        Of the colour bars: for all, or by method. Say the unit; without it the bars say "raw value".
    masks : bool (N, H, W), optional
        Outlined on the maps.
    rows : "methods" or "images", optional
        What goes down the page; by default whichever there is more of, and neither for a single image.
    logits : sequence of float (N,), optional
        Written with each image.
    """

    images: np.ndarray
    maps: Mapping[str, np.ndarray]
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    label: str | Mapping[str, str] | None = None
    masks: np.ndarray | None = None
    rows: str | None = None
    logits: Sequence[float] | np.ndarray | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_maps(
        cls,
        images: np.ndarray,
        maps: Mapping[str, np.ndarray],
        *,
        titles: Sequence[str] | None = None,
        scale: Scale = "shared",
        label: str | Mapping[str, str] | None = None,
        masks: np.ndarray | None = None,
        rows: str | None = None,
        logits: Sequence[float] | np.ndarray | None = None,
        ax: Any = None,
    ) -> AttributionGridDisplay:
        """Draw `images` and `maps`; see the class for the arguments."""
        return cls(images, maps, titles, scale, label, masks, rows, logits).plot(ax)

    def plot(self, ax: Any = None) -> AttributionGridDisplay:
        """Draw on `ax` (an array of at least N x (methods + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (methods + 1, N) or (N, methods + 1), as the figure is laid out; (1, methods + 1) for one.
        """
        count, methods = len(self.images), list(self.maps)
        if not methods:
            raise CrackvizError("There is no map to draw; expected a mapping of method to maps.")
        for name in methods:
            check_maps(f"Maps of {name!r}", self.maps[name], self.images)
        check_count("masks", self.masks, count)
        if self.rows not in (None, "methods", "images"):
            raise CrackvizError(f"rows is {self.rows!r}; expected 'methods' or 'images'.")
        wrap = count == 1 and self.rows is None
        down = self.rows == "methods" or (self.rows is None and len(methods) >= count > 1)
        shape = (len(methods) + 1, count) if down else (count, len(methods) + 1)
        headings = _headings(self.titles, self.logits, count)
        if ax is None and wrap:
            figure, axes = new_axes(len(methods) + 1, 6, (2.1, 2.9))
            axes = axes.ravel()[np.newaxis, : len(methods) + 1]
        elif ax is None:
            lines = title_lines(headings)
            width, height = 1.75 * shape[1] + 1.3, 1.75 * shape[0] + (0.8 if down else 1.3)
            height += 0.2 * (shape[0] if self.scale == "image" else 1) + 0.2 * lines
            figure = plt.figure(figsize=(width, height), layout="constrained")
            axes = figure.subplots(*shape, squeeze=False)
        else:
            figure, axes = given_axes(ax, shape[0] * shape[1])
            axes = axes.ravel()[: shape[0] * shape[1]].reshape(shape)
        for axis in axes.flat:
            axis.axis("off")
        table = axes.T if down else axes  # one row an image
        for i, axis in enumerate(table[:, 0]):
            axis.imshow(self.images[i], vmin=0, vmax=1)
            if headings is not None:
                (_title if down or wrap else _side)(axis, headings[i])
        for number, name in enumerate(methods, start=1):
            self._plot_method(figure, table[:, number], name, down)
        if isinstance(self.scale, tuple):
            add_color_bar(
                figure, axes.ravel().tolist(), self.scale, self.label if isinstance(self.label, str) else "raw value"
            )
        self.figure_, self.ax_ = figure, axes
        return self

    def _plot_method(self, figure: Any, axes: np.ndarray, name: str, down: bool) -> None:
        limits = scale_limits(self.maps[name], self.scale)
        for i, axis in enumerate(axes):
            mask = self.masks[i] if self.masks is not None else None
            _draw_map(axis, self.images[i], self.maps[name][i], limits[i], mask)
            if self.scale == "image":
                axis.set_title(scale_text(limits[i]), fontsize=FONT - 1)
        if down:
            _side(axes[0], name)
        else:
            below = axes[0].get_title()
            _title(axes[0], f"{name}\n{below}" if below else name)
        if self.scale == "shared" and limits[0][0] < limits[0][1]:
            label = unit_of(self.label, name, "raw value")
            if down:
                add_color_bar(figure, axes.tolist(), limits[0], label, "right", aspect=12, fraction=0.12)
            else:
                place, share = "bottom" if len(axes) <= 4 else "top", 1 / len(axes)
                add_color_bar(
                    figure, axes.tolist(), limits[0], label, place, aspect=10, fraction=0.1 * share, pad=0.04 * share
                )


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, fontsize=FONT)


def _side(axis: Axes, text: str) -> None:
    """Write `text` up the left side of an axis, also of one that is switched off."""
    axis.annotate(
        text,
        (0, 0.5),
        (-6, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="center",
        multialignment="center",
        fontsize=FONT,
    )


@dataclass
class LadderDisplay:
    """One method at several layers: each layer's map, how large its cells are, and what one cell sees.

    A column for each layer, a row for each image. In the first row one cell in the middle is drawn (solid), with
    the square that it sees, its receptive field (dashed).

    Parameters
    ----------
    images : float (N, H, W, 3), in [0, 1]
    maps : mapping of str to float (N, H, W)
        Layer -> its maps of all the images, raw and of the images' size.
    ladder : pandas.DataFrame
        As :func:`crackviz.attribution.ladder` returns it: indexed by layer, with columns ``cell`` and
        ``receptive_field`` in input px.
    titles : sequence of str (N,), optional
        Of the images.
    scale : "image", "shared" or (vmin, vmax)
        "shared" is shared by the images, not by the layers: a layer of many small cells has less in each.
    label : str or mapping of str to str, optional
        Of the colour bars: for all, or by layer.
    masks : bool (N, H, W), optional
        Outlined on the maps.
    logits : sequence of float (N,), optional
        Written with each image.
    """

    images: np.ndarray
    maps: Mapping[str, np.ndarray]
    ladder: pd.DataFrame
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    label: str | Mapping[str, str] | None = None
    masks: np.ndarray | None = None
    logits: Sequence[float] | np.ndarray | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_maps(
        cls,
        images: np.ndarray,
        maps: Mapping[str, np.ndarray],
        ladder: pd.DataFrame,
        *,
        titles: Sequence[str] | None = None,
        scale: Scale = "shared",
        label: str | Mapping[str, str] | None = None,
        masks: np.ndarray | None = None,
        logits: Sequence[float] | np.ndarray | None = None,
        ax: Any = None,
    ) -> LadderDisplay:
        """Draw the `maps` of the layers of `ladder`; see the class for the arguments."""
        return cls(images, maps, ladder, titles, scale, label, masks, logits).plot(ax)

    def plot(self, ax: Any = None) -> LadderDisplay:
        """Draw on `ax` (an array of at least N x (layers + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (N, layers + 1).
        """
        missing = [name for name in self.maps if name not in self.ladder.index]
        if missing:
            raise CrackvizError(
                f"The ladder doesn't hold {', '.join(map(repr, missing))}; expected layers of "
                f"{', '.join(map(str, self.ladder.index))}."
            )
        cells, fields = (self.ladder[column].astype(float).to_dict() for column in ("cell", "receptive_field"))
        texts = {name: f"{name}: cell {_px(cells[name])}\nsees {_px(fields[name])}" for name in self.maps}
        label = PER_CELL if self.label is None else self.label
        if isinstance(label, Mapping):
            label = {texts[name]: text for name, text in label.items() if name in texts}
        grid = AttributionGridDisplay(
            self.images,
            {texts[name]: maps for name, maps in self.maps.items()},
            self.titles,
            self.scale,
            label,
            self.masks,
            "images",
            self.logits,
        ).plot(ax)
        self.figure_, self.ax_ = grid.figure_, grid.ax_
        height, width = self.images.shape[1:3]
        for axis, name in zip(self.ax_[0, 1:], self.maps, strict=True):
            for side, style in ((cells[name], "-"), (fields[name], "--")):
                if np.isfinite(side):
                    square(axis, (height / 2, width / 2), side, style)
        lines = [Line2D([], [], color="black", linestyle=style) for style in ("-", "--")]
        if ax is None:
            self.figure_.legend(
                lines, ["one cell", "what it sees"], loc="outside upper left", fontsize=FONT - 1, frameon=False, ncols=2
            )
        return self


def _px(value: float) -> str:
    return f"{value:.0f} px" if np.isfinite(value) else "?"


def square(axis: Axes, centre: tuple[float, float], side: float, style: str = "-", color: str = "black") -> None:
    """Draw the outline of a square of pixels, cut off at the picture's border.

    Parameters
    ----------
    axis : matplotlib axis
        Holds a picture.
    centre : (float, float)
        Row and column, counted from the picture's upper left corner.
    side : float
        In px.
    style, color : str
        Of the line.
    """
    low, high = axis.get_xlim(), sorted(axis.get_ylim())
    corners = [
        (max(middle - side / 2, 0) - 0.5, min(middle + side / 2 - 0.5, limit[1]))
        for middle, limit in zip(centre, (high, low), strict=True)
    ]
    (top, bottom), (left, right) = corners
    patch = Rectangle((left, top), right - left, bottom - top, fill=False, linestyle=style, edgecolor=color)
    width = 1.5 if side > 0.06 * (high[1] - high[0]) else 0.8
    patch.set(linewidth=width, path_effects=[withStroke(linewidth=2 * width, foreground="white")])
    axis.add_patch(patch)
