"""Frames are read as they were ingested, or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from store import batches
from store.errors import Corrupt
from store.hashing import sha256
from store.keys import BatchKey
from store.root import Store
from store.shards import ShardWriter

FRAMES = {"one": b"first frame", "two": b"second frame"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def rows(store: Store) -> pl.DataFrame:
    """Index rows of two frames in a shard."""
    writer = ShardWriter(store, "lines/turin/press/batches/monday")
    members = [writer.add(name, data) for name, data in FRAMES.items()]
    return pl.DataFrame(
        {
            "frame_id": list(FRAMES),
            "content_hash": [sha256(data) for data in FRAMES.values()],
            "shard": writer.close().path,
            "offset": [member.offset for member in members],
            "length": [member.length for member in members],
        }
    )


def test_frames_come_in_the_order_asked_for(store: Store, rows: pl.DataFrame) -> None:
    assert list(batches.read_frames(store, rows.reverse())) == list(reversed(FRAMES.items()))


def test_a_changed_byte_names_batch_and_frame(store: Store, rows: pl.DataFrame) -> None:
    shard = rows["shard"][0]
    store.write(shard, store.read(shard).replace(b"second", b"sEcond"))
    first, second = batches.places(rows)
    assert batches.read_frame(store, first) == FRAMES["one"]
    with pytest.raises(Corrupt, match=r"frame two of batch monday: .*restore the shard"):
        batches.read_frame(store, second)
    with pytest.raises(Corrupt, match="frame two of batch monday"):
        list(batches.read_frames(store, rows))


def test_a_cut_shard_is_noticed(store: Store, rows: pl.DataFrame) -> None:
    shard = rows["shard"][0]
    store.write(shard, store.read(shard)[: rows["offset"][1] + 3])
    with pytest.raises(Corrupt, match="its 3 bytes"):
        batches.read_frame(store, batches.places(rows)[1])


def test_a_batch_that_was_never_ingested_has_no_manifest(store: Store) -> None:
    assert batches.manifest(store, BatchKey("turin", "press", "monday")) is None
