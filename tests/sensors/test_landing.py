"""The landing sensor: complete deliveries become partitions and runs, once each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from resources.store import StoreResource
from sensors.landing import MOST_RUNS_A_TICK, landing_sensor, requests, unreadable, waiting
from store import documents, events, layout
from store.batches import BatchManifest
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from tests.data.labels.generate import Delivery
from vision_assets.config import LineConfig
from vision_assets.labels import events as label_events
from vision_assets.labels.current import current
from vision_assets.labels.record import record_batch


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def deliver(store: Store, key: BatchKey, *files: str, hour: int = 0) -> str:
    writer = LandingWriter(store, key)
    for file in files:
        writer.add_frame(file, file.encode(), {"camera": "c"})
    return writer.complete(datetime(2026, 1, 1, hour, tzinfo=UTC)).identity


def ingest(store: Store, key: BatchKey, identity: str) -> None:
    """A manifest that says the delivery was ingested."""
    number = len(documents.numbers(store, layout.batch_manifests(key))) + 1
    manifest = BatchManifest(identity, [], [], [])
    documents.create(store, layout.batch_manifests(key), number, manifest.to_document())
    events.mark_recorded(store, key, identity)


def test_a_complete_delivery_waits_until_it_is_ingested(store: Store) -> None:
    key = BatchKey("a", "b", "c")
    identity = deliver(store, key, "1.jpg")
    assert waiting(store) == [(key, identity)]
    ingest(store, key, identity)
    assert waiting(store) == []


def test_a_batch_without_its_labels_waits_still(store: Store) -> None:
    """As when a blocking check stopped the run between frames and labels."""
    key = BatchKey("a", "b", "c")
    identity = deliver(store, key, "1.jpg")
    manifest = BatchManifest(identity, [], [], [])
    documents.create(store, layout.batch_manifests(key), 1, manifest.to_document())
    assert waiting(store) == [(key, identity)]


def test_an_unfinished_delivery_does_not_wait(store: Store) -> None:
    store.write("landing/a/b/c/frames/1.jpg", b"x")
    assert waiting(store) == []


def test_a_batch_that_grew_waits_again_with_another_run_key(store: Store) -> None:
    key = BatchKey("a", "b", "c")
    first = deliver(store, key, "1.jpg")
    ingest(store, key, first)
    second = deliver(store, key, "1.jpg", "2.jpg")
    assert second != first
    assert waiting(store) == [(key, second)]
    keys = {requests([(key, identity)]).run_requests[0].run_key for identity in (first, second)}  # type: ignore[index]
    assert len(keys) == 2


def test_a_mark_that_cannot_be_read_does_not_stop_the_others(store: Store) -> None:
    good = BatchKey("a", "b", "good")
    identity = deliver(store, good, "1.jpg")
    store.write("landing/a/b/bad/_COMPLETE", b"not json")
    assert waiting(store) == [(good, identity)]


def test_a_mark_that_cannot_be_read_is_named(store: Store) -> None:
    deliver(store, BatchKey("a", "b", "good"), "1.jpg")
    store.write("landing/a/b/bad/_COMPLETE", b'{"frames": 3, "lis')
    store.write("landing/a/other/bad/_COMPLETE", b"[]")
    (fault,) = unreadable(store, LineKey("a", "b"))
    assert fault.startswith("a/b/bad: landing/a/b/bad/_COMPLETE should be a JSON object")
    assert len(unreadable(store, None)) == 2
    assert unreadable(store, LineKey("a", "c")) == []


def test_a_folder_whose_name_is_no_key_stops_nobody_and_is_named(store: Store) -> None:
    deliver(store, BatchKey("turin", "press-3", "one"), "a.jpg")
    landing = store.local_path("landing/turin/press-3")
    (landing / "one").rename(landing / "Monday")
    key = BatchKey("turin", "press-3", "two")
    deliver(store, key, "a.jpg")
    assert [found for found, _ in waiting(store)] == [key]
    (said,) = unreadable(store, None)
    assert said.startswith("landing/turin/press-3/Monday: batch 'Monday' is not a valid name")
    assert unreadable(store, LineKey("turin", "other")) == []


def test_the_sensor_tells_of_marks_that_cannot_be_read(store: Store) -> None:
    store.write("landing/a/b/bad/_COMPLETE", b"\xff\x00")
    with dg.build_sensor_context(resources={"store": StoreResource(url=store.url)}) as context:
        result = landing_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert result.skip_reason is not None
    assert "a/b/bad: landing/a/b/bad/_COMPLETE should be" in str(result.skip_reason.skip_message)


def test_a_redelivery_of_equal_sizes_waits_again(store: Store) -> None:
    key = BatchKey("a", "b", "c")
    first = deliver(store, key, "1.jpg")
    ingest(store, key, first)
    second = deliver(store, key, "1.jpg", hour=1)
    assert waiting(store) == [(key, second)]
    keys = {requests([(key, each)]).run_requests[0].run_key for each in (first, second)}  # type: ignore[index]
    assert len(keys) == 2


def test_corrected_labels_of_equal_length_arrive(store: Store) -> None:
    settings = LineConfig(classes=("pit",))
    delivery = Delivery(store, BatchKey("a", "b", "c"), settings)
    labels = {"0.png": "good", "1.png": "defect"}
    for hour, said in ((12, labels), (13, {"0.png": "defect", "1.png": "good"})):
        rows = [{"file": file, "label": label} for file, label in said.items()]
        delivery.bring(2, rows, hour=hour)
        assert waiting(store) != []
        record_batch(store, delivery.key, settings)
        assert waiting(store) == []
        found = current(label_events.read(store, delivery.key))
        assert dict(found.select("frame_id", "label").iter_rows()) == {
            f"frame-{number}": label for number, label in enumerate(said.values())
        }


def test_requests_register_batches_and_lines(store: Store) -> None:
    keys = [BatchKey("a", "b", "1"), BatchKey("a", "b", "2"), BatchKey("a", "c", "1")]
    result = requests([(key, "hash") for key in keys])
    assert [request.partition_key for request in result.run_requests or []] == [
        str(key) for key in keys
    ]
    added = [request.partition_keys for request in result.dynamic_partitions_requests or []]
    assert added == [["a/b/1", "a/b/2", "a/c/1"], ["a/b", "a/c"]]


def test_a_tick_is_bounded_and_an_idle_one_says_why() -> None:
    many = [(BatchKey("a", "b", f"n{i}"), "hash") for i in range(MOST_RUNS_A_TICK + 50)]
    assert len(requests(many).run_requests or []) == MOST_RUNS_A_TICK
    assert requests([]).skip_reason is not None
