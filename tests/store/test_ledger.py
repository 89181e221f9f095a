"""The ledger: what is live is a fold over a chain that cannot be changed unseen."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from store import layout, ledger
from store.errors import Conflict, Corrupt, NotFound
from store.keys import LineKey
from store.ledger import Draft
from store.root import Store

LINE = LineKey("turin", "press-3")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def promote(store: Store, bundle: str, after: int | None = None) -> ledger.Entry:
    return ledger.append(store, LINE, Draft(action="promote", bundle=bundle, who="ada"), after)


def test_entries_are_numbered_chained_and_ordered(store: Store) -> None:
    for bundle in "abc":
        promote(store, bundle)
    known = ledger.entries(store, LINE)
    assert [entry.number for entry in known] == [1, 2, 3]
    assert known[0].previous == ""
    assert len({entry.previous for entry in known}) == 3
    assert known[2].release_of(LINE) == "turin/press-3@3"
    assert sorted(entry.time for entry in known) == [entry.time for entry in known]


def test_live_is_a_fold_over_time(store: Store) -> None:
    assert ledger.live(ledger.entries(store, LINE)) is None
    first, second = promote(store, "a"), promote(store, "b")
    known = ledger.entries(store, LINE)
    assert ledger.live(known) == second
    assert ledger.live(known, first.time - timedelta(seconds=1)) is None
    assert ledger.live(known, second.time) == second
    with pytest.raises(ValueError, match="time zone"):
        ledger.live(known, datetime(2026, 1, 1))


def test_a_writer_that_has_not_seen_the_last_entry_is_told(store: Store) -> None:
    promote(store, "a", after=0)
    with pytest.raises(Conflict, match="release 1 was made meanwhile"):
        promote(store, "b", after=0)
    assert len(ledger.entries(store, LINE)) == 1


def test_time_never_decreases_when_the_clock_does(store: Store) -> None:
    path = f"{layout.releases(LINE)}/00000001.json"
    first = promote(store, "a").model_dump(mode="json")
    future = {**first, "time": "2999-01-01T00:00:00Z"}
    store.write(path, json.dumps(future).encode())
    assert promote(store, "b").time == ledger.entry(store, LINE, 1).time


@pytest.mark.parametrize("change", [{"bundle": "evil"}, {"who": "eve"}])
def test_a_changed_entry_is_seen(store: Store, change: dict[str, str]) -> None:
    first = promote(store, "a")
    promote(store, "b")
    store.write(
        f"{layout.releases(LINE)}/00000001.json",
        json.dumps({**first.model_dump(mode="json"), **change}).encode(),
    )
    with pytest.raises(Corrupt, match="entry 2 does not follow entry 1"):
        ledger.entries(store, LINE)


def test_a_missing_entry_is_seen(store: Store) -> None:
    for bundle in "abc":
        promote(store, bundle)
    store.local_path(f"{layout.releases(LINE)}/00000002.json").unlink()
    with pytest.raises(Corrupt, match="entry 3 does not follow entry 1"):
        ledger.entries(store, LINE)


def test_an_unknown_release_is_named(store: Store) -> None:
    with pytest.raises(NotFound, match="no release 7"):
        ledger.entry(store, LINE, 7)


@pytest.mark.parametrize("bad", [{"who": ""}, {"action": "explode"}, {"number": 3}])
def test_bad_drafts_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Draft.model_validate({"action": "promote", "bundle": "a", "who": "ada", **bad})
