"""The whole server in this process: health, reflection, swapping under load, draining."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from serve.client import Client
from serve.frame import IncomingFrame
from serve.handler import Handler, LatePolicy, Outcome
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from serve.server import NEWEST_RELEASE, Server
from serve.servicer import INSPECTION
from serve.turns import Stream
from store.errors import Conflict, Unavailable
from store.keys import LineKey
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import (
    LINE,
    failure,
    full_disk,
    promote,
    serving,
    settings_for,
    station,
    wait_until_live,
)

Live = tuple[Server, Client]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def health(channel: grpc.Channel, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return int(stub.Check(health_pb2.HealthCheckRequest(service=service)).status)


def wait_for_health(channel: grpc.Channel, service: str, status: int) -> None:
    """Return when that is what the server says; it says so just after it is so."""
    while health(channel, service) != status:
        time.sleep(0.01)


def test_health_says_who_can_answer(tmp_path: Path, store: Store) -> None:
    with serving(tmp_path) as (_, client), grpc.insecure_channel(client.target) as channel:
        assert health(channel, "") == SERVING
        assert health(channel, INSPECTION) == NOT_SERVING
        assert health(channel, NEWEST_RELEASE) == NOT_SERVING
        promote(store)
        updates = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=INSPECTION)
        )
        while next(updates).status != SERVING:
            pass
        updates.cancel()
        wait_for_health(channel, NEWEST_RELEASE, SERVING)


def test_health_follows_the_spool(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (server, client), grpc.insecure_channel(client.target) as channel:
        assert health(channel, INSPECTION) == SERVING
        station(server).spool.close()
        wait_for_health(channel, INSPECTION, NOT_SERVING)
        wait_for_health(channel, "", NOT_SERVING)
        with pytest.raises(grpc.RpcError) as raised:
            client.stub.Inspect(pb.Frame(encoded=frame(0.2)))
        assert isinstance(raised.value, grpc.Call)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
        assert str(tmp_path) not in str(raised.value.details())


def test_health_and_info_follow_a_full_disk(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (_, client), grpc.insecure_channel(client.target) as channel:
        with full_disk(10):
            status, code, _ = failure(client, pb.Frame(encoded=frame(0.2)))
            assert (status, code) == (grpc.StatusCode.UNAVAILABLE, "unavailable")
            for service in ("", INSPECTION, NEWEST_RELEASE):
                wait_for_health(channel, service, NOT_SERVING)
            assert "make room" in client.info().spool.fault
        wait_for_health(channel, INSPECTION, SERVING)
        assert client.info().spool.fault == ""
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.9))).decision.sequence == 1


def test_reflection_describes_the_protocol(live: Live) -> None:
    with grpc.insecure_channel(live[1].target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {INSPECTION, "grpc.health.v1.Health"} <= set(database.get_services())
        file = database.FindFileContainingSymbol(INSPECTION)
    methods = [method.name for method in file.service[0].method]
    assert methods == ["Inspect", "InspectStream", "GetServerInfo"]


def test_info_says_what_runs(live: Live) -> None:
    server, client = live
    info = client.info()
    assert (info.line, info.release, info.fault) == (str(LINE), f"{LINE}@1", "")
    assert (info.channels, info.height_px, info.width_px) == (3, 32, 32)
    assert list(info.classes) == ["spot", "dark"]
    assert info.engine == "onnxruntime graph.onnx"
    assert info.live_since.seconds > 0
    assert info.workers == 2
    assert info.spool.next_sequence == station(server).spool.state().next_sequence
    assert (info.host, info.boot) == (station(server).identity.host, station(server).identity.boot)


def test_swaps_under_load_without_a_failed_request(tmp_path: Path, store: Store) -> None:
    """Even releases pass the frame, odd ones reject it; every answer fits the release it names."""
    promote(store, seed=1)
    stop = threading.Event()
    answers: list[tuple[str, int]] = []

    def ask(address: str) -> None:
        with Client(address) as client:
            requests = iter(lambda: pb.Frame(encoded=frame(0.9)), None)
            for answer in client.stub.InspectStream(requests):
                answers.append((answer.result.release, answer.result.verdict))
                if stop.is_set():
                    return

    with serving(tmp_path) as (server, client):
        threads = [threading.Thread(target=ask, args=(client.target,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(2, 8):
            promote(store, seed=number, bias=0.0 if number % 2 else -40.0)
            wait_until_live(server, number)
            before = len(answers)
            while len(answers) < before + 20:
                time.sleep(0.005)
        stop.set()
        for thread in threads:
            thread.join()
    expected = {f"{LINE}@{n}": pb.REJECT if n % 2 else pb.PASS for n in range(1, 8)}
    assert {release for release, _ in answers} == set(expected)
    assert all(verdict == expected[release] for release, verdict in answers)
    rows = list(read(tmp_path / "spool"))
    assert not [row for row in rows if "error" in row]
    assert len(rows) >= len(answers)


def test_drain_answers_what_is_in_work_and_ends_idle_streams(tmp_path: Path, store: Store) -> None:
    promote(store)
    answered: list[pb.Answer] = []
    ended: list[grpc.StatusCode] = []
    sent = threading.Event()
    finished = threading.Event()

    def frames() -> Iterator[pb.Frame]:
        for _ in range(100):
            yield pb.Frame(encoded=frame(0.2))
        sent.set()
        finished.wait(timeout=30)  # the stream is idle now, and open

    def ask(address: str) -> None:
        with Client(address) as client, pytest.raises(grpc.RpcError) as raised:
            answered.extend(client.stub.InspectStream(frames()))
        assert isinstance(raised.value, grpc.Call)
        ended.append(raised.value.code())

    with serving(tmp_path, drain_s=60) as (_, client):
        thread = threading.Thread(target=ask, args=(client.target,))
        thread.start()
        sent.wait()
        began = time.monotonic()
    finished.set()
    thread.join()
    assert time.monotonic() - began < 30  # far below drain_s: nobody waited for an idle stream
    assert ended == [grpc.StatusCode.UNAVAILABLE]
    rows = list(read(tmp_path / "spool"))
    assert len(rows) == 100


def test_drain_waits_for_the_frame_in_work_and_refuses_later_ones(
    tmp_path: Path, store: Store
) -> None:
    promote(store)
    ok, large = cv2.imencode(".jpg", np.zeros((6000, 8000, 3), np.uint8))  # long work
    assert ok
    server = Server(settings_for(tmp_path))
    with Client(server.start()) as client:
        asked = client.stub.Inspect.future(pb.Frame(encoded=large.tobytes()))
        while server.turns.is_idle:
            time.sleep(0.001)
        server.drain()
        assert asked.result(timeout=20).result.verdict == pb.PASS
        with pytest.raises(grpc.RpcError):
            client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=1)
    (row,) = read(tmp_path / "spool")
    assert row["verdict"] == "PASS"


def test_recorded_frame_gets_its_answer_however_late_it_leaves(
    tmp_path: Path, store: Store
) -> None:
    """The worker is free and the row written long before the answer leaves: a starved process."""
    promote(store)
    server = Server(settings_for(tmp_path))

    class LateHandler(Handler):
        def answer(self, frame: IncomingFrame, time_left_s: float = math.inf) -> Outcome:
            outcome = super().answer(frame, time_left_s)
            time.sleep(1.0)
            return outcome

    line = station(server)
    line.handler = LateHandler(line.identity, line.watcher, line.spool, server.turns, LatePolicy())
    with Client(server.start()) as client:
        request = pb.Frame(encoded=frame(0.2))
        asked = client.stub.Inspect.future(request)
        stream = client.stub.InspectStream(iter([request]))
        while station(server).spool.state().next_sequence < 3:
            time.sleep(0.001)
        server.drain()
        assert asked.result(timeout=20).result.verdict == pb.PASS
        assert next(stream).result.verdict == pb.PASS


def test_drain_does_not_wait_for_those_who_watch_health(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, drain_s=60) as (_, client):
        channel = grpc.insecure_channel(client.target)
        request = health_pb2.HealthCheckRequest(service=INSPECTION)
        updates = health_pb2_grpc.HealthStub(channel).Watch(request)
        assert next(updates).status == SERVING
        began = time.monotonic()
    assert time.monotonic() - began < 30
    channel.close()


def test_taken_address_is_named(live: Live, tmp_path: Path, store: Store) -> None:
    promote(store)
    server = Server(settings_for(tmp_path, listen=live[1].target))
    with pytest.raises(Unavailable, match=r"another process listens there.*another --listen"):
        server.start()
    assert station(server).watcher.live() is None  # the port was tried before anything was prepared
    server.drain()


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "no such host:1", "unix:/nowhere/s"])
def test_address_that_is_not_ours_is_named(tmp_path: Path, listen: str) -> None:
    server = Server(settings_for(tmp_path, listen=listen, allow_insecure=True))
    with pytest.raises(Unavailable, match="another --listen"):
        server.start()
    server.drain()


def test_unix_socket_of_another_server_is_not_taken_away(tmp_path: Path, store: Store) -> None:
    promote(store)
    listen = f"unix:{tmp_path}/s"
    with serving(tmp_path, listen=listen) as (_, client):
        second = Server(settings_for(tmp_path, listen=listen, spool=tmp_path / "second"))
        with pytest.raises(Unavailable, match="another process listens there"):
            second.start()
        second.drain()
        assert client.info().release == f"{LINE}@1"


def test_spool_in_use_is_named(live: Live, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match=rf"seems to run already \(process {os.getpid()}\)"):
        Server(settings_for(tmp_path, spool=live[0].settings.spool_folder(LINE)))


def test_unix_socket(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path, listen=f"unix:{tmp_path}/s") as (server, client):
        assert server.settings.is_loopback
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.9))).result.verdict == pb.REJECT


def test_listening_beyond_this_machine_is_logged(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    promote(store)
    open_to_all: dict[str, Any] = {"listen": "0.0.0.0:0", "allow_insecure": True}
    with serving(tmp_path), serving(tmp_path, **open_to_all, spool=tmp_path / "second"):
        warnings = [r for r in caplog.records if "without encryption" in r.message]
    assert len(warnings) == 1


def test_one_server_answers_several_lines(tmp_path: Path, store: Store) -> None:
    other = LineKey("turin", "press-4")
    promote(store)
    promote(store, seed=1, line=other)
    folders: dict[str, Any] = {"spool": tmp_path / "spools", "cache": tmp_path / "caches"}
    lines = f"{LINE},{other}"
    with serving(tmp_path, lines=lines, **folders) as (server, client):
        for line in (LINE, other):
            answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2), line=str(line)))
            assert answer.result.release == f"{line}@1"
            (row,) = read(server.settings.spool_folder(line))
            assert (row["line"], row["boot"]) == (str(line), answer.decision.boot)
            info = client.stub.GetServerInfo(pb.ServerInfoRequest(line=str(line)))
            assert (info.line, list(info.lines)) == (str(line), [str(LINE), str(other)])
        boots = {station.identity.boot for station in server.stations.values()}
        assert len(boots) == 2  # decision ids are unique
        assert failure(client, pb.Frame(encoded=frame(0.2)))[0] == INVALID
        status, code, message = failure(client, pb.Frame(encoded=frame(0.2), line="turin/x"))
        assert (status, code) == (grpc.StatusCode.NOT_FOUND, "not_found")
        assert str(other) in message


def test_late_answer_comes_before_its_client_gives_up(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (server, client):
        for _ in range(server.settings.workers):
            assert server.turns.take(Stream("other/line", "c"), math.inf) == ""
        answer = client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=2)
        for _ in range(server.settings.workers):
            server.turns.give_back()
    assert answer.result.verdict == pb.REVIEW
    assert not answer.result.HasField("score")
    assert [reason.code for reason in answer.result.reasons] == ["late"]
    assert answer.timings.wait_ms >= 1000
    (row,) = read(tmp_path / "spool")
    assert (row["verdict"], row["reasons"][0]["code"]) == ("REVIEW", "late")
