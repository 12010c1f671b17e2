"""Whether a network reads the crack, or a mark beside it.

A map can say where the evidence lies (`shortcut_share`); only a changed picture can say what the mark does to the
answer (`counterfactual`). ``THEORY.md`` T9.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from crackviz import CrackvizError
from crackviz.attribution.network import Target, logits, target_index

Interval = dict[str, float]
Floats = npt.NDArray[np.float64]


def shortcut_share(
    maps: np.ndarray,
    crack_masks: np.ndarray,
    distractor_masks: np.ndarray,
    *,
    tolerance: float = 2.0,
    groups: np.ndarray | Sequence[Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    r"""Return how much of the evidence lies on a distractor, of all that lies on it or on the crack.

    Of a map's positive part, let :math:`D` be what lies within `tolerance` of the distractor and :math:`C` what lies
    within it of the crack; the share is :math:`D / (D + C)`. A pixel near both belongs to the nearer one, one as far
    from either to both by halves; so with the masks exchanged the share is its complement to 1.

    Left out, and counted by the first reason that holds, are images without a crack, without a distractor, and without
    positive evidence near either. None of them is a 0: nothing was there to choose between.

    Parameters
    ----------
    maps : float (N, H, W)
        Raw and signed, as a method of :data:`crackviz.attribution.METHODS` returns them. Only the positive part counts.
    crack_masks, distractor_masks : bool (N, H, W)
        Where the crack is, and where the distractor.
    tolerance : float
        Distance in px, 0 or more: maps are never sharper than their method's cells.
    groups : sequence (N,), optional
        Group of each image; whole groups are drawn for the intervals. By default each image is one.
    resamples : int
        Bootstrap resamples; 0 leaves the intervals out (NaN).
    confidence : float
        Coverage of the percentile intervals, in (0, 1).
    seed : int

    Returns
    -------
    dict
        ``pooled`` and ``mean``: {``value``, ``low``, ``high``}, of all the evidence added up, in which images count by
        their evidence, and of the images' shares, in which they count alike. ``shares``: float64 (N,), NaN where left
        out. ``chance``: what a constant positive map has, pooled. ``elsewhere``: share of the positive evidence near
        neither, pooled. ``images`` and ``groups`` that count, ``excluded``: reason -> images, ``tolerance``,
        ``confidence``. With a single group the intervals are NaN: nothing is known of the spread.

    Raises
    ------
    CrackvizError
        Where shapes don't fit, masks aren't boolean, a map isn't finite, or no image is left.

    Notes
    -----
    Range [0, 1]; for a crack detector lower is better. Chance level: ``chance``, the share of the area near the
    distractor in the area near either; compare with it before you compare with 0.5. The share can be fooled. It doesn't
    see evidence on neither (``elsewhere``), such as a cast of colour. It doesn't see a distractor that speaks *against*
    a crack. Where cells are wider than the gap between crack and mark, either takes from the other. It says how a sum
    is divided, not how large it is: a network that knows nothing has a share as well. And it believes the map: test
    that with :func:`counterfactual`. ``THEORY.md`` T9.
    """
    maps = np.asarray(maps)
    if maps.ndim != 3 or len(maps) == 0:
        raise CrackvizError(f"Maps have shape {maps.shape}; expected (N, H, W), N > 0.")
    if not np.issubdtype(maps.dtype, np.number) or not np.isfinite(maps).all():
        raise CrackvizError("Maps hold NaN, infinity or no numbers; expected finite numbers.")
    crack_masks = _mask("crack_masks", crack_masks, maps.shape)
    distractor_masks = _mask("distractor_masks", distractor_masks, maps.shape)
    if not tolerance >= 0:
        raise CrackvizError(f"tolerance is {tolerance}; expected a distance of 0 px or more.")
    members = _members(groups, len(maps))

    sums = np.zeros((len(maps), 5))  # of each image: evidence on the distractor, on the crack, in all; the two areas
    for row, values, crack, mark in zip(sums, maps, crack_masks, distractor_masks, strict=True):
        if crack.any() and mark.any():
            on_mark, on_crack = _territories(mark, crack, tolerance)
            positive = values.clip(min=0).astype(np.float64)
            row[:] = (
                (positive * on_mark).sum(),
                (positive * on_crack).sum(),
                positive.sum(),
                on_mark.sum(),
                on_crack.sum(),
            )
    with_crack, with_mark = (masks.any(axis=(1, 2)) for masks in (crack_masks, distractor_masks))
    near = sums[:, :2].sum(axis=1)
    counts = with_crack & with_mark & (near > 0)
    excluded = {
        "no crack": int((~with_crack).sum()),
        "no distractor": int((with_crack & ~with_mark).sum()),
        "no positive evidence near either": int((with_crack & with_mark & (near == 0)).sum()),
    }
    if not counts.any():
        why = ", ".join(f"{number} {reason}" for reason, number in excluded.items() if number)
        raise CrackvizError(
            f"No image is left to measure ({why}); expected images that show a crack and a distractor, and maps "
            "that are positive near one of them."
        )
    shares = np.full(len(maps), np.nan)
    shares[counts] = sums[counts, 0] / near[counts]
    kept, of = sums[counts], members[counts]
    options = {"members": of, "resamples": resamples, "confidence": confidence, "seed": seed}
    return {
        "pooled": _ratio(kept[:, 0], near[counts], **options),
        "mean": _ratio(shares[counts], np.ones(len(kept)), **options),
        "shares": shares,
        "chance": float(kept[:, 3].sum() / kept[:, 3:].sum()),
        "elsewhere": float(1 - near[counts].sum() / kept[:, 2].sum()),
        "images": len(kept),
        "groups": len(np.unique(of)),
        "excluded": excluded,
        "tolerance": float(tolerance),
        "confidence": confidence,
    }


def counterfactual(
    model: keras.Model,
    with_mark: np.ndarray,
    without_mark: np.ndarray,
    *,
    target: Target = "crack",
    threshold: float = 0.5,
    groups: np.ndarray | Sequence[Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a mark does to a network's answers, from pairs of pictures that differ in it alone.

    Every difference is taken *with less without*: what the mark adds. Ask it twice: of cracked walls, where the mark
    is removed, ``to_target`` are the cracks that are found thanks to the mark only; of sound walls, where it is added,
    they are the alarms that it raises.

    Parameters
    ----------
    model : keras.Model
    with_mark, without_mark : float32 (N, H, W, 3), in [0, 1]
        Pairs; ``crackviz.synthetic.patch(n, settings, planted=True)`` and ``planted=False`` give them. A pair of equal
        pictures shows no mark: it is left out and counted.
    target : str or int
    threshold : float
        The answer is `target` from this probability on.
    groups : sequence (N,), optional
        Group of each pair, as for :func:`shortcut_share`; `resamples`, `confidence` and `seed` likewise.

    Returns
    -------
    dict
        ``logit`` and ``probability``: mean change, ``flips``: share of the pairs whose answer changes, ``to_target``
        and ``from_target``: its two parts, each {``value``, ``low``, ``high``}. ``logits_with``, ``logits_without``:
        float32 (N,), the target's. ``pairs`` and ``groups`` that count, ``excluded``, ``threshold``, ``confidence``.

    Raises
    ------
    CrackvizError
        Where the pictures break the contract, aren't pairs, or no pair differs.

    Notes
    -----
    Range of ``flips`` [0, 1], of ``probability`` [-1, 1], ``logit`` unbounded; 0 is best. Chance level: none; any mark
    changes some answers near the threshold, so compare with a network that was trained without the mark. It can be
    fooled: by a removal that leaves traces (a square painted over is a mark of its own; here the patch is rendered
    again), by a mark that covers the crack, and by a saturated probability, which hides a large change of the logit.
    ``THEORY.md`` T9.
    """
    with_mark, without_mark = np.asarray(with_mark), np.asarray(without_mark)
    if with_mark.shape != without_mark.shape:
        raise CrackvizError(
            f"Pictures with the mark have shape {with_mark.shape}, those without {without_mark.shape}; expected pairs."
        )
    if not 0 <= threshold <= 1:
        raise CrackvizError(f"threshold is {threshold}; expected a probability, in [0, 1].")
    column, sign = target_index(model, target)
    z, p = {}, {}
    for side, images in (("with", with_mark), ("without", without_mark)):
        raw = logits(model, images)
        z[side] = sign * raw if raw.ndim == 1 else raw[:, column]
        stated = special.expit(z[side].astype(np.float64)) if raw.ndim == 1 else special.softmax(raw, axis=1)[:, column]
        p[side] = stated.astype(np.float64)
    members = _members(groups, len(with_mark))
    differ = (with_mark != without_mark).any(axis=(1, 2, 3))
    if not differ.any():
        raise CrackvizError(
            "Every picture equals its partner; expected pairs that differ by the mark. Are both made with planted=True?"
        )
    before, after = (p[side][differ] >= threshold for side in ("without", "with"))
    changes = {
        "logit": (z["with"] - z["without"]).astype(np.float64)[differ],
        "probability": (p["with"] - p["without"])[differ],
        "flips": (before != after).astype(float),
        "to_target": (~before & after).astype(float),
        "from_target": (before & ~after).astype(float),
    }
    options = {"members": members[differ], "resamples": resamples, "confidence": confidence, "seed": seed}
    return {
        **{name: _ratio(values, np.ones(len(values)), **options) for name, values in changes.items()},
        "logits_with": z["with"],
        "logits_without": z["without"],
        "pairs": int(differ.sum()),
        "groups": len(np.unique(members[differ])),
        "excluded": {"equal pictures": int((~differ).sum())},
        "threshold": threshold,
        "confidence": confidence,
    }


