"""Whether a network reads the crack, or a mark beside it.

A map can say where the evidence lies (`shortcut_share`); only a changed picture can say what the mark does to the
answer (`counterfactual`). ``THEORY.md`` T9.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from crackviz import CrackvizError
from crackviz.attribution.network import Target, logits, target_index
from crackviz.bootstrap import PICTURES, Bootstrap
from crackviz.contracts import as_masks, check_maps, check_number, one_by_one

Floats = npt.NDArray[np.float64]


@one_by_one
def shortcut_share(
    maps: np.ndarray,
    crack_masks: np.ndarray,
    distractor_masks: np.ndarray,
    *,
    tolerance: float = 2.0,
    bootstrap: Bootstrap = PICTURES,
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
    bootstrap : Bootstrap
        Which images are drawn together, how often, and how wide the intervals are.

    Returns
    -------
    dict
        ``pooled`` and ``mean``: {``value``, ``low``, ``high``}, of all the evidence added up, in which images count by
        their evidence, and of the images' shares, in which they count alike. ``shares``: float64 (N,), NaN where left
        out. ``chance``: what a constant positive map has, pooled. ``elsewhere``: share of the positive evidence near
        neither, pooled. ``images`` and ``groups`` that count, ``excluded``: reason -> images, ``tolerance``,
        ``confidence``. The intervals are NaN without resamples, and where fewer than 5 groups count.

    Raises
    ------
    CrackvizError
        Where no image is left.

    Notes
    -----
    Range [0, 1]; for a crack detector lower is better. Chance level: ``chance``, the share of the area near the
    distractor in the area near either; compare with it before you compare with 0.5. The share can be fooled. It doesn't
    see evidence on neither (``elsewhere``), such as a cast of colour. It doesn't see a distractor that speaks *against*
    a crack. Where cells are wider than the gap between crack and mark, either takes from the other. It says how a sum
    is divided, not how large it is: a network that knows nothing has a share as well. And it believes the map: test
    that with :func:`counterfactual`. ``THEORY.md`` T9.
    """
    crack_masks = as_masks(crack_masks, name="crack_masks")
    distractor_masks = as_masks(distractor_masks, name="distractor_masks")
    for name, masks in (("crack_masks", crack_masks), ("distractor_masks", distractor_masks)):
        if masks.shape != np.shape(maps):
            raise CrackvizError(
                f"{name} have shape {masks.shape}, the maps {np.shape(maps)}; expected the same. Ask for maps with "
                "upsample=True, and read masks by data.load_masks in the images' size."
            )
    maps = check_maps(maps, crack_masks.shape)
    check_number("tolerance", tolerance, 0)
    groups = bootstrap.members(len(maps))

    sums = np.zeros((len(maps), 5))  # of each image: evidence on the distractor, on the crack, in all; the two areas
    for row, values, crack, mark in zip(sums, maps, crack_masks, distractor_masks, strict=True):
        if crack.any() and mark.any():
            on_mark, on_crack = _territories(mark, crack, tolerance)
            positive = values.clip(min=0).astype(np.float64)
            evidence = (positive * on_mark).sum(), (positive * on_crack).sum(), positive.sum()
            row[:] = *evidence, on_mark.sum(), on_crack.sum()
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
    kept, weights = sums[counts], bootstrap.weights(len(maps), np.flatnonzero(counts))
    return {
        "pooled": bootstrap.interval((weights @ kept[:, 0]) / (weights @ near[counts])),
        "mean": bootstrap.interval((weights @ shares[counts]) / weights.sum(axis=1)),
        "shares": shares,
        "chance": float(kept[:, 3].sum() / kept[:, 3:].sum()),
        "elsewhere": float(1 - near[counts].sum() / kept[:, 2].sum()),
        "images": len(kept),
        "groups": len(np.unique(groups[counts])),
        "excluded": excluded,
        "tolerance": float(tolerance),
        "confidence": bootstrap.confidence,
    }


@one_by_one
def counterfactual(
    model: keras.Model,
    with_mark: np.ndarray,
    without_mark: np.ndarray,
    *,
    target: Target = "crack",
    threshold: float = 0.5,
    bootstrap: Bootstrap = PICTURES,
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
    bootstrap : Bootstrap
        As for :func:`shortcut_share`; its groups are those of the pairs.

    Returns
    -------
    dict
        ``logit`` and ``probability``: mean change, ``flips``: share of the pairs whose answer changes, ``to_target``
        and ``from_target``: its two parts, each {``value``, ``low``, ``high``}. ``logits_with``, ``logits_without``:
        float32 (N,), the target's. ``pairs`` and ``groups`` that count, ``excluded``, ``threshold``, ``confidence``.

    Raises
    ------
    CrackvizError
        Where the pictures aren't pairs, or no pair differs.

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
    check_number("threshold", threshold, 0, 1)
    column, sign = target_index(model, target)
    z, p = {}, {}
    for side, images in (("with", with_mark), ("without", without_mark)):
        raw = logits(model, images)
        z[side] = sign * raw if raw.ndim == 1 else raw[:, column]
        stated = special.expit(z[side].astype(np.float64)) if raw.ndim == 1 else special.softmax(raw, axis=1)[:, column]
        p[side] = stated.astype(np.float64)
    groups = bootstrap.members(len(with_mark))
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
    weights = bootstrap.weights(len(with_mark), np.flatnonzero(differ))
    drawn = weights.sum(axis=1)
    return {
        **{name: bootstrap.interval((weights @ values) / drawn) for name, values in changes.items()},
        "logits_with": z["with"],
        "logits_without": z["without"],
        "pairs": int(differ.sum()),
        "groups": len(np.unique(groups[differ])),
        "excluded": {"equal pictures": int((~differ).sum())},
        "threshold": threshold,
        "confidence": bootstrap.confidence,
    }


def _territories(mark: np.ndarray, crack: np.ndarray, tolerance: float) -> tuple[Floats, Floats]:
    """Return the weight, 0, ½ or 1, with which each pixel belongs to the mark, and to the crack."""
    to_mark, to_crack = (ndimage.distance_transform_edt(~mask) for mask in (mark, crack))
    halves = np.where(to_mark == to_crack, 0.5, 0.0)
    return (
        (to_mark <= tolerance) * ((to_mark < to_crack) + halves),
        (to_crack <= tolerance) * ((to_crack < to_mark) + halves),
    )
