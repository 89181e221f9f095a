from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm

from store.errors import InvalidInput
from vision_assets.evaluation.intervals import (
    Floats,
    Ints,
    auroc_interval,
    auroc_variance,
    clopper_pearson,
    design_effect,
    percentiles,
    resamples,
    upper_bound,
)

shares = st.floats(0.5, 0.999)


@given(st.integers(0, 400), st.integers(0, 400), shares)
def test_clopper_pearson_equals_scipy(count: int, rest: int, confidence: float) -> None:
    of = count + rest
    low, high = clopper_pearson(count, of, confidence)
    if of == 0:
        assert (low, high) == (0.0, 1.0)
        return
    oracle = binomtest(count, of).proportion_ci(confidence, method="exact")
    assert (low, high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)


@given(st.integers(0, 400), st.integers(1, 400), shares)
def test_the_upper_bound_equals_scipy(count: int, rest: int, confidence: float) -> None:
    of = count + rest
    oracle = binomtest(count, of, alternative="less").proportion_ci(confidence, method="exact")
    assert upper_bound(count, of, confidence) == pytest.approx(oracle.high, abs=1e-12)


def test_nothing_seen_in_n_parts_leaves_the_root_of_alpha() -> None:
    assert upper_bound(0, 29, 0.95) == pytest.approx(1 - 0.05 ** (1 / 29))
    assert upper_bound(0, 300, 0.95) == pytest.approx(3 / 300, rel=0.01)  # the rule of three
    assert upper_bound(5, 5, 0.95) == 1.0


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.2, 0.5, 0.97])
@pytest.mark.parametrize("of", [5, 29, 110])
def test_clopper_pearson_covers_at_least_as_often_as_it_says(of: int, rate: float) -> None:
    counts = np.arange(of + 1)
    intervals = [clopper_pearson(int(count), of, 0.95) for count in counts]
    bounds = [upper_bound(int(count), of, 0.95) for count in counts]
    chance = binom.pmf(counts, of, rate)
    assert (
        sum(c for c, (low, high) in zip(chance, intervals, strict=True) if low <= rate <= high)
        >= 0.95
    )
    assert sum(c for c, bound in zip(chance, bounds, strict=True) if rate <= bound) >= 0.95


@pytest.mark.parametrize(("count", "of"), [(-1, 5), (6, 5), (float("nan"), 5)])
def test_a_count_that_cannot_be_is_refused(count: float, of: float) -> None:
    with pytest.raises(InvalidInput, match="expected 0 <= count <= of"):
        clopper_pearson(count, of, 0.95)
    with pytest.raises(InvalidInput, match="expected 0 <= count <= of"):
        upper_bound(count, of, 0.95)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.1])
def test_a_confidence_that_is_no_share_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidInput, match=r"such as 0\.95"):
        clopper_pearson(1, 5, confidence)


def _alike(rng: np.random.Generator, groups: int, size: int, icc: float) -> tuple[Floats, Ints]:
    """Scores of which `icc` of the variance belongs to the group."""
    common = np.repeat(rng.normal(size=groups), size)
    own = rng.normal(size=groups * size)
    number = np.repeat(np.arange(groups), size)
    return np.sqrt(icc) * common + np.sqrt(1 - icc) * own, number


def test_parts_in_groups_of_their_own_count_fully() -> None:
    assert design_effect(np.arange(7.0), np.arange(7)) == 1.0


def test_copies_count_once() -> None:
    groups = np.repeat(np.arange(5), 6)
    assert design_effect(groups.astype(float), groups) == pytest.approx(6.0)


def test_one_group_counts_once() -> None:
    assert design_effect(np.arange(4.0), np.zeros(4, np.int64)) == 4.0


def test_scores_that_are_all_equal_tell_nothing_of_how_alike_parts_are() -> None:
    assert design_effect(np.ones(12), np.repeat(np.arange(4), 3)) == pytest.approx(3.0)


@pytest.mark.parametrize(("icc", "expected"), [(0.0, 1.0), (0.5, 3.0), (0.9, 4.6)])
def test_the_design_effect_follows_how_alike_parts_are(icc: float, expected: float) -> None:
    score, groups = _alike(np.random.default_rng(1), groups=4000, size=5, icc=icc)
    assert design_effect(score, groups) == pytest.approx(expected, abs=0.15)


@pytest.mark.parametrize(
    ("groups", "size", "icc", "rate"),
    [(20, 6, 0.8, 0.05), (20, 6, 0.8, 0.3), (10, 40, 0.05, 0.05), (5, 10, 0.3, 0.1)],
)
def test_rates_of_grouped_parts_are_covered(
    groups: int, size: int, icc: float, rate: float
) -> None:
    rng, hits, blind, runs = np.random.default_rng(2), 0, 0, 400
    for _ in range(runs):
        score, number = _alike(rng, groups, size, icc)
        failed = int((score < norm.ppf(rate)).sum())
        effect = design_effect(score, number)
        low, high = clopper_pearson(failed / effect, len(score) / effect, 0.95)
        hits += low <= rate <= high
        low, high = clopper_pearson(failed, len(score), 0.95)
        blind += low <= rate <= high
    assert hits / runs >= 0.93  # 0.95 less two standard errors of 400 runs
    assert blind < hits


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 99))
def test_resamples_draw_whole_groups(names: list[int], seed: int) -> None:
    groups = np.array(names)
    weights = np.concatenate(list(resamples(groups, 20, seed)))
    assert weights.shape == (20, len(groups))
    _, first = np.unique(groups, return_index=True)
    for name, index in zip(np.unique(groups), first, strict=True):
        assert (weights[:, groups == name] == weights[:, [index]]).all()
    assert (weights[:, first].sum(axis=1) == len(first)).all()
    assert (weights == np.concatenate(list(resamples(groups, 20, seed)))).all()


def test_resamples_come_in_bounded_pieces() -> None:
    pieces = list(resamples(np.arange(1_000_000), 10, 0))
    assert [len(piece) for piece in pieces] == [4, 4, 2]


def test_percentiles_leave_half_the_risk_on_each_side() -> None:
    assert percentiles(np.arange(101.0), 0.9) == pytest.approx((5.0, 95.0))


def test_the_auroc_interval_solves_its_equation() -> None:
    low, high = auroc_interval(0.9, 1.7, (20, 30), 19, 0.95)
    factor = 2.0930240544082634**2 * 1.7  # t(19) at 0.975
    for bound in (low, high):
        assert (0.9 - bound) ** 2 == pytest.approx(factor * auroc_variance(bound, (20, 30)))
    assert low < 0.9 < high


def test_perfect_ranking_is_not_certainty() -> None:
    low, high = auroc_interval(1.0, 1.0, (5, 5), 4, 0.95)
    assert low < 0.7
    assert high == 1.0
    assert auroc_interval(0.0, 1.0, (5, 5), 4, 0.95) == pytest.approx((0.0, 1 - low))


def test_the_variance_is_the_one_of_hanley_and_mcneil() -> None:
    # Worked by hand for A = 0.8, m = n = 2: 0.16 / 4 * (1 + 0.2 / 1.2 + 0.8 / 1.8)
    assert auroc_variance(0.8, (2, 2)) == pytest.approx(0.04 * (1 + 1 / 6 + 4 / 9))
