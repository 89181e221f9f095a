"""What stands is a fold over any entries, and a fallback never goes where somebody gave up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger import Action, Draft, Entry, Scope, Standing, live, standing

START = datetime(2026, 1, 1, tzinfo=UTC)


def ledger_of(*steps: tuple[Any, ...]) -> list[Entry]:
    """Entries of (action, bundle[, ends or scope]), one an hour."""
    found = []
    for number, (action, bundle, *rest) in enumerate(steps, start=1):
        extra: dict[str, Any] = {"scope": Scope()} if action == "canary" else {}
        if rest:
            extra = {"scope" if action == "canary" else "ends": rest[0]}
        time = START + timedelta(hours=number)
        entry = {"action": action, "bundle": bundle, "who": "ada", "number": number, "time": time}
        found.append(Entry.model_validate({**entry, **extra}))
    return found


def shown(state: Standing) -> tuple[int, list[int], int, list[int]]:
    return (
        state.live.number if state.live else 0,
        [each.number for each in state.canaries],
        state.shadow.number if state.shadow else 0,
        [each.number for each in state.earlier],
    )


A, B, C = ("promote", "a"), ("promote", "b"), ("promote", "c")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([], (0, [], 0, [])),
        ([A, B, C], (3, [], 0, [2, 1])),
        ([A, B, A], (3, [], 0, [2])),
        ([A, B, C, ("rollback", "b")], (4, [], 0, [1])),
        ([A, ("canary", "b")], (1, [2], 0, [])),
        ([A, ("canary", "b"), ("confirm", "b", 2)], (3, [], 0, [1])),
        ([A, ("canary", "b"), ("confirm", "b", 1)], (1, [2], 0, [])),
        ([A, ("canary", "b"), ("withdraw", "b", 2)], (1, [], 0, [])),
        ([A, ("canary", "b"), ("canary", "b")], (1, [3], 0, [])),
        ([A, ("canary", "a"), ("shadow", "a")], (1, [], 0, [])),
        ([A, ("canary", "b"), B], (3, [], 0, [1])),
        ([A, ("shadow", "b"), C], (3, [], 2, [1])),
        ([A, ("shadow", "b"), B], (3, [], 0, [1])),
        ([A, ("shadow", "b"), ("shadow", "c"), ("withdraw", "c", 3)], (1, [], 0, [])),
        ([A, B, ("fallback", "a", 2)], (3, [], 0, [])),
        ([A, B, ("fallback", "a", 2), ("fallback", "b", 3)], (3, [], 0, [])),
        ([A, B, ("fallback", "z", 2)], (2, [], 0, [1])),
        ([A, B, ("fallback", "a", 1)], (2, [], 0, [1])),
        ([A, B, C, ("fallback", "a", 3), B], (5, [], 0, [4])),
        ([A, ("canary", "b"), ("fallback", "a", 2)], (1, [], 0, [])),
        ([A, B, ("canary", "a"), ("withdraw", "a", 3)], (2, [], 0, [])),
        ([("canary", "a"), ("shadow", "a"), ("withdraw", "a", 1)], (0, [], 2, [])),
        ([A, B, ("withdraw", "b", 2)], (2, [], 0, [1])),
    ],
)
def test_what_stands(steps: list[tuple[Any, ...]], expected: tuple[Any, ...]) -> None:
    assert shown(standing(ledger_of(*steps))) == expected


def test_the_most_specific_canary_comes_first() -> None:
    scopes = [
        Scope(),
        Scope(share=0.5),
        Scope(share=0.1),
        Scope(cameras=("c",)),
        Scope(cameras=("d",)),
        Scope(cameras=("c",), products=("p",)),
    ]
    steps = [("canary", f"b{number}", scope) for number, scope in enumerate(scopes)]
    assert [each.number for each in standing(ledger_of(*steps)).canaries] == [6, 5, 4, 3, 2, 1]


def test_a_time_names_what_stood_then() -> None:
    known = ledger_of(A, ("canary", "b"), ("confirm", "b", 2))
    assert shown(standing(known, known[1].time)) == (1, [2], 0, [])
    assert live(known, known[1].time) == known[0]
    assert live(known, START) is None
    with pytest.raises(ValueError, match="time zone"):
        standing(known, datetime(2026, 1, 1))


bundles = st.sampled_from("abcd")
actions = st.sampled_from(["promote", "rollback", "canary", "shadow"])
endings = st.sampled_from(["confirm", "withdraw", "fallback"])
steps = st.lists(
    st.tuples(actions, bundles) | st.tuples(endings, bundles, st.integers(1, 12)), max_size=12
)


@given(steps)
def test_laws_of_what_stands(drawn: list[tuple[Any, ...]]) -> None:
    known = ledger_of(*drawn)
    state = standing(known)
    targets = [each.bundle for each in state.earlier]
    assert len(set(targets)) == len(targets)
    assert not state.given_up & set(targets)
    assert len({each.bundle for each in state.canaries}) == len(state.canaries)
    if state.live:
        assert state.live.bundle not in {*targets, *state.given_up}
        assert state.live.bundle not in {each.bundle for each in state.canaries}
        # Only a person brings a bundle in: a server goes back to what was live.
        if state.live.action == "fallback":
            before = standing(known[: state.live.number - 1])
            assert state.live.bundle in {each.bundle for each in before.earlier}
            assert state.live.bundle not in before.given_up
    for number in range(len(known)):  # entries never change what stood before them
        if number:
            assert standing(known, known[number - 1].time) == standing(known[:number])


@given(steps)
def test_what_was_given_up_comes_back_by_a_person_only(drawn: list[tuple[Any, ...]]) -> None:
    known = ledger_of(*drawn)
    for entry in known:
        before, after = standing(known[: entry.number - 1]), standing(known[: entry.number])
        for bundle in before.given_up - after.given_up:
            assert (entry.action, entry.bundle) in {
                ("promote", bundle),
                ("rollback", bundle),
                ("confirm", bundle),
            }


@pytest.mark.parametrize(
    ("action", "extra", "says"),
    [
        ("canary", {}, "a canary has a scope"),
        ("promote", {"scope": {"share": 0.5}}, "nothing else has one"),
        ("withdraw", {}, "name the entry"),
        ("promote", {"ends": 1}, "others none"),
        ("canary", {"scope": {"share": 0}}, "greater than 0"),
        ("canary", {"scope": {"share": 1.5}}, "less than or equal to 1"),
    ],
)
def test_a_draft_fits_its_action(action: Action, extra: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Draft.model_validate({"action": action, "bundle": "a", "who": "ada", **extra})


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        (Scope(), "every frame"),
        (Scope(cameras=("c1", "c2"), share=0.05), "cameras c1 c2, 5 % of parts"),
    ],
)
def test_a_scope_in_words(scope: Scope, text: str) -> None:
    assert str(scope) == text
