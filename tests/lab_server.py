"""A JupyterLab as `make lesson` starts it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def serving(folder: Path, notebook: str, *options: str) -> Iterator[str]:
    """Start it in a folder with a notebook's number, and yield its address; the token is "lesson"."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = f"--no-browser --allow-root --ip=127.0.0.1 --port={port} --IdentityProvider.token=lesson"
    settings = [f"BIN={Path(sys.executable).parent}", f"N={notebook}", f"LAB={' '.join([fixed, *options])}"]
    make = ["make", "-f", str(ROOT / "Makefile"), "-C", str(folder), "-o", "setup", "lesson", *settings]
    process = subprocess.Popen(make, stderr=subprocess.PIPE)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/api/status?token=lesson")
            break
        except OSError:
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.2)
    yield address
    urllib.request.urlopen(urllib.request.Request(f"{address}/api/shutdown?token=lesson", method="POST"))
    process.wait(30)
