"""What the displays share: how one is made and kept, axes, scales, colours, the overlay."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy import ndimage

from crackviz import CrackvizError
from crackviz.contracts import check_number, check_options

SIGNED = "vlag"  # perceptually uniform, blue - white - red, safe for colour-blind readers
ONE_SIDED = "inferno"
FOR, AGAINST, UNSIGNED = "#d7191c", "#2c7bb6", "#e08214"  # hues over a grey picture, safe for colour-blind readers
OPACITY = 0.8  # of the largest value: what lies beneath stays visible
COLORS = sns.color_palette("colorblind")
FONT = 11  # of titles, in points: a cell is 2.1 inches wide, so it can be read from the back row
BIG = 15  # the same for curves and tables of scores, which fill the page
Scale = str | tuple[float, float]
SomeDisplay = TypeVar("SomeDisplay", bound="Display")


class Display:
    """What all displays have: ``figure_`` and ``ax_`` (an axis, or an array of them), once they are drawn."""

    ax_: Any = None
    figure_: Any = None

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        raise NotImplementedError

    def _drawn(self, axes: Any) -> Self:
        self.ax_, self.figure_ = axes, np.asarray(axes, dtype=object).flat[0].figure
        return self


class Maker(classmethod):
    """``from_maps = Maker()`` in the body of a display: makes one of what its class takes, and draws it on `ax`.

    Its signature and its help are those of the class, so they are written once.
    """

    def __init__(self) -> None:
        super().__init__(type)  # so that help() lists it rightly; __get__ makes what is called

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, display: object, owner: type[SomeDisplay]) -> Callable[..., SomeDisplay]:  # type: ignore[override]
        def make(*values: Any, ax: Any = None, **options: Any) -> SomeDisplay:
            check_options(make.__qualname__, options, own.parameters)
            return owner(*values, **options).plot(ax)

        own = inspect.signature(owner)
        place = inspect.Parameter("ax", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Any")
        make.__signature__ = own.replace(  # type: ignore[attr-defined]
            parameters=[*own.parameters.values(), place], return_annotation=owner.__name__
        )
        where = textwrap.indent(inspect.getdoc(owner.plot) or "", "    ")
        make.__doc__ = f"{inspect.getdoc(owner)}\nax : axis or array of axes, optional\n{where}"
        make.__name__, make.__qualname__, make.__module__ = self.name, f"{owner.__name__}.{self.name}", owner.__module__
        return make


def given_axes(ax: Any, count: int) -> tuple[Figure, np.ndarray]:
    """Return the figure and array of the axes that a caller gave, at least `count`."""
    axes = np.atleast_1d(np.asarray(ax, dtype=object))
    if axes.size < count:
        raise CrackvizError(f"{count} pictures don't fit on {axes.size} axes; give as many axes as pictures.")
    return axes.flat[0].figure, axes


def even_columns(count: int, most: int = 4) -> int:
    """Return in how many columns so many pictures are laid out: at most `most`, and about as many in each row."""
    rows = max(1, -(-count // most))
    return max(1, -(-count // rows))


MOST = 1000
"""Pictures that a figure holds."""


def some_axes(ax: Any, count: int, columns: int | None, cell: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a figure and an array of at least `count` axes: those given, or new ones in rows, all switched off."""
    if not count:
        raise CrackvizError("There is no image to draw.")
    if ax is not None:
        return given_axes(ax, count)
    if count > MOST:
        raise CrackvizError(
            f"{count:,} pictures in one figure: expected {MOST:,} at most, or it takes minutes and gigabytes. Draw "
            "a part of them (in a notebook: a smaller n_images or the like)."
        )
    columns = min(count, columns or 6)
    rows = -(-count // columns)
    size = (cell[0] * columns, cell[1] * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def panels(ax: Any, count: int, size: tuple[float, float], **options: Any) -> np.ndarray:
    """Return an array of `count` axes for curves: the first of those given, or new ones beside each other."""
    if ax is None:
        _, ax = plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained", **options)
    return given_axes(ax, count)[1].ravel()[:count]


def scale_limits(maps: np.ndarray, scale: Scale, percentile: float = 100) -> list[tuple[float, float]]:
    """Return (vmin, vmax) for each map.

    Parameters
    ----------
    maps : float (N, H, W)
    scale : "image", "shared" or (vmin, vmax)
        "image": each map by its own largest absolute value; "shared": all by the largest of all, so that
        intensities can be compared between images; a pair: as given. Signed maps get limits symmetric about 0,
        so that 0 stays the colour map's middle.
    percentile : float above 0, at most 100
        In place of the largest absolute value that percentile of those above 0 is taken, of each map (under "shared"
        the largest of them): in a thin map one pixel would else make all the others pale.

    Returns
    -------
    list of (float, float)
        (0, 0) for a map that is zero under "image", and for all under "shared" where all are.
    """
    if isinstance(scale, tuple):
        low, high = scale
        if not low < high:
            raise CrackvizError(f"scale is {scale}; expected (vmin, vmax) with vmin < vmax.")
        return [(low, high)] * len(maps)
    if scale not in ("image", "shared"):
        raise CrackvizError(f"scale is {scale!r}; expected 'image', 'shared' or (vmin, vmax).")
    signed = bool((maps < 0).any())
    check_number("percentile", percentile, 0, 100)
    sizes = [size[size > 0] for size in np.abs(maps).reshape(len(maps), -1)]
    tops = np.array([np.percentile(size, percentile) if size.size else 0 for size in sizes])
    if scale == "shared":
        tops = np.full(len(maps), tops.max())
    return [(-float(top) if signed else 0.0, float(top)) for top in tops]


def widened(maps: np.ndarray, pixels: int) -> np.ndarray:
    """Return maps for the eye: each pixel has the value that is largest, by size, of those at most `pixels` away.

    A map a pixel thin can't be seen from the back row. This one no longer adds up to anything; it says *where*, in
    colours that keep their unit.

    Parameters
    ----------
    maps : float (N, H, W)
    pixels : int, from 0 on
        Along rows and columns; 0 returns the maps as they are.
    """
    check_number("widen", pixels, 0, whole=True)
    if not pixels:
        return maps
    square = (1, 2 * pixels + 1, 2 * pixels + 1)
    largest, smallest = ndimage.maximum_filter(maps, square), ndimage.minimum_filter(maps, square)
    return np.where(largest >= -smallest, largest, smallest)


def scale_text(limits: tuple[float, float]) -> str:
    """Say in a title what the colours of one map stand for."""
    low, high = limits
    if low >= high:
        return "the map is zero"
    return f"scale ±{high:.2g}" if low < 0 else f"scale 0 … {high:.2g}"


def color_map(limits: tuple[float, float]) -> Colormap:
    """Return the diverging colours for limits below 0, else the one-sided ones."""
    return sns.color_palette(SIGNED, as_cmap=True) if limits[0] < 0 else plt.get_cmap(ONE_SIDED)


def overlay(axis: Axes, image: np.ndarray, values: np.ndarray, limits: tuple[float, float]) -> None:
    """Draw `image` in grey with `values` over it: one hue above 0, one below, opaque in proportion to |value|.

    A colour map that is white at 0 would whiten what is just beside 0 and leave 0 itself grey, a dark line along every
    change of sign, where the picture has no line. Two fixed hues blend into the picture instead.

    Parameters
    ----------
    axis : matplotlib axis
    image : float (H, W, 3), in [0, 1]
    values : float (H, W)
    limits : (float, float)
        vmin, vmax of the colours.
    """
    axis.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=1)
    low, high = limits
    if low < high:
        hues = ListedColormap([AGAINST, FOR] if low < 0 else [UNSIGNED])
        opacity = OPACITY * np.clip(np.abs(values) / max(abs(low), abs(high)), 0, 1)
        span = max(abs(low), abs(high))
        axis.imshow(values, cmap=hues, vmin=-span if low < 0 else 0, vmax=span, alpha=opacity)
    axis.axis("off")


def overlay_colors(limits: tuple[float, float]) -> Colormap:
    """Return the colours of :func:`overlay` as they look on white."""
    span = max(abs(limits[0]), abs(limits[1]))
    values = np.linspace(*limits, 257)
    hues = np.where(values[:, np.newaxis] < 0, to_rgb(AGAINST), to_rgb(FOR if limits[0] < 0 else UNSIGNED))
    return ListedColormap(1 - OPACITY * np.abs(values / span)[:, np.newaxis] * (1 - hues))


def add_color_bar(
    figure: Figure,
    axes: Any,
    limits: tuple[float, float],
    label: str,
    location: str = "right",
    *,
    colors: Colormap | None = None,
    **options: Any,
) -> None:
    """Add a colour bar beside `axes`: that of :func:`overlay`, or of other `colors`."""
    mappable = ScalarMappable(Normalize(*limits), overlay_colors(limits) if colors is None else colors)
    options = {"fraction": 0.04, "pad": 0.02, "aspect": 25, **options}
    bar = figure.colorbar(mappable, ax=axes, location=location, **options)
    bar.set_label(label, fontsize=FONT)
    bar.locator = MaxNLocator(4 if location in ("left", "right") else 2, symmetric=limits[0] == -limits[1])
    bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")  # never "1e-3" in a corner
    bar.update_ticks()


def in_words(name: str) -> str:
    """Return what a figure calls a class or a layer: "no crack" for "no_crack", "convolution 4" for "conv4"."""
    return re.sub(r"^conv(?=\d+$)", "convolution ", name).replace("_", " ")


def title_lines(titles: Sequence[str] | None) -> int:
    """Count the lines of the longest of `titles`."""
    return max((title.count("\n") + 1 for title in (() if titles is None else titles)), default=0)


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
    limits = sorted(axis.get_ylim()), sorted(axis.get_xlim())
    (top, bottom), (left, right) = (
        (max(middle - side / 2, 0) - 0.5, min(middle + side / 2 - 0.5, limit[1]))
        for middle, limit in zip(centre, limits, strict=True)
    )
    patch = Rectangle((left, top), right - left, bottom - top, fill=False, linestyle=style, edgecolor=color)
    width = 1.5 if side > 0.06 * np.ptp(limits[0]) else 0.8
    patch.set(linewidth=width, path_effects=[withStroke(linewidth=2 * width, foreground="white")])
    axis.add_patch(patch)


def outline(axis: Axes, mask: np.ndarray, grow: int = 0) -> None:
    """Draw the outline of a mask grown by so many px, black on white so that it shows on any colour."""
    grown = ndimage.binary_dilation(mask, iterations=grow) if grow else mask
    if grown.any() and not grown.all():
        axis.contour(grown, levels=[0.5], colors="white", linewidths=1.8)
        axis.contour(grown, levels=[0.5], colors="black", linewidths=0.8)
