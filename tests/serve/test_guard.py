"""When a release is given up: the rule's laws, and its window."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.guard import Guard, GuardLimits, Tally, verdict

LIMITS = GuardLimits(frames=10, errors=2, latency_ms=5.0, slow=3)
counts = st.integers(0, 50)


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    errors, slow, others = draw(counts), draw(counts), draw(counts)
    return Tally(errors + slow + others, errors, slow)


@given(tallies(), counts, counts)
def test_more_faults_never_save_a_release(tally: Tally, errors: int, slow: int) -> None:
    worse = Tally(tally.frames + errors + slow, tally.errors + errors, tally.slow + slow)
    if verdict(tally, LIMITS):
        assert verdict(worse, LIMITS)


@given(tallies())
def test_it_is_given_up_beyond_a_limit_and_only_then(tally: Tally) -> None:
    assert bool(verdict(tally, LIMITS)) == (tally.errors > 2 or tally.slow > 3)
    assert not verdict(Tally(tally.frames, 2, 3), LIMITS)


@given(tallies())
def test_without_a_latency_limit_nothing_is_slow(tally: Tally) -> None:
    assert bool(verdict(tally, GuardLimits(errors=2))) == (tally.errors > 2)


@given(st.lists(st.sampled_from(["failed", "slow", "good"]), max_size=40))
def test_the_window_is_the_last_frames(done: list[str]) -> None:
    guard = Guard(LIMITS)
    for each in done:
        if each == "failed":
            guard.failed(1)
        else:
            guard.answered(1, 6.0 if each == "slow" else 5.0)
    last = done[-10:]
    assert guard.tally(1) == Tally(len(last), last.count("failed"), last.count("slow"))
    assert guard.tally(2) == Tally()


def test_a_release_is_forgotten_with_its_window() -> None:
    guard = Guard(LIMITS)
    for number in (1, 2):
        for _ in range(3):
            guard.failed(number)
    assert guard.verdict(1).startswith("its engine failed on 3 of the last 3 frames, 2 of 10")
    guard.keep({2})
    assert guard.verdict(1) == ""
    assert guard.verdict(2)


@pytest.mark.parametrize("threads", [8])
def test_counts_of_many_threads_are_all_kept(threads: int) -> None:
    guard = Guard(GuardLimits(frames=100_000, errors=0))

    def note() -> None:
        for _ in range(1000):
            guard.failed(1)

    each = [threading.Thread(target=note) for _ in range(threads)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()
    assert guard.tally(1).errors == 1000 * threads
