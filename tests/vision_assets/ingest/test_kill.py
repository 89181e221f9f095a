"""Killed at any instant and run again, ingest ends in the state of a run that nobody disturbed."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from store import batches, documents, layout, shards
from store.hashing import sha256
from tests.data.landing.generate import Batch, frame
from vision_assets.ingest import pack

# Small segments and shards, so that there are many instants at which files are half written.
TARGET_BYTES, SEGMENT_BYTES = 40_000, 4_000
RUN = f"""
import sys
import polars
from store import shards
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest import ingest, pack

shards.TARGET_BYTES, pack._SEGMENT_BYTES = {TARGET_BYTES}, {SEGMENT_BYTES}
store = Store(sys.argv[1])
print("started", flush=True)
ingest.ingest_batch(store, BatchKey.parse(sys.argv[2]), LineConfig())
"""
FRAMES = 150


@pytest.fixture(autouse=True, scope="module")
def small_shards() -> Iterator[None]:
    """What the killed process uses, for the runs after it in this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "TARGET_BYTES", TARGET_BYTES)
        patch.setattr(pack, "_SEGMENT_BYTES", SEGMENT_BYTES)
        yield


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """A delivery with sound and broken frames, half of it ingested before."""
    batch = Batch(tmp_path_factory.mktemp("kill") / "store")
    batch.add_sound(FRAMES // 3, "a")
    batch.complete()
    batch.ingest()
    batch.add_sound(2 * FRAMES // 3, "b")
    for number in range(10):
        batch.add(f"broken{number}.jpg", frame(number)[: 300 + number])
    batch.add("twice.jpg", frame(3), captured_at="2026-01-01T00:00:00Z")
    batch.add("twice-again.jpg", frame(3), captured_at="2026-01-01T00:00:00Z")
    batch.complete()
    return batch


def start(batch: Batch) -> subprocess.Popen[str]:
    """Ingest in a process of its own, which has begun when this returns."""
    child = subprocess.Popen(
        [sys.executable, "-c", RUN, batch.store.url, str(batch.key)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    with child.stdout as output:
        assert output.readline() == "started\n"
    return child


def state(batch: Batch) -> tuple[object, ...]:
    """All that a reader can see, checked against the hashes of the manifest."""
    manifest = batches.manifest(batch.store, batch.key)
    assert manifest is not None
    files = [*manifest.shards, *manifest.indexes, *manifest.quarantines]
    for file in files:
        assert sha256(batch.store.read(file.path)) == file.sha256
    index = batch.index()
    for row, (_, data) in zip(
        index.iter_rows(named=True), batches.read_frames(batch.store, index), strict=True
    ):
        assert sha256(data) == row["content_hash"]
    return manifest.to_document(), index.rows(), dict(batch.quarantine()), manifest.number


@dataclass(frozen=True)
class Undisturbed:
    """What a run ends in, and how long it takes."""

    state: tuple[object, ...]
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(delivered: Batch, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    batch = copied(delivered, tmp_path_factory.mktemp("undisturbed"))
    child = start(batch)
    started = time.monotonic()
    assert child.wait() == 0
    seconds = time.monotonic() - started
    assert batch.index().height == FRAMES + 1
    assert len(batch.quarantine()) == 11
    return Undisturbed(state(batch), seconds)


def copied(delivered: Batch, folder: Path) -> Batch:
    shutil.rmtree(folder / "store", ignore_errors=True)
    shutil.copytree(delivered.store.url, folder / "store")
    return Batch(folder / "store")


def is_killed(batch: Batch, after_s: float) -> bool:
    """Start an ingest and kill it; whether it was still running then."""
    child = start(batch)
    time.sleep(after_s)
    running = child.poll() is None
    child.kill()
    child.wait()
    return running


def check(delivered: Batch, undisturbed: Undisturbed, folder: Path, seeds: range) -> None:
    before = state(delivered)
    killed = 0
    for seed in seeds:
        batch = copied(delivered, folder)
        killed += is_killed(batch, random.Random(seed).uniform(0, undisturbed.seconds))
        assert state(batch) in (before, undisturbed.state), "neither the state before nor after"
        batch.ingest()
        assert state(batch) == undisturbed.state
        assert documents.numbers(batch.store, layout.batch_manifests(batch.key)) == [1, 2]
    assert killed > len(seeds) // 3, "most kills came too late to show anything"


def test_ten_kills(delivered: Batch, undisturbed: Undisturbed, tmp_path: Path) -> None:
    check(delivered, undisturbed, tmp_path, range(10))


@pytest.mark.slow
def test_fifty_kills(delivered: Batch, undisturbed: Undisturbed, tmp_path: Path) -> None:
    check(delivered, undisturbed, tmp_path, range(100, 150))
