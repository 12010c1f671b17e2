"""A folder of pictures as a table: found, scanned, split."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import warnings
from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from crackviz import CrackvizError, synthetic
from crackviz.contracts import PREPROCESSING, check_flag, check_number, check_options
from crackviz.data.classes import meaning
from crackviz.data.duplicates import dhash, merge_groups, near_duplicate_pairs
from crackviz.data.groups import assign
from crackviz.data.images import parallel, read_image, read_mask
from crackviz.data.layouts import METU, find, is_text
from crackviz.data.splits import Table, generator, read_split, split, write_split
from crackviz.files import short_hash

_ARCHIVES = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".rar", ".7z"}


def index(
    folder: str | Path = "",
    *,
    max_images: int = 0,
    seed: int = 0,
    crack_class: str | Sequence[str] = "",
    groups: str = "",
) -> Table:
    """List the pictures of a data set, with labels, groups and masks, without opening one.

    Understood are, at any depth (archives often nest twice) and in any case of letters::

        Positive/ Negative/      METU; also crack/ no_crack/, Risse/ ohne_Risse/, defect/ good/, NG/ OK/ and the like
        D|P|W/C*/ D|P|W/U*/      SDNET2018: the photograph, the number before the "-", is the group
        images/ masks/           pictures with truth: masks of the same stem (or stem_mask); also images/ labels/,
                                 train_img/ train_lab/, and x_mask.png beside x.png
        <any>/ <any>/ <any>/     three or more classes named by their folders, numbered by the alphabet

    Of two classes, the names must say which one shows cracks; where they don't, it is asked for. A publisher's own
    `train/ test_set/` folders are looked through: crackviz splits by group itself. Hidden files, and folders of systems
    and of small copies (`__MACOSX`, `@eaDir`, `thumbs`), are passed over; what else lies beside pictures is listed in
    ``attrs["skipped"]``.

    Warnings name folders of small copies that hold pictures, and are given where many names look as if several pictures
    came from one photograph, and nothing says so.

    Parameters
    ----------
    folder : str or Path
        The data set. "" or "synthetic" stands for the default set of synthetic concrete, "synthetic:seed=1,..." for one
        of other settings (`crackviz.synthetic.Settings`); it is made where it isn't kept from before. An archive is
        refused: unpacking 40,000 files silently beside somebody's download, or anew in each run, is worse than asking
        for one command.
    max_images : int
        Keep at most that many, see `subset`; 0 keeps all.
    seed : int
        Chooses the subset.
    crack_class : str or sequence of str
        The folders whose pictures show cracks, separated by commas; what lies beside them shows none. "" leaves it to
        their names.
    groups : str
        Which pictures show one place, and must not lie in different parts of a split. "" leaves it to the names of
        files, where they can't be mistaken: ``wall12_tile3``, ``IMG_7_r2_c3``, SDNET2018's ``7069-12``, and of folders
        in which the classes lie: ``wall1``, ``wall2``, … Else
        "folder:1" (the first level of folders below the data set), a CSV file with the columns path and group, "each"
        (every picture is a group of its own), or a regular expression whose brackets hold the photograph's name. It is
        searched in each path below the data set, less the folders of class and part.

    Returns
    -------
    DataFrame
        path (absolute), label (0 = no_crack, 1 = crack, or the class's number), group, source ("metu",
        "sdnet2018", "image+mask", "synthetic" or "folders") and mask ("" for none), sorted by path. ``attrs`` holds
        root, class_names and skipped (a list of {"path", "reason"}). Pictures with masks have the label 1 until
        `scan` has looked into the masks. A synthetic set knows more: its photographs are the groups, and the column
        distractors names what else each patch shows, separated by blanks.

    Raises
    ------
    CrackvizError
        Nothing there, no pictures, an empty class, one class only (image+mask sets may have one), two classes of which
        either could be the crack, or `crack_class` or `groups` that don't fit.
    """
    check_number("max_images", max_images, 0, whole=True)  # before a synthetic set is made, which takes a while
    generator(seed)
    chosen = crack_class.split(",") if isinstance(crack_class, str) else np.atleast_1d(crack_class).tolist()
    if wrong := [name for name in (groups, *chosen) if not isinstance(name, str)]:
        raise CrackvizError(
            f"crack_class and groups are texts, such as 'spall' and 'folder:1'; found {wrong[0]!r:.80}."
        )
    chosen = [name.strip() for name in chosen if name.strip()]
    knows = bool(chosen or groups) and "Synthetic concrete knows its classes and photographs"
    if isinstance(folder, str | os.PathLike) and synthetic_settings(folder):
        if knows:
            raise CrackvizError(f"{knows}: leave out crack_class and groups, or name a folder.")
        _check_max_images(max_images, 2)
    root = locate(folder)
    listed = synthetic.listing(root)
    if knows and listed:
        raise CrackvizError(f"{knows}: leave out crack_class and groups, or name a folder.")
    rows, names, skipped = find(root, chosen)
    for row in rows:
        row["path"], row["mask"] = str(root / row["path"]), str(root / row["mask"]) if row["mask"] else ""
    columns = ["path", "label", "group", "source", "mask", "place"]
    table = pd.DataFrame(rows)[columns].sort_values("path", ignore_index=True)
    table = (table if listed else assign(table, root, groups)).drop(columns="place")
    skipped = [{**entry, "path": str(root / entry["path"])} for entry in skipped]
    if listed:
        rows_of = {row["name"]: row for row in listed[1]}
        known = [rows_of[Path(path).stem] for path in table["path"]]
        table["label"] = [int(row["label"]) for row in known]
        table["group"] = [f"photograph {row['photo']}" for row in known]
        table["source"] = synthetic.PREFIX
        skipped = [entry for entry in skipped if Path(entry["path"]).parent != root / "details"]
        table["distractors"] = [row["distractors"] for row in known]
    table.attrs = {"root": str(root), "class_names": names, "skipped": skipped}
    return subset(table, max_images, seed=seed)


def locate(folder: str | Path = "") -> Path:
    """Return the folder of a data set as `index` takes it, made absolute; raise a CrackvizError if it isn't there."""
    if not isinstance(folder, str | os.PathLike) or "\0" in str(folder):
        raise CrackvizError(f"The folder of the pictures is {folder!r}; expected a path, or a name such as synthetic.")
    if settings := synthetic_settings(folder):
        return synthetic.dataset(settings)
    root = Path(folder).expanduser().absolute()
    if not is_text(str(root)):  # tables and their files hold its name
        raise CrackvizError(
            f"The folder {str(root)!a} has a name that is no text (bytes that aren't UTF-8, or a line break), as "
            "archives of old Windows leave them. Rename it."
        )
    if root.is_file():
        hint = "Unpack the archive, and name the folder" if root.suffix.lower() in _ARCHIVES else "Name one"
        raise CrackvizError(f"{root} is a file; expected a folder of pictures. {hint}.\n{METU}")
    if not root.is_dir():
        above = (place / folder for place in Path.cwd().parents)  # JupyterLab works in notebooks/, a command above it
        there = next((path for path in above if path.is_dir()), None)
        near = f" There is {there}: if that is meant, name it so." if there else ""
        raise CrackvizError(f"There is no folder {root}.{near}\n{METU}")
    return root


