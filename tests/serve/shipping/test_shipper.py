"""One spool's way to one place: ranges, repeats, places that are away."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.shipping import cursor
from serve.shipping.cursor import Cursor
from serve.shipping.shipper import Pace, Row, Shipper
from store.errors import Unavailable
from tests.serve.shipping.running import fill, row


class Killed(BaseException):
    """What stands for the end of the process."""


class Place:
    """A place that keeps ranges by their numbers, as a store keeps files, and fails as told."""

    name = "place"

    def __init__(self, *, most_rows: int = 4, failures: Sequence[str] = ()) -> None:
        self.pace = Pace(most_rows=most_rows, wait_s=0.0, retry_s=0.01, most_retry_s=0.02)
        self.ranges: dict[tuple[int, int], list[int]] = {}
        self.failures = list(failures)
        self.is_away = False
        self.is_closed = False

    def open(self) -> None:
        if self.is_away:
            raise Unavailable("the place is away")

    def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise Killed
        if failure == "away":
            raise Unavailable("the place has gone")
        self.ranges.setdefault((first, last), [told["sequence"] for told in rows])
        if failure == "after":
            raise Killed

    def close(self) -> None:
        self.is_closed = True

    @property
    def rows(self) -> list[int]:
        return sorted(number for numbers in self.ranges.values() for number in numbers)


@given(
    counts=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    failures=st.lists(st.sampled_from(["", "before", "after", "away"]), max_size=8),
    paces=st.lists(st.integers(1, 6), min_size=1, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_every_row_is_there_once_whenever_it_is_killed(
    counts: list[int], failures: list[str], paces: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, place, written, starts = Path(name), Place(failures=failures), 0, 0
        for count in counts:
            if count:
                fill(folder, count, written + 1)
            written += count
            while True:
                starts += 1
                place.pace = Pace(most_rows=paces[starts % len(paces)])  # changed between starts
                try:
                    Shipper(folder / "spool", place).drain()
                    break
                except (Killed, Unavailable):
                    continue
        assert place.rows == list(range(1, written + 1))
        assert cursor.load(folder / "spool", "place").next == written + 1


def test_range_waits_until_it_is_full_or_old(tmp_path: Path) -> None:
    fill(tmp_path, 10)
    place = Place()
    place.pace = Pace(most_rows=4, wait_s=3600)
    stopping = threading.Event()
    thread = threading.Thread(target=Shipper(tmp_path / "spool", place).run, args=(stopping,))
    thread.start()
    while len(place.ranges) < 2:
        time.sleep(0.01)
    time.sleep(0.05)
    assert place.rows == [1, 2, 3, 4, 5, 6, 7, 8]
    stopping.set()
    thread.join()
    assert place.rows == list(range(1, 11))  # at the end what there is
    assert place.is_closed


def test_place_that_is_away_is_told_and_caught_up_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, 3)
    place = Place()
    place.is_away = True
    stopping = threading.Event()
    shipper = Shipper(tmp_path / "spool", place)
    thread = threading.Thread(target=shipper.run, args=(stopping,))
    thread.start()
    spool = tmp_path / "spool"
    while not cursor.progress(spool, "place").fault:
        time.sleep(0.01)
    place.is_away = False
    place.failures = ["away", "away"]
    fill(tmp_path, 100, 4)
    while cursor.load(spool, "place").next < 104:
        time.sleep(0.01)
    stopping.set()
    thread.join()
    assert place.rows == list(range(1, 104))
    assert cursor.progress(spool, "place").fault == ""
    faults = [record.__dict__["fault"] for record in caplog.records]
    assert faults == ["the place is away", "the place has gone"]  # once each, not at each attempt


def test_oldest_row_that_waits_is_told(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    shipper = Shipper(tmp_path / "spool", Place(failures=["away"]))
    assert "gone" in shipper._try(is_due=True)
    told = cursor.progress(tmp_path / "spool", "place")
    assert told.oldest_at == row(1)["received_at"]
    (state,) = cursor.shipped(tmp_path / "spool", ["place"], 4)
    assert (state.unshipped, state.fault) == (3, "the place has gone")


def test_fault_of_our_own_does_not_end_the_shipping(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Place):
        def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
            raise KeyError("a fault of ours")

    fill(tmp_path, 3)
    shipper = Shipper(tmp_path / "spool", Broken())
    assert "KeyError" in shipper._try(is_due=True)
    assert cursor.load(tmp_path / "spool", "place") == Cursor(1, 3)
    assert "a fault of ours" in (caplog.records[0].exc_text or caplog.text)


def test_spoilt_cursor_is_told_until_it_is_mended(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    path = tmp_path / "spool" / "shipping" / "place.json"
    path.parent.mkdir()
    path.write_text("spoilt")
    place = Place()
    shipper = Shipper(tmp_path / "spool", place)
    assert "is no cursor" in shipper._try(is_due=True)
    path.write_text('{"next": 2, "through": null}')
    assert shipper._try(is_due=True) == ""
    assert place.rows == [2, 3]
