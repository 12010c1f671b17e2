"""Training: it learns, stops, resumes to the same end, and leaves nothing half-written."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from crackviz import CrackvizError, data, evaluation, models, training
from crackviz.training import fit, identity
from crackviz.training.own_layer import check_own_layer, layer_hash

RECIPE = training.Recipe(epochs=1, batch_size=16)


@pytest.fixture(scope="module")
def table(small_set: Path) -> pd.DataFrame:
    return data.split(data.scan(data.index(small_set)), validation=0.2, test=0.2)


def train(table: pd.DataFrame, folder: Path, seed: int = 0, image_size: int = 32, **changes: Any) -> pd.DataFrame:
    recipe = replace(RECIPE, **({"epochs": 3} | changes))
    return training.train(models.gap_cnn(32), table, folder, recipe, image_size=image_size, seed=seed)


def weights_of(folder: Path) -> list[np.ndarray]:
    return models.load(folder).get_weights()


def events(logs: Path) -> list[tuple[str, str, int]]:
    """Which of TensorBoard's runs has what, at which step."""
    return [
        (path.parent.name, value.tag, record.step)
        for path in sorted(logs.rglob("events.out.tfevents.*"))
        for record in tf.compat.v1.train.summary_iterator(str(path))
        for value in record.summary.value
    ]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.slow
def test_it_learns_and_keeps_the_best_weights(table: pd.DataFrame, tmp_path: Path) -> None:
    history = train(table, tmp_path, epochs=60, learning_rate=1e-2, decay=1.0, augment=False, patience=10)
    model = models.load(tmp_path)
    validation = table[table["split"] == "validation"]
    probabilities = evaluation.predict(model, validation, 32)
    result = evaluation.evaluate(validation["label"], probabilities, bootstrap=evaluation.Bootstrap(resamples=0))
    assert result["scores"]["accuracy"]["value"] > 0.85
    assert result["scores"]["log_loss"]["value"] == pytest.approx(history["val_loss"].min(), abs=1e-4)
    best = history["val_loss"].idxmin() + 1
    assert len(history) == 60 or len(history) - best == 10


def test_a_step_is_traced_once(table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traces, step = [], keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda self, batch: traces.append(1) or step(self, batch))
    train(table, tmp_path, epochs=2)
    assert len(traces) == 1


def test_what_a_run_leaves(table: pd.DataFrame, tmp_path: Path) -> None:
    history = train(table, tmp_path, epochs=2)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"model.keras", "model.h5", "history.csv", "training.json", "logs"}
    kinds = {(event, tag) for event, tag, _ in events(tmp_path / "logs")}
    assert {("train", "epoch_loss"), ("train", "epoch_learning_rate"), ("validation", "epoch_loss")} <= kinds
    assert ("train", "keras") in kinds, "the graph"
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "logs" / "epochs.csv"), history)
    pd.testing.assert_frame_equal(training.read_history(tmp_path), history)
    assert list(history["epoch"]) == [1, 2]
    assert same(weights_of(tmp_path / "model.keras"), weights_of(tmp_path / "model.h5"))
    assert all("random" not in layer.name for layer in models.load(tmp_path).layers), "augmentation was saved"


