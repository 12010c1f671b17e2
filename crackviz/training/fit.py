"""Training with early stopping that resumes to the same end."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from crackviz import CrackvizError, data, models
from crackviz.contracts import PREPROCESSING, one_by_one
from crackviz.files import replacing, write_json
from crackviz.progress import progress
from crackviz.training.callbacks import Checkpoint, EpochSeeds
from crackviz.training.identity import code, contents, digests, is_done
from crackviz.training.normalised import check_normalisable, fold, measure, normalised
from crackviz.training.own_layer import check_own_layer
from crackviz.training.place import Placed, bounded_evidence
from crackviz.training.recipe import USUAL, Recipe, network_hash
from crackviz.training.seen import fingerprint


@one_by_one
def train(
    model: keras.Model,
    table: pd.DataFrame,
    folder: str | Path,
    recipe: Recipe = USUAL,
    *,
    image_size: int = 128,
    seed: int = 0,
    logs: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Train `model` until the validation loss stops falling, and keep its best weights.

    Adam on the cross-entropy; the learning rate falls by the factor `decay` per epoch, smoothly. What is validated
    and kept are not the weights of the last step but their running mean over half an epoch, a hundred steps at
    most (Polyak averaging): single steps are noisy, and with a patience of three epochs noise would end the training
    too early.

    After each epoch the state goes to ``<folder>/checkpoint.npz``: call the function again with the same arguments
    after an interruption, and it ends where the uninterrupted training would have ended. When it is done, `folder`
    holds ``model.keras``, ``model.h5``, ``history.csv`` and ``training.json`` (the arguments, and hashes of the split,
    of the pictures' contents, of the network's layers, of crackviz's code for data, networks and training, and of the
    two model files); the label map, image size, preprocessing and training data go into the model files
    (:func:`crackviz.models.metadata`). Called again on such a folder it returns what is there, if all of these are
    still the same; else it trains anew.

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
    recipe : Recipe
    image_size : int
        Side in px to which the pictures are resized.
    seed : int
        Fixes order and augmentation; the initial weights have their own, in :mod:`crackviz.models`.
    logs : path, optional
        Folder for TensorBoard's event files (scalars, graph) and ``epochs.csv``, the history so far;
        ``<folder>/logs`` by default.
    callbacks : sequence of keras.callbacks.Callback
        Called last. At the end of an epoch `model` holds the averaged weights, and at the beginning of the first,
        epoch 0, the untrained ones: that is when to look at it. (The callback's own ``model`` is a wrapper.)

    Returns
    -------
    pandas.DataFrame
        One row per epoch: epoch (from 1), loss, accuracy, val_loss, val_accuracy.

    Raises
    ------
    CrackvizError
        Where the table has no training or validation rows, leaks between them or has more classes than the model, the
        recipe leaves too few pictures or normalises what can't be, no layer is left to learn, the folder can't be
        written or holds an unfinished training of another kind, or the loss isn't finite.

    Notes
    -----
    Kingma, Ba: *Adam*, ICLR 2015. Prechelt: *Early stopping - but when?*, 1998. Polyak, Juditsky:
    *Acceleration of stochastic approximation by averaging*, SIAM J. Control Optim. 30, 1992. Micikevicius et al.:
    *Mixed precision training*, ICLR 2018. ``THEORY.md`` T2.
    """
    folder = Path(folder)
    logs = Path(logs) if logs else folder / "logs"
    parts = _parts(table, recipe.max_images, seed)
    if recipe.place:
        _check_masks(parts)
    if isinstance(recipe.augment, keras.Layer):
        check_own_layer(recipe.augment, image_size)
    class_names = _class_names(model, table)
    identity = {
        "model": model.name,
        "image_size": image_size,
        **recipe.identity(),
        "seed": seed,
        "learning_weights": _learning(model, image_size),
        "classes": list(class_names),
        "pictures": fingerprint(table),
        "contents": contents(pd.concat(parts.values()), masks=recipe.place > 0),
        "network": network_hash(model),
        "code": code(),
    }
    if is_done(folder, identity):
        stored = models.load(folder / "model.keras")
        model.set_weights(stored.get_weights())
        models.annotate(model, **asdict(models.metadata(stored)))
        return read_history(folder)
    if recipe.normalise:
        check_normalisable(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        logs.mkdir(parents=True, exist_ok=True)
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=recipe.patience, restore_best_weights=True)
        checkpoint = Checkpoint(folder / "checkpoint.npz", stopping, identity, logs / "epochs.csv")
        _fit(model, parts, recipe, checkpoint, callbacks)
        models.annotate(
            model,
            class_names=class_names,
            image_size=image_size,
            preprocessing=PREPROCESSING,
            trained_on=_describe(parts["train"], identity["pictures"]),
            threshold=0.5,
            temperature=1.0,
        )
        return _finish(model, folder, checkpoint)
    except OSError as error:
        raise CrackvizError(
            f"The training could not be written to {folder}: {error}. Is there space, and may it be written? "
            "Its last whole checkpoint is kept."
        ) from error


