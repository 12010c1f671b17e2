"""Training with early stopping, checkpoints, TensorBoard and exact resumption (``THEORY.md`` T2)."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, data, models
from crackviz._progress import progress as progress_bar


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


class _Progress(keras.callbacks.Callback):
    """One bar over the batches of an epoch; the description tells the last validation figures."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.bar = progress_bar(None, "epoch", steps, unit="batch")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.reset()
        self.bar.set_description(f"epoch {epoch + 1}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.set_postfix({key: f"{value:.3f}" for key, value in (logs or {}).items() if "val" in key})

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self.bar.close()


def train(
    model: keras.Model,
    table: pd.DataFrame,
    folder: str | Path,
    *,
    image_size: int = 128,
    epochs: int = 100,
    patience: int = 3,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    decay: float = 0.88,
    augment: bool = True,
    seed: int = 0,
    logs: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train `model` until the validation loss stops falling, and keep its best weights.

    Adam on the cross-entropy; the learning rate falls by the factor `decay` per epoch, smoothly. What is validated
    and kept are not the weights of the last step but their running mean over half an epoch, a hundred steps at
    most (Polyak averaging): single steps are noisy, and with a patience of three epochs noise would end the training
    too early.

    After each epoch the state goes to ``<folder>/checkpoint.npz``: call the function again with the same arguments
    after an interruption, and it ends where the uninterrupted training would have ended. When it is done, `folder`
    holds ``model.keras``, ``model.h5``, ``history.csv`` and ``training.json`` (the arguments, and a hash of the
    split). Called again on such a folder with the same arguments, it returns what is there.

    Parameters
    ----------
    model : keras.Model
        Ends in a sigmoid (labels 0 and 1) or a softmax. Trained in place; augmentation is no part of it.
    table : pandas.DataFrame
        From :func:`crackviz.data.split`: rows "train" and "validation" of its column ``split`` are used.
    folder : path
        Run folder.
    image_size : int
        Side in px to which the pictures are resized.
    epochs : int
        At most so many passes over the training data.
    patience : int
        Epochs without a lower validation loss before it stops.
    batch_size : int
    learning_rate : float
        At the start.
    decay : float
        Factor of the learning rate per epoch, in (0, 1].
    augment : bool
        Whether the training pictures are varied by :func:`crackviz.data.augmentation`.
    seed : int
        Fixes order and augmentation; the initial weights have their own, in :mod:`crackviz.models`.
    logs : path, optional
        Folder for TensorBoard's event files; ``<folder>/logs`` by default.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy.

    Raises
    ------
    CrackvizError
        Where an argument is out of bounds, the table has no training or validation rows or leaks between them,
        the folder can't be written or holds an unfinished training of another kind, or the loss isn't finite.

    Notes
    -----
    Kingma, Ba: *Adam*, ICLR 2015. Prechelt: *Early stopping - but when?*, 1998. Polyak, Juditsky:
    *Acceleration of stochastic approximation by averaging*, SIAM J. Control Optim. 30, 1992. ``THEORY.md`` T2.
    """
    _check_arguments(epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, decay=decay)
    data.check_split(table)
    folder = Path(folder)
    parts = {name: table[table["split"] == name] for name in ("train", "validation")}
    for name, rows in parts.items():
        if rows.empty:
            raise CrackvizError(f"The split has no {name} pictures; make it by data.split().")
    size = models.image_size(model)
    if size not in (None, image_size):
        raise CrackvizError(f"The model takes {size} px images, but image_size is {image_size}.")

    identity = {
        "model": model.name,
        "image_size": image_size,
        "epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "decay": decay,
        "augment": augment,
        "seed": seed,
        "pictures": _fingerprint(table),
    }
    if _is_done(folder, identity):
        model.set_weights(models.load(folder / "model.keras").get_weights())
        return read_history(folder)

    keras.utils.set_random_seed(seed)
    steps = -(-len(parts["train"]) // batch_size)
    trainer = _compiled(model, learning_rate, decay, steps, augment, seed)
    trainer.optimizer.build(trainer.trainable_variables)  # so that its state can be kept, and put back, at any time
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    checkpoint = Checkpoint(folder / "checkpoint.npz", stopping, identity)
    logs = Path(logs) if logs else folder / "logs"
    try:
        logs.mkdir(parents=True, exist_ok=True)
        done = checkpoint.restore(trainer)
        if not checkpoint.state["finished"] and done < epochs:
            if done == 0:  # broken off in its first epoch, a training must find its untrained weights again
                checkpoint.write(trainer, [])
            # The checkpoint was written while the averaged weights were in the model; the next epoch takes them out.
            averaged = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
            averaged._ema_weights_in_model = done > 0
            trainer.fit(
                data.pipeline(
                    parts["train"],
                    image_size,
                    batch_size=batch_size,
                    seed=seed,
                    epochs=epochs,
                    first_epoch=done,
                ),
                steps_per_epoch=steps,
                initial_epoch=done,
                epochs=epochs,
                validation_data=data.pipeline(parts["validation"], image_size, batch_size=64),
                callbacks=[
                    EpochSeeds(seed),
                    keras.callbacks.TerminateOnNaN(),
                    averaged,
                    stopping,
                    checkpoint,
                    keras.callbacks.TensorBoard(logs, write_graph=False),
                    *([_Progress(steps)] if progress else []),
                ],
                shuffle=False,  # the stream is shuffled already
                verbose=0,
            )
        elif checkpoint.best_weights:
            trainer.set_weights(checkpoint.best_weights)
        history = pd.DataFrame(checkpoint.state["rows"])
        if not np.isfinite(history["loss"]).all():
            checkpoint.path.unlink()
            raise CrackvizError(
                f"The loss became {history['loss'].iloc[-1]} in epoch {len(history)}: the learning rate "
                f"{learning_rate} is too high. Try a tenth of it."
            )
        # Last to be written, and taken away first: it vouches for the files beside it.
        (folder / "training.json").unlink(missing_ok=True)
        models.save(model, folder)
        _write(folder / "history.csv", history.to_csv(index=False))
        _write(folder / "training.json", json.dumps(identity, indent=1))
        checkpoint.path.unlink()
    except OSError as error:
        raise CrackvizError(
            f"The training could not be written to {folder}: {error}. Is there space, and may it be written? "
            "Its last whole checkpoint is kept."
        ) from error
    return history


def _is_done(folder: Path, identity: dict[str, Any]) -> bool:
    files = [folder / name for name in ("training.json", "model.keras", "model.h5", "history.csv")]
    return all(path.is_file() for path in files) and json.loads(files[0].read_text("utf-8")) == identity


def _check_arguments(**values: float) -> None:
    for name, value in values.items():
        bounds = {"learning_rate": (1e-8, 10.0), "decay": (1e-3, 1.0)}.get(name, (1, 10**6))
        if not bounds[0] <= value <= bounds[1]:
            raise CrackvizError(f"{name} is {value}; expected a number from {bounds[0]:g} to {bounds[1]:g}.")


def _fingerprint(table: pd.DataFrame) -> str:
    """Return a hash of which pictures are trained on, by name: the folder may have moved."""
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in table["path"]]
    rows = zip(names, table["label"], table["split"], strict=True)
    return hashlib.sha256("\n".join(sorted(map(str, rows))).encode()).hexdigest()[:16]


def _compiled(
    model: keras.Model, learning_rate: float, decay: float, steps: int, augment: bool, seed: int
) -> keras.Model:
    """Wrap `model` so that augmentation runs in training and stays out of the saved network."""
    inputs = keras.Input(model.inputs[0].shape[1:])
    x = data.augmentation(seed)(inputs) if augment else inputs
    trainer = keras.Model(inputs, model(x), name="trainer")
    binary = model.outputs[0].shape[-1] == 1
    trainer.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(learning_rate, steps, decay),
            use_ema=True,
            ema_momentum=1 - 1 / min(max(0.6 * steps, 10), 100),
        ),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return trainer


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    part.write_text(text, "utf-8")
    part.replace(path)


def check_trained_on(folder: str | Path, table: pd.DataFrame) -> None:
    """Raise where the model in `folder` was trained on another split than `table`'s.

    Its test pictures may then be among those that the model was trained on. Nothing is checked where the folder
    holds no model.

    Raises
    ------
    CrackvizError
        Where the splits differ.
    """
    path = Path(folder) / "training.json"
    if path.is_file() and json.loads(path.read_text("utf-8"))["pictures"] != _fingerprint(table):
        raise CrackvizError(
            f"The model in {folder} was trained on another split than this one: other pictures, max_images or seed. "
            "It may have seen the test pictures. Train it again (notebook 02), or use another run folder."
        )


def unseen(folder: str | Path, table: pd.DataFrame) -> pd.DataFrame:
    """Return the test pictures that the model of a run has never seen.

    Where the run has trained no model, the shipped one is meant, and the pictures that *it* was trained or validated
    on are left out.

    Parameters
    ----------
    folder : path
        Run folder.
    table : pandas.DataFrame
        From :func:`crackviz.data.prepare`.

    Returns
    -------
    pandas.DataFrame
        Rows of the test part.

    Raises
    ------
    CrackvizError
        Where the run's model was trained on another split, or nothing is left.
    """
    test = table[table["split"] == "test"]
    if models.find(folder):
        check_trained_on(folder, table)
        return test
    fair = test[~models.seen_by_pretrained(test)]
    if fair["label"].nunique() < test["label"].nunique():
        raise CrackvizError(
            f"The shipped model was trained on {len(test) - len(fair):,} of the {len(test):,} test pictures, and what "
            "is left lacks a class. Train a model of your own (notebook 02), or use all pictures (max_images=0)."
        )
    return fair


def read_history(folder: str | Path) -> pd.DataFrame:
    """Read the history of a finished training from the run folder `folder`.

    Raises
    ------
    CrackvizError
        Where there is none.
    """
    path = Path(folder) / "history.csv"
    if not path.is_file():
        raise CrackvizError(f"There is no {path}: train a network first (notebook 02).")
    return pd.read_csv(path)
