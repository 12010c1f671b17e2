"""A photograph inspected: its map, its cracks with their widths, and what isn't judged."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.special import expit

from crackviz import CrackvizError
from crackviz.contracts import check_kind, check_number
from crackviz.evaluation import correct_prior
from crackviz.inspection import quality, traces, widths
from crackviz.inspection.brief import brief, sentence
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.tiles import WINDOW, Mapper, window_logits
from crackviz.models import find
from crackviz.progress import progress

ON_DISK = 64_000_000
"""Pixels from which on a map is kept on the disk while it is worked on (4 bytes each)."""
MEASURED_WITH = "trace_cnn"
_NOTE = (
    "The rules for lines and the errors of widths were found with trace_cnn. With {} most cracks may be missed: take "
    "trace_cnn, or find rules (--threshold) on cracks that you know."
)
_BOUNDS = {"trace_cnn": 1.0, "local_cnn": 64.0}
"""The largest value that a channel of these networks' last map can hold."""


@dataclass(frozen=True)
class Choices:
    """What is asked of an inspection, besides the photograph and its scale.

    Parameters
    ----------
    prevalence : float, optional
        Share of windows of 128 px that show a crack on such walls, between 0 and 1. The networks learnt from pictures
        of which every second one does; without it their probabilities are left as they are.
    limit_mm : float
        The width that matters. Where a crack of it would be under a pixel, the photograph is called too far away.
    classes : sequence of float
        Limits between the classes of width [mm], rising.
    rules : crackviz.inspection.Rules
        What makes a line of the map.
    limits : crackviz.inspection.Limits
        From where on a window isn't judged.
    errors : crackviz.inspection.Errors
        What widths are off by.
    """

    prevalence: float | None = None
    limit_mm: float = 0.3
    classes: Sequence[float] = (0.1, 0.2, 0.3, 0.4)
    rules: traces.Rules = field(default_factory=traces.Rules)
    limits: quality.Limits = field(default_factory=quality.Limits)
    errors: widths.Errors = field(default_factory=widths.Errors)

    def __post_init__(self) -> None:
        if self.prevalence is not None:
            check_number("prevalence", self.prevalence, 0, 1, inclusive=False)
        check_number("limit_mm", self.limit_mm, 0, inclusive=False)
        limits = np.atleast_1d(self.classes).tolist()
        rising = [f"{check_number('classes', limit, 0, inclusive=False):g}" for limit in limits]  # as they are told
        if not rising or list(map(float, rising)) != sorted(map(float, set(rising))):
            raise CrackvizError(f"classes are {tuple(limits)}; expected widths in mm that rise: 0.1, 0.2, 0.3.")
        object.__setattr__(self, "classes", tuple(limits))
        for name, kind in (("rules", traces.Rules), ("limits", quality.Limits), ("errors", widths.Errors)):
            check_kind(name, getattr(self, name), kind)

    @property
    def names(self) -> list[str]:
        """The classes of width, in words."""
        limits = [f"{limit:g}" for limit in self.classes]
        between = [f"{low}–{high} mm" for low, high in itertools.pairwise(limits)]
        return [f"under {limits[0]} mm", *between, f"over {limits[-1]} mm"]


