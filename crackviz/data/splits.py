"""Training, validation and test parts that no photograph and no near-duplicate straddles."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.contracts import check_flag, check_number
from crackviz.files import replacing

SPLITS = ("train", "validation", "test")
Table = pd.DataFrame
MOST_SEED = 2**31  # scikit-learn and Keras take up to 2**32, and notebooks add a little


def generator(*seed: int) -> np.random.Generator:
    """Return NumPy's random generator for a seed of one or more numbers."""
    for number in seed:
        check_number("seed", number, 0, MOST_SEED, whole=True)
    return np.random.default_rng(seed)


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

    check_flag("grouped", grouped)
    for name, share in (("validation", validation), ("test", test)):
        check_number(name, share, 0, 1)
    shares = np.array([1 - validation - test, validation, test])
    if not 0 < validation + test < 1:
        raise CrackvizError(f"validation={validation}, test={test}: expected shares of 0 or more, together below 1.")
    labels = table["label"].to_numpy()
    groups = table["group"].to_numpy() if grouped else np.arange(len(table))
    parts = int((shares > 0).sum())
    members = pd.DataFrame({"label": labels, "group": groups}).groupby("label")["group"].nunique()
    most = min(20, int(members.min())) if len(members) > 1 else 0
    rng = generator(seed)
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
        try:
            return Path(name).relative_to(table.attrs["root"]).as_posix() if name else ""
        except ValueError:
            raise CrackvizError(f"{name} doesn't lie below {table.attrs['root']}, the root of the table.") from None

    skipped = [{**entry, "path": bare(entry["path"])} for entry in table.attrs.get("skipped", [])]
    head = "# " + json.dumps({**table.attrs, "skipped": skipped})
    plain = table.assign(path=table["path"].map(bare), mask=table["mask"].map(bare))
    if "hash" in plain:
        plain["hash"] = [value.hex() for value in table["hash"]]
    with replacing(Path(path)) as part:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(f"{head}\n{plain.to_csv(index=False)}", encoding="utf-8", newline="")


def _check_columns(table: Table, names: tuple[str, ...]) -> None:
    """Raise a ValueError unless each row has a label that has a name, and a hash as long as the others'."""
    if len(names) < 2 or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"the class names are {names}")
    if table["label"].dtype.kind not in "iu" or not table["label"].between(0, len(names) - 1).all():
        odd = next(label for label in table["label"] if str(label) not in map(str, range(len(names))))
        raise ValueError(f"a label is {odd!r}, and there are {len(names)} classes")
    if "hash" in table and len(set(map(len, table["hash"]))) > 1:
        raise ValueError("a hash has another length than the others")


def read_split(path: str | Path, root: str | Path | None = None, *, pictures: bool = True) -> Table:
    """Read what `write_split` wrote: the same table.

    The pictures are looked for in the folder `root`, by default where they were. With `pictures` False they needn't be
    there: that serves to know which picture lay in which part, by its hash. A CrackvizError for no such file, another
    kind of file, pictures that are gone, or a leak (unless made with grouped=False).
    """
    check_flag("pictures", pictures)
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
        if isinstance(attrs["class_names"], str):
            raise ValueError("the class names are one text")
        attrs |= {"root": str(home), "class_names": tuple(attrs["class_names"]), "skipped": skipped}
        _check_columns(table, attrs["class_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CrackvizError(f"{path} is not a file of data.write_split ({error}). Make one with data.split.") from error
    table.attrs = attrs
    if pictures and (gone := [name for name in table["path"] if not Path(name).is_file()]):
        raise CrackvizError(
            f"{len(gone):,} of {len(table):,} pictures of {path} are not there, {gone[0]} for one. "
            "Name the folder that holds them: read_split(path, root=folder)."
        )
    if attrs.get("grouped", True):
        check_split(table)
    return table
