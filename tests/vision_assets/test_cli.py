"""The command as people use it: what it prints when things go well, and when they do not."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import dagster as dg
import pytest
import yaml

from jobs.launch import open_instance
from jobs.lineage import LineResult, described
from store import artifacts, documents, layout, ledger
from store.keys import BatchKey, LineKey
from tests.plant import LINE, SETTINGS, Plant
from vision_assets import config
from vision_assets.cli import main


@pytest.fixture
def empty(tmp_path: Path) -> Plant:
    """A plant to which nothing was delivered."""
    return Plant(tmp_path)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A line with one delivery; nothing has run. Not to be changed."""
    plant = Plant(tmp_path_factory.mktemp("delivered"))
    plant.deliver("one")
    return plant


@pytest.fixture
def plant(delivered: Plant, tmp_path: Path) -> Plant:
    """A copy of `delivered`."""
    return copy_of(delivered, tmp_path / "plant")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plant, str]:
    """A trained line whose bundle fails its gate of latency, and what the run said."""
    made = Plant(tmp_path_factory.mktemp("refused"))
    file = limited(made, made.deliver("one"), max_latency_ms=0.001)
    words = ["run", "--line", str(LINE), "--config", str(file), "--promote"]
    return made, made.command("vision-assets", *words, status=1)


@pytest.fixture
def trained(refused: tuple[Plant, str], tmp_path: Path) -> Plant:
    """A copy of the plant of `refused`."""
    return copy_of(refused[0], tmp_path / "plant")


class Call(Protocol):
    """What a command prints when it is called in this process; it must end with `status`."""

    def __call__(self, plant: Plant, *words: str, status: int = 0) -> str: ...


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    def called(plant: Plant, *words: str, status: int = 0) -> str:
        for name in ("VISION_STORE", "DAGSTER_HOME", "PATH"):
            monkeypatch.setenv(name, plant.environment[name])
        monkeypatch.setattr(sys, "argv", ["vision-assets", *words])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert (end.value.code or 0) == status, out + err
        return out if status == 0 else out + err

    return called


def copy_of(plant: Plant, folder: Path) -> Plant:
    shutil.copytree(plant.folder, folder)
    return Plant(folder)


def limited(plant: Plant, file: Path, **limits: float) -> Path:
    """The settings of `SETTINGS` with other limits."""
    value = yaml.safe_load(SETTINGS)
    value["limits"] |= limits
    file = plant.folder / "line.yaml"
    file.write_text(yaml.safe_dump(value))
    return file


def test_a_failed_gate_is_said_once_with_the_way_out(refused: tuple[Plant, str]) -> None:
    said = refused[1]
    assert said.count("FAIL") == 1
    assert said.count("the limit is 0.001") <= 1
    assert "failed: bundle: gates\n" in said
    assert "promote turin/press-3 --force REASON`" in said
    for noise in ("DagsterAssetCheckFailedError", "Traceback", "next: vision-serve"):
        assert noise not in said
    assert "nothing is live" in said
    assert "[dagster]" not in said
    assert "loading Dagster" in said


def test_a_forced_run_promotes_whatever_gate_failed(trained: Plant) -> None:
    result = trained.run("--force", "the line is down")
    assert result["release"] == "turin/press-3@1"
    assert result["live_bundle"] == result["names"]["bundles"]
    assert result["faults"] == []
    assert any(text.startswith("bundle: gates: latency") for text in result["warnings"])
    (entry,) = ledger.entries(trained.store, LINE)
    assert (entry.forced, entry.why) == (True, "the line is down")


