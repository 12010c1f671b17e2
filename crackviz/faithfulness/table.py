"""All methods, baselines and an untrained network in one table of scores."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, attribution
from crackviz.bootstrap import Bootstrap
from crackviz.contracts import one_by_one
from crackviz.faithfulness.infidelity import measure_falls
from crackviz.faithfulness.localisation import chance_levels, localisation_scores
from crackviz.faithfulness.scoring import (
    SCORES,
    SLOPES,
    Methods,
    Options,
    accounted,
    make_maps,
    perturbed,
    rows_of,
    wanted_scores,
)
from crackviz.faithfulness.truth import Masks, truth
from crackviz.progress import progress

LEVELS = 256
"""Thresholds at which the bootstrap looks for the best pooled F1."""
DEFAULTS, DRAWN = Options(), Bootstrap(resamples=500)

Means = dict[tuple[str, str, str], np.ndarray]
"""(network, method, score) -> a value for each image (n,), or, once drawn, for each resample (1 + resamples,)."""


def pooled_draws(maps: np.ndarray, masks: np.ndarray, threshold: float, weights: np.ndarray) -> np.ndarray:
    """Return the best pooled F1 in each resample, over quantiles of the values and the best threshold of all."""
    levels = np.unique(np.r_[np.quantile(maps, np.linspace(0, 1, LEVELS)), threshold].astype(maps.dtype))
    called, found = (np.zeros((len(maps), len(levels))) for _ in range(2))
    for n, (values, mask) in enumerate(zip(maps, masks, strict=True)):
        for counts, some in ((called, values.ravel()), (found, values[mask])):
            counts[n] = len(some) - np.searchsorted(np.sort(some), levels, side="left")
    both = weights @ called + (weights @ masks.sum(axis=(1, 2)))[:, np.newaxis]
    return np.divide(2 * (weights @ found), both, out=np.zeros_like(both), where=both > 0).max(axis=1)


def mean_draws(values: Means, weights: np.ndarray) -> Means:
    """Return the mean over the images that have a value, in each resample; NaN where none has."""
    wide = np.full((weights.shape[1], len(values)), np.nan)
    for column, numbers in enumerate(values.values()):
        wide[: len(numbers), column] = numbers  # the costly scores are those of the first images
    known = ~np.isnan(wide)
    total, sums = weights @ known.astype(float), weights @ np.where(known, wide, 0.0)
    means = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
    return dict(zip(values, means.T, strict=True))


def summarise(draws: Means, scores: Sequence[str], bootstrap: Bootstrap) -> pd.DataFrame:
    """Return the table: rows (network, method), columns (score, value | low | high | beats)."""
    cells: dict[tuple[str, str], dict[tuple[str, str], float]] = {}
    for (network, method, score), drawn in draws.items():
        turn = 1 if SCORES[score].better == "higher" else -1
        plain = [turn * one for (whose, _, what), one in draws.items() if (whose, what) == ("none", score)]
        plain = [one for one in plain if not np.isnan(one[0])]
        ahead = turn * drawn - np.max(plain, axis=0) if plain and network != "none" else np.full(len(drawn), np.nan)
        known = ahead[1:][~np.isnan(ahead[1:])]
        found = bootstrap.interval(drawn) | {"beats": float((known > 0).mean()) if len(known) else np.nan}
        cells.setdefault((network, method), {}).update({(score, what): value for what, value in found.items()})
    index = pd.MultiIndex.from_tuples(list(cells), names=["network", "method"])
    columns = pd.MultiIndex.from_product([scores, ("value", "low", "high", "beats")], names=["score", None])
    return pd.DataFrame([[row.get(column, np.nan) for column in columns] for row in cells.values()], index, columns)


@one_by_one
def score_methods(
    model: keras.Model,
    images: np.ndarray,
    masks: Masks | None = None,
    *,
    methods: Methods = None,
    scores: Sequence[str] | None = None,
    untrained: bool | Sequence[str] = True,
    options: Options = DEFAULTS,
    bootstrap: Bootstrap = DRAWN,
) -> pd.DataFrame:
    """Score methods, trivial baselines and an untrained network in one table.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
    masks : bool (N, H, W), optional
        Truth. Images without a crack are excluded, and counted in ``attrs["excluded"]``. None: only the scores that
        need none, of all images. With known centre lines: :func:`truth`; from greys: :func:`as_masks`.
    methods : optional
        Names of :data:`crackviz.attribution.METHODS`, all by default; or a mapping of names to callables
        ``(model, images, target=…) -> (N, H, W)`` or to maps made before. Of :data:`SLOPES` absolute values are scored.
    scores : sequence of str, optional
        Of :data:`SCORES`; all that can be had but "sensitivity" by default.
    untrained : bool or sequence of str
        Which methods are scored on the same network with fresh weights too (:func:`randomise`). Its maps are held
        against the answers of the trained one.
    options : Options
        The methods' arguments, the target, and what the network is asked.
    bootstrap : Bootstrap
        Its groups are of all N images; 500 resamples by default.

    Returns
    -------
    pandas.DataFrame
        Rows (network, method): network is "trained", "untrained" or "none". Columns (score, …) with … of value, low,
        high, and beats: the share of resamples in which the row is better than the best baseline in the same resample.
        All but the value are NaN without resamples, or with fewer than 5 groups.
        ``attrs``: images, excluded, perturbed, chance (score -> level), better and titles (score ->), thresholds
        ("network/method" -> that of the best pooled F1), errors ("network/method" -> why it isn't there: some methods
        refuse some networks, and of some no copy with fresh weights can be made), confidence.

    Raises
    ------
    CrackvizError
        Where there is nothing to score, no image shows a crack, or maps don't fit: whose is said.

    Notes
    -----
    The scores' own docstrings say how each can be fooled; :func:`scores_table` in short. ``THEORY.md`` T8.
    """
    images = attribution.check_images(model, images)
    wanted, count = wanted_scores(scores, masks is not None), len(images)
    known = None if masks is None else truth(masks)
    if known is not None and known.masks.shape != images.shape[:3]:
        raise CrackvizError(
            f"Masks have shape {known.masks.shape}, images {images.shape}; expected one mask of the image's size "
            "for each image, in the same order."
        )
    numbers = np.arange(count) if known is None else np.flatnonzero(known.counted)
    known = None if known is None else known.only(numbers)
    images, few = images[numbers], slice(options.perturbed)
    weights = bootstrap.weights(count, numbers)

    rows, unmade = rows_of(model, methods, untrained, options)
    made, errors = make_maps(rows, images, numbers, lenient=not isinstance(methods, Mapping))
    if (errors := errors | unmade) and methods is not None:
        left = "; ".join(f"{name}: {why}" for name, why in errors.items())
        warnings.warn(f"Left out, as this network doesn't allow it: {left[:1000]}", stacklevel=3)
    falls = measure_falls(model, images[few], target=options.target) if "infidelity" in wanted else None
    values: Means = {}
    draws: Means = {}
    thresholds = {}
    for row, maps in progress(made, "scoring maps", len(made), unit="method"):
        key, shown = (row.network, row.name), np.abs(maps) if row.name in SLOPES else maps
        found: dict[Any, np.ndarray] = {}
        if known is not None and any(SCORES[score].masks for score in wanted):
            frame, pooled = localisation_scores(shown, known)
            thresholds[row.label] = pooled.threshold
            found |= {name: column.to_numpy() for name, column in frame.items()}
            f1 = pooled_draws(shown, known.masks, pooled.threshold, weights)
            draws |= {(*key, "f1"): f1, (*key, "iou"): f1 / (2 - f1)}
        found |= perturbed(model, images[few], shown[few], wanted, options)
        found |= accounted(row, images[few], shown[few], wanted, falls, options.seed)
        values |= {(*key, score): column for score, column in found.items()}
    draws |= mean_draws(values, weights)
    table = summarise({key: draws[key] for key in draws if key[2] in wanted}, wanted, bootstrap)
    chance: Mapping[str, float] = {"road": 0.0} | (chance_levels(known) if known else {})
    table.attrs = {
        "images": len(images),
        "excluded": count - len(images),
        "perturbed": len(images[few]),
        "chance": {score: level for score, level in chance.items() if score in wanted},
        "better": {score: SCORES[score].better for score in wanted},
        "titles": {score: SCORES[score].title for score in wanted},
        "thresholds": thresholds,
        "errors": errors,
        "confidence": bootstrap.confidence,
    }
    return table
