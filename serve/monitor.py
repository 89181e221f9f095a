"""The HTTP side for those who watch: ``/metrics``, ``/healthz/live`` and ``/healthz/ready``.

It answers from its own threads and never takes a frame. A client has some seconds for its whole
request, and when too many are connected the one that came first gives way: who only holds
connections open keeps nobody else from being answered. That its address is taken stops nobody:
a line without figures is better than a line without verdicts, and is seen from outside at once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from serve.health import Liveness, Readiness
from serve.transport import ServerTls

_log = logging.getLogger(__name__)

_AT_ONCE = 4  # pages that are made at the same time
_MOST_CLIENTS = 64
_CLIENT_S = 5.0
_POLL_S = 0.1

MayRead = Callable[[str, str], bool]
"""Whether the value of an ``Authorization`` header allows to read."""


class Monitor:
    """Listens in the background; `start`, then `stop`."""

    def __init__(
        self,
        metrics: Collector,
        live: Callable[[], Liveness],
        ready: Callable[[], Readiness],
        may_read: MayRead = lambda _, __: True,
        tls: ServerTls | None = None,
    ) -> None:
        """Tell the figures of `metrics` and of this process, and the two states.

        Args:
            metrics: The server's own.
            live: The state of the process at this moment.
            ready: The state of its lines at this moment.
            may_read: Asked before ``/metrics`` is shown; the health paths are open.
            tls: The files to speak TLS with; None: none is spoken.
        """
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.registry.register(metrics)
        self.live, self.ready, self.may_read, self.tls = live, ready, may_read, tls
        self._server: _Server | None = None

    def start(self, listen: str) -> str:
        """Listen on ``host:port``.

        Returns:
            The address with the port that was really taken; empty when it could not be taken.
        """
        host, _, port = listen.rpartition(":")
        try:
            self._server = _Server(host.strip("[]"), int(port), self)
        except OSError as error:
            _log.error(
                "no metrics and no health over HTTP: the address cannot be listened on",
                extra={"address": listen, "error": error.strerror or str(error)},
            )
            return ""
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="monitor", daemon=True
        ).start()
        return f"{host}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """Listen no more."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()

    def page(
        self, path: str, accept: str, authorization: str, certificate: str = ""
    ) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for a path.

        Args:
            path: Without a query.
            accept: The header of that name.
            authorization: The header of that name, empty without one.
            certificate: Fingerprint of the client's certificate, empty without one.
        """
        if path == "/healthz/live":
            live = self.live()
            return _state(live.is_live, live.to_document())
        if path == "/healthz/ready":
            ready = self.ready()
            return _state(ready.is_ready, ready.to_document())
        if path != "/metrics":
            text = b"known are /metrics, /healthz/live and /healthz/ready\n"
            return HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", text
        if not self.may_read(authorization, certificate):
            text = b"give a token with the role read: Authorization: Bearer TOKEN\n"
            return HTTPStatus.UNAUTHORIZED, "text/plain; charset=utf-8", text
        encode, content_type = choose_encoder(accept)
        return HTTPStatus.OK, content_type, encode(self.registry)


def _state(is_well: bool, document: dict[str, object]) -> tuple[HTTPStatus, str, bytes]:
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "application/json", json.dumps(document).encode() + b"\n"


def _certificate(connection: socket.socket) -> str:
    """Fingerprint of the certificate that a client has shown; empty without one."""
    shown = connection.getpeercert(True) if isinstance(connection, ssl.SSLSocket) else None
    return hashlib.sha256(shown).hexdigest() if shown else ""


class _Server(HTTPServer):
    """Answers each client on a thread of its own, which nobody waits for."""

    request_queue_size = 128

    def __init__(self, host: str, port: int, monitor: Monitor) -> None:
        self.monitor = monitor
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.making = threading.Semaphore(_AT_ONCE)
        self._clients: dict[socket.socket, float] = {}  # second handles, with when they came
        self._lock = threading.Lock()
        super().__init__((host, port), _Page)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Answer on a thread, after making room for one."""
        handle = request.dup()
        with self._lock:
            if len(self._clients) >= _MOST_CLIENTS:
                first = next(iter(self._clients))
                del self._clients[first]
                _cut(first)
            self._clients[handle] = time.monotonic()
        target, given = self._answer, (handle, request, client_address)
        threading.Thread(target=target, args=given, name="monitor-client", daemon=True).start()

    def service_actions(self) -> None:
        """Cut off who has had the time for a whole request."""
        with self._lock:
            for handle, since in self._clients.items():
                if time.monotonic() - since > _CLIENT_S:
                    _cut(handle)

    def _forget(self, handle: socket.socket) -> None:
        with self._lock:
            self._clients.pop(handle, None)
            handle.close()

    def _answer(
        self,
        handle: socket.socket,
        request: Any,  # noqa: ANN401
        client_address: Any,  # noqa: ANN401
    ) -> None:
        try:
            request.settimeout(_CLIENT_S)
            if self.monitor.tls:  # the files are read for each, and so followed when they change
                request = self.monitor.tls.context().wrap_socket(request, server_side=True)
            self.finish_request(request, client_address)
        except OSError:  # the client has gone, or says nothing
            _log.debug("monitor: client lost")
        except Exception:  # noqa: BLE001 - the process edge: one request never ends it
            _log.exception("monitor: request failed")
        finally:
            self._forget(handle)
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """A client for whom there was no thread or no file descriptor."""
        _log.exception("monitor: client not answered")

    def server_bind(self) -> None:
        """Bind without the look-up of the host's own name, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def server_close(self) -> None:
        """Close the socket, and cut off who is still connected."""
        super().server_close()
        with self._lock:
            for handle in self._clients:
                _cut(handle)


def _cut(connection: socket.socket) -> None:
    """End a connection under whoever reads or writes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Page(BaseHTTPRequestHandler):
    """One request; connections are closed after each."""

    timeout = _CLIENT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer a path."""
        with self.server.making:
            status, content_type, body = self.server.monitor.page(
                self.path.partition("?")[0],
                self.headers.get("Accept", ""),
                self.headers.get("Authorization", ""),
                _certificate(self.connection),
            )
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Nothing of the versions here."""
        return "vision-serve"

    def log_message(self, format: str, *args: object) -> None:
        """Not a line for each scrape."""