def test_one_seed_fixes_everything(table: pd.DataFrame, tmp_path: Path) -> None:
    histories = {name: train(table, tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))}
    pd.testing.assert_frame_equal(histories["a"], histories["b"], check_exact=True)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))
    assert not same(weights_of(tmp_path / "a"), weights_of(tmp_path / "c"))


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 5e-3},
        {"decay": 0.5},
        {"augment": False},
        {"batch_size": 8},
        {"normalise": True},
        pytest.param({"augment": {"rotation": 0.0}}, marks=pytest.mark.slow),
        pytest.param({"mixed_precision": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_arguments_change_the_answer(change: dict, table: pd.DataFrame, tmp_path: Path) -> None:
    assert not train(table, tmp_path / "a").equals(train(table, tmp_path / "b", **change))


def test_patience_ends_it(table: pd.DataFrame, tmp_path: Path) -> None:
    """At a vanishing rate nothing improves by more than rounding; at a huge one the first epochs are the best."""
    history = train(table, tmp_path, epochs=40, learning_rate=0.3, decay=1.0, patience=2)
    best = history["val_loss"].idxmin() + 1
    assert len(history) < 40 and len(history) - best == 2


def script(table_path: Path, folder: Path, epochs: int) -> list[str]:
    code = f"""
import sys
from crackviz import data, models, training
table = data.read_split({str(table_path)!r})
recipe = training.Recipe(epochs={epochs}, batch_size=16, patience=4, learning_rate=1e-2)
training.train(models.gap_cnn(32), table, {str(folder)!r}, recipe, image_size=32)
"""
    return [sys.executable, "-c", code]


@pytest.mark.slow
def test_killed_at_any_moment_it_resumes_to_the_same_end(table: pd.DataFrame, tmp_path: Path) -> None:
    """kill -9 several times, at whatever point the process happens to be; the end must be bit-identical."""
    split = tmp_path / "split.csv"
    data.write_split(table, split)
    subprocess.run(script(split, tmp_path / "whole", 12), check=True, capture_output=True)

    folder = tmp_path / "killed"
    killed_after = set()
    for delay in (0.0, 0.05, 0.15):
        process = subprocess.Popen(script(split, folder, 12), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seen = newest(folder)
        deadline = time.monotonic() + 60
        while process.poll() is None and newest(folder) <= seen and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_after.add(newest(folder))
        assert not (folder / "model.keras").exists(), "it ended before it was killed"
    assert len(killed_after) == 3, killed_after
    subprocess.run(script(split, folder, 12), check=True, capture_output=True)

    pd.testing.assert_frame_equal(
        training.read_history(folder), training.read_history(tmp_path / "whole"), check_exact=True
    )
    assert same(weights_of(folder), weights_of(tmp_path / "whole"))
    assert not (folder / "checkpoint.npz").exists()


def newest(folder: Path) -> int:
    """The epochs in the checkpoint, which must be readable at any time."""
    try:
        with np.load(folder / "checkpoint.npz") as stored:
            return len(json.loads(str(stored["state"]))["rows"])
    except FileNotFoundError:
        return 0


def interrupted(table: pd.DataFrame, folder: Path, monkeypatch: pytest.MonkeyPatch, after: int, **changes: Any) -> None:
    """Train until `after` epochs are checkpointed, then break off as Ctrl-C does."""
    write = training.Checkpoint.on_epoch_end

    def break_off(self: training.Checkpoint, epoch: int, logs: dict | None = None) -> None:
        write(self, epoch, logs)
        if epoch + 1 == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Checkpoint, "on_epoch_end", break_off)
        train(table, folder, **changes)


def test_broken_off_in_its_first_epoch_it_starts_from_the_same_weights(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.gap_cnn(32)

    def break_off(self: training.EpochSeeds, batch: int, logs: dict | None = None) -> None:
        if batch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.EpochSeeds, "on_train_batch_end", break_off)
        training.train(model, table, tmp_path / "a", replace(RECIPE, epochs=2), image_size=32)
    assert not same(model.get_weights(), models.gap_cnn(32).get_weights()), "nothing was trained"
    training.train(model, table, tmp_path / "a", replace(RECIPE, epochs=2), image_size=32)
    train(table, tmp_path / "b", epochs=2)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_a_finished_training_is_not_run_again(table: pd.DataFrame, tmp_path: Path) -> None:
    history = train(table, tmp_path, epochs=2)
    before = (tmp_path / "model.keras").stat().st_mtime_ns
    model = models.gap_cnn(32)
    model.set_weights([weights + 1 for weights in model.get_weights()])
    again = training.train(model, table, tmp_path, replace(RECIPE, epochs=2), image_size=32)
    pd.testing.assert_frame_equal(again, history)
    assert (tmp_path / "model.keras").stat().st_mtime_ns == before
    assert same(model.get_weights(), weights_of(tmp_path))
    train(table, tmp_path, epochs=1)
    assert len(training.read_history(tmp_path)) == 1


def test_a_folder_whose_pictures_were_replaced_is_trained_anew(table: pd.DataFrame, tmp_path: Path) -> None:
    """The names, the labels and the split stay; what the pictures show doesn't."""
    root = Path(shutil.copytree(table.attrs["root"], tmp_path / "set"))
    copied = table.assign(path=[str(root / Path(path).relative_to(table.attrs["root"])) for path in table["path"]])
    train(copied, tmp_path / "run", epochs=1)
    train(table, tmp_path / "other", epochs=1)
    assert same(weights_of(tmp_path / "run"), weights_of(tmp_path / "other")), "wherever the folder lies"
    before = (tmp_path / "run" / "training.json").stat().st_mtime_ns
    train(table, tmp_path / "run", epochs=1)
    assert (tmp_path / "run" / "training.json").stat().st_mtime_ns == before
    parts = copied["split"] != "test"
    for path, other in zip(copied["path"][parts], copied["path"][parts][::-1], strict=True):
        Path(path).write_bytes(Path(table["path"][copied["path"] == other].item()).read_bytes() + b"\0")
    train(copied, tmp_path / "run", epochs=1)
    assert not same(weights_of(tmp_path / "run"), weights_of(tmp_path / "other"))


@pytest.mark.parametrize("what", ["contents swapped", "another network", "code", "a file of another training"])
def test_what_else_makes_a_training_another(
    what: str, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of these changes the names, the labels, the split, or the number of weights."""
    root = Path(shutil.copytree(table.attrs["root"], tmp_path / "set"))
    table = table.assign(path=[str(root / Path(path).relative_to(table.attrs["root"])) for path in table["path"]])
    recipe = replace(RECIPE, epochs=1)

    def again(seed: int = 0) -> int:
        training.train(models.gap_cnn(32, seed=seed), table, tmp_path / "run", recipe, image_size=32)
        return (tmp_path / "run" / "training.json").stat().st_mtime_ns

    made = again()
    assert again() == made
    if what == "contents swapped":  # two pictures of different labels, both of the training part
        one, other = (
            Path(table[(table["split"] == "train") & (table["label"] == label)]["path"].iloc[0]) for label in (0, 1)
        )
        first = one.read_bytes()
        one.write_bytes(other.read_bytes())
        other.write_bytes(first)
    elif what == "code":
        monkeypatch.setattr(fit, "code", lambda: "of another version")
    elif what == "a file of another training":
        models.save(models.gap_cnn(32, seed=5), tmp_path / "other")
        shutil.copy(tmp_path / "other" / "model.keras", tmp_path / "run")
    assert again(seed=int(what == "another network")) != made


def test_the_code_that_counts_is_what_trains(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(identity.ROOT, tmp_path / "crackviz", ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
    known = identity.code()
    monkeypatch.setattr(identity, "ROOT", tmp_path / "crackviz")
    assert identity.code() == known
    for name, changed in (("plots/maps.py", False), ("training/callbacks.py", True), ("data/images.py", True)):
        path, before = tmp_path / "crackviz" / name, identity.code()
        path.write_text(path.read_text() + "\n# only a remark\n")
        assert identity.code() == before
        path.write_text(path.read_text() + "\nEXTRA = 1\n")
        assert (identity.code() != before) == changed, name


def test_broken_off_while_saving_no_older_training_vouches_for_the_model(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(table, tmp_path, epochs=1)
    save = models.save

    def break_off(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(models, "save", break_off)
        train(table, tmp_path, epochs=1, seed=5)
    assert not (tmp_path / "training.json").exists()
    train(table, tmp_path, epochs=1, seed=5)
    train(table, tmp_path / "other", epochs=1, seed=5)
    assert same(weights_of(tmp_path), weights_of(tmp_path / "other"))


def test_unseen_leaves_out_what_the_shipped_model_was_trained_on(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = table[table["split"] == "test"]
    assert len(training.unseen(models.find(tmp_path), table)) == len(test)
    monkeypatch.setattr("crackviz.models.shipped.PRETRAINED", tmp_path)

    def ship(seen: pd.DataFrame) -> None:
        file = tmp_path / f"{models.PREFERRED}.seen.npy"
        np.save(file, models.fingerprints(seen))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entry = {"file": "none", "sha256": "none", "seen_sha256": digest}
        (tmp_path / "models.json").write_text(json.dumps({models.PREFERRED: entry}))

    ship(test.iloc[:2])
    assert list(training.unseen(models.find(tmp_path), table)["path"]) == list(test["path"].iloc[2:])
    ship(test[test["label"] == 1])
    with pytest.raises(CrackvizError, match="lacks a class"):
        training.unseen(models.find(tmp_path), table)
    train(table, tmp_path / "run", epochs=1)
    assert len(training.unseen(models.find(tmp_path / "run"), table)) == len(test)


def test_what_a_network_of_another_run_has_seen_is_known_by_its_split(table: pd.DataFrame, tmp_path: Path) -> None:
    parts = table["split"].to_numpy()
    data.write_split(table, tmp_path / "own" / "split.csv")
    train(table, tmp_path / "own", epochs=1)
    train(table, tmp_path / "own" / "gap_cnn", epochs=1)
    own = str(tmp_path / "own")
    assert list(training.seen(models.find(tmp_path, network=own), table)) == list(parts == "train")
    turned = table.assign(split=table["split"].map({"train": "test", "test": "train", "validation": "validation"}))
    turned.attrs = table.attrs
    for network in (own, f"{own}/model.h5", f"{own}/gap_cnn"):  # the second network lies within the run
        assert list(training.seen(models.find(tmp_path, network=network), turned)) == list(parts != "test")
    with pytest.raises(CrackvizError, match=r"own was trained on .* lacks a class"):
        training.unseen(models.find(tmp_path, network=own), turned)
    with pytest.raises(CrackvizError, match="another split"):  # as the run's own network it would be a mistake
        training.seen(models.find(own), turned)
    alone = tmp_path / "alone" / "net.h5"
    alone.parent.mkdir()
    alone.write_bytes((tmp_path / "own" / "model.h5").read_bytes())
    assert not training.seen(models.find(own, network=str(alone)), turned).any()
    shipped = training.seen(models.find(own, network="gap_cnn_deep"), turned)
    assert list(shipped) == list(models.seen_by_pretrained(turned, "gap_cnn_deep"))


def test_interrupted_in_the_last_epoch_it_only_finishes(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path / "a", monkeypatch, after=3)
    history = train(table, tmp_path / "a")
    pd.testing.assert_frame_equal(history, train(table, tmp_path / "b"), check_exact=True)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b"))


def test_a_checkpoint_of_another_training_is_refused(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path, monkeypatch, after=1)
    with pytest.raises(CrackvizError, match=r"learning_rate was 0\.003, now 0\.005"):
        train(table, tmp_path, learning_rate=5e-3)


def test_an_unfinished_training_whose_pictures_changed_is_begun_anew(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path, monkeypatch, after=1)
    other = table.drop(index=table.index[table["split"] == "train"][:4])
    with pytest.warns(UserWarning, match="begun anew"):
        train(other, tmp_path)
    train(other, tmp_path / "other")
    assert same(weights_of(tmp_path), weights_of(tmp_path / "other"))


@pytest.mark.parametrize("share", [0, 0.1, 0.9])
def test_a_damaged_checkpoint_is_refused(
    share: float, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path, monkeypatch, after=1)
    path = tmp_path / "checkpoint.npz"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CrackvizError, match=r"is damaged.*train from the start"):
        train(table, tmp_path)


def test_half_a_checkpoint_is_never_taken_for_one(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.part-1.npz").write_bytes(b"half")
    pd.testing.assert_frame_equal(train(table, tmp_path), train(table, tmp_path / "b"), check_exact=True)


def test_a_full_disk_is_explained_and_keeps_the_last_checkpoint(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path / "a", monkeypatch, after=1)
    before = (tmp_path / "a" / "checkpoint.npz").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limit[1]))  # a checkpoint takes about 110 kB
        with pytest.raises(CrackvizError, match=r"Cannot write .*checkpoint\.npz.*Free some space"):
            train(table, tmp_path / "a")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "a" / "checkpoint.npz").read_bytes() == before
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"checkpoint.npz", "logs"}
    pd.testing.assert_frame_equal(train(table, tmp_path / "a"), train(table, tmp_path / "b"), check_exact=True)


def test_an_exploding_loss_is_explained(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    model.set_weights([np.full_like(value, np.nan) for value in model.get_weights()])
    with pytest.raises(CrackvizError, match=r"loss became nan.*Try a tenth"):
        training.train(model, table, tmp_path, replace(RECIPE, epochs=3), image_size=32)
    assert not (tmp_path / "checkpoint.npz").exists() and not (tmp_path / "model.keras").exists()


def test_three_classes(table: pd.DataFrame, tmp_path: Path) -> None:
    three = table.assign(label=np.arange(len(table)) % 3)
    three.attrs["class_names"] = ("a", "b", "c")
    model = models.gap_cnn(32, n_classes=3)
    history = training.train(model, three, tmp_path, RECIPE, image_size=32)
    assert len(history) == 1 and evaluation.predict(model, three, 32).shape == (len(three), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"decay": 1.5}, "decay is 1.5"),
        ({"image_size": 64}, "takes 32 px images, but image_size is 64"),
    ],
)
def test_wrong_arguments_are_refused(options: dict, message: str, table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match=message):
        train(table, tmp_path, **options)


def test_a_leaking_or_empty_split_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    leaking = table.assign(group="one")
    with pytest.raises(CrackvizError, match="leaks"):
        train(leaking, tmp_path)
    with pytest.raises(CrackvizError, match="no validation pictures"):
        train(table[table["split"] != "validation"], tmp_path)


def test_a_folder_in_the_way_is_explained(table: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(CrackvizError, match="could not be written"):
        train(table, tmp_path / "run")


def test_more_pictures_need_fewer_passes_and_as_much_of_a_fall() -> None:
    usual = training.Recipe(epochs=16, decay=0.8)
    assert usual.paced(300) == usual.paced(1500) == usual
    assert usual.paced(3000) == replace(usual, epochs=8, decay=0.8**2)
    assert usual.paced(9000).epochs == 4 and usual.paced(10**6).decay == 0.01
    assert replace(usual, epochs=2).paced(9000).epochs == 2
    assert replace(usual, max_images=3000).paced(9000) == replace(usual, max_images=3000).paced(3000)
    with pytest.raises(CrackvizError, match="pictures"):
        usual.paced(0)


def test_a_model_of_another_split_is_noticed(table: pd.DataFrame, tmp_path: Path) -> None:
    training.check_trained_on(tmp_path, table)
    train(table, tmp_path, epochs=1)
    training.check_trained_on(tmp_path, table)
    with pytest.raises(CrackvizError, match="trained on another split"):
        training.check_trained_on(tmp_path, table.iloc[1:])
    assert json.loads((tmp_path / "training.json").read_text())["model"] == "gap_cnn"


def test_no_more_pictures_are_learnt_from_than_the_recipe_says(table: pd.DataFrame, tmp_path: Path) -> None:
    """As many in the same proportions, known to be of this split; another number is another training."""
    whole = train(table, tmp_path, epochs=1)
    fewer = train(table, tmp_path, epochs=1, max_images=12)
    part = table[table["split"] == "train"]
    assert len(part) > 12 and "12 pictures" in models.read_metadata(tmp_path / "model.h5").trained_on
    assert not whole["loss"].equals(fewer["loss"]), "taken for the training on all pictures"
    training.check_trained_on(tmp_path, table)
    alone = pd.concat([data.subset(table[table["split"] == name], 12, seed=0) for name in ("train", "validation")])
    pd.testing.assert_frame_equal(fewer, train(alone, tmp_path / "alone", epochs=1))
    with pytest.raises(CrackvizError, match="max_images=5"):
        train(table, tmp_path, epochs=1, max_images=5)


@pytest.mark.parametrize("content", [b"", b"\0" * 99, b"epoch,loss\n", b"a,b\n1,2\n", b"epoch,loss,val_loss\n1,,\n"])
def test_a_damaged_history_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "history.csv").write_bytes(content)
    with pytest.raises(CrackvizError, match=r"history\.csv.*train again"):
        training.read_history(tmp_path)


def test_no_history_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CrackvizError, match="train a network first"):
        training.read_history(tmp_path)


# --- what is trained, and how -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_file_tells_what_it_was_trained_on(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    models.annotate(model, threshold=0.9, temperature=3.0)  # of an earlier training: no longer true
    training.train(model, table, tmp_path, RECIPE, image_size=32)
    known = models.metadata(models.load(tmp_path))
    assert known == models.metadata(model)
    assert (known.image_size, known.threshold, known.temperature) == (32, 0.5, 1.0)
    split = json.loads((tmp_path / "training.json").read_text())["pictures"]
    assert known.trained_on == f"metu: {(table['split'] == 'train').sum()} pictures, training part of split {split}"
    other = models.gap_cnn(32)
    training.train(other, table, tmp_path, RECIPE, image_size=32)
    assert models.metadata(other) == known, "taken from the folder, with the weights"


def test_more_classes_than_the_model_has_are_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    three = table.assign(label=np.arange(len(table)) % 3)
    three.attrs["class_names"] = ("a", "b", "c")
    with pytest.raises(CrackvizError, match=r"3 classes \(a, b, c\).*n_classes=3"):
        train(three, tmp_path)


@pytest.mark.slow
def test_a_softmax_over_two_classes_is_trained(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.deep_cnn(32)
    history = training.train(model, table, tmp_path, RECIPE, image_size=32)
    validation = table[table["split"] == "validation"]
    p = evaluation.predict(models.load(tmp_path), validation, 32)
    loss = -np.log(np.where(validation["label"] == 1, p, 1 - p)).mean()
    assert loss == pytest.approx(history["val_loss"].min(), abs=1e-4)


@pytest.mark.slow
def test_frozen_layers_stay_and_a_second_training_goes_on_from_the_first(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    start = model.get_weights()
    models.set_trainable(model)
    training.train(model, table, tmp_path / "head", RECIPE, image_size=32)
    assert [layer.name for layer in model.layers if layer.trainable_weights] == ["logit"]
    head = model.get_weights()
    assert same(head[:4], start[:4]) and not np.array_equal(head[4], start[4])
    models.set_trainable(model, "conv2")
    training.train(model, table, tmp_path / "tuned", RECIPE, image_size=32)
    tuned = model.get_weights()
    assert same(tuned[:2], start[:2]) and not np.array_equal(tuned[2], head[2])
    fresh = models.gap_cnn(32)
    models.set_trainable(fresh, "conv2")
    training.train(fresh, table, tmp_path / "fresh", RECIPE, image_size=32)
    assert not same(fresh.get_weights(), tuned), "the second training started anew"
    models.set_trainable(fresh)
    training.train(fresh, table, tmp_path / "fresh", RECIPE, image_size=32)
    assert not same(fresh.get_weights(), tuned), "another choice of layers is another training"


def test_nothing_to_learn_is_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.gap_cnn(32)
    model.trainable = False
    with pytest.raises(CrackvizError, match=r"frozen: choose some by models\.set_trainable"):
        training.train(model, table, tmp_path, RECIPE, image_size=32)


@pytest.mark.slow
def test_augmentation_of_ones_own(table: pd.DataFrame, tmp_path: Path) -> None:
    train(table, tmp_path / "default", epochs=1)
    train(table, tmp_path / "ready", epochs=1, augment=data.augmentation(0))
    assert same(weights_of(tmp_path / "default"), weights_of(tmp_path / "ready"))
    black = keras.Sequential([keras.layers.Rescaling(0.0)])
    train(table, tmp_path / "black", epochs=1, augment=black)
    assert not same(weights_of(tmp_path / "default"), weights_of(tmp_path / "black"))

    identities = [
        json.loads((tmp_path / name / "training.json").read_text())["augment"] for name in ("default", "ready", "black")
    ]
    assert identities[0] is True and len({*identities}) == 3
    before = (tmp_path / "black" / "model.keras").stat().st_mtime_ns
    train(table, tmp_path / "black", epochs=1, augment=keras.Sequential([keras.layers.Rescaling(0.0)]))
    assert (tmp_path / "black" / "model.keras").stat().st_mtime_ns == before, "the same, by another name"

    with pytest.raises(CrackvizError, match=r"strength of the augmentation is .rotatoin.*Did you mean rotation"):
        train(table, tmp_path / "typo", augment={"rotatoin": 0.1})


@pytest.mark.slow
def test_a_checkpoint_of_another_augmentation_is_refused(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(table, tmp_path, monkeypatch, after=1)
    with pytest.raises(CrackvizError, match=r"augment was True, now \{'rotation': 0.1\}"):
        train(table, tmp_path, augment={"rotation": 0.1})
    with pytest.raises(CrackvizError, match="mixed_precision was False, now True"):
        train(table, tmp_path, mixed_precision=True)


@pytest.mark.parametrize(("setting", "value"), [("normalise", True), ("max_images", 24)])
def test_a_setting_taken_back_is_no_finished_training(
    setting: str, value: Any, table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left at its default counts as much as what is set."""
    with_it = train(table, tmp_path / "done", **{setting: value})
    assert not train(table, tmp_path / "done").equals(with_it)
    interrupted(table, tmp_path / "broken", monkeypatch, after=1, **{setting: value})
    with pytest.raises(CrackvizError, match=f"{setting} was {value}, now "):
        train(table, tmp_path / "broken")


def test_an_unfinished_training_of_an_older_crackviz_is_begun_anew(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knew fewer settings, and its code was another."""
    identity_of = training.Recipe.identity
    with monkeypatch.context() as patch:
        patch.setattr(fit, "code", lambda: "older")
        patch.setattr(
            training.Recipe,
            "identity",
            lambda self: {key: value for key, value in identity_of(self).items() if key != "normalise"},
        )
        interrupted(table, tmp_path, monkeypatch, after=1)
    with pytest.warns(UserWarning, match="begun anew"):
        assert len(train(table, tmp_path)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True])
def test_a_callback_that_looks_on_sees_the_weights_of_the_epoch(
    mixed: bool, table: pd.DataFrame, tmp_path: Path
) -> None:
    """As notebook 02 draws its samples, with no care for anybody's random numbers."""
    images = data.load_images(table["path"][:1], 32)
    recipe = replace(RECIPE, epochs=2, learning_rate=1e-2, mixed_precision=mixed)
    model = models.gap_cnn(32)
    seen = []

    def look() -> None:
        np.random.random()  # noqa: NPY002
        keras.random.normal((1,))
        model(images, training=False)
        seen.append(model.get_weights())

    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: look() if epoch == 0 else None, on_epoch_end=lambda epoch, logs: look()
    )
    training.train(model, table, tmp_path / "a", recipe, image_size=32, callbacks=[watch])
    assert len(seen) == 3
    assert same(seen[0], models.gap_cnn(32).get_weights()) and same(seen[2], weights_of(tmp_path / "a"))
    assert not same(seen[1], seen[2])
    training.train(models.gap_cnn(32), table, tmp_path / "b", recipe, image_size=32)
    assert same(weights_of(tmp_path / "a"), weights_of(tmp_path / "b")), "watching changed the training"


@pytest.mark.slow
def test_mixed_precision_leaves_a_float32_model_and_resumes_exactly(
    table: pd.DataFrame, tmp_path: Path, broken_off: Callable[[], AbstractContextManager[None]]
) -> None:
    whole, broken = models.deep_cnn(32), models.deep_cnn(32)
    recipe = replace(RECIPE, epochs=2, mixed_precision=True)
    history = training.train(whole, table, tmp_path / "whole", recipe, image_size=32)
    with broken_off():
        training.train(broken, table, tmp_path / "broken", recipe, image_size=32)
    resumed = training.train(broken, table, tmp_path / "broken", recipe, image_size=32)
    pd.testing.assert_frame_equal(resumed, history, check_exact=True)
    assert same(broken.get_weights(), whole.get_weights())
    assert same(weights_of(tmp_path / "broken" / "model.h5"), whole.get_weights())
    for model in (broken, models.load(tmp_path / "broken")):
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        assert {weight.dtype for weight in model.weights} == {"float32"}


def test_mixed_precision_computes_maps_in_bfloat16_and_what_follows_in_float32() -> None:
    model = models.deep_cnn(32)
    copy = fit._in_bfloat16(model)
    kinds = {layer.name: layer.compute_dtype for layer in copy.layers}
    assert kinds["conv1"] == kinds["pool4"] == "bfloat16"
    assert kinds["gap"] == kinds["dense"] == kinds["logit"] == kinds["probability"] == "float32"
    images = np.random.default_rng(0).random((4, 32, 32, 3), np.float32)
    exact, rough = model(images, training=False).numpy(), copy(images, training=False).numpy()
    np.testing.assert_allclose(rough, exact, atol=0.02)
    assert not np.array_equal(rough, exact)


@pytest.mark.slow
def test_mobilenet_is_trained_frozen_then_fine_tuned(table: pd.DataFrame, tmp_path: Path) -> None:
    model = models.mobilenet_v2(64)
    models.set_trainable(model)
    start = model.get_weights()
    training.train(model, table, tmp_path / "head", RECIPE, image_size=64)
    head = model.get_weights()
    assert same(head[:-2], start[:-2]) and not np.array_equal(head[-2], start[-2])
    models.set_trainable(model, "block_16_project")
    training.train(model, table, tmp_path / "tuned", RECIPE, image_size=64)
    names = [weight.path for weight, old in zip(model.weights, head, strict=True) if not np.array_equal(weight, old)]
    assert names and all("block_16_project/" in name or "Conv_1/" in name or "logit/" in name for name in names)


def test_fewer_pictures_than_a_batch(table: pd.DataFrame, tmp_path: Path) -> None:
    assert len(train(table, tmp_path, batch_size=500, epochs=1)) == 1


@pytest.mark.slow
def test_progress_is_silent_without_a_terminal(table: pd.DataFrame, tmp_path: Path) -> None:
    split = tmp_path / "split.csv"
    data.write_split(table, split)
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        script(split, tmp_path / "run", 1), check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout == ""


class Darker(keras.layers.Layer):
    """A layer of a person's own: in training alone, or always; its settings don't tell `share`."""

    def __init__(self, always: bool = False) -> None:
        super().__init__()
        self.always, self.share = always, 0.5

    def call(self, images: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        return images * self.share if training or self.always else images


def adapted(mean: float) -> keras.layers.Layer:
    layer = keras.layers.Normalization(axis=-1)
    layer.adapt(np.float32([[mean] * 3, [mean + 2] * 3]))
    return layer


def changed(share: float) -> Darker:
    layer = Darker()
    layer.share = share
    return layer


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (lambda: changed(0.25), 0.125),
        (lambda: keras.Sequential([Darker()]), 0.25),
        (lambda: keras.Sequential([keras.layers.Lambda(lambda images: images * 0.5)]), 0.25),
        (lambda: adapted(-0.5), 0.0),  # of -0.5 and 1.5: mean 0.5, standard deviation 1
        (lambda: adapted(-1.5), 1.0),
    ],
)
def test_a_layer_of_ones_own_is_taken_as_it_is_and_in_training_only(
    layer: Callable[[], keras.layers.Layer], wanted: float
) -> None:
    """A copy by its settings lost attributes and adapted weights, and failed on classes that nobody registered."""
    mine, grey = layer(), np.full((2, 8, 8, 3), 0.5, np.float32)
    check_own_layer(mine, 8)
    used = training.Recipe(augment=mine).augmentation(0)
    assert used is not None
    np.testing.assert_allclose(used(grey, training=True), np.full_like(grey, wanted), atol=1e-6)
    np.testing.assert_array_equal(used(grey, training=False), grey)


def test_layers_that_do_the_same_are_one_and_others_are_others() -> None:
    def times(share: float) -> keras.layers.Layer:
        return keras.layers.Lambda(lambda images: images * share)

    makers = [
        Darker,
        lambda: Darker(always=True),
        lambda: changed(0.25),
        lambda: times(0.5),
        lambda: times(0.25),
        lambda: adapted(0),
        lambda: adapted(1),
        lambda: data.augmentation(0),
        lambda: data.augmentation(1),
        lambda: keras.Sequential([keras.layers.RandomFlip(), Darker()]),
    ]
    one = [layer_hash(make()) for make in makers]
    layers = [make() for make in makers]
    for layer in layers:
        check_own_layer(layer, 8)
    assert one == [layer_hash(layer) for layer in layers], "or what is called once is another one"
    assert len({*one}) == len(makers)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.CenterCrop(4, 4), "same shape"),
        (keras.layers.Dense(3), "would be trained"),
        (keras.layers.Lambda(lambda images: images / 0.0), "without NaN"),
        (keras.layers.Lambda(lambda images: images[5, 5, 5, 5, 5]), "fails on pictures"),
    ],
)
def test_a_layer_that_can_not_vary_pictures_is_refused(
    table: pd.DataFrame, tmp_path: Path, layer: keras.layers.Layer, message: str
) -> None:
    with pytest.raises(CrackvizError, match=message):
        train(table, tmp_path, epochs=1, augment=layer)


@pytest.mark.parametrize("usual", [0, -1, "a", 1.5])
def test_a_pace_needs_a_number_of_pictures(usual: object) -> None:
    with pytest.raises(CrackvizError, match="usual is"):
        training.Recipe().paced(100, usual)  # type: ignore[arg-type]
