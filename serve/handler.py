"""One frame's way through the server: turn, engine, decision, spool, answer. Knows no gRPC call.

A few workers look at frames at once, each on one core; who is next, `serve.turns` says. The
caller's own thread does the work, so that a frame is never handed from thread to thread.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from inspection.decision import Label
from inspection.inspector import Inspection
from serve.frame import MAX_NAME_CHARACTERS, IncomingFrame
from serve.release import LiveRelease
from serve.rows import Identity, Row, context_row, decision_row, error_row, unjudged_row
from serve.spool import Spool
from serve.statuses import NoRelease, Problem, problem
from serve.turns import Stream, Turns, Waiter
from store.errors import Unavailable, VisionError

_log = logging.getLogger(__name__)

_WAITED = 0.9
"""Share of a client's time that its frame may wait, so that a late answer still reaches it."""

Observer = Callable[[IncomingFrame, Row], None]
"""Told of every frame and its row, once it is in the spool and before its answer leaves."""


class Releases(Protocol):
    """Who answers a frame."""

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        """The release that answers a frame now, or None while there is none."""

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        """Who answers a frame on which the engine of a release has just failed, or None."""


@dataclass(frozen=True)
class Decision:
    """A verdict that is in the spool under `sequence`."""

    frame_id: str
    sequence: int
    release: LiveRelease
    inspection: Inspection
    wait_ms: float
    total_ms: float


@dataclass(frozen=True)
class Unjudged:
    """A frame that nobody looked at in time, with the verdict that the policy gives it.

    Attributes:
        why: ``late`` or ``queue_full``.
        release: The name of the release that would have answered; empty while there is none.
    """

    frame_id: str
    sequence: int
    label: Label
    why: str
    release: str
    wait_ms: float
    total_ms: float


@dataclass(frozen=True)
class Failure:
    """A frame that got no verdict, and why; `sequence` is 0 when the spool takes no rows."""

    frame_id: str
    sequence: int
    problem: Problem
    total_ms: float


Outcome = Decision | Unjudged | Failure


@dataclass(frozen=True)
class LatePolicy:
    """What becomes of frames that cannot be looked at in time.

    Attributes:
        deadline_s: How long a frame may wait for its turn; infinite: for ever.
        label: The verdict of one that has waited longer, or that finds its queue full.
    """

    deadline_s: float = math.inf
    label: Label = Label.REVIEW


@dataclass(frozen=True)
class Arrival:
    """A frame and when it came."""

    frame: IncomingFrame
    started: float = field(default_factory=time.perf_counter)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def elapsed_ms(self) -> float:
        """How long ago that was."""
        return (time.perf_counter() - self.started) * 1000


