"""Hold exported networks against Keras, and time the page.

    python benchmarks/export.py path/to/metu
    python benchmarks/export.py path/to/metu --most 400 --out try.json

Parity of the page at 128, 227 and 256 px; the decisions of LiteRT and ONNX on all pictures of the folder; milliseconds
of a patch in one thread of Chromium, beside Keras' compiled forward pass in the same run; a drawn photograph of 12
megapixels with two workers. Needs crackviz[export] and Chromium. Writes benchmarks/results/export.json.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from crackviz import data, export, models, synthetic
from crackviz.export import html, litert, onnx
from crackviz.export.checking import pictures
from crackviz.files import write_json

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from chromium import open_page

NETWORKS = ("local_cnn", "trace_cnn", "gap_cnn_deep", "gap_cnn")
RESULTS = Path(__file__).parent / "results" / "export.json"


def network(name: str) -> Any:
    return models.build(name, seed=0) if name == "gap_cnn" else models.load_pretrained(name)


def page_parity(name: str, place: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for size in (128, 227, 256):
        made, path = export.explained(network(name), size), place / f"{name}{size}.html"
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


def decisions(folder: Path, most: int, place: Path) -> dict[str, Any]:
    table = data.index(folder, max_images=most)
    made = export.explained(network("local_cnn"), 128)
    litert.write(made, place / "a.tflite", "", pictures(128))
    onnx.write(made, place / "a.onnx")
    runs = {"litert": litert.runner(place / "a.tflite"), "onnx": onnx.runner(place / "a.onnx")}
    found = {name: {"pictures": 0, "decisions": 0, "map": 0.0} for name in runs}
    for start in range(0, len(table), 256):
        images = data.load_images(table["path"][start : start + 256], 128)
        wanted = made(images)
        for name, run in runs.items():
            answers, threshold = run(images), made.about["threshold"]
            calls = [one["probability"] >= threshold for one in (answers, wanted)]
            found[name]["pictures"] += len(images)
            found[name]["decisions"] += int((calls[0] != calls[1]).sum())
            found[name]["map"] = max(found[name]["map"], float(np.abs(answers["map"] - wanted["map"]).max()))
    print(found, flush=True)
    return found


def speed(place: Path) -> dict[str, float]:
    model, image = network("local_cnn"), tf.constant(pictures(128, 1))
    forward = tf.function(lambda images: model(images, training=False))
    wide = synthetic.photograph(3, size=(2000, 1500)).image
    with open_page(place / "profile") as page:
        page.socket.settimeout(300)
        page.go((place / "local_cnn128.html").as_uri())
        page.until("document.body && document.body.dataset.ready === 'yes'")
        page.ask("window.patch = new Float32Array(128 * 128 * 3); patch.set(formulaPicture(1, 128).data); 0")
        browser, keras = [], []
        for _ in range(20):  # in turns, so that what else runs slows both alike
            browser.append(page.ask("(() => {const t = performance.now(); crackviz.network(patch);"
                                    "return performance.now() - t})()"))  # fmt: skip
            start = time.perf_counter()
            forward(image).numpy()
            keras.append(1000 * (time.perf_counter() - start))
        buffer = io.BytesIO()
        Image.fromarray(wide).resize((4000, 3000)).save(buffer, "JPEG")
        text = base64.b64encode(buffer.getvalue()).decode()
        page.ask(f"window.given = Uint8Array.from(atob('{text}'), (letter) => letter.charCodeAt(0)); 0")
        page.ask("crackviz.view.choose(new File([given], 'a.jpg')).then(() => 0)")
        page.until("crackviz.view.found !== null")
        page.ask("crackviz.view.pool.workers.length = 2; crackviz.view.resize(128)")
        start = time.perf_counter()
        windows = page.ask("crackviz.view.askWhole().then((all) => all.length)")
        seconds = time.perf_counter() - start
    return {
        "browser ms": float(np.median(browser)), "browser best ms": float(min(browser)),
        "keras ms": float(np.median(keras)), "ratio": float(np.median(browser) / np.median(keras)),
        "12 megapixels, seconds": seconds, "12 megapixels, windows": windows,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=0, help="pictures for the decisions; 0: all")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        results = {"page": {name: page_parity(name, Path(place)) for name in NETWORKS}}
        results |= {"speed": speed(Path(place)), "decisions": decisions(options.folder, options.most, Path(place))}
        write_json(options.out, results)


if __name__ == "__main__":
    main()
