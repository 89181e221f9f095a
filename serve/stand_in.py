"""Who answers when no engine can: the line's rule-based check, from the store or this host's copy.

It stands behind the releases, in the form of one, so that a frame's way through the server is the
same. Its name is ``rule-based@`` and the check's hash, and every verdict's first reason says so.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from inspection.bundle import Bundle
from inspection.rulebased import stored
from inspection.rulebased.check import FILE, PREFIX, Check
from inspection.rulebased.inspector import RuleBasedInspector
from serve.frame import IncomingFrame
from serve.release import LiveRelease, LiveSet
from store.errors import VisionError
from store.hashing import sha256
from store.keys import LineKey
from store.root import Store

_log = logging.getLogger(__name__)


def holds_check(cache: Path) -> bool:
    """Whether a line's cache holds a check that could answer without the store."""
    return stored.cached(checks_folder(cache)) is not None


def checks_folder(cache: Path) -> Path:
    """Where a line's cache holds its checks."""
    return cache / ".checks"


class Releases(Protocol):
    """The releases that the check stands behind."""

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        """The release that answers a frame, or None while there is none."""

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        """Who answers a frame on which the engine of a release has just failed, or None."""

    def releases(self) -> LiveSet:
        """All that are ready."""


class StandIn:
    """Answers for a line with its releases, and with its check where they cannot."""

    def __init__(
        self, store: Store, line: LineKey, cache: Path, releases: Releases, max_pixels: int
    ) -> None:
        """Begin with the check that this host fetched last; the store is not asked yet.

        Args:
            store: Where the line's checks are.
            line: The line.
            cache: The line's cache; copies are kept in it.
            releases: Who answers otherwise.
            max_pixels: Larger frames are refused before decoding.
        """
        self._store, self._line, self._cache = store, line, checks_folder(cache)
        self._releases, self._max_pixels = releases, max_pixels
        self._fault = ""
        self._was_answering = False
        self._check: LiveRelease | None = None
        self._hold(stored.cached(self._cache))

    def look(self) -> None:
        """Fetch the line's current check when it is another one; what is held stays otherwise."""
        try:
            newest = stored.current(self._store, self._line)
            if newest and (self._check is None or self._check.bundle.name != newest):
                self._hold(stored.fetch(self._store, self._line, self._cache))
            fault = ""
        except (VisionError, OSError) as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - the process edge: the line goes on
            fault = f"{type(error).__name__}: {error}"
        if fault and fault != self._fault:
            _log.error("rule-based check cannot be fetched", extra={"fault": fault})
        self._fault = fault
        self._tell()

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        """The release that answers a frame; the check while there is none."""
        return self._releases.choose(frame) or self._check

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        """Who answers a frame on which a release has just failed; the check when no other can."""
        if failed is self._check:
            return None
        other = self._releases.instead_of(failed)
        spare = self._releases.releases().spare
        is_last = spare is not None and failed.name == spare.name
        return self._check if is_last or other is None else other

    def live(self) -> LiveRelease | None:
        """The live release; the check while there is none; None with neither."""
        return self._releases.releases().live or self._check

    @property
    def is_answering(self) -> bool:
        """Whether the check answers because no release is ready."""
        return self._releases.releases().live is None and self._check is not None

    def _tell(self) -> None:
        """Log when the check begins to answer, and when it ends."""
        if self.is_answering == self._was_answering:
            return
        self._was_answering = self.is_answering
        extra = {"line": str(self._line)}
        if self._was_answering:
            _log.error("no engine runs, the rule-based check answers", extra=extra)
        else:
            _log.info("a release answers again", extra=extra)

    def _hold(self, found: tuple[Check, str] | None) -> None:
        if found is None:
            return
        check, name = found
        limit = min(check.contract.input.max_pixels, self._max_pixels)
        spec = check.contract.input.model_copy(update={"max_pixels": limit})
        contract = check.contract.model_copy(update={"input": spec})
        limited = check.model_copy(update={"contract": contract})
        self._check = LiveRelease(
            name=f"{PREFIX}@{name}",
            number=0,
            bundle=Bundle(self._cache, name, contract, check.rule, (FILE,), ()),
            inspector=RuleBasedInspector(limited, name),
            graph_hash=sha256(check.to_bytes()),
            since=datetime.now(UTC),
        )
        _log.info("rule-based check is ready", extra={"check": name})
