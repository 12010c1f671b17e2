"""What the names of folders say: which of two classes shows cracks, what is a part of a split, what holds masks.

Names alone are looked at. Where they don't tell, the answer is None, and whoever asks must ask the person: the
alphabet says nothing about concrete.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_DAMAGE = (
    *("crack", "fissur", "fisur", "fessur", "riss", "geriss", "griet", "agriet", "crep", "rachad", "trinca", "scheur"),
    *("sprick", "sprekk", "revne", "pekn", "trhlin", "catla", "lesion", "lezard", "defec", "defek", "defaut", "difett"),
    *("defeit", "fehler", "mangel", "damag", "degrad", "degat", "schad", "beschad", "dannegg", "danificad", "danad"),
    *("fault", "flaw", "broken", "fractur", "frattur", "anomal", "anormal", "abnormal", "kaput", "positiv", "reject"),
    *("трещин", "дефект", "裂", "缺陷", "ひび", "亀裂", "균열"),
)
"""A word that begins so names damage."""
_DAMAGE_WORDS = {"ng", "nok", "nio", "ko", "bad", "pos", "yes", "ja", "oui", "true", "fail", "failed", "dano", "danos"}
_DAMAGE_WORDS |= {"danni", "danno", "schlecht", "mauvais", "mauvaise", "malo", "mala", "cattivo", "slecht"}
_SOUND = (
    *("normal", "intact", "intakt", "intatt", "integr", "health", "background", "hintergrund", "good", "clean"),
    *("sound", "gesund", "unversehrt", "einwandfrei", "pristine", "perfect", "正常", "норм"),
)
_SOUND_WORDS = {"ok", "okay", "io", "fine", "safe", "pass", "passed", "heil", "gut", "sain", "saine", "sano", "sana"}
_SOUND_WORDS |= {"bon", "bonne", "bueno", "buena", "buono", "buona", "goed", "plain", "gaaf", "fondo", "fond"}
_NOT = {"no", "non", "not", "none", "un", "without", "ohne", "kein", "keine", "keinen", "nicht", "nein", "sans", "pas"}
_NOT |= {"aucun", "aucune", "sin", "ningun", "ninguna", "nao", "sem", "senza", "nessun", "nessuna", "niet", "geen"}
_NOT |= {"zonder", "utan", "ingen", "inga", "uden", "bez", "brak", "nie", "без", "нет", "не", "無", "无", "没有"}
_NOT |= {"negative", "negativ", "negativo", "negatif", "neg", "false", "free", "frei", "libre", "absent", "absence"}
_NOT_BEFORE = tuple(sorted(_NOT - {"free", "frei", "libre"}, key=len, reverse=True))
_ABSENT = tuple(sorted(_NOT - {"un", "non", "not", "nicht", "niet", "нет", "не", "nie", "free", "frei", "libre"}))
"""What says that a thing is missing. The others also turn a quality round: "unacceptable", "non conforme"."""
_APPROVED = ("go", "accept", "approv", "conform", "compl", "pass", "use")
_NOT_AFTER = ("free", "frei", "freie", "less", "los", "lose", "vrij", "siz", "sız", "なし")
_WITH = ("with", "mit", "avec", "con", "com", "met", "med")
_FILLER = {"the", "a", "of", "and", "with", "mit", "avec", "con", "com", "met", "med", "class", "klasse", "classe"}
_FILLER |= {"clase", "label", "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "sample"}
_FILLER |= {"samples", "patch", "patches", "tile", "tiles", "data", "set", "folder"}
_UNDECIDED = (
    *("unlabel", "unsort", "unassign", "unclass", "unannot", "unrat", "unknown", "unbekannt"),
    *("unsicher", "inconnu", "desconocid", "uncertain", "unsure", "unclear", "maybe", "perhaps"),
    *("todo", "ignore", "skip", "trash", "duplicat", "backup", "result", "report", "output", "augment", "thumb"),
)
"""A word that begins so says that nobody has decided: what lies there is no class."""
_PART = re.compile(
    r"(data|set|images?|imgs?)?(training|train|validation|valid|val|testing|test|development|dev|holdout|evaluation|"
    r"eval)(sets?|data|datasets?|images?|imgs?|split|part|folder|\d+)*"
)
_PART_WORDS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "holdout", "eval"}
_IMAGE_WORDS = {"image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"}
_LABEL_WORDS = {"label", "labels", "lab", "labs"}  # of masks, or of classes: label_0, label_crack
_MASK_WORDS = {"mask", "masks", "gt", "groundtruth", "truth", "annotation", "annotations", *_LABEL_WORDS}
_MASK_WORDS |= {"seg", "segmentation", "segmentations"}
_KIND_WORDS = {"jpeg", "jpg", "png", "rgb", "original", "raw", "input", "binary", "ground", "class", "object"}


def words(name: str) -> list[str]:
    """Cut a name into its words, in small letters and without accents: "JPEGImages_2" is jpeg, images, 2."""
    name = re.sub(r"(?<=[a-zà-ÿ])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"\d+|[^\W\d_]+", unicodedata.normalize("NFKC", plain))


def compact(name: str) -> str:
    """Return a name's words without anything between them."""
    return "".join(words(name))


