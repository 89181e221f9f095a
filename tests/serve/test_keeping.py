"""Kept frames: which, how long, and that keeping them never holds anybody up."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.frame import IncomingFrame, RawFrame
from serve.keeping import Keeper, KeepLimits, is_sampled, told_of, why_kept
from tests.serve.running import full_disk
from tests.serve.shipping.running import row

HOUR = "20261121t14"


@contextmanager
def keeping(folder: Path, limits: KeepLimits | None = None) -> Iterator[Keeper]:
    keeper = Keeper(folder, limits or KeepLimits())
    try:
        yield keeper
    finally:
        keeper.close()


def offer(keeper: Keeper, number: int, data: bytes = b"frame", **given: object) -> None:
    told = {**row(number, **given), "sequence": number}
    keeper.observe(IncomingFrame(data, told["frame_id"]), told)


def names(folder: Path, ending: str = ".json") -> list[int]:
    """Sequences of the frames whose file with that ending is there."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.rglob(f"*{ending}"))


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"verdict": "REJECT"}, "reject"),
        ({"verdict": "REVIEW"}, "review"),
        ({"verdict": "PASS"}, ""),
        ({"error": "internal"}, "error"),
    ],
)
def test_rejects_reviews_and_errors_are_kept(given_: dict[str, Any], why: str) -> None:
    assert why_kept({"frame_id": "f", **given_}, 0.0) == why
    assert why_kept({"frame_id": "f", **given_}, 1.0) == (why or "sample")


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_share_is_the_same_every_time_and_grows_with_its_size(
    name: str, one: float, other: float
) -> None:
    told = {"line": "a/b", "frame_id": name}
    small, large = sorted((one, other))
    assert is_sampled(told, small) <= is_sampled(told, large)
    assert is_sampled(told, 1.0)
    assert not is_sampled(told, 0.0)


def test_share_is_about_as_large_as_asked_for() -> None:
    chosen = sum(is_sampled({"line": "a/b", "frame_id": f"f-{n}"}, 0.1) for n in range(10_000))
    assert 800 < chosen < 1200


def test_bytes_are_as_they_came_with_what_is_known_of_them(tmp_path: Path) -> None:
    with keeping(tmp_path, KeepLimits(share=0.0)) as keeper:
        offer(keeper, 1, b"reject")
        offer(keeper, 2, verdict="PASS")
        raw = {**row(3, verdict="REVIEW"), "sequence": 3}
        keeper.observe(IncomingFrame(RawFrame(b"123456", (1, 2, 3), "uint8"), "f-3"), raw)
        keeper.observe(IncomingFrame(None, "f-4"), {**row(4, error="no"), "sequence": 4})
    assert names(tmp_path) == [1, 3]
    folder = tmp_path / "rejects" / HOUR
    assert (folder / "b00t-0000000000000001.bin").read_bytes() == b"reject"
    told = told_of(folder / "b00t-0000000000000003.json")
    assert (told["why"], told["shape"], told["serial"]) == ("review", [1, 2, 3], "s-3")
    assert keeper.state().kept == 2


def test_ring_is_bounded_and_rejects_stay_longer(tmp_path: Path) -> None:
    with keeping(tmp_path, KeepLimits(share=1.0, max_bytes=4000)) as keeper:
        for number in range(1, 101):
            verdict = "REJECT" if number % 2 else "PASS"
            offer(keeper, number, bytes(100), verdict=verdict)
    state = keeper.state()
    assert (state.frames, state.bytes, state.kept) == (40, 4000, 100)
    assert state.overwritten == 60
    kept = names(tmp_path)
    assert [n for n in kept if n % 2] == list(range(41, 101, 2))  # three quarters
    assert [n for n in kept if not n % 2] == list(range(82, 101, 2))
    assert names(tmp_path, ".bin") == kept


