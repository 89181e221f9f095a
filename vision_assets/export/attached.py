"""What export attached to a bundle, for those who only read it."""

from __future__ import annotations

from inspection.bundle import KIND
from inspection.evidence import GATES, Gate, read_gates
from store import artifacts, tables
from store.keys import LineKey
from store.root import Store


def gates_of(store: Store, line: LineKey, bundle: str) -> list[Gate]:
    """The gates of a bundle as they were decided at export; empty while none are attached."""
    attached = artifacts.attachments(store, line, KIND, bundle)
    return read_gates(tables.read_verified(store, attached[GATES])) if GATES in attached else []
