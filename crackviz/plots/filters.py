"""Displays of filters and kernels, and of an architecture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Polygon, Rectangle

from crackviz import CrackvizError
from crackviz.plots.drawing import (
    COLORS,
    FONT,
    check_count,
    given_axes,
    new_axes,
    some_axes,
)


@dataclass
class KernelsDisplay:
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
    titles: Sequence[str] | None = None
    columns: int = 8
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_kernels(
        cls,
        images: np.ndarray,
        limits: np.ndarray,
        *,
        titles: Sequence[str] | None = None,
        columns: int = 8,
        ax: Any = None,
    ) -> KernelsDisplay:
        """Draw `images`; see the class for the arguments."""
        return cls(images, limits, titles, columns).plot(ax)

    def plot(self, ax: Any = None) -> KernelsDisplay:
        """Draw on `ax` (an array of at least F axes), or on a new figure."""
        count = len(self.images)
        if count == 0:
            raise CrackvizError("There is no kernel to draw.")
        check_count("limits", self.limits, count, "kernels")
        check_count("titles", self.titles, count, "kernels")
        limits = np.asarray(self.limits, float)
        shared = bool((limits == limits[0]).all()) and count >= 4  # a bar needs the room
        figure, axes = some_axes(ax, count, self.columns, (1.5, 1.8 if shared else 2.0))
        for i, axis in enumerate(axes.flat[:count]):
            axis.imshow(self.images[i], vmin=0, vmax=1, interpolation="nearest")
            axis.axis("off")
            title = self.titles[i] if self.titles is not None else str(i)
            if np.all(self.images[i] == 0.5):
                title += "\nall zero"
            elif not shared:
                title += f"\n±{limits[i]:.2g}"
            axis.set_title(title, fontsize=FONT)
        if shared and limits[0] > 0:
            bar = figure.colorbar(
                ScalarMappable(Normalize(-limits[0], limits[0]), "gray"),
                ax=axes.ravel().tolist(),
                fraction=0.04,
                pad=0.02,
            )
            bar.set_label("weight, of red, green and blue each", fontsize=FONT)
        self.figure_, self.ax_ = figure, axes
        return self


@dataclass
class FiltersDisplay:
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
    names: Sequence[str] | None = None
    values: np.ndarray | None = None
    reached: np.ndarray | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_examples(
        cls,
        pictures: np.ndarray,
        patches: np.ndarray,
        *,
        names: Sequence[str] | None = None,
        values: np.ndarray | None = None,
        reached: np.ndarray | None = None,
        ax: Any = None,
    ) -> FiltersDisplay:
        """Draw `pictures` and `patches`; see the class for the arguments."""
        return cls(pictures, patches, names, values, reached).plot(ax)

    def plot(self, ax: Any = None) -> FiltersDisplay:
        """Draw on `ax` (an array of at least F x (K + 1) axes, in rows), or on a new figure.

        ``ax_`` is an array (F, K + 1).
        """
        count = len(self.pictures)
        if count == 0 or np.ndim(self.patches) != 5 or len(self.patches) != count:
            raise CrackvizError(
                f"Patches of shape {np.shape(self.patches)} for {count} pictures; expected (F, K, h, w, 3), F > 0."
            )
        for name, values in (("names", self.names), ("values", self.values), ("reached", self.reached)):
            check_count(name, values, count, "filters")
        shape = (count, self.patches.shape[1] + 1)
        if ax is None:
            figure, axes = new_axes(shape[0] * shape[1], shape[1], (1.7, 1.7 if self.values is None else 2.0))
        else:
            figure, axes = given_axes(ax, shape[0] * shape[1])
            axes = axes.ravel()[: shape[0] * shape[1]].reshape(shape)
        for f in range(count):
            row = [self.pictures[f], *self.patches[f]]
            texts = [f"{self.reached[f]:.3g}" if self.reached is not None else ""]
            texts += [f"{value:.3g}" for value in self.values[f]] if self.values is not None else [""] * (len(row) - 1)
            for axis, picture, text in zip(axes[f], row, texts, strict=True):
                axis.imshow(picture, vmin=0, vmax=1, interpolation="nearest")
                axis.set(xticks=[], yticks=[])
                axis.set_title(text, fontsize=FONT)
            axes[f, 0].axis("on")
            axes[f, 0].spines[:].set(color=COLORS[0], linewidth=3)
            axes[f, 0].set_ylabel(self.names[f] if self.names is not None else str(f), fontsize=FONT)
        axes[0, 0].set_title("\n".join(filter(None, ["synthesised", axes[0, 0].get_title()])), fontsize=FONT)
        if shape[1] > 1:
            axes[0, 1].set_title("\n".join(filter(None, ["found", axes[0, 1].get_title()])), fontsize=FONT)
        self.figure_, self.ax_ = figure, axes
        return self


@dataclass
class ArchitectureDisplay:
    """A network as a row of blocks: the side of each is its map's, the depth its number of channels.

    Parameters
    ----------
    layers : pandas.DataFrame
        As :func:`crackviz.models.summary` returns it: indexed by name, with columns ``kind``, ``output``
        (``"64 × 64 × 16"``) and ``weights``.
    columns : int
        Layers in a row.
    """

    layers: pd.DataFrame
    columns: int = 10
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_summary(cls, layers: pd.DataFrame, *, columns: int = 10, ax: Any = None) -> ArchitectureDisplay:
        """Draw `layers`; see the class for the arguments."""
        return cls(layers, columns).plot(ax)

    def plot(self, ax: Any = None) -> ArchitectureDisplay:
        """Draw on `ax`, or on a new figure."""
        count = len(self.layers)
        if count == 0:
            raise CrackvizError("There is no layer to draw.")
        columns = min(self.columns, count)
        rows = -(-count // columns)
        if ax is None:
            _, ax = plt.subplots(figsize=(1.45 * columns, 2.9 * rows), layout="constrained")
        sizes = [_sizes(str(output)) for output in self.layers["output"]]
        tallest = max((side for side, _ in sizes if side), default=1)
        kinds = list(dict.fromkeys(self.layers["kind"]))
        for i, (name, layer) in enumerate(self.layers.iterrows()):
            x, y = float(i % columns), -2.0 * (i // columns)
            side, depth = sizes[i]
            height = 0.62 * (side / tallest) ** 0.5 if side else 0.09
            deep = 0.035 * np.log2(1 + depth)
            color = COLORS[kinds.index(layer["kind"]) % len(COLORS)]
            _block(ax, x - 0.35, y, 0.3 if side else 0.09, height, deep, color)
            weights = f"{layer['weights']:,} weights" if layer["weights"] else ""
            text = "\n".join(filter(None, [str(name), _short(str(layer["kind"])), str(layer["output"]), weights]))
            ax.text(x - 0.12, y - 0.5, text, ha="center", va="top", fontsize=FONT - 1, linespacing=1.35)
            if (i + 1) % columns and i + 1 < count:
                ax.annotate("", (x + 0.6, y), (x + 0.36, y), arrowprops={"arrowstyle": "->", "color": "0.4"})
        ax.set(xlim=(-0.65, columns - 0.35), ylim=(-2.0 * rows + 0.65, 0.75))
        ax.axis("off")
        self.figure_, self.ax_ = ax.figure, ax
        return self


def _sizes(output: str) -> tuple[int, int]:
    """Read (side, channels) off "64 × 64 × 16"; a side of 0 where there is no map."""
    numbers = [int(part) if part.isdigit() else 0 for part in re.findall(r"\d+|None", output)]
    return (max(numbers[:-1]) or 1, numbers[-1]) if len(numbers) == 3 else (0, numbers[-1] if numbers else 1)


def _short(kind: str) -> str:
    """Break the name of a kind of layer where it is long."""
    return re.sub(r"(?<=[a-z])(?=Pooling|Average|Normalization)", "\n", kind) if len(kind) > 13 else kind


def _block(ax: Any, left: float, middle: float, width: float, height: float, deep: float, color: Any) -> None:
    low, high, right = middle - height / 2, middle + height / 2, left + width
    shift = np.array([deep, 0.6 * deep])
    corners = np.array([[left, high], [right, high], [right, low]])
    options: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.8}
    ax.add_patch(Rectangle((left, low), width, height, facecolor=color, **options))
    ax.add_patch(Polygon([*corners[:2], *(corners[:2] + shift)[::-1]], facecolor=color, alpha=0.6, **options))
    ax.add_patch(Polygon([*corners[1:], *(corners[1:] + shift)[::-1]], facecolor=color, alpha=0.8, **options))
