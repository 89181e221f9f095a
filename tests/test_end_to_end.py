"""The main job as a user runs it: commands, a real Dagster instance, a server over a socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from store import artifacts, batches, layout
from store.keys import BatchKey, LineKey
from store.root import Store
from vision_assets.evaluation import evaluate

LINE = LineKey("turin", "press-3")
# Small and quick; the limits let even a poor model go live, its quality is not what is tested here.
SETTINGS = """
training: {height_px: 96, width_px: 96, epochs: 2, batch_size: 8}
limits: {max_escape_rate: 1, max_overkill_rate: 1, max_review_share: 1, max_latency_ms: 60000}
"""


class Plant:
    """A store, an instance and the commands in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = Store(str(folder / "store"))
        self.environment = {
            **os.environ,
            "VISION_STORE": self.store.url,
            "DAGSTER_HOME": str(folder / "dagster"),
        }

    def command(self, *words: str, status: int = 0) -> str:
        """What a command prints; it must end with `status`."""
        program = str(Path(sys.executable).with_name(words[0]))
        done = subprocess.run(
            [program, *words[1:]],
            capture_output=True,
            text=True,
            env=self.environment,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stdout + done.stderr

    def run(self, *options: str) -> dict[str, Any]:
        """``vision-assets run … --json``."""
        out = self.command("vision-assets", "run", "--line", str(LINE), *options, "--json")
        result: dict[str, Any] = json.loads(out)
        return result

    @contextmanager
    def server(self) -> Iterator[str]:
        """The address of a running server; it must end well when told to."""
        program = str(Path(sys.executable).with_name("vision-serve"))
        words = ["run", "--store", self.store.url, "--line", str(LINE), "--listen", "127.0.0.1:0"]
        folders = ["--cache", str(self.folder / "cache"), "--spool", str(self.folder / "spool")]
        with subprocess.Popen(
            [program, *words, *folders],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
        ) as process:
            assert process.stdout is not None
            ready = process.stdout.readline()
            try:
                yield ready.split(" on ")[1].split(": ")[0]
            finally:
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A line with one rendered batch, trained and promoted."""
    made = Plant(tmp_path_factory.mktemp("plant"))
    simulate = ["simulate", "--line", str(LINE), "--frames", "70", "--defect-rate", "0.4"]
    made.command("vision-assets", *simulate, "--batch", "one")
    settings = made.folder / "line.yaml"
    settings.write_text(SETTINGS)
    made.run("--config", str(settings), "--promote")
    return made


def test_everything_is_made_and_live(plant: Plant) -> None:
    result = plant.run()
    assert set(result["names"]) == {"snapshots", "models", "evaluations", "bundles"}
    assert result["release"] == "turin/press-3@1"
    assert result["live_bundle"] == result["names"]["bundles"]
    assert result["figures"]["escapes"]["of"] > 0
    assert {"parity", "latency", "escape_rate"} <= {gate["name"] for gate in result["gates"]}
    assert all(gate["passed"] for gate in result["gates"])


def test_a_second_run_makes_nothing_new(plant: Plant) -> None:
    before = {
        kind: list(artifacts.every(plant.store, LINE, kind)) for kind in ("models", "bundles")
    }
    first, second = plant.run(), plant.run("--promote")
    assert first["names"] == second["names"]
    after = {kind: list(artifacts.every(plant.store, LINE, kind)) for kind in ("models", "bundles")}
    assert after == before
    assert second["release"] == "turin/press-3@1", "promoting the live bundle adds no entry"


def test_the_server_gives_the_verdicts_of_the_evaluation(plant: Plant) -> None:
    evaluation = artifacts.current(plant.store, LINE, "evaluations")
    assert evaluation is not None
    rows = evaluate.predictions(plant.store, LINE, evaluation.name)
    key = BatchKey("turin", "press-3", "one")
    manifest = batches.manifest(plant.store, key)
    assert manifest is not None
    files = batches.index(plant.store, manifest).select("frame_id", "file").collect()
    tested = rows.filter(pl.col("role") == "test").join(files, on="frame_id")
    folder = plant.store.local_path(f"{layout.landing(key)}/frames")
    paths = [str(folder / file) for file in tested["file"]]
    with plant.server() as address:
        out = plant.command("vision-serve", "inspect", "--target", address, *paths, "--json")
    answers = {row["file"]: row for row in map(json.loads, out.splitlines())}
    assert [answers[path]["verdict"] for path in paths] == tested["verdict"].to_list()
    assert {answer["release"] for answer in answers.values()} == {"turin/press-3@1"}
    spooled = plant.command("vision-serve", "spool", str(plant.folder / "spool"), "--json")
    assert len(spooled.splitlines()) == len(paths)


def test_the_ledger_is_told(plant: Plant) -> None:
    (entry,) = json.loads(plant.command("vision-assets", "releases", str(LINE), "--json"))
    assert entry["action"] == "promote"
    then = plant.command("vision-assets", "at", str(LINE), "--time", "2020-01-01T00:00")
    assert "nothing was live" in then
    assert "turin/press-3@1" in plant.command("vision-assets", "lines")
    assert "one" in plant.command("vision-assets", "batches", "--line", str(LINE))


def test_what_is_wrong_is_said_without_a_stack(plant: Plant) -> None:
    cases = {
        ("run", "--line", "no/such"): "has no batch",
        ("run", "--line", "Bad Name/x"): "is not a valid name",
        ("rollback", str(LINE), "--why", "x"): "no release with another bundle",
        ("promote", str(LINE), "--bundle", "zzz"): "has no bundles/zzz",
        ("at", str(LINE), "--time", "noon"): "is not ISO 8601",
        ("simulate", "--line", str(LINE), "--batch", "b", "--focus-px", "99"): "--focus_px",
    }
    for words, message in cases.items():
        said = plant.command("vision-assets", *words, status=1)
        assert message in said
        assert "Traceback" not in said
