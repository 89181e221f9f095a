"""The streams that are open, and which of them wait for their client."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TypeVar

import grpc

STOPPING = "the server is stopping: connect again, and send again what had no answer"

_Request = TypeVar("_Request")


class OpenStreams:
    """Knows for each stream since when it waits for its client; safe to call from many threads.

    A stream waits while it asks for the next request: gRPC does not go on before it has sent the
    answer to the one before, so that ending a waiting stream takes no answer away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[grpc.ServicerContext, float] = {}
        self._is_ending = False

    def requests(
        self, requests: Iterator[_Request], context: grpc.ServicerContext
    ) -> Iterator[_Request]:
        """The requests of one stream as they come, until `end`."""
        try:
            while True:
                if self._is_ending:
                    context.set_code(grpc.StatusCode.UNAVAILABLE)
                    context.set_details(STOPPING)
                    return
                with self._lock:
                    self._waiting[context] = time.monotonic()
                request = next(requests, None)
                with self._lock:
                    del self._waiting[context]
                if request is None:
                    return
                yield request
        finally:
            with self._lock:
                self._waiting.pop(context, None)

    def end(self) -> None:
        """Take no further request of any stream; those in work are answered."""
        self._is_ending = True

    def end_waiting(self, since_s: float) -> None:
        """Cancel every stream that has waited for at least `since_s` seconds."""
        latest = time.monotonic() - since_s
        with self._lock:
            for context, began in self._waiting.items():
                if began <= latest:
                    context.cancel()
