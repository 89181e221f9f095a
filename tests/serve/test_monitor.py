"""Metrics and health over HTTP, from outside."""

from __future__ import annotations

import json
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from serve.health import LineReadiness, Liveness, Readiness
from serve.line_state import LineState
from serve.metrics import Metrics
from serve.monitor import Monitor
from serve.transport import ServerTls, fingerprint
from tests.serve.certificates import Authority
from tests.serve.rows import LINE, SPOOL

FINE = LineReadiness(LINE, f"{LINE}@1", "", "")


class State:
    """What the monitor is told; a test changes it."""

    def __init__(self) -> None:
        self.liveness = Liveness(0.0, 60.0)
        self.readiness = Readiness((FINE,), is_draining=False)
        self.token = ""
        self.certificate = ""

    def monitor(self, tls: ServerTls | None = None) -> Monitor:
        metrics = Metrics(lambda: [LineState(LINE, True, True, SPOOL)], lambda line: ())
        return Monitor(
            metrics,
            lambda: self.liveness,
            lambda: self.readiness,
            may_read=lambda *shown: shown == (self.token, self.certificate),
            tls=tls,
        )


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def address(state: State) -> Iterator[str]:
    monitor = state.monitor()
    yield monitor.start("127.0.0.1:0")
    monitor.stop()


def get(address: str, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_metrics_are_those_of_the_server_and_its_process(address: str) -> None:
    status, kind, text = get(address, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert f'vision_line_ready{{line="{LINE}"}} 1.0' in text
    assert "process_resident_memory_bytes" in text
    status, kind, _ = get(address, "/metrics?x=1", Accept="application/openmetrics-text")
    assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")


def test_ready_follows_the_state_and_gives_reasons(address: str, state: State) -> None:
    status, kind, text = get(address, "/healthz/ready")
    assert (status, kind, json.loads(text)["ready"]) == (200, "application/json", True)
    state.readiness = Readiness((FINE,), is_draining=True)
    status, _, text = get(address, "/healthz/ready")
    assert status == 503
    assert json.loads(text)["reasons"]


def test_live_follows_the_state(address: str, state: State) -> None:
    assert get(address, "/healthz/live")[0] == 200
    state.liveness = Liveness(61.0, 60.0)
    status, _, text = get(address, "/healthz/live")
    assert (status, json.loads(text)["live"]) == (503, False)


def test_metrics_ask_for_a_token_and_health_does_not(address: str, state: State) -> None:
    state.token = "Bearer abc"
    assert get(address, "/metrics")[0] == 401
    assert get(address, "/metrics", Authorization="Bearer abc")[0] == 200
    assert get(address, "/healthz/ready")[0] == 200


def test_other_paths_are_not_found(address: str) -> None:
    for path in ("/", "/metrics/x", "/../etc/passwd", "/healthz"):
        assert get(address, path)[0] == 404


def test_silent_clients_do_not_keep_others_out(address: str) -> None:
    host, _, port = address.rpartition(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(3)]
    assert get(address, "/healthz/live")[0] == 200
    for connection in silent:
        connection.close()
    assert get(address, "/healthz/live")[0] == 200


def test_taken_address_is_logged_and_stops_nobody(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        monitor = State().monitor()
        assert monitor.start(address) == ""
        monitor.stop()
    assert "cannot be listened on" in caplog.text


def test_tls_is_spoken_with_the_files(state: State, tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    monitor = state.monitor(ServerTls(*authority.sign("server")))
    address = monitor.start("127.0.0.1:0")
    context = ssl.create_default_context(cafile=authority.ca)
    url = f"https://{address}/healthz/live"
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        assert answer.status == 200
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        urllib.request.urlopen(f"http://{address}/healthz/live", timeout=10)
    monitor.stop()


def test_figures_are_shown_to_a_certificate(state: State, tmp_path: Path) -> None:
    import ssl

    authority = Authority(tmp_path)
    certificate, key = authority.sign("prometheus")
    monitor = state.monitor(ServerTls(*authority.sign("server"), authority.ca))
    address = monitor.start("127.0.0.1:0")
    context = ssl.create_default_context(cafile=authority.ca)
    context.load_cert_chain(certificate, key)
    url = f"https://{address}/metrics"
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(url, timeout=10, context=context)
    raised.value.close()
    state.certificate = fingerprint(certificate.read_bytes())
    with urllib.request.urlopen(url, timeout=10, context=context) as answer:
        assert answer.status == 200
    monitor.stop()


def test_clients_that_say_nothing_or_little_keep_nobody_from_being_answered(
    address: str, state: State
) -> None:
    host, port = address.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(150)]
    slow = [socket.create_connection((host, int(port))) for _ in range(150)]
    for connection in slow:
        connection.sendall(b"GET /healthz/live HTTP/1.1\r\nX: ")
    for _ in range(5):
        assert get(address, "/healthz/live")[0] == 200
    for connection in silent + slow:
        connection.close()


def test_request_that_takes_too_long_is_cut_off(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, but not the whole."""
    monkeypatch.setattr("serve.monitor._CLIENT_S", 0.3)
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as client:
        client.settimeout(0.05)
        client.sendall(b"GET /healthz/live HTTP/1.1\r\nX: ")
        while True:
            try:
                client.sendall(b"x")
                if client.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break


def test_stopping_waits_for_no_client(state: State) -> None:
    monitor = state.monitor()
    host, port = monitor.start("127.0.0.1:0").split(":")
    clients = [socket.create_connection((host, int(port))) for _ in range(20)]
    get(f"{host}:{port}", "/healthz/live")
    stopping = threading.Event()

    def dribble() -> None:
        while not stopping.wait(0.01):
            for client in clients:
                with suppress(OSError):
                    client.sendall(b"x")

    sender = threading.Thread(target=dribble)
    sender.start()
    monitor.stop()
    stopping.set()
    sender.join()
    for client in clients:
        client.close()
