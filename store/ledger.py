"""The release ledger of a line: create-only entries, chained by hash; what is live is a fold.

Number orders; time never decreases. Entry N holds the hash of entry N-1, so that a changed or
missing entry is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from store import documents, layout
from store.errors import Conflict, Corrupt, NotFound
from store.hashing import canonical_json, sha256
from store.keys import LineKey
from store.root import Store

Action = Literal["promote", "rollback"]


class Draft(BaseModel):
    """What somebody wants to enter.

    ``promote`` makes a bundle live. ``rollback`` makes the bundle of an earlier release live again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: Action
    bundle: str
    who: str = Field(min_length=1)
    why: str = ""
    forced: bool = Field(False, description="gates had failed; `why` is the reason given")
    evidence: dict[str, Any] = Field(default_factory=dict)


class Entry(Draft):
    """One entry of the ledger."""

    number: int = Field(ge=1)
    time: AwareDatetime
    previous: str = Field("", description="SHA-256 of the entry before; empty for the first")

    def release_of(self, line: LineKey) -> str:
        """The name of the release this entry made live, such as ``turin/press-3@17``."""
        return f"{line}@{self.number}"


def entries(store: Store, line: LineKey) -> list[Entry]:
    """All entries of a line in order, with the chain checked.

    Raises:
        Corrupt: when an entry is missing, out of order or not the one that the next one names.
    """
    folder = layout.releases(line)
    found: list[Entry] = []
    previous = ""
    for position, number in enumerate(documents.numbers(store, folder), start=1):
        document = documents.read(store, folder, number)
        entry = Entry.model_validate(document)
        if number != position or entry.number != number or entry.previous != previous:
            raise Corrupt(
                f"{folder}: entry {number} does not follow entry {position - 1}; the ledger was "
                "changed outside this program: restore it from a backup"
            )
        previous = sha256(canonical_json(document))
        found.append(entry)
    return found


def append(store: Store, line: LineKey, draft: Draft, after: int | None = None) -> Entry:
    """Append one entry.

    Args:
        store: Where the ledger is.
        line: Whose ledger.
        draft: What is entered.
        after: The number of the last entry the caller has seen; None for whatever is last.

    Raises:
        Conflict: when another writer appended an entry in between; nothing was changed.
    """
    known = entries(store, line)
    if after is not None and after != len(known):
        raise Conflict(f"{line}: release {len(known)} was made meanwhile; look and try again")
    folder = layout.releases(line)
    now = datetime.now(UTC)
    previous = ""
    if known:
        now = max(now, known[-1].time)
        previous = sha256(canonical_json(documents.read(store, folder, len(known))))
    entry = Entry(**draft.model_dump(), number=len(known) + 1, time=now, previous=previous)
    documents.create(store, folder, entry.number, entry.model_dump(mode="json"))
    return entry


def live(known: Sequence[Entry], at: datetime | None = None) -> Entry | None:
    """The entry that was live at `at` (now when None), or None before the first.

    Raises:
        ValueError: when `at` has no time zone.
    """
    if at is not None and at.tzinfo is None:
        raise ValueError("`at` needs a time zone")
    past = [entry for entry in known if at is None or entry.time <= at]
    return past[-1] if past else None


def entry(store: Store, line: LineKey, number: int) -> Entry:
    """The entry of that number.

    Raises:
        NotFound: when there is none.
    """
    known = entries(store, line)
    if not 1 <= number <= len(known):
        raise NotFound(f"line {line} has no release {number}; it has 1 to {len(known)}")
    return known[number - 1]
