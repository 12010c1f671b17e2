"""Where the runs of a sweep are executed, and where they are carried: this machine, a Dask cluster, an address.

Both kinds of workers are executors of the standard library's kind that call :func:`work` in threads. An address is one
that fsspec understands, such as ``s3://bucket/runs``; a run is carried there when it has ended, ``config.json`` last: a
run without it is none. Dask and fsspec come with ``crackviz[cluster]``.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from crackviz import CrackvizError, __version__
from crackviz.progress import cores
from crackviz.series.run import NotebookFailed, Order, execute_run

MARK = "config.json"
# These know no folders; to make one would make a bucket by a misspelt name.
_WITHOUT_FOLDERS = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci"}


def work(order: Order) -> tuple[str, str]:
    """Execute one run; return "done", "failed", "refused" or "interrupted", and why."""
    from crackviz.series.kernel import is_stopped, stop

    if is_stopped(order.ticket):
        return "interrupted", "not begun"
    remote = is_address(order.run)
    ended = "done", ""
    with tempfile.TemporaryDirectory(prefix="crackviz-") as place:
        run, copies = Path(place) / "run" if remote else Path(order.run), Path(place) / "notebooks"
        try:
            if remote:
                fetch(order.run, run)
            copies.mkdir()
            for name, text in order.texts.items():
                (copies / Path(name).name).write_text(text, encoding="utf-8")
            here = replace(order, options=replace(order.options, threads=_threads(order)))
            try:
                execute_run(here, run, copies if order.texts else None, tell=lambda *_, **__: None)
            except NotebookFailed as failure:
                ended = "failed", str(failure)
                if order.options.fail_fast:
                    stop(order.ticket)  # before this thread takes the next run
            except KeyboardInterrupt:
                ended = "interrupted", "interrupted"
            if remote and (run / MARK).exists():
                _carry(run, order.run)
        except CrackvizError as error:
            return "refused", str(error)
    return ended


def _carry(run: Path, address: str) -> None:
    """Carry a run to its address; where that fails, keep it here and say so: it may have taken hours."""
    try:
        push(run, address)
    except CrackvizError as error:
        kept = Path(tempfile.mkdtemp(prefix="crackviz-kept-")) / address.rsplit("/", 1)[-1]
        shutil.move(run, kept)
        raise CrackvizError(f"{error} The run is kept in {kept} on {platform.node()}.") from error


def _threads(order: Order) -> int:
    """Return how many threads a run may use: as ordered, or its share of this machine."""
    if order.options.threads:
        return order.options.threads
    slots = order.slots.get("")
    if slots is None:
        from distributed import get_worker

        slots = order.slots.get(urlparse(get_worker().address).hostname or "", 1)
    return max(1, cores() // slots) if slots > 1 else 0


# --- executors ----------------------------------------------------------------------------------------------------


@dataclass
class Pool:
    """Something that executes runs: threads of this process, or a Dask cluster."""

    executor: Executor
    slots: dict[str, int]
    client: Any = None
    cluster: Any = None
    """A cluster that was started for it."""

    def texts(self, notebooks: Iterable[str]) -> dict[str, str]:
        """Return the notebooks without outputs, by their paths, where they may not be where workers run."""
        found: dict[str, str] = {}
        for name in notebooks if self.client is not None and self.cluster is None else ():
            content = json.loads(Path(name).read_text(encoding="utf-8"))
            for cell in content["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"outputs": [], "execution_count": None}
            found[name] = json.dumps(content)
        return found

    def everywhere(self, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
        """Call a function in every process that executes runs; return what it returned, by the address of each."""
        return self.client.run(function, *args) if self.client else {"": function(*args)}

    def close(self) -> None:
        """Wait for what still runs here; let go of a cluster, and end one that was started here."""
        self.executor.shutdown(wait=self.client is None)
        if self.client is not None:
            self.client.close()
        if self.cluster is not None:
            self.cluster.close()


def local(jobs: int) -> Pool:
    """Return a pool of so many threads; each run's kernels are processes of their own."""
    return Pool(ThreadPoolExecutor(jobs), {"": jobs})