def test_a_forced_run_promotes_what_the_evaluation_would_stop(trained: Plant) -> None:
    none = {"max_escape_rate": 1e-9, "max_overkill_rate": 1e-9}
    file = limited(trained, trained.folder, **none, max_review_share=0)
    words = ["run", "--line", str(LINE), "--config", str(file)]
    said = trained.command("vision-assets", *words, status=1)
    assert "setting limits.max_overkill_rate: 1.0 -> 1e-09" in said
    assert "failed: evaluation: within_limits" in said
    assert "no bundle of this evaluation; nothing is live" in said
    assert "FAIL  latency" not in said, "gates of the earlier evaluation are not shown beside it"
    assert "run --line turin/press-3 --force REASON" in said
    as_json = described(trained.store, LineResult(LINE)).to_json()
    assert set(as_json["names"]) == {"snapshots", "models", "evaluations"}
    assert as_json["gates"] == []
    result = trained.run("--force", "only a test")
    assert result["release"] == "turin/press-3@1"
    failed = {gate["name"] for gate in result["gates"] if not gate["passed"]}
    assert failed
    assert failed <= {"escape_rate", "overkill_rate"}  # which, is the luck of a tiny training


def test_the_line_is_live_and_what_is_not_proven_is_said(trained: Plant) -> None:
    file = limited(trained, trained.folder, max_escape_rate=0.9)
    words = ["run", "--line", str(LINE), "--config", str(file), "--promote"]
    said = trained.command("vision-assets", *words)
    assert "live: turin/press-3@1" in said
    again = trained.command("vision-assets", *words)
    assert "same bundle as live, nothing to promote" in again
    assert "run --store" in again
    assert "same bundle" in trained.command("vision-assets", "promote", str(LINE))


