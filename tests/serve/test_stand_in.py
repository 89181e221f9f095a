"""The rule-based check answers when no engine can, says so, and gives way to a release."""

from __future__ import annotations

import signal
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import cv2
import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from inspection.inspector import Inspector
from inspection.outputs import Outputs
from inspection.rulebased import stored
from serve.client import Client
from serve.frame import IncomingFrame
from serve.handler import Decision, Failure
from serve.protocol import inspection_v1_pb2 as pb
from serve.release import LiveRelease, LiveSet
from serve.replay import read
from serve.server import NEWEST_RELEASE, Server
from serve.stand_in import StandIn
from store.errors import Unavailable
from store.root import Store
from tests.data.boards.generate import LINE as BOARDS
from tests.data.boards.generate import board, known_check, scratched, shoot
from tests.serve.running import LINE, Process, promote, serving


class BrokenEngine:
    """Hardware that fails."""

    name, graph, build = "onnxruntime", "graph.onnx", "broken"

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        raise Unavailable("the device has fallen off the bus")


class Fixed:
    """Releases that stay as they are."""

    def __init__(self, ready: LiveSet) -> None:
        self.ready = ready

    def choose(self, frame: IncomingFrame) -> LiveRelease | None:
        return self.ready.choose(frame)

    def instead_of(self, failed: LiveRelease) -> LiveRelease | None:
        return self.ready.instead_of(failed)

    def releases(self) -> LiveSet:
        return self.ready


