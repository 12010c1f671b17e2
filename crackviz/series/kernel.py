"""One notebook in a kernel of its own, by papermill: its output is kept however it ends, and the kernel never."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# TensorFlow's C++ start-up lines go to file descriptor 2, past Python: ipykernel would show them in the notebook.
KERNEL_ARGUMENTS = ("--IPKernelApp.capture_fd_output=False",)
_THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_SLOW_CHECK = "rfc3987_syntax"
_SAMPLED_EVERY = 0.5  # seconds: a look at the kernel's memory takes some milliseconds


def spare_grammars() -> None:
    """Spare this process a second: jsonschema, which nbformat imports, compiles grammars for IRIs where it can.

    No schema of a notebook asks for an IRI. For processes that do nothing but run notebooks.
    """
    sys.modules.setdefault(_SLOW_CHECK, None)  # type: ignore[arg-type]  # so that importing it fails, as where it isn't


def execute(
    path: Path,
    run: Path,
    values: Mapping[str, Any],
    *,
    timeout: float,
    threads: int,
    record: dict[str, Any],
    on_cell: Callable[[int, int], None],
) -> None:
    """Execute a notebook into ``notebooks/`` of a run.

    Parameters
    ----------
    path : Path
        The notebook.
    run : Path
        Run folder.
    values : mapping
        Parameters to be injected.
    timeout : float
        Seconds that it may take; 0 for no limit.
    threads : int
        Threads of TensorFlow and of the numerical libraries; 0 leaves the choice to them.
    record : dict
        Gets ``cells_seconds``, the sum of the cells' own times, and ``memory_MiB``, the greatest resident set of the
        kernel and its children, looked at twice a second.
    on_cell : callable
        Called with the number of the cell that begins, and with that of all cells.

    Raises
    ------
    Exception
        Whatever ended the notebook; see :func:`describe`.
    """
    import nbformat
    import papermill
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import Engine, papermill_engines
    from papermill.exceptions import PapermillExecutionError

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it warns of is raised or checked here
    deadline = time.monotonic() + timeout
    current = 0
    memory = _Memory()

    class Quiet(Engine):
        """papermill's own engine, with the kernel's raw stdout and stderr in a log file."""

        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
            def on_cell_start(cell: Any, cell_index: int) -> None:
                nonlocal current
                current = cell_index
                memory.watch(getattr(client.km.provisioner, "pid", None))
                on_cell(cell_index, len(nb_man.nb.cells))

            client = PapermillNotebookClient(
                nb_man,
                kernel_name=kernel_name,
                timeout_func=lambda cell: max(1, round(deadline - time.monotonic())) if timeout else None,
                on_cell_start=on_cell_start,
                extra_arguments=list(KERNEL_ARGUMENTS),
            )
            env = {**os.environ, "CRACKVIZ_RUN": str(run)}
            if threads:
                env |= dict.fromkeys(_THREADS, str(threads))
            with (run / "logs" / f"{path.stem}.kernel.log").open("wb") as log:
                client.execute(stdout=log, stderr=log, env=env)

    papermill_engines.register("crackviz", Quiet)
    final = run / "notebooks" / path.name
    part = final.with_name(f"{path.stem}.part-{os.getpid()}.ipynb")
    source, target = (str(p).replace("{", "{{").replace("}", "}}") for p in (path, part))  # papermill formats them

    def keep(error: BaseException | None) -> None:
        notebook = nbformat.read(part, as_version=4)
        settle_streams(notebook)
        notebook.metadata.papermill.update(input_path=str(path), output_path=str(final))
        times = [cell.metadata.get("papermill", {}).get("duration") for cell in notebook.cells]
        record["cells_seconds"] = round(sum(seconds or 0 for seconds in times), 1)
        if error is not None and not isinstance(error, PapermillExecutionError):
            # papermill shows nothing where the kernel died, hung or was interrupted
            what = describe(error)
            shown = nbformat.v4.new_output("error", ename=what["name"], evalue=what["message"])
            shown.traceback = [what["message"]]
            notebook.cells[current].setdefault("outputs", []).append(shown)
        nbformat.write(notebook, part)
        part.replace(final)

    try:
        executed = papermill.execute_notebook(
            source,
            target,
            parameters=dict(values),
            engine_name="crackviz",
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
        for cell in executed.cells:
            if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
                raise RuntimeError("it ended before its last cell; does a cell call exit()?")
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):  # the cell that was broken off complains, when nobody waits for it
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        with suppress(Exception):  # on a full disk there may be nothing to keep: the first error counts
            keep(error)
        raise
    finally:
        record["memory_MiB"] = memory.end()
    keep(None)


class _Memory:
    """The greatest resident set of a process and its children, looked at from a thread."""

    def __init__(self) -> None:
        self.peak = 0
        self.pid: int | None = None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def watch(self, pid: int | None) -> None:
        self.pid = pid
        if self.thread.ident is None:
            self.thread.start()

    def _look(self) -> None:
        import psutil

        while not self.ended.is_set():
            total = 0
            with suppress(psutil.Error):
                kernel = psutil.Process(self.pid)
                for process in (kernel, *kernel.children(recursive=True)):
                    with suppress(psutil.Error):
                        total += process.memory_info().rss
            self.peak = max(self.peak, total)
            self.ended.wait(_SAMPLED_EVERY)

    def end(self) -> int | None:
        self.ended.set()
        return round(self.peak / 2**20) or None


def settle_streams(notebook: Any) -> None:
    """Join what each cell has printed to one output per stream, and keep of a redrawn line its last state.

    nbclient's ``coalesce_streams`` does the same, but takes time quadratic in the length of a line.
    """
    for cell in notebook.cells:
        joined: dict[str, Any] = {}
        kept = []
        for output in cell.get("outputs", []):
            first = joined.setdefault(output.name, output) if output.output_type == "stream" else output
            if first is output:
                kept.append(output)
            else:
                first.text += output.text
        for output in joined.values():
            lines = output.text.split("\n")
            output.text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines)
        if kept:  # of a bar that has cleared itself nothing is left
            cell.outputs = [o for o in kept if o.output_type != "stream" or o.text.strip()]


def describe(error: BaseException) -> dict[str, str]:
    """Return what a reader needs of an exception that ended a notebook: name, message, where, traceback."""
    from papermill.exceptions import PapermillExecutionError

    if isinstance(error, PapermillExecutionError):
        return {
            "name": error.ename,
            "message": _plain(f"{error.ename}: {error.evalue}"),
            "where": f" in cell [{error.exec_count}]",
            "traceback": _plain("\n".join(error.traceback)),
        }
    name = type(error).__name__
    message = {
        "CellTimeoutError": "it took longer than the time limit; raise it with --timeout",
        "DeadKernelError": "its Python process ended by itself, which mostly means that memory ran out",
        "KeyboardInterrupt": "interrupted",
    }.get(name, f"{name}: {error}")
    return {"name": name, "message": message, "where": "", "traceback": message}


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
