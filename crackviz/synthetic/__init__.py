"""Synthetic concrete: photographs of walls with cracks, whose every pixel is known (``THEORY.md`` T1).

A wall is composed at random (surface, cracks, things that look like cracks), photographed, and cut into patches.
Nothing is downloaded, and the truth is exact: mask and centre line of the cracks, and the pixels of each distractor.

`patch` makes one patch by its number, `without` the same one less its crack or a distractor, `photograph` a whole wall,
`dataset` a folder that `crackviz.data` reads like any other data set. The same settings give the same bytes on every
machine and in any number of processes.
"""

from __future__ import annotations

from crackviz.synthetic.dataset import DISTRACTORS, dataset, details, listing
from crackviz.synthetic.patches import Counterpart, Image8, Mask, Patch, centre_lines, patch, photograph, without
from crackviz.synthetic.settings import PREFIX, RENDERER, SHORTCUTS, Settings, parse, settings_of

__all__ = [
    "DISTRACTORS",
    "PREFIX",
    "RENDERER",
    "SHORTCUTS",
    "Counterpart",
    "Image8",
    "Mask",
    "Patch",
    "Settings",
    "centre_lines",
    "dataset",
    "details",
    "listing",
    "parse",
    "patch",
    "photograph",
    "settings_of",
    "without",
]
