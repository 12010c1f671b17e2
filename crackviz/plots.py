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

from crackviz import CrackvizError
from crackviz._drawing import (
    COLORS,
    FONT,
    ONE_SIDED,
    SIGNED,
    Scale,
    add_color_bar,
    check_count,
    overlay,
    scale_limits,
    some_axes,
    title_lines,
)
from crackviz._heatmaps import AttributionDisplay, AttributionGridDisplay, LadderDisplay, square
from crackviz._networks import ActivationMapsDisplay, ArchitectureDisplay, FiltersDisplay, KernelsDisplay
from crackviz._overview import RunsDisplay
from crackviz._pairs import PairsDisplay
from crackviz._scores import MethodScoresDisplay, PerturbationCurvesDisplay, RandomisationDisplay

__all__ = [
    "COLORS",
    "ONE_SIDED",
    "SIGNED",
    "ActivationMapsDisplay",
    "ArchitectureDisplay",
    "AttributionDisplay",
    "AttributionGridDisplay",
    "FiltersDisplay",
    "HistoryDisplay",
    "ImagesDisplay",
    "KernelsDisplay",
    "LadderDisplay",
    "MethodScoresDisplay",
    "PairsDisplay",
    "PerturbationCurvesDisplay",
    "RandomisationDisplay",
    "RunsDisplay",
    "Scale",
    "ScoresDisplay",
    "add_color_bar",
    "overlay",
    "scale_limits",
    "square",
]


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
        check_count("titles", self.titles, count)
        check_count("frames", self.frames, count)
        lines = title_lines(self.titles)
        self.figure_, self.ax_ = some_axes(ax, count, self.columns, (2.1, 2.1 + 0.22 * lines))
        for i, (axis, image) in enumerate(zip(self.ax_.flat, self.images, strict=False)):
            axis.imshow(image, vmin=0, vmax=1 if image.dtype != np.uint8 else 255, cmap="gray")
            axis.set(xticks=[], yticks=[])
            axis.axis("on")
            frame = self.frames[i] if self.frames is not None else None
            axis.spines[:].set(visible=frame is not None, color=frame or "black", linewidth=4)
            if self.titles is not None:
                axis.set_title(self.titles[i], fontsize=FONT)
        return self


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
        self.figure_, self.ax_ = some_axes(ax, 2, 2, (5.5, 3.8))
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
