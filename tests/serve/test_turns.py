"""Who is next: fair by weight, bounded, and never later than the deadline."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.turns import LATE, QUEUE_FULL, Shares, Stream, Turns, Waiter

BURST, CALM = Stream("turin/press-3", "burst"), Stream("turin/press-3", "calm")
NEVER = math.inf


class Queue:
    """Turns of one worker that is taken, and what the waiters are told, in order."""

    def __init__(self, weights: dict[str, float] | None = None, most_waiting: int = 1000) -> None:
        self.turns = Turns(1, Shares(weights or {}), most_waiting)
        self.told: list[tuple[Stream, str]] = []
        assert self.turns.take(CALM, NEVER) == ""

    def ask(self, stream: Stream, deadline: float = NEVER) -> bool:
        return self.turns.ask(Waiter(stream, deadline, lambda why: self.told.append((stream, why))))

    def order(self) -> list[Stream]:
        """Give turns back until nobody waits."""
        while not self.turns.is_idle:
            self.turns.give_back()
        return [stream for stream, why in self.told if not why]


def test_a_burst_of_one_camera_delays_another_by_no_more_than_one_frame() -> None:
    queue = Queue()
    for _ in range(50):
        assert not queue.ask(BURST)
    assert not queue.ask(CALM)
    assert queue.order().index(CALM) <= 1
    assert queue.turns.waiting() == {}


@given(
    weights=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=2, max_size=4),
    turns=st.integers(8, 60),
)
def test_backlogged_streams_get_turns_by_weight(weights: list[int], turns: int) -> None:
    streams = [Stream("turin/press-3", f"c{number}") for number in range(len(weights))]
    queue = Queue({f"{s.line}/{s.camera}": w for s, w in zip(streams, weights, strict=True)})
    for _ in range(turns):
        for stream in streams:
            queue.ask(stream)
    served = Counter(queue.order()[:turns])
    for stream, weight in zip(streams, weights, strict=True):
        # Start-time fair queueing: never further from the share than one frame of each stream.
        share = turns * weight / sum(weights)
        assert abs(served[stream] - share) <= len(weights)


@given(st.lists(st.sampled_from([BURST, CALM]), max_size=40))
def test_frames_of_one_stream_keep_their_order(arrivals: list[Stream]) -> None:
    turns, begun = Turns(1, Shares(), 1000), []
    assert turns.take(CALM, NEVER) == ""
    for number, stream in enumerate(arrivals):
        turns.ask(Waiter(stream, NEVER, lambda _, n=number: begun.append(n)))  # type: ignore[misc]
    while not turns.is_idle:
        turns.give_back()
    assert sorted(begun) == list(range(len(arrivals)))
    for stream in (BURST, CALM):
        own = [number for number in begun if arrivals[number] == stream]
        assert own == sorted(own)


def test_a_line_has_its_weight_for_all_its_cameras() -> None:
    shares = Shares({"turin/press-3": 3.0, "turin/press-3/burst": 0.5})
    assert (shares.of(CALM), shares.of(BURST), shares.of(Stream("x/y", ""))) == (3.0, 0.5, 1.0)


def test_a_full_queue_refuses_at_once_and_only_its_own_stream() -> None:
    queue = Queue(most_waiting=2)
    for _ in range(3):
        queue.ask(BURST)
    assert queue.told == [(BURST, QUEUE_FULL)]
    queue.ask(CALM)
    assert queue.turns.waiting() == {BURST: 2, CALM: 1}


def test_who_waits_in_a_thread_is_told_when_the_time_is_over() -> None:
    queue = Queue()
    assert queue.turns.take(BURST, time.monotonic() + 0.02) == LATE
    assert queue.turns.waiting() == {}
    assert queue.order() == []


def test_who_has_no_thread_is_told_by_expire_or_when_a_turn_ends() -> None:
    queue = Queue()
    queue.ask(BURST, time.monotonic() - 1)
    queue.ask(CALM)
    queue.turns.expire()
    assert queue.told == [(BURST, LATE)]
    queue.ask(BURST, time.monotonic() - 1)
    assert queue.order() == [CALM]
    assert queue.told == [(BURST, LATE), (CALM, ""), (BURST, LATE)]


def test_many_who_gave_up_leave_nothing_behind() -> None:
    queue = Queue()
    for _ in range(1000):
        queue.ask(BURST, time.monotonic() - 1)
        queue.turns.expire()
    assert len(queue.turns._heap) < 100
    assert len(queue.told) == 1000


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_never_hold_more_turns_than_there_are_workers(workers: int) -> None:
    turns = Turns(workers, Shares(), 1000)
    lock, holding, most, taken = threading.Lock(), 0, 0, Counter[str]()

    def work(camera: str) -> None:
        nonlocal holding, most
        for _ in range(200):
            why = turns.take(Stream("turin/press-3", camera), time.monotonic() + 0.0005)
            with lock:
                taken[why] += 1
                if why:
                    continue
                holding += 1
                most = max(most, holding)
            with lock:
                holding -= 1
            turns.give_back()

    threads = [threading.Thread(target=work, args=(f"c{n % 3}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= workers
    assert taken.total() == 1600
    assert taken[""] > 0
    assert turns.is_idle
    assert turns.waiting() == {}


def test_names_of_cameras_do_not_gather_while_others_wait() -> None:
    turns = Turns(1, Shares(), most_waiting=4)
    assert turns.take(Stream("a/b", "first"), math.inf) == ""
    steady = Waiter(Stream("a/b", "steady"), math.inf, lambda _: None)
    turns.ask(steady)
    for number in range(2000):
        invented = Waiter(Stream("a/b", f"c{number}"), math.inf, lambda _: None)
        turns.ask(invented)
        turns.ask(Waiter(steady.stream, math.inf, lambda _: None))
        turns.give_back()
        turns.give_back()
    assert len(turns._finish) < 200
    assert len(turns._waiting) < 200


def test_a_known_camera_is_not_starved_by_an_endless_row_of_new_names() -> None:
    turns = Turns(1, Shares(), most_waiting=64)
    told: list[str] = []
    assert turns.take(Stream("a/b", "known"), math.inf) == ""
    turns.ask(Waiter(Stream("a/b", "known"), math.inf, lambda _: None))
    for number in range(20):
        turns.ask(Waiter(Stream("a/b", f"early {number}"), math.inf, lambda _: None))
    turns.give_back()  # the known camera has had a turn while others wait
    turns.ask(Waiter(Stream("a/b", "known"), math.inf, lambda _: told.append("known")))
    for number in range(100):
        turns.ask(Waiter(Stream("a/b", f"new {number}"), math.inf, lambda _: told.append("new")))
        turns.give_back()
    assert "known" in told
