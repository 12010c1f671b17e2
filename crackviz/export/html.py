"""One HTML page: the network in plain JavaScript, a picture chosen or taken, its probability and its map."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
from PIL import Image
from scipy.special import expit

from crackviz import ROOT, CrackvizError, synthetic
from crackviz.export.checking import PICTURES, Answers, Run, odds, pictures
from crackviz.export.explained import Explained, in_parts, limits_in_words
from crackviz.export.layers import to_javascript
from crackviz.files import in_base64, render
from crackviz.inspection import novelty
from crackviz.inspection.brief import jpeg
from crackviz.inspection.tiles import WINDOW

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SCRIPTS = ("page_layers.js", "page_picture.js", "page_unlike.js")
"""What workers need, too."""
VIEW = ("page_paint.js", "page_view.js", "page_start.js")
UNCHECKED = "not run here, as there is no Chromium; the page checks itself whenever it is opened"
DIGITS = (20, 22, 24)
"""Binary digits that a page can keep of a weight, the first of which isn't 0: float32 has 24, float16 11."""
MOVED = {"logit": 5e-5, "map": 5e-7}
"""What leaving digits out may change of drawn patches' answers: half of what is allowed to a page."""
_CHECKED = 3
"""Pictures of a formula that the page asks itself about when it is opened."""


def write(made: Explained, path: Path, quantize: str = "") -> None:
    """Write the page: as it is read, with its scripts, weights and texts, and nothing that is fetched."""
    if made.bias.size != 1:
        raise CrackvizError(f"A page shows one map; this network tells {made.bias.size} classes apart. Take onnx.")
    if made.image_size is None:
        raise CrackvizError("A page has windows of one size: give image_size, such as 128.", "size")
    code, weights = to_javascript(made.source, made.has_map)
    digits = 11 if quantize == "float16" else enough_digits(made)
    packed = pack(np.concatenate([rounded(values, digits).ravel() for values in weights.values()]))
    scripts = "\n".join((ROOT / "templates" / name).read_text("utf-8") for name in SCRIPTS)
    view = "\n".join((ROOT / "templates" / name).read_text("utf-8") for name in VIEW)
    drawn = _example(made.image_size)
    facts = {
        "side": made.image_size,
        "threshold": made.about["threshold"],
        "hasMap": made.has_map,
        "network": made.about["network"],
        "count": sum(values.size for values in weights.values()),
        "bytes": len(packed),
        "digits": digits,
        "weights": {name: list(place) for name, place in _places(weights).items()},
        "usual": _usual(),
        "drawn": drawn["square"],
        "selfCheck": _self_check(made, tolerance=0.5 if quantize else 1e-3),
    }
    render(
        "page.html",
        path,
        about=made.about,
        facts=_json(facts),
        metadata=_json(made.about),
        layers=scripts,
        network=code,
        view=view,
        blob=base85(packed),
        example=drawn["jpeg"],
        limits=limits_in_words(made.about),
        rows=_rows(made.about),
    )


