"""One frame's way through the server: worker, engine, decision, spool, answer. Knows no gRPC call.

A few workers look at frames at once, each on one core; whoever calls waits for a free one. The
caller's own thread does the work, so that a frame is never handed from thread to thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from queue import SimpleQueue

from inspection.inspector import Inspection
from serve.frame import MAX_NAME_CHARACTERS, IncomingFrame, RawFrame
from serve.release import LiveRelease
from serve.rows import Identity, Row, context_row, decision_row, error_row
from serve.spool import Spool
from serve.statuses import NoRelease, Problem, problem
from store.errors import VisionError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decision:
    """A verdict that is in the spool under `sequence`."""

    frame_id: str
    sequence: int
    release: LiveRelease
    inspection: Inspection
    total_ms: float


@dataclass(frozen=True)
class Failure:
    """A frame that got no verdict, and why; `sequence` is 0 when the spool takes no rows."""

    frame_id: str
    sequence: int
    problem: Problem
    total_ms: float


@dataclass(frozen=True)
class _Arrival:
    """A frame and when it came."""

    frame: IncomingFrame
    started: float = field(default_factory=time.perf_counter)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.started) * 1000


class Handler:
    """Answers frames; may be called from many threads."""

    def __init__(
        self,
        identity: Identity,
        live: Callable[[], LiveRelease | None],
        spool: Spool,
        workers: int,
    ) -> None:
        """Answer with whatever release `live` gives at the moment a worker takes the frame."""
        self.identity = identity
        self._live = live
        self._spool = spool
        self._workers = workers
        # A queue of tokens: `threading.Semaphore` is written in Python and several times slower.
        self._free: SimpleQueue[int] = SimpleQueue()
        for worker in range(workers):
            self._free.put(worker)

    @property
    def is_idle(self) -> bool:
        """Whether no frame is being worked on."""
        return self._free.qsize() == self._workers

    def answer(self, frame: IncomingFrame) -> Decision | Failure:
        """The answer for one frame; it is in the spool, whatever it is."""
        arrival = _Arrival(frame)
        try:
            return self._judge(arrival)
        except Exception as error:  # noqa: BLE001 - the process edge: one frame never ends it
            return self._fail(arrival, error)

    def _judge(self, arrival: _Arrival) -> Decision:
        frame = arrival.frame
        frame.check()
        with self._worker():
            release = self._release()
            inspection = _inspect(frame, release)
        row = context_row(frame, self.identity, arrival.received_at)
        row |= decision_row(frame, release, inspection, arrival.elapsed_ms())
        sequence = self._spool.append(row)
        if _log.isEnabledFor(logging.DEBUG):
            names = ("frame_id", "camera", "release", "verdict", "score", "total_ms")
            _log.debug("decision", extra={"sequence": sequence, **{n: row[n] for n in names}})
        return Decision(frame.frame_id, sequence, release, inspection, arrival.elapsed_ms())

    def _release(self) -> LiveRelease:
        release = self._live()
        if release is None:
            raise NoRelease(
                f"line {self.identity.line} has no live release here, and the unknown is never "
                "passed: promote a bundle, or ask GetServerInfo why the newest is not live"
            )
        return release

    def _fail(self, arrival: _Arrival, error: Exception) -> Failure:
        found, sequence = problem(error), 0
        try:
            sequence = self._spool.append(self._failure_row(arrival, found))
        except Exception as second:  # noqa: BLE001 - the process edge: an answer in any case
            found, error = problem(second), second
        _log_failure(arrival.frame, found, error, sequence)
        frame_id = arrival.frame.frame_id[:MAX_NAME_CHARACTERS]
        return Failure(frame_id, sequence, found, arrival.elapsed_ms())

    def _failure_row(self, arrival: _Arrival, found: Problem) -> Row:
        release = self._live()
        row = context_row(arrival.frame, self.identity, arrival.received_at)
        return row | error_row(found, release.name if release else "", arrival.elapsed_ms())

    @contextmanager
    def _worker(self) -> Iterator[None]:
        worker = self._free.get()
        try:
            yield
        finally:
            self._free.put(worker)


def _inspect(frame: IncomingFrame, release: LiveRelease) -> Inspection:
    payload, inspector = frame.payload, release.inspector
    if isinstance(payload, RawFrame):
        pixels = payload.pixels(inspector.contract.input.max_pixels)
        return inspector.inspect_pixels(pixels, frame.context)
    assert payload is not None  # `check` has refused it
    return inspector.inspect(payload, frame.context)


def _log_failure(frame: IncomingFrame, found: Problem, error: Exception, sequence: int) -> None:
    """One line for a frame that was not judged; what is not the client's fault is told in full."""
    extra = {
        "frame_id": frame.frame_id[:MAX_NAME_CHARACTERS],
        "camera": frame.camera[:MAX_NAME_CHARACTERS],
        "error": found.code,
        "status": found.status.name,
        "sequence": sequence,
    }
    if not found.error_id:
        _log.warning("frame not judged", extra=extra)
        return
    extra |= {"error_id": found.error_id, "detail": f"{type(error).__name__}: {error}"}
    traceback = None if isinstance(error, VisionError) else error
    _log.error("frame not judged", extra=extra, exc_info=traceback)