def synthetic_settings(folder: str | Path = "") -> synthetic.Settings | None:
    """Return the settings that `folder` stands for where it names synthetic concrete, and None where it is a folder."""
    return synthetic.settings_of(str(folder))


def subset(table: Table, max_images: int, *, seed: int = 0) -> Table:
    """Keep at most `max_images` rows (0: all), in the classes' proportions, by whole groups drawn at random.

    Groups far larger than the share of one (photographs with hundreds of tiles) are thinned instead, so that
    many take part: a split needs several. Thinning leaks nothing, as every row keeps its group.
    """
    check_number("max_images", max_images, 0, whole=True)
    rng = generator(seed)
    if max_images == 0:
        return table
    _check_max_images(max_images, table["label"].nunique())
    if len(table) <= max_images:
        return table
    groups = np.sort(table["group"].unique())
    rank = table["group"].map(dict(zip(groups, rng.permutation(len(groups)), strict=True)))
    shuffled = table.assign(_rank=rank).iloc[rng.permutation(len(table))].sort_values("_rank", kind="stable")
    keep: list[int] = []
    for _, rows in shuffled.groupby("label"):
        quota = max(3, int(max_images * len(rows) / len(table)))
        cap = max(4, math.ceil(quota / rows["group"].nunique()))
        keep += rows.index[rows.groupby("group").cumcount() < cap][:quota].tolist()
    return table.loc[sorted(keep)].reset_index(drop=True)


