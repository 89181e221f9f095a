"""Every path in the store, relative to its root."""

from __future__ import annotations

from datetime import date

from store.keys import BatchKey, LineKey

LANDING = "landing"
LINES = "lines"


def landing(key: BatchKey) -> str:
    """Where a batch arrives before it is ingested."""
    return f"{LANDING}/{key.site}/{key.line}/{key.batch}"


def line(key: LineKey) -> str:
    """Everything of one line but its landing area."""
    return f"{LINES}/{key.site}/{key.line}"


def config(key: LineKey) -> str:
    """Numbered documents: the line's settings."""
    return f"{line(key)}/config"


def batches(key: LineKey) -> str:
    """The folder that holds the line's batches."""
    return f"{line(key)}/batches"


def batch(key: BatchKey) -> str:
    """Shards, indexes and quarantine of one batch."""
    return f"{batches(key.line_key)}/{key.batch}"


def batch_of(path: str) -> str:
    """The name of the batch that a data file of `batch` belongs to.

    >>> batch_of("lines/turin/press-3/batches/shift-1/frames-0a1b.tar")
    'shift-1'
    """
    return path.rpartition("/")[0].rpartition("/")[2]


def batch_manifests(key: BatchKey) -> str:
    """Numbered documents: what the batch consists of."""
    return f"{batch(key)}/manifests"


def labels(key: LineKey) -> str:
    """Tables of label events of a line."""
    return f"{line(key)}/labels"


def label_manifests(key: BatchKey) -> str:
    """Numbered documents: the event tables that came with or after one batch."""
    return f"{labels(key.line_key)}/{key.batch}"


def artifacts(key: LineKey, kind: str) -> str:
    """The folder of a kind of content-named artifact: snapshots, models, evaluations, bundles."""
    return f"{line(key)}/{kind}"


def decisions(key: LineKey, day: date | None = None) -> str:
    """What the line's servers decided, as Parquet; of one day of receipt (UTC) when it is given.

    >>> decisions(LineKey("turin", "press-3"), date(2026, 11, 21))
    'lines/turin/press-3/decisions/date=2026-11-21'
    """
    folder = f"{line(key)}/decisions"
    return folder if day is None else f"{folder}/date={day.isoformat()}"


def releases(key: LineKey) -> str:
    """Numbered documents: the release ledger."""
    return f"{line(key)}/releases"
