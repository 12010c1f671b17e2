"""A page in headless Chromium, steered over its DevTools protocol: no driver needed but a websocket."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "there is no Chromium (Debian: apt-get install chromium)"
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-extensions"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"]


class Page:
    """One page: go somewhere, ask it, click, photograph it. ``asked`` holds every address that it has asked for.

    ``complained`` holds what its console was told as an error or a warning, and errors that nobody caught.
    """

    def __init__(self, socket: websocket.WebSocket) -> None:
        self.socket, self.numbers, self.asked = socket, itertools.count(1), list[str]()
        self.complained: list[Any] = []
        self.send("Log.enable")
        self.send("Runtime.enable")
        self.send("Network.enable")
        self.send("Page.enable")

    def send(self, method: str, **arguments: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": arguments}))
        while True:
            told = json.loads(self.socket.recv())
            if told.get("method") == "Network.requestWillBeSent":
                self.asked.append(told["params"]["request"]["url"])
            kind, entry = told.get("method"), told.get("params", {})
            loud = entry.get("type", entry.get("entry", {}).get("level")) in ("error", "warning")
            if kind == "Runtime.exceptionThrown" or (loud and kind in ("Runtime.consoleAPICalled", "Log.entryAdded")):
                self.complained.append(entry)
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    def ask(self, script: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> Any:
        """Wait until an expression is true, and return it."""
        end = time.monotonic() + seconds
        while not (value := self.ask(script)):
            assert time.monotonic() < end, f"still not: {script}"
            time.sleep(0.2)
        return value

    def go(self, url: str) -> None:
        self.send("Page.navigate", url=url)

    def picture(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def open_page(profile: Path, size: tuple[int, int] = (1366, 768)) -> Iterator[Page]:
    """Start a browser with a profile of its own, and close it."""
    assert CHROMIUM is not None
    sizes = f"--window-size={size[0]},{size[1]}"
    ports = ["--remote-debugging-port=0", "--remote-allow-origins=*", "--no-proxy-server"]
    command = [CHROMIUM, *QUIET, *ports, sizes, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        told, end = profile / "DevToolsActivePort", time.monotonic() + 60
        while not (told.is_file() and told.read_text().count("\n")):
            assert time.monotonic() < end and process.poll() is None, "Chromium didn't start"
            time.sleep(0.1)
        port = told.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            target = next(page for page in json.load(answer) if page["type"] == "page")
        socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=60, suppress_origin=True)
        page = Page(socket)
        page.send(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        yield page
        socket.close()
    finally:
        process.kill()
        process.wait()
