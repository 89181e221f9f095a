"""The fast front over real sockets; that it answers like grpcio, `test_servicer` shows."""

from __future__ import annotations

import math
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest

from inspection.inspector import FrameContext
from serve.client import Client
from serve.front import frames, front
from serve.front.frames import Kind
from serve.front.peer import _MOST_UNSENT_BYTES
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
from serve.replay import read
from serve.server import Server
from serve.turns import Stream
from store.errors import InvalidInput, Unavailable
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import LINE, Process, failure, promote, serving, settings_for, station

INSPECT = b"/inspection.v1.Inspection/Inspect"
OTHER = Stream("other/line", "c")


def connect(server: Server) -> socket.socket:
    host, _, port = server.fast_address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=20)


def take_all_turns(server: Server) -> None:
    for _ in range(server.settings.workers):
        assert server.turns.take(OTHER, math.inf) == ""


def give_all_back(server: Server) -> None:
    for _ in range(server.settings.workers):
        server.turns.give_back()


def ask(channel: grpc.Channel, path: str) -> Callable[..., bytes]:
    """A call whose messages are bytes."""
    call: Callable[..., bytes] = channel.unary_unary(path)
    return call


def request(
    number: int, message: bytes, path: bytes = b"/inspection.v1.Inspection/Inspect"
) -> bytes:
    """A whole call as bytes."""
    block = b"\x83\x86" + frames.literal(b":path", path)
    data = b"\0" + len(message).to_bytes(4, "big") + message
    return frames.frame(Kind.HEADERS, frames.END_HEADERS, number, block) + frames.frame(
        Kind.DATA, frames.END_STREAM, number, data
    )


def test_both_fronts_share_lines_spool_and_turns(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, fast), Client(server.address) as plain:
        for client in (fast, plain):
            assert client.info().release == f"{LINE}@1"
            client.stub.Inspect(pb.Frame(encoded=frame(0.2)))
    assert [row["sequence"] for row in read(tmp_path / "spool")] == [1, 2]


def test_late_frame_is_answered_while_all_workers_are_busy(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True, deadline_ms=50, late="REJECT") as (server, client):
        take_all_turns(server)
        answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2), camera="left"), timeout=30)
        give_all_back(server)
        assert answer.result.verdict == pb.REJECT
        assert [reason.code for reason in answer.result.reasons] == ["late"]
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS


def test_late_frame_does_not_wait_for_a_worker(tmp_path: Path, store: Store) -> None:
    promote(store)
    ok, large = cv2.imencode(".jpg", np.zeros((6000, 8000, 3), np.uint8))  # long work
    assert ok
    with serving(tmp_path, is_fast=True, workers=1, deadline_ms=20) as (server, client):
        working = client.stub.Inspect.future(pb.Frame(encoded=large.tobytes()))
        while server.turns.is_idle:
            time.sleep(0.001)
        answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=30)
        assert not working.done()
        assert [reason.code for reason in answer.result.reasons] == ["late"]
        assert working.result(timeout=60).result.verdict == pb.PASS


def test_frames_that_waited_get_their_turn(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, client):
        take_all_turns(server)
        asked = [client.stub.Inspect.future(pb.Frame(encoded=frame(0.2))) for _ in range(20)]
        while sum(server.turns.waiting().values()) < 20:
            time.sleep(0.001)
        give_all_back(server)
        assert {a.result(timeout=30).result.verdict for a in asked} == {pb.PASS}


def test_what_is_not_served_here_is_unimplemented(tmp_path: Path, store: Store) -> None:
    with (
        serving(tmp_path, is_fast=True) as (server, _),
        grpc.insecure_channel(server.fast_address) as channel,
    ):
        for path in ("/grpc.health.v1.Health/Check", "/x/y"):
            with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED(.|\n)*does not serve"):
                ask(channel, path)(b"", timeout=20)
        for path in ("Inspect", "GetServerInfo"):
            with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT(.|\n)*the message is no"):
                ask(channel, f"/inspection.v1.Inspection/{path}")(b"\xff", timeout=20)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", bytes(100), b"\xff" * 5000, frames.PREFACE + bytes(500)],
)
def test_garbage_ends_its_own_connection_only(tmp_path: Path, store: Store, garbage: bytes) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, client), connect(server) as rude:
        rude.sendall(garbage)
        while rude.recv(65536):
            pass  # until the server closes it
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS


