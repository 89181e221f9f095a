"""Health as `grpc.health.v1` tells it, and the end of its open streams when the server drains."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import grpc
from grpc_health.v1 import health, health_pb2

SERVICE = health.SERVICE_NAME


class Health(health.HealthServicer):  # type: ignore[misc]  # the library has no types
    """States by service; clients that watch one are told when it changes."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[str, bool] = {}
        self._watch_lock = threading.Lock()
        self._watches: set[grpc.ServicerContext] = set()

    def show(self, states: Mapping[str, bool]) -> None:
        """Make each service SERVING or NOT_SERVING; what has not changed is not told again."""
        status = health_pb2.HealthCheckResponse
        for service, is_serving in states.items():
            if self._shown.get(service) != is_serving:
                self.set(service, status.SERVING if is_serving else status.NOT_SERVING)
                self._shown[service] = is_serving

    def drain(self) -> None:
        """Tell every client NOT_SERVING, and end the streams of those that watch.

        They never end by themselves and would hold up the server's end.
        """
        self.enter_graceful_shutdown()
        with self._watch_lock:
            watches = list(self._watches)
        for context in watches:
            context.cancel()

    def Watch(
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.ServicerContext,
        send_response_callback: Callable[[health_pb2.HealthCheckResponse], None] | None = None,
    ) -> object:
        """The state of a service, and again whenever it changes."""
        with self._watch_lock:
            self._watches.add(context)
        if not context.add_callback(lambda: self._forget(context)):
            self._forget(context)
        return super().Watch(request, context, send_response_callback)

    def _forget(self, context: grpc.ServicerContext) -> None:
        with self._watch_lock:
            self._watches.discard(context)
