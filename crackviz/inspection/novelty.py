"""Whether a piece of a photograph is unlike everything that crackviz's networks were taught and tested on."""

from __future__ import annotations

import json
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from crackviz import ROOT
from crackviz.files import check_published

SIGMAS = (0.7, 1.4, 2.8, 5.6, 11.2)
"""Standard deviations of the Gaussians between which details are looked at [px]."""
FILE = ROOT / "pretrained" / "novelty.npz"


class Reference(NamedTuple):
    """What is usual: of `describe`'s numbers the mean (26,), the inverse covariance (26, 26), and the limit."""

    mean: np.ndarray
    precision: np.ndarray
    limit: float


def describe(windows: np.ndarray) -> np.ndarray:
    """Describe pieces of photographs by 26 numbers each, without a network.

    Of five sizes of details: how strong they are, how peaked, how lopsided, and how strong in the median place. Then
    mean grey, two differences of colour, how much the colours vary, how much the large shapes do, and how much all
    edges have one direction.

    Parameters
    ----------
    windows : uint8 (N, H, W, 3)

    Returns
    -------
    float64 (N, 26)
    """
    colours = windows.astype(np.float32) / 255
    grey = colours.mean(axis=3)
    found: list[np.ndarray] = []
    finer = grey
    edges = coarsest = grey
    for sigma in SIGMAS:
        coarser = ndimage.gaussian_filter(grey, sigma, axes=(1, 2), truncate=3)
        details = (finer - coarser).reshape(len(grey), -1)
        strength = details.std(axis=1) + 1e-3
        apart = details / strength[:, np.newaxis]
        found += [np.log(strength), np.log(np.abs(apart).mean(axis=1) + 1e-3)]
        found += [(apart**3).mean(axis=1).clip(-3, 3), np.log(np.median(np.abs(details), axis=1) + 1e-3)]
        edges = coarser if sigma == SIGMAS[1] else edges
        finer = coarsest = coarser
    red, green, blue = np.moveaxis(colours.mean(axis=(1, 2)), -1, 0)
    varied = (colours.max(axis=3) - colours.min(axis=3)).std(axis=(1, 2))
    found += [grey.mean(axis=(1, 2)), red - green, green - blue, np.log(varied + 0.01)]
    slopes = _slopes(edges, 2) + 1j * _slopes(edges, 1)
    steep = np.abs(slopes) + 1e-6
    found += [np.log(coarsest.std(axis=(1, 2)) + 0.005)]
    found += [np.abs((slopes**2 / steep).sum(axis=(1, 2))) / steep.sum(axis=(1, 2))]
    return np.stack(found, axis=1).astype(np.float64)


def _slopes(grey: np.ndarray, axis: int) -> np.ndarray:
    """Return Sobel's slopes within each picture: SciPy's own would mix neighbours in the array."""
    smooth = ndimage.correlate1d(grey, [1, 2, 1], axis=3 - axis)
    return np.asarray(ndimage.correlate1d(smooth, [-1, 0, 1], axis=axis))


def distance(windows: np.ndarray, reference: Reference | None = None) -> np.ndarray:
    """Return how far pieces of photographs are from what is usual: Mahalanobis' distance, float64 (N,).

    Parameters
    ----------
    windows : uint8 (N, 128, 128, 3)
    reference : Reference, optional
        By default the one that comes with crackviz: of METU, SDNET2018's walls and synthetic walls alike.

    Notes
    -----
    Lee, Lee, Lee, Shin: *A simple unified framework for detecting out-of-distribution samples*, NeurIPS 2018, with
    numbers of the picture in place of a network's; Ledoit, Wolf: *A well-conditioned estimator for large-dimensional
    covariance matrices*, 2004. ``benchmarks/inspection.py reference`` makes the reference.
    """
    reference = reference or usual()
    away = describe(windows) - reference.mean
    return np.sqrt(np.einsum("ni,ij,nj->n", away, reference.precision, away))


@cache
def usual() -> Reference:
    """Return the reference that comes with crackviz; a CrackvizError if the file isn't the published one (SHA-256)."""
    published = json.loads(FILE.with_suffix(".json").read_text("utf-8"))
    check_published(FILE, published["sha256"])
    with np.load(FILE, allow_pickle=False) as held:
        return Reference(held["mean"], held["precision"], float(held["limit"]))
