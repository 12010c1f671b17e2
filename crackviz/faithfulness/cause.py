"""Scores against a known cause: an object is taken out of the wall itself, and the network is asked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import pandas as pd
from scipy import stats

from crackviz import CrackvizError, attribution
from crackviz.attribution.network import target_index
from crackviz.bootstrap import Bootstrap
from crackviz.contracts import as_masks, check_maps, one_by_one
from crackviz.faithfulness.scoring import SLOPES, Methods, Options, make_maps, rows_of

LEAST_OBJECTS = 10
CAUSE, AREA = "known_cause", "area"
DEFAULTS, DRAWN = Options(), Bootstrap(resamples=500)


def worth(
    model: keras.Model, images: np.ndarray, without: np.ndarray, *, target: attribution.Target = "crack"
) -> np.ndarray:
    """Return what an object is worth to a network: its logit with the object less its logit without.

    Parameters
    ----------
    model : keras.Model
    images, without : float32 (N, H, W, 3), in [0, 1]
        Pictures with an object, and the same ones without, such as of :func:`crackviz.synthetic.without`.
    target : str or int
        Whose logit.

    Returns
    -------
    numpy.ndarray
        float64 (N,) [logits]: positive where the object speaks for the target, 0 where the network doesn't mind it.

    Notes
    -----
    Nothing is filled in, as deletion must do: both pictures are photographs of walls. ``THEORY.md`` T8.
    """
    if np.shape(images) != np.shape(without):
        raise CrackvizError(
            f"Pictures with the object have shape {np.shape(images)}, those without {np.shape(without)}; expected "
            "pairs, in the same order."
        )
    column, sign = target_index(model, target)
    logits = (attribution.logits(model, some).astype(np.float64).reshape(len(some), -1) for some in (images, without))
    of_target = [sign * values[:, column] for values in logits]
    return np.asarray(of_target[0] - of_target[1])


def evidence_inside(maps: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return what each map holds within an object: the sum of its values there, float64 (N,).

    Parameters
    ----------
    maps : float (N, H, W)
    where : bool (N, H, W)
        The object's pixels.
    """
    where = as_masks(where)
    maps = check_maps(maps, where.shape)
    return np.asarray((maps.astype(np.float64) * where).sum(axis=(1, 2)))


@one_by_one
def cause_scores(
    model: keras.Model,
    images: np.ndarray,
    without: np.ndarray,
    where: np.ndarray,
    *,
    methods: Methods = None,
    untrained: bool | Sequence[str] = True,
    options: Options = DEFAULTS,
    bootstrap: Bootstrap = DRAWN,
) -> pd.DataFrame:
    """Ask how well maps predict what objects are worth to a network, when no map has seen the wall without them.

    The score is Spearman's rank correlation, over objects, between a map's evidence inside the object
    (:func:`evidence_inside`) and the object's :func:`worth`. **Range** [-1, 1]; **chance level** 0; **fooled by** size:
    a large object holds more of any positive map, and is worth more to most networks. So "area", the number of pixels,
    is a row of its own among what knows no network.

    Parameters
    ----------
    model : keras.Model
    images, without : float32 (N, H, W, 3), in [0, 1]
        N objects, 10 or more, cracks and others, each with the same picture without it.
    where : bool (N, H, W)
        Where each lies; none may be empty.
    methods, untrained, options, bootstrap
        As in :func:`score_methods`. Fresh weights' maps are held against the worth to the trained network. Objects of
        one wall belong into one group.

    Returns
    -------
    pandas.DataFrame
        As of :func:`score_methods`, with one score, "known_cause": rows (network, method), columns (score, value | low
        | high | beats). ``attrs`` besides: objects, and worth, the N changes of the logit.

    Raises
    ------
    CrackvizError
        Fewer than 10 objects, an empty `where`, pictures that don't pair.

    Notes
    -----
    The sum is taken with its sign, but for :data:`SLOPES`, whose absolute values are taken. ``THEORY.md`` T8.
    """
    images = attribution.check_images(model, images)
    where = as_masks(where)
    if len(images) < LEAST_OBJECTS:
        raise CrackvizError(f"There are {len(images)} objects; a rank correlation needs {LEAST_OBJECTS} or more.")
    if where.shape != images.shape[:3] or not where.any(axis=(1, 2)).all():
        empty = "" if where.shape != images.shape[:3] else f"; object {int(np.argmin(where.any(axis=(1, 2))))} is empty"
        raise CrackvizError(f"where has shape {where.shape}, pictures {images.shape}; expected a mask each{empty}.")
    value = worth(model, images, without, target=options.target)
    rows, unmade = rows_of(model, methods, untrained, options)
    made, errors = make_maps(rows, images, np.arange(len(images)), lenient=not isinstance(methods, Mapping))
    evidence = {
        (row.network, row.name): evidence_inside(np.abs(maps) if row.name in SLOPES else maps, where)
        for row, maps in made
    }
    evidence["none", AREA] = where.sum(axis=(1, 2)).astype(float)
    draws = _correlations(np.stack(list(evidence.values())), value, bootstrap.weights(len(images)))
    plain = draws[:, [network == "none" for network, _ in evidence]].max(axis=1)
    cells = []
    for (network, _), drawn in zip(evidence, draws.T, strict=True):
        ahead = (drawn - plain)[1:] if network != "none" else np.empty(0)
        cells.append([*bootstrap.interval(drawn).values(), float((ahead > 0).mean()) if len(ahead) else np.nan])
    index = pd.MultiIndex.from_tuples(list(evidence), names=["network", "method"])
    columns = pd.MultiIndex.from_product([[CAUSE], ("value", "low", "high", "beats")], names=["score", None])
    table = pd.DataFrame(cells, index, columns)
    table.attrs = {
        "objects": len(images),
        "worth": value,
        "chance": {CAUSE: 0.0},
        "better": {CAUSE: "higher"},
        "titles": {CAUSE: "predicts the worth"},
        "errors": errors | unmade,
        "confidence": bootstrap.confidence,
    }
    return table


def _correlations(evidence: np.ndarray, value: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank correlation of each row of (rows, N) with a value (N,), in each resample: (resamples, rows)."""
    both = np.vstack([value, evidence])
    found = np.zeros((len(weights), len(evidence)))
    for n, times in enumerate(weights):
        ranks = stats.rankdata(np.repeat(both, times, axis=1), axis=1)
        ranks -= ranks.mean(axis=1, keepdims=True)
        spread = np.sqrt((ranks[1:] ** 2).sum(axis=1) * (ranks[0] ** 2).sum())
        np.divide(ranks[1:] @ ranks[0], spread, out=found[n], where=spread > 0)
    return found
