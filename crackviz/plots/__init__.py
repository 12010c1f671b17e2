"""Displays: arrays and tables in, matplotlib figures out. Nothing is computed here but colours and means.

They follow scikit-learn's displays: ``XDisplay.from_…(…)`` makes and draws one; the object keeps what it shows,
``figure_`` and ``ax_`` hold the drawing, and ``plot(ax=…)`` draws it again. None calls ``plt.show()`` or changes
rcParams. For confusion matrices, ROC, precision-recall and calibration curves use scikit-learn's own.
"""

from __future__ import annotations

from crackviz.plots.curves import (
    HistoryDisplay,
    PerturbationCurvesDisplay,
    RandomisationDisplay,
    RiskCoverageDisplay,
)
from crackviz.plots.drawing import (
    COLORS,
    ONE_SIDED,
    SIGNED,
    Scale,
    add_color_bar,
    overlay,
    scale_limits,
    square,
    widened,
)
from crackviz.plots.filters import ActivationMapsDisplay, FiltersDisplay, KernelsDisplay
from crackviz.plots.images import ImagesDisplay
from crackviz.plots.maps import AttributionDisplay, AttributionGridDisplay, LadderDisplay
from crackviz.plots.runs import RunsDisplay
from crackviz.plots.scores import MethodScoresDisplay, PairsDisplay, ScoresDisplay
from crackviz.plots.walls import LinesDisplay, WidthsDisplay

__all__ = [
    "COLORS",
    "ONE_SIDED",
    "SIGNED",
    "ActivationMapsDisplay",
    "AttributionDisplay",
    "AttributionGridDisplay",
    "FiltersDisplay",
    "HistoryDisplay",
    "ImagesDisplay",
    "KernelsDisplay",
    "LadderDisplay",
    "LinesDisplay",
    "MethodScoresDisplay",
    "PairsDisplay",
    "PerturbationCurvesDisplay",
    "RandomisationDisplay",
    "RiskCoverageDisplay",
    "RunsDisplay",
    "Scale",
    "ScoresDisplay",
    "WidthsDisplay",
    "add_color_bar",
    "overlay",
    "scale_limits",
    "square",
    "widened",
]
