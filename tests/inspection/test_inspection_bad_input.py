"""What people hand to an inspection by mistake: each gets a sentence, none a wrong answer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tifffile
from keras import layers as L
from PIL import Image

from crackviz import CrackvizError, files, inspection, models, synthetic
from crackviz.inspection import command, inspecting, several


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walls") / "wall.png"
    Image.fromarray(synthetic.photograph(4, size=(256, 192)).image).save(path)
    return path


def network(*first: Any, end: Any = None, name: str = "out") -> keras.Model:
    """Return a network with a map of sigmoids, one a pixel, that adds up to its logit."""
    x = inputs = keras.Input((None, None, 3))
    for layer in first:
        x = layer(x)
    x = L.Activation("sigmoid")(L.Conv2D(1, 3, padding="same", kernel_initializer="ones")(x))
    end = end or L.Dense(1, activation="sigmoid", name=name, kernel_initializer="ones")
    return keras.Model(inputs, end(L.GlobalAveragePooling2D()(x)))


# --- numbers and choices ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ruler", ["1,000 px = 50 mm", "1.000 px = 50 mm", "800 px = 1.000 m", "12,345 px = 1 m"])
def test_a_number_that_may_be_thousands_or_a_decimal_is_asked_for(ruler: str) -> None:
    with pytest.raises(CrackvizError, match="may be thousands or a decimal"):
        command.scale_of(ruler)


def test_decimals_that_are_plain_are_read() -> None:
    assert command.scale_of("812,5 px = 0.125 m") == pytest.approx(125 / 812.5)
    assert command.scale_of("1000,0 px = 1,5 cm") == pytest.approx(0.015)
    with pytest.raises(CrackvizError, match="expected px and a length"):
        command.scale_of("٨١٢ px = 50 mm")


@pytest.mark.parametrize("scale", [1e-300, 1e300, 10**400, True, np.nan, "0.2"])
def test_a_scale_that_is_none(photo: Path, tmp_path: Path, scale: Any) -> None:
    with pytest.raises(CrackvizError, match=r"mm_per_px is .*expected a number from 1e-06 to 1,000,000"):
        inspection.inspect(photo, scale)
    with pytest.raises(CrackvizError, match="mm_per_px is"):
        inspection.inspect_several([photo], tmp_path / "out", scale)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1, "a", True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [(inspection.Limits, "dark"), (inspection.Limits, "unlike"), (inspection.Limits, "border"),
     (inspection.Errors, "scale"), (inspection.Errors, "measured_share")],
)  # fmt: skip
def test_limits_and_errors_are_numbers(kind: Any, name: str, value: Any) -> None:
    with pytest.raises(CrackvizError, match=f"{name} is"):
        kind(**{name: value})


def test_a_weak_limit_above_the_strong_one_is_refused() -> None:
    with pytest.raises(CrackvizError, match=r"strong, 0\.1, which then counts for nothing"):
        inspection.Rules(strong=0.1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"classes": None}, "classes is None"),
        ({"classes": [0.1234567891, 0.1234567892]}, "widths in mm that rise"),
        ({"rules": {"weak": 0.1}}, r"rules is .*expected Rules\("),
        ({"limits": None}, r"limits is None; expected Limits\("),
        ({"errors": 3}, r"errors is 3; expected Errors\("),
    ],
)
def test_choices_of_other_kinds(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(CrackvizError, match=said):
        inspection.Choices(**wrong)


def test_choices_are_choices_and_one_limit_is_two_classes(photo: Path) -> None:
    assert inspection.Choices(classes=0.3).names == ["under 0.3 mm", "over 0.3 mm"]  # type: ignore[arg-type]
    with pytest.raises(CrackvizError, match="expected Choices"):
        inspection.inspect(photo, choices={"prevalence": 0.1})  # type: ignore[arg-type]


def test_a_width_that_matters_needs_a_scale(photo: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"network": "trace_cnn", "threshold": None, "tell": print, "prevalence": None}
    with pytest.raises(CrackvizError, match="without a scale") as error:
        command.inspect_photographs([str(photo)], str(tmp_path), None, "", limit_mm=0.1, **options)
    assert error.value.argument == "limit-mm"


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, "", 3, b"x"])
def test_what_names_no_network(photo: Path, tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(CrackvizError, match="expected a shipped one, such as trace_cnn"):
        inspection.inspect(photo, network=wrong)
    with pytest.raises(CrackvizError, match="expected a shipped one"):
        inspection.inspect_several([photo], tmp_path / "out", network=wrong)
    assert not (tmp_path / "out").exists()  # and nothing is begun


def test_a_network_that_would_answer_nonsense_is_refused(photo: Path) -> None:
    broken = network()
    broken.layers[1].kernel.assign(np.full(broken.layers[1].kernel.shape, np.nan))
    with pytest.raises(CrackvizError, match="NaN or infinite"):
        inspection.inspect(photo, network=broken)
    with pytest.raises(CrackvizError, match="from 0 to 255"):
        inspection.inspect(photo, network=network(L.Rescaling(1 / 255)))
    against = network(end=L.Dense(1, activation="sigmoid", kernel_initializer=keras.initializers.Constant(-1)))
    with pytest.raises(CrackvizError, match="can speak for a crack"):
        inspection.inspect(photo, network=against)
    x = keras.Input((None, None, 3))
    with pytest.raises(CrackvizError, match=r"1 inputs and 2 outputs.*keras\.Model"):
        inspection.inspect(photo, network=keras.Model(x, [network()(x), network()(x)]))


def test_every_end_of_two_classes_is_taken(photo: Path) -> None:
    one = inspection.inspect(photo, network=network())
    kernel = keras.initializers.Constant(np.array([[0.0, 1.0]]))
    two = inspection.inspect(photo, network=network(end=L.Dense(2, activation="softmax", kernel_initializer=kernel)))
    assert one.full == two.full == 1 and np.array_equal(one.map, two.map)
    assert two.windows["logit"].equals(one.windows["logit"])


def test_a_network_that_was_trained_anew_is_not_the_old_one(photo: Path, tmp_path: Path) -> None:
    """A run folder, or a file, holds another network than before: neither its maps nor its pages are the old ones."""
    run, said = tmp_path / "run", []
    for weight in (1.0, 2.0):
        models.save(
            network(end=L.Dense(1, activation="sigmoid", kernel_initializer=keras.initializers.Constant(weight))), run
        )
        for name in (str(run), str(run / "model.keras")):
            assert inspection.inspect(photo, network=name).full == weight
        inspection.inspect_several([photo], tmp_path / "out", network=str(run), tell=said.append)
    inspection.inspect_several([photo], tmp_path / "out", network=str(run), tell=said.append)
    assert ["left as it is" in line for line in said if line.startswith("wall.png")] == [False, False, True]


def test_the_shipped_network_is_known_by_its_weights(photo: Path) -> None:
    assert inspection.inspect(photo, network=models.load_pretrained("trace_cnn")).note == ""
    changed = models.load_pretrained("trace_cnn")
    changed.layers[-2].bias.assign(changed.layers[-2].bias + 1)
    assert "most cracks may be missed" in inspection.inspect(photo, network=changed).note


# --- photographs and folders ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 3, np.zeros((200, 200, 3)), "a\0b", "x" * 5000, "s3://bucket/wall.jpg"])
def test_what_names_no_photograph(wrong: Any) -> None:
    with pytest.raises(CrackvizError, match="The photograph is"):
        inspection.inspect(wrong)


@pytest.mark.parametrize("tile", [None, (128, 128)])
def test_a_damaged_strip_is_named_and_stops_no_other_photograph(photo: Path, tmp_path: Path, tile: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
    damaged = tmp_path / "damaged.tif"
    tifffile.imwrite(damaged, noise, compression="zlib", tile=tile, rowsperstrip=None if tile else 32)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    damaged.write_bytes(content)
    assert inspection.Photograph(damaged).in_stripes
    errors = inspection.inspect_several([damaged, photo], tmp_path / "out", tell=lambda line: None)
    assert "rows 0 to 128 are damaged" in errors[damaged] and errors[photo] == ""


def test_each_photograph_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Two photographs in one folder: the first one's page would be lost. None lies outside."""
    names = ["a/w.jpg", "b/w.png", "c/w-2.jpg", "W.tif", "index.html.jpg", "...jpg", ".lock.jpg", "w .jpg", "w-2-2.png"]
    folders = several._folders([Path(name) for name in names], tmp_path)
    assert len({folder.name.casefold() for folder in folders}) == len(names)
    assert [folder.name for folder in folders[:3]] == ["w", "w-2", "w-2-2"]
    assert all(
        folder.parent == tmp_path and folder.name not in (".", "..", "index.html", ".lock") for folder in folders
    )


