"""One HTTP/2 connection of a gRPC client: bytes in, messages out, and back. Does no I/O.

Not safe for several threads: whoever shares a connection holds its `lock`.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from serve.front import frames
from serve.front.call import Call, Refusal
from serve.front.frames import Code, Kind, ProtocolError, Setting
from serve.front.outbox import FIRST_WINDOW, MOST_WINDOW, Outbox

STREAM_WINDOW = 2**20
CONNECTION_WINDOW = 2**24
_MOST_IDLE_FRAMES = 2000
"""Frames that carry no message, such as PING and RST_STREAM, between two that do."""


@dataclass(frozen=True)
class Limits:
    """What a client may do.

    Attributes:
        message_bytes: Of one message.
        streams: Calls at once on one connection.
    """

    message_bytes: int
    streams: int


class Connection:
    """The server's side of one connection.

    `receive` gives the calls that something happened to; what is to be sent gathers in `out.data`.
    """

    def __init__(self, limits: Limits) -> None:
        self.lock = threading.Lock()
        self.out = Outbox()
        self.calls: dict[int, Call] = {}
        self.is_ending = False
        self._limits = limits
        self._headers = frames.HeaderDecoder()
        self._rest = b""
        self._preface = len(frames.PREFACE)
        self.has_settings = False
        self._last = 0
        self._block: tuple[int, int, bytearray] | None = None  # a header block that goes on
        self._received = 0
        self._idle = 0
        self.out.data += frames.settings(
            [
                (Setting.MAX_CONCURRENT_STREAMS, limits.streams),
                (Setting.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
                (Setting.MAX_FRAME_SIZE, frames.MAX_FRAME_BYTES),
                (Setting.MAX_HEADER_LIST_SIZE, frames.MAX_HEADER_LIST_BYTES),
            ]
        )
        self.out.data += frames.window_update(0, CONNECTION_WINDOW - FIRST_WINDOW)

    @property
    def newest(self) -> int:
        """Number of the newest call that was ever open; 0 before the first."""
        return self._last

    @property
    def held(self) -> int:
        """Bytes of messages that are under way or not yet taken."""
        return sum(call.held for call in self.calls.values())

    def receive(self, data: bytes) -> list[Call]:
        """Take bytes from the peer.

        Returns:
            Calls with new messages, that are half-closed now, or that the client has given up.

        Raises:
            ProtocolError: when the connection has to end; `out` tells the peer.
        """
        try:
            return self._receive(data)
        except ProtocolError as error:
            self.end(error.code)
            raise

    def take(self, call: Call) -> bytes:
        """The next message of a call, which has one; its client may send on."""
        message = call.take()
        self._reopen(call)
        return message

    def message(self, call: Call, data: bytes) -> None:
        """Send one message of a streaming call."""
        if not call.is_over:
            self._over(self.out.message(call, data))

    def answer(self, call: Call, data: bytes) -> None:
        """Send the only message of a call and end it well."""
        last = _trailers(call.number, frames.TRAILERS_OK)
        if not call.is_over:
            self._over(self.out.message(call, data, last))

    def close(
        self,
        call: Call,
        status: int,
        message: str = "",
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        """End a call with a status; the messages sent before come first."""
        if call.is_over:
            return
        block = frames.trailers(status, message, metadata)
        if not call.has_begun:
            block = frames.RESPONSE + block
            call.has_begun = True
        if self.out.finish(call, _trailers(call.number, block)):
            self._over([call])

    def end(self, code: Code = Code.NO_ERROR) -> None:
        """Tell the peer that no further call is taken; those under way go on."""
        if not self.is_ending:
            self.is_ending = True
            self.out.data += frames.goaway(self._last, code)

    def _receive(self, data: bytes) -> list[Call]:
        data = self._rest + data if self._rest else data
        if self._preface:
            size = min(self._preface, len(data))
            start = len(frames.PREFACE) - self._preface
            if data[:size] != frames.PREFACE[start : start + size]:
                raise ProtocolError(Code.PROTOCOL_ERROR, "this is not HTTP/2")
            self._preface -= size
            data = data[size:]
        at, changed = 0, {}
        while len(data) - at >= frames.HEADER_BYTES:
            length, kind, flags, number = frames.parse_head(data, at)
            if length > frames.MAX_FRAME_BYTES:
                raise ProtocolError(Code.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            begin = at + frames.HEADER_BYTES
            if len(data) - begin < length:
                break
            at = begin + length
            call = self._take(kind, flags, number, data[begin:at])
            if call is not None:
                changed[call.number] = call
        self._rest = data[at:]
        return list(changed.values())

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> Call | None:
        if not self.has_settings and kind != Kind.SETTINGS:
            raise ProtocolError(Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self._block is not None and kind != Kind.CONTINUATION:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a header block is interrupted")
        if kind == Kind.DATA:
            return self._data(flags, number, payload)
        if kind == Kind.HEADERS:
            return self._header_block(flags, number, _without_padding(flags, payload, is_head=True))
        if kind == Kind.CONTINUATION:
            return self._continue(flags, number, payload)
        if kind == Kind.WINDOW_UPDATE:
            self._widen(number, payload)
            return None
        self._count_idle()
        if kind == Kind.RST_STREAM:
            return self._forget(number, payload)
        self._control(kind, flags, number, payload)
        return None

    def _control(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in (Kind.SETTINGS, Kind.PING, Kind.GOAWAY) and number:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a connection frame names a stream")
        if kind == Kind.SETTINGS:
            self._settings(flags, payload)
        elif kind == Kind.PING:
            if len(payload) != 8:
                raise ProtocolError(Code.FRAME_SIZE_ERROR, "a PING has eight bytes")
            if not flags & frames.ACK:
                self.out.data += frames.frame(Kind.PING, frames.ACK, 0, payload)
        elif kind == Kind.GOAWAY:
            self.is_ending = True
        elif kind == Kind.PUSH_PROMISE:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a client does not push")
        # PRIORITY and unknown kinds mean nothing here.

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > _MOST_IDLE_FRAMES:
            raise ProtocolError(Code.ENHANCE_YOUR_CALM, "many frames without a message")

    def _settings(self, flags: int, payload: bytes) -> None:
        self.has_settings = True
        if flags & frames.ACK:
            return
        if len(payload) % 6:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "SETTINGS come in six bytes each")
        for name, value in struct.iter_unpack(">HI", payload):
            if name == Setting.INITIAL_WINDOW_SIZE:
                if value > MOST_WINDOW:
                    raise ProtocolError(Code.FLOW_CONTROL_ERROR, "the window is too large")
                for call in self.calls.values():
                    call.send_window += value - self.out.first_window
                self.out.first_window = value
            elif name == Setting.MAX_FRAME_SIZE:
                self.out.use_frames_of(value)
        self.out.data += frames.frame(Kind.SETTINGS, frames.ACK, 0)
        self._over(self.out.unblock())

    def _header_block(self, flags: int, number: int, block: bytes) -> Call | None:
        if number % 2 == 0:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a client's streams are odd")
        if flags & frames.END_HEADERS:
            return self._headers_done(flags, number, block)
        self._block = (flags, number, bytearray(block))
        return None

    def _continue(self, flags: int, number: int, payload: bytes) -> Call | None:
        if self._block is None or self._block[1] != number:
            raise ProtocolError(Code.PROTOCOL_ERROR, "a CONTINUATION that continues nothing")
        self._count_idle()
        first_flags, _, block = self._block
        block += payload
        if not flags & frames.END_HEADERS:
            if len(block) > frames.MAX_HEADER_LIST_BYTES:
                raise ProtocolError(Code.ENHANCE_YOUR_CALM, "a header block without end")
            return None
        self._block = None
        return self._headers_done(first_flags, number, bytes(block))

    def _headers_done(self, flags: int, number: int, block: bytes) -> Call | None:
        if len(block) > frames.MAX_HEADER_LIST_BYTES:
            raise ProtocolError(Code.ENHANCE_YOUR_CALM, "a header block without end")
        fields = self._headers.decode(block)  # always: the table is shared by all streams
        call = self.calls.get(number)
        if call is None:
            call = self._open(number, fields)
        if call is not None and flags & frames.END_STREAM:
            call.is_half_closed = True
        return call

    def _open(self, number: int, fields: dict[str, str]) -> Call | None:
        if number <= self._last:
            return None  # trailers of a call that is over
        self._last = number
        if self.is_ending or len(self.calls) >= self._limits.streams:
            self.out.data += frames.reset(number, Code.REFUSED_STREAM)
            self._count_idle()
            return None
        call = Call(number, fields.get(":path", ""), fields, self.out.first_window)
        self.calls[number] = call
        return call

    def _data(self, flags: int, number: int, payload: bytes) -> Call | None:
        if number == 0 or number > self._last:
            raise ProtocolError(Code.PROTOCOL_ERROR, "DATA on a stream that is not open")
        self._consume(len(payload))
        call = self.calls.get(number)
        if call is None:
            return None  # given up, or over
        if call.is_half_closed:
            raise ProtocolError(Code.STREAM_CLOSED, "DATA after the end of a stream")
        call.received += len(payload)
        if call.received > STREAM_WINDOW:
            raise ProtocolError(Code.FLOW_CONTROL_ERROR, "more bytes than the window allows")
        payload = _without_padding(flags, payload, is_head=False)
        if payload:
            self._append(call, payload)
        elif not flags & frames.END_STREAM:
            self._count_idle()
        if flags & frames.END_STREAM:
            call.is_half_closed = True
            return call
        self._reopen(call)
        return call if call.messages or call.is_over else None

    def _append(self, call: Call, payload: bytes) -> None:
        try:
            if call.append(payload, self._limits.message_bytes):
                self._idle = 0
        except Refusal as refusal:
            self.close(call, refusal.status, str(refusal))

    def _consume(self, size: int) -> None:
        self._received += size
        if self._received >= CONNECTION_WINDOW // 2:
            self.out.data += frames.window_update(0, self._received)
            self._received = 0

    def _reopen(self, call: Call) -> None:
        """Let the client send on, unless a whole message waits to be taken.

        What it writes ahead so stays with the client; a message that is longer than the window
        arrives all the same.
        """
        if call.received >= STREAM_WINDOW // 2 and not call.messages and not call.is_half_closed:
            self.out.data += frames.window_update(call.number, call.received)
            call.received = 0

    def _widen(self, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "a WINDOW_UPDATE has four bytes")
        size = int.from_bytes(payload, "big") & MOST_WINDOW
        call = self.calls.get(number)
        if number == 0 or call is not None:
            self._over(self.out.widen(call, size))

    def _forget(self, number: int, payload: bytes) -> Call | None:
        if len(payload) != 4:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "a RST_STREAM has four bytes")
        if number == 0 or number > self._last:
            raise ProtocolError(Code.PROTOCOL_ERROR, "RST_STREAM on a stream that is not open")
        call = self.calls.pop(number, None)
        if call is not None:
            call.end()
            self.out.forget(call)
        return call

    def _over(self, calls: Iterable[Call]) -> None:
        for call in calls:
            call.end()
            self.calls.pop(call.number, None)


def _trailers(number: int, block: bytes) -> bytes:
    return frames.frame(Kind.HEADERS, frames.END_HEADERS | frames.END_STREAM, number, block)


def _without_padding(flags: int, payload: bytes, *, is_head: bool) -> bytes:
    """The payload of a HEADERS or DATA frame without padding and priority."""
    if flags & frames.PADDED:
        if not payload or payload[0] >= len(payload):
            raise ProtocolError(Code.PROTOCOL_ERROR, "more padding than frame")
        payload = payload[1 : len(payload) - payload[0]]
    if is_head and flags & frames.PRIORITY_FLAG:
        if len(payload) < 5:
            raise ProtocolError(Code.FRAME_SIZE_ERROR, "HEADERS without room for a priority")
        payload = payload[5:]
    return payload
