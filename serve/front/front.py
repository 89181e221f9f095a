"""The thread that reads the sockets of the fast front, and the workers it hands frames to.

One thread reads, cuts messages out of connections and asks for turns; a worker whose turn it is
judges the frame and writes the answer to the socket itself. Nothing waits for a client: what its
socket does not take stays with the connection.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue

from serve.front.call import RESOURCE_EXHAUSTED, UNIMPLEMENTED, Call
from serve.front.calls import INSPECT, INSPECT_STREAM, Desk, Plain, time_left_s
from serve.front.connection import Connection, Limits
from serve.front.frames import ProtocolError
from serve.handler import Arrival, Failure, Handler, Outcome
from serve.messages import NOBODY, to_answer, trailing
from serve.rows import Identity
from serve.statuses import Problem, problem, status_number
from serve.tokens import Grant
from serve.turns import Turns
from store.errors import VisionError

_log = logging.getLogger(__name__)

_READ_BYTES = 2**18
_MOST_UNSENT_BYTES = 2**22
_MOST_HELD_MESSAGES = 2
"""Messages under way on one connection, in units of the largest one."""
_TICK_S = 1.0
_WAITING_TICK_S = 0.01
_GREETING_S = 10.0
_OK, _CANCELLED, _INTERNAL = 0, 1, 13


@dataclass
class _Peer:
    """A connected client."""

    socket: socket.socket
    connection: Connection
    since: float = field(default_factory=time.monotonic)
    is_closed: bool = False
    is_writing: bool = False  # the rest of `connection.out` waits for the socket


@dataclass(frozen=True)
class _Job:
    """One frame of a call, on its way to an answer."""

    peer: _Peer
    call: Call
    handler: Handler
    arrival: Arrival


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
        self._listener, self._desk, self._turns = listener, desk, turns
        self._plain, self._limits, self._most = dict(plain), limits, connections
        self._peers: dict[int, _Peer] = {}
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._ready: SimpleQueue[_Job | None] = SimpleQueue()
        self._refused: SimpleQueue[tuple[_Job, str] | None] = SimpleQueue()
        self._draining = False
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read_on, name="front", daemon=True)
        self._workers = [
            threading.Thread(target=self._work, name=f"front-{number}", daemon=True)
            for number in range(turns.workers)
        ]
        self._refuser = threading.Thread(target=self._refuse, name="front-late", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._listener.setblocking(False)
        self._epoll.register(self._listener, select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)
        for thread in (*self._workers, self._refuser, self._reader):
            thread.start()

    def drain(self, grace_s: float) -> None:
        """Take no more calls, answer those under way for at most `grace_s`, and stop."""
        self._draining = True
        os.eventfd_write(self._wake, 1)
        end = time.monotonic() + grace_s
        while time.monotonic() < end and any(p.connection.calls for p in self._all_peers()):
            time.sleep(_WAITING_TICK_S)
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._reader.join()
        for _ in self._workers:
            self._ready.put(None)
        self._refused.put(None)
        for thread in (*self._workers, self._refuser):
            thread.join()
        self._epoll.close()
        os.close(self._wake)

    # --- the reading thread

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
                self._close_silent(swept - _GREETING_S)
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
            return
        if len(self._peers) >= self._most:
            _log.warning("too many connections", extra={"most": self._most})
            connected.close()
            return
        connected.setblocking(False)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = _Peer(connected, Connection(self._limits))
        self._peers[connected.fileno()] = peer
        self._epoll.register(connected, select.EPOLLIN)
        with peer.connection.lock:
            self._flush(peer)

    def _serve(self, peer: _Peer, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                with peer.connection.lock:
                    self._send_rest(peer)
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

    def _send_rest(self, peer: _Peer) -> None:
        """Go on where the socket took no more."""
        out = peer.connection.out.data
        with suppress(BlockingIOError):
            del out[: peer.socket.send(out)]
        if not out:
            peer.is_writing = False
            self._epoll.modify(peer.socket, select.EPOLLIN)

    def _read(self, peer: _Peer) -> None:
        try:
            data = peer.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close(peer)
            return
        connection = peer.connection
        jobs: list[tuple[Call, bytes]] = []
        with connection.lock:
            try:
                for call in connection.receive(data):
                    jobs += self._taken(connection, call)
                self._check_held(connection)
            finally:
                self._flush(peer)
        for call, message in jobs:
            self._begin(peer, call, message)

    def _check_held(self, connection: Connection) -> None:
        """Refuse the newest calls while more is held than a few large messages."""
        while connection.held > _MOST_HELD_MESSAGES * self._limits.message_bytes:
            newest = max(connection.calls)
            connection.close(
                connection.calls[newest],
                RESOURCE_EXHAUSTED,
                "too much is under way on this connection: send less at once",
            )

    def _taken(self, connection: Connection, call: Call) -> list[tuple[Call, bytes]]:
        """The next message of a call, when it is time for it; calls without one are ended."""
        if call.is_over or call.is_busy:
            return []
        if call.path not in (INSPECT, INSPECT_STREAM) and call.path not in self._plain:
            connection.close(call, UNIMPLEMENTED, f"this address does not serve {call.path[:100]}")
        elif call.messages:
            call.is_busy = True
            return [(call, connection.take(call))]
        elif call.is_half_closed:
            if call.path == INSPECT_STREAM:
                connection.close(call, _OK)
            else:
                connection.close(call, _INTERNAL, "the call ended without a message")
        return []

    def _close_silent(self, latest: float) -> None:
        """Close connections that never became HTTP/2."""
        for peer in self._all_peers():
            if peer.since < latest and not peer.connection.has_settings:
                self._close(peer)

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
                self._flush(peer)

    def _close(self, peer: _Peer) -> None:
        with peer.connection.lock:
            if peer.is_closed:
                return
            peer.is_closed = True
            for call in peer.connection.calls.values():
                call.end()
            peer.connection.calls.clear()
            self._peers.pop(peer.socket.fileno(), None)
            with suppress(OSError):
                self._epoll.unregister(peer.socket)
            peer.socket.close()

    def _all_peers(self) -> list[_Peer]:
        return list(self._peers.values())

    # --- any thread

    def _begin(self, peer: _Peer, call: Call, message: bytes) -> None:
        """Ask for the turn of a frame, or answer another call at once."""
        grant = self._desk.access.authorise(call.path, call.metadata.items())
        if isinstance(grant, Problem):
            self._close_call(peer, call, grant)
        elif call.path in self._plain:
            self._answer_plain(peer, call, message, grant)
        else:
            self._ask_turn(peer, call, message, grant)

    def _ask_turn(self, peer: _Peer, call: Call, message: bytes, grant: Grant) -> None:
        traceparent = call.metadata.get("traceparent", "")
        handler, taken = self._desk.accept(message, grant, traceparent)
        if handler is None or isinstance(taken, Failure):
            assert isinstance(taken, Failure)
            self._send_outcome(peer, call, taken, NOBODY)
            return
        job = _Job(peer, call, handler, taken)
        failed = handler.queue(taken, time_left_s(call.metadata), partial(self._hear, job))
        if failed is not None:
            self._send_outcome(peer, call, failed, handler.identity)

    def _answer_plain(self, peer: _Peer, call: Call, message: bytes, grant: Grant) -> None:
        try:
            line, answer = self._plain[call.path](message)
        except VisionError as error:
            self._close_call(peer, call, problem(error))
            return
        if refused := self._desk.access.covers(grant, line):
            self._close_call(peer, call, refused)
            return
        data = answer.SerializeToString()
        self._then(peer, call, lambda c: c.answer(call, data))

    def _close_call(self, peer: _Peer, call: Call, found: Problem) -> None:
        status, metadata = status_number(found.status), (("error-code", found.code),)
        self._then(peer, call, lambda c: c.close(call, status, found.message, metadata))

    def _hear(self, job: _Job, why: str) -> None:
        """Hand on a frame whose wait is over: to a worker, or to the thread that refuses."""
        if why:
            self._refused.put((job, why))
        else:
            self._ready.put(job)

    def _work(self) -> None:
        while (job := self._ready.get()) is not None:
            self._answer(job, job.handler.judge)

    def _refuse(self) -> None:
        """Answer frames that got no turn, however busy the workers are."""
        while (item := self._refused.get()) is not None:
            job, why = item
            self._answer(job, partial(job.handler.refuse, why=why))

    def _answer(self, job: _Job, judge: Callable[[Arrival], Outcome]) -> None:
        try:
            outcome = judge(job.arrival)
            self._send_outcome(job.peer, job.call, outcome, job.handler.identity)
        except Exception:  # noqa: BLE001 - the process edge: one call never ends it
            _log.exception("call failed")

    def _send_outcome(self, peer: _Peer, call: Call, outcome: Outcome, identity: Identity) -> None:
        if isinstance(outcome, Failure) and call.path == INSPECT:
            found, metadata = outcome.problem, trailing(outcome, identity)
            status = status_number(found.status)
            self._then(peer, call, lambda c: c.close(call, status, found.message, metadata))
            return
        data = to_answer(outcome, identity).SerializeToString()
        if call.path == INSPECT:
            self._then(peer, call, lambda c: c.answer(call, data))
        else:
            self._then(peer, call, lambda c: c.message(call, data))

    def _then(self, peer: _Peer, call: Call, send: Callable[[Connection], None]) -> None:
        """Send something of a call, and begin the call's next message when there is one."""
        following: list[tuple[Call, bytes]] = []
        with peer.connection.lock, suppress(OSError):  # the reading thread sees what broke
            if peer.is_closed:
                return
            send(peer.connection)
            call.is_busy = False
            following = self._taken(peer.connection, call)
            self._flush(peer)
        for _, message in following:
            self._begin(peer, call, message)

    def _flush(self, peer: _Peer) -> None:
        """Send what the socket takes; the reading thread sends the rest. The lock is held."""
        out = peer.connection.out.data
        if peer.is_closed or not out:
            return
        if not peer.is_writing:
            with suppress(BlockingIOError):
                del out[: peer.socket.send(out)]
        if len(out) > _MOST_UNSENT_BYTES:
            _log.warning("client does not read its answers", extra={"unsent_bytes": len(out)})
            peer.socket.shutdown(socket.SHUT_RDWR)  # the reading thread sees its end
        elif bool(out) != peer.is_writing:
            peer.is_writing = bool(out)
            self._epoll.modify(peer.socket, select.EPOLLIN | (select.EPOLLOUT if out else 0))
