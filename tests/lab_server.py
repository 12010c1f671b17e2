"""A JupyterLab as `make lesson` starts it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
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
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(make, stderr=said, start_new_session=True)
        try:
            while True:
                try:
                    urllib.request.urlopen(f"{address}/api/status?token=lesson", timeout=10)
                    break
                except OSError:
                    if time.monotonic() > end or process.poll() is not None:
                        said.seek(0)
                        raise AssertionError(f"JupyterLab didn't start: {said.read().decode()[-2000:]}") from None
                    time.sleep(0.2)
            yield address
            stop = urllib.request.Request(f"{address}/api/shutdown?token=lesson", method="POST")
            urllib.request.urlopen(stop, timeout=30)
            process.wait(30)
        finally:
            with contextlib.suppress(ProcessLookupError):  # it has ended, with its kernels
                os.killpg(process.pid, signal.SIGKILL)
