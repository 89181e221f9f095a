"""Clients that vanish, and those that speak no gRPC: the line's own clients notice nothing."""

from __future__ import annotations

import contextlib
import random
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.faults import FRONTS, Load, check_rows, descriptors, rss_mib, running, until
from tests.serve.running import Process, promote

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

_STREAMER = """
import sys
import grpc
from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
data = open(sys.argv[2], "rb").read()
def frames():
    while True:
        yield pb.Frame(encoded=data, camera="gone")
with grpc.insecure_channel(sys.argv[1]) as channel:
    for number, answer in enumerate(InspectionStub(channel).InspectStream(frames())):
        if number == 3:
            print("streaming", flush=True)
"""


def vanish_often(folder: Path, times: int, front: str) -> None:
    """Kill clients in the middle of their streams; nobody else is disturbed, nothing is kept."""
    promote(Store(str(folder / "store")))
    (folder / "frame").write_bytes(frame(0.2, size=800))
    (folder / "streamer.py").write_text(_STREAMER)
    chance = random.Random(times)
    with running(folder, front=front) as process:
        load = Load(process.address, "stays")
        load.wait_for(20)
        before = descriptors(process.child.pid)
        for _ in range(times):
            command = [sys.executable, folder / "streamer.py", process.address, folder / "frame"]
            with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE) as client:
                assert client.stdout is not None
                assert client.stdout.readline()
                time.sleep(chance.uniform(0, 0.05))
                client.send_signal(signal.SIGKILL)
        load.wait_for(50)
        until(lambda: descriptors(process.child.pid) <= before)
        load.stop()
        assert not load.refused
        # Its workers are free: as many frames at once as there are.
        with Client(process.address) as client:
            asked = [client.stub.Inspect.future(pb.Frame(encoded=frame(0.2))) for _ in range(8)]
            assert all(call.result(timeout=60).result.verdict == pb.PASS for call in asked)
        assert process.end(signal.SIGTERM) == 0
    rows = check_rows(folder / "spool", load.answers)
    assert rows > len(load.answers)  # the frames of those who have vanished are recorded, too


@pytest.mark.parametrize("front", FRONTS)
def test_clients_that_vanish_in_a_stream_leave_nothing_behind(tmp_path: Path, front: str) -> None:
    vanish_often(tmp_path, 2, front)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("front", FRONTS)
def test_100_clients_that_vanish_leave_nothing_behind(tmp_path: Path, front: str) -> None:
    vanish_often(tmp_path, 100, front)


@pytest.mark.parametrize(
    "front",
    ["grpcio", "fast"],
)
def test_stream_that_writes_ahead_is_held_back(tmp_path: Path, front: str) -> None:
    """A client may write as fast as it can; what it gains is not the server's memory."""
    promote(Store(str(tmp_path / "store")))
    large = pb.Frame(encoded=frame(0.2, size=300))
    small = pb.Frame(encoded=frame(0.2))
    with running(tmp_path, front=front) as process, Client(process.address) as client:
        client.stub.Inspect(large, timeout=60)
        before = rss_mib(process.child.pid)
        written = 0

        def frames() -> Iterator[pb.Frame]:
            nonlocal written
            while written < 400:
                written += 1
                yield large

        most = before
        for number, answer in enumerate(client.stub.InspectStream(frames())):
            assert answer.result.verdict == pb.PASS
            if number % 20 == 0:  # another call on the same connection
                assert client.stub.Inspect(small, timeout=60).result.verdict == pb.PASS
                most = max(most, rss_mib(process.child.pid))
        ahead_mib = 400 * len(large.encoded) / 2**20
        assert ahead_mib > 50
        assert most < before + ahead_mib / 2


def noise(chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, 4000))


def wrong_protocol(chance: random.Random) -> bytes:
    return (
        b"GET /inspect HTTP/1.1\r\nHost: line\r\n" + b"X: y\r\n" * chance.randrange(200) + b"\r\n"
    )


def half_a_preface(chance: random.Random) -> bytes:
    return PREFACE[: chance.randrange(1, len(PREFACE))]


def broken_frames(chance: random.Random) -> bytes:
    """HTTP/2 frames of any kind, length and stream behind a proper beginning."""
    frames = []
    for _ in range(chance.randrange(1, 20)):
        payload = chance.randbytes(chance.randrange(64))
        length = len(payload) if chance.random() < 0.7 else chance.randrange(2**24)
        kind, flags, stream = chance.randrange(12), chance.randrange(256), chance.randrange(2**31)
        frames.append(struct.pack(">I", length)[1:] + struct.pack(">BBI", kind, flags, stream))
        frames.append(payload)
    return PREFACE + SETTINGS + b"".join(frames)


