"""What becomes of errors that no client can cause: the engine is the fake, all else is real."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inspection.decision import Label
from inspection.inspector import Inspector
from inspection.outputs import Outputs
from serve.client import Client
from serve.frame import IncomingFrame, RawFrame
from serve.handler import Decision, Failure, Handler, LatePolicy, Unjudged
from serve.release import LiveRelease, LiveSet
from serve.replay import read
from serve.rows import Identity, Row
from serve.segment import MAX_PAYLOAD_BYTES
from serve.server import Server
from serve.spool import Spool
from serve.turns import Shares, Stream, Turns
from store.errors import Unavailable
from tests.data.bundle.generate import frame
from tests.serve.running import station

IDENTITY = Identity("turin/press-3", "host", "boot")
FRAME = IncomingFrame(frame(0.9), "f-1", camera="left")


class BrokenEngine:
    """Hardware that fails in a given way, or waits to be let go."""

    name = "onnxruntime"
    graph = "graph.onnx"
    build = "broken"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.running = threading.Semaphore(0)
        self.let_go = threading.Event()

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        if self.error:
            raise self.error
        self.running.release()
        self.let_go.wait(timeout=30)
        return Outputs(
            np.full(1, np.nan, np.float32),
            np.full((1, 2), np.nan, np.float32),
            np.zeros((1, 4), np.float32),
            np.zeros((1, 4, 4), np.float32),
        )


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool(tmp_path / "rows")
    yield opened
    opened.close()


def turns(workers: int) -> Turns:
    return Turns(workers, Shares(), most_waiting=32)


def release_with(live: tuple[Server, Client], engine: BrokenEngine) -> LiveRelease:
    release = station(live[0]).watcher.live()
    assert release is not None
    bundle = release.bundle
    return replace(release, inspector=Inspector(bundle.contract, bundle.rule, engine))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RuntimeError("secret"), "UNAVAILABLE"),
        (Unavailable("secret"), "UNAVAILABLE"),
        (MemoryError("secret"), "RESOURCE_EXHAUSTED"),
    ],
)
def test_failing_engine_gives_an_id_and_the_log_the_rest(
    live: tuple[Server, Client],
    rows: Spool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: str,
) -> None:
    release = release_with(live, BrokenEngine(error))
    handler = Handler(IDENTITY, LiveSet(release), rows, turns(1), LatePolicy())
    for _ in range(3):  # the worker is free again each time
        outcome = handler.answer(FRAME)
    assert isinstance(outcome, Failure)
    assert handler.turns.is_idle
    assert outcome.problem.status.name == status
    assert "secret" not in outcome.problem.message
    (record,) = [r for r in caplog.records if outcome.problem.error_id in str(r.__dict__)]
    assert record.levelno == logging.ERROR
    assert record.__dict__["line"] == IDENTITY.line
    assert "secret" in str(record.__dict__["detail"])
    *_, row = read(tmp_path / "rows")
    assert (row["error_id"], row["status"]) == (outcome.problem.error_id, status)
    assert row["release"] == release.name
    assert "secret" not in str(row)


MISTAKES = [
    IncomingFrame(bytearray(b"x"), "f"),  # type: ignore[arg-type]
    IncomingFrame(memoryview(b"x"), "f"),  # type: ignore[arg-type]
    IncomingFrame(RawFrame(bytearray(b"xxxx"), (2, 2), "uint8"), "f"),  # type: ignore[arg-type]
    IncomingFrame(RawFrame(b"xxxx", (-2, -2), "uint8"), "f"),
    IncomingFrame(RawFrame(b"xxxx", (2.0, 2), "uint8"), "f"),  # type: ignore[arg-type]
    IncomingFrame(RawFrame(b"xxxx", [2, 2], "uint8"), "f"),  # type: ignore[arg-type]
    IncomingFrame(RawFrame(b"xxxx", (2, 2), np.uint8), "f"),  # type: ignore[arg-type]
    replace(FRAME, frame_id=42),  # type: ignore[arg-type]
    replace(FRAME, frame_id=None),  # type: ignore[arg-type]
    replace(FRAME, camera=None),  # type: ignore[arg-type]
    replace(FRAME, serial="\ud800"),
    replace(FRAME, captured=5),  # type: ignore[arg-type]
    replace(FRAME, captured=("1", None)),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("frame", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_of_a_driver_is_told_recorded_and_no_failure_of_an_engine(
    live: tuple[Server, Client], rows: Spool, tmp_path: Path, frame: IncomingFrame
) -> None:
    failed: list[LiveRelease] = []

    class Watched(LiveSet):
        def instead_of(self, failed_one: LiveRelease) -> LiveRelease | None:
            failed.append(failed_one)
            return None

    release = station(live[0]).watcher.live()
    outcome = Handler(IDENTITY, Watched(release), rows, turns(1), LatePolicy()).answer(frame)
    assert isinstance(outcome, Failure)
    assert outcome.problem.status.name == "INVALID_ARGUMENT"
    (row,) = read(tmp_path / "rows")
    assert outcome.sequence == row["sequence"]
    assert not failed


def test_an_error_that_is_not_of_the_engine_gives_no_release_up(
    live: tuple[Server, Client], rows: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = release_with(live, BrokenEngine())
    failed: list[LiveRelease] = []
    monkeypatch.setattr(LiveSet, "instead_of", lambda _, one: failed.append(one))

    def wrong(*_: object) -> None:
        raise ValueError("a fault of ours, before the engine")

    monkeypatch.setattr(release.inspector, "_prepare", wrong)
    outcome = Handler(IDENTITY, LiveSet(release), rows, turns(1), LatePolicy()).answer(FRAME)
    assert isinstance(outcome, Failure)
    assert outcome.problem.status.name == "INTERNAL"
    assert not failed


def test_outputs_that_are_no_numbers_are_reviewed_and_recorded(
    live: tuple[Server, Client], rows: Spool, tmp_path: Path
) -> None:
    engine = BrokenEngine()
    engine.let_go.set()
    release = release_with(live, engine)
    outcome = Handler(IDENTITY, LiveSet(release), rows, turns(1), LatePolicy()).answer(FRAME)
    assert isinstance(outcome, Decision)
    (row,) = read(tmp_path / "rows")
    assert row["verdict"] == "REVIEW"


def test_no_more_frames_are_worked_on_than_there_are_workers(
    live: tuple[Server, Client], rows: Spool
) -> None:
    engine = BrokenEngine()
    release = release_with(live, engine)
    handler = Handler(IDENTITY, LiveSet(release), rows, turns(2), LatePolicy())
    threads = [threading.Thread(target=handler.answer, args=(FRAME,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert engine.running.acquire(timeout=20)
    assert engine.running.acquire(timeout=20)
    assert not engine.running.acquire(timeout=0.1)
    assert not handler.turns.is_idle
    engine.let_go.set()
    for thread in threads:
        thread.join()
    assert handler.turns.is_idle
    assert rows.state().next_sequence == 6


def test_frame_is_not_judged_when_nothing_can_be_recorded(
    live: tuple[Server, Client], tmp_path: Path
) -> None:
    closed = Spool(tmp_path / "closed")
    closed.close()
    handler = Handler(IDENTITY, station(live[0]).watcher, closed, turns(1), LatePolicy())
    outcome = handler.answer(FRAME)
    assert isinstance(outcome, Failure)
    assert (outcome.sequence, outcome.problem.code) == (0, "unavailable")
    assert list(read(tmp_path / "closed")) == []


def test_row_that_cannot_be_made_is_answered_logged_and_ends_nothing(
    live: tuple[Server, Client], rows: Spool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    release = station(live[0]).watcher.live()
    assert release is not None
    spoilt = replace(release, graph_hash="x" * MAX_PAYLOAD_BYTES)
    outcome = Handler(IDENTITY, LiveSet(spoilt), rows, turns(1), LatePolicy()).answer(FRAME)
    assert isinstance(outcome, Failure)
    assert (outcome.problem.status.name, outcome.sequence) == ("INTERNAL", 1)
    (row,) = read(tmp_path / "rows")
    assert row["error_id"] == outcome.problem.error_id

    nameless = replace(release, name="x" * MAX_PAYLOAD_BYTES)
    outcome = Handler(IDENTITY, LiveSet(nameless), rows, turns(1), LatePolicy()).answer(FRAME)
    assert isinstance(outcome, Failure)
    assert (outcome.problem.status.name, outcome.sequence) == ("INTERNAL", 0)
    assert outcome.problem.error_id
    assert any(outcome.problem.error_id in str(r.__dict__) for r in caplog.records)


@pytest.mark.parametrize("label", [Label.REVIEW, Label.REJECT])
def test_late_frame_gets_the_verdict_of_the_policy_and_a_row(
    live: tuple[Server, Client], rows: Spool, tmp_path: Path, label: Label
) -> None:
    taken = turns(1)
    handler = Handler(IDENTITY, station(live[0]).watcher, rows, taken, LatePolicy(60, label))
    assert taken.take(Stream("other/line", "c"), math.inf) == ""
    outcome = handler.answer(FRAME, time_left_s=0.05)
    assert isinstance(outcome, Unjudged)
    assert (outcome.label, outcome.why, outcome.sequence) == (label, "late", 1)
    (row,) = read(tmp_path / "rows")
    assert (row["verdict"], row["score"], row["frame_id"]) == (label.value, None, "f-1")
    assert [reason["code"] for reason in row["reasons"]] == ["late"]
    assert row["reasons"][0]["value"] >= 40  # milliseconds
    taken.give_back()
    assert isinstance(handler.answer(FRAME), Decision)


def test_frame_that_finds_its_queue_full_is_answered_at_once(
    live: tuple[Server, Client], rows: Spool
) -> None:
    taken = Turns(1, Shares(), most_waiting=1)
    handler = Handler(IDENTITY, station(live[0]).watcher, rows, taken, LatePolicy())
    assert taken.take(Stream("other/line", "c"), math.inf) == ""
    waiting = threading.Thread(target=handler.answer, args=(FRAME,))
    waiting.start()
    while not taken.waiting():
        time.sleep(0.001)
    outcome = handler.answer(FRAME)
    assert isinstance(outcome, Unjudged)
    assert outcome.why == "queue_full"
    taken.give_back()
    waiting.join()


def test_who_only_watches_never_touches_an_answer(
    live: tuple[Server, Client], rows: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def broken(_: IncomingFrame, row: Row) -> None:
        seen.append(row["sequence"])
        raise RuntimeError("broken observer")

    handler = Handler(IDENTITY, station(live[0]).watcher, rows, turns(1), LatePolicy(), [broken])
    assert isinstance(handler.answer(FRAME), Decision)
    assert seen == [1]
    assert rows.state().next_sequence == 2
    assert "broken observer" in caplog.text
