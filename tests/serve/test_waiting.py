"""Who waits for a worker, and since when, as the metrics tell it."""

from __future__ import annotations

import math

from serve.turns import Shares, Stream, Turns, Waiter

TOP, LEFT = Stream("turin/press-3", "top"), Stream("turin/press-3", "left")


def test_waiting_frames_are_told_by_stream_with_the_age_of_the_oldest() -> None:
    turns = Turns(1, Shares(), most_waiting=10)
    waiters = [Waiter(stream, math.inf, lambda _: None) for stream in (TOP, TOP, TOP, LEFT)]
    assert turns.ask(waiters[0])
    assert turns.waiting_since() == {}
    for waiter in waiters[1:]:
        assert not turns.ask(waiter)
    waiters[1].since -= 5.0
    found = turns.waiting_since()
    assert {stream: count for stream, (count, _) in found.items()} == {TOP: 2, LEFT: 1}
    assert found[TOP][1] >= 5.0 > found[LEFT][1] >= 0.0
    for _ in waiters:
        turns.give_back()
    assert turns.waiting_since() == {}
