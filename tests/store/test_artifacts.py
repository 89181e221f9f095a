"""Artifacts exist from the moment their manifest does, and never change."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import artifacts, tables
from store.artifacts import Artifact
from store.errors import Corrupt, NotFound
from store.keys import LineKey
from store.root import Store

LINE = LineKey("a", "b")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def publish(store: Store, name: str, data: bytes = b"weights") -> Artifact:
    file = artifacts.write_file(store, LINE, "models", name, "w.bin", data)
    return artifacts.publish(store, LINE, Artifact("models", name, {"in": 1}, {"w.bin": file}))


def test_without_a_manifest_it_does_not_exist(store: Store) -> None:
    artifacts.write_file(store, LINE, "models", "m", "w.bin", b"x")
    assert artifacts.find(store, LINE, "models", "m") is None
    with pytest.raises(NotFound, match="no models/m; it has none"):
        artifacts.read(store, LINE, "models", "m")


def test_what_is_published_is_read_back(store: Store) -> None:
    made = publish(store, "m")
    found = artifacts.read(store, LINE, "models", "m")
    assert found == made
    assert tables.read_verified(store, found.file("w.bin")) == b"weights"
    with pytest.raises(NotFound, match="no file other: it has"):
        found.file("other")


def test_the_first_of_two_attempts_stays(store: Store) -> None:
    first = publish(store, "m", b"one")
    assert publish(store, "m", b"two") == first


def test_a_changed_byte_is_seen(store: Store) -> None:
    file = publish(store, "m").file("w.bin")
    store.local_path(file.path).write_bytes(b"weighty")
    with pytest.raises(Corrupt, match="restore the file"):
        tables.read_verified(store, file)


def test_current_follows_and_the_past_stays(store: Store) -> None:
    assert artifacts.current(store, LINE, "models") is None
    for name in ("m1", "m2"):
        publish(store, name)
        assert artifacts.make_current(store, LINE, "models", name)
    assert not artifacts.make_current(store, LINE, "models", "m2")
    current = artifacts.current(store, LINE, "models")
    assert current is not None
    assert current.name == "m2"
    assert [a.name for a in artifacts.every(store, LINE, "models")] == ["m1", "m2"]


def test_attachments_are_added_and_replaced_by_name(store: Store) -> None:
    publish(store, "m")
    artifacts.attach(store, LINE, "models", "m", {"a.txt": b"1", "deep/b.txt": b"2"})
    found = artifacts.attach(store, LINE, "models", "m", {"a.txt": b"3"})
    contents = {name: tables.read_verified(store, file) for name, file in found.items()}
    assert contents == {"a.txt": b"3", "deep/b.txt": b"2"}
