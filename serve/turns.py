"""Whose frame is next: streams take turns by weight, and a frame's wait has an end.

A stream is one camera of one line. As many frames as there are workers are worked on at once; the
others wait, ordered by start-time fair queueing (Goyal, Vin and Cheng, 1996): the n-th frame of a
stream of weight w that waits alone is tagged 1/w after the one before it, and the smallest tag is
next. A burst of one camera so delays itself, and others by one frame in work at most. Virtual time
goes on with every turn by the share of the streams that wait (as in weighted fair queueing: Demers,
Keshav and Shenker, 1989), or an endless row of new names would be served before a known camera.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Stream(NamedTuple):
    """Whose frames are kept in order: one camera of one line."""

    line: str
    camera: str


class Waiter:
    """A frame that waits; `tell` is called once, with why it is refused or empty for its turn."""

    __slots__ = ("deadline", "is_over", "since", "stream", "tell")

    def __init__(self, stream: Stream, deadline: float, tell: Callable[[str], None]) -> None:
        """Wait until `deadline` at most (on `time.monotonic`'s clock)."""
        self.stream, self.deadline, self.tell = stream, deadline, tell
        self.since = time.monotonic()
        self.is_over = False


_MOST_ENDED = 64

LATE = "late"
QUEUE_FULL = "queue_full"


@dataclass(frozen=True)
class Shares:
    """Weights of streams, by ``site/line/camera`` or ``site/line``; others have 1."""

    weights: Mapping[str, float] = field(default_factory=dict)

    def of(self, stream: Stream) -> float:
        """The weight of a stream.

        >>> Shares({"turin/press-3/top": 4, "turin/press-3": 2}).of(Stream("turin/press-3", "left"))
        2
        """
        camera = f"{stream.line}/{stream.camera}"
        return self.weights.get(camera, self.weights.get(stream.line, 1.0))


class Turns:
    """Hands out `workers` turns; safe to call from many threads."""

    def __init__(self, workers: int, shares: Shares, most_waiting: int) -> None:
        """Let at most `most_waiting` frames of one stream wait."""
        self.workers = workers
        self._shares, self._most_waiting = shares, most_waiting
        self._lock = threading.Lock()
        self._free = workers
        self._heap: list[tuple[float, int, Waiter]] = []
        self._count = itertools.count()
        self._waiting: Counter[Stream] = Counter()
        self._virtual = 0.0
        self._weight = 0.0  # of the streams that wait
        self._finish: dict[Stream, float] = {}

    @property
    def is_idle(self) -> bool:
        """Whether no frame is being worked on."""
        return self._free == self.workers

    @property
    def has_waiting(self) -> bool:
        """Whether any frame waits."""
        return bool(self._heap)

    @property
    def has_free(self) -> bool:
        """Whether a frame would have its turn at once."""
        return self._free > 0

    def waiting(self) -> dict[Stream, int]:
        """How many frames wait, by stream; those without are left out."""
        with self._lock:
            return {stream: count for stream, count in self._waiting.items() if count}

    def waiting_since(self) -> dict[Stream, tuple[int, float]]:
        """How many frames wait, and for how many seconds the oldest does, by stream."""
        now, found = time.monotonic(), dict[Stream, tuple[int, float]]()
        with self._lock:
            waiting = [entry[2] for entry in self._heap if not entry[2].is_over]
        for waiter in waiting:
            count, oldest_s = found.get(waiter.stream, (0, 0.0))
            found[waiter.stream] = (count + 1, max(oldest_s, now - waiter.since))
        return found

    def take(self, stream: Stream, deadline: float) -> str:
        """Wait for a turn in the calling thread.

        Returns:
            Empty when it is the caller's turn, who then calls `give_back`; else why it is not:
            `LATE` or `QUEUE_FULL`.
        """
        turn = threading.Lock()
        turn.acquire()
        answer: list[str] = []

        def tell(why: str) -> None:
            answer.append(why)
            turn.release()

        waiter = Waiter(stream, deadline, tell)
        if self.ask(waiter):
            return ""
        if not turn.acquire(timeout=_seconds_until(deadline)):
            if self._end(waiter):
                return LATE
            turn.acquire()  # it is being told just now
        return answer[0]

    def ask(self, waiter: Waiter) -> bool:
        """Whether it is the waiter's turn at once; else it is told later, or here if refused."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            is_full = self._waiting[waiter.stream] >= self._most_waiting
            if not is_full:
                self._enqueue(waiter)
        if is_full:
            waiter.tell(QUEUE_FULL)
        return False

    def give_back(self) -> None:
        """End a turn; the next frame in order begins."""
        late: list[Waiter] = []
        with self._lock:
            following = self._next(late)
            if following is None:
                self._free += 1
        for waiter in late:
            waiter.tell(LATE)
        if following is not None:
            following.tell("")

    def expire(self) -> None:
        """Tell those whose time is over; for waiters that have no thread which would notice."""
        now = time.monotonic()
        with self._lock:
            late = [w for _, _, w in self._heap if w.deadline <= now and not w.is_over]
            for waiter in late:
                self._leave(waiter)
            self._forget_ended()
        for waiter in late:
            waiter.tell(LATE)

    def _enqueue(self, waiter: Waiter) -> None:
        start = max(self._virtual, self._finish.get(waiter.stream, 0.0))
        self._finish[waiter.stream] = start + 1.0 / self._shares.of(waiter.stream)
        if not self._waiting[waiter.stream]:
            self._weight += self._shares.of(waiter.stream)
        self._waiting[waiter.stream] += 1
        heapq.heappush(self._heap, (start, next(self._count), waiter))

    def _next(self, late: list[Waiter]) -> Waiter | None:
        """The next waiter in order; those whose time is over go to `late`."""
        while self._heap:
            start, _, waiter = heapq.heappop(self._heap)
            if waiter.is_over:
                continue
            if waiter.deadline <= time.monotonic():
                self._leave(waiter)
                late.append(waiter)
                continue
            self._virtual = max(start, self._virtual + 1.0 / self._weight)
            self._leave(waiter)
            return waiter
        # Nobody waits: all streams are even, and a camera's name is not kept for ever.
        self._virtual = self._weight = 0.0
        self._finish.clear()
        self._waiting.clear()
        return None

    def _leave(self, waiter: Waiter) -> None:
        waiter.is_over = True
        self._waiting[waiter.stream] -= 1
        if not self._waiting[waiter.stream]:
            del self._waiting[waiter.stream]
            self._weight -= self._shares.of(waiter.stream)
            if len(self._finish) > 2 * len(self._waiting) + _MOST_ENDED:
                # A tag that is behind says no more than none: names do not gather under load.
                behind = self._virtual
                self._finish = {s: tag for s, tag in self._finish.items() if tag > behind}

    def _end(self, waiter: Waiter) -> bool:
        """Take a waiter out whose time is over; False when it has been told meanwhile."""
        with self._lock:
            if waiter.is_over:
                return False
            self._leave(waiter)
            self._forget_ended()
            return True

    def _forget_ended(self) -> None:
        """Keep the heap small while nobody gives a turn back."""
        if len(self._heap) > 2 * self._waiting.total() + _MOST_ENDED:
            self._heap = [entry for entry in self._heap if not entry[2].is_over]
            heapq.heapify(self._heap)


def _seconds_until(deadline: float) -> float:
    """What `Lock.acquire` takes: at most `threading.TIMEOUT_MAX`."""
    return min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
