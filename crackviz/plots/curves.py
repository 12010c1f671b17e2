"""Displays of curves: training histories, perturbation, randomisation."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import seaborn as sns

from crackviz.bootstrap import PICTURES, Bootstrap
from crackviz.contracts import check_choice, check_number
from crackviz.plots.drawing import BIG, COLORS, Display, Maker, in_words, panels


@dataclass
class RandomisationDisplay(Display):
    """How like the trained network's maps the maps stay, as the weights are drawn anew from the top down.

    A line for each method, with a band over the draws.

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
    _: KW_ONLY
    column: str = "rank"
    names: dict[str, str] | None = None

    from_test = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        check_choice("column", self.column, self.test.columns.difference(["method", "draw", "step", "layer"]))
        (ax,) = panels(ax, 1, (10, 5.2))
        names = {name: (self.names or {}).get(str(name), str(name)) for name in self.test["method"].unique()}
        looks: dict[str, Any] = {"linewidth": 3, "markersize": 10, "markeredgewidth": 0}
        looks["palette"] = [COLORS[i % len(COLORS)] for i in range(len(names))]
        looks["dashes"] = [["", (3.7, 1.6), (6.4, 1.6, 1, 1.6), (1, 1.65)][i % 4] for i in range(len(names))]
        looks["markers"] = ["osD^vP"[i % 6] for i in range(len(names))]
        band = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.15, "linewidth": 0}}  # from the smallest to the largest
        shown = self.test.assign(method=self.test["method"].map(names))
        what = {"x": "step", "y": self.column, "hue": "method", "style": "method"}
        sns.lineplot(shown, **what, **looks, **band, ax=ax)
        layers = self.test.drop_duplicates("step").set_index("step")["layer"].sort_index()
        ax.axhline(0, color="0.4", linewidth=1)
        ax.set_ylim(-1.05, 1.05)
        ax.set_xticks(layers.index, layers.map(in_words), fontsize=BIG - 2, rotation=20 if len(layers) > 6 else 0)
        ax.tick_params(axis="y", labelsize=BIG - 2)
        ax.set_xlabel("weights drawn anew down to this layer", fontsize=BIG)
        likeness = "rank correlation" if self.column.startswith("rank") else "SSIM"
        which = " (absolute values)" if self.column.endswith("_abs") else ""
        ax.set_ylabel(f"{likeness}\nwith the trained map{which}", fontsize=BIG)
        ax.legend(fontsize=BIG - 2, loc="lower right", ncols=2)
        sns.despine(ax=ax)
        return self._drawn(ax)


@dataclass
class PerturbationCurvesDisplay(Display):
    """What the network says while pixels are taken away (left) or given back (right).

    The band is the mean's 95 % interval, images drawn anew by their groups: none for fewer than 5 groups.

    Parameters
    ----------
    curves : dict
        Name -> curves as :func:`crackviz.faithfulness.deletion_insertion` returns them; the mean over the images is
        drawn.
    unit : "probability" or "logit"
    bootstrap : crackviz.bootstrap.Bootstrap
        Which images are drawn anew together, and how often.
    """

    curves: dict[str, Any]
    _: KW_ONLY
    unit: str = "probability"
    bootstrap: Bootstrap = PICTURES

    from_curves = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of two axes: deletion, insertion), or on a new figure."""
        check_choice("unit", self.unit, ("probability", "logit"))
        axes = panels(ax, 2, (12, 4.8), sharey=True)
        ending = "_probability" if self.unit == "probability" else ""
        ways = {"deletion": ("taken away", "lower"), "insertion": ("given back", "higher")}
        for axis, (way, (done, better)) in zip(axes, ways.items(), strict=True):
            for number, (name, curves) in enumerate(self.curves.items()):
                values = np.asarray(getattr(curves, way + ending))
                mean = values.mean(axis=0)
                look = {"linestyle": ("-", "--", "-.", ":")[number % 4], "color": COLORS[number % len(COLORS)]}
                axis.plot(100 * curves.shares, mean, **look, linewidth=3, label=name)
                weights = self.bootstrap.weights(len(values)).astype(float)
                means = weights @ values / weights.sum(axis=1, keepdims=True)
                ends = pd.DataFrame([self.bootstrap.interval(column) for column in means.T])
                axis.fill_between(
                    100 * curves.shares, ends["low"], ends["high"], color=look["color"], alpha=0.15, linewidth=0
                )
            axis.set_xlabel(f"pixels {done}, in the map's order [%]", fontsize=BIG)
            axis.set_title(f"{way}: {better} is better", fontsize=BIG)
            axis.tick_params(labelsize=BIG - 2)
            axis.grid(alpha=0.3)
            sns.despine(ax=axis)
        name = "P(crack)" if self.unit == "probability" else "logit"
        axes[0].set_ylabel(f"{name}, mean over the pictures", fontsize=BIG)
        axes[0].legend(fontsize=BIG - 2)
        return self._drawn(axes)


@dataclass
class HistoryDisplay(Display):
    """Loss and accuracy of a training, epoch by epoch, with the epoch whose weights were kept.

    Parameters
    ----------
    history : pandas.DataFrame
        Columns epoch, loss, accuracy, val_loss, val_accuracy, as :func:`crackviz.training.train` returns it.
    """

    history: pd.DataFrame

    from_history = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of two axes: loss, accuracy), or on a new figure."""
        axes = panels(ax, 2, (11, 3.8))
        epochs = self.history["epoch"]
        best = int(epochs.iloc[self.history["val_loss"].argmin()])
        styles = [("", "training (augmented)", COLORS[0], "o-"), ("val_", "validation", COLORS[1], "s--")]
        for axis, name in zip(axes, ("loss", "accuracy"), strict=True):
            for prefix, label, color, style in styles:
                axis.plot(epochs, self.history[prefix + name], style, color=color, label=label, markersize=5)
            axis.axvline(best, color="0.4", linestyle=":", label=f"kept: epoch {best}")
            axis.set_xlabel("epoch", fontsize=12)
            axis.set_ylabel({"loss": "cross-entropy [nats]", "accuracy": "accuracy"}[name], fontsize=12)
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.3)
            sns.despine(ax=axis)
        axes[0].set_ylim(bottom=0)
        axes[0].legend(fontsize=11)
        return self._drawn(axes)


@dataclass
class RiskCoverageDisplay(Display):
    """How often the answers are wrong, over the share of the pictures that are answered.

    Parameters
    ----------
    curves : dict
        Name -> table with ``coverage`` and ``risk``, as :func:`crackviz.evaluation.risk_coverage` returns it.
    least : float
        Coverage from which on curves are drawn: of a handful of pictures the risk is a matter of luck.
    """

    curves: dict[str, pd.DataFrame]
    _: KW_ONLY
    least: float = 0.05

    from_curves = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        check_number("least", self.least, 0, 1)
        (axis,) = panels(ax, 1, (8, 5))
        for number, (name, curve) in enumerate(self.curves.items()):
            shown = curve[curve["coverage"] >= self.least]
            look = {"linestyle": ("-", "--", "-.", ":")[number % 4], "color": COLORS[number % len(COLORS)]}
            axis.plot(100 * shown["coverage"], 100 * shown["risk"], **look, linewidth=3, label=name)
        axis.set(xlim=(0, 100))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("coverage: pictures that are answered [%]", fontsize=BIG)
        axis.set_ylabel("risk: wrong answers among them [%]", fontsize=BIG)
        axis.tick_params(labelsize=BIG - 2)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=BIG - 2)
        sns.despine(ax=axis)
        return self._drawn(axis)
