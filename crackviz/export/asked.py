"""What the command ``crackviz`` asks for: names and folders become networks and pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from crackviz import CrackvizError, contracts, data, models
from crackviz.export.explained import FREE, Size
from crackviz.export.serving import serve
from crackviz.export.writing import FORMATS, export

MOST = 400
"""Pictures of a folder that a file is checked on, drawn at random."""


def export_as_asked(model: str, *, out: str, format: str, size: str, no_map: bool, quantize: str, data: str) -> None:
    """Export the network called `model`; the arguments are the command's. Raises as :func:`crackviz.export.export`."""
    network = _network(model)
    side = _side(size)
    own = network.inputs[0].shape[1] or models.metadata(network).image_size
    images, labels = _pictures(data, own if side is None else side) if data else (None, None)
    export(
        network,
        out,
        format,
        image_size=side,
        with_map=not no_map,
        quantize=quantize,
        images=images,
        labels=labels,
    )


def _network(name: str) -> keras.Model:
    if not name:
        raise CrackvizError(f"No network is named: expected a file, a run folder, or one such as {models.PREFERRED}.")
    return models.find("", network=name).load()


def _side(size: str) -> Size:
    if size in ("", FREE):
        return size or None
    if not size.isdecimal():
        raise CrackvizError(f"{size!r} is no size: expected pixels, such as 128, or {FREE}.", "size")
    return int(size)


def _pictures(folder: str, side: Size) -> tuple[np.ndarray, np.ndarray]:
    table = data.scan(data.two_classes(folder, max_images=MOST))
    return data.load_images(table["path"], side if isinstance(side, int) else 128), table["label"].to_numpy()


def serve_as_asked(model: str, port: int, lan: bool, tell: Callable[[str], None]) -> None:
    """Serve a page, or the page of a network, until Ctrl-C."""
    contracts.check_number("port", port, 0, 65_535, whole=True)  # before the page is made
    with tempfile.TemporaryDirectory(prefix="crackviz-") as place:
        page = Path(model)
        if page.suffix != FORMATS["html"]:
            page = Path(place) / "crackviz.html"
            export(_network(model), page)
        server = serve(page, port=port, lan=lan, tell=tell)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell("Stopped.")
        finally:
            server.server_close()
