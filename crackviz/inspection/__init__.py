"""Whole photographs: one exact map by tiles, cracks as lines with widths and error bars, and what isn't judged.

:func:`inspect` does it all; its parts can be called alone.
"""

from __future__ import annotations

from crackviz.inspection.inspecting import Choices, Inspection, inspect, largest, open_photograph
from crackviz.inspection.labelled import read_tile_labels
from crackviz.inspection.novelty import describe, distance
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.quality import REASONS, Limits, judge, look
from crackviz.inspection.several import inspect_several
from crackviz.inspection.skeletons import skeleton
from crackviz.inspection.tiles import WINDOW, Mapper, Surroundings, places, surroundings, window_logits
from crackviz.inspection.traces import Crack, Rules, smoothed, trace
from crackviz.inspection.widths import Errors, measure

__all__ = [
    "REASONS",
    "WINDOW",
    "Choices",
    "Crack",
    "Errors",
    "Inspection",
    "Limits",
    "Mapper",
    "Photograph",
    "Rules",
    "Surroundings",
    "describe",
    "distance",
    "inspect",
    "inspect_several",
    "judge",
    "largest",
    "look",
    "measure",
    "open_photograph",
    "places",
    "read_tile_labels",
    "skeleton",
    "smoothed",
    "surroundings",
    "trace",
    "window_logits",
]
