"""The committed notebooks against their sources and THEORY.md, and the script that makes them."""

from __future__ import annotations

import ast
import base64
import functools
import importlib.util
import io
import itertools
import json
import re
import subprocess
import sys
import tokenize
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import papermill
import pytest
from nbval.plugin import get_sanitize_patterns
from PIL import Image
from scipy import ndimage

from crackviz import CrackvizError, claims, data, series, synthetic
from crackviz.claims import claim
from crackviz.series.pages import page_of

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks" / "source").glob("[0-9]*.py"))
ALIVE = ROOT / "notebooks" / "source" / "explore.py"  # sliders: kept without outputs, and no lesson
each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def load_build() -> Any:
    spec = importlib.util.spec_from_file_location("build", ROOT / "notebooks" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load_build()


def committed(source: Path) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{source.stem}.ipynb", as_version=4)


@functools.cache
def claims_of(source: Path) -> dict[str, str]:
    """The ids and statements that a source claims."""
    found: dict[str, str] = {}
    calls = [node for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda node: node.lineno):
        if ast.unparse(node.func).rsplit(".", 1)[-1] == "claim":
            id, statement = (ast.literal_eval(argument) for argument in node.args[:2])
            assert id not in found, f"{source.stem} claims {id} twice"
            found[id] = statement
    return found


# --- the committed notebooks --------------------------------------------------------------------------------------


def test_every_notebook_has_a_source_and_the_other_way_round() -> None:
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert notebooks == {path.stem for path in (*SOURCES, ALIVE)}
    assert build.check([*SOURCES, ALIVE]) == []
    assert all(not cell.get("outputs") for cell in committed(ALIVE).cells)


@each
def test_a_notebook_is_executed_and_shows_no_trace_of_where(source: Path) -> None:
    notebook = committed(source)
    build.finished(notebook, source.stem, [f"{ROOT}/", f"{sys.prefix}/", "/tmp/", "/home/"])  # size, paths, form
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    said = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert "Warning" not in said
    assert not re.search(r"[IWE]0000 00:00", said), "TensorFlow's start-up lines"


@each
def test_a_notebook_has_what_every_notebook_has(source: Path, tmp_path: Path) -> None:
    notebook = build.from_source(source)
    nbformat.write(notebook, tmp_path / "a.ipynb")
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    parameters = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(parameters) == 1
    code = parameters[0].source
    names = [line.target for line in ast.parse(code).body if isinstance(line, ast.AnnAssign)]
    names += [target for line in ast.parse(code).body if isinstance(line, ast.Assign) for target in line.targets]
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    without = [ast.unparse(name) for name in names if not commented & {name.lineno, name.lineno - 1}]
    assert without == [], "parameters without a comment"
    defaults = series.parameters_of(tmp_path / "a.ipynb")  # literals, or it refuses
    assert defaults.get("run") == ""
    assert "Exercise" in "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    text = source.read_text(encoding="utf-8")
    assert f'"{source.stem}"' in text, "open_run and write_results take the notebook's own name"
    for name, seen in papermill.inspect_notebook(str(tmp_path / "a.ipynb")).items():  # as --help-notebook lists them
        assert seen["inferred_type_name"] == type(defaults[name]).__name__, name
        assert len(seen["help"]) > 5, name


@pytest.mark.slow
def test_a_notebook_is_one_of_papermills_own(tmp_path: Path, small_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRACKVIZ_RUN", raising=False)
    papermill_command = [sys.executable, "-m", "papermill"]
    notebook = ROOT / "notebooks" / "02_training.ipynb"
    listed = subprocess.run(
        [*papermill_command, "--help-notebook", notebook], capture_output=True, text=True, check=True
    )
    assert f"epochs: int (default {series.parameters_of(notebook)['epochs']})" in listed.stdout
    assert "at most so many passes over the training pictures" in listed.stdout
    given = {"epochs": 3, "data": small_set, "run": tmp_path / "run", "image_size": 32, "n_samples": 2}
    options = [text for name, value in given.items() for text in ("-p", name, str(value))]
    done = subprocess.run([*papermill_command, notebook, "out.ipynb", *options], cwd=tmp_path, check=False, timeout=300)
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) <= 3
    claims = json.loads((tmp_path / "run" / "claims.json").read_text())["02_training"]
    if all(claim["holds"] for claim in claims):  # 80 drawn patches may be too few to learn anything
        assert done.returncode == 0
    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert executed.metadata.papermill.parameters["epochs"] == 3


@each
def test_every_claim_was_checked_in_the_committed_run(source: Path) -> None:
    printed = [
        line
        for cell in committed(source).cells
        if cell.cell_type == "code" and "nbval-check-output" in cell.metadata.get("tags", [])
        for output in cell.outputs
        for line in output.get("text", "").splitlines()
    ]
    compared = without_digits("\n".join(printed)).splitlines()
    for id, statement in claims_of(source).items():
        assert compared.count(f"✓ {id} {statement}") + compared.count(f"≡ {id} {statement}") == 1, id
    # nbval compares these cells, so nothing else may stand in them
    assert [line for line in printed if not line.startswith(("✓ T", "≡ T"))] == []


def without_digits(output: str) -> str:
    """What nbval compares of an output, by the file of patterns that ``make test`` names."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (named,) = re.findall(r"--nbval-lax \\\n\s*--nbval-sanitize-with (\S+) notebooks\n", makefile)
    for pattern, instead in get_sanitize_patterns((ROOT / named).read_text(encoding="utf-8")):
        output = re.sub(pattern, instead, output)
    return output


def test_nbval_leaves_the_digits_of_claims_out_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    claim("T1.1", "one (said in passing)", 0.76, ">", 0.5)
    claim("T1.2", "two", 3e-6, "<", 1e-4, identity=True)
    claim("T1.3", "three", -0.5, "within", (-1, 1))
    claim("T1.4", "four (a > b)", True)
    claim("T1.5", "five", 1200, "==", 1200)
    other = "a table (1 < 2)\n"
    assert without_digits(capsys.readouterr().out + other) == (
        "✓ T1.1 one (said in passing)\n≡ T1.2 two\n✓ T1.3 three\n✓ T1.4 four (a > b)\n✓ T1.5 five\n" + other
    )


def test_the_theory_and_the_notebooks_make_the_same_claims() -> None:
    theory = (ROOT / "THEORY.md").read_text(encoding="utf-8")
    stated = re.findall(r'^\s*[-*] <a id="t[\d.]+"></a>\*\*\[(T\d+\.\d+)\]', theory, re.MULTILINE)
    assert len(stated) == len(set(stated))
    assert re.findall(r'<a id="(t\d+\.\d+)"></a>', theory) == [id.lower() for id in stated], "each has its own anchor"
    made = {id: source.stem for source in SOURCES for id in claims_of(source)}
    assert set(made) == set(stated)
    assert set(re.findall(r"T\d+\.\d+", theory)) <= set(stated)
    for ids in (stated, list(made)):  # whoever reads on meets each number after the one before it
        numbers = [tuple(map(int, id[1:].split("."))) for id in ids]
        assert numbers == sorted(numbers)
        assert [n for _, n in numbers] == [
            k for _, many in itertools.groupby(numbers, lambda n: n[0]) for k in range(1, 1 + len(list(many)))
        ]
    elsewhere = [id for id, stem in made.items() if int(id[1:].split(".")[0]) != int(stem[:2])]
    assert elsewhere == [], "section Tn goes with notebook n"


def test_each_statement_leads_to_the_cell_that_checks_it() -> None:
    theory = (ROOT / "THEORY.md").read_text(encoding="utf-8")
    assert build.linked(theory, SOURCES) == theory, "run: python notebooks/build.py --links"
    links = dict(re.findall(r"\*\*\[(T\d+\.\d+)\]\((notebooks/[^)]+)\)\*\*", theory))
    cells = {
        f"notebooks/{source.stem}.ipynb#cell-id={cell.id}": cell.source
        for source in SOURCES
        for cell in committed(source).cells
    }
    made = {id for source in SOURCES for id in claims_of(source)}
    assert set(links) == made
    for id, link in links.items():
        assert f'"{id}"' in cells[link], id


def test_a_new_statement_gets_its_link_and_an_old_one_loses_it(tmp_path: Path) -> None:
    (tmp_path / "00_a.py").write_text('# %%\nclaim(\n    "T0.1", "one", True)\nclaim("T0.2", "two", True)\n')
    place = "notebooks/00_a.ipynb#cell-id=T0-1"
    before = '- <a id="t0.1"></a>**T0.1** One, see T0.2.\n- <a id="t0.2"></a>**[T0.2](x)** Two.\n'
    after = f'- <a id="t0.1"></a>**[T0.1]({place})** One, see T0.2.\n- <a id="t0.2"></a>**[T0.2]({place})** Two.\n'
    sources = [tmp_path / "00_a.py"]
    assert build.linked(before, sources) == build.linked(after, sources) == after
    gone = '- <a id="t0.3"></a>**[T0.3](notebooks/x)** Three.\n'
    assert build.linked(gone, sources) == '- <a id="t0.3"></a>**T0.3** Three.\n'


NONSENSE: dict[str, Any] = {"data": "nowhere", "seed": -1, "n_images": 0, "n_objects": -3, "n_pairs": 0}
NONSENSE |= dict.fromkeys(("elsewhere", "photograph", "network", "weights", "first_layer", "shortcut"), "nowhere")
NONSENSE |= {"threshold": 7, "wanted_recall": 2, "prevalence": -1, "cost_of_missing": -1, "learning_rate": -1}
NONSENSE |= {"epochs": 0, "decay": 0, "batch_size": 0, "n_samples": -1, "n_small": -1, "patience": -1, "n_own": -1}


HAVING = [(path, name) for path in SOURCES for name in NONSENSE if f"\n{name}: " in path.read_text("utf-8")]


@pytest.fixture
def first_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the parameters and the next cells of a notebook, before anything is trained, with other values."""
    monkeypatch.setenv("CRACKVIZ_RUN", str(tmp_path / "run"))
    for attribute, value in {"file": None, "notebook": "", "made": {}, "excused": {}}.items():
        monkeypatch.setattr(claims._Record, attribute, value)  # what open_run sets is undone afterwards

    def run(source: Path, **values: Any) -> None:
        cells = [cell for cell in build.from_source(source).cells if cell.cell_type == "code"]
        names: dict[str, Any] = {}
        exec(cells[0].source, names)
        names |= values
        for cell in cells[1:4]:
            exec(cell.source, names)

    return run


@pytest.mark.parametrize(("source", "name"), HAVING, ids=[f"{path.stem}-{name}" for path, name in HAVING])
def test_a_parameter_that_makes_no_sense_is_named_at_once(
    source: Path, name: str, small_set: Path, first_cells: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, prepared = data.prepare, []
    monkeypatch.setattr(data, "prepare", lambda *args, **how: prepared.append(prepare(*args, **how)) or prepared[0])
    with pytest.raises(CrackvizError, match=str(NONSENSE[name])) as refused:
        first_cells(source, **{"data": str(small_set), "max_images": 0, name: NONSENSE[name]})
    assert name in str(refused.value) or NONSENSE[name] == "nowhere"
    assert not prepared or name == "first_layer"


@pytest.mark.parametrize("value", [-1, 5])
@pytest.mark.parametrize("source", [path for path in SOURCES if "\nmax_images: " in path.read_text("utf-8")])
def test_too_few_pictures_are_named_before_concrete_is_drawn(
    source: Path, value: int, first_cells: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "dataset", lambda *args, **how: pytest.fail("it was drawn"))
    with pytest.raises(CrackvizError, match=rf"max_images( is |=){value}\b"):
        first_cells(source, max_images=value)


@pytest.mark.parametrize("value", [0, 1, "x"])
def test_the_sliders_need_pictures(value: Any, first_cells: Callable[..., None]) -> None:
    with pytest.raises(CrackvizError, match=f"n_images is {value!r}; expected a whole number from 2 on"):
        first_cells(ALIVE, n_images=value)


def test_a_photograph_that_is_too_small_is_named_at_once(tmp_path: Path, first_cells: Callable[..., None]) -> None:
    Image.new("RGB", (127, 300)).save(tmp_path / "small.png")
    with pytest.raises(CrackvizError, match="127 x 300 px; expected at least 128"):
        first_cells(ROOT / "notebooks" / "source" / "12_inspecting_a_wall.py", photograph=str(tmp_path / "small.png"))


@each
def test_every_figure_says_what_it_shows(source: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(source.read_text("utf-8"))) if isinstance(node, ast.Call)]
    kept = [node for node in calls if ast.unparse(node.func).endswith("save_figure")]
    for node in kept:
        given = [keyword.value for keyword in node.keywords if keyword.arg == "alt"]
        (alt,) = given
        text = ast.literal_eval(alt)
        assert len(text) > 30 and text.endswith("."), ast.unparse(node)
    assert kept


@each
def test_a_notebook_ends_in_what_to_remember_and_two_questions(source: Path) -> None:
    text = "\n".join(cell.source for cell in build.from_source(source).cells if cell.cell_type == "markdown")
    remember, rest = re.split(r"## To remember\n", text)[1].split("**Two questions**")
    assert len(re.findall(r"(?m)^- ", remember)) == 5
    assert rest.split("## Exercises")[0].count("<details><summary>") == 2


@each
def test_the_report_can_show_all_the_mathematics(source: Path, tmp_path: Path) -> None:
    path = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(build.from_source(source), path)
    title, body = page_of(path)
    assert title
    assert 'class="latex"' not in body, "a command that latex2mathml does not know"
    text = re.sub(r"(?s)<(pre|code)\b.*?</\1>", "", body)
    assert "$" not in re.sub(r"<[^>]*>", "", text)


# --- the script ---------------------------------------------------------------------------------------------------

SCRIPT = """\
# %% [markdown]
# # A title with $x$

# %% tags=["parameters"]
run = ""  # run folder

# %%
from nbval.plugin import get_sanitize_patterns

from crackviz import CrackvizError, claims, series
from crackviz.claims import claim
from crackviz.claims import claim

run = series.open_run(run, "00_a")

# %%
claim("T0.1", "it holds", 1 < 2)

# %%
import os

_ = os.write(2, b"noise of a library")
print("half\\rnoted")

# %%
print("noted")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A notebooks/ folder with one source, in which the script works."""
    notebooks = tmp_path / "clone" / "notebooks"
    (notebooks / "source").mkdir(parents=True)
    (notebooks / "source" / "00_a.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.setattr(build, "HERE", notebooks)
    return notebooks


def run_build(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["build.py", *arguments])
    build.main()


def test_a_figure_is_kept_with_fewer_colours_than_anybody_sees(tmp_path: Path) -> None:
    figure, axes = plt.subplots(figsize=(4, 3))
    rng = np.random.default_rng(0)
    axes.imshow(ndimage.gaussian_filter(rng.random((128, 128)), 1), cmap="gray")
    axes.imshow(ndimage.gaussian_filter(rng.standard_normal((128, 128)), 9), cmap="RdBu_r", alpha=0.4)
    figure.savefig(tmp_path / "a.png")
    plt.close(figure)
    png = (tmp_path / "a.png").read_bytes()
    packed = build.with_fewer_colours(png)
    before, after = (np.asarray(Image.open(io.BytesIO(one)).convert("RGB"), int) for one in (png, packed))
    assert len(packed) < 0.75 * len(png)
    assert np.abs(after - before).max() == 2
    assert {0, 255} <= set(after.ravel())  # black stays black, and white white
    assert build.with_fewer_colours(packed) == packed

    outputs = [nbformat.v4.new_output("display_data", {"image/png": base64.b64encode(png).decode()}, metadata={})]
    outputs.append(nbformat.v4.new_output("stream", text="noted"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=outputs)])
    build.shrink(notebook)
    assert base64.b64decode(notebook.cells[0].outputs[0]["data"]["image/png"]) == packed
    assert notebook.cells[0].outputs[1]["text"] == "noted"


def test_the_cells_of_a_source(folder: Path) -> None:
    source = folder / "source" / "00_a.py"
    one = build.from_source(source)
    nbformat.validate(one)
    tags = [cell.metadata.get("tags", []) for cell in one.cells]
    assert tags == [[], ["parameters"], [], ["nbval-check-output"], [], []]
    assert nbformat.writes(one) == nbformat.writes(build.from_source(source))
    source.write_text(SCRIPT.replace("# %%\nimport os", "# %%\n2\n\n# %%\nimport os"), encoding="utf-8")
    other = build.from_source(source)
    assert [cell.id for cell in other.cells[:4] + other.cells[5:]] == [cell.id for cell in one.cells]
    source.write_text(SCRIPT + '\n# %%\nprint("noted")\n', encoding="utf-8")
    ids = [cell.id for cell in build.from_source(source).cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_build_executes_and_check_compares(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # where it is set, ipykernel never captures raw output
    target = folder / "00_a.ipynb"
    with pytest.raises(SystemExit, match="00_a"):
        run_build(monkeypatch, "--check")
    run_build(monkeypatch)
    first = target.read_bytes()
    notebook = nbformat.read(target, as_version=4)
    assert [cell.execution_count for cell in notebook.cells[1:]] == [1, 2, 3, 4, 5]
    assert notebook.cells[3].outputs[0].text == "✓ T0.1 it holds\n"
    assert [output.text for output in notebook.cells[4].outputs] == ["noted\n"]
    assert b"papermill" not in first
    assert b"iopub" not in first
    run_build(monkeypatch, "--only", "00")
    assert target.read_bytes() == first
    assert sorted(path.name for path in folder.iterdir()) == ["00_a.ipynb", "source"]
    assert not (folder.parent / "runs").exists()  # the run folder was a temporary one
    with pytest.raises(SystemExit) as agreed:
        run_build(monkeypatch, "--check")
    assert agreed.value.code == 0

    notebook.cells[3].source += "\n# changed by hand"
    nbformat.write(notebook, target)
    with pytest.raises(SystemExit, match="00_a"):
        run_build(monkeypatch, "--check")

    # What fails, is too large, or shows a path of this machine leaves the committed notebook.
    changed = target.read_bytes()
    for code, message in (
        ("1 / 0", "ZeroDivisionError"),
        ("print('x' * 2_600_000)", "2.6 MB"),
        ("import sys\nprint(sys.executable)", "path of this machine"),
    ):
        (folder / "source" / "00_a.py").write_text(f"# %%\n{code}\n", encoding="utf-8")
        with pytest.raises(SystemExit, match=message):
            run_build(monkeypatch)
        assert target.read_bytes() == changed
        assert sorted(path.name for path in folder.iterdir()) == ["00_a.ipynb", "source"]


def test_build_names_what_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="expected one of 00_a"):
        run_build(monkeypatch, "--only", "99")


# --- THEORY.md ----------------------------------------------------------------------------------------------------


def test_every_source_is_cited_and_every_citation_has_its_source() -> None:
    text, sources = (ROOT / "THEORY.md").read_text(encoding="utf-8").split('<a id="sources"></a>')
    text = re.sub(r"\s+", " ", text)
    known: set[tuple[str, str]] = set()
    for entry in re.findall(r"^- (.*(?:\n  .*)*)", sources, re.MULTILINE):
        whole = re.sub(r"\s+", " ", entry)
        surname = re.sub(r"^(?:\w\.[- ]?)+", "", whole.split(":")[0].split(",")[0]).strip()
        years = re.findall(r"\b(?:19|20)\d\d\b", re.sub(r"arXiv:[\d.]+", "", whole))
        known.add((surname, years[-1]))
    assert len(known) > 50
    near = {
        (name, year) for name, year in known if re.search(rf"\b{name}\b[^.]{{0,60}}(?:al\.)?[^.]{{0,40}}{year}", text)
    }
    assert known - near == set(), "listed and not cited"
    for year in re.finditer(r"\b(?:19|20)\d\d\b", text):
        before = text[max(0, year.start() - 90) : year.start()]
        assert any(name in before for name, of in known if of == year[0]), f"no source for: {before[-60:]}{year[0]}"


@pytest.mark.parametrize("path", [ROOT / "THEORY.md", *SOURCES], ids=lambda path: path.stem)
def test_formulas_have_no_space_that_github_drops(path: Path) -> None:
    assert re.findall(r"\$[^$\n]*\\[,;!][^$\n]*\$", path.read_text(encoding="utf-8")) == []
