"""The scores of the table, and the maps, pictures and answers that they are computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, attribution
from crackviz.attribution.methods import METHODS
from crackviz.contracts import check_choice, check_flag, check_maps, check_number, check_options
from crackviz.faithfulness.infidelity import Falls, infidelity, sensitivity_max
from crackviz.faithfulness.perturbation import INPAINT, average_drop, deletion_insertion, road
from crackviz.faithfulness.randomisation import randomise
from crackviz.progress import progress

Method = Callable[..., np.ndarray]
Methods = Iterable[str] | Mapping[str, Method | np.ndarray] | None


@dataclass(frozen=True)
class Score:
    """A score of :func:`score_methods`, and how to read it."""

    title: str
    better: str
    """What is better: "higher" or "lower"."""
    masks: bool
    """Whether it needs masks."""
    chance: str
    """The level that says nothing."""
    fooled: str
    """What scores well without deserving it."""


_RANDOM = "the random map's"
SCORES: dict[str, Score] = {
    "pointing": Score("pointing game", "higher", True, "share of crack pixels", "one dark pixel"),
    "pointing_4px": Score("pointing game, 4 px", "higher", True, "area within 4 px", "one dark pixel"),
    "evidence_0px": Score("evidence on the crack", "higher", True, "share of crack pixels", "one sharp spot"),
    "evidence_2px": Score("evidence within 2 px", "higher", True, "area within 2 px", "one sharp spot"),
    "evidence_4px": Score("evidence within 4 px", "higher", True, "area within 4 px", "one sharp spot"),
    "evidence_8px": Score("evidence within 8 px", "higher", True, "area within 8 px", "a large area"),
    "average_precision": Score("average precision", "higher", True, "share of crack pixels", "darkness"),
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


@dataclass(frozen=True)
class Options:
    """How :func:`score_methods` makes the maps, and what it asks the network.

    Attributes
    ----------
    arguments : mapping
        Method -> its keyword arguments, such as ``{"rise": {"n_samples": 100}}``.
    target : str or int
        What the maps explain. The masks are those of cracks, so leave it at that where they are given.
    baselines : bool
        Whether the maps that know no network are added.
    perturbed : int
        How many images, the first, are changed and shown to the network again: the costly scores.
    steps : int
        Of the deletion and insertion curves.
    baseline : "blur", "mean", "black", "inpaint", number
        Of deletion, insertion and average drop ("inpaint": drop is with "blur").
    seed : int
        Of the fresh weights, the order of equal values, and the noise.
    """

    arguments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    target: attribution.Target = "crack"
    baselines: bool = True
    perturbed: int = 16
    steps: int = 16
    baseline: attribution.Baseline = "blur"
    seed: int = 0

    def __post_init__(self) -> None:
        check_flag("baselines", self.baselines)
        check_number("perturbed", self.perturbed, 1, whole=True)


def scores_table() -> pd.DataFrame:
    """List :data:`SCORES`: title, better, masks (needed), chance, fooled."""
    return pd.DataFrame({name: vars(score) for name, score in SCORES.items()}).T.rename_axis("score")


def wanted_scores(scores: Sequence[str] | None, masks: bool) -> list[str]:
    """Return the names of the scores that are asked for, in the table's order, or raise a CrackvizError."""
    if scores is None:
        return [name for name, score in SCORES.items() if name != "sensitivity" and (masks or not score.masks)]
    for name in scores:
        check_choice("score", name, SCORES)
        if SCORES[name].masks and not masks:
            raise CrackvizError(f"The score {name!r} needs masks, and none are given.")
    if not scores:
        raise CrackvizError("No score is asked for; name one, or leave scores out.")
    return [name for name in SCORES if name in scores]


class Row(NamedTuple):
    """A row of the table before it is scored: whose maps ("trained", "untrained" or "none"), and how they are made."""

    network: str
    name: str
    model: keras.Model
    method: Method | np.ndarray
    given: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.network}/{self.name}"

    def make(self, images: np.ndarray, **others: Any) -> np.ndarray:
        """Return maps of images."""
        assert callable(self.method)
        return self.method(self.model, images, **{**self.given, **others})


def rows_of(
    model: keras.Model, methods: Methods, untrained: bool | Sequence[str], options: Options
) -> tuple[list[Row], dict[str, str]]:
    """Return the rows: methods on the trained network, on one with fresh weights, and maps that know none.

    Where no fresh weights can be drawn, their rows are left out, and why is returned beside the rows.
    """
    errors: dict[str, str] = {}
    chosen = _chosen(methods, options.baselines)
    for name in options.arguments:
        if name not in chosen:
            raise CrackvizError(f"There are options for {name!r}, which is not scored: {', '.join(chosen)}.")
        if isinstance(one := chosen[name], attribution.Method):
            check_options(name, options.arguments[name], signature(one.function).parameters)
    plain = [name for name, one in chosen.items() if isinstance(one, attribution.Method) and one.kind == "baseline"]
    networked = [name for name, method in chosen.items() if callable(method) and name not in plain]
    if isinstance(untrained, str) or not isinstance(untrained, bool | Sequence):
        raise CrackvizError(f"untrained is {untrained!r}; expected True, False, or a list of names of methods.")
    twice = networked if untrained is True else [] if untrained is False else list(untrained)
    for name in twice:
        if name not in networked:
            raise CrackvizError(f"untrained names {name!r}, but the methods with a network are {', '.join(networked)}.")
    parts: list[tuple[str, keras.Model, list[str]]] = [("trained", model, [n for n in chosen if n not in plain])]
    if twice:
        try:
            parts.append(("untrained", randomise(model, seed=options.seed), [n for n in chosen if n in twice]))
        except CrackvizError as error:
            errors = {f"untrained/{name}": str(error) for name in twice}
    parts.append(("none", model, plain))
    rows = [
        Row(network, name, one, chosen[name], {"target": options.target, **options.arguments.get(name, {})})
        for network, one, names in parts
        for name in names
    ]
    return rows, errors


