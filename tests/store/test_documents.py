"""Numbered documents: create-only, the highest is current, no writer loses another's work."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from store import documents
from store.documents import Document
from store.errors import Conflict, Corrupt
from store.root import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def test_the_highest_number_is_current(store: Store) -> None:
    assert documents.latest(store, "d") is None
    documents.create(store, "d", 1, {"a": 1})
    documents.create(store, "d", 2, {"a": 2})
    assert documents.latest(store, "d") == (2, {"a": 2})
    assert documents.read(store, "d", 1) == {"a": 1}


def test_a_number_is_given_once(store: Store) -> None:
    documents.create(store, "d", 1, {"a": 1})
    with pytest.raises(Conflict):
        documents.create(store, "d", 1, {"a": 2})


def test_update_without_a_change_writes_nothing(store: Store) -> None:
    assert documents.update(store, "d", lambda _: {"a": 1}) == (1, True)
    assert documents.update(store, "d", lambda _: None) == (1, False)
    assert documents.numbers(store, "d") == [1]


def test_no_update_is_lost_between_writers(store: Store) -> None:
    def add(name: str) -> None:
        def change(current: Document | None) -> Document:
            return {"names": [*(current or {"names": []})["names"], name]}

        documents.update(store, "d", change)

    writers = [threading.Thread(target=add, args=(f"w{i}",)) for i in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    current = documents.latest(store, "d")
    assert current is not None
    assert sorted(current[1]["names"]) == [f"w{i}" for i in range(8)]
    assert current[0] == 8


@pytest.mark.parametrize("content", [b"{half", b"[1]"])
def test_what_is_no_document_is_named(store: Store, content: bytes) -> None:
    store.write("d/00000001.json", content)
    with pytest.raises(Corrupt, match="00000001.json"):
        documents.latest(store, "d")
