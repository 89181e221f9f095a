"""Where a server goes back to, and what it tells the ledger: the laws of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.bundle import Bundle
from serve.fallback import fallback, targets
from serve.release import LiveRelease, LiveSet
from store.ledger import Entry, standing
from store.root import Store
from tests.serve.running import LINE, promote, serving, station
from tests.store.test_standing import ledger_of, steps


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LiveRelease:
    folder = tmp_path_factory.mktemp("fallback")
    promote(Store(str(folder / "store")))
    with serving(folder) as (server, _):
        found = station(server).watcher.live()
    assert found is not None
    return found


def ready(loaded: LiveRelease, entry: Entry) -> LiveRelease:
    bundle = Bundle(Path(), entry.bundle, loaded.bundle.contract, loaded.bundle.rule, (), ())
    return replace(loaded, name=entry.release_of(LINE), number=entry.number, bundle=bundle)


@given(steps, st.sets(st.integers(1, 12)))
def test_where_to_go(drawn: list[tuple[Any, ...]], numbers: set[int]) -> None:
    stands = standing(ledger_of(*drawn))
    given_up = dict.fromkeys(numbers, "why")
    found = targets(stands, given_up)
    assert bool(found) == (stands.live is not None)
    assert not stands.given_up & {entry.bundle for entry in found}
    assert all(entry.number not in given_up for entry in found[:-1])
    if stands.live and stands.live.number not in given_up:
        assert found[0] == stands.live


@given(steps, st.sets(st.integers(1, 12)))
def test_what_is_recorded_holds_and_ends(
    loaded: LiveRelease, drawn: list[tuple[Any, ...]], numbers: set[int]
) -> None:
    """Each entry gives up what it names; after at most one each, there is nothing more to tell."""
    known = ledger_of(*drawn)
    given_up = dict.fromkeys(numbers, "why")
    for _ in range(len(known) + 1):
        stands = standing(known)
        where = targets(stands, given_up)
        answering = LiveSet(ready(loaded, where[0])) if where else LiveSet()
        draft = fallback(stands, answering, given_up, "host")
        if draft is None:
            return
        number = len(known) + 1
        known.append(
            Entry.model_validate({**draft.model_dump(), "number": number, "time": known[-1].time})
        )
        after = standing(known)
        assert draft.ends not in {entry.number for entry in after.entries}
        assert after.live is not None
        assert after.live.bundle == draft.bundle
    raise AssertionError("it never ends")
