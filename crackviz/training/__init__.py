"""Training with early stopping, checkpoints, TensorBoard and exact resumption (``THEORY.md`` T2)."""

from __future__ import annotations

from crackviz.training.callbacks import Checkpoint, EpochSeeds
from crackviz.training.fit import read_history, train
from crackviz.training.place import place_loss
from crackviz.training.recipe import Recipe
from crackviz.training.seen import check_trained_on, seen, unseen

__all__ = [
    "Checkpoint",
    "EpochSeeds",
    "Recipe",
    "check_trained_on",
    "place_loss",
    "read_history",
    "seen",
    "train",
    "unseen",
]
