"""The thread that reads the sockets of the fast front.

It cuts messages out of connections and hands them on (`answering`); a worker writes its answer to
the socket itself. Nothing waits for a client: what its socket does not take stays with the peer.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from serve.desk import Desk
from serve.front.answering import Answering, Messages
from serve.front.call import RESOURCE_EXHAUSTED
from serve.front.calls import Plain
from serve.front.connection import Connection, Limits
from serve.front.frames import ProtocolError
from serve.front.peer import Peer
from serve.turns import Turns

_log = logging.getLogger(__name__)

_READ_BYTES = 2**18
_MOST_HELD_MESSAGES = 2
"""Messages under way on one connection, in units of the largest one."""
_TICK_S = 1.0
_WAITING_TICK_S = 0.01
_GREETING_S = 10.0
"""How long a connection may take to become HTTP/2, and to end after it was told to. One that has
had no call for so long gives way when room is needed."""
_IDLE_S = 600.0
"""A connection without a call for so long is ended: a client that asks more seldom connects anew,
which takes a millisecond."""
_CANCELLED = 1


class Front:
    """Serves `inspection.v1` at one address; `start`, then `drain`."""

    def __init__(
        self,
        listener: socket.socket,
        desk: Desk,
        turns: Turns,
        plain: Mapping[str, Plain],
        limits: Limits,
        connections: int,
    ) -> None:
        """Serve on a listening socket.

        Args:
            listener: Bound and listening; closed by `drain`.
            desk: Who takes frames.
            turns: Those of the stations; there are as many workers as turns.
            plain: Other unary calls by path.
            limits: Of one connection.
            connections: How many there may be; further ones are closed at once.
        """
        self._listener, self._turns = listener, turns
        self._limits, self._most = limits, connections
        self._answering = Answering(desk, turns.workers, plain, limits.streams)
        self._peers: dict[int, Peer] = {}
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._draining = False
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="front", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._answering.start()
        self._reader.start()

    def drain(self, grace_s: float) -> None:
        """Take no more calls, answer those under way for at most `grace_s`, and stop."""
        self._draining = self._answering.is_draining = True
        os.eventfd_write(self._wake, 1)
        end = time.monotonic() + grace_s
        while time.monotonic() < end and any(p.connection.calls for p in self._all_peers()):
            time.sleep(_WAITING_TICK_S)
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._reader.join()
        self._answering.stop()
        self._epoll.close()
        os.close(self._wake)

    def _read_on(self) -> None:
        told = False
        swept = time.monotonic()
        while not self._stopping.is_set():
            for number, events in self._epoll.poll(self._tick_s()):
                self._happened(number, events)
            if self._turns.has_waiting:
                self._turns.expire()
            if self._draining:
                self._end_idle(is_first=not told)
                told = True
            if time.monotonic() - swept > _TICK_S:
                swept = time.monotonic()
                self._sweep(swept)
                if not told:
                    self._epoll.modify(self._listener, select.EPOLLIN)
        for peer in self._all_peers():
            self._close(peer)
        if not told:
            self._listener.close()

    def _tick_s(self) -> float:
        return _WAITING_TICK_S if self._turns.has_waiting or self._draining else _TICK_S

    def _happened(self, number: int, events: int) -> None:
        if number == self._wake:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            return
        peer = self._peers.get(number)
        if peer is not None:
            self._serve(peer, events)
        elif number == self._listener.fileno():
            self._accept()

    def _accept(self) -> None:
        try:
            connected, _ = self._listener.accept()
        except OSError as error:  # it has gone again, or there are no descriptors left
            _log.warning("connection not accepted", extra={"error": str(error)})
            self._epoll.modify(self._listener, 0)  # or it would be reported again at once
            return
        if not self._has_room():
            _log.warning("too many connections", extra={"most": self._most})
            connected.close()
            return
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = Peer(connected, Connection(self._limits), self._epoll)
        self._peers[connected.fileno()] = peer
        self._epoll.register(connected, select.EPOLLIN)
        with peer.connection.lock:
            peer.flush()

    def _serve(self, peer: Peer, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                with peer.connection.lock:
                    peer.send_rest()
            if events & ~select.EPOLLOUT:
                self._read(peer)
        except ProtocolError as error:
            _log.warning("connection ended", extra={"why": str(error), "code": error.code.name})
            self._close(peer)
        except OSError:
            self._close(peer)
        except Exception:  # noqa: BLE001 - the process edge: one client never ends it
            _log.exception("connection failed")
            self._close(peer)

    def _read(self, peer: Peer) -> None:
        try:
            data = peer.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close(peer)
            return
        connection = peer.connection
        jobs: Messages = []
        with connection.lock:
            try:
                for call in connection.receive(data):
                    jobs += self._answering.taken(connection, call)
                self._check_held(connection)
            finally:
                peer.flush()
        self._answering.begin(peer, jobs)

    def _check_held(self, connection: Connection) -> None:
        """Refuse the newest calls while more is held than a few large messages."""
        while connection.held > _MOST_HELD_MESSAGES * self._limits.message_bytes:
            newest = max(connection.calls)
            connection.close(
                connection.calls[newest],
                RESOURCE_EXHAUSTED,
                "too much is under way on this connection: send less at once",
            )

    def _has_room(self) -> bool:
        """Whether there may be one connection more; the one idle longest is ended for it."""
        peers = [peer for peer in self._all_peers() if not peer.connection.is_ending]
        if len(peers) < self._most:
            return True
        now = time.monotonic()
        longest = max(peers, key=lambda peer: peer.idle_s(now))
        if longest.idle_s(now) <= _GREETING_S:
            return False
        longest.dismiss(now)
        return True

    def _sweep(self, now: float) -> None:
        """End connections without calls, and close those that never became HTTP/2 or were ended."""
        for peer in self._all_peers():
            idle_s, connection = peer.idle_s(now), peer.connection
            if idle_s > _GREETING_S and (connection.is_ending or not connection.has_settings):
                self._close(peer)
            elif idle_s > _IDLE_S:
                peer.dismiss(now)

    def _end_idle(self, *, is_first: bool) -> None:
        """While draining: no new calls, and calls that wait for their client are ended."""
        if is_first:
            self._epoll.unregister(self._listener)
            self._listener.close()
        for peer in self._all_peers():
            with peer.connection.lock, suppress(OSError):
                peer.connection.end()
                for call in list(peer.connection.calls.values()):
                    if not call.is_busy and not call.is_half_closed:
                        peer.connection.close(call, _CANCELLED, "the server is stopping")
                peer.flush()

    def _close(self, peer: Peer) -> None:
        self._peers.pop(peer.socket.fileno(), None)
        peer.close()

    def _all_peers(self) -> list[Peer]:
        return list(self._peers.values())
