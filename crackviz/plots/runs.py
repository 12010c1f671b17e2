"""The display of many runs."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import seaborn as sns

from crackviz import CrackvizError
from crackviz.plots.drawing import COLORS, FONT, some_axes

_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")
_WIDTH, _HEIGHT = 4.4, 3.9  # inches of a panel
_PLACE = 0.34  # inches that a place on the horizontal axis takes at least
_LETTER = 0.1  # inches of a letter of a label that is turned
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
        Takes the values of repeated runs and the metric's name, and returns the bounds of their mean.

    Where the table has columns ``<metric>.low`` and ``<metric>.high``, a line through each dot shows them.
    """

    table: pd.DataFrame
    metrics: Sequence[str]
    x: str = ""
    hue: str = ""
    interval: Callable[[Any, str], tuple[float, float]] | None = None
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
        interval: Callable[[Any, str], tuple[float, float]] | None = None,
        ax: Any = None,
    ) -> RunsDisplay:
        """Draw `table`; see the class for the arguments."""
        return cls(table, metrics, x, hue, interval).plot(ax)

    def plot(self, ax: Any = None) -> RunsDisplay:
        """Draw on `ax` (an array of at least one axis a metric), or on a new figure. ``ax_`` is an array."""
        if not self.metrics:
            raise CrackvizError("There is no metric to draw.")
        for name in filter(None, (*self.metrics, self.x, self.hue)):
            if name not in self.table:
                raise CrackvizError(
                    f"The table has no column {name!r}; it has {', '.join(map(str, self.table.columns))[:300]}."
                )
        shown = self.table.assign(**{"": ""})  # all runs in one place, or of one colour
        shown = shown.astype(dict.fromkeys((self.x, self.hue), str))
        order, hues = (list(dict.fromkeys(shown[name])) for name in (self.x, self.hue))
        count, width = len(self.metrics), max(_WIDTH, _PLACE * len(order) + 1)
        labels = [textwrap.fill(text, 14) for text in order]
        turned = max(len(line) for label in labels for line in label.split("\n")) > 9 * width / len(order)
        room = _LETTER * max(map(len, order)) if turned else 0
        columns = max(1, min(count, int(3 * _WIDTH / width)))
        figure, axes = some_axes(ax, count, columns, (width, _HEIGHT + room))
        axes = axes.ravel()[:count]
        for axis, metric in zip(axes, self.metrics, strict=True):
            axis.axis("on")
            common = {"data": shown, "x": self.x, "y": metric, "hue": self.hue, "order": order, "hue_order": hues}
            common |= {"palette": COLORS[: len(hues)], "ax": axis}
            sns.stripplot(**common, legend=False, dodge=True, alpha=0.45, size=6, jitter=False)
            for dots in axis.collections:  # beside the bars, not behind them
                dots.set_offsets(dots.get_offsets() - [_BESIDE, 0])
            _own_intervals(axis, shown, (metric, self.x, self.hue), order, hues)
            bounds = functools.partial(self._bounds, metric)
            sns.pointplot(
                **common,
                errorbar=bounds if self.interval else None,
                dodge=0.8 * (1 - 1 / len(hues)),  # as stripplot spreads them
                markers=[_MARKERS[i % len(_MARKERS)] for i in range(len(hues))],
                linestyle="none",
                markersize=8,
                capsize=0.12,
                err_kws={"linewidth": 2},
            )
            handles, names = axis.get_legend_handles_labels()
            if legend := axis.get_legend():
                legend.remove()  # the figure has one for all panels
            notebook, _, name = metric.rpartition(".") if metric.count(".") < 2 else metric.partition(".")
            axis.set_title(notebook.replace("_", " "), fontsize=FONT - 1, color="0.35")
            axis.set_ylabel(textwrap.fill(name.replace("_", " "), 34), fontsize=FONT + 1)
            axis.set_xlabel(self.x.replace("_", " "), fontsize=FONT + 1)
            axis.set_xticks(range(len(order)), order if turned else labels, rotation=90 if turned else 0)
            axis.set_xlim(-0.5, len(order) - 0.5)
            axis.tick_params(labelsize=FONT)
            sns.despine(ax=axis)
        if self.hue:
            title = self.hue.replace("_", " ")
            place: Any = {"loc": "outside lower center", "ncols": 4, "fontsize": FONT, "title_fontsize": FONT}
            figure.legend(handles, names, title=title, **place)
        self.figure_, self.ax_ = figure, axes
        return self

    def _bounds(self, metric: str, values: Any) -> tuple[float, float]:
        assert self.interval is not None
        return self.interval(values, metric)


def _own_intervals(
    axis: Any, shown: pd.DataFrame, names: tuple[str, str, str], order: list[Any], hues: list[Any]
) -> None:
    """Draw the interval that each run has of its own through its dot."""
    metric, x, hue = names
    if f"{metric}.low" not in shown or f"{metric}.high" not in shown:
        return
    for _, row in shown.dropna(subset=[f"{metric}.low", f"{metric}.high"]).iterrows():
        number = hues.index(row[hue])
        place = order.index(row[x]) + (number - (len(hues) - 1) / 2) * 0.8 / len(hues) - _BESIDE
        ends = row[f"{metric}.low"], row[f"{metric}.high"]
        axis.vlines(place, *ends, color=COLORS[number], alpha=0.45, linewidth=1.5)
