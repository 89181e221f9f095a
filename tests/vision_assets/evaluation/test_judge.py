from __future__ import annotations

import polars as pl
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from inspection.decision import Rule
from store.errors import InvalidInput
from tests.data.predictions.generate import CLASSES, Recipe, rows_and_outputs
from vision_assets.config import CostSettings, LimitSettings, LineConfig
from vision_assets.evaluation import rates
from vision_assets.evaluation.figures import Evaluation
from vision_assets.evaluation.judge import Judged, judge


def test_predictions_have_a_row_for_each_frame_that_is_judged(judged: Judged) -> None:
    rows, _ = rows_and_outputs(Recipe())
    expected = rows.filter(pl.col("role").is_in(["calibrate", "test"]))
    assert judged.predictions["frame_id"].to_list() == expected["frame_id"].to_list()
    assert judged.predictions.schema["score"] == pl.Float32
    assert judged.predictions.schema["class_scores"] == pl.List(pl.Float32)


def test_verdicts_follow_from_the_rule(judged: Judged) -> None:
    cut = judged.rule.default
    for score, p, verdict in judged.predictions.select("score", "p", "verdict").iter_rows():
        assert p == cut.calibrated(score)
        expected = "PASS" if p < cut.pass_below else "REJECT" if p >= cut.reject_from else "REVIEW"
        assert verdict == expected
    assert set(judged.predictions["closed"]) == {"PASS", "REJECT"}


def test_figures_are_those_of_the_role_test(judged: Judged) -> None:
    test = judged.predictions.filter(pl.col("role") == "test")
    defective, measured = test["label"] == "defect", judged.measured
    assert measured.auroc is not None
    assert measured.auroc.value == roc_auc_score(defective, test["score"])
    assert measured.calibration.brier == pytest.approx(brier_score_loss(defective, test["p"]))
    assert measured.escapes.of + measured.overkill.of == test["part"].n_unique()
    assert sum(map(sum, measured.confusion.counts)) == len(test)
    assert measured.certificate["escapes"].count == measured.escapes.count
    assert measured.resampled == "group"
    assert judged.warnings == ()


def test_the_closed_band_is_measured_by_its_own_verdicts() -> None:
    rows, outputs = rows_and_outputs(Recipe(distance=1.5, parts=400))
    limits = LimitSettings(max_escape_rate=1, max_overkill_rate=1, max_review_share=0.5)
    costs = CostSettings(escape=4, overkill=4, review=0.1)
    found = judge(rows, outputs, CLASSES, LineConfig(costs=costs, limits=limits))
    closed = found.measured.band_closed
    parts = rates.to_parts(found.predictions.filter(pl.col("role") == "test"))
    assert closed.escapes == rates.escapes(parts, "group", 0.95, "closed")
    assert closed.overkill == rates.overkill(parts, "group", 0.95, "closed")
    assert closed.cost == pytest.approx(rates.cost_of_parts(parts, costs, "closed").mean())
    assert closed.escapes.count > found.measured.escapes.count
    assert closed.overkill.count > found.measured.overkill.count
    assert closed.cost > found.measured.cost
    assert found.rule.default.pass_below < closed.cut < found.rule.default.reject_from


def test_thresholds_do_not_see_the_role_test() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    swapped = pl.when(pl.col("role") == "test").then(
        pl.when(pl.col("label") == "good").then(pl.lit("defect")).otherwise(pl.lit("good"))
    )
    mislabelled = rows.with_columns(swapped.otherwise("label").alias("label"))
    here, there = (judge(each, outputs, CLASSES, LineConfig()).rule for each in (rows, mislabelled))
    assert here == there


def test_costs_decide_between_escapes_and_overkill() -> None:
    rows, outputs = rows_and_outputs(Recipe(distance=1.5, parts=400))
    limits = LimitSettings(max_escape_rate=1, max_overkill_rate=1)
    found = [
        judge(rows, outputs, CLASSES, LineConfig(costs=costs, limits=limits)).measured
        for costs in (CostSettings(escape=100), CostSettings(escape=1, overkill=10))
    ]
    assert found[0].escapes.count < found[1].escapes.count
    assert found[0].overkill.count > found[1].overkill.count