def test_photographs_of_one_name_in_several_calls_overwrite_nothing(photo: Path, tmp_path: Path) -> None:
    paths = [tmp_path / place / "wall.png" for place in ("east", "west")]
    for path in paths:
        path.parent.mkdir()
    paths[0].write_bytes(photo.read_bytes())
    Image.fromarray(synthetic.photograph(5, size=(256, 160)).image).save(paths[1])
    out, said = tmp_path / "out", list[str]()

    def heights() -> dict[str, int]:
        return {p.parent.name: files.read_json(p)["height"] for p in sorted(out.glob("*/inspection.json"))}

    for path in paths:
        inspection.inspect_several(path, out, tell=said.append)
    assert heights() == {"wall": 192, "wall-2": 160}
    page = (out / "index.html").read_text()
    assert "wall/index.html" in page and "wall-2/index.html" in page, "the page of all holds all"
    for path in (*paths, [*paths], paths[::-1]):
        inspection.inspect_several(path, out, tell=said.append)
    assert all("left as it is" in line for line in said[2:]) and len(said) == 8, "each has kept its folder"
    moved = tmp_path / "wall.png"
    paths[0].rename(moved)
    inspection.inspect_several(moved, out, tell=said.append)
    assert "left as it is" in said[-1], "the same photograph, moved"
    Image.fromarray(synthetic.photograph(6, size=(256, 144)).image).save(paths[1])
    inspection.inspect_several(paths[1], out, tell=said.append)
    assert heights()["wall-2"] == 144 and len(heights()) == 2, "edited in its place: done anew"