def test_further_connections_than_allowed_are_closed(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True, callers=2) as (server, client):
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS
        with connect(server) as second, connect(server) as third:
            assert second.recv(9)[3] == Kind.SETTINGS
            assert third.recv(9) == b""


SETTINGS = frames.PREFACE + frames.frame(Kind.SETTINGS, 0, 0)


def kinds_until_end(connected: socket.socket) -> list[int]:
    """The kinds of all frames that the server sends until it closes the connection."""
    data = b""
    while more := connected.recv(2**16):
        data += more
    kinds, at = [], 0
    while at < len(data):
        length, kind, _, _ = frames.parse_head(data, at)
        kinds.append(kind)
        at += frames.HEADER_BYTES + length
    return kinds


def let_in(server: Server) -> socket.socket:
    """A connection that the server takes, once there is room."""
    while True:
        connected = connect(server)
        if connected.recv(frames.HEADER_BYTES, socket.MSG_PEEK):
            connected.sendall(SETTINGS)
            return connected
        connected.close()
        time.sleep(0.01)


def hurry(monkeypatch: pytest.MonkeyPatch, idle_s: float) -> None:
    monkeypatch.setattr(front, "_TICK_S", 0.01)
    monkeypatch.setattr(front, "_GREETING_S", 0.05)
    monkeypatch.setattr(front, "_IDLE_S", idle_s)


def test_idle_connections_are_ended_and_clients_go_on(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    hurry(monkeypatch, idle_s=0.05)
    with serving(tmp_path, is_fast=True) as (server, client):
        with connect(server) as connected:
            connected.sendall(SETTINGS)
            assert kinds_until_end(connected)[-1] == Kind.GOAWAY
        for _ in range(3):
            assert client.stub.Inspect(pb.Frame(encoded=frame(0.9)), timeout=60).result.release
            time.sleep(0.1)


def test_open_call_is_not_idle(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    hurry(monkeypatch, idle_s=0.05)
    with serving(tmp_path, is_fast=True) as (_, client):

        def requests() -> Iterator[pb.Frame]:
            for _ in range(3):
                yield pb.Frame(encoded=frame(0.9))
                time.sleep(0.2)

        answers = list(client.stub.InspectStream(requests(), timeout=60))
        assert [answer.WhichOneof("outcome") for answer in answers] == ["result"] * 3


def test_idle_connections_keep_nobody_out(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    hurry(monkeypatch, idle_s=600)
    asked = pb.Frame(encoded=frame(0.9))
    with serving(tmp_path, is_fast=True, callers=2) as (server, client):
        client.stub.Inspect(asked, timeout=60)
        # Once it is idle, the client's connection gives way to the second one.
        with let_in(server) as first, let_in(server):
            assert client.stub.Inspect(asked, timeout=60, wait_for_ready=True).result.release
            assert kinds_until_end(first)[-1] == Kind.GOAWAY


def test_client_that_vanishes_leaves_its_row_and_disturbs_nobody(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, client):
        take_all_turns(server)
        with connect(server) as gone:
            body = pb.Frame(encoded=frame(0.2), frame_id="gone").SerializeToString()
            gone.sendall(frames.PREFACE + frames.settings([]) + request(1, body))
            while not server.turns.waiting():
                time.sleep(0.001)
        give_all_back(server)
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS
    assert "gone" in [row["frame_id"] for row in read(tmp_path / "spool")]


def test_client_that_does_not_read_is_cut_off(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, client), connect(server) as deaf:
        deaf.sendall(frames.PREFACE + frames.settings([]))
        ping = frames.frame(Kind.PING, 0, 0, bytes(8))
        body = pb.ServerInfoRequest().SerializeToString()
        info = b"/inspection.v1.Inspection/GetServerInfo"
        sent, number = 0, 1
        try:
            while sent < 40 * _MOST_UNSENT_BYTES:
                data = ping * 1000 + request(number, body, info)
                deaf.sendall(data)
                sent, number = sent + len(data), number + 2
        except (TimeoutError, OSError):
            pass
        assert sent < 40 * _MOST_UNSENT_BYTES
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS


def test_connection_cannot_hold_more_than_a_few_large_messages(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True, max_message_mib=1) as (server, client):
        with connect(server) as greedy:
            greedy.sendall(frames.PREFACE + frames.settings([]))
            piece = frames.frame(Kind.DATA, 0, 0, bytes(16_000))
            for number in range(1, 9, 2):
                block = b"\x83\x86" + frames.literal(b":path", INSPECT)
                greedy.sendall(
                    frames.frame(Kind.HEADERS, frames.END_HEADERS, number, block)
                    + frames.frame(Kind.DATA, 0, number, b"\0\0\x0f\xff\xff")
                )
                for _ in range(60):
                    greedy.sendall(piece[:5] + number.to_bytes(4, "big") + piece[9:])
            received = b""
            while b"too much is under way" not in received:
                received += greedy.recv(65536)
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2))).result.verdict == pb.PASS


