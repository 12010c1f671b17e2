"""One HTML page: the network in plain JavaScript, a picture chosen or taken, its probability and its map."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import expit

from crackviz import ROOT, CrackvizError, synthetic
from crackviz.export.checking import PICTURES, Answers, Run, pictures
from crackviz.export.explained import Explained, limits_in_words
from crackviz.export.layers import to_javascript
from crackviz.files import in_base64, render
from crackviz.inspection.brief import jpeg

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
SCRIPTS = ("page_layers.js", "page_picture.js")
UNCHECKED = "not run here, as there is no Chromium; the page checks itself whenever it is opened"
_CHECKED = 3
"""Pictures of a formula that the page asks itself about when it is opened."""
_REFERENCE = 200
"""Drawn patches that say which pictures are usual."""


def write(made: Explained, path: Path, quantize: str = "") -> None:
    """Write the page: as it is read, with its scripts, weights and texts, and nothing that is fetched."""
    if made.bias.size != 1:
        raise CrackvizError(f"A page shows one map; this network tells {made.bias.size} classes apart. Take onnx.")
    if made.image_size is None:
        raise CrackvizError("A page has windows of one size: give image_size, such as 128.", "size")
    code, weights = to_javascript(made.source, made.has_map)
    kind = np.dtype("<f2" if quantize == "float16" else "<f4")
    blob = np.concatenate([values.ravel() for values in weights.values()]).astype(kind)
    if not np.isfinite(blob).all():
        raise CrackvizError("A weight is too large for float16: export the page without quantize.", "quantize")
    scripts = "\n".join((ROOT / "templates" / name).read_text("utf-8") for name in SCRIPTS)
    view = "\n".join((ROOT / "templates" / name).read_text("utf-8") for name in ("page_view.js", "page_start.js"))
    drawn = _example(made.image_size)
    facts = {
        "side": made.image_size,
        "threshold": made.about["threshold"],
        "hasMap": made.has_map,
        "network": made.about["network"],
        "half": quantize == "float16",
        "weights": {name: list(place) for name, place in _places(weights).items()},
        "usual": _usual(made.image_size),
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
        blob=in_base64(blob.tobytes()),
        example=drawn["jpeg"],
        limits=limits_in_words(made.about),
        rows=_rows(made.about),
        reference=_REFERENCE,
    )


def _places(weights: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    places, start = {}, 0
    for name, values in weights.items():
        places[name] = (start, values.size)
        start += values.size
    return places


def _json(value: Any) -> str:
    """Return JSON that may stand in a script: no tag can end there."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _usual(side: int) -> dict[str, tuple[float, float]]:
    """Return from where to where four numbers of usual pictures go: those of drawn patches, and half as much again."""
    numbers = np.array([list(look(image).values()) for image in pictures(side, _REFERENCE)])
    low, high = np.quantile(numbers, 0.005, axis=0), np.quantile(numbers, 0.995, axis=0)
    names = look(np.zeros((2, 2, 3), np.float32))
    return {
        name: (float(round(a / 1.5, 5)), float(round(min(b * 1.5, 1), 5)))
        for name, a, b in zip(names, low, high, strict=True)
    }


def look(image: np.ndarray) -> dict[str, float]:
    """Return brightness, contrast, sharpness and colour of a picture (H, W, 3) in [0, 1], as the page counts them."""
    image = np.asarray(image, np.float64)
    grey = image.mean(axis=-1)
    return {
        "brightness": float(grey.mean()),
        "contrast": float(grey.std()),
        "sharpness": float(np.abs(np.diff(grey, axis=1)).mean()),
        "colour": float((image.max(axis=-1) - image.min(axis=-1)).mean()),
    }


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
    drawn = synthetic.photograph(4, size=(512, 384))
    size = min(side, 256)
    places = [(int(drawn.mask[y : y + size, x : x + size].sum()), x, y)
              for y in range(0, 385 - size, 16) for x in range(0, 513 - size, 16)]  # fmt: skip
    _, x, y = max(places)
    return {"jpeg": jpeg(Image.fromarray(drawn.image), 80), "square": {"x": x, "y": y, "size": size}}


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
