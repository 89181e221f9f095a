"""Rows of the tables that the command line shows, one kind of thing a function."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from store import artifacts, batches, landing, ledger, tables
from store.artifacts import Artifact
from store.keys import BatchKey, LineKey
from store.root import Store
from store.signing import Believed, PublicKeys

if TYPE_CHECKING:
    from vision_assets.deployment.compare import Report
    from vision_assets.deployment.differences import Difference

MOST_CHANGED = 30
"""Changed parts that are shown to people."""


def line_row(store: Store, line: LineKey) -> dict[str, Any]:
    """A line: how many batches, and what is live."""
    live = ledger.live(ledger.entries(store, line))
    return {
        "line": str(line),
        "batches": len(batches.ingested(store, line)),
        "landed": len(landing.complete_batches(store, line)),
        "release": live.release_of(line) if live else "-",
        "since": live.time.isoformat(timespec="seconds") if live else "-",
    }


def batch_row(store: Store, key: BatchKey, landed: set[str]) -> dict[str, Any]:
    """A batch: delivered or not, ingested or not, and its frames."""
    manifest = batches.manifest(store, key)
    counts = manifest.counts if manifest else {}
    return {
        "batch": str(key),
        "landed": "yes" if key.batch in landed else "no",
        "manifest": manifest.number if manifest else "-",
        **{name: counts.get(name, "-") for name in ("frames", "quarantined")},
    }


STANDING = frozenset({"live", "canary", "shadow"})
"""The roles of entries whose bundles servers have loaded."""


def bundle_row(store: Store, line: LineKey, bundle: Artifact) -> dict[str, Any]:
    """A bundle with what was measured of it on the test role; dashes where that is not known."""
    from vision_assets.evaluation import evaluate, releases  # scipy takes a second to load

    attached = artifacts.attachments(store, line, bundle.kind, bundle.name)
    row = {"bundle": bundle.name, "made": bundle.created_at[:19] or "-"}
    names = ("auroc", "escapes", "overkill", "review")
    if releases.PROVENANCE not in attached:
        return row | dict.fromkeys(names, "-")
    provenance = json.loads(tables.read_verified(store, attached[releases.PROVENANCE]))
    found = evaluate.read(store, line, provenance["evaluation"])
    return row | {name: str(getattr(found, name) or "-") for name in names}


def roles(
    line: LineKey,
    known: Sequence[ledger.Entry],
    keys: PublicKeys | None,
    at: datetime | None = None,
) -> dict[int, str]:
    """What each entry is for a server with these keys, by its number; most are nothing any more.

    Args:
        line: Whose ledger.
        known: All its entries.
        keys: Of the servers; None: they believe every entry.
        at: What stood then; None: what stands now.
    """
    believed = keys.believe(line, known) if keys else Believed(tuple(known))
    stands = ledger.standing(believed.entries, at)
    found = {each.number: "given up" for each in known if each.bundle in stands.given_up}
    found |= {each.entry.number: "refused" for each in believed.refused}
    found |= {canary.number: "canary" for canary in stands.canaries}
    for role, entry in (("live", stands.live), ("shadow", stands.shadow)):
        if entry:
            found[entry.number] = role
    return found


def entry_row(
    line: LineKey,
    entry: ledger.Entry,
    roles: Mapping[int, str] | None = None,
    keys: PublicKeys | None = None,
) -> dict[str, Any]:
    """An entry of the ledger.

    ``stands`` is ``live``, ``canary``, ``shadow``, ``given up`` (its bundle: only ``--force``
    brings it back), ``refused`` (servers with these keys do not take it) or ``-``.

    Args:
        line: Whose ledger.
        entry: One of its entries.
        roles: From `roles`; None leaves the column ``stands`` out.
        keys: To verify signatures with; None shows who claims to have signed.
    """
    standing = {} if roles is None else {"stands": roles.get(entry.number, "-")}
    return {
        "release": entry.release_of(line),
        "time": entry.time.isoformat(timespec="seconds"),
        "action": entry.action + (" (forced)" if entry.forced else ""),
        **standing,
        "bundle": entry.bundle,
        "scope": str(entry.scope) if entry.scope else "-",
        "ends": entry.ends or "-",
        "signed": _signed(line, entry, keys),
        "who": entry.who,
        "why": entry.why or "-",
    }


def _signed(line: LineKey, entry: ledger.Entry, keys: PublicKeys | None) -> str:
    if not entry.signature:
        return "-"
    if keys is None:
        return f"{entry.key} (not verified)"
    return f"WRONG: {fault}" if (fault := keys.fault(line, entry)) else entry.key


def report_lines(report: Report) -> list[str]:
    """The A/B report for people."""
    parts, frames = (" and ".join(map(str, each)) for each in (report.parts, report.frames))
    lines = [
        f"{report.kind}: {report.new} against {report.old} ({', '.join(report.releases)})",
        f"  {parts} parts, {frames} frames",
        *(f"  note: {note}" for note in report.notes),
        *(_difference_line(each) for each in report.differences),
    ]
    if report.table:
        labels = list(report.table)
        lines.append(f"  {'parts':<16}" + "".join(f"{f'now {label}':>12}" for label in labels))
        lines += [
            f"  {f'was {old}':<16}" + "".join(f"{row[new]:>12}" for new in labels)
            for old, row in report.table.items()
        ]
    for each in report.changed[:MOST_CHANGED]:
        lines.append(
            f"  {each.part}: {each.old} -> {each.new}, "
            f"score {each.old_score:.3f} -> {each.new_score:.3f}"
        )
    if len(report.changed) > MOST_CHANGED:
        lines.append(f"  and {len(report.changed) - MOST_CHANGED} further parts; --json has all")
    return lines


def _difference_line(found: Difference) -> str:
    pairs = "" if found.only_old is None else f", {found.only_new} more and {found.only_old} fewer"
    return (
        f"  {found.label.value:<7} {found.old.count} of {found.old.of} ({found.old.rate:.1%}) -> "
        f"{found.new.count} of {found.new.of} ({found.new.rate:.1%}){pairs}: "
        f"{found.difference:+.1%} [{found.low:+.1%}, {found.high:+.1%}], p = {found.p:.3g}"
    )


def shown(value: object) -> str:
    """A setting as YAML would have it, on one line."""
    return value if isinstance(value, str) and value else json.dumps(value)


def setting_row(row: dict[str, Any]) -> dict[str, str]:
    """A setting for people: the default only where it is not in force."""
    differs = row["value"] != row["default"]
    default = f"(default {shown(row['default'])})" if differs else ""
    return {
        "": "*" if differs else "",
        "setting": row["setting"],
        "value": shown(row["value"]),
        "differs": default,
    }
