"""The whole step on a real store, with torch in a process of its own."""

from __future__ import annotations

import polars as pl
import pytest

from inspection.decision import Rule
from store import artifacts, tables
from store.artifacts import Artifact
from store.errors import NotFound
from store.root import Store
from tests.data.predictions.line import LINE, deliver, publish_model
from vision_assets import config
from vision_assets.config import CostSettings
from vision_assets.dataset import snapshot
from vision_assets.evaluation import evaluate


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = Store(str(tmp_path_factory.mktemp("store")))
    publish_model(found, deliver(found, frames=120).name)
    return found


@pytest.fixture(scope="module")
def first(store: Store) -> Artifact:
    return evaluate.evaluate(store, LINE, "untrained")


def test_all_files_are_there_and_whole(store: Store, first: Artifact) -> None:
    assert set(first.files) == {
        "predictions.parquet",
        "rule.json",
        "evaluation.json",
        "confusion.png",
        "scores.png",
        "reliability.png",
        "worst_escapes.png",
        "worst_overkills.png",
    }
    for file in first.files.values():
        tables.read_verified(store, file)


def test_predictions_are_of_calibrate_and_test(store: Store, first: Artifact) -> None:
    rows = snapshot.frames(store, LINE, first.inputs["snapshot"])
    found = evaluate.predictions(store, LINE, first.name)
    expected = rows.filter(pl.col("role").is_in(["calibrate", "test"]))
    assert found["frame_id"].to_list() == expected["frame_id"].to_list()
    assert found.columns == [
        "frame_id",
        "part",
        "group",
        "batch",
        "camera",
        "product",
        "role",
        "label",
        "classes",
        "score",
        "class_scores",
        "p",
        "verdict",
        "closed",
    ]


def test_figures_name_their_origin(store: Store, first: Artifact) -> None:
    figures = evaluate.read(store, LINE, first.name)
    assert figures.model == "untrained"
    assert figures.snapshot == first.inputs["snapshot"]
    assert figures.config == config.load(store, LINE).hash
    assert figures.classes == ("pit",)
    assert figures.auroc is not None
    assert first.summary["auroc"] == figures.auroc.value
    rule = Rule.model_validate_json(tables.read_verified(store, first.file(evaluate.RULE)))
    assert rule.default == figures.thresholds


def test_asked_again_it_finds_what_is_there(store: Store, first: Artifact) -> None:
    told: list[str] = []
    again = evaluate.evaluate(store, LINE, "untrained", lambda what, *_: told.append(what))
    assert again == first
    assert told == [f"evaluation {first.name} is there already"]


def test_only_settings_that_matter_make_another(store: Store, first: Artifact) -> None:
    settings = config.load(store, LINE)
    quick = settings.limits.model_copy(update={"max_latency_ms": 1.0})
    config.save(
        store, LINE, settings.model_copy(update={"limits": quick, "time_zone": "Asia/Tokyo"})
    )
    assert evaluate.evaluate(store, LINE, "untrained") == first
    costs = CostSettings(escape=1, overkill=30, review=1)
    config.save(store, LINE, settings.model_copy(update={"costs": costs}))
    other = evaluate.evaluate(store, LINE, "untrained")
    assert other.name != first.name
    assert len(list(artifacts.every(store, LINE, evaluate.KIND))) == 2
    here, there = (evaluate.predictions(store, LINE, name) for name in (first.name, other.name))
    assert here["score"].to_list() == there["score"].to_list()
    config.save(store, LINE, settings)


def test_a_model_that_does_not_exist_is_named(store: Store) -> None:
    with pytest.raises(NotFound, match="has no models/unheard"):
        evaluate.evaluate(store, LINE, "unheard")
