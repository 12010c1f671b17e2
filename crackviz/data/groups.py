"""Groups: which pictures show the same place, and must therefore lie in the same part of a split."""

from __future__ import annotations

import re
import warnings
from pathlib import Path, PurePath

import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_number

_TILE = re.compile(
    r"(?P<photo>.+?)[ _.-]*(?:"
    r"(?:tile|patch|crop|window|cell|piece|kachel|tuile)s?[ _.-]*\d+(?:[ _.x-]+\d+)*"
    r"|(?:r|row)[ _]?\d+[ _.-]*(?:c|col|column)[ _]?\d+"
    r"|(?:x|left)[ _]?\d+[ _.-]*(?:y|top)[ _]?\d+"
    r"|(?:y|top)[ _]?\d+[ _.-]*(?:x|left)[ _]?\d+"
    r"|_(?:jpe?g|png|bmp|tiff?|webp)\.rf\.\w+)",  # Roboflow's copies of one picture
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?P<photo>\d+)-\d+")
_PLACE = re.compile(
    r"(wall|wand|mur|muro|photo|foto|bild|img|image|picture|pic|dsc[nf]?|slab|panel|beam|column|pier|specimen|site|bridge)"
    r"[ _.-]?\d+",
    re.IGNORECASE,
)
FEWEST = 3
"""Groups that each class must have for a pattern to be taken without being asked for: fewer can't be split."""


def assign(table: pd.DataFrame, root: Path, groups: str = "") -> pd.DataFrame:
    """Return the table with its column group as `groups` says; see `crackviz.data.index`.

    Without `groups`, names that can't mean anything else are understood (``wall12_tile3``, ``IMG_7_r2_c3``,
    SDNET2018's ``7069-12``, classes within folders called wall1, wall2, …), and a warning is given where many names
    look alike and nothing tells the photographs.
    """
    if groups:
        return table.assign(group=_asked(table, root, groups))
    if set(table["source"]) <= {"folders", "image+mask"}:
        for pattern in (_TILE, _NUMBERED):
            found = [pattern.fullmatch(Path(path).stem) for path in table["path"]]
            if not all(found):
                continue
            photos = [
                PurePath(place, match["photo"]).as_posix()
                for place, match in zip(table["place"], found, strict=True)
                if match
            ]
            if _useful(table, photos):
                return table.assign(group=photos)
        if _are_photographs(table["place"]) and _useful(table, table["place"].tolist()):
            return table.assign(group=table["place"])
        _warn(table)
    return table


def _are_photographs(places: pd.Series) -> bool:
    """Whether the folders that the classes lie in have one name and numbers, as wall1, wall2, …: a place each."""
    found = [_PLACE.fullmatch(PurePath(place).name) for place in places.unique()]
    return all(found) and len({match[1].casefold() for match in found if match}) == 1


def _useful(table: pd.DataFrame, photos: list[str]) -> bool:
    """Whether several pictures share a photograph, and every class has photographs enough for a split."""
    per_class = pd.Series(photos).groupby(table["label"].to_numpy()).nunique()
    return len(set(photos)) < len(table) and int(per_class.min()) >= FEWEST


def _warn(table: pd.DataFrame) -> None:
    """Warn where names or folders look as if several pictures came from one photograph."""
    stems = [re.sub(r"[\W_]*\d+[\W_]*$", "", Path(path).stem) for path in table["path"]]
    shared = [
        PurePath(place, stem).as_posix()
        for place, stem in zip(table["place"], stems, strict=True)
        if re.search(r"\d", stem)
    ]
    sizes = pd.Series(shared, dtype=str).value_counts()
    sizes = sizes[sizes > 1]
    places = table["place"][table["place"] != ""]
    how = "Where each is a photograph, its tiles lie in training and test at once, and the scores are too good. "
    if len(sizes) > 1 and sizes.sum() > len(table) / 2 and sizes.mean() >= 3:
        names = ", ".join(Path(name).name for name in sizes.index[:3])
        warnings.warn(
            f"{sizes.sum():,} of {len(table):,} file names share {len(sizes):,} beginnings ({names}, …), and each "
            f"picture counts as a group of its own. {how}Say so by groups: a regular expression such as "
            r'groups=r"(.+)_\d+", a level of folders ("folder:1"), or a CSV file.',
            stacklevel=4,
        )
    elif places.nunique() > 2 and len(places) > len(table) / 2:
        names = ", ".join(sorted(places.unique())[:3])
        warnings.warn(
            f"The classes lie in {places.nunique():,} folders ({names}, …), and each picture counts as a group of its "
            f'own. {how}Say so by groups="folder:1", the first level of folders, or a CSV file.',
            stacklevel=4,
        )


