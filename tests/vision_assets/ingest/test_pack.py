"""When writing fails, ingest fails with the cause and leaves nothing half done."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from store import batches, layout
from store.root import Store
from tests.data.landing.generate import Batch
from vision_assets.ingest import pack


@pytest.fixture
def limited_files() -> Iterator[None]:
    """The kernel refuses to write files of more than 10 kB, much as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def delivered(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> Batch:
    monkeypatch.setattr(pack, "_SEGMENT_BYTES", 3000)
    batch.add_sound(20)
    batch.complete()
    return batch


def test_a_full_disk_ends_the_run_and_leaves_nothing(delivered: Batch, limited_files: None) -> None:
    with pytest.raises(OSError, match="File too large"):
        delivered.ingest()
    assert batches.manifest(delivered.store, delivered.key) is None
    assert list(delivered.store.local_path(layout.batch(delivered.key)).iterdir()) == []


def test_leaving_before_the_end_leaves_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store(str(tmp_path_factory.mktemp("store")))
    with pytest.raises(RuntimeError, match="stop"), pack.Packer(store, "batch"):
        raise RuntimeError("stop")
    assert store.files("") == []
