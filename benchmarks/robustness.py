"""Bad input and faults, by the hundred: each ends right, or in a message that says what to do.

    python benchmarks/robustness.py                       all groups; the kills take some 15 s each
    python benchmarks/robustness.py arrays damaged        some of them
    python benchmarks/robustness.py kills --kills 100     more kills

What is right is known of every case beforehand. The outcomes: right; a clear error (a CrackvizError); traceback (any
other exception); silent wrong (an answer that isn't the right one); hang (over 20 s); lost (what a kill has left can't
be gone on with); half-written (a file with its final name that can't be read). The table goes to
results/robustness.json.
"""

from __future__ import annotations

import argparse
import io
import json
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _damaged import damaged
from _kills import kills
from PIL import Image

from crackviz import CrackvizError, data, evaluation, series
from crackviz.bootstrap import Bootstrap
from crackviz.series.grid import MOST, Grid

RESULTS = Path(__file__).parent / "results" / "robustness.json"
OUTCOMES = ("right", "clear error", "traceback", "silent wrong", "hang", "lost", "half-written")
Case = tuple[str, Callable[[], Any], Callable[[Any], bool] | None]
"""A name, what is done, and whether its answer is right; None where only a CrackvizError is right."""


class _Hang(BaseException):
    """The case took too long."""


def outcome(case: Case, seconds: int = 20) -> tuple[str, str]:
    """Return how a case ends, and what was said."""

    def late(*_: object) -> None:
        raise _Hang

    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        with warnings.catch_warnings(action="ignore"):
            answer = case[1]()
        if isinstance(answer, str) and answer in OUTCOMES:  # a process that was killed tells by itself
            return answer, ""
        right = case[2] is not None and case[2](answer)
        return ("right", "") if right else ("silent wrong", f"{answer!r:.200}")
    except CrackvizError as error:
        return "clear error", str(error)[:200]
    except _Hang:
        return "hang", ""
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"[:200]
    finally:
        signal.alarm(0)


# --- groups of cases --------------------------------------------------------------------------------------------------


