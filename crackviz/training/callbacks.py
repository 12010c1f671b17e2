"""What happens between the epochs of a training: order and seeds, checkpoint, averaged weights."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError
from crackviz.files import replacing

_NO_CHOICE = {"pictures", "contents", "code", "classes"}
"""What of a training's identity nobody has chosen: where it has changed, there is no way back to the old training."""


class EpochSeeds(keras.callbacks.Callback):
    """Set the order of the pictures and the state of every random layer (augmentation, dropout) for each epoch.

    They then depend on the seed and the epoch alone, not on what ran before: a resumed training draws what the
    uninterrupted one would have drawn. `feed` is the training pictures' :func:`crackviz.data.pipeline`.
    """

    def __init__(self, seed: int, feed: Any) -> None:
        super().__init__()
        self.seed = seed
        self.feed = feed

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Give the feed its order, and random layer i the state (seed + i, epoch * 2**16)."""
        self.feed.begin(epoch)
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
        What defines this training (data, network, recipe). A checkpoint of another one is refused.
    log : Path
        A CSV file of the history so far, to be read while the training runs. Keras' ``CSVLogger`` appends: an epoch
        that is done again after a kill would stand there twice.
    """

    def __init__(
        self, path: Path, stopping: keras.callbacks.EarlyStopping, identity: dict[str, Any], log: Path
    ) -> None:
        super().__init__()
        self.path = path
        self.stopping = stopping
        self.identity = identity
        self.log = log
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
                known = state["identity"]  # an older one may lack a key: its code was another, too
                changed = [key for key, value in self.identity.items() if known.get(key, value) != value]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from error
        if changed and set(changed) <= _NO_CHOICE:
            warnings.warn(
                f"An unfinished training in {self.path.parent} can't go on, since crackviz or the pictures have "
                "changed: it is begun anew.",
                stacklevel=2,
            )
            return 0
        if changed:
            was = "; ".join(f"{key} was {state['identity'].get(key)!r}, now {self.identity[key]!r}" for key in changed)
            raise CrackvizError(
                f"{self.path} belongs to an unfinished training of another kind ({was}). Go on with the same "
                "parameters, choose another run folder, or delete that file."
            )
        try:
            model.set_weights(latest)
            for variable, value in zip(model.optimizer.variables, optimizer, strict=True):
                variable.assign(value)
        except ValueError as error:  # weights of other shapes, or too few of them
            raise self._damaged(error) from error
        self.state, self.best_weights = state, best
        return len(state["rows"])

    def _damaged(self, error: Exception) -> CrackvizError:
        return CrackvizError(f"The checkpoint {self.path} is damaged ({error}). Delete it to train from the start.")

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Hand the early stopping what it knew."""
        if self.state["rows"]:
            self.stopping.best = self.state["best_loss"]
            self.stopping.best_epoch = self.state["best_epoch"]
            self.stopping.wait = self.state["wait"]
            self.stopping.best_weights = self.best_weights

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the state over the older one, then the log."""
        row = {"epoch": epoch + 1, **{key: float(value) for key, value in (logs or {}).items()}}
        self.write(self.model, [*self.state["rows"], row])
        with replacing(self.log) as part:
            pd.DataFrame(self.state["rows"]).to_csv(part, index=False)

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
        with replacing(self.path) as part, part.open("wb") as file:
            np.savez(file, state=np.array(json.dumps(self.state)), **named)
