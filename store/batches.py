"""Ingested batches: their manifests, and frames by range read.

A batch manifest (numbered document) holds ``delivery`` (identity of the delivery it was made from,
as `store.landing.Delivery` gives it), ``rules`` (hash of the settings it was checked by),
``shards``, ``indexes`` and ``quarantines`` (lists of stored files) and ``counts`` (``frames``,
``bytes``, ``quarantined``). It is cumulative: the highest number describes the whole batch.

Index columns, one row a frame: ``frame_id``, ``content_hash``, ``file``, ``camera``,
``captured_at`` (microseconds, UTC), ``serial``, ``group``, ``product``, ``exposure_ms``, ``extra``
(JSON of further metadata), ``shard``, ``offset``, ``length``, ``format``, ``width``, ``height``,
``channels``, ``dtype``, ``stats_version`` and the tier-1 statistics of `inspection.statistics`.
Quarantine columns: ``file``, ``reason`` (short code), ``message``, ``content_hash``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from store import documents, layout, tables
from store.errors import Corrupt
from store.hashing import sha256
from store.keys import BatchKey, LineKey
from store.root import Store
from store.tables import StoredFile

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class BatchManifest:
    """The current state of one ingested batch."""

    delivery: str
    shards: Sequence[StoredFile]
    indexes: Sequence[StoredFile]
    quarantines: Sequence[StoredFile]
    counts: dict[str, int] = field(default_factory=dict)
    rules: str = ""
    number: int = 0

    def to_document(self) -> documents.Document:
        """The JSON object that is stored."""
        return {
            "delivery": self.delivery,
            "rules": self.rules,
            "shards": [file.to_document() for file in self.shards],
            "indexes": [file.to_document() for file in self.indexes],
            "quarantines": [file.to_document() for file in self.quarantines],
            "counts": self.counts,
        }

    @classmethod
    def from_document(cls, number: int, value: documents.Document) -> BatchManifest:
        """Read back what `to_document` gave."""
        files = {
            name: [StoredFile.from_document(file) for file in value[name]]
            for name in ("shards", "indexes", "quarantines")
        }
        return cls(
            delivery=value["delivery"],
            rules=value["rules"],
            counts=value["counts"],
            number=number,
            **files,
        )


def manifest(store: Store, key: BatchKey) -> BatchManifest | None:
    """The current manifest of a batch, or None before its first ingest."""
    current = documents.latest(store, layout.batch_manifests(key))
    return BatchManifest.from_document(*current) if current else None


def ingested(store: Store, line: LineKey) -> list[BatchKey]:
    """Keys of all batches of a line that have a manifest, sorted."""
    keys = [BatchKey(line.site, line.line, name) for name in store.names(layout.batches(line))]
    return [key for key in keys if documents.numbers(store, layout.batch_manifests(key))]


def lines(store: Store) -> list[LineKey]:
    """Keys of all lines that the store knows, sorted: with a landing batch or data of their own."""
    found = set()
    for top in (layout.LINES, layout.LANDING):
        for site in store.names(top):
            found |= {LineKey(site, name) for name in store.names(f"{top}/{site}")}
    return sorted(found)


def index(store: Store, current: BatchManifest) -> pl.LazyFrame:
    """All index rows of a batch, lazily.

    Raises:
        ValueError: when the batch holds no frame.
        Corrupt: when a table is not what the manifest states.
    """
    return tables.scan_tables(store, current.indexes)


class Place(NamedTuple):
    """Where the bytes of one frame are and what they are, by the columns of the index."""

    frame_id: str
    content_hash: str
    shard: str
    offset: int
    length: int


def places(rows: pl.DataFrame) -> list[Place]:
    """The places of frames, in the order of `rows`: index rows with the columns of `Place`."""
    return [Place(*row) for row in rows.select(Place._fields).iter_rows()]


def read_frame(store: Store, place: Place) -> bytes:
    """Original bytes of one frame in one range read, checked against its content hash.

    Raises:
        Corrupt: when the shard holds other bytes there.
    """
    data = store.read_range(place.shard, place.offset, place.length)
    found = sha256(data)
    if found != place.content_hash:
        raise Corrupt(
            f"frame {place.frame_id} of batch {layout.batch_of(place.shard)}: its {len(data)} "
            f"bytes in {place.shard} from {place.offset} have SHA-256 {found[:12]}…, it was "
            f"ingested with {place.length} and {place.content_hash[:12]}…; restore the shard from "
            "a backup"
        )
    return data


def read_frames(store: Store, rows: pl.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Original bytes of frames as (frame id, bytes), in the order of `rows`.

    Args:
        store: Where the shards are.
        rows: Index rows with the columns of `Place`.

    Raises:
        Corrupt: as `read_frame`.
    """
    for place in places(rows):
        yield place.frame_id, read_frame(store, place)
