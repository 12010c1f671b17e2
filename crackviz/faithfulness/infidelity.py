"""Whether a map's numbers follow the network's answers: to covered squares, and to changes that nobody sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from crackviz import CrackvizError
from crackviz.attribution.gradients import Baseline
from crackviz.attribution.network import Target, check_images
from crackviz.attribution.occlusion import occlusion, occlusion_windows
from crackviz.contracts import check_maps, check_number


@dataclass(frozen=True)
class Falls:
    """By how much the logit falls as squares are covered; computed once, it serves every map of the same images."""

    values: np.ndarray
    """float32 (N, rows, columns)"""
    size: int
    stride: int


def measure_falls(
    model: keras.Model,
    images: np.ndarray,
    *,
    target: Target = "crack",
    size: int | None = None,
    stride: int | None = None,
    baseline: Baseline = "mean",
) -> Falls:
    """Cover squares as :func:`crackviz.attribution.occlusion` does, for :func:`infidelity`.

    `size` and `stride` are in px; by default a quarter of the images' shorter side, and half of that.
    """
    images = check_images(model, images)
    size = max(1, min(images.shape[1:3]) // 4) if size is None else size
    stride = max(1, size // 2) if stride is None else stride
    values = occlusion(model, images, target=target, upsample=False, size=size, stride=stride, baseline=baseline)
    return Falls(values, size, stride)


def infidelity(maps: np.ndarray, falls: Falls) -> np.ndarray:
    r"""Ask whether what the map holds in a square is what the logit loses when the square is covered.

    With the map's sum :math:`s_q` and the logit's fall :math:`d_q` for each square q, and the best factor
    :math:`\beta \geq 0` between their units, the share of the falls that the map doesn't account for,

    .. math:: \min_\beta \frac{\sum_q (\beta s_q - d_q)^2}{\sum_q d_q^2} .

    **Range** [0, 1]; **lower is better. Chance level**: a map that is the same everywhere gets
    :math:`1 - \max(0, \bar d)^2 / \overline{d^2}`, below 1, and so does noise, nearly. **Fooled by** occlusion, which
    makes its map of such falls; and it holds against a map that covered pictures are strange to the network. Squares
    are wide, so it says nothing about how sharply a map is drawn.

    Parameters
    ----------
    maps : float (N, H, W)
    falls : Falls
        From :func:`measure_falls`, of the same images, in the same order.

    Returns
    -------
    numpy.ndarray
        float64 (N,), NaN where no square changes the logit.

    Notes
    -----
    Yeh, Hsieh, Suggala, Inouye, Ravikumar: *On the (In)fidelity and Sensitivity of Explanations*, NeurIPS 2019, with
    square removal. Departures, for maps in logits per position: the map is summed, not multiplied by what is removed;
    the factor (captum's ``normalize``), so that maps in other units can be compared, never negative here; all
    squares of a grid instead of random ones. ``THEORY.md`` T8.
    """
    maps = check_maps(maps, (len(falls.values), *np.shape(maps)[1:]))
    sums = maps.cumsum(axis=1, dtype=np.float64).cumsum(axis=2)
    sums = np.pad(sums, ((0, 0), (1, 0), (1, 0)))
    tops, lefts = (occlusion_windows(side, falls.size, falls.stride) for side in maps.shape[1:])
    if (len(tops), len(lefts)) != falls.values.shape[1:]:
        raise CrackvizError(
            f"Falls of {falls.values.shape[1:]} squares don't belong to maps of {maps.shape[1:]} px; measure them on "
            "the same images."
        )
    ends, rights = tops + falls.size, lefts + falls.size
    inside = sums[:, ends][:, :, rights] - sums[:, tops][:, :, rights] - sums[:, ends][:, :, lefts]
    inside += sums[:, tops][:, :, lefts]
    fall = falls.values.astype(np.float64)
    cross, own, all_ = (np.einsum("nij,nij->n", a, b) for a, b in ((inside, fall), (inside, inside), (fall, fall)))
    told = np.divide(cross.clip(min=0) ** 2, own * all_, out=np.zeros_like(own), where=own * all_ > 0)
    return np.where(all_ > 0, 1 - told.clip(0, 1), np.nan)


def sensitivity_max(
    method: Callable[..., np.ndarray],
    model: keras.Model,
    images: np.ndarray,
    *,
    n_samples: int = 8,
    radius: float = 0.02,
    seed: int = 0,
    **options: Any,
) -> np.ndarray:
    r"""Disturb the picture by what nobody sees, and take the largest change of the map.

    **Range** from 0 up, as a share of the map's own length (Euclidean norm); **lower is better. Chance level**: a map
    drawn anew for each picture gets about :math:`\sqrt{1/2}` if uniform in [0, 1). **Fooled by** whatever ignores the
    picture: a constant map is perfectly steady. A steady map may be steadily wrong; and where the network's own answer
    jumps, so must an honest map.

    Parameters
    ----------
    method : callable
        ``method(model, images, **options)``, one of :data:`crackviz.attribution.METHODS`.
    model, images
        What `method` is given: images are float32 (N, H, W, 3), in [0, 1].
    n_samples : int
        Disturbed copies; as many times the method's cost. The maximum grows with them.
    radius : float
        Largest change of a pixel's colour, in (0, 1]; the copies stay in [0, 1].
    seed : int

    Returns
    -------
    numpy.ndarray
        float64 (N,), NaN where the map is zero.

    Notes
    -----
    Yeh et al., NeurIPS 2019, sampled uniformly from the cube, as by captum and Quantus. ``THEORY.md`` T8.
    """
    images = check_images(model, images)
    check_number("n_samples", n_samples, 1, whole=True)
    if not 0 < radius <= 1:
        raise CrackvizError(f"radius is {radius!r}; expected a number above 0, and 1 at the most.")
    maps = method(model, images, **options).astype(np.float64)
    length = np.sqrt((maps**2).sum(axis=(1, 2)))
    worst = np.zeros(len(images))
    rng = np.random.default_rng(seed)
    for _ in range(n_samples):
        moved = (images + rng.uniform(-radius, radius, images.shape).astype(np.float32)).clip(0, 1)
        change = method(model, moved, **options) - maps
        worst = np.maximum(worst, np.sqrt((change**2).sum(axis=(1, 2))))
    return np.divide(worst, length, out=np.full_like(worst, np.nan), where=length > 0)