def test_large_raw_frame_comes_through_many_windows(tmp_path: Path, store: Store) -> None:
    promote(store)
    pixels = np.full((3000, 2000, 3), 90, np.uint8)
    raw = pb.RawPixels(data=pixels.tobytes(), shape=pixels.shape, dtype="uint8")
    with serving(tmp_path, is_fast=True) as (server, client):
        answer = client.stub.Inspect(pb.Frame(raw=raw), timeout=60)
        release = station(server).watcher.live()
        assert release is not None
        expected = release.inspector.inspect_pixels(pixels, FrameContext())
        assert answer.result.score == expected.verdict.score


def test_drain_answers_what_is_in_work_and_ends_idle_streams(tmp_path: Path, store: Store) -> None:
    promote(store)
    server = Server(settings_for(tmp_path, fast_listen="127.0.0.1:0"))
    server.start()
    stop = threading.Event()

    def requests() -> Iterator[pb.Frame]:
        yield pb.Frame(encoded=frame(0.2))
        stop.wait(timeout=30)

    with Client(server.fast_address) as client:
        stream = client.stub.InspectStream(requests())
        assert next(stream).result.verdict == pb.PASS
        take_all_turns(server)
        asked = client.stub.Inspect.future(pb.Frame(encoded=frame(0.2)))
        while not server.turns.waiting():
            time.sleep(0.001)
        draining = threading.Thread(target=server.drain)
        draining.start()
        with pytest.raises(grpc.RpcError):
            next(stream)
        give_all_back(server)
        assert asked.result(timeout=30).result.verdict == pb.PASS
        draining.join()
        stop.set()
        with pytest.raises(grpc.RpcError):
            client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=5)


def test_unix_socket_and_the_end_of_a_process(tmp_path: Path, store: Store) -> None:
    promote(store)
    path = f"unix:{tmp_path}/fast"
    for end in (signal.SIGKILL, signal.SIGTERM):  # the second finds the socket of the first
        process = Process(tmp_path, "--fast-listen", path)
        try:
            assert process.ready.strip().endswith(f"fast on {path}")
            with Client(path) as client:
                answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2)))
                assert answer.result.verdict == pb.PASS
        finally:
            status = process.end(end)
    assert status == 0
    assert len(list(read(tmp_path / "spool"))) == 2


@pytest.mark.parametrize("address", ["0.0.0.0:1", "10.1.2.3:50052", "[::]:1"])
def test_only_this_machine_may_reach_it(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidInput, match="only this machine"):
        settings_for(tmp_path, fast_listen=address)


