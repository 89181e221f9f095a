"""Shards are plain tar files, equal for equal frames, and every frame is one range read."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.hashing import sha256
from store.root import Store
from store.shards import ShardBuilder, iterate

MEMBERS = st.dictionaries(
    st.text("abc-_.0123456789", min_size=1, max_size=100), st.binary(max_size=2000), max_size=8
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def filled(members: dict[str, bytes]) -> ShardBuilder:
    builder = ShardBuilder()
    for name, data in members.items():
        builder.add(name, data)
    return builder


@given(members=MEMBERS)
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes]
) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    builder = filled(members)
    file = builder.store(store, "batch")
    assert list(iterate(store, file.path)) == list(members.items())
    for member in builder.members:
        data = store.read_range(file.path, member.offset, member.length)
        assert data == members[member.name]


def test_any_tar_reads_it(store: Store) -> None:
    file = filled({"a.jpg": b"one", "b.jpg": bytes(513)}).store(store, "batch")
    data = store.read(file.path)
    assert (len(data), sha256(data)) == (file.size, file.sha256)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(info.name, info.size, info.mtime) for info in tar] == [
            ("a.jpg", 3, 0),
            ("b.jpg", 513, 0),
        ]


def test_equal_members_make_one_file(store: Store) -> None:
    first = filled({"a": b"1"}).store(store, "batch")
    os.utime(store.local_path(first.path), (0, 0))
    assert filled({"a": b"1"}).store(store, "batch") == first
    assert store.local_path(first.path).stat().st_mtime > 0, "a sweep must spare what is used again"
    other = filled({"b": b"1"}).store(store, "batch")
    assert other.path != first.path
    assert len(store.names("batch")) == 2


def test_a_half_written_shard_is_written_again(store: Store) -> None:
    file = filled({"a": b"1"}).store(store, "batch")
    store.local_path(file.path).write_bytes(b"half")
    filled({"a": b"1"}).store(store, "batch")
    assert store.size(file.path) == file.size


def test_the_size_grows_by_blocks() -> None:
    builder = filled({"a": bytes(512), "b": b"1"})
    assert builder.size == 4 * 512


@pytest.mark.parametrize("name", ["", "x" * 101, "schräg.jpg"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 100 ASCII characters"):
        ShardBuilder().add(name, b"")
