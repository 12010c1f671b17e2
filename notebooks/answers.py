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


def cam(activations: Any, weights: Any) -> Any:
    """Solve 06.3."""
    return activations @ weights / (activations.shape[1] * activations.shape[2])


SOLUTIONS: dict[str, dict[str, Any]] = {
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
