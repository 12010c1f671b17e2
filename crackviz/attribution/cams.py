"""Class activation maps: each method weighs a layer's activations A by the gradients G in its own way.

A method's few lines take A (N, h, w, C) and G, which is (N, h, w, C), or (N, 1, 1, C) where the gradient is the same in
every cell, or (1, 1, 1, C) where it is so in every image, too, and give maps (N, h, w). :func:`cam_method` makes of
them the public function, and enters it among the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.attribution.network import (
    CHUNK,
    VECTOR,
    Layer,
    Network,
    Target,
    channels_of,
    check_images,
    compiled,
    direction,
    feeds_the_end,
    in_chunks,
    layer_names,
)
from crackviz.attribution.pictures import blend, cells, enlarge
from crackviz.attribution.registry import Passes, method, public

Layers = Layer | Sequence[Layer] | None
Combine = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def cam_method(title: str, paper: str, **facts: Any) -> Callable[[Combine], Callable[..., np.ndarray]]:
    """Make ``(A, G) -> maps`` a method of its name and docstring, with the signature that all have.

    `facts` are attributes of :class:`crackviz.attribution.Method`.
    """

    def decorate(combine: Combine) -> Callable[..., np.ndarray]:
        def explain(
            model: keras.Model,
            images: np.ndarray,
            *,
            target: Target = "crack",
            layer: Layers = None,
            upsample: bool = True,
        ) -> np.ndarray:
            return _explain(combine, model, images, target, layer, upsample)

        return method("cam", title, paper, **facts)(public(explain, combine))

    return decorate


def _explain(
    combine: Combine, model: keras.Model, images: np.ndarray, target: Target, layer: Layers, upsample: bool
) -> np.ndarray:
    """Explain `images` by one way of weighing, at one layer or as the mean over several."""
    images, along = check_images(model, images), direction(model, target)
    names = layer_names(model, layer)
    if len(names) > 1 and not upsample:
        raise CrackvizError(
            f"{len(names)} layers with upsample=False: their maps differ in size. Name one layer, or leave upsample."
        )
    explain = compiled(model, _build, names, combine, bool(upsample))
    return in_chunks(lambda some: explain(some, along), images)


def _build(network: Network, combine: Combine, upsample: bool) -> Any:
    @tf.function(input_signature=[network.signature, VECTOR])
    def explain(images: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        maps = [combine(A, G) for A, G in network.evidence(images, along)]
        if len(maps) == 1:
            return enlarge(maps[0], images) if upsample else maps[0]
        # In logits per cell of the coarsest layer: a finer map shares the same evidence among more cells.
        counts = [cells(one) for one in maps]
        fewest = tf.reduce_min(tf.stack(counts))
        return tf.add_n([enlarge(one * (n / fewest), images) for one, n in zip(maps, counts, strict=True)]) / len(maps)

    return explain


def weigh(A: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Sum A over the channels, weighed in every cell (N, h, w, C), or alike in all of them, and of all images."""
    if weights.shape[:3] == (1, 1, 1):
        return tf.tensordot(A, weights[0, 0, 0], 1)
    if weights.shape[1:3] == (1, 1):
        return tf.einsum("nhwc,nc->nhw", A, weights[:, 0, 0])
    return tf.reduce_sum(A * weights, axis=-1)


def over_cells(values: tf.Tensor, reduce: Callable[..., tf.Tensor] = tf.reduce_sum) -> tf.Tensor:
    """Reduce (N, h, w, C) to (N, 1, 1, C)."""
    return reduce(values, axis=(1, 2), keepdims=True)


