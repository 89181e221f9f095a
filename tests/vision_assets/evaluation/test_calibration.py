from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from vision_assets.evaluation.calibration import Scale, expected_error, fit, reliability
from vision_assets.evaluation.intervals import Bools, Floats


def _bells(rng: np.random.Generator, count: int, distance: float) -> tuple[Floats, Bools]:
    defective = rng.random(count) < 0.4
    return rng.normal(size=count) + distance * defective, defective


def _apply(scale: Scale, score: Floats) -> Floats:
    return np.asarray(expit(score / scale.temperature + scale.bias), np.float64)


def test_with_many_parts_it_is_logistic_regression() -> None:
    score, defective = _bells(np.random.default_rng(0), 20_000, 2.0)
    scale = fit(score, defective, np.ones(len(score)))
    oracle = LogisticRegression(C=np.inf).fit(score[:, None], defective)
    assert 1 / scale.temperature == pytest.approx(oracle.coef_[0, 0], rel=0.01)
    assert scale.bias == pytest.approx(oracle.intercept_[0], rel=0.01)


def test_it_finds_the_scale_that_made_the_labels() -> None:
    rng = np.random.default_rng(1)
    score = 3 * rng.normal(size=20_000)
    defective = rng.random(20_000) < expit(score / 2.5 - 0.7)
    scale = fit(score, defective, np.ones(20_000))
    assert (scale.temperature, scale.bias) == pytest.approx((2.5, -0.7), rel=0.05)


@pytest.mark.parametrize("gap", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("each", [1, 3, 200])
def test_parts_that_are_separated_perfectly_do_not_become_certain(gap: float, each: int) -> None:
    score = np.r_[np.zeros(each), np.full(each, gap)]
    defective = np.arange(2 * each) >= each
    p = _apply(fit(score, defective, np.ones(2 * each)), score)
    least = 1 / (each + 2)  # Platt's target for a good part
    assert p[0] == pytest.approx(least, abs=0.15)
    assert p[0] > 0.5 * least
    assert p[-1] == pytest.approx(1 - p[0], abs=1e-6)


def test_scores_that_mislead_still_rise_with_badness() -> None:
    score, defective = _bells(np.random.default_rng(2), 300, 2.0)
    scale = fit(-score, defective, np.ones(300))
    assert 0 < scale.temperature < np.inf
    assert np.ptp(_apply(scale, -score)) < 0.2


def test_scores_that_are_all_equal_give_the_share_of_defects() -> None:
    defective = np.arange(100) < 30
    scale = fit(np.full(100, 7.0), defective, np.ones(100))
    assert _apply(scale, np.array([7.0]))[0] == pytest.approx(0.3, abs=0.02)


def test_ten_frames_of_a_part_count_as_one() -> None:
    score, defective = _bells(np.random.default_rng(3), 60, 1.5)
    once = fit(score, defective, np.ones(60))
    tenfold = fit(np.repeat(score, 10), np.repeat(defective, 10), np.full(600, 0.1))
    assert (tenfold.temperature, tenfold.bias) == pytest.approx((once.temperature, once.bias))


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-50, 50))
def test_probabilities_do_not_depend_on_the_unit_of_the_scores(
    seed: int, unit: float, shift: float
) -> None:
    score, defective = _bells(np.random.default_rng(seed), 40, 2.0)
    if defective.all() or not defective.any():
        return
    weight = np.ones(40)
    here = _apply(fit(score, defective, weight), score)
    there = _apply(fit(unit * score + shift, defective, weight), unit * score + shift)
    assert there == pytest.approx(here, abs=1e-4)


def test_bins_worked_by_hand() -> None:
    p = np.array([0.05, 0.09, 0.92, 1.0])
    defective = np.array([False, True, True, True])
    low, high = reliability(p, defective, 0.95)
    assert (low.from_p, low.to_p, low.frames) == (0.0, 0.1, 2)
    assert (low.defective.count, low.defective.of) == (1, 2)
    assert (high.from_p, high.to_p, high.frames) == (0.9, 1.0, 2)
    assert (low.mean_p, high.mean_p) == pytest.approx((0.07, 0.96))
    assert expected_error((low, high)) == pytest.approx(0.5 * (0.5 - 0.07) + 0.5 * (1 - 0.96))


def test_calibrated_scores_have_a_small_error() -> None:
    rng = np.random.default_rng(4)
    p = rng.random(50_000)
    bins = reliability(p, rng.random(50_000) < p, 0.95)
    assert [part.frames for part in bins] == pytest.approx([5000] * 10, rel=0.05)
    assert expected_error(bins) < 0.01
    assert expected_error(reliability(p, rng.random(50_000) < 0.5, 0.95)) > 0.2
