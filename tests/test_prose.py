"""Numbers that stand in the middle of a text are those of a results file: each is written anew here, and looked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import pytest

from crackviz import faithfulness

ROOT = Path(__file__).resolve().parents[1]


def results(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text("utf-8"))
    return found


def text_of(name: str) -> str:
    """Return a text as one line, without the marks of links, anchors and comments."""
    text = (ROOT / name).read_text("utf-8")
    text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if name.endswith(".py") else text
    return re.sub(r"\s+", " ", re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text))


def percent(value: float, digits: int = 1) -> str:
    """Return a share in per cent; the halves are rounded up, as a person would."""
    return str((100 * Decimal(str(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def ends(score: dict[str, float], digits: int = 1) -> str:
    return f"[{percent(score['low'], digits)}, {percent(score['high'], digits)}]"


def span(score: dict[str, float], digits: int = 1) -> str:
    """Return a value and its interval in per cent, as the texts have it."""
    return f"{percent(score['value'], digits)} % {ends(score, digits)}"


def carried(d: dict[str, Any]) -> list[str]:
    metu, back, crack = d["carry"]["metu"], d["back"], d["carry"]["deepcrack"]
    ((_, false), (missed, _)) = metu["confusion_matrix"]
    score, area = metu["scores"]["accuracy"], metu["scores"]["roc_auc"]["value"]
    return [
        f"it gets {percent(score['value'])} % right "
        f"(95 % interval {percent(score['low'])} to {percent(score['high'])}, ROC-AUC {area:.3f})",
        f"it finds {crack['found']} of the {crack['pictures']} cracks of DeepCrack",
        f"answers rightly for {percent(back['scores']['accuracy']['value'])} % of 2,000 synthetic patches",
        f"That network raises {false} false alarms on METU's {sum(metu['confusion_matrix'][0]):,} sound patches",
        f"Its {missed} misses are mistakes",
    ]


def carried_in_short(d: dict[str, Any]) -> list[str]:
    score = d["carry"]["metu"]["scores"]["accuracy"]
    return [f"a network is right on {percent(score['value'])} % of METU's patches {ends(score)}"]


def carried_as_a_table(d: dict[str, Any]) -> list[str]:
    rows = []
    for trained, asked, one in (
        ("synthetic", "2,000 other synthetic patches", d["carry"]["synthetic_test"]),
        ("synthetic", "METU, 8,000 patches", d["carry"]["metu"]),
        ("METU", "synthetic, 2,000 patches", d["back"]),
    ):
        auc = one["scores"]["roc_auc"]
        area = f"{auc['value']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
        rows.append(f"| {trained} | {asked} | {span(one['scores']['accuracy'])} | {area} | {counted(one)} |")
    return [*rows, f"the stopping and the threshold ({d['carry']['threshold']:.2f}) chosen"]


def counted(one: dict[str, Any]) -> str:
    (tn, fp), (fn, tp) = one["confusion_matrix"]
    return f"{tn}, {fp}; {fn}, {tp}"


def figures(*networks: dict[str, Any]) -> list[str]:
    """Return rows of a table with a column for each network."""
    titles = {"accuracy": "accuracy", "precision, crack": "precision/crack", "recall, crack": "recall/crack"}
    titles |= {"F1, crack": "f1/crack", "expected calibration error": "calibration_error"}
    rows = {title: [span(one["scores"][key], 2) for one in networks] for title, key in titles.items()}
    rows["confusion matrix (TN, FP; FN, TP)"] = [counted(one) for one in networks]
    rows["epochs"] = [str(one["epochs"]) for one in networks]
    return [f"| {title} | {' | '.join(cells)} |" for title, cells in rows.items()]


def plain_networks(d: dict[str, Any]) -> list[str]:
    small, deep = d["gap_cnn"], d["gap_cnn_deep"]
    return [f"| weights | {small['weights']:,} | {deep['weights']:,} |", *figures(small, deep)]


def deep_network(d: dict[str, Any]) -> list[str]:
    return [f"{d['gap_cnn_deep']['weights']:,} weights", *figures(d["gap_cnn_deep"])]


def mobilenet(d: dict[str, Any]) -> list[str]:
    head = d["head"]
    scores = (span(head["scores"][key], 2) for key in ("accuracy", "f1/crack", "calibration_error"))
    told = "accuracy {}, F1 {}, expected calibration error {};".format(*scores)
    return [f"{d['weights']:,} weights", told, f"confusion matrix (TN, FP; FN, TP) {counted(head)}."]


def witnesses(d: dict[str, Any]) -> list[str]:
    large, local = d["networks"]["mobilenet_v2"], d["networks"]["local_cnn"]
    assert large["metu: accuracy"]["mean"] == 1
    learnt = sum(count for name, count in d["pictures"].items() if "train" in name)
    point = "deepcrack, grad_cam: pointing game"
    return [
        f"taught five networks the same {learnt:,} pictures, from {['', '', 'two', 'three'][d['seeds']]} seeds each",
        f"MobileNetV2 was right about all unseen patches of METU, and the highest point of its map lay on the crack in "
        f"{100 * large[point]['mean']:.1f} % of DeepCrack's pictures; by chance it is "
        f"{100 * d['localisation_by_chance']['deepcrack']['pointing']:.1f} %",
        f"`local_cnn` was right about {100 * local['metu: accuracy']['mean']:.1f} %, "
        f"and there it was {100 * local[point]['mean']:.0f} %",
    ]


@pytest.mark.parametrize(
    ("text", "name", "written"),
    [
        ("THEORY.md", "synthetic", carried),
        ("README.md", "synthetic", carried_in_short),
        ("benchmarks/README.md", "synthetic", carried_as_a_table),
        ("benchmarks/README.md", "metu", plain_networks),
        ("crackviz/pretrained/MODEL_CARD_gap_cnn_deep.md", "metu", deep_network),
        ("crackviz/pretrained/MODEL_CARD_mobilenet_v2.md", "mobilenet", mobilenet),
        ("notebooks/source/08_do_the_maps_hold.py", "networks", witnesses),
    ],
)
def test_numbers_in_a_text_are_those_that_were_measured(
    text: str, name: str, written: Callable[[dict[str, Any]], list[str]]
) -> None:
    found = text_of(text)
    for sentence in written(results(name)):
        assert sentence in found


def test_what_the_texts_say_of_the_measured_numbers_is_so() -> None:
    """Order, not digits: which network is ahead of which, and by how many scores."""
    shipped, taught = results("shipped_model"), results("trace_model")
    maps = shipped["DeepCrack"]["maps"]
    scores = ["pointing game", "pointing game, 4 px", "within 4 px", "average precision", "pooled F1"]
    scores.append("pooled F1, relative")
    ahead = [maps["grad_cam"][one] > max(maps[rival][one] for rival in maps if rival != "grad_cam") for one in scores]
    assert sum(ahead) == 4 and "better than maps that know no network by four of six scores" in text_of("README.md")

    both = (shipped, taught)
    walls, metu = ([one[name]["scores"] for one in both] for name in ("SDNET2018 walls", "METU, test part"))
    assert walls[1]["roc_auc"]["value"] > walls[0]["roc_auc"]["value"]
    assert abs(metu[0]["accuracy"]["value"] - metu[1]["accuracy"]["value"]) < 0.002  # "about equally often, 99.6 %"
    assert all(round(one["accuracy"]["value"], 3) in (0.996, 0.997) for one in metu)
    mean = {key: taught["DeepCrack"]["maps"]["grad_cam"][key] - maps["grad_cam"][key] for key in scores}
    assert sum(gain > 0 for gain in mean.values()) == 5
    for text in ("README.md", "benchmarks/README.md"):
        assert "the better one on DeepCrack by five of six scores" in text_of(text)

    networks = results("networks")["networks"]
    best = max(networks, key=lambda name: networks[name]["metu: accuracy"]["mean"])
    assert best == min(networks, key=lambda name: networks[name]["deepcrack, grad_cam: pointing game"]["mean"])

    ridge, local = results("ridge")["SDNET2018 walls"]["roc_auc"], walls[0]["roc_auc"]
    assert ridge["low"] < local["value"] < ridge["high"]  # notebook 03: "about equal"


def test_the_small_network_and_the_deeper_one_stand_to_the_grey_numbers_as_it_is_said() -> None:
    """THEORY T1, T3: six grey numbers come within a few points of the deeper network, and beat the small one."""
    seeds = results("lesson")["seeds"]
    ahead = [one["accuracy"] - one["six numbers"]["accuracy"] for one in seeds.values()]
    assert len(ahead) == 5 and 0 < sum(ahead) / 5 < 0.06
    assert all(one["six numbers"]["network less it"][1] > 0 for one in seeds.values())  # the interval's lower end
    by = f"From five seeds, by {100 * min(ahead):.0f} to {100 * max(ahead):.0f} points of accuracy"
    assert by in text_of("THEORY.md")
    assert results("training")["gap_cnn"]["test accuracy"] < seeds["0"]["six numbers"]["accuracy"]


def test_what_is_said_of_every_claim_over_seeds_and_data_is_so() -> None:
    found = results("claims")["claims"]
    findings = {id: one for id, one in found.items() if one["kind"] == "finding" and "values" in one}
    assert all(one["holds"] == one["runs"] for one in found.values())
    doubtful = [id for id, one in findings.items() if one["doubtful"]]
    text = text_of("benchmarks/README.md")
    assert f"Of {len(found)} claims {len(findings)} are findings with a number" in text
    assert not doubtful and "over the seeds: none is." in text
    assert {len(values) for one in findings.values() for values in one["values"].values()} == {5}, "five seeds each"
    sizes = [id for id, one in found.items() if one.get("in powers of ten")]
    assert f"{' and '.join(sizes)} ask the size of an error" in text


def test_what_is_said_of_the_cost_of_methods_was_measured() -> None:
    found, text = results("attribution"), text_of("benchmarks/README.md")
    passes = [found[f"one pass over a forward pass, {name}"]["batch 16"] for name in ("gap_cnn", "gap_cnn_deep")]
    for method, words in (("grad_cam_plus_plus", "Grad-CAM++ takes {}"), ("eigen_cam", "of its maps, {}")):
        assert words.format(" and ".join(f"{one[method]['ratio']:.2f}" for one in passes)) in text
    nets = ("gap_cnn", "gap_cnn_deep", "local_cnn")
    lifted = [found[f"DeepLIFT over a forward and backward pass, {name}"]["batch 16"] for name in nets]
    each, one = ([f"{net[kind]['ratio']:.1f}" for net in lifted] for kind in ("a reference for each", "one reference"))
    assert f"it takes {each[0]} and {each[1]}, and {each[2]} on `local_cnn`" in text
    assert f"one reference for all {one[0]}, {one[1]} and {one[2]}." in text


def test_the_stages_of_the_taught_network_are_what_their_table_says() -> None:
    found, text = results("trace_designs"), text_of("benchmarks/README.md")
    for stage in found.values():
        row = [
            f"{stage['METU: ROC-AUC']:.3f} | {stage['METU: right at its best threshold']:.1%}".replace("%", " %"),
            f"{stage['drawn: ROC-AUC']:.3f} | {stage['drawn: right at its best threshold']:.1%}".replace("%", " %"),
        ]
        for name in ("drawn", "hairlines"):
            scores = (stage[f"{name}: {score}"] for score in ("pointing game", "evidence within 4 px", "pooled F1"))
            row.append(", ".join(f"{score:.2f}" for score in scores))
        row.insert(3, f"{stage['hairlines: ROC-AUC']:.3f}")
        assert " | ".join(row) in text
    taught = results("trace_model")
    metu, walls = taught["METU, test part"], taught["SDNET2018 walls"]
    wanted = [
        f"| {100 * metu['scores']['accuracy']['value']:.2f} % |",
        f"| {100 * metu['scores']['calibration_error']['value']:.1f} % |",
        f"| {100 * taught['DeepCrack']['recall']['value']:.1f} %, with {100 * metu['specificity']['value']:.1f} % |",
        f"| {100 * taught['synthetic, 2,000 patches']['scores']['accuracy']['value']:.1f} % |",
        f"| {walls['scores']['roc_auc']['value']:.2f} |",
    ]
    for size in ("DeepCrack", "DeepCrack, 256 px"):
        maps = taught[size]["maps"]["grad_cam"]
        wanted.append(f"| {maps['pointing game']:.2f}, {maps['within 4 px']:.2f}, {maps['pooled F1']:.2f} |")
    for cell in wanted:
        assert cell in text


def test_the_table_of_maps_takes_less_than_a_minute() -> None:
    assert results("faithfulness")["table of notebook 08, local_cnn"]["seconds"] < 60
    assert "the table of notebook 08 takes less than a minute" in text_of("THEORY.md")


@pytest.mark.parametrize(
    ("title", "scores"),
    {
        "pointing game": ["pointing"],
        "evidence within": ["evidence_4px"],
        "average precision": ["average_precision"],
        "best pooled F1": ["f1"],
        "precision, recall": ["precision_2px", "recall_2px"],
        "centre line covered": ["coverage_1px"],
    }.items(),
)
def test_the_theory_and_the_library_name_the_same_weak_spots_of_a_score(title: str, scores: list[str]) -> None:
    (row,) = re.findall(rf"^\| {title}.*\|$", (ROOT / "THEORY.md").read_text("utf-8"), re.MULTILINE)
    for score in scores:
        assert faithfulness.SCORES[score].fooled in row


def test_the_measuring_maps_score_as_it_is_said() -> None:
    """The table of benchmarks/README.md, and that the chosen map of trace_cnn is hardly ahead of its own."""
    found = results("measuring")
    text = text_of("benchmarks/README.md")
    for name, one in found.items():
        scores = one["best pooled F1"]
        cells = [
            scores[title][kind]
            for title in (one["chosen"], "the network's")
            for kind in ("usual", "broad", "DeepCrack")
        ]
        assert f"| `{name}` |" in text and " | ".join(f"{value:.3f}" for value in cells) in text
    chosen, own = (
        found["trace_cnn"]["best pooled F1"][title] for title in (found["trace_cnn"]["chosen"], "the network's")
    )
    assert 0 < chosen["usual"] + chosen["broad"] - own["usual"] - own["broad"] < 0.002
    assert 0 < chosen["DeepCrack"] - own["DeepCrack"] < 0.015


def test_masks_are_worth_what_is_said() -> None:
    """The table of benchmarks/README.md and the sentences below it, and that of T11."""
    found = results("masks")
    text, none = text_of("benchmarks/README.md"), found["masks"]["0"]
    for masks, one in found["masks"].items():
        cells = []
        for asked in ("other walls", "DeepCrack"):
            low, high = (100 * one[asked]["right"][end] for end in ("low", "high"))
            cells.append(f"{100 * one[asked]['right']['value']:.1f} % [{low:.1f}, {high:.1f}]")
            for score in ("evidence within 4 px", "pointing game"):
                spans = one[asked][score]
                cells.append(f"{spans['value']:.2f} [{spans['low']:.2f}, {spans['high']:.2f}]")
            cells.append(f"{one[asked]['pooled F1']:.2f}")
        assert f"| {int(masks):,} | {' | '.join(cells)} |" in text
        assert one["other walls"]["right"]["value"] <= none["other walls"]["right"]["value"]
        assert one["DeepCrack"]["right"]["value"] <= none["DeepCrack"]["right"]["value"]
    walls = {masks: one["other walls"] for masks, one in found["masks"].items()}
    assert walls["30"]["pointing game"]["low"] > 0.8 > walls["0"]["pointing game"]["high"]
    near = {masks: f"{one['evidence within 4 px']['value']:.2f}" for masks, one in walls.items()}
    said = f"with no mask on {found['cracked']:,} cracked patches {near['0']} of the evidence lies within 4 px, "
    assert said + f"with 300 masks {near['300']}, with 3,000 {near['3000']}" in text_of("THEORY.md")
    assert walls["3000"]["pooled F1"] > walls["300"]["pooled F1"] + 0.05