def test_ring_is_bounded_by_frames_however_small(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = KeepLimits(share=0.0, max_frames=8)
    with keeping(tmp_path, limits) as keeper:
        for number in range(1, 11):
            offer(keeper, number, b"x")
    assert names(tmp_path, ".bin") == names(tmp_path) == list(range(5, 11))  # three quarters
    assert (keeper.state().frames, keeper.state().overwritten) == (6, 4)
    assert [record.message for record in caplog.records if "given up" in record.message]
    with keeping(tmp_path, KeepLimits(share=0.0, max_frames=4)) as keeper:
        offer(keeper, 11, b"x")
    assert names(tmp_path) == [9, 10, 11]  # also those that an earlier start has kept


def test_frames_that_were_landed_leave_without_a_loss(tmp_path: Path) -> None:
    with keeping(tmp_path, KeepLimits(share=0.0, max_bytes=400)) as keeper:
        for number in range(1, 4):
            offer(keeper, number, bytes(100))
    for path in tmp_path.rglob("*.json"):
        path.rename(path.with_suffix(".landed"))
    with keeping(tmp_path, KeepLimits(share=0.0, max_bytes=400)) as keeper:
        assert keeper.state().frames == 3
        for number in range(4, 7):
            offer(keeper, number, bytes(100))
    assert keeper.state().overwritten == 0
    assert names(tmp_path, ".bin") == [4, 5, 6]


def test_halves_of_frames_are_cleared_away_at_the_next_start(tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper:
        offer(keeper, 1)
        offer(keeper, 2)
    (tmp_path / "rejects" / HOUR / "b00t-0000000000000001.json").unlink()
    with keeping(tmp_path) as keeper:
        assert keeper.state().frames == 1
    assert names(tmp_path, ".bin") == [2]


def test_frames_beyond_what_may_wait_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.keeping._MOST_WAITING_BYTES", 10)
    with keeping(tmp_path) as keeper:
        offer(keeper, 1, bytes(11))
        offer(keeper, 2, bytes(10))
    assert (keeper.state().dropped, keeper.state().kept) == (1, 1)


def test_frames_beyond_the_number_that_may_wait_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("serve.keeping._MOST_WAITING_FRAMES", 2)
    first = tmp_path / "rejects" / HOUR / "b00t-0000000000000001.bin"
    with keeping(tmp_path) as keeper:
        first.parent.mkdir(parents=True)
        os.mkfifo(first)  # the thread that writes waits until it is read
        for number in range(1, 6):
            offer(keeper, number)
        assert keeper.state().dropped == 3
        first.read_bytes()
    assert keeper.state().kept == 2
    (told,) = (record for record in caplog.records if "given up" in record.message)
    assert vars(told)["dropped"] == 3


def test_disk_that_takes_nothing_is_counted_and_leaves_no_halves(tmp_path: Path) -> None:
    with keeping(tmp_path) as keeper, full_disk(50):
        offer(keeper, 1, bytes(100))
        keeper.close()
    assert (keeper.state().dropped, keeper.state().frames) == (1, 0)
    assert list(tmp_path.rglob("*.*")) == []


def test_pictures_give_way_to_decisions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with keeping(tmp_path) as keeper:
        offer(keeper, 1)
        offer(keeper, 2, error="internal")
    assert names(tmp_path) == [1, 2]
    with keeping(tmp_path, KeepLimits(reserve_bytes=2**62)) as keeper:
        offer(keeper, 3)
        while keeper.state().dropped < 1:
            time.sleep(0.01)
        state = keeper.state()
        assert "are reserved for decisions: make room" in state.fault
        assert (state.frames, state.overwritten) == (0, 2)
    assert list(tmp_path.rglob("*.*")) == []
    assert "reserved for decisions" in str([vars(record) for record in caplog.records])


def test_pictures_give_way_while_the_spool_finds_no_room(tmp_path: Path) -> None:
    lacks_room = threading.Event()
    keeper = Keeper(tmp_path, KeepLimits(), lacks_room.is_set)
    try:
        offer(keeper, 1)
        while keeper.state().kept < 1:
            time.sleep(0.01)
        lacks_room.set()
        while keeper.state().frames:  # though nothing else comes to be kept
            time.sleep(0.01)
        assert "the spool finds no room" in keeper.state().fault
        lacks_room.clear()
        while keeper.state().fault:
            time.sleep(0.01)
        offer(keeper, 2)
    finally:
        keeper.close()
    assert names(tmp_path) == [2]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    ring = tmp_path / "rejects"
    others = [
        ring / "notes.txt",
        ring / "photos.tar" / "precious.bin",
        ring / HOUR / "precious.bin",
        ring / HOUR / "precious.json",
        ring / "latest" / f"boot-{1:016d}.bin",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("precious")
    (ring / "20261121t15").write_text("precious")
    with keeping(tmp_path, KeepLimits(max_frames=4, reserve_bytes=2**62)) as keeper:
        offer(keeper, 1)
    assert all(path.read_text() == "precious" for path in others)
