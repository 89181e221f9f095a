"""Frames of a delivery that other batches of its line hold already.

A frame has one place on its line: in a snapshot, in roles and in predictions it is known by its id.
Only rows that could clash are looked for (the same capture time, or an id that was supplied), so
what is kept does not grow with the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from store import batches, layout, tables
from store.errors import UnreadableFrame
from store.keys import BatchKey
from store.root import Store
from store.tables import StoredFile
from vision_assets.ingest.metadata import Row


@dataclass(frozen=True)
class Elsewhere:
    """Frames of other batches that frames of a delivery could be taken for.

    Attributes:
        contents: Batch by (content hash, camera, capture time).
        ids: (Batch, content hash) by frame id.
    """

    contents: Mapping[tuple[str, str, datetime], str] = field(default_factory=dict)
    ids: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def check(self, row: Row, content_hash: str) -> None:
        """Whether a frame that is new to its batch is new to its line.

        Args:
            row: With its frame id.
            content_hash: Of its bytes.

        Raises:
            UnreadableFrame: with reason ``duplicate`` (same bytes, camera and time, or same id and
                bytes) or ``metadata`` (an id that other bytes have), naming the batch.
        """
        batch = self.contents.get((content_hash, row.camera, row.captured_at))
        if batch is not None:
            raise UnreadableFrame(
                "duplicate", f"batch {batch} holds a frame of the same bytes, camera and time"
            )
        batch, held = self.ids.get(row.frame_id or "", ("", ""))
        if held == content_hash:
            raise UnreadableFrame(
                "duplicate", f"batch {batch} holds a frame of the same frame_id and bytes"
            )
        if batch:
            raise UnreadableFrame(
                "metadata",
                f"batch {batch} holds a frame of the same frame_id with other bytes; make frame "
                "ids unique on the line, or leave them out",
            )


def held_elsewhere(store: Store, key: BatchKey, rows: Sequence[Row]) -> Elsewhere:
    """What other batches of the line hold now that rows of a delivery could be taken for.

    Args:
        store: Where the batches are.
        key: The batch that the rows are of.
        rows: Metadata as delivered.
    """
    import polars as pl

    files = _other_indexes(store, key)
    if not files or not rows:
        return Elsewhere()
    times = pl.Series([row.captured_at for row in rows], dtype=pl.Datetime("us", "UTC")).unique()
    names = pl.Series([row.frame_id for row in rows], dtype=pl.String).drop_nulls()
    found = (
        tables.scan_tables(store, files)
        .select("frame_id", "content_hash", "camera", "captured_at", "shard")
        .filter(
            pl.col("captured_at").is_in(times.implode()) | pl.col("frame_id").is_in(names.implode())
        )
        .collect()
    )
    contents: dict[tuple[str, str, datetime], str] = {}
    ids: dict[str, tuple[str, str]] = {}
    for frame_id, content_hash, camera, captured_at, shard in found.iter_rows():
        batch = layout.batch_of(shard)
        contents.setdefault((content_hash, camera, captured_at), batch)
        ids.setdefault(frame_id, (batch, content_hash))
    return Elsewhere(contents, ids)


def _other_indexes(store: Store, key: BatchKey) -> list[StoredFile]:
    """Index tables of the line's other batches, by batch name."""
    found: list[StoredFile] = []
    for other in batches.ingested(store, key.line_key):
        manifest = batches.manifest(store, other) if other != key else None
        found += manifest.indexes if manifest else []
    return found
