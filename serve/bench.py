"""A closed loop: some callers, each asking again as soon as it has its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LoopReport:
    """What a closed loop measured.

    Attributes:
        clients: Callers at once.
        requests: Answers that came.
        errors: Calls that ended with an error.
        p50_ms: Median latency of the answers; 0 without one.
        p99_ms: Of a hundred answers the second slowest; 0 without one.
        per_s: Answers a second.
    """

    clients: int
    requests: int
    errors: int
    p50_ms: float
    p99_ms: float
    per_s: float


def closed_loop(
    call: Callable[[bytes], bool], frames: Sequence[bytes], clients: int, seconds: float
) -> LoopReport:
    """Call over and over from `clients` threads for some seconds.

    Args:
        call: Takes a frame; gives whether it was answered.
        frames: Given in turn, each client beginning at another one.
        clients: Threads.
        seconds: How long calls are begun.
    """
    latencies: list[list[float]] = [[] for _ in range(clients)]
    errors = [0] * clients
    ready = threading.Barrier(clients + 1)

    def loop(client: int) -> None:
        ready.wait()
        end = time.perf_counter() + seconds
        position = client
        while (started := time.perf_counter()) < end:
            if call(frames[position % len(frames)]):
                latencies[client].append((time.perf_counter() - started) * 1000)
            else:
                errors[client] += 1
            position += 1

    threads = [threading.Thread(target=loop, args=(client,)) for client in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    values = np.concatenate([np.asarray(part) for part in latencies])
    p50, p99 = np.percentile(values, [50, 99]).tolist() if len(values) else (0.0, 0.0)
    return LoopReport(clients, len(values), sum(errors), p50, p99, len(values) / elapsed)
