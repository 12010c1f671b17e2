"""What a cell sees: boxes by hand, and as the gradient says."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from crackviz import CrackvizError, attribution, features, models


def test_a_box_by_hand() -> None:
    """3 x 3 cells in steps of 2, of 3 x 3 pixels after padding of 1: cell i sees 2i - 1 to 2i + 3."""
    inputs = keras.Input((13, 13, 3))
    x = layers.Conv2D(1, 3, padding="same")(inputs)
    x = layers.Conv2D(1, 3, strides=2, name="second")(x)
    model = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    assert features.field_box(model, "second", (1, 2)) == (1, 3, 6, 8)
    assert features.field_box(model, "second", (0, 0)) == (0, 0, 4, 4)
    assert features.field_box(model, "second", (0, 0), clip=False) == (-1, -1, 4, 4)
    with pytest.raises(CrackvizError, match="has 6 x 6 cells"):
        features.field_box(model, "second", (6, 0))


def uneven() -> keras.Model:
    """Paths of two lengths, uneven padding (by one more behind in the width), dilation, an odd size."""
    inputs = keras.Input((31, 28, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(4, 3, dilation_rate=2, padding="same")(x)
    x = layers.Add()([x, y])
    x = layers.ZeroPadding2D(((0, 1), (1, 0)))(x)
    x = layers.AveragePooling2D(3, strides=2, name="last")(x)
    return keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))


@pytest.mark.parametrize("build", [lambda: models.gap_cnn_deep(32, seed=1), lambda: models.gap_cnn(30), uneven])
def test_boxes_are_what_the_gradient_says(build: object) -> None:
    model = build()  # type: ignore[operator]
    sides = model.inputs[0].shape[1:3]
    noise = np.random.default_rng(0).random((24, *sides, 3), np.float32)
    for name, rung in attribution.ladder(model).iterrows():
        if rung["kind"] == "ZeroPadding2D":  # its own cells at the border see nothing
            continue
        for cell in ((0, 0), (2, 3), (int(rung["height"]) - 1, int(rung["width"]) // 2)):
            rows, columns = attribution.measured_field(model, noise, str(name), cell=cell)
            measured = (rows.start, columns.start, rows.stop, columns.stop)
            assert features.field_box(model, str(name), cell) == measured, (name, cell)


def test_a_box_where_the_size_is_open_or_a_layer_unknown() -> None:
    model = models.gap_cnn_deep(None)
    with pytest.raises(CrackvizError, match="size="):
        features.field_box(model, "conv4", (1, 1))
    fixed = features.field_box(models.gap_cnn_deep(64), "conv4", (1, 1))
    assert features.field_box(model, "conv4", (1, 1), (64, 64)) == fixed
    inputs = keras.Input((8, 8, 3))
    x = layers.UpSampling2D(interpolation="bicubic", name="up")(inputs)
    odd = keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(CrackvizError, match="UpSampling2D 'up' isn't known"):
        features.field_box(odd, "up", (0, 0))
