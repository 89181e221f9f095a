"""When a release is given up: a pure rule over the last frames it answered.

The window is one of frames, not of time, so that a line of one frame a minute and one of thirty a
second are guarded alike. A release is given up for good: only a new entry of the ledger brings it
back, so that nothing flaps.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class GuardLimits:
    """What a release may do among its last frames.

    Attributes:
        frames: Length of the window, frames.
        errors: So many may fail in the engine; one more, and the release is given up.
        latency_ms: A frame whose decoding and engine take longer is slow; None: none is.
        slow: So many may be slow; one more, and the release is given up.
    """

    frames: int = 200
    errors: int = 5
    latency_ms: float | None = None
    slow: int = 20


@dataclass(frozen=True)
class Tally:
    """What a release did among its last frames."""

    frames: int = 0
    errors: int = 0
    slow: int = 0


def verdict(tally: Tally, limits: GuardLimits) -> str:
    """Why a release is to be given up; empty when it is not.

    >>> verdict(Tally(frames=9, errors=6), GuardLimits())
    'its engine failed on 6 of the last 9 frames, 5 of 200 are the limit'
    >>> verdict(Tally(frames=200, errors=5), GuardLimits())
    ''
    """
    if tally.errors > limits.errors:
        return (
            f"its engine failed on {tally.errors} of the last {tally.frames} frames, "
            f"{limits.errors} of {limits.frames} are the limit"
        )
    if limits.latency_ms is not None and tally.slow > limits.slow:
        return (
            f"{tally.slow} of the last {tally.frames} frames took longer than "
            f"{limits.latency_ms:g} ms, {limits.slow} of {limits.frames} are the limit"
        )
    return ""


class Guard:
    """Keeps the window of each release; safe to call from many threads."""

    def __init__(self, limits: GuardLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._windows: dict[int, deque[tuple[bool, bool]]] = {}

    def failed(self, number: int) -> None:
        """The engine of a release, named by its entry's number, failed on a frame."""
        self._note(number, (True, False))

    def answered(self, number: int, took_ms: float) -> None:
        """A release answered a frame; decoding and engine took so long, milliseconds."""
        limit = self._limits.latency_ms
        self._note(number, (False, limit is not None and took_ms > limit))

    def tally(self, number: int) -> Tally:
        """What the window of a release holds."""
        with self._lock:
            window = list(self._windows.get(number, ()))
        errors, slow = (sum(column) for column in zip(*window, strict=True)) if window else (0, 0)
        return Tally(len(window), errors, slow)

    def verdict(self, number: int) -> str:
        """Why a release is to be given up; empty when it is not."""
        return verdict(self.tally(number), self._limits)

    def keep(self, numbers: Collection[int]) -> None:
        """Forget the windows of all other releases."""
        with self._lock:
            self._windows = {n: each for n, each in self._windows.items() if n in numbers}

    def _note(self, number: int, outcome: tuple[bool, bool]) -> None:
        with self._lock:
            window = self._windows.get(number)
            if window is None:
                window = self._windows[number] = deque(maxlen=self._limits.frames)
            window.append(outcome)
