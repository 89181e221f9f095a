"""The fast front and a client of another language: gRPC C++, compiled here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.serve.compiled import grpc_client
from serve.replay import read
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import promote, serving, station

METHODS = {"Inspect": [], "InspectStream": ["--stream"]}


@pytest.fixture(scope="module")
def client() -> Path:
    if shutil.which("g++") is None or shutil.which("grpc_cpp_plugin") is None:
        pytest.skip("needs g++ and gRPC C++: apt install g++ libgrpc++-dev protobuf-compiler-grpc")
    return grpc_client()


@pytest.mark.parametrize("is_fast", [False, True], ids=["grpcio", "fast"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("channels", [1, 6])
def test_every_answer_is_a_row(
    tmp_path: Path, store: Store, client: Path, is_fast: bool, method: str, channels: int
) -> None:
    promote(store)
    (tmp_path / "frames").mkdir()
    for number, brightness in enumerate((0.1, 0.5, 0.9)):
        (tmp_path / "frames" / f"{number}.jpg").write_bytes(frame(brightness))
    with serving(tmp_path, is_fast=is_fast) as (server, _):
        command = [str(client), "--address", server.fast_address or server.address]
        command += ["--method", f"/inspection.v1.Inspection/{method}", *METHODS[method]]
        command += ["--frames", str(tmp_path / "frames"), "--camera", "left", "--camera", "right"]
        command += ["--clients", "6", "--channels", str(channels), "--seconds", "0.5"]
        command += ["--warm", "0"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        folder = station(server).spool.folder
    found = json.loads(done.stdout)
    assert (found["errors"], found["unsent"]) == (0, 0)
    rows = list(read(folder))
    assert len(rows) >= found["answers"] > 0
    assert {row["camera"] for row in rows} == {"left", "right"}
    assert all("error" not in row for row in rows)
