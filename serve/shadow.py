"""A candidate that answers beside the live release: its verdicts are recorded, never sent.

It works off the line's way: frames wait in a short queue for a thread of its own, which takes one
only while no frame of the line needs a worker. What finds no room or no time is dropped and
counted.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Full, Queue

from inspection.inspector import Inspection
from serve.frame import IncomingFrame
from serve.release import LiveRelease
from serve.rows import Row
from store.errors import VisionError

_log = logging.getLogger(__name__)

_NICE = 10
_PAUSE_S = 0.002
_CONTEXT = ("host", "boot", "line", "frame_id", "camera", "product", "serial", "captured_at")


@dataclass(frozen=True)
class ShadowLimits:
    """How much the shadow may hold.

    Attributes:
        frames: Frames that may wait; each keeps its bytes.
        patience_s: How long one may wait for a free worker, seconds.
    """

    frames: int = 8
    patience_s: float = 1.0


@dataclass(frozen=True)
class ShadowState:
    """What the shadow has done since the start.

    Attributes:
        answered: Frames whose answers are recorded.
        differing: Those of them with another verdict than the live release gave.
        dropped: Frames that found no room in the queue, or no time.
        failed: Frames that it could not answer, or whose answer could not be recorded.
    """

    answered: int = 0
    differing: int = 0
    dropped: int = 0
    failed: int = 0


class Shadow:
    """Answers beside; safe to call from many threads."""

    def __init__(
        self,
        release: Callable[[], LiveRelease | None],
        has_time: Callable[[], bool],
        record: Callable[[Row], int],
        limits: ShadowLimits | None = None,
    ) -> None:
        """Begin to work.

        Args:
            release: The candidate, or None while there is none.
            has_time: Whether a worker of the line is free.
            record: Keeps a row, or raises.
            limits: How much it may hold.
        """
        self._release, self._has_time, self._record = release, has_time, record
        self._limits = limits or ShadowLimits()
        self._queue: Queue[tuple[float, IncomingFrame, Row] | None] = Queue(self._limits.frames)
        self._lock = threading.Lock()
        self._answered = self._differing = self._dropped = self._failed = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def state(self) -> ShadowState:
        """What it has done."""
        with self._lock:
            return ShadowState(self._answered, self._differing, self._dropped, self._failed)

    def observe(self, frame: IncomingFrame, row: Row) -> None:
        """Take a frame that was judged; as an observer of the handler. Never waits."""
        if self._release() is None or "bundle" not in row:
            return
        try:
            self._queue.put_nowait((time.monotonic(), frame, row))
        except Full:
            with self._lock:
                self._dropped += 1

    def stop(self) -> None:
        """Work no more; what waits is dropped."""
        self._stopping.set()
        with suppress(Full):  # then there is something to wake up for
            self._queue.put_nowait(None)
        self._thread.join()

    def _work(self) -> None:
        # Of this thread only. Without the right to do so it goes on as it is.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while (waiting := self._queue.get()) is not None and not self._stopping.is_set():
            since, frame, row = waiting
            release = self._release()
            if release is None or not self._finds_time(since):
                with self._lock:
                    self._dropped += 1
            else:
                self._answer(release, frame, row)

    def _finds_time(self, since: float) -> bool:
        """Wait until a worker of the line is free; False when the frame has waited too long."""
        while not self._has_time():
            if time.monotonic() - since > self._limits.patience_s or self._stopping.is_set():
                return False
            time.sleep(_PAUSE_S)
        return True

    def _answer(self, release: LiveRelease, frame: IncomingFrame, row: Row) -> None:
        try:
            found = shadow_row(row, release, release.inspect(frame))
            self._record(found)
        except Exception as error:  # noqa: BLE001 - a candidate's fault ends nothing
            detail = str(error) if isinstance(error, VisionError) else type(error).__name__
            extra = {"release": release.name, "frame_id": row["frame_id"], "error": detail}
            _log.warning("shadow did not answer", extra=extra)
            with self._lock:
                self._failed += 1
            return
        with self._lock:
            self._answered += 1
            self._differing += found["shadow_verdict"] != found["live_verdict"]


def shadow_row(row: Row, release: LiveRelease, inspection: Inspection) -> Row:
    """What is recorded of a shadow's answer to the frame of a decision's row.

    It has no ``verdict`` and no ``release``, so that nobody takes it for a decision.
    """
    verdict = inspection.verdict
    return {
        "kind": "shadow",
        **{name: row[name] for name in _CONTEXT},
        "received_at": row["received_at"],
        "decision": row["sequence"],
        "live_release": row["release"],
        "live_bundle": row["bundle"],
        "live_verdict": row["verdict"],
        "live_score": row["score"],
        "live_engine_ms": row["engine_ms"],
        "shadow_release": release.name,
        "shadow_bundle": release.bundle.name,
        "shadow_verdict": verdict.label.value,
        "shadow_score": verdict.score,
        "shadow_engine_ms": round(inspection.engine_ms, 3),
    }
