"""Lets nbval run the notebooks one after another in a run folder of their own, on the data they were executed on."""

from __future__ import annotations

import os
import tempfile

_RUN = tempfile.TemporaryDirectory(prefix="crackviz-nbval-")
os.environ["CRACKVIZ_RUN"] = _RUN.name
