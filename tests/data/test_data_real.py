"""The real sets, where they are (the environment variable CRACKVIZ_DATA names the folder that holds them)."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from crackviz import CrackvizError, data


def part(real_data: Path, name: str) -> Path:
    if not (real_data / name).is_dir():
        pytest.skip(f"no {name} in {real_data}")
    return real_data / name


@pytest.fixture(scope="module")
def metu(real_data: Path) -> pd.DataFrame:
    return data.scan(data.index(part(real_data, "metu")))


def pairs_within(groups: pd.Series) -> set[tuple[int, int]]:
    return {pair for rows in groups.groupby(groups).indices.values() for pair in combinations(sorted(rows), 2)}


@pytest.mark.slow
def test_metus_near_duplicates_are_those_of_the_manifest(metu: pd.DataFrame, real_data: Path) -> None:
    manifest = pd.read_csv(real_data / "metu" / "manifest.csv").set_index("path")["near_duplicate_group"]
    names = [Path(path).relative_to(real_data / "metu").as_posix() for path in metu["path"]]
    assert len(metu) == len(manifest) and not metu.attrs["skipped"]
    assert pairs_within(metu["group"]) == pairs_within(manifest[names].reset_index(drop=True))
    assert metu["label"].value_counts().to_dict() == {0: 4000, 1: 4000}
    assert metu.groupby("group")["label"].nunique().max() == 1, "groups never cross the classes"


@pytest.mark.slow
def test_a_random_split_of_metu_leaks_and_a_grouped_one_does_not(metu: pd.DataFrame) -> None:
    done = data.split(metu, seed=1)
    shares = done["split"].value_counts(normalize=True)
    assert abs(shares["test"] - 0.15) < 0.01 and abs(shares["validation"] - 0.15) < 0.01
    assert np.allclose(done.groupby("split")["label"].mean(), 0.5, atol=0.005)
    with pytest.raises(CrackvizError, match="leaks"):
        data.check_split(data.split(metu, seed=1, grouped=False))


def test_sdnets_photographs_stay_together(real_data: Path) -> None:
    table = data.index(part(real_data, "sdnet2018_walls"))
    assert table["label"].value_counts().to_dict() == {0: 2518, 1: 506}
    assert set(table["source"]) == {"sdnet2018"} and table["group"].nunique() == 12
    reasons = {entry["reason"] for entry in table.attrs["skipped"]}
    assert reasons == {"in no class folder", "not a picture"}, "the whole photographs and their table"
    for seed in range(5):
        done = data.split(table, seed=seed)
        data.check_split(done)
        assert done.groupby("split")["label"].nunique().eq(2).all() and set(done["split"]) == set(data.SPLITS)


def test_deepcracks_masks_fit_its_pictures(real_data: Path) -> None:
    table = data.index(part(real_data, "deepcrack"))
    assert len(table) == 300 and set(table["label"]) == {1} and not table.attrs["skipped"]
    assert all(Path(p).stem == Path(m).stem for p, m in zip(table["path"], table["mask"], strict=True))
    scanned = data.scan(table[:40], near_duplicates=False)
    assert len(scanned) == 40
    masks = data.load_masks(table["mask"], 256)
    assert 0.02 < np.median(masks.mean(axis=(1, 2))) < 0.04, "its README says 2.4-3.4 %"
    half = data.load_masks(table["mask"], 128)
    assert abs(half.mean() / masks.mean() - 1) < 0.05, "resizing keeps the share of crack"


def test_the_whole_folder_at_once(real_data: Path) -> None:
    for name in ("metu", "sdnet2018_walls", "deepcrack"):
        part(real_data, name)
    table = data.index(real_data)
    assert table["source"].value_counts().to_dict() == {"metu": 8000, "sdnet2018": 3024, "image+mask": 300}
    assert table.attrs["class_names"] == ("no_crack", "crack")
