"""Claims: what is printed, what is kept, what is refused."""

from __future__ import annotations

import errno
import html
import json
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from made import write_notebook
from nbclient import NotebookClient

from crackviz import CrackvizError, claims, files, series


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims._Record, "file", None)
    monkeypatch.setattr(claims._Record, "notebook", "")
    monkeypatch.setattr(claims._Record, "made", {})
    monkeypatch.setattr(claims._Record, "excused", {})


def kept(run: Path) -> Any:
    return json.loads((run / "claims.json").read_text(encoding="utf-8"))


def test_a_true_claim_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims.start(tmp_path, "06_grad_cam")
    claims.claim("T6.2", "the signed map sums to logit − bias", 1e-5 < 1e-4)
    assert capsys.readouterr().out == "✓ T6.2 the signed map sums to logit − bias\n"
    assert kept(tmp_path) == {
        "06_grad_cam": [{"id": "T6.2", "statement": "the signed map sums to logit − bias", "holds": True}]
    }


def test_a_false_claim_is_kept_as_false_and_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims.start(tmp_path, "06")
    with pytest.raises(AssertionError, match=r"T6\.3.*the map is zero"):
        claims.claim("T6.3", "the map is zero", np.float32(1) < 0)
    assert capsys.readouterr().out == ""
    assert kept(tmp_path)["06"] == [{"id": "T6.3", "statement": "the map is zero", "holds": False}]


