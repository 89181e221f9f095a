"""Canary and shadow beside the live release, what becomes of them, and signed entries."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import ledger, signing
from store.errors import InvalidInput, NotFound, Refused
from store.ledger import Draft, Scope
from store.root import Store
from tests.store.test_signing import make_key
from tests.vision_assets.deployment.test_promote import LINE, bundle
from vision_assets.deployment.candidates import Decider, canary, confirm, shadow, withdraw
from vision_assets.deployment.promote import promote, rollback

ADA = Decider("ada", "try it")
TENTH = Scope(share=0.1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(str(tmp_path / "store"))
    promote(opened, LINE, bundle(opened, "a"), who="ada")
    return opened


def standing(store: Store) -> ledger.Standing:
    return ledger.standing(ledger.entries(store, LINE))


def test_a_canary_passes_the_gates_and_is_confirmed(store: Store) -> None:
    entry = canary(store, LINE, bundle(store, "b"), TENTH, ADA)
    assert (entry.scope, entry.evidence["gates"]["parity"]) == (TENTH, True)
    assert standing(store).canaries == (entry,)
    confirmed = confirm(store, LINE, Decider("bob"))
    assert (confirmed.bundle, confirmed.ends) == ("b", 2)
    assert (standing(store).live, standing(store).canaries) == (confirmed, ())
    assert rollback(store, LINE, who="bob", why="escapes").bundle == "a"


def test_a_failed_gate_keeps_a_canary_off_the_line(store: Store) -> None:
    bad = bundle(store, "b", "parity")
    with pytest.raises(Refused, match="1 of 2 gates"):
        canary(store, LINE, bad, TENTH, ADA)
    forced = canary(store, LINE, bad, TENTH, Decider("ada", "line is down", force=True))
    assert forced.forced
    assert confirm(store, LINE, ADA).forced


def test_a_shadow_needs_no_gate(store: Store) -> None:
    entry = shadow(store, LINE, bundle(store, "b", with_gates=False), ADA)
    assert standing(store).shadow == entry
    ended = withdraw(store, LINE, ADA)
    assert (ended.ends, standing(store).shadow) == (2, None)


@pytest.mark.parametrize("name", ["canary", "shadow"])
def test_a_candidate_stands_beside_another_that_is_live(store: Store, name: str) -> None:
    def enter(bundle: str) -> object:
        if name == "canary":
            return canary(store, LINE, bundle, TENTH, ADA)
        return shadow(store, LINE, bundle, ADA)

    with pytest.raises(InvalidInput, match="is live on line"):
        enter("a")
    with pytest.raises(NotFound, match="no bundles/zzz"):
        enter("zzz")


def test_nothing_stands_beside_nothing(tmp_path: Path) -> None:
    empty = Store(str(tmp_path / "empty"))
    with pytest.raises(InvalidInput, match="nothing is live"):
        shadow(empty, LINE, bundle(empty, "b"), ADA)


def test_there_are_two_canaries_at_most(store: Store) -> None:
    for name in "bc":
        canary(store, LINE, bundle(store, name), TENTH, ADA)
    with pytest.raises(InvalidInput, match=r"2 canaries \(turin/press-3@2, turin/press-3@3\)"):
        canary(store, LINE, bundle(store, "d"), TENTH, ADA)
    grown = canary(store, LINE, "c", Scope(share=0.5), ADA)  # in place of its own
    assert [each.number for each in standing(store).canaries] == [2, grown.number]


def test_which_candidate_is_meant_must_be_said(store: Store) -> None:
    with pytest.raises(InvalidInput, match="there is none"):
        confirm(store, LINE, ADA)
    for name in "bc":
        canary(store, LINE, bundle(store, name), TENTH, ADA)
    with pytest.raises(InvalidInput, match="--release; there are turin/press-3@2"):
        withdraw(store, LINE, ADA)
    with pytest.raises(InvalidInput, match="release 1 is none"):
        confirm(store, LINE, ADA, 1)
    assert confirm(store, LINE, ADA, 3).bundle == "c"
    with pytest.raises(InvalidInput, match="needs a reason"):
        withdraw(store, LINE, Decider("ada", " "))


def test_what_was_given_up_comes_back_with_a_reason_only(store: Store) -> None:
    promote(store, LINE, bundle(store, "b"), who="ada")
    draft = Draft(action="fallback", bundle="a", who="line-pc", why="slow", ends=2)
    ledger.append(store, LINE, draft)
    with pytest.raises(Refused, match="was given up"):
        promote(store, LINE, "b", who="schedule")
    with pytest.raises(Refused, match="was given up"):
        canary(store, LINE, "b", TENTH, ADA)
    entry = promote(store, LINE, "b", who="ada", why="the disk was slow", force=True)
    assert entry.forced
    assert standing(store).live == entry


def test_every_entry_is_signed_when_a_key_is_configured(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_key(tmp_path)
    keys = signing.read_public_keys(public)
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    again = promote(store, LINE, "a", who="ada")  # live, but nobody has signed it
    assert (again.number, promote(store, LINE, "a", who="ada")) == (2, again)
    canary(store, LINE, bundle(store, "b"), TENTH, ADA)
    confirm(store, LINE, ADA)
    shadow(store, LINE, bundle(store, "c"), ADA)
    withdraw(store, LINE, ADA)
    rollback(store, LINE, who="ada", why="x")
    known = ledger.entries(store, LINE)
    assert [keys.fault(LINE, entry) for entry in known] == ["it is not signed", *[""] * 6]
    assert len(keys.believe(LINE, known).entries) == 7


def test_a_key_that_others_may_read_stops_a_promotion(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, _ = make_key(tmp_path)
    private.chmod(0o644)
    monkeypatch.setenv(signing.SIGNING_KEY, str(private))
    with pytest.raises(InvalidInput, match="chmod 600"):
        promote(store, LINE, bundle(store, "b"), who="ada")
    assert len(ledger.entries(store, LINE)) == 1
