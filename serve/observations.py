"""Hands every recorded frame to metrics and traces, away from the frame's own way.

The thread that answers a frame only appends its row to a queue; another thread counts it some
milliseconds later, in small pieces, so that no frame waits long for the interpreter's lock.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from serve.frame import IncomingFrame

_log = logging.getLogger(__name__)

_PAUSE_S = 0.1
_PIECE = 64
_BREATH_S = 0.001


class Observed(NamedTuple):
    """A frame that is in the spool: its row, and the W3C ``traceparent`` it came with, or none."""

    row: Mapping[str, object]
    traceparent: str


Sink = Callable[[Sequence[Observed]], None]
"""Takes some observations, in order; always called on the same thread."""


class Observations:
    """A queue between the threads that answer and the thread that counts; call it for each frame.

    Each observer of `serve.handler.Handler` is called once a row is in the spool.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        """Give every row to all of `sinks`, from `start` to `stop`."""
        self._sinks = tuple(sinks)
        self._queue: deque[Observed] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observations", daemon=True)

    def __call__(self, frame: IncomingFrame, row: Mapping[str, object]) -> None:
        """Note a frame; costs one append."""
        self._queue.append(Observed(row, frame.traceparent))

    def start(self) -> None:
        """Begin to hand on."""
        self._thread.start()

    def stop(self) -> None:
        """Hand on what is left, then end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._hand_on()

    def _run(self) -> None:
        while not self._stopping.wait(_PAUSE_S):
            self._hand_on()

    def _hand_on(self) -> None:
        while self._queue:
            count = min(len(self._queue), _PIECE)
            piece = [self._queue.popleft() for _ in range(count)]
            for sink in self._sinks:
                try:
                    sink(piece)
                except Exception:  # noqa: BLE001 - the process edge: counting never ends it
                    _log.exception("frames could not be counted", extra={"frames": count})
            if self._queue:
                self._stopping.wait(_BREATH_S)
