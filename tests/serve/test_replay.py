"""Following a spool: every row once and in order, whatever happens to its files meanwhile."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.replay import Tail, next_sequence
from serve.segment import Segment, segments
from serve.spool import Spool, SpoolLimits

_EVERYTHING = 2**40


def write(folder: Path, *counts: int, size: int = 10) -> None:
    """Segments of so many rows each."""
    first = next_sequence(folder)
    for count in counts:
        segment = Segment(folder, first)
        for sequence in range(first, first + count):
            segment.append(sequence, b"{}".ljust(size))
        segment.close()
        first += count


def numbers(tail: Tail, most: int = 1000, last: int | None = None) -> list[int]:
    return [record.sequence for record in tail.read(most, _EVERYTHING, last)]


@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    first=st.integers(1, 12),
    steps=st.lists(st.integers(1, 7), max_size=30),
)
@settings(max_examples=60, deadline=None)
def test_any_way_of_looking_gives_each_row_once(
    counts: list[int], first: int, steps: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, *counts)
        tail, found = Tail(folder, first), []
        for most in steps:
            found += numbers(tail, most)
        found += numbers(tail)
        write(folder, 3)  # the server has started again
        found += numbers(tail)
        assert found == list(range(first, sum(counts) + 4))
        assert numbers(tail) == []
        assert tail.lost == 0


def test_rows_come_while_they_are_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, SpoolLimits(segment_bytes=200))
    tail = Tail(tmp_path, 1)
    assert numbers(tail) == []
    for number in range(1, 60):
        spool.append({"n": number})
        assert numbers(tail) == [number]
    spool.close()
    assert len(segments(tmp_path)) > 5


def test_no_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, 10, size=80)  # a record of 100 bytes
    assert len(Tail(tmp_path, 1).read(4, _EVERYTHING)) == 4
    assert len(Tail(tmp_path, 1).read(100, 350)) == 3
    assert len(Tail(tmp_path, 1).read(100, 1)) == 1  # else a large row would stop everything
    tail = Tail(tmp_path, 1)
    assert numbers(tail, last=7) == [1, 2, 3, 4, 5, 6, 7]
    assert numbers(tail) == [8, 9, 10]


def test_torn_record_is_waited_for(tmp_path: Path) -> None:
    write(tmp_path, 3)
    (path,) = segments(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-4])
    tail = Tail(tmp_path, 1)
    assert numbers(tail) == [1, 2]
    path.write_bytes(whole)
    assert numbers(tail) == [3]
    assert tail.lost == 0


def test_damaged_and_deleted_rows_are_counted_and_the_others_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, 3, 3, 3)
    paths = segments(tmp_path)
    tail = Tail(tmp_path, 1)
    assert numbers(tail, 1) == [1]
    content = bytearray(paths[0].read_bytes())
    content[len(content) // 3 + 22] ^= 1
    paths[0].write_bytes(content)
    paths[1].unlink()
    assert numbers(tail) == [3, 7, 8, 9]
    assert tail.lost == 4
    assert [r.__dict__["first"] for r in caplog.records] == [2, 4]


def test_segment_that_is_being_read_may_be_deleted(tmp_path: Path) -> None:
    write(tmp_path, 3)
    tail = Tail(tmp_path, 1)
    assert numbers(tail, 1) == [1]
    write(tmp_path, 2)
    segments(tmp_path)[0].unlink()
    assert numbers(tail) == [4, 5]
    tail.sync()


def test_who_begins_now_misses_nothing_that_there_was_before(tmp_path: Path) -> None:
    write(tmp_path, 3, 3)
    segments(tmp_path)[0].unlink()
    tail = Tail(tmp_path, 1)
    assert numbers(tail) == [4, 5, 6]
    assert tail.lost == 0


def test_next_number_is_after_the_last_row(tmp_path: Path) -> None:
    assert next_sequence(tmp_path) == 1
    write(tmp_path, 3, 4)
    assert next_sequence(tmp_path) == 8
