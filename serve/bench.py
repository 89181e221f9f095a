"""A closed loop: some callers, each asking again as soon as it has its answer."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

JUDGED, LATE, QUEUE_FULL, ERROR = "judged", "late", "queue_full", "error"

_MOST_CAUSES = 5
_NUMBER = re.compile(r"\b[0-9a-f]{32}\b|\d+(?:\.\d+)?")


@dataclass(frozen=True)
class LoopReport:
    """What a closed loop measured.

    Attributes:
        clients: Callers at once.
        requests: Frames that were judged.
        late: Frames that waited too long, so that nobody looked at them.
        queue_full: Frames that found too many waiting, so that nobody looked at them.
        errors: Calls that ended with an error.
        p50_ms: Median latency of the frames that were judged; 0 without one.
        p99_ms: Of a hundred of them the second slowest; 0 without one.
        per_s: Frames that were judged a second.
    """

    clients: int
    requests: int
    late: int
    queue_full: int
    errors: int
    p50_ms: float
    p99_ms: float
    per_s: float


@dataclass
class Causes:
    """Why frames were not answered; safe to call from several threads."""

    _counts: Counter[str] = field(default_factory=Counter)
    _examples: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, cause: str) -> None:
        """Count one; causes that differ in numbers only are one."""
        kind = _NUMBER.sub("#", cause)
        with self._lock:
            self._counts[kind] += 1
            self._examples.setdefault(kind, cause)

    def most_common(self) -> list[tuple[str, int]]:
        """The most frequent, each as it was first said, with how often it came."""
        return [
            (self._examples[kind], times) for kind, times in self._counts.most_common(_MOST_CAUSES)
        ]


def closed_loop(
    call: Callable[[bytes], str], frames: Sequence[bytes], clients: int, seconds: float
) -> LoopReport:
    """Call over and over from `clients` threads for some seconds.

    Args:
        call: Takes a frame; gives what became of it: `JUDGED`, `LATE`, `QUEUE_FULL` or `ERROR`.
        frames: Given in turn, each client beginning at another one.
        clients: Threads.
        seconds: How long calls are begun.
    """
    latencies: list[list[float]] = [[] for _ in range(clients)]
    counts: list[Counter[str]] = [Counter() for _ in range(clients)]
    ready = threading.Barrier(clients + 1)

    def loop(client: int) -> None:
        ready.wait()
        end = time.perf_counter() + seconds
        position = client
        while (started := time.perf_counter()) < end:
            outcome = call(frames[position % len(frames)])
            if outcome == JUDGED:
                latencies[client].append((time.perf_counter() - started) * 1000)
            counts[client][outcome] += 1
            position += 1

    threads = [threading.Thread(target=loop, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    total = sum(counts, Counter[str]())
    values = np.concatenate([np.asarray(part) for part in latencies])
    p50, p99 = np.percentile(values, [50, 99]).tolist() if len(values) else (0.0, 0.0)
    return LoopReport(
        clients=clients,
        requests=len(values),
        late=total[LATE],
        queue_full=total[QUEUE_FULL],
        errors=total[ERROR],
        p50_ms=p50,
        p99_ms=p99,
        per_s=len(values) / elapsed,
    )
