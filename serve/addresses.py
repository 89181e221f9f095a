"""Addresses that a server listens on: ``host:port`` and ``unix:PATH``."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from store.errors import Unavailable

_BACKLOG = 128


def require_free(address: str, option: str = "--listen") -> None:
    """Refuse an address that cannot be taken, in words; gRPC would write its own to stderr.

    Args:
        address: That somebody wants to listen on.
        option: Of the command line, by which it is given.

    Raises:
        Unavailable: when it cannot be taken.
    """
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
            f"{address} cannot be listened on: {why}, or give another {option}"
        ) from error


def _require_unused(path: str) -> None:
    """Refuse the path of a Unix socket on which somebody answers, and of what is no socket.

    What listens next would take it away.
    """
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, f"{path} is there and is no socket: move it away")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(path) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def listening(address: str) -> tuple[socket.socket, str]:
    """A listening socket at ``host:port`` or ``unix:PATH``, and its address with the port taken.

    Raises:
        Unavailable: when it cannot be listened on.
    """
    try:
        listener = _bound(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise Unavailable(
            f"{address} cannot be listened on: {error.strerror or error}; give another address"
        ) from error
    if not address.startswith("unix:"):
        address = f"{address.rpartition(':')[0]}:{listener.getsockname()[1]}"
    return listener, address


def _bound(address: str) -> socket.socket:
    if address.startswith("unix:"):
        path = address.removeprefix("unix:")
        _require_unused(path)
        with suppress(FileNotFoundError):
            os.unlink(path)  # of a server that was killed
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        place: Any = path
    else:
        host, _, port = address.rpartition(":")
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
    except OSError:
        listener.close()
        raise
    return listener
