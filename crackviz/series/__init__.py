"""The notebooks as a batch: run folders, papermill, grids of runs, and reports that need no server.

A run folder holds everything that one pass through the series has produced::

    runs/<name>/   config.json  results.json  claims.json  excused.json  index.html
                   figures/  notebooks/  logs/             (and what the notebooks themselves keep)

A sweep holds a run folder for each point of a grid, and what compares them::

    runs/<sweep>/  sweep.json  results.csv  index.html  <run>/  <run>/ ...

Files are written beside their final name and renamed, so a file that is there is whole; what an interrupted run
leaves has ``.part-`` in its name. One process at a time writes to a run folder.
"""

from __future__ import annotations

from crackviz.files import write_json
from crackviz.series.comparison import Difference, compare, write_comparison
from crackviz.series.exercises import exercise
from crackviz.series.grid import Grid, read_grid
from crackviz.series.lesson import open_run, save_figure, write_results
from crackviz.series.notebooks import KERNEL_ARGUMENTS, find_notebooks, parameters_of, settle_streams
from crackviz.series.overview import summarise_runs
from crackviz.series.records import Run, find_runs, look
from crackviz.series.report import report
from crackviz.series.run import NotebookFailed, Options, plan_run, run_series
from crackviz.series.sweep import SweepFailed, plan_sweep, run_sweep

__all__ = [
    "KERNEL_ARGUMENTS",
    "Difference",
    "Grid",
    "NotebookFailed",
    "Options",
    "Run",
    "SweepFailed",
    "compare",
    "exercise",
    "find_notebooks",
    "find_runs",
    "look",
    "open_run",
    "parameters_of",
    "plan_run",
    "plan_sweep",
    "read_grid",
    "report",
    "run_series",
    "run_sweep",
    "save_figure",
    "settle_streams",
    "summarise_runs",
    "write_comparison",
    "write_json",
    "write_results",
]
