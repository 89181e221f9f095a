from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.events import SOURCES
from vision_assets.labels.current import current
from vision_assets.labels.events import SCHEMA, Event

FRAMES = ("a", "b")


def event(number: int, **changes: object) -> Event:
    values: dict[str, object] = {
        "event_id": f"e{number:03}",
        "frame_id": "a",
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "source": "imported",
        "author": "",
        "label": "good",
        "classes": (),
        "boxes": "[]",
        "mask_classes": (),
        "retracts": None,
    }
    return Event(**{**values, **changes})  # type: ignore[arg-type]


def table(events: list[Event]) -> pl.DataFrame:
    return pl.DataFrame([vars(each) for each in events], schema=SCHEMA)


def winners(events: list[Event]) -> dict[str, str]:
    rows = current(table(events))
    return dict(rows.select("frame_id", "event_id").iter_rows())


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of two frames; each may retract an earlier one of its frame."""
    events: list[Event] = []
    for number in range(draw(st.integers(0, 9))):
        frame = draw(st.sampled_from(FRAMES))
        earlier = [each.event_id for each in events if each.frame_id == frame]
        retracts = draw(st.sampled_from([None, *earlier]))
        labels = ["good", "defect", *([None] if retracts else [])]
        events.append(
            event(
                number,
                frame_id=frame,
                recorded_at=datetime(2026, 1, draw(st.integers(1, 3)), tzinfo=UTC),
                source=draw(st.sampled_from(SOURCES)),
                label=draw(st.sampled_from(labels)),
                retracts=retracts,
            )
        )
    return events


def counts(each: Event, events: list[Event]) -> bool:
    """The rule, told once more in the plainest way."""
    return not any(counts(e, events) for e in events if e.retracts == each.event_id)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_agrees_with_the_rule_told_plainly(events: list[Event]) -> None:
    expected = {}
    for frame in FRAMES:
        valid = [e for e in events if e.frame_id == frame and e.label and counts(e, events)]
        if valid:
            rank = {source: -place for place, source in enumerate(SOURCES)}
            best = max(valid, key=lambda e: (rank[e.source], e.recorded_at, e.event_id))
            expected[frame] = best.event_id
    assert winners(events) == expected


@settings(max_examples=60, deadline=None)
@given(histories(), st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(events: list[Event], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert current(table(shuffled)).equals(current(table(events)))


@settings(max_examples=60, deadline=None)
@given(histories())
def test_an_event_listed_twice_is_one(events: list[Event]) -> None:
    assert winners(events + events) == winners(events)


@settings(max_examples=60, deadline=None)
@given(histories().filter(winners))
def test_a_retraction_restores_what_was_before(events: list[Event]) -> None:
    frame, winner = min(winners(events).items())
    retraction = event(500, frame_id=frame, label=None, retracts=winner)
    without = [each for each in events if each.event_id != winner]
    # What the winner had retracted counts again, so that history itself is without the winner.
    assert winners([*events, retraction]) == winners(without)


@settings(max_examples=60, deadline=None)
@given(histories().filter(winners))
def test_a_retracted_retraction_changes_nothing(events: list[Event]) -> None:
    frame, winner = min(winners(events).items())
    first = event(500, frame_id=frame, label=None, retracts=winner)
    second = event(501, frame_id=frame, label=None, retracts="e500")
    assert winners([*events, first, second]) == winners(events)


@pytest.mark.parametrize(("higher", "lower"), list(pairwise(SOURCES)))
def test_a_higher_source_wins_though_it_spoke_first(higher: str, lower: str) -> None:
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    events = [
        event(1, source=higher, recorded_at=early, label="defect"),
        event(2, source=lower, recorded_at=late),
    ]
    assert winners(events) == {"a": "e001"}


def test_a_frame_whose_events_are_all_retracted_has_no_label() -> None:
    assert winners([event(1), event(2, label=None, retracts="e001")]) == {}


def test_retractions_in_a_circle_do_not_count() -> None:
    circle = [event(1, retracts="e002"), event(2, retracts="e001")]
    assert winners(circle) == {"a": "e002"}
    assert winners([*circle, event(3, frame_id="b", label=None, retracts="e001")]) == {"a": "e002"}


def test_no_events_give_no_labels() -> None:
    assert current(table([])).columns == [name for name in SCHEMA if name != "retracts"]


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(pl.exceptions.InvalidOperationError, match="hearsay"):
        current(table([event(1, source="hearsay")]))
