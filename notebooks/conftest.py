"""Lets nbval run the notebooks one after another in a run folder of their own, on the data they were executed on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_DATA = Path(os.environ.setdefault("CRACKVIZ_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data")))
_RUN = tempfile.TemporaryDirectory(prefix="crackviz-nbval-")
os.environ["CRACKVIZ_RUN"] = _RUN.name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the notebooks, and say why, where the pictures that they run on are absent."""
    if not (_DATA / "metu").is_dir():
        reason = f"no pictures: {_DATA / 'metu'} doesn't exist (name a folder by CRACKVIZ_DATA)"
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