def is_part(name: str) -> bool:
    """Tell whether a folder is a part of a publisher's split: train, test_set, "Validation Data"."""
    return _PART.fullmatch(compact(name)) is not None


def role(name: str) -> str:
    """Tell what a folder holds by its name, whichever class: "images", "masks", or "" for anything else."""
    found = [word for word in words(name) if word not in _PART_WORDS and not word.isdigit()]
    numbered = any(word.isdigit() for word in words(name))
    if set(found) & _MASK_WORDS - _LABEL_WORDS:  # crack_masks
        found = [word for word in found if word not in _NOT and _meaning(word)[1] is None]
    if not found or not set(found) <= _IMAGE_WORDS | _MASK_WORDS | _KIND_WORDS:
        return ""
    if masks := _MASK_WORDS & set(found):
        return "" if numbered and masks <= _LABEL_WORDS else "masks"
    return "images" if _IMAGE_WORDS & set(found) else ""


def place_of_role(name: str) -> str:
    """Return what is left of a folder of images or masks: "train" of train_img and of train_lab, "" of JPEGImages."""
    return "".join(word for word in words(name) if word in _PART_WORDS)


def _meaning(word: str) -> tuple[int, int | None]:
    """How often a word negates, and what it names: 1 damage, 0 soundness, None neither."""
    if word in _NOT:
        return 1, None
    if word in _DAMAGE_WORDS:
        return 0, 1
    if word in _SOUND_WORDS or word.startswith(_SOUND):
        return 0, 0
    if word.startswith(_DAMAGE):
        return int(word.endswith(_NOT_AFTER)), 1
    for start in (*_NOT_BEFORE, *_WITH):
        if word.startswith(start) and (rest := _meaning(word[len(start) :]))[1] is not None:
            return rest[0] + (start in _NOT), rest[1]
    return 0, None


def _read(name: str) -> tuple[int, set[int], str]:
    """How often a name negates, what it names, and what else it says."""
    if compact(name) in _DAMAGE_WORDS | _SOUND_WORDS:  # i.O. and n.i.O. are cut into letters
        return 0, {int(compact(name) in _DAMAGE_WORDS)}, ""
    kept = [word for word in words(name) if word not in _FILLER and not word.isdigit()]
    read = [_meaning(word) for word in kept]
    rest = "".join(word for word, (negates, what) in zip(kept, read, strict=True) if not negates and what is None)
    return sum(negates for negates, _ in read), {what for _, what in read if what is not None}, rest


def meaning(name: str) -> int | None:
    """Return 1 where a class's name says that it shows damage, 0 where it says that it doesn't, None for neither."""
    negates, named, rest = _read(name)
    if not named:
        return 0 if negates and not rest else None  # "no", "Negative"
    return None if len(named) > 1 else named.pop() ^ negates % 2


def _undecided(name: str) -> bool:
    return any(word.startswith(_UNDECIDED) for word in (*words(name), compact(name)))


def crack_of(names: Sequence[str]) -> str | None:
    """Return which of two classes shows cracks, by their names; None where these don't say.

    One name tells both: the other class is what is left. Else one of them may negate the other ("moss", "no_moss"), or
    they are the numbers 0 and 1.
    """
    one, two = names
    by_name = [meaning(one), meaning(two)]
    if set(by_name) == {0, 1}:
        return names[by_name.index(1)]
    if by_name.count(None) == 1 and not any(is_part(name) or role(name) or _undecided(name) for name in names):
        known = next(what for what in by_name if what is not None)
        return names[by_name.index(known)] if known else names[by_name.index(None)]
    if by_name != [None, None]:
        return None
    numbers = [[word for word in words(name) if word not in _FILLER] for name in names]
    if sorted(numbers) == [["0"], ["1"]]:
        return names[numbers.index(["1"])]
    for this, other in ((one, two), (two, one)):  # a thing is there or not; "unusable" names no thing
        core = compact(this)
        negated = {start + core for start in _ABSENT} | {core + end for end in _NOT_AFTER}
        if compact(other) in negated and not core.startswith(_APPROVED):
            return this
    return None