@dataclass(repr=False)
class Inspection:
    """What was found on a photograph. Lengths in px of the photograph, and in mm where its scale is known."""

    path: Path
    width: int
    height: int
    mm_per_px: float | None
    network: str
    choices: Choices
    map: np.ndarray
    """float32 (H, W): the mean over a window, plus the bias, is its logit. It may lie on the disk."""
    full: float
    """The largest value that the map can hold."""
    bias: float
    lines: list[tuple[int, np.ndarray]]
    """Number of the crack, and x, y (n, 2) [px] of each of its smoothed lines."""
    cracks: pd.DataFrame
    """A crack a row, the longest first: ``length_px`` and ``length_mm``; ``width_px``, the median over its stretches;
    ``widest_px`` with ``widest_low_px`` and ``widest_high_px``, the stretch that is most surely wide (of the greatest
    lower end of its 95 %); the same in mm; ``class`` and ``kind`` of the widest; ``orientation_deg``, ``junctions``,
    ``bridged_px``, ``evidence``, ``straight``, ``judged`` and the box ``left`` to ``bottom``. Straight ones and those
    that lie mostly where nothing is judged don't count in `summary`."""
    points: pd.DataFrame
    """A stretch of some 32 px a row, as :func:`crackviz.inspection.measure` gives them, with mm and ``class``."""
    windows: pd.DataFrame
    """A window of 128 px a row: what can be seen of it, its ``logit``, its ``probability`` for the prevalence, and the
    ``reason`` why it isn't judged, or ""; at the border, lines that are found count nevertheless."""
    too_far: bool | None
    """Whether a crack of the width that matters would be under a pixel; None without a scale."""
    note: str = ""
    """What is to be known of another network than the one that the rules and the errors were found with."""

    @property
    def counted(self) -> pd.DataFrame:
        """The cracks that count: not straight, and judged."""
        return self.cracks[~self.cracks["straight"] & self.cracks["judged"]]

    @property
    def summary(self) -> dict[str, Any]:
        """Cracks and their length, the widest stretch, and the share of the photograph that isn't judged, by reason."""
        counted = self.counted
        unit = "mm" if self.mm_per_px else "px"
        found: dict[str, Any] = {"cracks": len(counted), f"length_{unit}": float(counted[f"length_{unit}"].sum())}
        area = self.width * self.height * (self.mm_per_px or 1) ** 2
        found["m_per_m2" if self.mm_per_px else "px_per_px2"] = (
            found[f"length_{unit}"] / area * (1000 if self.mm_per_px else 1)
        )
        if counted[f"widest_{unit}"].notna().any():
            number = counted[f"widest_{unit}"].idxmax()
            widest = counted.loc[[number]].iloc[0]
            found |= {
                f"{name}_{unit}": float(widest[f"{name}_{unit}"]) for name in ("widest", "widest_low", "widest_high")
            }
            found["widest_crack"] = int(str(number))
        shares = self.windows["reason"].value_counts(normalize=True)
        found["not_judged"] = {reason: float(share) for reason, share in shares.items() if reason}
        found["straight"] = int(self.cracks["straight"].sum())
        return found

    def __repr__(self) -> str:
        """Return a line: the arrays and tables would fill pages."""
        return f"<Inspection of {self._in_words()}>"

    def _in_words(self) -> str:
        return f"{self.path.name}: {sentence({'summary': self.summary, 'mm_per_px': self.mm_per_px})}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        counts, text = set(self.counted.index), f"{self._in_words()}."
        return brief(Photograph(self.path), text, [(number in counts, line) for number, line in self.lines])


def open_photograph(path: str | Path) -> Photograph:
    """Open a photograph that :func:`inspect` takes; a CrackvizError where it can't be read or is under 128 px wide."""
    photograph = Photograph(path)
    if min(photograph.width, photograph.height) < WINDOW:
        raise CrackvizError(
            f"{path} is {photograph.width} x {photograph.height} px; expected at least {WINDOW} either way, so much "
            "the network sees at once. Take the photograph itself, not a part of it."
        )
    return photograph


def inspect(
    path: str | Path,
    mm_per_px: float | None = None,
    network: str | keras.Model = "trace_cnn",
    choices: Choices | None = None,
) -> Inspection:
    """Inspect a photograph of a wall: find its cracks as lines, measure them, and say what can't be judged.

    Parameters
    ----------
    path : str or Path
        At least 128 px either way; :class:`Photograph` says how large it may be.
    mm_per_px : float, optional
        Millimetres on the wall of a px, 1e-6 to 1e6. Without it all is told in px.
    network : str or keras.Model
        A shipped network, a file, a run folder, or a model: one whose map has a cell for every pixel and adds up to its
        logit.
    choices : Choices, optional

    Returns
    -------
    Inspection

    Raises
    ------
    CrackvizError
        Where the photograph can't be read or is too small, the scale is none, or the network has no exact map
        (:func:`surroundings` says why) or none that can speak for a crack.

    Notes
    -----
    Nothing here says whether a crack matters.
    """
    choices, mm_per_px = checked(choices, mm_per_px)
    photograph = open_photograph(path)
    mapper = Mapper(network) if isinstance(network, keras.Model) else _mapper(str(network), identity(network))
    if choices.limits.border is None:
        choices = replace(choices, limits=replace(choices.limits, border=mapper.surroundings.reach))
    full = largest(mapper)
    pixels = photograph.width * photograph.height
    with progress(None, f"{photograph.path.name}", 2 * pixels, unit="px", scale=True) as bar:
        canvas = _canvas((photograph.height, photograph.width))
        windows = quality.look(photograph, bar.update)
        mapper(photograph, canvas, bar.update)
    windows["reason"] = quality.judge(windows, choices.limits)
    windows["logit"] = window_logits(canvas, mapper.bias).ravel()
    chance = expit(windows["logit"].to_numpy())
    actual = choices.prevalence
    windows["probability"] = chance if actual is None else correct_prior(chance, 0.5, actual)
    found = traces.trace(canvas, full, choices.rules)
    points = widths.measure(photograph, canvas, full, found, choices.errors)
    cracks = traces.table(found, choices.rules.straight)
    return Inspection(
        path=photograph.path,
        width=photograph.width,
        height=photograph.height,
        mm_per_px=mm_per_px,
        network=mapper.model.name,
        choices=choices,
        map=canvas,
        full=full,
        bias=mapper.bias,
        lines=[(number, line) for number, crack in enumerate(found, 1) for line in crack.lines],
        cracks=_measured(cracks, points, windows, mm_per_px, choices),
        points=_in_mm(points, mm_per_px, choices),
        windows=windows,
        too_far=None if mm_per_px is None else choices.limit_mm < mm_per_px,
        note="" if mapper.shipped == MEASURED_WITH else _NOTE.format(mapper.model.name),
    )