def endless_headers(chance: random.Random) -> bytes:
    """HEADERS and CONTINUATION that never end."""
    part = struct.pack(">I", 1000)[1:]
    first = part + struct.pack(">BBI", 1, 0, 1) + chance.randbytes(1000)
    following = part + struct.pack(">BBI", 9, 0, 1) + chance.randbytes(1000)
    return PREFACE + SETTINGS + first + following * chance.randrange(40)


def resets(chance: random.Random) -> bytes:
    """Streams that are begun and reset at once ("rapid reset")."""
    head = b"\x82\x86\x84\x41\x01a"  # GET http / with :authority "a"
    streams = range(1, 400, 2)
    begun = [
        struct.pack(">I", len(head))[1:]
        + struct.pack(">BBI", 1, 4, stream)
        + head
        + b"\x00\x00\x04"
        + struct.pack(">BBII", 3, 0, stream, 8)
        for stream in streams
    ]
    return PREFACE + SETTINGS + b"".join(begun)


KINDS: tuple[Callable[[random.Random], bytes], ...] = (
    noise,
    wrong_protocol,
    half_a_preface,
    broken_frames,
    endless_headers,
    resets,
)


def connect(process: Process) -> socket.socket:
    host, _, port = process.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def send(process: Process, data: bytes, *, is_reset: bool) -> None:
    """Send bytes, take what comes for a moment, and go; perhaps with a reset."""
    with connect(process) as peer:
        with contextlib.suppress(OSError):
            peer.sendall(data)
            peer.settimeout(0.05)
            peer.recv(65536)
        if is_reset:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def garbage(folder: Path, connections: int, front: str) -> None:
    """Send what is no gRPC while a line works; it goes on, and the process stays as it was."""
    promote(Store(str(folder / "store")))
    chance = random.Random(connections)
    with running(folder, front=front) as process:
        pid = process.child.pid
        load = Load(process.address, "line", clients=2)
        load.wait_for(50)
        files, memory = descriptors(pid), rss_mib(pid)
        for number in range(connections):
            data = KINDS[number % len(KINDS)](chance)
            send(process, data, is_reset=chance.random() < 0.3)
        load.wait_for(50)
        load.stop()
        until(lambda: descriptors(pid) <= files)
        assert rss_mib(pid) < memory + 200
        assert process.end(signal.SIGTERM) == 0
    assert not load.refused
    assert check_rows(folder / "spool", load.answers) == len(load.answers)


@pytest.mark.parametrize("front", FRONTS)
def test_garbage_on_the_port_disturbs_nobody(tmp_path: Path, front: str) -> None:
    garbage(tmp_path, 60, front)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("front", FRONTS)
def test_3000_connections_with_garbage_disturb_nobody(tmp_path: Path, front: str) -> None:
    garbage(tmp_path, 3000, front)


def hold(folder: Path, connections: int, front: str) -> None:
    """Open connections that say nothing, or a byte now and then; the line's frames pass them."""
    promote(Store(str(folder / "store")))
    with running(folder, front=front) as process:
        pid = process.child.pid
        load = Load(process.address, "line", clients=2)
        load.wait_for(20)
        files, memory = descriptors(pid), rss_mib(pid)
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(connect(process)) for _ in range(connections)]
            for position in range(5):  # the slowest of all clients
                load.wait_for(20)
                for peer in idle[::2]:
                    with contextlib.suppress(OSError):
                        peer.sendall(PREFACE[position : position + 1])
            assert rss_mib(pid) < memory + 300 + connections / 5
        load.wait_for(20)
        load.stop()
        until(lambda: descriptors(pid) <= files)
        assert process.end(signal.SIGTERM) == 0
    assert not load.refused
    check_rows(folder / "spool", load.answers)


@pytest.mark.parametrize("front", FRONTS)
def test_half_open_and_slow_connections_hold_up_nobody(tmp_path: Path, front: str) -> None:
    hold(tmp_path, 100, front)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("front", FRONTS)
def test_5000_half_open_connections_hold_up_nobody(tmp_path: Path, front: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 6000:
        pytest.skip(f"only {hard} files may be open at once")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 6000), hard))
    try:
        hold(tmp_path, 5000, front)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
