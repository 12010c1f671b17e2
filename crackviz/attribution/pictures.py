"""Arithmetic on maps, masks and images that several methods share."""

from __future__ import annotations

import tensorflow as tf


def cells(maps: tf.Tensor) -> tf.Tensor:
    """Return how many cells each of some maps (N, h, w, …) has, as a float."""
    return tf.cast(tf.reduce_prod(tf.shape(maps)[1:3]), tf.float32)


def enlarge(maps: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """Enlarge maps (N, h, w) to the size of `images` (N, H, W, 3): bilinear, half-pixel centres, so nothing shifts."""
    return tf.image.resize(maps[..., tf.newaxis], tf.shape(images)[1:3])[..., 0]


def blend(base: tf.Tensor, images: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
    """Return ``base + masks * (images - base)`` (n, s, H, W, 3), for n images and s masks, of each or of all.

    Parameters
    ----------
    base, images : (n, H, W, 3), or 0.0 for a black base
    masks : (n, s, H, W) or (1, s, H, W)
    """
    shape, s = tf.shape(images), tf.shape(masks)[1]
    # One mask for three colours: this product is twice as fast as to broadcast, or to choose by tf.where.
    flat = tf.reshape(tf.matmul(tf.reshape(masks, (-1, 1)), tf.ones((1, 3))), (tf.shape(masks)[0], s, -1))
    way = tf.reshape(images - base, (shape[0], 1, -1))
    mixed = flat * way if isinstance(base, float) else flat * way + tf.reshape(base, (shape[0], 1, -1))
    return tf.reshape(mixed, (shape[0], s, shape[1], shape[2], 3))
