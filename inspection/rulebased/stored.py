"""Checks in the store and in a host's cache: ``checks/{name}/check.json``, and which is current.

Numbered documents in ``checks/current/`` say which check a line has now, as for every artifact.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspection.rulebased.check import FILE, Check, name_of, parse
from store import artifacts, documents, layout, tables
from store.artifacts import Artifact
from store.errors import Corrupt
from store.keys import LineKey
from store.root import Store

KIND = "checks"
_LATEST = "latest"
_PART = ".tmp-"


def publish(
    store: Store,
    line: LineKey,
    check: Check,
    inputs: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> Artifact:
    """Write a check and make it the line's current one.

    Args:
        store: Where the line's data is.
        line: Whose check.
        check: The check; equal ones have the same name and are stored once.
        inputs: What it was made from, for its manifest.
        summary: Its figures, for its manifest.
    """
    data = check.to_bytes()
    name = name_of(data)
    files = {FILE: artifacts.write_file(store, line, KIND, name, FILE, data)}
    made = artifacts.publish(store, line, Artifact(KIND, name, inputs, files, summary))
    artifacts.make_current(store, line, KIND, name)
    return made


def current(store: Store, line: LineKey) -> str:
    """The name of the line's current check; empty when it has none. Two small reads."""
    found = documents.latest(store, f"{layout.artifacts(line, KIND)}/current")
    return str(found[1]["name"]) if found else ""


def fetch(store: Store, line: LineKey, cache: Path) -> tuple[Check, str] | None:
    """The line's current check and its name, copied into `cache`; None when the line has none.

    The copy appears whole or not at all, and `cached` finds it when the store cannot be reached.
    Copies of other checks are deleted.

    Raises:
        Corrupt: when the file is not what its manifest states, or cannot be read.
    """
    found = artifacts.current(store, line, KIND)
    if found is None:
        return None
    path = cache / f"{found.name}.json"
    data = path.read_bytes() if path.is_file() else b""
    if name_of(data) != found.name:
        data = tables.read_verified(store, found.file(FILE))
        _write(path, data)
    check = parse(data, found.name)
    _write(cache / _LATEST, found.name.encode())
    for other in {*cache.glob("*.json"), *cache.glob(f"{_PART}*")} - {path}:
        other.unlink(missing_ok=True)
    return check, found.name


def cached(cache: Path) -> tuple[Check, str] | None:
    """The check that was fetched last, and its name; None when there is no sound copy."""
    try:
        name = (cache / _LATEST).read_text()
        return parse((cache / f"{name}.json").read_bytes(), name), name
    except (OSError, ValueError, Corrupt):
        return None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, also when the power fails."""
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{_PART}{uuid.uuid4().hex}")
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.rename(path)
