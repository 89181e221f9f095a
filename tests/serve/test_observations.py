from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from serve.frame import IncomingFrame
from serve.observations import Observations, Observed

FRAME = IncomingFrame(payload=b"", frame_id="", traceparent="00-a-b-01")


def test_every_row_reaches_every_sink_in_order() -> None:
    first: list[Observed] = []
    second: list[Observed] = []
    observations = Observations([first.extend, second.extend])
    observations.start()
    for number in range(1_000):
        observations(FRAME, {"sequence": number})
    observations.stop()
    assert [found.row["sequence"] for found in first] == list(range(1_000))
    assert first == second
    assert {found.traceparent for found in first} == {FRAME.traceparent}


def test_rows_are_handed_on_while_frames_come() -> None:
    counted = threading.Event()
    observations = Observations([lambda _: counted.set()])
    observations.start()
    observations(FRAME, {})
    assert counted.wait(timeout=30)
    observations.stop()


def test_sink_that_fails_stops_neither_the_others_nor_the_next(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found: list[Observed] = []

    def fail(_: Sequence[Observed]) -> None:
        raise RuntimeError("collector gone")

    observations = Observations([fail, found.extend])
    with caplog.at_level(logging.ERROR):
        for _ in range(100):
            observations(FRAME, {})
        observations.stop()
    assert len(found) == 100
    assert "could not be counted" in caplog.text
