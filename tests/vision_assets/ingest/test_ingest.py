"""A delivery becomes frames and a quarantine table, once, completely, whatever is in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from inspection.decode import decode
from inspection.statistics import COLUMNS, STATS_VERSION, statistics
from store import batches, documents, layout, shards
from store.errors import Conflict, InvalidInput, NotFound, Unavailable
from store.hashing import sha256
from tests.data.landing.generate import Batch, frame
from vision_assets.config import IngestSettings, LineConfig
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.ingest.schema import index_schema


def settings(**ingest: object) -> LineConfig:
    return LineConfig(ingest=IngestSettings.model_validate(ingest))


def test_every_frame_is_kept_with_its_original_bytes(batch: Batch) -> None:
    batch.add("a/1.jpg", frame(1), serial="s1", exposure_ms=2.5, lamp={"left": 1})
    batch.add("b.png", frame(2, "PNG", mode="RGB"), frame_id="id-2", product="tile", group="g")
    batch.complete()
    report = batch.ingest()
    assert (report.number, report.frames, report.added, report.changed) == (1, 2, 2, True)
    assert (report.quarantined, report.broken_share, report.metadata_faults) == (0, 0.0, [])
    index = batch.index()
    assert dict(index.schema) == index_schema()
    assert index["file"].to_list() == ["a/1.jpg", "b.png"]
    read = dict(batches.read_frames(batch.store, index))
    for row in index.iter_rows(named=True):
        data = batch.path(row["file"]).read_bytes()
        assert read[row["frame_id"]] == data
        assert (row["content_hash"], row["length"]) == (sha256(data), len(data))
        assert {name: row[name] for name in COLUMNS} == statistics(decode(data))
    assert report.bytes == index["length"].sum()


def test_the_index_says_what_the_metadata_and_the_header_say(batch: Batch) -> None:
    batch.add(
        "b.png",
        frame(2, "PNG", mode="RGB"),
        frame_id="id-2",
        captured_at="2026-01-31T08:00:00.250+02:00",
        serial=17,
        exposure_ms="2.5",
        lamp={"left": 1},
    )
    batch.complete()
    batch.ingest()
    (row,) = batch.index().iter_rows(named=True)
    expected = {
        "frame_id": "id-2",
        "camera": "top",
        "captured_at": datetime(2026, 1, 31, 6, 0, 0, 250_000, tzinfo=UTC),
        "serial": "17",
        "group": None,
        "product": None,
        "exposure_ms": 2.5,
        "extra": '{"lamp": {"left": 1}}',
        "format": "PNG",
        "width": 48,
        "height": 32,
        "channels": 3,
        "dtype": "uint8",
        "stats_version": STATS_VERSION,
    }
    assert {name: row[name] for name in expected} == expected


def test_shards_are_cut_at_their_size_and_each_has_an_index(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "TARGET_BYTES", 20_000)
    monkeypatch.setattr("vision_assets.ingest.pack._SEGMENT_BYTES", 3000)
    batch.add_sound(60)
    batch.complete()
    batch.ingest()
    manifest = batches.manifest(batch.store, batch.key)
    assert manifest is not None
    assert len(manifest.shards) == len(manifest.indexes) > 3
    for shard in manifest.shards[:-1]:
        assert 20_000 <= shard.size < 26_000
    assert batch.index()["file"].to_list() == [f"{number:04d}.jpg" for number in range(60)]
    members = [
        name for shard in manifest.shards for name, _ in shards.iterate(batch.store, shard.path)
    ]
    assert members == [f"{frame_id}.jpg" for frame_id in batch.index()["frame_id"]]


def test_twice_the_same_changes_nothing(batch: Batch) -> None:
    batch.add_sound(5)
    batch.add("broken.jpg", b"")
    batch.complete()
    first = batch.ingest()
    files = batch.files()
    second = batch.ingest()
    assert second.changed is False
    assert second.added == 0
    assert batch.files() == files
    for name in ("number", "frames", "quarantined", "broken_share", "metadata_faults", "hash"):
        assert getattr(second, name) == getattr(first, name)


BROKEN = {
    "zero.jpg": (b"", "empty"),
    "cut.jpg": (frame(1)[:-200], "truncated"),
    "cut.png": (frame(1, "PNG")[:-200], "truncated"),
    "text.jpg": (b"this is not a frame", "not_an_image"),
    "really-a-gif.jpg": (frame(1, "GIF"), "unsupported_format"),
    "tiny.png": (frame(1, "PNG", size=(8, 40)), "too_small"),
    "huge.png": (frame(1, "PNG", size=(2000, 1001)), "too_large"),
    "colour.png": (frame(1, "PNG", mode="RGB"), "wrong_channels"),
    "cmyk.tif": (frame(1, "TIFF", mode="RGB")[:8], "truncated"),
}


def test_broken_files_are_set_aside_with_their_reasons(batch: Batch) -> None:
    batch.add_sound(3)
    for file, (data, _) in BROKEN.items():
        batch.add(file, data)
    batch.complete()
    report = batch.ingest(settings(channels=1, max_pixels=2_000_000))
    assert report.frames == 3
    assert report.quarantined == len(BROKEN)
    assert report.broken_share == pytest.approx(len(BROKEN) / (len(BROKEN) + 3))
    assert report.metadata_faults == []
    found = batch.quarantine()
    assert {file: reason for file, (reason, _) in found.items()} == {
        file: reason for file, (_, reason) in BROKEN.items()
    }
    assert all(len(message) > 10 for _, message in found.values())


def test_a_batch_of_nothing_but_rubbish_is_no_error(batch: Batch) -> None:
    batch.add("zero.jpg", b"")
    batch.complete()
    report = batch.ingest()
    assert (report.frames, report.quarantined, report.broken_share) == (0, 1, 1.0)
    manifest = batches.manifest(batch.store, batch.key)
    assert manifest is not None
    assert manifest.indexes == []


def test_an_empty_batch_is_no_error(batch: Batch) -> None:
    batch.complete()
    report = batch.ingest()
    assert (report.number, report.frames, report.broken_share) == (1, 0, 0.0)


def test_a_file_larger_than_any_frame_is_not_read(batch: Batch) -> None:
    batch.add("big.bmp", b"BM" + bytes(2**20 + 5000))
    batch.complete()
    batch.ingest(settings(max_pixels=1000))
    reason, message = batch.quarantine()["big.bmp"]
    assert reason == "too_large"
    assert "at most 1052576 are read" in message


def test_links_are_not_followed(batch: Batch) -> None:
    batch.add_sound(1)
    secret = batch.store.local_path("secret.jpg")
    secret.write_bytes(frame(99))
    for name, target in (("out.jpg", secret), ("dangling.jpg", secret.with_name("gone"))):
        batch.add(name, frame(5))
        batch.path(name).unlink()
        batch.path(name).symlink_to(target)
    (batch.path("").parent / "elsewhere").mkdir()
    batch.path("folder").symlink_to(batch.path("").parent / "elsewhere")
    batch.complete()
    batch.ingest()
    assert batch.index().height == 1
    assert {file: reason for file, (reason, _) in batch.quarantine().items()} == {
        "dangling.jpg": "link",
        "folder": "link",
        "out.jpg": "link",
    }


def test_a_pipe_does_not_hang(batch: Batch) -> None:
    batch.add("pipe.jpg", b"")
    batch.path("pipe.jpg").unlink()
    os.mkfifo(batch.path("pipe.jpg"))
    batch.complete()
    batch.ingest()
    assert batch.quarantine()["pipe.jpg"][0] == "empty"


def test_duplicates_are_set_aside(batch: Batch) -> None:
    moment = "2026-01-31T06:00:00+00:00"
    batch.add("a.jpg", frame(1), captured_at=moment)
    batch.add("b.jpg", frame(1), captured_at=moment)
    batch.add("c.jpg", frame(1), captured_at=moment, camera="side")
    batch.add("d.jpg", frame(1), captured_at="2026-01-31T06:00:01+00:00")
    batch.add("e.jpg", frame(2), frame_id="x")
    batch.add("f.jpg", frame(2), frame_id="x")
    batch.add("g.jpg", frame(3), frame_id="x")
    batch.complete()
    report = batch.ingest()
    assert batch.index()["file"].to_list() == ["a.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert batch.quarantine() == {
        "b.jpg": ("duplicate", "same bytes, camera and time as a.jpg"),
        "f.jpg": ("duplicate", "same frame_id and bytes as e.jpg"),
        "g.jpg": ("metadata", "frame_id x belongs to e.jpg, which has other bytes"),
    }
    assert report.duplicates == 2
    assert report.broken_share == pytest.approx(1 / 7), "a duplicate is a sound file"
    assert report.metadata_faults == [
        "g.jpg: frame_id x belongs to e.jpg, which has other bytes",
    ]


def test_all_metadata_faults_are_reported_at_once(batch: Batch) -> None:
    batch.add_sound(2)
    batch.add("no-camera.jpg", frame(10), camera="")
    batch.add("future.jpg", frame(11), captured_at="2999-01-01T00:00:00+00:00")
    batch.add("no-row.jpg", frame(12))
    batch.add("no-file.jpg", frame(13))
    batch.complete()
    rows = batch.store.read(f"{batch.landing}/metadata.jsonl").splitlines(keepends=True)
    kept = [row for row in rows if b"no-row" not in row]
    batch.store.write(f"{batch.landing}/metadata.jsonl", b"".join(kept))
    batch.path("no-file.jpg").unlink()
    batch.mark()
    report = batch.ingest(LineConfig(cameras=("top",)))
    assert batch.index().height == report.frames == 2
    assert {reason for reason, _ in batch.quarantine().values()} == {"metadata"}
    assert report.metadata_faults == [
        "future.jpg: captured_at 2999-01-01T00:00:00+00:00 lies in the future; "
        "check the camera host's clock",
        "no-camera.jpg: camera is missing",
        "no-file.jpg: the metadata names a file that is not below frames/",
        "no-row.jpg: no metadata row names it",
    ]


def test_metadata_without_a_file_breaks_no_file(batch: Batch) -> None:
    batch.add_sound(2)
    batch.add("zero.jpg", b"")
    for number in range(7):
        batch.add(f"gone-{number}.jpg", frame(20 + number))
    batch.complete()
    for number in range(7):
        batch.path(f"gone-{number}.jpg").unlink()
    batch.mark()
    report = batch.ingest()
    assert (report.frames, report.quarantined, report.without_file) == (2, 8, 7)
    assert report.broken_share == pytest.approx(1 / 3)
    assert len(report.metadata_faults) == 1


def test_surplus_metadata_alone_breaks_nothing(batch: Batch) -> None:
    batch.add("gone.jpg", frame(1))
    batch.complete()
    batch.path("gone.jpg").unlink()
    batch.mark()
    report = batch.ingest()
    assert (report.frames, report.quarantined, report.broken_share) == (0, 1, 0.0)


def test_equal_faults_are_told_once(batch: Batch) -> None:
    batch.add_sound(7, camera="")
    batch.complete()
    report = batch.ingest()
    assert report.metadata_faults == ["0000.jpg, 0001.jpg, 0002.jpg and 4 more: camera is missing"]


def test_a_broken_file_with_broken_metadata_tells_both(batch: Batch) -> None:
    batch.add("zero.jpg", b"", camera="")
    batch.complete()
    batch.ingest()
    assert batch.quarantine() == {
        "zero.jpg": ("empty", "the file has no bytes; camera is missing"),
    }


def test_without_metadata_every_frame_is_set_aside(batch: Batch) -> None:
    batch.add_sound(3)
    batch.complete()
    batch.store.local_path(f"{batch.landing}/metadata.jsonl").unlink()
    batch.mark()
    report = batch.ingest()
    assert (report.frames, report.quarantined) == (0, 3)
    assert report.metadata_faults == ["0000.jpg, 0001.jpg, 0002.jpg: no metadata row names it"]


def test_what_is_not_complete_is_not_touched(batch: Batch) -> None:
    batch.add_sound(1)
    with pytest.raises(NotFound, match="has no _COMPLETE"):
        batch.ingest()
    assert batch.files() == []


@pytest.mark.parametrize("change", ["more", "fewer", "longer"])
def test_a_mark_that_does_not_fit_is_refused(batch: Batch, change: str) -> None:
    batch.add_sound(2)
    batch.complete()
    if change == "more":
        batch.path("late.jpg").write_bytes(frame(9))
    elif change == "fewer":
        batch.path("0000.jpg").unlink()
    else:
        batch.path("0000.jpg").write_bytes(b"longer" * 1000)
    with pytest.raises(InvalidInput, match="are not those of _COMPLETE"):
        batch.ingest()
    assert batch.files() == []


def test_a_name_that_is_not_unicode_is_refused(batch: Batch) -> None:
    batch.add_sound(1)
    batch.complete()
    with open(os.fsencode(batch.path("")) + b"/\xff.jpg", "wb") as stream:
        stream.write(frame(1))
    with pytest.raises(InvalidInput, match="a file name is not UTF-8"):
        batch.ingest()


def during_ingest(batch: Batch, action: Callable[[], object]) -> None:
    """Run `action` once, when the first files were looked at."""
    ran: list[object] = []

    def progress(what: str, done: int, total: int) -> None:
        if not ran:
            ran.append(action())

    ingest_batch(batch.store, batch.key, LineConfig(), progress)


def test_a_delivery_that_changes_meanwhile_is_a_conflict(batch: Batch) -> None:
    batch.add_sound(25)
    batch.complete()

    def deliver_more() -> None:
        batch.add_sound(1, "late")
        batch.complete()

    with pytest.raises(Conflict, match="changed while it was ingested"):
        during_ingest(batch, deliver_more)
    assert batches.manifest(batch.store, batch.key) is None
    assert batch.ingest().frames == 26


@pytest.mark.parametrize("change", ["gone", "other"])
def test_a_file_that_changes_meanwhile_is_a_conflict(batch: Batch, change: str) -> None:
    batch.add_sound(300)
    batch.complete()
    last = batch.path("0299.jpg")
    action = last.unlink if change == "gone" else lambda: last.write_bytes(b"other")
    with pytest.raises(Conflict, match="while it was ingested; run ingest again"):
        during_ingest(batch, action)
    assert batch.files() == []


def test_of_two_at_once_one_writes_and_both_report_the_same(batch: Batch) -> None:
    batch.add_sound(25)
    batch.complete()
    reports = []
    during_ingest(batch, lambda: reports.append(batch.ingest()))
    assert reports[0].changed
    assert documents.numbers(batch.store, layout.batch_manifests(batch.key)) == [1]
    assert batch.ingest().hash == reports[0].hash


def test_another_delivery_that_finished_first_is_a_conflict(batch: Batch) -> None:
    batch.add_sound(25)
    batch.complete()
    with pytest.raises(Conflict, match="another ingest of turin/press/monday finished"):
        during_ingest(batch, lambda: batch.ingest(settings(channels=1)))


def test_a_file_that_may_not_be_read_stops_the_run(batch: Batch) -> None:
    batch.add_sound(1)
    batch.add("folder/x.jpg", frame(4))
    batch.complete()
    batch.path("folder/x.jpg").unlink()
    os.mknod(batch.path("folder/x.jpg"), 0o600 | 0o140000)  # a socket cannot be opened
    batch.mark()
    with pytest.raises(Unavailable, match=r"x\.jpg: .*; make it readable and run ingest again"):
        batch.ingest()


def test_progress_ends_at_the_number_of_files(batch: Batch) -> None:
    batch.add_sound(45)
    batch.complete()
    said: list[tuple[str, int, int]] = []
    ingest_batch(
        batch.store,
        batch.key,
        LineConfig(),
        lambda what, done, total: said.append((what, done, total)),
    )
    assert said == [("checking frames", done, 45) for done in (20, 40, 45)]


def test_equal_deliveries_end_equal_whatever_the_threads_do(
    batch: Batch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    batch.add_sound(60)
    for number in range(10):
        batch.add(f"z{number}.jpg", frame(number % 3), captured_at="2026-01-31T06:00:00+00:00")
    batch.complete()
    hashes, files = set(), []
    for _ in range(3):
        hashes.add(batch.ingest().hash)
        files.append(batch.files())
        shutil.rmtree(batch.store.local_path(layout.line(batch.key.line_key)))
    assert len(hashes) == 1
    assert files[0] == files[1] == files[2]
