"""Rows of the tables that the command line shows, one kind of thing a function."""

from __future__ import annotations

import json
from typing import Any

from store import batches, landing, ledger
from store.keys import BatchKey, LineKey
from store.root import Store


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


def entry_row(line: LineKey, entry: ledger.Entry) -> dict[str, Any]:
    """An entry of the ledger."""
    return {
        "release": entry.release_of(line),
        "time": entry.time.isoformat(timespec="seconds"),
        "action": entry.action + (" (forced)" if entry.forced else ""),
        "bundle": entry.bundle,
        "who": entry.who,
        "why": entry.why or "-",
    }


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