def checked(choices: Choices | None, mm_per_px: float | None) -> tuple[Choices, float | None]:
    """Return choices and scale as they are used; a CrackvizError where one of them is none."""
    choices = Choices() if choices is None else choices
    check_kind("choices", choices, Choices)
    return choices, None if mm_per_px is None else float(check_number("mm_per_px", mm_per_px, 1e-6, 1e6))


def identity(network: str | Path) -> str:
    """Return what tells a network's weights from others; a CrackvizError where there is none of this name."""
    if not isinstance(network, str | Path) or not str(network):
        raise CrackvizError(
            f"network is {network!r:.80}; expected a shipped one, such as {MEASURED_WITH}, a file, or a run folder.",
            "network",
        )
    return find("", network=str(network)).identity


@cache
def _mapper(name: str, weights: str) -> Mapper:
    """Return the mapper of a network; a file that was trained anew has another identity."""
    return Mapper(find("", network=name).load())


def largest(mapper: Mapper) -> float:
    """Return the largest value that a map can hold: what thresholds are shares of; or a CrackvizError."""
    model = mapper.model
    layer = model.get_layer(mapper.surroundings.layer)
    bounded = getattr(layer, "activation", None) is keras.activations.sigmoid
    bound = 1.0 if bounded else _BOUNDS.get(model.name)
    if bound is None:
        raise CrackvizError(
            f"The last map of {model.name!r} has no largest value that is known, so no line can be drawn by a share of "
            "it. Take trace_cnn or local_cnn, or a network whose last map is a sigmoid's."
        )
    full = float(bound * np.maximum(model.get_layer("logit").get_weights()[0], 0).sum())
    if not full > 0:
        raise CrackvizError(f"No cell of the last map of {model.name!r} can speak for a crack. Take trace_cnn.")
    return full


def _canvas(shape: tuple[int, int]) -> np.ndarray:
    """Return room for a map: in memory, or for large ones in a file that vanishes with it."""
    if shape[0] * shape[1] < ON_DISK:
        return np.empty(shape, np.float32)
    return np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)


def _in_mm(points: pd.DataFrame, mm_per_px: float | None, choices: Choices) -> pd.DataFrame:
    points = points.copy()
    for name in ("length", "width", "low", "high", "spread"):
        points[f"{name}_mm"] = points[f"{name}_px"] * (mm_per_px or np.nan)
    points["class"] = _classes(points["width_mm"], choices)
    return points


def _classes(width_mm: pd.Series, choices: Choices) -> pd.Series:
    """Return the class of each width, "" where it isn't known."""
    edges = [-np.inf, *choices.classes, np.inf]
    return pd.cut(width_mm, edges, labels=choices.names).astype(object).fillna("")


def _measured(
    cracks: pd.DataFrame, points: pd.DataFrame, windows: pd.DataFrame, mm_per_px: float | None, choices: Choices
) -> pd.DataFrame:
    """Add to the table of cracks how wide they are, and whether they lie where something is judged."""
    cracks = cracks.copy()
    known = points[points["width_px"].notna()]
    surely = known[known["kind"].isin(("measured", "estimated"))]
    surely = surely if len(surely) else known
    told = surely.groupby("crack")["width_px"].median()  # of widths: "thinner than" tells a limit
    top = surely.loc[surely.groupby("crack")["low_px"].idxmax()].set_index("crack")
    cracks["width_px"] = told.reindex(cracks.index).fillna(known.groupby("crack")["width_px"].median())
    for name, column in (("widest", "width_px"), ("widest_low", "low_px"), ("widest_high", "high_px")):
        cracks[f"{name}_px"] = top[column].astype(float).reindex(cracks.index)
    cracks["kind"] = top["kind"].reindex(cracks.index).fillna("thinner than")
    cracks["widest_x"], cracks["widest_y"] = (top[axis].astype(float).reindex(cracks.index) for axis in ("x", "y"))
    for name in ("length", "width", "widest", "widest_low", "widest_high"):
        cracks[f"{name}_mm"] = cracks[f"{name}_px"] * (mm_per_px or np.nan)
    cracks["class"] = _classes(cracks["widest_mm"], choices)
    silent = quality.unjudged(windows)
    inside = np.zeros(len(points), bool)
    for left, top_ in silent[["left", "top"]].to_numpy():
        inside |= (
            points["x"].between(left, left + WINDOW).to_numpy() & points["y"].between(top_, top_ + WINDOW).to_numpy()
        )
    share = pd.Series(inside, points["crack"], dtype=float).groupby(level=0).mean().reindex(cracks.index)
    cracks["judged"] = ~(share > 0.5)
    return cracks
