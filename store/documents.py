"""Numbered, create-only documents: the one mechanism for everything that has a current state.

Document N+1 is created only if it does not exist; the highest is current; none is overwritten.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from store.errors import Conflict, Corrupt
from store.hashing import canonical_json
from store.root import Store

Document = dict[str, Any]

_TRIES = 20
_NAME = re.compile(r"\d{8}\.json")


def numbers(store: Store, folder: str) -> list[int]:
    """Numbers of the documents in `folder`, ascending; other files there are not looked at."""
    return [int(name[:8]) for name in store.names(folder) if _NAME.fullmatch(name)]


def read(store: Store, folder: str, number: int) -> Document:
    """One document.

    Raises:
        NotFound: when it does not exist.
        Corrupt: when it is not a JSON object.
    """
    path = _path(folder, number)
    try:
        value = json.loads(store.read(path))
    except ValueError as error:
        raise Corrupt(f"{path} is not JSON ({error}); restore it from a backup") from error
    if not isinstance(value, dict):
        raise Corrupt(f"{path} holds {type(value).__name__}, expected an object")
    return value


def latest(store: Store, folder: str) -> tuple[int, Document] | None:
    """The current document and its number, or None when there is none."""
    found = numbers(store, folder)
    return (found[-1], read(store, folder, found[-1])) if found else None


def create(store: Store, folder: str, number: int, document: Document) -> None:
    """Create document `number`.

    Raises:
        Conflict: when another writer has created it.
    """
    store.create(_path(folder, number), canonical_json(document))


def update(
    store: Store, folder: str, change: Callable[[Document | None], Document | None]
) -> tuple[int, bool]:
    """Create the next document from the current one, again when another writer was first.

    Args:
        store: Where the documents are.
        folder: Their folder.
        change: Takes the current document (None at first) and gives the next one, or None when
            nothing is to change.

    Returns:
        The number of the current document, and whether this call created it.

    Raises:
        Conflict: when other writers were first twenty times in a row.
    """
    for _ in range(_TRIES):
        current = latest(store, folder)
        number, document = current if current else (0, None)
        following = change(document)
        if following is None:
            return number, False
        try:
            create(store, folder, number + 1, following)
        except Conflict:
            continue
        return number + 1, True
    raise Conflict(f"{folder}: other writers were first {_TRIES} times; try again")


def _path(folder: str, number: int) -> str:
    return f"{folder}/{number:08d}.json"
