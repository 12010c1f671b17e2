"""Whether a map can be believed: scores against masks, the network and fresh weights (``THEORY.md`` T8, T9).

Four questions, and a map may pass one and fail another:

- Does it lie on the crack? :func:`pointing_game` to :func:`centreline_coverage`, where masks are known.
- Does it tell what the network does? :func:`deletion_insertion` to :func:`sensitivity_max`, without masks.
- Does it depend on what was learned? :func:`randomisation_test`.
- Does it lie on a mark instead of the crack, and does the network read the mark? :func:`shortcut_share`,
  :func:`counterfactual`.

:func:`score_methods` puts methods, trivial baselines and an untrained network into one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, attribution
from crackviz._imputation import impute
from crackviz._localisation import (
    PooledF1,
    average_precision,
    best_f1,
    centreline_coverage,
    disc,
    evidence_near,
    pointing_game,
    tolerant_precision_recall,
)
from crackviz._perturbation import Curves, average_drop, deletion_insertion, road
from crackviz._randomisation import (
    randomisation_test,
    randomise,
    rank_correlation,
    similarity,
    verdict,
)
from crackviz._response import Falls, infidelity, measure_falls, sensitivity_max
from crackviz._scoring import (
    MASKED,
    SCORES,
    SLOPES,
    Asks,
    Method,
    Score,
    make_maps,
    pooled_counts,
    resampled,
    summarise,
    wanted_scores,
)
from crackviz._shortcut import counterfactual, shortcut_share
from crackviz._truth import Truth, as_masks, check_maps, truth

__all__ = [
    "SCORES",
    "SLOPES",
    "Curves",
    "Falls",
    "PooledF1",
    "Score",
    "Truth",
    "as_masks",
    "average_drop",
    "average_precision",
    "best_f1",
    "centreline_coverage",
    "chance_levels",
    "counterfactual",
    "deletion_insertion",
    "evidence_near",
    "impute",
    "infidelity",
    "localisation_scores",
    "measure_falls",
    "pointing_game",
    "randomisation_test",
    "randomise",
    "rank_correlation",
    "road",
    "score_methods",
    "scores_table",
    "sensitivity_max",
    "shortcut_share",
    "similarity",
    "tolerant_precision_recall",
    "truth",
    "verdict",
]

DISTANCES = (0, 2, 4, 8)


def scores_table() -> pd.DataFrame:
    """List :data:`SCORES`: title, better, masks (needed), chance, fooled."""
    return pd.DataFrame.from_dict({name: vars(score) for name, score in SCORES.items()}, orient="index").rename_axis(
        "score"
    )


def chance_levels(masks: np.ndarray | Truth) -> dict[str, float]:
    """Return the chance level of each localisation score that has one, for these masks, as the docstrings state it."""
    known = truth(masks)
    crack = known.masks[known.counted]
    near = {d: float((known.distance[known.counted] <= d).mean()) for d in DISTANCES}
    share, shares = float(crack.mean()), crack.mean(axis=(1, 2))
    levels = {"pointing": near[0], "pointing_4px": near[4]}
    levels |= {f"evidence_{d}px": near[d] for d in DISTANCES}
    levels |= {"average_precision": share, "f1": 2 * share / (1 + share), "iou": share, "precision_2px": near[2]}
    return levels | {"coverage_1px": float((1 - (1 - shares) ** disc(1).sum()).mean())}


def localisation_scores(maps: np.ndarray, masks: np.ndarray | Truth) -> tuple[pd.DataFrame, PooledF1]:
    """Compute all scores against masks.

    Parameters
    ----------
    maps : float (N, H, W)
    masks : bool (N, H, W), or what :func:`truth` made of them

    Returns
    -------
    (pandas.DataFrame, PooledF1)
        A row for each image, NaN where its mask is empty; and the best F1 of all of them, whose threshold also gives
        precision_2px and recall_2px.

    Raises
    ------
    CrackvizError
        As for :func:`pointing_game`.
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


