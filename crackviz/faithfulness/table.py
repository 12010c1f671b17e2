"""All methods, baselines and an untrained network in one table of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, attribution
from crackviz.attribution.methods import METHODS
from crackviz.contracts import Truth, as_masks, check_maps, truth
from crackviz.faithfulness.infidelity import Falls, infidelity, measure_falls, sensitivity_max
from crackviz.faithfulness.localisation import (
    PooledF1,
    chance_levels,
    localisation_scores,
)
from crackviz.faithfulness.perturbation import INPAINT, average_drop, deletion_insertion, road
from crackviz.faithfulness.randomisation import randomise

Method = Callable[..., np.ndarray]
Key = tuple[str, str]


@dataclass(frozen=True)
class Score:
    """A score of :func:`score_methods`, and how to read it.

    Attributes
    ----------
    title : str
    better : "higher" or "lower"
    masks : bool
        Whether it needs masks.
    chance : str
        The level that says nothing.
    fooled : str
        What scores well without deserving it.
    """

    title: str
    better: str
    masks: bool
    chance: str
    fooled: str


_RANDOM = "the random map's"
SCORES: dict[str, Score] = {
    "pointing": Score("pointing game", "higher", True, "share of crack pixels", "one dark pixel"),
    "pointing_4px": Score("pointing game, 4 px", "higher", True, "area within 4 px", "one dark pixel"),
    "evidence_0px": Score("evidence on the crack", "higher", True, "share of crack pixels", "one sharp spot"),
    "evidence_2px": Score("evidence within 2 px", "higher", True, "area within 2 px", "one sharp spot"),
    "evidence_4px": Score("evidence within 4 px", "higher", True, "area within 4 px", "one sharp spot"),
    "evidence_8px": Score("evidence within 8 px", "higher", True, "area within 8 px", "a large area"),
    "average_precision": Score("average precision", "higher", True, "share of crack pixels", "punishes wide cells"),
    "f1": Score("best pooled F1", "higher", True, "2s / (1 + s), s: crack pixels", "darkness"),
    "iou": Score("best pooled IoU", "higher", True, "share of crack pixels", "darkness"),
    "precision_2px": Score("precision, 2 px", "higher", True, "area within 2 px", "calling little"),
    "recall_2px": Score("recall, 2 px", "higher", True, "none", "calling much"),
    "coverage_1px": Score("centre line covered, 1 px", "higher", True, "1 - (1 - s)^5", "other dark lines"),
    "deletion": Score("deletion", "lower", False, _RANDOM, "odd pictures"),
    "insertion": Score("insertion", "higher", False, _RANDOM, "odd pictures"),
    "road": Score("ROAD", "higher", False, "0", "blind to sharpness"),
    "drop": Score("average drop", "lower", False, _RANDOM, "a map of ones"),
    "increase": Score("average increase", "higher", False, _RANDOM, "a map of ones"),
    "infidelity": Score("infidelity", "lower", False, "a constant map's", "occlusion itself"),
    "completeness": Score("completeness error", "lower", False, "none", "moving evidence about"),
    "sensitivity": Score("sensitivity", "lower", False, "0.7 for noise", "a constant map"),
}
"""Scores by name, in the order of the table. "sensitivity" is computed where it is asked for: it asks for maps anew."""


SLOPES = ("gradient", "smooth_grad", "guided_backprop")
"""Methods whose sign says which way to change a pixel, not for what it speaks: their absolute values are scored."""


LEVELS = 256
"""Thresholds at which the bootstrap looks for the best pooled F1."""


MASKED = {name for name, score in SCORES.items() if score.masks}


def wanted_scores(scores: Sequence[str] | None, masks: bool) -> set[str]:
    """Return the names of the scores that are asked for, or raise a CrackvizError."""
    if scores is None:
        return {name for name, score in SCORES.items() if name != "sensitivity" and (masks or not score.masks)}
    for name in scores:
        if name not in SCORES:
            raise CrackvizError(f"There is no score {name!r}; choose of {', '.join(SCORES)}.")
        if SCORES[name].masks and not masks:
            raise CrackvizError(f"The score {name!r} needs masks, and none are given.")
    if not scores:
        raise CrackvizError("No score is asked for; name one, or leave scores out.")
    return set(scores)


# --- maps ---------------------------------------------------------------------------------------------------------


class Made(NamedTuple):
    """The maps of one row of the table."""

    name: str
    maps: np.ndarray
    again: Callable[..., np.ndarray] | None
    """Makes maps of other images; None where maps were given."""
    explains: bool
    """Whether it is an account of the scored network: not of an untrained one, and no baseline."""
    options: Mapping[str, Any]


def make_maps(
    model: keras.Model,
    images: np.ndarray,
    rows: np.ndarray,
    methods: Iterable[str] | Mapping[str, Method | np.ndarray] | None,
    target: attribution.Target,
    baselines: bool,
    untrained: bool | Sequence[str],
    options: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> tuple[dict[Key, Made], dict[str, str]]:
    """Make the maps of every row; `rows` are the numbers of `images` in what the caller gave."""
    chosen = _chosen(methods, baselines)
    for name in options:
        if name not in chosen:
            raise CrackvizError(f"There are options for {name!r}, which is not scored: {', '.join(chosen)}.")
    networked = [name for name in chosen if not _is_baseline(name, chosen[name]) and callable(chosen[name])]
    twice = networked if untrained is True else [] if untrained is False else list(untrained)
    for name in twice:
        if name not in networked:
            raise CrackvizError(f"untrained names {name!r}, but the methods with a network are {', '.join(networked)}.")
    fresh = randomise(model, seed=seed) if twice else None
    found: dict[Key, Made] = {}
    errors: dict[str, str] = {}
    for network, asked in (("trained", model), ("untrained", fresh), ("none", model)):
        for name, method in chosen.items():
            plain = _is_baseline(name, method)
            if plain != (network == "none") or (network == "untrained" and name not in twice):
                continue
            given = {"target": target, **options.get(name, {})}
            if not callable(method):
                maps = np.asarray(method)
                # Maps of all images, or of those alone that show a crack.
                found[network, name] = Made(name, maps[rows] if len(maps) > rows[-1] else maps, None, False, {})
                continue
            try:
                maps = method(asked, images, **given)
            except CrackvizError as error:
                if methods is not None or network == "none":
                    raise CrackvizError(f"{network}/{name}: {error}") from error
                errors[f"{network}/{name}"] = str(error)  # of all methods, those that refuse this network
                continue
            again = lambda some, method=method, asked=asked, given=given: method(asked, some, **given)  # noqa: E731
            found[network, name] = Made(name, maps, again, network == "trained", given)
    if not found:
        raise CrackvizError(f"There is no map to score: {'; '.join(errors.values()) or 'no method is named'}.")
    return found, errors


def _chosen(
    methods: Iterable[str] | Mapping[str, Method | np.ndarray] | None, baselines: bool
) -> dict[str, Method | np.ndarray]:
    if isinstance(methods, str):
        raise CrackvizError(f"methods is {methods!r}; expected a list of names: [{methods!r}].")
    if isinstance(methods, Mapping):
        chosen: dict[str, Method | np.ndarray] = dict(methods)
    else:
        names = [name for name, one in METHODS.items() if one.kind != "baseline"] if methods is None else list(methods)
        for name in names:
            if name not in METHODS:
                raise CrackvizError(f"There is no method {name!r}; choose of {', '.join(METHODS)}.")
        chosen = {name: METHODS[name] for name in names}
    if baselines:
        chosen |= {name: one for name, one in METHODS.items() if one.kind == "baseline" and name not in chosen}
    return chosen


def _is_baseline(name: str, method: Method | np.ndarray) -> bool:
    return isinstance(method, attribution.Method) and method.kind == "baseline"


# --- what the network is asked ------------------------------------------------------------------------------------


class Asks:
    """The scores that need the network, for the same images and many maps: what doesn't depend on a map is kept."""

    def __init__(
        self,
        model: keras.Model,
        images: np.ndarray,
        target: attribution.Target,
        steps: int,
        baseline: attribution.Baseline,
        seed: int,
        wanted: set[str],
    ) -> None:
        self.model, self.images, self.target, self.seed, self.wanted = model, images, target, seed, wanted
        self.steps, self.baseline = steps, baseline
        self.falls: Falls | None = measure_falls(model, images, target=target) if "infidelity" in wanted else None

    def scores(self, made: Made, shown: np.ndarray) -> dict[str, np.ndarray]:
        """Return score -> (n,) for the maps of these images."""
        wanted, found = self.wanted, {}
        some = (self.model, self.images, shown)
        if wanted & {"deletion", "insertion"}:
            curves = deletion_insertion(
                *some, target=self.target, steps=self.steps, baseline=self.baseline, seed=self.seed
            )
            found["deletion"], found["insertion"] = curves.areas()
        if "road" in wanted:
            found["road"] = road(*some, target=self.target, seed=self.seed)
        if wanted & {"drop", "increase"}:
            base = "blur" if isinstance(self.baseline, str) and self.baseline == INPAINT else self.baseline
            found["drop"], found["increase"] = average_drop(*some, target=self.target, baseline=base)
        if self.falls is not None:
            found["infidelity"] = infidelity(shown, self.falls)
        if "completeness" in wanted:
            found["completeness"] = self._completeness(made)
        if "sensitivity" in wanted:
            again = made.again
            found["sensitivity"] = (
                np.full(len(self.images), np.nan)
                if again is None
                else sensitivity_max(lambda _, images: again(images), self.model, self.images, seed=self.seed)
            )
        return {name: values for name, values in found.items() if name in wanted}

    def _completeness(self, made: Made) -> np.ndarray:
        method = METHODS.get(made.name)
        if method is None or not method.complete or not made.explains:
            return np.full(len(self.images), np.nan)
        base = None
        if method.kind == "pixels":
            base = made.options.get("baseline", signature(method.function).parameters["baseline"].default)
            maps = made.maps[: len(self.images)]
        else:
            maps = method(self.model, self.images, **{**made.options, "upsample": False})
        missed = attribution.completeness_error(
            self.model, self.images, maps, target=self.target, baseline=base
        ).astype(np.float64)
        whole = np.abs(maps.sum(axis=(1, 2), dtype=np.float64) - missed).mean()
        return np.abs(missed) / whole if whole > 0 else np.full(len(missed), np.nan)