def test_without_start_it_only_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    claims.claim("T0.1", "one", True)
    claims.claim("T0.1", "another", True)  # no notebook, hence no clash
    with pytest.raises(AssertionError):
        claims.claim("T0.2", "two", False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("condition", [np.bool_(True), np.array(True), np.array([1, 2]).any()])
def test_one_boolean_of_any_make_is_taken(condition: object) -> None:
    claims.claim("T1.1", "it holds", condition)


def test_a_tensor_is_taken() -> None:
    tf = pytest.importorskip("tensorflow")
    claims.claim("T1.1", "it holds", tf.constant(1.0) > 0)
    with pytest.raises(AssertionError):
        claims.claim("T1.1", "it holds", tf.constant(1.0) < 0)


@pytest.mark.parametrize(
    "condition", [float("nan"), np.nan, 1, 0, 1.0, None, "yes", [], [True], np.array([True, True]), np.float32(1)]
)
def test_what_is_no_boolean_is_refused(condition: object, tmp_path: Path) -> None:
    claims.start(tmp_path, "01")
    with pytest.raises(CrackvizError, match=r"T1\.1.*one true or false"):
        claims.claim("T1.1", "it holds", condition)
    assert kept(tmp_path) == {"01": []}


@pytest.mark.parametrize("id", ["6.2", "T6", "t6.2", "T6.2.1", "T6.2 ", "", 6.2, None])
def test_an_id_of_another_form_is_refused(id: Any) -> None:
    with pytest.raises(CrackvizError, match="claim id"):
        claims.claim(id, "it holds", True)


@pytest.mark.parametrize("statement", ["", "  ", "two\nlines", 3])
def test_a_statement_is_one_line_of_text(statement: Any) -> None:
    with pytest.raises(CrackvizError, match="one line"):
        claims.claim("T1.1", statement, True)


def test_an_id_stands_for_one_statement(tmp_path: Path) -> None:
    claims.start(tmp_path, "01")
    claims.claim("T1.1", "it holds", True)
    with pytest.raises(CrackvizError, match="two statements"):
        claims.claim("T1.1", "it is otherwise", True)
    with pytest.raises(AssertionError):
        claims.claim("T1.1", "it holds", False)  # the cell is run again: the last answer counts
    assert [c["holds"] for c in kept(tmp_path)["01"]] == [False]


def test_start_forgets_the_notebooks_own_claims_only(tmp_path: Path) -> None:
    for notebook in ("01", "02"):
        claims.start(tmp_path, notebook)
        claims.claim("T1.1", f"said by {notebook}", True)
    claims.start(tmp_path, "01")
    assert kept(tmp_path)["01"] == []
    assert kept(tmp_path)["02"][0]["statement"] == "said by 02"
    claims.claim("T1.1", "said in other words", True)
    assert len(kept(tmp_path)["01"]) == 1


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    for content in ("{", "[]"):
        (tmp_path / "claims.json").write_text(content)
        with pytest.raises(CrackvizError, match=r"claims\.json"):
            claims.start(tmp_path, "01")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.json"
    files.write_json(path, {"a": 1})
    write = Path.write_text

    def half(self: Path, text: str, **kwargs: Any) -> int:
        write(self, text[: len(text) // 2], **kwargs)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(CrackvizError, match=r"results\.json: No space left"):
        files.write_json(path, {"a": 2, "b": list(range(100))})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(CrackvizError, match="run"):
        files.write_json(tmp_path / "run" / "results.json", {})


def test_json_holds_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {1: np.float32(0.5), "nan": np.array([np.nan, 1.0]), "inf": float("inf"), "p": Path("a/b")})
    assert json.loads(path.read_text()) == {"1": 0.5, "nan": [None, 1.0], "inf": None, "p": str(Path("a/b"))}
    with pytest.raises(TypeError):
        files.write_json(path, {"object": object()})
    assert json.loads(path.read_text())["1"] == 0.5


# --- a claim with its number --------------------------------------------------------------------------------------


def printed(capsys: pytest.CaptureFixture[str], *arguments: Any, **options: Any) -> str:
    claims.claim("T1.1", "it holds", *arguments, **options)
    return capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize(
    ("comparison", "line"),
    [
        ((0.7641, ">", 0.5), "(0.764 > 0.5)"),
        ((0.5, ">=", 0.5), "(0.5 >= 0.5)"),
        ((0.49996, "<", 0.5), "(0.49996 < 0.5)"),  # as many digits as tell them apart
        ((3.14159e-6, "<", 1e-4), "(3.14e-06 < 0.0001)"),
        ((np.float32(-0.08), "<=", np.float64(0)), "(−0.08 <= 0)"),
        ((-1.18e-6, "<=", 1e-6), "(−1.18e-06 <= 1e-06)"),
        ((5121, "==", np.int64(5121)), "(5,121 == 5,121)"),
        ((12345.678, ">", 1e4), "(12,346 > 10,000)"),
        ((0.52, "within", (0.35, 0.65)), "(0.52 within 0.35 to 0.65)"),
        ((np.array(2.0), ">", 1), "(2 > 1)"),
    ],
)
def test_a_claim_shows_value_and_bound(
    comparison: tuple[Any, str, Any], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims.start(tmp_path, "01")
    assert printed(capsys, *comparison) == f"✓ T1.1 it holds {line}"
    (record,) = kept(tmp_path)["01"]
    value, relation, bound = comparison
    assert set(record) == {"id", "statement", "holds", "value", "relation", "bound"}
    assert record["value"] == float(value)
    assert record["relation"] == relation
    assert record["bound"] == (list(bound) if relation == "within" else float(bound))
    assert f"({claims.in_words(record)})" == line, "the record alone tells what was printed"


@pytest.mark.parametrize(
    ("value", "relation", "bound"),
    [
        (0.5, ">", 0.5),
        (0.5, "<", 0.5),
        (0.6, "<=", 0.5),
        (0.4, ">=", 0.5),
        (4, "==", 5),
        (0.34, "within", (0.35, 0.65)),
        (0.66, "within", (0.35, 0.65)),
    ],
)
def test_a_number_beyond_its_bound_does_not_hold(value: float, relation: str, bound: Any, tmp_path: Path) -> None:
    claims.start(tmp_path, "01")
    with pytest.raises(AssertionError, match=rf"T1\.1 does not hold here: it holds \({value} {relation}"):
        claims.claim("T1.1", "it holds", value, relation, bound)
    (record,) = kept(tmp_path)["01"]
    assert (record["holds"], record["value"]) == (False, value)


@pytest.mark.parametrize("value", [float("nan"), np.float32("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("relation", claims.RELATIONS)
def test_what_is_not_finite_never_holds(value: float, relation: str, tmp_path: Path) -> None:
    claims.start(tmp_path, "01")
    with pytest.raises(AssertionError, match="not a number"):
        claims.claim("T1.1", "it holds", value, relation, (0, 1) if relation == "within" else 0)
    (record,) = kept(tmp_path)["01"]
    assert (record["holds"], record["value"]) == (False, None)
    assert "not a number" in claims.in_words(record)


def test_what_must_be_true_besides_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims.start(tmp_path, "01")
    assert printed(capsys, 2, ">", 1, provided=np.bool_(True)) == "✓ T1.1 it holds (2 > 1)"
    with pytest.raises(AssertionError, match="something besides is not so"):
        claims.claim("T1.1", "it holds", 2, ">", 1, provided=False)
    assert kept(tmp_path)["01"][0]["holds"] is False
    with pytest.raises(AssertionError):
        claims.claim("T1.1", "it holds", True, provided=False)
    with pytest.raises(CrackvizError, match="one true or false"):
        claims.claim("T1.1", "it holds", 2, ">", 1, provided=1)


def test_an_identity_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims.start(tmp_path, "01")
    assert printed(capsys, 1e-6, "<", 1e-4, identity=True) == "≡ T1.1 it holds (1e-06 < 0.0001)"
    assert kept(tmp_path)["01"][0]["identity"] is True
    assert printed(capsys, True, identity=True) == "≡ T1.1 it holds"
    with pytest.raises(AssertionError):
        claims.claim("T1.1", "it holds", 1, "<", 1e-4, identity=True)


@pytest.mark.parametrize("value", [True, "0.7", None, [0.7], np.array([0.7, 0.8]), 1j])
def test_a_value_is_one_real_number(value: object) -> None:
    with pytest.raises(CrackvizError, match=r"T1\.1: the value must be one real number"):
        claims.claim("T1.1", "it holds", value, ">", 0.5)


@pytest.mark.parametrize(
    ("relation", "bound"),
    [("=", 1), ("!=", 1), ("", 1), (">", None), (">", True), (">", (1, 2)), (">", float("nan")), ("<", float("inf")),
     ("within", 1), ("within", (2, 1)), ("within", (0, 1, 2)), ("within", (0, float("nan")))],
)  # fmt: skip
def test_a_relation_and_its_bound_are_checked(relation: str, bound: Any) -> None:
    with pytest.raises(CrackvizError, match=r"^Claim T1\.1"):
        claims.claim("T1.1", "it holds", 0.5, relation, bound)


def test_a_record_without_numbers_has_no_words() -> None:
    assert claims.in_words({"id": "T1.1", "statement": "of an older run", "holds": True}) == ""


def test_a_claim_that_does_not_apply_is_named_and_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims.start(tmp_path, "00")
    claims.claim("T6.2", "it adds up", 0.5, "<", 1e-4, unless="the network flattens its maps")
    claims.claim("T6.3", "it is so", False, unless="no reason")
    claims.claim("T6.4", "it is not a number", float("nan"), "<", 1, unless="nothing to measure")
    claims.claim("T6.5", "it applies", 0.5, "<", 1, unless="")
    out = capsys.readouterr().out.splitlines()
    assert out == [
        "– T6.2 does not apply here: the network flattens its maps; it would not hold (0.5 < 0.0001)",
        "– T6.3 does not apply here: no reason; it would not hold",
        "– T6.4 does not apply here: nothing to measure",
        "✓ T6.5 it applies (0.5 < 1)",
    ]
    assert [claim["id"] for claim in json.loads((tmp_path / "claims.json").read_text())["00"]] == ["T6.5"]
    excused = json.loads((tmp_path / "excused.json").read_text())["00"]
    assert [(entry["id"], entry["unless"]) for entry in excused] == [
        ("T6.2", "the network flattens its maps; it would not hold (0.5 < 0.0001)"),
        ("T6.3", "no reason; it would not hold"),
        ("T6.4", "nothing to measure"),
    ]
    claims.start(tmp_path, "00")
    assert json.loads((tmp_path / "excused.json").read_text()) == {"00": []}, "those of an older run are forgotten"


def test_an_excuse_says_whether_the_claim_would_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims.start(tmp_path, "00")
    claims.claim("T6.2", "it is large", 2, ">", 1, unless="made elsewhere")
    claims.claim("T6.3", "it is large and true", 2, ">", 1, provided=False, unless="made elsewhere")
    assert capsys.readouterr().out.splitlines() == [
        "– T6.2 does not apply here: made elsewhere; it holds all the same (2 > 1)",
        "– T6.3 does not apply here: made elsewhere; it would not hold (2 > 1, and something besides is not so)",
    ]


def test_the_page_of_a_run_names_what_does_not_apply(tmp_path: Path) -> None:
    claims.start(tmp_path, "06_grad_cam")
    claims.claim("T6.2", "it adds up", 0.5, "<", 1e-4, unless="it <flattens> its maps")
    claims.claim("T6.5", "it applies", 0.5, "<", 1)
    page = html.unescape(series.report(tmp_path).read_text(encoding="utf-8"))
    assert "1 of 1" in page and "(1 doesn't apply)" in page
    assert "<strong>T6.2</strong> it adds up: it <flattens> its maps; it would not hold" in page


def test_a_notebook_of_the_series_links_to_the_statement(tmp_path: Path) -> None:
    run = repr(str(tmp_path))
    cells = ["from crackviz import claims", f"claims.start({run}, '00_a')", "claims.claim('T0.1', 'one', 2, '<', 3)"]
    cells += ["claims.claim('T0.2', 'two', 2, '<', 3, unless='reasons')", "claims.claim('T0.3', 'three', False)"]
    notebook = nbformat.read(write_notebook(tmp_path / "a.ipynb", cells), as_version=4)
    NotebookClient(notebook, allow_errors=True).execute()
    for number, cell in enumerate(notebook.cells[2:], start=1):
        (link,) = [output.data for output in cell.outputs if output.output_type == "display_data"]
        assert link == {
            "text/markdown": f"[T0.{number} in the theory](../THEORY.md#t0.{number})",
            "text/plain": f"T0.{number} in the theory",
        }
    printed = "".join(output.text for output in notebook.cells[2].outputs if output.output_type == "stream")
    assert printed == "✓ T0.1 one (2 < 3)\n"


@pytest.mark.parametrize("wrong", [{"unless": True}, {"unless": 5}, {"identity": "no"}])
def test_an_excuse_is_a_reason_and_an_identity_yes_or_no(wrong: dict[str, Any]) -> None:
    with pytest.raises(CrackvizError, match=r"unless is|identity is"):
        claims.claim("T1.1", "two is more than one", 2, ">", 1, **wrong)
