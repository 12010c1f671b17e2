"""Make ``crackviz/series/answers/NN.toml`` from the solutions below.

``python notebooks/answers.py`` does it.
A solution is what a student may hand in. A test hands each of them in, and each of the wrong ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from crackviz.series.exercises import TRIES, drawn, hashed, packed

FOLDER = Path(__file__).resolve().parents[1] / "crackviz" / "series" / "answers"


def words(right: Any, choices: list[str], hint: str, wrong: list[tuple[Any, str]]) -> dict[str, Any]:
    """Describe one of the choices, or a set of them; wrong ones with what to say to them."""
    return {"kind": "words", "solution": right, "choices": choices, "hint": hint, "wrong": wrong}


def numbers(right: Any, rtol: float = 1e-3) -> dict[str, Any]:
    """Describe a value or an array, the same on every machine."""
    return {"kind": "numbers", "solution": right, "rtol": rtol}


def library(name: str, **options: Any) -> dict[str, Any]:
    """Describe what a function of the library gives for arguments that the notebook hands over."""
    return {"kind": "library", "library": name, "options": options}


def function(solution: Callable[..., Any], *inputs: dict[str, Any], rtol: float = 1e-6) -> dict[str, Any]:
    """Describe a function that is tried on arrays of these shapes and ranges."""
    return {"kind": "function", "solution": solution, "inputs": list(inputs), "rtol": rtol}


def balance(cells: Any) -> Any:
    """Solve 00.4."""
    return np.stack([cells.clip(min=0).sum(axis=(1, 2)), cells.clip(max=0).sum(axis=(1, 2))], axis=1)


def squares(values: Any) -> Any:
    """Return an array of two by two values in its last axis, for 01.4 and 02.4."""
    rows, columns = (side // 2 for side in values.shape)
    return np.stack([values[i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1).reshape(rows, columns, 4)


def line_and_pore(kernel: Any) -> Any:
    """Return the answers of a kernel on the small picture of notebook 02."""
    picture = np.full((7, 7), 0.8)
    picture[:, 3] = picture[1, 5] = 0.2
    return np.array([[(picture[i : i + 3, j : j + 3] * kernel).sum() for j in range(5)] for i in range(5)])


def on_the_wall(recall: Any, false_alarms: Any, share: Any) -> Any:
    """Solve 03.6."""
    return recall * share / (recall * share + false_alarms * (1 - share))


def cam(activations: Any, weights: Any) -> Any:
    """Solve 06.3."""
    return activations @ weights / (activations.shape[1] * activations.shape[2])


def inside(values: Any, mask: Any) -> Any:
    """Solve 08.3."""
    return np.where(mask > 0.5, values.clip(0), 0).sum() / values.clip(0).sum()


def shortcut(values: Any, mark: Any, crack: Any) -> Any:
    """Solve 09.3."""
    on_mark, on_crack = (np.where(mask > 0.5, values.clip(0), 0).sum() for mask in (mark, crack))
    return on_mark / (on_mark + on_crack)


SOLUTIONS: dict[str, dict[str, Any]] = {
    "00.1": words(
        "minus the bias",
        ["zero", "the bias", "minus the bias", "one half"],
        "a map adds up to the logit less the bias",
        [
            ("zero", "the logit is zero; and when the bias is taken off?"),
            ("the bias", "mind the sign: a map adds up to the logit less the bias"),
            ("one half", "one half is the probability, and a map is in logits"),
        ],
    ),
    "00.2": words(
        "it can't be told",
        ["the first", "the second", "it can't be told"],
        "write each logit as what is for it, what is against it, and the bias: how many unknowns are there?",
        [],
    ),
    "00.3": library("attribution.grad_cam", target="no_crack", upsample=False),
    "00.4": function(balance, {"shape": [3, 4, 5], "low": -1.0}),
    "01.1": words(
        {"blurring", "cutting out a quarter"},
        ["mirroring", "turning", "blurring", "swapping colours", "cutting out a quarter"],
        "after which of them may no crack be left to see?",
        [
            ({"blurring"}, "one more: what if the crack lies in a corner?"),
            ({"cutting out a quarter"}, "one more: how wide is the thinnest crack?"),
        ],
    ),
    "01.2": words(
        "neither",
        ["a split by groups", "more pictures", "neither"],
        "the bar tells the classes apart in every part of the split, however large",
        [],
    ),
    "01.3": library("data.near_duplicate_pairs", max_distance=20),
    "01.4": function(lambda grey: squares(grey).mean(axis=-1), {"shape": [6, 8]}),
    "02.1": numbers(np.log(2), rtol=1e-2),
    "02.2": numbers(16 * 16 * 64 + 1, rtol=1e-9),
    "02.3": numbers(line_and_pore(np.array([[1, 1, 1], [-2, -2, -2], [1, 1, 1]]) / 6)),
    "02.4": function(lambda values: squares(values).max(axis=-1), {"shape": [4, 6], "low": -1.0}),
    "02.5": function(lambda x, s: -np.mean(s * x) / 2, {"shape": [6]}, {"shape": [6], "low": -1.0}),
    "03.1": numbers(3 / 40),
    "03.2": words("too sure", ["too sure", "not sure enough"], "divided by 0.1, every logit is ten times as large", []),
    "03.3": numbers(2 * 9 / 2**8),
    "03.4": library("evaluation.correct_prior", actual=0.001),
    "03.5": numbers(3 * 99, rtol=0.02),
    "03.6": function(on_the_wall, *({"shape": [5], "low": low} for low in (0.1, 0.01, 0.01))),
    "04.1": words(
        "the receptive field",
        ["the kernel", "the stride", "the receptive field", "the picture"],
        "which pixels can change the answer of one cell?",
        [("the kernel", "that holds for the first layer alone: a kernel of the second one reads maps")],
    ),
    "04.2": library("attribution.logits"),
    "04.3": function(
        lambda kernel, pixels, bias: np.maximum((kernel * pixels).sum() + bias, 0),
        {"shape": [3, 3, 3], "low": -0.8},
        {"shape": [3, 3, 3]},
        {"shape": [1], "low": -1.0},
    ),
    "05.1": words(
        "class activation map",
        ["activation map", "class activation map", "receptive field"],
        "it was the map of notebook 00",
        [("activation map", "that is the map of one channel, without a weight")],
    ),
    "05.2": library("attribution.cam", upsample=False),
    "05.3": function(
        lambda maps, weights: maps.mean(axis=(0, 1)) * weights, {"shape": [4, 5, 6]}, {"shape": [6], "low": -1.0}
    ),
    "06.1": words(
        {"decisions"},
        ["maps", "logits", "probabilities", "decisions"],
        "try it: set the doubled weights, and compare",
        [
            ({"maps", "decisions"}, "a map is in logits: what happens to each of its terms?"),
            ({"probabilities", "decisions"}, "the logit doubles: what is the probability of 2 z, if that of z is 0.7?"),
            ({"maps", "probabilities", "decisions"}, "the logit is a weighted sum: double the weights in it"),
        ],
    ),
    "06.2": library("attribution.hires_cam", upsample=False),
    "06.3": function(cam, {"shape": [2, 3, 4, 5]}, {"shape": [5], "low": -1.0}),
    "07.1": words(
        {"grad_cam", "thin_cam", "deep_lift"},
        ["grad_cam", "thin_cam", "deep_lift", "occlusion", "rise", "guided_backprop"],
        "the column complete of the table says it",
        [
            ({"grad_cam", "deep_lift"}, "one more: a map that only moves the evidence of another"),
            (
                {"grad_cam", "thin_cam", "deep_lift", "occlusion"},
                "the falls of squares don't add up to the fall when all are covered",
            ),
        ],
    ),
    "07.2": library("attribution.occlusion", baseline="black", upsample=False),
    "07.3": function(lambda w, x, b: w * (x - b), *({"shape": [5], "low": -1.0} for _ in range(3))),
    "08.1": words(
        {"evidence_4px"},
        ["average_precision", "insertion", "pointing_4px", "evidence_4px"],
        "cubing keeps the order of the pixels: which scores look at more than the order?",
        [],
    ),
    "08.2": library("faithfulness.evidence_near", distance=8),
    "08.3": function(inside, {"shape": [6, 7], "low": -1.0}, {"shape": [6, 7]}),
    "09.1": words(
        "colour_cast",
        ["scale_bar", "chalk_line", "date_stamp", "colour_cast"],
        "which of them could you not draw a line around?",
        [("date_stamp", "it has a place: always the same corner")],
    ),
    "09.2": numbers((1 + 0.72) / 2),
    "09.3": function(shortcut, {"shape": [6, 7], "low": -1.0}, {"shape": [6, 7]}, {"shape": [6, 7]}),
    "10.1": words(
        {"ms per patch", "evidence near the crack"},
        ["weights", "MB", "ms per patch", "epochs", "accuracy", "F1", "calibration error", "evidence near the crack"],
        "what empties a battery, and what shows the place?",
        [({"weights", "evidence near the crack"}, "few weights may be laid over very many pixels")],
    ),
    "10.2": numbers(5 * 1281, rtol=1e-9),
    "10.3": function(lambda z: 1 / (1 + np.exp(z[:, 0] - z[:, 1])), {"shape": [6, 2], "low": -3.0, "high": 3.0}),
    "11.1": words(
        {"the answer"},
        ["the answer", "the cells", "the overlap"],
        "without a mask there is nothing that a cell could be compared with",
        [],
    ),
    "11.2": numbers(0.25),
    "11.3": function(
        lambda e, m: -(m * np.log(e) + (1 - m) * np.log(1 - e)).mean(),
        {"shape": [4, 5], "low": 0.01, "high": 0.99},
        {"shape": [4, 5]},
    ),
    "12.1": numbers(np.array([0.1, 0.4])),
    "12.2": numbers(0.9 * 0.05 / (0.9 * 0.05 + 0.02)),
    "12.3": function(
        lambda profile, depth: (1 - profile).sum() / depth[0],
        {"shape": [21]},
        {"shape": [1], "low": 0.2},
    ),
    "13.1": words(
        "scale",
        ["light", "sharpness", "scale"],
        "which of them is a length on the wall?",
        [
            ("sharpness", "blur is in the pixels: edges get wide"),
            ("light", "it is the mean of the pixels' values"),
        ],
    ),
    "13.2": numbers(1 / 3),
    "13.3": function(lambda cracked: np.sort(cracked)[3], {"shape": [39]}),
}


def entry(number: str, solution: dict[str, Any]) -> dict[str, Any]:
    """Return what the file holds of an exercise."""
    kept = {key: value for key, value in solution.items() if key not in ("solution", "wrong")}
    if solution["kind"] == "words":
        kept["right"] = hashed(number, solution["solution"])
        kept["wrong"] = [{"hash": hashed(number, given), "say": say} for given, say in solution["wrong"]]
    elif solution["kind"] == "numbers":
        kept |= {"right": packed(solution["solution"]), "shape": list(np.shape(solution["solution"]))}
    elif solution["kind"] == "function":
        results = [solution["solution"](*drawn(number, solution["inputs"], k)) for k in range(TRIES)]
        kept |= {"right": packed(results), "shape": list(np.shape(results[0]))}
    return kept


def written(notebook: str) -> str:
    """Return the file of a notebook's answers."""
    lines = ["# Made by notebooks/answers.py."]
    for number, solution in SOLUTIONS.items():
        if number.startswith(f"{notebook}."):
            kept = entry(number, solution).items()
            lines += ["", f'["{number}"]', *(f"{key} = {_toml(value)}" for key, value in kept)]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write every file anew."""
    FOLDER.mkdir(exist_ok=True)
    for notebook in sorted({number[:2] for number in SOLUTIONS}):
        (FOLDER / f"{notebook}.toml").write_text(written(notebook), encoding="utf-8")


if __name__ == "__main__":
    main()
