"""How data sets of cracks lie on disks: which file is a picture, what its folders say about it.

Only names are looked at here. `crackviz.data.index` is the way in.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES

TREE = """\
    folder/
      Positive/   *.jpg   pictures with a crack     (or: crack, cracked, SDNET2018's CD, CP, CW)
      Negative/   *.jpg   pictures without a crack  (or: no_crack, uncracked, UD, UP, UW)"""
METU = f"""\
Without pictures of your own, name none: crackviz then makes synthetic concrete. The usual real set is METU's
"Concrete Crack Images for Classification" (40,000 patches, CC BY 4.0): Mendeley Data 5y9wdsg2zt
(https://data.mendeley.com/datasets/5y9wdsg2zt), or Kaggle arunrk7/surface-crack-detection.
Unpack it so that the folder looks like this
{TREE}
and name it: data.index("folder") in Python, data = "folder" in a notebook's parameters cell; the
command and make take it by the same name."""
_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"}
_NO_CRACK = {"negative", "neg", "uncracked", "nocrack", "nocracks", "noncrack", "noncracked", "notcracked"}
_CRACK = {"positive", "pos", "cracked", "crack", "cracks", "withcrack", "withcracks"}
_SPLIT_FOLDERS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_IMAGE_FOLDERS = {"image", "images", "img", "imgs"}
_MASK_FOLDERS = {"mask", "masks", "gt", "groundtruth", "ground_truth", "annotation", "annotations"}
Parts = tuple[str, ...]
Folders = dict[Parts, list[PurePath]]
Skipped = list[dict[str, str]]
Rows = list[dict[str, Any]]


def find(root: Path) -> tuple[Rows, tuple[str, ...], Skipped]:
    """Rows of path, label, group, source and mask (paths relative to root), class names, and files left out."""
    folders, skipped = _walk(root)
    rows = _pair_masks(folders, skipped)
    labelled, names, problem = _label(folders, skipped)
    if problem and not rows:  # an image+mask set may hold no class folder
        found = ", ".join("/".join(p) or "the folder itself" for p in folders if folders[p]) or "nowhere"
        left_out = "".join(f"\n    {entry['path']}: {entry['reason']}" for entry in skipped[:3])
        raise CrackvizError(
            f"{root} {problem}. Pictures lie in: {found[:300]}.{left_out}"
            f"\nFill or remove an empty class, or name the folder that holds all classes. Expected:\n{TREE}"
        )
    if problem:
        skipped += [{"path": str(row["path"]), "reason": "in no class folder"} for row in labelled]
        return rows, CLASS_NAMES, skipped
    return rows + labelled, names, skipped


def _walk(root: Path) -> tuple[Folders, Skipped]:
    """Every folder at and below root with its pictures, and the files beside pictures that are none."""
    folders: Folders = {}
    skipped: Skipped = []
    seen: set[str] = set()
    for place, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # linked folders are followed, each once: a link may lead in a circle
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if name[0] != "." and name != "__MACOSX")
        here = PurePath(place).relative_to(root)
        pictures = folders.setdefault(here.parts, [])
        others = []
        for name in sorted(name for name in files if name[0] != "."):
            if not name.isprintable():  # line breaks and undecodable bytes would spoil split.csv
                others.append({"path": str(here / ascii(name)), "reason": "unprintable file name"})
            elif PurePath(name).suffix.lower() in _SUFFIXES:
                pictures.append(here / name)
            else:
                others.append({"path": str(here / name), "reason": "not a picture"})
        skipped += others if pictures else []
    return folders, skipped


def _row(path: PurePath, label: int, source: str, group: str = "", mask: PurePath | str = "") -> dict[str, Any]:
    # The group's default, the path less its suffix, joins a.jpg and a.png, but not Positive/1.jpg and Negative/1.jpg.
    group = group or path.with_suffix("").as_posix()
    return {"path": path, "label": label, "group": group, "source": source, "mask": mask}


def _pair_masks(folders: Folders, skipped: Skipped) -> Rows:
    """Take images/ and masks/ beside one another out of `folders`, paired by their files' stems."""
    rows: Rows = []
    for parts in [p for p in folders if p and p[-1].lower() in _IMAGE_FOLDERS]:
        beside = [p for p in folders if p and p[:-1] == parts[:-1] and p[-1].lower() in _MASK_FOLDERS]
        if not beside:
            continue
        pictures, masks = folders.pop(parts), dict[str, list[PurePath]]()
        for mask in folders.pop(beside[0]):
            masks.setdefault(re.sub(r"[_-](mask|gt|label)$", "", mask.stem), []).append(mask)
        for picture in pictures:
            found = masks.get(picture.stem, [])
            if len(found) == 1:
                rows.append(_row(picture, 1, "image+mask", mask=found[0]))
            else:
                skipped.append({"path": str(picture), "reason": f"{len(found) or 'no'} masks of this name"})
        for stem in sorted(masks.keys() - {picture.stem for picture in pictures}):
            skipped += [{"path": str(mask), "reason": "a mask without a picture"} for mask in masks[stem]]
    return rows


def _label(folders: Folders, skipped: Skipped) -> tuple[Rows, tuple[str, ...], str]:
    """Label pictures by their folders' names; also say what is wrong with the classes, if anything is."""
    known = {parts: _known_class(parts, pictures) for parts, pictures in folders.items()}
    parents = {parts[:depth] for parts, (depth, _, _) in known.items() if depth >= 0 and folders[parts]}
    classes: dict[Parts, str] = {}
    names, empty = list(CLASS_NAMES) if parents else [], set[str]()
    if parents:
        for parts, (depth, label, _) in known.items():
            beside = [p for p in parents if _below(parts, p)]
            if depth >= 0:
                classes[parts] = CLASS_NAMES[label]
            elif beside and folders[parts]:  # a sibling of crack/ and no_crack/ is a class of its own
                classes[parts] = parts[len(max(beside, key=len))]
    else:
        bare = {parts: tuple(p for p in parts if p.lower() not in _SPLIT_FOLDERS) for parts in folders}
        level: Parts = ()
        while len(ways := {b[len(level)] for p, b in bare.items() if folders[p] and _below(b, level)}) == 1:
            level += tuple(ways)  # archives nest: go down while there is one way only
        level = level if ways else level[:-1]  # the last one was a lone class, to be named in the message
        classes = {p: b[len(level)] for p, b in bare.items() if folders[p] and _below(b, level)}
        empty = {b[len(level)] for b in bare.values() if _below(b, level)} - set(classes.values())
    names += sorted(set(classes.values()) - set(names))
    rows: Rows = []
    for parts, pictures in folders.items():
        if parts not in classes:
            skipped += [{"path": str(picture), "reason": "in no class folder"} for picture in pictures]
            continue
        source = known[parts][2] if parents else "folders"
        for picture in pictures:
            photo = (picture.parent.parent / picture.stem.split("-")[0]).as_posix()
            group = photo if source == "sdnet2018" else ""
            rows.append(_row(picture, names.index(classes[parts]), source, group))
    counts = Counter(dict.fromkeys([*names, *sorted(empty)], 0))
    counts.update(names[row["label"]] for row in rows)
    if len(counts) > 1 and all(counts.values()):
        return rows, tuple(names), ""
    found = ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "no class folder at all"
    return rows, tuple(names), f"holds no pictures of two or more classes, but {found}"


def _below(parts: Parts, level: Parts) -> bool:
    return len(parts) > len(level) and parts[: len(level)] == level


def _known_class(parts: Parts, pictures: list[PurePath]) -> tuple[int, int, str]:
    """Depth, label and source of the deepest folder whose name says what it holds; depth -1 for none."""

    def named(pattern: str) -> bool:
        return all(re.fullmatch(pattern, picture.stem) for picture in pictures)

    if parts and re.fullmatch("[CU][DPW]", parts[-1].upper()) and named(r"\d+-\d+"):
        return len(parts) - 1, int(parts[-1][0].upper() == "C"), "sdnet2018"
    for depth in reversed(range(len(parts))):
        name = re.sub(r"[\s_-]", "", parts[depth].lower())
        if name in _CRACK | _NO_CRACK:
            metu = name in {"positive", "negative"} and named(r"\d{5}(_1)?")
            return depth, int(name in _CRACK), "metu" if metu else "folders"
    return -1, -1, ""
