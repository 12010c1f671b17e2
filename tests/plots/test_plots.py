"""The displays draw what they are given, on a scale that doesn't lie."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from crackviz import CrackvizError, plots
from crackviz.bootstrap import Bootstrap
from crackviz.plots.drawing import AGAINST, FOR, UNSIGNED, Display, Maker, in_words


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    before = dict(plt.rcParams)
    yield
    assert dict(plt.rcParams) == before, "a display changed rcParams"
    plt.close("all")


IMAGES = np.random.default_rng(0).random((3, 16, 16, 3), np.float32)
MAPS = np.random.default_rng(1).normal(size=(3, 16, 16)).astype(np.float32) * np.array([1, 5, 0])[:, None, None]


MADE = {
    f"{name}.{maker}": getattr(plots, name)
    for name in plots.__all__
    if isinstance(getattr(plots, name), type) and issubclass(getattr(plots, name), Display)
    for maker, value in vars(getattr(plots, name)).items()
    if isinstance(value, Maker)
}


@pytest.mark.parametrize("name", MADE)
def test_a_maker_takes_what_the_class_takes_and_its_help_names_it_all(name: str) -> None:
    make, own = getattr(MADE[name], name.split(".")[1]), inspect.signature(MADE[name])
    taken = inspect.signature(make).parameters
    assert [*taken] == [*own.parameters, "ax"] and make.__qualname__ == name
    for parameter in taken.values():
        assert (parameter.kind is parameter.KEYWORD_ONLY) == (parameter.default is not parameter.empty)
        assert parameter.name in make.__doc__.split("Parameters\n---")[1]
    assert "Draw on `ax`" in make.__doc__


def test_what_a_maker_is_given_reaches_the_display() -> None:
    assert len(MADE) >= 12
    axes = plt.subplots(1, 3)[1]
    display = plots.ImagesDisplay.from_images(IMAGES, titles=["a", "b", "c"], ax=axes)
    assert display.titles == ["a", "b", "c"] and display.ax_ is axes and display.figure_ is axes[0].figure
    assert plots.ImagesDisplay(IMAGES).figure_ is None, "nothing is drawn yet"
    with pytest.raises(CrackvizError, match=r"from_images has no option 'tiles'\. Did you mean titles\?"):
        plots.ImagesDisplay.from_images(IMAGES, tiles=["a"])
    with pytest.raises(TypeError, match="positional"):
        plots.ImagesDisplay.from_images(IMAGES, ["a", "b", "c"])


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


def drawn_pixels(grey: float, values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """What the overlay shows of values over a uniform patch, a pixel a value: (H, W, 3) in [0, 1]."""
    height, width = values.shape
    figure = plt.figure(figsize=(width / 50, height / 50), dpi=50)
    axis = figure.add_axes((0, 0, 1, 1))
    plots.overlay(axis, np.full((height, width, 3), grey, np.float32), values, limits)
    figure.canvas.draw()
    shown = np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255  # type: ignore[attr-defined]
    plt.close(figure)
    assert shown.shape == (height, width, 3)
    return shown


@pytest.mark.parametrize("grey", [0.2, 0.4, 0.6, 0.8])
@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_the_overlay_draws_no_line_that_is_in_neither_picture_nor_map(grey: float, low: float) -> None:
    ramp = np.linspace(low, 1, 201, dtype=np.float32)
    shown = drawn_pixels(grey, np.tile(ramp, (20, 1)), (low, 1))[10]
    for side, hue in ((ramp <= 0, AGAINST), (ramp >= 0, FOR if low < 0 else UNSIGNED)):
        ends = np.array([to_rgb(hue), [grey] * 3])
        assert (shown[side] >= ends.min(axis=0) - 0.006).all() and (shown[side] <= ends.max(axis=0) + 0.006).all()
        steps = np.diff(shown[side], axis=0) * np.sign(ends[0] - grey) * (1 if hue != AGAINST else -1)
        assert (steps >= -0.006).all(), "each colour goes one way, from the picture to the hue"


def test_zero_is_transparent_and_the_more_the_more_opaque() -> None:
    values = np.linspace(-2, 2, 101, dtype=np.float32)[np.newaxis].repeat(10, axis=0)
    shown = drawn_pixels(0.5, values, (-2, 2))[5]
    away = np.abs(shown - 0.5).max(axis=1)
    assert away[50] < 0.005
    assert away[[0, 100]] == pytest.approx(2 * away[[25, 75]], rel=0.05), "opacity is linear"
    assert shown[100, 0] > shown[100, 2] and shown[0, 2] > shown[0, 0], "red for, blue against"
    assert drawn_pixels(0.5, np.clip(values, 0, 2), (0, 2))[5, 100, 0] > 0.7, (
        "maps without sign have a hue of their own"
    )


def test_the_bar_shows_the_overlay_on_white() -> None:
    figure, axis = plt.subplots()
    plots.add_color_bar(figure, axis, (-2, 2), "logits")
    mappable = figure.axes[1]._colorbar.mappable  # type: ignore[attr-defined]
    values = np.linspace(-2, 2, 101, dtype=np.float32)[np.newaxis].repeat(10, axis=0)
    assert mappable.to_rgba(values[5])[:, :3] == pytest.approx(drawn_pixels(1.0, values, (-2, 2))[5], abs=0.012)


@pytest.mark.parametrize("count", [1, 7, 40])
def test_any_number_of_images(count: int) -> None:
    images = np.resize(IMAGES, (count, 16, 16, 3))
    maps = np.resize(MAPS, (count, 16, 16))
    masks = np.zeros((count, 16, 16), bool)
    masks[:, 4:8] = True
    display = plots.AttributionDisplay.from_maps(images, maps, masks=masks, logits=np.arange(count))
    display.figure_.canvas.draw()
    assert titles(display.ax_.flat[:1]) == ["logit +0.0"]
    assert len(display.ax_[1, 0].collections) == 2, "an outline that shows on any colour"
    rows, columns = display.ax_.shape
    assert columns == min(count, 4) and rows == 2 * -(-count // 4)
    grid = plots.ImagesDisplay.from_images(images)
    assert grid.ax_.size >= count


def test_wrong_counts_and_shapes_are_refused() -> None:
    with pytest.raises(CrackvizError, match="upsample=True"):
        plots.AttributionDisplay.from_maps(IMAGES, MAPS[:, :4, :4])
    with pytest.raises(CrackvizError, match="images has 3, titles has 2"):
        plots.AttributionDisplay.from_maps(IMAGES, MAPS, titles=["a", "b"])
    with pytest.raises(CrackvizError, match="no image"):
        plots.ImagesDisplay.from_images([])
    with pytest.raises(CrackvizError, match="labels has 2"):
        plots.ImagesDisplay.from_predictions(IMAGES, [1, 0], [0.9, 0.8, 0.2])
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
        "no crack\nP(crack) = 0.80  wrong",
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


def test_randomisation_shows_the_mean_and_all_that_the_draws_reach() -> None:
    values = {"cam": [[1, 0.5, 0.1], [1, 0.3, -0.3]], "edges": [[1, 1, 1], [1, 1, 1]]}
    test = pd.DataFrame(
        [
            {"method": name, "draw": draw, "step": step, "layer": ("trained", "top", "low")[step], "rank": value}
            for name, draws in values.items()
            for draw, line in enumerate(draws)
            for step, value in enumerate(line)
        ]
    )
    axis = plots.RandomisationDisplay.from_test(test, names={"cam": "Grad-CAM"}).ax_
    for line, name in zip(axis.lines, values, strict=False):
        assert list(line.get_xdata()) == [0, 1, 2]
        assert line.get_ydata() == pytest.approx(np.mean(values[name], axis=0))
    band = axis.collections[0].get_paths()[0].vertices
    assert band[band[:, 0] == 2, 1].min() == pytest.approx(-0.3) and band[band[:, 0] == 2, 1].max() == pytest.approx(
        0.1
    )
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["Grad-CAM", "edges"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["trained", "top", "low"]


def test_scores_show_their_intervals() -> None:
    table = pd.DataFrame({"value": [0.9], "low": [0.8], "high": [0.95]}, index=["f1/crack"])
    display = plots.ScoresDisplay.from_report({"one": table, "two": table - 0.1})
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["F1, crack"]
    (segment,) = display.ax_.collections[0].get_segments()
    assert segment[:, 0] == pytest.approx([0.8, 0.95])
    (given,) = plt.subplots()[1:]
    inside = plots.ScoresDisplay.from_report({"one": table, "two": table - 0.1}, ax=given).ax_.get_legend()
    assert {text.get_text() for text in inside.get_texts()} == {"one", "two"}, "on an axis that was given, within it"


# --- methods and layers -------------------------------------------------------------------------------------------

METHODS = {"one": MAPS, "two": np.abs(MAPS) * 100, "dead": np.zeros_like(MAPS)}


def test_a_grid_has_one_bar_for_each_method_and_each_its_limits() -> None:
    display = plots.AttributionGridDisplay.from_maps(
        IMAGES, METHODS, logits=[1.25, -2, 0], label={"one": "logits", "two": "grey levels"}
    )
    assert display.ax_.shape == (4, 3), "methods go down, the images on top"
    assert titles(display.ax_[0]) == ["logit +1.2", "logit -2.0", "logit +0.0"]
    assert [axis.texts[0].get_text() for axis in display.ax_[1:, 0]] == ["one", "two", "dead"]
    bars = color_bars(display.figure_)
    assert [bar.get_ylabel() for bar in bars] == ["logits", "grey levels"], "nothing to scale where all is zero"
    top = float(np.abs(MAPS).max())
    assert bars[0].get_ylim() == pytest.approx((-top, top)) and bars[1].get_ylim() == pytest.approx((0, 100 * top))
    for row in display.ax_[1:3]:
        drawn = [axis.images[1].norm for axis in row if len(axis.images) > 1]
        assert len({(norm.vmin, norm.vmax) for norm in drawn}) == 1
    assert titles(display.ax_[3]) == ["the map is zero"] * 3
    assert display.ax_[1, 2].get_title() == "the map is zero"


def test_a_grid_by_images_by_image_and_by_a_pair() -> None:
    display = plots.AttributionGridDisplay.from_maps(IMAGES, METHODS, rows="images", scale="image", titles=list("abc"))
    assert display.ax_.shape == (3, 4) and not color_bars(display.figure_)
    assert [axis.texts[0].get_text() for axis in display.ax_[:, 0]] == ["a", "b", "c"]
    assert titles(display.ax_[0])[1].startswith("one\nscale ±") and titles(display.ax_[0])[2].startswith(
        "two\nscale 0 …"
    )
    assert titles(display.ax_[2])[1] == "the map is zero"
    display = plots.AttributionGridDisplay.from_maps(IMAGES, METHODS, scale=(-1.0, 1.0), label="logits")
    (bar,) = color_bars(display.figure_)
    assert bar.get_ylabel() == "logits" and bar.get_ylim() == (-1, 1)


@pytest.mark.parametrize("count", [1, 40])
def test_grids_of_one_and_of_many(count: int) -> None:
    images, maps = np.resize(IMAGES, (count, 16, 16, 3)), np.resize(MAPS, (count, 16, 16))
    grid = plots.AttributionGridDisplay.from_maps(images, {"a": maps, "b": maps})
    assert grid.ax_.shape == (count, 3) and len(color_bars(grid.figure_)) == 2


LADDER = pd.DataFrame({"cell": [2.0, 4.0, np.nan], "receptive_field": [3.0, 9.0, np.nan]}, index=["a", "b", "odd"])


def test_the_ladder_draws_cell_and_field_to_size() -> None:
    display = plots.LadderDisplay.from_maps(IMAGES, {"a": MAPS, "b": MAPS, "odd": MAPS}, LADDER, logits=[1, 2, 3])
    assert display.ax_.shape == (3, 4) and len(color_bars(display.figure_)) == 3
    texts = ["1. a\ncell 2 px, sees 3 px", "2. b\ncell 4 px, sees 9 px", "3. odd\ncell ?, sees ?"]
    assert titles(display.ax_[0])[1:] == texts
    labels = [bar.get_xlabel() or bar.get_ylabel() for bar in color_bars(display.figure_)]
    assert labels == [f"{number}. [logits per cell]" for number in (1, 2, 3)]
    cell, field = display.ax_[0, 2].patches
    assert (cell.get_width(), cell.get_height()) == (4, 4) and (field.get_width(), field.get_height()) == (9, 9)
    assert cell.get_xy() == (5.5, 5.5) and not display.ax_[0, 3].patches and not display.ax_[1, 2].patches
    single = plots.LadderDisplay.from_maps(IMAGES[:1], {"a": MAPS[:1]}, LADDER)
    assert single.ax_.shape == (1, 2)
    with pytest.raises(CrackvizError, match="doesn't hold 'c'; expected layers of a, b, odd"):
        plots.LadderDisplay.from_maps(IMAGES, {"c": MAPS}, LADDER)


def test_a_square_is_cut_off_at_the_border() -> None:
    _, axis = plt.subplots()
    axis.imshow(IMAGES[0])
    plots.square(axis, (1, 15), 6)
    (patch,) = axis.patches
    assert patch.get_xy() == (11.5, -0.5)
    assert (patch.get_width(), patch.get_height()) == (4, 4)


def test_wrong_grids_are_refused() -> None:
    with pytest.raises(CrackvizError, match="no map to draw"):
        plots.AttributionGridDisplay.from_maps(IMAGES, {})
    with pytest.raises(CrackvizError, match=r"Maps of 'one' have shape \(2, 16, 16\); expected \(3, 16, 16\)"):
        plots.AttributionGridDisplay.from_maps(IMAGES, {"one": MAPS[:2]})
    with pytest.raises(CrackvizError, match="rows is 'down'"):
        plots.AttributionGridDisplay.from_maps(IMAGES, METHODS, rows="down")
    with pytest.raises(CrackvizError, match=r"NaN or infinity \(number 1\)"):
        plots.AttributionDisplay.from_maps(IMAGES, np.where(np.arange(3)[:, None, None] == 1, np.nan, MAPS))
    with pytest.raises(CrackvizError, match="images has 3, logits has 2"):
        plots.AttributionDisplay.from_maps(IMAGES, MAPS, logits=[1, 2])


# --- inside the network -------------------------------------------------------------------------------------------


def test_kernels_say_what_black_and_white_stand_for() -> None:
    images = np.full((5, 3, 3, 3), 0.5, np.float32)
    images[1:, 0, 0] = 1
    display = plots.KernelsDisplay.from_kernels(images, np.full(5, 0.3))
    (bar,) = color_bars(display.figure_)
    assert bar.get_ylim() == pytest.approx((-0.3, 0.3)) and "weight" in bar.get_ylabel()
    assert titles(display.ax_)[:2] == ["0\nall zero", "1"]
    own = plots.KernelsDisplay.from_kernels(images, np.array([0, 0.1, 0.2, 0.3, 0.4]))
    assert not color_bars(own.figure_) and titles(own.ax_)[:3] == ["0\nall zero", "1\n±0.1", "2\n±0.2"]
    assert titles(plots.KernelsDisplay.from_kernels(images[1:2], np.array([0.3])).ax_) == ["0\n±0.3"]
    assert plots.KernelsDisplay.from_kernels(np.resize(images, (40, 3, 3, 3)), np.full(40, 0.3)).ax_.shape == (5, 8)
    with pytest.raises(CrackvizError, match="images has 5, limits has 2"):
        plots.KernelsDisplay.from_kernels(images, np.ones(2))


def test_synthesised_pictures_stand_beside_found_ones() -> None:
    patches = np.random.default_rng(3).random((2, 4, 7, 7, 3))
    display = plots.FiltersDisplay.from_examples(
        IMAGES[:2], patches, names=["channel 3", "channel 9"], values=np.arange(8.0).reshape(2, 4), reached=[11, 12]
    )
    assert display.ax_.shape == (2, 5)
    assert titles(display.ax_[0]) == ["synthesised\n11", "found\n0", "1", "2", "3"]
    assert titles(display.ax_[1]) == ["12", "4", "5", "6", "7"]
    assert [axis.get_ylabel() for axis in display.ax_[:, 0]] == ["channel 3", "channel 9"]
    np.testing.assert_array_equal(display.ax_[1, 4].images[0].get_array(), patches[1, 3])
    many = plots.FiltersDisplay.from_examples(np.resize(IMAGES, (40, 16, 16, 3)), np.resize(patches, (40, 1, 7, 7, 3)))
    assert many.ax_.shape == (40, 2)
    with pytest.raises(CrackvizError, match="expected \\(F, K, h, w, 3\\)"):
        plots.FiltersDisplay.from_examples(IMAGES, patches)


def test_activation_maps_are_drawn_in_the_order_given() -> None:
    maps = np.arange(3 * 2 * 2 * 4, dtype=float).reshape(3, 2, 2, 4)
    maps[0, ..., 2] = 0
    channels, contributions = np.array([[5, 1, 7, 0]] * 3), np.array([[2.5, -1, 0, 0.25]] * 3)
    display = plots.ActivationMapsDisplay.from_maps(
        IMAGES, maps, channels=channels, contributions=contributions, titles=list("abc"), count=3
    )
    assert display.ax_.shape == (3, 4)
    assert titles(display.ax_[0]) == ["a", "channel 5\n+2.50", "channel 1\n-1.00", "channel 7\n+0.00\nthe map is zero"]
    np.testing.assert_array_equal(display.ax_[1, 2].images[0].get_array(), maps[1, ..., 1])
    (bar,) = color_bars(display.figure_)
    assert bar.get_ylim() == (0, maps[..., :3].max()) and bar.get_ylabel() == "activation"
    assert {axis.images[0].norm.vmax for axis in display.ax_[:, 1:].flat} == {maps[..., :3].max()}
    signed = plots.ActivationMapsDisplay.from_maps(IMAGES[:1], maps[:1] - 3, scale="image")
    assert not color_bars(signed.figure_) and signed.ax_.shape == (1, 5)
    assert titles(signed.ax_[0])[1].startswith("scale ±")
    many = plots.ActivationMapsDisplay.from_maps(
        np.resize(IMAGES, (40, 16, 16, 3)), np.resize(maps, (40, 2, 2, 4)), count=1
    )
    assert many.ax_.shape == (40, 2)
    with pytest.raises(CrackvizError, match="for 3 images; expected"):
        plots.ActivationMapsDisplay.from_maps(IMAGES, maps[:2])


def test_all_dead_maps_are_drawn_without_warning(recwarn: pytest.WarningsRecorder) -> None:
    display = plots.ActivationMapsDisplay.from_maps(IMAGES[:1], np.zeros((1, 4, 4, 2)))
    display.figure_.canvas.draw()
    assert (
        titles(display.ax_[0])[1:] == ["the map is zero"] * 2 and not color_bars(display.figure_) and not recwarn.list
    )


def test_widened_keeps_the_larger_size_and_its_sign() -> None:
    maps = np.zeros((1, 7, 7), np.float32)
    maps[0, 1, 1], maps[0, 3, 3] = 2, -3
    wide = plots.widened(maps, 1)
    expected = np.zeros((7, 7))
    expected[0:3, 0:3] = 2
    expected[2:5, 2:5] = -3  # stronger where both reach
    assert np.array_equal(wide[0], expected)
    assert plots.widened(maps, 0) is maps
    assert np.array_equal(plots.widened(-maps, 1), -wide)
    for wrong in (-1, 1.5):
        with pytest.raises(CrackvizError, match="widen is"):
            plots.widened(maps, wrong)  # type: ignore[arg-type]


def test_a_percentile_is_of_what_is_not_zero() -> None:
    maps = np.zeros((2, 10, 10), np.float32)
    maps[0, 0] = np.arange(1, 11)  # 1 … 10
    maps[1, 0, 0] = -4
    assert plots.scale_limits(maps, "image", 50) == [(-5.5, 5.5), (-4.0, 4.0)]
    assert plots.scale_limits(maps, "shared", 50) == [(-5.5, 5.5)] * 2
    assert plots.scale_limits(maps, "shared") == plots.scale_limits(maps, "shared", 100) == [(-10.0, 10.0)] * 2
    assert plots.scale_limits(0 * maps, "image", 99) == [(0.0, 0.0)] * 2
    with pytest.raises(CrackvizError, match="percentile is 101"):
        plots.scale_limits(maps, "image", 101)


def red(axis: plt.Axes) -> float:
    """The share of a drawn axis that is clearly red, as it is seen."""
    axis.figure.canvas.draw()
    box = axis.get_window_extent()
    shown = np.asarray(axis.figure.canvas.buffer_rgba())[::-1]  # type: ignore[attr-defined]
    part = shown[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)].astype(int)
    return float((part[..., 0] - part[..., 2] > 60).mean())


def test_a_thin_map_can_be_seen_and_the_drawing_says_how() -> None:
    image = np.full((1, 64, 64, 3), 0.6, np.float32)
    maps = np.zeros((1, 64, 64), np.float32)
    maps[0, 32, 2:62] = 0.2
    maps[0, 32, 30] = 1  # one pixel that would set the scale
    maps[0, 60, 60] = -0.1
    bare = plots.AttributionDisplay.from_maps(image, maps)
    drawn = plots.AttributionDisplay.from_maps(image, maps, widen=2, percentile=95)
    assert red(bare.ax_[1, 0]) < 0.005 < 0.05 < red(drawn.ax_[1, 0])
    (bar,) = color_bars(drawn.figure_)
    assert "widened by 2 px" in bar.get_ylabel() and "percentile 95" in bar.get_ylabel()
    assert "widened" not in color_bars(bare.figure_)[0].get_ylabel()
    grid = plots.AttributionGridDisplay.from_maps(image.repeat(2, 0), {"a": maps.repeat(2, 0)}, widen=2, percentile=95)
    assert "widened by 2 px" in color_bars(grid.figure_)[0].get_xlabel() + color_bars(grid.figure_)[0].get_ylabel()
    two = image.repeat(2, 0), maps * np.array([1, 2], np.float32)[:, None, None]
    each = plots.AttributionDisplay.from_maps(*two, widen=2, percentile=95, scale="image")
    assert titles(each.ax_[1]) == ["scale ±0.2", "scale ±0.4"]


def test_each_network_has_its_logits_above_its_maps() -> None:
    logits = {"a": [1.0, 2, 3], "b": [-1.0, -2, -3]}
    display = plots.AttributionGridDisplay.from_maps(IMAGES, {"a": MAPS, "b": MAPS}, logits=logits, rows="methods")
    assert titles(display.ax_[1])[:2] == ["logit +1.0", "logit +2.0"]
    assert titles(display.ax_[2])[2].startswith("logit -3.0") and "the map is zero" in titles(display.ax_[2])[2]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (6, 3), (8, 4), (9, 3), (12, 4)])
def test_pictures_are_large_enough_for_the_back_row(count: int, columns: int) -> None:
    images = np.zeros((count, 8, 8, 3), np.float32)
    maps = np.ones((count, 8, 8), np.float32)
    shown = plots.ImagesDisplay.from_images(images)
    assert shown.ax_.shape[1] == columns
    grid = plots.AttributionGridDisplay.from_maps(images, {"a": maps, "b": maps})
    for display in (shown, plots.AttributionDisplay.from_maps(images, maps), grid):
        display.figure_.set_dpi(100)
        display.figure_.canvas.draw()
        assert display.ax_.flat[0].get_window_extent().width >= 195


def test_curves_have_a_band_where_the_mean_may_lie() -> None:
    shares = np.linspace(0, 1, 3)
    values = np.repeat([[0.0, 1, 0.5], [1, 1, 0.5]], 4, axis=0)
    curves = SimpleNamespace(shares=shares, deletion_probability=values, insertion_probability=values)

    def band(**options: Any) -> np.ndarray:
        display = plots.PerturbationCurvesDisplay.from_curves({"a": curves}, **options)
        (drawn,) = display.ax_[0].collections
        return np.concatenate([path.vertices for path in drawn.get_paths()] or [np.empty((0, 2))])

    alone = band()
    heights = {share: alone[alone[:, 0] == share, 1] for share in (0, 50, 100)}
    reach = 2 * np.std([0, 1]) / np.sqrt(8)
    assert heights[0].min() == pytest.approx(0.5 - reach, abs=0.05)
    assert heights[0].max() == pytest.approx(0.5 + reach, abs=0.05)
    assert alone[:, 1].min() >= 0 and alone[:, 1].max() <= 1  # of probabilities
    assert np.ptp(heights[50]) == np.ptp(heights[100]) == 0  # where all images agree
    together = band(bootstrap=Bootstrap([0, 0, 1, 1, 2, 2, 3, 4]))
    assert np.ptp(together[together[:, 0] == 0, 1]) > np.ptp(heights[0])
    assert not len(band(bootstrap=Bootstrap([0, 0, 0, 0, 1, 1, 1, 1])))  # two photographs have none


def test_the_legend_of_several_models_hides_no_interval() -> None:
    table = pd.DataFrame({"value": [0.9], "low": [0.8], "high": [0.95]}, index=["accuracy"])
    display = plots.ScoresDisplay.from_report({"one": table, "another": table})
    display.figure_.canvas.draw()
    (legend,) = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == ["one", "another"]
    assert not legend.get_window_extent().overlaps(display.ax_.get_window_extent())


@pytest.mark.parametrize(
    ("name", "text"), [("conv4", "convolution 4"), ("no_crack", "no crack"), ("logit", "logit"), ("conv_x", "conv x")]
)
def test_layers_and_classes_are_called_as_people_do(name: str, text: str) -> None:
    assert in_words(name) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [("roc_auc", "ROC-AUC"), ("f1/no_crack", "F1, no crack"), ("average_precision", "average precision")],
)
def test_scores_are_written_in_words(name: str, text: str) -> None:
    table = pd.DataFrame({"value": [0.9], "low": [0.8], "high": [0.95]}, index=[name])
    display = plots.ScoresDisplay.from_report(table)
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == [text]


# --- whole photographs ---------------------------------------------------------------------------------------------


def test_lines_lie_where_they_are_and_those_that_do_not_count_look_otherwise() -> None:
    image = np.zeros((60, 90, 3), np.uint8)
    lines = [(1, np.array([[5.0, 5.0], [40.0, 30.0]])), (2, np.array([[50.0, 50.0], [80.0, 10.0]]))]
    display = plots.LinesDisplay.from_lines(image, lines, counted={1}, mm_per_px=0.5, title="a wall")
    first, second, bar = display.ax_.lines
    assert first.get_xydata().tolist() == lines[0][1].tolist()
    assert second.get_color() == "white" and first.get_color() != "white"
    assert first.get_linewidth() > second.get_linewidth()
    assert {text.get_text() for text in display.ax_.texts} == {"1", "2", "5 mm"}
    assert np.ptp(bar.get_xdata()) == pytest.approx(10)  # 5 mm at half a millimetre a pixel
    every = plots.LinesDisplay.from_lines(image, lines)
    assert len(every.ax_.lines) == 2 and every.ax_.lines[1].get_color() != "white"
    with pytest.raises(CrackvizError, match=r"crack 3 has shape \(2, 3\)"):
        plots.LinesDisplay.from_lines(image, [(3, np.zeros((2, 3)))])
    with pytest.raises(CrackvizError, match="mm_per_px"):
        plots.LinesDisplay.from_lines(image, lines, mm_per_px=0)


def test_widths_are_counted_by_whether_their_interval_holds() -> None:
    true, told = np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.0, 5.0])
    display = plots.WidthsDisplay.from_intervals(true, told, told - 0.6, told + 0.5, unit="mm")
    assert display.ax_.get_title() == "2 of 3 intervals hold the truth (67%)"
    held, missed = (bars.lines[0].get_xydata() for bars in display.ax_.containers)
    assert held.tolist() == [[1.0, 1.5], [2.0, 2.0]] and missed.tolist() == [[3.0, 5.0]]
    assert "mm" in display.ax_.get_xlabel()
    with pytest.raises(CrackvizError, match="low has 2"):
        plots.WidthsDisplay.from_intervals(true, told, told[:2], told)
    with pytest.raises(CrackvizError, match="no width"):
        plots.WidthsDisplay.from_intervals([], [], [], [])


def test_risk_is_drawn_from_the_least_coverage_on() -> None:
    curve = pd.DataFrame({"coverage": [0.01, 0.5, 1.0], "risk": [1.0, 0.1, 0.2]})
    display = plots.RiskCoverageDisplay.from_curves({"by energy": curve, "by seeds": curve / 2})
    assert display.ax_.lines[0].get_xydata().tolist() == [[50, 10], [100, 20]]
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["by energy", "by seeds"]
    assert len(plots.RiskCoverageDisplay.from_curves({"a": curve}, least=0).ax_.lines[0].get_xdata()) == 3
    with pytest.raises(CrackvizError, match="least"):
        plots.RiskCoverageDisplay.from_curves({"a": curve}, least=2)


def test_a_figure_of_more_pictures_than_it_can_hold_is_refused_before_it_is_made() -> None:
    with pytest.raises(CrackvizError, match=r"1,0\d\d pictures in one figure: expected 1,000 at most.*n_images"):
        plots.AttributionDisplay.from_maps(np.repeat(IMAGES, 167, 0), np.repeat(MAPS, 167, 0))
    with pytest.raises(CrackvizError, match="expected 1,000 at most"):
        plots.ImagesDisplay.from_images(np.repeat(IMAGES, 400, 0))
    assert not plt.get_fignums()
