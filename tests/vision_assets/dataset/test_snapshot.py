"""Snapshots: frozen, named by content, sticky when a batch comes or grows."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import polars as pl
import pytest

from store import artifacts, batches, events, layout
from store.artifacts import Artifact
from store.errors import Corrupt, InvalidInput
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels import events as label_events
from vision_assets.labels.events import Event
from vision_assets.labels.record import record_batch

LINE = LineKey("turin", "press-3")
SETTINGS = LineConfig(classes=("pit", "crack"))
START = datetime(2026, 3, 1, tzinfo=UTC)
SIDE = 40


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(str(tmp_path))
    config.save(opened, LINE, SETTINGS)
    return opened


def deliver(store: Store, batch: str, numbers: range, channels: int = 1, hour: int = 0) -> BatchKey:
    """Frames of parts of two, every third part with a pit, ingested and labelled."""
    key = land(store, batch, numbers, channels, hour=hour)
    ingest_batch(store, key, config.load(store, LINE))
    assert not record_batch(store, key, config.load(store, LINE)).faults
    return key


def land(
    store: Store,
    batch: str,
    numbers: range,
    channels: int = 1,
    *,
    hour: int = 0,
    seed: str = "",
    serials: str = "",
) -> BatchKey:
    """The same frames in the landing area; `seed` and `serials` stand for the batch's name."""
    key = BatchKey("turin", "press-3", batch)
    writer = LandingWriter(store, key)
    content = crc32((seed or batch).encode())
    for number in numbers:
        part = number // 2
        random = np.random.default_rng([number, content, channels])
        pixels = random.integers(0, 255, (SIDE, SIDE, channels), np.uint8)
        time = START + timedelta(minutes=number)
        metadata = {
            "camera": "c1",
            "captured_at": time.isoformat(),
            "serial": f"{serials or batch}-{part}",
            "frame_id": f"{seed or batch}-f{number}",
        }
        writer.add_frame(f"{number:03d}.png", cv2.imencode(".png", pixels)[1].tobytes(), metadata)
        _label(writer, number, is_pit=part % 3 == 0)
    writer.complete(START + timedelta(days=1, hours=hour))
    return key


def ingest_at_once(store: Store, first: BatchKey, second: BatchKey) -> None:
    """Two batches of one line in such a way that neither sees the frames of the other."""
    ran: list[bool] = []

    def progress(what: str, done: int, total: int) -> None:
        if not ran:
            ran.append(True)
            ingest_batch(store, second, SETTINGS)

    ingest_batch(store, first, SETTINGS, progress)


def say(store: Store, key: BatchKey, numbers: range, label: str | None) -> None:
    """Withdraw what is said of frames of a batch (None), or say it again."""
    known = label_events.read(store, key).sort("recorded_at").unique("frame_id", keep="last")
    wanted = known.filter(
        pl.col("frame_id").str.split("-f").list.last().is_in([f"{n}" for n in numbers])
    )
    label_events.append(
        store,
        key,
        [
            Event(
                event_id="",
                frame_id=row["frame_id"],
                recorded_at=row["recorded_at"] + timedelta(days=1),
                source="human",
                author="anna",
                label=label,
                classes=(),
                boxes="[]",
                mask_classes=(),
                retracts=None if label else row["event_id"],
            ).named()
            for row in wanted.iter_rows(named=True)
        ],
    )


def _label(writer: LandingWriter, number: int, is_pit: bool) -> None:
    if not is_pit:
        writer.add_label(f"{number:03d}.png", {"label": "good"})
        return
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[5 : 6 + number % 9, 8:12] = 1
    label = {"label": "defect", "classes": ["pit"], "mask_classes": ["pit"]}
    writer.add_label(f"{number:03d}.png", label, cv2.imencode(".png", mask)[1].tobytes())


def roles(store: Store, made: Artifact) -> dict[str, str]:
    rows = snapshot.frames(store, LINE, made.name)
    return dict(rows.select("frame_id", "role").rows())


def test_parts_are_not_split_and_frames_can_be_read(store: Store) -> None:
    deliver(store, "b1", range(80))
    made = snapshot.freeze(store, LINE)
    rows = snapshot.frames(store, LINE, made.name)
    assert len(rows) == 80
    assert rows.group_by("part").agg(pl.col("role").n_unique())["role"].max() == 1
    assert made.summary["channels"] == 1
    assert made.summary["counts"]["test"] == {"good": 12, "pit": 8}
    place = rows.row(0, named=True)
    data = store.read_range(place["shard"], place["offset"], place["length"])
    pixels = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    assert pixels.shape == (SIDE, SIDE)