def _check_max_images(max_images: int, classes: int) -> None:
    if 0 < max_images < 3 * classes:
        raise CrackvizError(f"max_images={max_images}: expected {3 * classes} (3 per class) or more, or 0 for all.")


def scan(table: Table, *, near_duplicates: bool = True, max_distance: int = 12, max_bad_fraction: float = 0.1) -> Table:
    """Open every picture once; drop those that can't be used, measure the others, group near-duplicates.

    Dropped, and listed in ``attrs["skipped"]`` with the reason: unreadable pictures and masks, masks of
    another size than their picture, and pictures that lie, pixel for pixel, in two classes (all copies, since
    nobody can say which label is right). A picture whose mask is empty gets the label 0.

    Parameters
    ----------
    table : DataFrame
        From `index`.
    near_duplicates : bool
        Merge the groups of pictures whose `dhash` differ in at most `max_distance` bits, and of their
        near-duplicates in turn. No row is lost by that.
    max_bad_fraction : float
        More bad pictures than this share (and more than two) stop the data set.

    Returns
    -------
    DataFrame
        With the columns width, height and hash (32 bytes) added.

    Raises
    ------
    CrackvizError
        Too many bad pictures (the first are named), or a class that has none left.
    """

    def look(row: tuple[str, str, int]) -> tuple[str, int, int, bytes, bytes, int]:
        path, mask, label = row
        try:
            image = read_image(path)
            if mask and (truth := read_mask(mask)).shape != image.shape[:2]:
                return f"its mask is {truth.shape[1]} x {truth.shape[0]}", 0, 0, b"", b"", label
        except CrackvizError as error:
            return str(error), 0, 0, b"", b"", label
        if mask and truth.any():
            shares.append(float(truth.mean()))
        pixels = hashlib.blake2b(image.tobytes() + bytes(str(image.shape), "ascii"), digest_size=16).digest()
        return "", image.shape[1], image.shape[0], dhash(image), pixels, int(truth.any()) if mask else label

    shares: list[float] = []  # of each mask that isn't empty, what it calls crack
    if table.empty:
        raise CrackvizError("The table holds no picture: expected one from data.index.")
    check_flag("near_duplicates", near_duplicates)
    check_number("max_distance", max_distance, 0, 256, whole=True)
    check_number("max_bad_fraction", max_bad_fraction, 0, 1)
    rows = list(zip(table["path"], table["mask"], table["label"], strict=True))
    reason, width, height, hashes, pixels, label = map(list, zip(*parallel(look, rows, "Checking"), strict=True))
    if shares and np.median(shares) > 0.5:
        warnings.warn(
            f"The masks call {np.median(shares):.0%} of their pictures crack, where a crack is white. Are they the "
            "other way round, black on white? Then turn them: 255 less each pixel.",
            stacklevel=2,
        )
    labels_of: dict[Any, set[Any]] = {}
    for key, value in zip(pixels, label, strict=True):
        labels_of.setdefault(key, set()).add(value)
    reason = [
        why or ("the same picture lies in another class" if len(labels_of[key]) > 1 else "")
        for why, key in zip(reason, pixels, strict=True)
    ]
    bad = [{"path": row[0], "reason": why} for row, why in zip(rows, reason, strict=True) if why]
    if len(bad) > max(2, max_bad_fraction * len(rows)):
        first = "".join(f"\n    {entry['path']}: {entry['reason']}" for entry in bad[:5])
        raise CrackvizError(
            f"{len(bad):,} of {len(rows):,} pictures can't be used, over {max_bad_fraction:.0%}:{first}\n"
            "Repair or remove them, or raise max_bad_fraction."
        )
    good = table.assign(label=label, width=width, height=height, hash=hashes)
    good = good[[not why for why in reason]].reset_index(drop=True)
    good.attrs["skipped"] = [*table.attrs.get("skipped", []), *bad]
    kept = set(good["label"]) | set(table["label"][table["mask"] != ""])  # masks may empty a class rightly
    if good.empty or set(table["label"]) - kept:
        raise CrackvizError(f"A class has no usable picture left: {bad[0]['path']}: {bad[0]['reason']}")
    if near_duplicates:
        good["group"] = merge_groups(good["group"], near_duplicate_pairs(good["hash"].tolist(), max_distance))
    return good


