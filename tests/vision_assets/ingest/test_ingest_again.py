"""A further delivery of a batch: only what is new is decoded, and what was wrong can be mended."""

from __future__ import annotations

import shutil

import pytest

from inspection.decode import decode
from store import batches, layout
from store.hashing import sha256
from tests.data.landing.generate import Batch, frame
from vision_assets.config import IngestSettings, LineConfig


def settings(**ingest: object) -> LineConfig:
    return LineConfig(ingest=IngestSettings.model_validate(ingest))


def test_a_batch_that_grew_is_ingested_incrementally(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.add_sound(4, "a")
    batch.complete()
    before = batch.ingest()
    shards_before = batches.manifest(batch.store, batch.key)
    decoded: list[int] = []

    def counting(data: bytes, *rest: object, **more: object) -> object:
        decoded.append(len(data))
        return decode(data, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("vision_assets.ingest.examine.decode", counting)
    batch.add_sound(3, "b")
    moment = batch.index()["captured_at"][0]
    batch.add("again.jpg", frame(ord("a") * 10_000), captured_at=moment.isoformat())
    batch.complete()
    report = batch.ingest()
    assert len(decoded) == 4
    assert (report.number, report.frames, report.added, report.quarantined) == (2, 7, 3, 1)
    assert report.hash != before.hash
    assert batch.quarantine()["again.jpg"] == (
        "duplicate",
        "same bytes, camera and time as a0000.jpg",
    )
    manifest = batches.manifest(batch.store, batch.key)
    assert manifest is not None
    assert shards_before is not None
    assert manifest.shards[:1] == shards_before.shards
    assert len(manifest.shards) == len(manifest.indexes) == 2
    assert len(dict(batches.read_frames(batch.store, batch.index()))) == 7


def test_growing_ends_as_if_it_had_come_at_once(batch: Batch) -> None:
    batch.add_sound(3, "a")
    batch.complete()
    batch.ingest()
    batch.add_sound(3, "b")
    batch.add("zero.jpg", b"")
    batch.complete()
    grown = batch.ingest()
    shutil.rmtree(batch.store.local_path(layout.line(batch.key.line_key)))
    assert batch.ingest().hash == grown.hash


def test_a_delivery_can_be_mended(batch: Batch) -> None:
    batch.add_sound(1)
    batch.add("cut.jpg", frame(7)[:-100])
    batch.add("camera.jpg", frame(8), camera="")
    batch.add("gone.jpg", b"")
    batch.complete()
    assert batch.ingest().quarantined == 3
    batch.add("cut.jpg", frame(7))
    batch.add("camera.jpg", frame(8), camera="top")
    batch.path("gone.jpg").unlink()
    batch.complete()
    rows = batch.store.read(f"{batch.landing}/metadata.jsonl").splitlines(keepends=True)
    kept = [row for row in rows if b"gone" not in row]
    batch.store.write(f"{batch.landing}/metadata.jsonl", b"".join(kept))
    batch.mark()
    report = batch.ingest()
    assert (report.number, report.frames, report.added, report.quarantined) == (2, 3, 2, 0)


def test_other_bytes_under_the_same_name_are_another_frame(batch: Batch) -> None:
    batch.add("a.jpg", frame(1))
    batch.add("named.jpg", frame(2), frame_id="n")
    batch.complete()
    batch.ingest()
    batch.add("a.jpg", frame(3))
    batch.add("named.jpg", frame(4), frame_id="n")
    batch.complete()
    report = batch.ingest()
    assert (report.frames, report.added) == (3, 1)
    assert batch.index()["file"].to_list() == ["a.jpg", "named.jpg", "a.jpg"]
    assert batch.quarantine() == {
        "named.jpg": ("metadata", "frame_id n belongs to named.jpg, which has other bytes")
    }


def test_other_pixels_of_equal_size_are_noticed(batch: Batch) -> None:
    batch.add("a.bmp", frame(1, "BMP"))
    batch.complete()
    batch.ingest()
    assert len(frame(1, "BMP")) == len(frame(2, "BMP"))
    batch.add("a.bmp", frame(2, "BMP"))
    batch.complete()
    assert batch.ingest().added == 1
    assert batch.index()["content_hash"].to_list() == [
        sha256(frame(seed, "BMP")) for seed in (1, 2)
    ]


def test_the_same_again_under_a_new_mark_adds_nothing(batch: Batch) -> None:
    batch.add_sound(3)
    batch.add("broken.jpg", b"")
    batch.complete()
    before, files = batch.ingest(), batch.files()
    batch.mark()
    again = batch.ingest()
    assert (again.number, again.changed, again.added) == (2, True, 0)
    assert again.hash == before.hash
    assert [path for path, _ in set(batch.files()) - set(files)] == ["manifests/00000002.json"]
    assert batch.ingest().changed is False


def test_a_frame_that_leaves_the_landing_area_stays(batch: Batch) -> None:
    batch.add_sound(2)
    batch.complete()
    batch.ingest()
    batch.path("0000.jpg").unlink()
    batch.metadata("metadata.csv", b"file,camera,captured_at\n")
    report = batch.ingest()
    assert (report.frames, report.added, report.changed) == (2, 0, True)
    assert len(dict(batches.read_frames(batch.store, batch.index()))) == 2


def test_metadata_that_changes_after_ingest_is_a_fault(batch: Batch) -> None:
    batch.add("a.jpg", frame(1), serial="1")
    batch.complete()
    batch.ingest()
    batch.add("a.jpg", frame(1), serial="200")
    batch.complete()
    report = batch.ingest()
    assert report.metadata_faults == [
        "a.jpg: the metadata now has another serial; the frame stays as it was ingested"
    ]
    assert batch.index()["serial"].to_list() == ["1"]


def test_new_settings_look_at_the_quarantine_again(batch: Batch) -> None:
    batch.add("grey.jpg", frame(1))
    batch.add("colour.jpg", frame(2, mode="RGB"))
    batch.complete()
    assert batch.ingest(settings(channels=1)).frames == 1
    report = batch.ingest(settings(channels=None))
    assert (report.frames, report.quarantined, report.changed) == (2, 0, True)
    assert batch.ingest(settings(max_broken_share=0.5)).changed is False
