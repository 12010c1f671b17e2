"""Whether a map lies on the crack: scores against masks, made for thin objects.

Maps are float (N, H, W), masks bool (N, H, W) or what :func:`truth` made of them. Every score for single images is
NaN where the mask is empty: where there is no crack, no map can find one, and neither can it miss.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage, signal, special
from sklearn.metrics import precision_recall_curve

from crackviz import CrackvizError
from crackviz.contracts import check_maps, check_number
from crackviz.faithfulness.truth import Masks, Truth, truth

DISTANCES = (0, 2, 4, 8)
"""Of the evidence near the crack, in px."""


class PooledF1(NamedTuple):
    """The best that one threshold for all images can do; see :func:`best_f1`."""

    f1: float
    iou: float
    precision: float
    recall: float
    threshold: float
    """A pixel is called crack from this value on, in the map's own unit."""
    images: int
    excluded: int
    """Images without a crack, left out."""


def _prepare(maps: np.ndarray, masks: Masks, **distances: float) -> tuple[np.ndarray, Truth]:
    for name, value in distances.items():
        check_number(name, value, 0)
    known = truth(masks)
    return check_maps(maps, known.masks.shape), known


def _counted(values: np.ndarray, known: Truth) -> np.ndarray:
    return np.where(known.counted, values, np.nan)


def pointing_game(maps: np.ndarray, masks: Masks, *, tolerance: float = 0) -> np.ndarray:
    """Ask whether the map's highest pixel lies on the crack, or within `tolerance` px of it.

    **Range** 0 (missed) or 1 (hit) for an image; a share in between where the maximum is shared by several pixels:
    the expected value of drawing one of them. **Higher is better. Chance level**: the share of the image that lies
    within the tolerance. **Fooled by** whatever is darkest or has the steepest edge, since one pixel is enough, and by
    thick cracks; a map may point at the crack and put nearly all its evidence elsewhere.

    A constant map is a miss, and so is one without a positive value: neither points anywhere. (Quantus's PointingGame
    calls a constant map a hit, and an empty mask as well.)

    Parameters
    ----------
    maps : float (N, H, W)
    masks : bool (N, H, W), or what :func:`truth` made of them
        At least one shows a crack.
    tolerance : float
        In px.

    Returns
    -------
    numpy.ndarray
        float64 (N,), NaN where the mask is empty.

    Notes
    -----
    Zhang, Bargal, Lin, Brandt, Shen, Sclaroff: *Top-down Neural Attention by Excitation Backprop*, IJCV 2018 (with a
    tolerance of 15 px, which on thin cracks would hit nearly everywhere). ``THEORY.md`` T8.
    """
    maps, known = _prepare(maps, masks, tolerance=tolerance)
    top = maps.max(axis=(1, 2), keepdims=True)
    at = maps == top
    hits = (at & (known.distance <= tolerance)).sum(axis=(1, 2)) / at.sum(axis=(1, 2))
    points = (top[:, 0, 0] > 0) & (maps.min(axis=(1, 2)) < top[:, 0, 0])
    return _counted(np.where(points, hits, 0.0), known)


def evidence_near(maps: np.ndarray, masks: Masks, *, distance: float = 0) -> np.ndarray:
    """Return the share of the positive evidence that lies within `distance` px of the crack.

    **Range** [0, 1]; **higher is better. Chance level**: the share of the image within that distance, which for 8 px
    is easily a third: read the score beside it. **Fooled by** a map that is sharp on one bit of the crack and says
    nothing of the rest (see :func:`centreline_coverage`), and by dark lines of any kind. A map without a positive
    value gets 0; negative values aren't counted.

    Parameters
    ----------
    maps, masks
        As for :func:`pointing_game`.
    distance : float
        In px; 0: on the crack itself.

    Returns
    -------
    numpy.ndarray
        float64 (N,), NaN where the mask is empty.

    Notes
    -----
    Kohlbrenner et al.: *Towards Best Practice in Explaining Neural Network Decisions with LRP*, IJCNN 2020 (attribution
    localisation; Quantus: AttributionLocalisation), which counts no pixel outside the mask: here distance 0.
    ``THEORY.md`` T8.
    """
    maps, known = _prepare(maps, masks, distance=distance)
    positive = maps.clip(min=0)
    whole = positive.sum(axis=(1, 2), dtype=np.float64)
    near = np.where(known.distance <= distance, positive, 0).sum(axis=(1, 2), dtype=np.float64)
    return _counted(np.divide(near, whole, out=np.zeros_like(whole), where=whole > 0), known)


