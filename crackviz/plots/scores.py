"""Displays of scores: of a network's answers, of methods, of pairs of logits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from crackviz import CrackvizError
from crackviz.plots.drawing import (
    COLORS,
    FONT,
    check_count,
    check_finite,
    given_axes,
)


@dataclass
class PairsDisplay:
    """Logits of pictures that come in pairs: a line from each picture without something to the same one with it.

    Lines that cross 0, where the answer changes, are coloured and thick, the others grey and thin; the title counts
    them.

    Parameters
    ----------
    pairs : mapping of str to (float (N,), float (N,))
        Title of a panel -> logits without, logits with. All panels have one scale.
    names : (str, str)
        What the two ends are called.
    """

    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]]
    names: tuple[str, str] = ("without", "with")
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_logits(
        cls,
        pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
        *,
        names: tuple[str, str] = ("without", "with"),
        ax: Any = None,
    ) -> PairsDisplay:
        """Draw `pairs`; see the class for the arguments."""
        return cls(pairs, names).plot(ax)

    def plot(self, ax: Any = None) -> PairsDisplay:
        """Draw on `ax` (an array of at least one axis a panel), or on a new figure. ``ax_`` is an array."""
        if not self.pairs:
            raise CrackvizError("There is no panel to draw.")
        for title, ends in self.pairs.items():
            if len(ends) != 2 or np.ndim(ends[0]) != 1 or np.shape(ends[0]) != np.shape(ends[1]) or not len(ends[0]):
                shapes = " and ".join(str(np.shape(end)) for end in ends)
                raise CrackvizError(f"{title!r} has logits of shape {shapes}; expected two of (N,), N > 0.")
            check_finite(f"Logits of {title!r}", np.stack(ends, axis=1))
        count = len(self.pairs)
        if ax is None:
            figure, axes = plt.subplots(
                1, count, figsize=(3.4 * count, 4.4), sharey=True, squeeze=False, layout="constrained"
            )
        else:
            figure, axes = given_axes(ax, count)
        axes = axes.ravel()[:count]
        every = np.concatenate([np.concatenate(ends) for ends in self.pairs.values()])
        room = 0.05 * max(np.ptp(every), 1.0)
        for axis, (title, (without, with_it)) in zip(axes, self.pairs.items(), strict=True):
            lines = np.stack([without, with_it])
            flips = (lines[0] >= 0) != (lines[1] >= 0)
            axis.axhspan(0, every.max() + 99, color="0.93", zorder=0)
            axis.axhline(0, color="black", linewidth=1)
            axis.plot(lines[:, ~flips], color="0.55", linewidth=0.9)
            axis.plot(lines[:, flips], color=COLORS[3], linewidth=2.2)
            axis.set_xticks([0, 1], self.names, fontsize=FONT + 2)
            axis.set_xlim(-0.3, 1.3)
            axis.set_ylim(min(every.min(), 0) - room, max(every.max(), 0) + room)
            axis.set_title(f"{title}\n{flips.sum()} of {len(flips)} answers change", fontsize=FONT + 1)
            axis.tick_params(axis="y", labelsize=FONT)
            sns.despine(ax=axis)
        axes[0].set_ylabel('logit; above 0: "crack"', fontsize=FONT + 2)
        self.figure_, self.ax_ = figure, axes
        return self


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