def cluster(address: str) -> Pool:
    """Return a pool of the workers of a scheduler (``tcp://…``), or of a cluster started here (``local:4``)."""
    try:
        import distributed
    except ImportError:
        raise CrackvizError("A scheduler needs Dask: pip install 'crackviz[cluster]'", "scheduler") from None
    kind, _, rest = address.partition(":")
    own = None
    if kind == "local":
        if not rest.isdecimal() or not int(rest):
            raise CrackvizError(f"scheduler is {address}; expected a number of workers, as in local:4.", "scheduler")
        own = distributed.LocalCluster(
            n_workers=int(rest), threads_per_worker=1, dashboard_address=None, silence_logs="ERROR"
        )
    elif kind not in ("tcp", "tls", "ws", "wss") or not rest.startswith("//"):
        raise CrackvizError(f"scheduler is {address}; expected tcp://host:port of one, or local:4.", "scheduler")
    try:
        client = distributed.Client(own or address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        if own is not None:
            own.close()
        raise CrackvizError(
            f"There is no Dask scheduler at {address}: {str(error).splitlines()[0]}. Start one (dask scheduler) "
            "with workers (dask worker), let local:4 start four workers here, or do without.",
            "scheduler",
        ) from error
    pool = Pool(client.get_executor(pure=False), {}, client, own)
    try:
        _check_workers(pool, address)
    except BaseException:
        pool.close()
        raise
    for where, worker in client.scheduler_info(n_workers=-1)["workers"].items():
        host = urlparse(where).hostname or ""
        pool.slots[host] = pool.slots.get(host, 0) + worker["nthreads"]
    return pool


def _check_workers(pool: Pool, address: str) -> None:
    with suppress(Exception):  # none is told below
        pool.client.wait_for_workers(1, timeout=10)
    try:
        versions = pool.everywhere(_version)
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


def _version() -> str:
    return __version__


def check_sees(pool: Pool, folder: str, values: Iterable[Any]) -> None:
    """Refuse a folder ("" for none), or files that values name, which a worker of a cluster does not see."""
    paths = {value for value in values if isinstance(value, str) and Path(value).is_absolute()}
    probe = Path(folder) / f".probe-{os.getpid()}"
    if folder:
        probe.touch()
        paths.add(str(probe))
    try:
        for where, unseen in pool.everywhere(_missing, sorted(paths)).items():
            if unseen:
                raise CrackvizError(
                    f"Worker {where} does not see {unseen[0]}: name a folder that all machines share, or, for "
                    "results, an address such as s3://bucket/runs."
                )
    finally:
        probe.unlink(missing_ok=True)


def _missing(paths: list[str]) -> list[str]:
    return [path for path in paths if not Path(path).exists()]


# --- addresses ----------------------------------------------------------------------------------------------------


def is_address(place: str) -> bool:
    """Say whether a place is an address rather than a path."""
    return "://" in place


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise CrackvizError(f"{address} needs fsspec: pip install 'crackviz[cluster]'") from None
    protocol, _, place = address.partition("://")
    if not protocol or not place.strip("/"):
        raise CrackvizError(f"{address} is no address: expected one such as s3://bucket/runs.", "out")
    try:
        return fsspec.core.url_to_fs(address)
    except (
        ImportError,
        ValueError,
        OSError,
    ) as error:  # each says which package it lacks, or that the protocol is unknown
        raise CrackvizError(f"Cannot use {address}: {error}", "out") from error


def _make(system: Any, folders: Iterable[str]) -> None:
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    for folder in folders if not protocols & _WITHOUT_FOLDERS else ():
        system.makedirs(folder, exist_ok=True)


def check(address: str) -> None:
    """Write a file there and remove it again; raise a CrackvizError if that fails, or a package is missing."""
    system, path = _open(address)
    try:
        _make(system, [path])
        system.pipe_file(f"{path}/.probe", b"x")
        system.rm_file(f"{path}/.probe")
    except Exception as error:  # each kind of store raises its own
        raise CrackvizError(f"Cannot write to {address}: {error}", "out") from error


def push(folder: Path, address: str, names: Iterable[str] | None = None) -> None:
    """Carry a folder's files to an address: those named, or all, ``config.json`` last."""
    system, path = _open(address)
    found = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    chosen = set(found if names is None else names)
    try:
        if MARK in chosen and system.exists(f"{path}/{MARK}"):
            system.rm_file(f"{path}/{MARK}")
        for part in (sorted(chosen - {MARK}), sorted(chosen & {MARK})):
            there = [f"{path}/{name}" for name in part]
            _make(system, {name.rsplit("/", 1)[0] for name in there})
            system.put([str(folder / name) for name in part], there)
        if names is None:  # what an earlier run has left there and this one hasn't isn't its own
            for old in system.find(path):
                if old.removeprefix(path).lstrip("/") not in chosen:
                    system.rm_file(old)
    except Exception as error:
        raise CrackvizError(f"Cannot write to {address}: {error}") from error


def fetch(address: str, folder: Path, names: Iterable[str] | None = None) -> bool:
    """Bring a run's files here, those named or all; False where there is no finished run."""
    system, path = _open(address)
    try:
        if not system.exists(f"{path}/{MARK}"):
            return False
        found = [name.removeprefix(path).lstrip("/") for name in system.find(path)]
        for name in found if names is None else set(names) & set(found):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{path}/{name}", str(folder / name))
    except Exception as error:
        raise CrackvizError(f"Cannot read {address}: {error}") from error
    return True
