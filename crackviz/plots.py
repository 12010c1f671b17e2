"""Displays: arrays and tables in, matplotlib figures out. Nothing is computed here but colours.

They follow scikit-learn's displays: ``XDisplay.from_…(…)`` makes and draws one; the object keeps what it shows,
``figure_`` and ``ax_`` hold the drawing, and ``plot(ax=…)`` draws it again. None calls ``plt.show()`` or changes
rcParams. For confusion matrices, ROC, precision-recall and calibration curves use scikit-learn's own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure

from crackviz import CrackvizError

SIGNED = "vlag"  # perceptually uniform, blue - white - red, safe for colour-blind readers
ONE_SIDED = "inferno"
COLORS = sns.color_palette("colorblind")
Scale = str | tuple[float, float]


def _grid(count: int, columns: int | None, cell: tuple[float, float]) -> tuple[Figure, np.ndarray]:
    columns = min(count, columns or 6)
    rows = -(-count // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(cell[0] * columns, cell[1] * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes


def _axes(ax: Any, count: int, columns: int | None, cell: tuple[float, float]) -> tuple[Any, np.ndarray]:
    """Return a figure and an array of at least `count` axes: those given, or new ones."""
    if ax is None:
        figure, axes = _grid(count, columns, cell)
    else:
        axes = np.atleast_1d(np.asarray(ax, dtype=object))
        if axes.size < count:
            raise CrackvizError(f"{count} pictures don't fit on {axes.size} axes; give as many axes as pictures.")
        figure = axes.flat[0].figure
    return figure, axes


def _check_count(name: str, values: Sequence[Any] | np.ndarray | None, count: int) -> None:
    if values is not None and len(values) != count:
        raise CrackvizError(f"{len(values)} {name} for {count} images; expected one each.")


@dataclass
class ImagesDisplay:
    """Pictures side by side, each with a title and a coloured frame if wanted.

    Parameters
    ----------
    images : float (N, H, W, 3) in [0, 1], or uint8
        Or a sequence of arrays of different sizes.
    titles : sequence of str (N,), optional
    frames : sequence of colours (N,), optional
        None leaves one out. Colour alone tells nothing to a colour-blind reader: say it in the title too.
    columns : int, optional
        Pictures in a row; at most 6 by default.
    """

    images: Sequence[np.ndarray] | np.ndarray
    titles: Sequence[str] | None = None
    frames: Sequence[Any] | None = None
    columns: int | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_images(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        *,
        titles: Sequence[str] | None = None,
        frames: Sequence[Any] | None = None,
        columns: int | None = None,
        ax: Any = None,
    ) -> ImagesDisplay:
        """Draw `images`; see the class for the arguments."""
        return cls(images, titles, frames, columns).plot(ax)

    @classmethod
    def from_predictions(
        cls,
        images: Sequence[np.ndarray] | np.ndarray,
        labels: Sequence[int] | np.ndarray,
        probabilities: Sequence[float] | np.ndarray,
        *,
        class_names: Sequence[str] = ("no_crack", "crack"),
        threshold: float = 0.5,
        columns: int | None = None,
        ax: Any = None,
    ) -> ImagesDisplay:
        """Draw `images` with the truth and the predicted probability of label 1; mistakes get a thick frame."""
        titles, frames = [], []
        for label, probability in zip(labels, probabilities, strict=True):
            right = (probability >= threshold) == bool(label)
            titles.append(f"{class_names[int(label)]}\nP(crack) = {probability:.2f}{'' if right else '  wrong'}")
            frames.append(None if right else COLORS[3])
        return cls(images, titles, frames, columns).plot(ax)

    def plot(self, ax: Any = None) -> ImagesDisplay:
        """Draw on `ax` (an array of at least N axes), or on a new figure."""
        count = len(self.images)
        if count == 0:
            raise CrackvizError("There is no image to draw.")
        _check_count("titles", self.titles, count)
        _check_count("frames", self.frames, count)
        lines = max((title.count("\n") + 1 for title in self.titles), default=0) if self.titles else 0
        self.figure_, self.ax_ = _axes(ax, count, self.columns, (2.1, 2.1 + 0.22 * lines))
        for i, (axis, image) in enumerate(zip(self.ax_.flat, self.images, strict=False)):
            axis.imshow(image, vmin=0, vmax=1 if image.dtype != np.uint8 else 255, cmap="gray")
            axis.set(xticks=[], yticks=[])
            axis.axis("on")
            frame = self.frames[i] if self.frames is not None else None
            axis.spines[:].set(visible=frame is not None, color=frame or "black", linewidth=4)
            if self.titles is not None:
                axis.set_title(self.titles[i], fontsize=11)
        return self


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
    """

    images: np.ndarray
    maps: np.ndarray
    titles: Sequence[str] | None = None
    scale: Scale = "shared"
    target: str = "crack"
    label: str | None = None
    masks: np.ndarray | None = None
    columns: int | None = None
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
        ax: Any = None,
    ) -> AttributionDisplay:
        """Draw `images` and `maps`; see the class for the arguments."""
        return cls(images, maps, titles, scale, target, label, masks, columns).plot(ax)

    def plot(self, ax: Any = None) -> AttributionDisplay:
        """Draw on `ax` (an array of at least 2 N axes: images, then maps), or on a new figure."""
        count = len(self.images)
        if count == 0 or self.maps.shape != self.images.shape[:3]:
            raise CrackvizError(
                f"Maps of shape {self.maps.shape} for images of shape {self.images.shape}; expected (N, H, W) and "
                "(N, H, W, 3), N > 0. Ask for maps with upsample=True."
            )
        _check_count("titles", self.titles, count)
        columns = min(count, self.columns or 6)
        lines = max((title.count("\n") + 1 for title in self.titles), default=0) if self.titles else 0
        if ax is None:
            rows = 2 * -(-count // columns)
            size = (2.1 * columns + 1.2, (2.1 + 0.11 * lines) * rows)
            figure = plt.figure(figsize=size, layout="constrained")
            axes = figure.subplots(rows, columns, squeeze=False)
            pairs = [
                (axes[2 * (i // columns), i % columns], axes[2 * (i // columns) + 1, i % columns]) for i in range(count)
            ]
            for axis in axes.flat:
                axis.axis("off")
        else:
            figure, axes = _axes(ax, 2 * count, None, (2.1, 2.1))
            pairs = list(zip(axes.flat[:count], axes.flat[count : 2 * count], strict=True))
        limits = scale_limits(self.maps, self.scale)
        for i, (above, below) in enumerate(pairs):
            above.imshow(self.images[i], vmin=0, vmax=1)
            if self.titles is not None:
                above.set_title(self.titles[i], fontsize=11)
            overlay(below, self.images[i], self.maps[i], limits[i])
            if self.masks is not None and self.masks[i].any():
                below.contour(self.masks[i], levels=[0.5], colors="black", linewidths=0.8)
            if not self.maps[i].any():
                below.set_title("the map is zero", fontsize=11)
        if len(set(limits)) == 1 and limits[0][0] < limits[0][1]:
            against = " (blue: against)" if limits[0][0] < 0 else ""
            label = self.label or f"evidence for {self.target}{against}\n[logits per cell]"
            add_color_bar(figure, axes, limits[0], label)
        elif self.scale == "image":
            for (_, below), (low, high) in zip(pairs, limits, strict=True):
                if low < high:
                    below.set_title(f"scale ±{high:.2g}" if low < 0 else f"scale 0 … {high:.2g}", fontsize=11)
        self.figure_, self.ax_ = figure, axes
        return self


def _color_map(limits: tuple[float, float]) -> Colormap:
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
        axis.imshow(values, cmap=_color_map(limits), vmin=low, vmax=high, alpha=0.85 * opacity)
    axis.axis("off")


def add_color_bar(figure: Figure, axes: Any, limits: tuple[float, float], label: str) -> None:
    """Add the colour bar of :func:`overlay` beside `axes`."""
    mappable = ScalarMappable(Normalize(*limits), _color_map(limits))
    bar = figure.colorbar(mappable, ax=axes, fraction=0.04, pad=0.02, aspect=25)
    bar.set_label(label, fontsize=11)


@dataclass
class HistoryDisplay:
    """Loss and accuracy of a training, epoch by epoch, with the epoch whose weights were kept.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns epoch, loss, accuracy, val_loss, val_accuracy, as :func:`crackviz.training.train` returns it.
    """

    history: pd.DataFrame
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_history(cls, history: pd.DataFrame, *, ax: Any = None) -> HistoryDisplay:
        """Draw `history`; see the class."""
        return cls(history).plot(ax)

    def plot(self, ax: Any = None) -> HistoryDisplay:
        """Draw on `ax` (two axes: loss, accuracy), or on a new figure."""
        if ax is None:
            _, ax = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
        self.figure_, self.ax_ = _axes(ax, 2, 2, (5.5, 3.8))
        epochs = self.history["epoch"]
        best = int(epochs.iloc[self.history["val_loss"].argmin()])
        styles = [("", "training (augmented)", COLORS[0], "o-"), ("val_", "validation", COLORS[1], "s--")]
        for axis, name in zip(self.ax_.flat[:2], ("loss", "accuracy"), strict=True):
            for prefix, label, color, style in styles:
                axis.plot(epochs, self.history[prefix + name], style, color=color, label=label, markersize=5)
            axis.axvline(best, color="0.4", linestyle=":", label=f"kept: epoch {best}")
            axis.set_xlabel("epoch", fontsize=12)
            axis.set_ylabel({"loss": "cross-entropy [nats]", "accuracy": "accuracy"}[name], fontsize=12)
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            sns.despine(ax=axis)
        self.ax_.flat[0].set_ylim(bottom=0)
        self.ax_.flat[0].legend(fontsize=11)
        return self


@dataclass
class ScoresDisplay:
    """Scores with their confidence intervals, one under another.

    Parameters
    ----------
    scores : pandas.DataFrame
        Indexed by score; columns value, low, high, as :func:`crackviz.evaluation.report` returns it. A dict of
        such tables (name -> table) is drawn side by side, for comparing models.
    """

    scores: pd.DataFrame | dict[str, pd.DataFrame]
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_report(cls, scores: pd.DataFrame | dict[str, pd.DataFrame], *, ax: Axes | None = None) -> ScoresDisplay:
        """Draw `scores`; see the class."""
        return cls(scores).plot(ax)

    def plot(self, ax: Axes | None = None) -> ScoresDisplay:
        """Draw on `ax`, or on a new figure."""
        tables = {"": self.scores} if isinstance(self.scores, pd.DataFrame) else self.scores
        names = [re.sub(r"(.+)/(.+)", r"\1 (\2)", name) for name in next(iter(tables.values())).index]
        if ax is None:
            _, ax = plt.subplots(figsize=(8, 1 + 0.36 * len(names)), layout="constrained")
        for number, (model, table) in enumerate(tables.items()):
            rows = np.arange(len(names)) + 0.24 * (number - (len(tables) - 1) / 2)
            value = table["value"].to_numpy()
            spread = np.stack([value - table["low"], table["high"] - value]).clip(min=0)
            ax.errorbar(
                value,
                rows,
                xerr=spread,
                fmt="os^D"[number % 4],
                color=COLORS[number % len(COLORS)],
                capsize=4,
                label=model,
            )
        ax.set_yticks(range(len(names)), names, fontsize=12)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlabel("score, with its bootstrap interval", fontsize=12)
        if len(tables) > 1:
            ax.legend(fontsize=11)
        sns.despine(ax=ax)
        self.figure_, self.ax_ = ax.figure, ax
        return self
