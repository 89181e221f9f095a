"""Content-named artifacts: snapshots, models, evaluations and bundles.

``lines/{site}/{line}/{kind}/{name}/`` holds data files and one ``manifest.json`` that is created
last and lists them; without it the artifact does not exist. Evidence that comes later is listed by
numbered documents in ``attachments/``. Numbered documents in ``{kind}/current/`` say which artifact
of a kind the line has now, and which it had before.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from store import documents, layout, tables
from store.errors import Conflict, InvalidInput, NotFound
from store.hashing import canonical_json
from store.keys import LineKey
from store.root import Store
from store.tables import StoredFile

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """One artifact as its manifest describes it.

    Attributes:
        kind: ``snapshots``, ``models``, ``evaluations`` or ``bundles``.
        name: Hash of what determines its answers.
        inputs: What it was made from: names, settings, code version.
        files: Data files by their name inside the artifact.
        summary: Figures for people; JSON values only.
        created_at: When the manifest was written (UTC, ISO 8601).
    """

    kind: str
    name: str
    inputs: Mapping[str, Any]
    files: Mapping[str, StoredFile]
    summary: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = ""

    def file(self, name: str) -> StoredFile:
        """The data file of that name.

        Raises:
            NotFound: when the artifact has none.
        """
        if name not in self.files:
            known = ", ".join(sorted(self.files))
            raise NotFound(f"{self.kind}/{self.name} has no file {name}: it has {known}")
        return self.files[name]


def folder(line: LineKey, kind: str, name: str) -> str:
    """The folder of one artifact."""
    return f"{layout.artifacts(line, kind)}/{name}"


def write_file(
    store: Store, line: LineKey, kind: str, name: str, file: str, data: bytes
) -> StoredFile:
    """Write one data file of an artifact that has no manifest yet."""
    stem, dot, suffix = file.rpartition(".")
    return tables.write_named(store, folder(line, kind, name), stem, dot + suffix, data)


def publish(store: Store, line: LineKey, artifact: Artifact) -> Artifact:
    """Create the manifest that makes the artifact exist.

    Returns:
        The artifact that is in the store: another attempt's when it was first.
    """
    document = {
        "kind": artifact.kind,
        "name": artifact.name,
        "inputs": dict(artifact.inputs),
        "files": {name: file.to_document() for name, file in artifact.files.items()},
        "summary": dict(artifact.summary),
        "created_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    path = f"{folder(line, artifact.kind, artifact.name)}/{MANIFEST}"
    with contextlib.suppress(Conflict):
        store.create(path, canonical_json(document))
    return read(store, line, artifact.kind, artifact.name)


def find(store: Store, line: LineKey, kind: str, name: str) -> Artifact | None:
    """The artifact of that name, or None when it was not published."""
    path = f"{folder(line, kind, name)}/{MANIFEST}"
    if not store.exists(path):
        return None
    value = json.loads(store.read(path))
    return Artifact(
        kind=value["kind"],
        name=value["name"],
        inputs=value["inputs"],
        files={key: StoredFile.from_document(file) for key, file in value["files"].items()},
        summary=value["summary"],
        created_at=value["created_at"],
    )


def read(store: Store, line: LineKey, kind: str, name: str) -> Artifact:
    """The artifact of that name.

    Raises:
        NotFound: when it was not published; the message lists what there is.
    """
    found = find(store, line, kind, name)
    if found is None:
        raise _not_found(store, line, kind, name)
    return found


def named(store: Store, line: LineKey, kind: str, beginning: str) -> str:
    """The full name of the only artifact whose name begins so.

    Raises:
        NotFound: when none does; the message lists what there is.
        InvalidInput: when several do; the message lists them.
    """
    names = [artifact.name for artifact in every(store, line, kind)]
    found = [name for name in names if name.startswith(beginning)]
    if beginning in names:
        return beginning
    if not found:
        raise _not_found(store, line, kind, beginning)
    if len(found) > 1:
        raise InvalidInput(
            f"line {line} has {len(found)} {kind} whose names begin with {beginning}: "
            f"{', '.join(found)}; give more of the name"
        )
    return found[0]


def _not_found(store: Store, line: LineKey, kind: str, name: str) -> NotFound:
    known = ", ".join(artifact.name for artifact in every(store, line, kind))
    return NotFound(f"line {line} has no {kind}/{name}; it has {known or 'none'}")


def every(store: Store, line: LineKey, kind: str) -> Iterator[Artifact]:
    """All published artifacts of a kind, oldest first."""
    found = [find(store, line, kind, name) for name in store.names(layout.artifacts(line, kind))]
    yield from sorted((a for a in found if a is not None), key=lambda a: (a.created_at, a.name))


def make_current(store: Store, line: LineKey, kind: str, name: str) -> bool:
    """Say that the line's artifact of this kind is now `name`.

    Returns:
        Whether it was another one before.
    """
    document = {"name": name}
    base = f"{layout.artifacts(line, kind)}/current"
    return documents.update(store, base, lambda now: None if now == document else document)[1]


def current(store: Store, line: LineKey, kind: str) -> Artifact | None:
    """The line's artifact of this kind, or None before its first."""
    found = documents.latest(store, f"{layout.artifacts(line, kind)}/current")
    return read(store, line, kind, found[1]["name"]) if found else None


def attach(
    store: Store, line: LineKey, kind: str, name: str, files: Mapping[str, bytes]
) -> dict[str, StoredFile]:
    """Attach files to a published artifact; a later attachment of the same name replaces it.

    Returns:
        All attachments, as `attachments` gives them.
    """
    base = f"{folder(line, kind, name)}/attachments"
    stored = {}
    for file, data in files.items():
        stem, dot, suffix = file.rpartition(".")
        stored[file] = tables.write_named(store, base, stem, dot + suffix, data).to_document()

    def add(current: documents.Document | None) -> documents.Document | None:
        merged = {**(current or {}), **stored}
        return None if merged == current else merged

    documents.update(store, base, add)
    return attachments(store, line, kind, name)


def attachments(store: Store, line: LineKey, kind: str, name: str) -> dict[str, StoredFile]:
    """The attached files of an artifact by name; empty when it has none."""
    current = documents.latest(store, f"{folder(line, kind, name)}/attachments")
    if current is None:
        return {}
    return {key: StoredFile.from_document(value) for key, value in current[1].items()}
