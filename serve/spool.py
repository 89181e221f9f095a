"""The durable local spool: every decision is a row here before it is acknowledged.

*Durable* means: in the kernel's buffers when `Spool.append` returns, so that the death of the
process loses nothing; on disk at most ``commit_s`` plus one sync later, so that a power cut loses
no more than that. In strict mode `append` returns when the row is on disk.

Rows are numbered without a gap; the numbering goes on after a restart, above every number that can
be read. A torn record at the end of a segment (a power cut, a full disk) was never acknowledged in
strict mode; `serve.replay` reads all others, around any damage. A new start begins a new segment
and never changes an old one.

Disk policy: a segment whose rows were all shipped is deleted when it is older than ``keep_s``, and
sooner when the spool comes near ``max_bytes``. When that is not enough, the policy is either to
drop the oldest rows, which is logged and counted, or to take no more: no verdict without a record.
The newest segment stays in any case: it carries the numbering.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from serve.claim import claim
from serve.replay import log_loss, records, sync_file
from serve.segment import (
    MAX_PAYLOAD_BYTES,
    Record,
    Segment,
    first_sequence,
    impostors,
    segments,
)
from store.errors import Unavailable

_log = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PROBE_BYTES = 2**16
_TIDY_S = 1.0
_SPARE_SEGMENTS = 2  # so near to the limit, what was shipped goes before its time


@dataclass(frozen=True)
class SpoolLimits:
    """How a spool is kept.

    Attributes:
        segment_bytes: A segment that has reached this size is closed.
        max_bytes: Size of all segments over which rows are dropped or refused.
        commit_s: Pause before each sync, in which rows gather for it, seconds.
        strict: Whether `append` waits for the sync.
        when_full: What gives way at `max_bytes`: the oldest rows that were not shipped
            (``drop_oldest``), or new ones (``refuse``).
        keep_s: Age from which segments that were shipped are deleted, seconds.
    """

    segment_bytes: int = 16 * 2**20
    max_bytes: int = 4096 * 2**20
    commit_s: float = 0.005
    strict: bool = False
    when_full: Literal["drop_oldest", "refuse"] = "drop_oldest"
    keep_s: float = math.inf


@dataclass(frozen=True)
class SpoolState:
    """What a spool holds at a moment.

    Attributes:
        next_sequence: Number of the next row.
        synced_sequence: Rows below this number are on disk.
        bytes: Size of all segments.
        dropped: Rows that were deleted since the start without having been shipped.
        fault: Why no row can be taken, and what to do; empty when one can.
    """

    next_sequence: int
    synced_sequence: int
    bytes: int
    dropped: int
    fault: str


class Spool:
    """A spool that is being written, by one process; safe to call from many threads."""

    def __init__(
        self,
        folder: Path,
        limits: SpoolLimits | None = None,
        shipped: Callable[[], int] = lambda: 0,
        lowest: int = 1,
    ) -> None:
        """Open the spool in `folder`, created when needed, and go on after its last row.

        Args:
            folder: Where the segments are.
            limits: How it is kept.
            shipped: Rows below the number that it gives are everywhere that they are to go.
            lowest: New rows get no number below this one, even when somebody has taken all
                segments away: those below it count as shipped.

        Raises:
            Conflict: when another process writes it.
            Unavailable: when the folder cannot be written.
        """
        self._limits = limits or SpoolLimits()
        self.folder = folder
        self._shipped = shipped
        advice = "end it, or give each server a folder of its own"
        self._lock_file = claim(folder, "a server for this line", advice)
        _require_no_impostor(folder, self._lock_file)
        self._next = self._synced = max(_next_sequence(folder), lowest)
        self._closed = deque((first_sequence(p), p, p.stat().st_size) for p in segments(folder))
        for _, path, _ in self._closed:  # a process that was killed has not synced all of them
            sync_file(path)
        self._bytes = sum(size for _, _, size in self._closed)
        self._current: Segment | None = None
        self._retired: list[Segment] = []
        self._named: Segment | None = None  # the last segment whose name is on disk
        self._dropped = 0
        self._fault = ""  # ends with the process
        self._errno: int | None = None  # of the last write that failed
        self._write_fault = ""  # ends with the next write that succeeds
        self._lock = threading.Lock()
        self._syncs = threading.Condition(self._lock)
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._commit_often, name="spool", daemon=True)
        self._thread.start()

    def append(self, row: Mapping[str, object]) -> int:
        """Keep one row of JSON values; NaN and infinities become null.

        Returns:
            Its sequence number.

        Raises:
            Unavailable: when it could not be written; then it is not in the spool.
            ValueError: when it is larger than a record may be.
            TypeError: when it holds what JSON does not know.
        """
        payload = orjson.dumps(row)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a row of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} fit")
        with self._lock:
            self._check()
            sequence = self._next
            self._write(sequence, payload)
            self._next = sequence + 1
        if not self._dirty.is_set():  # asking is ten times cheaper than setting
            self._dirty.set()
        if self._limits.strict:
            self._wait_for_sync(sequence)
        return sequence

    def state(self) -> SpoolState:
        """What it holds now."""
        with self._lock:
            fault = self._fault or self._write_fault or self._refusal()
            return SpoolState(self._next, self._synced, self._bytes, self._dropped, fault)

    @property
    def lacks_room(self) -> bool:
        """Whether the last row could not be written because the disk is full."""
        return bool(self._write_fault) and self._errno in _FULL

    def try_again(self) -> None:
        """After a write that failed, look whether there is room again; else do nothing.

        Whoever obeys the health state sends no frame while there is a fault, so that no row would
        ever find out that it is over.
        """
        with self._lock:
            if not self._write_fault:
                return
            probe = self.folder / "probe"
            try:
                probe.write_bytes(bytes(_PROBE_BYTES))
                self._write_fault = ""
                _log.info("spool can be written again", extra={"folder": str(self.folder)})
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
        with self._lock:
            self._fault = self._fault or "the server is stopping"
            if self._current:
                self._current.close()
                self._current = None
        os.close(self._lock_file)

    def _check(self) -> None:
        fault = self._fault or self._refusal()
        if fault:
            raise Unavailable(f"no decision can be recorded, so none is given: {fault}")

    def _refusal(self) -> str:
        """Why the disk policy takes no row; empty when it does."""
        limits = self._limits
        if limits.when_full != "refuse" or self._bytes < limits.max_bytes:
            return ""
        return (
            f"{self.folder}: {self._bytes} bytes wait to be shipped, and more than "
            f"{limits.max_bytes} may not: mend what they are shipped to, or allow more"
        )

    def _write(self, sequence: int, payload: bytes) -> None:
        """Write one record, in a new segment when the current one is full."""
        try:
            current = self._current
            if current and current.size >= self._limits.segment_bytes:
                self._retired.append(current)
                current = self._current = None
            if current is None:
                current = self._current = Segment(self.folder, sequence)
            before = current.size
            current.append(sequence, payload)
            self._bytes += current.size - before
            self._write_fault = ""
        except OSError as error:
            if not self._write_fault:
                _log.error("spool cannot be written", extra={"error": str(error)})
            self._write_fault = self._unwritable(error)
            raise Unavailable(
                f"no decision can be recorded, so none is given: {self._write_fault}"
            ) from error

    def _unwritable(self, error: OSError) -> str:
        self._errno = error.errno
        return (
            f"{self.folder}: {error.strerror}; make room or mend the disk: "
            "decisions are taken again as soon as they can be written"
        )

    def _wait_for_sync(self, sequence: int) -> None:
        with self._syncs:
            while self._synced <= sequence:
                if self._fault:
                    self._check()
                self._syncs.wait()

    def _commit_often(self) -> None:
        tidied = time.monotonic()
        while not self._stopping.is_set():
            if self._dirty.wait(_TIDY_S):
                if not self._limits.strict:
                    self._stopping.wait(self._limits.commit_s)
                self._dirty.clear()
                try:
                    self._commit()
                except OSError as error:
                    self._fail(error)
            if self._is_near_limit() or time.monotonic() - tidied >= _TIDY_S:
                tidied = time.monotonic()
                self._tidy()
        if not self._fault:
            self._commit()
            self._tidy()

    def _commit(self) -> None:
        """One sync for all rows written since the last one."""
        with self._lock:
            through, current = self._next, self._current
            retired, self._retired = self._retired, []
        for segment in [*retired, *([current] if current else [])]:
            segment.sync()
        if retired or current is not self._named:
            sync_file(self.folder)
            self._named = current
        with self._lock:
            self._synced = through
            self._syncs.notify_all()
            for segment in retired:
                segment.close()
                self._closed.append((segment.first, segment.path, segment.size))

    def _is_near_limit(self) -> bool:
        """Whether room is wanted sooner than by age: the limit is near, or the disk is full."""
        spare_bytes = _SPARE_SEGMENTS * self._limits.segment_bytes
        return bool(self._write_fault) or self._bytes > self._limits.max_bytes - spare_bytes

    def _tidy(self) -> None:
        """Delete what the disk policy says, oldest first."""
        shipped, limits = self._shipped(), self._limits
        while self._closed and (following := self._after_oldest()) is not None:
            first, path, size = self._closed[0]
            is_shipped = following <= shipped
            must_go = self._bytes > limits.max_bytes and limits.when_full == "drop_oldest"
            if not must_go and not (is_shipped and (self._is_near_limit() or self._is_old(path))):
                return
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _log.error("spool cannot be tidied", extra={"error": str(error)})
                return
            self._closed.popleft()
            lost = 0 if is_shipped else following - max(first, shipped)
            with self._lock:
                self._bytes -= size
                self._dropped += lost
            if lost:
                extra = {"rows": lost, "last": following - 1, "max_bytes": limits.max_bytes}
                _log.error("spool is full: decisions deleted that were never shipped", extra=extra)

    def _is_old(self, path: Path) -> bool:
        with suppress(OSError):
            return time.time() - path.stat().st_mtime > self._limits.keep_s
        return True

    def _after_oldest(self) -> int | None:
        """The first sequence after the oldest closed segment; None when it is the newest of all."""
        if len(self._closed) > 1:
            return self._closed[1][0]
        with self._lock:
            waiting = self._retired or ([self._current] if self._current else [])
            return waiting[0].first if waiting else None

    def _fail(self, error: OSError) -> None:
        """After a failed sync nobody knows what is on disk: take no more rows until a restart."""
        _log.error("spool cannot be synced", extra={"error": str(error)})
        with self._lock:
            self._fault = f"{self.folder}: {error.strerror}; mend the disk and restart the server"
            self._syncs.notify_all()


def _require_no_impostor(folder: Path, lock_file: int) -> None:
    """Refuse what stands where a segment would be written."""
    if found := impostors(folder):
        os.close(lock_file)
        raise Unavailable(
            f"{found[0]} has the name of a spool's segment and is no file: move it away"
        )


def _next_sequence(folder: Path) -> int:
    """The number after the last row; a last segment that holds no whole record is deleted.

    Only the last segment is read: the rows of all others come before its name.
    """
    paths = segments(folder)
    if not paths:
        return 1
    following = first_sequence(paths[-1])
    for found in records(paths[-1], None):
        if isinstance(found, Record):
            following = found.sequence + 1
        elif found.is_torn:
            extra = {"file": found.segment, "torn_bytes": found.size, "next": following}
            _log.warning("spool ended in a torn record", extra=extra)
        else:
            log_loss(found)
    if following == first_sequence(paths[-1]):
        paths[-1].unlink()
    return following
