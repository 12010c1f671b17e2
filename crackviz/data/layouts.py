"""How data sets of cracks lie on disks: which file is a picture, what its folders say about it.

Only names are looked at here. `crackviz.data.index` is the way in.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from PIL import Image

from crackviz import CrackvizError
from crackviz.contracts import CLASS_NAMES, closest
from crackviz.data.classes import crack_of, is_part, meaning, place_of_role, role
from crackviz.data.leftovers import is_passed_over, warn_of
from crackviz.files import is_run_folder

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
SUFFIXES = {".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm"}
SUFFIXES |= {".avif", ".jp2"} & set(Image.registered_extensions())  # where Pillow was built with them
_NO_CRACK = {"negative", "neg", "uncracked", "nocrack", "nocracks", "noncrack", "noncracks", "noncracked", "notcracked"}
_NO_CRACK |= {"uncrack", "withoutcrack", "withoutcracks"}
_CRACK = {"positive", "pos", "cracked", "crack", "cracks", "withcrack", "withcracks"}
_MASK_STEM = re.compile(r"^(mask|gt|label)[ _-]|[ _-](mask|gt|label|seg|annotation)s?$", re.IGNORECASE)
_IMAGE_STEM = re.compile(r"^(image|img)[ _-](?=.)|(?<=.)[ _-](image|img|sat|rgb)$", re.IGNORECASE)
Parts = tuple[str, ...]
Folders = dict[Parts, list[PurePath]]
Masks = dict[PurePath, PurePath]
Skipped = list[dict[str, str]]
Classes = tuple[dict[Parts, str], dict[Parts, tuple[str, Parts]], set[str]]
"""The class of each folder, its source and place, and classes that are named but empty."""
Rows = list[dict[str, Any]]


def find(root: Path, crack_class: Sequence[str] = ()) -> tuple[Rows, tuple[str, ...], Skipped]:
    """Rows of path, label, group, source, mask and place (paths relative to root), class names, and files left out.

    A place is the folders above a picture less those that name its class or its part of a publisher's split.
    `crack_class` names the folders that show cracks; without it, their names must say so.
    """
    folders, skipped, others = _walk(root)
    rows = _pair_masks(folders, skipped)
    beside = _masks_beside(folders, skipped)
    classes, source, empty = _chosen(root, folders, crack_class) if crack_class else _by_name(root, folders)
    sizes = Counter(dict.fromkeys([*classes.values(), *empty], 0))
    sizes.update(name for parts, name in classes.items() for _ in folders[parts])
    names = _in_order(sizes)
    counts = Counter({name: sizes[name] for name in names})
    if rows and names[:2] == CLASS_NAMES:
        counts["crack"] += len(rows)  # which of them show one, `scan` finds in the masks
    if len(names) < 2 or not all(counts.values()):
        loose = [picture for pictures in folders.values() for picture in pictures]
        if not rows and not beside:
            raise CrackvizError(_nothing(root, counts, folders, skipped, others))
        rows += [_row(picture, 1, "image+mask", (), mask=beside[picture]) for picture in loose if picture in beside]
        skipped += [
            {"path": str(picture), "reason": "in no class folder"} for picture in loose if picture not in beside
        ]
        return rows, CLASS_NAMES, skipped
    for parts, pictures in folders.items():
        if parts not in classes:
            skipped += [{"path": str(picture), "reason": "in no class folder"} for picture in pictures]
            continue
        label = names.index(classes[parts])
        rows += [_row(picture, label, *source[parts], mask=beside.get(picture, "")) for picture in pictures]
    return rows, names, skipped


def _in_order(sizes: Counter[str]) -> tuple[str, ...]:
    """Return the names of the classes from label 0 on: no_crack and crack where both are meant, then the alphabet."""
    named = set(sizes)
    first = CLASS_NAMES if named & set(CLASS_NAMES) else ()
    return (*first, *sorted(named - set(first)))


def _nothing(root: Path, counts: Counter[str], folders: Folders, skipped: Skipped, others: Counter[str]) -> str:
    found = ", ".join(f"{name}: {count:,}" for name, count in counts.items()) or "no class folder at all"
    places = ", ".join("/".join(p) or "the folder itself" for p in folders if folders[p]) or "nowhere"
    left_out = "".join(f"\n    {entry['path']}: {entry['reason']}" for entry in skipped[:3])
    if others and not any(folders.values()):
        kinds = ", ".join(kind for kind, _ in others.most_common(5))
        left_out += (
            f"\n    {others.total():,} files are no pictures that can be read ({kinds}): save them as .jpg or .png"
        )
    if any(role(name) == "masks" or is_part(name) for parts in folders if folders[parts] for name in parts):
        left_out += "\n    Folders of masks, and parts such as train and test, are no classes."
    if len(counts) > 2 and not counts["no_crack"]:
        left_out += '\n    To tell cracks from all the others, say crack_class="crack".'
    return (
        f"{root} holds no pictures of two or more classes, but {found}. Pictures lie in: {places[:300]}.{left_out}"
        f"\nFill or remove an empty class, or name the folder that holds all classes. Expected:\n{TREE}"
    )


def is_text(name: str) -> bool:
    """Tell whether a name can stand in a table and its file: UTF-8, without line breaks and their like."""
    return re.search("[\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]", name) is None


def _walk(root: Path) -> tuple[Folders, Skipped, Counter[str]]:
    """Every folder at and below root with its pictures, the files beside pictures that are none, and their kinds."""
    folders: Folders = {}
    skipped: Skipped = []
    kinds: Counter[str] = Counter()
    seen: set[str] = set()
    left: list[Path] = []
    for place, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        is_run = place != str(root) and is_run_folder([*files, *below])
        if real in seen or is_run:  # linked folders are followed, each once: a link may lead in a circle
            below.clear()
            continue
        seen.add(real)
        here = PurePath(place).relative_to(root)
        odd = [name for name in below if not is_text(name)]
        left += [Path(place, name) for name in sorted(below) if is_passed_over(name)]
        below[:] = sorted(name for name in below if not is_passed_over(name) and is_text(name))
        pictures = folders.setdefault(here.parts, [])
        skipped += [{"path": str(here / ascii(name)), "reason": "unprintable folder name"} for name in odd]
        others = []
        for name in sorted(name for name in files if name[0] != "."):
            if not is_text(name):  # line breaks and undecodable bytes would spoil split.csv
                others.append({"path": str(here / ascii(name)), "reason": "unprintable file name"})
            elif PurePath(name).suffix.lower() in SUFFIXES:
                pictures.append(here / name)
            else:
                others.append({"path": str(here / name), "reason": "not a picture"})
                kinds[PurePath(name).suffix or "no suffix"] += 1
        skipped += others if pictures else []
    warn_of(left, SUFFIXES)
    return folders, skipped, kinds


def _row(
    path: PurePath, label: int, source: str, place: Parts, group: str = "", mask: PurePath | str = ""
) -> dict[str, Any]:
    # The group's default, the path less its suffix, joins a.jpg and a.png, but not Positive/1.jpg and Negative/1.jpg.
    group = group or path.with_suffix("").as_posix()
    if source == "sdnet2018":
        group = PurePath(*place, path.stem.split("-")[0]).as_posix()
    return {"path": path, "label": label, "group": group, "source": source, "mask": mask, "place": "/".join(place)}


def _pair_masks(folders: Folders, skipped: Skipped) -> Rows:
    """Take folders of images and of masks beside one another out of `folders`, paired by their files' stems."""
    rows: Rows = []
    masks_of: dict[tuple[Parts, str, Parts], Parts] = {}

    def spot(parts: Parts, wanted: str) -> list[tuple[Parts, str, Parts]]:
        return [
            (parts[:i], place_of_role(name), parts[i + 1 :]) for i, name in enumerate(parts) if role(name) == wanted
        ]

    for parts in folders:
        for key in spot(parts, "masks")[-1:]:
            masks_of.setdefault(key, parts)
    for parts in list(folders):
        beside = next((masks_of[key] for key in spot(parts, "images") if masks_of.get(key) in folders), None)
        if beside is None or not (folders[parts] or folders[beside]):
            continue
        pictures, masks = folders.pop(parts), dict[str, list[PurePath]]()
        for mask in folders.pop(beside):
            masks.setdefault(_MASK_STEM.sub("", mask.stem), []).append(mask)
        for picture in pictures:
            stems = picture.stem, _IMAGE_STEM.sub("", picture.stem)
            found = next((masks.pop(stem) for stem in stems if stem in masks), [])
            if len(found) == 1:
                rows.append(_row(picture, 1, "image+mask", (), mask=found[0]))
            else:
                skipped.append({"path": str(picture), "reason": f"{len(found) or 'no'} masks of this name"})
        for stem in sorted(masks):
            skipped += [{"path": str(mask), "reason": "a mask without a picture"} for mask in masks[stem]]
    return rows