def average_precision(maps: np.ndarray, masks: Masks) -> np.ndarray:
    """Return the average precision of each image's pixels: how far up in the map's ranking the crack's pixels are.

    **Range** (0, 1]; **higher is better. Chance level**: what a constant map gets, which is the share of crack pixels,
    a few per cent, and a little more in a small picture. **Fooled by** darkness, which no network needs; and strict:
    one pixel beside a hairline counts as much as one far away, so that any map of wide cells loses; compare maps of one
    sharpness.

    Equal values are drawn apart at random: what is returned is the expected value (scikit-learn's
    ``average_precision_score`` calls all of them at once, which favours maps whose lowest value is shared; without ties
    both agree).

    Takes and returns what :func:`evidence_near` does. ``THEORY.md`` T3, T8.
    """
    maps, known = _prepare(maps, masks)
    values = np.full(len(maps), np.nan)
    for n in np.flatnonzero(known.counted):
        values[n] = _expected_precision(maps[n].ravel(), known.masks[n].ravel())
    return values


def _expected_precision(values: np.ndarray, wanted: np.ndarray) -> float:
    order = np.argsort(-values, kind="stable")
    values, wanted = values[order], wanted[order]
    first = np.flatnonzero(np.r_[True, values[1:] != values[:-1]])  # of each group of equal values
    size = np.diff(np.r_[first, len(values)])
    inside = np.add.reduceat(wanted.astype(np.float64), first)  # crack pixels in the group
    before = np.cumsum(inside) - inside
    group = np.repeat(np.arange(len(first)), size)
    place = np.arange(len(values)) - first[group]
    # An item is a crack pixel with this chance; then so many of those drawn before it in its group are, on average.
    chance = inside[group] / size[group]
    others = place * np.maximum(inside[group] - 1, 0) / np.maximum(size[group] - 1, 1)
    return float((chance * (before[group] + 1 + others) / (np.arange(len(values)) + 1)).sum() / inside.sum())


def best_f1(maps: np.ndarray, masks: Masks) -> PooledF1:
    """Find the one threshold for the pixels of all images that gives the best F1, and name it.

    **Range** [2 s / (1 + s), 1] for F1 and [s, 1] for IoU = F1 / (2 - F1), s being the share of crack pixels: calling
    everything crack gets the lower end, which is the **chance level** too. **Higher is better. Fooled by** darkness:
    a plain grey threshold gets far on clean concrete; and flattering, since the threshold is chosen by the truth. It is
    pooled: wide cracks count for more than hairlines, and maps whose scale differs between images lose.

    Takes what :func:`pointing_game` does. ``THEORY.md`` T8.
    """
    maps, known = _prepare(maps, masks)
    values, wanted = maps[known.counted].ravel(), known.masks[known.counted].ravel()
    every = precision_recall_curve(wanted, values)
    precision, recall, levels = (each[len(every[2]) - 1 :: -1] for each in every)  # from the highest level on
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    best, images = int(f1.argmax()), int(known.counted.sum())
    score, called_right, found, level = (float(each[best]) for each in (f1, precision, recall, levels))
    return PooledF1(score, score / (2 - score), called_right, found, level, images, len(maps) - images)


