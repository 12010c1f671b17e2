"""Cracks as lines: spurs pruned, gaps bridged, smoothed and measured."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from crackviz import CrackvizError
from crackviz.contracts import check_number
from crackviz.inspection.skeletons import Branch, Graph, graph, skeleton


@dataclass(frozen=True)
class Rules:
    """What makes a line of a map. Lengths in px of the photograph, shares of the largest value that a map can hold.

    Parameters
    ----------
    weak, strong : float
        Hysteresis: a piece of the map above `weak` counts if it reaches `strong` somewhere.
    spur : float
        A branch that ends free and is shorter is pruned, unless the line would have no length without it.
    gap, turn : float
        Two free ends are joined that are at most `gap` apart, if either turns by at most `turn` degrees to meet the
        other; the nearest first.
    shortest : float
        Cracks that are shorter, all branches together, are left out.
    mean : float
        So are those on whose line the map is lower than that, on average.
    branch : float
        So are branches of a crack on which it is lower than that.
    straight : float
        A crack whose longest line strays less from its chord, as a share of the chord, is called straight: joints,
        cables and edges are. It is listed, and not counted.
    smooth : float
        Standard deviation of the Gaussian that smooths a line along its way.
    """

    weak: float = 0.25
    strong: float = 0.8
    spur: float = 12.0
    gap: float = 30.0
    turn: float = 40.0
    shortest: float = 150.0
    mean: float = 0.9
    branch: float = 0.65
    straight: float = 0.02
    smooth: float = 3.0

    def __post_init__(self) -> None:
        for name in ("weak", "strong", "mean", "branch", "straight"):
            check_number(name, getattr(self, name), 0, 1)
        check_number("turn", self.turn, 0, 90)
        for name in ("spur", "gap", "shortest", "smooth"):
            check_number(name, getattr(self, name), 0, 10_000)
        if self.weak > self.strong:
            raise CrackvizError(f"weak is {self.weak}, above strong, {self.strong}, which then counts for nothing.")


@dataclass
class Crack:
    """A crack: lines that hang together."""

    lines: list[np.ndarray]
    """float64 (n, 2) each: x, y [px] of the smoothed lines, about a px apart."""
    evidence: float
    """Mean of the map along it, as a share of the largest value that it can hold."""
    junctions: int
    bridged: float
    """Length of the gaps that were bridged [px]."""

    @property
    def length(self) -> float:
        """Along the smoothed lines [px]."""
        return sum(length_of(line) for line in self.lines)

    @property
    def stray(self) -> float:
        """How far the longest line strays from its chord, as a share of the chord's length."""
        line = max(self.lines, key=length_of)
        chord = line[-1] - line[0]
        long = max(float(np.hypot(*chord)), 1e-9)
        beside = (line - line[0]) @ np.array([-chord[1], chord[0]]) / long
        return float(np.abs(beside).max()) / long

    @property
    def orientation(self) -> float:
        """Mean direction, from 0 (level) up to 180 degrees, counter-clockwise as one sees it; by length."""
        steps = np.concatenate([np.diff(line, axis=0) for line in self.lines])
        doubled = ((steps[:, 0] - 1j * steps[:, 1]) ** 2 / np.maximum(np.hypot(*steps.T), 1e-9)).sum()
        return float(np.degrees(np.angle(doubled)) / 2 % 180)


def length_of(line: np.ndarray) -> float:
    """Return the length of a line of points (n, 2)."""
    return float(np.hypot(*np.diff(line, axis=0).T).sum())


def trace(values: np.ndarray, full: float, rules: Rules) -> list[Crack]:
    """Draw the cracks of a map as lines, the longest first.

    Parameters
    ----------
    values : float32 (H, W)
        The map, as :class:`crackviz.inspection.Mapper` gives it.
    full : float
        The largest value that it can hold.
    rules : Rules

    Returns
    -------
    list of Crack

    Raises
    ------
    CrackvizError
        Where the map marks too much to be lines.

    Notes
    -----
    The default rules were chosen on sixteen synthetic walls; ``benchmarks/inspection.py choose`` scores others.
    """
    lines = graph(*skeleton(values, rules.weak * full, rules.strong * full), values.shape[1])
    lines = bridge(prune(lines, rules.spur), rules.gap, rules.turn)
    cracks = []
    for together in _together(lines):
        branches = [branch for branch in together if branch.evidence.mean() >= rules.branch * full]
        if not branches:
            continue
        evidence = np.concatenate([branch.evidence for branch in branches]).mean() / full
        crack = Crack(
            [smoothed(branch.points, rules.smooth) for branch in branches],
            float(evidence),
            len({end for branch in branches for end in branch.ends if end >= 0}),
            sum(branch.bridged for branch in branches),
        )
        if crack.length >= rules.shortest and crack.evidence >= rules.mean:
            cracks.append(crack)
    return sorted(cracks, key=lambda crack: -crack.length)


def prune(lines: Graph, spur: float) -> Graph:
    """Remove free branches shorter than `spur`, the shortest first, and join what is left at nodes of two branches."""
    branches = dict(enumerate(lines.branches))
    at: dict[int, set[int]] = defaultdict(set)
    for number, branch in branches.items():
        for end in branch.ends:
            at[end].add(number)
    shortest = sorted(branches, key=lambda number: branches[number].length)
    for number in shortest:
        branch = branches[number]
        free = [end for end in branch.ends if end < 0]
        held = [end for end in branch.ends if end >= 0]
        if len(free) == 1 and branch.length < spur and len(at[held[0]]) > 2:
            del branches[number]
            at[held[0]].discard(number)
    for node in [node for node, around in at.items() if node >= 0 and len(around) == 2]:
        if len(at[node]) != 2:  # two branches led from one node to the other, and are joined to a ring by now
            continue
        one, other = sorted(at[node])
        joined = _joined(branches.pop(one), branches.pop(other), node)
        branches[one] = joined
        at[node] = set()
        for end in joined.ends:
            at[end].discard(other)
            at[end].add(one)
    return Graph(list(branches.values()), lines.nodes)


