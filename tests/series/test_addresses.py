"""Runs at an address: what is carried there, in which order, and what is never made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crackviz import CrackvizError
from crackviz.series import workers as store

fsspec = pytest.importorskip("fsspec", reason="needs crackviz[cluster]")
from fsspec.implementations.local import LocalFileSystem  # noqa: E402
from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    for name in ("config.json", "index.html", "a/b.txt", "zz.txt", ".lock"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def test_a_run_goes_there_and_back(run: Path, tmp_path: Path) -> None:
    address = f"file://{tmp_path}/far/run"
    assert not store.fetch(address, tmp_path / "back")
    store.push(run, address)
    assert store.fetch(address, tmp_path / "back")
    names = sorted(p.relative_to(tmp_path / "back").as_posix() for p in (tmp_path / "back").rglob("*") if p.is_file())
    assert names == ["a/b.txt", "config.json", "index.html", "zz.txt"]
    assert store.fetch(address, tmp_path / "some", ["config.json", "claims.json"])
    assert [p.name for p in (tmp_path / "some").iterdir()] == ["config.json"]


def test_a_run_half_carried_is_none(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"file://{tmp_path}/far/run"
    store.push(run, address)  # an earlier one, which the later one replaces
    carried: list[str] = []
    put = LocalFileSystem.put_file

    def breaking(self: LocalFileSystem, source: str, target: str, **kwargs: Any) -> None:
        if len(carried) == 2:
            raise OSError("the line is gone")
        carried.append(target)
        put(self, source, target, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "put_file", breaking)
    with pytest.raises(CrackvizError, match=r"Cannot write to file://.*the line is gone"):
        store.push(run, address)
    assert not store.fetch(address, tmp_path / "back")
    monkeypatch.undo()
    store.push(run, address)
    assert store.fetch(address, tmp_path / "back")


def test_no_bucket_is_made_by_the_way(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Bucket(MemoryFileSystem):
        protocol = ("s3", "s3a")
        store: dict[str, Any] = {}  # noqa: RUF012

        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            made.append(path)

        def put_file(self, source: str, target: str, **_: Any) -> None:  # fsspec's own makes folders
            self.pipe_file(target, Path(source).read_bytes())

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda address: (Bucket(), address.removeprefix("s3://")))
    store.check("s3://bucket/sweep")
    store.push(run, "s3://bucket/sweep/run")
    assert made == []


def test_addresses_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for address in ("nosuch://x", f"file://{tmp_path}/file/below"):
        with pytest.raises(CrackvizError, match=r"Cannot (use|write to)"):
            store.check(address)
    assert store.is_address("s3://a/b") and not store.is_address("runs/a")
