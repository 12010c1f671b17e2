"""How wide cracks are, with error bars: half depth where wide, darkness over that of a px where thin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage, special

from crackviz.contracts import check_number
from crackviz.inspection.photographs import Photograph
from crackviz.inspection.profiles import ACROSS, STEP, Profiles, normals, profiles
from crackviz.inspection.traces import Crack

WIDE = 3.0
"""Width from which half depth is read; thinner lines are as wide as the camera's blur makes them [px]."""
SEEN = 0.72
"""Share of the map's largest value at which a line is about as wide on the map as it is on the wall."""
USUAL = 0.62
"""Darkness of a px of crack where no crack is wide enough to tell: the middle of drawn ones, as a share of the wall."""
THIN = 1.0
"""Width below which only "thinner than" is said [px]."""
STRETCH = 32
"""Length over which one width is told [px]."""
TOGETHER = 20_000
"""Profiles that are read together."""
KINDS = ("measured", "estimated", "thinner than", "unknown")


@dataclass(frozen=True)
class Errors:
    """What widths are off by, besides their spread and how far light and map differ on them: standard deviations.

    Found on drawn walls whose widths are known.

    ``measured``, ``estimated`` in px; ``estimated_share`` and ``measured_share`` as a share of the width; ``scale`` as
    a share: how well the mm of a px are known.
    """

    measured: float = 0.4
    measured_share: float = 0.1
    estimated: float = 0.25
    estimated_share: float = 0.1
    scale: float = 0.02

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_number(name, value, 0, 10_000)


