"""Killed at any instant and run again, ingest ends in the state of a run that nobody disturbed."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
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
# Has everything loaded, so that each run is a fork. The run kills itself at the given one of all
# instants at which it is about to open, rename, link or remove a file of the line: kills by the
# clock would fall between them on one machine and after all of them on another.
RUNNER = f"""
import os, signal, sys
import polars
from store import shards
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest import ingest, pack

shards.TARGET_BYTES, pack._SEGMENT_BYTES = {TARGET_BYTES}, {SEGMENT_BYTES}
instants, fatal = 0, 0

def watch(event, arguments):
    global instants
    if event in ("open", "os.rename", "os.link", "os.remove") and "/lines/" in str(arguments[0]):
        instants += 1
        if instants == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

for line in sys.stdin:
    url, batch, number = line.split()
    child = os.fork()
    if child == 0:
        try:
            fatal = int(number)
            sys.addaudithook(watch)
            ingest.ingest_batch(Store(url), BatchKey.parse(batch), LineConfig())
            print(instants, flush=True)
        finally:
            os._exit(0)
    print(-os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
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


class Runner:
    """Runs ingest in processes that can be killed."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, batch: Batch, fatal_instant: int) -> int:
        """Ingest until that instant (0: to the end).

        Returns:
            The signal that killed it, or how many instants there are.
        """
        assert self.process.stdin is not None
        self.process.stdin.write(f"{batch.store.url} {batch.key} {fatal_instant}\n")
        self.process.stdin.flush()
        answer = self._answer()
        if fatal_instant == 0:
            assert self._answer() == 0
        return answer

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner()
    with runner.process as process:
        yield runner
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0


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
    """What a run ends in, and at how many instants it can be killed."""

    state: tuple[object, ...]
    instants: int


@pytest.fixture(scope="module")
def undisturbed(
    delivered: Batch, runner: Runner, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    batch = copied(delivered, tmp_path_factory.mktemp("undisturbed"))
    instants = runner.run(batch, 0)
    assert batch.index().height == FRAMES + 1
    assert len(batch.quarantine()) == 11
    return Undisturbed(state(batch), instants)


def copied(delivered: Batch, folder: Path) -> Batch:
    shutil.rmtree(folder / "store", ignore_errors=True)
    shutil.copytree(delivered.store.url, folder / "store")
    return Batch(folder / "store")


@pytest.mark.parametrize("kills", [10, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_instant(
    delivered: Batch, undisturbed: Undisturbed, runner: Runner, tmp_path: Path, kills: int
) -> None:
    before = state(delivered)
    assert undisturbed.instants >= kills
    for instant in random.Random(kills).sample(range(1, undisturbed.instants + 1), kills):
        batch = copied(delivered, tmp_path)
        assert runner.run(batch, instant) == signal.SIGKILL
        assert state(batch) in (before, undisturbed.state), "neither the state before nor after"
        batch.ingest()
        assert state(batch) == undisturbed.state
        assert documents.numbers(batch.store, layout.batch_manifests(batch.key)) == [1, 2]
