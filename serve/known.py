"""The ledger as this host knows it: the store's, checked against what was seen before.

A ledger only grows. What was seen is kept here, so that a server starts without its store, and so
that one from which entries were taken away is noticed.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from store import documents, layout, ledger
from store.errors import Corrupt, NotFound, VisionError
from store.hashing import canonical_json
from store.keys import LineKey
from store.ledger import Draft, Entry
from store.root import Store
from store.signing import Believed, PublicKeys

_log = logging.getLogger(__name__)

FILE = "ledger.json"
MEMORY = ".known"
"""Folder, in that of the cached bundles, of what a line's server remembers."""
_READ_AGAIN_S = 30.0
_UNREADABLE, _NEVER = -1, -2


@dataclass(frozen=True)
class Known:
    """The ledger at one look.

    Attributes:
        believed: The entries that count.
        count: How many entries there are.
        fault: Why this is not, or not all of, what the store says; empty when it is.
        is_current: Whether the store was read; else this is what was seen before.
    """

    believed: tuple[Entry, ...]
    count: int
    fault: str
    is_current: bool


class KnownLedger:
    """The ledger of one line; one thread uses it."""

    def __init__(
        self, store: Store, line: LineKey, folder: Path, keys: PublicKeys | None = None
    ) -> None:
        """Keep what was seen in `folder`; believe everybody when `keys` is None."""
        self.line = line
        self._store, self._keys = store, keys
        self._place = Store(str(folder))
        self._seen = self._read_seen()
        self._looked_at, self._read_again_at = _NEVER, 0.0

    def has_changed(self) -> bool:
        """Whether there are more or fewer entries than at the last look, or it was long ago.

        An entry that somebody has rewritten does not change their number: reading all of them
        finds it, which is done now and then.
        """
        return time.monotonic() >= self._read_again_at or self._count() != self._looked_at

    def look(self) -> Known:
        """The ledger now; with a fault, what was seen before."""
        self._looked_at = self._count()
        self._read_again_at = time.monotonic() + _READ_AGAIN_S
        try:
            known = ledger.entries(self._store, self.line)
            self._require_growth(known)
        except VisionError as error:
            return self._known(self._seen, str(error), is_current=False)
        except OSError as error:
            fault = f"the store {self._store.url} cannot be read: {error.strerror}"
            return self._known(self._seen, fault, is_current=False)
        self._remember(known)
        return self._known(known, "", is_current=True)

    def record(self, draft: Draft, after: int) -> Entry:
        """Append an entry after the number of entries that was seen.

        Raises:
            Conflict: when somebody was first.
            OSError: when the store cannot be written.
        """
        return ledger.append(self._store, self.line, draft, after)

    def _known(self, entries: Sequence[Entry], fault: str, *, is_current: bool) -> Known:
        believed = Believed(tuple(entries))
        if self._keys is not None:
            believed = self._keys.believe(self.line, entries)
        if believed.refused and believed.refused[-1].entry.number == len(entries) and not fault:
            newest = believed.refused[-1]
            fault = (
                f"entry {newest.entry.number} of the ledger of line {self.line} is refused: "
                f"{newest.why}; enter it again with a known key"
            )
        return Known(believed.entries, len(entries), fault, is_current)

    def _count(self) -> int:
        """How many entries the store holds; `_UNREADABLE` when it cannot say."""
        try:
            return len(documents.numbers(self._store, layout.releases(self.line)))
        except OSError:
            return _UNREADABLE

    def _require_growth(self, known: Sequence[Entry]) -> None:
        """Refuse a ledger that lacks, or has changed, what was seen here."""
        if not known and not self._store.exists(""):
            raise NotFound(
                f"the store {self._store.url} is not there: check that it is mounted and can be "
                "reached"
            )
        if len(known) < len(self._seen):
            raise NotFound(
                f"the ledger of line {self.line} in {self._store.url} has {len(known)} entries, "
                f"{len(self._seen)} were seen here: check that the store can be reached; entries "
                f"that were removed are restored from a backup{self._unless_new()}"
            )
        if not known:
            raise NotFound(
                f"the ledger of line {self.line} in {self._store.url} has 0 entries: check that "
                "the store can be reached, or promote a bundle"
            )
        for seen, entry in zip(self._seen, known, strict=False):
            if seen.document() != entry.document():
                raise Corrupt(
                    f"entry {entry.number} of the ledger of line {self.line} in {self._store.url} "
                    "is not the one that was seen here: it was changed outside this program: "
                    f"restore it from a backup{self._unless_new()}"
                )

    def _unless_new(self) -> str:
        return f"; if the line was begun anew, stop, delete {self._place.url} and start"

    def _remember(self, known: Sequence[Entry]) -> None:
        if len(known) == len(self._seen):
            return
        self._seen = list(known)
        kept = canonical_json([entry.document() for entry in known])
        try:
            self._place.write(FILE, kept)
        except OSError as error:
            extra = {"file": f"{self._place.url}/{FILE}", "error": str(error)}
            _log.error("the ledger cannot be kept here", extra=extra)

    def _read_seen(self) -> list[Entry]:
        try:
            kept = json.loads(self._place.read(FILE))
            if not isinstance(kept, list):
                raise TypeError(f"{self._place.url}/{FILE} holds {type(kept).__name__}")
            return ledger.chained(f"{self._place.url}/{FILE}", list(enumerate(kept, start=1)))
        except NotFound:
            return []
        except (OSError, ValueError, TypeError, VisionError) as error:
            _log.error("the ledger that was kept here cannot be read", extra={"error": str(error)})
            return []
