"""A whole server as a plant's IT sees it: metrics, health, rights, drain."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
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

from inspection.inspector import FrameContext, Inspection, Inspector
from serve import tokens
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from serve.server import Server
from serve.servicer import INSPECTION
from serve.tokens import Role
from serve.transport import ClientTls
from store.errors import Unavailable
from store.root import Store
from tests.data.bundle.generate import RULE, frame
from tests.inspection.test_bombs import BOMBS, overlong
from tests.serve.certificates import Authority
from tests.serve.running import LINE, Process, failure, promote, serving, settings_for, station

ANY_PORT = "127.0.0.1:0"


def get(address: str, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def scraped(server: Server, line: str) -> str:
    """The metrics, once they hold this line; they count a moment after the answer."""
    while line not in (text := get(server.operations.monitor_address, "/metrics")[1]):
        time.sleep(0.02)
    return text


def test_metrics_tell_what_was_answered(tmp_path: Path, store: Store) -> None:
    promote(store, rule=RULE.model_copy(update={"cameras": ("top",)}))
    with serving(tmp_path, monitor=ANY_PORT) as (server, client):
        for brightness in (0.2, 0.9, 0.9):
            client.stub.Inspect(pb.Frame(encoded=frame(brightness), camera="top"))
        client.stub.Inspect(pb.Frame(encoded=frame(0.2), camera="invented"))
        failure(client, pb.Frame(encoded=b"rubbish"))
        about = f'camera="top",line="{LINE}",release="{LINE}@1"'
        text = scraped(server, f'vision_frame_errors_total{{code="not_an_image",line="{LINE}"}} 1')
        assert f'vision_frames_total{{{about},verdict="PASS"}} 1.0' in text
        assert f'vision_frames_total{{{about},verdict="REJECT"}} 2.0' in text
        assert 'camera="other"' in text
        assert "invented" not in text
        assert f'vision_stage_seconds_count{{line="{LINE}",stage="total"}} 5.0' in text
        assert f'vision_stage_seconds_count{{line="{LINE}",stage="engine"}} 4.0' in text
        assert 'role="live"' in text
        if promtool := shutil.which("promtool"):
            command = [promtool, "check", "metrics"]
            done = subprocess.run(command, input=text.encode(), capture_output=True)
            assert done.stderr == b""


def test_http_and_grpc_tell_the_same_health(tmp_path: Path, store: Store) -> None:
    with serving(tmp_path, monitor=ANY_PORT) as (server, client):
        address = server.operations.monitor_address
        status, text = get(address, "/healthz/ready")
        assert status == 503
        assert str(LINE) in json.loads(text)["reasons"][0]
        assert get(address, "/healthz/live")[0] == 200
        promote(store)
        with grpc.insecure_channel(client.target) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest(service=INSPECTION)
            while stub.Check(request).status != health_pb2.HealthCheckResponse.SERVING:
                time.sleep(0.01)
        status, text = get(address, "/healthz/ready")
        assert (status, json.loads(text)["lines"][0]["newest_release_answers"]) == (200, True)
        station(server).spool.close()
        status, text = get(address, "/healthz/ready")
        assert status == 503
        assert "stopping" in text


def test_worker_that_is_stuck_is_told(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(store)
    go_on = threading.Event()
    real = Inspector.inspect

    def stuck(self: Inspector, data: bytes, context: FrameContext) -> Inspection:
        go_on.wait(timeout=60)
        return real(self, data, context)

    with serving(tmp_path, monitor=ANY_PORT, stuck_s=1) as (server, client):
        address = server.operations.monitor_address
        monkeypatch.setattr(Inspector, "inspect", stuck)
        asked = client.stub.Inspect.future(pb.Frame(encoded=frame(0.2)))
        while get(address, "/healthz/live")[0] == 200:
            time.sleep(0.05)
        assert get(address, "/healthz/live")[0] == 503
        go_on.set()
        asked.result(timeout=30)
        assert get(address, "/healthz/live")[0] == 200


@dataclass(frozen=True)
class Secured:
    """A server with TLS and tokens, and a fast front that asks for tokens, too."""

    server: Server
    folder: Path
    ca: Path

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.json"

    @property
    def target(self) -> str:
        return self.server.address.replace("0.0.0.0", "127.0.0.1")

    def token(self, scope: str, *roles: Role) -> Path:
        """The file of a new token, once the server knows it."""
        file = self.folder / "token"
        file.write_text(tokens.create(self.tokens, scope, roles))
        self.server.operations.access.look_again()
        return file

    def client(self, scope: str, *roles: Role) -> Client:
        return Client(self.target, tls=ClientTls(self.ca, token_file=self.token(scope, *roles)))


@pytest.fixture
def secured(tmp_path: Path, store: Store) -> Iterator[Secured]:
    promote(store)
    authority = Authority(tmp_path)
    certificate, key = authority.sign("server")
    tokens.create(tmp_path / "tokens.json", str(LINE), [Role.READ])
    server = Server(
        settings_for(
            tmp_path,
            listen="0.0.0.0:0",
            fast_listen=f"unix:{tmp_path}/fast",
            tls_cert=certificate,
            tls_key=key,
            tokens=tmp_path / "tokens.json",
        )
    )
    server.start()
    try:
        yield Secured(server, tmp_path, authority.ca)
    finally:
        server.drain()


REQUEST = pb.Frame(encoded=frame(0.9))


def test_only_who_may_gets_a_verdict(secured: Secured) -> None:
    with secured.client(str(LINE), Role.INSPECT) as client:
        assert client.stub.Inspect(REQUEST).result.verdict == pb.REJECT
        stream = client.stub.InspectStream(iter([REQUEST, REQUEST]))
        assert [answer.result.verdict for answer in stream] == [pb.REJECT] * 2
        with pytest.raises(Unavailable, match="has not the role read"):
            client.info()
    with secured.client("turin/press-4", Role.ADMIN) as client:
        status, code, message = failure(client, REQUEST)
        assert (status, code) == (grpc.StatusCode.PERMISSION_DENIED, "permission_denied")
        assert str(LINE) in message
        with pytest.raises(Unavailable, match="not for line"):
            client.info()
    with secured.client("turin", Role.READ) as client:
        assert client.info().release == f"{LINE}@1"
        assert failure(client, REQUEST)[0] is grpc.StatusCode.PERMISSION_DENIED
        names = ProtoReflectionDescriptorDatabase(client._channel).get_services()
        assert INSPECTION in names
    with Client(secured.target, tls=ClientTls(secured.ca)) as client:
        found = failure(client, REQUEST)[:2]
        assert found == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        health = health_pb2_grpc.HealthStub(client._channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == 1
    assert len(list(read(secured.folder / "spool"))) == 3  # who was refused made no row


def test_fast_front_asks_for_the_same_tokens(secured: Secured) -> None:
    target = secured.server.fast_address
    for scope, roles, expected in (
        (str(LINE), [Role.READ], grpc.StatusCode.PERMISSION_DENIED),
        ("turin/press-4", [Role.INSPECT], grpc.StatusCode.PERMISSION_DENIED),
    ):
        token = secured.token(scope, *roles)
        with Client(target, tls=ClientTls(token_file=token)) as client:
            assert failure(client, REQUEST)[0] is expected
    with Client(target) as client:
        assert failure(client, REQUEST)[0] is grpc.StatusCode.UNAUTHENTICATED
    token = secured.token(str(LINE), Role.INSPECT)
    with Client(target, tls=ClientTls(token_file=token)) as client:
        assert client.stub.Inspect(REQUEST).result.verdict == pb.REJECT
        (answer,) = client.stub.InspectStream(iter([REQUEST]))
        assert answer.result.verdict == pb.REJECT


def test_address_with_tls_gives_nothing_to_a_client_without(secured: Secured) -> None:
    with pytest.raises(Unavailable, match="--ca"), Client(secured.target, timeout_s=1):
        pass


def test_too_many_frames_are_told_when_to_come_again(tmp_path: Path, store: Store) -> None:
    promote(store)
    limits: dict[str, Any] = {"requests_per_s": 0.01, "burst_s": 100, "monitor": ANY_PORT}
    with serving(tmp_path, **limits) as (server, client):
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.9))).result.verdict == pb.REJECT
        with pytest.raises(grpc.RpcError) as raised:
            client.stub.Inspect(pb.Frame(encoded=frame(0.9)))
        assert isinstance(raised.value, grpc.Call)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        about = dict(raised.value.trailing_metadata() or ())
        assert about["error-code"] == "rate_limited"
        assert 0 < int(about["grpc-retry-pushback-ms"]) <= 100_000
        (answer,) = client.stub.InspectStream(iter([pb.Frame(encoded=frame(0.9))]))
        assert answer.error.code == "rate_limited"
        scraped(server, 'vision_refused_calls_total{code="rate_limited"} 2.0')


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_process_tells_systemd_and_drains_in_order(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not ready comes first, then the answer of the frame in work, then the end."""
    promote(store)
    monitor = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("VISION_SERVE_MONITOR", monitor)
    monkeypatch.setenv("VISION_SERVE_WORKERS", "1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    ok, large = cv2.imencode(".jpg", np.zeros((4000, 6000, 3), np.uint8))  # long work
    assert ok
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        process = Process(tmp_path)
        told = [manager.recv(200).decode() for _ in range(3)]
        assert told[0].startswith("READY=1\n")
        assert told[1:] == ["WATCHDOG=1"] * 2
        assert get(monitor, "/healthz/ready")[0] == 200
        with Client(process.address) as client:
            frames = [pb.Frame(encoded=large.tobytes()) for _ in range(8)]
            asked = [client.stub.Inspect.future(request) for request in frames]
            while not any((tmp_path / "spool").glob("*.spool")):
                time.sleep(0.005)  # the first is answered, the others are in work
            process.child.send_signal(signal.SIGTERM)
            while get(monitor, "/healthz/ready")[0] == 200:
                pass
            answers = [call.result(timeout=30).result.verdict for call in asked]
        assert answers == [pb.PASS] * 8
        assert process.child.wait(timeout=30) == 0
        assert process.child.stdout is not None
        process.child.stdout.close()
        while not (last := manager.recv(200).decode()).startswith("STOPPING"):
            assert last == "WATCHDOG=1"
    assert len(list(read(tmp_path / "spool"))) == 8


def test_bombs_are_refused_and_the_next_frame_is_judged(tmp_path: Path, store: Store) -> None:
    promote(store)
    with serving(tmp_path) as (_, client):
        for data in (*BOMBS.values(), overlong(700, 2**23)):
            status, code, _ = failure(client, pb.Frame(encoded=data))
            assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "too_complex")
        assert client.stub.Inspect(pb.Frame(encoded=frame(0.9))).result.verdict == pb.REJECT