def _mask(name: str, masks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    masks = np.asarray(masks)
    if masks.shape != shape:
        raise CrackvizError(
            f"{name} have shape {masks.shape}, the maps {shape}; expected the same. Ask for maps with upsample=True, "
            "and read masks by data.load_masks in the images' size."
        )
    if masks.dtype != np.bool_:
        found = np.unique(masks)
        kind = "two values" if len(found) <= 2 else f"{len(found)} values, such as greys at smoothed edges,"
        raise CrackvizError(
            f"{name} are {masks.dtype} with {kind} from {found[0]} to {found[-1]}; expected bool. Say from where on a "
            f"pixel is inside: {name} > {found[-1] / 2}, for one."
        )
    return masks


def _members(groups: np.ndarray | Sequence[Any] | None, count: int) -> np.ndarray:
    """Return the number of each image's group."""
    if groups is None:
        return np.arange(count)
    if len(groups) != count:
        raise CrackvizError(f"{len(groups)} groups for {count} images; expected one each.")
    return np.unique(np.asarray(groups), return_inverse=True)[1].ravel()


def _territories(mark: np.ndarray, crack: np.ndarray, tolerance: float) -> tuple[Floats, Floats]:
    """Return the weight, 0, ½ or 1, with which each pixel belongs to the mark, and to the crack."""
    to_mark, to_crack = (ndimage.distance_transform_edt(~mask) for mask in (mark, crack))
    halves = np.where(to_mark == to_crack, 0.5, 0.0)
    return (
        (to_mark <= tolerance) * ((to_mark < to_crack) + halves),
        (to_crack <= tolerance) * ((to_crack < to_mark) + halves),
    )


def _ratio(
    above: Floats, below: Floats, *, members: np.ndarray, resamples: int, confidence: float, seed: int
) -> Interval:
    """Return the ratio of two sums with its percentile interval; whole groups are drawn with replacement."""
    if not 0 < confidence < 1 or resamples < 0:
        raise CrackvizError(f"confidence is {confidence} and resamples {resamples}; expected (0, 1) and 0 or more.")
    members = np.unique(members, return_inverse=True)[1].ravel()
    sums = np.stack([np.bincount(members, values) for values in (above, below)], axis=1)
    found = {"value": float(above.sum() / below.sum()), "low": np.nan, "high": np.nan}
    if resamples and len(sums) > 1:
        times = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
        drawn = times @ sums
        tail = (1 - confidence) / 2
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [tail, 1 - tail])
        found |= {"low": float(low), "high": float(high)}
    return found
