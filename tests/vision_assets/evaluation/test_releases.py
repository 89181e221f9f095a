from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from inspection.bundle import KIND as BUNDLES
from store import artifacts, ledger
from store.artifacts import Artifact
from store.hashing import canonical_json
from store.keys import LineKey
from store.ledger import Draft
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.evaluation import evaluate
from vision_assets.evaluation.releases import PROVENANCE, not_worse

LINE = LineKey("turin", "press-3")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    found = Store(str(tmp_path / "store"))
    config.save(found, LINE, LineConfig(classes=("pit",)))
    return found


def _evaluation(store: Store, name: str, escapes: int, first: int = 0) -> None:
    """An evaluation of 20 defective and 80 good parts, of which the first defects escape."""
    verdicts = ["PASS"] * escapes + ["REJECT"] * (20 - escapes) + ["PASS"] * 80
    table = pl.DataFrame(
        {
            "frame_id": [f"f{first + index}" for index in range(100)],
            "part": [f"p{first + index}" for index in range(100)],
            "group": [f"p{first + index}" for index in range(100)],
            "role": "test",
            "label": ["defect"] * 20 + ["good"] * 80,
            "classes": [["pit"]] * 20 + [[]] * 80,
            "p": 0.5,
            "verdict": verdicts,
            "closed": verdicts,
        },
        schema_overrides={"classes": pl.List(pl.String)},
    )
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    file = artifacts.write_file(
        store, LINE, evaluate.KIND, name, evaluate.PREDICTIONS, buffer.getvalue()
    )
    made = Artifact(evaluate.KIND, name, {}, {evaluate.PREDICTIONS: file})
    artifacts.publish(store, LINE, made)


def _release(
    store: Store, bundle: str, evaluation: str | None, action: ledger.Action = "promote"
) -> None:
    artifacts.publish(store, LINE, Artifact(BUNDLES, bundle, {}, {}))
    if evaluation:
        attached = {PROVENANCE: canonical_json({"evaluation": evaluation})}
        artifacts.attach(store, LINE, BUNDLES, bundle, attached)
    ledger.append(store, LINE, Draft(action=action, bundle=bundle, who="ann"))


def test_before_the_first_release_there_is_nothing_to_compare_with(store: Store) -> None:
    _evaluation(store, "new", escapes=20)
    assert not_worse(store, LINE, "new") == []


def test_an_equal_one_passes_and_a_worse_one_does_not(store: Store) -> None:
    _evaluation(store, "old", escapes=1)
    _release(store, "bundle-a", "old")
    _evaluation(store, "same", escapes=1)
    _evaluation(store, "worse", escapes=9)
    gates = not_worse(store, LINE, "same")
    assert [gate.name for gate in gates] == ["not_worse_than_live", "not_worse_than_best"]
    assert all(gate.passed for gate in gates)
    failed = not_worse(store, LINE, "worse")
    assert not any(gate.passed for gate in failed)
    assert failed[0].value == pytest.approx(8 * 50 / 100)
    assert "turin/press-3@1" in failed[0].message
    assert "8 new escapes, 0 mended" in failed[0].message
    assert failed[0].details["new_escapes"] == [f"p{number}" for number in range(1, 9)]


def test_a_little_worse_each_time_is_seen_against_the_best(store: Store) -> None:
    for step, escapes in enumerate((0, 3, 6)):
        _evaluation(store, f"e{step}", escapes)
        _release(store, f"bundle-{step}", f"e{step}")
    _evaluation(store, "new", escapes=8)
    live, best = not_worse(store, LINE, "new")
    assert live.passed
    assert "turin/press-3@3" in live.message
    assert not best.passed
    assert "turin/press-3@1" in best.message


def test_a_candidate_that_was_only_tried_is_no_standard(store: Store) -> None:
    _evaluation(store, "old", escapes=6)
    _release(store, "bundle-a", "old")
    _evaluation(store, "tried", escapes=0)
    _release(store, "bundle-b", "tried", "shadow")
    _evaluation(store, "new", escapes=6)
    assert all(gate.passed for gate in not_worse(store, LINE, "new"))


def test_a_release_without_evidence_cannot_be_compared_with(store: Store) -> None:
    _release(store, "bundle-a", None)
    _evaluation(store, "new", escapes=0)
    (gate,) = not_worse(store, LINE, "new")
    assert not gate.passed
    assert "released without evidence" in gate.message
    assert "--force" in gate.message


def test_evaluations_of_other_parts_cannot_be_compared(store: Store) -> None:
    _evaluation(store, "old", escapes=0)
    _release(store, "bundle-a", "old")
    _evaluation(store, "new", escapes=0, first=1000)
    (gate,) = not_worse(store, LINE, "new")
    assert not gate.passed
    assert "no test frame in common" in gate.message
