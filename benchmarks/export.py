"""Hold exported networks against Keras, and time the page.

    python benchmarks/export.py path/to/data                        parts that export.json doesn't hold yet
    python benchmarks/export.py path/to/data --only speed digits    these anew, whether held or not

The folder holds metu/ and sdnet2018_walls/. Each part writes its figures into benchmarks/results/export.json when it
ends, so a run that was stopped goes on where it was. Needs crackviz[export] and Chromium. The parts:

page        logits and maps of the page in Chromium at 128, 227 and 256 px, and its size; four networks
digits      what it costs to keep fewer binary digits of the weights: bytes, logits, maps, decisions
speed       milliseconds of a 128 px patch in one thread of Chromium, beside Keras' compiled forward pass, in turns
photograph  a drawn photograph of 12 megapixels, window by window, with two workers
warnings    how many squares of concrete, and of what is none, the page says are unlike anything seen
decisions   the decisions of LiteRT and ONNX on all pictures of metu/; two networks
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf
from inspection import others, pieces
from PIL import Image

from crackviz import data, export, files, models, synthetic
from crackviz.export import html, litert, onnx
from crackviz.export.checking import pictures
from crackviz.export.layers import to_javascript
from crackviz.inspection import novelty

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import Page, open_page

NETWORKS = ("local_cnn", "trace_cnn", "gap_cnn_deep", "gap_cnn")
RESULTS = Path(__file__).parent / "results" / "export.json"
DIGITS = (24, 22, 20, 18, 17, 16, 15, 14, 12, 11)


def network(name: str) -> Any:
    return models.build(name, seed=0) if name == "gap_cnn" else models.load_pretrained(name)


def page(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for size in (128, 227, 256):
            made, path = export.explained(network(name), size), Path(place) / f"{size}.html"
            html.write(made, path)
            images = pictures(size, 8)
            answers = html._ask(html.browser(), path, images)
            maps = np.stack([np.frombuffer(base64.b64decode(text), "<f4") for text in answers["maps"]])
            maps = maps.reshape(len(images), *answers["size"])
            found[str(size)] = {
                "logit": float(np.abs(np.array(answers["logits"]) - made.logits(images)).max()),
                "map": float(np.abs(maps - made(images)["map"]).max()),
                "kB": path.stat().st_size / 1000,
            }
            print(name, size, found[str(size)], flush=True)
    return found


def digits(name: str, folder: Path) -> dict[str, Any]:
    table = data.index(folder / "metu", max_images=200)
    images = np.concatenate([pictures(128, 8), data.load_images(table["path"], 128)])
    made = export.explained(network(name), 128)
    wanted, logits, weights = made(images), made.logits(images), made.model.get_weights()
    written = to_javascript(made.source, True)[1].values()
    found = {}
    for kept in DIGITS:
        made.model.set_weights([html.rounded(one, kept) for one in weights])
        answers, off = made(images), np.abs(made.logits(images) - logits)
        packed = html.pack(np.concatenate([html.rounded(one, kept).ravel() for one in written]))
        calls = [one["probability"] >= made.about["threshold"] for one in (answers, wanted)]
        found[str(kept)] = {
            "kB in the page": len(html.base85(packed)) / 1000,
            "logit, drawn": float(off[:8].max()),
            "logit, METU": float(off[8:].max()),
            "map": float(np.abs(answers["map"] - wanted["map"]).max()),
            "decisions": int((calls[0] != calls[1]).sum()),
            "pictures": len(images),
        }
        print(name, kept, found[str(kept)], flush=True)
    return found | {"largest logit": float(np.abs(logits).max())}


def opened(tab: Page, path: Path) -> None:
    tab.socket.settimeout(300)
    tab.go(path.as_uri())
    tab.until("document.body && document.body.dataset.ready === 'yes'")


def spent() -> float:
    """Seconds that processors have worked for the browser; other programs lengthen them less than the clock's."""
    return sum(sum(one.cpu_times()[:2]) for one in psutil.Process().children(recursive=True))


def speed(name: str) -> dict[str, float]:
    model, image = network(name), tf.constant(pictures(128, 1))
    forward = tf.function(lambda images: model(images, training=False))
    with tempfile.TemporaryDirectory() as place:
        html.write(export.explained(model, 128), Path(place) / "a.html")
        with open_page(Path(place) / "profile") as tab:
            opened(tab, Path(place) / "a.html")
            drawn = base64.b64encode(np.ascontiguousarray(image.numpy(), "<f4").tobytes()).decode()
            tab.ask(
                f"window.patch = new Float32Array(Uint8Array.from(atob('{drawn}'), (c) => c.charCodeAt(0)).buffer); 0"
            )
            browser, ours = [], []
            for _ in range(25):  # in turns, so that what else runs slows both alike
                asked = "(() => {const t = performance.now(); crackviz.network(patch); return performance.now() - t})()"
                browser.append(tab.ask(asked))
                start = time.perf_counter()
                forward(image).numpy()
                ours.append(1000 * (time.perf_counter() - start))
            began = spent()
            tab.ask("(() => {for (let n = 0; n < 25; n++) crackviz.network(patch)})()")
            processor, start = 40 * (spent() - began), time.process_time()
            for _ in range(25):
                forward(image).numpy()
    found = {
        "browser processor ms": processor,
        "keras processor ms": 40 * (time.process_time() - start),
        "browser ms": float(np.median(browser)),
        "browser best ms": float(min(browser)),
        "keras ms": float(np.median(ours)),
        "keras best ms": float(min(ours)),
        "ratio": float(np.median(browser) / np.median(ours)),
        "load": os.getloadavg()[0],
    }
    print(name, found, flush=True)
    return found


