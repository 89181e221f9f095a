"""Whether a bundle can answer on this host, and how fast: what the server asks, as a command."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inspection.bundle import KIND, Bundle, fetch
from inspection.choose import Choice, choose
from store import artifacts, ledger
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store


@dataclass(frozen=True)
class CheckReport:
    """A bundle whose hashes are right, with the engine that may answer for it here."""

    bundle: str
    frames: int
    choice: Choice

    def to_document(self) -> dict[str, object]:
        """A JSON object for machines."""
        engine = self.choice.engine
        return {
            "bundle": self.bundle,
            "golden_frames": self.frames,
            "engine": engine.name,
            "graph": engine.graph,
            "build": engine.build,
            "latency_ms": round(self.choice.latency_ms, 3),
            "rejected": [vars(rejection) for rejection in self.choice.rejected],
        }


def check(bundle: Bundle) -> CheckReport:
    """Check that an engine here may answer for a bundle whose hashes are verified.

    Raises:
        Unavailable: when none may; the message lists why.
        Refused: when the bundle has no golden frames.
    """
    return CheckReport(bundle.name, len(bundle.golden()), choose(bundle))


@contextmanager
def stored_bundle(store: Store, line: LineKey, name: str = "") -> Iterator[Bundle]:
    """A bundle of the store, fetched into a folder that is deleted again.

    Args:
        store: Where it is.
        line: Whose bundle.
        name: Which, or how it begins; empty for the one that is live.

    Raises:
        NotFound: when there is no store, no such bundle, or nothing is live.
        InvalidInput: when the names of several bundles begin so.
        Corrupt: when one byte differs from what a manifest states.
    """
    if not store.exists(""):
        raise NotFound(f"there is no store at {store.url}: give its folder with --store")
    full = artifacts.named(store, line, KIND, name) if name else _live_bundle(store, line)
    with tempfile.TemporaryDirectory(prefix="vision-serve-") as folder:
        yield fetch(store, line, full, Path(folder))


def _live_bundle(store: Store, line: LineKey) -> str:
    entry = ledger.live(ledger.entries(store, line))
    if entry is None:
        raise NotFound(f"line {line} has no live release; name a bundle")
    return entry.bundle
