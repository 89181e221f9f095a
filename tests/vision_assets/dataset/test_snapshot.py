"""Snapshots: frozen, named by content, sticky when a batch comes or grows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest

from store import artifacts, layout
from store.artifacts import Artifact
from store.errors import Corrupt, InvalidInput
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
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


def deliver(store: Store, batch: str, numbers: range, channels: int = 1) -> BatchKey:
    """Frames of parts of two, every third part with a pit, ingested and labelled."""
    key = BatchKey("turin", "press-3", batch)
    writer = LandingWriter(store, key)
    for number in numbers:
        part = number // 2
        random = np.random.default_rng([number, len(batch), channels])
        pixels = random.integers(0, 255, (SIDE, SIDE, channels), np.uint8)
        time = START + timedelta(minutes=number)
        metadata = {
            "camera": "c1",
            "captured_at": time.isoformat(),
            "serial": f"{batch}-{part}",
            "frame_id": f"{batch}-f{number}",
        }
        writer.add_frame(f"{number:03d}.png", cv2.imencode(".png", pixels)[1].tobytes(), metadata)
        _label(writer, number, is_pit=part % 3 == 0)
    writer.complete(START + timedelta(days=1))
    ingest_batch(store, key, config.load(store, LINE))
    assert not record_batch(store, key, config.load(store, LINE)).faults
    return key


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


def test_a_thin_class_is_warned_of(store: Store) -> None:
    deliver(store, "b1", range(20))
    warnings = "\n".join(snapshot.freeze(store, LINE).summary["warnings"])
    assert "role train has no frame of crack" in warnings
