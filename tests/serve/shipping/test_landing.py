"""Kept frames reach the landing area, and ingest takes them: the loop is closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pytest

from serve.frame import IncomingFrame, RawFrame
from serve.keeping import Keeper, KeepLimits
from serve.protocol import inspection_v1_pb2 as pb
from serve.shipping import stayed
from serve.shipping.landing import Lander, batch_of
from serve.shipping.plan import plan_of
from serve.shipping.program import drain
from store import batches, landing, layout
from store.errors import Unavailable
from store.keys import BatchKey
from store.landing import LandingWriter
from store.root import Store
from tests.data.bundle.generate import frame
from tests.serve.running import promote, serving
from tests.serve.shipping.running import LINE, row, store_in
from vision_assets.config import LineConfig, save
from vision_assets.ingest.ingest import ingest_batch

CHANCE = np.random.default_rng(0)


def jpeg() -> bytes:
    pixels = CHANCE.integers(0, 255, (32, 48, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


def keep(folder: Path, *offers: tuple[bytes | RawFrame, dict[str, Any]]) -> None:
    """Keep frames of a server that has ended."""
    keeper = Keeper(folder / "kept", KeepLimits(share=1.0))
    for data, told in offers:
        keeper.observe(IncomingFrame(data, told["frame_id"]), told)
    keeper.close()


def told(number: int, **given: object) -> dict[str, Any]:
    # captured and received in the past, so that no clock is ahead of ingest's
    received = "2025-11-21T14:05:06.123456+00:00"
    return {**row(number, received_at=received, **given), "sequence": number}


def lander(folder: Path) -> Lander:
    return Lander(folder / "kept", store_in(folder), LINE, "edge-1")


def ingested(store: Store, key: BatchKey) -> pl.DataFrame:
    """The index of a batch after ingest; nothing may be in its quarantine."""
    report = ingest_batch(store, key, LineConfig())
    manifest = batches.manifest(store, key)
    assert manifest is not None
    assert manifest.quarantines == [], report
    return batches.index(store, manifest).sort("frame_id").collect()


def only_batch(store: Store) -> BatchKey:
    (key,) = landing.complete_batches(store, LINE)
    return key


def test_ingest_takes_every_kept_frame_with_what_is_known_of_it(tmp_path: Path) -> None:
    good, late = jpeg(), jpeg()
    grey = CHANCE.integers(0, 255, (20, 30), np.uint8)
    colour = CHANCE.integers(0, 255, (20, 30, 3), np.uint8)
    keep(
        tmp_path,
        (good, told(1, captured_at="2025-11-21T14:05:00+00:00", product="cover-a")),
        (RawFrame(grey.tobytes(), (20, 30), "uint8"), told(2, verdict="REVIEW")),
        (RawFrame(colour.tobytes(), (20, 30, 3), "uint8"), told(3, verdict="PASS")),
        (late, told(4, verdict="REVIEW", score=None)),
        (jpeg(), {**told(5, error="internal", frame_id="an id/with a slash"), "verdict": None}),
        (jpeg(), told(6, camera="")),
    )
    assert lander(tmp_path).drain() == 6
    store = Store(str(tmp_path / "store"))
    key = only_batch(store)
    assert str(key) == "turin/press-3/line-edge-1-20251121t14"
    frames = ingested(store, key)
    assert len(frames) == 6
    by_serial = {found["serial"]: found for found in frames.to_dicts()}
    first = by_serial["s-1"]
    assert (first["frame_id"], first["camera"], first["product"]) == ("f-1", "left", "cover-a")
    assert first["captured_at"] == datetime(2025, 11, 21, 14, 5, tzinfo=UTC)
    extra = json.loads(first["extra"])
    assert extra["decision"] == "edge-1/b00t/1"
    assert (extra["kept_for"], extra["verdict"], extra["sampled"]) == ("reject", "REJECT", True)
    assert by_serial["s-6"]["camera"] == "unnamed"
    assert json.loads(by_serial["s-5"]["extra"])["client_frame_id"] == "an id/with a slash"
    assert json.loads(by_serial["s-2"]["extra"])["captured_at_is"] == "time of receipt"
    for serial, pixels in (("s-2", grey), ("s-3", colour)):
        data = batches_bytes(store, by_serial[serial])
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert decoded is not None
        seen = decoded if pixels.ndim == 2 else decoded[:, :, ::-1]
        assert np.array_equal(seen, pixels)
    assert batches_bytes(store, first) == good
    assert not store.exists(f"{layout.landing(key)}/labels.jsonl")


def batches_bytes(store: Store, found: dict[str, Any]) -> bytes:
    return store.read_range(found["shard"], found["offset"], found["length"])


def test_frame_that_nobody_can_read_stays_on_the_host(tmp_path: Path) -> None:
    keep(
        tmp_path,
        (b"no picture", {**told(1, error="not_an_image"), "verdict": None}),
        (RawFrame(b"12345", (1, 2, 3), "uint8"), {**told(2, error="wrong_shape")}),
        (jpeg(), told(3)),
    )
    assert lander(tmp_path).drain() == 1
    refused = {path.stem[-1] for path in (tmp_path / "kept").rglob("*.refused")}
    assert refused == {"1", "2"}
    store = Store(str(tmp_path / "store"))
    assert len(ingested(store, only_batch(store))) == 1


def test_batch_grows_and_nothing_is_delivered_twice(tmp_path: Path) -> None:
    one = jpeg()
    keep(tmp_path, (one, told(1)))
    assert lander(tmp_path).drain() == 1
    store = Store(str(tmp_path / "store"))
    key = only_batch(store)
    assert len(ingested(store, key)) == 1
    mark = landing.delivery(store, key)
    assert lander(tmp_path).drain() == 0
    keep(tmp_path, (one, told(2, frame_id="f-1")))  # the client sent it again
    assert lander(tmp_path).drain() == 0
    assert landing.delivery(store, key) == mark
    keep(tmp_path, (jpeg(), told(3)))
    assert lander(tmp_path).drain() == 1
    assert len(ingested(store, key)) == 2


def test_hour_is_delivered_when_it_is_over(tmp_path: Path) -> None:
    keep(tmp_path, (jpeg(), told(1)))  # in the hour from 14:00
    delivers = lander(tmp_path)
    assert delivers.land(datetime(2025, 11, 21, 14, 59, 59, tzinfo=UTC)) == 0
    assert delivers.land(datetime(2025, 11, 21, 15, 0, 0, tzinfo=UTC)) == 1


def test_killed_before_the_mark_the_next_start_delivers(tmp_path: Path) -> None:
    keep(tmp_path, (jpeg(), told(1)), (jpeg(), told(2)))
    assert lander(tmp_path).drain() == 2
    store = Store(str(tmp_path / "store"))
    key = only_batch(store)
    for path in (tmp_path / "kept").rglob("*.landed"):
        path.rename(path.with_suffix(".json"))
    store.local_path(f"{layout.landing(key)}/{landing.COMPLETE}").unlink()
    assert lander(tmp_path).drain() == 0
    assert len(ingested(store, key)) == 2


def test_frame_of_an_ingested_batch_is_not_doubled(tmp_path: Path) -> None:
    store, data = store_in(tmp_path), jpeg()
    earlier = BatchKey(LINE.site, LINE.line, "shift-1")
    writer = LandingWriter(store, earlier)
    meta = {"camera": "left", "captured_at": "2025-11-21T14:05:00+00:00", "frame_id": "f-1"}
    writer.add_frame("f-1.jpg", data, meta)
    writer.complete(datetime.now(UTC))
    assert len(ingested(store, earlier)) == 1
    keep(tmp_path, (data, told(1)), (jpeg(), told(2)))
    assert lander(tmp_path).drain() == 2
    key = batch_of(LINE, "edge-1", "20251121t14")
    ingest_batch(store, key, LineConfig())
    manifest = batches.manifest(store, key)
    assert manifest is not None
    assert batches.index(store, manifest).collect()["frame_id"].to_list() == ["f-2"]
    (quarantine,) = manifest.quarantines
    reasons = pl.read_parquet(store.local_path(quarantine.path))["reason"].to_list()
    assert reasons == ["duplicate"]


def test_bytes_that_a_power_cut_spoilt_are_not_delivered(tmp_path: Path) -> None:
    keep(tmp_path, (jpeg(), told(1)))
    (path,) = (tmp_path / "kept").rglob("*.bin")
    path.write_bytes(path.read_bytes()[:-5] + bytes(5))
    assert lander(tmp_path).drain() == 0
    assert landing.complete_batches(Store(str(tmp_path / "store")), LINE) == []


def test_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    keep(tmp_path, (jpeg(), told(1)))
    away = Lander(tmp_path / "kept", Store(str(tmp_path / "away")), LINE, "edge-1")
    with pytest.raises(Unavailable, match="mounted"):
        away.drain()
    assert not (tmp_path / "away").exists()
    assert lander(tmp_path).drain() == 1


LISTED = LineConfig(cameras=("cam-1", "cam-2"), products=("cover-a",))


def test_only_frames_that_ingest_takes_are_landed_and_the_others_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(str(tmp_path / "store"))
    save(store, LINE, LISTED)
    keep(
        tmp_path,
        (jpeg(), told(1, camera="cam-1", product="cover-a")),
        (jpeg(), told(2, camera="cam-2")),
        (jpeg(), told(3, camera="")),
        (jpeg(), told(4, camera="cam-9")),
        (jpeg(), told(5, camera="cam-9")),
        (jpeg(), told(6, camera="cam-1", product="cover-z")),
        (b"no image", told(7, camera="cam-1")),
    )
    assert Lander(tmp_path / "kept", store, LINE, "edge-1").drain() == 2
    report = ingest_batch(store, only_batch(store), LISTED)
    manifest = batches.manifest(store, only_batch(store))
    assert manifest is not None
    assert manifest.quarantines == [], report
    assert stayed.counts(tmp_path / "kept") == {
        "no_camera": 1,
        "unknown_camera": 2,
        "unknown_product": 1,
        "unreadable": 1,
    }
    assert len(list((tmp_path / "kept").rglob("*.refused"))) == 5
    whys = [r.__dict__["why"] for r in caplog.records if "stays on this host" in r.message]
    assert len(whys) == 4
    assert "camera 'cam-9' is unknown to the line, which has cam-1, cam-2" in whys


def test_frame_without_a_camera_is_the_only_camera_s(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    only = LineConfig(cameras=("cam-1",))
    save(store, LINE, only)
    keep(tmp_path, (jpeg(), told(1, camera="")))
    assert Lander(tmp_path / "kept", store, LINE, "edge-1").drain() == 1
    report = ingest_batch(store, only_batch(store), only)
    manifest = batches.manifest(store, only_batch(store))
    assert manifest is not None
    assert manifest.quarantines == [], report
    assert batches.index(store, manifest).collect()["camera"].to_list() == ["cam-1"]


@pytest.mark.parametrize("cameras", [("cam-1",), ("cam-1", "cam-2")])
def test_frames_inspected_without_a_camera_do_no_harm_to_the_next_ingest(
    tmp_path: Path, cameras: tuple[str, ...]
) -> None:
    """Serve, inspect, ship, ingest: no check of the batch fails."""
    store = Store(str(tmp_path / "store"))
    config = LineConfig(cameras=cameras)
    save(store, LINE, config)
    promote(store)
    with serving(tmp_path, keep_share=1.0, kept=tmp_path / "kept") as (server, client):
        client.stub.Inspect(pb.Frame(encoded=frame(0.9)))
        client.stub.Inspect(pb.Frame(encoded=frame(0.8), camera="cam-1"))
        plan = plan_of(server.settings)
    landed = drain(plan)[str(LINE)]["frames"]
    assert landed == (2 if len(cameras) == 1 else 1)
    report = ingest_batch(store, only_batch(store), config)
    manifest = batches.manifest(store, only_batch(store))
    assert manifest is not None
    assert manifest.quarantines == [], report
    assert len(batches.index(store, manifest).collect()) == landed
