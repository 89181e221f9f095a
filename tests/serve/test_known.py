"""The ledger as a host knows it: it only grows, and it is here when the store is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serve.known import FILE, KnownLedger
from store import layout, ledger
from store.errors import Conflict
from store.ledger import Draft
from store.root import Store
from tests.serve.running import LINE, full_disk


def draft(bundle: str) -> Draft:
    return Draft(action="promote", bundle=bundle, who="ada")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    return tmp_path / "memory"


def test_changes_are_seen_and_told_once(store: Store, memory: Path) -> None:
    store.local_path("lines").mkdir(parents=True)
    known = KnownLedger(store, LINE, memory)
    assert known.has_changed()
    assert "0 entries" in known.look().fault
    assert not known.has_changed()
    ledger.append(store, LINE, draft("a"))
    assert known.has_changed()
    found = known.look()
    assert (found.count, found.fault, found.is_current) == (1, "", True)
    assert not known.has_changed()


def test_what_was_seen_is_kept_without_the_store(
    store: Store, memory: Path, tmp_path: Path
) -> None:
    for name in "ab":
        ledger.append(store, LINE, draft(name))
    KnownLedger(store, LINE, memory).look()
    (tmp_path / "store").rename(tmp_path / "away")
    found = KnownLedger(store, LINE, memory).look()
    assert [entry.bundle for entry in found.believed] == ["a", "b"]
    assert not found.is_current
    assert f"the store {store.url} is not there: check that it is mounted" in found.fault
    store.local_path("lines").mkdir(parents=True)
    assert "0 entries, 2 were seen here" in KnownLedger(store, LINE, memory).look().fault


def test_a_store_that_cannot_be_read_is_told(store: Store, memory: Path) -> None:
    ledger.append(store, LINE, draft("a"))
    known = KnownLedger(store, LINE, memory)
    known.look()
    folder = store.local_path(layout.releases(LINE))
    folder.rename(folder.with_name("away"))
    folder.write_text("no folder")
    assert known.has_changed()
    assert "cannot be read: Not a directory" in known.look().fault
    assert not known.has_changed()


def test_a_ledger_begun_anew_says_what_to_delete(store: Store, memory: Path) -> None:
    ledger.append(store, LINE, draft("a"))
    KnownLedger(store, LINE, memory).look()
    store.local_path(f"{layout.releases(LINE)}/00000001.json").unlink()
    ledger.append(store, LINE, draft("b"))
    found = KnownLedger(store, LINE, memory).look()
    assert [entry.bundle for entry in found.believed] == ["a"]
    assert f"delete {memory} and start" in found.fault
    shutil.rmtree(memory)
    assert KnownLedger(store, LINE, memory).look().believed[0].bundle == "b"


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'[{"number": 1}]', b"null", b"5", b'""'])
def test_a_damaged_memory_is_told_and_left(
    store: Store, memory: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append(store, LINE, draft("a"))
    memory.mkdir()
    (memory / FILE).write_bytes(content)
    found = KnownLedger(store, LINE, memory).look()
    assert (found.count, found.fault) == (1, "")
    assert "cannot be read" in caplog.text


def test_a_full_disk_costs_the_memory_only(
    store: Store, memory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.append(store, LINE, draft("a"))
    known = KnownLedger(store, LINE, memory)
    with full_disk(0):
        assert known.look().fault == ""
    assert "cannot be kept here" in caplog.text


def test_of_two_who_record_one_is_told(store: Store, memory: Path, tmp_path: Path) -> None:
    ledger.append(store, LINE, draft("a"))
    one, two = (KnownLedger(store, LINE, folder) for folder in (memory, tmp_path / "other"))
    counts = [known.look().count for known in (one, two)]
    one.record(draft("b"), counts[0])
    with pytest.raises(Conflict):
        two.record(draft("c"), counts[1])
