"""What happens between the epochs of a training: seeds, checkpoint, logs, sample pictures, progress."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from crackviz import CrackvizError
from crackviz.progress import progress as progress_bar

Draw = Callable[[keras.Model, np.ndarray], np.ndarray]
"""Turns a model and images (N, H, W, 3) into a picture: uint8 (h, w, 3), or several of one size (n, h, w, 3)."""


class EpochSeeds(keras.callbacks.Callback):
    """Set the state of every random layer (augmentation, dropout) at the start of each epoch.

    It then depends on the seed and the epoch alone, not on what ran before: a resumed training draws what the
    uninterrupted one would have drawn.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Give layer i the state (seed + i, epoch * 2**16)."""
        for number, generator in enumerate(_seed_generators(self.model)):
            generator.state.assign([self.seed + number, epoch * 2**16])


def _seed_generators(layer: Any) -> Iterator[Any]:
    for part in layer._flatten_layers():
        for value in vars(part).values():
            if isinstance(value, keras.random.SeedGenerator):
                yield value


class Checkpoint(keras.callbacks.Callback):
    """Keep the whole state of a training after each epoch, so that a killed one resumes to the same end.

    Keras' ``BackupAndRestore`` writes the weights and the epoch's number one after the other, and doesn't know
    what ``EarlyStopping`` has seen: killed between the two files, or resumed, a training takes another course.
    Here one file holds weights, optimizer, best weights, patience and history; it is written under another name
    and renamed, so it is there whole or not at all.

    Parameters
    ----------
    path : Path
        The file, ``….npz``.
    stopping : keras.callbacks.EarlyStopping
        The callback whose state is kept too. Must come before this one in the list of callbacks.
    identity : dict
        What defines this training (data, network, parameters). A checkpoint of another one is refused.
    """

    def __init__(self, path: Path, stopping: keras.callbacks.EarlyStopping, identity: dict[str, Any]) -> None:
        super().__init__()
        self.path = path
        self.stopping = stopping
        self.identity = identity
        self.state: dict[str, Any] = {"rows": [], "finished": False}
        self.best_weights: list[np.ndarray] = []

    def restore(self, model: keras.Model) -> int:
        """Put `model` into the state of the checkpoint; return the number of epochs done, 0 where there is none."""
        if not self.path.is_file():
            return 0
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                state = json.loads(str(stored["state"]))
                latest, optimizer, best = (
                    [stored[f"{kind}_{i}"] for i in range(state[kind])] for kind in ("latest", "optimizer", "best")
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CrackvizError(
                f"The checkpoint {self.path} is damaged ({error}). Delete it to train from the start."
            ) from error
        if state["identity"] != self.identity:
            changed = [
                f"{key} was {state['identity'].get(key)!r}, now {value!r}"
                for key, value in self.identity.items()
                if state["identity"].get(key) != value
            ]
            raise CrackvizError(
                f"{self.path} belongs to an unfinished training of another kind ({'; '.join(changed)}). Go on with "
                "the same parameters, choose another run folder, or delete that file."
            )
        model.set_weights(latest)
        for variable, value in zip(model.optimizer.variables, optimizer, strict=True):
            variable.assign(value)
        self.state, self.best_weights = state, best
        return len(state["rows"])

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Hand the early stopping what it knew."""
        if self.state["rows"]:
            self.stopping.best = self.state["best_loss"]
            self.stopping.best_epoch = self.state["best_epoch"]
            self.stopping.wait = self.state["wait"]
            self.stopping.best_weights = self.best_weights

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the state over the older one."""
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        self.write(self.model, [*self.state["rows"], row])

    def write(self, model: keras.Model, rows: list[dict[str, float]]) -> None:
        """Write the state of `model` after the epochs `rows`; none are the untrained weights."""
        arrays = {
            "latest": model.get_weights(),
            "optimizer": [variable.numpy() for variable in model.optimizer.variables],
            "best": (self.stopping.best_weights if rows else None) or [],
        }
        self.state = {
            "identity": self.identity,
            "rows": rows,
            "best_loss": float(self.stopping.best) if rows and self.stopping.best is not None else None,
            "best_epoch": self.stopping.best_epoch if rows else 0,
            "wait": self.stopping.wait,
            "finished": bool(rows and model.stop_training),
            **{kind: len(values) for kind, values in arrays.items()},
        }
        named = {f"{kind}_{i}": value for kind, values in arrays.items() for i, value in enumerate(values)}
        part = self.path.with_name(f"{self.path.stem}.part-{os.getpid()}.npz")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(part, state=np.array(json.dumps(self.state)), **named)
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)


class Progress(keras.callbacks.Callback):
    """One bar over the batches of an epoch; the description tells the last validation figures."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.bar = progress_bar(None, "epoch", steps, unit="batch")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the bar anew."""
        self.bar.reset()
        self.bar.set_description(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Move the bar to this batch."""
        self.bar.update(batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the validation figures."""
        self.bar.set_postfix({key: f"{value:.3f}" for key, value in (logs or {}).items() if "val" in key})

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the bar as it is."""
        self.bar.close()


class CopyBack(keras.callbacks.Callback):
    """Put the weights of the copy that is trained into the model that it was made of, after each epoch."""

    def __init__(self, copy: keras.Model, original: keras.Model) -> None:
        super().__init__()
        self.copy = copy
        self.original = original

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Copy."""
        self.original.set_weights(self.copy.get_weights())


class EpochsLog(keras.callbacks.Callback):
    """Keep the checkpoint's history as a CSV file that can be read while the training runs.

    Keras' ``CSVLogger`` appends: an epoch that is done again after a kill would stand there twice.
    """

    def __init__(self, path: Path, checkpoint: Checkpoint) -> None:
        super().__init__()
        self.path = path
        self.checkpoint = checkpoint

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write it whole, over the older one."""
        write(self.path, pd.DataFrame(self.checkpoint.state["rows"]).to_csv(index=False))


class Samples(keras.callbacks.Callback):
    """Show TensorBoard what the network makes of a few pictures: before the training, and after each epoch."""

    def __init__(self, logs: Path, model: keras.Model, images: np.ndarray, draw: Draw) -> None:
        super().__init__()
        self.logs = logs
        self.shown = model
        self.images = images
        self.draw = draw
        self.writer: Any = None

    def show(self, step: int) -> None:
        """Draw, check, and write.

        Raises
        ------
        CrackvizError
            Where what was drawn is no picture.
        """
        picture = np.asarray(self.draw(self.shown, self.images))
        if picture.dtype != np.uint8 or picture.ndim not in (3, 4) or picture.shape[-1] != 3 or not picture.size:
            raise CrackvizError(
                f"draw returned {picture.dtype} {picture.shape}; expected a picture, uint8 (h, w, 3), or several of "
                "one size, uint8 (n, h, w, 3)."
            )
        if self.writer is None:
            self.writer = tf.summary.create_file_writer(str(self.logs))
        pictures = picture if picture.ndim == 4 else picture[np.newaxis]
        with self.writer.as_default():
            tf.summary.image("samples", pictures, step=step, max_outputs=len(pictures))
        self.writer.flush()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Show the averaged weights of this epoch, which are in the model now."""
        self.show(epoch + 1)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Close the file."""
        if self.writer is not None:
            self.writer.close()


def write(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.write_text(text, "utf-8")
    part.replace(path)
