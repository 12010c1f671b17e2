"""Displays of whole photographs: lines drawn over them, and widths beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from crackviz import CrackvizError
from crackviz.contracts import check_lengths, check_number
from crackviz.plots.drawing import BIG, COLORS, FONT, Display, Maker, panels

_LOOKS = ("-", "--", "-.")


@dataclass
class LinesDisplay(Display):
    """A photograph with numbered lines over it; those that don't count are thin, dotted and white.

    Parameters
    ----------
    image : uint8 or float (H, W, 3)
        A float picture lies in [0, 1].
    lines : sequence of (int, float (n, 2))
        Number of the crack, and x, y [px] of each of its lines.
    counted : set of int, optional
        Numbers of the cracks that count; by default all.
    mm_per_px : float, optional
        Draws a bar of a known length into the lower left corner.
    title : str
    """

    image: np.ndarray
    lines: Sequence[tuple[int, np.ndarray]]
    _: KW_ONLY
    counted: set[int] | None = None
    mm_per_px: float | None = None
    title: str = ""

    from_lines = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        height, width = np.shape(self.image)[:2]
        (axis,) = panels(ax, 1, (5.4 * (width / height) ** 0.5, 5.4 * (height / width) ** 0.5 + 0.4))
        axis.imshow(self.image)
        labelled = set[int]()
        for number, line in self.lines:
            if np.ndim(line) != 2 or np.shape(line)[1] != 2:
                raise CrackvizError(f"A line of crack {number} has shape {np.shape(line)}; expected (n, 2), x and y.")
            counts = self.counted is None or number in self.counted
            look = {"color": COLORS[(number - 1) % len(COLORS)], "linewidth": 2.5}
            look |= {"linestyle": _LOOKS[(number - 1) // len(COLORS) % 3]}
            look = look if counts else {"color": "white", "linewidth": 1.5, "linestyle": ":"}
            axis.plot(*np.asarray(line).T, **look, path_effects=[withStroke(linewidth=4, foreground="black")])
            if number not in labelled:
                labelled.add(number)
                self._number(axis, number, np.asarray(line))
        if self.mm_per_px is not None:
            scale = check_number("mm_per_px", self.mm_per_px, 0, inclusive=False)
            self._bar(axis, height, width, scale)
        axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axis.set_title(self.title, fontsize=BIG)
        axis.axis("off")
        return self._drawn(axis)

    def _number(self, axis: Axes, number: int, line: np.ndarray) -> None:
        """Write a crack's number beside the middle of its first line."""
        x, y = line[len(line) // 2]
        stroke = [withStroke(linewidth=3, foreground="white")]
        axis.annotate(
            str(number), (x, y), (7, 7), textcoords="offset points", fontsize=BIG, color="black", path_effects=stroke
        )

    def _bar(self, axis: Axes, height: int, width: int, scale: float) -> None:
        """Draw a bar of 1, 2 or 5 times a power of ten, about a fifth of the picture."""
        wanted = 0.2 * width * scale
        lengths = [step * 10.0**power for power in range(-2, 6) for step in (1, 2, 5)]
        length = max([one for one in lengths if one <= wanted] or lengths[:1])
        left, low = 0.03 * width, 0.96 * height
        stroke = [withStroke(linewidth=7, foreground="black")]
        axis.plot([left, left + length / scale], [low, low], color="white", linewidth=5, path_effects=stroke)
        text = f"{length:g} mm" if length < 1000 else f"{length / 1000:g} m"
        around = [withStroke(linewidth=3, foreground="black")]
        axis.text(left, low - 0.02 * height, text, color="white", fontsize=BIG, path_effects=around)


@dataclass
class WidthsDisplay(Display):
    """Widths that were told, with their intervals, beside the true ones.

    Intervals that hold the truth are blue with dots, those that miss it orange with crosses; the title counts them.

    Parameters
    ----------
    true, told, low, high : float (N,)
        The truth, above 0, what was said, and its interval. The axes are logarithmic; 0 stands at the edge.
    unit : str
    """

    true: np.ndarray
    told: np.ndarray
    low: np.ndarray
    high: np.ndarray
    _: KW_ONLY
    unit: str = "px"

    from_intervals = Maker()

    def plot(self, ax: Any = None) -> Self:
        """Draw on `ax`, or on a new figure."""
        true, told, low, high = (np.asarray(one, float) for one in (self.true, self.told, self.low, self.high))
        check_lengths(true=true, told=told, low=low, high=high)
        if not len(true) or not (true > 0).all() or not (told >= 0).all():
            raise CrackvizError("There is no width to draw, or a true one that isn't above 0, or one below 0 was told.")
        (axis,) = panels(ax, 1, (8, 5.6))
        ends = 0.8 * min(true.min(), told[told > 0].min(initial=true.min())), 1.25 * max(true.max(), told.max())
        told = np.maximum(told, ends[0])  # what was told to be 0 stands at the edge
        axis.plot(ends, ends, color="black", linewidth=1.5, label="told = true", zorder=5)
        held = (low <= true) & (true <= high)
        for some, color, marker, label in (
            (held, COLORS[0], "o", "holds the truth"),
            (~held, COLORS[1], "X", "misses it"),
        ):
            spans = np.maximum([told[some] - low[some], high[some] - told[some]], 0)
            look = {"color": color, "fmt": marker, "markersize": 6, "elinewidth": 1.2, "alpha": 0.8}
            axis.errorbar(true[some], told[some], spans, **look, label=f"95 % interval {label}")
        axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(LogLocator(10, (1, 2, 5)))
            side.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            side.set_minor_formatter(NullFormatter())
        axis.set_xlabel(f"true width [{self.unit}]", fontsize=BIG)
        axis.set_ylabel(f"told width [{self.unit}]", fontsize=BIG)
        axis.set_title(f"{held.sum()} of {len(held)} intervals hold the truth ({held.mean():.0%})", fontsize=BIG)
        axis.tick_params(labelsize=BIG - 2)
        axis.legend(fontsize=FONT + 1, frameon=False, loc="upper left")
        sns.despine(ax=axis)
        return self._drawn(axis)
