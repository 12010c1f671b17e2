"""Write measured figures into the texts that show them, so that no number is copied by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TEXTS = (
    "README.md",
    "benchmarks/README.md",
    "crackviz/pretrained/MODEL_CARD.md",
    "crackviz/pretrained/MODEL_CARD_trace_cnn.md",
    "notebooks/source/10_transfer_learning.py",
)
SETS = {
    "METU, test part": "METU, grouped test part",
    "synthetic, 2,000 patches": "synthetic concrete, 2,000 patches",
    "SDNET2018 walls": "SDNET2018, walls",
    "SDNET2018 walls, 256 px": "SDNET2018, walls, asked at 256 px",
    "DeepCrack": "DeepCrack, 300 cracks",
    "DeepCrack, 256 px": "DeepCrack, asked at 256 px",
}
RIDGE = {
    "METU": "every fourth picture of METU",
    "synthetic, 2,000 patches": "synthetic concrete, 2,000 patches",
    "SDNET2018 walls": "SDNET2018, walls",
    "SDNET2018 walls, 256 px": "SDNET2018, walls, asked at 256 px",
}
MAPS = {
    "grad_cam": "Grad-CAM of `{model}`",
    "local_darkness": "local darkness, no network",
    "darkness": "darkness, no network",
    "edges": "edges, no network",
}


def _percent(score: dict[str, float]) -> str:
    value, low, high = (100 * score[name] for name in ("value", "low", "high"))
    return f"{value:.2f} [{low:.2f}, {high:.2f}] %"


def _plain(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def answers(figures: dict[str, Any]) -> str:
    """Return the table of its answers on every set."""
    columns = ["pictures", "accuracy", "accuracy at 0.5", "recall", "specificity", "ROC-AUC", "calibration error"]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for key, title in SETS.items():
        one = figures[key]
        if "scores" not in one:
            rows.append(f"| {title} | | | {_percent(one['recall'])} | | | |")
            continue
        scores = one["scores"]
        cells = [_percent(scores["accuracy"]), _percent(one["at one half"]["accuracy"])]
        cells += [_percent(scores["recall/crack"]), _percent(one["specificity"])]
        cells += [_plain(scores["roc_auc"]), _percent(scores["calibration_error"])]
        rows.append(f"| {title} | {' | '.join(cells)} |")
    for key, found in figures.get("ridge", {}).items():
        rows.append(f"| *no network:* longest dark ridge, {RIDGE[key]} | | | | | {_plain(found['roc_auc'])} | |")
    return "\n".join(rows)


def maps(figures: dict[str, Any]) -> str:
    """Return the table of what its maps score on DeepCrack's masks."""
    columns = {
        "pointing game": "pointing game",
        "pointing game, 4 px": "within 4 px",
        "within 4 px": "evidence within 4 px",
        "average precision": "average precision",
        "pooled F1": "best pooled F1",
        "pooled F1, relative": "the same, maps divided by their maxima",
    }
    rows = [f"| map | {' | '.join(columns.values())} |", "|---" * (len(columns) + 1) + "|"]
    for key, title in MAPS.items():
        found = figures["DeepCrack"]["maps"][key]
        title = title.format(model=figures["model"])
        rows.append(f"| {title} | {' | '.join(f'{found[name]:.2f}' for name in columns)} |")
    return "\n".join(rows)


