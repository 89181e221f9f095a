"""Promotion and rollback; with `candidates`, the only writers of a line's release ledger.

Gates are enforced here, from the evidence in the store: a check that failed in an earlier run does
not stop a later one. What was measured at export stays; what it is compared with, limits and
releases, is taken as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypedDict

from inspection.bundle import KIND
from inspection.evidence import EVIDENCE, Gate, read_evidence
from store import artifacts, ledger, signing, tables
from store.errors import InvalidInput, Refused
from store.keys import LineKey
from store.ledger import Draft, Entry
from store.root import Store
from vision_assets import config
from vision_assets.export.attached import gates_of


def promote(
    store: Store, line: LineKey, bundle: str, *, who: str, why: str = "", force: bool = False
) -> Entry:
    """Make a bundle the live release of its line.

    A bundle that is live already gets no further entry, unless a key is configured and the live
    entry is not signed with it: the live one is returned.

    Args:
        store: Where the ledger is.
        line: Whose release it becomes.
        bundle: Name of a published bundle.
        who: Who decides.
        why: The reason; stays in the ledger.
        force: Promote although gates failed; needs a reason.

    Raises:
        NotFound: when the line has no such bundle.
        Corrupt: when a file of the bundle is not what its manifest says; no reason forces that.
        Refused: when a gate failed, evidence is missing, the bundle was given up before, or a
            forced promotion has no reason.
        Conflict: when somebody else promoted at the same time.
    """
    verify(store, line, bundle)
    known = ledger.entries(store, line)
    live = ledger.live(known)
    signer = signing.configured_signer()
    if live and live.bundle == bundle and (signer is None or live.key == signer.key):
        return live
    passed = pass_gates(store, line, bundle, why=why, force=force)
    draft = Draft(action="promote", bundle=bundle, who=who, why=why, **passed)
    return ledger.append(store, line, draft, after=len(known), sign=signer)


def sign(store: Store, line: LineKey, bundle: str | None, *, who: str, why: str = "") -> Entry:
    """Enter the live bundle once more, signed: what answers does not change, so no gate is asked.

    A live entry that is signed with the configured key already is returned as it is.

    Args:
        store: Where the ledger is.
        line: Whose live release.
        bundle: The bundle that is meant. Needed when servers with the configured public keys do not
            believe the live entry: whoever signs it should have looked at it.
        who: Who signs.
        why: Stays in the ledger.

    Raises:
        InvalidInput: when no key is configured, nothing is live, or another bundle is meant.
        Refused: when the live entry is not believed and `bundle` is not given.
        Corrupt: when a file of the bundle is not what its manifest says.
        Conflict: when somebody else made an entry at the same time.
    """
    signer = signing.configured_signer()
    if signer is None:
        raise InvalidInput(
            f"nothing to sign with: name the file of a private key in {signing.SIGNING_KEY}"
        )
    known = ledger.entries(store, line)
    live = ledger.live(known)
    if live is None:
        raise InvalidInput(f"nothing is live on line {line}: promote a bundle first")
    _require_meant(line, known, live, bundle)
    if live.key == signer.key:
        return live
    verify(store, line, live.bundle)
    draft = Draft(
        action="promote",
        bundle=live.bundle,
        who=who,
        why=why or "signed",
        forced=live.forced,
        evidence={"signs": live.number},
    )
    return ledger.append(store, line, draft, after=len(known), sign=signer)


def _require_meant(line: LineKey, known: Sequence[Entry], live: Entry, bundle: str | None) -> None:
    """Refuse to sign what nobody has named and servers with keys would not take."""
    if bundle is not None:
        if bundle != live.bundle:
            raise InvalidInput(
                f"bundle {bundle} is not live on line {line}, {live.bundle} is: "
                "`vision-assets promote --bundle NAME` makes another one live, and signs it"
            )
        return
    keys = signing.configured_keys()
    refused = keys.believe(line, known).refused if keys else ()
    believes_any = keys is not None and len(refused) < len(known)
    why = next((each.why for each in refused if each.entry == live), "")
    if why and believes_any:
        raise Refused(
            f"{live.release_of(line)} by {live.who} came after signed entries, and {why}: servers "
            f"do not take it. If you mean it, name its bundle: --bundle {live.bundle}"
        )


class Passed(TypedDict):
    """What an entry says of the gates."""

    forced: bool
    evidence: dict[str, Any]


def pass_gates(store: Store, line: LineKey, bundle: str, *, why: str, force: bool) -> Passed:
    """What an entry says of the gates of a bundle that is to answer on the line.

    Raises:
        Refused: as `promote`.
    """
    gates = gates_now(store, line, bundle)
    failed = [gate for gate in gates if not gate.passed]
    if force and not why.strip():
        raise Refused("a forced promotion needs a reason: give it with --force REASON")
    if (failed or not gates) and not force:
        raise Refused(_refusal(line, bundle, gates, failed))
    was_given_up = _require_not_given_up(store, line, bundle, force=force)
    return {
        "forced": bool(failed) or not gates or was_given_up,
        "evidence": {"gates": {gate.name: gate.passed for gate in gates}},
    }


def _require_not_given_up(store: Store, line: LineKey, bundle: str, *, force: bool) -> bool:
    """Whether a bundle was given up before; whoever brings it back says why.

    Without this, a schedule that promotes the newest bundle would undo every fallback.
    """
    known = ledger.entries(store, line)
    if bundle not in ledger.standing(known).given_up:
        return False
    if not force:
        raise Refused(
            f"bundle {bundle} was given up on line {line} (`vision-assets releases {line}` says "
            "when and why): mend the cause and make another, or force it with --force REASON"
        )
    return True


def verify(store: Store, line: LineKey, bundle: str) -> None:
    """Read every file of a bundle and compare it with what its manifest says.

    Raises:
        NotFound: when the line has no such bundle.
        Corrupt: when a file differs; a server would refuse the bundle, too.
    """
    files = artifacts.read(store, line, KIND, bundle).files
    for file in (*files.values(), *artifacts.attachments(store, line, KIND, bundle).values()):
        tables.read_verified(store, file)


def gates_now(store: Store, line: LineKey, bundle: str) -> list[Gate]:
    """The gates of a bundle under the line's present limits and releases.

    Parity, which depends on neither, is as it was measured.
    """
    from vision_assets.evaluation import evaluate, releases  # scipy takes a second to load
    from vision_assets.export import gates

    attached = artifacts.attachments(store, line, KIND, bundle)
    if releases.PROVENANCE not in attached:
        return gates_of(store, line, bundle)
    provenance = json.loads(tables.read_verified(store, attached[releases.PROVENANCE]))
    evidence = read_evidence(tables.read_verified(store, attached[EVIDENCE]))
    figures = evaluate.read(store, line, provenance["evaluation"])
    limits = config.load(store, line).limits
    now = [
        gates.latency(evidence, limits),
        *gates.rates(figures, limits),
        *releases.not_worse(store, line, provenance["evaluation"]),
    ]
    decided_anew = {gate.name for gate in now} | releases.GATES
    kept = [g for g in gates_of(store, line, bundle) if g.name not in decided_anew]
    return [*kept, *now]


def facts(line: LineKey, entry: Entry) -> dict[str, str | bool]:
    """What Dagster shows of a release."""
    return {
        "release": entry.release_of(line),
        "bundle": entry.bundle,
        "action": entry.action,
        "who": entry.who,
        "why": entry.why or "-",
        "forced": entry.forced,
    }


def rollback(store: Store, line: LineKey, *, who: str, why: str, to: int | None = None) -> Entry:
    """Make the bundle of an earlier release live again.

    Args:
        store: Where the ledger is.
        line: Whose release goes back.
        who: Who decides.
        why: The reason; stays in the ledger.
        to: Number of the release to go back to; None for the last one with another bundle than
            the live one.

    Raises:
        NotFound: when there is no release of that number.
        InvalidInput: when there is nothing to go back to, or the reason is empty.
    """
    if not why.strip():
        raise InvalidInput("a rollback needs a reason: give it with --why")
    known = ledger.entries(store, line)
    live = ledger.live(known)
    if live is None:
        raise InvalidInput(f"line {line} has no release yet, so there is nothing to go back to")
    target = ledger.entry(store, line, to) if to is not None else _before(line, known, live)
    if target.bundle == live.bundle:
        raise InvalidInput(
            f"the bundle of {target.release_of(line)}, {live.bundle}, is live already: "
            f"`vision-assets releases {line}` lists the others"
        )
    evidence = {"back_to": target.number, "from": live.number}
    draft = Draft(action="rollback", bundle=target.bundle, who=who, why=why, evidence=evidence)
    sign = signing.configured_signer()
    return ledger.append(store, line, draft, after=len(known), sign=sign)


def _before(line: LineKey, known: Sequence[Entry], live: Entry) -> Entry:
    """The last release with another bundle that nobody has gone back from."""
    stands = ledger.standing(known)
    if stands.earlier:
        return stands.earlier[0]
    if not stands.given_up:
        raise InvalidInput(
            f"line {line} has no release with another bundle than the live {live.bundle}"
        )
    raise InvalidInput(
        f"line {line} has no release with another bundle than the live {live.bundle}, beside those "
        f"that were given up (`vision-assets releases {line}` shows which): to go to one of them "
        "all the same, name it with --to NUMBER"
    )


def _refusal(line: LineKey, bundle: str, gates: Sequence[Gate], failed: Sequence[Gate]) -> str:
    if not gates:
        return (
            f"bundle {bundle} of line {line} has no evidence: `vision-assets run --line {line}` "
            "makes it; or promote it with --force REASON"
        )
    reasons = [f"  - {gate.name}: {gate.message}" for gate in failed]
    return "\n".join(
        [
            f"bundle {bundle} of line {line} does not pass {len(failed)} of {len(gates)} gates:",
            *reasons,
            "mend the cause and run again, or promote with --force REASON (kept in the ledger)",
        ]
    )