# --- the bootstrap ------------------------------------------------------------------------------------------------


def resampled(
    groups: Sequence[Any] | np.ndarray | None,
    rows: np.ndarray,
    excluded: int,
    resamples: int,
    confidence: float,
    seed: int,
) -> np.ndarray:
    """Return how often each image is drawn: (1 + resamples, n), the first row the images as they are."""
    if not 0 < confidence < 1 or resamples < 0:
        raise CrackvizError(
            f"confidence is {confidence!r} and resamples {resamples!r}; expected (0, 1), and 0 or more."
        )
    if groups is not None and len(groups) != len(rows) + excluded:
        raise CrackvizError(f"{len(groups)} groups for {len(rows) + excluded} images; expected one each.")
    given = rows if groups is None else np.asarray(groups)[rows]
    members = np.unique(given, return_inverse=True)[1].ravel()
    count = int(members.max()) + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, len(rows))), times[:, members]])


class Pooled(NamedTuple):
    """For each of some thresholds, from high to low, what is called and found in each image."""

    called: np.ndarray
    found: np.ndarray
    there: np.ndarray


def pooled_counts(maps: np.ndarray, masks: np.ndarray, best: PooledF1) -> Pooled:
    """Count pixels at the best threshold and at quantiles of the values, for the bootstrap of F1 and IoU."""
    levels = np.unique(np.r_[np.quantile(maps, np.linspace(0, 1, LEVELS)), best.threshold].astype(maps.dtype))
    called, found = (np.zeros((len(maps), len(levels))) for _ in range(2))
    for n, (values, mask) in enumerate(zip(maps, masks, strict=True)):
        for counts, some in ((called, values.ravel()), (found, values[mask])):
            counts[n] = len(some) - np.searchsorted(np.sort(some), levels, side="left")
    return Pooled(called, found, masks.sum(axis=(1, 2)).astype(float))


