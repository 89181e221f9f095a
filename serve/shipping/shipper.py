"""Takes the rows of one spool to one place, each at least once, and lets repeats do no harm.

A range of rows is fixed in the cursor before it leaves. Killed at any moment, the next start sends
the very same range again; a place knows a row by host, boot and sequence (a file, by its range), so
that it is there once. Rows are on this host's disk before they leave.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from serve.replay import Tail, row_of
from serve.segment import MAX_PAYLOAD_BYTES, Record
from serve.shipping import cursor
from serve.shipping.cursor import Cursor, Progress
from store.errors import VisionError

_log = logging.getLogger(__name__)

Row = dict[str, Any]

_LOOK_S = 0.5


@dataclass(frozen=True)
class Pace:
    """How rows are gathered into ranges, and attempts repeated.

    Attributes:
        most_rows: A range has at most so many rows.
        most_bytes: And so many bytes in the spool (one row may have more).
        wait_s: A range that is not full leaves when its first row has waited so long, seconds.
        retry_s: Pause after the first failure; it doubles with each, seconds.
        most_retry_s: Up to this, seconds.
    """

    most_rows: int = 500
    most_bytes: int = 4 * 2**20
    wait_s: float = 0.5
    retry_s: float = 1.0
    most_retry_s: float = 60.0


class Sink(Protocol):
    """A place for rows."""

    name: str
    pace: Pace

    def open(self) -> None:
        """Get ready, unless it is; called before each look for rows.

        Raises:
            VisionError, OSError: when the place cannot be reached now.
        """

    def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """Bring the rows of a range there; those that are there already stay as they are.

        Args:
            first: Number of the range's first row.
            last: Number of its last row.
            rows: All of them that can be read, each with its ``sequence``.

        Raises:
            VisionError, OSError: when it cannot be done now; it is tried again. The message names
                no password.
        """

    def close(self) -> None:
        """Let go of connections."""


@dataclass
class _Waiting:
    """Rows that were read and have not left."""

    records: list[Record] = field(default_factory=list)
    since: float = 0.0  # monotonic

    @property
    def bytes(self) -> int:
        return sum(record.size for record in self.records)


class Shipper:
    """One spool's way to one place."""

    def __init__(self, spool: Path, sink: Sink) -> None:
        """Nothing is read yet."""
        self._spool, self._sink = spool, sink
        self._cursor = Cursor()
        self._tail: Tail | None = None
        self._waiting = _Waiting()
        self._told: Progress | None = None

    def run(self, stopping: threading.Event) -> None:
        """Ship until told to stop; then once more what is there, unless the last attempt failed."""
        pace, failures = self._sink.pace, 0
        while not stopping.is_set():
            fault = self._try(is_due=False)
            failures = failures + 1 if fault else 0
            pause = min(pace.most_retry_s, pace.retry_s * 2 ** min(failures - 1, 16))
            stopping.wait(pause if fault else min(_LOOK_S, pace.wait_s))
        if not failures:
            self._try(is_due=True)
        self._sink.close()

    def drain(self) -> int:
        """Ship everything that is there now.

        Returns:
            How many rows.

        Raises:
            VisionError, OSError: when it could not be done, also for a cursor that is spoilt.
        """
        before = cursor.load(self._spool, self._sink.name).next
        try:
            self._fill()
            self._sink.open()
            while self._step(is_due=True):
                pass
        finally:
            self._sink.close()
        self._tell("")
        return self._cursor.next - before

    def _try(self, *, is_due: bool) -> str:
        """Ship the ranges that are due; gives why it did not go."""
        fault = ""
        bug: Exception | None = None
        try:
            self._fill()  # so that it is known what waits when the place is away
            self._sink.open()
            while self._step(is_due=is_due):
                pass
        except (VisionError, OSError) as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - the thread's edge: the next attempt may go
            fault, bug = f"unexpected {type(error).__name__}; see the server's log", error
        if fault and (self._told is None or self._told.fault != fault):
            extra = {"sink": self._sink.name, "spool": str(self._spool), "fault": fault}
            _log.warning("decisions cannot be shipped", extra=extra, exc_info=bug)
        self._tell(fault)
        return fault

    def _step(self, *, is_due: bool) -> bool:
        """Ship one range, if there is one to ship; gives whether there may be another."""
        is_full = self._fill()
        if self._cursor.through is None:
            if not self._waiting.records:
                return False
            age_s = time.monotonic() - self._waiting.since
            if not (is_full or is_due or age_s >= self._sink.pace.wait_s):
                return False
            self._following().sync()
            self._save(replace(self._cursor, through=self._waiting.records[-1].sequence))
        assert self._cursor.through is not None
        last, rows = self._cursor.through, [row_of(record) for record in self._waiting.records]
        if rows:
            self._sink.ship(self._cursor.next, last, rows)
        self._save(Cursor(last + 1))
        self._waiting = _Waiting()
        return True

    def _fill(self) -> bool:
        """Read on until a range is full, or the one that was begun is whole; gives if it is."""
        tail, pace, waiting = self._following(), self._sink.pace, self._waiting
        through = self._cursor.through
        if through is not None:
            if not waiting.records:  # begun before a restart, perhaps at another pace
                most = through - self._cursor.next + 1
                waiting.records = tail.read(most, most * MAX_PAYLOAD_BYTES, through)
            return True
        rows = pace.most_rows - len(waiting.records)
        room = pace.most_bytes - waiting.bytes
        if rows > 0 and room > 0:
            found = tail.read(rows, room)
            if found and not waiting.records:
                waiting.since = time.monotonic()
            waiting.records += found
        return len(waiting.records) >= pace.most_rows or waiting.bytes >= pace.most_bytes

    def _following(self) -> Tail:
        """The spool from where the cursor says."""
        if self._tail is None:
            self._cursor = cursor.load(self._spool, self._sink.name)
            self._tail = Tail(self._spool, self._cursor.next)
        return self._tail

    def _save(self, following: Cursor) -> None:
        cursor.save(self._spool, self._sink.name, following)
        self._cursor = following

    def _tell(self, fault: str) -> None:
        first = self._waiting.records[0] if self._waiting.records else None
        oldest = str(row_of(first).get("received_at", "")) if first else ""
        told = Progress(fault, oldest, self._tail.lost if self._tail else 0)
        if told != self._told:
            cursor.tell(self._spool, self._sink.name, told)
            self._told = told
