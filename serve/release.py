"""A release that can answer: bundle fetched and verified, engine chosen, warmed and proven."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from inspection.bundle import Bundle
from inspection.inspector import Inspector


@dataclass(frozen=True)
class LiveRelease:
    """One release, ready to answer.

    Attributes:
        name: Such as ``turin/press-3@17``.
        number: Its entry in the ledger.
        bundle: What it consists of.
        inspector: What turns a frame into a verdict; may be shared between threads.
        graph_hash: SHA-256 of the graph that the engine runs.
        since: When it became ready here (UTC).
    """

    name: str
    number: int
    bundle: Bundle
    inspector: Inspector
    graph_hash: str
    since: datetime

    @property
    def engine(self) -> str:
        """Engine and graph, for people."""
        return f"{self.inspector.engine.name} {self.inspector.engine.graph}"

    def renamed(self, name: str, number: int) -> LiveRelease:
        """The same bundle and engine under another release."""
        return replace(self, name=name, number=number, since=datetime.now(UTC))
