"""The display of paired answers. Private; :mod:`crackviz.plots` is the public face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns

from crackviz import CrackvizError
from crackviz._drawing import COLORS, FONT, check_finite, given_axes


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