def measure(
    photograph: Photograph, values: np.ndarray, full: float, cracks: list[Crack], errors: Errors | None = None
) -> pd.DataFrame:
    """Measure the widths of cracks, stretch by stretch.

    Parameters
    ----------
    photograph : Photograph
    values : float32 (H, W)
        The map.
    full : float
        The largest value that it can hold.
    cracks : list of Crack
    errors : Errors, optional

    Returns
    -------
    pandas.DataFrame
        A row for every stretch of about 32 px: ``crack`` (from 1), ``line``, ``x``, ``y`` of its middle [px],
        ``length_px``, ``width_px`` with ``low_px`` and ``high_px`` (95 %), ``spread_px`` (along the stretch), ``depth``
        (how much darker than the wall, as a share) and ``kind``: "measured" (half depth, or the
        width on the map where that is less), "estimated" (darkness summed across, over how dark a px of crack is in
        this photograph), "thinner than" (``width_px`` is then the limit, and ``low_px`` is 0), or "unknown" (NaN: no
        wall to either side to compare with).

    Notes
    -----
    Blur makes every thin line 2 px wide or more, yet takes nothing off the light that is missing: the darkness summed
    across it, over how dark a px of crack is, is its width. All lines of a photograph together tell that darkness; a
    crack's own wide stretches tell it worse, as drawn walls have shown. The network's map is a second witness: how far
    it differs from the light is a part of the error.
    """
    errors = errors or Errors()
    rows = []
    lines = [(number, line) for number, crack in enumerate(cracks, 1) for line in crack.lines]
    if not lines:
        return _table([])
    points = np.concatenate([line for _, line in lines])
    found = _read_lines(photograph, values, full, [line for _, line in lines])
    blur, dark = _camera(found)
    found["width"] = _unblurred(found["half"].to_numpy(), blur)
    start = 0
    for index, (number, line) in enumerate(lines):
        cuts = np.array_split(np.arange(start, start + len(line)), max(1, round(len(line) / STRETCH)))
        for some in cuts:
            middle = points[some[len(some) // 2]]
            row = {"crack": number, "line": index, "x": middle[0], "y": middle[1], "length_px": float(len(some))}
            rows.append(row | _stretch(found.iloc[some], dark, errors))
        start += len(line)
    return _table(rows)


def _table(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = ["crack", "line", "x", "y", "length_px", "width_px", "low_px", "high_px", "spread_px", "depth", "kind"]
    return pd.DataFrame(rows, columns=columns)


def _read_lines(photograph: Photograph, values: np.ndarray, full: float, lines: list[np.ndarray]) -> pd.DataFrame:
    """Read the profiles of lines, some lines at a time from above to below, so that memory doesn't grow with them."""
    order = sorted(range(len(lines)), key=lambda i: float(lines[i][:, 1].min()))
    parts: list[pd.DataFrame] = [pd.DataFrame()] * len(lines)
    while order:
        count = int(np.searchsorted(np.cumsum([len(lines[i]) for i in order]), TOGETHER)) + 1
        some, order = order[:count], order[count:]
        points = np.concatenate([lines[i] for i in some])
        across = profiles(photograph, values, points, np.concatenate([normals(lines[i]) for i in some]))
        ends = np.cumsum([len(lines[i]) for i in some])
        for grey in np.split(across.grey, ends[:-1]):
            grey[:] = ndimage.uniform_filter1d(np.nan_to_num(grey, nan=-9.0), 3, axis=0, mode="nearest")
        found = _read(*_depths(across, full))
        found["map"] = _width_at(across.evidence, SEEN * full, _peak(across.evidence))
        for i, low, high in zip(some, np.r_[0, ends[:-1]], ends, strict=True):
            parts[i] = found.iloc[low:high]
    return pd.concat(parts, ignore_index=True)


def _depths(across: Profiles, full: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how much darker than the wall each profile is (n, 129), as a share, where it counts, and the map's width.

    The wall is a straight line between the medians of 8 px on either side, beyond where the map sees the crack.
    """
    grey, evidence = across.grey, across.evidence
    wide = _width_at(evidence, full / 2, _peak(evidence))
    reach = np.clip(wide / 2 + 3.5, 5, 22)[:, np.newaxis]
    sides = []
    for sign in (-1, 1):
        there = (sign * ACROSS >= reach) & (sign * ACROSS <= reach + 8)
        sides.append(_median_where(grey, there))
    left, right = sides
    middle = reach + 4
    wall = left + (right - left) * (ACROSS + middle) / (2 * middle)
    depth = 1 - grey / np.maximum(wall, 1e-3)
    outside = (grey < 0).any(axis=1) | (left <= 0.02)[:, 0] | (right <= 0.02)[:, 0]
    depth[outside] = np.nan
    return depth, np.abs(ACROSS) <= reach - 1, wide


def _peak(evidence: np.ndarray) -> np.ndarray:
    """Return where each profile of the map is highest, near its line."""
    return np.argmax(evidence * (np.abs(ACROSS) <= 4), axis=1)


def _median_where(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return the median (n, 1) of each row where `there` holds; each row has about as many."""
    held = np.where(there, values, np.inf)
    held.sort(axis=1)
    return np.take_along_axis(held, (there.sum(axis=1) // 2)[:, np.newaxis], axis=1)


def _width_at(values: np.ndarray, level: float | np.ndarray, peak: np.ndarray) -> np.ndarray:
    """Return how wide each row is at a level around its peak [px], the crossings between samples; 0 if it is lower."""
    count = values.shape[1]
    places = np.arange(count)
    above = values >= np.broadcast_to(np.asarray(level).reshape(-1, 1), values.shape)
    before = np.where(~above & (places <= peak[:, np.newaxis]), places, -1).max(axis=1)
    after = np.where(~above & (places >= peak[:, np.newaxis]), places, count).min(axis=1)
    inside = (before >= 0) & (after < count) & (after > before + 1)
    one, other = np.clip(before, 0, count - 2), np.clip(after, 1, count - 1)
    rows = np.arange(len(values))
    level = np.broadcast_to(np.asarray(level).reshape(-1), len(values))

    def share(low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Where the level lies between two neighbouring samples, from the lower one."""
        a, b = values[rows, low], values[rows, high]
        return np.clip((level - a) / np.where(b == a, 1, b - a), 0, 1)

    left = one + share(one, one + 1)
    right = other - share(other, other - 1)
    return np.where(inside, (right - left) * STEP, 0.0)


def _read(depth: np.ndarray, counts: np.ndarray, wide: np.ndarray) -> pd.DataFrame:
    """Read each profile: width at half depth, darkness summed across, and depth."""
    known = ~np.isnan(depth).any(axis=1)
    held = np.where(counts, np.nan_to_num(depth), 0.0)
    near = np.abs(ACROSS) <= np.maximum(wide / 2, 1.5)[:, np.newaxis] + 1
    peak = np.argmax(np.where(near, held, -1), axis=1)
    deepest = held[np.arange(len(held)), peak]
    half = _width_at(np.where(counts, held, -1), deepest / 2, peak)
    return pd.DataFrame(
        {
            "half": np.where(known, half, np.nan),
            "darkness": np.where(known, held.sum(axis=1) * STEP, np.nan),
            "depth": np.where(known, deepest, np.nan),
            "wide": np.where(known, wide, np.nan),
        }
    )


def _seen() -> tuple[np.ndarray, np.ndarray]:
    """Return widths of lines, and how wide a Gaussian blur makes them at half depth, both in its standard deviations.

    From 2.355 for a line without width; lines of 4 and more keep theirs.
    """
    x, widths = np.linspace(0, 5, 1001), np.linspace(0, 8, 161)
    shape = special.erf((widths[1:, np.newaxis] / 2 - x) / np.sqrt(2)) + special.erf(
        (widths[1:, np.newaxis] / 2 + x) / np.sqrt(2)
    )
    return widths, np.r_[2.355, 2 * x[np.argmax(shape < shape[:, :1] / 2, axis=1)]]


def _camera(found: pd.DataFrame) -> tuple[float, float]:
    """Return blur [px] and darkness of a px of crack, as a share of the wall: those that explain all lines together.

    Darkness summed across, A, is width times darkness of a px, D, whatever the blur; width at half depth is that of a
    line of A / D, blurred. Of a grid of both, the pair that is off least, with a little weight on what drawn cracks
    have (`USUAL`): where all lines are thin, nothing else tells.
    """
    good = found[(found["half"] > 0) & (found["darkness"] > 0)]
    if len(good) < STRETCH:
        return 0.8, USUAL
    groups = good.groupby(pd.qcut(good["darkness"], min(24, len(good) // 8), duplicates="drop"), observed=True)
    dark, half = (groups[name].median().to_numpy() for name in ("darkness", "half"))
    widths, seen = _seen()
    blurs, depths = np.linspace(0.4, 3, 53)[:, np.newaxis, np.newaxis], np.geomspace(0.15, 1, 60)[:, np.newaxis]
    share = dark / depths / blurs
    expected = np.where(share < widths[-1], np.interp(share, widths, seen), share) * blurs
    off = np.abs(expected - half).mean(axis=2) + 0.05 * (np.log(depths[:, 0] / USUAL) / 0.25) ** 2
    one, other = np.unravel_index(np.argmin(off), off.shape)
    return float(blurs[one, 0, 0]), float(depths[other, 0])


def _unblurred(half: np.ndarray, blur: float) -> np.ndarray:
    """Return the widths of lines that are `half` wide at half depth after the blur; 0 where that is its own width."""
    widths, seen = _seen()
    return np.interp(half / blur, np.r_[0, seen, seen[-1] + 1e4], np.r_[0, widths, widths[-1] + 1e4]) * blur


def _stretch(found: pd.DataFrame, dark: float, errors: Errors) -> dict[str, object]:
    half = float(found["width"].median())
    if not np.isfinite(half):
        nothing = dict.fromkeys(("width_px", "low_px", "high_px", "spread_px", "depth"), np.nan)
        return nothing | {"kind": "unknown"}
    wide = half >= WIDE
    light = found["width"] if wide else found["darkness"] / dark
    thin = not wide and float(light.median()) < THIN
    # What lies beside a wide crack may be dark as well, and the network knows it from cracks.
    each = light.clip(upper=found["wide"]) if wide else light
    width = float(each.median())
    spread = 1.4826 * float((each - width).abs().median())
    apart = max(abs(float(witness.median()) - width) for witness in (light, found["map"]))
    several = max(1.0, found["half"].notna().sum() / 6)  # widths 6 px apart differ by themselves
    fixed, share = (errors.measured, errors.measured_share) if wide else (errors.estimated, errors.estimated_share)
    off = np.sqrt(spread**2 / several + apart**2 + fixed**2 + (share * width) ** 2 + (errors.scale * width) ** 2)
    kind = "measured" if wide else "estimated"
    low, high = max(0.0, width - 1.96 * off), width + 1.96 * off
    if thin:
        kind, low, width, high = "thinner than", 0.0, max(THIN, high), max(THIN, high)
    return {
        "width_px": width,
        "low_px": low,
        "high_px": high,
        "spread_px": spread,
        "depth": float(found["depth"].median()),
        "kind": kind,
    }
