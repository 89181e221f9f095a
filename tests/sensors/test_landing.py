"""The landing sensor: complete deliveries become partitions and runs, once each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sensors.landing import MOST_RUNS_A_TICK, requests, waiting
from store import documents, events, layout
from store.batches import BatchManifest
from store.keys import BatchKey
from store.landing import LandingWriter
from store.root import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def deliver(store: Store, key: BatchKey, *files: str) -> str:
    writer = LandingWriter(store, key)
    for file in files:
        writer.add_frame(file, file.encode(), {"camera": "c"})
    return writer.complete(datetime(2026, 1, 1, tzinfo=UTC)).listing


def ingest(store: Store, key: BatchKey, listing: str) -> None:
    """A manifest that says the delivery was ingested."""
    number = len(documents.numbers(store, layout.batch_manifests(key))) + 1
    manifest = BatchManifest(listing, [], [], [])
    documents.create(store, layout.batch_manifests(key), number, manifest.to_document())
    events.mark_recorded(store, key, listing)


def test_a_complete_delivery_waits_until_it_is_ingested(store: Store) -> None:
    key = BatchKey("a", "b", "c")
    listing = deliver(store, key, "1.jpg")
    assert waiting(store) == [(key, listing)]
    ingest(store, key, listing)
    assert waiting(store) == []


def test_a_batch_without_its_labels_waits_still(store: Store) -> None:
    """As when a blocking check stopped the run between frames and labels."""
    key = BatchKey("a", "b", "c")
    listing = deliver(store, key, "1.jpg")
    manifest = BatchManifest(listing, [], [], [])
    documents.create(store, layout.batch_manifests(key), 1, manifest.to_document())
    assert waiting(store) == [(key, listing)]


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
    keys = {requests([(key, listing)]).run_requests[0].run_key for listing in (first, second)}  # type: ignore[index]
    assert len(keys) == 2


def test_a_mark_that_cannot_be_read_does_not_stop_the_others(store: Store) -> None:
    good = BatchKey("a", "b", "good")
    listing = deliver(store, good, "1.jpg")
    store.write("landing/a/b/bad/_COMPLETE", b"not json")
    assert waiting(store) == [(good, listing)]


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
