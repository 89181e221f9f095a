from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.limits import Limits, RateLimits


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_limit_by_default() -> None:
    rates = RateLimits(Limits())
    assert not any(rates.wait_s("a", "l", 10**9) for _ in range(10_000))


def test_burst_is_taken_and_then_the_rate() -> None:
    clock = Clock()
    rates = RateLimits(Limits(requests_per_s=10, burst_s=2), clock)
    assert [rates.wait_s("a", "l", 1) for _ in range(20)] == [0.0] * 20
    wait_s = rates.wait_s("a", "l", 1)
    assert wait_s == pytest.approx(0.1)
    clock.now += wait_s + 1e-6
    assert rates.wait_s("a", "l", 1) == 0.0
    assert rates.wait_s("a", "l", 1) > 0


def test_identities_and_lines_have_their_own() -> None:
    rates = RateLimits(Limits(requests_per_s=1, burst_s=1), Clock())
    assert rates.wait_s("a", "l", 1) == 0.0
    assert rates.wait_s("a", "l", 1) > 0
    assert rates.wait_s("b", "l", 1) == 0.0
    assert rates.wait_s("a", "m", 1) == 0.0


def test_frame_larger_than_the_burst_passes_when_nothing_is_owed() -> None:
    clock = Clock()
    rates = RateLimits(Limits(bytes_per_s=100, burst_s=1), clock)
    assert rates.wait_s("a", "l", 1_000) == 0.0
    assert rates.wait_s("a", "l", 1_000) == pytest.approx(10.0)
    clock.now += 10.001
    assert rates.wait_s("a", "l", 1_000) == 0.0


@given(
    st.floats(0.5, 100),
    st.floats(0.5, 5),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300)), min_size=1, max_size=60),
)
def test_never_more_than_rate_and_burst(
    rate: float, burst_s: float, asked: list[tuple[float, int]]
) -> None:
    clock = Clock()
    rates = RateLimits(Limits(requests_per_s=rate, burst_s=burst_s), clock)
    taken, began = 0, clock.now
    for pause, size in asked:
        clock.now += pause
        wait_s = rates.wait_s("a", "l", size)
        assert math.isfinite(wait_s)
        taken += wait_s == 0
    burst = max(rate * burst_s, 1.0)
    assert taken <= burst + rate * (clock.now - began) + 1


@given(st.floats(0.5, 100), st.floats(1, 1e4), st.integers(0, 10**5))
def test_hint_is_long_enough(requests: float, size: float, asked: int) -> None:
    clock = Clock()
    rates = RateLimits(Limits(requests, size, burst_s=1), clock)
    while not (wait_s := rates.wait_s("a", "l", asked)):
        pass
    clock.now += wait_s * 1.0001 + 1e-6
    assert rates.wait_s("a", "l", asked) == 0.0
