"""Files written whole or not at all, JSON, pages, and hashes of files and code."""

from __future__ import annotations

import ast
import base64
import errno
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crackviz import ROOT, CrackvizError

if TYPE_CHECKING:
    import jinja2

_NO_RESULT = "cli"  # a module that changes no result


def as_path(name: str, value: Any) -> Path:
    """Return a path that a person gave, called `name`; a CrackvizError for what can't be one on this machine."""
    why = "expected the path of a file or a folder"
    if isinstance(value, str | os.PathLike) and str(value):
        try:
            if "://" in str(value):
                raise ValueError("an address")
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):  # said where it is opened or made
                Path(value).stat()
            return Path(value)
        except (OSError, ValueError) as error:  # too long, a link in a circle, a NUL
            why = f"no path on this machine ({getattr(error, 'strerror', None) or error})"
    raise CrackvizError(f"{name} is {value!r:.200}; {why}.", name if name.islower() else "")


def absolute(name: str, value: Any) -> Path:
    """Return a path that a person gave, called `name`, made absolute; a CrackvizError as :func:`as_path` has."""
    path = as_path(name, value)
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:  # no such home, a link in a circle
        raise CrackvizError(f"{name} is {value!r:.200}; no path on this machine ({error}).") from error


def make_folder(path: Path) -> Path:
    """Make a folder where it is missing, with those above it, and return it; a CrackvizError where that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CrackvizError(
            f"Cannot make the folder {path}: {error.strerror or error}. Free some space there, or choose another one."
        ) from error
    return path


def is_run_folder(names: Iterable[str]) -> bool:
    """Tell by what lies in a folder whether it is a run's or a sweep's: what crackviz has drawn is no data.

    A config.json alone may be of any tool.
    """
    return {"config.json", "figures"} <= (found := set(names)) or "sweep.json" in found


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a file name to write to, which becomes ``path`` when the block ends well and vanishes when it fails.

    Raises
    ------
    CrackvizError
        If the file cannot be written: no space, no permission, no such folder.
    """
    part = path.with_name(f"{path.name}.part-{os.getpid()}")
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise CrackvizError(
            f"Cannot write {path}: {error.strerror or error}. Free some space there, or choose an output folder "
            "that you may write to."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_json(path: str | Path, obj: object) -> None:
    """Write an object as JSON, whole or not at all.

    NumPy scalars and arrays become numbers and lists, paths become text, and NaN and infinities become ``null``,
    because JSON has no word for them.

    Raises
    ------
    CrackvizError
        If the file cannot be written.
    TypeError
        If the object holds something that has no form in JSON.
    """
    text = json.dumps(_plain(obj), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if not _is_text(text):  # half a character, or a file name that is no UTF-8: JSON can escape it
        text = json.dumps(_plain(obj), indent=2, allow_nan=False) + "\n"
    with replacing(Path(path)) as part:
        part.write_text(text, encoding="utf-8")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a run's JSON file, an empty one if there is no file.

    Raises
    ------
    CrackvizError
        If the file is not a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:  # the last one: brackets without end
        raise CrackvizError(f"Cannot read {path}: {error}. Remove the file, or choose another run folder.") from error
    if not isinstance(content, dict):
        raise CrackvizError(
            f"{path} holds no JSON object, as crackviz writes it. Remove it, or choose another run folder."
        )
    return content


def update_json(path: Path, new: Mapping[str, object]) -> None:
    """Set the given keys of the object in a JSON file and keep the others; see :func:`write_json`."""
    write_json(path, {**read_json(path), **new})


def is_full(error: BaseException | None) -> bool:
    """Say whether an error comes from a disk without space, on which what follows would fail as well."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__ or error.__context__
    return False


def code_hash(modules: Mapping[str, Path]) -> str:
    """Return a hash of what modules do, by the names they are given; comments, docstrings and layout don't count."""
    parts = [f"{name} {_meaning(path, path.stat().st_mtime_ns)}" for name, path in sorted(modules.items())]
    return short_hash(*parts)


def package_hash() -> str:
    """Return a hash of what crackviz' modules do, and of the networks and the data about them that it ships."""
    modules = {p.relative_to(ROOT).as_posix(): p for p in ROOT.rglob("*.py") if p.stem != _NO_RESULT}
    kinds = ("*.h5", "*.json", "*.npy", "*.npz")
    shipped = {p.relative_to(ROOT).as_posix(): p for kind in kinds for p in ROOT.rglob(kind)}
    return short_hash(code_hash(modules), *(f"{name} {file_hash(path)}" for name, path in sorted(shipped.items())))


@lru_cache(maxsize=1000)  # parsing all modules takes half a second, and each run of a sweep asks
def _meaning(module: Path, changed: int) -> str:
    """Return the hash of a module's syntax tree without its docstrings, as it was `changed`."""
    tree = ast.parse(module.read_bytes())
    for node in ast.walk(tree):
        kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return short_hash(ast.dump(tree))


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal digits; an OSError where it can't be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_published(path: Path, published: str) -> Path:
    """Return the path of a file that comes with crackviz; a CrackvizError if it isn't the published one (SHA-256)."""
    digest = file_hash(path) if path.is_file() else "missing"
    if digest != published:
        raise CrackvizError(
            f"{path} is not the published file (SHA-256 {digest[:12]}…, expected {published[:12]}…). Install crackviz "
            "again."
        )
    return path


@cache  # it keeps the compiled templates: a run has a page for each notebook
def _templates() -> jinja2.Environment:
    import jinja2

    loader = jinja2.FileSystemLoader(ROOT / "templates")
    return jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render(template: str, path: Path, **given: Any) -> None:
    """Write a page from a template of ``crackviz/templates``, whole or not at all."""
    text = _templates().get_template(template).render(**given)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="replace")  # names of files may be no text


def in_base64(data: bytes) -> str:
    """Return bytes as a page holds them."""
    return base64.b64encode(data).decode("ascii")


def short_hash(*parts: str) -> str:
    """Return 16 hexadecimal digits that stand for some texts; file names that are no Unicode may be among them."""
    return hashlib.sha256("\n".join(parts).encode(errors="surrogatepass")).hexdigest()[:16]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
