"""Train `trace_cnn` on labels and on where drawn cracks lie, and keep it in a folder.

    python benchmarks/taught.py path/to/metu run/folder [--design designs/trace.json] [--seed 0]

Nobody draws a mask: the renderer of `crackviz.synthetic` knows where its cracks lie, and where METU's sound patches
have none. A third kind of picture joins the two: a sound patch of METU's training part that is darkened along a drawn
mask, so that the surface is real and the crack's place is known. Cracked patches of METU have a label and no mask.
METU's validation and test parts are not trained on.

It goes by stages. The first learns where cracks lie; its answers are poor, since the logit of an empty map stays at
-3, where it began, and a hairline, with half a hundredth of the pixels, hardly moves it. The second begins with a
steeper logit (`head`: weight and bias), and sees more of METU; so does the third. Each leaves a network, stage0.keras
and so on; `trace_model.py --choose` holds them against each other.

The state is kept every 500 steps, and the random numbers of a step depend on the seed, the stage and its number alone:
the same command goes on where it was broken off, and ends in the same weights. `trace_model.py` calibrates, measures
and ships the result. An hour and a half on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from crackviz import data, models
from crackviz.files import replacing
from crackviz.training.place import place_loss

SIZE = 128
METU_SIZE = 227
DESIGN: dict[str, Any] = {
    "network": "trace_cnn",
    "place": 1.0,
    "label": 0.5,
    "stages": [
        {"steps": 10000, "rate": 2e-3, "batch": {"drawn": 16, "darkened": 8, "real": 8}},
        {"steps": 6000, "rate": 1e-3, "batch": {"drawn": 12, "darkened": 8, "real": 12}, "head": [1000.0, -6.0]},
        {
            "steps": 6000,
            "rate": 8e-4,
            "batch": {"drawn": 10, "darkened": 6, "real": 16},
            "head": [1000.0, -5.5],
            "label": 0.7,
        },
    ],
    "drawn": {
        "synthetic:patches=6000,crack_width=(0.8,14),seed=7": 3,
        "synthetic:patches=4000,crack_width=(0.7,3),contrast=0.7,distractor_rate=0.5,seed=9": 2,
        "synthetic:patches=2000,crack_width=(5,25),distractor_rate=0.5,seed=13": 1,
        "synthetic:patches=3000,image_size=256,crack_width=(1.4,12),contrast=0.9,seed=11": 1.5,
        "synthetic:patches=1600,image_size=384,crack_width=(0.9,4.5),contrast=0.4,distractor_rate=0.5,seed=15": 1.5,
    },
}


class Draw:
    """Random numbers of one step: uniform within bounds, of a shape, each call another stream."""

    def __init__(self, seed: Any) -> None:
        self.seed, self.calls = seed, 0

    def __call__(self, shape: Any, low: float, high: float) -> Any:
        """Return numbers between two bounds."""
        return tf.random.stateless_uniform(shape, self._stream(), low, high)

    def normal(self, shape: Any) -> Any:
        """Return normal numbers, of mean 0 and deviation 1."""
        return tf.random.stateless_normal(shape, self._stream())

    def _stream(self) -> Any:
        self.calls += 1
        return self.seed + tf.constant([0, 1000003 * self.calls])


def moved(images: Any, scale: Any, draw: Draw) -> Any:
    """Turn, flip and zoom to SIZE; `scale` (B,) is px of the picture for one that is made; borders are mirrored."""
    count, side = tf.shape(images)[0], tf.cast(tf.shape(images)[1], tf.float32)
    quarter = tf.floor(draw((count,), 0, 4)) * np.pi / 2
    angle = tf.where(draw((count,), 0, 1) < 0.5, quarter, draw((count,), 0, 2 * np.pi))
    mirrored = tf.where(draw((count,), 0, 1) < 0.5, -1.0, 1.0)
    room = tf.maximum(0.0, (side - SIZE * scale) / 2)
    right, down = draw((count,), -1, 1) * room, draw((count,), -1, 1) * room
    cos, sin = tf.cos(angle) * scale, tf.sin(angle) * scale
    rows = [cos * mirrored, -sin, sin * mirrored, cos]
    middle, half = (side - 1) / 2, (SIZE - 1) / 2
    zero = tf.zeros_like(cos)
    transforms = tf.stack(
        [
            rows[0],
            rows[1],
            middle + right - half * (rows[0] + rows[1]),
            rows[2],
            rows[3],
            middle + down - half * (rows[2] + rows[3]),
            zero,
            zero,
        ],
        axis=1,
    )
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=[SIZE, SIZE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def recoloured(images: Any, draw: Draw) -> Any:
    """Vary contrast, brightness, colour, sharpness and noise of each picture."""
    one = (tf.shape(images)[0], 1, 1, 1)
    mean = tf.reduce_mean(images, [1, 2], keepdims=True)
    images = (images - mean) * tf.exp(draw(one, -0.8, 0.35)) + mean + draw(one, -0.12, 0.12)
    share = draw(one, 0, 1)
    images = share * tf.reduce_mean(images, -1, keepdims=True) + (1 - share) * images
    blurred = tf.maximum(draw(one, -0.8, 0.6), 0)
    images = blurred * tf.nn.avg_pool2d(images, 3, 1, "SAME") + (1 - blurred) * images
    images += draw.normal(tf.shape(images)) * draw(one, 0, 0.03)
    return tf.clip_by_value(images, 0, 1)


def log_uniform(count: Any, low: float, high: float, draw: Draw) -> Any:
    return tf.exp(draw((count,), np.log(low), np.log(high)))


def drawn(images: Any, masks: Any, draw: Draw) -> tuple[Any, Any]:
    scale = log_uniform(tf.shape(images)[0], 0.6, 1.7, draw)
    soft = tf.nn.avg_pool2d(images, 2, 1, "SAME")  # what is shrunk much would show moiré
    images = tf.where((scale > 1.3)[:, None, None, None], soft, images)
    both = moved(tf.concat([images, masks], -1), scale, draw)
    return both[..., :3], both[..., 3:]


def darkened(sound: Any, masks: Any, draw: Draw) -> tuple[Any, Any]:
    """Lay drawn cracks over real sound surfaces; two of five stay sound."""
    count = tf.shape(sound)[0]
    one = (count, 1, 1, 1)
    surfaces = moved(sound, log_uniform(count, 0.8, METU_SIZE / SIZE, draw), draw)
    masks = moved(masks, log_uniform(count, 0.5, 1.3, draw), draw)
    masks *= tf.cast(draw(one, 0, 1) < 0.6, tf.float32)
    soft = tf.nn.avg_pool2d(masks, 3, 1, "SAME")
    share = draw(one, 0.2, 0.9)
    depth = tf.exp(draw(one, np.log(0.12), np.log(0.8)))
    return surfaces * (1 - depth * (share * soft + (1 - share) * masks)), masks


def pictures(folder: Path, design: dict[str, Any]) -> dict[str, np.ndarray]:
    """Read and render what is trained on, as uint8; METU's training part, and every drawn set."""
    with tempfile.TemporaryDirectory() as scratch:
        metu = data.prepare(folder, Path(scratch) / "split.csv", seed=0)
    metu = metu[metu["split"] == "train"]
    loaded: dict[str, Any] = {"metu": _read(metu["path"], METU_SIZE), "metu_label": metu["label"].to_numpy(np.float32)}
    images, masks, chance = [], [], []
    for words, weight in design["drawn"].items():
        table = data.index(words)
        images.append(_read(table["path"], SIZE))
        mask = np.zeros((len(table), SIZE, SIZE), bool)
        cracked = np.flatnonzero(table["label"] == 1)
        for part in np.array_split(cracked, max(1, len(cracked) // 500)):
            mask[part] = data.load_masks(table["mask"].iloc[part], SIZE)
        masks.append(mask)
        chance.append(np.full(len(table), weight / len(table)))
    loaded |= {"drawn": np.concatenate(images), "mask": np.concatenate(masks)}
    loaded["chance"] = np.concatenate(chance) / np.concatenate(chance).sum()
    return loaded


def _read(paths: Any, size: int) -> np.ndarray:
    parts = [paths.iloc[start : start + 500] for start in range(0, len(paths), 500)]
    return np.concatenate([(data.load_images(part, size) * 255).round().astype(np.uint8) for part in parts])


class Training:
    """The state of a stage of the training, and its step; `design` holds the stage's own values as well."""

    def __init__(self, loaded: dict[str, np.ndarray], design: dict[str, Any], seed: int) -> None:
        self.loaded, self.design, self.seed, self.done = loaded, design, seed, 0
        self.sound = np.flatnonzero(loaded["metu_label"] == 0)
        self.cracked = np.flatnonzero(loaded["mask"].any((1, 2)))
        keras.utils.set_random_seed(seed)
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        self.model = models.build(design["network"], None, seed=seed)
        for layer in self.model.layers:  # maps that are looked at, and what follows them
            if layer.name in ("score", "evidence", "gap", "logit", "probability"):
                layer.dtype_policy = "float32"
        self.inner = keras.Model(
            self.model.inputs, [self.model.get_layer(name).output for name in ("evidence", "logit")]
        )
        rate = keras.optimizers.schedules.CosineDecay(
            1e-5,
            design["steps"],
            alpha=0.02,
            warmup_target=design["rate"],
            warmup_steps=min(200, design["steps"] // 10),
        )
        self.optimizer = keras.optimizers.AdamW(
            rate, weight_decay=1e-4, use_ema=True, ema_momentum=0.995, global_clipnorm=1.0
        )
        self.optimizer.build(self.model.trainable_variables)
        self.step = tf.function(self._step)

    def batch(self) -> list[np.ndarray]:
        """Return the pictures of the next step, and its seed."""
        chosen, loaded, counts = np.random.default_rng([self.seed, self.done]), self.loaded, self.design["batch"]
        a = chosen.choice(len(loaded["drawn"]), counts["drawn"], p=loaded["chance"])
        b, c = chosen.choice(self.sound, counts["darkened"]), chosen.choice(self.cracked, counts["darkened"])
        d = chosen.choice(len(loaded["metu"]), counts["real"])
        return [
            loaded["drawn"][a], loaded["mask"][a], loaded["metu"][b], loaded["mask"][c],
            loaded["metu"][d], loaded["metu_label"][d], np.array([self.seed, self.done]),
        ]  # fmt: skip

    def _step(self, images: Any, masks: Any, sound: Any, shapes: Any, real: Any, said: Any, seed: Any) -> Any:
        draw = Draw(tf.cast(seed, tf.int32))
        images, sound, real = (tf.cast(part, tf.float32) / 255 for part in (images, sound, real))
        masks, shapes = (tf.cast(part, tf.float32)[..., None] for part in (masks, shapes))
        a, a_mask = drawn(images, masks, draw)
        b, b_mask = darkened(sound, shapes, draw)
        small = tf.image.resize(real, (SIZE, SIZE), antialias=True)
        c = moved(small, log_uniform(tf.shape(real)[0], 0.9, 1.5, draw), draw)
        masks = tf.concat([a_mask, b_mask, tf.zeros_like(c[..., :1])], 0)
        shown = tf.cast(tf.reduce_sum(masks, [1, 2, 3]) > 8, tf.float32)  # a crack may leave a picture that is zoomed
        count = tf.shape(c)[0]
        label = tf.concat([shown[:-count], said], 0)
        known = tf.concat([tf.ones_like(shown[:-count]), 1 - said], 0)
        images = recoloured(tf.concat([a, b, c], 0), draw)
        with tf.GradientTape() as tape:
            evidence, logit = self.inner(images, training=True)
            answers = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(label, tf.cast(logit[:, 0], tf.float32)))
            place = place_loss(evidence, masks, known)
            loss = self.design["label"] * answers + self.design["place"] * place
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.stack([answers, place])

    def begin(self, weights: list[np.ndarray] | None) -> None:
        """Take over the weights of the stage before, and give the logit this stage's own weight and bias."""
        if weights is not None:
            self.model.set_weights(weights)
        if "head" in self.design:
            last = self.model.get_layer("logit")
            last.set_weights([np.full_like(w, v) for w, v in zip(last.get_weights(), self.design["head"], strict=True)])

    def state(self) -> list[Any]:
        """Return all that changes in a training."""
        return [*self.model.variables, *self.optimizer.variables]

    def keep(self, path: Path) -> None:
        """Write the state."""
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, done=self.done, **{f"v{i}": value.numpy() for i, value in enumerate(self.state())})

    def restore(self, path: Path) -> None:
        """Go on where a kept state ends."""
        with np.load(path) as kept:
            self.done = int(kept["done"])
            for i, value in enumerate(self.state()):
                value.assign(kept[f"v{i}"])

    def averaged(self) -> keras.Model:
        """Return the network, in float32, with its weights averaged over the last steps."""
        keras.mixed_precision.set_global_policy("float32")
        model = models.build(self.design["network"], SIZE, seed=self.seed)
        now = [value.numpy() for value in self.model.trainable_variables]
        self.optimizer.finalize_variable_values(self.model.trainable_variables)
        for mine, theirs in zip(model.trainable_variables, self.model.trainable_variables, strict=True):
            mine.assign(theirs.numpy())
        for value, was in zip(self.model.trainable_variables, now, strict=True):
            value.assign(was)
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
        models.annotate(model, image_size=SIZE)
        return model


def run_stage(training: Training, kept: Path) -> list[np.ndarray]:
    """Run a stage to its end, from where it is kept; return the weights."""
    if kept.is_file():
        training.restore(kept)
    losses, began, first = [], time.perf_counter(), training.done
    steps = training.design["steps"]
    while training.done < steps:
        losses.append(training.step(*training.batch()).numpy())
        training.done += 1
        if training.done % 500 == 0 or training.done == steps:
            training.keep(kept)
            speed = (training.done - first) * sum(training.design["batch"].values()) / (time.perf_counter() - began)
            print(kept.stem, training.done, np.mean(losses[-500:], 0).round(4), f"{speed:.0f} pictures/s", flush=True)
    return training.model.get_weights()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metu", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--design", type=Path, help="a JSON file whose values replace those of DESIGN")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    design = DESIGN | (json.loads(options.design.read_text("utf-8")) if options.design else {})
    options.run.mkdir(parents=True, exist_ok=True)
    loaded, weights = pictures(options.metu, design), None
    for number, stage in enumerate(design["stages"]):
        training = Training(loaded, design | stage, options.seed + number)
        training.begin(weights)
        weights = run_stage(training, options.run / f"stage{number}.npz")
        models.save(training.averaged(), options.run, f"stage{number}")


if __name__ == "__main__":
    main()
