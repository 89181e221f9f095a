"""One connection, with the library h2 as the client: no socket, every byte in our hands."""

from __future__ import annotations

import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.front import frames
from serve.front.call import Call
from serve.front.connection import STREAM_WINDOW, Connection, Limits
from serve.front.frames import Code, Kind, ProtocolError

LIMITS = Limits(message_bytes=100_000, streams=8)
HEADERS = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a/b"),
    (":authority", "x"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


class Pair:
    """A client and a connection; `turn` carries bytes both ways until neither has any."""

    def __init__(self, limits: Limits = LIMITS, chunk: int = 10**9, **client_settings: int) -> None:
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.client.initiate_connection()
        self.client.update_settings({SettingCodes[k]: v for k, v in client_settings.items()})
        self.server = Connection(limits)
        self.chunk = chunk
        self.calls: dict[int, Call] = {}
        self.events: list[Event] = []
        self.turn()

    def turn(self) -> None:
        while (data := self.client.data_to_send()) or self.server.out.data:
            for at in range(0, len(data), self.chunk):
                for call in self.server.receive(data[at : at + self.chunk]):
                    self.calls[call.number] = call
            out = bytes(self.server.out.data)
            self.server.out.data.clear()
            self.events += self.client.receive_data(out)

    def open(self, *, end: bool = False) -> int:
        number = self.client.get_next_available_stream_id()
        self.client.send_headers(number, HEADERS, end_stream=end)
        return int(number)

    def send(self, number: int, *messages: bytes, end: bool = True) -> None:
        """Send messages as the windows allow."""
        data = b"".join(struct.pack(">BI", 0, len(m)) + m for m in messages)
        while data:
            room = self.client.local_flow_control_window(number)
            size = min(room, self.client.max_outbound_frame_size, len(data))
            self.client.send_data(number, data[:size])
            data = data[size:]
            self.turn()
        if end:
            self.client.end_stream(number)
        self.turn()

    def received(self, number: int) -> bytes:
        """What came back, with windows opened again."""
        return b"".join(
            e.data for e in self.events if isinstance(e, DataReceived) and e.stream_id == number
        )

    def status(self, number: int) -> str:
        """The grpc-status that ended a call."""
        found = [
            {str(name): str(value) for name, value in e.headers}
            for e in self.events
            if isinstance(e, TrailersReceived | ResponseReceived) and e.stream_id == number
        ]
        return found[-1].get("grpc-status", "")


@settings(deadline=None)
@given(
    messages=st.lists(st.binary(max_size=40_000), min_size=1, max_size=4),
    chunk=st.integers(1, 5000),
)
def test_messages_arrive_whole_however_the_bytes_are_cut(messages: list[bytes], chunk: int) -> None:
    pair = Pair(chunk=chunk)
    number = pair.open()
    pair.send(number, *messages)
    call = pair.calls[number]
    assert list(call.messages) == messages
    assert (call.path, call.is_half_closed) == ("/a/b", True)
    assert call.metadata["content-type"] == "application/grpc"


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 60_000), min_size=1, max_size=4), window=st.integers(1, 70_000)
)
def test_answers_arrive_whole_through_small_windows(sizes: list[int], window: int) -> None:
    pair = Pair(INITIAL_WINDOW_SIZE=window)
    answers = {}
    for size in sizes:
        number = pair.open()
        pair.send(number, b"x")
        answers[number] = bytes([size % 251]) * size
        pair.server.answer(pair.calls[number], answers[number])
    seen = 0
    while True:
        pair.turn()
        fresh = [e for e in pair.events[seen:] if isinstance(e, DataReceived)]
        seen = len(pair.events)
        if not fresh:
            break
        for event in fresh:
            if event.flow_controlled_length:
                pair.client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    for number, answer in answers.items():
        assert pair.received(number) == struct.pack(">BI", 0, len(answer)) + answer
        assert pair.status(number) == "0"
    assert not pair.server.calls


def test_a_stream_gets_many_answers_then_its_status() -> None:
    pair = Pair()
    number = pair.open()
    pair.send(number, b"one", b"two", end=False)
    call = pair.calls[number]
    pair.server.message(call, b"1")
    pair.turn()
    assert pair.received(number) == b"\0\0\0\0\x011"
    pair.send(number)
    pair.server.message(call, b"2")
    pair.server.close(call, 0)
    pair.turn()
    assert pair.received(number).endswith(b"\0\0\0\0\x012")
    assert pair.status(number) == "0"
    assert any(isinstance(e, StreamEnded) for e in pair.events)


