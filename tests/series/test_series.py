"""The series: run folders, notebooks under papermill, the report. The notebooks are made here."""

from __future__ import annotations

import errno
import logging
import os
import re
import signal
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from made import alive, crackviz, json_of, until, whole, write_notebook
from matplotlib.figure import Figure
from nbclient import NotebookClient

from crackviz import CrackvizError, claims, series, synthetic
from crackviz.series import lesson, notebooks
from crackviz.series.pages import mathml, page_of
from crackviz.series.report import report_if_old
from crackviz.series.run import _clear

OPENING = """from crackviz import series
from crackviz.claims import claim
folder = series.open_run(run, {name!r})"""

FIRST = [
    "# Evidence that adds up\n\nIt costs $5, then $6 or \\$7, or 8 $ or 9$. `x = $y$` and $\\sum_k w_k$.\n\n"
    "$$\\begin{aligned} z - b &= \\sum_k w_k \\\\ &= \\frac{\\partial y}{\\partial A} \\end{aligned}$$\n\n"
    "```python\nprice = '$5' + '$6'\n```\n\n"
    "H<sub>2</sub>O ![far](https://example.org/a.png) "
    "[a link](https://example.org) [theory](near%20by.png#x) [on](01_second.ipynb#top) [gone](gone.md) "
    "![near](near%20by.png)",
    "parameters: run = ''  # run folder\ndata = ''  # pictures\nseed = 0  # seed\nrate = 0.1  # rate\n"
    "deep = False  # deeper\nname = 'a # b'  # name\nsizes = [1, 2]  # sizes\nlimit = None  # limit",
    OPENING.format(name="00_first"),
    "import os, sys\n_ = os.write(2, b'noise of a library')\nprint('said on stderr', file=sys.stderr)\n"
    "print(os.environ['CRACKVIZ_RUN'] == run, os.getcwd())\nfor i in range(3): print(f'\\r{i}', end='')",
    "claim('T0.1', 'it holds', seed == 3)\nclaim('T0.2', 'so does this', deep is True and rate == 2.0)",
    "import matplotlib.pyplot as plt\nfigure, ax = plt.subplots()\n_ = series.save_figure(folder, figure, '00_plot')\n"
    "series.write_results(folder, '00_first', {'seed': seed, 'f1': {'value': 0.5, 'low': 0.25, 'high': 0.75},"
    " 'none': float('nan'), 'many': list(range(20))})",
    "from IPython.display import HTML, Latex, display\n"
    "display(HTML('<script src=\"https://example.org/a.js\"></script><script>1</script><b>kept</b>'\n"
    "  '<style>@import url(https://example.org/a.css); b {background: url(\"https://example.org/b.png\")}</style>'\n"
    '  \'<p style="background: url(//example.org/c.png)">styled</p><link rel="stylesheet" href="https://example.org/d.css">\'\n'
    '  \'<img src="x.png"><img src="data:," srcset="https://example.org/e.png 2x"><iframe src="https://example.org"></iframe>\'))\n'
    'display(HTML(\'<a href="javascript:x()" onclick="x()">odd link</a><form action="https://example.org"></form>\'))\n'
    "display(Latex(r'$\\frac{a}{b}$'))\n"
    "display({'application/vnd.jupyter.widget-view+json': {'model_id': 'x', 'version_major': 2, 'version_minor': 0},"
    " 'text/plain': 'a bar'}, raw=True)",
]
SECOND = [
    "# The second",
    "parameters: run = ''  # run folder\nseed = 0.5  # a float here",
    OPENING.format(name="01_second"),
    "# only a remark",
    "claim('T1.1', 'it holds too', isinstance(seed, float))",
]
FAILING = [
    "# One that fails",
    "parameters: run = ''  # run folder",
    OPENING.format(name="02_failing") + "\nclaim('T2.1', 'this is so', True)\n"
    "series.write_results(folder, '02_failing', {'reached': 1})",
    "def deeper(x):\n    claim('T2.2', 'this is <not> so', x > 2)\ndeeper(1)",
    "print('never')",
]


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """Undo what open_run notes in this process."""
    monkeypatch.setattr(claims._Record, "file", None)
    monkeypatch.setattr(claims._Record, "notebook", "")
    monkeypatch.setattr(claims._Record, "made", {})
    monkeypatch.delenv("CRACKVIZ_RUN", raising=False)


# --- run folders, figures, results --------------------------------------------------------------------------------


def test_open_run_makes_the_folder_and_begins_the_claims(tmp_path: Path) -> None:
    run = series.open_run(tmp_path / "a" / "b", "06_grad_cam")
    assert run == tmp_path / "a" / "b"
    assert sorted(p.name for p in run.iterdir()) == ["claims.json", "figures", "logs", "notebooks"]
    assert json_of(run / "claims.json") == {"06_grad_cam": []}
    assert series.open_run(run) == run  # a second time changes nothing


