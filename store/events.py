"""Label events in the store: tables per batch, listed by numbered documents.

Event columns: ``event_id``, ``frame_id``, ``recorded_at`` (microseconds, UTC), ``source`` (one of
`SOURCES`), ``author``, ``label`` (``good``, ``defect`` or null for a retraction), ``classes``
(list of str), ``boxes`` (JSON list, as in `store.landing`), ``mask_png`` (bytes or null),
``mask_classes`` (list of str), ``retracts`` (event id or null).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from store import documents, layout, tables
from store.keys import BatchKey
from store.root import Store
from store.tables import StoredFile

if TYPE_CHECKING:
    import polars as pl

SOURCES = ("adjudicated", "reviewed", "human", "imported", "model")


def tables_of(store: Store, key: BatchKey) -> list[StoredFile]:
    """The event tables of one batch, oldest first."""
    current = documents.latest(store, layout.label_manifests(key))
    return [StoredFile.from_document(file) for file in current[1]["events"]] if current else []


def recorded(store: Store, key: BatchKey) -> str:
    """The identity of the delivery whose label file was recorded last; empty before any."""
    current = documents.latest(store, layout.label_manifests(key))
    return str(current[1].get("delivery", "")) if current else ""


def mark_recorded(store: Store, key: BatchKey, identity: str) -> None:
    """Say that everything the label file of a delivery holds is recorded (or it has none).

    Args:
        store: Where the events are.
        key: The batch.
        identity: Of the delivery, as `store.landing.Delivery` gives it.
    """

    def change(current: documents.Document | None) -> documents.Document | None:
        now = current or {"events": []}
        return None if now.get("delivery") == identity else {**now, "delivery": identity}

    documents.update(store, layout.label_manifests(key), change)


def append(store: Store, key: BatchKey, events: pl.DataFrame) -> bool:
    """Append a table of events to a batch; a table that is there already is left alone.

    Returns:
        Whether the batch has a table that it did not have.
    """
    file = tables.write_table(store, layout.labels(key.line_key), f"events-{key.batch}", events)

    def add(current: documents.Document | None) -> documents.Document | None:
        now = current or {"events": []}
        row = file.to_document()
        return None if row in now["events"] else {**now, "events": [*now["events"], row]}

    return documents.update(store, layout.label_manifests(key), add)[1]