def score_methods(
    model: keras.Model,
    images: np.ndarray,
    masks: np.ndarray | Truth | None = None,
    *,
    methods: Iterable[str] | Mapping[str, Method | np.ndarray] | None = None,
    scores: Sequence[str] | None = None,
    target: attribution.Target = "crack",
    baselines: bool = True,
    untrained: bool | Sequence[str] = True,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    perturbed: int = 16,
    steps: int = 16,
    baseline: attribution.Baseline = "blur",
    threshold: float | None = None,
    groups: Sequence[Any] | np.ndarray | None = None,
    resamples: int = 500,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score methods, trivial baselines and an untrained network in one table.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
    masks : bool (N, H, W), optional
        Truth. Images without a crack are excluded, and counted in ``attrs["excluded"]``. None: only the scores that
        need none, of all images. With known centre lines: :func:`truth`.
    methods : optional
        Names of :data:`crackviz.attribution.METHODS`, all by default; or a mapping of names to callables
        ``(model, images, target=…) -> (N, H, W)`` or to maps made before. Of :data:`SLOPES` absolute values are scored.
    scores : sequence of str, optional
        Of :data:`SCORES`; all that can be had but "sensitivity" by default.
    target : str or int
        What the maps explain. The masks are those of cracks, so leave it at that where they are given.
    baselines : bool
        Whether the maps that know no network are added.
    untrained : bool or sequence of str
        Which methods are scored on the same network with fresh weights too (:func:`randomise`). Its maps are held
        against the answers of the trained one.
    options : mapping, optional
        Method -> its keyword arguments, such as ``{"rise": {"n_samples": 100}}``.
    perturbed : int
        How many images, the first, are changed and shown to the network again: the costly scores.
    steps : int
        Of the deletion and insertion curves.
    baseline : "blur", "mean", "black", "inpaint", number
        Of deletion, insertion and average drop ("inpaint": drop is with "blur").
    threshold : float, optional
        A pixel is crack above it, where masks hold numbers.
    groups : sequence (N,), optional
        Group (photograph) of each image: whole groups are drawn by the bootstrap.
    resamples : int
        Of the bootstrap; 0 leaves the intervals out (NaN).
    confidence : float
        Coverage of the percentile intervals.
    seed : int

    Returns
    -------
    pandas.DataFrame
        Rows (network, method): network is "trained", "untrained" or "none". Columns (score, …) with … of value, low,
        high, and beats: the share of resamples in which the row is better than the best baseline in the same resample.
        ``attrs``: images, excluded, perturbed, chance (score -> level), better and titles (score ->), thresholds
        ("network/method" -> that of the best pooled F1), errors ("network/method" -> why it isn't there: some methods
        refuse some networks).

    Raises
    ------
    CrackvizError
        Where images, maps, masks or arguments don't fit, there is nothing to score, or no image shows a crack. Which
        method's maps they were is said.

    Notes
    -----
    The scores' own docstrings say how each can be fooled; :func:`scores_table` in short. ``THEORY.md`` T8.
    """
    images = attribution.check_images(model, images)
    wanted = wanted_scores(scores, masks is not None)
    known = None
    rows = np.arange(len(images))
    if masks is not None:
        known = masks if isinstance(masks, Truth) else truth(as_masks(masks, threshold))
        if known.masks.shape != images.shape[:3]:
            raise CrackvizError(
                f"Masks have shape {known.masks.shape}, images {images.shape}; expected one mask of the image's size "
                "for each image, in the same order."
            )
        rows = np.flatnonzero(known.counted)
        known = Truth(*(values[rows] for values in known))
    excluded = len(images) - len(rows)
    images = images[rows]
    if isinstance(perturbed, bool) or not isinstance(perturbed, int | np.integer) or perturbed < 1:
        raise CrackvizError(f"perturbed is {perturbed!r}; expected a whole number from 1 on.")
    few = min(perturbed, len(images))
    weights = resampled(groups, rows, excluded, resamples, confidence, seed)

    made, errors = make_maps(model, images, rows, methods, target, baselines, untrained, options or {}, seed)
    asks = Asks(model, images[:few], target, steps, baseline, seed, wanted)
    values: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    pools: dict[tuple[str, str], Any] = {}
    thresholds: dict[str, float] = {}
    for key, one in made.items():
        label = "/".join(key)
        maps = check_maps(one.maps, images.shape[:3], f"Maps of {label}")
        shown = np.abs(maps) if key[1] in SLOPES else maps
        values[key] = {}
        if known is not None and wanted & MASKED:
            frame, pooled = localisation_scores(shown, known)
            thresholds[label] = pooled.threshold
            values[key] |= {str(score): frame[score].to_numpy() for score in frame if score in wanted}
            pools[key] = pooled_counts(shown, known.masks, pooled)
        values[key] |= asks.scores(one, shown[:few])
    found = summarise(values, pools, weights, [score for score in SCORES if score in wanted], confidence)
    found.attrs = {
        "images": len(images),
        "excluded": excluded,
        "perturbed": few,
        "chance": {k: v for k, v in (chance_levels(known) if known else {}).items() if k in wanted}
        | ({"road": 0.0} if "road" in wanted else {}),
        "better": {score: SCORES[score].better for score in SCORES if score in wanted},
        "titles": {score: SCORES[score].title for score in SCORES if score in wanted},
        "thresholds": thresholds,
        "errors": errors,
        "confidence": confidence,
    }
    return found