def test_open_run_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = write_notebook(tmp_path / "clone" / "notebooks" / "00_first.ipynb", SECOND)
    monkeypatch.chdir(notebook.parent)  # as in JupyterLab
    assert series.open_run() == tmp_path / "clone" / "runs" / "lesson"
    monkeypatch.chdir(tmp_path / "clone")  # as under papermill
    assert series.open_run() == tmp_path / "clone" / "runs" / "lesson"
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(
        tmp_path / "far"
    )  # papermill of a clone's notebook, from a folder that has none: never that clone
    assert series.open_run() == tmp_path / "far" / "runs" / "lesson"
    monkeypatch.setenv("CRACKVIZ_RUN", str(tmp_path / "elsewhere"))
    assert series.open_run() == tmp_path / "elsewhere"
    assert series.open_run(tmp_path / "named") == tmp_path / "named"


def test_open_run_refuses_what_it_cannot_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CrackvizError, match=r"run folder.*choose another"):
            series.open_run(folder)

    def full(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lesson.tempfile, "TemporaryFile", full)
    with pytest.raises(CrackvizError, match="No space left"):
        series.open_run(tmp_path / "run")


def test_a_figure_is_kept_with_its_notebook(tmp_path: Path) -> None:
    from PIL import Image

    run = series.open_run(tmp_path, "06_grad_cam")
    figure, _ = plt.subplots()
    path = series.save_figure(run, figure, "06_map")
    plt.close(figure)
    assert path == tmp_path / "figures" / "06_map.png"
    with Image.open(path) as image:
        assert image.info["Source"] == "06_grad_cam"
    for name in ("", "a/b", "../a", "a.png", "a b"):
        with pytest.raises(CrackvizError, match="figure name"):
            series.save_figure(run, figure, name)


