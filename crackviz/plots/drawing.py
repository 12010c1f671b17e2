"""What the displays share: axes, scales, colours, the overlay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from crackviz import CrackvizError

SIGNED = "vlag"  # perceptually uniform, blue - white - red, safe for colour-blind readers
ONE_SIDED = "inferno"
COLORS = sns.color_palette("colorblind")
FONT = 11  # of titles, in points: a cell is 2.1 inches wide, so it can be read from the back row
Scale = str | tuple[float, float]


def new_axes(count: int, columns: int | None, cell: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a new figure with at least `count` axes, all switched off, in rows of `columns`."""
    columns = min(count, columns or 6)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(cell[0] * columns, cell[1] * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def given_axes(ax: Any, count: int) -> tuple[Figure, np.ndarray]:
    """Return the figure and array of the axes that a caller gave, at least `count`."""
    axes = np.atleast_1d(np.asarray(ax, dtype=object))
    if axes.size < count:
        raise CrackvizError(f"{count} pictures don't fit on {axes.size} axes; give as many axes as pictures.")
    return axes.flat[0].figure, axes


def some_axes(ax: Any, count: int, columns: int | None, cell: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    """Return a figure and an array of at least `count` axes: those given, or new ones."""
    return new_axes(count, columns, cell) if ax is None else given_axes(ax, count)


def check_count(name: str, values: Sequence[Any] | np.ndarray | None, count: int, of: str = "images") -> None:
    """Raise where there isn't one of `values` for each of `count` things."""
    if values is not None and len(values) != count:
        raise CrackvizError(f"{len(values)} {name} for {count} {of}; expected one each.")


def check_maps(name: str, maps: np.ndarray, images: np.ndarray) -> None:
    """Raise where there isn't a map of the images' size for each image, or one isn't finite."""
    if np.ndim(images) != 4 or len(images) == 0 or np.shape(maps) != np.shape(images)[:3]:
        raise CrackvizError(
            f"{name} of shape {np.shape(maps)} for images of shape {np.shape(images)}; expected (N, H, W) and "
            "(N, H, W, 3), N > 0. Ask for maps with upsample=True."
        )
    check_finite(name, maps)


def check_finite(name: str, maps: np.ndarray) -> None:
    """Raise where a map holds NaN or infinity: it would be drawn as an empty one."""
    if not np.isfinite(maps).all():
        where = np.flatnonzero(~np.isfinite(np.reshape(maps, (len(maps), -1))).all(axis=1))
        raise CrackvizError(f"{name} hold NaN or infinity (number {', '.join(map(str, where[:5]))}); expected finite.")


def scale_limits(maps: np.ndarray, scale: Scale) -> list[tuple[float, float]]:
    """Return (vmin, vmax) for each map.

    Parameters
    ----------
    maps : float (N, H, W)
    scale : "image", "shared" or (vmin, vmax)
        "image": each map by its own largest absolute value; "shared": all by the largest of all, so that
        intensities can be compared between images; a pair: as given. Signed maps get limits symmetric about 0,
        so that 0 stays the colour map's middle.

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
    tops = np.abs(maps).max(axis=(1, 2))
    if scale == "shared":
        tops = np.full(len(maps), tops.max())
    return [(-float(top) if signed else 0.0, float(top)) for top in tops]


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
    """Draw `image` in grey with `values` over it, the more opaque the farther from 0.

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
        opacity = np.clip(np.abs(values) / max(abs(low), abs(high)), 0, 1) ** 0.5
        axis.imshow(values, cmap=color_map(limits), vmin=low, vmax=high, alpha=0.85 * opacity)
    axis.axis("off")


def outline(axis: Axes, mask: np.ndarray) -> None:
    """Draw the outline of a mask, black on white so that it shows on any colour."""
    if mask.any() and not mask.all():
        axis.contour(mask, levels=[0.5], colors="white", linewidths=1.8)
        axis.contour(mask, levels=[0.5], colors="black", linewidths=0.8)


def add_color_bar(
    figure: Figure, axes: Any, limits: tuple[float, float], label: str, location: str = "right", **options: Any
) -> None:
    """Add the colour bar of :func:`overlay` beside `axes`."""
    mappable = ScalarMappable(Normalize(*limits), color_map(limits))
    options = {"fraction": 0.04, "pad": 0.02, "aspect": 25, **options}
    bar = figure.colorbar(mappable, ax=axes, location=location, **options)
    bar.set_label(label, fontsize=FONT)
    bar.locator = MaxNLocator(4 if location in ("left", "right") else 2, symmetric=limits[0] == -limits[1])
    bar.formatter = FuncFormatter(lambda value, _: f"{value:g}")  # never "1e-3" in a corner
    bar.update_ticks()


def title_lines(titles: Sequence[str] | None) -> int:
    """Count the lines of the longest of `titles`."""
    return max((title.count("\n") + 1 for title in titles), default=0) if titles else 0


def unit_of(label: str | Mapping[str, str] | None, name: str, default: str) -> str:
    """Return the label of one colour bar, where one label or one for each name is given."""
    if isinstance(label, Mapping):
        return str(label.get(name, default))
    return default if label is None else label
