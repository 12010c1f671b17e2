"""Find, check, read and split pictures of concrete: from a folder on a disk to batches for a network.

The way through: `index` lists what a folder holds, `scan` opens every picture once, drops bad ones and finds
near-duplicates, `split` keeps relatives together, `pipeline` feeds a training. See THEORY.md, section T1.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image, ImageOps

from crackviz import CrackvizError, synthetic
from crackviz._layouts import CLASS_NAMES, TREE, find
from crackviz._progress import progress

PREPROCESSING = 1
"""Version of what `read_image` does to a picture: a saved model names the one that it was trained with."""
SPLITS = ("train", "validation", "test")
MAX_PIXELS = 89_478_485
"""Larger pictures are refused undecoded (Pillow's own level of warning: 256 MiB as RGB, 9,459 x 9,459)."""
MAX_ARRAY_BYTES = 2 * 1024**3

_METU = f"""\
Without pictures of your own, name none: crackviz then makes synthetic concrete. The usual real set is METU's
"Concrete Crack Images for Classification" (40,000 patches, CC BY 4.0): Mendeley Data 5y9wdsg2zt
(https://data.mendeley.com/datasets/5y9wdsg2zt), or Kaggle arunrk7/surface-crack-detection.
Unpack it so that the folder looks like this
{TREE}
and name it: `make run DATA=folder`, `crackviz run --data folder`, or data.index("folder"); in a
notebook, data = "folder" in its parameters cell."""
# Eight pictures of each class as published: enough to tell METU from a look-alike.
_METU_SHA256 = {
    "Negative/00002.jpg": "69c3c205a53006697f877e1a356721408b29d1c2a9641e2c9546fc9648d76800",
    "Negative/02424.jpg": "002ad60464e5827e9c0b52a70fce0d66a8831eb30f39b8867be5d7978749aed4",
    "Negative/05010.jpg": "60f7c12981d1ba146eaf346c14bd3ec3b26d866eeb45c6340294736bfb9e34da",
    "Negative/07553.jpg": "ef522c657acc12172b779c5819092617fae5b409c28f7dc6a83b5050bcf89753",
    "Negative/10039.jpg": "83798a2cd80e1a9067dad2efd4d0d6c399416dabb15c5eb4a953fba8ba8624f0",
    "Negative/12446.jpg": "e0835b8db2817b88cae3b6511dc04f973aedab5b1452c0e1aa474cb21e3a9cb2",
    "Negative/14859.jpg": "3765301ca3aa002256387feff2bea68c712268a2ad785954ce4ecca3fbc9f23c",
    "Negative/17334.jpg": "c05c14d8b73d57fe87f89b3b6c36246840079f75947c5cfd590ccdb4017a3283",
    "Positive/00011.jpg": "d7461d2eb2293fc90cea7bfb0dc4844187fd783da0d165bd4c552745dd91fce5",
    "Positive/02438.jpg": "12acc8fd414b116cd950f6fef32f5d20b3d5863267915c5f9631cf1f69915c70",
    "Positive/04911.jpg": "bac1fda3c7ce82815b657b18ed56a61f85f89103e05301e62d3b37a3bb74ee0f",
    "Positive/07531.jpg": "5badc07aa28fa488a5c3e248df4c92e48070d83cf0feef28ad64c286f5df1f1a",
    "Positive/10072_1.jpg": "ab28f48d939f259d83e95355efbeb780273d027e3b3b337f7cdb9c5728a35b15",
    "Positive/12630_1.jpg": "1d9bab69672c5d5df05fce385a5fd3f840641fcdcbae928c802c20f66777d332",
    "Positive/15084_1.jpg": "b1d2f5c50ea51af0b09fb82ea8fa8546ba6a9780ad333deee13af329898c4e3f",
    "Positive/17424_1.jpg": "eca7be3341de4721343c7e394c05e00db4a2abb2d850e81a55424cc496de0519",
}

Table = pd.DataFrame
Item = TypeVar("Item")
Result = TypeVar("Result")


# --- finding ----------------------------------------------------------------------------------------------


def index(folder: str | Path = "", *, max_images: int = 0, seed: int = 0) -> Table:
    """List the pictures of a data set, with labels, groups and masks, without opening one.

    Understood are, at any depth (archives often nest twice) and in any case of letters::

        Positive/ Negative/      METU; also crack/ no_crack/, cracked/ uncracked/ and the like
        D|P|W/C*/ D|P|W/U*/      SDNET2018: the photograph, the number before the "-", is the group
        images/ masks/           pictures with truth: masks of the same stem (or stem_mask)
        <any>/ <any>/ ...        two or more classes named by their folders, numbered by the alphabet

    A publisher's own `train/ test/` folders are looked through: crackviz splits by group itself. Hidden files
    and `__MACOSX` are passed over; what else lies beside pictures is listed in ``attrs["skipped"]``.

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
        Nothing there, no pictures, an empty class, or one class only (image+mask sets may have one).
    """
    root = locate(folder)
    rows, names, skipped = find(root)
    for row in rows:
        row["path"], row["mask"] = str(root / row["path"]), str(root / row["mask"]) if row["mask"] else ""
    columns = ["path", "label", "group", "source", "mask"]
    table = pd.DataFrame(rows)[columns].sort_values("path", ignore_index=True)
    skipped = [{**entry, "path": str(root / entry["path"])} for entry in skipped]
    if listed := synthetic.listing(root):
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
    if settings := synthetic_settings(folder):
        return synthetic.dataset(settings)
    root = Path(folder).expanduser().absolute()
    if root.is_file():
        hint = "Unpack the archive, and name the folder" if root.suffix in {".zip", ".tar", ".gz"} else "Name one"
        raise CrackvizError(f"{root} is a file; expected a folder of pictures. {hint}.\n{_METU}")
    if not root.is_dir():
        raise CrackvizError(f"There is no folder {root}.\n{_METU}")
    return root


def synthetic_settings(folder: str | Path = "") -> synthetic.Settings | None:
    """Return the settings that `folder` stands for where it names synthetic concrete, and None where it is a folder."""
    return synthetic.settings_of(str(folder))


def _rng(*seed: int) -> np.random.Generator:
    if min(seed) < 0:
        raise CrackvizError(f"seed={seed[0]}: expected a whole number of 0 or more.")
    return np.random.default_rng(seed)


def subset(table: Table, max_images: int, *, seed: int = 0) -> Table:
    """Keep at most `max_images` rows (0: all), in the classes' proportions, by whole groups drawn at random.

    Groups far larger than the share of one (photographs with hundreds of tiles) are thinned instead, so that
    many take part: a split needs several. Thinning leaks nothing, as every row keeps its group.
    """
    if max_images == 0:
        return table
    classes = table["label"].nunique()
    if max_images < 3 * classes:
        raise CrackvizError(f"max_images={max_images}: expected {3 * classes} (3 per class) or more, or 0 for all.")
    rng = _rng(seed)
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


# --- reading ----------------------------------------------------------------------------------------------


def read_image(path: str | Path, size: int | None = None) -> npt.NDArray[np.uint8]:
    """Read any picture as RGB, the way that every part of crackviz sees it (`PREPROCESSING` version 1).

    The first frame of an animation, turned upright as its EXIF data say; 16-bit samples scaled to 8 bits
    (65535 becomes 255; Pillow alone would clip); grey, palette, CMYK and others converted to RGB; transparent
    parts laid on white, as a page or a viewer shows them. Colour profiles are ignored. A file's content counts,
    not its suffix.

    Parameters
    ----------
    path : str or Path
    size : int, optional
        Resize to size x size by an antialiased triangle filter (Pillow's BILINEAR), without keeping the aspect ratio.

    Returns
    -------
    uint8 array (H, W, 3), 0 to 255

    Raises
    ------
    CrackvizError
        Naming the file: missing, no picture, truncated, over `MAX_PIXELS`, or samples of an unknown range.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise CrackvizError(f"{picture.width} x {picture.height} pixels exceed {MAX_PIXELS:,}: tile it")
            rgb = _to_rgb(ImageOps.exif_transpose(picture))
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise nearly anything on a damaged file
        reason = str(error).replace(repr(str(path)), "it") or type(error).__name__
        raise CrackvizError(f"{path} can't be read as a picture: {reason}. Replace or remove it.") from error
    if size is not None and rgb.size != (size, size):
        rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(rgb)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        samples = np.asarray(picture)
        if samples.min() < 0 or samples.max() > 65535 or picture.mode == "F":
            raise CrackvizError(f"{samples.dtype} samples of unknown range; save it with 8 or 16 bits")
        return Image.fromarray(((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _read_mask(path: str | Path, size: int | None = None) -> npt.NDArray[np.bool_]:
    # Thresholded after resizing: a pixel is crack where most of it is. Some sets write 1 instead of 255.
    samples = read_image(path).max(axis=2)
    grey = Image.fromarray(samples * np.uint8(255 if samples.max() <= 1 else 1))
    if size is not None and grey.size != (size, size):
        grey = grey.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(grey) > 127


def _parallel(task: Callable[[Item], Result], items: Sequence[Item], what: str) -> list[Result]:
    # Threads suffice: Pillow decodes and resizes outside the lock of the interpreter.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 2)) as pool:
        return list(progress(pool.map(task, items), what, len(items), hidden=len(items) <= 500))


def load_images(paths: Iterable[str | Path], size: int) -> npt.NDArray[np.float32]:
    """Read pictures into memory: float32 (N, size, size, 3) in [0, 1].

    More than 2 GiB (3,472 pictures of 227 pixels) is refused, as laptops have 8 and Keras makes copies:
    `pipeline` holds four times as many in the same room, and converts batch by batch.
    """
    paths = list(paths)
    if (need := len(paths) * size * size * 12) > MAX_ARRAY_BYTES:
        raise CrackvizError(
            f"{len(paths):,} pictures of {size} x {size} take {need / 2**30:.1f} GiB as one float32 array, more "
            f"than {MAX_ARRAY_BYTES / 2**30:g}. Use data.pipeline, a smaller size, or fewer pictures (max_images)."
        )
    images = np.empty((len(paths), size, size, 3), np.float32)
    _parallel(lambda i: np.divide(read_image(paths[i], size), 255, out=images[i]), range(len(paths)), "Reading")
    return images


def load_masks(paths: Iterable[str | Path], size: int) -> npt.NDArray[np.bool_]:
    """Read masks, white (over 127, or 1 of 0 and 1) where there is a crack: bool (N, size, size)."""
    masks = _parallel(lambda path: _read_mask(path, size), list(paths), "Reading masks")
    return np.stack(masks) if masks else np.empty((0, size, size), bool)


# --- checking ---------------------------------------------------------------------------------------------


def dhash(image: npt.NDArray[np.uint8]) -> bytes:
    """Difference hash of a picture (H, W, 3): 16 rows of 16 signs of steps in brightness, as 32 bytes.

    Copies, and crops shifted by a few pixels, differ in few of the 256 bits; unrelated textures in about 128.
    A picture without any texture hashes to zeros: blank ones all count as near-duplicates of one another.
    The cells are plain averages (box filter). N. Krawetz, "Kind of like that", 2013; THEORY.md, T1.
    """
    grey = Image.fromarray(image).convert("L").resize((17, 16), Image.Resampling.BOX)
    cells = np.asarray(grey)
    return np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes()


def near_duplicate_pairs(hashes: Sequence[bytes], max_distance: int = 12) -> npt.NDArray[np.int64]:
    """All pairs of 32-byte hashes within a Hamming distance: int64 (P, 2), i < j, in order.

    Exhaustive, in blocks: 40,000 hashes take seconds, since the distance of bits written as -1 and 1 is a
    matrix product, (256 - a.b) / 2, which float32 holds exactly.
    """
    bits = np.unpackbits(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32), axis=1)
    signs = bits.astype(np.float32) * 2 - 1
    limit, step, pairs = 256 - 2 * max_distance, 2048, [np.empty((0, 2), np.int64)]
    for top in range(0, len(signs), step):
        for left in range(top, len(signs), step):
            i, j = np.nonzero(signs[top : top + step] @ signs[left : left + step].T >= limit)
            near = np.stack([i + top, j + left], axis=1)
            pairs.append(near[near[:, 0] < near[:, 1]])
    found = np.concatenate(pairs)
    return found[np.lexsort((found[:, 1], found[:, 0]))]


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
            if mask and (truth := _read_mask(mask)).shape != image.shape[:2]:
                return f"its mask is {truth.shape[1]} x {truth.shape[0]}", 0, 0, b"", b"", label
        except CrackvizError as error:
            return str(error), 0, 0, b"", b"", label
        pixels = hashlib.blake2b(image.tobytes() + bytes(str(image.shape), "ascii"), digest_size=16).digest()
        return "", image.shape[1], image.shape[0], dhash(image), pixels, int(truth.any()) if mask else label

    if table.empty:
        raise CrackvizError("The table holds no picture: expected one from data.index.")
    rows = list(zip(table["path"], table["mask"], table["label"], strict=True))
    reason, width, height, hashes, pixels, label = map(list, zip(*_parallel(look, rows, "Checking"), strict=True))
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
        good["group"] = _merge_groups(good["group"], near_duplicate_pairs(good["hash"].tolist(), max_distance))
    return good


def _merge_groups(groups: pd.Series, pairs: npt.NDArray[np.int64]) -> list[str]:
    """Join groups that pairs connect (connected components), each named by its first member in the alphabet."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    codes, names = pd.factorize(groups, sort=True)
    edges = (np.ones(len(pairs), bool), (codes[pairs[:, 0]], codes[pairs[:, 1]]))
    _, component = connected_components(coo_array(edges, shape=(len(names), len(names))), directed=False)
    _, first = np.unique(component, return_index=True)
    return [str(names[first[component[code]]]) for code in codes]


# --- splitting --------------------------------------------------------------------------------------------


def split(table: Table, *, validation: float = 0.15, test: float = 0.15, seed: int = 0, grouped: bool = True) -> Table:
    """Add the column split ("train", "validation", "test"): stratified, every group in one of them alone.

    The table is cut into the fewest equal folds that meet the shares within one percent (scikit-learn's
    StratifiedGroupKFold), which are then dealt out. Where groups are few and large the shares are met as nearly
    as they can be; every split gets every class.

    Parameters
    ----------
    table : DataFrame
        Columns label and group, from `scan` (or `index`).
    validation, test : float
        Shares of the pictures; 0 leaves that split out. Together over 0 and below 1.
    seed : int
    grouped : bool
        False ignores the groups, and leaks: for showing what that does to a score, for nothing else.

    Raises
    ------
    CrackvizError
        Impossible shares, or too few groups for every class to be in every split.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    shares = np.array([1 - validation - test, validation, test])
    if not (min(validation, test) >= 0 and 0 < validation + test < 1):
        raise CrackvizError(f"validation={validation}, test={test}: expected shares of 0 or more, together below 1.")
    labels = table["label"].to_numpy()
    groups = table["group"].to_numpy() if grouped else np.arange(len(table))
    parts = int((shares > 0).sum())
    members = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    most = min(20, int(members.min())) if len(members) > 1 else 0
    rng = _rng(seed)
    fits = [n for n in range(parts, most + 1) if np.all(abs(np.round(shares[1:] * n) / n - shares[1:]) < 0.01)]
    for n in dict.fromkeys([*fits[:1], *range(most, parts - 1, -1)]):
        folds = np.empty(len(table), int)
        folder = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
        for number, (_, rows) in enumerate(folder.split(labels, labels, groups)):
            folds[rows] = number
        held = np.stack([np.bincount(folds[labels == label], minlength=n) for label in members.index], axis=1)
        counts = np.clip(np.round(shares[1:] * n), shares[1:] > 0, n - parts + 1).astype(int)
        pattern = np.repeat([0, 1, 2], [max(0, n - counts.sum()), *counts])[:n]
        deals = [rng.permutation(pattern) for _ in range(100)]
        totals = np.array([[held[deal == part].sum(axis=0) for part in range(3)] for deal in deals])
        whole = np.all(totals[:, shares > 0] > 0, axis=(1, 2))
        if whole.any():
            miss = np.abs(totals.sum(axis=2) / len(table) - shares).sum(axis=1)
            deal = deals[int(np.argmin(np.where(whole, miss, np.inf)))]
            done = table.assign(split=np.array(SPLITS)[deal[folds]])
            done.attrs["grouped"] = grouped
            return done
    raise CrackvizError(
        f"{len(table):,} pictures can't be split into {parts} parts that hold every class: groups per class are "
        f"{members.to_dict()}, and two or more classes with {parts} or more groups each are needed. A group is one "
        "photograph, or near-duplicates: add pictures taken elsewhere, or leave out a part (validation=0)."
    )


def check_split(table: Table) -> None:
    """Raise a CrackvizError that names the groups lying in more than one split, or an unknown split."""
    if "split" not in table or not set(table["split"]) <= set(SPLITS):
        raise CrackvizError(f"The table needs a column split with {', '.join(SPLITS)}: use data.split.")
    parts = table.groupby("group")["split"].nunique()
    if len(leaking := parts.index[parts > 1]):
        raise CrackvizError(
            f"The split leaks: {len(leaking):,} groups lie in more than one part ({', '.join(leaking[:5])}"
            f"{', ...' if len(leaking) > 5 else ''}), so that the test asks what was learned by heart. "
            "Make it anew with data.split."
        )


def write_split(table: Table, path: str | Path) -> None:
    """Write a table with a split as CSV, whole or not at all; the first line holds root, class_names and more.

    Paths are written relative to the root, so that the file serves on another machine too: see `read_split`.
    """
    if "root" not in table.attrs:
        raise CrackvizError("The table has lost its attrs (root, class_names): expected one from data.split.")
    if table.attrs.get("grouped", True):
        check_split(table)

    def bare(name: str) -> str:
        return Path(name).relative_to(table.attrs["root"]).as_posix() if name else ""

    skipped = [{**entry, "path": bare(entry["path"])} for entry in table.attrs.get("skipped", [])]
    head = "# " + json.dumps({**table.attrs, "skipped": skipped})
    plain = table.assign(path=table["path"].map(bare), mask=table["mask"].map(bare))
    if "hash" in plain:
        plain["hash"] = [value.hex() for value in table["hash"]]
    part = Path(f"{path}.part-{os.getpid()}")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{head}\n{plain.to_csv(index=False)}", encoding="utf-8", newline="")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise CrackvizError(f"{path} can't be written: {error}. Free some space, or name another folder.") from error


def read_split(path: str | Path, root: str | Path | None = None) -> Table:
    """Read what `write_split` wrote: the same table, with the pictures looked for in `root` if it is named.

    Raises
    ------
    CrackvizError
        No such file, another kind of file, pictures that are gone, or a leak (unless made with grouped=False).
    """
    try:
        head, body = Path(path).read_text(encoding="utf-8-sig").split("\n", 1)
        attrs = json.loads(head.removeprefix("# "))
        names = {"group": str, "path": str, "mask": str}
        table = pd.read_csv(io.StringIO(body), keep_default_na=False, dtype=names)  # "NA.jpg" is a name
        home = Path(root).expanduser().absolute() if root is not None else Path(attrs["root"])
        for column in ("path", "mask"):
            table[column] = [str(home / name) if name else "" for name in table[column]]
        if "hash" in table:
            table["hash"] = pd.Series([bytes.fromhex(value) for value in table["hash"]], dtype=object)
        skipped = [{**entry, "path": str(home / entry["path"])} for entry in attrs["skipped"]]
        attrs |= {"root": str(home), "class_names": tuple(attrs["class_names"]), "skipped": skipped}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CrackvizError(f"{path} is not a file of data.write_split ({error}). Make one with data.split.") from error
    table.attrs = attrs
    if gone := [name for name in table["path"] if not Path(name).is_file()]:
        raise CrackvizError(
            f"{len(gone):,} of {len(table):,} pictures of {path} are not there, {gone[0]} for one. "
            "Name the folder that holds them: read_split(path, root=folder)."
        )
    if attrs.get("grouped", True):
        check_split(table)
    return table


def prepare(folder: str | Path, path: str | Path, *, max_images: int = 0, seed: int = 0) -> Table:
    """Return a run's table with its split: read from `path` where it was made in the same way, else made and written.

    Made by `index`, `scan` and `split`, with their defaults. This is the notebooks' way in, which explain one class
    against another; sets of more classes are read by the three functions themselves.

    Parameters
    ----------
    folder : str or Path
        The data set, as `index` takes it.
    path : str or Path
        The run's ``split.csv``.
    max_images : int
        Keep about that many, see `subset`; 0 keeps all.
    seed : int
        Chooses the subset and the split.

    Returns
    -------
    DataFrame
        As `split` returns it.

    Raises
    ------
    CrackvizError
        As `index`, `scan`, `split` and `write_split`, and where there are more than two classes.
    """
    made_from = {"root": str(locate(folder)), "max_images": max_images, "seed": seed, "preprocessing": PREPROCESSING}
    with contextlib.suppress(OSError, ValueError):
        head = Path(path).read_text(encoding="utf-8").split("\n", 1)[0]
        if json.loads(head.removeprefix("# ")).get("made_from") == made_from:
            return read_split(path)
    found = index(folder, max_images=max_images, seed=seed)
    if len(names := found.attrs["class_names"]) != 2:
        raise CrackvizError(
            f"{made_from['root']} holds {len(names)} classes ({', '.join(names)[:200]}); the notebooks explain two. "
            "Name a folder of two classes, or use data.index, scan and split, which take any number."
        )
    table = split(scan(found), seed=seed)
    table.attrs["made_from"] = made_from
    write_split(table, path)
    return table


# --- feeding ----------------------------------------------------------------------------------------------


def pipeline(
    table: Table,
    size: int,
    *,
    batch_size: int = 32,
    seed: int | None = None,
    epochs: int = 1,
    first_epoch: int = 0,
) -> Any:
    """Feed a training or an evaluation: a `tf.data.Dataset` of (images, labels).

    Every picture is decoded once, at the call, in parallel, and kept as uint8: METU's 40,000 at 227 pixels
    take 6.2 GB (24.7 GB as float32, hence the conversion batch by batch). The order of epoch e depends on
    (seed, e) alone, so that a training resumed at first_epoch=k sees exactly what it would have seen.

    Parameters
    ----------
    table : DataFrame
        Columns path and label; ``attrs["class_names"]`` tells two classes from more.
    size : int
        Side of the pictures, see `read_image`.
    batch_size : int
        The last batch of an epoch may be smaller.
    seed : int, optional
        None: in the table's order, in every epoch.
    epochs, first_epoch : int
        One stream of the epochs first_epoch, ..., epochs - 1.

    Returns
    -------
    tf.data.Dataset
        Images float32 (B, size, size, 3) in [0, 1]; labels float32 (B, 1), or int32 (B,) for three or more
        classes.

    Raises
    ------
    CrackvizError
        An empty table, a picture that can't be read (`scan` drops these), or more than the machine's memory.
    """
    import tensorflow as tf

    if table.empty or not 0 <= first_epoch < epochs or batch_size < 1 or (seed or 0) < 0:
        raise CrackvizError(
            f"Nothing to feed: {len(table)} pictures, {batch_size=}, {seed=}, {first_epoch=}, {epochs=}; expected "
            "pictures, batch_size of 1 or more, seed of 0 or more, and first_epoch below epochs."
        )
    paths, n = table["path"].tolist(), len(table)
    _check_memory(n * size * size * 3)
    images = np.empty((n, size, size, 3), np.uint8)
    _parallel(lambda i: np.copyto(images[i], read_image(paths[i], size)), range(n), "Reading")
    labels = table["label"].to_numpy(np.int32)
    binary = len(table.attrs.get("class_names", CLASS_NAMES)) == 2
    labels = labels.astype(np.float32)[:, None] if binary else labels

    def order(epoch: Any) -> npt.NDArray[np.int64]:
        return np.arange(n) if seed is None else _rng(seed, int(epoch)).permutation(n)

    def batches(epoch: Any) -> Any:
        rows = tf.ensure_shape(tf.numpy_function(order, [epoch], tf.int64), [n])
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size)

    # Gathered in NumPy, as a tensor of the whole set would be a second copy of it. TensorFlow never lets go of a
    # Python function that it was given: hence the weak reference, and the dataset as the owner of the pictures.
    kept: Callable[[], Any] = weakref.ref(images)

    def gather(rows: Any) -> tuple[Any, Any]:
        taken = tf.numpy_function(lambda chosen: kept()[chosen], [rows], tf.uint8)
        x = tf.ensure_shape(taken, [None, size, size, 3])
        return tf.cast(x, tf.float32) / 255.0, tf.gather(labels, rows)

    stream = tf.data.Dataset.range(first_epoch, epochs).flat_map(batches)
    stream = stream.map(gather, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    stream = stream.apply(tf.data.experimental.assert_cardinality((epochs - first_epoch) * math.ceil(n / batch_size)))
    stream = stream.prefetch(2)
    stream.pictures = images
    return stream


def _check_memory(need: int) -> None:
    try:
        there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    if need > 0.8 * there:
        raise CrackvizError(
            f"The pictures take {need / 2**30:.1f} GiB, this machine has {there / 2**30:.1f}. Use a smaller size, "
            "or fewer pictures (max_images)."
        )


def augmentation(
    seed: int = 0,
    *,
    flip: bool = True,
    rotation: float = 0.25,
    contrast: float | tuple[float, float] = 0.2,
    brightness: float = 0.1,
    zoom: float | tuple[float, float] = 0.1,
    grey: float = 0.0,
    blur: float = 0.0,
    noise: float = 0.0,
) -> Any:
    """Make Keras layers that vary pictures in [0, 1] at random, in training only (``training=True``).

    Parameters
    ----------
    seed : int
        Fixes the sequence of variations; a fresh copy repeats it.
    flip : bool
        Left-right and upside down: a crack has no upright position.
    rotation : float
        Up to that share of a full turn, either way; what comes in at the border is reflected.
    contrast, brightness : float
        Up to that share, either way; for `contrast` a pair (down, up), too. 0 leaves the layer out.
    zoom : float or (float, float)
        Up to that share, either way. A pair runs from the first, below 0, which magnifies, to the second, which shows
        more than the picture, reflected at its borders: (-0.2, 0.8) draws lengths from 1.25 to 0.56 of their own.
        0 leaves it out.
    grey : float
        Up to that share of the colour is taken out, in [0, 1]; 0 leaves it out.
    blur : float
        Share of the pictures that are blurred, by a Gaussian of at most 1 px, in [0, 1]; 0 leaves it out.
    noise : float
        Standard deviation of the noise that is added to each pixel and channel; 0 leaves it out.

    Returns
    -------
    keras.Sequential
        (B, H, W, 3) float32 in [0, 1] to the same; with `noise`, a little beyond.
    """
    import keras
    from keras import layers

    chosen = [
        layers.RandomFlip("horizontal_and_vertical", seed=seed) if flip else None,
        layers.RandomRotation(rotation, fill_mode="reflect", seed=seed + 1) if rotation else None,
        layers.RandomZoom(zoom, fill_mode="reflect", seed=seed + 2) if zoom else None,
        layers.RandomContrast(contrast, value_range=(0.0, 1.0), seed=seed + 3) if contrast else None,
        layers.RandomBrightness(brightness, value_range=(0.0, 1.0), seed=seed + 4) if brightness else None,
        layers.RandomColorDegeneration(grey, value_range=(0.0, 1.0), seed=seed + 5) if grey else None,
        layers.RandomGaussianBlur((blur, blur), 5, (0.3, 1.0), value_range=(0.0, 1.0), seed=seed + 6) if blur else None,
        layers.GaussianNoise(noise, seed=seed + 7) if noise else None,
    ]
    return keras.Sequential([layer for layer in chosen if layer] or [layers.Identity()], name="augmentation")


def fetch_metu() -> Path:
    """Download METU's 40,000 patches (235 MB) from Kaggle, check them, and return their folder.

    Needs the optional extra kagglehub: ``pip install kagglehub``. Kept in kagglehub's cache, so done once.

    Raises
    ------
    CrackvizError
        kagglehub missing, no connection, or another content than the published one.
    """
    try:
        import kagglehub

        folder = Path(kagglehub.dataset_download("arunrk7/surface-crack-detection"))
    except Exception as error:  # kagglehub passes on whatever its HTTP libraries raise
        hint = "Install it with pip install kagglehub, or" if isinstance(error, ImportError) else "You can"
        raise CrackvizError(f"METU was not fetched ({error}). {hint} download it by hand.\n{_METU}") from error
    return _check_metu(folder)


def _check_metu(folder: Path) -> Path:
    table = index(folder)
    found = {Path(p).relative_to(folder).as_posix(): Path(p) for p in table["path"]}
    by_name = {"/".join(Path(name).parts[-2:]): path for name, path in found.items()}
    counts = table["label"].value_counts().to_dict()
    wrong = [
        name
        for name, sha256 in _METU_SHA256.items()
        if name not in by_name or hashlib.sha256(by_name[name].read_bytes()).hexdigest() != sha256
    ]
    if counts != {0: 20_000, 1: 20_000} or wrong:
        raise CrackvizError(
            f"{folder} is not METU as published: {counts} pictures per class instead of 20,000 each; missing or "
            f"different: {', '.join(wrong) or 'none of those checked'}. Delete the folder and fetch it again."
        )
    return folder
