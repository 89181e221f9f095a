"""Shards are plain tar files, equal for equal frames, and every frame is one range read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.hashing import sha256
from store.root import Store
from store.shards import Member, ShardWriter, iterate
from store.tables import StoredFile

MEMBERS = st.dictionaries(
    st.text("abc-_.0123456789", min_size=1, max_size=100), st.binary(max_size=2000), max_size=8
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def written(store: Store, members: dict[str, bytes]) -> tuple[StoredFile, list[Member]]:
    writer = ShardWriter(store, "batch")
    found = [writer.add(name, data) for name, data in members.items()]
    return writer.close(), found


@settings(deadline=None)
@given(members=MEMBERS)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]
) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    file, places = written(store, members)
    assert list(iterate(store, file.path)) == list(members.items())
    for member in places:
        assert store.read_range(file.path, member.offset, member.length) == members[member.name]


def test_any_tar_reads_it(store: Store) -> None:
    file, _ = written(store, {"a.jpg": b"one", "b.jpg": bytes(513)})
    data = store.read(file.path)
    assert (len(data), sha256(data)) == (file.size, file.sha256)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(info.name, info.size, info.mtime) for info in tar] == [
            ("a.jpg", 3, 0),
            ("b.jpg", 513, 0),
        ]


@settings(deadline=None)
@given(name=st.text("abc-_.0123456789", min_size=1, max_size=100), data=st.binary(max_size=2000))
def test_headers_are_those_of_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    info = tarfile.TarInfo(name)
    info.size = len(data)
    file, _ = written(store, {name: data})
    assert store.read(file.path)[:512] == info.tobuf(tarfile.USTAR_FORMAT)


def test_equal_members_make_one_file(store: Store) -> None:
    first, _ = written(store, {"a": b"1"})
    os.utime(store.local_path(first.path), (0, 0))
    assert written(store, {"a": b"1"})[0] == first
    assert store.local_path(first.path).stat().st_mtime > 0, "a sweep must spare what is used again"
    other, _ = written(store, {"b": b"1"})
    assert other.path != first.path
    assert len(store.names("batch")) == 2


def test_a_damaged_shard_is_written_again(store: Store) -> None:
    file, _ = written(store, {"a": b"1"})
    store.local_path(file.path).write_bytes(b"half")
    written(store, {"a": b"1"})
    assert store.size(file.path) == file.size


def test_an_abandoned_shard_leaves_nothing(store: Store) -> None:
    writer = ShardWriter(store, "batch")
    writer.add("a", b"1")
    writer.abandon()
    assert list(store.local_path("batch").iterdir()) == []


def test_the_size_grows_by_blocks(store: Store) -> None:
    writer = ShardWriter(store, "batch")
    writer.add("a", bytes(512))
    writer.add("b", b"1")
    assert writer.size == 4 * 512
    writer.abandon()


@pytest.mark.parametrize("name", ["", "x" * 101, "schräg.jpg"])
def test_a_name_that_does_not_fit_is_refused(store: Store, name: str) -> None:
    writer = ShardWriter(store, "batch")
    with pytest.raises(ValueError, match="1 to 100 ASCII characters"):
        writer.add(name, b"")
    writer.abandon()
