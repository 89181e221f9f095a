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


def append(store: Store, key: BatchKey, events: pl.DataFrame) -> bool:
    """Append a table of events to a batch; a table that is there already is left alone.

    Returns:
        Whether the batch has a table that it did not have.
    """
    file = tables.write_table(store, layout.labels(key.line_key), f"events-{key.batch}", events)

    def add(current: documents.Document | None) -> documents.Document | None:
        known = current["events"] if current else []
        row = file.to_document()
        return None if row in known else {"events": [*known, row]}

    return documents.update(store, layout.label_manifests(key), add)[1]
