"""Whether a map depends on what the network has learned: put other weights in, and see what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy import stats
from skimage.metrics import structural_similarity

from crackviz import CrackvizError
from crackviz.attribution.network import check_images, walk
from crackviz.contracts import check_choice, check_flag, check_maps, check_number
from crackviz.progress import progress

MODES = ("cascading", "independent")
BINS = 100
"""Of the histograms by which maps' complexity is measured."""
ALIKE = 0.5
"""Rank correlation from which two maps count as alike: a quarter of the ranks' variance is shared."""


def randomise(model: keras.Model, *, layers: Sequence[str] | None = None, seed: int = 0) -> keras.Model:
    """Return a copy of a network with fresh weights, as if it had never been trained; the given one stays as it is.

    Each weight is drawn by its own layer's initializer, with a new seed: kernels, biases, BatchNormalization's scale
    and shift, and its statistics too (mean 0, variance 1), since they hold what the network has seen.

    Parameters
    ----------
    model : keras.Model
        A functional model; nested models are understood.
    layers : sequence of str, optional
        Only these layers' weights; all by default.
    seed : int
        Fixes the draw of each layer, whichever others are drawn.

    Raises
    ------
    CrackvizError
        Where there is no such layer, it has no weights, or a weight has no initializer.

    Notes
    -----
    The trap that is avoided: a layer's configuration holds the seed it was made with, so that a network built anew from
    it has the very weights it started from, not new ones. ``THEORY.md`` T8.
    """
    found = dict(_weighted(model))
    for name in layers or ():
        if name not in found:
            raise CrackvizError(f"There is no layer {name!r} with weights; choose of {', '.join(found)}.")
    copy = _copied(model)
    for number, (name, (_, layer)) in enumerate(
        zip(found, _weighted(copy), strict=True)
    ):  # a copy may have other names
        if layers is None or name in layers:
            _draw(layer, number, seed)
    return copy


def _copied(model: keras.Model) -> keras.Model:
    try:
        copy = keras.models.clone_model(model)
    except (ValueError, TypeError, NotImplementedError) as error:  # Keras' kinds for what it can't build anew
        words = " ".join(str(error).split())[:200]
        raise CrackvizError(
            f"The model {model.name!r} can't be built a second time ({words}). Lambda layers, and layers without "
            "get_config, are code that no copy can be made of: build it of Keras' own layers."
        ) from error
    copy.set_weights(model.get_weights())
    return copy


def _weighted(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """List the layers that hold weights, in the order of computation, each once; of nested models, the inner ones."""
    seen: set[int] = set()
    for step in walk(model).values():
        layer = step.layer
        if isinstance(layer, keras.Model):
            yield from ((f"{layer.name}/{name}", inner) for name, inner in _weighted(layer))
        elif getattr(layer, "weights", None) and id(layer) not in seen:
            seen.add(id(layer))
            yield layer.name, layer


def _draw(layer: Any, number: int, seed: int) -> None:
    drawn: set[int] = set()
    # Of attention, and of wrappers, the layers within hold the weights.
    names = [(one, name) for one in layer._flatten_layers() for name in dir(one) if name[0] != "_"]
    inner = [(one, name) for one, name in names if name.endswith("_initializer")]
    for one, attribute in inner:
        initializer, stem = getattr(one, attribute), attribute.removesuffix("_initializer")
        variables = (getattr(one, name, None) for name in (stem, f"{stem}_kernel", "kernel"))
        variable = next((v for v in variables if isinstance(v, keras.Variable)), None)
        if variable is None or initializer is None:  # such as the bias of a layer without one
            continue
        config = initializer.get_config() if isinstance(initializer, keras.Initializer) else {}  # or else a function
        if "seed" in config:
            draw = np.random.SeedSequence([seed, number, len(drawn)]).generate_state(1)[0]
            initializer = type(initializer).from_config({**config, "seed": int(draw) % 2**31})
        variable.assign(initializer(variable.shape, variable.dtype))
        drawn.add(id(variable))
    left = [v.path for v in layer.weights if id(v) not in drawn]
    if left and not isinstance(layer, keras.layers.Normalization):  # it holds the data's scale, nothing learned
        raise CrackvizError(
            f"Layer {layer.name!r} ({type(layer).__name__}) has weights without an initializer: {', '.join(left)}. "
            "Name the layers that can be drawn anew, randomise(layers=[…]), or score without: untrained=False."
        )


def rank_correlation(a: np.ndarray, b: np.ndarray, *, signed: bool = True) -> np.ndarray:
    """Return Spearman's rank correlation of each pair of maps.

    **Range** [-1, 1]; 1: the same order of pixels; **chance level** 0 for maps that have nothing in common. **Fooled
    by** what maps of one picture share without any network: edges have large values in either.

    Parameters
    ----------
    a, b : float (N, H, W)
    signed : bool
        False compares absolute values.

    Returns
    -------
    numpy.ndarray
        float64 (N,), 0 where a map is constant.
    """
    a, b = _pair(a, b, signed)
    ranked = (stats.rankdata(maps, axis=1) for maps in (a, b))
    x, y = (values - values.mean(axis=1, keepdims=True) for values in ranked)
    spread = np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1))
    return np.divide((x * y).sum(axis=1), spread, out=np.zeros(len(x)), where=spread > 0)


