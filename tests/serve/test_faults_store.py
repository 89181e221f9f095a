"""The store away, or damaged, while the line runs: the last good release goes on answering."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serve.client import Client
from serve.server import NEWEST_RELEASE
from serve.servicer import INSPECTION
from store import ledger
from store.root import Store
from tests.data.bundle.generate import write_bundle
from tests.serve.faults import Load, check_rows, running, until
from tests.serve.running import ENGINES, LINE, promote


@pytest.fixture(autouse=True)
def quick_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that could not be prepared is tried again soon."""
    monkeypatch.setenv("VISION_SERVE_RETRY_S", "0.2")


def health(client: Client, service: str) -> bool:
    """Whether a service says that it is SERVING."""
    stub = health_pb2_grpc.HealthStub(client._channel)
    status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
    return bool(status == health_pb2.HealthCheckResponse.SERVING)


def test_store_away_for_the_whole_run_costs_no_answer(tmp_path: Path, store: Store) -> None:
    promote(store)
    with running(tmp_path) as process:
        (tmp_path / "store").rename(tmp_path / "away")
        load = Load(process.address, "away")
        with Client(process.address) as client:
            until(lambda: client.info().fault)
            load.wait_for(300)
            assert health(client, INSPECTION)
            assert not health(client, NEWEST_RELEASE)
            assert f"{LINE}@1 answers" in client.info().fault
        load.stop()
        assert process.end(signal.SIGTERM) == 0
        assert not load.refused
        assert {answer.code for answer in load.answers.values()} == {"", "not_an_image"}
        assert check_rows(tmp_path / "spool", load.answers) == len(load.answers)


def test_server_starts_and_answers_while_the_store_is_away(tmp_path: Path, store: Store) -> None:
    promote(store)
    with running(tmp_path) as process:
        process.end(signal.SIGTERM)
    (tmp_path / "store").rename(tmp_path / "away")
    for number in range(2):  # killed, too, and started again
        with running(tmp_path) as process:
            load = Load(process.address, str(number))
            load.wait_for(50)
            with Client(process.address) as client:
                assert f"{LINE}@1 answers" in client.info().fault
                assert health(client, INSPECTION)
            process.end(signal.SIGKILL)
            load.wait()
        assert not load.refused
    check_rows(tmp_path / "spool", load.answers)


def test_store_that_comes_back_is_followed_again(tmp_path: Path, store: Store) -> None:
    promote(store)
    with running(tmp_path) as process:
        with Client(process.address) as client:
            (tmp_path / "store").rename(tmp_path / "away")
            until(lambda: client.info().fault)
            (tmp_path / "away").rename(tmp_path / "store")
            promote(store, seed=1)
            until(lambda: client.info().release == f"{LINE}@2")
            until(lambda: not client.info().fault)
            assert health(client, NEWEST_RELEASE)
        process.end(signal.SIGTERM)


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def empty(path: Path) -> None:
    """Leave nothing in a file."""
    path.chmod(0o644)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("graph-*.onnx", flip),
        ("graph-*.onnx", Path.unlink),
        ("contract-*.json", empty),
        ("manifest.json", flip),
    ],
)
def test_damaged_bundle_never_answers(
    tmp_path: Path, store: Store, name: str, damage: Callable[[Path], None]
) -> None:
    promote(store)
    with running(tmp_path) as process:
        load = Load(process.address, "damaged", pause_s=0.02)
        load.wait_for(20)
        bundle = write_bundle(store, LINE, seed=1, engines=ENGINES)
        (path,) = (tmp_path / "store").rglob(f"bundles/{bundle.name}/{name}")
        shutil.copy(path, tmp_path / "whole")
        damage(path)
        ledger.append(store, LINE, ledger.Draft(action="promote", bundle=bundle.name, who="tester"))
        with Client(process.address) as client:
            until(lambda: client.info().fault)
            load.wait_for(50)
            assert client.info().release == f"{LINE}@1"
            assert not health(client, NEWEST_RELEASE)
            path.unlink(missing_ok=True)
            shutil.copy(tmp_path / "whole", path)  # pushed again, whole
            until(lambda: client.info().release == f"{LINE}@2")
        load.wait_for(20)
        load.stop()
        process.end(signal.SIGTERM)
        assert not load.refused
        check_rows(tmp_path / "spool", load.answers)