def _masks_beside(folders: Folders, skipped: Skipped) -> Masks:
    """Take masks out of `folders` that lie beside their pictures: x_mask.png by x.png, or masks/ by crack/."""
    found: Masks = {}
    for pictures in folders.values():
        by_stem = {picture.stem: picture for picture in pictures}
        for mask in pictures.copy():
            stem = _MASK_STEM.sub("", mask.stem)
            if stem != mask.stem and stem in by_stem:
                found[by_stem[stem]] = mask
                pictures.remove(mask)
    for parts in list(folders):
        at = next((i for i, name in reversed(list(enumerate(parts))) if role(name) == "masks"), None)
        if at is None:
            continue
        near = {p: pictures for p, pictures in folders.items() if p[:at] == parts[:at] and p[at:] != parts[at:]}
        by_stem = {picture.stem: picture for pictures in near.values() for picture in pictures}
        for mask in folders.pop(parts):
            picture = by_stem.get(_MASK_STEM.sub("", mask.stem))
            if picture is None:
                skipped.append({"path": str(mask), "reason": "a mask without a picture"})
            else:
                found[picture] = mask
    return found


def _below(parts: Parts, level: Parts) -> bool:
    return len(parts) > len(level) and parts[: len(level)] == level


def _place(parts: Parts, depth: int) -> Parts:
    # images/ is no place, and IMG_7060/ is one
    return tuple(
        n for i, n in enumerate(parts) if i != depth and not (is_part(n) or (role(n) and not re.search(r"\d", n)))
    )