def arrays(place: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Every method of attribution with images that it must refuse, and some that it must take."""
    from crackviz import attribution, models

    model, flexible = models.gap_cnn(32), models.gap_cnn(None)
    good = rng.random((2, 32, 32, 3)).astype(np.float32)
    wrong = {
        "one image": good[0],
        "uint8": (good * 255).astype(np.uint8),
        "float64": good.astype(float),
        "255": good * 255,
        "negative": good - 0.5,
        "NaN": np.where(good > 0.9, np.nan, good).astype(np.float32),
        "empty": good[:0],
        "inf": np.where(good > 0.9, np.inf, good).astype(np.float32),
        "grey": good[..., :1],
        "RGBA": good[..., [0, 1, 2, 0]],
        "text": np.array([["a"]]),
        "None": None,
        "object": good.astype(object),
        "channels first": good.transpose(0, 3, 1, 2),
        "no pixels": good[:, :0, :0],
    }
    for name, method in attribution.METHODS.items():
        for what, images in wrong.items():
            yield f"{name}: {what}", lambda m=method, x=images: m(model, x), None
        for what, options in {"1 x 1": (1, 1), "2 x 64": (2, 64)}.items():
            yield (
                f"{name}: {what} px",
                lambda m=method, s=options: m(flexible, good[:, : s[0], : s[1]]),
                lambda a: a.ndim == 3,
            )
        for what in ("target", "layer"):
            yield f"{name}: {what}=1.5", lambda m=method, w=what: m(model, good, **{w: 1.5}), None


def numbers(place: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Labels, probabilities, weights and groups that can't be; scores that are known."""
    labels, said = rng.integers(0, 2, 40), rng.random(40)
    odd = {"NaN": np.nan, "inf": np.inf, "-0.1": -0.1, "1.1": 1.1, "text": "a", "None": None}
    for what, value in odd.items():
        spoilt = said.astype(object)
        spoilt[3] = value
        spoilt = spoilt.astype(float) if isinstance(value, float) else spoilt
        for use in (
            evaluation.evaluate,
            evaluation.calibration_error,
            evaluation.precision_at,
            evaluation.threshold_for,
        ):
            more: dict[str, Any] = {}
            if use is evaluation.precision_at:
                more = {"prevalence": 0.1}
            if use is evaluation.threshold_for:
                more = {"recall": 0.9}
            yield f"{use.__name__}: probability {what}", lambda u=use, s=spoilt, m=more: u(labels, s, **m), None
    for what, bad in {
        "0.5": labels * 0.5,
        "2-D": labels[:, None],
        "text": labels.astype(str),
        "inf": labels + np.inf,
        "-1": labels - 1,
        "None": None,
        "short": labels[:7],
        "empty": labels[:0],
        "all 1": labels * 0 + 1,
    }.items():
        refused = what != "all 1"
        yield f"evaluate: labels {what}", lambda b=bad: evaluation.evaluate(b, said), None if refused else bool
        yield f"cost_curve: labels {what}", lambda b=bad: evaluation.cost_curve(b, said, cost_of_missing=2), None
        yield f"compare: labels {what}", lambda b=bad: evaluation.compare(b, labels, labels), None if refused else bool
    for name, values in {
        "resamples": (1.5, -1, "a", None),
        "seed": (-1, 1.5, "a"),
        "confidence": (0, 1, 95, "a", np.nan),
    }.items():
        for value in values:
            yield f"Bootstrap: {name}={value!r}", lambda n=name, v=value: Bootstrap(**{n: v}), None
    for count in (1, 2, 4, 5, 9):
        drawn = Bootstrap(np.arange(40) % count, 50)
        yield (
            f"evaluate: {count} groups",
            lambda d=drawn: evaluation.evaluate(labels, said, bootstrap=d)["scores"]["accuracy"]["low"],
            lambda low, c=count: (low is not None) == (c >= 5),
        )
    for right in (0, 40):
        answers = labels if right else 1 - labels
        drawn = Bootstrap(resamples=50)
        yield (
            f"evaluate: {right} of 40 right",
            lambda a=answers, d=drawn: evaluation.evaluate(labels, a * 0.8 + 0.1, bootstrap=d)["scores"]["accuracy"],
            lambda a: 0 <= a["low"] < a["high"] <= 1,
        )


def pictures(place: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Pictures cut and with bytes turned, in each format: read in their size, or named."""
    pixels = rng.integers(0, 255, (24, 32, 3), np.uint8)

    def like(answer: Any) -> bool:
        return answer.dtype == np.uint8 and answer.ndim == 3 and answer.shape[2] == 3 and answer.size > 0

    for kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "PPM"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        whole = file.getvalue()
        for number in range(16):
            content = bytearray(whole)
            if number % 2:
                content = content[: int(rng.integers(0, len(whole)))]
            else:
                for _ in range(1 + number):
                    content[int(rng.integers(len(content)))] = int(rng.integers(256))
            path = place / f"{number}.{kind.lower()}"
            path.write_bytes(content)
            yield f"{kind} {'cut' if number % 2 else 'turned'} {number}", lambda p=path: data.read_image(p), like
    for size in (0, -1, 1.5, "a", True, 10**9):
        yield f"size {size!r}", lambda s=size: data.read_image(place / "0.png", s), None


def folders(place: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Random trees: a class that is named so is read so, whatever lies beside it."""
    names = (
        "crack",
        "no_crack",
        "Positive",
        "Negative",
        "train",
        "test",
        "a b",
        "ü",
        ".hidden",
        "__MACOSX",
        "images",
        "x",
    )
    files = ("1.jpg", "2.PNG", "notes.txt", "Thumbs.db", "\udcfc.jpg", "line\nbreak.jpg", ".dot.jpg", "3.jpg")
    picture = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).save(picture, "JPEG")
    for number in range(60):
        root = place / f"tree{number}"
        for name in names[:2] if number % 2 else ():  # half of them hold what is wanted, and the rest beside it
            (root / name).mkdir(parents=True)
            (root / name / "0.jpg").write_bytes(picture.getvalue())
        for _ in range(int(rng.integers(1, 7))):
            folder = root.joinpath(*rng.choice(names, int(rng.integers(1, 4))))
            folder.mkdir(parents=True, exist_ok=True)
            for name in rng.choice(files, int(rng.integers(0, 5))):
                (folder / name).write_bytes(picture.getvalue())

        def labelled(table: Any) -> bool:
            told = {"crack": 1, "positive": 1, "no_crack": 0, "negative": 0}
            for path, label in zip(table["path"], table["label"], strict=True):
                deep = [
                    told[part.lower()]
                    for part in Path(path).relative_to(table.attrs["root"]).parts
                    if part.lower() in told
                ]
                if deep and deep[-1] != label and table.attrs["class_names"][:2] == ("no_crack", "crack"):
                    return False
            return len(table) > 0

        yield f"tree {number}", lambda r=root: data.index(r), labelled


def grids(place: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Grids of all sizes: as many folders as points, or refused before they are expanded."""
    for number in range(60):
        axes: dict[str, Any] = {}
        for axis in range(int(rng.integers(0, 5))):
            many = int(rng.choice([0, 1, 2, 7, 300, 10**5], p=[0.05, 0.2, 0.4, 0.25, 0.05, 0.05]))
            kinds = ([round(float(v), 3) for v in rng.random(many)], list(range(many)), [f"a/{n}" for n in range(many)])
            axes[f"axis{axis}"] = kinds[int(rng.integers(3))]
        size = int(np.prod([len(values) for values in axes.values()])) if axes else 0
        twice = any(len(set(values)) < len(values) for values in axes.values())
        fine = 0 < size <= MOST and not twice
        yield (
            f"grid {number} of {size:,}",
            lambda a=axes: len(Grid(a).points()),
            (lambda n, s=size: n == s) if fine else None,
        )
    for what, values in {"1 and 1.0": [1, 1.0], "True twice": [True, True], "a text": "abc", "a number": 3}.items():
        yield f"axis of {what}", lambda v=values: Grid({"a": v}).points(), None


# --- all of them -----------------------------------------------------------------------------------------------------

GROUPS = {f.__name__: f for f in (arrays, numbers, pictures, folders, damaged, grids, kills)}


def measure(groups: list[str], *, times: int = 24, seed: int = 0, every: int = 1) -> dict[str, Any]:
    """Try the cases of some groups, each or every so many; return the counts, and what wasn't as wanted."""
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    for group in groups:
        counts[group] = Counter()
        with tempfile.TemporaryDirectory(prefix="crackviz-robust-") as place:
            more = {"count": times} if group == "kills" else {}
            for number, case in enumerate(GROUPS[group](Path(place), np.random.default_rng(seed), **more)):
                if number % every:
                    continue
                try:
                    ended, said = outcome(case, 600 if group == "kills" else 20)
                except KeyboardInterrupt:  # what was counted is kept
                    break
                counts[group][ended] += 1
                if ended not in ("right", "clear error"):
                    wrong.append(f"[{group}] {case[0]} -> {ended}: {said}")
                    print(wrong[-1], flush=True)
    return {
        "counts": {group: {name: found[name] for name in OUTCOMES} for group, found in counts.items()},
        "wrong": wrong,
    }


def main() -> None:
    """Try the groups that are named, print the table, and keep it beside those that weren't tried."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="all by default")
    parser.add_argument("--kills", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    found = measure(given.groups or list(GROUPS), times=given.kills, seed=given.seed)
    before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"counts": {}, "wrong": []}
    kept = [line for line in before["wrong"] if line[1:].split("]")[0] not in found["counts"]]
    counts = before["counts"] | found["counts"]
    total = {name: sum(of[name] for of in counts.values()) for name in OUTCOMES}
    series.write_json(
        RESULTS, {"counts": counts, "total": total, "cases": sum(total.values()), "wrong": kept + found["wrong"]}
    )
    for group, of in {**counts, "all": total}.items():
        print(f"{group:10}", *(f"{of[name]:6} {name}" for name in OUTCOMES))


if __name__ == "__main__":
    main()
