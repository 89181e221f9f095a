"""The shadow's queue: what finds no room or no time is dropped and counted, nothing waits."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from serve.frame import IncomingFrame
from serve.release import LiveRelease
from serve.rows import Row
from serve.shadow import Shadow, ShadowLimits, ShadowState
from store.errors import Unavailable
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import promote, serving, station

ROW: Row = {
    **dict.fromkeys(("host", "boot", "line", "camera", "product", "serial", "captured_at"), ""),
    "frame_id": "f",
    "received_at": "",
    "sequence": 7,
    "release": "turin/press-3@1",
    "bundle": "old",
    "verdict": "PASS",
    "score": 0.1,
    "engine_ms": 1.0,
}
FRAME = IncomingFrame(frame(0.9), "f")


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> LiveRelease:
    folder: Path = tmp_path_factory.mktemp("shadow")
    promote(Store(str(folder / "store")))
    with serving(folder) as (server, _):
        found = station(server).watcher.live()
    assert found is not None
    return found


def wait_for(shadow: Shadow, state: ShadowState) -> None:
    while shadow.state() != state:
        time.sleep(0.005)


def test_what_finds_no_room_is_dropped_and_the_rest_answered(candidate: LiveRelease) -> None:
    has_time = threading.Event()
    rows: list[Row] = []

    def record(row: Row) -> int:
        rows.append(row)
        return len(rows)

    limits = ShadowLimits(frames=3, patience_s=1e6)
    shadow = Shadow(lambda: candidate, has_time.is_set, record, limits)
    shadow.observe(FRAME, ROW)
    while shadow._queue.qsize():  # it holds the first in its hands
        time.sleep(0.001)
    for _ in range(5):
        shadow.observe(FRAME, ROW)
    assert shadow.state() == ShadowState(dropped=2)
    has_time.set()
    wait_for(shadow, ShadowState(answered=4, differing=4, dropped=2))
    shadow.stop()
    assert {(row["decision"], row["shadow_verdict"]) for row in rows} == {(7, "REJECT")}
    assert all("verdict" not in row and "release" not in row for row in rows)


def test_what_finds_no_time_is_dropped(candidate: LiveRelease) -> None:
    shadow = Shadow(lambda: candidate, lambda: False, lambda row: 1, ShadowLimits(8, 0.01))
    for _ in range(3):
        shadow.observe(FRAME, ROW)
    wait_for(shadow, ShadowState(dropped=3))
    shadow.stop()


def test_without_a_candidate_and_without_a_verdict_nothing_is_kept(candidate: LiveRelease) -> None:
    shadow = Shadow(lambda: None, lambda: True, lambda row: 1)
    shadow.observe(FRAME, ROW)
    shadow.stop()
    error = Shadow(lambda: candidate, lambda: True, lambda row: 1)
    error.observe(FRAME, {name: value for name, value in ROW.items() if name != "bundle"})
    error.stop()
    assert shadow.state() == error.state() == ShadowState()


def test_a_row_that_cannot_be_recorded_is_counted(
    candidate: LiveRelease, caplog: pytest.LogCaptureFixture
) -> None:
    def record(row: Row) -> int:
        raise Unavailable("the disk is full")

    shadow = Shadow(lambda: candidate, lambda: True, record)
    shadow.observe(FRAME, ROW)
    wait_for(shadow, ShadowState(failed=1))
    shadow.stop()
    assert "shadow did not answer" in caplog.text


def test_a_shadow_stops_while_it_waits_for_time(candidate: LiveRelease) -> None:
    shadow = Shadow(lambda: candidate, lambda: False, lambda row: 1, ShadowLimits(8, 1e6))
    shadow.observe(FRAME, ROW)
    shadow.stop()
    assert shadow.state().answered == 0
