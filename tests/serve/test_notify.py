"""What systemd is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.notify import Supervisor


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's side."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        yield receiver


def test_states_reach_the_manager(manager: socket.socket) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": manager.getsockname()})
    supervisor.tell("READY=1\nSTATUS=release turin/press-3@1")
    assert manager.recv(200) == b"READY=1\nSTATUS=release turin/press-3@1"


def test_abstract_address_is_understood() -> None:
    name = f"vision-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0{name}")
        receiver.settimeout(10)
        Supervisor({"NOTIFY_SOCKET": f"@{name}"}).tell("STOPPING=1")
        assert receiver.recv(20) == b"STOPPING=1"


def test_without_a_manager_nobody_is_told() -> None:
    Supervisor({}).tell("READY=1")


def test_manager_that_has_gone_stops_nobody(tmp_path: Path) -> None:
    Supervisor({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell("READY=1")


def test_watchdog_is_told_for_as_long_as_the_process_is_live(manager: socket.socket) -> None:
    live = threading.Event()
    live.set()
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000"}
    supervisor = Supervisor(environment | {"WATCHDOG_PID": str(os.getpid())})
    supervisor.watch(live.is_set)
    assert {manager.recv(20) for _ in range(3)} == {b"WATCHDOG=1"}
    live.clear()
    manager.settimeout(0.3)
    with pytest.raises(TimeoutError):
        receive_some(manager)  # the last ones may be on their way
    supervisor.end()


def receive_some(manager: socket.socket) -> None:
    for _ in range(20):
        manager.recv(20)


def test_watchdog_of_another_process_is_not_ours(manager: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "20000"}
    Supervisor(environment | {"WATCHDOG_PID": "1"}).watch(lambda: True)
    manager.settimeout(0.1)
    with pytest.raises(TimeoutError):
        manager.recv(20)