def _pooled_draws(pooled: Pooled, weights: np.ndarray) -> np.ndarray:
    called, found, there = weights @ pooled.called, weights @ pooled.found, weights @ pooled.there
    both = called + there[:, np.newaxis]
    return np.divide(2 * found, both, out=np.zeros_like(both), where=both > 0).max(axis=1)


def _mean_draws(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    weights = weights[:, : len(values)]  # the costly scores are those of the first images
    known = ~np.isnan(values)
    total = weights @ known
    sums = weights @ np.where(known, values, 0.0)
    return np.divide(sums, total, out=np.full(len(sums), np.nan), where=total > 0)


def summarise(
    values: Mapping[Key, Mapping[str, np.ndarray]],
    pools: Mapping[Key, Pooled],
    weights: np.ndarray,
    scores: Sequence[str],
    confidence: float,
) -> pd.DataFrame:
    """Return the table: rows (network, method), columns (score, value | low | high | beats)."""
    draws: dict[str, dict[Key, np.ndarray]] = {score: {} for score in scores}
    for key, found in values.items():
        for score, numbers in found.items():
            draws[score][key] = _mean_draws(numbers, weights)
        if key in pools:
            f1 = _pooled_draws(pools[key], weights)
            for score, numbers in {"f1": f1, "iou": f1 / (2 - f1)}.items():
                if score in draws:
                    draws[score][key] = numbers
    columns = {}
    tail = (1 - confidence) / 2
    for score, of in draws.items():
        turn = 1 if SCORES[score].better == "higher" else -1
        plain = [turn * numbers for key, numbers in of.items() if key[0] == "none" and not np.isnan(numbers[0])]
        best = np.max(plain, axis=0) if plain else None
        for what in ("value", "low", "high", "beats"):
            columns[score, what] = [
                _cell(what, of[key], turn, best if key[0] != "none" else None, tail) if key in of else np.nan
                for key in values
            ]
    table = pd.DataFrame(columns, index=pd.MultiIndex.from_tuples(list(values), names=["network", "method"]))
    table.columns = pd.MultiIndex.from_tuples(list(columns), names=["score", None])
    return table


def _cell(what: str, numbers: np.ndarray, turn: int, best: np.ndarray | None, tail: float) -> float:
    drawn = numbers[1:]
    if what == "value":
        return float(numbers[0])
    if np.isnan(drawn).all() or not len(drawn):
        return np.nan
    if what == "beats":
        if best is None:
            return np.nan
        fine = ~np.isnan(drawn) & ~np.isnan(best[1:])
        return float((turn * drawn > best[1:])[fine].mean()) if fine.any() else np.nan
    return float(np.nanquantile(drawn, tail if what == "low" else 1 - tail))


def scores_table() -> pd.DataFrame:
    """List :data:`SCORES`: title, better, masks (needed), chance, fooled."""
    return pd.DataFrame.from_dict({name: vars(score) for name, score in SCORES.items()}, orient="index").rename_axis(
        "score"
    )


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
