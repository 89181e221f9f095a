"""The spool: what was acknowledged is there, once, whatever happens to the process or the file."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.replay import Loss, read
from serve.segment import MAX_PAYLOAD_BYTES, Damage, Record, parts, segments
from serve.spool import Spool, SpoolLimits
from store.errors import Conflict, Unavailable
from tests.serve.running import full_disk

Rows = list[dict[str, object]]

_SMALL = SpoolLimits(segment_bytes=200, commit_s=0.001)
_ROWS = st.lists(
    st.dictionaries(
        st.sampled_from("abc"),
        st.one_of(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False)),
    ),
    max_size=20,
)


@contextmanager
def opened(folder: Path, limits: SpoolLimits | None = None) -> Iterator[Spool]:
    spool = Spool(folder, limits)
    try:
        yield spool
    finally:
        spool.close()


class Shipped:
    """How far rows are shipped."""

    through = 0

    def __call__(self) -> int:
        return self.through + 1


@contextmanager
def shipping(folder: Path, limits: SpoolLimits) -> Iterator[tuple[Spool, Shipped]]:
    """A spool whose rows are shipped as far as the test says."""
    shipped = Shipped()
    spool = Spool(folder, limits, shipped)
    try:
        yield spool, shipped
    finally:
        spool.close()


def plain(folder: Path) -> Rows:
    return [{k: v for k, v in row.items() if k != "sequence"} for row in read(folder)]


@given(rows=_ROWS)
@settings(max_examples=30, deadline=None)
def test_rows_come_back_in_order_and_numbered(rows: Rows) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder, _SMALL) as spool:
            assert [spool.append(row) for row in rows] == list(range(1, len(rows) + 1))
        assert plain(folder) == rows
        assert [row["sequence"] for row in read(folder)] == list(range(1, len(rows) + 1))


@given(data=st.data(), count=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_torn_tail_loses_only_what_is_torn_and_numbering_goes_on(
    data: st.DataObject, count: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with opened(folder) as spool:
            ends = []
            for number in range(count):
                spool.append({"n": number})
                ends.append(segments(folder)[0].stat().st_size)
        cut = data.draw(st.integers(0, ends[-1]), label="bytes that reached the disk")
        os.truncate(segments(folder)[0], cut)
        whole = sum(end <= cut for end in ends)
        with opened(folder) as spool:
            assert spool.append({"n": "next"}) == whole + 1
        assert plain(folder) == [{"n": n} for n in range(whole)] + [{"n": "next"}]


def told(folder: Path) -> tuple[list[int], list[Loss]]:
    """The sequences that can be read, and the losses of which the reader is told."""
    losses: list[Loss] = []
    return [row["sequence"] for row in read(folder, on_loss=losses.append)], losses


@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=4),
    limits=st.sampled_from([SpoolLimits(), _SMALL]),
)
@settings(max_examples=60, deadline=None)
def test_flipped_bits_cost_only_the_rows_they_hit(
    flips: list[tuple[float, int]], limits: SpoolLimits
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = []  # of each row: segment, begin, end
        with opened(folder, limits) as spool:
            for number in range(12):
                before = {path: path.stat().st_size for path in segments(folder)}
                spool.append({"n": number, "text": "{row\u00f5" * 3})
                path = segments(folder)[-1]
                places.append((path, before.get(path, 0), path.stat().st_size))
        hit: set[int] = set()
        clean = {path: path.read_bytes() for path in segments(folder)}
        damaged = {path: bytearray(data) for path, data in clean.items()}
        for share, bit in flips:
            row = int(share * 12)
            path, begin, end = places[row]
            damaged[path][begin + int((share * 12 - row) * (end - begin))] ^= 1 << bit
        for path, data in damaged.items():
            path.write_bytes(data)
        for row, (path, begin, end) in enumerate(places):
            if damaged[path][begin:end] != clean[path][begin:end]:
                hit.add(row + 1)
        kept = [n for n in range(1, 13) if n not in hit]
        found, losses = told(folder)
        assert found == kept
        lost = {n for loss in losses for n in range(loss.first, loss.last + 1)}
        tail = {n for n in hit if n > max(kept, default=0)}
        assert hit - tail <= lost <= hit
        sizes = {path: path.stat().st_size for path in segments(folder)}
        with opened(folder) as spool:
            assert spool.state().next_sequence > max(kept, default=0)
            following = spool.append({"n": "next"})
        assert told(folder)[0] == [*kept, following]
        if kept:
            last = places[kept[-1] - 1][0]
            assert all(path.stat().st_size == sizes[path] for path in sizes if path <= last)


def test_loss_says_where_and_what_and_is_logged_at_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path) as spool:
        ends = [0]
        for number in range(4):
            spool.append({"n": number})
            ends.append(segments(tmp_path)[0].stat().st_size)
    path = segments(tmp_path)[0]
    content = bytearray(path.read_bytes())
    content[ends[1] + 3] ^= 1
    content[ends[2] + 22] ^= 1
    path.write_bytes(content)
    found, (loss,) = told(tmp_path)
    assert found == [1, 4]
    assert str(loss) == (
        f"{ends[3] - ends[1]} bytes at {ends[1]} of {path.name} are damaged: rows 2 to 3 are lost"
    )
    with opened(tmp_path) as spool:
        assert spool.append({}) == 5
    (record,) = [r for r in caplog.records if r.message == "spool is damaged"]
    assert (record.__dict__["segment"], record.__dict__["first"]) == (path.name, 2)


def test_segment_that_lost_its_end_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, SpoolLimits(segment_bytes=100)) as spool:
        for number in range(10):
            spool.append({"n": number})
    first = segments(tmp_path)[0]
    os.truncate(first, first.stat().st_size - 1)
    found, (loss,) = told(tmp_path)
    assert found == [n for n in range(1, 11) if n != loss.first]
    assert loss.first == loss.last


def test_rubbish_between_two_records_costs_no_row(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append({"n": 1})
        with open(segments(tmp_path)[0], "ab") as stream:
            stream.write(b"\xf5row" + bytes(3 * 2**20))  # longer than is searched at once
        spool.append({"n": 2})
    found, (loss,) = told(tmp_path)
    assert found == [1, 2]
    assert "no row is lost" in str(loss)


def test_zeros_after_a_power_cut_are_torn(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append({"n": 1})
    with open(segments(tmp_path)[0], "ab") as stream:
        stream.write(bytes(4096))
    with opened(tmp_path) as spool:
        assert spool.append({"n": 2}) == 2
    assert plain(tmp_path) == [{"n": 1}, {"n": 2}]


def test_many_threads_get_numbers_without_a_gap(tmp_path: Path) -> None:
    numbers: list[int] = []
    with opened(tmp_path, SpoolLimits(segment_bytes=2000)) as spool:

        def write(thread: int) -> None:
            for index in range(100):
                numbers.append(spool.append({"thread": thread, "index": index}))

        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(numbers) == list(range(1, 801))
    assert {(r["thread"], r["index"]) for r in read(tmp_path)} == {
        (t, i) for t in range(8) for i in range(100)
    }


def test_numbering_goes_on_over_many_starts(tmp_path: Path) -> None:
    for start in range(5):
        with opened(tmp_path) as spool:
            assert spool.append({"start": start}) == start + 1
    with opened(tmp_path):
        pass  # a start without a row leaves nothing behind
    assert [row["start"] for row in read(tmp_path)] == list(range(5))
    assert [row["start"] for row in read(tmp_path, first=4)] == [3, 4]


def test_strict_returns_when_the_row_is_synced(tmp_path: Path) -> None:
    with opened(tmp_path, SpoolLimits(strict=True)) as spool:
        for _ in range(5):
            sequence = spool.append({})
            assert spool.state().synced_sequence > sequence


def test_rows_are_synced_soon_and_at_the_latest_when_closed(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append({})
        while spool.state().synced_sequence < 2:
            time.sleep(0.001)
        spool.append({})
    assert spool.state().synced_sequence == 3
    with pytest.raises(Unavailable, match="stopping"):
        spool.append({})


def test_oldest_rows_go_when_the_limit_is_reached(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=500, max_bytes=2000, commit_s=0.0005)
    with opened(tmp_path, limits) as spool:
        for number in range(300):
            spool.append({"n": number})
            while spool.state().bytes > 3000:
                time.sleep(0.001)
    state, found = spool.state(), plain(tmp_path)
    assert state.bytes <= 2000
    assert state.bytes == sum(path.stat().st_size for path in segments(tmp_path))
    assert found == [{"n": number} for number in range(state.dropped, 300)]
    assert 0 < state.dropped < 300


def test_what_was_shipped_goes_first_and_is_no_loss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = SpoolLimits(segment_bytes=500, max_bytes=4000, commit_s=0.0005)
    with shipping(tmp_path, limits) as (spool, shipped):
        for number in range(1, 301):
            spool.append({"n": number})
            shipped.through = number
            while spool.state().bytes > 4500:
                time.sleep(0.001)
    assert spool.state().dropped == 0
    found = [row["sequence"] for row in read(tmp_path)]
    assert found == list(range(found[0], 301))
    assert found[0] > 1
    assert not caplog.records


def test_only_rows_that_were_not_shipped_count_as_dropped(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=500, max_bytes=2000, commit_s=0.0005)
    with shipping(tmp_path, limits) as (spool, shipped):
        shipped.through = 20
        for number in range(1, 301):
            spool.append({"n": number})
            while spool.state().bytes > 3000:
                time.sleep(0.001)
    first = next(row["sequence"] for row in read(tmp_path))
    assert spool.state().dropped == first - 21


def test_new_rows_are_refused_until_the_others_are_shipped(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=500, max_bytes=2000, commit_s=0.0005, when_full="refuse")
    with shipping(tmp_path, limits) as (spool, shipped):
        kept: list[int] = []
        with pytest.raises(Unavailable, match="wait to be shipped"):
            kept.extend(spool.append({"n": number}) for number in range(1, 300))
        last = spool.state().next_sequence - 1
        assert "allow more" in spool.state().fault
        time.sleep(0.05)
        assert spool.state().fault
        shipped.through = last
        while spool.state().fault:
            time.sleep(0.01)
        assert spool.append({"n": "next"}) == last + 1
    assert spool.state().dropped == 0


def test_shipped_segments_are_deleted_when_they_are_old(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=200, commit_s=0.0005, keep_s=3600)
    with shipping(tmp_path, limits) as (spool, shipped):
        for number in range(1, 41):
            spool.append({"n": number})
        shipped.through = 20
        for path in segments(tmp_path):
            os.utime(path, (0, 0))
        while len(list(read(tmp_path))) > 30:
            time.sleep(0.01)
        left = [row["sequence"] for row in read(tmp_path)]
        assert left == list(range(left[0], 41))
        assert left[0] <= 21  # what was not shipped stays however old it is
    assert spool.state().dropped == 0


def test_numbering_goes_on_when_all_rows_are_shipped_and_gone(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=100, commit_s=0.0005, keep_s=0)
    with shipping(tmp_path, limits) as (spool, shipped):
        for number in range(1, 21):
            spool.append({"n": number})
        shipped.through = 20
        while len(segments(tmp_path)) > 1:
            time.sleep(0.01)
    with shipping(tmp_path, limits) as (spool, shipped):
        shipped.through = 20
        time.sleep(1.5)  # longer than between two looks at what is old
        assert len(segments(tmp_path)) == 1  # the newest carries the numbering
    for path in segments(tmp_path):
        path.unlink()  # an administrator does
    spool = Spool(tmp_path, limits, lowest=21)
    assert spool.append({}) == 21
    spool.close()


def test_full_disk_is_given_back_what_was_shipped(tmp_path: Path) -> None:
    limits = SpoolLimits(segment_bytes=200, commit_s=0.0005)
    with shipping(tmp_path, limits) as (spool, shipped):
        for number in range(1, 41):
            spool.append({"n": number})
        shipped.through = 20
        with full_disk(10):
            with pytest.raises(Unavailable):
                _append_until_refused(spool)
            while next(read(tmp_path))["sequence"] < 15:
                time.sleep(0.01)
        assert spool.append({"n": "next"}) == spool.state().next_sequence - 1
    assert spool.state().dropped == 0


def test_full_disk_refuses_rows_and_keeps_the_spool_whole(tmp_path: Path) -> None:
    kept: list[int] = []
    with opened(tmp_path) as spool:
        with full_disk(1000), pytest.raises(Unavailable, match="make room"):
            kept.extend(spool.append({"n": 1}) for _ in range(1000))
        assert spool.append({"n": 1}) == len(kept) + 1
    assert plain(tmp_path) == [{"n": 1}] * (len(kept) + 1)


def test_failed_write_is_a_fault_until_one_succeeds(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.append({})
        with full_disk(10):
            with pytest.raises(Unavailable):
                spool.append({})
            assert "make room" in spool.state().fault
            assert str(tmp_path) in spool.state().fault
        assert spool.append({}) == 2
        assert spool.state().fault == ""


def test_fault_ends_when_there_is_room_though_no_row_comes(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.try_again()
        with full_disk(10):
            with pytest.raises(Unavailable):
                spool.append({})
            spool.try_again()
            assert spool.state().fault
        spool.try_again()
        assert spool.state().fault == ""
        assert spool.append({}) == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"lock", "0000000000000001.spool"}


@pytest.mark.parametrize("strict", [False, True])
def test_failed_sync_stops_the_spool(tmp_path: Path, strict: bool) -> None:
    spool = Spool(tmp_path, SpoolLimits(strict=strict))
    spool.append({"n": 1})
    while spool.state().synced_sequence < 2:
        time.sleep(0.001)
    reading, writing = os.pipe()  # takes what is written, but cannot be synced
    os.dup2(writing, _descriptor(segments(tmp_path)[0]))
    with pytest.raises(Unavailable, match="restart"):
        _append_until_refused(spool)
    assert spool.state().fault
    spool.close()
    os.close(reading)
    os.close(writing)
    assert plain(tmp_path) == [{"n": 1}]


def _append_until_refused(spool: Spool) -> None:
    for _ in range(1000):
        spool.append({"n": 2})
        time.sleep(0.001)


def _descriptor(path: Path) -> int:
    """The number under which this process has a file open."""
    return next(
        int(name)
        for name in os.listdir("/proc/self/fd")
        if os.path.realpath(f"/proc/self/fd/{name}") == str(path.resolve())
    )


def test_folder_belongs_to_one_process(tmp_path: Path) -> None:
    says = rf"seems to run already \(process {os.getpid()}\).*folder of its own"
    with opened(tmp_path), pytest.raises(Conflict, match=says):
        Spool(tmp_path)
    with opened(tmp_path) as spool:
        assert spool.append({}) == 1


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="writable folder"):
        Spool(tmp_path / "file")


def test_rows_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        with pytest.raises(ValueError, match="at most"):
            spool.append({"n": "x" * MAX_PAYLOAD_BYTES})
        with pytest.raises(TypeError, match="JSON"):
            spool.append({"n": object()})
        assert spool.append({"n": float("nan")}) == 1
    assert plain(tmp_path) == [{"n": None}]


def test_reader_sees_rows_while_they_are_written(tmp_path: Path) -> None:
    with opened(tmp_path, _SMALL) as spool:
        for number in range(1, 20):
            spool.append({"n": number})
            assert len(plain(tmp_path)) == number


def test_absurd_length_is_torn_without_reading_it(tmp_path: Path) -> None:
    path = tmp_path / "0000000000000001.spool"
    record = b"\xf5row" + b"\xff" * 60
    path.write_bytes(record)
    assert list(parts(path)) == [Damage(0, 64)]


def test_parts_of_a_segment_are_records_and_damage_in_order(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for _ in range(3):
            spool.append({})
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    size = len(content) // 3
    content[size] ^= 1
    path.write_bytes(content)
    assert list(parts(path)) == [Record(1, b"{}"), Damage(size, size), Record(3, b"{}")]