def _chosen(methods: Methods, baselines: bool) -> dict[str, Method | np.ndarray]:
    if isinstance(methods, str):
        raise CrackvizError(f"methods is {methods!r}; expected a list of names: [{methods!r}].")
    if isinstance(methods, Mapping):
        chosen = dict(methods)
    else:
        names = [name for name, one in METHODS.items() if one.kind != "baseline"] if methods is None else list(methods)
        for name in names:
            check_choice("method", name, METHODS)
        chosen = {name: METHODS[name] for name in names}
    if baselines:
        chosen |= {name: one for name, one in METHODS.items() if one.kind == "baseline" and name not in chosen}
    return chosen


def make_maps(
    rows: Sequence[Row], images: np.ndarray, numbers: np.ndarray, lenient: bool
) -> tuple[list[tuple[Row, np.ndarray]], dict[str, str]]:
    """Return rows with their maps, float (n, H, W), and why others have none; `numbers`: which images of all given.

    A method of one's own that refuses the network is a mistake; those of the package are left out (`lenient`).
    """
    found, errors = [], {}
    for row in progress(rows, "making maps", len(rows), unit="method"):
        if not callable(row.method):
            maps = np.asarray(row.method)  # of all images, or of those alone that show a crack
            maps = maps[numbers] if len(maps) > numbers[-1] else maps
        else:
            try:
                maps = row.make(images)
            except CrackvizError as error:
                if not lenient or row.network == "none":
                    raise CrackvizError(f"{row.label}: {error}") from error
                errors[row.label] = str(error)
                continue
        found.append((row, check_maps(maps, images.shape[:3], f"Maps of {row.label}")))
    if not found or (errors and not any(row.network == "trained" for row, _ in found)):
        why = "; ".join(f"{name}: {reason}" for name, reason in errors.items()) or "no method is named."
        raise CrackvizError(f"There is no map of the network to score: {why}")
    return found, errors


def perturbed(
    model: keras.Model, images: np.ndarray, maps: np.ndarray, scores: Sequence[str], options: Options
) -> dict[str, np.ndarray]:
    """Return the scores for which pictures are changed by the maps' word: name -> (n,)."""
    found: dict[str, np.ndarray] = {}
    some, shared = (model, images, maps), dict[str, Any](target=options.target, seed=options.seed)
    if {"deletion", "insertion"} & set(scores):
        curves = deletion_insertion(*some, steps=options.steps, baseline=options.baseline, **shared)
        found["deletion"], found["insertion"] = curves.areas()
    if "road" in scores:
        found["road"] = road(*some, **shared)
    if {"drop", "increase"} & set(scores):
        base = "blur" if isinstance(options.baseline, str) and options.baseline == INPAINT else options.baseline
        found["drop"], found["increase"] = average_drop(*some, target=options.target, baseline=base)
    return found


def accounted(
    row: Row, images: np.ndarray, maps: np.ndarray, scores: Sequence[str], falls: Falls | None, seed: int
) -> dict[str, np.ndarray]:
    """Return the scores that hold a map's numbers, or the method itself, to account: name -> (n,)."""
    found = {}
    if falls is not None:
        found["infidelity"] = infidelity(maps, falls)
    if "completeness" in scores:
        found["completeness"] = _incompleteness(row, images, maps)
    if "sensitivity" in scores and callable(row.method):
        found["sensitivity"] = sensitivity_max(lambda _, some: row.make(some), row.model, images, seed=seed)
    return found


def _incompleteness(row: Row, images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the share of the logit that a map's sum misses; NaN where the sum isn't meant to be the logit."""
    method, base = row.method, None
    if row.network != "trained" or not isinstance(method, attribution.Method) or not method.complete:
        return np.full(len(images), np.nan)
    if method.kind == "pixels":
        base = row.given.get("baseline", signature(method.function).parameters["baseline"].default)
    else:
        maps = row.make(images, upsample=False)
    missed = attribution.completeness_error(row.model, images, maps, target=row.given["target"], baseline=base)
    missed = missed.astype(np.float64)
    whole = np.abs(maps.sum(axis=(1, 2), dtype=np.float64) - missed).mean()
    return np.abs(missed) / whole if whole > 0 else np.full(len(missed), np.nan)
