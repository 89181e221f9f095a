"""A sweep takes what no manifest lists, once it is old, and nothing else."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest

from store import layout
from tests.data.landing.generate import Batch
from vision_assets.ingest.sweep import sweep


@pytest.fixture
def swept(batch: Batch) -> Batch:
    """A batch with two manifests and what killed runs leave behind."""
    batch.add_sound(2)
    batch.add("zero.jpg", b"")
    batch.complete()
    batch.ingest()
    batch.add_sound(2, "b")
    batch.add("zero.jpg", b"no frame")
    batch.complete()
    batch.ingest()
    folder = batch.store.local_path(layout.batch(batch.key))
    for name in LEFT:
        (folder / name).write_bytes(b"left")
    return batch


LEFT = (
    ".tmp-1234",
    "frames-0000000000000000.tar",
    "index-0000000000000000.parquet",
    "manifests/.tmp-5678",
)


def names(batch: Batch) -> set[str]:
    base = batch.store.local_path(layout.batch(batch.key))
    return {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()}


def test_only_unlisted_files_go(swept: Batch) -> None:
    before = names(swept)
    removed = sweep(swept.store, swept.key, timedelta(0))
    assert removed == [f"{layout.batch(swept.key)}/{name}" for name in LEFT]
    assert names(swept) == before - set(LEFT)
    assert swept.ingest().changed is False
    assert sweep(swept.store, swept.key, timedelta(0)) == []


def test_young_files_stay(swept: Batch) -> None:
    assert sweep(swept.store, swept.key) == []
    old = swept.store.local_path(f"{layout.batch(swept.key)}/{LEFT[1]}")
    os.utime(old, (0, 0))
    assert sweep(swept.store, swept.key) == [f"{layout.batch(swept.key)}/{LEFT[1]}"]


def test_a_run_that_uses_an_old_file_again_makes_it_young(batch: Batch) -> None:
    batch.add_sound(3)
    batch.complete()
    batch.ingest()
    folder = batch.store.local_path(layout.batch(batch.key))
    for path in folder.glob("manifests/*.json"):
        path.unlink()
    for path in folder.glob("*.*"):
        os.utime(path, (0, 0))
    batch.ingest()
    assert all(path.stat().st_mtime > 0 for path in folder.glob("*.*"))


def test_a_batch_that_is_not_there_has_nothing_to_sweep(batch: Batch) -> None:
    assert sweep(batch.store, batch.key) == []


def test_a_negative_grace_is_refused(batch: Batch) -> None:
    with pytest.raises(ValueError, match="expected a grace time of zero or more"):
        sweep(batch.store, batch.key, timedelta(seconds=-1))
