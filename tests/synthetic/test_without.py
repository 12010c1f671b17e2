"""A patch without one of its objects: all else is the same, byte for byte, and the object's place is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crackviz import CrackvizError, synthetic
from crackviz.synthetic import Settings, patch, patches, photograph, rendering, without
from crackviz.synthetic.noise import Window


def shown(made: synthetic.Patch) -> list[str]:
    return [*(["crack"] if made.mask.any() else []), *sorted(made.distractors)]


def check(number: int, kind: str, of: Settings, planted: bool | None = None) -> None:
    """Hold a counterpart against the patch that has the object."""
    made, less = patch(number, of, planted=planted), without(number, kind, of, planted=planted)
    differs = (less.patch.image != made.image).any(axis=2)
    assert not (differs & ~less.touched).any(), "what the object doesn't reach is the same, byte for byte"
    assert np.array_equal(less.where, made.mask if kind == "crack" else made.distractors[kind])
    assert not (less.where & ~less.touched).any()
    assert (less.patch.photo, less.patch.position) == (made.photo, made.position)
    assert less.patch.label == (0 if kind == "crack" else made.label)
    assert kind not in shown(less.patch)
    for name, there in made.distractors.items():
        assert name == kind or np.array_equal(less.patch.distractors[name], there)
    if kind == "crack":
        assert not less.patch.mask.any() and not less.patch.centreline.any()
    else:
        assert not (made.mask & ~less.patch.mask).any(), "what was hidden may come to light, nothing goes"
        assert not ((less.patch.mask ^ made.mask) & ~less.touched).any()


@given(
    number=st.integers(0, 4000),
    pick=st.integers(0, 20),
    seed=st.integers(0, 3),
    size=st.sampled_from([48, 100, 128]),
    shortcut=st.sampled_from(["", *synthetic.SHORTCUTS]),
)
@settings(max_examples=60, deadline=None)
def test_taking_away_changes_nothing_else(number: int, pick: int, seed: int, size: int, shortcut: str) -> None:
    of = Settings(seed=seed, image_size=size, crack_width=(1.6, 8.0), distractor_rate=0.8, shortcut=shortcut)
    kinds = shown(patch(number, of))
    assume(kinds)
    check(number, kinds[pick % len(kinds)], of)


@pytest.mark.parametrize("shortcut", synthetic.SHORTCUTS)
def test_a_planted_shortcut_goes_as_if_it_had_not_been_planted(shortcut: str) -> None:
    of = Settings(shortcut=shortcut, distractor_rate=0)
    name = "chalk_mark" if shortcut == "chalk_line" else shortcut
    less = without(7, name, of, planted=True)
    assert less.patch.jpeg == patch(7, of, planted=False).jpeg
    check(7, name, of, planted=True)
    check(7, "crack", of, planted=True)


def test_a_wall_that_was_never_cracked_looks_the_same() -> None:
    """The other way to the same picture: the cracks' layers out of the scene, and the photograph taken anew."""
    of = Settings()
    for number in (1, 3, 9):
        made = patch(number, of)
        wall = patches._scene(of, made.photo, of.photo_size)
        assert {layer.kind for layer in wall.layers if layer.owner == "crack"} >= {"crack"}
        sound = replace(wall, layers=tuple(layer for layer in wall.layers if layer.owner != "crack"))
        place = Window(*made.position, of.image_size, of.image_size)
        bare = rendering.render(sound, place).image
        assert np.array_equal(bare, rendering.render(wall, place, without="crack").image)
        assert not np.array_equal(bare, rendering.render(wall, place).image)


def test_every_layer_belongs_to_something_or_to_the_wall() -> None:
    of = Settings(distractor_rate=1.0)
    for photo in range(12):
        for layer in patches._scene(of, photo, of.photo_size).layers:
            if layer.kind in ("pores", "specks"):
                assert layer.owner == ""
            elif layer.owner == "crack":
                assert layer.kind in ("crack", "shade", "rim", "wall", "dust", "spall")
            else:
                assert layer.owner == layer.kind in synthetic.DISTRACTORS


def test_the_crack_is_what_makes_its_pixels_dark() -> None:
    lighter = []
    for number in range(1, 81, 2):
        made, less = patch(number, Settings(distractor_rate=0)), without(number, "crack", Settings(distractor_rate=0))
        lighter.append(less.patch.image[less.where].mean() - made.image[less.where].mean())
    assert np.mean(np.array(lighter) > 0) > 0.95
    assert np.median(lighter) > 20


def test_little_more_than_the_object_is_touched() -> None:
    shares = [without(number, "crack", Settings(distractor_rate=0)).touched.mean() for number in range(1, 61, 2)]
    assert np.median(shares) < 0.6, "a claim about the rest needs a rest"


@pytest.mark.parametrize(("number", "kind"), [(0, "crack"), (1, "cable"), (0, "date_stamp")])
def test_what_is_not_there_cannot_be_taken_away(number: int, kind: str) -> None:
    there = shown(patch(number))
    assert kind not in there
    with pytest.raises(CrackvizError, match=f"Patch {number} shows no {kind}.*{there[0] if there else 'a bare wall'}"):
        without(number, kind)


def test_a_wrong_name_is_met_with_the_right_one() -> None:
    with pytest.raises(CrackvizError, match=r"kind is 'cracks'.*crack"):
        without(1, "cracks")
    with pytest.raises(CrackvizError, match="number"):
        without(-1, "crack")
    with pytest.raises(CrackvizError, match="planted is True"):
        without(1, "crack", planted=True)


def test_a_whole_photograph_is_none_of_its_business() -> None:
    """Leaving something out in one picture must not reach into the next, which shares its scene."""
    before = photograph(0, Settings(image_size=48, crack_width=(1.6, 8))).jpeg
    without(1, "crack", Settings(image_size=48, crack_width=(1.6, 8)))
    assert photograph(0, Settings(image_size=48, crack_width=(1.6, 8))).jpeg == before