def _parts(table: pd.DataFrame, max_images: int, seed: int) -> dict[str, pd.DataFrame]:
    data.check_split(table)
    parts = {name: table[table["split"] == name] for name in ("train", "validation")}
    for name, rows in parts.items():
        if rows.empty:
            raise CrackvizError(f"The split has no {name} pictures; make it by data.split().")
    return {name: data.subset(rows, max_images, seed=seed) for name, rows in parts.items()}


def _check_masks(parts: dict[str, pd.DataFrame]) -> None:
    """Raise a CrackvizError where no picture has a mask: then there is no place to teach."""
    if not any("mask" in rows and (rows["mask"] != "").any() for rows in parts.values()):
        raise CrackvizError(
            "The recipe has a loss on the place of the evidence, but no picture has a mask. Take pictures with masks "
            "(images/ and masks/, or synthetic concrete), or a recipe with place=0."
        )


def _class_names(model: keras.Model, table: pd.DataFrame) -> tuple[str, ...]:
    names = tuple(table.attrs.get("class_names", models.metadata(model).class_names))
    outputs = int(model.outputs[0].shape[-1])
    if len(names) != max(outputs, 2):
        raise CrackvizError(
            f"The table has {len(names)} classes ({', '.join(names)}), but the model {model.name!r} has "
            f"{outputs} output{'s' if outputs > 1 else ' for two'}. Build it with n_classes={len(names)}."
        )
    return names


def _learning(model: keras.Model, image_size: int) -> int:
    """Return how many weights learn: a model of another size, or with none, can't be trained."""
    if models.image_size(model) not in (None, image_size):
        raise CrackvizError(f"The model takes {models.image_size(model)} px images, but image_size is {image_size}.")
    if not (learning := sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)):
        raise CrackvizError(f"All layers of {model.name!r} are frozen: choose some by models.set_trainable().")
    return learning


