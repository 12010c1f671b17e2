"""Sweeps: real kernels, real processes, a real Dask cluster, and what is killed in the middle."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from click.testing import CliRunner, Result
from made import alive, crackviz, json_of, until, whole, write_notebook

from crackviz import CrackvizError, series
from crackviz.cli import main
from crackviz.series import sweep as sweep_module
from crackviz.series import workers as workers_module
from crackviz.series.records import duration
from crackviz.series.report import describe_run
from crackviz.series.run import Order

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")

# Each run notes in a ledger that it begins and ends; a run whose seed is in the folder `held` waits until it is not.
TINY = [
    "# A tiny notebook",
    "parameters: run: str = ''  # run folder\nseed: int = 0  # seed\nlr: float = 0.1  # rate\nend: str = ''  # how",
    "from crackviz import series\nfrom crackviz.claims import claim\nfolder = series.open_run(run, 'tiny')",
    "import os, time\nfrom pathlib import Path\nplace = Path(os.environ['PLACE'])\n"
    "def note(word):\n    with (place / 'ledger').open('a') as file: file.write(f'{word} {lr} {seed}\\n')\n"
    "note('began')\n(place / f'pid-{seed}').write_text(str(os.getpid()))\n"
    "(place / f'pid-{seed}').rename(place / f'kernel-{seed}')",  # whole as soon as it is there
    "while (place / 'held' / str(seed)).exists(): time.sleep(0.05)\n"
    "if end == 'die': os._exit(9)\nif end == 'hang': time.sleep(600)",
    "claim('T0.1', 'the seed is not three', seed != 3)",
    "threads = [os.environ.get(name, '') for name in ('TF_NUM_INTRAOP_THREADS', 'OMP_NUM_THREADS')]\n"
    "series.write_results(folder, 'tiny', {'accuracy': 0.5 + lr + seed / 100, 'threads': threads})\nnote('ended')",
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a notebook and a grid of four seeds, in which the command is called."""
    write_notebook(tmp_path / "tiny.ipynb", TINY)
    (tmp_path / "held").mkdir()
    grid(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.delenv("CRACKVIZ_RUN", raising=False)
    yield tmp_path
    for process in psutil.Process().children(recursive=True):  # what a failed test has left
        with suppress(psutil.NoSuchProcess):  # it has ended since
            process.kill()


def grid(place: Path, axes: str = "seed = [0, 1, 2, 3]", more: str = "") -> None:
    (place / "grid.toml").write_text(f"notebooks = ['tiny.ipynb']\n{more}\n[grid]\n{axes}\n")


def ledger(place: Path) -> Counter[str]:
    """How often each seed has begun and ended, as "began 0", "ended 0"."""
    if not (place / "ledger").exists():
        return Counter()
    return Counter(re.sub(r" \S+ ", " ", line) for line in (place / "ledger").read_text().splitlines())


def hold(place: Path, *seeds: int) -> None:
    for seed in seeds:
        (place / "held" / str(seed)).touch()


def release(place: Path) -> None:
    for path in (place / "held").iterdir():
        path.unlink()


def sweep(*arguments: str) -> tuple[int, str, str]:
    process = crackviz("sweep", "grid.toml", "--out", "sw", *arguments)
    out, err = process.communicate(timeout=180)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def states(place: Path, name: str = "sw") -> dict[str, str]:
    table = pd.read_csv(place / name / "results.csv")
    return dict(zip(table["run"], table["status"], strict=True))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


# --- a whole sweep ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_from_its_plan_to_its_stale_end(place: Path) -> None:
    code, out, _ = sweep("--dry-run")
    assert code == 0 and "seed=3: 1 notebook would be run (new)" in out and out.endswith("4 of 4 runs, 4 notebooks\n")
    assert not (place / "sw").exists() and not ledger(place)

    code, out, err = sweep("--jobs", "2")
    assert code == 1
    lines = out.splitlines()
    assert len(lines) == 5 and lines[-1] == "Report: sw/index.html"
    assert re.match(r"\[4/4\] seed=\d … ", lines[3]) and "left" in lines[0] and "left" not in lines[3]
    assert re.fullmatch(r"crackviz: 1 of 4 runs did not reach their end: seed=3: tiny failed in cell \[\d\].*\n", err)
    assert states(place) == {"seed=0": "done", "seed=1": "done", "seed=2": "done", "seed=3": "failed"}
    assert set(ledger(place).values()) == {1} and len(ledger(place)) == 7
    page = (place / "sw" / "index.html").read_text()
    for part in (
        "3 done",
        "1 failed",
        'href="seed%3D0/index.html"',
        "What went wrong",
        "T0.1 does not hold here",
        "<br>accuracy</th>",
    ):
        assert part in page, part
    assert "AssertionError" in (place / "sw" / "seed=3" / "notebooks" / "tiny.ipynb").read_text()  # the traceback
    whole(place / "sw")
    table = pd.read_csv(place / "sw" / "results.csv").set_index("seed")
    assert table["failed"].dropna().to_dict() == {3: "tiny"}
    assert table["tiny.accuracy"].dropna().to_dict() == pytest.approx({0: 0.6, 1: 0.61, 2: 0.62})
    threads = {tuple(json_of(place / "sw" / f"seed={n}" / "results.json")["tiny"]["threads"]) for n in range(3)}
    share = str(max(1, (os.cpu_count() or 1) // 2))
    assert threads == {(share, share)}
    config = json_of(place / "sw" / "seed=0" / "config.json")
    assert config["hardware"]["threads"] == int(share)
    assert config["command"].endswith(
        "sweep grid.toml --out sw --jobs 2"
    )  # what was called, not the process of the run

    before = ledger(place)
    code, out, _ = sweep()
    assert code == 1 and ledger(place) == before
    assert "3 of 4 runs have reached their end before" in out and "--retry-failed" in out
    assert "T0.1 does not hold here" in (place / "sw" / "index.html").read_text()  # is not forgotten

    code, out, _ = sweep("--retry-failed")
    assert code == 1 and ledger(place) - before == Counter({"began 3": 1})

    grid(place, "seed = [0, 1]", "parameters.lr = 0.2")
    listed = call("sweep", "grid.toml", "--out", "sw", "--dry-run").output
    assert listed.count("left as it is, stale (lr was 0.1, is 0.2); run again by --stale") == 2
    code, out, _ = sweep()
    assert code == 0 and "2 are stale (lr was 0.1, is 0.2); run again by --stale" in out
    assert (place / "sw" / "index.html").read_text().count("stale: lr was 0.1, is 0.2") == 2
    write_notebook(place / "tiny.ipynb", [*TINY, "print('changed')"])
    grid(place, "seed = [0, 1]")
    before = ledger(place)
    code, out, _ = sweep()
    assert code == 0 and ledger(place) == before
    assert "2 are stale (the notebook changed); run again by --stale" in out
    assert "stale: the notebook changed" in (place / "sw" / "index.html").read_text()
    assert "stale: the notebook changed" in call("list", "sw").output
    code, out, _ = sweep("--stale", "--threads", "1")
    assert code == 0 and ledger(place) - before == Counter({"began 0": 1, "ended 0": 1, "began 1": 1, "ended 1": 1})
    assert call("list", "sw").output.count("stale") == 1  # of a seed that is no longer in the grid
    assert set(states(place)) == {"seed=0", "seed=1"}
    with pytest.raises(CrackvizError, match="is the folder of a sweep"):
        series.compare("sw", "sw")


@pytest.mark.slow
def test_fail_fast_stops_the_others(place: Path) -> None:
    grid(place, "seed = [3, 0, 1, 2]")
    code, _, err = sweep("--fail-fast")
    assert code == 1 and ledger(place) == Counter({"began 3": 1})
    assert err.startswith("crackviz: 4 of 4 runs did not reach their end: seed=3: tiny failed")
    assert list(states(place).values()) == ["failed", "missing", "missing", "missing"]
    code, _, err = sweep()
    assert code == 1 and ledger(place)["began 3"] == 1  # the failed one isn't run again, the others are
    assert list(states(place).values()) == ["failed", "done", "done", "done"]


@pytest.mark.slow
def test_kernels_that_die_or_hang_or_are_killed_stop_no_other(place: Path) -> None:
    grid(place, "end = ['fine', 'die', 'hang']\nseed = [0]")
    code, _, _ = sweep("--timeout", "0.1", "--jobs", "2")
    assert code == 1
    assert states(place) == {"end=fine,seed=0": "done", "end=die,seed=0": "failed", "end=hang,seed=0": "failed"}
    assert "exit code 9; does a cell call exit()" in (place / "sw" / "end=die,seed=0" / "index.html").read_text()
    assert "longer than the time limit" in (place / "sw" / "end=hang,seed=0" / "index.html").read_text()

    grid(place)
    hold(place, 1)
    process = crackviz("sweep", "grid.toml", "--out", "killed")
    until((place / "kernel-1").exists)
    kernel = psutil.Process(int((place / "kernel-1").read_text()))
    assert kernel.ppid() == process.pid
    kernel.kill()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "seed=1: tiny failed: its Python process was killed, which mostly means" in err
    assert states(place, "killed")["seed=2"] == "done"
    release(place)
    assert crackviz("sweep", "grid.toml", "--out", "killed", "--retry-failed").wait() == 1  # seed 3
    assert states(place, "killed")["seed=1"] == "done"
    assert "was killed" not in (place / "killed" / "index.html").read_text()


# --- broken off, and gone on --------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_sweep_that_was_broken_off_goes_on(place: Path, number: signal.Signals) -> None:
    grid(place, "seed = [0, 1, 2]")
    hold(place, 1)
    process = crackviz("sweep", "grid.toml", "--out", "sw")
    until((place / "kernel-1").exists)
    kernel = int((place / "kernel-1").read_text())
    assert alive(kernel)
    process.send_signal(number)
    out, err = process.communicate(timeout=90)
    until(lambda: not alive(kernel), 30)
    whole(place / "sw")
    assert ledger(place) == Counter({"began 0": 1, "ended 0": 1, "began 1": 1})
    if number != signal.SIGKILL:
        assert process.returncode == 130 and "Traceback" not in err
        assert out.splitlines()[-1] == "Report: sw/index.html" and "goes on where it was" in err
        assert states(place) == {"seed=0": "done", "seed=1": "interrupted", "seed=2": "missing"}
        assert "KeyboardInterrupt" in (place / "sw" / "seed=1" / "notebooks" / "tiny.ipynb").read_text()
    assert "sw/seed=1  interrupted" in call("list", "sw").output
    release(place)
    code, out, _ = sweep()
    assert code == 0 and "1 of 3 runs have reached their end before" in out
    assert ledger(place)["began 0"] == 1  # the finished one isn't run again
    assert all(ledger(place)[f"ended {seed}"] == 1 for seed in range(3))
    assert set(states(place).values()) == {"done"}


@pytest.mark.slow
def test_a_kernel_that_heeds_no_interruption_is_killed_and_nothing_new_is_begun(place: Path) -> None:
    deaf = "import signal\n_ = signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # ipykernel heeds it again in each cell
    write_notebook(place / "tiny.ipynb", [*TINY[:4], deaf + TINY[4], *TINY[5:]])
    write_notebook(place / "zz.ipynb", TINY)
    grid(place, "seed = [0, 1, 2]")
    text = (place / "grid.toml").read_text()
    (place / "grid.toml").write_text(text.replace("['tiny.ipynb']", "['tiny.ipynb', 'zz.ipynb']"))
    hold(place, 0, 1)
    process = crackviz("sweep", "grid.toml", "--out", "sw", "--jobs", "2")
    until(lambda: all((place / f"kernel-{seed}").exists() for seed in (0, 1)))
    kernels = [int((place / f"kernel-{seed}").read_text()) for seed in (0, 1)]
    time.sleep(1)  # until both are in the cell that waits
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    process.send_signal(signal.SIGINT)  # who asks twice doesn't wait
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err and time.monotonic() - began < 15
    assert not any(map(alive, kernels))
    assert states(place) == {"seed=0": "interrupted", "seed=1": "interrupted", "seed=2": "missing"}
    assert sum(ledger(place).values()) == 2
    whole(place / "sw")


@pytest.mark.slow
def test_two_sweeps_or_runs_in_one_folder_are_refused(place: Path) -> None:
    hold(place, 0)
    process = crackviz("sweep", "grid.toml", "--out", "sw")
    until((place / "kernel-0").exists)
    code, out, err = sweep()
    assert (code, out) == (2, "") and "Another process is running into" in err
    other = crackviz("run", "tiny.ipynb", "--out", "sw/seed=0")
    assert other.wait() == 2 and "Another process" in other.communicate()[1]
    assert "sw/seed=0  running" in call("list", "sw").output
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


# --- Dask ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(place: Path) -> Iterator[str]:
    """A scheduler and two workers as processes of their own, which talk over TCP."""
    pytest.importorskip("distributed", reason="needs crackviz[cluster]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler" if False else "dask"]
    begin = {
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        "cwd": place / "held",
        "start_new_session": True,
    }
    commands = [[*dask, "scheduler", "--host", address, "--no-dashboard"]]
    commands += [[*dask, "worker", address, "--nthreads", "1", "--no-dashboard"] for _ in range(2)]
    processes = [subprocess.Popen(command, **begin) for command in commands]
    yield address
    for process in processes:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_dask_cluster_whose_worker_is_killed_loses_nothing_and_does_nothing_twice(place: Path, cluster: str) -> None:
    grid(place, "seed = [0, 1, 2, 4, 5]")
    hold(place, 1)
    process = crackviz("sweep", "grid.toml", "--out", "sw", "--scheduler", cluster)
    until(lambda: (place / "kernel-1").exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    kernel = psutil.Process(int((place / "kernel-1").read_text()))
    dask_worker = kernel.parent()
    assert dask_worker is not None and dask_worker.pid != process.pid
    dask_worker.kill()
    until(lambda: not alive(kernel.pid), 30)
    release(place)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.count("claims hold") == 5 and out.splitlines()[-1] == "Report: sw/index.html"
    notes = ledger(place)
    assert {seed: notes[f"ended {seed}"] for seed in (0, 1, 2, 4, 5)} == dict.fromkeys((0, 1, 2, 4, 5), 1)
    assert notes["began 1"] == 2  # the one that was killed
    assert sum(notes.values()) == 11
    assert set(states(place).values()) == {"done"} and len(states(place)) == 5
    record = json_of(place / "sw" / "seed=0" / "config.json")["notebooks"]["tiny"]
    assert record["path"] == str(place / "tiny.ipynb")  # though the worker got its text
    assert "stale" not in call("list", "sw").output
    code, out, _ = sweep("--scheduler", cluster)
    assert code == 0 and ledger(place) == notes


@pytest.mark.slow
def test_a_local_cluster_and_results_at_an_address(place: Path) -> None:
    pytest.importorskip("distributed", reason="needs crackviz[cluster]")
    grid(place, "seed = [0, 3]")
    address = f"file://{place}/far/sw"
    process = crackviz("sweep", "grid.toml", "--out", address, "--scheduler", "local:2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1 and "seed=3: tiny failed" in err, err
    assert out.splitlines()[-1] == f"Report: {address}/index.html"
    far = place / "far" / "sw"
    assert states(place / "far") == {"seed=0": "done", "seed=3": "failed"}
    for run in ("seed=0", "seed=3"):
        names = {p.relative_to(far / run).as_posix() for p in (far / run).rglob("*") if p.is_file()}
        assert names >= {"config.json", "index.html", "notebooks/tiny.ipynb", "claims.json", "logs/tiny.kernel.log"}
    whole(far)
    before = ledger(place)
    process = crackviz("sweep", "grid.toml", "--out", address, "--retry-failed")
    process.communicate(timeout=120)
    assert process.returncode == 1 and ledger(place) - before == Counter({"began 3": 1})


@pytest.mark.slow
def test_a_run_that_cannot_be_carried_away_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec", reason="needs crackviz[cluster]")
    grid(place, "seed = [0]")

    def full(*args: Any) -> None:
        raise CrackvizError("Cannot write to file:///x: No space left on device")

    monkeypatch.setattr(workers_module, "push", full)
    monkeypatch.setattr(workers_module.tempfile, "tempdir", str(place / "temporary"))
    (place / "temporary").mkdir()
    address = f"file://{place}/far/sw/seed=0"
    values = {"run": "", "seed": 0, "lr": 0.1, "end": ""}
    notebooks = {str(place / "tiny.ipynb"): values}
    status, why = workers_module.work(Order(address, notebooks, slots={"": 1}))
    assert status == "refused" and "The run is kept in" in why
    (kept,) = (place / "temporary").glob("crackviz-kept-*/seed=0")
    assert str(kept) in why and ledger(place)["ended 0"] == 1
    assert json_of(kept / "config.json")["notebooks"]["tiny"]["status"] == "done"


# --- wrong use ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "arguments", "message"),
    [
        ("sed = [0]", [], "parameter 'sed'.*Did you mean seed"),
        ("seed = ['a']", [], "seed cannot be 'a': expected int"),
        ("seed = [0, '0']", [], "runs seed=0~.* and seed=0~.* would be the same"),
        ("seed = [0, 0]", [], "seed holds 0 twice"),
        ("seed = []", [], "no run"),
        ("run = ['a']", [], "--out"),
        ("data = ['a']", [], "no .*a: expected a folder of pictures"),
        ("seed = [0]", ["--jobs", "0"], r"jobs is 0; expected 1 or more\. \(--jobs\)"),
        ("seed = [0]", ["--threads", "-1"], r"threads is -1; expected 0 or more\. \(--threads\)"),
        ("seed = [0]", ["--timeout", "-1"], "--timeout"),
        ("seed = [0]", ["--jobs", "2", "--scheduler", "local:2"], "choose one of them"),
        ("seed = [0]", ["--scheduler", "local:x"], "local:4"),
        ("seed = [0]", ["--scheduler", "10.0.0.1"], "tcp://host:port"),
        ("seed = [0]", ["--out", "tiny.ipynb"], "it is a file"),
        ("seed = [0]", ["--out", "nosuch://x/y"], "Cannot use nosuch"),
    ],
)
def test_wrong_use_exits_2_before_anything_runs(place: Path, axes: str, arguments: list[str], message: str) -> None:
    grid(place, axes)
    result = call("sweep", "grid.toml", "--out", "sw", *arguments)
    assert result.exit_code == 2, result.output
    assert re.search(message, result.stderr) and result.stderr.startswith("crackviz: ") and not result.stdout
    assert not list(place.glob("sw/*/")) and not ledger(place)


def test_other_folders_are_refused(place: Path) -> None:
    run = series.open_run(place / "sw")
    series.write_json(run / "config.json", {"layout": 2, "notebooks": {}, "manifests": {}})
    assert "is a single run's folder" in call("sweep", "grid.toml", "--out", "sw").stderr
    assert call("sweep", "none.toml").exit_code == 2
    old = series.open_run(place / "old")
    series.write_json(old / "sweep.json", {"layout": 1, "crackviz": "0.0.9"})
    assert "was made by an older crackviz (0.0.9" in call("sweep", "grid.toml", "--out", "old").stderr
    with pytest.raises(CrackvizError, match="no run"):
        series.run_sweep(series.Grid({"seed": []}, ["tiny.ipynb"]), out="sw2")
    assert "no folder nowhere" in call("list", "nowhere").stderr
    assert call("list", str(place / "held")).output == f"No runs in {place / 'held'}.\n"
    result = call("report", "held")
    assert result.exit_code == 2 and "is no run folder" in result.stderr
    with pytest.raises(CrackvizError, match="is no run folder"):
        series.compare("held", "held")


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_named(place: Path) -> None:
    pytest.importorskip("distributed", reason="needs crackviz[cluster]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    code, out, err = sweep("--scheduler", f"tcp://127.0.0.1:{port}")
    assert (code, out) == (2, "") and f"no Dask scheduler at tcp://127.0.0.1:{port}" in err.splitlines()[-1]
    assert time.monotonic() - began < 40 and not ledger(place)


def test_a_disk_that_is_too_full_is_noticed_at_the_start(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(sweep_module.shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    with pytest.raises(CrackvizError, match="has 10 MB left, and 4 notebooks need some"):
        series.run_sweep("grid.toml", out="sw")
    assert not (place / "sw").exists()


@pytest.mark.slow
def test_a_disk_that_fills_up_ends_a_sweep_cleanly(place: Path) -> None:
    import resource

    wordy = ["parameters: run: str = ''  # run\nseed: int = 0  # seed", "print('word ' * (20_000 if seed else 1))"]
    write_notebook(place / "tiny.ipynb", wordy)
    grid(place, "seed = [0, 1]")
    process = crackviz(
        "sweep", "grid.toml", "--out", "sw",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)),
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "File too large" in err and "Traceback" not in err, err
    assert not (place / "sw" / "seed=1" / "notebooks" / "tiny.ipynb").exists()
    whole(place / "sw")
    assert call("sweep", "grid.toml", "--out", "sw", "--retry-failed").exit_code == 0
    assert set(states(place).values()) == {"done"}


# --- two runs compared -----------------------------------------------------------------------------------------------

CHANGING = [
    "parameters: run: str = ''  # run folder\nseed: int = 0  # seed",
    "import os\nimport numpy as np\nimport matplotlib.pyplot as plt\nfrom crackviz import series\n"
    "from crackviz.claims import claim\nfolder = series.open_run(run, 'changing')",
    "shift = float(os.environ.get('SHIFT', '0'))\nfigure, ax = plt.subplots()\n"
    "_ = ax.imshow(np.full((4, 4), 0.5 + shift), vmin=0, vmax=1, cmap='gray')\n"
    "_ = series.save_figure(folder, figure, 'square')",
    "claim('T0.1', 'nothing has moved', True) if shift < 0.3 else claim('T0.2', 'it has moved', True)",
    "import time\nresults = {'x': 2.0 + shift, 'seconds': time.time() * 1e6 % 97, 'n': [seed, 1]}\n"
    "series.write_results(folder, 'changing', results)",
]


@pytest.mark.slow
def test_a_run_is_repeated_and_compared(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(out: str, seed: int = 7) -> str:
        series.run_series(["changing.ipynb"], out=out, parameters={"seed": seed})
        return out

    write_notebook(place / "changing.ipynb", CHANGING)
    run("first")
    assert series.compare("first", run("again")) == []
    assert [str(d) for d in series.compare("first", run("other seed", 8))] == [
        "number changing.n: [7, 1] before, [8, 1] now"
    ]
    monkeypatch.setenv("SHIFT", "0.001")
    assert series.compare("first", run("small")) == []  # within the tolerances
    assert [d.name for d in series.compare("first", "small", rtol=0)] == ["changing.x"]
    monkeypatch.setenv("SHIFT", "0.4")
    found = series.compare("first", run("moved"))
    assert [re.sub(r"\d+\.\d grey", "many grey", str(d)) for d in found] == [
        "claim T0.1 of changing: holds before, missing now",
        "claim T0.2 of changing: missing before, holds now",
        "number changing.x: 2.0 before, 2.4 now",  # but not the time
        "figure square: as it was before, many grey levels off now",
    ]
    kept = json_of(series.write_comparison(found, "first", "moved"))
    assert len(kept["differences"]) == 4 and kept["with"] == str(place / "first")
    assert kept["differences"][2] == {"kind": "number", "name": "changing.x", "first": 2.0, "second": 2.4}
    assert [d.kind for d in series.compare("first", "moved", rtol=0.5, figure_tolerance=255)] == ["claim", "claim"]
    for wrong in ({"rtol": -1}, {"atol": float("nan")}, {"figure_tolerance": "3"}):
        with pytest.raises(CrackvizError, match=rf"{next(iter(wrong))} is .*; expected a number from 0 on"):
            series.compare("first", "moved", **wrong)

    write_notebook(place / "changing.ipynb", [*CHANGING, "1"])
    assert "stale: the notebook changed" in describe_run("first")
    (place / "changing.ipynb").unlink()
    assert "stale: the notebook is gone" in describe_run("first")


@pytest.mark.slow
def test_what_a_run_lacks_is_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notebook(place / "changing.ipynb", CHANGING)
    series.run_series(["changing.ipynb", "tiny.ipynb"], out="first")
    with pytest.raises(series.NotebookFailed):
        series.run_series(["changing.ipynb", "tiny.ipynb"], out="second", parameters={"seed": 3})
    found = list(map(str, series.compare("first", "second")))
    assert any(line.startswith("outcome tiny: done before, failed: AssertionError: T0.1") for line in found)
    assert "claim T0.1 of tiny: holds before, does not hold now" in found
    assert "number tiny.accuracy: 0.6 before, missing now" in found
    series.run_series(["changing.ipynb"], out="third")
    assert "outcome tiny: done before, missing now" in map(str, series.compare("first", "third"))
    square = place / "third" / "figures" / "square.png"
    square.write_bytes(square.read_bytes()[:2000])
    assert "figure square: as it was before, not to be read" in str(series.compare("first", "third")[-1])
    square.unlink()
    assert str(series.compare("first", "third")[-1]) == "figure square: as it was before, missing now"
    assert str(series.compare("third", "first")[-1]) == "figure square: as it was before, new now"


@pytest.mark.slow
def test_a_run_whose_data_changed_is_stale(place: Path) -> None:
    own = ["parameters: data: str = ''  # pictures", "from pathlib import Path\nlen(list(Path(data).iterdir()))"]
    write_notebook(place / "own.ipynb", own)
    (place / "pictures").mkdir()
    (place / "pictures" / "1.jpg").write_bytes(b"1")
    series.run_series(["own.ipynb"], data="pictures", out="first")
    (place / "pictures" / "1.jpg").write_bytes(b"2")
    assert "stale: the data changed" in describe_run("first")


@pytest.mark.slow
def test_the_command_says_whether_a_run_is_repeated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_notebook(place / "changing.ipynb", CHANGING)
    series.run_series(["changing.ipynb"], out="first", parameters={"seed": 7}, options=series.Options(threads=1))
    monkeypatch.setenv("SHIFT", "0.001")
    assert call("run", "changing.ipynb", "--out", "again", "-p", "seed", "7", "--threads", "1").exit_code == 0
    again = call("report", "first", "again")
    assert again.exit_code == 0, again.output  # within the tolerances
    assert "Alike: outcomes, claims, numbers and figures." in again.output
    assert json_of(place / "again" / "comparison.json")["differences"] == []
    config = json_of(place / "again" / "config.json")
    assert config["seed"] == 7 and config["hardware"]["threads"] == 1
    assert config["notebooks"]["changing"]["parameters"]["run"] == str(place / "again")

    monkeypatch.setenv("SHIFT", "0.4")
    assert call("run", "changing.ipynb", "--out", "other", "-p", "seed", "7").exit_code == 0
    moved = call("report", "first", "other", "--out", "both")
    assert moved.exit_code == 1 and "4 differences" in moved.stderr
    for line in ("claim T0.1 of changing: holds before, missing now", "claim T0.2 of changing: missing before, holds",
                 "number changing.x: 2.0 before, 2.4 now", "figure square: as it was before"):  # fmt: skip
        assert line in moved.output, moved.output
    assert "seconds" not in moved.output and (place / "both" / "index.html").exists()
    kept = json_of(place / "other" / "comparison.json")
    assert len(kept["differences"]) == 4 and kept["with"] == str(place / "first")
    found = series.compare("first", "other", rtol=0.5, figure_tolerance=255)
    assert [difference.kind for difference in found] == ["claim", "claim"]
    wide = call("report", "first", "other", "--rtol", "0.5", "--figures", "255", "--out", "both")
    assert "2 differences" in wide.stderr


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_and_says_what_it_does(place: Path) -> None:
    write_notebook(place / "zz.ipynb", [*TINY[:2], "print(seed)"])
    assert call("run", "tiny.ipynb", "zz.ipynb", "--dry-run").output == (
        "tiny: would be run (new)\nzz: would be run (new)\n"
    )
    first = call("run", "tiny.ipynb", "zz.ipynb", "--out", "r")
    assert first.exit_code == 0 and ledger(place) == Counter({"began 0": 1, "ended 0": 1})
    second = call("run", "tiny.ipynb", "zz.ipynb", "--out", "r")
    assert second.output.splitlines() == [
        "up to date: tiny, zz; run again by --force",
        "Report: r/index.html",
    ]
    write_notebook(place / "zz.ipynb", [*TINY[:2], "print(seed, 1)"])
    third = call("run", "tiny.ipynb", "zz.ipynb", "--out", "r").output.splitlines()
    assert third[:2] == ["up to date: tiny", "run again, the notebook changed: zz"]
    assert ledger(place)["began 0"] == 1
    assert call("run", "tiny.ipynb", "zz.ipynb", "--out", "r", "-p", "seed", "1", "--dry-run").output == (
        "tiny: would be run (seed was 0, is 1)\nzz: would be run (comes after tiny)\n"
    )
    assert call("run", "tiny.ipynb", "--out", "r", "--force").exit_code == 0
    assert ledger(place)["began 0"] == 2
    shown = call("list", "r").output
    assert "zz    done" in shown and "stale: tiny was run since" in shown and "1/1 claims" in shown
    assert re.search(r"parameters +defaults", shown)
    assert call("report", "r").output == "Report: r/index.html\n"


def test_commands_explain_themselves_by_example() -> None:
    for name in ("run", "sweep", "list", "report"):
        text = call(name, "--help").output
        assert re.search(rf"Examples?.*crackviz {name}", text, re.DOTALL), name


@pytest.mark.slow
def test_a_listener_who_has_left_ends_no_run(place: Path) -> None:
    write_notebook(place / "zz.ipynb", TINY)
    hold(place, 0)
    process = crackviz("run", "tiny.ipynb", "zz.ipynb", "--out", "r")
    until((place / "kernel-0").exists)
    assert process.stdout is not None
    process.stdout.close()  # as `| head -1` does
    release(place)
    assert process.wait(60) == 0 and process.stderr is not None and process.stderr.read() == ""
    assert {r["status"] for r in json_of(place / "r" / "config.json")["notebooks"].values()} == {"done"}


def test_what_others_call_config_json_is_a_row_of_the_list(place: Path) -> None:
    for name, text in (("a", "no json"), ("b", "[1]"), ("c", '{"name": "x"}'), ("d", '{"layout": 2, "notebooks": 3}'),
                       ("e", '{"layout": 2, "notebooks": {"x": {}}, "manifests": {}}')):  # fmt: skip
        (place / name).mkdir()
        (place / name / "config.json").write_text(text)
    series.write_json(series.open_run(place / "f") / "config.json", {"layout": 2, "notebooks": {}, "manifests": {}})
    result = call("list", ".")
    assert result.exit_code == 0, result.output
    rows = [line.split(maxsplit=1) for line in result.output.splitlines()[1:]]
    assert rows == [*([name, "not readable"] for name in "abcde"), ["f", "not run"]]
    assert "isn't of crackviz" in call("sweep", "grid.toml", "--out", "c").stderr


def test_times_are_told_in_words() -> None:
    assert [duration(s) for s in (0.4, 99, 100, 3600, 7260)] == ["0 s", "99 s", "2 min", "60 min", "2 h 01 min"]
