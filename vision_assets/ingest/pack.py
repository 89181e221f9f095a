"""Accepted frames into shards and index tables, written beside the decoding."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from operator import attrgetter
from types import TracebackType
from typing import Self

from inspection.decode import Header
from inspection.statistics import STATS_VERSION
from store import shards, tables
from store.root import Store
from store.shards import Member, ShardWriter
from store.tables import StoredFile
from vision_assets.ingest.examine import Examined
from vision_assets.ingest.metadata import Row
from vision_assets.ingest.schema import index_schema

# What is handed over at once, and how often before the decoding waits for the disk.
_SEGMENT_BYTES, _MOST_WAITING = 8 * 2**20, 2
_ROW = tuple(field.name for field in fields(Row))
_HEADER = tuple(field.name for field in fields(Header))
_of_row, _of_header = attrgetter(*_ROW), attrgetter(*_HEADER)
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif"}

_Frame = tuple[str, Row, Examined]


class Packer:
    """Hands segments of frames to a thread that writes shards, each with its own index table.

    At most three segments are in memory. Use as a context manager; what is not finished when it is
    left does not appear in the store.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._shards = _Shards(store, folder)
        self._thread = ThreadPoolExecutor(1, "pack")
        self._waiting: deque[Future[None]] = deque()
        self._segment: list[_Frame] = []
        self._segment_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown()
        self._shards.abandon()

    def add(self, frame_id: str, row: Row, frame: Examined) -> None:
        """Append one accepted frame."""
        self._segment.append((frame_id, row, frame))
        self._segment_bytes += len(frame.data)
        if self._segment_bytes >= _SEGMENT_BYTES:
            self._hand_over()

    def finish(self) -> tuple[list[StoredFile], list[StoredFile]]:
        """Write what is left.

        Returns:
            Shards and index tables, in order.
        """
        self._hand_over()
        self._wait(0)
        self._thread.submit(self._shards.close).result()
        return self._shards.shards, self._shards.indexes

    def _hand_over(self) -> None:
        self._wait(_MOST_WAITING - 1)
        self._waiting.append(self._thread.submit(self._shards.write, self._segment))
        self._segment, self._segment_bytes = [], 0

    def _wait(self, most: int) -> None:
        """Until at most so many segments are not written; an error in writing is raised here."""
        while len(self._waiting) > most:
            self._waiting.popleft().result()


class _Shards:
    """What the thread does: fills shards one after the other."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._open: ShardWriter | None = None
        self._rows: list[dict[str, object]] = []
        self.shards: list[StoredFile] = []
        self.indexes: list[StoredFile] = []

    def write(self, segment: list[_Frame]) -> None:
        """Append a segment to the open shard, and close that when it is full."""
        for frame_id, row, frame in segment:
            if self._open is None:
                self._open = ShardWriter(self._store, self._folder)
            assert frame.header is not None
            member = self._open.add(frame_id + _SUFFIXES[frame.header.format], frame.data)
            self._rows.append(_index_row(frame_id, row, frame, member))
        if self._open is not None:
            self._open.sync()
            if self._open.size >= shards.TARGET_BYTES:
                self.close()

    def close(self) -> None:
        """Give the open shard its name and write its index table."""
        import polars as pl

        if self._open is None:
            return
        shard, self._open = self._open.close(), None
        table = pl.DataFrame(
            [{**row, "shard": shard.path} for row in self._rows], schema=index_schema()
        )
        self._rows = []
        self.shards.append(shard)
        self.indexes.append(tables.write_table(self._store, self._folder, "index", table))

    def abandon(self) -> None:
        """Drop a shard that is still open."""
        if self._open is not None:
            self._open.abandon()


def _index_row(frame_id: str, row: Row, frame: Examined, member: Member) -> dict[str, object]:
    return {
        **dict(zip(_ROW, _of_row(row), strict=True)),
        "frame_id": frame_id,
        "content_hash": frame.content_hash,
        "offset": member.offset,
        "length": member.length,
        **dict(zip(_HEADER, _of_header(frame.header), strict=True)),
        "stats_version": STATS_VERSION,
        **frame.statistics,
    }
