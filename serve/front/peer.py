"""A connected client: its connection and its socket."""

from __future__ import annotations

import logging
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field

from serve.front.connection import Connection

_log = logging.getLogger(__name__)

_MOST_UNSENT_BYTES = 2**22


@dataclass(eq=False)
class Peer:
    """A connected client.

    Attributes:
        socket: Does not block.
        connection: Whose lock is held by whoever sends.
        epoll: Wakes the thread that reads.
    """

    socket: socket.socket
    connection: Connection
    epoll: select.epoll
    is_closed: bool = False
    _is_writing: bool = False  # the rest of `connection.out` waits for the socket
    _since: float = field(default_factory=time.monotonic)  # that a call was seen, or it was ended
    _last: int = 0  # number of the newest call at that time

    def flush(self) -> None:
        """Send what the socket takes; the reading thread sends the rest. The lock is held."""
        out = self.connection.out.data
        if self.is_closed or not out:
            return
        if not self._is_writing:
            with suppress(BlockingIOError):
                del out[: self.socket.send(out)]
        if len(out) > _MOST_UNSENT_BYTES:
            _log.warning("client does not read its answers", extra={"unsent_bytes": len(out)})
            self.socket.shutdown(socket.SHUT_RDWR)  # the reading thread sees its end
        elif bool(out) != self._is_writing:
            self._is_writing = bool(out)
            self.epoll.modify(self.socket, select.EPOLLIN | (select.EPOLLOUT if out else 0))

    def send_rest(self) -> None:
        """Go on where the socket took no more."""
        out = self.connection.out.data
        with suppress(BlockingIOError):
            del out[: self.socket.send(out)]
        if not out:
            self._is_writing = False
            self.epoll.modify(self.socket, select.EPOLLIN)

    def idle_s(self, now: float) -> float:
        """For how long there has been no call, as seen from look to look."""
        connection = self.connection
        if connection.calls or connection.newest != self._last:
            self._last, self._since = connection.newest, now
        return now - self._since

    def dismiss(self, now: float) -> None:
        """Tell the client to connect anew for its next call."""
        self._since = now
        with self.connection.lock, suppress(OSError):
            self.connection.end()
            self.flush()

    def close(self) -> None:
        """Give up its calls and close the socket."""
        with self.connection.lock:
            if self.is_closed:
                return
            self.is_closed = True
            for call in self.connection.calls.values():
                call.end()
            self.connection.calls.clear()
            with suppress(OSError):
                self.epoll.unregister(self.socket)
            self.socket.close()
