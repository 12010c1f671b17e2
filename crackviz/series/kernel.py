"""One notebook in a kernel of its own, by papermill: its output is kept however it ends, and the kernel never.

Kernels are processes that end with the one that started them, so several notebooks run at once in threads. This module
loads papermill: import it where a notebook is run.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from crackviz.series.notebooks import KERNEL_ARGUMENTS, loaded_first, settle_streams

_THREADS = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
_HOMES = ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "MPLCONFIGDIR")


def _find_home() -> None:
    """Give Jupyter, IPython and matplotlib another place to write to, where there is no home or none to write to."""
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return
    except (OSError, RuntimeError):
        place = tempfile.mkdtemp(prefix="crackviz-home-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        for name in _HOMES:
            os.environ.setdefault(name, place)


_find_home()
_guard = threading.Lock()
_running: set[Execution] = set()
_stopped: set[str] = set()

logging.getLogger("papermill").addHandler(logging.NullHandler())  # what it warns of is raised or checked here


class Stopped(KeyboardInterrupt):
    """What ends a notebook whose ticket was stopped: as Ctrl-C does, but in a thread."""


@dataclass(eq=False)
class Execution:
    """A notebook to be executed into ``notebooks/`` of a run folder, and what is found on the way."""

    path: Path
    run: Path
    values: Mapping[str, Any]
    """Parameters to be injected."""
    timeout: float = 0.0
    """Seconds that it may take; 0 for no limit."""
    threads: int = 0
    """Threads of TensorFlow and of the numerical libraries; 0 leaves the choice to them."""
    ticket: str = ""
    """What :func:`stop` stops it by."""
    watched: bool = False
    """Whether a bar of its cells is shown."""
    manager: Any = field(default=None, init=False)
    """Of a kernel that was started before the notebook's turn; see :meth:`prepare`."""
    client: Any = field(default=None, init=False)
    process: Any = field(default=None, init=False)
    """The kernel's, a ``subprocess.Popen``; its manager forgets it when it dies."""
    cell: int = field(default=0, init=False)
    found: dict[str, Any] = field(default_factory=dict, init=False)
    """``cells_seconds``, the sum of the cells' own times; ``memory_MiB``, the kernel's greatest resident set."""

    def prepare(self) -> None:
        """Start its kernel, which loads what the notebook imports first while another one runs: some 5 to 15 s each."""
        with suppress(Exception):  # else the kernel is started in its turn, and what is wrong is said there
            if code := loaded_first(self.path):
                loading = f"--IPKernelApp.exec_lines=exec({code!r}, {{}})"  # leaves no name behind
                arguments = [*KERNEL_ARGUMENTS, loading]
                starter = NotebookClient(nbformat.v4.new_notebook(), kernel_name="python3", extra_arguments=arguments)
                self.manager = starter.create_kernel_manager()
                with self.log().open("wb") as log:
                    starter.start_new_kernel(stdout=log, stderr=log, env=self.environment())

    def discard(self) -> None:
        """End a kernel that was prepared and is not needed."""
        manager, self.manager = self.manager, None
        if manager is not None:
            with suppress(Exception):
                run_sync(manager.shutdown_kernel)(now=True)

    def prepared(self) -> Any:
        """Hand over the manager of the kernel that was prepared, if that is alive still; else None."""
        manager, self.manager = self.manager, None
        return manager if manager is not None and run_sync(manager.is_alive)() else None

    def log(self) -> Path:
        """Return the file that takes the kernel's raw output."""
        return self.run / "logs" / f"{self.path.stem}.kernel.log"

    def environment(self) -> dict[str, str]:
        """Return the kernel's environment."""
        known = os.environ | {"CRACKVIZ_RUN": str(self.run), "CRACKVIZ_NOTEBOOK": self.path.stem}
        return known | (dict.fromkeys(_THREADS, str(self.threads)) if self.threads else {})

    def execute(self) -> None:
        """Execute it; raise Stopped if its ticket was stopped, or whatever else ended it; see :func:`describe`."""
        final = self.run / "notebooks" / self.path.name
        part = final.with_name(f"{self.path.stem}.part-{os.getpid()}.ipynb")
        source, target = (str(p).replace("{", "{{").replace("}", "}}") for p in (self.path, part))  # it formats them
        bar = {"desc": self.path.stem, "leave": False, "file": sys.stderr} if self.watched else False
        with _guard:
            _running.add(self)
        try:
            made = papermill.execute_notebook(
                source,
                target,
                parameters=dict(self.values),
                engine_name="crackviz",
                kernel_name="python3",
                language="python",
                progress_bar=bar,
                execution=self,
                deadline=time.monotonic() + self.timeout if self.timeout else 0.0,
            )
            code = [cell for cell in made.cells if cell.cell_type == "code" and cell.source.strip()]
            if any(cell.execution_count is None for cell in code):
                raise RuntimeError("it ended before its last cell; does a cell call exit()?")
            if any(_broken_off(cell) for cell in code):  # exit() lets its cell end, sys.exit() doesn't
                raise RuntimeError("a cell calls sys.exit(), and nothing behind that was run: take it out")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):  # the cell that was broken off complains, when nobody waits for it
                logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            with suppress(Exception):  # on a full disk there may be nothing to keep: the first error counts
                self._keep(part, final, Stopped() if self.ticket in _stopped else error)
            if self.ticket in _stopped:
                raise Stopped from error
            raise
        finally:
            with _guard:
                _running.discard(self)
        self._keep(part, final, None)

    def look(self, cell: Any, cell_index: int, execute_reply: Any = None) -> None:
        """Note where it is and what the kernel has needed, before and after a cell; begin none once it is stopped."""
        self.cell = cell_index
        self.process = self.client.km.provisioner.process or self.process
        with suppress(AttributeError, OSError, StopIteration):  # Linux knows the peak; elsewhere it stays unknown
            status = Path(f"/proc/{self.client.km.provisioner.pid}/status").read_text(encoding="utf-8")
            peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
            self.found["memory_MiB"] = round(int(peak) / 2**10)
        if self.ticket in _stopped and execute_reply is None:
            raise RuntimeError("stopped")

    def _keep(self, part: Path, final: Path, error: BaseException | None) -> None:
        """Give the executed notebook its name, with what ended it where papermill shows nothing of that."""
        notebook = nbformat.read(part, as_version=4)
        settle_streams(notebook)
        notebook.metadata.papermill.update(input_path=str(self.path), output_path=str(final))
        times = [cell.metadata.get("papermill", {}).get("duration") for cell in notebook.cells]
        self.found["cells_seconds"] = round(sum(seconds or 0 for seconds in times), 3)
        outputs = notebook.cells[self.cell].setdefault("outputs", []) if error is not None else []
        shown = isinstance(error, PapermillExecutionError)
        shown |= isinstance(error, Stopped) and any(output.output_type == "error" for output in outputs)
        if error is not None and not shown:  # the kernel died, hung or was interrupted
            what = describe(error)
            outputs.append(nbformat.v4.new_output("error", ename=what["name"], evalue=what["message"]))
            outputs[-1].traceback = [what["message"]]
        nbformat.write(notebook, part)
        part.replace(final)


