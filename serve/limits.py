"""How much one caller may ask of one line: token buckets for requests and for bytes."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Rates of one identity on one line; infinite: no limit.

    Attributes:
        requests_per_s: Frames a second.
        bytes_per_s: Bytes of their payloads a second.
        burst_s: So many seconds' worth may come at once after a pause.
    """

    requests_per_s: float = math.inf
    bytes_per_s: float = math.inf
    burst_s: float = 2.0

    @property
    def is_off(self) -> bool:
        """Whether there is no limit at all."""
        return math.isinf(self.requests_per_s) and math.isinf(self.bytes_per_s)


class _Bucket:
    """Debt that is worked off at a rate; a request is taken while the debt is below the burst."""

    __slots__ = ("burst", "debt", "rate")

    def __init__(self, rate: float, burst_s: float) -> None:
        self.rate = rate
        self.burst = max(rate * burst_s, 1.0)
        self.debt = 0.0

    def wait_s(self, elapsed_s: float, amount: float) -> float:
        """Work off the debt; how long until `amount` may be added, 0 for now.

        One amount is taken when there is no debt, however large it is: it must pass at some time.
        """
        if math.isinf(self.rate):
            return 0.0
        self.debt = max(0.0, self.debt - elapsed_s * self.rate)
        over = min(self.debt, self.debt + amount - self.burst)
        return max(0.0, over / self.rate)


class RateLimits:
    """The buckets of all identities and lines; safe to call from many threads.

    Identities and lines are those that the server knows, so that their number has a bound.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits, self._clock = limits, clock
        self._lock = threading.Lock()
        self._buckets: dict[tuple[str, str], tuple[_Bucket, _Bucket]] = {}
        self._seen: dict[tuple[str, str], float] = {}

    def wait_s(self, identity: str, line: str, size_bytes: int) -> float:
        """Count a request of `size_bytes`.

        Returns:
            0 when it may be taken; else after how many seconds to try again, and nothing is
            counted.
        """
        limits = self._limits
        if limits.is_off:
            return 0.0
        key = (identity, line)
        with self._lock:
            now = self._clock()
            if key not in self._buckets:
                self._buckets[key] = (
                    _Bucket(limits.requests_per_s, limits.burst_s),
                    _Bucket(limits.bytes_per_s, limits.burst_s),
                )
                self._seen[key] = now
            elapsed_s, self._seen[key] = now - self._seen[key], now
            requests, size = self._buckets[key]
            wait_s = max(requests.wait_s(elapsed_s, 1.0), size.wait_s(elapsed_s, size_bytes))
            if not wait_s:
                requests.debt += 1.0
                size.debt += size_bytes
            return wait_s
