"""How good a classifier is, and how sure one can be of that (``THEORY.md`` T3).

Whatever doesn't fit what a docstring asks for (shapes, ranges, numbers of classes) raises a :class:`CrackvizError`.
"""

from __future__ import annotations

from crackviz.bootstrap import Bootstrap
from crackviz.evaluation.baselines import GREY_NUMBERS, grey_numbers, ridge_extent
from crackviz.evaluation.calibration import (
    CALIBRATION_BINS,
    TEMPERATURES,
    Temperature,
    apply_temperature,
    calibration_error,
    correct_prior,
    fit_temperature,
    log_odds,
)
from crackviz.evaluation.choosing import examples
from crackviz.evaluation.comparison import compare
from crackviz.evaluation.predictions import Predictions
from crackviz.evaluation.scores import class_report, evaluate, mistakes, predict, report
from crackviz.evaluation.selective import conformal_threshold, risk_coverage
from crackviz.evaluation.thresholds import cost_curve, precision_at, threshold_by_cost, threshold_for

__all__ = [
    "CALIBRATION_BINS",
    "GREY_NUMBERS",
    "TEMPERATURES",
    "Bootstrap",
    "Predictions",
    "Temperature",
    "apply_temperature",
    "calibration_error",
    "class_report",
    "compare",
    "conformal_threshold",
    "correct_prior",
    "cost_curve",
    "evaluate",
    "examples",
    "fit_temperature",
    "grey_numbers",
    "log_odds",
    "mistakes",
    "precision_at",
    "predict",
    "report",
    "ridge_extent",
    "risk_coverage",
    "threshold_by_cost",
    "threshold_for",
]
