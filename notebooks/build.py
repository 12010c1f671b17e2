"""Make the committed notebooks from ``notebooks/source/NN_name.py`` and execute them.

    python notebooks/build.py                  every notebook, in order
    python notebooks/build.py --only 06        one of them; it finds what the others keep only if they run before it
    python notebooks/build.py --check          no execution: fails if a notebook's cells differ from its source
    python notebooks/build.py --links          no execution: lets each statement of THEORY.md lead to its cell

``source/explore.py``, the notebook with sliders, is written without outputs: there is nothing to slide in a kept one.
The notebooks run one after the other in one temporary run folder. What a run adds besides outputs (times, ids, paths)
is left out, so that a rebuilt notebook differs from the committed one in its outputs only. A notebook that
fails leaves the committed one as it was.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
# figures of a run that README.md shows
PICTURES = {
    "00_start_here": ("00_maps.png", "evidence.png"),
    "01_data_and_preprocessing": ("01_synthetic.png", "concrete.png"),
}
LIMIT = 2_500_000  # bytes: what GitHub still shows, and a clone does not notice
STEP = 5  # of 255: kept figures have every fifth level of red, green and blue, off by 2 at most
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CLAIM = re.compile(r"\bclaim\(")
NUMBER = re.compile(r"\bclaim\(\s*[\"'](T\d+\.\d+)[\"']")
STATEMENT = re.compile(r'(?m)^(\s*[-*] <a id="t[\d.]+"></a>)\*\*\[?(T\d+\.\d+)(?:\]\([^)]*\))?\*\*')


def from_source(source: Path) -> Any:
    """Return the notebook of a percent script: stable cell ids, tags, no outputs."""
    script = jupytext.read(source, fmt="py:percent")
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL, "language_info": {"name": "python"}})
    seen: dict[str, int] = {}
    for cell in script.cells:
        # An id from the content stays when a cell is put before it; the count tells equal cells apart.
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        claimed = NUMBER.search(cell.source) if cell.cell_type == "code" else None
        if claimed:  # the statement in THEORY.md leads to it, however the cell is reworded
            digest = cell_id(claimed[1])
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = f"{digest}-{seen[digest]}" if seen[digest] > 1 else digest
        tags = list(cell.metadata.get("tags", []))
        if cell.cell_type == "code" and CLAIM.search(cell.source) and "nbval-check-output" not in tags:
            tags.append("nbval-check-output")
        cell.metadata = {"tags": tags} if tags else {}
        notebook.cells.append(cell)
    return nbformat.from_dict(notebook)


def cell_id(claim: str) -> str:
    """Return the id of the cell that makes a claim."""
    return claim.replace(".", "-")


def linked(theory: str, sources: Sequence[Path]) -> str:
    """Return THEORY.md with a link from each numbered statement to the cell that checks it."""
    places: dict[str, str] = {}
    for source in sources:
        for cell in from_source(source).cells:
            for number in NUMBER.findall(cell.source) if cell.cell_type == "code" else ():
                places[number] = f"notebooks/{source.stem}.ipynb#cell-id={cell.id}"

    def link(found: re.Match[str]) -> str:
        number = found[2]
        return f"{found[1]}**[{number}]({places[number]})**" if number in places else f"{found[1]}**{number}**"

    return STATEMENT.sub(link, theory)


def execute(notebook: Any, run: Path, timeout: int | None = None) -> None:
    """Execute a notebook in place, as nbval would: in ``notebooks/``, without what libraries write past Python."""
    from nbclient import NotebookClient

    from crackviz.series import KERNEL_ARGUMENTS, settle_streams

    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=timeout,
        resources={"metadata": {"path": str(HERE)}},
        extra_arguments=list(KERNEL_ARGUMENTS),
        record_timing=False,
    )
    with (run.parent / "kernel.log").open("ab") as log:
        client.execute(env={**os.environ, "CRACKVIZ_RUN": str(run)}, stdout=log, stderr=log)
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    settle_streams(notebook)
    shrink(notebook)


def shrink(notebook: Any) -> None:
    """Keep figures with fewer colours, which hardly anybody sees: they take half to two thirds of the bytes."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if png := output.get("data", {}).get("image/png"):
                output["data"]["image/png"] = base64.b64encode(with_fewer_colours(base64.b64decode(png))).decode()


