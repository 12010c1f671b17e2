"""The METU data set, downloaded when asked for and counted."""

from __future__ import annotations

from pathlib import Path

from crackviz import CrackvizError
from crackviz.data.layouts import METU
from crackviz.data.table import index


def fetch_metu() -> Path:
    """Download METU's 40,000 patches (235 MB) from Kaggle, count them, and return their folder.

    Needs the optional extra kagglehub: ``pip install kagglehub``. Kept in kagglehub's cache, so done once. A
    CrackvizError where that is missing, for no connection, or another number of pictures than published.
    """
    try:
        import kagglehub

        folder = Path(kagglehub.dataset_download("arunrk7/surface-crack-detection"))
    except Exception as error:  # kagglehub passes on whatever its HTTP libraries raise
        hint = "Install it with pip install kagglehub, or" if isinstance(error, ImportError) else "You can"
        raise CrackvizError(f"METU was not fetched ({error}). {hint} download it by hand.\n{METU}") from error
    counts = index(folder)["label"].value_counts().to_dict()
    if counts != {0: 20_000, 1: 20_000}:
        raise CrackvizError(
            f"{folder} is not METU as published: {counts} pictures per class instead of 20,000 each. Delete the folder "
            "and fetch it again."
        )
    return folder