class _Engine(Engine):
    """papermill's own engine, with what an :class:`Execution` asks for; a kernel's raw output goes to a log file."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, execution: Execution, deadline: float, **_: Any
    ) -> None:
        manager = execution.prepared()
        execution.client = PapermillNotebookClient(
            nb_man,
            km=manager,
            startup_timeout=600 if manager else 60,  # it may be loading still; one that has died is noticed at once
            kernel_name=kernel_name,
            timeout_func=lambda cell: max(1, round(deadline - time.monotonic())) if deadline else None,
            on_cell_start=execution.look,
            on_cell_executed=execution.look,
            extra_arguments=list(KERNEL_ARGUMENTS),
        )
        execution.client.owns_km = True  # a prepared kernel ends with its notebook, as others do
        with execution.log().open("ab" if manager else "wb") as log:
            try:
                execution.client.execute(stdout=log, stderr=log, env=execution.environment())
            except DeadKernelError as error:
                raise DeadKernelError(_death(execution.process and execution.process.poll())) from error
            finally:
                _end(execution.client)


def _end(client: Any) -> None:
    """End what nbclient leaves where it is broken off while its kernel starts: the kernel, and open sockets.

    A socket that is collected together with its context, still open, hangs the process at its end.
    """
    with suppress(Exception):
        if client.kc is not None:
            client.kc.stop_channels()
    with suppress(Exception):
        if client.km is not None and client.km.has_kernel:
            run_sync(client.km.shutdown_kernel)(now=True)


papermill_engines.register("crackviz", _Engine)


def stop(ticket: str, at_once: bool = False) -> None:
    """Begin nothing more with this ticket in this process, and interrupt what runs, or kill its kernels."""
    with _guard:
        _stopped.add(ticket)
        running = [execution for execution in _running if execution.ticket == ticket]
    for execution in running:
        with suppress(AttributeError, OSError):  # it hasn't started its kernel yet, or has ended it
            number = getattr(signal, "SIGKILL", signal.SIGTERM) if at_once else signal.SIGINT
            execution.client.km.provisioner.process.send_signal(number)


def is_stopped(ticket: str) -> bool:
    """Say whether a ticket was stopped in this process."""
    return ticket in _stopped


def describe(error: BaseException) -> dict[str, str]:
    """Return what a reader needs of an exception that ended a notebook: name, message, where, traceback."""
    if isinstance(error, PapermillExecutionError):
        return {
            "name": error.ename,
            "message": _plain(f"{error.ename}: {error.evalue}"),
            "where": f" in cell [{error.exec_count}]",
            "traceback": _plain("\n".join(error.traceback)),
        }
    name = "KeyboardInterrupt" if isinstance(error, KeyboardInterrupt) else type(error).__name__
    message = {
        "CellTimeoutError": "it took longer than the time limit",
        "DeadKernelError": str(error),
        "KeyboardInterrupt": "interrupted",
    }.get(name, f"{name}: {error}")
    if "Kernel didn't respond" in message:  # nbclient's words
        message += ". Is the machine very busy, or 127.0.0.1, by which Jupyter talks to its kernel, closed?"
    return {"name": name, "message": message, "where": "", "traceback": message}


def _broken_off(cell: Any) -> bool:
    """Tell whether a cell ended in SystemExit, which papermill takes for success."""
    expected = "raises-exception" in cell.metadata.get("tags", [])
    return not expected and any(output.get("ename") == "SystemExit" for output in cell.get("outputs", []))


def _death(code: int | None) -> str:
    """Return in words how a kernel's process ended, from its exit code, which is −n after signal n."""
    if code is None:
        return "its Python process ended by itself"
    if code >= 0:
        return f"its Python process ended by itself with exit code {code}; does a cell call exit() or os._exit()?"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if name == "SIGKILL":
        return "its Python process was killed, which mostly means that memory ran out"
    return f"its Python process crashed ({name}): a fault of a library, or a cell that harms its own process"


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