class Handler:
    """Answers the frames of one line; may be called from many threads."""

    def __init__(
        self,
        identity: Identity,
        releases: Releases,
        spool: Spool,
        turns: Turns,
        late: LatePolicy,
        observers: Sequence[Observer] = (),
    ) -> None:
        """Answer with the release that `releases` gives at the moment a frame has its turn."""
        self.identity = identity
        self.late = late
        self._releases = releases
        self._spool = spool
        self.turns = turns
        self._observers = tuple(observers)
        self._began: dict[int, float] = {}  # frames in work, by thread

    def oldest_s(self) -> float:
        """For how many seconds the oldest frame has been in work; 0 when none is."""
        began = list(self._began.values())
        return time.monotonic() - min(began) if began else 0.0

    def answer(self, frame: IncomingFrame, time_left_s: float = math.inf) -> Outcome:
        """The answer for one frame, in the spool whatever it is.

        Args:
            frame: The frame.
            time_left_s: How long the client still waits.
        """
        arrival = Arrival(frame)
        try:
            refused = self.turns.take(*self._wait_of(frame, time_left_s))
        except Exception as error:  # noqa: BLE001 - the process edge: one frame never ends it
            return self._fail(arrival, error)
        return self.refuse(arrival, refused) if refused else self.judge(arrival)

    def queue(
        self, arrival: Arrival, time_left_s: float, tell: Callable[[str], None]
    ) -> Failure | None:
        """Let a frame wait for its turn without a thread that waits.

        Args:
            arrival: The frame.
            time_left_s: How long the client still waits.
            tell: Called once, at once or by another thread: with nothing, for `judge`; with why
                there is no turn, for `refuse`.

        Returns:
            None, or the answer for a frame that cannot be taken; then `tell` is not called.
        """
        try:
            waiter = Waiter(*self._wait_of(arrival.frame, time_left_s), tell)
        except Exception as error:  # noqa: BLE001 - the process edge: one frame never ends it
            return self._fail(arrival, error)
        if self.turns.ask(waiter):
            tell("")
        return None

    def judge(self, arrival: Arrival) -> Outcome:
        """The answer for a frame whose turn it is; ends the turn."""
        wait_ms = arrival.elapsed_ms()
        worker = threading.get_ident()
        self._began[worker] = time.monotonic()
        try:
            try:
                release, inspection = self._inspect(arrival.frame)
            finally:
                self.turns.give_back()
                del self._began[worker]
            return self._decide(arrival, release, inspection, wait_ms)
        except Exception as error:  # noqa: BLE001 - the process edge: one frame never ends it
            return self._fail(arrival, error)

    def refuse(self, arrival: Arrival, why: str) -> Outcome:
        """The answer for a frame that got no turn: the policy's verdict, recorded like any other.

        Args:
            arrival: The frame.
            why: `serve.turns.LATE` or `QUEUE_FULL`.
        """
        wait_ms = arrival.elapsed_ms()
        try:
            live = self._releases.choose(arrival.frame)
            release = live.name if live else ""
            row = context_row(arrival.frame, self.identity, arrival.received_at)
            row |= unjudged_row(self.late.label, why, release, wait_ms)
            sequence = self._record(arrival.frame, row)
        except Exception as error:  # noqa: BLE001 - the process edge: one frame never ends it
            return self._fail(arrival, error)
        _log.warning("frame not looked at", extra=_told(row) | {"sequence": sequence, "why": why})
        return Unjudged(
            frame_id=arrival.frame.frame_id,
            sequence=sequence,
            label=self.late.label,
            why=why,
            release=release,
            wait_ms=wait_ms,
            total_ms=arrival.elapsed_ms(),
        )

    def _wait_of(self, frame: IncomingFrame, time_left_s: float) -> tuple[Stream, float]:
        """Whose turns the frame takes, and until when it waits, on the monotonic clock."""
        frame.check()
        stream = Stream(self.identity.line, frame.camera)
        return stream, time.monotonic() + min(self.late.deadline_s, _WAITED * time_left_s)

    def _decide(
        self, arrival: Arrival, release: LiveRelease, inspection: Inspection, wait_ms: float
    ) -> Decision:
        frame = arrival.frame
        row = context_row(frame, self.identity, arrival.received_at)
        row |= decision_row(frame, release, inspection, wait_ms, arrival.elapsed_ms())
        sequence = self._record(frame, row)
        if _log.isEnabledFor(logging.DEBUG):
            _log.debug("decision", extra=_told(row) | {"sequence": sequence})
        return Decision(
            frame.frame_id, sequence, release, inspection, wait_ms, arrival.elapsed_ms()
        )

    def _record(self, frame: IncomingFrame, row: Row) -> int:
        started = time.perf_counter()
        sequence = self._spool.append(row)
        spool_ms = (time.perf_counter() - started) * 1000
        recorded = {"sequence": sequence, **row, "spool_ms": spool_ms}
        for observe in self._observers:
            try:
                observe(frame, recorded)
            except Exception:  # noqa: BLE001 - who only watches does not touch an answer
                _log.exception("frame not observed", extra={"sequence": sequence})
        return sequence

    def _inspect(self, frame: IncomingFrame) -> tuple[LiveRelease, Inspection]:
        """The release that answers, and its answer; when its engine fails, another one's."""
        release, failed = self._release(frame), set[str]()
        while True:
            try:
                return release, release.inspect(frame)
            except Unavailable as error:  # of its engine; what is the frame's, others share
                failed.add(release.name)
                other = self._releases.instead_of(release)
                if other is None or other.name in failed:
                    raise
                extra = {"release": release.name, "instead": other.name, "error": str(error)}
                _log.error("release failed on a frame, another one answers", extra=extra)
                release = other

    def _release(self, frame: IncomingFrame) -> LiveRelease:
        release = self._releases.choose(frame)
        if release is None:
            raise NoRelease(
                f"line {self.identity.line} has no live release here, and the unknown is never "
                "passed: promote a bundle, or ask GetServerInfo why the newest is not live"
            )
        return release

    def _fail(self, arrival: Arrival, error: Exception) -> Failure:
        found, sequence = problem(error), 0
        arrival = replace(arrival, frame=arrival.frame.recordable())
        try:
            sequence = self._record(arrival.frame, self._failure_row(arrival, found))
        except Exception as second:  # noqa: BLE001 - the process edge: an answer in any case
            found, error = problem(second), second
        _log_failure(self.identity.line, arrival.frame, found, error, sequence)
        frame_id = arrival.frame.frame_id[:MAX_NAME_CHARACTERS]
        return Failure(frame_id, sequence, found, arrival.elapsed_ms())

    def _failure_row(self, arrival: Arrival, found: Problem) -> Row:
        release = self._releases.choose(arrival.frame)
        row = context_row(arrival.frame, self.identity, arrival.received_at)
        return row | error_row(found, release.name if release else "", arrival.elapsed_ms())


def _told(row: Row) -> Row:
    """What a log line holds of a row."""
    names = ("line", "frame_id", "camera", "release", "verdict", "score", "total_ms")
    return {name: row[name] for name in names}


def _log_failure(
    line: str, frame: IncomingFrame, found: Problem, error: Exception, sequence: int
) -> None:
    """One line for a frame that was not judged; what is not the client's fault is told in full."""
    extra = {
        "line": line,
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
