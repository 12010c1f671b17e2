"""Which class shows cracks: told by the names of folders, or asked, never guessed by the alphabet."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from crackviz import CrackvizError, data
from crackviz.data.classes import crack_of, is_part, meaning, role
from crackviz.series.hashes import Hashes

PAIRS = [  # the crack first
    *(
        ("cracked_images", "uncracked_images"),
        ("Cracked Wall", "Uncracked Wall"),
        ("crack_concrete", "no_crack_concrete"),
    ),
    *(
        ("defect", "no_defect"),
        ("NG", "OK"),
        ("NOK", "OK"),
        ("bad", "good"),
        ("damaged", "undamaged"),
        ("not ok", "ok"),
    ),
    *(("cracky", "noncracky"), ("Risse", "ohne_Risse"), ("Risse", "keine_Risse"), ("Riss", "rissfrei")),
    *(("fissure", "sans_fissure"), ("fissuré", "non fissuré"), ("grieta", "sin_grieta"), ("crepe", "senza crepe")),
    *(("rachadura", "sem_rachadura"), ("scheur", "geen_scheur"), ("spricka", "utan_spricka"), ("çatlak", "çatlaksız")),
    *(("beschädigt", "unbeschädigt"), ("mangelhaft", "mangelfrei"), ("n.i.O.", "i.O."), ("трещина", "без_трещины")),
    *(
        ("裂缝", "无裂缝"),
        ("ひび割れ", "ひび割れなし"),
        ("crack", "normal"),
        ("Cracks", "Non-Cracks"),
        ("crack", "intact"),
    ),
    *(("with_crack", "without_crack"), ("crack", "uncrack"), ("crack", "background"), ("crack", "crack-free")),
    *(
        ("crack", "spalling"),
        ("abnormal", "normal"),
        ("unhealthy", "healthy"),
        ("CrackedConcrete", "UncrackedConcrete"),
    ),
    *(("1", "0"), ("label_1", "label_0"), ("1_crack", "0_no_crack"), ("crack_positive", "crack_negative")),
    *(("yes", "no"), ("defects", "defectless"), ("fail", "pass"), ("moss", "no_moss"), ("moss", "mossfree")),
]
SILENT = [("spalling", "rust"), ("a", "b"), ("crack", "damage"), ("1", "2"), ("good", "intact"), ("wall", "floor")]
SILENT += [
    ("crack", "unlabeled"),
    *(("acceptable", "unacceptable"), ("go", "nogo"), ("go", "no_go"), ("conforme", "non_conforme")),
    *(("usable", "unusable"), ("approved", "not_approved")),
    ("no_crack", "unknown"),
    ("Risse", "unsortiert"),
    ("cracks", "Backup"),
    ("bad", "unclear"),
]


def put(path: Path, seed: int = 0, size: int = 20) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(path)
    return path


@pytest.mark.parametrize(("crack", "sound"), PAIRS)
def test_the_crack_gets_label_1_whatever_the_alphabet_says(tmp_path: Path, crack: str, sound: str) -> None:
    assert crack_of([crack, sound]) == crack_of([sound, crack]) == crack
    put(tmp_path / crack / "a.png")
    put(tmp_path / sound / "b.png", 1)
    table = data.index(tmp_path)
    assert dict(zip(table["path"].str[-5], table["label"], strict=True)) == {"a": 1, "b": 0}
    assert table.attrs["class_names"] == ("no_crack", "crack")


@pytest.mark.parametrize(("one", "two"), SILENT)
def test_where_names_do_not_say_it_is_asked_and_the_answer_counts(tmp_path: Path, one: str, two: str) -> None:
    put(tmp_path / one / "a.png")
    put(tmp_path / two / "b.png", 1)
    with pytest.raises(
        CrackvizError, match=r"which of them shows cracks.*crack_class=.*--crack-class.*parameters cell"
    ):
        data.index(tmp_path)
    for chosen, labels in ((one, {"a": 1, "b": 0}), (two.upper(), {"a": 0, "b": 1})):
        table = data.index(tmp_path, crack_class=chosen)
        assert dict(zip(table["path"].str[-5], table["label"], strict=True)) == labels
        assert table.attrs["class_names"] == ("no_crack", "crack")


@given(
    st.sampled_from(["no_", "not ", "non", "un", "without-", "ohne ", "sans_", "sin_"]), st.text("abcxyz", min_size=4)
)
def test_what_a_name_negates_is_never_the_crack(negation: str, name: str) -> None:
    assert crack_of([name, negation + name]) in (name, None)
    assert crack_of(["crack" + name, negation + "crack" + name]) == "crack" + name


def test_an_answer_overrules_the_names_and_serves_many_classes(tmp_path: Path) -> None:
    for name in ("train/wide/1.png", "train/hair/1.png", "train/none/1.png", "test set/none/2.png"):
        put(tmp_path / name)
    assert data.index(tmp_path).attrs["class_names"] == ("hair", "none", "wide"), "three classes: by the alphabet"
    for chosen in ("wide, hair", ["hair", "wide"]):
        assert list(data.index(tmp_path, crack_class=chosen)["label"]) == [0, 1, 0, 1]
    with pytest.raises(CrackvizError, match=r"no folder 'hairs'.*Did you mean hair\?.*Folders there"):
        data.index(tmp_path, crack_class="hairs")
    with pytest.raises(CrackvizError, match="no_crack: 0"):
        data.index(tmp_path, crack_class="hair,wide,none")
    put(tmp_path / "metu" / "Positive" / "1.png")
    put(tmp_path / "metu" / "Negative" / "2.png")
    assert list(data.index(tmp_path / "metu", crack_class="Negative")["label"]) == [1, 0]


def test_an_answer_is_part_of_what_a_split_was_made_from(tmp_path: Path) -> None:
    for i in range(16):
        put(tmp_path / "set" / ("red" if i % 2 else "blue") / f"{i}.png", i)
    with pytest.raises(CrackvizError, match="crack_class"):
        data.prepare(tmp_path / "set", tmp_path / "split.csv")
    one = data.prepare(tmp_path / "set", tmp_path / "split.csv", crack_class="red")
    other = data.prepare(tmp_path / "set", tmp_path / "split.csv", crack_class="blue")
    assert (one.set_index("path")["label"] == 1 - other.set_index("path")["label"]).all()


@pytest.mark.parametrize(
    "parts", [("train_set", "test_set"), ("Train Data", "Test Data"), ("dev", "holdout"), ("a", "b")]
)
def test_parts_and_places_are_looked_through(tmp_path: Path, parts: tuple[str, str]) -> None:
    for i, part in enumerate(parts):
        put(tmp_path / part / "fissure" / f"{i}.png", i)
        put(tmp_path / part / "sain" / f"{i}.png", i + 9)
    table = data.index(tmp_path)
    assert list(table["label"]) == [int("fissure" in path) for path in table["path"]]
    (tmp_path / parts[0] / "sain").rename(tmp_path / parts[0] / "roux")
    (tmp_path / parts[1] / "sain").rename(tmp_path / parts[1] / "roux")
    (tmp_path / parts[0] / "fissure").rename(tmp_path / parts[0] / "mousse")
    (tmp_path / parts[1] / "fissure").rename(tmp_path / parts[1] / "mousse")
    with pytest.raises(CrackvizError, match="two classes, mousse and roux"):
        data.index(tmp_path)


def test_a_place_that_lacks_one_class_is_no_class(tmp_path: Path) -> None:
    for name in ("hall/defect/1.png", "hall/good/2.png", "yard/defect/3.png", "roof/good/4.png"):
        put(tmp_path / name)
    assert list(data.index(tmp_path)["label"]) == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images", "labels"), ("JPEGImages", "SegmentationClass"), ("images/train", "masks/train"),
        ("train_img", "train_lab"), ("train/images", "train/gt"), ("Original Images", "Ground Truth"),
    ],
)  # fmt: skip
def test_folders_of_masks_are_no_classes(tmp_path: Path, images: str, masks: str) -> None:
    for i in range(3):
        put(tmp_path / images / f"{i}.jpg", i)
        put(tmp_path / masks / f"{i}.png", i)
    table = data.index(tmp_path)
    assert list(table["label"]) == [1, 1, 1]
    assert [Path(path).stem for path in table["mask"]] == [Path(path).stem for path in table["path"]]
    assert all(masks in path for path in table["mask"]) and all(images in path for path in table["path"])


def test_the_parts_of_deepcrack_keep_their_own_masks(tmp_path: Path) -> None:
    for part in ("train", "test"):
        put(tmp_path / f"{part}_img" / f"{part}1.jpg")
        put(tmp_path / f"{part}_lab" / f"{part}1.png")
    table = data.index(tmp_path)
    assert len(table) == 2 and all(Path(row.path).stem == Path(row.mask).stem for row in table.itertuples())


@pytest.mark.parametrize("mask", ["crack/{}_mask.png", "crack/{}-gt.png", "masks/{}.png", "crack_masks/{}.png"])
def test_masks_beside_cracked_pictures_are_not_pictures(tmp_path: Path, mask: str) -> None:
    for i in range(3):
        put(tmp_path / "crack" / f"{i}.jpg", i)
        put(tmp_path / mask.format(i), i)
        put(tmp_path / "no_crack" / f"s{i}.jpg", i + 9)
    table = data.index(tmp_path)
    assert table.groupby("label").size().to_dict() == {0: 3, 1: 3}
    assert (table["mask"] != "").tolist() == (table["label"] == 1).tolist()
    assert table["mask"].iloc[0] == str(tmp_path / mask.format(0))


def test_masks_without_pictures_are_named_and_refused(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / "images" / f"a{i}.jpg", i)
        put(tmp_path / "labels" / f"b{i}.png", i)
    with pytest.raises(CrackvizError, match=r"(?s)images/a0.jpg: no masks of this name"):
        data.index(tmp_path)


@pytest.mark.parametrize(("suffix", "named"), [(".HEIC", ".HEIC"), ("", "no suffix"), (".dng", ".dng")])
def test_files_of_other_kinds_are_counted(tmp_path: Path, suffix: str, named: str) -> None:
    for name in ("crack", "no_crack"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"1{suffix}").write_bytes(b"x")
    with pytest.raises(CrackvizError, match=rf"2 files are no pictures that can be read \({named}\): save them as"):
        data.index(tmp_path)


def test_words_of_parts_and_roles() -> None:
    assert all(is_part(name) for name in ("train", "Test Set", "VALIDATION", "val2017", "hold_out"))
    assert not any(is_part(name) for name in ("testimony", "crack", "trainee", "wall", "1"))
    of = {"imgs": "images", "GT": "masks", "label_0": "", "crack_masks": "masks", "label_crack": "", "labels": "masks"}
    assert {name: role(name) for name in of} == of
    assert meaning("Concrete") is None and meaning("no crack images") == 0


def test_synthetic_concrete_needs_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from crackviz import synthetic

    small = synthetic.dataset(synthetic.Settings(patches=8, image_size=48, crack_width=(2, 8)))
    monkeypatch.setattr(synthetic, "dataset", lambda settings: small)
    for answer in ({"crack_class": "crack"}, {"groups": "folder:1"}):
        with pytest.raises(CrackvizError, match="knows its classes and photographs"):
            data.index(**answer)


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir", "$RECYCLE.BIN", "#recycle", "lost+found", "__pycache__", "__MACOSX", ".thumbnails", ".@__thumb"),
        *("thumbs", "Thumb", "thumbnails", "_Thumbnails_128", "previews"),
    ],
)
def test_folders_that_no_person_made_are_no_classes_and_hold_no_pictures(tmp_path: Path, name: str) -> None:
    for number, folder in enumerate(("crack", "no_crack", name, f"crack/{name}/a.jpg")):
        put(tmp_path / folder / "a.png", number)
    with pytest.warns(UserWarning, match=re.escape(f"{name}', ") + ".* are left out: .*rename the folder"):
        table = data.index(tmp_path)
    assert len(table) == 2 and table.attrs["class_names"] == ("no_crack", "crack")


def test_a_folder_without_pictures_is_passed_over_in_silence(tmp_path: Path) -> None:
    for number, folder in enumerate(("crack", "no_crack", ".cache", "thumbs")):
        put(tmp_path / folder / "a.png", number)
    (tmp_path / "thumbs" / "a.png").rename(tmp_path / "thumbs" / "Thumbs.db")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(data.index(tmp_path)) == 2


@pytest.mark.parametrize("name", ["thumb_prints", "crack_preview_1 (left)", "system"])
def test_other_names_are_names(tmp_path: Path, name: str) -> None:
    for number, folder in enumerate(("crack", "no_crack", f"crack/{name}")):
        put(tmp_path / folder / "a.png", number)
    assert len(data.index(tmp_path)) == 3


def test_what_is_passed_over_makes_no_run_stale(tmp_path: Path) -> None:
    put(tmp_path / "crack" / "a.png", 0)
    before = Hashes().data(str(tmp_path))
    put(tmp_path / "crack" / "@eaDir" / "a.png", 1)
    put(tmp_path / "thumbs" / "a.png", 1)
    (tmp_path / "crack" / "Thumbs.db").write_bytes(b"x")
    assert Hashes().data(str(tmp_path)) == before
    put(tmp_path / "crack" / "b.png", 1)
    assert Hashes().data(str(tmp_path)) != before


@pytest.mark.parametrize("wrong", [{"crack_class": 1}, {"crack_class": ["a", None]}, {"groups": 1}, {"groups": True}])
def test_an_answer_is_a_text(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(CrackvizError, match="crack_class and groups are texts"):
        data.index(tmp_path, **wrong)


def test_pictures_come_as_a_table() -> None:
    with pytest.raises(CrackvizError, match=r"table with the column path.*found ndarray"):
        data.pipeline(np.zeros((2, 32, 32, 3), np.float32), 32)  # type: ignore[arg-type]


@pytest.mark.parametrize("turned", [False, True])
def test_masks_the_other_way_round_are_asked_about(tmp_path: Path, turned: bool) -> None:
    for number in range(4):
        put(tmp_path / "images" / f"{number}.png", number)
        mask = np.zeros((20, 20), np.uint8)
        mask[9:11] = 255
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(255 - mask if turned else mask).save(tmp_path / "masks" / f"{number}.png")
    with warnings.catch_warnings(record=True) as given_:
        warnings.simplefilter("always")
        data.scan(data.index(tmp_path))
    assert any("The masks call 90% of their pictures crack" in str(one.message) for one in given_) == turned
