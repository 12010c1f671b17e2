"""One run of a sweep in a process of its own: its order comes by stdin, what happens goes as JSON lines to stdout.

Started by :mod:`crackviz.series.workers`. It ends with the process that started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

_LOOKS_EVERY = 1.0  # seconds, for whether the parent is still there
_GRACE = 30.0  # seconds to stop a kernel and write a report, before the process just ends


def main() -> None:
    """Carry out the order on stdin."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # whatever prints must not be taken for an event
    order: dict[str, Any] = json.load(sys.stdin)
    signal.signal(signal.SIGTERM, _terminate)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def tell(event: dict[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    from crackviz import CrackvizError
    from crackviz.series.kernel import spare_grammars
    from crackviz.series.run import NotebookFailed, execute_run

    spare_grammars()

    ended = {"event": "ended", "status": "done", "message": ""}
    try:
        execute_run(
            {Path(path): values for path, values in order["notebooks"]},
            Path(order["run"]),
            listener=tell,
            **order["options"],
        )
    except NotebookFailed as failure:
        ended |= {"status": "failed", "message": str(failure)}
    except CrackvizError as error:
        ended |= {"status": "refused", "message": str(error)}
    except KeyboardInterrupt:
        ended |= {"status": "interrupted"}
    tell(ended)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with(parent: int) -> None:
    """End this process, with its kernel, when the parent is gone: nobody would ever read what it finds."""
    import psutil

    while os.getppid() == parent and psutil.pid_exists(parent):
        time.sleep(_LOOKS_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


if __name__ == "__main__":
    main()
