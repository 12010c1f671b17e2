"""Whether a map tells what the network does: change the picture by the map's word, and ask the network again.

No mask is needed, so these scores know nothing of cracks: a map may follow the network faithfully to the wrong place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.gradients import Baseline, baseline_images, lots
from crackviz.attribution.network import Network, Target, build_logits, check_images, chunks, compiled, target_index
from crackviz.contracts import check_choice, check_maps, check_number
from crackviz.faithfulness.imputation import filled

INPAINT = "inpaint"
ROAD_SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
ROAD_NOISE = 0.01


@dataclass(frozen=True)
class Curves:
    """What the network says while the map's pixels are taken away, or given back; see :func:`deletion_insertion`."""

    shares: np.ndarray
    """float64 (S + 1,): share of the pixels that are taken away (deletion) or there (insertion), from 0 to 1."""
    deletion: np.ndarray
    """float32 (N, S + 1): the target's logit, and so below; the probabilities have the same shape."""
    insertion: np.ndarray
    deletion_probability: np.ndarray
    insertion_probability: np.ndarray

    def areas(self, unit: str = "probability") -> tuple[np.ndarray, np.ndarray]:
        """Return the area under each deletion and insertion curve, by the trapezoidal rule: float64 (N,) each.

        Areas of the `unit` "probability" lie in [0, 1], but a sure network's curve is a step. Those of "logit" (their
        mean) keep changing where the probability is 1.00.
        """
        check_choice("unit", unit, ("probability", "logit"))
        ways = (getattr(self, way if unit == "logit" else f"{way}_{unit}") for way in ("deletion", "insertion"))
        down, up = (np.trapezoid(values.astype(np.float64), self.shares, axis=1) for values in ways)
        return down, up