def with_fewer_colours(png: bytes) -> bytes:
    """Return the same picture with every colour rounded to steps of `STEP`."""
    levels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16)
    packed = io.BytesIO()
    Image.fromarray(((levels + STEP // 2) // STEP * STEP).astype(np.uint8)).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def finished(notebook: Any, name: str, private: Sequence[str]) -> str:
    """Return the notebook's text, or refuse one that is too large or shows where it was made."""
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode())
    if size > LIMIT:
        raise SystemExit(
            f"{name} has {size / 1e6:.1f} MB, more than {LIMIT / 1e6:.1f}: show fewer or smaller pictures."
        )
    for path in private:
        if path in text:
            where = next(line.strip() for line in text.splitlines() if path in line)
            raise SystemExit(f"{name} shows a path of this machine: {where:.300}")
    return text


def cells(notebook: Any) -> list[Any]:
    """Return what a notebook's source decides: ids, kinds, texts and metadata of its cells."""
    return [(c.get("id"), c.cell_type, c.source, dict(c.metadata)) for c in notebook.cells]


def check(sources: Sequence[Path]) -> list[str]:
    """Return the notebooks that are not what their source says, or have none."""
    stale = []
    for source in sources:
        target = HERE / f"{source.stem}.ipynb"
        if not target.exists() or cells(nbformat.read(target, as_version=4)) != cells(from_source(source)):
            stale.append(source.stem)
    return stale


def main() -> None:
    """Build, or with ``--check`` compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NN", help="numbers or names of the notebooks to build"
    )
    parser.add_argument("--check", action="store_true", help="compare with the sources, execute nothing")
    parser.add_argument("--timeout", type=int, default=900, help="seconds that a cell may take (900)")
    parser.add_argument("--links", action="store_true", help="write the links of THEORY.md anew, execute nothing")
    arguments = parser.parse_args()
    every = sorted((HERE / "source").glob("[0-9][0-9]_*.py"))
    alive = [source for source in (HERE / "source" / "explore.py",) if source.exists()]
    written = [source for source in alive if not arguments.only or source.stem in arguments.only]
    sources = [s for s in every if not arguments.only or s.stem in arguments.only or s.stem[:2] in arguments.only]
    if not sources and not written:
        sys.exit(
            f"No source matches: expected one of {', '.join(s.stem for s in every) or 'notebooks/source/NN_name.py'}."
        )
    theory = HERE.parent / "THEORY.md"
    text = theory.read_text(encoding="utf-8") if theory.exists() else ""
    led = linked(text, every)
    if text != led and not arguments.check:
        theory.write_text(led, encoding="utf-8")
    if arguments.links:
        return
    if arguments.check:
        stale = check([*sources, *alive])
        stale += [p.stem for p in HERE.glob("[0-9][0-9]_*.ipynb") if not (HERE / "source" / f"{p.stem}.py").exists()]
        stale += ["the links of THEORY.md (notebooks/build.py --links)"] if text != led else []
        sys.exit(f"Not made from their source: {', '.join(stale)}. Run: make notebooks" if stale else 0)
    for source in written:
        (HERE / f"{source.stem}.ipynb").write_text(nbformat.writes(from_source(source)) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        cache = Path(os.environ.get("CRACKVIZ_CACHE", folder))
        places = (Path.home(), HERE.parent, sys.prefix, Path(folder).resolve(), cache.resolve())
        private = [f"{path}{os.sep}" for path in places]
        for source in sources:
            print(f"{source.stem} … ", end="", flush=True)
            began = time.monotonic()
            notebook = from_source(source)
            try:
                execute(notebook, run, arguments.timeout)
            except Exception as error:  # of the notebook's own code, or of the kernel
                sys.exit(f"failed, and is left as it was.\n{COLOUR.sub('', str(error))}")
            text = finished(notebook, source.stem, private)
            part = HERE / f"{source.stem}.ipynb.part"
            try:
                part.write_text(text, encoding="utf-8")
                part.replace(HERE / f"{source.stem}.ipynb")
            finally:
                part.unlink(missing_ok=True)
            if source.stem in PICTURES:
                figure, shown = PICTURES[source.stem]
                shutil.copyfile(run / "figures" / figure, HERE / shown)
            print(f"{time.monotonic() - began:.0f} s, {len(text) / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
