"""What names of folders and files say: good or defect, class, split, order."""

from __future__ import annotations

import re

_GOOD = {"good", "ok", "normal", "pass", "free"}
_NEGATIONS = {"not", "no", "non", "never", "un", "in"}
_HOLDERS = {"images", "image", "imgs", "img", "frames", "data", "jpegimages"}
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}


def is_good(name: str, stated: tuple[str, ...] = ()) -> bool:
    """Whether a folder or class of that name means a good part.

    Args:
        name: Of a folder or class.
        stated: Names that mean good; empty for the rule: the last word is good, ok, normal, pass or
            free, and no word before denies it.

    >>> is_good("MT_Free"), is_good("not_ok"), is_good("scratch")
    (True, False, False)
    >>> is_good("MT_Free", stated=("golden",))
    False
    """
    if stated:
        return name in stated
    words = [word for word in re.split(r"[\W_]+", name.lower()) if word]
    return bool(words) and words[-1] in _GOOD and not _NEGATIONS.intersection(words)


def class_folder(file: str) -> str:
    """The folder that names the class: the nearest one that is no holder and no split.

    >>> class_folder("MT_Break/Imgs/a.jpg"), class_folder("day1/scratch/test/a.png")
    ('MT_Break', 'scratch')
    >>> class_folder("images/a.png")
    ''
    """
    named = [part for part in folders(file) if part.lower() not in _HOLDERS | _SPLITS]
    return named[-1] if named else ""


def split(file: str) -> str:
    """The split that a folder above a file names, else empty.

    >>> split("train/good/a.png"), split("good/a.png")
    ('train', '')
    """
    return next((part for part in folders(file) if part.lower() in _SPLITS), "")


def folders(file: str) -> list[str]:
    """The folders above a file, outermost first."""
    return file.split("/")[:-1]


def natural_key(file: str) -> tuple[list[list[tuple[int, int, str]]], str]:
    """A key that sorts paths folder by folder and digits as numbers.

    >>> sorted(["b/10.png", "b/9.png", "a.png"], key=natural_key)
    ['a.png', 'b/9.png', 'b/10.png']
    """
    parts = [
        [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in _pieces(part)]
        for part in file.lower().split("/")
    ]
    return parts, file


def _pieces(part: str) -> list[str]:
    return [piece for piece in re.split(r"(\d+)", part) if piece]