def _fit(
    model: keras.Model,
    parts: dict[str, pd.DataFrame],
    recipe: Recipe,
    checkpoint: Checkpoint,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Train from where the checkpoint stands to the end, and leave the best weights in `model`."""
    size, seed, masks = checkpoint.identity["image_size"], checkpoint.identity["seed"], recipe.place > 0
    keras.utils.set_random_seed(seed)
    core, pairs = normalised(model) if recipe.normalise else (model, {})
    core = _in_bfloat16(core) if recipe.mixed_precision else core
    trainer = _compiled(core, recipe, math.ceil(len(parts["train"]) / recipe.batch_size), seed)
    done = checkpoint.restore(trainer)
    if not checkpoint.state["finished"] and done < recipe.epochs:
        if done == 0:  # broken off in its first epoch, a training must find its untrained weights again
            checkpoint.write(trainer, [])
        # The checkpoint was written while the averaged weights were in the model; the next epoch takes them out.
        averaged = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        averaged._ema_weights_in_model = done > 0
        copied_back = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: fold(core, model, pairs))
        with (
            data.pipeline(parts["train"], size, batch_size=recipe.batch_size, seed=seed, masks=masks) as feed,
            data.pipeline(parts["validation"], size, batch_size=64, masks=masks) as asked,
            _some(parts["train"], size, seed) if pairs else nullcontext() as some,
        ):
            measuring = keras.callbacks.LambdaCallback(on_test_begin=lambda *_: measure(core, some, pairs))
            trainer.fit(
                feed,
                initial_epoch=done,
                epochs=recipe.epochs,
                validation_data=asked,
                callbacks=[
                    EpochSeeds(seed, feed),
                    keras.callbacks.TerminateOnNaN(),
                    averaged,
                    *([measuring] if pairs else []),  # after the averaged weights have been put in
                    checkpoint.stopping,
                    checkpoint,
                    keras.callbacks.TensorBoard(checkpoint.log.parent),
                    *([copied_back] if core is not model else []),
                    *callbacks,
                    _bar(len(feed)),
                ],
                shuffle=False,  # the feed is shuffled already
                verbose=0,
            )
    elif checkpoint.best_weights:
        trainer.set_weights(checkpoint.best_weights)
    if core is not model:
        fold(core, model, pairs)


def _some(rows: pd.DataFrame, size: int, seed: int) -> Any:
    """Feed some of the training pictures, unvaried, in batches of one size."""
    rows = rows.sample(min(len(rows), 512), random_state=seed)
    return data.pipeline(rows, size, batch_size=math.ceil(len(rows) / math.ceil(len(rows) / 64)))


def _bar(steps: int) -> keras.callbacks.Callback:
    """Return a callback that draws one bar, begun anew with each epoch."""
    bar = progress(None, "training", steps, unit="step")

    def begin(epoch: int, logs: object) -> None:
        bar.reset()
        bar.set_description(f"epoch {epoch + 1}")

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=begin,
        on_train_batch_end=lambda batch, logs: bar.update(),
        on_train_end=lambda logs: bar.close(),
    )


def _in_bfloat16(model: keras.Model) -> keras.Model:
    """Copy a network so that what gives maps computes in bfloat16, and what follows the average in float32."""

    def remade(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if not isinstance(layer, keras.layers.InputLayer) and len(layer.output.shape) == 4:
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=remade)
    copy.set_weights(model.get_weights())
    return copy


def _compiled(model: keras.Model, recipe: Recipe, steps: int, seed: int) -> keras.Model:
    """Wrap `model` so that augmentation runs in training and stays out of the saved network."""
    images = keras.Input(model.inputs[0].shape[1:])
    layer = recipe.augmentation(seed)
    if recipe.place:
        masks = keras.Input((*images.shape[1:3], 1))
        varied, truth = data.varied_alike(layer, images, masks) if layer is not None else (images, masks)
        evidence, answers = keras.Model(model.inputs, [bounded_evidence(model), model.outputs[0]])(varied)
        trainer = keras.Model((images, masks), Placed(recipe.place)(evidence, truth, answers), name="trainer")
    else:
        trainer = keras.Model(images, model(layer(images) if layer is not None else images), name="trainer")
    binary = model.outputs[0].shape[-1] == 1
    accuracy = keras.metrics.BinaryAccuracy if binary else keras.metrics.SparseCategoricalAccuracy
    trainer.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.ExponentialDecay(recipe.learning_rate, steps, recipe.decay),
            use_ema=True,
            ema_momentum=1 - 1 / min(max(0.6 * steps, 10), 100),
        ),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=[
            accuracy("accuracy")
        ],  # an object: named, it would be made in the first step, which is traced anew then
    )
    trainer.optimizer.build(trainer.trainable_variables)  # so that its state can be kept, and put back, at any time
    return trainer


def _finish(model: keras.Model, folder: Path, checkpoint: Checkpoint) -> pd.DataFrame:
    """Write what a training leaves, and return its history."""
    history = pd.DataFrame(checkpoint.state["rows"])
    if not np.isfinite(history["loss"]).all():
        checkpoint.path.unlink()
        raise CrackvizError(
            f"The loss became {history['loss'].iloc[-1]} in epoch {len(history)}: the learning rate "
            f"{checkpoint.identity['learning_rate']} is too high. Try a tenth of it."
        )
    # Last to be written, and taken away first: it vouches for the files beside it.
    (folder / "training.json").unlink(missing_ok=True)
    models.save(model, folder)
    with replacing(folder / "history.csv") as part:
        history.to_csv(part, index=False)
    by = {"files": digests(folder), "notebook": os.environ.get("CRACKVIZ_NOTEBOOK", "")}
    write_json(folder / "training.json", checkpoint.identity | by)
    checkpoint.path.unlink()
    return history


def _describe(table: pd.DataFrame, fingerprint: str) -> str:
    """Say what is trained on, without a path: the file may be given away."""
    kinds = ", ".join(sorted(map(str, table["source"].unique()))) if "source" in table else "pictures"
    return f"{kinds}: {len(table)} pictures, training part of split {fingerprint}"


def read_history(folder: str | Path) -> pd.DataFrame:
    """Read the history of a finished training from its run folder; raise a CrackvizError where there is none."""
    path = Path(folder) / "history.csv"
    if not path.is_file():
        raise CrackvizError(f"There is no {path}: train a network first (notebook 02).")
    try:
        history = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise CrackvizError(f"{path} can't be read ({error}). Remove it, and train again (notebook 02).") from error
    if history.empty or not {"epoch", "loss", "val_loss"} <= {*history} or history.isna().to_numpy().any():
        raise CrackvizError(f"{path} holds no history of a training. Remove it, and train again (notebook 02).")
    return history
