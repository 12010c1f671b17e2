"""A short selection of benchmarks/robustness.py, which has all."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from crackviz import CrackvizError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
robustness = importlib.import_module("robustness")


@pytest.mark.parametrize("group", ["numbers", "pictures", "folders", "damaged", "grids"])
def test_bad_input_ends_right_or_in_a_message(group: str) -> None:
    found = robustness.measure([group], seed=1, every=3)
    assert found["wrong"] == [] and sum(found["counts"][group].values()) >= 10


def test_outcomes_are_told_apart() -> None:
    def refuse() -> None:
        raise CrackvizError("no")

    def wait() -> None:
        while True:
            pass

    cases: dict[str, tuple[Any, Any]] = {
        "right": (lambda: 1, lambda answer: answer == 1), "silent wrong": (lambda: 2, lambda answer: answer == 1),
        "clear error": (refuse, None), "traceback": (lambda: 1 / 0, None), "hang": (wait, None),
        "lost": (lambda: "lost", None),
    }  # fmt: skip
    for ended, (use, known) in cases.items():
        assert robustness.outcome(("", use, known), 1)[0] == ended
    assert robustness.outcome(("", lambda: 1, None), 1)[0] == "silent wrong", "what should have been refused"
