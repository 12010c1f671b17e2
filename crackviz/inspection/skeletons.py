"""From a map to a graph of lines one pixel wide: found in stripes, kept as a list of pixels, so memory is bounded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.csgraph import connected_components
from skimage.morphology import skeletonize

from crackviz import CrackvizError

STRIPE = 16_000_000
"""Pixels that are looked at together; a photograph of as many is one stripe."""
OVERLAP = 64
"""Rows above and below that a stripe sees of its neighbours [px]."""
MOST = 20_000_000
"""Pixels of lines above which the map is called nonsense."""


@dataclass
class Branch:
    """A line between two nodes, or from a node to a free end."""

    points: np.ndarray
    """float64 (n, 2): x, y [px], pixel centres at whole numbers, in order."""
    evidence: np.ndarray
    """float32 (n,): the map's largest value within a pixel of each point."""
    ends: tuple[int, int]
    """The nodes at first and last point; -1 for a free end."""
    bridged: float = 0.0
    """Length of gaps that were bridged [px]."""

    @property
    def length(self) -> float:
        """Length along the pixels [px]."""
        return float(np.hypot(*np.diff(self.points, axis=0).T).sum())

    def turned(self) -> Branch:
        """Return the branch, from its last point to its first."""
        return Branch(self.points[::-1], self.evidence[::-1], self.ends[::-1], self.bridged)


@dataclass
class Graph:
    """Branches, and the nodes where they meet."""

    branches: list[Branch]
    nodes: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    """float64 (n, 2): x, y [px]."""


