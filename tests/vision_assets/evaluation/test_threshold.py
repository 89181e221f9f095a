from __future__ import annotations

import math
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from inspection.decision import Thresholds
from store.errors import InvalidInput
from vision_assets.config import CostSettings, LimitSettings, LineConfig
from vision_assets.evaluation.intervals import Bools, Floats, upper_bound
from vision_assets.evaluation.threshold import (
    SURE,
    Allowed,
    Cuts,
    Parts,
    cheapest,
    choose,
    most_within,
    smoothed,
)

scores = st.integers(1, 30).map(lambda value: value / 31)
samples = st.lists(st.tuples(scores, st.booleans()), min_size=1, max_size=25)
prices = st.floats(0.01, 100)
costs_of = st.builds(CostSettings, escape=prices, overkill=prices, review=prices)
FREE = Allowed(reviewed=math.inf)


def _parts(rows: list[tuple[float, bool]]) -> Parts:
    defective = np.array([row[1] for row in rows])
    return Parts(np.array([row[0] for row in rows]), defective, defective.astype(np.float64))


def _cost(parts: Parts, low: float, high: float, costs: CostSettings) -> float:
    passed, rejected = parts.p < low, parts.p >= high
    each = np.where(
        passed,
        costs.escape * parts.likely,
        np.where(rejected, costs.overkill * (1 - parts.likely), costs.review),
    )
    return float(each.mean())


def _best(parts: Parts, costs: CostSettings, allowed: Allowed) -> Cuts:
    found = cheapest(parts, costs, allowed)
    assert found is not None
    return found


@given(samples, costs_of, st.integers(0, 25))
def test_no_other_pair_of_cuts_is_cheaper(
    rows: list[tuple[float, bool]], costs: CostSettings, reviewed: int
) -> None:
    parts = _parts(rows)
    found = _best(parts, costs, Allowed(reviewed))
    assert found.cost == pytest.approx(_cost(parts, found.pass_below, found.reject_from, costs))
    grid = np.arange(0, 32) / 31 + 0.5 / 31  # a cut between each pair of possible scores
    others = [
        _cost(parts, low, high, costs)
        for low, high in product(grid - 1 / 31, grid)
        if low <= high and ((parts.p >= low) & (parts.p < high)).sum() <= reviewed
    ]
    assert found.cost <= min(others) + 1e-9


@given(samples, costs_of)
def test_it_never_costs_more_than_treating_all_parts_alike(
    rows: list[tuple[float, bool]], costs: CostSettings
) -> None:
    parts = _parts(rows)
    share = float(parts.defective.mean())
    found = _best(parts, costs, FREE)
    assert found.cost <= costs.escape * share + 1e-9  # all passed
    assert found.cost <= costs.overkill * (1 - share) + 1e-9  # all rejected
    assert found.cost <= costs.review + 1e-9  # all reviewed


@given(samples, costs_of, st.floats(1, 1000), st.integers(0, 25))
def test_a_dearer_escape_never_raises_the_cut_below_which_parts_pass(
    rows: list[tuple[float, bool]], costs: CostSettings, factor: float, reviewed: int
) -> None:
    dearer = costs.model_copy(update={"escape": costs.escape * factor})
    parts = _parts(rows)
    before = _best(parts, costs, Allowed(reviewed))
    assert _best(parts, dearer, Allowed(reviewed)).pass_below <= before.pass_below


@given(samples, costs_of, st.integers(0, 25), st.floats(0.2, 5))
def test_only_the_order_of_scores_matters(
    rows: list[tuple[float, bool]], costs: CostSettings, reviewed: int, power: float
) -> None:
    parts = _parts(rows)
    other = Parts(parts.p**power, parts.defective, parts.likely)
    here, there = (_best(each, costs, Allowed(reviewed)) for each in (parts, other))
    assert ((parts.p < here.pass_below) == (other.p < there.pass_below)).all()
    assert ((parts.p >= here.reject_from) == (other.p >= there.reject_from)).all()


@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=25),
    costs_of,
    st.integers(0, 25),
)
def test_cuts_are_ordered_and_never_at_a_score(
    rows: list[tuple[float, bool]], costs: CostSettings, reviewed: int
) -> None:
    parts = _parts(rows)
    found = _best(parts, costs, Allowed(reviewed))
    assert 0 <= found.pass_below <= found.reject_from <= 1
    for cut in (found.pass_below, found.reject_from):
        assert cut == 0 or cut not in parts.p


