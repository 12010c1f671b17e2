"""The files that make an environment agree with each other, and the package stays light to import."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import crackviz

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONDA_NAMES = {"matplotlib-base": "matplotlib", "seaborn-base": "seaborn"}


def declared(*extras: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def locked() -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", (ROOT / "requirements.lock").read_text(), re.M):
        pins.setdefault(canonicalize_name(name), set()).add(version)
    return pins


def test_the_lock_fulfils_the_project() -> None:
    pins = locked()
    for name, requirement in declared(*PROJECT["optional-dependencies"]).items():
        assert name in pins, f"{name} is not in requirements.lock"
        for version in pins[name]:
            assert requirement.specifier.contains(Version(version)), f"{name}=={version} is not {requirement}"


def test_the_lock_has_hashes_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert not re.search(r"https?:|file:|--index-url|--find-links", text)
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    entries = [entry for entry in entries if re.match(r"[A-Za-z0-9._-]+==", entry)]
    assert len(entries) > 100
    assert all("--hash=sha256:" in entry for entry in entries)


def test_environment_yml_has_the_ranges_of_the_project() -> None:
    lines = re.findall(r"^ +- ([^\s:].*?)\s*$", (ROOT / "environment.yml").read_text(), re.M)
    wanted = declared() | {name: value for name, value in declared("test").items() if name in ("pytest", "nbval")}
    found: dict[str, Requirement] = {}
    for line in lines:
        if re.match(r"[a-z][\w-]* ?[<>=]", line):
            requirement = Requirement(line)
            found[canonicalize_name(CONDA_NAMES.get(requirement.name, requirement.name))] = requirement
    for name, requirement in wanted.items():
        assert name in found, f"{name} is not in environment.yml"
        assert found[name].specifier == requirement.specifier, name
    assert str(found["python"].specifier) == str(Requirement(f"python{PROJECT['requires-python']}").specifier)


def test_required_packages_are_declared() -> None:
    names = set(declared("test"))
    required = "jupyterlab tensorflow tf-keras-vis matplotlib seaborn scikit-learn papermill nbval"
    assert set(required.split()) <= names


def test_ci_runs_the_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "exec make test"
    assert "make test" in (ROOT / "README.md").read_text("utf-8")


def benchmark(name: str) -> Any:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_functions_and_signatures_stay_small() -> None:
    """File by file; the bounds stand at the top of benchmarks/shape.py, which counts the whole as well."""
    shape = benchmark("shape")
    assert shape.broken(shape.sizes() | {"lines": 0}) == []


def test_what_is_too_large_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = benchmark("shape")
    (tmp_path / "crackviz" / "plots").mkdir(parents=True)
    (tmp_path / "crackviz" / "plots" / "__init__.py").write_text("")
    wide = ", ".join("abcdefghi")
    text = f"class A:\n    def from_maps(self, {wide}): ...\n    def many(self, {wide}): ...\n"
    text += '\ndef long():\n    """Say\n    much."""\n' + "    x = 1\n" * 60 + "\ndef short():\n" + "    x = 1\n" * 59
    (tmp_path / "crackviz" / "plots" / "a.py").write_text(text + "\n" * 300)
    monkeypatch.setattr(shape, "ROOT", tmp_path)
    monkeypatch.setattr(shape, "PACKAGE", tmp_path / "crackviz")
    monkeypatch.setattr(shape, "LINES", 400)
    figures = shape.sizes()
    assert (
        figures["modules of a package"] == {"plots": 1} and figures["lines"] == figures["lines of a package"]["plots"]
    )
    assert figures["long files"] == {"crackviz/plots/a.py": figures["lines"]}
    assert figures["long functions"] == {"crackviz.plots.a.long": 61}
    assert figures["long signatures"] == {"crackviz.plots.a.A.many": 9}
    said = shape.broken(figures | {"seconds": {"python -c pass": 9.0, "import crackviz": 9.0}})
    assert len(said) == 5 and "import crackviz takes 9.0 s; expected at most 0.3 s." in said


def test_the_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    words = {word.strip("(),;") for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()}
    words |= set(re.findall(r"\]\(([^)]+)\)", text))
    named = {word for word in words if re.search(r"/|\.(py|md|yml|lock|cff|toml|json|h5|npy|png)$", word)}
    named -= {"metu/", "file.h5", ".venv/bin/python"}  # a data set's folder, an argument, what make makes
    named = {word for word in named if not re.search("path/to|NN|NAME", word)}
    assert len(named) > 40
    missing = [word for word in named if not [*ROOT.glob(word), *(ROOT / "crackviz").rglob(word)]]
    assert not missing


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "abstract", "keywords"} <= citation.keys()
    assert citation["version"] == PROJECT["version"] == crackviz.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "crackviz contributors"}]


@pytest.mark.parametrize("statement", ["import crackviz", "import crackviz.cli", "from crackviz import data"])
def test_imports_stay_light(statement: str) -> None:
    heavy = ("tensorflow", "keras", "papermill", "nbconvert")
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


ORDER = ["contracts", "bootstrap", "files", "progress", "synthetic", "data", "models", "training", "evaluation"]
ORDER += ["attribution", "features", "faithfulness", "inspection", "export", "plots", "claims", "series", "cli"]


def imports_of(path: Path) -> set[str]:
    """Modules and packages of crackviz that a file imports, at its top or in a function, by their dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "crackviz":
            below = node.module.split(".")[1:]
            named = {".".join([*below, name.name]) for name in node.names}
            modules = {name for name in named if (ROOT / "crackviz" / f"{name.replace('.', '/')}.py").is_file()}
            found |= modules or ({".".join(below)} if below else named & set(ORDER))
    return found