def enough_digits(made: Explained) -> int:
    """Return the fewest of `DIGITS` that move Keras' own answers no more than `MOVED`; more than 24 there aren't."""
    images, weights = pictures(made.image_size, PICTURES // 2), made.model.get_weights()
    wanted, copy = made(images), keras.models.clone_model(made.model)
    for digits in DIGITS[:-1]:
        copy.set_weights([rounded(values, digits) for values in weights])
        found = in_parts(lambda some: copy(some, training=False), images)
        moved = {"logit": np.abs(odds(found["probability"]) - odds(wanted["probability"])).max()}
        if made.has_map:
            apart = found["map"].astype(np.float64) - wanted["map"]
            moved["map"] = np.abs(apart).max()
            moved["logit"] = max(moved["logit"], np.abs(apart.sum(axis=(1, 2))).max())
        if all(value <= MOVED[name] for name, value in moved.items()):
            return digits
    return DIGITS[-1]


def rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """Round float32 numbers to so many binary digits, the first of which isn't 0; float32 itself has 24, float16 11."""
    parts, exponents = np.frexp(np.asarray(values, np.float32))
    return np.ldexp(np.rint(np.ldexp(parts, bits)), exponents - bits).astype(np.float32)


def pack(values: np.ndarray) -> bytes:
    """Deflate float32 numbers: all exponents, then signs with the first seven digits, and so on, byte by byte."""
    bits = values.astype("<f4").view("<u4")
    exponents, signs, digits = (bits << 1) & 0xFF000000, (bits >> 31) << 23, bits & 0x7FFFFF
    planes = (exponents | signs | digits).astype(">u4").view(np.uint8).reshape(-1, 4).T.tobytes()
    packer = zlib.compressobj(9, strategy=zlib.Z_RLE)  # other repeats than of zeros are chance, and cost more
    return packer.compress(planes) + packer.flush()


def base85(content: bytes) -> str:
    """Return bytes as text that can stand in a script: base 85 with a full stop for "<", filled up to whole words."""
    return base64.b85encode(content, pad=True).decode("ascii").replace("<", ".")


def _places(weights: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    places, start = {}, 0
    for name, values in weights.items():
        places[name] = (start, values.size)
        start += values.size
    return places


def _json(value: Any) -> str:
    """Return JSON that may stand in a script: no tag can end there."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _usual() -> dict[str, Any]:
    """Return what is usual, as :func:`crackviz.inspection.novelty.distance` has it, for the page to measure from."""
    usual = novelty.usual()
    root = np.linalg.cholesky(usual.precision)
    return {
        "side": WINDOW,
        "limit": usual.limit,
        "mean": _short(usual.mean),
        "spread": _short(np.sqrt(np.diag(np.linalg.inv(usual.precision)))),
        "root": [_short(row[: number + 1]) for number, row in enumerate(root)],
    }


def _short(values: np.ndarray) -> list[float]:
    return [float(f"{value:.8g}") for value in values]


def formula_picture(number: int, side: int) -> np.ndarray:
    """Return a picture that the page can make as well, uint8 (side, side, 3): noise, and mostly a dark line."""
    y, x = np.mgrid[:side, :side].astype(np.int64)
    noise = (x * x * 7 + y * y * 13 + x * y * 5 + (x + 3 * y) * (number + 1) * 17) % 31
    grey = 150 + noise - (90 * ((np.abs(x - y - number * 9) < 3) & (number % 3 > 0)))
    return np.repeat(grey[..., np.newaxis], 3, axis=-1).astype(np.uint8)


def _self_check(made: Explained, tolerance: float) -> dict[str, Any]:
    side = made.image_size or 0
    images = np.stack([formula_picture(number, side) for number in range(_CHECKED)]).astype(np.float32) / 255
    return {"logits": [float(value) for value in made.logits(images).ravel()], "tolerance": tolerance}


def _example(side: int) -> dict[str, Any]:
    """Return a drawn photograph, a JPEG in base64, to try the page on, and the square that its crack fills most."""
    wide, tall = 416, 312  # small, as a page of 700 kB or less is easily sent
    drawn = synthetic.photograph(4, size=(wide, tall))
    size = min(side, 256)
    places = [(int(drawn.mask[y : y + size, x : x + size].sum()), x, y)
              for y in range(0, tall + 1 - size, 8) for x in range(0, wide + 1 - size, 8)]  # fmt: skip
    _, x, y = max(places)
    return {"jpeg": jpeg(Image.fromarray(drawn.image), 70), "square": {"x": x, "y": y, "size": size}}


def _rows(about: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what the page says about its network, in words."""
    names = about["class_names"]
    return [
        ("network", about["network"]),
        ("labels", ", ".join(f"{number} {name}" for number, name in enumerate(names))),
        ("picture", f"a square, made {about['side']} pixels wide"),
        ("threshold", f"{about['threshold']:g}"),
        ("trained on", about["trained_on"] or "not stated"),
        ("calibration", f"temperature {about['temperature']:g}"),
        ("licence", about["licence"]),
        ("made by", about["made_by"]),
    ]


def browser() -> str:
    """Return the command of a Chromium that is installed; "" where there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), "")


def runner(path: Path, made: Explained) -> Run | None:
    """Return images -> answers, by the page in a Chromium without a window; None where there is no Chromium.

    The pictures are written into a copy of the page, whose answers are read from it. More than sixteen are asked about
    in several copies.
    """
    command = browser()
    if not command:
        return None

    def run(images: np.ndarray) -> Answers:
        answers = [_ask(command, path, images[i : i + PICTURES]) for i in range(0, len(images), PICTURES)]
        logits = np.concatenate([np.asarray(one["logits"], np.float64) for one in answers])
        found = {"probability": expit(logits)[:, np.newaxis]}
        if made.has_map:
            maps = [np.frombuffer(base64.b64decode(text), "<f4") for one in answers for text in one["maps"]]
            found["map"] = np.stack(maps).reshape(len(images), *answers[0]["size"])
        return found

    return run


def _ask(command: str, path: Path, images: np.ndarray) -> dict[str, Any]:
    asked = {"bytes": in_base64(np.ascontiguousarray(images, "<f4").tobytes()), "count": len(images)}
    with tempfile.TemporaryDirectory(prefix="crackviz-") as place:
        copy = Path(place) / "page.html"
        question = f'<script id="asked" type="application/json">{_json(asked)}</script>'
        copy.write_text(path.read_text("utf-8").replace("<body>", f"<body>{question}", 1), encoding="utf-8")
        flags = ["--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--dump-dom"]
        flags += ["--no-sandbox"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        flags += ["--disable-background-networking", f"--user-data-dir={place}/profile"]
        try:
            done = subprocess.run(
                [command, *flags, copy.as_uri()],
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=300,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CrackvizError(f"{command} could not open the page ({error}). Start it once by hand.") from error
    answer = re.search(r'<script id="answered"[^>]*>([^<]*)</script>', done.stdout)
    if not answer:
        raise CrackvizError("The page gave no answer when it was checked, and isn't written. Please report it.")
    return dict(json.loads(answer[1]))
