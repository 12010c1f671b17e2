"""The display of many runs."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import seaborn as sns

from crackviz import CrackvizError
from crackviz.plots.drawing import COLORS, FONT, some_axes

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_WIDTH = 4.4  # inches of a panel
_PLACE = 0.34  # inches that a place on the horizontal axis takes at least
_BESIDE = 0.1  # of the step from one place on the horizontal axis to the next


@dataclass
class RunsDisplay:
    """Results of many runs: a panel for each, a dot for each run, and means with intervals over what is repeated.

    Parameters
    ----------
    table : pandas.DataFrame
        A row for each run.
    metrics : sequence of str
        Columns with numbers, a panel each; the part of their name before the first dot stands above in small type.
    x : str
        Column along the horizontal axis; "" puts all runs in one place.
    hue : str
        Column told apart by colour and marker; "" for none.
    interval : callable, optional
        Takes the values of repeated runs, and returns the bounds of their mean.
    """

    table: pd.DataFrame
    metrics: Sequence[str]
    x: str = ""
    hue: str = ""
    interval: Callable[[Any], tuple[float, float]] | None = None
    ax_: Any = field(default=None, repr=False)
    figure_: Any = field(default=None, repr=False)

    @classmethod
    def from_table(
        cls,
        table: pd.DataFrame,
        metrics: Sequence[str],
        *,
        x: str = "",
        hue: str = "",
        interval: Callable[[Any], tuple[float, float]] | None = None,
        ax: Any = None,
    ) -> RunsDisplay:
        """Draw `table`; see the class for the arguments."""
        return cls(table, metrics, x, hue, interval).plot(ax)

    def plot(self, ax: Any = None) -> RunsDisplay:
        """Draw on `ax` (an array of at least one axis a metric), or on a new figure. ``ax_`` is an array."""
        if not self.metrics:
            raise CrackvizError("There is no metric to draw.")
        if missing := [name for name in (*self.metrics, self.x, self.hue) if name and name not in self.table]:
            raise CrackvizError(
                f"The table has no column {missing[0]!r}; it has {', '.join(map(str, self.table.columns))[:300]}."
            )
        count = len(self.metrics)
        shown = self.table.assign(**{"": ""})  # a column for all runs in one place
        for name in (self.x, self.hue):
            if name:
                shown[name] = shown[name].astype(str)
        hues = list(dict.fromkeys(shown[self.hue])) if self.hue else []
        order = list(dict.fromkeys(shown[self.x]))
        width = max(_WIDTH, _PLACE * len(order) + 1)
        figure, axes = some_axes(ax, count, max(1, min(count, int(3 * _WIDTH / width))), (width, 3.9))
        axes = axes.ravel()[:count]
        for axis, metric in zip(axes, self.metrics, strict=True):
            axis.axis("on")
            common = {"data": shown, "x": self.x, "y": metric, "order": order, "ax": axis, "legend": axis is axes[0]}
            grouped: dict[str, Any] = {"color": COLORS[0]}
            if hues:
                grouped = {"hue": self.hue, "hue_order": hues, "palette": COLORS[: len(hues)], "dodge": True}
            sns.stripplot(**common | {"legend": False}, **grouped, alpha=0.45, size=6, jitter=False)
            for dots in axis.collections:  # beside the bars, not behind them
                dots.set_offsets(dots.get_offsets() - [_BESIDE, 0])
            if hues:  # as stripplot spreads them
                grouped |= {"dodge": 0.8 * (1 - 1 / len(hues)) if len(hues) > 1 else False}
                grouped |= {"markers": [_MARKERS[i % len(_MARKERS)] for i in range(len(hues))]}
            sns.pointplot(
                **common,
                **grouped,
                errorbar=self.interval,
                linestyle="none",
                markersize=8,
                capsize=0.12,
                err_kws={"linewidth": 2},
            )
            notebook, _, name = metric.rpartition(".") if metric.count(".") < 2 else metric.partition(".")
            axis.set_title(notebook.replace("_", " "), fontsize=FONT - 1, color="0.35")
            axis.set_ylabel(textwrap.fill(name.replace("_", " "), 34), fontsize=FONT + 1)
            axis.set_xlabel(self.x.replace("_", " "), fontsize=FONT + 1)
            lines = [textwrap.fill(text, 14) for text in order]
            room = 9 * width / len(order)  # characters of a label
            crowded = max(len(line) for label in lines for line in label.split("\n")) > room
            axis.set_xticks(range(len(order)), order if crowded else lines, rotation=90 if crowded else 0)
            axis.tick_params(labelsize=FONT)
            if not self.x:
                axis.set_xlim(-0.5, 0.5)
            sns.despine(ax=axis)
        if hues:
            legend = axes[0].get_legend()
            handles, labels = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
            legend.remove()
            figure.legend(
                handles,
                labels,
                title=self.hue.replace("_", " "),
                loc="outside lower center",
                ncols=4,
                fontsize=FONT,
                title_fontsize=FONT,
            )
        self.figure_, self.ax_ = figure, axes
        return self