def photograph() -> dict[str, float]:
    wide = synthetic.photograph(3, size=(2000, 1500)).image
    buffer = io.BytesIO()
    Image.fromarray(wide).resize((4000, 3000)).save(buffer, "JPEG")
    with tempfile.TemporaryDirectory() as place:
        html.write(export.explained(network("local_cnn"), 128), Path(place) / "a.html")
        with open_page(Path(place) / "profile") as tab:
            opened(tab, Path(place) / "a.html")
            text = base64.b64encode(buffer.getvalue()).decode()
            tab.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
            tab.ask("crackviz.view.choose(new File([given], 'a.jpg')).then(() => 0)")
            tab.until("crackviz.view.found !== null")
            tab.ask("crackviz.view.pool.workers.length = 2; crackviz.view.resize(128)")
            began, start = spent(), time.perf_counter()
            windows = tab.ask("crackviz.view.askWhole().then((all) => all.length)")
            found = {"seconds": time.perf_counter() - start, "windows": windows, "load": os.getloadavg()[0]}
            found["processor seconds, by two"] = (spent() - began) / 2
    print(found, flush=True)
    return found


def unlike(squares: Iterable[np.ndarray]) -> float:
    """Share of squares, uint8 (side, side, 3), that are warned of: judged by pieces, one by one, as the page does."""
    found = []
    for square in squares:
        side = len(square)
        starts = [(side - 128) // 2] if side < 192 else [0, side - 128]
        cut = [square[top : top + 128, left : left + 128] for top in starts for left in starts]
        found.append(max(novelty.distance(piece[np.newaxis])[0] for piece in cut) > novelty.usual().limit)
    return float(np.mean(found))


def warnings(folder: Path, most: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, pattern in (("METU", "metu/*/*.jpg"), ("SDNET2018 walls", "sdnet2018_walls/patches/W/*/*.jpg")):
        paths = sorted(folder.glob(pattern))
        some = [paths[n] for n in np.random.default_rng(1).permutation(len(paths))[: most or None]]
        found[name] = {
            "pictures": len(some),
            "whole": unlike(data.read_image(one) for one in some),
            "their middle 128 px": unlike(middle(data.read_image(one)) for one in some),
            "whole, made 128 px wide before": unlike(data.read_image(one, 128) for one in some),
        }
        print(name, found[name], flush=True)
    rows = {name: [piece for one in some for piece in pieces(one)] for name, some in others().items()}
    found["no concrete"] = {name: unlike(some) for name, some in rows.items()}
    found["no concrete, mean"] = float(np.mean(list(found["no concrete"].values())))
    print(found, flush=True)
    return found


def middle(picture: np.ndarray) -> np.ndarray:
    top, left = ((length - 128) // 2 for length in picture.shape[:2])
    return picture[top : top + 128, left : left + 128]


def decisions(name: str, folder: Path, most: int) -> dict[str, Any]:
    table = data.index(folder / "metu", max_images=most)
    made = export.explained(network(name), 128)
    with tempfile.TemporaryDirectory() as place:
        litert.write(made, Path(place) / "a.tflite", "", pictures(128))
        onnx.write(made, Path(place) / "a.onnx")
        runs = {"litert": litert.runner(Path(place) / "a.tflite"), "onnx": onnx.runner(Path(place) / "a.onnx")}
        found = {kind: {"pictures": 0, "decisions": 0, "map": 0.0} for kind in runs}
        for start in range(0, len(table), 256):
            images = data.load_images(table["path"][start : start + 256], 128)
            wanted = made(images)
            for kind, run in runs.items():
                answers, threshold = run(images), made.about["threshold"]
                calls = [one["probability"] >= threshold for one in (answers, wanted)]
                found[kind]["pictures"] += len(images)
                found[kind]["decisions"] += int((calls[0] != calls[1]).sum())
                found[kind]["map"] = max(found[kind]["map"], float(np.abs(answers["map"] - wanted["map"]).max()))
            print(name, found, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help="parts, or a part of one: 'page, gap_cnn'"
    )
    parser.add_argument("--most", type=int, default=0, help="pictures for decisions and warnings; 0: all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, Any]]] = {}
    for name in NETWORKS:
        parts[f"page, {name}"] = lambda name=name: page(name)
    for name in NETWORKS:
        parts[f"digits, {name}"] = lambda name=name: digits(name, given.folder)
    for name in NETWORKS:
        parts[f"speed, {name}"] = lambda name=name: speed(name)
    parts["photograph"] = photograph
    parts["warnings"] = lambda: warnings(given.folder, given.most)
    for name in NETWORKS[:2]:
        parts[f"decisions, {name}"] = lambda name=name: decisions(name, given.folder, given.most)
    wanted = [part for part in parts if part in given.only or part.split(",")[0] in given.only]
    for part in wanted if given.only else [part for part in parts if part not in files.read_json(given.out)]:
        print(f"{part} …", flush=True)
        keras.utils.clear_session()
        files.update_json(given.out, {part: parts[part]()})


if __name__ == "__main__":
    main()
