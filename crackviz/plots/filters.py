"""Displays of what is inside a network: kernels, what filters respond to, activation maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from crackviz import CrackvizError
from crackviz.contracts import check_lengths, check_maps
from crackviz.plots.drawing import (
    COLORS,
    FONT,
    Display,
    Maker,
    Scale,
    add_color_bar,
    color_map,
    scale_limits,
    scale_text,
    some_axes,
)
from crackviz.plots.images import ImagesDisplay


@dataclass
class KernelsDisplay(Display):
    """First-layer kernels as colour images: mid-grey is weight 0, and the bar says what black and white are.

    Parameters
    ----------
    images : float (F, h, w, 3), in [0, 1]
        As :func:`crackviz.features.kernel_images` returns them.
    limits : float (F,)
        The weight that stands at 1, of each.
    titles : sequence of str (F,), optional
        By default the filters' numbers.
    columns : int
        Kernels in a row.
    """

    images: np.ndarray
    limits: np.ndarray
    _: KW_ONLY
    titles: Sequence[str] | None = None
    columns: int = 8

    from_kernels = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least F axes), or on a new figure."""
        check_lengths(images=self.images, limits=self.limits, titles=self.titles)
        count, limits = len(self.images), np.asarray(self.limits, float)
        shared = count >= 4 and bool((limits == limits[0]).all())  # a bar needs the room
        figure, axes = some_axes(ax, count, self.columns, (1.5, 1.8 if shared else 2.0))
        titles = []
        for i, (image, limit) in enumerate(zip(self.images, limits, strict=True)):
            scale = "\nall zero" if np.all(image == 0.5) else "" if shared else f"\n±{limit:.2g}"
            titles.append((self.titles[i] if self.titles is not None else str(i)) + scale)
        ImagesDisplay(self.images, titles=titles).plot(axes)
        if shared and limits[0] > 0:
            weights = ScalarMappable(Normalize(-limits[0], limits[0]), "gray")
            bar = figure.colorbar(weights, ax=axes.ravel().tolist(), fraction=0.04, pad=0.02)
            grey = np.ptp(self.images, axis=-1).max() < 1e-6
            bar.set_label("weight" if grey else "weight of a colour\n(red, green, blue each)", fontsize=FONT)
        return self._drawn(axes)


@dataclass
class FiltersDisplay(Display):
    """What filters respond to: a synthesised picture, and beside it the patches of a data set that come closest.

    A row for each filter.

    Parameters
    ----------
    pictures : float (F, H, W, 3), in [0, 1]
        Synthesised; the first column.
    patches : float (F, K, h, w, 3), in [0, 1]
        Found, strongest first.
    names : sequence of str (F,), optional
        Of the filters; by default their numbers in the row.
    values : float (F, K), optional
        Activations of the patches, written above them.
    reached : float (F,), optional
        Activations of the pictures.
    """

    pictures: np.ndarray
    patches: np.ndarray
    _: KW_ONLY
    names: Sequence[str] | None = None
    values: np.ndarray | None = None
    reached: np.ndarray | None = None

    from_examples = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least F x (K + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (F, K + 1).
        """
        count = len(self.pictures)
        if count == 0 or np.ndim(self.patches) != 5 or len(self.patches) != count:
            raise CrackvizError(
                f"Patches of shape {np.shape(self.patches)} for {count} pictures; expected (F, K, h, w, 3), F > 0."
            )
        check_lengths(pictures=self.pictures, names=self.names, values=self.values, reached=self.reached)
        shape = (count, self.patches.shape[1] + 1)
        size = shape[0] * shape[1]
        _, axes = some_axes(ax, size, shape[1], (1.7, 1.7 if self.values is None else 2.0))
        axes = axes.ravel()[:size].reshape(shape)
        for f, row in enumerate(axes):
            texts = ["" if self.reached is None else f"{self.reached[f]:.3g}"]
            texts += [""] * len(self.patches[f]) if self.values is None else [f"{v:.3g}" for v in self.values[f]]
            if f == 0:
                heads = zip(("synthesised", "found"), texts, strict=False)
                texts[:2] = ["\n".join(filter(None, lines)) for lines in heads]
            for axis, picture, text in zip(row, [self.pictures[f], *self.patches[f]], texts, strict=True):
                axis.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
                axis.set(xticks=[], yticks=[])
                axis.set_title(text, fontsize=FONT)
            row[0].axis("on")
            row[0].spines[:].set(color=COLORS[0], linewidth=3)
            row[0].set_ylabel(self.names[f] if self.names is not None else str(f), fontsize=FONT)
        return self._drawn(axes)


@dataclass
class ActivationMapsDisplay(Display):
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
    _: KW_ONLY
    channels: np.ndarray | None = None
    contributions: np.ndarray | None = None
    titles: Sequence[str] | None = None
    count: int = 11
    scale: Scale = "shared"
    label: str = "activation"

    from_maps = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least N x (1 + maps) axes, in rows), or on a new figure.

        ``ax_`` is an array (N, 1 + maps).
        """
        number = len(self.images)
        if number == 0 or np.ndim(self.maps) != 4 or len(self.maps) != number:
            raise CrackvizError(
                f"Maps of shape {np.shape(self.maps)} for {number} images; expected (N, h, w, C), N > 0."
            )
        check_maps(self.maps, self.maps.shape)
        check_lengths(images=self.images, channels=self.channels, contributions=self.contributions, titles=self.titles)
        shown = np.moveaxis(self.maps[..., : self.count], 3, 1)
        shape = (number, 1 + shown.shape[1])
        size = shape[0] * shape[1]
        lines = 1 + (self.contributions is not None) + (self.scale == "image")
        figure, axes = some_axes(ax, size, 6 if number == 1 else shape[1], (1.9, 1.9 + 0.2 * lines))
        axes = axes.ravel()[:size].reshape(shape)
        limits = scale_limits(shown.reshape(-1, *shown.shape[2:]), self.scale)
        for n, row in enumerate(axes):
            row[0].imshow(self.images[n], vmin=0, vmax=1)
            row[0].axis("off")
            row[0].set_title(self.titles[n] if self.titles is not None else "", fontsize=FONT)
            for k, axis in enumerate(row[1:]):
                self._plot_map(axis, n, k, limits[n * shown.shape[1] + k])
        if self.scale != "image" and limits and limits[0][0] < limits[0][1]:
            add_color_bar(figure, axes.ravel().tolist(), limits[0], self.label, colors=color_map(limits[0]))
        return self._drawn(axes)

    def _plot_map(self, axis: Axes, n: int, k: int, limits: tuple[float, float]) -> None:
        values, (low, high) = self.maps[n, ..., k], limits
        high = high if low < high else low + 1
        axis.imshow(values, cmap=color_map(limits), vmin=low, vmax=high, interpolation="nearest")
        axis.axis("off")
        texts = [f"channel {self.channels[n, k]}"] if self.channels is not None else []
        if self.contributions is not None:
            texts.append(f"{self.contributions[n, k]:+.2f}")
        if not values.any():
            texts.append("the map is zero")
        elif self.scale == "image":
            texts.append(scale_text(limits))
        axis.set_title("\n".join(texts), fontsize=FONT)