def test_a_figure_says_what_it_shows_in_the_file_the_notebook_and_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.delenv("MPLBACKEND")  # the kernel takes its own, which makes pictures of figures
    said = 'A line from 0 to 1 – "steep" & straight'
    cells = [
        "import matplotlib.pyplot as plt\nfrom crackviz import series\n"
        f"run = series.open_run({str(tmp_path)!r}, '00_page')\nfigure, ax = plt.subplots()\n_ = ax.plot([0, 1])\n"
        f"_ = series.save_figure(run, figure, '00_line', alt={said!r})"
    ]
    path = write_notebook(tmp_path / "notebooks" / "00_page.ipynb", cells)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook).execute()
    nbformat.write(notebook, path)
    (output,) = notebook.cells[0].outputs  # once, not again at the end of the cell
    assert output.metadata["image/png"]["alt"] == said
    with Image.open(tmp_path / "figures" / "00_line.png") as image:
        assert image.info["Description"] == said
    pages = [page_of(path)[1], series.report(tmp_path).read_text("utf-8")]
    for page in pages:
        alts = [str(picture.get("alt")) for picture in BeautifulSoup(page, "html.parser").find_all("img")]
        assert [alt.replace("”", '"') for alt in alts] == [said]
    figure, _ = plt.subplots()
    for wrong in ("two\nlines", " blank", 3):
        with pytest.raises(CrackvizError, match="alternative text"):
            series.save_figure(tmp_path, figure, "00_line", alt=wrong)  # type: ignore[arg-type]
    plt.close(figure)


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = series.open_run(tmp_path, "06_grad_cam")
    (run / "figures" / "map.png").write_bytes(b"old")

    def full(self: Figure, path: Path, **kwargs: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(CrackvizError, match=r"map\.png: No space left"):
        series.save_figure(run, Figure(), "map")
    assert [p.name for p in (run / "figures").iterdir()] == ["map.png"]
    assert (run / "figures" / "map.png").read_bytes() == b"old"


def test_how_pictures_are_read_is_asked_before_anything_runs(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("moss/wall1_1.png", "moss/wall2_1.png", "rust/wall1_2.png", "rust/wall2_2.png"):
        path = tmp_path / "walls" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    cells = ["# One", "parameters: run = ''\ndata = ''\ncrack_class = ''\ngroups = ''", "assert False"]
    notebook = write_notebook(tmp_path / "00_one.ipynb", cells)
    asked = {"data": tmp_path / "walls", "out": tmp_path / "run"}
    with pytest.raises(CrackvizError, match=r"moss and rust.*which of them shows cracks.*--crack-class"):
        series.plan_run([notebook], **asked)
    with pytest.raises(CrackvizError, match="no folder 'mos'"):
        series.run_series([notebook], **asked, parameters={"crack_class": "mos"})
    assert not (tmp_path / "run").exists()
    parameters = {"crack_class": "rust", "groups": r"wall\d+"}
    assert series.plan_run([notebook], **asked, parameters=parameters) == {"00_one": "new"}


def test_how_pictures_are_read_says_nothing_about_synthetic_concrete(tmp_path: Path) -> None:
    cells = ["parameters: run = ''\ndata = ''\ncrack_class = ''\ngroups = ''", "1 / 0"]
    notebook = write_notebook(tmp_path / "a.ipynb", cells)
    for name in ("crack_class", "groups"):
        for data in ("", "synthetic:patches=80"):
            with pytest.raises(CrackvizError, match=f"{name} is for a folder of pictures"):
                series.run_series([notebook], data=data, out=tmp_path / "r", parameters={name: "folder:1"})
    assert not (tmp_path / "r").exists()


def test_the_page_begins_with_pictures_and_groups(tmp_path: Path) -> None:
    from crackviz import data

    names = [f"{name}/wall{i // 2}_{i}.png" for name in ("crack", "no_crack") for i in range(12)]
    for i, name in enumerate(names):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        plt.imsave(tmp_path / "set" / name, noise)
    run = series.open_run(tmp_path / "run", "00_one")
    series.write_results(run, "00_one", {"a": 1})
    assert "pictures in" not in series.report(run).read_text()
    table = data.prepare(tmp_path / "set", run / "split.csv", groups=r"wall\d+")
    test = table[table["split"] == "test"]
    page = series.report(run).read_text()
    line = f"24 pictures in 6 groups; in the test part {len(test)} pictures in {test['group'].nunique()} group"
    assert line in page and page.index(line) < page.index("<table>")


def test_results_of_notebooks_stand_side_by_side(tmp_path: Path) -> None:
    series.write_results(tmp_path, "02", {"a": 1, "b": 2})
    series.write_results(tmp_path, "03", {"accuracy": np.float64(0.5)})
    series.write_results(tmp_path, "02", {"a": 3})
    assert json_of(tmp_path / "results.json") == {"02": {"a": 3}, "03": {"accuracy": 0.5}}


# --- finding and checking -----------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "clone"
    write_notebook(folder / "notebooks" / "00_first.ipynb", FIRST)
    write_notebook(folder / "notebooks" / "01_second.ipynb", SECOND)
    write_notebook(folder / "notebooks" / "02_failing.ipynb", FAILING)
    monkeypatch.chdir(folder)
    return folder


def test_notebooks_are_found_by_number_name_and_path(clone: Path, tmp_path: Path) -> None:
    own = write_notebook(tmp_path / "mine.ipynb", SECOND)
    names = [p.stem for p in series.find_notebooks()]
    assert names == ["00_first", "01_second", "02_failing"]
    found = series.find_notebooks(["2", "00", "01_second", str(own), "00_first", "notebooks/00_first.ipynb"])
    assert [p.stem for p in found] == ["02_failing", "00_first", "01_second", "mine"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("01_secnd", "Did you mean 01_second"), ("7", "no notebook '7'"), ("x/02_failing.ipynb", "Did you mean 02_f")],
)
def test_an_unknown_notebook_is_refused(clone: Path, name: str, message: str) -> None:
    with pytest.raises(CrackvizError, match=message):
        series.find_notebooks([name])


def test_two_notebooks_of_one_name_are_refused(clone: Path) -> None:
    write_notebook(clone / "mine" / "00_first.ipynb", SECOND)
    with pytest.raises(CrackvizError, match="Two notebooks"):
        series.find_notebooks(["00", "mine/00_first.ipynb"])


def test_a_run_folder_is_not_taken_for_the_series(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = clone / "runs" / "x"
    write_notebook(run / "notebooks" / "09_old.ipynb", SECOND)
    series.write_json(run / "config.json", {})
    monkeypatch.chdir(run)
    assert next(p.stem for p in series.find_notebooks()) == "00_first"


def test_the_parameters_cell_is_read(clone: Path) -> None:
    assert series.parameters_of(clone / "notebooks" / "00_first.ipynb") == {
        "run": "", "data": "", "seed": 0, "rate": 0.1, "deep": False, "name": "a # b", "sizes": [1, 2], "limit": None,
    }  # fmt: skip
    for line in ("seed = 1 + f()", "import os", "a = b = 1", "seed ="):
        odd = write_notebook(clone / "odd.ipynb", [f"parameters: {line}"])
        with pytest.raises(CrackvizError, match="parameters cell of odd"):
            series.parameters_of(odd)
    odd.write_text("no notebook")
    with pytest.raises(CrackvizError, match="as a notebook"):
        series.parameters_of(odd)


@pytest.mark.parametrize(
    ("default", "given", "value"),
    [
        (0, "3", 3),
        (0, " -3 ", -3),
        (0.1, "2", 2.0),
        (0.1, "1e-3", 1e-3),
        (0.1, 2, 2.0),
        (False, "yes", True),
        (True, "False", False),
        ("a", "3", "3"),
        ("a", "", ""),
        (None, "3", 3),
        (None, "some words", "some words"),
        ([1], "[2, 3]", [2, 3]),
        ((1, 2), "(2, 3)", [2, 3]),
        ([1], (4,), [4]),
    ],
)
def test_values_become_what_the_default_is(default: Any, given: Any, value: Any) -> None:
    typed = notebooks.typed("x", given, default)
    assert typed == value
    assert type(typed) is type(value)


@pytest.mark.parametrize(
    ("default", "given"),
    [(0, "2.5"), (0, "three"), (0, True), (0, "True"), (0, 1.0), (0.1, "nan"), (0.1, "inf"), (0.1, "x"), (False, "2"),
     (False, 1), ([1], "2"), ([1], "x"), ("a", True), ("a", None), ("a", ["b"])],
)  # fmt: skip
def test_values_of_another_kind_are_refused(default: Any, given: Any) -> None:
    with pytest.raises(CrackvizError, match=r"Parameter x cannot be .* expected (int|float|true or false|list|text)"):
        notebooks.typed("x", given, default)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameters": {"sed": "1"}}, "parameter 'sed'.*Did you mean seed.*Known: seed, rate, deep"),
        ({"parameters": {"seed": "one"}}, "seed cannot be 'one': expected int"),
        ({"parameters": {"run": "x"}}, "Give run by out"),
        ({"parameters": {"data": "x"}}, "Give data by data"),
        ({"data": "missing"}, "missing: expected a folder of pictures"),
        ({"out": "s3://bucket/run"}, "s3://bucket/run is an address.*a single run needs a folder"),
        ({"notebooks": ["00", "9"]}, "no notebook '9'"),
        ({"notebooks": ["01"], "data": "."}, "takes pictures"),
        ({"notebooks": ["01"], "parameters": {"deep": "yes"}}, "No chosen notebook has a parameter 'deep'"),
    ],
)
def test_wrong_use_is_refused_before_anything_runs(clone: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(CrackvizError, match=message) as caught:
        series.run_series(**{"out": "out", **arguments})
    assert not isinstance(caught.value, series.NotebookFailed)
    assert not (clone / "out").exists()


def test_a_run_never_overwrites_the_notebooks(clone: Path) -> None:
    before = (clone / "notebooks" / "00_first.ipynb").read_bytes()
    with pytest.raises(CrackvizError, match="overwrite the notebooks"):
        series.run_series(out=".")
    assert (clone / "notebooks" / "00_first.ipynb").read_bytes() == before
    assert sorted(p.name for p in clone.iterdir()) == ["notebooks"]


# --- running (each kernel takes a second or two) ------------------------------------------------------------------


class Loads(HTMLParser):
    """What a browser would fetch or run for a page, besides what the page itself holds."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.style = False
        self.feed(page)

    def css(self, text: str) -> None:
        self.found += re.findall(r"@import|url\(\s*['\"]?(?!data:).*", text)

    def handle_data(self, data: str) -> None:
        if self.style:
            self.css(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.style = tag == "style"
        self.css(values.get("style") or "")
        if tag in ("script", "link", "iframe", "object", "embed", "base", "video", "audio", "source"):
            self.found.append(tag)
        if tag == "meta" and values.get("http-equiv") == "refresh":
            self.found.append(tag)
        for name, value in attrs:
            loads = name in ("src", "srcset", "poster", "background", "data") or (
                tag in ("image", "use") and "href" in name
            )
            if (loads and not (value or "").startswith("data:")) or name.startswith("on"):
                self.found.append(f"{tag} {name}={value}")


def test_a_lesson_is_spared_tensorflows_advice_but_no_error(tmp_path: Path) -> None:
    logger = logging.getLogger("tensorflow")
    series.open_run(tmp_path, "00_first")
    record = logging.makeLogRecord({"name": "tensorflow", "levelno": logging.WARNING, "msg": "retracing"})
    assert not logger.filter(record)
    record.levelno = logging.ERROR
    assert logger.filter(record)


def test_synthetic_concrete_is_made_before_the_first_notebook(clone: Path, cache: Path) -> None:
    spec = "synthetic:patches=12,image_size=40,crack_width=(2,8)"
    given = {"seed": "3", "deep": "yes", "rate": 2}
    index = series.run_series(["00"], data=spec, out=clone / "run", parameters=given)
    assert len(list(cache.glob(f"synthetic-{synthetic.parse(spec).key}/images/*.jpg"))) == 12
    assert json_of(index.parent / "config.json")["notebooks"]["00_first"]["parameters"]["data"] == spec
    with pytest.raises(CrackvizError, match=r"no setting 'sed'. Did you mean seed"):
        series.run_series(["00"], data="synthetic:sed=1", out=clone / "other")
    assert not (clone / "other").exists()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two good notebooks, in folders with odd names."""
    folder = tmp_path_factory.mktemp("a {b} ü c")
    first = write_notebook(folder / "00_first.ipynb", FIRST)
    figure = Figure(figsize=(1, 1))
    figure.savefig(folder / "near by.png")
    second = write_notebook(folder / "01_second.ipynb", SECOND)
    given = {"seed": "3", "deep": "yes", "rate": 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_CURRENT_TEST")  # where it is set, ipykernel never captures raw output
        index = series.run_series([first, second], data=folder, out=folder / "run {x}", parameters=given)
    assert index == folder / "run {x}" / "index.html"
    return index.parent


def outputs(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(str(o.get("text", "")) for c in cells for o in c.get("outputs", []))


@pytest.mark.slow
def test_a_run_leaves_everything(done: Path) -> None:
    assert sorted(p.name for p in done.glob("[!.]*")) == [
        "claims.json", "config.json", "figures", "index.html", "logs", "notebooks", "results.json",
    ]  # fmt: skip
    assert sorted(p.name for p in (done / "notebooks").iterdir()) == [
        "00_first.html", "00_first.ipynb", "01_second.html", "01_second.ipynb",
    ]  # fmt: skip
    whole(done)
    assert [c["id"] for c in json_of(done / "claims.json")["00_first"]] == ["T0.1", "T0.2"]
    config = json_of(done / "config.json")
    assert config["data"] == str(done.parent)
    assert config["seed"] in (3, 3.0)
    assert {n: r["status"] for n, r in config["notebooks"].items()} == {"00_first": "done", "01_second": "done"}
    assert config["notebooks"]["00_first"]["parameters"] == {
        "run": str(done), "data": str(done.parent), "seed": 3, "rate": 2.0, "deep": True, "name": "a # b",
        "sizes": [1, 2], "limit": None,
    }  # fmt: skip
    assert type(config["notebooks"]["01_second"]["parameters"]["seed"]) is float
    assert {"tensorflow", "keras", "numpy", "papermill"} <= config["packages"].keys()
    assert config["hardware"].keys() >= {"system", "processor", "cores", "threads", "memory_GiB"}
    assert config["python"] and config["command"] and config["layout"] == 2
    assert config["manifests"][str(done.parent)]["files"] == 3  # two notebooks and a picture; not the run folder
    for record in config["notebooks"].values():
        assert 0 < record["cells_seconds"] <= record["seconds"]
        assert 20 < record["memory_MiB"] < 2000


@pytest.mark.slow
def test_a_notebook_gets_the_parameters_it_knows_and_nothing_else(done: Path) -> None:
    cells = nbformat.read(done / "notebooks" / "01_second.ipynb", as_version=4).cells
    injected = next(c for c in cells if "injected-parameters" in c.metadata.get("tags", []))
    names: dict[str, Any] = {}
    exec(injected.source, names)
    assert {name: names[name] for name in names if name != "__builtins__"} == {"run": str(done), "seed": 3.0}


@pytest.mark.slow
def test_raw_noise_goes_to_the_log_alone(done: Path) -> None:
    text = outputs(done / "notebooks" / "00_first.ipynb")
    assert "said on stderr" in text
    assert f"True {Path.cwd()}" in text  # the caller's folder, and the run folder by the environment
    assert "noise of a library" not in text
    assert b"noise of a library" in (done / "logs" / "00_first.kernel.log").read_bytes()
    assert "\r" not in text  # of a progress bar only its end is kept
    assert ".part-" not in (done / "notebooks" / "00_first.ipynb").read_text(encoding="utf-8")


@pytest.mark.slow
def test_no_page_loads_anything(done: Path) -> None:
    pages = [done / "index.html", *(done / "notebooks").glob("*.html")]
    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert Loads(text).found == []
        assert (
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'" in text
        )


def test_the_check_of_pages_sees_what_loads() -> None:
    for bad in ("<script>1</script>", "<img src='a.png'>", "<p style='background: url(//x)'>", "<link href=x>",
                "<style>@import 'x'</style>", "<svg><use href='x'/></svg>", "<p onclick='x()'>"):  # fmt: skip
        assert Loads(bad).found
    assert not Loads("<a href='https://x'>x</a><img src='data:image/png;base64,'>").found


@pytest.mark.slow
def test_a_notebook_page_shows_maths_code_and_pictures(done: Path) -> None:
    page = (done / "notebooks" / "00_first.html").read_text(encoding="utf-8")
    body = page[page.index("<main>") :]
    assert "It costs $5, then $6 or $7, or 8 $ or 9$." in body
    assert "<code>x = $y$</code>" in body
    assert "$5" in re.sub("<[^>]+>", "", body[body.index("price") :][:200])
    assert body.count("<math") == 3  # in the line, displayed, and an output
    assert "<mtable" in body  # aligned
    assert 'class="latex"' not in body  # nothing was left unconverted
    assert "H<sub>2</sub>O" in body
    assert "[picture: far https://example.org/a.png]" in body
    assert re.search(r'<img alt="near" src="data:image/png;base64,', body)
    assert "<b>kept</b>" in body
    assert "a bar" in body  # the text that goes with a widget
    assert '<a href="../index.html">' in page
    assert '<a href="../../near%20by.png#x">theory</a>' in body  # beside the notebook that was run
    assert '<a href="01_second.html#top">on</a>' in body
    assert '<a href="https://example.org">a link</a>' in body
    assert "gone" in body
    assert "gone.md" not in body
    assert "odd link" in body and '<a href="javascript' not in page and "<form" not in page


@pytest.mark.slow
def test_the_index_shows_claims_numbers_and_figures(done: Path) -> None:
    page = (done / "index.html").read_text(encoding="utf-8")
    for part in ("Evidence that adds up", "The second", "it holds too", "2 of 2", "0.5 [0.25, 0.75]", "not defined",
                 "20 entries in results.json", "00 plot", 'href="notebooks/00_first.html"', "seed = 3"):  # fmt: skip
        assert part in page, part
    assert page.count("✓ done") == 4
    assert "✗" not in page
    for target in re.findall(r'href="([^"#]+)"', page):
        assert (done / target).exists(), target


@pytest.mark.parametrize("latex", [r"\foo{x}", "x^", r"a &= b", r"\frac"])
def test_maths_that_cannot_be_shown_stays_readable(latex: str) -> None:
    shown = mathml(latex, "inline")
    assert shown.startswith(('<code class="latex">', "<math"))
    if "foo" in latex or "&" in latex:
        assert shown == f'<code class="latex">{latex.replace("&", "&amp;")}</code>'


def test_maths_has_no_address() -> None:
    shown = mathml(r"\begin{aligned} a &= \arg\max_k x \\ b &= \operatorname*{ReLU}(y) \end{aligned}", "block")
    assert shown.startswith('<math display="block">')
    assert "http" not in shown
    assert shown.count("<mtr>") == 2


def test_a_report_of_notebooks_run_by_hand(tmp_path: Path) -> None:
    run = series.open_run(tmp_path / "lesson", "03_evaluation")
    claims.claim("T3.1", "a < b", True)
    claims.claim("T3.2", "measured", 0.7641, ">", 0.5)
    claims.claim("T3.3", "algebra", 1e-6, "<", 1e-4, identity=True)
    with pytest.raises(AssertionError):
        claims.claim("T3.4", "too small", float("nan"), ">", 0.5)
    index = series.report(run)
    page = index.read_text(encoding="utf-8")
    assert "a &lt; b</li>" in page
    assert (
        '<span class="mark">✓</span><strong>T3.2</strong> measured <span class="soft">(0.764 &gt; 0.5)</span>' in page
    )
    assert (
        '<span class="mark">≡</span><strong>T3.3</strong> algebra <span class="soft">(1e-06 &lt; 0.0001)</span>' in page
    )
    assert (
        '<span class="mark">✗</span><strong>T3.4</strong> too small <span class="soft">(not a number &gt; 0.5)' in page
    )
    with pytest.raises(CrackvizError, match="no run folder"):
        series.report(tmp_path)


@pytest.mark.parametrize("name", ["results.json", "claims.json", "notebooks/03_x.ipynb", "figures/03_x.png"])
def test_a_page_is_never_older_than_what_it_shows(name: str, tmp_path: Path) -> None:
    run = series.open_run(tmp_path, "03_x")
    series.write_results(run, "03_x", {"score": 0.125})
    figure = Figure(figsize=(1, 1))
    series.save_figure(run, figure, "03_x")
    write_notebook(run / "notebooks" / "03_x.ipynb", ["# Of one's own"])
    index = report_if_old(run)
    made = index.stat().st_mtime_ns
    assert report_if_old(run).stat().st_mtime_ns == made
    os.utime(run / name, ns=(made + 10**9, made + 10**9))
    assert report_if_old(run).stat().st_mtime_ns > made
    index.unlink()
    assert report_if_old(run).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_broken_off_while_its_page_is_written_the_same_command_writes_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    """The run before had another seed; its page must not pass for this one's."""
    write_notebook(tmp_path / "00_a.ipynb", [
        "# A", "parameters: run = ''  # run folder\nseed = 0  # seed", OPENING.format(name="00_a"),
        "series.write_results(folder, '00_a', {'score': seed + 0.625})",
    ])  # fmt: skip
    write_notebook(tmp_path / "01_b.ipynb", ["# B", "parameters: run = ''  # run folder"])
    slow = tmp_path / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(
        "import crackviz.series, pathlib, sys, time\nr = sys.modules['crackviz.series.report']\nrender = r.render\n"
        "def wait(template, path, **given):\n    if template == 'run.html':\n"
        f"        pathlib.Path({str(tmp_path / 'writing')!r}).touch(); time.sleep(60)\n"
        "    return render(template, path, **given)\nr.render = wait\n"
    )
    arguments = ("run", "00_a.ipynb", "01_b.ipynb", "--out", "r", "-p", "seed")
    assert crackviz(*arguments, "1", cwd=tmp_path).wait(120) == 0
    index = tmp_path / "r" / "index.html"
    assert "1.625" in index.read_text()
    path = os.pathsep.join([str(slow), os.environ.get("PYTHONPATH", "")])
    process = crackviz(*arguments, "2", cwd=tmp_path, env=os.environ | {"PYTHONPATH": path})
    until((tmp_path / "writing").exists)
    process.send_signal(number)
    assert process.wait(60) != 0
    assert not index.exists()
    again = crackviz(*arguments, "2", cwd=tmp_path)
    assert "up to date" in again.communicate(timeout=120)[0]
    assert "2.625" in index.read_text() and "1.625" not in index.read_text()


def test_what_is_forced_is_trained_anew_and_no_other(tmp_path: Path) -> None:
    for folder, notebook in (("", "02_t"), ("small", "02_t"), ("09_x", "09_s"), ("by_hand", "")):
        (tmp_path / folder).mkdir(exist_ok=True)
        series.write_json(tmp_path / folder / "training.json", {"notebook": notebook} if notebook else {"model": "x"})

    def left() -> list[str]:
        return sorted(path.parent.name for path in tmp_path.rglob("training.json"))

    every = left()
    _clear(tmp_path, {"02_t"}, set())
    assert left() == every
    _clear(tmp_path, {"02_t"}, {"02_t"})
    assert left() == ["09_x"]


def test_a_figure_that_is_cut_off_is_left_out(tmp_path: Path) -> None:
    run = series.open_run(tmp_path, "03_evaluation")
    figure, _ = plt.subplots()
    for name in ("03_cut", "03_whole"):
        series.save_figure(run, figure, name)
    plt.close(figure)
    whole_png = (run / "figures" / "03_cut.png").read_bytes()
    for damaged in (whole_png[:-2000], whole_png[:500] + b"xxxx" + whole_png[504:]):
        (run / "figures" / "03_cut.png").write_bytes(damaged)
        page = series.report(run).read_text(encoding="utf-8")
        assert "03_whole.png" in page and "03_cut.png" not in page


@pytest.mark.slow
@pytest.mark.parametrize("fail_fast", [True, False])
def test_a_failing_notebook_is_marked_and_the_others_go_on(
    clone: Path, capsys: pytest.CaptureFixture[str], fail_fast: bool
) -> None:
    out = clone / "out"
    write_notebook(clone / "notebooks" / "03_after.ipynb", SECOND)
    series.open_run(out, "03_after")  # what an earlier run has left
    claims.claim("T3.1", "said by an earlier run", True)
    (out / "notebooks" / "03_after.ipynb").write_text("{}")
    with pytest.raises(
        series.NotebookFailed, match=r"02_failing failed in cell \[4\]: AssertionError: T2\.2"
    ) as caught:
        series.run_series(["1", "2", "3"], out=out, options=series.Options(fail_fast=fail_fast))
    said = capsys.readouterr().out
    assert "1 of 1 claims hold" in said
    assert "FAILED" in said
    assert "1 of 2 claims hold" in said
    assert ("03_after" not in said) == fail_fast
    config = json_of(out / "config.json")
    assert [r["status"] for r in config["notebooks"].values()] == [
        "done", "failed", "not run" if fail_fast else "done",
    ]  # fmt: skip
    assert "this is <not> so" in config["notebooks"]["02_failing"]["error"]["message"]
    assert json_of(out / "results.json") == {"02_failing": {"reached": 1}}
    assert (out / "notebooks" / "03_after.ipynb").exists() != fail_fast
    executed = (out / "notebooks" / "02_failing.ipynb").read_text(encoding="utf-8")
    assert "AssertionError" in executed
    assert '"never\\n"' not in executed
    assert caught.value.index == out / "index.html"
    page = caught.value.index.read_text(encoding="utf-8")
    assert page.count("✗ failed") == 2
    assert ("not run" in page) == fail_fast
    assert "One that fails</a> failed" in page
    assert "deeper(1)" in page  # the traceback
    assert "this is &lt;not&gt; so" in page
    assert "(does not hold here)" in page
    assert "said by an earlier run" not in page
    whole(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os\nos._exit(9)", "with exit code 9; does a cell call exit"),
        ("import os\nos.kill(os.getpid(), 9)", "was killed, which mostly means that memory ran out"),
        ("import ctypes\nctypes.string_at(0)", "crashed .SIGSEGV."),
        ("raise SystemExit", "ended before its last cell"),
        ("import time\nprint('begun', flush=True)\ntime.sleep(60)", "longer than the time limit"),
    ],
)
def test_other_ends_of_a_notebook_are_failures_too(tmp_path: Path, code: str, message: str) -> None:
    path = write_notebook(tmp_path / "odd.ipynb", [code, "print('after')"])
    began = time.monotonic()
    with pytest.raises(series.NotebookFailed, match=message):
        series.run_series([path], out=tmp_path / "run", options=series.Options(timeout=3))
    assert time.monotonic() - began < 30
    for page in (tmp_path / "run" / "notebooks" / "odd.html", tmp_path / "run" / "index.html"):
        assert re.search(message, page.read_text(encoding="utf-8"))
    whole(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for the kernel's process in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_kernel_and_nothing_half(tmp_path: Path, number: signal.Signals) -> None:
    path = write_notebook(
        tmp_path / "long.ipynb",
        [f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))", "time.sleep(300)"],
    )
    run = tmp_path / "run"
    process = crackviz("run", str(path), "--out", str(run))
    end = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end, process.communicate()
        time.sleep(0.1)
    time.sleep(0.5)
    kernel = int((tmp_path / "pid").read_text())
    assert alive(kernel)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    end = time.monotonic() + 10
    while alive(kernel):
        assert time.monotonic() < end
        time.sleep(0.1)
    whole(run)
    if number == signal.SIGKILL:
        assert [p.suffixes for p in (run / "notebooks").iterdir()] == [[f".part-{process.pid}", ".ipynb"]]
        series.report(run)
    else:
        assert process.returncode == 130
        assert "Traceback" not in err
        assert out.splitlines()[-1].startswith("Report: ")
    assert "✗ interrupted" in (run / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_ends_a_run_cleanly(tmp_path: Path) -> None:
    import resource

    path = write_notebook(tmp_path / "wordy.ipynb", ["print('word ' * 20000)", "print('more')"])
    process = crackviz(
        "run", str(path), "--out", str(tmp_path / "run"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)),
    )  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "File too large" in err, err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "notebooks" / "wordy.ipynb").exists()
    whole(tmp_path / "run")


def test_what_claims_measured_is_compared_where_both_runs_kept_it(tmp_path: Path) -> None:
    def run(name: str, value: float | None, holds: bool = True, identity: bool = False) -> Path:
        record = {"id": "T8.8", "statement": "x", "holds": holds}
        if value is not None:
            record |= {"value": value, "relation": ">", "bound": 0.5} | ({"identity": True} if identity else {})
        (tmp_path / name).mkdir()
        series.write_json(tmp_path / name / "claims.json", {"08": [record]})
        sources = {"notebook": "", "package": "", "data": "", "files": {}}
        done = {"status": "done", "path": "08.ipynb", "parameters": {}, "sources": sources, "seconds": 1}
        config = {"notebooks": {"08": done}, "manifests": {}, "layout": 2}
        series.write_json(tmp_path / name / "config.json", config)
        return tmp_path / name

    old, one, same, other = run("old", None), run("one", 0.76), run("same", 0.7601), run("other", 0.6)
    assert series.compare(old, one) == series.compare(one, old) == series.compare(one, same) == []
    assert list(map(str, series.compare(one, other))) == ["value T8.8 of 08: 0.76 before, 0.6 now"]
    assert list(map(str, series.compare(one, run("low", 0.4, holds=False)))) == [
        "claim T8.8 of 08: holds before, does not hold now",
        "value T8.8 of 08: 0.76 before, 0.4 now",
    ]
    assert series.compare(run("exact", 1e-7, identity=True), run("less exact", 9e-5, identity=True)) == []


def test_a_network_that_is_not_there_is_said_before_anything_runs(tmp_path: Path) -> None:
    cells = ["# One", "parameters: run = ''\nnetwork = ''", "assert False"]
    notebook = write_notebook(tmp_path / "00_one.ipynb", cells)
    with pytest.raises(CrackvizError, match=r"There is no trained network 'nope\.keras'"):
        series.run_series([notebook], out=tmp_path / "run", parameters={"network": "nope.keras"})
    assert not (tmp_path / "run").exists()
    assert series.plan_run([notebook], out=tmp_path / "run", parameters={"network": "local_cnn"}) == {"00_one": "new"}