def test_taken_address_is_told_before_anything_is_prepared(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (server, _):
        second = settings_for(tmp_path, fast_listen=server.fast_address, spool=tmp_path / "second")
        other = Server(second)
        with pytest.raises(Unavailable, match="cannot be listened on"):
            other.start()
        other.drain()


def test_wrong_path_of_stream_is_told(tmp_path: Path, store: Store) -> None:
    """A frame that cannot be judged ends a call, and is an error inside a stream."""
    promote(store)
    with serving(tmp_path, is_fast=True) as (_, client):
        assert failure(client, pb.Frame())[0] is grpc.StatusCode.INVALID_ARGUMENT
        (answer,) = client.stub.InspectStream(iter([pb.Frame(line="turin/none")]))
        assert (answer.error.code, answer.decision.sequence) == ("not_found", 0)


def test_thousands_of_frames_that_fail_at_once_are_each_answered(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True) as (_, client):
        good = pb.Frame(encoded=frame(0.2))
        sent = [good, *(pb.Frame(frame_id=str(n)) for n in range(3000)), good]
        answers = list(client.stub.InspectStream(iter(sent), timeout=120))
        assert [answers[0].result.verdict, answers[-1].result.verdict] == [pb.PASS, pb.PASS]
        assert {answer.error.code for answer in answers[1:-1]} == {"invalid_input"}
        assert [answer.frame_id for answer in answers[1:-1]] == [str(n) for n in range(3000)]


def test_frames_of_calls_that_were_given_up_count_until_they_are_answered(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    with serving(tmp_path, is_fast=True, callers=4) as (server, client):
        take_all_turns(server)
        for number in range(4):  # each of another camera, which has a queue of its own
            given_up = client.stub.Inspect.future(pb.Frame(encoded=frame(0.2), camera=f"c{number}"))
            while len(server.turns.waiting()) <= number:
                time.sleep(0.001)
            given_up.cancel()
        status, code, _ = failure(client, pb.Frame(encoded=frame(0.2)))
        assert (status, code) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_calls")
        give_all_back(server)
        while server.turns.waiting():
            time.sleep(0.001)
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=20).result.verdict


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_stream_that_never_pauses_is_ended_while_draining(
    tmp_path: Path, store: Store, is_fast: bool
) -> None:
    promote(store)
    server = Server(settings_for(tmp_path, fast_listen="127.0.0.1:0", drain_s=60))
    server.start()
    answered = 5

    def requests() -> Iterator[pb.Frame]:
        while True:
            yield pb.Frame(encoded=frame(0.2))

    with Client(server.fast_address if is_fast else server.address) as client:
        stream = client.stub.InspectStream(requests())
        for _ in range(5):
            next(stream)
        draining = threading.Thread(target=server.drain)
        draining.start()
        began = time.monotonic()
        try:
            for _ in stream:
                answered += 1
        except grpc.RpcError as error:
            ended = error
        draining.join()
    assert time.monotonic() - began < 30  # far below drain_s
    assert ended.code() == grpc.StatusCode.UNAVAILABLE
    assert "stopping" in str(ended.details())
    assert len(list(read(tmp_path / "spool"))) == answered


def _is_refused_soon(client: Client) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.info()
        except (grpc.RpcError, Unavailable):
            return True
    return False


def test_no_call_is_taken_once_the_other_front_drains(tmp_path: Path, store: Store) -> None:
    promote(store)
    server = Server(settings_for(tmp_path, fast_listen="127.0.0.1:0", drain_s=60))
    server.start()
    take_all_turns(server)
    with Client(server.address) as plain, Client(server.fast_address) as fast:
        assert fast.info().release == f"{LINE}@1"
        held = plain.stub.Inspect.future(pb.Frame(encoded=frame(0.2)))
        while not server.turns.waiting():
            time.sleep(0.001)
        draining = threading.Thread(target=server.drain)
        draining.start()
        assert _is_refused_soon(fast)
        give_all_back(server)
        assert held.result(timeout=30).result.verdict == pb.PASS
        draining.join()


def test_without_descriptors_the_front_waits_and_then_accepts(tmp_path: Path, store: Store) -> None:
    promote(store)
    process = Process(tmp_path, "--fast-listen", "127.0.0.1:0")
    try:
        address = process.ready.rpartition("fast on ")[2].strip()
        in_use = len(os.listdir(f"/proc/{process.child.pid}/fd"))
        _, most = resource.prlimit(process.child.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.child.pid, resource.RLIMIT_NOFILE, (in_use, most))
        with grpc.insecure_channel(address) as channel:
            stub = InspectionStub(channel)
            asked = stub.Inspect.future(pb.Frame(encoded=frame(0.2)), wait_for_ready=True)
            time.sleep(2.5)  # two looks at whether there is room again
            resource.prlimit(process.child.pid, resource.RLIMIT_NOFILE, (most, most))
            assert asked.result(timeout=60).result.verdict == pb.PASS
        told = (tmp_path / "log.jsonl").read_text().count("connection not accepted")
        assert 1 <= told < 20
    finally:
        process.end(signal.SIGTERM)