def test_masks_are_those_of_the_labels(store: Store) -> None:
    deliver(store, "b1", range(12))
    made = snapshot.freeze(store, LINE)
    found = snapshot.masks(store, LINE, made.name, ["b1-f0", "b1-f1", "b1-f2"])
    assert found.keys() == {"b1-f0", "b1-f1"}, "only defective frames have a mask"
    assert found["b1-f1"].shape == (SIDE, SIDE)
    assert found["b1-f1"][5, 8] == 1
    assert found["b1-f1"].sum() == 2 * 4


def test_nothing_new_is_the_same_snapshot(store: Store) -> None:
    deliver(store, "b1", range(20))
    first = snapshot.freeze(store, LINE)
    assert snapshot.freeze(store, LINE) == first
    assert len(list(artifacts.every(store, LINE, "snapshots"))) == 1


def test_limits_and_costs_do_not_make_another_snapshot(store: Store) -> None:
    deliver(store, "b1", range(20))
    first = snapshot.freeze(store, LINE)
    dearer = SETTINGS.model_dump() | {"costs": {"escape": 500.0}}
    config.save(store, LINE, LineConfig.model_validate(dearer))
    assert snapshot.freeze(store, LINE).name == first.name


def test_roles_stay_when_a_batch_comes_and_when_one_grows(store: Store) -> None:
    deliver(store, "b1", range(60))
    first = snapshot.freeze(store, LINE)
    deliver(store, "b2", range(40))
    second = snapshot.freeze(store, LINE)
    deliver(store, "b1", range(100))
    third = snapshot.freeze(store, LINE)
    before, between, after = (roles(store, made) for made in (first, second, third))
    assert {name: between[name] for name in before} == before
    assert {name: after[name] for name in between} == between
    assert (len(before), len(between), len(after)) == (60, 100, 140)
    assert second.inputs["parent"] == first.name
    assert second.files["b1"] == first.files["b1"], "an unchanged batch keeps its table"
    assert roles(store, first) == before, "an old snapshot reads as it was"


def test_a_line_without_labels_says_so(store: Store) -> None:
    with pytest.raises(InvalidInput, match="no labelled frame"):
        snapshot.freeze(store, LINE)


def test_grey_and_colour_frames_do_not_mix(store: Store) -> None:
    deliver(store, "b1", range(6))
    deliver(store, "b2", range(6), channels=3)
    with pytest.raises(InvalidInput, match="6 of 1 channels, 6 of 3 channels"):
        snapshot.freeze(store, LINE)


def test_a_frame_that_is_gone_is_noticed(store: Store) -> None:
    key = deliver(store, "b1", range(6))
    made = snapshot.freeze(store, LINE)
    for name in store.names(layout.batch_manifests(key)):
        store.local_path(f"{layout.batch_manifests(key)}/{name}").unlink()
    with pytest.raises(Corrupt, match="6 of 6 frames are not in the store"):
        snapshot.frames(store, LINE, made.name)


def test_the_same_delivery_again_is_the_same_snapshot(store: Store) -> None:
    key = deliver(store, "b1", range(20))
    first, manifests = snapshot.freeze(store, LINE), store.names(layout.batch_manifests(key))
    label_tables = events.tables_of(store, key)
    deliver(store, "b1", range(20), hour=1)
    assert len(store.names(layout.batch_manifests(key))) == len(manifests) + 1
    assert events.tables_of(store, key) == label_tables
    assert snapshot.freeze(store, LINE) == first


def test_roles_outlive_labels(store: Store) -> None:
    """A frame that a model has learnt from never tests a later one, whatever happens between."""
    key = deliver(store, "b1", range(80))
    first = snapshot.freeze(store, LINE)
    say(store, key, range(40), None)
    deliver(store, "b2", range(200))
    second = snapshot.freeze(store, LINE)
    say(store, key, range(40), "good")
    third = snapshot.freeze(store, LINE)
    before, between, after = (roles(store, made) for made in (first, second, third))
    assert (len(before), len(between), len(after)) == (80, 240, 280)
    assert {name: after[name] for name in before} == before
    assert {name: after[name] for name in between} == between
    assert third.summary["groups_given_a_role"] == 0


