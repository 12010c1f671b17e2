"""Training with early stopping that resumes to the same end."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, data, models
from crackviz.contracts import PREPROCESSING
from crackviz.training.callbacks import Checkpoint, CopyBack, Draw, EpochSeeds, EpochsLog, Progress, Samples, write
from crackviz.training.seen import _fingerprint

Augment: TypeAlias = bool | Mapping[str, Any] | Any  # a keras.Layer, which carries no types


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
    augment: Augment = True,
    seed: int = 0,
    logs: str | Path | None = None,
    samples: np.ndarray | None = None,
    draw: Draw | None = None,
    mixed_precision: bool = False,
    strategy: Any = None,
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
    split); the label map, image size, preprocessing and training data go into the model files
    (:func:`crackviz.models.metadata`). Called again on such a folder with the same arguments, it returns what is there.

    Frozen layers stay as they are: choose them by :func:`crackviz.models.set_trainable` before. A second training of
    the same network, such as fine-tuning, takes a folder of its own.

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
    augment : bool, mapping or keras.Layer
        Whether the training pictures are varied by :func:`crackviz.data.augmentation`; a mapping holds arguments for
        that function. Or a layer of one's own, such as a ``keras.Sequential``: (B, H, W, 3) in [0, 1] to the same.
    seed : int
        Fixes order and augmentation; the initial weights have their own, in :mod:`crackviz.models`.
    logs : path, optional
        Folder for TensorBoard's event files (scalars, graph, samples) and ``epochs.csv``, the history so far;
        ``<folder>/logs`` by default.
    samples : float32 (N, H, W, 3) in [0, 1], optional
        A few images to watch: drawn before the training and after each epoch.
    draw : callable, optional
        Draws them: ``draw(model, samples)`` -> uint8 (h, w, 3), or several pictures (n, h, w, 3).
    mixed_precision : bool
        Whether maps are computed in bfloat16 during training (Keras's ``mixed_bfloat16``): faster on processors that
        have it, slower on others. Weights, logits and the saved model stay float32.
    strategy : tf.distribute.Strategy, optional
        Spreads each batch over several devices.
    progress : bool
        Whether a bar is shown.

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy.

    Raises
    ------
    CrackvizError
        Where an argument is out of bounds, the table has no training or validation rows, leaks between them or has
        more classes than the model, no layer is left to learn, the folder can't be written or holds an unfinished
        training of another kind, or the loss isn't finite.

    Notes
    -----
    Kingma, Ba: *Adam*, ICLR 2015. Prechelt: *Early stopping - but when?*, 1998. Polyak, Juditsky:
    *Acceleration of stochastic approximation by averaging*, SIAM J. Control Optim. 30, 1992. Micikevicius et al.:
    *Mixed precision training*, ICLR 2018. ``THEORY.md`` T2.
    """
    _check_arguments(epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate, decay=decay)
    data.check_split(table)
    folder = Path(folder)
    parts = {name: table[table["split"] == name] for name in ("train", "validation")}
    for name, rows in parts.items():
        if rows.empty:
            raise CrackvizError(f"The split has no {name} pictures; make it by data.split().")
    class_names = _class_names(model, table)
    size = models.image_size(model)
    if size not in (None, image_size):
        raise CrackvizError(f"The model takes {size} px images, but image_size is {image_size}.")
    if not (learning := sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)):
        raise CrackvizError(f"All layers of {model.name!r} are frozen: choose some by models.set_trainable().")
    if (samples is None) != (draw is None):
        raise CrackvizError("samples and draw belong together: images, and what draws them. Give both or neither.")

    identity = {
        "model": model.name,
        "image_size": image_size,
        "epochs": epochs,
        "patience": patience,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "decay": decay,
        "augment": _identity_of(augment),
        "seed": seed,
        "learning_weights": learning,
        "mixed_precision": mixed_precision,
        "devices": strategy.num_replicas_in_sync if strategy is not None else 1,
        "pictures": _fingerprint(table),
    }
    if _is_done(folder, identity):
        stored = models.load(folder / "model.keras")
        model.set_weights(stored.get_weights())
        models.annotate(model, **asdict(models.metadata(stored)))
        return read_history(folder)

    logs = Path(logs) if logs else folder / "logs"
    watch = Samples(logs / "samples", model, samples, draw) if samples is not None and draw is not None else None
    keras.utils.set_random_seed(seed)
    steps = -(-len(parts["train"]) // batch_size)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        # A strategy keeps its own variables, and mixed precision is a property of layers: both train a copy.
        core = model if strategy is None and not mixed_precision else _copy(model, mixed_precision)
        trainer = _compiled(core, learning_rate, decay, steps, augment, seed)
        trainer.optimizer.build(trainer.trainable_variables)  # so that its state can be kept, and put back, at any time
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    checkpoint = Checkpoint(folder / "checkpoint.npz", stopping, identity)
    try:
        logs.mkdir(parents=True, exist_ok=True)
        done = checkpoint.restore(trainer)
        if not checkpoint.state["finished"] and done < epochs:
            if done == 0:  # broken off in its first epoch, a training must find its untrained weights again
                checkpoint.write(trainer, [])
                if watch:
                    watch.show(0)
                    keras.utils.set_random_seed(seed)  # whatever was drawn at random
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
                    EpochsLog(logs / "epochs.csv", checkpoint),
                    keras.callbacks.TensorBoard(logs),
                    *([CopyBack(core, model)] if core is not model else []),
                    *([watch] if watch else []),
                    *([Progress(steps)] if progress else []),
                ],
                shuffle=False,  # the stream is shuffled already
                verbose=0,
            )
        elif checkpoint.best_weights:
            trainer.set_weights(checkpoint.best_weights)
        if core is not model:
            model.set_weights(core.get_weights())
        history = pd.DataFrame(checkpoint.state["rows"])
        if not np.isfinite(history["loss"]).all():
            checkpoint.path.unlink()
            raise CrackvizError(
                f"The loss became {history['loss'].iloc[-1]} in epoch {len(history)}: the learning rate "
                f"{learning_rate} is too high. Try a tenth of it."
            )
        models.annotate(
            model,
            class_names=class_names,
            image_size=image_size,
            preprocessing=PREPROCESSING,
            trained_on=_describe(parts["train"], identity["pictures"]),
            threshold=0.5,
            temperature=1.0,
        )
        # Last to be written, and taken away first: it vouches for the files beside it.
        (folder / "training.json").unlink(missing_ok=True)
        models.save(model, folder)
        write(folder / "history.csv", history.to_csv(index=False))
        write(folder / "training.json", json.dumps(identity, indent=1))
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


