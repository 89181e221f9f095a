"""The roll of a batch: which frames it holds, so that none enters it, or its line, twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

from store import batches
from store.batches import BatchManifest
from store.errors import UnreadableFrame
from store.hashing import content_name
from store.root import Store
from vision_assets.ingest.elsewhere import Elsewhere
from vision_assets.ingest.metadata import Row


@dataclass
class Roll:
    """Frames of one batch by id and by content.

    Attributes:
        known: Metadata of frames by (path, content hash), with the id that they have.
        elsewhere: Frames of the line's other batches that new ones could be taken for.
    """

    known: dict[tuple[str, str], Row] = field(default_factory=dict)
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    _ids: dict[str, tuple[str, str]] = field(default_factory=dict)
    _contents: dict[tuple[str, str, datetime], str] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, manifest: BatchManifest) -> Roll:
        """The roll of what a batch holds already."""
        roll = cls()
        for content_hash, row in _stored_rows(store, manifest):
            roll.known[row.file, content_hash] = row
            roll._enter(row, content_hash)
        return roll

    def admit(self, row: Row, content_hash: str) -> str:
        """Enter a new frame and give its id: as supplied, else from bytes, camera and time.

        Raises:
            UnreadableFrame: with reason ``duplicate`` (same bytes, camera and time, or same id and
                bytes) or ``metadata`` (an id that other bytes have), in this batch or another
                of the line; the batch stays as it was.
        """
        named = row if row.frame_id else replace(row, frame_id=frame_id(row, content_hash))
        assert named.frame_id is not None
        holder = self._contents.get((content_hash, row.camera, row.captured_at))
        if holder is not None:
            raise UnreadableFrame("duplicate", f"same bytes, camera and time as {holder}")
        file, held = self._ids.get(named.frame_id, ("", ""))
        if held == content_hash:
            raise UnreadableFrame("duplicate", f"same frame_id and bytes as {file}")
        if file:
            raise UnreadableFrame(
                "metadata", f"frame_id {named.frame_id} belongs to {file}, which has other bytes"
            )
        self.elsewhere.check(named, content_hash)
        self._enter(named, content_hash)
        return named.frame_id

    def compare(self, row: Row, content_hash: str) -> None:
        """Check what is now said of a known frame against what it was ingested with.

        Raises:
            UnreadableFrame: with reason ``metadata``, naming what differs.
        """
        held = self.known[row.file, content_hash]
        said = row if row.frame_id else replace(row, frame_id=held.frame_id)
        changed = [name for name in Row.__slots__ if getattr(said, name) != getattr(held, name)]
        if changed:
            raise UnreadableFrame(
                "metadata",
                f"the metadata now has another {', '.join(changed)}; "
                "the frame stays as it was ingested",
            )

    def _enter(self, row: Row, content_hash: str) -> None:
        assert row.frame_id is not None
        self._ids[row.frame_id] = (row.file, content_hash)
        self._contents[content_hash, row.camera, row.captured_at] = row.file


def frame_id(row: Row, content_hash: str) -> str:
    """The id of a frame that came without one: hash of its bytes, camera and time.

    >>> from datetime import UTC, datetime
    >>> frame_id(Row("a.jpg", "top", datetime(2026, 1, 31, 12, tzinfo=UTC)), "0" * 64)
    '61be9add018345ca44e3f226bfe33a55'
    """
    return content_name([content_hash, row.camera, row.captured_at.isoformat()])


def _stored_rows(store: Store, manifest: BatchManifest) -> Iterator[tuple[str, Row]]:
    """(content hash, metadata with the id) of every frame of a manifest."""
    if not manifest.indexes:
        return
    table = batches.index(store, manifest).select("content_hash", *Row.__slots__).collect()
    for content_hash, *values in table.iter_rows():
        yield content_hash, Row(*values)