def similarity(a: np.ndarray, b: np.ndarray, *, signed: bool = True) -> np.ndarray:
    """Return the structural similarity (SSIM) of each pair of maps, each divided by its largest absolute value.

    **Range** [-1, 1]; 1: the same picture. **Chance level**: none that holds for all maps: two maps that are nearly 0
    nearly everywhere look alike by that alone. That is how it is fooled. Of a map and its opposite it may be positive,
    since both of its factors, of means and of structure, turn their signs. Read it beside :func:`rank_correlation`,
    which takes the same, here of 7 px a side or more. 0 where one map is zero.

    Notes
    -----
    Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 2004, by scikit-image: windows of 7 px. ``THEORY.md`` T8.
    """
    shape = np.shape(a)
    if min(shape[1:], default=0) < 7:
        raise CrackvizError(f"Maps have shape {shape}; SSIM needs at least 7 x 7 px.")
    a, b = (values.reshape(shape) for values in _pair(a, b, signed))
    tops = (np.abs(maps).max(axis=(1, 2), keepdims=True) for maps in (a, b))
    a, b = (np.divide(m, top, out=np.zeros_like(m), where=top > 0) for m, top in zip((a, b), tops, strict=True))
    pairs = zip(a, b, strict=True)
    values = [structural_similarity(x, y, data_range=2.0 if signed else 1.0) for x, y in pairs]
    there = a.any(axis=(1, 2)) & b.any(axis=(1, 2))
    return np.where(there, values, 0.0)


def complexity(maps: np.ndarray, *, bins: int = BINS) -> np.ndarray:
    """Return how evenly a map's values are spread: the entropy of their histogram.

    **Range** [0, ln(bins)] nats: 0 for a constant map, the most where each bin between the least and the greatest value
    holds as many pixels. **Fooled by** a single far value, which crowds all others into few bins.

    Parameters
    ----------
    maps : float (N, H, W)
    bins : int
        2 or more, between each map's own least and greatest value.

    Returns
    -------
    numpy.ndarray
        float64 (N,)

    Notes
    -----
    Hedström et al. 2024 (see :func:`randomisation_test`), there with bins by a rule. ``THEORY.md`` T8.
    """
    check_number("bins", bins, 2, whole=True)
    maps = check_maps(maps, np.shape(maps))
    return np.array([stats.entropy(np.histogram(one.astype(np.float64), bins)[0]) for one in maps])