def test_status_waits_for_the_messages_before_it() -> None:
    pair = Pair(INITIAL_WINDOW_SIZE=3)
    number = pair.open()
    pair.send(number, b"x")
    pair.server.message(pair.calls[number], b"0123456789")
    pair.server.close(pair.calls[number], 5, "gone")
    pair.turn()
    assert pair.status(number) == ""
    pair.client.increment_flow_control_window(1000, number)
    pair.turn()
    assert pair.received(number)[5:] == b"0123456789"
    assert pair.status(number) == "5"


def test_call_that_the_client_gave_up_gets_nothing_more() -> None:
    pair = Pair()
    number = pair.open()
    pair.send(number, b"x", end=False)
    call = pair.calls[number]
    pair.client.reset_stream(number)
    pair.turn()
    assert call.is_over
    for send in (pair.server.answer, pair.server.message):
        send(call, b"late")
    pair.server.close(call, 3)
    assert not pair.server.out.data


def test_too_long_and_compressed_messages_are_refused_and_others_go_on() -> None:
    pair = Pair()
    long, packed, good = pair.open(), pair.open(), pair.open()
    pair.client.send_data(long, struct.pack(">BI", 0, LIMITS.message_bytes + 1))
    pair.client.send_data(packed, struct.pack(">BI", 1, 3) + b"abc")
    pair.turn()
    assert (pair.status(long), pair.status(packed)) == ("8", "12")
    assert [e.error_code for e in pair.events if isinstance(e, StreamReset)] == [0, 0]
    pair.send(good, b"x")
    assert list(pair.calls[good].messages) == [b"x"]


def test_more_calls_than_allowed_are_refused() -> None:
    pair = Pair()
    raw = frames.RESPONSE  # any valid header block
    for number in range(1, 21, 2):
        pair.server.receive(frames.frame(Kind.HEADERS, frames.END_HEADERS, number, raw))
    assert len(pair.server.calls) == LIMITS.streams
    assert bytes(pair.server.out.data).count(frames.reset(17, Code.REFUSED_STREAM)) == 1


def test_end_refuses_new_calls_and_finishes_old_ones() -> None:
    pair = Pair()
    number = pair.open()
    pair.send(number, b"x")
    pair.server.end()
    head = frames.frame(Kind.HEADERS, frames.END_HEADERS, 99, frames.RESPONSE)
    pair.server.receive(head)
    assert list(pair.server.calls) == [number]
    pair.server.answer(pair.calls[number], b"y")
    out = bytes(pair.server.out.data)
    assert out.startswith(frames.goaway(number, Code.NO_ERROR))
    assert frames.reset(99, Code.REFUSED_STREAM) in out
    assert frames.TRAILERS_OK in out
    assert not pair.server.calls


def test_ping_is_answered() -> None:
    pair = Pair()
    pair.client.ping(b"12345678")
    pair.turn()
    assert any(isinstance(e, PingAckReceived) for e in pair.events)


def test_large_message_needs_and_gets_more_window() -> None:
    pair = Pair(Limits(message_bytes=2**25, streams=8))
    number = pair.open()
    message = bytes(20 * 2**20)
    pair.send(number, message)
    assert list(pair.calls[number].messages) == [message]