def _class_names(model: keras.Model, table: pd.DataFrame) -> tuple[str, ...]:
    names = tuple(table.attrs.get("class_names", models.metadata(model).class_names))
    outputs = int(model.outputs[0].shape[-1])
    if len(names) != max(outputs, 2):
        raise CrackvizError(
            f"The table has {len(names)} classes ({', '.join(names)}), but the model {model.name!r} has "
            f"{outputs} output{'s' if outputs > 1 else ' for two'}. Build it with n_classes={len(names)}."
        )
    return names


def _describe(table: pd.DataFrame, fingerprint: str) -> str:
    """Say what is trained on, without a path: the file may be given away."""
    kinds = ", ".join(sorted(map(str, table["source"].unique()))) if "source" in table else "pictures"
    return f"{kinds}: {len(table)} pictures, training part of split {fingerprint}"


def _augmentation(augment: Augment, seed: int) -> keras.Layer | None:
    if isinstance(augment, Mapping):
        try:
            return data.augmentation(**dict[str, Any]({"seed": seed, **augment}))
        except TypeError as error:
            raise CrackvizError(
                f"augment holds {', '.join(augment)}; expected arguments of data.augmentation ({error})."
            ) from error
    if isinstance(augment, keras.Layer):
        return type(augment).from_config(augment.get_config())  # another training's random state stays out of this one
    return data.augmentation(seed) if augment else None


def _identity_of(augment: Augment) -> Any:
    """Return what tells one augmentation from another, ready for JSON."""
    if isinstance(augment, Mapping):
        return json.loads(json.dumps(dict(augment), sort_keys=True, default=str))
    if isinstance(augment, keras.Layer):
        plain = json.dumps(_nameless(augment.get_config()), sort_keys=True, default=str)
        return f"{type(augment).__name__} {hashlib.sha256(plain.encode()).hexdigest()[:16]}"
    return bool(augment)


def _nameless(config: Any) -> Any:
    """Leave out names and shapes: Keras counts up the names with each layer that it makes."""
    if isinstance(config, dict):
        return {key: _nameless(value) for key, value in config.items() if key not in ("name", "build_config")}
    return [_nameless(value) for value in config] if isinstance(config, list | tuple) else config


def _copy(model: keras.Model, mixed: bool) -> keras.Model:
    """Copy a network; where `mixed`, what gives maps computes in bfloat16, and what follows the average in float32."""

    def remade(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if mixed and not isinstance(layer, keras.layers.InputLayer) and len(layer.output.shape) == 4:
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=remade)
    copy.set_weights(model.get_weights())
    return copy


def _compiled(
    model: keras.Model, learning_rate: float, decay: float, steps: int, augment: Augment, seed: int
) -> keras.Model:
    """Wrap `model` so that augmentation runs in training and stays out of the saved network."""
    inputs = keras.Input(model.inputs[0].shape[1:])
    layer = _augmentation(augment, seed)
    trainer = keras.Model(inputs, model(layer(inputs) if layer is not None else inputs), name="trainer")
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