def tolerant_precision_recall(
    maps: np.ndarray, masks: Masks, *, threshold: float, tolerance: float = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Call the pixels from `threshold` on crack, and forgive an error of `tolerance` px in either direction.

    Precision: the share of what is called crack that lies within the tolerance of the crack. Recall: the share of the
    crack's pixels within the tolerance of something called crack. **Range** [0, 1]; **higher is better. Chance level**
    of the precision: the share of the image within the tolerance; of the recall: none, it depends on how much is
    called. **Fooled by** extremes: call everything and recall is 1; call one sure pixel and precision is 1: read both.
    Where nothing is called, both are 0.

    Parameters
    ----------
    maps, masks
        As for :func:`pointing_game`.
    threshold : float
        In the map's unit; that of :func:`best_f1`, or one of your own.
    tolerance : float
        In px. People who draw masks disagree by a pixel or two.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        Precision and recall, float64 (N,), NaN where the mask is empty.

    Notes
    -----
    As boundaries are scored in Martin, Fowlkes, Malik: *Learning to Detect Natural Image Boundaries*, PAMI 2004; here
    without one-to-one matching. ``THEORY.md`` T8.
    """
    maps, known = _prepare(maps, masks, tolerance=tolerance)
    if np.isnan(threshold):
        raise CrackvizError("threshold is NaN; expected a number, such as that of best_f1.")
    called = maps >= threshold
    count = called.sum(axis=(1, 2)).astype(np.float64)
    near = (called & (known.distance <= tolerance)).sum(axis=(1, 2))
    precision = np.divide(near, count, out=np.zeros_like(count), where=count > 0)
    recall = np.zeros_like(precision)
    for n in np.flatnonzero(known.counted & (count > 0)):
        far = ndimage.distance_transform_edt(~called[n])
        recall[n] = (far[known.masks[n]] <= tolerance).mean()
    return _counted(precision, known), _counted(recall, known)


def centreline_coverage(maps: np.ndarray, masks: Masks, *, tolerance: float = 0) -> np.ndarray:
    """Take the map's highest pixels, as many as the crack has, and see how much of its centre line they cover.

    **Range** [0, 1]; **higher is better. Chance level** s, the share of crack pixels, at tolerance 0, and about
    1 - (1 - s)^m with m pixels in a disc of the tolerance's radius. It can't be raised by calling more, since the area
    is given. **Fooled by** other dark lines that don't reach the top, and generous to a map that follows the line but
    isn't as wide as the crack; blind to what lies beside it, beyond the area. Among equal values pixels are drawn at
    random: what is returned is the expected value. Only positive values are taken, and of a constant map none.

    Parameters
    ----------
    maps, masks
        As for :func:`pointing_game`; centre lines that are known are told to :func:`truth`.
    tolerance : float
        In px: a pixel of the line is covered from so far.

    Returns
    -------
    numpy.ndarray
        float64 (N,), NaN where the mask is empty. ``THEORY.md`` T8.
    """
    maps, known = _prepare(maps, masks, tolerance=tolerance)
    values = np.zeros(len(maps))
    for n in np.flatnonzero(known.counted):
        if maps[n].min() < maps[n].max():
            values[n] = _covered(maps[n], int(known.masks[n].sum()), known.lines[n], tolerance)
    return _counted(values, known)


def _covered(values: np.ndarray, area: int, line: np.ndarray, tolerance: float) -> float:
    least = np.partition(values.ravel(), -area)[-area]  # the value at which the area is full
    sure, tied = values > max(least, 0), (values == least) & (least > 0)
    left, equal = area - int(sure.sum()), int(tied.sum())
    covered = np.zeros(line.sum())
    if sure.any():
        covered[ndimage.distance_transform_edt(~sure)[line] <= tolerance] = 1
    if equal and left:
        near = np.round(signal.oaconvolve(tied.astype(float), disc(tolerance), mode="same"))[line]
        # The chance that none of the `left` that are drawn out of `equal` is one of the `near`.
        rest = np.maximum(equal - near - left, 0)
        log = special.gammaln(equal - near + 1) - special.gammaln(rest + 1)
        log += special.gammaln(equal - left + 1) - special.gammaln(equal + 1)
        covered = np.maximum(covered, np.where(near > equal - left, 1.0, 1 - np.exp(log)))
    return float(covered.mean())


def disc(radius: float) -> np.ndarray:
    """Return the pixels within `radius` of the middle one, as a float (n, n) of zeros and ones."""
    steps = np.arange(-int(radius), int(radius) + 1)
    return (steps[:, np.newaxis] ** 2 + steps**2 <= radius**2).astype(float)


def chance_levels(masks: Masks) -> dict[str, float]:
    """Return the chance level of each localisation score that has one, for these masks, as the docstrings state it."""
    known = truth(masks)
    crack = known.masks[known.counted]
    near = {d: float((known.distance[known.counted] <= d).mean()) for d in DISTANCES}
    share, shares = float(crack.mean()), crack.mean(axis=(1, 2))
    levels = {"pointing": near[0], "pointing_4px": near[4]}
    levels |= {f"evidence_{d}px": near[d] for d in DISTANCES}
    pixels = crack[0].size if len(crack) else 1
    others = (crack.sum(axis=(1, 2)) - 1) / max(pixels - 1, 1)  # the share of crack among the others of a crack's pixel
    first = (special.digamma(pixels + 1) + np.euler_gamma) / pixels  # the mean of 1/rank, over all ranks
    levels["average_precision"] = float((others + (1 - others) * first).mean())  # as a constant map's
    levels |= {"f1": 2 * share / (1 + share), "iou": share, "precision_2px": near[2]}
    return levels | {"coverage_1px": float((1 - (1 - shares) ** disc(1).sum()).mean())}


def localisation_scores(maps: np.ndarray, masks: Masks) -> tuple[pd.DataFrame, PooledF1]:
    """Compute all scores against masks.

    Parameters
    ----------
    maps, masks
        As for :func:`pointing_game`.

    Returns
    -------
    (pandas.DataFrame, PooledF1)
        A row for each image, NaN where its mask is empty; and the best F1 of all of them, whose threshold also gives
        precision_2px and recall_2px.
    """
    known = truth(masks)
    maps = check_maps(maps, known.masks.shape)
    pooled = best_f1(maps, known)
    precision, recall = tolerant_precision_recall(maps, known, threshold=pooled.threshold, tolerance=2)
    scores = {"pointing": pointing_game(maps, known), "pointing_4px": pointing_game(maps, known, tolerance=4)}
    scores |= {f"evidence_{d}px": evidence_near(maps, known, distance=d) for d in DISTANCES}
    scores |= {"average_precision": average_precision(maps, known), "precision_2px": precision, "recall_2px": recall}
    scores["coverage_1px"] = centreline_coverage(maps, known, tolerance=1)
    return pd.DataFrame(scores), pooled
