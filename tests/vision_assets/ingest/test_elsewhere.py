"""A frame is on its line once, whatever the batches that bring it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.landing.generate import Batch, frame
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch


@pytest.fixture
def other(tmp_path: Path) -> Batch:
    """A second batch of the line."""
    return Batch(tmp_path / "store", "tuesday")


def test_the_same_frames_under_another_batch_are_duplicates(batch: Batch, other: Batch) -> None:
    batch.add_sound(3)
    other.add_sound(3)
    other.add_sound(1, "new")
    for each in (batch, other):
        each.complete()
    assert batch.ingest().frames == 3
    report = other.ingest()
    assert (report.frames, report.quarantined, report.duplicates) == (1, 3, 3)
    assert report.broken_share == 0.0
    assert set(other.quarantine().values()) == {
        ("duplicate", "batch monday holds a frame of the same bytes, camera and time")
    }


def test_supplied_ids_do_not_hide_equal_frames(batch: Batch, other: Batch) -> None:
    batch.add("a.jpg", frame(1), frame_id="first")
    other.add("a.jpg", frame(1), frame_id="second")
    for each in (batch, other):
        each.complete()
        each.ingest()
    assert other.quarantine()["a.jpg"][0] == "duplicate"


def test_ids_that_restart_in_each_batch_are_refused(batch: Batch, other: Batch) -> None:
    for seed, each in enumerate((batch, other)):
        for number in range(1, 5):
            each.add(f"{number}.jpg", frame(10 * seed + number), frame_id=str(number))
        each.complete()
    assert batch.ingest().frames == 4
    report = other.ingest()
    assert (report.frames, report.broken_share) == (0, 1.0)
    assert report.metadata_faults == [
        "1.jpg, 2.jpg, 3.jpg and 1 more: batch monday holds a frame of the same frame_id with "
        "other bytes; make frame ids unique on the line, or leave them out"
    ]


def test_an_id_of_the_same_bytes_at_another_time_is_a_duplicate(batch: Batch, other: Batch) -> None:
    batch.add("a.jpg", frame(1), frame_id="x")
    other.add("a.jpg", frame(1), frame_id="x", captured_at="2026-02-01T06:00:00+00:00")
    for each in (batch, other):
        each.complete()
        each.ingest()
    assert other.quarantine() == {
        "a.jpg": ("duplicate", "batch monday holds a frame of the same frame_id and bytes")
    }


def test_other_frames_of_the_same_moment_are_new(batch: Batch, other: Batch) -> None:
    batch.add("a.jpg", frame(1), frame_id="x", camera="left")
    other.add("a.jpg", frame(1), frame_id="y", camera="right")
    other.add("aa.jpg", frame(2), frame_id="z")
    for each in (batch, other):
        each.complete()
        each.ingest()
    assert len(other.index()) == 2


def test_another_line_has_its_own_frames(batch: Batch, tmp_path: Path) -> None:
    elsewhere = Batch(tmp_path / "store", "monday", line="drill")
    for each in (batch, elsewhere):
        each.add_sound(2)
        each.complete()
        assert each.ingest().frames == 2


def test_a_batch_that_grows_is_not_its_own_neighbour(batch: Batch, other: Batch) -> None:
    other.add_sound(2, "other")
    other.complete()
    other.ingest()
    for count in (2, 4):
        batch.add_sound(count, "mine")
        batch.complete()
        report = batch.ingest()
        assert (report.frames, report.quarantined) == (count, 0)


def test_frames_of_two_batches_that_were_ingested_at_once_stay(batch: Batch, other: Batch) -> None:
    """Nobody saw the other; a later look at either changes nothing."""
    for each in (batch, other):
        each.add_sound(2)
        each.complete()

    def progress(what: str, done: int, total: int) -> None:
        other.ingest()

    ingest_batch(batch.store, batch.key, LineConfig(), progress)
    other.mark()
    assert other.ingest().frames == len(batch.index()) == 2
