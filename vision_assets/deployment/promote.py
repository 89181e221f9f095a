"""Promotion and rollback: the only writers of a line's release ledger.

Gates are enforced here, from the evidence in the store: a check that failed in an earlier run does
not stop a later one. What was measured at export stays; what it is compared with, limits and
releases, is taken as it is now.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from inspection.bundle import KIND
from inspection.evidence import EVIDENCE, Gate, read_evidence
from store import artifacts, ledger, tables
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

    A bundle that is live already gets no further entry: the live one is returned.

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
        Refused: when a gate failed, evidence is missing, or a forced promotion has no reason.
        Conflict: when somebody else promoted at the same time.
    """
    verify(store, line, bundle)
    known = ledger.entries(store, line)
    live = ledger.live(known)
    if live and live.bundle == bundle:
        return live
    gates = gates_now(store, line, bundle)
    failed = [gate for gate in gates if not gate.passed]
    if (failed or not gates) and not force:
        raise Refused(_refusal(line, bundle, gates, failed))
    if force and not why.strip():
        raise Refused("a forced promotion needs a reason: give it with --force REASON")
    draft = Draft(
        action="promote",
        bundle=bundle,
        who=who,
        why=why,
        forced=bool(failed) or not gates,
        evidence={"gates": {gate.name: gate.passed for gate in gates}},
    )
    return ledger.append(store, line, draft, after=len(known))


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
    target = ledger.entry(store, line, to) if to is not None else _before(known, live)
    if target is None or target.bundle == live.bundle:
        raise InvalidInput(
            f"line {line} has no release with another bundle than the live {live.bundle}: "
            f"`vision-assets releases {line}` lists them"
        )
    evidence = {"back_to": target.number, "from": live.number}
    draft = Draft(action="rollback", bundle=target.bundle, who=who, why=why, evidence=evidence)
    return ledger.append(store, line, draft, after=len(known))


def _before(known: Sequence[Entry], live: Entry) -> Entry | None:
    """The release that was live before the present bundle came.

    A rollback is followed to where it went back to, so that rolling back twice goes back twice and
    not to and fro.
    """
    here = live
    while here.action == "rollback":
        here = known[here.evidence["back_to"] - 1]
    earlier = [e for e in known[: here.number - 1] if e.bundle != live.bundle]
    return earlier[-1] if earlier else None


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
