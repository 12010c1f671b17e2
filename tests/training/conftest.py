"""What several files of these tests use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from crackviz import training


@pytest.fixture
def broken_off(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """In this context a training ends as by Ctrl-C, once its first epoch is checkpointed."""

    @contextmanager
    def broken_off() -> Iterator[None]:
        write = training.Checkpoint.on_epoch_end

        def break_off(self: training.Checkpoint, epoch: int, logs: dict | None = None) -> None:
            write(self, epoch, logs)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(training.Checkpoint, "on_epoch_end", break_off)
            yield

    return broken_off
