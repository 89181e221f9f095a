"""The main job as a user runs it: commands, a real Dagster instance, a server over a socket."""

from __future__ import annotations

import json

import dagster as dg
import polars as pl
import pytest

from jobs.launch import open_instance
from store import artifacts, batches, layout
from store.keys import BatchKey
from tests.plant import LINE, Plant
from vision_assets.evaluation import evaluate


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """A line with one rendered batch, trained and promoted."""
    made = Plant(tmp_path_factory.mktemp("plant"))
    made.run("--config", str(made.deliver("one")), "--promote")
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


def test_the_checks_stand_in_the_instance_that_the_ui_shows(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.run()
    monkeypatch.setenv("DAGSTER_HOME", plant.environment["DAGSTER_HOME"])
    key = dg.AssetCheckKey(dg.AssetKey("evaluation"), "not_worse_than_released")
    with open_instance() as instance:
        storage = instance.event_log_storage
        record = storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    assert record.event.dagster_event is not None
    found = record.event.dagster_event.asset_check_evaluation_data
    assert found.passed
    assert "with turin/press-3@1" in (found.description or "")


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
