"""A server with its shipping: decisions and kept frames end where they are to be."""

from __future__ import annotations

import json
import random
import shutil
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serve.cli import main
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from serve.replay import read
from serve.server import SHIPPING
from serve.settings import load
from store import batches, decisions, landing
from store.errors import InvalidInput
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import LINE, Process, promote, serving
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch


def ship(folder: Path, *words: str) -> list[dict[str, object]]:
    """What `vision-serve ship --json` prints for the server whose files are in `folder`."""
    options = ["--store", str(folder / "store"), "--line", str(LINE), "--spool"]
    done = CliRunner().invoke(main, ["ship", *options, str(folder / "spool"), "--json", *words])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.output.splitlines()]


def test_decisions_and_errors_are_in_the_store_after_the_end(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    promote(store)
    with serving(tmp_path, ship=True) as (server, client):
        for number in range(20):
            client.stub.Inspect(pb.Frame(encoded=frame(0.9), frame_id=f"f-{number}", camera="left"))
        (answer,) = client.stub.InspectStream(iter([pb.Frame(encoded=b"no picture")]))
        assert answer.error.code
        assert server.stations[str(LINE)].shipping()[0].sink == "parquet"
    found = decisions.scan(store, LINE).sort("sequence").collect()
    assert found["sequence"].to_list() == list(range(1, 22))
    assert found["kind"].to_list() == ["decision"] * 20 + ["error"]
    rows = list(read(tmp_path / "spool"))
    assert found["score"].to_list() == [row.get("score") for row in rows]
    assert found["brightness"].null_count() == 1
    assert json.loads(found["class_scores"][0]) == rows[0]["class_scores"]
    assert found["extra"].null_count() == 21


def test_kept_frames_become_a_batch_that_ingest_takes(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    promote(store)
    process = Process(tmp_path)
    with Client(process.address) as client:
        for number in range(6):
            client.stub.Inspect(
                pb.Frame(encoded=frame(number / 6), frame_id=f"f-{number}", camera="left"),
                timeout=30,
            )
    assert process.end(signal.SIGTERM) == 0
    rows = list(read(tmp_path / "spool"))
    wanted = {row["frame_id"] for row in rows if row["verdict"] != "PASS"}
    assert 0 < len(wanted) < 6
    (told,) = ship(tmp_path)
    assert told == {"line": str(LINE), "parquet": 6, "frames": len(wanted)}
    (key,) = landing.complete_batches(store, LINE)
    ingest_batch(store, key, LineConfig())
    manifest = batches.manifest(store, key)
    assert manifest is not None
    assert manifest.quarantines == []
    frames = batches.index(store, manifest).collect()
    assert set(frames["frame_id"]) >= wanted
    names = {json.loads(extra)["decision"] for extra in frames["extra"]}
    by_id = {f"{row['host']}/{row['boot']}/{row['sequence']}": row for row in rows}
    assert names <= set(by_id)
    assert set(frames["content_hash"]) <= {row["content_hash"] for row in rows}


def test_shipping_behind_is_told_and_ends_by_itself(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    promote(store)
    away = tmp_path / "away"
    with serving(tmp_path, ship=True, ship_every_s=0.05, ship_behind_s=1) as (server, client):
        channel = grpc.insecure_channel(client.target)
        health = health_pb2_grpc.HealthStub(channel)

        def status() -> int:
            asked = health_pb2.HealthCheckRequest(service=SHIPPING)
            return int(health.Check(asked, timeout=30).status)

        serving_now = health_pb2.HealthCheckResponse.SERVING
        assert status() == serving_now
        shutil.move(store.url, away)
        client.stub.Inspect(pb.Frame(encoded=frame(0.9)), timeout=30)
        while status() == serving_now:
            time.sleep(0.05)
        (place,) = server.stations[str(LINE)].shipping()
        assert place.unshipped == 1
        assert "mounted" in place.fault
        assert place.oldest_s > 0
        client.stub.Inspect(pb.Frame(encoded=frame(0.9)), timeout=30)  # verdicts go on
        shutil.rmtree(store.url, ignore_errors=True)
        shutil.move(away, store.url)
        while status() != serving_now:
            time.sleep(0.05)
        channel.close()
    assert len(decisions.scan(store, LINE).collect()) == 2


def test_spool_command_shows_how_far_it_is_shipped(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    promote(store)
    with serving(tmp_path) as (_, client):
        client.stub.Inspect(pb.Frame(encoded=frame(0.9)), timeout=30)
    ship(tmp_path)
    told = CliRunner().invoke(main, ["spool", str(tmp_path / "spool"), "--shipping"])
    header, line = told.output.splitlines()
    assert header.split()[:2] == ["place", "next"]
    assert line.split() == ["parquet", "2", "0", "-", "0"]
    told = CliRunner().invoke(main, ["spool", str(tmp_path / "spool"), "--shipping", "--json"])
    assert json.loads(told.output)["next_sequence"] == 2


@pytest.mark.parametrize(
    ("name", "value"), [("postgres", "db.plant"), ("mqtt", "mqtt://"), ("mqtt", "http://broker")]
)
def test_address_of_no_place_is_refused_with_an_example(name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: expected .*://"):
        load({"store": "s", "lines": str(LINE), name: value})


@pytest.mark.parametrize("name", ["postgres", "mqtt"])
def test_password_in_an_address_is_refused_without_repeating_it(name: str) -> None:
    given = {"store": "s", "lines": str(LINE), name: "mqtt://user:s3cret@host:1"}
    with pytest.raises(InvalidInput, match="_password_file") as raised:
        load(given)
    assert "s3cret" not in str(raised.value)


def test_limits_of_keeping_come_from_the_settings(tmp_path: Path) -> None:
    promote(Store(str(tmp_path / "store")))
    with serving(tmp_path, keep_mib=0) as (server, client):
        client.stub.Inspect(pb.Frame(encoded=frame(0.9)), timeout=30)
        assert server.stations[str(LINE)].keeper.state().kept == 0
    assert not (tmp_path / "spool-kept").exists()


def test_spool_that_could_never_be_emptied_is_refused() -> None:
    given = {"store": "s", "lines": str(LINE), "ship": False, "when_spool_full": "refuse"}
    with pytest.raises(InvalidInput, match="never take a decision again"):
        load(given)


def kill_under_load(folder: Path, kills: int) -> None:
    """Kill a server that ships while clients send; then every answer is in the store, once."""
    store, chance = Store(str(folder / "store")), random.Random(kills)
    promote(store)
    answered: list[tuple[str, str, int]] = []
    for _ in range(kills):
        process = Process(folder)
        clients = [
            threading.Thread(target=send, args=(process.address, answered)) for _ in range(3)
        ]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.1, 1.5))
        process.end(signal.SIGKILL)
        for client in clients:
            client.join()
    wait_until_shipped(folder)
    found = decisions.scan(store, LINE).select("host", "boot", "sequence").collect().rows()
    assert len(found) == len(set(found))
    assert set(answered) <= set(found)
    assert sorted(row[2] for row in found) == [row["sequence"] for row in read(folder / "spool")]
    assert len(answered) > kills


def send(address: str, answered: list[tuple[str, str, int]]) -> None:
    """Ask until nobody answers."""
    with Client(address) as client, suppress(grpc.RpcError):
        while True:
            found = client.stub.Inspect(pb.Frame(encoded=frame(0.2)), timeout=30).decision
            answered.append((found.host, found.boot, found.sequence))


def wait_until_shipped(folder: Path) -> None:
    """Ship what is left, when the process that outlived its server has ended."""
    options = ["--store", str(folder / "store"), "--line", str(LINE)]
    options += ["--spool", str(folder / "spool")]
    while True:
        done = CliRunner().invoke(main, ["ship", *options])
        if done.exit_code == 0:
            return
        assert "stop the server first" in done.output
        time.sleep(0.05)


@pytest.fixture
def shipping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_SERVE_SHIP", "1")
    monkeypatch.setenv("VISION_SERVE_SHIP_EVERY_S", "0.05")


@pytest.mark.usefixtures("shipping")
def test_two_kills_under_load(tmp_path: Path) -> None:
    kill_under_load(tmp_path, 2)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("shipping")
def test_thirty_kills_under_load(tmp_path: Path) -> None:
    kill_under_load(tmp_path, 30)
