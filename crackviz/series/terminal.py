"""What a person sees of a run or a sweep: two bars on a terminal, plain lines elsewhere.

The upper bar counts notebooks of the whole, with the time left; the lower one says which are at work, and counts
their cells. Bars go to stderr and vanish; the line that each notebook (of a run) or each run (of a sweep) leaves goes
to stdout.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import Any

_SHOWN = 3  # runs at work that are named in the lower bar


class Display:
    """Take the events of :func:`crackviz.series.run_series` or of a sweep, and show them.

    Parameters
    ----------
    total : int, default 0
        Notebooks of the whole sweep; 0 for a single run, which tells it itself.
    runs : int, default 0
        Runs of the sweep.
    """

    def __init__(self, total: int = 0, runs: int = 0) -> None:
        from tqdm import tqdm

        self.total, self.runs, self.finished = total, runs, 0
        self.done = 0.0  # notebooks
        self.active: dict[str, tuple[str, int, int]] = {}  # run: notebook, cell, cells
        self.ended: dict[str, int] = {}  # run: notebooks
        self.began = time.monotonic()
        self.live = sys.stderr.isatty()
        shape = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total} {unit} [{elapsed}{postfix}]"
        what = "sweep" if runs else "series"
        common: dict[str, Any] = {"leave": False, "disable": not self.live}
        self.whole = tqdm(total=total or 1, desc=what, unit="notebooks", position=0, bar_format=shape, **common)
        self.cells = tqdm(total=1, position=1, bar_format="{desc}: |{bar}| {n:.0f}/{total} cells", **common)

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Show an event."""
        run = str(event.get("run_name", ""))
        match event["event"]:
            case "plan" if not self.runs:
                self.total = len(event["run"])
                self._say_plan(event)
            case "sweep":
                self._say_sweep(event)
            case "start":
                self.active[run] = (event["notebook"], 0, 1)
                if not self.live and not self.runs:
                    print(f"[{event['number']}/{event['of']}] {event['notebook']}", end=" … ", flush=True)
            case "cell":
                self.active[run] = (event["notebook"], event["cell"], event["cells"])
            case "end":
                self.active.pop(run, None)
                self.done += 1
                self.ended[run] = self.ended.get(run, 0) + 1
                if not self.runs:
                    name = f"[{event['number']}/{event['of']}] {event['notebook']} … "
                    self.say((name if self.live else "") + outcome(event))
            case "run end":
                self.finished += 1
                self.active.pop(run, None)
                self.done += event["notebooks"] - self.ended.pop(run, 0)  # it didn't come to all, or nobody said so
                left = f"; about {duration(self.left)} left" if 0 < self.finished < self.runs else ""
                self.say(f"[{self.finished}/{self.runs}] {run} … {outcome(event)}{left}")
        self._draw()

    @property
    def left(self) -> float:
        """Seconds left, if notebooks go on as they did; NaN before anything is known."""
        reached = self.done + sum(cell / cells for _, cell, cells in self.active.values())
        return (time.monotonic() - self.began) * (self.total - reached) / reached if reached else float("nan")

    def _draw(self) -> None:
        if not self.live:
            return
        self.whole.total = self.total or 1
        self.whole.n = self.done + sum(cell / cells for _, cell, cells in self.active.values())
        left = self.left
        self.whole.set_postfix_str("" if math.isnan(left) else f"about {duration(left)} left", refresh=True)
        names = [f"{run} {notebook}".strip() for run, (notebook, _, _) in self.active.items()]
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        self.cells.set_description_str(", ".join(names[:_SHOWN]) + more or "starting", refresh=False)
        self.cells.total = sum(cells for _, _, cells in self.active.values()) or 1
        self.cells.n = sum(cell for _, cell, _ in self.active.values())
        self.cells.refresh()

    def _say_plan(self, event: Mapping[str, Any]) -> None:
        if left := event["left"]:
            again = "" if event["run"] else "; to run it again all the same: --force"
            self.say(f"up to date: {', '.join(left)}{again}")
        reasons: dict[str, list[str]] = {}
        for stem, why in event["run"].items():
            if why != "new" and not why.startswith("comes after"):
                reasons.setdefault(why, []).append(stem)
        for why, stems in reasons.items():
            self.say(f"run again, {why}: {', '.join(stems)}")

    def _say_sweep(self, event: Mapping[str, Any]) -> None:
        """Say what is left alone of a sweep, and how it would be run again."""
        if event["done"]:
            self.say(f"{event['done']} of {event['runs']} runs have reached their end before")
        if event["failed"]:
            self.say(f"{event['failed']} have failed before; to run them again: --retry-failed")
        if event["stale"]:
            why = next(iter(event["stale"].values()))
            self.say(f"{len(event['stale'])} are stale ({why}); to run them again: --stale")

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        if self.live:
            self.whole.write(line)
        else:
            print(line, flush=True)

    def close(self) -> None:
        """Take the bars away."""
        self.cells.close()
        self.whole.close()


def outcome(event: Mapping[str, Any]) -> str:
    """Return an outcome in words, such as ``"FAILED after 12 s, 3 of 4 claims hold"``."""
    status = event["status"]
    held, made = event.get("claims") or (0, 0)
    text = duration(event.get("seconds") or 0)
    text = text if status == "done" else f"{status.upper()} after {text}"
    return text + (f", {held} of {made} claims hold" if made else "")


def duration(seconds: float) -> str:
    """Return a time in words: ``"45 s"``, ``"12 min"``, ``"3 h 20 min"``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