def _pair(a: np.ndarray, b: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    check_flag("signed", signed)
    a = np.asarray(a)
    both = [check_maps(maps, a.shape).reshape(len(a), -1).astype(np.float64) for maps in (a, b)]
    return (both[0], both[1]) if signed else (np.abs(both[0]), np.abs(both[1]))


def randomisation_test(
    model: keras.Model,
    images: np.ndarray,
    methods: Mapping[str, Callable[..., np.ndarray]],
    *,
    mode: str = "cascading",
    draws: int = 3,
    seed: int = 0,
    **options: Any,
) -> pd.DataFrame:
    """Draw the weights anew, layer by layer, and compare the maps with those of the trained network.

    Parameters
    ----------
    model : keras.Model
        Left as it is.
    images : float32 (N, H, W, 3), in [0, 1]
    methods : mapping of str to callable
        Name -> ``method(model, images, **options)``, such as of :data:`crackviz.attribution.METHODS`.
    mode : "cascading" or "independent"
        Cascading: from the last layer down, each with all those above it. Independent: one layer at a time, the others
        trained.
    draws : int
        How often all is repeated with other fresh weights. One draw won't do: a random last layer often gives the very
        map with its sign turned, and as often without.
    seed : int
        Of the first draw's weights; those of :func:`randomise` with seed, seed + 1, …

    Returns
    -------
    pandas.DataFrame
        A row for each method, draw and layer: method, draw, step (0: trained), layer, rank, rank_abs, ssim, ssim_abs
        (means over the images of :func:`rank_correlation` and :func:`similarity`, signed and of absolute values), rise
        (mean relative rise of :func:`complexity` over the trained network's map; NaN where that is constant). At the
        last cascading step, where all weights are fresh, rise is the score of efficient MPRT: a map that was about what
        was learned gets more disordered, so higher is better.

    Raises
    ------
    CrackvizError
        Where a layer can't be drawn (:func:`randomise`).

    Notes
    -----
    Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim: *Sanity Checks for Saliency Maps*, NeurIPS 2018. Departures:
    weights are drawn by the layers' own initializers (there, a truncated normal distribution), and BatchNormalization's
    statistics fall too. Efficient MPRT: Hedström, Weber, Lapuschkin, Höhne: *A Fresh Look at Sanity
    Checks for Saliency Maps*, 2024; here with :data:`BINS` bins for all maps. ``THEORY.md`` T8.
    """
    check_choice("mode", mode, MODES)
    check_number("draws", draws, 1, whole=True)
    check_number("the number of methods", len(methods), 1, whole=True)
    images = check_images(model, images)
    copy = _copied(model)  # one copy for all steps: what is compiled for it reads its weights as they are
    trained = copy.get_weights()
    before = {name: method(copy, images, **options) for name, method in methods.items()}
    order = {name: complexity(maps) for name, maps in before.items()}
    layers = [(name, layer) for (name, _), (_, layer) in zip(_weighted(model), _weighted(copy), strict=True)]
    rows = []

    def compare(draw: int, step: int, layer: str) -> None:
        for name, method in methods.items():
            maps = before[name] if step == 0 else method(copy, images, **options)
            scores = {
                f"{what}{'' if signed else '_abs'}": float(like(before[name], maps, signed=signed).mean())
                for what, like in (("rank", rank_correlation), ("ssim", similarity))
                for signed in (True, False)
            }
            known = order[name] > 0
            risen = complexity(maps)[known] / order[name][known] - 1
            scores["rise"] = float(risen.mean()) if known.any() else np.nan
            rows.append({"method": name, "draw": draw, "step": step, "layer": layer, **scores})

    with progress(None, "drawing weights anew", draws * len(layers), unit="layer") as bar:
        for draw in range(draws):
            copy.set_weights(trained)
            compare(draw, 0, "trained")
            for step, (number, (name, layer)) in enumerate(reversed(list(enumerate(layers))), 1):
                if mode == "independent":
                    copy.set_weights(trained)
                _draw(layer, number, seed + draw)
                compare(draw, step, name)
                bar.update()
    return pd.DataFrame(rows)


def verdict(test: pd.DataFrame) -> pd.DataFrame:
    """Judge each method by a cascading :func:`randomisation_test`.

    What stands above the middle of the network makes the decision. A method fails if its map is still like the trained
    network's (signed rank correlation above 0.5) after that upper half of the layers has been drawn anew, whatever the
    draw: it can't have been about the decision. Passing says only that the map depends on the weights, not that it is
    true.

    Parameters
    ----------
    test : pandas.DataFrame
        From :func:`randomisation_test`, cascading, best of three draws or more.

    Returns
    -------
    pandas.DataFrame
        Indexed by method: kept (the lowest rank correlation of all draws there), layer (down to which the weights are
        fresh), passes (bool), rise (of complexity with all weights fresh, mean of the draws: efficient MPRT).
    """
    half = max(1, int(test["step"].max()) // 2)
    there = test[test["step"] == half].groupby("method", sort=False)
    found = pd.DataFrame({"kept": there["rank"].min(), "layer": there["layer"].first()})
    last = test[test["step"] == test["step"].max()].groupby("method", sort=False)
    return found.assign(passes=found["kept"] <= ALIKE, rise=last["rise"].mean())
