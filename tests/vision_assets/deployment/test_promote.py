"""Promotion obeys the gates; rollback goes back, and back again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from inspection.evidence import Gate, to_attachments
from store import artifacts, ledger
from store.artifacts import Artifact
from store.errors import Conflict, InvalidInput, NotFound, Refused
from store.keys import LineKey
from store.root import Store
from vision_assets.deployment.promote import promote, rollback

LINE = LineKey("turin", "press-3")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def bundle(store: Store, name: str, *failed: str, with_gates: bool = True) -> str:
    """A published bundle whose gates pass, but those named."""
    artifacts.publish(store, LINE, Artifact("bundles", name, {}, {}))
    if with_gates:
        gates = [
            Gate(name=gate, passed=gate not in failed, message=f"{gate} was measured")
            for gate in ("parity", "escapes")
        ]
        artifacts.attach(store, LINE, "bundles", name, to_attachments(gates=gates))
    return name


def live(store: Store) -> str:
    entry = ledger.live(ledger.entries(store, LINE))
    return entry.bundle if entry else ""


def test_a_bundle_that_passes_goes_live_with_its_evidence(store: Store) -> None:
    entry = promote(store, LINE, bundle(store, "a"), who="ada")
    assert (entry.number, entry.bundle, entry.forced) == (1, "a", False)
    assert entry.evidence == {"gates": {"parity": True, "escapes": True}}


def test_promoting_the_live_bundle_again_adds_nothing(store: Store) -> None:
    first = promote(store, LINE, bundle(store, "a"), who="ada")
    assert promote(store, LINE, "a", who="bob") == first


def test_an_unknown_bundle_is_named(store: Store) -> None:
    with pytest.raises(NotFound, match="no bundles/zzz"):
        promote(store, LINE, "zzz", who="ada")


def test_a_failed_gate_refuses_and_says_which(store: Store) -> None:
    with pytest.raises(Refused, match="1 of 2 gates") as caught:
        promote(store, LINE, bundle(store, "a", "parity"), who="ada")
    assert "parity was measured" in str(caught.value)
    assert "escapes was measured" not in str(caught.value)
    assert live(store) == ""


def test_no_evidence_is_no_pass(store: Store) -> None:
    with pytest.raises(Refused, match="no evidence"):
        promote(store, LINE, bundle(store, "a", with_gates=False), who="ada")


def test_force_needs_a_reason_that_stays(store: Store) -> None:
    name = bundle(store, "a", "parity")
    with pytest.raises(Refused, match="needs a reason"):
        promote(store, LINE, name, who="ada", why="  ", force=True)
    entry = promote(store, LINE, name, who="ada", why="line is down", force=True)
    assert (entry.forced, entry.why) == (True, "line is down")
    assert entry.evidence["gates"]["parity"] is False


def test_force_on_a_bundle_that_passes_is_not_marked_forced(store: Store) -> None:
    assert not promote(store, LINE, bundle(store, "a"), who="ada", why="x", force=True).forced


def test_rollback_goes_back_and_back_again(store: Store) -> None:
    for name in "abc":
        promote(store, LINE, bundle(store, name), who="ada")
    assert rollback(store, LINE, who="bob", why="escapes").bundle == "b"
    assert rollback(store, LINE, who="bob", why="still").bundle == "a"
    with pytest.raises(InvalidInput, match="no release with another bundle"):
        rollback(store, LINE, who="bob", why="more")
    assert rollback(store, LINE, who="bob", why="forward", to=3).bundle == "c"
    assert [entry.action for entry in ledger.entries(store, LINE)][3:] == ["rollback"] * 3


@pytest.mark.parametrize(("to", "error"), [(9, NotFound), (1, InvalidInput)])
def test_rollback_to_nowhere_is_refused(store: Store, to: int, error: type[Exception]) -> None:
    promote(store, LINE, bundle(store, "a"), who="ada")
    with pytest.raises(error):
        rollback(store, LINE, who="bob", why="x", to=to)
    assert len(ledger.entries(store, LINE)) == 1


def test_rollback_needs_a_release_and_a_reason(store: Store) -> None:
    with pytest.raises(InvalidInput, match="nothing to go back to"):
        rollback(store, LINE, who="bob", why="x")
    with pytest.raises(InvalidInput, match="needs a reason"):
        rollback(store, LINE, who="bob", why=" ")


def test_of_two_who_promote_at_once_one_is_told(store: Store) -> None:
    names = [bundle(store, f"b{i}") for i in range(6)]
    told: list[str] = []

    def attempt(name: str) -> None:
        try:
            promote(store, LINE, name, who=name)
        except Conflict as error:
            told.append(str(error))

    threads = [threading.Thread(target=attempt, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    known = ledger.entries(store, LINE)
    assert len(known) + len(told) == len(names)
    assert len({entry.bundle for entry in known}) == len(known)