def test_frames_of_two_batches_at_once_are_in_a_snapshot_once(store: Store) -> None:
    first = land(store, "b1", range(20), seed="same", serials="same")
    second = land(store, "b2", range(30), seed="same", serials="same")
    ingest_at_once(store, second, first)
    for key in (first, second):
        record_batch(store, key, SETTINGS)
    made = snapshot.freeze(store, LINE)
    rows = snapshot.frames(store, LINE, made.name)
    assert rows["frame_id"].is_unique().all()
    assert dict(rows.group_by("batch").len().iter_rows()) == {"b1": 20, "b2": 10}
    (warning,) = [text for text in made.summary["warnings"] if "left out" in text]
    assert warning.startswith("20 frames are left out: another batch has a frame of the same")
    assert snapshot.freeze(store, LINE) == made


def test_of_two_batches_that_of_the_earlier_snapshot_stays(store: Store) -> None:
    first = land(store, "b1", range(20), seed="same", serials="same")
    second = land(store, "b2", range(20), seed="same", serials="same")
    ingest_at_once(store, second, first)
    record_batch(store, second, SETTINGS)
    before = roles(store, snapshot.freeze(store, LINE))
    record_batch(store, first, SETTINGS)
    made = snapshot.freeze(store, LINE)
    rows = snapshot.frames(store, LINE, made.name)
    assert set(rows["batch"]) == {"b2"}
    assert roles(store, made) == before


def test_other_bytes_of_the_same_id_inherit_no_role(store: Store) -> None:
    keys = [land(store, batch, range(20), seed="x", serials=batch) for batch in ("b2", "b1")]
    for number in range(20):
        path = f"{layout.landing(keys[0])}/frames/{number:03d}.png"
        pixels = np.random.default_rng(1000 + number).integers(0, 255, (SIDE, SIDE), np.uint8)
        store.write(path, cv2.imencode(".png", pixels)[1].tobytes())
    LandingWriter(store, keys[0]).complete(START + timedelta(days=2))
    ingest_at_once(store, keys[0], keys[1])
    record_batch(store, keys[0], SETTINGS)
    snapshot.freeze(store, LINE)
    say(store, keys[0], range(20), None)
    record_batch(store, keys[1], SETTINGS)
    made = snapshot.freeze(store, LINE)
    assert set(snapshot.frames(store, LINE, made.name)["batch"]) == {"b1"}
    assert made.summary["groups_that_kept_their_role"] == 0


def test_a_part_is_a_serial_within_its_batch_and_a_group_the_serial(store: Store) -> None:
    """Serials that restart with each batch do not hide one part's escape behind another's."""
    for batch in ("b1", "b2"):
        key = land(store, batch, range(24), serials="s")
        ingest_batch(store, key, SETTINGS)
        record_batch(store, key, SETTINGS)
    made = snapshot.freeze(store, LINE)
    rows = snapshot.frames(store, LINE, made.name)
    assert set(rows["part"]) == {f"{batch}/s-{n}" for batch in ("b1", "b2") for n in range(12)}
    assert set(rows["group"]) == {f"part:s-{n}" for n in range(12)}
    assert rows.group_by("group").agg(pl.col("role").n_unique())["role"].max() == 1
    assert made.summary["warnings"][-1].startswith("12 serials occur in several batches")


def test_a_part_without_a_serial_is_its_frame(store: Store) -> None:
    key = land(store, "b1", range(6))
    path = f"{layout.landing(key)}/metadata.jsonl"
    rows = [json.loads(line) for line in store.read(path).splitlines()]
    for row in rows:
        del row["serial"]
    store.write(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
    LandingWriter(store, key).complete(START + timedelta(days=1))
    ingest_batch(store, key, SETTINGS)
    record_batch(store, key, SETTINGS)
    rows_now = snapshot.frames(store, LINE, snapshot.freeze(store, LINE).name)
    assert rows_now["part"].to_list() == rows_now["frame_id"].to_list()


@pytest.mark.parametrize("which", ["index", "events", "roles"])
def test_a_changed_table_is_not_used(store: Store, which: str) -> None:
    key = deliver(store, "b1", range(6))
    made = snapshot.freeze(store, LINE)
    manifest = batches.manifest(store, key)
    assert manifest is not None
    file = {
        "index": manifest.indexes[0],
        "events": events.tables_of(store, key)[0],
        "roles": made.file("b1"),
    }[which]
    table = pl.read_parquet(store.local_path(file.path))
    table.reverse().write_parquet(store.local_path(file.path))
    with pytest.raises(Corrupt, match="restore the file from a backup"):
        snapshot.freeze(store, LINE)


def test_a_thin_class_is_warned_of(store: Store) -> None:
    deliver(store, "b1", range(20))
    warnings = "\n".join(snapshot.freeze(store, LINE).summary["warnings"])
    assert "role train has no frame of crack" in warnings
