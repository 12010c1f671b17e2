"""What the tests share: an environment, a small data set, small networks."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as crackviz does; many tests import Keras before it
os.environ["MPLBACKEND"] = "Agg"
os.environ.setdefault("CRACKVIZ_DATA", str(Path(__file__).resolve().parents[2] / "shared" / "data"))

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background job; what tests start inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np
import pytest
from PIL import Image, ImageDraw


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real pictures; the test is skipped where there is none."""
    folder = Path(os.environ["CRACKVIZ_DATA"])
    if not folder.is_dir():
        pytest.skip(f"no real pictures: {folder} doesn't exist (name a folder by CRACKVIZ_DATA)")
    return folder


def draw_patch(rng: np.random.Generator, cracked: bool, side: int = 40) -> Image.Image:
    """A grey, noisy surface, with a dark broken line across it or a dark blot."""
    grey = rng.normal(150, 12, (side, side)).clip(0, 255).astype(np.uint8)
    picture = Image.fromarray(grey).convert("RGB")
    draw = ImageDraw.Draw(picture)
    if cracked:
        ys = rng.integers(4, side - 4, 5)
        xs = np.linspace(0, side, 5)
        draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=(40, 40, 40), width=2)
    else:
        x, y = rng.integers(8, side - 8, 2).tolist()
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=(110, 110, 110))
    return picture


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """80 drawn patches of 40 px, laid out as METU is."""
    folder = tmp_path_factory.mktemp("small_set") / "metu"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, cracked in (("Positive", True), ("Negative", False)):
        (folder / name).mkdir()
        for i in range(40):
            draw_patch(rng, cracked).save(folder / name / f"{i:05d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of its own for synthetic sets, of all workers together: tests neither rely on the user's nor fill it."""
    base = tmp_path_factory.getbasetemp()  # of a worker of pytest-xdist it lies in the run's
    with pytest.MonkeyPatch.context() as patch:
        folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
        patch.setenv("CRACKVIZ_CACHE", str(folder))
        yield folder
