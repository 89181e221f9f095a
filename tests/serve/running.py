"""Servers for tests: in this process, or as a process of their own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from inspection.decision import Rule
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.server import Server
from serve.settings import Settings, load
from serve.station import Station
from store import ledger
from store.keys import LineKey
from store.ledger import Entry
from store.root import Store
from tests.data.bundle.generate import RULE, write_bundle

LINE = LineKey("turin", "press-3")
# One engine: opening others would only make each start slower.
ENGINES = ("onnxruntime",)


def promote(
    store: Store,
    *,
    seed: int = 0,
    bias: float = 0.0,
    channels: int = 3,
    rule: Rule = RULE,
    line: LineKey = LINE,
) -> Entry:
    """Publish a tiny bundle and make it live."""
    bundle = write_bundle(
        store, line, seed=seed, bias=bias, channels=channels, rule=rule, engines=ENGINES
    )
    return ledger.append(
        store, line, ledger.Draft(action="promote", bundle=bundle.name, who="tester")
    )


def settings_for(folder: Path, **given: object) -> Settings:
    """Settings of a server whose store, spool and cache are in `folder`."""
    quick: dict[str, object] = {
        "store": str(folder / "store"),
        "lines": str(LINE),
        "listen": "127.0.0.1:0",
        "spool": folder / "spool",
        "cache": folder / "cache",
        "workers": 2,
        "poll_s": 0.05,
        "retry_s": 0.2,
        "monitor": "",  # servers of other tests would take its port; its tests switch it on
        "keep_reserve_mib": 0,  # however full the disk is; its tests reserve more
        "ship": False,  # a process more for each server; its tests switch it on
        "drain_s": 120,  # tests never wait for it, however slow the machine is
    }
    return load(quick | given)


@contextmanager
def serving(
    folder: Path, *, is_fast: bool = False, **given: object
) -> Iterator[tuple[Server, Client]]:
    """A server in this process, and a client that is connected to it, or to its fast front."""
    fast = {"fast_listen": "127.0.0.1:0"} if is_fast else {}
    server = Server(settings_for(folder, **fast, **given))
    try:
        address = server.start()
        with Client(server.fast_address or address) as client:
            yield server, client
    finally:
        server.drain()


def station(server: Server) -> Station:
    """The only line of a server."""
    return server.stations.of("")


def wait_until_live(server: Server, number: int) -> None:
    """Return when the release of that number answers."""
    while (release := station(server).watcher.live()) is None or release.number != number:
        time.sleep(0.01)


def code_of(error: grpc.RpcError) -> str:
    """The `error-code` of a call that ended with a status."""
    assert isinstance(error, grpc.Call)
    return str(dict(error.trailing_metadata() or ()).get("error-code", ""))


def failure(client: Client, frame: pb.Frame) -> tuple[grpc.StatusCode, str, str]:
    """Status, code and message with which `Inspect` ends for a frame."""
    with pytest.raises(grpc.RpcError) as raised:
        client.stub.Inspect(frame, timeout=30)
    assert isinstance(raised.value, grpc.Call)
    return raised.value.code(), code_of(raised.value), raised.value.details() or ""


@contextmanager
def full_disk(most_bytes: int) -> Iterator[None]:
    """No file may grow beyond this size: what a full disk is for whoever writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Process:
    """``vision-serve run`` as a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        settings = settings_for(folder)
        command = [str(Path(sys.executable).with_name("vision-serve")), "run", *options]
        environment = {
            **os.environ,
            "VISION_SERVE_STORE": settings.store,
            "VISION_SERVE_LINES": ",".join(settings.lines),
            "VISION_SERVE_LISTEN": settings.listen,
            "VISION_SERVE_SPOOL": str(settings.spool),
            "VISION_SERVE_CACHE": str(settings.cache),
            "VISION_SERVE_POLL_S": "0.05",
            "VISION_SERVE_SHIP": os.environ.get("VISION_SERVE_SHIP", "0"),
            "VISION_SERVE_MONITOR": os.environ.get("VISION_SERVE_MONITOR", ""),
        }
        with open(folder / "log.jsonl", "ab") as log:
            self.child = subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.child.stdout is not None
        self.ready = self.child.stdout.readline()
        assert self.ready, (folder / "log.jsonl").read_text()[-2000:]
        self.address = self.ready.split()[3].rstrip(":")

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and give the exit status."""
        self.child.send_signal(number)
        status = self.child.wait(timeout=30)
        assert self.child.stdout is not None
        self.child.stdout.close()
        return status