def test_a_product_that_the_line_does_not_know_is_reviewed() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    named = rows.with_columns(pl.lit("gear").alias("product"))
    found = judge(named, outputs, CLASSES, LineConfig(products=("axle",)))
    assert set(found.predictions["verdict"]) == {"REVIEW"}
    assert found.rule == Rule(default=found.rule.default, products=("axle",))


def test_a_camera_that_the_line_does_not_know_is_reviewed() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    named = rows.with_columns(pl.lit("right").alias("camera"))
    found = judge(named, outputs, CLASSES, LineConfig(cameras=("left",)))
    assert set(found.predictions["verdict"]) == {"REVIEW"}
    assert set(found.predictions["closed"]) == {"REVIEW"}
    assert found.rule == Rule(default=found.rule.default, cameras=("left",))


def test_refused_frames_are_listed_and_in_no_figure() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    first = outputs["frame_id"][0]
    refused = pl.col("frame_id") == first
    outputs = outputs.with_columns(
        pl.when(refused).then(pl.lit("too dark")).alias("reason"),
        pl.when(~refused).then("score").alias("score"),
    )
    found = judge(rows, outputs, CLASSES, LineConfig())
    assert found.unreadable == {first: "too dark"}
    assert first not in found.predictions["frame_id"]
    assert any("1 frames do not fit the contract" in warning for warning in found.warnings)


@pytest.mark.parametrize("wild", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(wild: float) -> None:
    rows, outputs = rows_and_outputs(Recipe(parts=20))
    broken = outputs.with_columns(pl.lit(wild, pl.Float32).alias("score"))
    with pytest.raises(InvalidInput, match="scores are not finite.*training diverged"):
        judge(rows, broken, CLASSES, LineConfig())


def test_without_a_test_frame_there_is_nothing_to_judge() -> None:
    rows, outputs = rows_and_outputs(Recipe(parts=20))
    calibrate = rows.filter(pl.col("role") != "test")
    with pytest.raises(InvalidInput, match="no frame of the role test"):
        judge(calibrate, outputs, CLASSES, LineConfig())


def test_few_parts_are_warned_of() -> None:
    rows, outputs = rows_and_outputs(Recipe(parts=24))
    warnings = judge(rows, outputs, CLASSES, LineConfig()).warnings
    assert any("role calibrate has" in warning for warning in warnings)
    assert any("role test has" in warning for warning in warnings)


def test_few_groups_are_warned_of() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    by_batch = rows.with_columns(("batch:" + pl.col("batch")).alias("group"))
    found = judge(by_batch, outputs, CLASSES, LineConfig())
    assert found.measured.resampled == "part"
    assert any("may be too narrow" in warning for warning in found.warnings)


def test_a_test_role_of_one_label_has_no_ranking() -> None:
    rows, outputs = rows_and_outputs(Recipe())
    good = rows.filter((pl.col("role") != "test") | (pl.col("label") == "good"))
    measured = judge(good, outputs, CLASSES, LineConfig()).measured
    assert (measured.auroc, measured.average_precision, measured.f2) == (None, None, None)
    assert measured.escapes.rate is None
    assert not measured.certificate["escapes"].proven


def test_counts_are_per_role(figures: Evaluation) -> None:
    rows, _ = rows_and_outputs(Recipe())
    assert set(figures.counts) == {"train", "calibrate", "test"}
    assert sum(count.frames for count in figures.counts.values()) == len(rows)
    test = figures.counts["test"]
    assert test.good_parts + test.defective_parts == test.parts == test.groups == 100
    assert (test.good_parts, test.defective_parts) == (figures.overkill.of, figures.escapes.of)


def test_figures_survive_being_written(figures: Evaluation) -> None:
    assert Evaluation.model_validate_json(figures.model_dump_json()) == figures
