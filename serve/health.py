"""What the server says of itself: live, ready and why not; told over gRPC and HTTP from one source.

`Readiness` is made anew for each look. ``grpc.health.v1`` tells the states of `services`, the HTTP
side (`serve.monitor`) tells the reasons, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2

SERVICE = health.SERVICE_NAME


@dataclass(frozen=True)
class LineReadiness:
    """Whether a line's frames get verdicts.

    Attributes:
        line: ``site/line``.
        release: What answers; empty while nothing does.
        spool_fault: Why its decisions cannot be recorded; empty when they can.
        release_fault: Why the newest release does not answer; empty when it does.
        kept_fault: Why no frame is kept, which costs no verdict; empty otherwise.
    """

    line: str
    release: str
    spool_fault: str
    release_fault: str
    kept_fault: str = ""

    @property
    def takes_rows(self) -> bool:
        """Whether its decisions can be recorded."""
        return not self.spool_fault

    @property
    def is_ready(self) -> bool:
        """Whether a frame would get a verdict."""
        return self.takes_rows and bool(self.release)

    @property
    def is_newest(self) -> bool:
        """Whether the newest release would give it."""
        return self.is_ready and not self.release_fault

    def reasons(self) -> list[str]:
        """Why it is not ready, in sentences."""
        found = [f"line {self.line}: {self.spool_fault}"] if self.spool_fault else []
        if not self.release:
            why = self.release_fault or "its ledger names none yet"
            found.append(f"line {self.line} has no release that answers: {why}")
        return found


@dataclass(frozen=True)
class Readiness:
    """Whether the server should be sent frames; every line must be well for the whole to be."""

    lines: tuple[LineReadiness, ...]
    is_draining: bool

    @property
    def is_ready(self) -> bool:
        """Whether frames of all lines would get verdicts."""
        return not self.is_draining and all(line.is_ready for line in self.lines)

    def reasons(self) -> list[str]:
        """Why it is not ready, in sentences; empty when it is."""
        found = ["the server is draining: it was told to stop"] if self.is_draining else []
        return found + [reason for line in self.lines for reason in line.reasons()]

    def to_document(self) -> dict[str, object]:
        """A JSON object for machines."""
        return {
            "ready": self.is_ready,
            "reasons": self.reasons(),
            "lines": [
                {
                    "line": line.line,
                    "ready": line.is_ready and not self.is_draining,
                    "release": line.release,
                    "newest_release_answers": line.is_newest,
                    "release_fault": line.release_fault,
                    "kept_fault": line.kept_fault,
                }
                for line in self.lines
            ],
        }


def services(readiness: Readiness, inspection: str, newest: str) -> dict[str, bool]:
    """The states that ``grpc.health.v1`` tells while the server does not drain.

    Args:
        readiness: At this moment.
        inspection: Name of the service that answers frames.
        newest: Name under which is told whether the newest releases answer.
    """
    lines = readiness.lines
    return {
        "": all(line.takes_rows for line in lines),
        inspection: all(line.is_ready for line in lines),
        newest: all(line.is_newest for line in lines),
        **{line.line: line.is_ready for line in lines},
    }


@dataclass(frozen=True)
class Liveness:
    """Whether the process makes progress; when it does not, only a restart helps.

    Attributes:
        oldest_s: How long the oldest frame has been in work; 0 when none is.
        stuck_s: From when on a worker is taken to be stuck.
    """

    oldest_s: float
    stuck_s: float

    @property
    def is_live(self) -> bool:
        """Whether no worker is stuck."""
        return self.oldest_s < self.stuck_s

    def to_document(self) -> dict[str, object]:
        """A JSON object for machines."""
        why = f"a frame has been in work for {self.oldest_s:.0f} s, at most {self.stuck_s:.0f}"
        return {"live": self.is_live, "reasons": [] if self.is_live else [why]}


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
