"""Lets nbval run the notebooks one after another in a run folder of their own, on the data they were executed on."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

_RUN = tempfile.TemporaryDirectory(prefix="crackviz-nbval-")
os.environ["CRACKVIZ_RUN"] = _RUN.name


def pytest_configure(config: pytest.Config) -> None:
    """Leave the digits of claims out of nbval's comparison, also where its command doesn't ask for it."""
    if hasattr(config.option, "nbval_sanitize_with") and config.option.nbval_sanitize_with is None:
        config.option.nbval_sanitize_with = str(Path(__file__).with_name("nbval_sanitize.cfg"))
