"""Label events of a batch from the label file of its delivery: validated, appended, reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import polars as pl

from store import batches, landing, layout
from store import events as stored_events
from store.errors import InvalidInput, NotFound
from store.hashing import content_name
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.report import quarantine
from vision_assets.labels import events, rows, verify
from vision_assets.labels.changes import changes
from vision_assets.labels.current import current
from vision_assets.labels.rows import Fault
from vision_assets.progress import Progress, silent


@dataclass(frozen=True)
class LabelReport:
    """What is known of the labels of one batch after its label file was read.

    Attributes:
        events: Events of the batch in the store.
        added: How many of them are new.
        frames: Frames of the batch.
        labelled: Frames with a current label; the rest is unlabelled, which is no fault.
        good: Frames whose current label is good.
        defect: Frames whose current label is defect.
        classes: Frames by defect class; a frame with two classes counts in both.
        quarantined: Labels of files that ingest put aside: neither recorded nor a fault.
        found_faults: Labels that were kept out and why.
        hash: Hash over all event ids: what the labels of this batch are.
    """

    events: int
    added: int
    frames: int
    labelled: int
    good: int
    defect: int
    classes: Mapping[str, int]
    quarantined: int
    found_faults: Sequence[Fault]
    hash: str

    @property
    def faults(self) -> list[str]:
        """Every fault as a line for people, beginning with its kind."""
        return [f"{fault.kind}: {fault.message}" for fault in self.found_faults]

    @property
    def faults_by_kind(self) -> dict[str, int]:
        """How many faults there are of each kind that occurs."""
        return dict(Counter(fault.kind for fault in self.found_faults))


@dataclass
class _Sorted:
    """Rows of a label file, sorted by what can be made of them."""

    fitting: list[verify.Fitting] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    quarantined: int = 0

    def take(
        self,
        numbered: rows.NumberedRow,
        frames: verify.Frames,
        classes: tuple[str, ...],
        read_mask: Callable[[str], bytes],
    ) -> None:
        """Sort in one row."""
        if frame := frames.find(numbered.row):
            fitting = verify.fit(numbered, frame, classes, read_mask)
            if isinstance(fitting, verify.Fitting):
                self.fitting.append(fitting)
            else:
                self.faults.extend(fitting)
        elif frames.is_quarantined(numbered.row):
            self.quarantined += 1
        else:
            self.faults.append(_no_frame(numbered))


def record_batch(
    store: Store, key: BatchKey, settings: LineConfig, progress: Progress = silent
) -> LabelReport:
    """Record what the label file of a delivery says of the batch's frames.

    A label that is wrong is kept out and reported, the rest is recorded. Recording the same file
    again changes nothing; new and changed rows become a further table of events.

    Raises:
        NotFound: when the batch was not ingested.
        InvalidInput: when its delivery is not complete.
    """
    frames = _frames(store, key)
    completed_at = _completed_at(store, key)
    found = _Sorted()
    if completed_at:
        found = _sort_rows(store, key, frames, settings, progress)
    known = events.read(store, key, events.WITHOUT_MASKS)
    change = changes(known, found.fitting, completed_at or datetime.now(UTC))
    events.append(store, key, list(change.new))
    found.faults.extend(change.faults)
    if delivery := landing.delivery(store, key):
        stored_events.mark_recorded(store, key, delivery.identity)
    return _report(frames, events.read(store, key, events.WITHOUT_MASKS), len(change.new), found)


def _frames(store: Store, key: BatchKey) -> verify.Frames:
    manifest = batches.manifest(store, key)
    if manifest is None:
        raise NotFound(f"batch {key} was not ingested; ingest it before its labels are recorded")
    by_file, by_id = {}, {}
    if manifest.indexes:
        columns = ("file", "frame_id", "width", "height")
        table = batches.index(store, manifest).select(columns).collect()
        for file, frame_id, width, height in table.iter_rows():
            # A file delivered again with other bytes is a further frame; the last one is meant.
            by_file[file] = by_id[frame_id] = verify.Frame(frame_id, width, height)
    aside = frozenset(quarantine(store, manifest)["file"].drop_nulls())
    return verify.Frames(by_file, by_id, aside)


def _completed_at(store: Store, key: BatchKey) -> datetime | None:
    """When the delivery was completed; None when it brings no label file."""
    folder = layout.landing(key)
    if not store.exists(f"{folder}/{landing.LABELS}"):
        return None
    delivery = landing.delivery(store, key)
    if delivery is None:
        raise InvalidInput(
            f"{folder} has no {landing.COMPLETE}: its writer has not finished; try again then"
        )
    time = _time(delivery.completed_at)
    if time is None:
        raise InvalidInput(
            f"{folder}/{landing.COMPLETE}: completed_at is {delivery.completed_at!r}, expected "
            "ISO 8601 with an offset such as 2026-01-31T12:00:00+00:00"
        )
    return time


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


def _sort_rows(
    store: Store,
    key: BatchKey,
    frames: verify.Frames,
    settings: LineConfig,
    progress: Progress,
) -> _Sorted:
    folder = layout.landing(key)
    parsed = list(rows.parse(store.read(f"{folder}/{landing.LABELS}")))
    found = _Sorted()
    for done, row in enumerate(parsed, start=1):
        if isinstance(row, Fault):
            found.faults.append(row)
        else:
            found.take(
                row,
                frames,
                settings.classes,
                lambda mask: store.read(f"{folder}/{landing.MASKS}/{mask}"),
            )
        progress("reading labels", done, len(parsed))
    return found


def _no_frame(numbered: rows.NumberedRow) -> Fault:
    row = numbered.row
    meant = " and ".join(f"{n} {v!r}" for n, v in (("file", row.file), ("id", row.frame_id)) if v)
    return Fault(
        "no_frame",
        f"{numbered.where}: the batch has no frame with {meant}; correct the row, or ingest again "
        "when the batch has grown",
    )


def _report(frames: verify.Frames, known: pl.DataFrame, added: int, found: _Sorted) -> LabelReport:
    labels = current(known)
    named = labels["classes"].explode().drop_nulls().value_counts(sort=False)
    return LabelReport(
        events=known.height,
        added=added,
        frames=len(frames.by_id),
        labelled=labels.height,
        good=labels.filter(pl.col("label") == "good").height,
        defect=labels.filter(pl.col("label") == "defect").height,
        classes=dict(sorted(named.iter_rows())),
        quarantined=found.quarantined,
        found_faults=tuple(found.faults),
        hash=content_name(sorted(known["event_id"].to_list())),
    )
