"""The dials of a synthetic data set, and how they are written in a name."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from crackviz import CrackvizError
from crackviz.contracts import check_number, closest

SHORTCUTS = ("chalk_line", "scale_bar", "date_stamp", "colour_cast")
"""What can be planted beside cracks, see `Settings`."""

PREFIX = "synthetic"
"""How `crackviz.data` names these sets: "synthetic", or with settings "synthetic:seed=1,distractor_rate=0.9"."""

RENDERER = 1
"""Part of a set's key: to be raised with every change of the renderer that changes a pixel."""


@dataclass(frozen=True)
class Settings:
    """The dials of a synthetic data set. Lengths are in px of the patch.

    Parameters
    ----------
    patches : int
        How many, 1 to 1,000,000.
    image_size : int
        Side of a patch, 32 to 1,024. A photograph is 8 patches wide and 6 high.
    patches_per_photo : int
        Patches cut from one photograph, 1 to 100: the fewer, the more walls there are.
    crack_share : float
        Share of patches with a crack, 0 to 1.
    crack_width : (float, float)
        Least and greatest width of a crack's middle, within 0.3 and 25, and at most a fifth of the patch; branches are
        thinner, wide spots wider. By default 1.8 and 13, or a fifth of a smaller patch.
    contrast : float
        Darkness of the cracks, 0.1 to 1.
    distractor_rate : float
        Share of patches, with and without a crack, that are meant to show a distractor, 0 to 1. Where no place fits,
        one shows none, or one by chance.
    shortcut : str
        "" or one of `SHORTCUTS`, planted into patches. A chalk mark or scale bar then lies on no wall otherwise.
    shortcut_correlation : float
        Between shortcut and class, -1 to 1: r plants it into (1 + r) / 2 of the patches with a crack and (1 - r) / 2 of
        those without. 0.9 stands for 95 % and 5 %; 0 for half of either.
    seed : int
        0 or more. Another seed is another set of walls.

    Raises
    ------
    CrackvizError
        A value out of its bounds.
    """

    patches: int = 4000
    image_size: int = 128
    patches_per_photo: int = 8
    crack_share: float = 0.5
    crack_width: tuple[float, float] = ()  # type: ignore[assignment] # filled below
    contrast: float = 1.0
    distractor_rate: float = 0.4
    shortcut: str = ""
    shortcut_correlation: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        bounds = {
            "patches": (1, 1_000_000),
            "image_size": (32, 1024),
            "patches_per_photo": (1, 100),
            "crack_share": (0.0, 1.0),
            "contrast": (0.1, 1.0),
            "distractor_rate": (0.0, 1.0),
            "shortcut_correlation": (-1.0, 1.0),
            "seed": (0, 2**63 - 1),
        }
        for name, (low, high) in bounds.items():
            value = check_number(name, getattr(self, name), low, high, whole=isinstance(low, int))
            object.__setattr__(self, name, type(low)(value))
        widths = self.crack_width if self.crack_width != () else (1.8, min(13.0, self.image_size / 5))
        if not isinstance(widths, Sequence) or len(widths) != 2:
            raise CrackvizError(f"crack_width is {widths!r}; expected two numbers, least and greatest, as (1.8, 13).")
        for width in widths:
            check_number("crack_width", width, 0.3, min(25.0, self.image_size / 5))
        object.__setattr__(self, "crack_width", (float(widths[0]), float(widths[1])))
        if widths[0] > widths[1]:
            raise CrackvizError(f"crack_width is {widths!r}: the least is greater than the greatest; turn them round.")
        if self.shortcut != "" and self.shortcut not in SHORTCUTS:
            raise CrackvizError(
                f"shortcut is {self.shortcut!r}; expected '' or one of {', '.join(SHORTCUTS)}."
                f"{closest(self.shortcut, SHORTCUTS)}"
            )

    @property
    def photo_size(self) -> tuple[int, int]:
        """Width and height of a photograph [px]."""
        return 8 * self.image_size, 6 * self.image_size

    @property
    def key(self) -> str:
        """What tells this set from others: a hash of the settings and of the version of the renderer."""
        return hashlib.sha256(json.dumps([asdict(self), RENDERER]).encode()).hexdigest()[:16]


def settings_of(name: str) -> Settings | None:
    """Return the settings that the name of a data set stands for, None where it doesn't mean synthetic concrete."""
    name = name or PREFIX
    return parse(name) if name.split(":")[0] == PREFIX else None


def parse(text: str) -> Settings:
    """Read settings written as "synthetic" or "synthetic:name=value,name=value".

    Raises
    ------
    CrackvizError
        An unknown name, one that is given twice, or a value that is none or out of its bounds.
    """
    head, _, rest = text.partition(":")
    if head != PREFIX:
        raise CrackvizError(f"{text!r}: expected {PREFIX!r}, or {PREFIX!r} and settings, such as '{PREFIX}:seed=1'.")
    try:
        call = ast.parse(f"f({rest})", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError
        given = [(word.arg, ast.literal_eval(word.value)) for word in call.keywords]
    except (SyntaxError, ValueError, MemoryError, RecursionError):  # the last two: brackets without end
        raise CrackvizError(
            f"{text!r}: expected settings such as '{PREFIX}:seed=1,crack_width=(1,8),shortcut=\"scale_bar\"'."
        ) from None
    known = [field.name for field in fields(Settings)]
    names = [name for name, _ in given]
    for name in names:
        if name not in known:
            advice = f"{closest(name, known)} Known: {', '.join(known)}."
            raise CrackvizError(f"{text!r}: there is no setting {name!r}.{advice}")
        if names.count(name) > 1:
            raise CrackvizError(f"{text!r}: {name} is given {names.count(name)} times; expected it once.")
    return Settings(**{str(name): value for name, value in given})
