"""Displays of scores: of a network's answers, of methods, of pairs of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from crackviz import CrackvizError
from crackviz.plots.drawing import BIG, COLORS, FONT, Display, Maker, in_words, panels


@dataclass
class PairsDisplay(Display):
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
    _: KW_ONLY
    names: tuple[str, str] = ("without", "with")

    from_logits = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of at least one axis a panel), or on a new figure. ``ax_`` is an array."""
        if not self.pairs:
            raise CrackvizError("There is no panel to draw.")
        for title, ends in self.pairs.items():
            if len(ends) != 2 or np.ndim(ends[0]) != 1 or np.shape(ends[0]) != np.shape(ends[1]) or not len(ends[0]):
                shapes = " and ".join(str(np.shape(end)) for end in ends)
                raise CrackvizError(f"{title!r} has logits of shape {shapes}; expected two of (N,), N > 0.")
            if len(where := np.flatnonzero(~np.isfinite(ends).all(axis=0))):
                raise CrackvizError(f"Logits of {title!r} hold NaN or infinity (pair {where[0]}); expected finite.")
        axes = panels(ax, len(self.pairs), (3.4 * len(self.pairs), 4.4), sharey=True)
        every = np.concatenate([np.concatenate(ends) for ends in self.pairs.values()])
        room = 0.05 * max(np.ptp(every), 1.0)
        for axis, (title, ends) in zip(axes, self.pairs.items(), strict=True):
            lines = np.stack(ends)
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
        return self._drawn(axes)


NETWORKS = {  # marker, colour, shift down from the method's line
    "trained": ("the network", "o", COLORS[0], -0.13),
    "untrained": ("fresh weights", "x", COLORS[1], 0.17),
    "none": ("no network at all", "s", COLORS[7], 0.0),
}


@dataclass
class MethodScoresDisplay(Display):
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
    _: KW_ONLY
    scores: Sequence[str] | None = None
    names: dict[str, str] | None = None

    from_table = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax` (an array of one axis a score), or on a new figure. ``ax_`` is an array."""
        there = list(dict.fromkeys(self.table.columns.get_level_values(0)))
        scores = list(self.scores) if self.scores is not None else there[:4]
        missing = [score for score in scores if score not in there]
        if missing or not scores:
            raise CrackvizError(f"The table has no score {', '.join(missing) or 'at all'}; it has {', '.join(there)}.")
        methods = self._order(scores[0])
        size = (2.6 + 2.9 * len(scores), 1.7 + 0.42 * len(methods))
        axes = panels(ax, len(scores), size, sharey=True)
        for axis, score in zip(axes, scores, strict=True):
            self._plot_score(axis, score, methods)
        axes[0].set_yticks(range(len(methods)), [(self.names or {}).get(m, m) for m in methods], fontsize=BIG)
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
        networks = set(self.table.index.get_level_values("network"))
        handles = [
            Line2D([], [], linestyle="", marker=marker, color=color, markersize=10, label=label)
            for name, (label, marker, color, _) in NETWORKS.items()
            if name in networks
        ]
        handles.append(Line2D([], [], linestyle=":", color="black", linewidth=2, label="chance"))
        place: dict[str, Any] = {"loc": "outside lower center", "ncols": len(handles), "frameon": False}
        axes[0].figure.legend(handles=handles, fontsize=BIG, **place)
        return self._drawn(axes)

    def _lower(self, score: str) -> bool:
        return self.table.attrs.get("better", {}).get(score) == "lower"

    def _order(self, score: str) -> list[str]:
        """Return the methods, the best first, those that know no network last."""
        networks, names = (self.table.index.get_level_values(level) for level in ("network", "method"))
        plain = set(names[networks == "none"])
        best = self.table[score, "value"].groupby(level="method").max() * (1 if self._lower(score) else -1)
        return sorted(names.unique(), key=lambda name: (name in plain, np.nan_to_num(best[name])))

    def _plot_score(self, axis: Axes, score: str, methods: list[str]) -> None:
        attrs, lower, values = self.table.attrs, self._lower(score), self.table[score]
        level = attrs.get("chance", {}).get(score)
        plain = values["value"][values.index.get_level_values("network") == "none"].dropna()
        if len(plain):
            worst, best = sorted(plain.agg(["min", "max"]), reverse=lower)
            axis.axvspan(*sorted((worst if level is None else level, best)), color="0.9", zorder=0)
        if level is not None:
            axis.axvline(level, color="black", linestyle=":", linewidth=2, zorder=1)
        for (network, method), row in values[values["value"].notna()].iterrows():
            _, marker, color, shift = NETWORKS[network]
            ends = np.nan_to_num([[row["value"] - row["low"]], [row["high"] - row["value"]]]).clip(min=0)
            look: dict[str, Any] = {"markersize": 9, "markeredgewidth": 2, "elinewidth": 2.5}
            axis.errorbar(row["value"], methods.index(method) + shift, xerr=ends, fmt=marker, color=color, **look)
        title = attrs.get("titles", {}).get(score, score)
        axis.set_title(f"{title}\n{'lower' if lower else 'higher'} is better", fontsize=BIG)
        axis.tick_params(axis="x", labelsize=BIG - 2)
        axis.xaxis.set_major_locator(MaxNLocator(3))
        axis.grid(axis="y", alpha=0.35)
        sns.despine(ax=axis)


TITLES = {"roc_auc": "ROC-AUC", "f1": "F1", "brier": "Brier score"}


def _score_name(name: str) -> str:
    """Return what a score of :mod:`crackviz.evaluation` is called in a figure: "f1/no_crack" is "F1, no crack"."""
    score, *of = name.split("/")
    return in_words(", ".join([TITLES.get(score, score), *of]))


@dataclass
class ScoresDisplay(Display):
    """Scores with their confidence intervals, one under another.

    Parameters
    ----------
    scores : pandas.DataFrame
        Indexed by score; columns value, low, high, as :func:`crackviz.evaluation.report` returns it. A dict of
        such tables (name -> table) is drawn side by side, for comparing models.
    """

    scores: pd.DataFrame | dict[str, pd.DataFrame]

    from_report = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        tables = {"": self.scores} if isinstance(self.scores, pd.DataFrame) else self.scores
        names = [_score_name(name) for name in next(iter(tables.values())).index]
        own = ax is None
        (ax,) = panels(ax, 1, (8, 1 + 0.36 * len(names) + 0.35 * (len(tables) > 1)))
        for number, (model, table) in enumerate(tables.items()):
            rows = np.arange(len(names)) + 0.24 * (number - (len(tables) - 1) / 2)
            value = table["value"].to_numpy()
            spread = np.stack([value - table["low"], table["high"] - value]).clip(min=0)
            look: dict[str, Any] = {"fmt": "os^D"[number % 4], "color": COLORS[number % len(COLORS)], "capsize": 4}
            ax.errorbar(value, rows, xerr=spread, label=model, **look)
        ax.set_yticks(range(len(names)), names, fontsize=12)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="x", alpha=0.3)
        ax.set_xlabel("score, with its bootstrap interval", fontsize=12)
        if len(tables) > 1 and own:  # above the axis: within it the legend would hide intervals
            ax.figure.legend(fontsize=11, loc="outside upper center", ncols=min(4, len(tables)), frameon=False)
        elif len(tables) > 1:
            ax.legend(fontsize=11)
        sns.despine(ax=ax)
        return self._drawn(ax)
