"""The statistics of the A/B report, against scipy, published examples and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from inspection.decision import Label
from store.errors import InvalidInput
from vision_assets.deployment.differences import (
    paired,
    paired_interval,
    unpaired,
    unpaired_interval,
)

P, V, R = Label.PASS, Label.REVIEW, Label.REJECT
counts = st.integers(0, 60)
tables = st.tuples(counts, counts, counts, counts).filter(any)


def test_mcnemar_by_hand() -> None:
    """Nine parts differ, eight of them one way: 2 (C(9,0) + C(9,1)) / 2^9."""
    reject, review = paired([(P, R)] * 8 + [(R, P)] + [(P, P)] * 91)
    assert (reject.only_new, reject.only_old) == (8, 1)
    assert reject.p == pytest.approx(2 * (1 + 9) / 2**9)
    assert reject.difference == pytest.approx(0.07)
    assert (reject.old.count, reject.new.count, reject.old.of) == (1, 8, 100)
    assert (review.p, review.difference) == (1.0, 0.0)


@given(st.integers(1, 40), st.integers(0, 40))
def test_mcnemar_is_the_binomial_test(more: int, fewer: int) -> None:
    reject, _ = paired([(V, R)] * more + [(R, V)] * fewer + [(P, P)] * 3)
    tail = binom.cdf(min(more, fewer), more + fewer, 0.5)
    assert reject.p == pytest.approx(min(1.0, 2 * tail))


def test_published_examples() -> None:
    """Newcombe 1998: independent 56/70 against 48/80; paired 36, 12, 2, 0."""
    low, high = unpaired_interval((48, 80), (56, 70), 0.95)
    assert [low, high] == pytest.approx([0.0524, 0.3339], abs=5e-5)
    low, high = paired_interval(36, 2, 12, 0, 0.95)
    assert [low, high] == pytest.approx([0.0569, 0.3404], abs=5e-5)


@given(tables)
def test_laws_of_the_paired_interval(table: tuple[int, int, int, int]) -> None:
    both, old, new, neither = table
    parts = sum(table)
    low, high = paired_interval(both, old, new, neither, 0.95)
    assert -1 - 1e-9 <= low <= (new - old) / parts + 1e-9
    assert (new - old) / parts - 1e-9 <= high <= 1 + 1e-9
    assert high - low > 0  # nothing is known exactly, also when no part differs
    swapped = paired_interval(both, new, old, neither, 0.95)
    assert list(swapped) == pytest.approx([-high, -low], abs=1e-9)
    wide = paired_interval(both, old, new, neither, 0.99)
    assert wide[0] <= low + 1e-9
    assert wide[1] >= high - 1e-9


@pytest.mark.parametrize(
    ("parts", "rates"),
    [(30, (0.05, 0.10, 0.02, 0.83)), (200, (0.02, 0.03, 0.01, 0.94)), (50, (0.3, 0.1, 0.1, 0.5))],
)
def test_the_paired_interval_covers(parts: int, rates: tuple[float, ...]) -> None:
    drawn = np.random.default_rng(0).multinomial(parts, rates, 500)
    truth = rates[2] - rates[1]
    inside = 0
    for both, old, new, neither in drawn.tolist():
        low, high = paired_interval(both, old, new, neither, 0.95)
        inside += low <= truth <= high
    assert inside / 500 > 0.93


def test_two_samples() -> None:
    reject, review = unpaired([R] * 5 + [P] * 95, [R] * 20 + [V] * 2 + [P] * 78)
    assert (reject.old.count, reject.new.count, reject.only_new) == (5, 20, None)
    assert reject.low > 0
    assert reject.p < 0.01
    assert review.low < 0 < review.high


def test_nothing_to_compare_is_said() -> None:
    with pytest.raises(InvalidInput, match="no part was judged by both"):
        paired([])
    with pytest.raises(InvalidInput, match="0 parts, the candidate 1"):
        unpaired([], [P])
