"""The displays draw what they are given, on a scale that doesn't lie."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, plots


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    before = dict(plt.rcParams)
    yield
    assert dict(plt.rcParams) == before, "a display changed rcParams"
    plt.close("all")


IMAGES = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
MAPS = np.random.default_rng(1).normal(size=(3, 16, 16)).astype(np.float32) * np.array([1, 5, 0])[:, None, None]


def titles(axes: np.ndarray) -> list[str]:
    return [axis.get_title() for axis in np.asarray(axes).flat]


def color_bars(figure: plt.Figure) -> list[plt.Axes]:
    return [axis for axis in figure.axes if axis.get_label() == "<colorbar>"]


def test_signed_limits_are_symmetric() -> None:
    top = [float(np.abs(m).max()) for m in MAPS]
    assert plots.scale_limits(MAPS, "image") == [(-top[0], top[0]), (-top[1], top[1]), (0.0, 0.0)]
    assert plots.scale_limits(MAPS, "shared") == [(-top[1], top[1])] * 3
    assert plots.scale_limits(np.abs(MAPS), "shared") == [(0.0, top[1])] * 3
    assert plots.scale_limits(MAPS, (-1.0, 2.0)) == [(-1.0, 2.0)] * 3
    for wrong in ("minmax", (1.0, 1.0)):
        with pytest.raises(CrackvizError, match="scale is"):
            plots.scale_limits(MAPS, wrong)  # type: ignore[arg-type]


def test_maps_have_one_colour_bar_with_units_and_a_zero_map_says_so() -> None:
    display = plots.AttributionDisplay.from_maps(IMAGES, MAPS, titles=["a", "b", "c"])
    assert titles(display.ax_[0]) == ["a", "b", "c"]
    assert titles(display.ax_[1]) == ["", "", "the map is zero"]
    (bar,) = color_bars(display.figure_)
    assert "logits per cell" in bar.get_ylabel() and "blue: against" in bar.get_ylabel()


def test_each_its_own_scale_is_written_on_each() -> None:
    display = plots.AttributionDisplay.from_maps(IMAGES, MAPS, scale="image")
    assert not color_bars(display.figure_)
    assert titles(display.ax_[1])[0].startswith("scale ±") and titles(display.ax_[1])[2] == "the map is zero"


def test_all_maps_zero_is_drawn_without_warning_or_bar(recwarn: pytest.WarningsRecorder) -> None:
    display = plots.AttributionDisplay.from_maps(IMAGES, np.zeros((3, 16, 16), np.float32))
    display.figure_.canvas.draw()
    assert titles(display.ax_[1]) == ["the map is zero"] * 3 and not color_bars(display.figure_)
    assert not recwarn.list


def test_zero_is_the_middle_of_the_colours_and_transparent() -> None:
    _, axis = plt.subplots()
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[3, 3] = 2, -2
    plots.overlay(axis, np.ones((4, 4, 3), np.float32), values, (-2, 2))
    drawn = axis.images[1]
    assert (drawn.norm.vmin, drawn.norm.vmax) == (-2, 2)
    alpha = drawn.get_alpha()
    assert alpha[1, 1] == 0 and alpha[0, 0] == alpha[3, 3] > 0.5
    red, blue = drawn.cmap(1.0), drawn.cmap(0.0)
    assert red[0] > red[2] and blue[2] > blue[0]


@pytest.mark.parametrize("count", [1, 7, 40])
def test_any_number_of_images(count: int) -> None:
    images = np.resize(IMAGES, (count, 16, 16, 3))
    maps = np.resize(MAPS, (count, 16, 16))
    display = plots.AttributionDisplay.from_maps(images, maps)
    display.figure_.canvas.draw()
    rows, columns = display.ax_.shape
    assert columns == min(count, 6) and rows == 2 * -(-count // 6)
    grid = plots.ImagesDisplay.from_images(images)
    assert grid.ax_.size >= count


def test_wrong_counts_and_shapes_are_refused() -> None:
    with pytest.raises(CrackvizError, match="upsample=True"):
        plots.AttributionDisplay.from_maps(IMAGES, MAPS[:, :4, :4])
    with pytest.raises(CrackvizError, match="2 titles for 3 images"):
        plots.AttributionDisplay.from_maps(IMAGES, MAPS, titles=["a", "b"])
    with pytest.raises(CrackvizError, match="no image"):
        plots.ImagesDisplay.from_images([])
    with pytest.raises(CrackvizError, match="don't fit on 2 axes"):
        plots.ImagesDisplay.from_images(IMAGES, ax=plt.subplots(1, 2)[1])


def test_given_axes_are_used() -> None:
    figure, axes = plt.subplots(1, 3)
    display = plots.ImagesDisplay.from_images(IMAGES, ax=axes)
    assert display.figure_ is figure and len(axes[2].images) == 1


def test_mistakes_are_framed_and_named() -> None:
    display = plots.ImagesDisplay.from_predictions(IMAGES, [1, 0, 1], [0.9, 0.8, 0.2])
    assert titles(display.ax_) == [
        "crack\nP(crack) = 0.90",
        "no_crack\nP(crack) = 0.80  wrong",
        "crack\nP(crack) = 0.20  wrong",
    ]
    assert [axis.spines["top"].get_visible() for axis in display.ax_.flat] == [False, True, True]
    changed = plots.ImagesDisplay.from_predictions(IMAGES, [1, 0, 1], [0.9, 0.8, 0.2], threshold=0.1)
    assert "wrong" not in titles(changed.ax_)[2]


def test_history_marks_the_kept_epoch() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "loss": [3.0, 2, 1],
            "accuracy": [0.5, 0.6, 0.7],
            "val_loss": [2.0, 1, 3],
            "val_accuracy": [0.5, 0.8, 0.6],
        }
    )
    display = plots.HistoryDisplay.from_history(history)
    loss, accuracy = display.ax_
    assert loss.get_legend().get_texts()[-1].get_text() == "kept: epoch 2"
    assert list(accuracy.lines[1].get_ydata()) == [0.5, 0.8, 0.6]
    assert loss.get_ylabel() == "cross-entropy [nats]" and loss.get_ylim()[0] == 0


def test_scores_show_their_intervals() -> None:
    table = pd.DataFrame({"value": [0.9], "low": [0.8], "high": [0.95]}, index=["f1/crack"])
    display = plots.ScoresDisplay.from_report({"one": table, "two": table - 0.1})
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["f1 (crack)"]
    (segment,) = display.ax_.collections[0].get_segments()
    assert segment[:, 0] == pytest.approx([0.8, 0.95])
    assert {text.get_text() for text in display.ax_.get_legend().get_texts()} == {"one", "two"}