def networks(figures: dict[str, Any]) -> str:
    """Return the table of the networks on equal terms: means over seeds, with their intervals.

    Below stand what maps get that know no network, and what chance gets.
    """
    columns = {
        "metu: accuracy": "METU, accuracy",
        "metu: calibration error": "calibration error",
        "synthetic: accuracy": "synthetic, accuracy",
        "synthetic: F1": "F1",
        "deepcrack: recall": "DeepCrack, recall",
        "deepcrack, grad_cam: pointing game": "its map: pointing game",
        "deepcrack, grad_cam: evidence within 4 px": "evidence within 4 px",
    }
    rows = [
        f"| network | weights | MB | ms a patch | {' | '.join(columns.values())} |",
        "|---" * (len(columns) + 4) + "|",
    ]
    for name, one in figures["networks"].items():
        cells = [f"`{name}`", f"{one['weights']:,}", f"{one['MB']:.2f}", f"{one['ms per patch']['mean']:.2f}"]
        cells += [_within(**one[key]) for key in columns]
        rows.append(f"| {' | '.join(cells)} |")
    chance = figures["localisation_by_chance"]["deepcrack"]
    others = {f"{MAPS[name]}": one for name, one in figures["localisation_without_a_network"]["deepcrack"].items()}
    others["chance"] = {"pointing game": chance["pointing"], "evidence within 4 px": chance["evidence_4px"]}
    for name, found in others.items():
        cells = [name, *[""] * 8, f"{found['pointing game']:.3f}", f"{found['evidence within 4 px']:.3f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _within(mean: float, plus_minus: float) -> str:
    """Return the mean of a share with its interval, which ends at 0 and 1; none where all seeds are equal."""
    if not plus_minus:
        return f"{mean:.3f}"
    return f"{mean:.3f} [{max(mean - plus_minus, 0):.2f}, {min(mean + plus_minus, 1):.2f}]"


def inspections(figures: dict[str, Any]) -> str:
    """Return the table of how well whole photographs are inspected, each figure beside what was asked of it."""
    drawn, unlike, lines = (figures[name] for name in ("walls, trace_cnn", "unlike", "DeepCrack"))
    wide, thin = (drawn["widths"][name] for name in ("from 3 px", "1 to 3 px"))
    tiles, cost = figures["SDNET2018's photographs"]["trace_cnn"], figures["cost"]
    held = sorted(one["95 % intervals that hold the truth"] for one in (wide, thin))
    worst = min(tiles["ROC-AUC of tiles, by photograph"].values())
    usual = unlike["flagged, usual"]
    small, large = (cost[f"{name}: memory"]["GiB"] for name in ("16.5 megapixels", "201 megapixels"))
    rows = [
        ("Length found of cracks from 2 px", f"{drawn['recall from 2 px']:.0%}", "90 %"),
        ("… of 1 to 2 px", f"{drawn['recall 1 to 2 px']:.0%}", "60 %"),
        ("… under 1 px", f"{drawn['recall under 1 px']:.0%}", ""),
        ("… from 2 px, in the strip at the edge", f"{drawn['recall from 2 px, at the edge']:.0%}", ""),
        (
            f"… from 2 px, with `local_cnn` ({figures['walls, local_cnn']['walls']} walls)",
            f"{figures['walls, local_cnn']['recall from 2 px']:.0%}",
            "",
        ),
        ("False length, of the true one", f"{drawn['false over true length']:.1%}", "5 %"),
        (
            "False length on sound walls, 0.5 mm a pixel",
            f"{drawn['false m per m2 of sound wall, 0.5 mm a px']:.3f} m for each m²",
            "0.05 m for each m²",
        ),
        ("Width from 3 px up: median error", f"{wide['median error']:.2f} px", "0.15 px"),
        (
            "… how far drawn edges are from the width that was meant",
            f"{wide['median of |as drawn - as meant|']:.2f} px",
            "",
        ),
        (
            "Width of 1 to 3 px: median error",
            f"{thin['median error']:.2f} px; {thin['only told to be thinner than']:.0%} are only called “thinner than”",
            "0.35 px",
        ),
        ("95 % intervals that hold the true width", f"{held[0]:.1%} to {held[1]:.1%}", "90 to 99 %"),
        (
            "SDNET2018's six photographs: ROC-AUC of tiles",
            f"{tiles['mean']:.2f} on average, {worst:.2f} the worst",
            "0.90",
        ),
        ("DeepCrack's pictures: F1 of lines from 30 px, within 4 px", f"{lines['lines: F1']:.2f}", "0.85"),
        ("“Unlike anything seen”: ROC-AUC", f"{unlike['auroc']:.3f}", "0.95"),
        ("… pictures of METU, SDNET2018 so called", f"{usual['METU']:.1%}, {usual['SDNET2018']:.1%}", "5 %, 10 %"),
        (
            "Tiles over compiled passes, 16.5 megapixels",
            f"{cost['16.5 megapixels: time']['tiles over passes']:.2f} ×",
            "2.0 ×",
        ),
        ("Memory at 16.5 and at 201 megapixels", f"{small:.2f} and {large:.2f} GiB", "1.5 GiB"),
    ]
    head = f"| on {drawn['walls']} drawn walls, half of them sound, and on real photographs | measured | asked |"
    body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|---|---|---|", *(re.sub(r"(?<=\d)%", " %", row) for row in body)])


def designs(figures: dict[str, Any]) -> str:
    """Return the table of designs of `local_cnn`: their fixed paths as maps, and what is learnt over them."""
    sets = ("drawn", "broad", "hairlines")
    columns = ["design", "margins", "beside lines", "fixed path: drawn cracks", *sets[1:], "METU right"]
    columns += ["ROC-AUC: drawn", *sets[1:], "map: drawn cracks", *sets[1:]]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for name, one in figures.items():
        design, alone, learnt = one["design"], one["alone"], one["learnt"]
        margins = [design["dark"][1], *([design["line"][1]] if design["lines"] else [])]
        cells = [name, ", ".join(map(str, margins)), str(design["beside"]) if design["lines"] else ""]
        cells += [_triple(alone, kind) for kind in sets]
        cells.append(f"{100 * learnt['METU: right at its best threshold']:.2f} %")
        cells += [f"{learnt[f'{kind}: ROC-AUC']:.3f}" for kind in sets]
        cells += [_triple(learnt, kind) for kind in sets]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def lesson(figures: dict[str, Any]) -> str:
    """Return the table of notebook 02's network from several seeds, beside what needs no network."""
    columns = ["seed", "network right", "six numbers", "difference", "p", "longest dark ridge", "difference", "p"]
    rows = [f"| {' | '.join([*columns, 'first kernels and their start, r'])} |", "|---" * (len(columns) + 1) + "|"]
    for seed, one in figures["seeds"].items():
        cells = [seed, f"{100 * one['accuracy']:.1f} %"]
        for name in ("six numbers", "longest dark ridge"):
            value, low, high = (100 * number for number in one[name]["network less it"])
            cells += [f"{100 * one[name]['accuracy']:.1f} %", f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"]
            cells.append(f"{one[name]['p_value']:.2g}")
        rows.append(f"| {' | '.join([*cells, format(one['kernels and their start, r'], '.2f')])} |")
    return "\n".join(rows)


def claims(figures: dict[str, Any]) -> str:
    """Return the table of the ten findings that are nearest to their bound, in spreads over the seeds."""
    found = {
        id: one for id, one in figures["claims"].items() if one["kind"] == "finding" and one.get("spread") is not None
    }
    columns = ["claim", "says", "synthetic", "METU", "bound", "nearest", "spread"]
    rows = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for id in sorted(found, key=lambda id: found[id]["nearest"] / max(found[id]["spread"], 1e-12))[:10]:
        one = found[id]
        values = [one["values"].get(data, []) for data in ("synthetic", "metu")]
        ranges = [f"{min(some):.3g} to {max(some):.3g}" if some else "" for some in values]
        cells = [f"[{id}](../THEORY.md#{id.lower()})", one["statement"], *ranges, _bound(one)]
        rows.append(f"| {' | '.join([*cells, *(f'{one[key]:.2g}' for key in columns[-2:])])} |")
    return "\n".join(rows)


def _bound(claim: dict[str, Any]) -> str:
    relation, bound = claim["relation"], claim["bound"]
    if isinstance(bound, str):
        return f"{relation} {bound}"
    return f"{bound[0]:.3g} to {bound[1]:.3g}" if relation == "within" else f"{relation} {bound:.3g}"


def _triple(scores: dict[str, float], name: str) -> str:
    kinds = ("pointing game", "evidence within 4 px", "pooled F1")
    return ", ".join(f"{scores[f'{name}: {kind}']:.2f}" for kind in kinds)


def load() -> dict[str, Any]:
    """Return the figures by table."""
    names = ("shipped_model", "trace_model", "networks", "ridge", "inspection", "local_designs", "lesson", "claims")
    shipped, taught, compared, ridge, inspected, tried, learnt, held = (
        json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in names
    )
    return {
        "answers": shipped | {"ridge": ridge},
        "maps": shipped,
        "answers of trace_cnn": taught,
        "maps of trace_cnn": taught,
        "networks": compared,
        "inspection": inspected,
        "designs": tried,
        "lesson": learnt,
        "claims": held,
    }


TABLES = {
    "answers": answers,
    "maps": maps,
    "answers of trace_cnn": answers,
    "maps of trace_cnn": maps,
    "networks": networks,
    "inspection": inspections,
    "designs": designs,
    "lesson": lesson,
    "claims": claims,
}


def written(text: str, figures: dict[str, Any], prefix: str = "") -> str:
    """Return `text` with what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->`` made anew."""
    for name, table in TABLES.items():
        start, end = f"{prefix}<!-- {name} -->", f"{prefix}<!-- end of {name} -->"
        block = "\n".join(
            [start, *((prefix + line).rstrip() for line in ["", *table(figures[name]).splitlines(), ""]), end]
        )
        text = re.sub(f"{re.escape(start)}.*?{re.escape(end)}", lambda _, new=block: new, text, flags=re.DOTALL)
    return text


def update() -> None:
    """Write all the texts."""
    figures = load()
    for name in TEXTS:
        path = ROOT / name
        old = path.read_text("utf-8")
        path.write_text(written(old, figures, "# " if path.suffix == ".py" else ""), "utf-8")


if __name__ == "__main__":
    update()
