"""Count how hard the prose of the notebooks and of THEORY.md is to read.

    python benchmarks/readability.py

For every notebook and every section: words a sentence, and the Flesch-Kincaid grade (Kincaid et al., 1975),
0.39 words/sentence + 11.8 syllables/word - 15.59: years of school that an American reader needs. Code, formulas,
tables, headings and lists of sources are left out; an item of a list is a sentence of its own. Syllables are counted
by groups of vowels, which is right to within some per cent. Writes benchmarks/results/readability.json.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_DROPPED = re.compile(
    r"```.*?```|\$\$.*?\$\$|<!--.*?-->|^#[^\n]*$|^\|[^\n]*$|^!\[[^\n]*$|<[^>]+>", re.DOTALL | re.MULTILINE
)


def prose(markdown: str) -> list[str]:
    """Return the sentences of a text in Markdown, without code, formulas, tables and headings."""
    text = _DROPPED.sub("\n\n", markdown)
    text = re.sub(r"\$[^$\n]+\$|`[^`]*`", "it", text)  # one short word each
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\((?:[^()]*\b(?:19|20)\d\d[^()]*)\)", "", text)  # sources
    text = re.sub(r"[*_>]", "", text)
    blocks = re.split(r"\n\s*\n|\n\s*(?:-|\d+\.)\s+", text)
    parts = [part for block in blocks for part in re.split(r"(?<=[.!?])[\"”)]*\s+", " ".join(block.split()))]
    return [part for part in parts if len(re.findall(r"[A-Za-z]{2,}", part)) > 2]


def syllables(word: str) -> int:
    """Count the groups of vowels, without a silent e at the end."""
    word = word.lower()
    found = len(re.findall(r"[aeiouy]+", word))
    silent_e = word.endswith("e") and not word.endswith(("le", "ee"))
    silent = silent_e or (word.endswith("ed") and word[-3:-2] not in "td")
    return max(1, found - (1 if silent and found > 1 else 0))


def measure(markdown: str) -> dict[str, float]:
    """Return words a sentence, the grade, and the number of words."""
    sentences = prose(markdown)
    words = [word for sentence in sentences for word in re.findall(r"[A-Za-zÀ-ÿ'’-]+", sentence)]
    if not words:
        return {"words": 0, "words a sentence": 0.0, "grade": 0.0}
    long, hard = len(words) / len(sentences), sum(map(syllables, words)) / len(words)
    return {
        "words": len(words),
        "words a sentence": round(long, 1),
        "grade": round(0.39 * long + 11.8 * hard - 15.59, 1),
    }


def texts() -> dict[str, str]:
    """Return the texts by name: the Markdown cells of each notebook, the sections of THEORY.md."""
    found = {}
    for path in sorted((ROOT / "notebooks" / "source").glob("*.py")):
        cells = re.findall(r"(?ms)^# %% \[markdown\]\n(.*?)(?=^# %%|\Z)", path.read_text("utf-8"))
        found[path.stem] = "\n\n".join(re.sub(r"(?m)^# ?", "", cell) for cell in cells)
    theory = (ROOT / "THEORY.md").read_text("utf-8").split("\n## ")
    found |= {f"THEORY {part.splitlines()[0]}": part for part in theory if re.match(r"T\d", part)}
    return found


def main() -> None:
    figures = {name: measure(text) for name, text in texts().items()}
    for name, one in figures.items():
        print(f"{name:45} {one['words']:6} words {one['words a sentence']:5} a sentence, grade {one['grade']}")
    path = ROOT / "benchmarks" / "results" / "readability.json"
    path.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