def test_ctrl_c_is_no_crash(plant: Plant) -> None:
    program = str(Path(sys.executable).with_name("vision-assets"))
    with subprocess.Popen(
        [program, "run", "--line", str(LINE), "--config", str(plant.folder / "line.yaml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=plant.environment,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "[model] epoch" not in said:
            said += process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all its processes
        said += process.stdout.read()
    assert process.returncode == 128 + signal.SIGINT, said
    assert "stopped; the same command goes on where it was" in said
    assert "Traceback" not in said
    assert "failed" not in said


def release_in_dagster(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Metadata of the latest release that Dagster's UI shows of the line."""
    monkeypatch.setenv("DAGSTER_HOME", plant.environment["DAGSTER_HOME"])
    with open_instance() as instance:
        assert instance.has_dynamic_partition("lines", str(LINE))
        event = instance.get_latest_materialization_event(dg.AssetKey("release"))
    assert event is not None
    made = event.asset_materialization
    assert made is not None
    assert made.partition == str(LINE)
    return {name: value.value for name, value in made.metadata.items()}


def bundle(plant: Plant, name: str) -> None:
    """A published bundle without evidence."""
    artifacts.publish(plant.store, LINE, artifacts.Artifact("bundles", name, {}, {}))
    artifacts.make_current(plant.store, LINE, "bundles", name)


def test_promotion_and_rollback_reach_dagster(
    call: Call, plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        bundle(plant, name)
        call(plant, "promote", str(LINE), "--force", "test", "--why", "and so on")
    shown = release_in_dagster(plant, monkeypatch)
    assert (shown["release"], shown["bundle"]) == ("turin/press-3@2", "b")
    assert shown["why"] == "test; and so on", "both reasons stay"
    call(plant, "rollback", str(LINE), "--why", "escapes")
    shown = release_in_dagster(plant, monkeypatch)
    assert (shown["release"], shown["bundle"], shown["action"]) == (
        "turin/press-3@3",
        "a",
        "rollback",
    )


def test_a_dagster_that_cannot_be_opened_does_not_stop_a_promotion(
    call: Call, plant: Plant
) -> None:
    bundle(plant, "a")
    home = plant.folder / "dagster"
    shutil.rmtree(home, ignore_errors=True)
    home.write_text("no folder")
    words = ["promote", str(LINE), "--force", "test", "--json"]
    (row,) = json.loads(call(plant, *words))
    assert row["release"] == "turin/press-3@1"


@pytest.mark.parametrize(
    "words",
    [
        ("batches", "--line", "turin/pres-3"),
        ("releases", "turin/pres-3"),
        ("at", "turin/pres-3"),
        ("settings", "turin/pres-3"),
        ("quarantine", "turin/pres-3/one"),
        ("promote", "turin/pres-3"),
        ("rollback", "turin/pres-3", "--why", "x"),
    ],
)
def test_a_misspelt_line_is_refused_with_those_there_are(
    call: Call, delivered: Plant, words: tuple[str, ...]
) -> None:
    said = call(delivered, *words, status=1)
    assert "no line turin/pres-3" in said
    assert "there are: turin/press-3" in said


def test_a_run_of_a_misspelt_line_leaves_no_settings(call: Call, delivered: Plant) -> None:
    words = ["run", "--line", "turin/pres-3", "--config", str(delivered.folder / "line.yaml")]
    assert "no line turin/pres-3" in call(delivered, *words, status=1)
    wrong = layout.config(LineKey("turin", "pres-3"))
    assert documents.numbers(delivered.store, wrong) == []


def test_a_batch_that_is_not_there_is_told_with_those_that_are(
    call: Call, delivered: Plant
) -> None:
    said = call(delivered, "quarantine", f"{LINE}/two", status=1)
    assert "batch turin/press-3/two is not ingested; of turin/press-3 there are: none" in said


def test_a_delivery_that_cannot_be_read_is_a_fault(call: Call, empty: Plant) -> None:
    empty.store.write(f"{layout.landing(BatchKey('turin', 'press-3', 'bad'))}/_COMPLETE", b"{")
    said = empty.command("vision-assets", "run", "--line", str(LINE), status=1)
    assert "failed: turin/press-3/bad: landing/turin/press-3/bad/_COMPLETE should be" in said
    assert "Traceback" not in said


def test_tables_are_whole_in_a_pipe(call: Call, plant: Plant) -> None:
    name = "0123456789abcdef" * 4
    bundle(plant, name)
    why = "a long reason " * 20
    call(plant, "promote", str(LINE), "--force", why)
    said = call(plant, "releases", str(LINE))
    (row,) = said.splitlines()[1:]
    assert name in row
    assert why.strip() in row
    assert ledger.entries(plant.store, LINE)[0].time.isoformat(timespec="seconds") in row


def test_settings_show_what_is_in_force(call: Call, plant: Plant) -> None:
    settings = config.load(plant.store, LINE)
    changed = settings.model_copy(update={"time_zone": "Europe/Rome"})
    config.save(plant.store, LINE, changed)
    said = call(plant, "settings", str(LINE))
    rows = {line.split()[1 if line.startswith("*") else 0]: line for line in said.splitlines()[1:]}
    assert rows["time_zone"].startswith("*")
    assert '"UTC"' in rows["time_zone"] or "(default UTC)" in rows["time_zone"]
    assert not rows["costs.escape"].startswith("*")
    as_json = json.loads(call(plant, "settings", str(LINE), "--json"))
    (zone,) = [row for row in as_json if row["setting"] == "time_zone"]
    assert zone == {"setting": "time_zone", "value": "Europe/Rome", "default": "UTC"}


def test_what_comes_next_is_a_command_that_can_be_called(call: Call, empty: Plant) -> None:
    words = ["simulate", "--line", str(LINE), "--batch", "b", "--frames", "1"]
    empty.environment["PATH"] = "/nowhere"
    (command,) = re.findall("next: (.*vision-assets) run", call(empty, *words))
    assert Path(command).is_file()
    empty.environment["PATH"] = str(Path(sys.executable).parent)
    again = call(empty, *words)
    assert "next: vision-assets run" in again
    assert "nothing to do" in again


def test_an_import_says_what_it_adds_to_the_settings(call: Call, plant: Plant) -> None:
    frames = plant.folder / "frames"
    for kind in ("good", "dent"):
        (frames / kind).mkdir(parents=True)
        (frames / kind / "1.png").write_bytes(b"no picture")
    words = ["import", str(frames), "--layout", "folders", "--line", str(LINE), "--batch", "lot-1"]
    said = call(plant, *words)
    assert "classes added to the settings: dent" in said
    assert "cameras added to the settings: camera-1" in said
