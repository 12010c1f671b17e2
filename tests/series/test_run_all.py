"""Run All in JupyterLab, as a student clicks it: a parameter that makes no sense, and TensorBoard in a cell."""

from __future__ import annotations

import ast
import json
import shutil
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, MISSING, Page, open_page
from lab_server import serving
from made import until, write_notebook

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
TENSORBOARD = """\
import tensorflow as tf
with tf.summary.create_file_writer('logs').as_default():
    tf.summary.scalar('loss', 0.25, step=1)
%load_ext tensorboard
%tensorboard --logdir logs
"""
NONSENSE = {"data": "nowhere", "seed": -1, "n_images": 0, "photograph": "nowhere.jpg", "patches": 0}

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason=MISSING)]

RUN_ALL = """
(async (path, line, keep) => {
  const app = window.jupyterapp;
  const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
  await panel.context.ready;
  await panel.sessionContext.ready;
  const code = panel.content.widgets.filter(cell => cell.model.type === 'code');
  const parameters = code[0].model.sharedModel;
  parameters.setSource(parameters.getSource() + '\\n' + line);
  app.shell.activateById(panel.id);
  await app.commands.execute('notebook:run-all-cells');
  const red = code.flatMap((cell, number) => cell.model.outputs.toJSON()
    .filter(output => output.output_type === 'error').map(output => number));
  const looked = code[red[0] ?? code.length - 1];
  await panel.content.scrollToCell(looked);
  await new Promise(done => setTimeout(done, 500));
  const outputs = [...looked.outputArea.node.querySelectorAll('.jp-OutputArea-output')];
  const shown = outputs.map(node => node.innerText.trim());
  const frames = outputs.flatMap(node => [...node.querySelectorAll('iframe')]).map(frame => frame.src);
  const ran = code.filter(cell => cell.model.executionCount !== null).length;
  const told = {red, shown, frames, ran};
  if (keep) return told;
  await panel.sessionContext.shutdown();
  panel.context.model.dirty = false;
  panel.close();
  return told;
})
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """JupyterLab over a copy of the notebooks, since it saves what is run, in a browser."""
    copy = tmp_path_factory.mktemp("lesson")
    shutil.copytree(ROOT / "notebooks", copy / "notebooks", ignore=shutil.ignore_patterns("source", "__pycache__"))
    shutil.copyfile(ROOT / "THEORY.md", copy / "THEORY.md")
    profile = tmp_path_factory.mktemp("profile")
    write_notebook(copy / "notebooks" / "tensorboard.ipynb", ["import os", TENSORBOARD])
    with serving(copy, "00", "--expose-app-in-browser") as address, open_page(profile) as page:
        page.socket.settimeout(240)
        page.go(f"{address}/lab?token=lesson")
        page.until("!!window.jupyterapp && window.jupyterapp.restored.then(() => true)")
        yield page


def nonsense(notebook: Path) -> tuple[str, object]:
    """Return one of NONSENSE that a notebook has, another one for each in turn."""
    cell = next(cell for cell in json.loads(notebook.read_text("utf-8"))["cells"] if cell["cell_type"] == "code")
    tree = ast.parse("".join(cell["source"]))
    names = [node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and node.target.id in NONSENSE]
    name = names[NOTEBOOKS.index(notebook) % len(names)]
    return name, NONSENSE[name]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_parameter_that_makes_no_sense_gives_one_red_cell(notebook: Path, lab: Page) -> None:
    name, value = nonsense(notebook)
    told = lab.ask(f"{RUN_ALL}({json.dumps(f'notebooks/{notebook.name}')}, {json.dumps(f'{name} = {value!r}')})")
    assert len(told["red"]) == 1, told
    assert told["red"][0] < 5, "before anything is trained"
    (message,) = told["shown"]
    assert message.startswith("CrackvizError: ") and str(value) in message and "Traceback" not in message
    assert name in message or isinstance(value, str)
    assert told["ran"] == told["red"][0] + 1, "what follows is not run"


def test_tensorboard_opens_in_a_cell(lab: Page) -> None:
    told = lab.ask(f"{RUN_ALL}('notebooks/tensorboard.ipynb', 'pass', true)")  # it ends with its kernel
    assert not told["red"], told
    (address,) = told["frames"]

    def tags() -> Any:
        with urllib.request.urlopen(urllib.parse.urljoin(address, "data/plugin/scalars/tags"), timeout=30) as answer:
            return json.load(answer)

    until(lambda: tags() == {".": {"loss": {"displayName": "", "description": ""}}})
