"""Candidates beside the live release: canary and shadow, and what becomes of them.

A canary's verdicts go to the line, so that it passes the gates of a promotion; a shadow's go
nowhere, so that any published bundle may be one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from store import ledger, signing
from store.errors import InvalidInput, NotFound
from store.keys import LineKey
from store.ledger import MOST_CANARIES, Draft, Entry, Scope, Standing
from store.root import Store
from vision_assets import config
from vision_assets.deployment.promote import pass_gates, verify


@dataclass(frozen=True)
class Decider:
    """Who decides, why, and whether failed gates are overridden."""

    who: str
    why: str = ""
    force: bool = False


def canary(store: Store, line: LineKey, bundle: str, scope: Scope, by: Decider) -> Entry:
    """Let a bundle answer the frames of a scope; one that it had before is replaced.

    Raises:
        NotFound: when the line has no such bundle.
        Corrupt: when a file of the bundle is not what its manifest says.
        Refused: when a gate failed, evidence is missing, the bundle was given up before, or force
            has no reason.
        InvalidInput: when nothing is live, the bundle is live already, too many canaries stand, or
            the scope names a camera or product that the line's settings do not list.
        Conflict: when somebody else made an entry at the same time.
    """
    _require_listed(store, line, scope)
    known, stands = _standing(store, line, bundle)
    others = [each for each in stands.canaries if each.bundle != bundle]
    if len(others) >= MOST_CANARIES:
        raise InvalidInput(
            f"line {line} has {len(others)} canaries ({_listed(line, others)}), and no more than "
            f"{MOST_CANARIES} at once are answered for: confirm or withdraw one"
        )
    passed = pass_gates(store, line, bundle, why=by.why, force=by.force)
    draft = Draft(action="canary", bundle=bundle, who=by.who, why=by.why, scope=scope, **passed)
    return _enter(store, line, draft, known)


def shadow(store: Store, line: LineKey, bundle: str, by: Decider) -> Entry:
    """Let a bundle answer beside the live one, unheard; it replaces another shadow.

    Raises:
        NotFound: when the line has no such bundle.
        Corrupt: when a file of the bundle is not what its manifest says.
        InvalidInput: when nothing is live, or the bundle is live already.
        Conflict: when somebody else made an entry at the same time.
    """
    known, _ = _standing(store, line, bundle)
    return _enter(store, line, Draft(action="shadow", bundle=bundle, who=by.who, why=by.why), known)


def confirm(store: Store, line: LineKey, by: Decider, number: int | None = None) -> Entry:
    """Make the bundle of a canary live everywhere.

    Args:
        store: Where the ledger is.
        line: Whose canary.
        by: Who decides.
        number: Its entry; None for the only one.

    Raises:
        InvalidInput: when there is no such canary, or several and none is named.
        Conflict: when somebody else made an entry at the same time.
    """
    known = ledger.entries(store, line)
    chosen = _chosen(line, ledger.standing(known).canaries, number, "canary")
    draft = Draft(
        action="confirm",
        bundle=chosen.bundle,
        who=by.who,
        why=by.why,
        forced=chosen.forced,
        ends=chosen.number,
    )
    return _enter(store, line, draft, known)


def withdraw(store: Store, line: LineKey, by: Decider, number: int | None = None) -> Entry:
    """End a canary or the shadow; its bundle is never fallen back to.

    Args:
        store: Where the ledger is.
        line: Whose candidate.
        by: Who decides, and why.
        number: Its entry; None for the only one.

    Raises:
        InvalidInput: when there is no such candidate, several and none is named, or no reason.
        Conflict: when somebody else made an entry at the same time.
    """
    if not by.why.strip():
        raise InvalidInput("a withdrawal needs a reason: give it with --why")
    known = ledger.entries(store, line)
    stands = ledger.standing(known)
    beside = [*stands.canaries, *([stands.shadow] if stands.shadow else [])]
    chosen = _chosen(line, beside, number, "canary or shadow")
    draft = Draft(
        action="withdraw", bundle=chosen.bundle, who=by.who, why=by.why, ends=chosen.number
    )
    return _enter(store, line, draft, known)


def _require_listed(store: Store, line: LineKey, scope: Scope) -> None:
    """Refuse a scope that no frame could meet; where the settings list none, any name goes."""
    try:
        settings = config.load(store, line)
    except NotFound:  # nothing was delivered yet
        return
    faults = [
        f"{what} {name} is not in the line's settings, which list {', '.join(listed)}"
        for what, names, listed in (
            ("camera", scope.cameras, settings.cameras),
            ("product", scope.products, settings.products),
        )
        for name in names
        if listed and name not in listed
    ]
    if faults:
        raise InvalidInput.listing(f"line {line}: no frame would be in this scope:", faults)


def _standing(store: Store, line: LineKey, bundle: str) -> tuple[list[Entry], Standing]:
    """The ledger, when a candidate may be entered into it."""
    verify(store, line, bundle)
    known = ledger.entries(store, line)
    stands = ledger.standing(known)
    if stands.live is None:
        raise InvalidInput(f"nothing is live on line {line}: promote a bundle first")
    if stands.live.bundle == bundle:
        raise InvalidInput(
            f"bundle {bundle} is live on line {line} already ({stands.live.release_of(line)})"
        )
    return known, stands


def _chosen(line: LineKey, among: Sequence[Entry], number: int | None, what: str) -> Entry:
    found = [each for each in among if number is None or each.number == number]
    if len(found) == 1:
        return found[0]
    there = f"there are {_listed(line, among)}" if among else "there is none"
    wanted = "name one with --release" if number is None else f"release {number} is none"
    raise InvalidInput(f"line {line}: which {what}? {wanted}; {there}")


def _listed(line: LineKey, entries: Sequence[Entry]) -> str:
    ordered = sorted(entries, key=lambda each: each.number)
    return ", ".join(each.release_of(line) for each in ordered)


def _enter(store: Store, line: LineKey, draft: Draft, known: Sequence[Entry]) -> Entry:
    sign = signing.configured_signer()
    return ledger.append(store, line, draft, after=len(known), sign=sign)
