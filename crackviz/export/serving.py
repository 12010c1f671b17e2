"""The page, served to this machine or to the network that it is in. It is read, and nothing else."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from crackviz import CrackvizError, contracts
from crackviz.files import as_path

WARNING = (
    "Everyone in this network can open the page while this runs. It can only be read; pictures stay on the device that "
    "opens them."
)

_MARK = b'<script id="engine">'


class _Server(ThreadingHTTPServer):
    """A device that goes away in the middle is no error of this program."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(
    page: str | Path, *, port: int = 8000, lan: bool = False, tell: Callable[[str], None] = print
) -> ThreadingHTTPServer:
    """Serve a page that was exported, at http://127.0.0.1:port/ or, with `lan`, to the whole local network.

    Parameters
    ----------
    page : path
        The HTML file; it is read once.
    port : int
        0 takes any that is free.
    lan : bool
    tell : callable
        Gets the address, and with `lan` a warning.

    Returns
    -------
    http.server.ThreadingHTTPServer
        Listening: ``serve_forever()`` answers until it is interrupted, ``server_close()`` frees the port.

    Raises
    ------
    CrackvizError
        Where there is no such page, the file is no page of crackviz, or the port is taken.
    """
    contracts.check_number("port", port, 0, 65_535, whole=True)
    try:
        content = as_path("The page", page).read_bytes()
    except OSError as error:
        raise CrackvizError(f"{page} can't be read ({error.strerror or error}). Export it: crackviz export.") from error

    if _MARK not in content:
        raise CrackvizError(
            f"{page} is no page that crackviz exported, so it isn't shown. Export one: crackviz export."
        )

    class Handler(BaseHTTPRequestHandler):
        """Answers GET and HEAD of / with the page, and everything else with an error."""

        server_version, sys_version, timeout = "crackviz", "", 30.0

        def do_GET(self) -> None:
            if self.path.split("?")[0] != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self.send_response(HTTPStatus.OK)
            headers = {"Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(content))}
            headers |= {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY"}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None: ...

    try:
        server = _Server(("" if lan else "127.0.0.1", port), Handler)
    except OSError as error:
        other = port + 1 if 1024 <= port < 65_535 else 8001
        raise CrackvizError(
            f"Port {port} can't be used ({error.strerror or error}). Take another one, such as {other}.", "port"
        ) from error
    tell(f"Open http://{_own_address() if lan else '127.0.0.1'}:{server.server_port}/ (Ctrl-C ends it)")
    if lan:
        tell(WARNING)
    return server


def _own_address() -> str:
    """Return this machine's address in its network; no packet is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address kept for documentation
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
