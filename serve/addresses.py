"""Addresses that a server listens on: ``host:port`` and ``unix:PATH``."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress

from store.errors import Unavailable

_BACKLOG = 128


def require_free(address: str) -> None:
    """Refuse an address that cannot be taken, in words; gRPC would write its own to stderr."""
    try:
        if address.startswith("unix:"):
            _require_unused(address.removeprefix("unix:"))
            return
        host, _, port = address.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        why = (
            "another process listens there, perhaps a server: end it"
            if error.errno == errno.EADDRINUSE
            else error.strerror or str(error)
        )
        raise Unavailable(
            f"{address} cannot be listened on: {why}, or give another --listen"
        ) from error


def _require_unused(path: str) -> None:
    """Refuse the path of a Unix socket on which somebody answers; gRPC would take it away."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def listening(address: str) -> tuple[socket.socket, str]:
    """A listening socket at ``host:port`` or ``unix:PATH``, and its address with the port taken.

    Raises:
        OSError: when it cannot be listened on.
    """
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a server that was killed; the caller has seen that none answers
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
    else:
        host, _, port = address.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        address = f"{host}:{listener.getsockname()[1]}"
    listener.listen(_BACKLOG)
    return listener, address
