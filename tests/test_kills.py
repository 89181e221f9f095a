"""The whole job killed anywhere, again and again, ends as if nobody had disturbed it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster import DagsterRunStatus

from jobs.launch import open_instance
from store import artifacts, batches, ledger, tables
from store.artifacts import Artifact
from store.keys import BatchKey
from store.landing import LandingWriter
from store.tables import StoredFile
from tests.plant import LINE, Plant

BATCH = BatchKey(LINE.site, LINE.line, "one")
KINDS = ("snapshots", "models", "evaluations", "bundles")


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A line with one delivery, of which one file is broken; nothing has run."""
    plant = Plant(tmp_path_factory.mktemp("delivered"))
    plant.deliver("one")
    writer = LandingWriter(plant.store, BATCH)
    time_of = {"camera": "camera-1", "captured_at": "2026-01-01T00:00:00Z"}
    writer.add_frame("camera-1/broken.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", time_of)
    writer.complete(datetime.now(UTC))
    return plant


def copy_of(plant: Plant, folder: Path) -> Plant:
    """The same delivery in a folder of its own."""
    shutil.copytree(plant.folder, folder)
    return Plant(folder)


def state(plant: Plant) -> dict[str, Any]:
    """Everything that must not depend on kills: frames, quarantine, artifacts, releases."""
    manifest = batches.manifest(plant.store, BATCH)
    assert manifest is not None
    frames = batches.index(plant.store, manifest).select("frame_id", "content_hash").collect()
    broken = [tables.read_table(plant.store, file) for file in manifest.quarantines]
    return {
        "frames": sorted(frames.rows()),
        "quarantine": [table.select("file", "reason").rows() for table in broken],
        "artifacts": {
            kind: [
                (made.name, _timeless(made)) for made in artifacts.every(plant.store, LINE, kind)
            ]
            for kind in KINDS
        },
        "releases": [(e.action, e.bundle) for e in ledger.entries(plant.store, LINE)],
    }


def _timeless(made: Artifact) -> dict[str, StoredFile]:
    """Its files without the one that says how long each epoch took."""
    return {name: file for name, file in made.files.items() if name != "history.json"}


class Job:
    """``vision-assets run --promote`` in a session of its own."""

    def __init__(self, plant: Plant) -> None:
        self._log = plant.folder / "run.log"
        program = str(Path(sys.executable).with_name("vision-assets"))
        settings = ["--config", str(plant.folder / "line.yaml")]
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [program, "run", "--line", str(LINE), "--promote", *settings],
                stdout=log,
                stderr=log,
                env=plant.environment,
                start_new_session=True,
            )

    def kill(self, chance: random.Random) -> None:
        """All its processes at once, the first one alone, or a child alone (if it has one)."""
        children = psutil.Process(self.process.pid).children()
        target = chance.choice(["all", "first", "child"])
        if target == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
        else:
            victim = children[0] if target == "child" and children else self.process
            victim.send_signal(signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(children, timeout=10)

    def step(self) -> str:
        """The step that it told of last."""
        told = [line for line in self._log.read_text().splitlines() if line.startswith("[")]
        return told[-1][1:].partition("]")[0] if told else "before the first step"


def kill_often(delivered: Plant, folder: Path, kills: int) -> Counter[str]:
    """Kill the job at random instants and run it again, from a fresh delivery whenever it is done.

    Returns:
        How many kills met which step.
    """
    undisturbed = copy_of(delivered, folder / "undisturbed")
    started = time.monotonic()
    assert Job(undisturbed).process.wait() == 0
    longest, expected = time.monotonic() - started, state(undisturbed)
    chance = random.Random(kills)
    met: Counter[str] = Counter()
    plant, number = copy_of(delivered, folder / "0"), 0
    while True:
        job = Job(plant)
        try:
            # Past the last kill every run may end.
            wait = chance.uniform(0, longest) if met.total() < kills else None
            assert job.process.wait(wait) == 0
        except subprocess.TimeoutExpired:
            job.kill(chance)
            met[job.step()] += 1
            continue
        assert state(plant) == expected
        assert_nothing_is_held(plant)
        if met.total() >= kills:
            return met
        number += 1
        plant = copy_of(delivered, folder / str(number))


def assert_nothing_is_held(plant: Plant) -> None:
    """No run counts as unfinished and no pool slot is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", plant.environment["DAGSTER_HOME"])
        with open_instance() as instance:
            unfinished = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING]
            assert not instance.get_runs(dg.RunsFilter(statuses=unfinished))
            storage = instance.event_log_storage
            for pool in storage.get_concurrency_keys():
                assert not storage.get_concurrency_info(pool).claimed_slots


def test_three_kills(delivered: Plant, tmp_path: Path) -> None:
    kill_often(delivered, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills(delivered: Plant, tmp_path: Path) -> None:
    met = kill_often(delivered, tmp_path, 50)
    assert len(met) >= 4, met
