from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from store.errors import InvalidInput
from vision_assets.config import CostSettings
from vision_assets.evaluation.compare import compare
from vision_assets.evaluation.judge import Judged

COSTS = CostSettings(escape=50, overkill=1, review=0.3)


def _predictions(verdicts: list[tuple[str, str]]) -> pl.DataFrame:
    """Predictions of parts of one frame from (label, verdict)."""
    return pl.DataFrame(
        {
            "frame_id": [f"f{index}" for index in range(len(verdicts))],
            "part": [f"p{index}" for index in range(len(verdicts))],
            "group": [f"p{index}" for index in range(len(verdicts))],
            "role": ["test"] * len(verdicts),
            "label": [row[0] for row in verdicts],
            "classes": [["pit"] if row[0] == "defect" else [] for row in verdicts],
            "p": [0.5] * len(verdicts),
            "verdict": [row[1] for row in verdicts],
            "closed": [row[1] for row in verdicts],
        },
        schema_overrides={"classes": pl.List(pl.String)},
    )


CAUGHT, ESCAPED = ("defect", "REJECT"), ("defect", "PASS")
PASSED, KILLED = ("good", "PASS"), ("good", "REJECT")


def test_an_evaluation_is_not_worse_than_itself(judged: Judged) -> None:
    found = compare(judged.predictions, judged.predictions, COSTS, 0.95)
    assert (found.low, found.high, found.p_escapes, found.is_worse) == (0.0, 0.0, 1.0, False)
    assert found.parts == 100
    assert found.cost_new == found.cost_old == pytest.approx(judged.measured.cost)
    assert found.new_escapes == found.mended_escapes == ()


def test_many_new_escapes_are_worse_and_named() -> None:
    old = _predictions([CAUGHT] * 20 + [PASSED] * 80)
    new = _predictions([ESCAPED] * 6 + [CAUGHT] * 14 + [PASSED] * 80)
    found = compare(new, old, COSTS, 0.95)
    assert found.is_worse
    assert found.new_escapes == ("p0", "p1", "p2", "p3", "p4", "p5")
    assert found.p_escapes == pytest.approx(0.5**6)
    assert found.cost_new - found.cost_old == pytest.approx(3.0)
    assert 0 < found.low < 3.0 < found.high
    assert not compare(old, new, COSTS, 0.95).is_worse
    assert compare(old, new, COSTS, 0.95).mended_escapes == found.new_escapes


def test_one_new_escape_may_be_chance() -> None:
    old = _predictions([CAUGHT] * 20 + [PASSED] * 80)
    new = _predictions([ESCAPED] + [CAUGHT] * 19 + [PASSED] * 80)
    found = compare(new, old, COSTS, 0.95)
    assert not found.is_worse
    assert found.new_escapes == ("p0",)


def test_overkill_alone_can_be_worse() -> None:
    old = _predictions([CAUGHT] * 20 + [PASSED] * 80)
    new = _predictions([CAUGHT] * 20 + [KILLED] * 20 + [PASSED] * 60)
    found = compare(new, old, COSTS, 0.95)
    assert found.is_worse
    assert found.p_escapes == 1.0


def test_escapes_alone_can_be_worse() -> None:
    old = _predictions([CAUGHT] * 20 + [KILLED] * 8 + [PASSED] * 72)
    new = _predictions([ESCAPED] * 8 + [CAUGHT] * 12 + [PASSED] * 80)
    found = compare(new, old, CostSettings(escape=1, overkill=1), 0.95)
    assert found.cost_new == found.cost_old
    assert found.low < 0 < found.high
    assert found.is_worse


def test_only_common_test_parts_count() -> None:
    old = _predictions([CAUGHT] * 5 + [PASSED] * 5)
    more = _predictions([CAUGHT] * 5 + [PASSED] * 5 + [ESCAPED] * 30)
    calibrate = more.with_columns(
        pl.when(pl.col("frame_id") == "f0")
        .then(pl.lit("calibrate"))
        .otherwise("role")
        .alias("role")
    )
    assert compare(more, old, COSTS, 0.95).parts == 10
    assert compare(calibrate, old, COSTS, 0.95).parts == 9
    assert not compare(more, old, COSTS, 0.95).is_worse


def test_the_newer_labels_count() -> None:
    old = _predictions([("good", "PASS")] * 10)
    new = _predictions([("defect", "REJECT")] * 10)
    found = compare(new, old, COSTS, 0.95)
    assert found.cost_old == 50.0
    assert len(found.mended_escapes) == 10


def test_escapes_of_one_group_count_once() -> None:
    old = _predictions([CAUGHT] * 20 + [PASSED] * 80)
    new = _predictions([ESCAPED] * 10 + [CAUGHT] * 10 + [PASSED] * 80)
    tiles = pl.Series("group", [f"g{index // 10}" for index in range(100)])
    grouped = new.with_columns(tiles)
    assert compare(new, old, COSTS, 0.95).p_escapes == pytest.approx(0.5**10)
    many = pl.concat([grouped] * 4).with_columns(
        pl.Series("frame_id", [f"f{index}" for index in range(400)]),
        pl.Series("part", [f"p{index}" for index in range(400)]),
        pl.Series("group", [f"g{index // 10}" for index in range(400)]),
    )
    before = many.with_columns(
        pl.when(pl.col("label") == "defect")
        .then(pl.lit("REJECT"))
        .otherwise("verdict")
        .alias("verdict")
    )
    assert compare(many, before, COSTS, 0.95).p_escapes == pytest.approx(0.5**4)


def test_evaluations_without_a_common_frame_cannot_be_compared() -> None:
    old = _predictions([CAUGHT, PASSED])
    new = old.with_columns(("x" + pl.col("frame_id")).alias("frame_id"))
    with pytest.raises(InvalidInput, match="no test frame in common"):
        compare(new, old, COSTS, 0.95)


def test_equally_good_models_are_seldom_called_worse() -> None:
    """The stated risk is one in twenty, whatever the parts that the two disagree on."""
    rng, alarms, runs = np.random.default_rng(0), 0, 100
    labels = ["defect"] * 60 + ["good"] * 140
    for _ in range(runs):
        old, new = (
            _predictions(
                [
                    (label, "PASS" if (rng.random() < 0.1) == (label == "defect") else "REJECT")
                    for label in labels
                ]
            )
            for _ in range(2)
        )
        alarms += compare(new, old, COSTS, 0.95).is_worse
    assert alarms / runs <= 0.05 + 2 * (0.05 * 0.95 / runs) ** 0.5


def test_a_model_that_is_clearly_worse_is_called_so() -> None:
    rng, alarms, runs = np.random.default_rng(1), 0, 50
    labels = ["defect"] * 60 + ["good"] * 140
    for _ in range(runs):
        old, new = (
            _predictions(
                [
                    (label, "PASS" if (rng.random() < miss) == (label == "defect") else "REJECT")
                    for label in labels
                ]
            )
            for miss in (0.05, 0.3)
        )
        alarms += compare(new, old, COSTS, 0.95).is_worse
    assert alarms / runs > 0.9
