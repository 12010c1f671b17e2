"""Displays of what maps score. Private; :mod:`crackviz.plots` is the public face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D

from crackviz import CrackvizError
from crackviz._drawing import COLORS, check_count, given_axes

NETWORKS = {
    "trained": ("the network", "o", COLORS[0]),
    "untrained": ("fresh weights", "x", COLORS[1]),
    "none": ("no network at all", "s", COLORS[7]),
}
BIG = 15  # points: the table is read from the back row


@dataclass
class MethodScoresDisplay:
    """Methods under each other, scores beside each other: a dot and its interval for each.

    What knows no network is drawn as grey squares, a network with fresh weights as orange crosses. The dotted line is
    the chance level, the band reaches from it to the best of what knows no network: a dot within says nothing
    that darkness or edges don't say, too.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`crackviz.faithfulness.score_methods` returns it: rows (network, method), columns (score, …) with …
        of value, low and high; ``attrs`` better, titles and chance.
    scores : sequence of str, optional
        Which, in this order; at most five can be read from far. The first decides the order of the methods.
    names : dict, optional
        What methods are called.
    """

    table: pd.DataFrame
    scores: Sequence[str] | None = None
    names: dict[str, str] | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        *,
        scores: Sequence[str] | None = None,
        names: dict[str, str] | None = None,
        ax: Any = None,
    ) -> MethodScoresDisplay:
        """Draw `table`; see the class."""
        return cls(table, scores, names).plot(ax)

    def plot(self, ax: Any = None) -> MethodScoresDisplay:
        """Draw on `ax` (an axis for each score), or on a new figure."""
        there = list(dict.fromkeys(self.table.columns.get_level_values(0)))
        scores = list(self.scores) if self.scores is not None else there[:4]
        missing = [score for score in scores if score not in there]
        if missing or not scores:
            raise CrackvizError(f"The table has no score {', '.join(missing) or 'at all'}; it has {', '.join(there)}.")
        attrs = self.table.attrs
        better = attrs.get("better", {})
        main = self.table[scores[0], "value"].groupby(level="method").max()
        rank = pd.Series(range(3), list(NETWORKS))
        order = self.table.index.get_level_values("method").unique()
        plain = set(self.table.loc["none"].index) if "none" in rank[self.table.index.get_level_values(0)] else set()
        turn = -1 if better.get(scores[0]) != "lower" else 1
        methods = sorted(order, key=lambda name: (name in plain, turn * np.nan_to_num(main[name])))
        if ax is None:
            size = (2.6 + 2.9 * len(scores), 1.7 + 0.42 * len(methods))
            _, ax = plt.subplots(1, len(scores), figsize=size, sharey=True, layout="constrained", squeeze=False)
        self.figure_, self.ax_ = given_axes(ax, len(scores))
        check_count("axes", self.ax_.ravel()[: len(scores)], len(scores), "scores")
        for axis, score in zip(self.ax_.flat, scores, strict=False):
            self._one(axis, score, methods)
        self.ax_.flat[0].set_yticks(range(len(methods)), [(self.names or {}).get(m, m) for m in methods], fontsize=BIG)
        self.ax_.flat[0].set_ylim(len(methods) - 0.5, -0.5)
        used = [name for name in NETWORKS if name in self.table.index.get_level_values("network")]
        handles = [
            Line2D(
                [], [], linestyle="", marker=NETWORKS[n][1], color=NETWORKS[n][2], markersize=10, label=NETWORKS[n][0]
            )
            for n in used
        ]
        handles.append(Line2D([], [], linestyle=":", color="black", linewidth=2, label="chance"))
        self.figure_.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), fontsize=BIG, frameon=False
        )
        return self

    def _one(self, axis: Any, score: str, methods: list[str]) -> None:
        attrs = self.table.attrs
        lower = attrs.get("better", {}).get(score) == "lower"
        level = attrs.get("chance", {}).get(score)
        values = self.table[score]
        if "none" in values.index.get_level_values(0):
            plain = values.loc["none", "value"].dropna()
            if len(plain):
                best = plain.min() if lower else plain.max()
                start = plain.max() if lower else plain.min()
                axis.axvspan(*sorted((start if level is None else level, best)), color="0.9", zorder=0)
        if level is not None:
            axis.axvline(level, color="black", linestyle=":", linewidth=2, zorder=1)
        for (network, method), row in values.iterrows():
            if method not in methods or np.isnan(row["value"]):
                continue
            _, marker, color = NETWORKS[network]
            place = methods.index(method) + {"trained": -0.13, "untrained": 0.17, "none": 0.0}[network]
            ends = np.nan_to_num([[row["value"] - row["low"]], [row["high"] - row["value"]]]).clip(min=0)
            axis.errorbar(
                row["value"], place, xerr=ends, fmt=marker, color=color, markersize=9, markeredgewidth=2, elinewidth=2.5
            )
        title = attrs.get("titles", {}).get(score, score)
        axis.set_title(f"{title}\n{'lower' if lower else 'higher'} is better", fontsize=BIG)
        axis.tick_params(axis="x", labelsize=BIG - 2)
        axis.xaxis.set_major_locator(plt.MaxNLocator(3))
        axis.grid(axis="y", alpha=0.35)
        sns.despine(ax=axis)


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