def two_classes(folder: str | Path, **options: Any) -> Table:
    """Return `index` of a data set of two classes, with its options; a CrackvizError where there are more."""
    check_options("A data set", options, signature(index).parameters)
    found = index(folder, **options)
    if len(names := found.attrs["class_names"]) != 2:
        meant = next((name for name in names if meaning(name)), names[-1])
        raise CrackvizError(
            f"{found.attrs['root']} holds {len(names)} classes ({', '.join(names)[:200]}); the notebooks explain two. "
            f'Say which show cracks, as crack_class="{meant}" (the command: --crack-class {meant}): all others then '
            "count as no crack. Or name a folder of two classes, or use data.index, scan and split: these take more."
        )
    return found


def _stamp(found: Table) -> str:
    """Return a hash of the pictures and masks that were found: what is said of each, their sizes and their times."""
    columns = [found[name].tolist() for name in ("path", "mask", "label", "group")]
    told = [f"{row} {_times(row[0])} {_times(row[1])}" for row in zip(*columns, strict=True)]
    return short_hash(*told, *(str(entry) for entry in found.attrs["skipped"]))


def _times(path: str) -> tuple[int, ...]:
    try:
        told = Path(path).stat() if path else None
    except OSError:  # gone since, or a link that leads nowhere: scan says so
        return ()
    return (told.st_size, told.st_mtime_ns, told.st_ctime_ns) if told else ()


def prepare(
    folder: str | Path,
    path: str | Path,
    *,
    max_images: int = 0,
    seed: int = 0,
    crack_class: str | Sequence[str] = "",
    groups: str = "",
) -> Table:
    """Return a run's table with its split: read from `path` where it was made in the same way, else made and written.

    Made in the same way means from the same files, too: none added, removed, moved or written since. Made by `index`,
    `scan` and `split`, with their defaults and errors. It serves notebooks, which explain one class against another:
    more classes are refused, and read by the three functions themselves. `path` is the run's ``split.csv``; the other
    arguments are those of `index`, and `seed` chooses the split, too.
    """
    found = two_classes(folder, max_images=max_images, seed=seed, crack_class=crack_class, groups=groups)
    max_images, seed = int(max_images), int(seed)  # NumPy's own integers are none for JSON
    made_from: dict[str, Any] = {
        "root": found.attrs["root"],
        "max_images": max_images,
        "seed": seed,
        "preprocessing": PREPROCESSING,
        "files": _stamp(found),  # labels and groups count in it
    }
    with contextlib.suppress(OSError, ValueError, AttributeError):
        head = Path(path).read_text(encoding="utf-8").split("\n", 1)[0]
        if json.loads(head.removeprefix("# ")).get("made_from") == made_from:
            return read_split(path)
    table = split(scan(found), seed=seed)
    table.attrs["made_from"] = made_from
    write_split(table, path)
    return table
