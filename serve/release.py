"""Releases that can answer, and which of them answers a frame."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from inspection.bombs import refuse_overlong_png
from inspection.bundle import Bundle
from inspection.inspector import Inspection, Inspector
from serve.frame import IncomingFrame, RawFrame
from store.ledger import Scope

_HASHES = 2**64


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

    def inspect(self, frame: IncomingFrame) -> Inspection:
        """The answer for a frame that has passed its `check`.

        Raises:
            UnreadableFrame: when the bundle does not accept it.
            Unavailable: when the engine fails.
        """
        payload, max_pixels = frame.payload, self.inspector.contract.input.max_pixels
        if isinstance(payload, RawFrame):
            return self.inspector.inspect_pixels(payload.pixels(max_pixels), frame.context)
        assert payload is not None  # `check` has refused it
        refuse_overlong_png(payload, max_pixels)
        return self.inspector.inspect(payload, frame.context)

    def renamed(self, name: str, number: int) -> LiveRelease:
        """The same bundle under another entry of the ledger."""
        return replace(self, name=name, number=number, since=datetime.now(UTC))


@dataclass(frozen=True)
class Canary:
    """A release that answers the frames of a scope."""

    scope: Scope
    release: LiveRelease

    def answers(self, frame: IncomingFrame) -> bool:
        """Whether a frame is in the scope.

        A share is one of parts: a frame without a serial belongs to no part that could be told
        again, so that it stays with the live release.
        """
        scope = self.scope
        if scope.cameras and frame.camera not in scope.cameras:
            return False
        if scope.products and frame.product not in scope.products:
            return False
        if scope.share >= 1:
            return True
        serial = frame.serial
        return bool(serial) and fraction(self.release.bundle.name, serial) < scope.share


@dataclass(frozen=True)
class LiveSet:
    """All releases that are ready; replaced as a whole, between two frames.

    Attributes:
        live: Answers wherever no canary does; None while nothing is live.
        canaries: The most specific first.
        shadow: Answers beside, unheard.
        spare: The last good release, still loaded: it answers at once when the live one fails.
    """

    live: LiveRelease | None = None
    canaries: tuple[Canary, ...] = ()
    shadow: LiveRelease | None = None
    spare: LiveRelease | None = None

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        """The release that answers a frame, or None while nothing is live."""
        for canary in self.canaries:
            if canary.answers(frame):
                return canary.release
        return self.live

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        """Who answers a frame on which a release has failed: for a canary the live one."""
        if self.live is not None and failed.bundle.name != self.live.bundle.name:
            return self.live
        return self.spare

    def without(self, given_up: Collection[int]) -> LiveSet:
        """The same after some were given up, by number: the spare answers instead of the live one.

        Without a spare that may answer, the live one stays: better over its limits than nobody.
        """
        canaries = tuple(each for each in self.canaries if each.release.number not in given_up)
        kept = self if canaries == self.canaries else replace(self, canaries=canaries)
        if self.live is None or self.live.number not in given_up:
            return kept
        if self.spare is None or self.spare.number in given_up:
            return kept
        return replace(kept, live=self.spare, spare=None)

    @property
    def answering(self) -> tuple[LiveRelease, ...]:
        """Those whose answers are heard."""
        live = (self.live,) if self.live else ()
        return (*live, *(canary.release for canary in self.canaries))

    @property
    def loaded(self) -> tuple[LiveRelease, ...]:
        """All that hold an engine."""
        return (*self.answering, *filter(None, (self.shadow, self.spare)))


def fraction(bundle: str, serial: str) -> float:
    """Where a part lies in [0, 1) for the canaries of a bundle.

    The same for every frame, camera, host and start; a share that grows keeps the parts it had; and
    the canaries of two bundles draw independently.

    >>> 0 <= fraction("b", "part-1") < 1
    True
    >>> fraction("b", "part-1") == fraction("b", "part-1")
    True
    """
    digest = hashlib.sha256(f"{bundle}\n{serial}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / _HASHES