def ranks(maps: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return the rank of each pixel in its map, 0 the highest: int32 (N, H, W); equal values in random order."""
    count = int(np.prod(maps.shape[1:]))
    shuffled = np.random.default_rng(seed).permutation(count)
    found = np.empty((len(maps), count), np.int32)
    for n, values in enumerate(maps.reshape(len(maps), count)):
        found[n, shuffled[np.argsort(-values[shuffled])]] = np.arange(count, dtype=np.int32)
    return found.reshape(maps.shape)


def _build_mixed(network: Network) -> Any:
    places = tf.TensorSpec((None, *network.signature.shape[1:3]), tf.int32)

    @tf.function(input_signature=[network.signature, network.signature, places, tf.TensorSpec((None,), tf.int32)])
    def logits(start: tf.Tensor, way: tf.Tensor, order: tf.Tensor, cuts: tf.Tensor) -> tf.Tensor:
        """Answer pictures that have gone the way from the start where a rank is below the cut."""
        n, s = tf.shape(start)[0], tf.shape(cuts)[0]
        moved = tf.cast(order[:, tf.newaxis] < cuts[:, tf.newaxis, tf.newaxis], tf.float32)
        # One mask for three colours, as in blend; what doesn't change with the step is computed before.
        flat = tf.reshape(tf.matmul(tf.reshape(moved, (-1, 1)), tf.ones((1, 3))), (n, s, -1))
        mixed = flat * tf.reshape(way, (n, 1, -1)) + tf.reshape(start, (n, 1, -1))
        return network.many(tf.reshape(mixed, tf.concat([[n, s], tf.shape(start)[1:]], 0)))

    return logits


def _build_imputed(network: Network) -> Any:
    places = tf.TensorSpec((None, *network.signature.shape[1:3]), tf.int32)
    noise = tf.TensorSpec(network.signature.shape[1:], tf.float32)

    @tf.function(input_signature=[network.signature, noise, places, tf.TensorSpec((None, 2), tf.int32)])
    def logits(x: tf.Tensor, grain: tf.Tensor, order: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
        ranked, first, beyond = order[:, tf.newaxis], windows[:, 0], windows[:, 1]
        inside = (ranked >= first[:, tf.newaxis, tf.newaxis]) & (ranked < beyond[:, tf.newaxis, tf.newaxis])
        kept = tf.cast(inside, tf.float32)
        flat = tf.reshape(kept, tf.concat([[-1], tf.shape(x)[1:3]], 0))
        copies = filled(tf.repeat(x, tf.shape(windows)[0], axis=0), flat)
        copies += grain * (1 - flat[..., tf.newaxis])
        return network.many(tf.reshape(copies, tf.concat([tf.shape(kept), [3]], 0)))

    return logits


def _answers(
    model: keras.Model, images: np.ndarray, order: np.ndarray, windows: np.ndarray, baseline: Baseline, seed: int
) -> np.ndarray:
    """Return the logits (N, windows, k) of images of which only the pixels with ranks in a window are left.

    A window [first, beyond) begins with the highest rank or ends with the lowest.
    """
    if isinstance(baseline, str) and baseline == INPAINT:
        return _imputed(model, images, order, windows, seed)
    given = None if isinstance(baseline, str) else baseline_images(images, baseline)
    ask = compiled(model, _build_mixed)
    found: Any = None
    for some in chunks(images):
        x, places = images[some], tf.constant(order[some])
        base = baseline_images(x, baseline) if given is None else given[some]
        for inside in (True, False):  # begin with nothing and give pixels back, or with all and take them away
            start, end = (base, x) if inside else (x, base)
            ends = tf.constant(start), tf.constant(end - start)
            which = np.flatnonzero((windows[:, 0] == 0) == inside)
            cuts = windows[which, 1 if inside else 0]
            for steps in lots(len(which), len(x)):
                values = ask(*ends, places, cuts[steps]).numpy()
                if found is None:
                    found = np.empty((len(images), len(windows), values.shape[-1]), np.float32)
                found[some, which[steps]] = values
    return found


def _imputed(model: keras.Model, images: np.ndarray, order: np.ndarray, windows: np.ndarray, seed: int) -> np.ndarray:
    ask = compiled(model, _build_imputed)
    grain = tf.constant(np.random.default_rng(seed).normal(0, ROAD_NOISE, images.shape[1:]), tf.float32)
    parts = []
    for some in chunks(images):
        x, places = tf.constant(images[some]), tf.constant(order[some])
        answers = [ask(x, grain, places, windows[steps]).numpy() for steps in lots(len(windows), len(x))]
        parts.append(np.concatenate(answers, axis=1))
    return np.concatenate(parts)


def _of_target(model: keras.Model, values: np.ndarray, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """Return the target's logit and probability (…) of logits (…, k)."""
    column, sign = target_index(model, target)
    wanted = sign * values[..., column]
    # log of the other classes' odds against the target, without overflow; one unit stands against 0
    others = np.zeros_like(wanted) if values.shape[-1] == 1 else np.logaddexp.reduce(np.delete(values, column, -1), -1)
    return wanted, (0.5 + 0.5 * np.tanh(0.5 * (wanted - others))).astype(np.float32)


def _prepared(model: keras.Model, images: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    images = check_images(model, images)
    return images, check_maps(maps, images.shape[:3])


def deletion_insertion(
    model: keras.Model,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    target: Target = "crack",
    steps: int = 32,
    shares: Sequence[float] | np.ndarray | None = None,
    baseline: Baseline = "blur",
    seed: int = 0,
) -> Curves:
    """Take the pixels away in the order of the map, highest first; and the other way round, give them back.

    The area under the deletion curve: **lower is better**, under the insertion curve: **higher is better**. **Range**
    of both [0, 1] for probabilities (:meth:`Curves.areas`). **Chance level**: what a random map gets on the same
    pictures (:func:`crackviz.attribution.random`); there is no other zero. **Fooled by** the removal: half a crack on a
    blurred ground is a picture that the network has never seen the like of, and its answer to that is no answer about
    the crack. So the `baseline` decides much of the score: compute it for two. And a mask may win over an honest map of
    wide cells, since only the order of pixels counts.

    Parameters
    ----------
    model : keras.Model
    images : float32 (N, H, W, 3), in [0, 1]
    maps : float (N, H, W)
        Positive: for the target.
    target : str or int
    steps : int
        Equal steps from 0 to all pixels: 2 x `steps` forward passes for each image.
    shares : sequence of float, optional
        The shares themselves, instead of `steps`: rising from 0 to 1. A crack covers a few per cent of a picture; finer
        steps there show more.
    baseline : "blur", "mean", "black", "inpaint", number or images
        What stands where pixels are missing: see :func:`crackviz.attribution.baseline_images`; "inpaint" lets the
        surroundings grow in (:func:`impute`, with a little noise), as ROAD does.
    seed : int
        Order of equal values, and the noise of "inpaint".

    Notes
    -----
    Petsiuk, Das, Saenko: *RISE*, BMVC 2018. There deletion fills in grey and insertion starts from a blurred image;
    here both use one baseline, so that they are two ways through the same pictures. With black as the baseline the
    areas are xplique's ``Deletion`` and ``Insertion``, to 5 digits, where no values are equal. ``THEORY.md`` T8.
    """
    images, maps = _prepared(model, images, maps)
    count = int(np.prod(maps.shape[1:]))
    cuts = np.round(_shares(steps, shares) * count).astype(np.int32)
    inner = cuts[1:-1]
    # Both ways begin or end with the whole picture and with nothing: asked once.
    down = (0, count), *((cut, count) for cut in inner), (0, 0)
    windows = np.array([*down, *((0, cut) for cut in inner)], np.int32)
    values = _answers(model, images, ranks(maps, seed), windows, baseline, seed)
    logit, probability = _of_target(model, values, target)

    def both(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        deletion, between = answers[:, : len(cuts)], answers[:, len(cuts) :]
        return deletion, np.concatenate([deletion[:, -1:], between, deletion[:, :1]], axis=1)

    return Curves(cuts / count, *both(logit), *both(probability))


def _shares(steps: int, shares: Sequence[float] | np.ndarray | None) -> np.ndarray:
    if shares is None:
        return np.linspace(0, 1, check_number("steps", steps, 1, whole=True) + 1)
    values = np.asarray(shares, float)
    if values.ndim != 1 or len(values) < 2 or values[0] != 0 or values[-1] != 1 or not (np.diff(values) > 0).all():
        raise CrackvizError(f"shares are {values}; expected numbers that rise from 0 to 1.")
    return values


def road(
    model: keras.Model,
    images: np.ndarray,
    maps: np.ndarray,
    *,
    target: Target = "crack",
    shares: Sequence[float] = ROAD_SHARES,
    seed: int = 0,
) -> np.ndarray:
    """Remove and debias: take the least important pixels away, and the most important ones, and compare.

    Half the difference of the probabilities, least minus most important, averaged over the shares of pixels taken away.
    **Range** [-0.5, 0.5]; **higher is better; chance level** 0, whatever the network makes of holes: a random map
    loses equally either way. What is missing is filled in from what is left, with a little noise, so that the *shape*
    of the hole is no news to the network. **Fooled by** nothing cheap; but a thin crack is gone or there with the first
    share, so that fine maps can't be told from good coarse ones.

    Parameters
    ----------
    model, images, maps, target
        As for :func:`deletion_insertion`.
    shares : sequence of float
        Each in (0, 1): 2 forward passes and 2 imputations for each image and share.
    seed : int
        Order of equal values, and the noise.

    Returns
    -------
    numpy.ndarray
        float64 (N,).

    Notes
    -----
    Rong, Leemann, Borisov, Kasneci, Kasneci: ICML 2022; combined as by pytorch-grad-cam's ``ROADCombined``, which takes
    nine shares, thresholds at percentiles (all of equal values fall together) and 1 - map for the least important ones,
    and solves the imputation's equations where :func:`impute` comes near: scores agree within a few hundredths.
    ``THEORY.md`` T8.
    """
    images, maps = _prepared(model, images, maps)
    cuts = np.asarray(shares, float)
    if cuts.ndim != 1 or not len(cuts) or not ((cuts > 0) & (cuts < 1)).all():
        raise CrackvizError(f"shares are {shares!r}; expected numbers between 0 and 1.")
    count = int(np.prod(maps.shape[1:]))
    gone = np.round(cuts * count).astype(np.int32)
    windows = np.array([*((cut, count) for cut in gone), *((0, count - cut) for cut in gone)], np.int32)
    values = _answers(model, images, ranks(maps, seed), windows, INPAINT, seed)
    _, probability = _of_target(model, values, target)
    without_most, without_least = probability[:, : len(cuts)], probability[:, len(cuts) :]
    return (without_least.astype(np.float64) - without_most).mean(axis=1) / 2


def average_drop(
    model: keras.Model, images: np.ndarray, maps: np.ndarray, *, target: Target = "crack", baseline: Baseline = "blur"
) -> tuple[np.ndarray, np.ndarray]:
    """Show the network only what the map marks, and see whether the probability drops or rises.

    The picture is dimmed by the map's positive part, divided by its maximum. Drop: by which share the probability
    falls, 0 where it rises. Increase: 1 where it rises, else 0. **Range** of both [0, 1]; drop: **lower is better**,
    increase: **higher is better. Chance level**: that of the random map. **Fooled by** a map of ones, which
    changes nothing and drops by nothing: never read it alone. Where the network says "no" anyway, a drop means nothing.

    Parameters
    ----------
    model, images, maps, target
        As for :func:`deletion_insertion`.
    baseline : "blur", "mean", "black", number or images
        What is seen where the map is 0.

    Returns
    -------
    (numpy.ndarray, numpy.ndarray)
        Drop and increase, float64 (N,).

    Notes
    -----
    Chattopadhay, Sarkar, Howlader, Balasubramanian: *Grad-CAM++*, WACV 2018, who multiply by the map, which blackens
    the rest: to a crack detector black is a crack, so here it is blurred. ``THEORY.md`` T8.
    """
    images, maps = _prepared(model, images, maps)
    light = maps.clip(min=0).astype(np.float32)
    top = light.max(axis=(1, 2), keepdims=True)
    light = np.divide(light, top, out=np.zeros_like(light), where=top > 0)
    base = baseline_images(images, baseline)
    shown = (base + light[..., np.newaxis] * (images - base)).clip(0, 1)
    ask = compiled(model, build_logits)
    before, after = (
        _of_target(model, np.concatenate([ask(some[part]).numpy() for part in chunks(some)]), target)[1]
        for some in (images, shown.astype(np.float32))
    )
    before, after = before.astype(np.float64), after.astype(np.float64)
    drop = np.divide((before - after).clip(min=0), before, out=np.zeros_like(before), where=before > 0)
    return drop, (after > before).astype(np.float64)
