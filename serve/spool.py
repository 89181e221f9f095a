"""The durable local spool: every decision is a row here before it is acknowledged.

*Durable* means: in the kernel's buffers when `Spool.append` returns, so that the death of the
process loses nothing; on disk at most ``commit_s`` plus one sync later, so that a power cut loses
no more than that. In strict mode `append` returns when the row is on disk.

Rows are numbered without a gap; the numbering goes on after a restart, above every number that can
be read. A torn record at the end of a segment (a power cut, a full disk) was never acknowledged in
strict mode, and is left out by the reader. Damage with records after it is told to the reader, who
gets all rows around it. A new start begins a new segment and never changes an old one. Over
``max_bytes`` the oldest segment is deleted, which is logged and counted.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from serve.segment import (
    MAX_PAYLOAD_BYTES,
    Damage,
    Record,
    Segment,
    first_sequence,
    parts,
    segments,
)
from store.errors import Conflict, Unavailable

_log = logging.getLogger(__name__)

_PROBE = "probe"
_PROBE_BYTES = 2**16


@dataclass(frozen=True)
class SpoolLimits:
    """How a spool is kept.

    Attributes:
        segment_bytes: A segment that has reached this size is closed.
        max_bytes: Over this size of all segments the oldest is deleted.
        commit_s: Pause between two syncs, seconds.
        strict: Whether `append` waits for the sync.
    """

    segment_bytes: int = 16 * 2**20
    max_bytes: int = 4096 * 2**20
    commit_s: float = 0.005
    strict: bool = False


@dataclass(frozen=True)
class SpoolState:
    """What a spool holds at a moment.

    Attributes:
        next_sequence: Number of the next row.
        synced_sequence: Rows below this number are on disk.
        bytes: Size of all segments.
        dropped: Rows deleted since the start because of ``max_bytes``.
        fault: Why no row can be taken, and what to do; empty when one can.
    """

    next_sequence: int
    synced_sequence: int
    bytes: int
    dropped: int
    fault: str


@dataclass(frozen=True)
class Loss:
    """Rows of a spool that cannot be read.

    Attributes:
        segment: Name of the file.
        offset: Where in it.
        size: Bytes that are damaged, or torn at the segment's end.
        first: The first row that is lost.
        last: The last one; less than `first` when none is.
        is_torn: Whether the spool simply ended here, at some time.
    """

    segment: str
    offset: int
    size: int
    first: int
    last: int
    is_torn: bool

    def __str__(self) -> str:
        """One sentence for people."""
        if self.first > self.last:
            lost = "no row is lost"
        elif self.first == self.last:
            lost = f"row {self.first} is lost"
        else:
            lost = f"rows {self.first} to {self.last} are lost"
        return f"{self.size} bytes at {self.offset} of {self.segment} are damaged: {lost}"


class Spool:
    """A spool that is being written, by one process; safe to call from many threads."""

    def __init__(self, folder: Path, limits: SpoolLimits | None = None) -> None:
        """Open the spool in `folder`, created when needed, and go on after its last row.

        Raises:
            Conflict: when another process writes it.
            Unavailable: when the folder cannot be written.
        """
        self._limits = limits or SpoolLimits()
        self._folder = folder
        self._lock_file = _lock(folder)
        self._next = self._synced = _next_sequence(folder)
        self._closed = deque((first_sequence(p), p, p.stat().st_size) for p in segments(folder))
        self._bytes = sum(size for _, _, size in self._closed)
        self._current: Segment | None = None
        self._retired: list[Segment] = []
        self._named: Segment | None = None  # the last segment whose name is on disk
        self._dropped = 0
        self._fault = ""  # ends with the process
        self._write_fault = ""  # ends with the next write that succeeds
        self._state = threading.Condition()
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._commit_often, name="spool", daemon=True)
        self._thread.start()

    def append(self, row: Mapping[str, object]) -> int:
        """Keep one row of JSON values.

        Returns:
            Its sequence number.

        Raises:
            Unavailable: when it could not be written; then it is not in the spool.
            ValueError: when it is larger than a record may be, or holds NaN or an infinity.
        """
        payload = json.dumps(row, separators=(",", ":"), allow_nan=False).encode()
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a row of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} fit")
        with self._state:
            self._check()
            sequence = self._next
            self._write(sequence, payload)
            self._next = sequence + 1
        self._dirty.set()
        if self._limits.strict:
            self._wait_for_sync(sequence)
        return sequence

    def state(self) -> SpoolState:
        """What it holds now."""
        with self._state:
            fault = self._fault or self._write_fault
            return SpoolState(self._next, self._synced, self._bytes, self._dropped, fault)

    def try_again(self) -> None:
        """After a write that failed, look whether there is room again; else do nothing.

        Whoever obeys the health state sends no frame while there is a fault, so that no row would
        ever find out that it is over.
        """
        with self._state:
            if not self._write_fault:
                return
            probe = self._folder / _PROBE
            try:
                probe.write_bytes(bytes(_PROBE_BYTES))
                self._write_fault = ""
                _log.info("spool can be written again", extra={"folder": str(self._folder)})
            except OSError as error:
                self._write_fault = self._unwritable(error)
            finally:
                with suppress(OSError):
                    probe.unlink()

    def close(self) -> None:
        """Sync, and take no more rows."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._dirty.set()
        self._thread.join()
        with self._state:
            self._fault = self._fault or "the server is stopping"
            if self._current:
                self._current.close()
                self._current = None
        os.close(self._lock_file)

    def _check(self) -> None:
        if self._fault:
            raise Unavailable(f"no decision can be recorded, so none is given: {self._fault}")

    def _write(self, sequence: int, payload: bytes) -> None:
        """Write one record, in a new segment when the current one is full."""
        try:
            if self._current and self._current.size >= self._limits.segment_bytes:
                self._retired.append(self._current)
                self._current = None
            if self._current is None:
                self._current = Segment(self._folder, sequence)
            before = self._current.size
            self._current.append(sequence, payload)
            self._bytes += self._current.size - before
            self._write_fault = ""
        except OSError as error:
            if not self._write_fault:
                _log.error("spool cannot be written", extra={"error": str(error)})
            self._write_fault = self._unwritable(error)
            raise Unavailable(
                f"no decision can be recorded, so none is given: {self._write_fault}"
            ) from error

    def _unwritable(self, error: OSError) -> str:
        return (
            f"{self._folder}: {error.strerror}; make room or mend the disk: "
            "decisions are taken again as soon as they can be written"
        )

    def _wait_for_sync(self, sequence: int) -> None:
        with self._state:
            while self._synced <= sequence:
                self._check()
                self._state.wait()

    def _commit_often(self) -> None:
        while not self._stopping.is_set():
            self._dirty.wait()
            self._dirty.clear()
            try:
                self._commit()
            except OSError as error:
                self._fail(error)
            if not self._limits.strict:
                self._stopping.wait(self._limits.commit_s)
        if not self._fault:
            self._commit()

    def _commit(self) -> None:
        """One sync for all rows written since the last one."""
        with self._state:
            through, current = self._next, self._current
            retired, self._retired = self._retired, []
        for segment in [*retired, *([current] if current else [])]:
            segment.sync()
        if retired or current is not self._named:
            _sync_folder(self._folder)
            self._named = current
        with self._state:
            self._synced = through
            self._state.notify_all()
            for segment in retired:
                segment.close()
                self._closed.append((segment.first, segment.path, segment.size))
        self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._bytes > self._limits.max_bytes and self._closed:
            first, path, size = self._closed.popleft()
            following = self._closed[0][0] if self._closed else self._first_open()
            path.unlink(missing_ok=True)
            with self._state:
                self._bytes -= size
                self._dropped += following - first
            _log.warning(
                "spool is full: oldest decisions deleted",
                extra={"first": first, "last": following - 1, "max_bytes": self._limits.max_bytes},
            )

    def _first_open(self) -> int:
        """The first sequence that no closed segment holds."""
        with self._state:
            waiting = [*self._retired, *([self._current] if self._current else [])]
            return waiting[0].first if waiting else self._next

    def _fail(self, error: OSError) -> None:
        """After a failed sync nobody knows what is on disk: take no more rows until a restart."""
        _log.error("spool cannot be synced", extra={"error": str(error)})
        with self._state:
            self._fault = f"{self._folder}: {error.strerror}; mend the disk and restart the server"
            self._state.notify_all()