def _by_name(root: Path, folders: Folders) -> Classes:
    """Tell the class of each folder by the names: of the kinds that everybody uses, or else of one level's folders."""
    known = {parts: _known_class(parts, pictures) for parts, pictures in folders.items()}
    parents = {parts[:depth] for parts, (depth, _, _) in known.items() if depth >= 0 and folders[parts]}
    if not parents:
        return _by_level(root, folders)
    classes, source, strangers = dict[Parts, str](), dict[Parts, tuple[str, Parts]](), dict[Parts, int]()
    for parts, (depth, label, kind) in known.items():
        beside = [p for p in parents if _below(parts, p)]
        if depth >= 0:
            classes[parts], source[parts] = CLASS_NAMES[label], (kind, _place(parts, depth))
        elif beside and folders[parts]:  # a sibling of crack/ and no_crack/ is a class of its own
            at = len(max(beside, key=len))
            if not (is_part(parts[at]) or role(parts[at])):
                strangers[parts], source[parts] = at, ("folders", _place(parts, at))
    alone = {parts[known[parts][0]]: name for parts, name in classes.items() if folders[parts]}
    others = sorted({parts[at] for parts, at in strangers.items()})
    if len(others) == 1 and len(set(alone.values())) == 1:  # crack/ and intact/: two classes
        name, meant = next(iter(alone.items()))
        if (crack := crack_of([name, others[0]])) is None or (crack == name) != (meant == "crack"):
            raise CrackvizError(_which(root, [name, others[0]]))
        other = CLASS_NAMES[meant == "no_crack"]
        return classes | dict.fromkeys(strangers, other), source, set()
    return classes | {parts: parts[at] for parts, at in strangers.items()}, source, set()