def test_hidden_files_are_no_photographs_and_one_path_is_one(photo: Path, tmp_path: Path) -> None:
    for name in ("._wall.jpg", ".trashed.png", "wall.jpg"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    assert several.photographs([tmp_path]) == several.photographs(str(tmp_path)) == [tmp_path / "wall.jpg"]
    beside = Path(os.path.relpath(tmp_path / "wall.jpg"))
    assert len(several.photographs([beside, tmp_path / "wall.jpg", tmp_path])) == 1


def test_a_place_that_cannot_be_written_is_named(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match="out is 's3://bucket/walls'; no path on this machine"):
        inspection.inspect_several([photo], "s3://bucket/walls")
    (tmp_path / "wall").write_text("a file")
    errors = inspection.inspect_several([photo], tmp_path, tell=lambda line: None)
    assert "Cannot read" in errors[photo]
    with pytest.raises(CrackvizError, match="Cannot make the folder"):
        files.make_folder(tmp_path / "wall" / "below a file")


def test_an_inspection_says_what_it_is_in_a_line(photo: Path) -> None:
    said = repr(inspection.inspect(photo, 0.2))
    assert said.startswith("<Inspection of wall.png: ") and len(said) < 250 and str(photo.parent) not in said


def test_the_largest_value_of_a_map_is_known_from_a_convolution_s_own_sigmoid() -> None:
    inputs = keras.Input((None, None, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(1, 3, padding="same", activation="sigmoid")(inputs))
    model = keras.Model(inputs, L.Dense(1, activation="sigmoid", kernel_initializer="ones")(x))
    assert inspecting.largest(inspection.Mapper(model)) == 1


def test_a_name_that_is_no_text_has_its_page(photo: Path, tmp_path: Path) -> None:
    odd = [tmp_path / os.fsdecode(name) for name in (b"bad\xff.png", b"line\nbreak.png", b"a #1.png")]
    for path in odd:
        path.write_bytes(photo.read_bytes())
    errors = inspection.inspect_several(odd, tmp_path / "out", tell=lambda line: None)
    assert not any(errors.values())
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    for folder in ("bad_", "line_break", "a%20%231"):
        assert f'href="{folder}/index.html"' in page
