"""JupyterLab with a notebook on the left and its section of ``THEORY.md`` on the right.

``python -m crackviz.series.lab [NUMBER] [OPTION ...]``; options are handed to JupyterLab. What it needs lies in
``.lab`` beside the notebooks, which git ignores: the user's own settings and workspaces are left alone.
``python -m crackviz.series.lab app`` shows the notebook with sliders as a page, by Voilà.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from crackviz import ROOT, CrackvizError
from crackviz.files import replacing, write_json
from crackviz.series.notebooks import find_notebooks, notebooks_folder

# What a reader of the lesson has no use for in the file browser.
HIDDEN = (
    "__pycache__",
    "*.pyc",
    "*~",
    "build.py",
    "answers.py",
    "conftest.py",
    "*.cfg",
    "source",
    "*.egg-info",
    "requirements.lock",
)
# Defaults, under the user's own settings: nothing pops up, nothing is asked for on the net.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


def layout(notebook: str, theory: str = "THEORY.md") -> dict[str, Any]:
    """Return a JupyterLab workspace: a notebook on the left, the theory rendered on the right, side bars closed.

    Parameters
    ----------
    notebook, theory : str
        Paths below the server's root.
    """
    left, right = f"notebook:{notebook}", f"markdownviewer-widget:{theory}"
    panes = [{"type": "tab-area", "currentIndex": 0, "widgets": [widget]} for widget in (left, right)]
    dock = {"type": "split-area", "orientation": "horizontal", "sizes": [0.58, 0.42], "children": panes}
    closed = {"collapsed": True, "visible": True, "widgets": []}
    restored = {"main": {"dock": dock, "current": left}, "left": closed, "right": closed}
    return {
        "data": {
            "layout-restorer:data": restored,
            left: {"data": {"path": notebook, "factory": "Notebook"}},
            right: {"data": {"path": theory, "factory": "Markdown Preview"}},
        },
        "metadata": {"id": Path(notebook).stem},
    }


def sections(root: Path) -> dict[str, str]:
    """Return for each notebook beside a ``THEORY.md`` the anchor of its section there, by the first link to one."""
    found = {path.stem: re.search(r"THEORY\.md#(t\d+-[\w-]+)", path.read_text("utf-8")) for path in find_notebooks()}
    theory = (root / "THEORY.md").read_text("utf-8")
    return {name: anchor[1] for name, anchor in found.items() if anchor and f'"{anchor[1]}"' in theory}


def _extension(place: Path, root: Path) -> None:
    """Put the extension that turns the theory to its section among those that JupyterLab finds in `place`."""
    folder = place / "labextensions" / "crackviz-lesson"
    (folder / "static").mkdir(parents=True, exist_ok=True)
    script = (ROOT / "templates" / "lesson.js").read_text("utf-8")
    with replacing(folder / "static" / "lesson.js") as part:
        part.write_text(script.replace("SECTIONS = {}", f"SECTIONS = {json.dumps(sections(root))}"), "utf-8")
    build = {"load": "static/lesson.js", "extension": "./extension"}
    about = {"name": "crackviz-lesson", "version": "1.0.0", "jupyterlab": {"extension": True, "_build": build}}
    write_json(folder / "package.json", about)


def command(chosen: str = "00", *options: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that opens a notebook of the series beside the theory, and the environment that it needs.

    Parameters
    ----------
    chosen : str
        A notebook's number or name.
    *options : str
        For JupyterLab, such as ``"--no-browser"``.

    Raises
    ------
    CrackvizError
        If there is no such notebook, or no theory beside the series.
    """
    from jupyterlab_server.workspaces_handler import WorkspacesManager

    notebook = find_notebooks([chosen])[0]
    root = notebook.parents[1]
    if not (root / "THEORY.md").is_file():
        raise CrackvizError(f"There is no THEORY.md in {root}, beside the notebooks: run this in a clone of crackviz.")
    place = root / ".lab"
    settings = place / "config" / "labconfig" / "default_setting_overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    write_json(settings, SETTINGS)
    _extension(place, root)
    space = layout(notebook.relative_to(root).as_posix())
    WorkspacesManager(str(place / "workspaces")).save(notebook.stem, json.dumps(space))
    paths = [str(place / "config"), os.environ.get("JUPYTER_CONFIG_PATH", "")]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths)),
        # What belongs to this Python is found by it: TensorBoard, for one, which a notebook starts.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    return [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={root}",
        f"--LabApp.workspaces_dir={place / 'workspaces'}",
        f"--LabApp.extra_labextensions_path={place / 'labextensions'}",
        f"--LabApp.default_url=/lab/workspaces/{notebook.stem}",
        f"--ContentsManager.hide_globs={list(HIDDEN)!r}",
        *options,
    ], environment


def app(*options: str) -> list[str]:
    """Return the command that shows ``explore.ipynb`` as a page, for this machine alone; options are Voilà's.

    Raises
    ------
    CrackvizError
        If Voilà isn't installed, or the notebook isn't there.
    """
    if not importlib.util.find_spec("voila"):
        raise CrackvizError(
            "There is no Voilà: pip install 'crackviz[app]', or open notebooks/explore.ipynb (make lab)."
        )
    folder = notebooks_folder()
    if folder is None or not (folder / "explore.ipynb").is_file():
        raise CrackvizError("There is no notebooks/explore.ipynb: run this in a clone of crackviz.")
    shown = ["--Voila.ip=127.0.0.1", "--VoilaConfiguration.show_tracebacks=True"]
    return [sys.executable, "-m", "voila", str(folder / "explore.ipynb"), *shown, *options]


def main(arguments: list[str]) -> int:
    """Open JupyterLab or Voilà; return its exit code."""
    chosen = [word for word in arguments[:1] if not word.startswith("-")]
    try:
        if chosen == ["app"]:
            line, environment = app(*arguments[1:]), dict(os.environ)
        else:
            line, environment = command(*(chosen or ["00"]), *arguments[len(chosen) :])
    except CrackvizError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    os.execvpe(line[0], line, environment)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