@given(samples, costs_of, st.integers(0, 25), st.integers(0, 25), st.floats(0, 25))
def test_what_is_not_allowed_is_not_chosen(
    rows: list[tuple[float, bool]], costs: CostSettings, reviewed: int, killed: int, passed: float
) -> None:
    parts = _parts(rows)
    found = cheapest(parts, costs, Allowed(reviewed, killed, passed))
    if found is None:
        assert passed < parts.defective.sum()
        return
    is_passed, is_rejected = parts.p < found.pass_below, parts.p >= found.reject_from
    assert (~is_passed & ~is_rejected).sum() <= reviewed
    assert (~parts.defective & is_rejected).sum() <= killed
    assert (parts.defective & is_passed).sum() <= passed + 1e-6


def test_the_cut_between_two_parts_is_midway_in_log_odds() -> None:
    parts = _parts([(0.01, False), (0.99, True)])
    found = _best(parts, CostSettings(), Allowed(0))
    assert found.pass_below == found.reject_from == pytest.approx(0.5)
    uneven = _best(_parts([(0.001, False), (0.5, True)]), CostSettings(), Allowed(0))
    assert uneven.pass_below == pytest.approx(1 / (1 + math.sqrt(999)))


def test_good_parts_alone_do_not_put_the_cut_at_their_minimum() -> None:
    parts = _parts([(0.1, False), (0.2, False), (0.3, False)])
    found = _best(parts, CostSettings(), Allowed(0))
    assert found.pass_below == pytest.approx(0.65)  # halfway from the highest to 1


def test_when_nothing_may_pass_no_lower_score_passes_either() -> None:
    found = _best(_parts([(0.1, True), (0.2, True)]), CostSettings(), Allowed(0))
    assert found.pass_below == 0.0


def test_worked_by_hand() -> None:
    # good at .1 .2 .4, defects at .3 .8 .9: passing below .25, reviewing .3 and .4, rejecting the
    # rest costs 2 reviews; without review, .4 is an overkill of 1.
    rows = [(0.1, False), (0.2, False), (0.3, True), (0.4, False), (0.8, True), (0.9, True)]
    costs = CostSettings(escape=50, overkill=1, review=0.3)
    banded = _best(_parts(rows), costs, Allowed(2))
    assert 0.2 < banded.pass_below < 0.3
    assert 0.4 < banded.reject_from < 0.8
    assert banded.cost == pytest.approx(0.6 / 6)
    closed = _best(_parts(rows), costs, Allowed(0))
    assert 0.2 < closed.pass_below == closed.reject_from < 0.3
    assert closed.cost == pytest.approx(1 / 6)


def test_scores_one_step_apart_are_cut_together() -> None:
    low = 0.5
    parts = _parts([(low, False), (math.nextafter(low, 1), True)])
    found = _best(parts, CostSettings(escape=1, overkill=1, review=9), FREE)
    assert found.cost == pytest.approx(0.5)


def test_the_search_is_exact_and_quick_with_many_parts() -> None:
    rng = np.random.default_rng(0)
    defective = rng.random(5000) < 0.1
    p = np.asarray(norm.cdf(rng.normal(size=5000) + 2 * defective - 1), np.float64)
    parts = Parts(p, defective, smoothed(defective, p))
    found = _best(parts, CostSettings(), Allowed(500))
    assert 0 < found.pass_below < found.reject_from < 1


@pytest.mark.parametrize(
    ("p", "likely"), [([], []), ([1.5], [0.0]), ([float("nan")], [0.0]), ([0.5], [-0.1])]
)
def test_parts_that_cannot_be_are_refused(p: list[float], likely: list[float]) -> None:
    with pytest.raises(InvalidInput, match="expected"):
        Parts(np.array(p), np.zeros(len(p), np.bool_), np.array(likely))


@given(st.integers(0, 300), st.floats(0, 1), st.sampled_from(SURE))
def test_most_within_is_the_largest_count_that_keeps_the_limit(
    parts: int, limit: float, sure: float
) -> None:
    keep = [count for count in range(parts + 1) if upper_bound(count, parts, sure) <= limit]
    assert most_within(parts, limit, sure) == max(keep, default=0)


def _frames(score: Floats, defective: Bools, per_part: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "part": [f"p{index // per_part}" for index in range(len(score))],
            "label": ["defect" if bad else "good" for bad in defective],
            "score": score.astype(np.float32),
        },
        schema={"part": pl.String, "label": pl.String, "score": pl.Float32},
    )


def _drawn(rng: np.random.Generator, bad: int, good: int, distance: float) -> pl.DataFrame:
    defective = np.arange(bad + good) < bad
    return _frames(rng.normal(size=bad + good) + distance * defective, defective)


@pytest.mark.parametrize(("bad", "good"), [(0, 20), (20, 0)])
def test_without_both_labels_everything_is_reviewed(bad: int, good: int) -> None:
    chosen = choose(_drawn(np.random.default_rng(0), bad, good, 3.0), LineConfig())
    assert (chosen.banded.pass_below, chosen.banded.reject_from) == (0.0, 1.0)
    assert chosen.closed == chosen.banded
    assert f"{bad} defective and {good} good parts" in chosen.warnings[0]


