"""Displays of curves: training histories, perturbation, randomisation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from crackviz import CrackvizError
from crackviz.plots.drawing import (
    COLORS,
    given_axes,
    some_axes,
)
from crackviz.plots.scores import BIG


@dataclass
class RandomisationDisplay:
    """How like the trained network's maps the maps stay, as the weights are drawn anew from the top down.

    Parameters
    ----------
    test : pandas.DataFrame
        As :func:`crackviz.faithfulness.randomisation_test` returns it: method, draw, step, layer, and the likeness.
    column : str
        Which likeness: "rank", "rank_abs", "ssim" or "ssim_abs".
    names : dict, optional
        What methods are called.
    """

    test: pd.DataFrame
    column: str = "rank"
    names: dict[str, str] | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_test(
        cls, test: pd.DataFrame, *, column: str = "rank", names: dict[str, str] | None = None, ax: Any = None
    ) -> RandomisationDisplay:
        """Draw `test`; see the class."""
        return cls(test, column, names).plot(ax)

    def plot(self, ax: Any = None) -> RandomisationDisplay:
        """Draw on `ax`, or on a new figure: a line for each method, with a band over the draws."""
        if self.column not in self.test:
            raise CrackvizError(f"column is {self.column!r}; expected one of rank, rank_abs, ssim, ssim_abs.")
        if ax is None:
            _, ax = plt.subplots(figsize=(10, 5.2), layout="constrained")
        layers = self.test.drop_duplicates("step").set_index("step")["layer"].sort_index()
        for number, (name, some) in enumerate(self.test.groupby("method", sort=False)):
            lines = some.groupby("step")[self.column].agg(["mean", "min", "max"])
            color = COLORS[number % len(COLORS)]
            ax.fill_between(lines.index, lines["min"], lines["max"], color=color, alpha=0.15, linewidth=0)
            style = ["-", "--", "-.", ":"][number % 4]
            label = (self.names or {}).get(str(name), str(name))
            marker = "osD^vP"[number % 6]
            ax.plot(
                lines.index, lines["mean"], style, marker=marker, color=color, linewidth=3, markersize=9, label=label
            )
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set_ylim(-1.05, 1.05)
        ax.set_xticks(layers.index, layers, fontsize=BIG - 2, rotation=20 if len(layers) > 7 else 0)
        ax.tick_params(axis="y", labelsize=BIG - 2)
        ax.set_xlabel("weights drawn anew down to this layer", fontsize=BIG)
        what = "rank correlation" if self.column.startswith("rank") else "SSIM"
        which = " (absolute values)" if self.column.endswith("_abs") else ""
        ax.set_ylabel(f"{what}\nwith the trained map{which}", fontsize=BIG)
        ax.legend(fontsize=BIG - 2, loc="lower right", ncols=2)
        sns.despine(ax=ax)
        self.figure_, self.ax_ = ax.figure, ax
        return self


@dataclass
class PerturbationCurvesDisplay:
    """What the network says while pixels are taken away (left) or given back (right).

    Parameters
    ----------
    curves : dict
        Name -> curves as :func:`crackviz.faithfulness.deletion_insertion` returns them; the mean over the images is
        drawn.
    unit : "probability" or "logit"
    """

    curves: dict[str, Any]
    unit: str = "probability"
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_curves(
        cls, curves: dict[str, Any], *, unit: str = "probability", ax: Any = None
    ) -> PerturbationCurvesDisplay:
        """Draw `curves`; see the class."""
        return cls(curves, unit).plot(ax)

    def plot(self, ax: Any = None) -> PerturbationCurvesDisplay:
        """Draw on `ax` (two axes: deletion, insertion), or on a new figure."""
        if self.unit not in ("probability", "logit"):
            raise CrackvizError(f"unit is {self.unit!r}; expected 'probability' or 'logit'.")
        if ax is None:
            _, ax = plt.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout="constrained")
        self.figure_, self.ax_ = given_axes(ax, 2)
        ending = "_probability" if self.unit == "probability" else ""
        for axis, way in zip(self.ax_.flat, ("deletion", "insertion"), strict=False):
            for number, (name, curves) in enumerate(self.curves.items()):
                axis.plot(
                    100 * curves.shares,
                    getattr(curves, way + ending).mean(axis=0),
                    ["-", "--", "-.", ":"][number % 4],
                    color=COLORS[number % len(COLORS)],
                    linewidth=3,
                    label=name,
                )
            what = "taken away" if way == "deletion" else "given back"
            axis.set_xlabel(f"pixels {what}, in the map's order [%]", fontsize=BIG)
            axis.set_title(f"{way}: {'lower' if way == 'deletion' else 'higher'} is better", fontsize=BIG)
            axis.tick_params(labelsize=BIG - 2)
            axis.grid(alpha=0.3)
            sns.despine(ax=axis)
        name = "P(crack)" if self.unit == "probability" else "logit"
        self.ax_.flat[0].set_ylabel(f"{name}, mean over the pictures", fontsize=BIG)
        self.ax_.flat[0].legend(fontsize=BIG - 2)
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