@pytest.mark.parametrize(("own", "used"), [(None, "1"), ("0", "0")])
def test_tensorflow_is_asked_for_onednn_unless_somebody_says_otherwise(own: str | None, used: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    told = subprocess.run(
        [sys.executable, "-c", "import os, crackviz; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"],
        env=environment | ({"TF_ENABLE_ONEDNN_OPTS": own} if own else {}),
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == used, told.stderr


def test_subjects_import_only_those_above_them() -> None:
    assert {path.stem for path in (ROOT / "crackviz").glob("*.py")} <= {"__init__", *ORDER}
    for path in (ROOT / "crackviz").rglob("*.py"):
        subject = path.relative_to(ROOT / "crackviz").parts[0].removesuffix(".py")
        if subject == "__init__":
            continue
        used = {name.split(".")[0] for name in imports_of(path)} - {subject}
        below = {other for other in used if ORDER.index(other) > ORDER.index(subject)}
        assert not below, f"{path.name} imports {below}"
        ground = {"contracts", "bootstrap"}
        assert subject != "plots" or not used - ground, "plots takes arrays and tables, and imports no sibling"


def test_no_circle_in_a_subject() -> None:
    for face in (ROOT / "crackviz").glob("*/__init__.py"):
        modules = {path.stem: imports_of(path) for path in face.parent.glob("*.py") if path != face}
        inside = {
            name: {other.split(".")[1] for other in used if other.startswith(f"{face.parent.name}.")}
            for name, used in modules.items()
        }
        assert list(graphlib.TopologicalSorter(inside).static_order())
        for name, used in modules.items():
            assert face.parent.name not in used, f"{name} imports its own face"


def test_every_public_name_is_documented() -> None:
    names = "attribution claims data evaluation export faithfulness features inspection models plots series training"
    for module in (getattr(crackviz, name) for name in names.split()):
        for name, value in vars(module).items():
            if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__ and callable(value):
                assert value.__doc__, f"{module.__name__}.{name}"


@pytest.mark.slow
def test_the_wheel_is_whole_and_runs_the_series(tmp_path: Path) -> None:
    """Built, looked into, and installed alone into an environment that borrows every other package from this one."""

    def run(*command: str | Path, cwd: Path = tmp_path, **more: str) -> str:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **more})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    source = tmp_path / "source"  # a build leaves folders behind
    kept = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, kept):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    (wheel,) = tmp_path.glob("*.whl")
    inside = zipfile.ZipFile(wheel).namelist()
    for name in filter(None, kept):
        if name.startswith("crackviz/") and (ROOT / name).is_file():
            assert name in inside, f"{name} is not in the wheel"
    assert not [name for name in inside if not re.match(r"crackviz[/-]", name)]

    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh")
    python = tmp_path / "fresh" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))  # the packages beside, not the .pth files there
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(python, "-c", "import crackviz; print(crackviz.__file__)", cwd=empty)
    assert Path(where.strip()).is_relative_to(site)
    templates = str(Path(sysconfig.get_path("data")) / "share" / "jupyter")  # nbconvert's
    said = run(python, "-m", "crackviz.cli", "run", "00", "--out", "out", cwd=empty, JUPYTER_PATH=templates)
    assert (empty / "out" / "index.html").is_file(), said
    assert not [path for path in (tmp_path / "fresh" / "share").rglob("*") if path.name == "runs"]