def skeleton(values: np.ndarray, weak: float, strong: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle lines of where a map is above `weak`, of those pieces that reach `strong`.

    Parameters
    ----------
    values : float32 (H, W)
        The map; it may lie on the disk.
    weak, strong : float
        Hysteresis: a piece of the map above `weak` counts if it reaches `strong` somewhere (Canny).

    Returns
    -------
    (int64 (n,), float32 (n,))
        The pixels of the lines, y W + x in ascending order, and the map's largest value within a pixel of each.

    Raises
    ------
    CrackvizError
        Where so much of the map is above `weak` that it can't be lines.

    Notes
    -----
    Canny: *A computational approach to edge detection*, PAMI 1986; Zhang, Suen: *A fast parallel algorithm for thinning
    digital patterns*, CACM 1984.
    """
    height, width = values.shape
    step = max(4 * OVERLAP, STRIPE // width)
    places, heights, count = [], [], 0
    for top in range(0, height, step):
        first, last = max(top - OVERLAP, 0), min(top + step + OVERLAP, height)
        part = np.asarray(values[first:last])
        found = skeletonize(part > weak)
        found[: top - first] = False
        found[min(top + step, height) - first :] = False
        y, x = np.nonzero(found)
        near = ndimage.maximum_filter(part, 3)[y, x]
        places.append((y.astype(np.int64) + first) * width + x)
        heights.append(near)
        count += len(y)
        if count > MOST:
            raise CrackvizError(
                f"The map marks lines of more than {MOST:,} px; no wall has as many. Is it a photograph of concrete? "
                "Else raise the threshold."
            )
    pixels, near = np.concatenate(places), np.concatenate(heights)
    pieces = connected_components(_neighbours(pixels, width), directed=False)[1]
    reached = np.zeros(pieces.max(initial=-1) + 1, bool)
    reached[pieces[near > strong]] = True
    keep = reached[pieces]
    return pixels[keep], near[keep]


def _neighbours(pixels: np.ndarray, width: int) -> sparse.csr_array:
    """Return which pixels touch, by a side or a corner: bool (n, n). A corner counts only where no side leads there."""
    x = pixels % width
    pairs = []
    by_side = {}
    for step, way in ((1, 1), (width, 0)):
        ok = (x + way >= 0) & (x + way < width)
        by_side[step] = ok & _has(pixels, pixels + step)
    for step, way in ((1, 1), (width, 0), (width + 1, 1), (width - 1, -1)):
        ok = (x + way >= 0) & (x + way < width) & _has(pixels, pixels + step)
        if step == width + 1:  # right and below: over the right or the lower pixel there is a way by sides
            ok &= ~(by_side[1] | by_side[width])
        elif step == width - 1:
            ok &= ~(by_side[width] | ((x > 0) & _has(pixels, pixels - 1)))
        here = np.flatnonzero(ok)
        pairs.append((here, np.searchsorted(pixels, pixels[here] + step)))
    one = np.concatenate([a for a, _ in pairs])
    other = np.concatenate([b for _, b in pairs])
    ones = np.ones(2 * len(one), bool)
    count = len(pixels)
    return sparse.csr_array((ones, (np.r_[one, other], np.r_[other, one])), shape=(count, count))


def _has(pixels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = np.searchsorted(pixels, wanted)
    place[place == len(pixels)] = 0
    return pixels[place] == wanted if len(pixels) else np.zeros(0, bool)


def graph(pixels: np.ndarray, near: np.ndarray, width: int) -> Graph:
    """Cut a skeleton at its junctions into branches.

    A junction is a pixel with more than two neighbours; junctions that touch are one node, at their middle.

    Parameters
    ----------
    pixels, near
        As :func:`skeleton` returns them.
    width : int
        Of the photograph [px].
    """
    links = _neighbours(pixels, width)
    degree = np.diff(links.indptr)
    meets = degree > 2
    at = np.stack([pixels % width, pixels // width], axis=1).astype(np.float64)
    junctions = np.flatnonzero(meets)
    count, of_junction = connected_components(links[junctions][:, junctions], directed=False)
    summed = np.stack([np.bincount(of_junction, at[junctions, i], count) for i in (0, 1)], axis=1)
    nodes = summed / np.maximum(np.bincount(of_junction, minlength=count), 1)[:, np.newaxis]
    node_of = np.full(len(pixels), -1)
    node_of[junctions] = of_junction
    branches, used = [], meets.copy()
    plain = [links.indices[links.indptr[i] : links.indptr[i + 1]] for i in range(len(pixels))]
    ends_first = np.flatnonzero(~meets)
    inner = np.array([sum(not meets[j] for j in plain[i]) for i in ends_first], int)
    for start in ends_first[np.argsort(inner, kind="stable")]:  # rings last: they have no end
        if used[start]:
            continue
        way = [int(start)]
        used[start] = True
        while (after := next((int(j) for j in plain[way[-1]] if not used[j]), None)) is not None:
            way.append(after)
            used[after] = True
        branches.append(_branch(way, at, near, plain, node_of, nodes))
    return Graph(branches, nodes)


def _branch(
    way: list[int], at: np.ndarray, near: np.ndarray, plain: list[np.ndarray], node_of: np.ndarray, nodes: np.ndarray
) -> Branch:
    points, evidence = at[way], near[way]
    first = [int(node_of[j]) for j in plain[way[0]] if node_of[j] >= 0]
    last = [int(node_of[j]) for j in plain[way[-1]] if node_of[j] >= 0]
    ends = (first[0] if first else -1, last[-1] if last else -1)
    if len(way) == 1:  # a pixel between two nodes
        ends = (first[0] if first else -1, first[1] if len(first) > 1 else -1)
    elif not first and not last and len(way) > 2 and way[-1] in plain[way[0]]:  # a ring
        points, evidence = np.concatenate([points, points[:1]]), np.concatenate([evidence, evidence[:1]])
    if ends[0] >= 0:
        points, evidence = np.concatenate([nodes[[ends[0]]], points]), np.concatenate([evidence[:1], evidence])
    if ends[1] >= 0:
        points, evidence = np.concatenate([points, nodes[[ends[1]]]]), np.concatenate([evidence, evidence[-1:]])
    return Branch(points, evidence, ends)