@method("cam", "CAM", "Zhou et al. 2016", signed=True, complete=True, cost=(1, 0))
def cam(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: Layers = None, upsample: bool = True
) -> np.ndarray:
    r"""Explain a decision by the last layer's weights alone, :math:`L_{ij} = \sum_c w_c A_{ijc} / HW`.

    Arguments, result and errors are those of :func:`grad_cam`; refused besides are networks whose `layer` doesn't
    feed a global average pooling, followed by Dense.

    Notes
    -----
    Zhou et al.: *Learning Deep Features for Discriminative Localization*, CVPR 2016. Departure: divided by the number
    of cells, so that the map sums to the logit less the bias. ``THEORY.md`` T6.
    """
    images, names = check_images(model, images), layer_names(model, layer)
    if len(names) > 1 or not feeds_the_end(model, names[0]):
        raise CrackvizError(
            f"CAM reads the weights behind a global average: layer {', '.join(names)} must feed "
            "GlobalAveragePooling2D alone, and that the last Dense. Leave layer out, or take grad_cam."
        )
    return _explain(weigh, model, images, target, names, upsample)  # there, G is these weights


@cam_method("Grad-CAM", "Selvaraju et al. 2017", signed=True, complete=True)
def grad_cam(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    r"""Explain a decision by Grad-CAM: signed, unscaled, of the logit.

    With the activations :math:`A_{ijc}` of `layer` and the target's logit :math:`z`,

    .. math:: L_{ij} = \sum_c \alpha_c A_{ijc}, \qquad
              \alpha_c = \frac{1}{HW} \sum_{ij} \frac{\partial z}{\partial A_{ijc}}.

    At the layer that feeds the global average pooling the map adds up to the logit less the bias, exactly:
    :math:`\sum_{ij} L_{ij} = z - b`, as long as it isn't enlarged. At an earlier layer it doesn't, and there the map
    is an approximation. Enlarged, it lies exactly on an image whose side is a multiple of the layer's stride; on
    others it is stretched by the remainder.

    Parameters
    ----------
    model : keras.Model
        Ends in Dense, with a sigmoid or softmax in it or after it.
    images : float32 (N, H, W, 3), in [0, 1]
    target : str or int
        Class to explain. With one logit, the map of "no_crack" is that of "crack" with the sign turned.
    layer : str, int or a sequence of them, optional
        Name of a layer with a 4-D output, or its number on the :func:`ladder` (-1 is the last); by default the last
        whose map has more than one cell. Several layers give the mean of their enlarged maps, all in logits per
        cell of the coarsest, so that a finer one weighs no less for sharing its evidence among more cells.
    upsample : bool
        Whether the map is enlarged to the image's size: bilinear, half-pixel centres, so nothing shifts.

    Returns
    -------
    numpy.ndarray
        float32 (N, H, W), or (N, h, w) as the layer has it without `upsample`. In logits per cell of the layer;
        a dead network gives zeros.

    Raises
    ------
    CrackvizError
        Where the images break the contract, there is no such target or layer, or several layers are to stay small.

    Notes
    -----
    Selvaraju et al.: *Grad-CAM*, ICCV 2017. Two departures: the paper keeps the positive part only, here the
    negative part stays, because it is what speaks for the other class; and the paper's networks end in a softmax
    of k logits, whereas one logit and its negative stand for two classes here. tf-keras-vis gives the positive part of
    the same map; enlarged, its map is shifted by up to half a cell, since it lays corner on corner. ``THEORY.md`` T6.
    """
    return weigh(A, over_cells(G, tf.reduce_mean))


@cam_method("Grad-CAM++", "Chattopadhay et al. 2018")
def grad_cam_plus_plus(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    r"""Weigh channels by their positive gradients, each cell by how much of the channel it makes up for.

    .. math:: \alpha_{ijc} \propto \frac{G_{ijc}^2}{2 G_{ijc}^2 + G_{ijc}^3 \sum_{ab} A_{abc}}, \quad
              \sum_{ij} \alpha_{ijc} = 1, \qquad L_{ij} = \sum_c A_{ijc} \sum_{ab} \alpha_{abc} \max(0, G_{abc})

    Not signed: see :func:`layer_cam`, with which it agrees where the gradient is the same in every cell. Arguments,
    result and errors are those of :func:`grad_cam`.

    Notes
    -----
    Chattopadhay et al.: *Grad-CAM++*, WACV 2018; :math:`\alpha` is normalised as in the authors' code, over cells of
    positive gradient: over all cells it may turn negative, and the map with it, at layers before the last. Departure:
    the paper explains :math:`e^z`, which multiplies the whole map by :math:`e^z` and overflows for a sure network; that
    factor is left out. tf-keras-vis keeps it, and an older rule for :math:`\alpha`: at the last layer its map is this
    one times :math:`e^z`. ``THEORY.md`` T7.
    """
    # G^2 / (2 G^2 + sum(A) G^3), without the powers, which float32 would lose
    alpha = tf.where(G > 0, tf.math.divide_no_nan(1.0, 2.0 + over_cells(A) * G), 0.0)
    alpha = tf.math.divide_no_nan(alpha, over_cells(alpha))
    return weigh(A, over_cells(alpha * tf.nn.relu(G)))


@cam_method("HiResCAM", "Draelos, Carin 2020", signed=True, complete=True)
def hires_cam(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    r"""Weigh every activation by its own gradient, :math:`L_{ij} = \sum_c A_{ijc}\, \partial z / \partial A_{ijc}`.

    Grad-CAM without the mean over the cells: what a cell gets is what it itself does to the logit, also at an earlier
    layer. Arguments, result and errors are those of :func:`grad_cam`.

    Notes
    -----
    Draelos, Carin: *Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks*, 2020,
    arXiv:2011.08891. Departure: the negative part stays. ``THEORY.md`` T7.
    """
    return weigh(A, G)


@cam_method("LayerCAM", "Jiang et al. 2021")
def layer_cam(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    r"""Weigh every activation by the positive part of its gradient, :math:`L_{ij} = \sum_c A_{ijc} \max(0, G_{ijc})`.

    Not signed: what speaks against the target is left out before the sum, so the map doesn't add up to anything; ask
    for the other target to see it. Arguments, result and errors are those of :func:`grad_cam`.

    Notes
    -----
    Jiang et al.: *LayerCAM: Exploring Hierarchical Class Activation Maps for Localization*, IEEE Transactions on Image
    Processing 30, 2021. Departure: no ReLU after the sum; it would change nothing where activations are positive. The
    paper scales the maps of early layers by tanh before it merges them; here several layers give the mean, see
    :func:`grad_cam`. ``THEORY.md`` T7.
    """
    return weigh(A, tf.nn.relu(G))


@cam_method("XGrad-CAM", "Fu et al. 2020", signed=True, complete=True)
def xgrad_cam(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    r"""Average the gradients by activation, :math:`\alpha_c = \sum_{ij} A_{ijc} G_{ijc} / \sum_{ij} A_{ijc}`.

    So the map sums to :math:`\sum A G`, as HiResCAM's does. A channel that is zero has the weight 0. Arguments, result
    and errors are those of :func:`grad_cam`.

    Notes
    -----
    Fu et al.: *Axiom-based Grad-CAM*, BMVC 2020. Departure: the negative part stays. ``THEORY.md`` T7.
    """
    if G.shape[1:3] == (1, 1):
        return weigh(A, G)  # the mean of what is the same everywhere, whatever it is weighed by
    return weigh(A, tf.math.divide_no_nan(over_cells(A * G), over_cells(A)))


def _one_a_channel(model: keras.Model, images: np.ndarray, options: dict[str, Any]) -> Passes:
    return 1 + channels_of(model, options["layer"]), 0


@method("cam", "Score-CAM", "Wang et al. 2020", cost=_one_a_channel)
def score_cam(
    model: keras.Model, images: np.ndarray, *, target: Target = "crack", layer: Layers = None, upsample: bool = True
) -> np.ndarray:
    """Weigh each channel by the score of the image seen through it; no gradient.

    Each channel's map, enlarged and scaled to [0, 1], dims the image; the network is asked once for each channel. The
    weights are the softmax, over the channels, of the target's logits. Not signed, in units of activation. Arguments,
    result and errors are otherwise those of :func:`grad_cam`, for one layer.

    Notes
    -----
    Wang et al.: *Score-CAM*, CVPR Workshops 2020; its baseline cancels out in the softmax. The authors' code and
    tf-keras-vis weigh by probabilities, so that channels of a sure network all weigh alike; and tf-keras-vis takes a
    softmax over classes of what the model gives: for one sigmoid unit each of its weights is 1. ``THEORY.md`` T7.
    """
    images, along = check_images(model, images), direction(model, target)
    names = layer_names(model, layer)
    if len(names) > 1:
        raise CrackvizError(f"score_cam takes one layer, got {len(names)}: {', '.join(names)}.")
    activations = compiled(model, _build_activations, names)
    masked = compiled(model, _build_masked)

    def explain(some: np.ndarray) -> tf.Tensor:
        x = tf.constant(some)
        A = activations(x)
        step = max(1, CHUNK // len(some))
        scores = [masked(x, A[..., c : c + step], along) for c in range(0, A.shape[-1], step)]
        maps = tf.nn.relu(tf.einsum("nhwc,nc->nhw", A, tf.nn.softmax(tf.concat(scores, axis=1), axis=1)))
        return enlarge(maps, x) if upsample else maps

    return in_chunks(explain, images)


def _build_activations(network: Network) -> Any:
    return tf.function(lambda images: network.activations(images)[0], input_signature=[network.signature])


def _build_masked(network: Network) -> Any:
    @tf.function(input_signature=[network.signature, tf.TensorSpec((None, None, None, None), tf.float32), VECTOR])
    def scores(images: tf.Tensor, maps: tf.Tensor, along: tf.Tensor) -> tf.Tensor:
        masks = tf.transpose(tf.image.resize(maps, tf.shape(images)[1:3]), (0, 3, 1, 2))
        low, high = (reduce(masks, axis=(2, 3), keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max))
        span = high - low
        # A channel that is the same everywhere shows nothing; its rounding errors must not be stretched to a mask.
        masks = tf.math.divide_no_nan(masks - low, tf.where(span > 1e-5 * tf.abs(high), span, 0.0))
        return tf.tensordot(network.many(blend(0.0, images, masks)), along, 1)

    return scores


@cam_method("Eigen-CAM", "Bany Muhammad, Yeasin 2020", by_class=False, cost=(1, 0))
def eigen_cam(A: tf.Tensor, G: tf.Tensor) -> tf.Tensor:
    """Project the activations on their first singular vector: what the layer says loudest, whatever it means.

    No class enters: `target` is checked, and changes nothing. In units of activation, not of logits; the sign is chosen
    so that the sum is positive. Arguments, result and errors are otherwise those of :func:`grad_cam`.

    Notes
    -----
    Bany Muhammad, Yeasin: *Eigen-CAM*, IJCNN 2020. As in the paper, the activations are not centred first, so the
    vector follows the mean activation where that is large. ``THEORY.md`` T7.
    """
    shape = tf.shape(A)
    rows = tf.reshape(A, (shape[0], shape[1] * shape[2], shape[3]))
    # The first right singular vector of a tall matrix is the last eigenvector of its small Gram matrix.
    gram = tf.matmul(rows, rows, transpose_a=True)
    finite = tf.reduce_all(tf.math.is_finite(gram), axis=(1, 2), keepdims=True)  # eigh raises where it isn't
    _, vectors = tf.linalg.eigh(tf.where(finite, gram, 0.0))
    maps = weigh(A, vectors[:, tf.newaxis, tf.newaxis, :, -1])
    maps *= tf.sign(tf.reduce_sum(maps, axis=(1, 2), keepdims=True))  # a singular vector has no sign of its own
    maps = tf.where(finite, maps, np.nan)
    return tf.where(tf.reduce_any(A != 0, axis=(1, 2, 3))[:, tf.newaxis, tf.newaxis], maps, 0.0)
