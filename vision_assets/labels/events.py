"""The label events of a batch as one table, and one event before it is stored."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime

import polars as pl

from store import events, tables
from store.hashing import content_name, sha256
from store.keys import BatchKey
from store.root import Store

SCHEMA = pl.Schema(
    {
        "event_id": pl.String(),
        "frame_id": pl.String(),
        "recorded_at": pl.Datetime("us", "UTC"),
        "source": pl.String(),
        "author": pl.String(),
        "label": pl.String(),
        "classes": pl.List(pl.String()),
        "boxes": pl.String(),
        "mask_png": pl.Binary(),
        "mask_classes": pl.List(pl.String()),
        "retracts": pl.String(),
    }
)
# What is read when nobody looks at the masks, which are most of the bytes.
WITHOUT_MASKS = tuple(name for name in SCHEMA if name != "mask_png")


@dataclass(frozen=True)
class Event:
    """One label event with the columns of `store.events`; ``recorded_at`` is in UTC."""

    event_id: str
    frame_id: str
    recorded_at: datetime
    source: str
    author: str
    label: str | None
    classes: tuple[str, ...]
    boxes: str
    mask_classes: tuple[str, ...]
    retracts: str | None
    mask_png: bytes | None = None

    def named(self, recorded_at: datetime | None = None) -> Event:
        """This event under the id that its content gives it, at another time if one is given.

        The id is the hash of everything an event says and of when it was recorded.
        """
        event = replace(self, event_id="", recorded_at=recorded_at or self.recorded_at)
        mask = sha256(event.mask_png) if event.mask_png is not None else None
        content = {**asdict(event), "recorded_at": event.recorded_at.isoformat(), "mask_png": mask}
        return replace(event, event_id=content_name(content))


def read(store: Store, key: BatchKey, columns: tuple[str, ...] = tuple(SCHEMA)) -> pl.DataFrame:
    """All events of a batch with the columns of `SCHEMA`, oldest table first; empty without any.

    Args:
        store: Where the events are.
        key: The batch they came with or after.
        columns: Which columns to read.
    """
    files = events.tables_of(store, key)
    if not files:
        return pl.DataFrame(schema=SCHEMA).select(columns)
    return tables.scan_tables(store, files).select(columns).collect()


def append(store: Store, key: BatchKey, new: list[Event]) -> None:
    """Append events to a batch as one further table; nothing when there are none."""
    if new:
        table = pl.DataFrame([asdict(event) for event in new], schema=SCHEMA)
        events.append(store, key, table)
