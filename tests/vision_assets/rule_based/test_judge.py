"""What a check may pass: nothing, until `calibrate` has shown that it can tell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_assets.config import LineConfig
from vision_assets.rule_based.judge import EVERYTHING_REVIEWED, judge, separation, thresholds_of
from vision_assets.rule_based.make import COMPARED

SETTINGS = LineConfig(products=("a",), cameras=("top",))


def table(
    good: Sequence[float], bad: Sequence[float] = (), correlation: float = 0.95, outside: int = 0
) -> pl.DataFrame:
    """Parts by the mass of their heaviest place; the first `outside` good ones leave a limit."""
    masses = [("good", mass) for mass in good] + [("defect", mass) for mass in bad]
    return pl.DataFrame(
        [
            (str(number), label, math.log1p(mass), number < outside, correlation)
            for number, (label, mass) in enumerate(masses)
        ],
        schema=COMPARED,
        orient="row",
    )


def test_good_parts_alone_give_limits_with_a_margin() -> None:
    found = judge(table([0.0] * 19 + [2.0]), SETTINGS, sighted=0.9)
    assert not found.why
    rule = found.rule.default
    for mass, verdict in ((0, "PASS"), (3.4, "PASS"), (3.6, "REVIEW"), (10, "REVIEW"), (11, "no")):
        p = rule.calibrated(math.log1p(mass))
        label = "PASS" if p < rule.pass_below else "REVIEW" if p < rule.reject_from else "no"
        assert label == verdict, mass
    assert found.rule.products == ("a",)
    assert found.rule.cameras == ("top",)


@given(st.lists(st.floats(0, 1000), min_size=10, max_size=40))
def test_no_good_part_of_calibrate_is_rejected_by_limits_from_good_parts(
    masses: list[float],
) -> None:
    rule = thresholds_of(table(masses), SETTINGS)
    assert all(rule.calibrated(math.log1p(mass)) < rule.pass_below for mass in masses)
    assert rule.pass_below < rule.reject_from


def test_defects_that_stand_out_give_a_rule_that_tells_them() -> None:
    found = judge(table([0.1] * 30, [20.0] * 15), SETTINGS, sighted=0.1)
    assert not found.why
    assert found.figures["good_passed"] == 30
    assert found.figures["defective_passed"] == 0


@pytest.mark.parametrize(
    ("frames", "sighted", "why"),
    [
        (table([0.0] * 9), 0.9, "9 good parts"),
        (table([0.0] * 20, correlation=0.3), 0.9, "nothing to lay them on"),
        (table([0.0] * 20), 0.2, "see a change of 64 grey levels in 20% of the template only"),
        (table([0.0] * 20, outside=15), 0.9, "pass 5 of 20 good parts"),
        (table([1.0, 5.0] * 10, [0.0] * 4), 0.9, "pass 4 of 4 defective parts"),
        (table([0.0, 3.0, 9.0] * 10, [0.0, 3.0, 9.0] * 10), 0.9, "good parts"),
    ],
)
def test_a_check_of_no_use_reviews_everything_and_says_why(
    frames: pl.DataFrame, sighted: float, why: str
) -> None:
    found = judge(frames, SETTINGS, sighted)
    assert why in found.why
    assert found.rule.default == EVERYTHING_REVIEWED


@given(st.floats(0, 1e6))
def test_everything_reviewed_means_everything(mass: float) -> None:
    p = EVERYTHING_REVIEWED.calibrated(math.log1p(mass))
    assert EVERYTHING_REVIEWED.pass_below <= p < EVERYTHING_REVIEWED.reject_from


def test_separation_needs_defects() -> None:
    assert separation(table([0.0] * 10)) == 0.5
    assert separation(table([0.0] * 10, [1.0] * 4)) == 0.5
    assert separation(table([0.0] * 10, [1.0] * 5)) == 1
    assert separation(table([0.0, 2.0] * 5, [1.0] * 5)) == 0.5
