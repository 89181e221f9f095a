"""From messages to answers: asks for turns, and the workers that judge frames and write answers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

import grpc

from serve.desk import Desk
from serve.front.call import UNIMPLEMENTED, Call
from serve.front.calls import INSPECT, INSPECT_STREAM, Plain, time_left_s
from serve.front.connection import Connection
from serve.front.peer import Peer
from serve.handler import Arrival, Failure, Handler, Outcome
from serve.messages import NOBODY, refusal, to_answer, trailing
from serve.rows import Identity
from serve.statuses import Problem, problem, status_number
from serve.streams import STOPPING
from serve.tokens import Grant
from store.errors import VisionError

_log = logging.getLogger(__name__)

_OK, _INTERNAL, _UNAVAILABLE = 0, 13, 14
_FULL = Problem(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "too_many_calls",
    "as many frames are under way here as `callers` allows: send fewer at once",
)

Messages = list[tuple[Call, bytes]]


@dataclass(frozen=True)
class _Job:
    """One frame of a call, on its way to an answer."""

    peer: Peer
    call: Call
    handler: Handler
    arrival: Arrival


class Answering:
    """Answers the messages of all connections; safe to call from many threads.

    Attributes:
        is_draining: Streams are ended once the frame in work is answered.
    """

    def __init__(self, desk: Desk, workers: int, plain: Mapping[str, Plain], callers: int) -> None:
        """Make the threads.

        Args:
            desk: Who takes frames.
            workers: As many as there are turns.
            plain: Unary calls besides frames, by path.
            callers: Frames under way at once, also of clients that have gone and whose frames wait.
        """
        self.is_draining = False
        self._desk, self._plain = desk, dict(plain)
        self._under_way = threading.BoundedSemaphore(callers)
        self._ready: SimpleQueue[_Job | None] = SimpleQueue()
        self._refused: SimpleQueue[tuple[_Job, str] | None] = SimpleQueue()
        self._workers = [
            threading.Thread(target=self._work, name=f"front-{number}", daemon=True)
            for number in range(workers)
        ]
        self._refuser = threading.Thread(target=self._refuse, name="front-late", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        for thread in (*self._workers, self._refuser):
            thread.start()

    def stop(self) -> None:
        """Return when the frames in hand are answered."""
        for _ in self._workers:
            self._ready.put(None)
        self._refused.put(None)
        for thread in (*self._workers, self._refuser):
            thread.join()

    def taken(self, connection: Connection, call: Call) -> Messages:
        """The next message of a call, when it is time for it; calls without one are ended."""
        if call.is_over or call.is_busy:
            return []
        if call.path not in (INSPECT, INSPECT_STREAM) and call.path not in self._plain:
            connection.close(call, UNIMPLEMENTED, f"this address does not serve {call.path[:100]}")
        elif self.is_draining and call.path == INSPECT_STREAM and not call.is_half_closed:
            connection.close(call, _UNAVAILABLE, STOPPING)
        elif call.messages:
            call.is_busy = True
            return [(call, connection.take(call))]
        elif call.is_half_closed:
            if call.path == INSPECT_STREAM:
                connection.close(call, _OK)
            else:
                connection.close(call, _INTERNAL, "the call ended without a message")
        return []

    def begin(self, peer: Peer, messages: Messages) -> None:
        """Begin with messages, and with those that their calls hold next when they are refused.

        A loop: a client may write thousands ahead of which each is refused at once.
        """
        todo = deque(messages)
        while todo:
            call, message = todo.popleft()
            todo += self._begin_one(peer, call, message)

    def _begin_one(self, peer: Peer, call: Call, message: bytes) -> Messages:
        """Ask for the turn of a frame, or answer another call at once."""
        grant = self._desk.access.authorise(call.path, call.metadata.items())
        if isinstance(grant, Problem):
            return self._close_call(peer, call, grant)
        if call.path in self._plain:
            return self._answer_plain(peer, call, message, grant)
        return self._ask_turn(peer, call, message, grant)

    def _ask_turn(self, peer: Peer, call: Call, message: bytes, grant: Grant) -> Messages:
        if not self._under_way.acquire(blocking=False):
            return self._send_outcome(peer, call, refusal("", _FULL), NOBODY)
        traceparent = call.metadata.get("traceparent", "")
        handler, taken = self._desk.accept(message, grant, traceparent)
        if handler is None or isinstance(taken, Failure):
            assert isinstance(taken, Failure)
            self._under_way.release()
            return self._send_outcome(peer, call, taken, NOBODY)
        job = _Job(peer, call, handler, taken)
        failed = handler.queue(taken, time_left_s(call.metadata), partial(self._hear, job))
        if failed is None:
            return []
        self._under_way.release()
        return self._send_outcome(peer, call, failed, handler.identity)

    def _answer_plain(self, peer: Peer, call: Call, message: bytes, grant: Grant) -> Messages:
        try:
            line, answer = self._plain[call.path](message, grant)
        except VisionError as error:
            return self._close_call(peer, call, problem(error))
        if refused := self._desk.access.covers(grant, line):
            return self._close_call(peer, call, refused)
        data = answer.SerializeToString()
        return self._then(peer, call, lambda c: c.answer(call, data))

    def _close_call(self, peer: Peer, call: Call, found: Problem) -> Messages:
        status, metadata = status_number(found.status), (("error-code", found.code),)
        return self._then(peer, call, lambda c: c.close(call, status, found.message, metadata))

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
            try:
                outcome = judge(job.arrival)
            finally:
                self._under_way.release()
            identity = job.handler.identity
            self.begin(job.peer, self._send_outcome(job.peer, job.call, outcome, identity))
        except Exception:  # noqa: BLE001 - the process edge: one call never ends it
            _log.exception("call failed")

    def _send_outcome(
        self, peer: Peer, call: Call, outcome: Outcome, identity: Identity
    ) -> Messages:
        if isinstance(outcome, Failure) and call.path == INSPECT:
            found, metadata = outcome.problem, trailing(outcome, identity)
            status = status_number(found.status)
            return self._then(peer, call, lambda c: c.close(call, status, found.message, metadata))
        data = to_answer(outcome, identity).SerializeToString()
        if call.path == INSPECT:
            return self._then(peer, call, lambda c: c.answer(call, data))
        return self._then(peer, call, lambda c: c.message(call, data))

    def _then(self, peer: Peer, call: Call, send: Callable[[Connection], None]) -> Messages:
        """Send something of a call; gives the call's next message when there is one."""
        with peer.connection.lock, suppress(OSError):  # the reading thread sees what broke
            if peer.is_closed:
                return []
            send(peer.connection)
            call.is_busy = False
            following = self.taken(peer.connection, call)
            peer.flush()
            return following
        return []