def _by_level(root: Path, folders: Folders) -> Classes:
    """Tell the classes by the folders of one level: the first of two names that tell, or at which the ways part."""
    bare = {p: [i for i, n in enumerate(p) if not (is_part(n) or role(n))] for p in folders}
    at = 0
    while ways := _ways(folders, bare, at):
        below = _ways(folders, bare, at + 1)
        trees = {way: {p[bare[p][at + 1]] for p in found if len(bare[p]) > at + 1} for way, found in ways.items()}
        alike = len(below) > 1 and all(tree == set(below) for tree in trees.values())
        if _tell(ways) or not (len(ways) == 1 or ((alike or _tell(below)) and all(trees.values()))):
            break
        at += 1  # archives nest, and photographs or places may have a folder each, with the classes in it
    at -= not ways and at > 0  # the last one was a lone class, to be named in the message
    classes = {p: way for way, found in _ways(folders, bare, at).items() for p in found}
    empty = {p[i[at]] for p, i in bare.items() if len(i) > at} - set(classes.values())
    source = {p: ("folders", _place(p, bare[p][at])) for p in classes}
    if len(names := sorted(set(classes.values()))) == 2 and not empty:
        crack = crack_of(names)
        if crack is None:
            raise CrackvizError(_which(root, names))
        classes = {p: CLASS_NAMES[name == crack] for p, name in classes.items()}
    return classes, source, empty


def _ways(folders: Folders, bare: dict[Parts, list[int]], at: int) -> dict[str, list[Parts]]:
    """Return the names of one level, and the folders with pictures at and below each."""
    ways: dict[str, list[Parts]] = {}
    for parts, index in bare.items():
        if folders[parts] and len(index) > at:
            ways.setdefault(parts[index[at]], []).append(parts)
    return ways


def _tell(names: dict[str, list[Parts]]) -> bool:
    by_name = {meaning(name) for name in names}
    return by_name == {0, 1} or (len(names) == 2 and crack_of(list(names)) is not None)


def _which(root: Path, names: Sequence[str]) -> str:
    one, two = names
    return (
        f"{root} holds two classes, {one} and {two}, and their names don't say which of them shows cracks and which "
        "none. Take away what is no class, or say so: "
        f'data.index(folder, crack_class="{one}") in Python, --crack-class "{one}" on the command line, or '
        f'crack_class = "{one}" in the notebook\'s parameters cell.'
    )


def _chosen(root: Path, folders: Folders, crack_class: Sequence[str]) -> Classes:
    """Tell the class of each folder by the names of those that show cracks; what lies beside these shows none."""
    wanted = {name.casefold() for name in crack_class}
    hits = {p: max(i for i, n in enumerate(p) if n.casefold() in wanted) for p in folders if wanted & _folded(p)}
    found = {p[i].casefold() for p, i in hits.items() if folders[p]}
    if missing := [name for name in crack_class if name.casefold() not in found]:
        known = sorted({name for parts in folders if folders[parts] for name in parts})
        raise CrackvizError(
            f"{root} has no folder {missing[0]!r} with pictures, which crack_class names.{closest(missing[0], known)} "
            f"Folders there: {', '.join(known)[:300] or 'none'}."
        )
    parents = {p[:i] for p, i in hits.items()}
    classes = dict.fromkeys(hits, "crack")
    source = {p: ("folders", _place(p, i)) for p, i in hits.items()}
    beside = {p[len(parent)] for parent in parents for p in folders if _below(p, parent)} - {
        p[i] for p, i in hits.items()
    }
    beside = {name for name in beside if not (is_part(name) or role(name))}
    for parts in folders.keys() - hits.keys():
        if folders[parts] and (at := [i for i, name in enumerate(parts) if name in beside]):
            classes[parts], source[parts] = "no_crack", ("folders", _place(parts, at[-1]))
    return classes, source, {"no_crack"}


def _folded(parts: Parts) -> set[str]:
    return {name.casefold() for name in parts}


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