def png(plane: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", plane)[1].tobytes()


def ask(client: Client, plane: NDArray[np.uint8], product: str = "a") -> pb.Result:
    request = pb.Frame(encoded=png(plane), camera="top", product=product)
    return client.stub.Inspect(request, timeout=60).result


def is_serving(server: Server, service: str) -> bool:
    with grpc.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        found = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
    return bool(found.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_cameras_have_their_names_in_metrics_while_the_check_answers(
    tmp_path: Path, store: Store
) -> None:
    check = known_check()
    rule = check.rule.model_copy(update={"cameras": ("top",)})
    stored.publish(store, LINE, check.model_copy(update={"rule": rule}), {}, {})
    with serving(tmp_path, monitor="127.0.0.1:0") as (server, client):
        ask(client, board())
        url = f"http://{server.operations.monitor_address}/metrics"
        while 'vision_frames_total{camera="top"' not in (
            text := urllib.request.urlopen(url).read().decode()
        ):
            time.sleep(0.05)
        assert 'camera="other",verdict' not in text


def test_without_a_release_the_check_answers_and_says_so(tmp_path: Path, store: Store) -> None:
    made = stored.publish(store, LINE, known_check(), {}, {})
    with serving(tmp_path) as (server, client):
        name = f"rule-based@{made.name}"
        for plane, verdict in (
            (board(), pb.PASS),
            (scratched(board(), 100, 12, 255, 12), pb.REJECT),
        ):
            result = ask(client, shoot(plane))
            assert result.verdict == verdict
            assert (result.reasons[0].code, result.reasons[0].name) == ("rule_based", made.name)
            assert (result.release, result.bundle) == (name, made.name)
            assert result.engine == "rule-based check.json"
            assert not result.class_scores
        assert ask(client, board(), product="unknown").verdict == pb.REVIEW
        info = client.info()
        assert (info.release, info.engine_build) == (name, f"opencv {cv2.__version__}")
        assert is_serving(server, "")
        assert not is_serving(server, NEWEST_RELEASE)
        (state,) = server.operations._states()
        assert state.is_rule_based
        assert not state.is_newest
        (station,) = server.stations.values()
        *_, row = read(station.spool.folder)
        assert row["release"] == name
        assert row["engine"] == "rule-based"
        assert row["reasons"][0]["code"] == "rule_based"

        promote(store, channels=1)
        while station.watcher.live() is None:
            time.sleep(0.02)
        assert ask(client, board()).release == f"{LINE}@1"
        (state,) = server.operations._states()
        assert not state.is_rule_based


def test_a_newer_check_is_followed(tmp_path: Path, store: Store) -> None:
    stored.publish(store, LINE, known_check(), {}, {})
    with serving(tmp_path) as (server, client):
        before = client.info().release
        other = known_check()
        newer = stored.publish(
            store, LINE, other.model_copy(update={"templates": other.templates[:1]}), {}, {}
        )
        while client.info().release == before:
            time.sleep(0.02)
        assert client.info().release == f"rule-based@{newer.name}"
        assert server.stations[str(LINE)].stand_in.is_answering


def test_the_copy_of_this_host_answers_without_the_store(tmp_path: Path, store: Store) -> None:
    made = stored.publish(store, BOARDS, known_check(), {}, {})
    stand_in = StandIn(store, BOARDS, tmp_path / "cache", Fixed(LiveSet()), 10**6)
    assert stand_in.live() is None
    stand_in.look()
    assert stand_in.is_answering
    away = Store(str(tmp_path / "away"))
    (tmp_path / "away").mkdir()
    started = StandIn(away, BOARDS, tmp_path / "cache", Fixed(LiveSet()), 10**6)
    for _ in range(2):
        live = started.live()
        assert live is not None
        assert live.bundle.name == made.name
        started.look()


def test_a_check_that_cannot_be_read_leaves_the_one_that_is_held(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = stored.publish(store, BOARDS, known_check(), {}, {})
    stand_in = StandIn(store, BOARDS, tmp_path / "cache", Fixed(LiveSet()), 10**6)
    stand_in.look()
    store.create("lines/turin/boards/checks/current/00000002.json", b'{"name":"gone"}')
    stand_in.look()
    stand_in.look()
    live = stand_in.live()
    assert live is not None
    assert live.bundle.name == first.name
    told = [record for record in caplog.records if "cannot be fetched" in record.message]
    assert len(told) == 1


def test_larger_frames_than_the_server_takes_are_refused(tmp_path: Path, store: Store) -> None:
    stored.publish(store, LINE, known_check(), {}, {})
    with serving(tmp_path, max_pixels=1000) as (_, client), pytest.raises(grpc.RpcError) as raised:
        ask(client, board())
    assert isinstance(raised.value, grpc.Call)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("has_spare", [False, True])
def test_when_every_engine_fails_on_a_frame_the_check_answers_it(
    tmp_path: Path, store: Store, has_spare: bool
) -> None:
    promote(store, channels=1)
    promote(store, channels=1, seed=1)
    made = stored.publish(store, LINE, known_check(), {}, {})
    with serving(tmp_path) as (server, _):
        (station,) = server.stations.values()
        live = station.watcher.live()
        assert live is not None
        bundle = live.bundle
        broken = replace(live, inspector=Inspector(bundle.contract, bundle.rule, BrokenEngine()))
        spare = replace(broken, name="spare", number=1, bundle=replace(bundle, name="other"))
        ready = LiveSet(live=broken, spare=spare if has_spare else None)
        handler = station.handler
        stand_in = StandIn(store, LINE, tmp_path / "c", Fixed(ready), 10**6)
        handler._releases = stand_in
        frame = IncomingFrame(png(board()), "f-1", "top", "a")
        # Without a check the failure is told, with one the check judges.
        assert isinstance(handler.answer(frame), Failure)
        stand_in.look()
        assert not stand_in.is_answering  # a release stands, though it fails
        outcome = handler.answer(frame)
        assert isinstance(outcome, Decision)
        assert outcome.release.name == f"rule-based@{made.name}"
        assert outcome.inspection.verdict.reasons[0].code == "rule_based"
        assert handler.turns.is_idle


def test_killed_and_started_without_its_store_the_check_still_answers(
    tmp_path: Path, store: Store
) -> None:
    made = stored.publish(store, LINE, known_check(), {}, {})
    for number in range(2):
        process = Process(tmp_path)
        try:
            assert f"rule-based@{made.name}" in process.ready
            with Client(process.address) as client:
                assert ask(client, shoot(board())).verdict == pb.PASS
        finally:
            process.end(signal.SIGTERM if number else signal.SIGKILL)
        if not number:
            (tmp_path / "store").rename(tmp_path / "away")