def test_an_empty_role_is_reviewed_too() -> None:
    chosen = choose(_drawn(np.random.default_rng(0), 0, 0, 3.0), LineConfig())
    assert chosen.banded.reject_from == 1.0


def test_one_part_of_each_label_is_enough_and_warned_of() -> None:
    chosen = choose(_drawn(np.random.default_rng(0), 1, 1, 9.0), LineConfig())
    assert 0 < chosen.banded.pass_below <= chosen.banded.reject_from < 1
    assert "thresholds are guesses" in chosen.warnings[0]


def test_a_part_is_decided_by_its_worst_frame() -> None:
    score = np.array([0.0, 5.0] * 20 + [0.0, 1.0] * 20)
    defective = np.arange(80) < 40
    chosen = choose(_frames(score, defective, per_part=2), LineConfig())
    between = chosen.closed.calibrated(3.0)
    assert chosen.closed.pass_below == pytest.approx(between)


def test_limits_bind_where_they_can_be_kept() -> None:
    frames = _drawn(np.random.default_rng(1), 60, 300, 2.4)
    narrow = LimitSettings(max_overkill_rate=0.1, max_escape_rate=0.3)
    wide = LimitSettings(max_overkill_rate=1.0, max_escape_rate=0.3)
    kept, free = (choose(frames, LineConfig(limits=limits)) for limits in (narrow, wide))
    assert kept.warnings == free.warnings == ()
    assert kept.banded.reject_from > free.banded.reject_from
    assert kept.closed.reject_from > free.closed.reject_from
    for chosen in (kept, free):
        assert chosen.closed.pass_below == chosen.closed.reject_from
        assert chosen.banded.pass_below < chosen.banded.reject_from
    good = frames.filter(pl.col("label") == "good")["score"]
    rejected = [kept.banded.calibrated(score) >= kept.banded.reject_from for score in good]
    assert upper_bound(sum(rejected), len(rejected), SURE[-1]) <= 0.1


def test_limits_that_nothing_keeps_leave_the_choice_to_costs() -> None:
    frames = _drawn(np.random.default_rng(1), 60, 100, 0.5)
    wide = LimitSettings(max_overkill_rate=1.0, max_escape_rate=1.0)
    kept, free = choose(frames, LineConfig()), choose(frames, LineConfig(limits=wide))
    assert kept.banded == free.banded
    assert "no thresholds keep all" in kept.warnings[0]


def test_the_review_share_is_likely_to_be_kept_on_other_parts() -> None:
    rng, within = np.random.default_rng(5), []
    for _ in range(60):
        banded = choose(_drawn(rng, 30, 170, 2.5), LineConfig()).banded
        share = _shares(banded, 0.15, 2.5)[2]
        within.append(share <= 0.1)
    assert np.mean(within) > 0.85


def test_a_label_smoothed_by_its_score_lets_fewer_defects_escape() -> None:
    """Ten defects show nothing below the lowest of them; their calibrated scores do."""
    rng, smooth, hard = np.random.default_rng(6), [], []
    limits = LimitSettings(max_overkill_rate=1.0, max_escape_rate=1.0)
    for _ in range(60):
        frames = _drawn(rng, 10, 18, 3.0)
        banded = choose(frames, LineConfig(limits=limits)).banded
        p = np.array([banded.calibrated(score) for score in frames["score"]])
        defective = (frames["label"] == "defect").to_numpy()
        parts = Parts(p, defective, defective.astype(np.float64))
        cuts = _best(parts, CostSettings(), Allowed(most_within(28, 0.1, SURE[0])))
        other = banded.model_copy(
            update={"pass_below": cuts.pass_below, "reject_from": cuts.reject_from}
        )
        smooth.append(_true_cost(banded, 10 / 28, 3.0))
        hard.append(_true_cost(other, 10 / 28, 3.0))
    assert np.mean(smooth) < 0.7 * np.mean(hard)


def _shares(found: Thresholds, rate: float, distance: float) -> tuple[float, float, float]:
    """True escape rate, overkill rate and review share of thresholds on the two bells."""
    low, high = (
        (math.log(cut / (1 - cut)) - found.bias) * found.temperature if cut else -math.inf
        for cut in (found.pass_below, found.reject_from)
    )
    escaped, killed = norm.cdf(low - distance), norm.sf(high)
    bad = norm.cdf(high - distance) - escaped
    good = norm.cdf(high) - norm.cdf(low)
    return float(escaped), float(killed), float(rate * bad + (1 - rate) * good)


def _true_cost(found: Thresholds, rate: float, distance: float) -> float:
    costs = CostSettings()
    escaped, killed, seen = _shares(found, rate, distance)
    return (
        rate * costs.escape * escaped + (1 - rate) * costs.overkill * killed + costs.review * seen
    )