def _asked(table: pd.DataFrame, root: Path, groups: str) -> list[str]:
    relative = [Path(path).relative_to(root).as_posix() for path in table["path"]]
    if groups.lower().endswith(".csv"):
        return _from_csv(relative, Path(groups).expanduser())
    if groups == "each":
        return [PurePath(path).with_suffix("").as_posix() for path in relative]
    if level := re.fullmatch(r"folder:(\d+)", groups):
        level_number = check_number("groups' level of folders", int(level[1]), 1, whole=True)
        return _from_folder(relative, table["place"], level_number)
    try:
        pattern = re.compile(groups)
    except re.error as error:
        raise CrackvizError(
            f"groups={groups!r} is no regular expression ({error}); expected one, such as (.+)_tile, or folder:1, or "
            "the name of a CSV file."
        ) from error
    # Without its class: the photograph wall7 in crack/wall7_1.jpg and no_crack/wall7_2.jpg is one.
    bare = [
        PurePath(place, PurePath(path).name).as_posix() for place, path in zip(table["place"], relative, strict=True)
    ]
    found = [pattern.search(path) for path in bare]
    missing = [path for path, match in zip(bare, found, strict=True) if match is None]
    if missing:
        raise CrackvizError(
            f"groups={groups!r} is found in {len(relative) - len(missing):,} of {len(relative):,} names, but not in "
            f"{missing[0]!r}. It is searched in each path below {root}, less the folders of class and part; what its "
            "brackets hold names the photograph."
        )
    return ["/".join(match.groups("") or (match[0],)) for match in found if match]


def _from_folder(relative: list[str], places: pd.Series, level: int) -> list[str]:
    above = [PurePath(path).parts[:-1] for path in relative]
    kept = [
        [name for name in parts[:level] if name in place.split("/")] if len(parts) >= level else []
        for parts, place in zip(above, places, strict=True)
    ]
    wrong = [
        path
        for path, parts, names in zip(relative, above, kept, strict=True)
        if len(parts) < level or parts[level - 1] not in names
    ]
    if wrong:
        raise CrackvizError(
            f"groups='folder:{level}' means the folder at level {level} below the data set. For {len(wrong):,} of "
            f"{len(relative):,} pictures there is none, or it names their class or part, as for {wrong[0]!r}. Choose "
            "another level, a regular expression, or a CSV file."
        )
    return ["/".join(names) for names in kept]


def _from_csv(relative: list[str], path: Path) -> list[str]:
    try:
        listed = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise CrackvizError(f"groups={str(path)!r} can't be read as a CSV file ({error}).") from error
    if not {"path", "group"} <= set(listed.columns):
        raise CrackvizError(
            f"{path} has the columns {', '.join(map(str, listed.columns))[:200]}; expected path (below the data set, "
            "or the file's name) and group."
        )
    names = listed["path"].str.replace("\\", "/")
    if (listed["group"] == "").any() or listed.groupby(names)["group"].nunique().max() > 1:
        raise CrackvizError(f"{path} names a picture without a group, or with two. Give each one group.")
    group_of = dict(zip(names, listed["group"], strict=True))
    known = [group_of.get(name, group_of.get(PurePath(name).name)) for name in relative]
    missing = [name for name, group in zip(relative, known, strict=True) if group is None]
    if missing:
        raise CrackvizError(
            f"{path} names the groups of {len(relative) - len(missing):,} of {len(relative):,} pictures, but not of "
            f"{missing[0]!r}. Add a row for each, by its path below the data set or its file's name."
        )
    return [str(group) for group in known]
