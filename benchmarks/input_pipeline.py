"""Compare the speed of a training fed by `data.pipeline` with one fed from an array in memory.

    python benchmarks/input_pipeline.py path/to/metu [--images 1024] [--size 128] [--epochs 3] [--repeats 5]

Writes benchmarks/results/input_pipeline.json. The two take turns, each with its own first epoch (tracing,
warming up) left out; the figure is the ratio of the medians, so that a busy machine harms both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from crackviz import data, models, training

BATCH = 32


class Clock:
    """Seconds of each epoch."""

    def __init__(self) -> None:
        import keras

        self.seconds: list[float] = []
        self.callback = keras.callbacks.LambdaCallback(on_epoch_begin=self._begin, on_epoch_end=self._end)

    def _begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def _end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3, help="timed epochs of each turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each way")
    options = parser.parse_args()

    import tensorflow as tf

    table = data.index(options.folder, max_images=options.images)
    images = data.load_images(table["path"], options.size)
    labels = table["label"].to_numpy("float32")[:, None]
    start = time.perf_counter()
    feed = data.pipeline(table, options.size, batch_size=BATCH, seed=0)
    decoding = time.perf_counter() - start
    start = time.perf_counter()
    for epoch in range(options.epochs * options.repeats):
        feed.begin(epoch)
        drained = sum(len(x) for x, _ in feed) * (epoch + 1) / (time.perf_counter() - start)

    figures: dict[str, Any] = {}
    for name in ("gap_cnn", "gap_cnn_deep"):
        model = models.build(name, options.size)
        model.compile("adam", "binary_crossentropy")
        arrays, pipeline = Clock(), Clock()
        for turn in range(options.repeats + 1):
            clock = Clock()
            model.fit(images, labels, batch_size=BATCH, epochs=options.epochs, verbose=0, callbacks=[clock.callback])
            arrays.seconds += clock.seconds if turn else []
            clock = Clock()
            callbacks = [clock.callback, training.EpochSeeds(turn, feed)]
            model.fit(feed, epochs=options.epochs, shuffle=False, verbose=0, callbacks=callbacks)
            pipeline.seconds += clock.seconds if turn else []
        speeds = {
            key: len(table) / statistics.median(c.seconds) for key, c in (("arrays", arrays), ("pipeline", pipeline))
        }
        figures[name] = {f"{key}_images_per_second": round(speed) for key, speed in speeds.items()}
        figures[name]["ratio"] = round(speeds["pipeline"] / speeds["arrays"], 3)
        print(name, figures[name], flush=True)
    figures |= {
        "images": len(table),
        "size": options.size,
        "batch": BATCH,
        "decoded_per_second": round(len(table) / decoding),
        "fed_per_second_without_training": round(drained),
        "device": (tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU"))[0].device_type,
        "cores": os.cpu_count(),
    }
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "input_pipeline.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
