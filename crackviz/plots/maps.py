"""Displays of attribution maps on images: of one method, of several, of one at several layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crackviz import CrackvizError
from crackviz.contracts import check_choice, check_lengths, check_maps
from crackviz.plots.drawing import (
    FONT,
    Display,
    Maker,
    Scale,
    add_color_bar,
    even_columns,
    in_words,
    outline,
    overlay,
    scale_limits,
    scale_text,
    some_axes,
    square,
    title_lines,
    widened,
)

PER_CELL = "[logits per cell]"


def _check(images: np.ndarray, maps: Mapping[str, np.ndarray], masks: np.ndarray | None) -> None:
    if np.ndim(images) != 4 or not len(images):
        raise CrackvizError(f"Images have shape {np.shape(images)}; expected (N, H, W, 3), N > 0.")
    if not maps:
        raise CrackvizError("There is no map to draw; expected a mapping of method to maps.")
    for name, values in maps.items():
        check_maps(values, np.shape(images)[:3], f"Maps of {name!r}" if name else "Maps")
    check_lengths(images=images, masks=masks)


def _headings(
    images: np.ndarray, titles: Sequence[str] | None, logits: Sequence[float] | np.ndarray | None
) -> list[str] | None:
    """Return what is written above each image: its title, its logit, or both."""
    check_lengths(images=images, titles=titles, logits=logits)
    if logits is None:
        return None if titles is None else list(titles)
    values = [f"logit {value:+.1f}" for value in logits]
    return values if titles is None else [f"{title}\n{value}" for title, value in zip(titles, values, strict=True)]


def _drawn_how(label: str, widen: int, percentile: float) -> str:
    """Return the label of a colour bar, and under it what was done to the maps for the eye."""
    done = [f"widened by {widen} px"] if widen else []
    done += [f"full colour from\npercentile {percentile:g} on"] if percentile < 100 else []
    return "\n".join([label, *done])


@dataclass
class AttributionDisplay(Display):
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
        Images in a row; by default at most 4, so that each is large enough for the back row.
    logits : sequence of float (N,), optional
        Written above each image.
    widen, percentile
        For thin maps: see :func:`widened` and :func:`scale_limits`. Both are said on the colour bar.
    """

    images: np.ndarray
    maps: np.ndarray
    _: KW_ONLY
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    target: str = "crack"
    label: str | None = None
    masks: np.ndarray | None = None
    columns: int | None = None
    logits: Sequence[float] | np.ndarray | None = None
    widen: int = 0
    percentile: float = 100

    from_maps = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least 2 N axes: images, then maps), or on a new figure."""
        _check(self.images, {"": self.maps}, self.masks)
        count = len(self.images)
        columns = min(count, self.columns or even_columns(count)) if ax is None else count
        rows = -(-count // columns)
        size = 2 * rows * columns
        lines = title_lines(_headings(self.images, self.titles, self.logits))
        _, axes = some_axes(ax, size, columns, (2.3 + 1.2 / columns, 2.3 + 0.11 * lines))
        turns = axes.ravel()[:size].reshape(rows, 2, columns)  # a row of images, a row of their maps
        pairs = turns.swapaxes(0, 1).reshape(2, -1)[:, :count]
        limits = scale_limits(self.maps, self.scale, self.percentile)
        against = " (blue: against)" if limits[0][0] < 0 else ""
        label = self.label or f"evidence for {self.target}{against}\n{PER_CELL}"
        one_bar = len(set(limits)) == 1 and limits[0][0] < limits[0][1]
        AttributionGridDisplay(
            self.images,
            {"": self.maps},
            titles=self.titles,
            scale=limits[0] if one_bar else self.scale,
            label=_drawn_how(label, 0, self.percentile) if one_bar else label,
            masks=self.masks,
            rows="methods",
            logits=self.logits,
            widen=self.widen,
            percentile=100 if one_bar else self.percentile,
        ).plot(pairs)
        for axis in pairs[1]:  # wider than a grid's
            axis.title.set_fontsize(FONT)
        return self._drawn(axes)


@dataclass
class AttributionGridDisplay(Display):
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
    logits : sequence of float (N,), or mapping of str to such, optional
        Written with each image; a mapping of method to logits, of several networks, above each map.
    widen, percentile
        For thin maps: see :func:`widened` and :func:`scale_limits`. Both are said on the colour bars.
    """

    images: np.ndarray
    maps: Mapping[str, np.ndarray]
    _: KW_ONLY
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    label: str | Mapping[str, str] | None = None
    masks: np.ndarray | None = None
    rows: str | None = None
    logits: Sequence[float] | np.ndarray | Mapping[str, Sequence[float]] | None = None
    widen: int = 0
    percentile: float = 100

    from_maps = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least N x (methods + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (methods + 1, N) or (N, methods + 1), as the figure is laid out; (1, methods + 1) for one.
        """
        _check(self.images, self.maps, self.masks)
        if self.rows is not None:
            check_choice("rows", self.rows, ("methods", "images"))
        headings = _headings(self.images, self.titles, None if isinstance(self.logits, Mapping) else self.logits)
        count, methods = len(self.images), len(self.maps)
        wrap = count == 1 and self.rows is None
        down = self.rows == "methods" or (self.rows is None and methods >= count > 1)
        shape = (methods + 1, count) if down else (count, methods + 1)
        width, height = 2.2 * shape[1] + 1.3, 2.2 * shape[0] + (0.8 if down else 1.3)
        height += 0.2 * (
            shape[0] if self.scale == "image" or isinstance(self.logits, Mapping) else 1
        ) + 0.2 * title_lines(headings)
        cell = (2.4, 3.1) if wrap else (width / shape[1], height / shape[0])
        size = shape[0] * shape[1]
        figure, axes = some_axes(ax, size, 4 if wrap else shape[1], cell)
        axes = axes.ravel()[:size].reshape(shape)
        table = axes.T if down else axes  # one row an image
        for i, axis in enumerate(table[:, 0]):
            axis.imshow(self.images[i], vmin=0, vmax=1)
            axis.axis("off")
            if headings is not None and (down or wrap):
                axis.set_title(headings[i], fontsize=FONT)
            elif headings is not None:
                _side(axis, headings[i])
        for column, name in zip(table.T[1:], self.maps, strict=True):
            self._plot_method(column, name, down)
        if isinstance(self.scale, tuple):
            label = self.label if isinstance(self.label, str) else "raw value"
            add_color_bar(figure, axes.ravel().tolist(), self.scale, _drawn_how(label, self.widen, self.percentile))
        return self._drawn(axes)

    def _plot_method(self, axes: np.ndarray, name: str, down: bool) -> None:
        limits = scale_limits(
            self.maps[name], self.scale, self.percentile
        )  # of what was measured, not of what is drawn
        maps = widened(self.maps[name], self.widen)
        for i, axis in enumerate(axes):
            overlay(axis, self.images[i], maps[i], limits[i])
            if self.masks is not None:
                outline(axis, self.masks[i], self.widen + 1 if self.widen else 0)
            if self.scale == "image":
                axis.set_title(scale_text(limits[i]), fontsize=FONT - 1)
            elif not maps[i].any():
                axis.set_title("the map is zero", fontsize=FONT)
            if isinstance(self.logits, Mapping):
                axis.set_title(f"logit {self.logits[name][i]:+.1f}  {axis.get_title()}".strip(), fontsize=FONT)
        if down:
            _side(axes[0], name)
        else:
            axes[0].set_title("\n".join(filter(None, [name, axes[0].get_title()])), fontsize=FONT)
        if self.scale == "shared" and limits[0][0] < limits[0][1]:
            unit = self.label.get(name) if isinstance(self.label, Mapping) else self.label
            share = 1 / len(axes)
            options: dict[str, Any] = {"location": "right", "aspect": 12, "fraction": 0.12}
            if not down:
                options = {"location": "bottom" if len(axes) <= 4 else "top", "aspect": 10}
                options |= {"fraction": 0.1 * share, "pad": 0.04 * share}
            label = _drawn_how("raw value" if unit is None else unit, self.widen, self.percentile)
            add_color_bar(axes[0].figure, axes.tolist(), limits[0], label, **options)


def _side(axis: Axes, text: str) -> None:
    """Write `text` up the left side of an axis, also of one that is switched off."""
    place: dict[str, Any] = {"rotation": 90, "ha": "right", "va": "center", "multialignment": "center"}
    axis.annotate(text, (0, 0.5), (-6, 0), xycoords="axes fraction", textcoords="offset points", fontsize=FONT, **place)


@dataclass
class LadderDisplay(Display):
    """One method at several layers: each layer's map, how large its cells are, and what one cell sees.

    A column for each layer, a row for each image. Layers and their colour bars are numbered alike. In the first row one
    cell in the middle is drawn (solid), with the square that it sees, its receptive field (dashed).

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
    _: KW_ONLY
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    label: str | Mapping[str, str] | None = None
    masks: np.ndarray | None = None
    logits: Sequence[float] | np.ndarray | None = None

    from_maps = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least N x (layers + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (N, layers + 1).
        """
        if missing := [name for name in self.maps if name not in self.ladder.index]:
            raise CrackvizError(
                f"The ladder doesn't hold {', '.join(map(repr, missing))}; expected layers of "
                f"{', '.join(map(str, self.ladder.index))}."
            )
        cells, fields = (self.ladder[column].astype(float).to_dict() for column in ("cell", "receptive_field"))
        numbers = {name: number for number, name in enumerate(self.maps, 1)}  # of the scales, which are read one by one
        texts = {
            name: f"{numbers[name]}. {in_words(name)}\ncell {_px(cells[name])}, sees {_px(fields[name])}"
            for name in self.maps
        }
        unit = PER_CELL if self.label is None else self.label
        label = dict(unit) if isinstance(unit, Mapping) else dict.fromkeys(self.maps, unit)
        label = {texts[name]: f"{numbers[name]}. {text}" for name, text in label.items() if name in texts}
        grid = AttributionGridDisplay(
            self.images,
            {texts[name]: maps for name, maps in self.maps.items()},
            titles=self.titles,
            scale=self.scale,
            label=label,
            masks=self.masks,
            rows="images",
            logits=self.logits,
        ).plot(ax)
        height, width = self.images.shape[1:3]
        for axis, name in zip(grid.ax_[0, 1:], self.maps, strict=True):
            for side, style in ((cells[name], "-"), (fields[name], "--")):
                if np.isfinite(side):
                    square(axis, (height / 2, width / 2), side, style)
        if ax is None:
            lines = [Line2D([], [], color="black", linestyle=style) for style in ("-", "--")]
            place: dict[str, Any] = {"loc": "outside upper left", "frameon": False, "ncols": 2}
            grid.figure_.legend(lines, ["one cell", "what it sees"], fontsize=FONT - 1, **place)
        return self._drawn(grid.ax_)


def _px(value: float) -> str:
    return f"{value:.0f} px" if np.isfinite(value) else "?"
