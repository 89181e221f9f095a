"""Who answers a frame: the most specific canary, the same for every frame of a part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspection.bundle import Bundle
from serve.frame import IncomingFrame
from serve.release import Canary, LiveRelease, LiveSet, fraction
from store.ledger import Scope
from store.root import Store
from tests.serve.running import LINE, promote, serving, station

names = st.text(max_size=20)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> LiveRelease:
    folder = tmp_path_factory.mktemp("release")
    promote(Store(str(folder / "store")))
    with serving(folder) as (server, _):
        found = station(server).watcher.live()
    assert found is not None
    return found


def release(live: LiveRelease, number: int) -> LiveRelease:
    bundle = Bundle(Path(), f"bundle-{number}", live.bundle.contract, live.bundle.rule, (), ())
    return replace(live, name=f"{LINE}@{number}", number=number, bundle=bundle)


def frame(camera: str = "", product: str = "", serial: str = "") -> IncomingFrame:
    return IncomingFrame(b"", "f", camera=camera, product=product, serial=serial)


def test_nothing_live_answers_nothing() -> None:
    assert LiveSet().choose(frame()) is None


@pytest.mark.parametrize(
    ("scope", "asked", "answers"),
    [
        (Scope(), frame(), True),
        (Scope(cameras=("c1", "c2")), frame("c2"), True),
        (Scope(cameras=("c1", "c2")), frame("c3"), False),
        (Scope(cameras=("c1",)), frame(), False),
        (Scope(products=("p",)), frame("c1", "p"), True),
        (Scope(products=("p",)), frame("c1", "q"), False),
        (Scope(cameras=("c1",), products=("p",)), frame("c1", "q"), False),
        (Scope(share=0.999), frame(serial=""), False),  # a part that nobody could tell again
    ],
)
def test_a_scope_takes_frames_that_meet_all_it_states(
    live: LiveRelease, scope: Scope, asked: IncomingFrame, answers: bool
) -> None:
    first, second = release(live, 1), release(live, 2)
    ready = LiveSet(first, (Canary(scope, second),))
    assert ready.choose(asked) == (second if answers else first)


def test_the_first_canary_that_answers_is_taken(live: LiveRelease) -> None:
    one, two, three = (release(live, number) for number in (1, 2, 3))
    ready = LiveSet(one, (Canary(Scope(cameras=("c",)), two), Canary(Scope(), three)))
    assert [ready.choose(frame(camera)) for camera in ("c", "d")] == [two, three]


@given(names, names, st.floats(0.01, 0.99), st.lists(st.tuples(names, names), max_size=5))
def test_all_frames_of_a_part_go_one_way(
    live: LiveRelease, serial: str, camera: str, share: float, others: list[tuple[str, str]]
) -> None:
    ready = LiveSet(release(live, 1), (Canary(Scope(share=share), release(live, 2)),))
    first = ready.choose(frame(camera, "", serial))
    assert all(ready.choose(frame(c, p, serial)) == first for c, p in others)


@given(names, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_share_that_grows_keeps_its_parts(
    live: LiveRelease, serial: str, one: float, other: float
) -> None:
    small, large = sorted((one, other))
    candidate = release(live, 2)
    if Canary(Scope(share=small), candidate).answers(frame(serial=serial)):
        assert Canary(Scope(share=large), candidate).answers(frame(serial=serial))


def test_a_share_is_that_share_of_many_parts_and_another_bundle_draws_anew() -> None:
    taken = {b: {n for n in range(20_000) if fraction(b, f"s{n}") < 0.1} for b in ("a", "b")}
    assert all(1800 < len(each) < 2200 for each in taken.values())  # 2000 ± 42 (one sigma)
    assert 100 < len(taken["a"] & taken["b"]) < 300  # 200 are expected


def test_the_share_of_a_part_is_the_same_in_every_version() -> None:
    """Changing it would move parts between releases in the middle of a canary."""
    assert fraction("bundle", "part-1") == pytest.approx(0.8294307926, abs=1e-9)


def test_who_answers_when_an_engine_fails(live: LiveRelease) -> None:
    one, two, three = (release(live, number) for number in (1, 2, 3))
    ready = LiveSet(two, (Canary(Scope(), three),), spare=one)
    assert ready.instead_of(three) == two
    assert ready.instead_of(two) == one
    assert LiveSet(two).instead_of(two) is None
    assert [each.number for each in ready.loaded] == [2, 3, 1]


@given(
    st.sampled_from([None, 1, 2]),
    st.lists(st.sampled_from([3, 4]), unique=True),
    st.sampled_from([None, 1, 2]),
    st.sets(st.integers(1, 4)),
)
def test_what_is_given_up_answers_only_when_nothing_else_can(
    live: LiveRelease,
    number: int | None,
    canaries: list[int],
    spare: int | None,
    given_up: set[int],
) -> None:
    def loaded(which: int | None) -> LiveRelease | None:
        return None if which is None else release(live, which)

    before = LiveSet(
        loaded(number),
        tuple(Canary(Scope(), release(live, n)) for n in canaries),
        None,
        loaded(spare),
    )
    after = before.without(given_up)
    assert [each.release.number for each in after.canaries] == [
        n for n in canaries if n not in given_up
    ]
    if number in given_up and spare is not None and spare not in given_up:
        assert after.live == before.spare
    else:
        assert after.live == before.live
    assert after.without(given_up) == after
