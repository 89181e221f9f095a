"""Which rows of a label file say something new: events that a batch does not have yet.

A row that states neither id nor time was said when its delivery was completed. When a batch grows,
its label file is read again, so such a row makes an event only where it differs from the last one
of the same frame, source and author (and of the same event that it retracts).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from store.hashing import canonical_json
from vision_assets.labels.events import Event
from vision_assets.labels.rows import Fault, NumberedRow
from vision_assets.labels.verify import Fitting

_Speaker = tuple[str, str, str, str | None]


@dataclass(frozen=True)
class Changes:
    """New events in the order of their rows, and rows that cannot become one."""

    new: Sequence[Event]
    faults: Sequence[Fault]


def changes(known: pl.DataFrame, fitting: Sequence[Fitting], completed_at: datetime) -> Changes:
    """What the rows of one label file add to the events that a batch has.

    Args:
        known: Events of the batch without their masks.
        fitting: Rows that fit their frames.
        completed_at: When the delivery was completed, with a time zone.
    """
    by_id = {row["event_id"]: _known_event(row) for row in known.iter_rows(named=True)}
    naming = _Naming(list(by_id.values()), completed_at.astimezone(UTC))
    drafts = [(label.numbered, naming.event(label)) for label in fitting]
    frames_by_id = {event.event_id: event.frame_id for event in [*by_id.values(), *_events(drafts)]}
    new: list[Event] = []
    faults: list[Fault] = []
    for numbered, draft in drafts:
        fault = draft if isinstance(draft, str) else _refusal(draft, by_id, frames_by_id, numbered)
        if fault:
            faults.append(Fault("event", f"{numbered.where}: {fault}"))
        elif isinstance(draft, Event) and draft.event_id not in by_id:
            by_id[draft.event_id] = draft
            new.append(draft)
    return Changes(new, faults)


class _Naming:
    """Gives each row its event, under the id of the last one where nothing changed."""

    def __init__(self, known: Sequence[Event], completed_at: datetime) -> None:
        self._completed_at = completed_at
        ordered = sorted(known, key=lambda event: (event.recorded_at, event.event_id))
        self._last = {_speaker(e): e for e in ordered if e.recorded_at <= completed_at}
        self._said: dict[_Speaker, tuple[Event, NumberedRow]] = {}

    def event(self, fitting: Fitting) -> Event | str:
        """The event of one row, or what is wrong with it."""
        row = fitting.numbered.row
        event = _event(fitting, (row.recorded_at or self._completed_at).astimezone(UTC))
        if row.event_id is not None:
            return replace(event, event_id=row.event_id)
        event = event.named()
        return event if row.recorded_at is not None else self._settle(event, fitting.numbered)

    def _settle(self, event: Event, numbered: NumberedRow) -> Event | str:
        speaker = _speaker(event)
        said, earlier = self._said.setdefault(speaker, (event, numbered))
        if said != event:
            return (
                f"contradicts line {earlier.number}, said of the same frame by the same source at "
                "the same time; state recorded_at or keep one of them"
            )
        last = self._last.get(speaker)
        same = event.named(last.recorded_at) if last else event
        return same if last and same.event_id == last.event_id else event


def _events(drafts: Sequence[tuple[NumberedRow, Event | str]]) -> list[Event]:
    return [draft for _, draft in drafts if isinstance(draft, Event)]


def _refusal(
    event: Event, by_id: dict[str, Event], frames_by_id: dict[str, str], numbered: NumberedRow
) -> str:
    """Why an event cannot be appended; empty when it can."""
    known = by_id.get(event.event_id)
    if known and not _agree(known, event, has_time=numbered.row.recorded_at is not None):
        return (
            f"event {event.event_id} says something else already; an event never changes: give "
            "this one an id of its own"
        )
    if event.retracts is None:
        return ""
    if event.retracts == event.event_id or frames_by_id.get(event.retracts) != event.frame_id:
        return f"retracts {event.retracts}, which is no other event of this frame"
    return ""


def _agree(known: Event, event: Event, *, has_time: bool) -> bool:
    """Whether two events of one id say the same; their masks are left in the store."""
    left_out = {"mask_png"} if has_time else {"mask_png", "recorded_at"}
    names = [field.name for field in fields(Event) if field.name not in left_out]
    return all(getattr(known, name) == getattr(event, name) for name in names)


def _event(fitting: Fitting, recorded_at: datetime) -> Event:
    row = fitting.numbered.row
    return Event(
        event_id="",
        frame_id=fitting.frame_id,
        recorded_at=recorded_at,
        source=row.source,
        author=row.author,
        label=row.label,
        classes=fitting.classes,
        boxes=canonical_json([box.to_row() for box in row.boxes]).decode(),
        mask_classes=row.mask_classes if fitting.mask_png is not None else (),
        retracts=row.retracts,
        mask_png=fitting.mask_png,
    )


def _known_event(row: Mapping[str, Any]) -> Event:
    lists = {name: tuple(row[name]) for name in ("classes", "mask_classes")}
    return Event(**{**row, **lists})


def _speaker(event: Event) -> _Speaker:
    return event.frame_id, event.source, event.author, event.retracts