def run_make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


def test_make_help_lists_the_targets() -> None:
    text = run_make("help").stdout
    for target in ("run", "test", "lab", "clean", "fast"):
        assert f"make {target}" in text


def test_make_refuses_another_python(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho '/usr/bin/python3 is Python 3.9; crackviz needs 3.11' >&2; exit 1\n")
    old.chmod(0o755)
    done = run_make("setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", f"BIN={tmp_path / 'venv' / 'bin'}")
    assert done.returncode != 0 and "needs 3.11" in done.stderr and not (tmp_path / "venv").exists()


def test_a_claim_by_its_size_that_fails_or_is_too_near_is_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")

    def doubtful(*values: float) -> bool:
        made = {"statement": "s", "bound": 0.02, "relation": ">", "data": "metu"}
        row = benchmark("claims").row([made | {"value": value, "holds": value > 0.02} for value in values], True)
        return bool(row["doubtful"])

    assert not doubtful(0.2, 0.1, 0.4) and doubtful(0.021, 0.1, 0.4)
    assert doubtful(0.1, 0.2, 0.0) and doubtful(0.1, 0.2, -0.1)


def test_the_figures_of_inspections_are_those_that_were_measured() -> None:
    """And what README says of them in words is so: wide cracks' widths miss what was asked, and intervals hold it."""
    cards = benchmark("_cards")
    figures = cards.load()
    text = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    table = cards.inspections(figures["inspection"])
    assert table in text
    walls = figures["inspection"]["walls, trace_cnn"]
    words = "nearly all of the length of cracks from 2 px up, and half of those under one"
    assert words in (ROOT / "README.md").read_text("utf-8")
    assert walls["recall from 2 px"] > 0.95 and 0.45 < walls["recall under 1 px"] < 0.55
    widths = walls["widths"]
    assert widths["from 3 px"]["median error"] > 0.15 and widths["1 to 3 px"]["median error"] <= 0.35
    for one in (widths["from 3 px"], widths["1 to 3 px"]):
        assert 0.9 <= one["95 % intervals that hold the truth"] <= 0.99
    widths["from 3 px"]["median error"] += 0.1
    assert cards.inspections(figures["inspection"]) not in text


def test_the_figures_of_the_shipped_model_are_those_that_were_measured() -> None:
    cards = benchmark("_cards")
    figures = cards.load()
    for name in cards.TEXTS:
        text = (ROOT / name).read_text("utf-8")
        shown = "answers of trace_cnn" if "trace_cnn" in name else "answers"
        metu = figures[shown]["METU, test part"]["scores"]["accuracy"]
        prefix = "# " if name.endswith(".py") else ""
        assert cards.written(text, figures, prefix) == text, f"{name}: run python benchmarks/_cards.py"
        if name == "benchmarks/README.md":  # it has the maps and the networks; the answers are in the other README
            assert "<!-- maps -->" in text and "<!-- networks -->" in text
            continue
        assert "| METU, grouped test part |" in text
        metu["value"] += 0.01
        assert cards.written(text, figures, prefix) != text
        metu["value"] -= 0.01
    from crackviz import models

    model = models.load_pretrained()
    assert (figures["answers"]["weights"], figures["answers"]["threshold"]) == (
        model.count_params(),
        models.metadata(model).threshold,
    )