HEAD = frames.frame(Kind.HEADERS, frames.END_HEADERS, 1, frames.RESPONSE)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.frame(Kind.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.DATA, 0, 7, b"x"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.DATA, 0, 1, bytes(2**18 + 1)), Code.FRAME_SIZE_ERROR),
        (frames.frame(Kind.HEADERS, frames.END_HEADERS, 2, b"\x88"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.HEADERS, frames.END_HEADERS, 1, b"\xff\xff"), Code.COMPRESSION_ERROR),
        (frames.frame(Kind.HEADERS, 0x8, 1, b"\x09"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.HEADERS, 0x24, 1, b"\x09"), Code.FRAME_SIZE_ERROR),
        (frames.frame(Kind.CONTINUATION, 0, 1, b"x"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.HEADERS, 0, 1) + frames.frame(Kind.PING, 0, 0, bytes(8)), 1),
        (frames.frame(Kind.PUSH_PROMISE, 0, 1, bytes(4)), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.PING, 0, 0, b"x"), Code.FRAME_SIZE_ERROR),
        (frames.frame(Kind.PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.SETTINGS, 0, 0, b"x"), Code.FRAME_SIZE_ERROR),
        (frames.frame(Kind.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), Code.FLOW_CONTROL_ERROR),
        (frames.frame(Kind.SETTINGS, 0, 0, b"\0\5\0\0\0\1"), Code.PROTOCOL_ERROR),
        (frames.frame(Kind.WINDOW_UPDATE, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
        (frames.frame(Kind.WINDOW_UPDATE, 0, 0, bytes(4)), Code.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 2**31 - 1), Code.FLOW_CONTROL_ERROR),
        (HEAD + frames.window_update(1, 2**31 - 1), Code.FLOW_CONTROL_ERROR),
        (frames.frame(Kind.RST_STREAM, 0, 9, bytes(4)), Code.PROTOCOL_ERROR),
        (HEAD + frames.frame(Kind.RST_STREAM, 0, 1, b"x"), Code.FRAME_SIZE_ERROR),
        (HEAD + frames.frame(Kind.DATA, 0x8, 1, b"\x05x"), Code.PROTOCOL_ERROR),
        (HEAD + frames.frame(Kind.DATA, 1, 1) + frames.frame(Kind.DATA, 0, 1, b"x"), 5),
        (frames.frame(Kind.PING, 0, 0, bytes(8)) * 3000, Code.ENHANCE_YOUR_CALM),
        (HEAD + frames.frame(Kind.DATA, 0, 1) * 3000, Code.ENHANCE_YOUR_CALM),
        (
            frames.frame(Kind.HEADERS, 0, 1)
            + frames.frame(Kind.CONTINUATION, 0, 1, bytes(2000)) * 10,
            Code.ENHANCE_YOUR_CALM,
        ),
        (
            b"".join(
                frames.frame(Kind.HEADERS, frames.END_HEADERS, n, frames.RESPONSE)
                + frames.reset(n, Code.CANCEL)
                for n in range(1, 6001, 2)
            ),
            Code.ENHANCE_YOUR_CALM,
        ),
    ],
)
def test_broken_protocol_ends_the_connection_with_its_code(data: bytes, code: int) -> None:
    connection = Connection(LIMITS)
    connection.receive(frames.PREFACE + frames.settings([]))
    with pytest.raises(ProtocolError) as raised:
        connection.receive(data)
    assert raised.value.code == code
    goaway = bytes(connection.out.data)[-17:]
    assert goaway[3] == Kind.GOAWAY
    assert int.from_bytes(goaway[-4:], "big") == code


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", frames.PREFACE + HEAD])
def test_what_does_not_begin_like_http2_is_ended(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Connection(LIMITS).receive(data)


@settings(deadline=None, max_examples=300)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=50),
            st.builds(
                frames.frame,
                st.sampled_from(Kind),
                st.integers(0, 255),
                st.integers(0, 9),
                st.binary(max_size=30),
            ),
            st.just(HEAD),
            st.just(frames.frame(Kind.DATA, 0, 1, b"\0\0\0\0\x01x")),
        ),
        max_size=30,
    )
)
def test_no_bytes_do_anything_but_end_the_connection(pieces: list[bytes]) -> None:
    connection = Connection(LIMITS)
    connection.receive(frames.PREFACE + frames.settings([]))
    try:
        for piece in pieces:
            for call in connection.receive(piece):
                while call.messages:
                    connection.message(call, call.messages.popleft())
    except ProtocolError:
        assert connection.is_ending


def test_client_cannot_write_ahead_of_what_is_taken() -> None:
    pair = Pair(Limits(message_bytes=2**22, streams=8))
    number = pair.open()
    whole = struct.pack(">BI", 0, 100_000) + bytes(100_000)
    sent = 0

    def write() -> int:
        """Send as much as the windows allow; gives how much that was."""
        nonlocal sent
        before = sent
        while room := min(pair.client.local_flow_control_window(number), 2**14):
            place = sent % len(whole)
            piece = whole[place : place + room]
            pair.client.send_data(number, piece)
            sent += len(piece)
            pair.turn()
        return sent - before

    write()
    call = pair.calls[number]
    assert sent < STREAM_WINDOW + 2**14
    assert write() == 0
    for _ in range(50):
        while call.messages:
            assert pair.server.take(call) == bytes(100_000)
        pair.turn()
        assert write() > 0
    assert call.held < STREAM_WINDOW + len(whole)


def test_more_bytes_than_the_window_end_the_connection() -> None:
    pair = Pair()
    number = pair.open()
    pair.turn()
    message = struct.pack(">BI", 0, 995) + bytes(995)
    data = frames.frame(Kind.DATA, 0, number, message * 16)
    for _ in range(STREAM_WINDOW // len(data)):  # none is taken
        pair.server.receive(data)
    with pytest.raises(ProtocolError, match="window"):
        pair.server.receive(data)


def test_messages_that_wait_are_counted_not_only_weighed() -> None:
    pair = Pair()
    number = pair.open()
    pair.send(number, *[b""] * 5000, end=False)
    assert pair.status(number) == "8"


def test_a_long_header_block_is_refused_in_one_frame_too() -> None:
    pair = Pair()
    block = b"\x20" * (frames.MAX_HEADER_LIST_BYTES + 1)  # changes of the table's size
    with pytest.raises(ProtocolError, match="header block"):
        pair.server.receive(frames.frame(Kind.HEADERS, frames.END_HEADERS, 1, block))