def _joined(one: Branch, other: Branch, node: int) -> Branch:
    """Join two branches at a node that both end in."""
    one = one if one.ends[1] == node else one.turned()
    other = other if other.ends[0] == node else other.turned()
    return Branch(
        np.concatenate([one.points, other.points[1:]]),
        np.concatenate([one.evidence, other.evidence[1:]]),
        (one.ends[0], other.ends[1]),
        one.bridged + other.bridged,
    )


def bridge(lines: Graph, gap: float, turn: float) -> Graph:
    """Join free ends that are at most `gap` px apart and point at each other within `turn` degrees, nearest first."""
    branches = list(lines.branches)
    tips = [(i, side) for i, branch in enumerate(branches) for side in (0, 1) if branch.ends[side] < 0]
    if len(tips) < 2 or not gap:
        return lines
    at = np.array([branches[i].points[-side] for i, side in tips])
    ways = np.array([_outward(branches[i].points, side) for i, side in tips])
    pairs = cKDTree(at).query_pairs(gap, output_type="ndarray")
    between = at[pairs[:, 1]] - at[pairs[:, 0]]
    apart = np.maximum(np.hypot(*between.T), 1e-9)
    straight = np.cos(np.radians(turn)) * apart
    fits = ((ways[pairs[:, 0]] * between).sum(1) >= straight) & ((-ways[pairs[:, 1]] * between).sum(1) >= straight)
    nodes, taken = list(lines.nodes), set()
    for k in np.flatnonzero(fits)[np.argsort(apart[fits], kind="stable")]:
        one, other = pairs[k]
        if one in taken or other in taken or tips[one][0] == tips[other][0]:
            continue
        taken |= {one, other}
        node = len(nodes)
        nodes.append((at[one] + at[other]) / 2)
        for place, length in ((one, apart[k]), (other, 0.0)):
            i, side = tips[place]
            branches[i] = _lengthened(branches[i], side, node, nodes[node], length)
    return prune(Graph(branches, np.array(nodes)), 0.0)


def _lengthened(branch: Branch, side: int, node: int, where: np.ndarray, gap: float) -> Branch:
    ends = (node, branch.ends[1]) if side == 0 else (branch.ends[0], node)
    if side == 0:
        points = np.concatenate([[where], branch.points])
        evidence = np.concatenate([branch.evidence[:1], branch.evidence])
    else:
        points = np.concatenate([branch.points, [where]])
        evidence = np.concatenate([branch.evidence, branch.evidence[-1:]])
    return Branch(points, evidence, ends, branch.bridged + gap)


def _outward(points: np.ndarray, side: int, back: int = 15) -> np.ndarray:
    """Return the direction (2,) in which a line leaves at its first (0) or last (1) point."""
    ordered = points if side == 0 else points[::-1]
    way = ordered[0] - ordered[min(back, len(ordered) - 1)]
    return way / max(float(np.hypot(*way)), 1e-9)


def _together(lines: Graph) -> list[list[Branch]]:
    """Return the branches by what hangs together."""
    if not lines.branches:
        return []
    pairs = [(i, end) for i, branch in enumerate(lines.branches) for end in branch.ends if end >= 0]
    one, other = np.array(pairs, int).reshape(-1, 2).T
    count = len(lines.branches)
    size = count + len(lines.nodes)
    links = coo_array((np.ones(len(one), bool), (one, other + count)), shape=(size, size))
    pieces = connected_components(links, directed=False)[1][:count]
    found: dict[int, list[Branch]] = defaultdict(list)
    for piece, branch in zip(pieces, lines.branches, strict=True):
        found[int(piece)].append(branch)
    return list(found.values())


def smoothed(points: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a line along its way by a Gaussian, its ends held where they are, points a px apart: float64 (m, 2)."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    places = np.linspace(0, along[-1], max(2, round(along[-1]) + 1))
    even = np.stack([np.interp(places, along, points[:, i]) for i in (0, 1)], axis=1)
    chord = even[0] + (even[-1] - even[0]) * np.linspace(0, 1, len(even))[:, np.newaxis]
    if not sigma:
        return even
    # What is left of the chord is 0 at both ends; mirrored with its sign turned it stays so.
    beside = even - chord
    reach = min(len(beside) - 1, int(4 * sigma) + 1)
    wide = np.concatenate([-beside[reach:0:-1], beside, -beside[-2 : -reach - 2 : -1]])
    return chord + ndimage.gaussian_filter1d(wide, sigma, axis=0)[reach : reach + len(beside)]


def table(cracks: list[Crack], straight: float) -> pd.DataFrame:
    """Return a table of cracks, one a row, numbered from 1: where they are, how long, and how they lie."""
    rows = []
    for crack in cracks:
        points = np.concatenate(crack.lines)
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        rows.append(
            {
                "length_px": crack.length,
                "orientation_deg": crack.orientation,
                "junctions": crack.junctions,
                "bridged_px": crack.bridged,
                "evidence": crack.evidence,
                "straight": crack.stray < straight,
                **{"left": left, "top": top, "right": right, "bottom": bottom},
            }
        )
    columns = ["length_px", "orientation_deg", "junctions", "bridged_px", "evidence", "straight"]
    columns += ["left", "top", "right", "bottom"]
    return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="crack"), columns=columns)