def read(
    folder: Path, first: int = 1, on_loss: Callable[[Loss], None] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a spool in order, also while a server writes it; each with its ``sequence``.

    Args:
        folder: The spool's folder.
        first: Rows before this number are left out.
        on_loss: Told of each damaged place, in order; None: they are logged.
    """
    tell = on_loss or _log_loss
    for path, following in pairwise([*segments(folder), None]):
        assert path is not None  # only the last of all is
        next_first = first_sequence(following) if following else None
        if next_first is not None and next_first <= first:
            continue
        try:
            for found in _rows(path, next_first):
                if isinstance(found, Record):
                    if found.sequence >= first:
                        yield {"sequence": found.sequence, **json.loads(found.payload)}
                elif not found.is_torn:
                    tell(found)
        except FileNotFoundError:  # the server has reached its limit and deleted the segment
            continue


def _rows(path: Path, next_first: int | None) -> Iterator[Record | Loss]:
    """The records of a segment, and what is missing between them.

    Args:
        path: The segment.
        next_first: The first sequence of the segment after it; None for the last one.
    """
    expected, damage = first_sequence(path), None
    for part in parts(path):
        if isinstance(part, Damage):
            damage = part
            continue
        if damage or part.sequence > expected:
            yield _loss(path, damage, expected, part.sequence)
        yield part
        expected, damage = part.sequence + 1, None
    if damage or (next_first or expected) != expected:
        yield _loss(path, damage, expected, next_first or expected, is_end=True)


def _loss(
    path: Path, damage: Damage | None, expected: int, found: int, *, is_end: bool = False
) -> Loss:
    where = damage or Damage(path.stat().st_size, 0)
    is_torn = is_end and found == expected
    return Loss(path.name, where.offset, where.size, expected, found - 1, is_torn)


def _log_loss(loss: Loss) -> None:
    _log.error("spool is damaged", extra=vars(loss))


def _next_sequence(folder: Path) -> int:
    """The number after the last row; a last segment that holds no whole record is deleted.

    Only the last segment is read: the rows of all others come before its name.
    """
    paths = segments(folder)
    if not paths:
        return 1
    following = first_sequence(paths[-1])
    for found in _rows(paths[-1], None):
        if isinstance(found, Record):
            following = found.sequence + 1
        elif found.is_torn:
            extra = {"file": found.segment, "torn_bytes": found.size, "next": following}
            _log.warning("spool ended in a torn record", extra=extra)
        else:
            _log_loss(found)
    if following == first_sequence(paths[-1]):
        paths[-1].unlink()
    return following


def _lock(folder: Path) -> int:
    """Take the folder for this process; the kernel gives it back when the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise Unavailable(f"spool {folder}: {error.strerror}; give a writable folder") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        process = f" (process {holder})" if holder.isdigit() else ""
        raise Conflict(
            f"a server for this line seems to run already{process}: spool {folder} is in use; "
            "end it, or give each server a folder of its own"
        ) from None
    with suppress(OSError):  # only so that the next one can name us
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _sync_folder(folder: Path) -> None:
    """Make new names in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
