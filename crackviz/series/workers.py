"""Where the runs of a sweep are executed: in processes of this machine, or by the workers of a Dask cluster.

Both are executors of the standard library's kind that call :func:`work`, which starts a process for each run: a run
that dies takes nothing with it, and leaves no memory behind.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from crackviz import CrackvizError, __version__
from crackviz.series import store

Tell = Callable[[dict[str, Any]], None]
_LINE = 300  # characters of what a dead process said last; logs/process.log of the run has it all
_running: dict[int, tuple[str, subprocess.Popen[str]]] = {}
_stopped: set[str] = set()
_guard = threading.Lock()


def work(order: dict[str, Any], tell: Tell | None = None) -> dict[str, Any]:
    """Execute one run in a process of its own, and wait for it.

    Parameters
    ----------
    order : dict
        name; sweep, its id; run, a path or an address; notebooks, a list of path, text (None: the file is read) and
        parameters; options of :func:`crackviz.series.execute_run`; slots, how many runs go on at once by host.
    tell : callable, optional
        Gets the events; by default they become events of the Dask worker that this runs on.

    Returns
    -------
    dict
        name, status ("done", "failed", "refused", "interrupted" or "died") and message.
    """
    said = tell or _tell_scheduler(order["sweep"])

    def named(event: dict[str, Any]) -> None:
        said({**event, "run_name": order["name"]})

    with tempfile.TemporaryDirectory(prefix="crackviz-") as place:
        remote = store.is_address(order["run"])
        run = Path(place) / "run" if remote else Path(order["run"])
        try:
            if remote:
                store.fetch(order["run"], run)
            notebooks = []
            for path, text, values in order["notebooks"]:
                copy = Path(place) / "notebooks" / Path(path).name
                if text is not None:
                    copy.parent.mkdir(exist_ok=True)
                    copy.write_text(text, encoding="utf-8")
                notebooks.append((path if text is None else str(copy), values))
            options = order["options"] | {"threads": _threads(order)}
            result = _process({"notebooks": notebooks, "run": str(run), "options": options}, order, Path(place), named)
            if remote and (run / store.MARK).exists():
                _carry(run, order["run"])
        except CrackvizError as error:
            result = {"status": "refused", "message": str(error)}
    return {"name": order["name"], **result}


def _carry(run: Path, address: str) -> None:
    """Carry a run to its address; where that fails, keep it here and say so: it may have taken hours."""
    try:
        store.push(run, address)
    except CrackvizError as error:
        kept = Path(tempfile.mkdtemp(prefix="crackviz-kept-")) / address.rsplit("/", 1)[-1]
        shutil.move(run, kept)
        raise CrackvizError(f"{error} The run is kept in {kept} on {platform.node()}.") from error


def _process(spec: Mapping[str, Any], order: Mapping[str, Any], place: Path, tell: Tell) -> dict[str, Any]:
    command = [sys.executable, "-m", "crackviz.series.worker"]
    log = place / "said"
    with log.open("w", encoding="utf-8") as errors, _guard:
        if order["sweep"] in _stopped:
            return {"status": "interrupted", "message": ""}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        )
        _running[process.pid] = order["sweep"], process
    ended: dict[str, Any] = {}
    try:
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):
            json.dump(spec, process.stdin)
            process.stdin.close()
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "ended":
                ended = {"status": event["status"], "message": event["message"]}
            else:
                tell(event)
        code = process.wait()
    finally:
        with _guard:
            _running.pop(process.pid, None)
        process.stdout.close()  # type: ignore[union-attr]
    if ended:
        return ended
    if code == -signal.SIGTERM and order["sweep"] in _stopped:  # it had hardly begun
        return {"status": "interrupted", "message": ""}
    said = log.read_text(encoding="utf-8", errors="replace").strip()
    logs = Path(spec["run"]) / "logs"
    if logs.is_dir():
        (logs / "process.log").write_text(said, encoding="utf-8")
    last = said.splitlines()[-1][:_LINE] if said else ""
    return {"status": "died", "message": f"its process ended with code {code}" + (f": {last}" if last else "")}


def _threads(order: Mapping[str, Any]) -> int:
    """Return how many threads a run may use: as ordered, or its share of this machine."""
    if order["options"].get("threads"):
        return int(order["options"]["threads"])
    slots = order["slots"].get("")
    if slots is None:
        from distributed import get_worker

        slots = order["slots"].get(urlparse(get_worker().address).hostname, 1)
    return max(1, (os.cpu_count() or 1) // slots) if slots > 1 else 0


def _tell_scheduler(sweep: str) -> Tell:
    from distributed import get_worker

    worker = get_worker()
    return lambda event: worker.log_event(f"crackviz-{sweep}", event)


def stop(sweep: str) -> None:
    """Ask the processes of a sweep that run on this machine to stop, and start no more of them."""
    with _guard:
        _stopped.add(sweep)
        for owner, process in _running.values():
            if owner == sweep:
                process.send_signal(signal.SIGTERM)


# --- executors ----------------------------------------------------------------------------------------------------


class Processes:
    """Runs in processes of this machine, at most so many at once."""

    def __init__(self, sweep: str, jobs: int, tell: Tell) -> None:
        self.sweep, self.tell = sweep, tell
        self.ships = False
        self.slots = {"": jobs}
        self.pool: Executor = ThreadPoolExecutor(jobs)

    def submit(self, order: dict[str, Any]) -> Future[dict[str, Any]]:
        """Queue a run."""
        return self.pool.submit(work, order, self.tell)

    def stop(self) -> None:
        """Stop what runs, forget what waits."""
        stop(self.sweep)

    def close(self) -> None:
        """Wait for what still runs."""
        self.pool.shutdown(wait=True, cancel_futures=True)


class Cluster:
    """Runs on the workers of a Dask cluster: one that is there (``tcp://…``), or one of this machine (``local:4``)."""

    def __init__(self, sweep: str, address: str, tell: Tell) -> None:
        try:
            import distributed
        except ImportError:
            raise CrackvizError("--scheduler needs Dask: pip install 'crackviz[cluster]'") from None
        self.sweep = sweep
        self.cluster: Any = None
        kind, _, rest = address.partition(":")
        if kind == "local":
            if not rest.isdigit() or not int(rest):
                raise CrackvizError(f"--scheduler {address}: expected a number of workers, such as local:4.")
            self.cluster = distributed.LocalCluster(
                n_workers=int(rest), threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
            )
        elif kind not in ("tcp", "tls", "ws", "wss") or not rest.startswith("//"):
            raise CrackvizError(f"--scheduler {address}: expected tcp://host:port of a scheduler, or local:4.")
        try:
            self.client = distributed.Client(self.cluster or address, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise CrackvizError(
                f"There is no Dask scheduler at {address}: {str(error).splitlines()[0]}. Start one (dask scheduler) "
                "with workers (dask worker), or use --scheduler local:4 or --jobs 4."
            ) from error
        self.pool: Executor = self.client.get_executor(pure=False)
        self.ships = self.cluster is None  # workers elsewhere get the notebooks' text
        self.client.subscribe_topic(f"crackviz-{sweep}", lambda event: tell(event[1]))
        try:
            self._check_workers(address)
        except BaseException:
            self.close()
            raise
        workers = self.client.scheduler_info(n_workers=-1)["workers"]
        self.slots: dict[str, int] = {}
        for where, worker in workers.items():
            host = urlparse(where).hostname or ""
            self.slots[host] = self.slots.get(host, 0) + worker["nthreads"]

    def _check_workers(self, address: str) -> None:
        with suppress(Exception):  # none is told below
            self.client.wait_for_workers(1, timeout=10)
        try:
            versions = self.client.run(_version)
        except Exception as error:  # pickling and import errors of the workers, of any kind
            raise CrackvizError(
                f"The workers of {address} cannot run crackviz {__version__}: {type(error).__name__}: {error}. "
                "Install the same version there."
            ) from error
        if not versions:
            raise CrackvizError(f"The scheduler at {address} has no worker: start some (dask worker {address}).")
        if others := {where: version for where, version in versions.items() if version != __version__}:
            where, version = next(iter(others.items()))
            raise CrackvizError(f"Worker {where} has crackviz {version}, here is {__version__}: install the same.")

    def check_sees(self, paths: list[str]) -> None:
        """Refuse a folder that a worker does not see."""
        for where, missing in self.client.run(_missing, paths).items():
            if missing:
                raise CrackvizError(
                    f"Worker {where} does not see {missing[0]}: name a folder that all machines share, or, for "
                    "results, an address such as s3://bucket/runs."
                )

    def submit(self, order: dict[str, Any]) -> Future[dict[str, Any]]:
        """Queue a run."""
        return self.pool.submit(work, order)

    def stop(self) -> None:
        """Stop what runs, forget what waits."""
        with suppress(Exception):  # a scheduler that is gone has stopped already
            self.client.run(stop, self.sweep)

    def close(self) -> None:
        """Let go of the cluster, and end one that was started here."""
        self.pool.shutdown(wait=False)
        self.client.close()
        if self.cluster is not None:
            self.cluster.close()


def _version() -> str:
    return __version__


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]
