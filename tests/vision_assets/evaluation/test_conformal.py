"""The stated false-reject rate holds in simulation, and what tightens it stays within the limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision_assets.config import LimitSettings
from vision_assets.evaluation.conformal import choose, cut_above, rank

LIMITS = LimitSettings(false_reject_rate=0.02, max_overkill_rate=0.1, max_review_share=0.1)


@pytest.mark.parametrize("parts", [19, 50, 99, 200])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("draw", ["normal", "standard_cauchy", "poisson"])
def test_a_further_good_part_is_rejected_at_most_at_the_stated_rate(
    parts: int, rate: float, draw: str
) -> None:
    rng = np.random.default_rng(1)
    sample = rng.poisson if draw == "poisson" else getattr(rng, draw)
    given_ = {"lam": 4.0} if draw == "poisson" else {}
    rejected, draws = 0, 4000
    for _ in range(draws):
        scores = np.asarray(sample(size=parts + 1, **given_), np.float64)
        rejected += scores[-1] >= cut_above(np.sort(scores[:-1]), rate)
    error = 4 * math.sqrt(rate * (1 - rate) / draws)
    assert rejected / draws <= rate + error
    if draw != "poisson":  # with ties it is rejected less often
        above_the_next = 1 - (rank(parts, rate) + 1) / (parts + 1)
        assert rejected / draws >= above_the_next - error


@given(
    good=st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60),
    bad=st.lists(st.floats(-1e3, 1e3), max_size=8),
)
def test_no_more_good_parts_are_rejected_than_allowed(good: list[float], bad: list[float]) -> None:
    banded, closed, promise = choose(np.array(good), np.array(bad), LIMITS)
    assert 0 <= banded.pass_below <= banded.reject_from
    assert closed.pass_below <= closed.reject_from
    rejected = sum(banded.calibrated(score) >= banded.reject_from for score in good)
    assert rejected <= LIMITS.max_overkill_rate * (len(good) + 1)
    assert f"{len(good)} good parts" in promise


def test_few_good_parts_reject_nothing_and_say_so() -> None:
    banded, closed, promise = choose(np.array([0.0, 1.0, 2.0]), np.array([50.0]), LIMITS)
    assert banded.reject_from == closed.reject_from == 1.0
    assert banded.calibrated(1.9) < banded.pass_below <= banded.calibrated(50.0)
    assert "too few" in promise
    assert "9 are needed" in promise


def test_known_defects_tighten_the_cut_within_the_limit() -> None:
    good = np.arange(100.0)
    loose, _, stated = choose(good, np.array([]), LIMITS)
    tight, _, raised = choose(good, np.array([94.5, 10.0]), LIMITS)
    assert loose.calibrated(94.5) < loose.reject_from
    assert tight.calibrated(94.5) >= tight.reject_from
    assert tight.calibrated(10.0) < tight.pass_below  # rejecting it would reject nine of ten
    assert "at most 2 %" in stated
    assert "at most 10 %" in raised


def test_defects_that_are_rejected_anyway_change_nothing() -> None:
    good = np.arange(100.0)
    assert choose(good, np.array([500.0]), LIMITS) == choose(good, np.array([]), LIMITS)
