"""A complete landing batch into the store: sound frames in shards, the others in quarantine.

What a run does with a file that it has seen before, when the delivery or the settings changed:

- same path, same bytes: the frame stays as it is and is not decoded again; metadata that now says
  something else is a fault, because a frame's identity rests on it;
- same path, other bytes: a new frame beside the old one (its own id, or a fault);
- a frame that another batch of the line holds: a duplicate, or a fault when only its id is held;
- quarantined before: looked at again, so that a delivery can be mended;
- gone from the landing area: a frame stays; a quarantined file leaves the table (the manifest
  before still lists it).

Nothing that is delivered vanishes: each file is a frame or a row of the quarantine table. Rows of
metadata that fit no file are there too, with the reason ``metadata``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from store import batches, documents, landing, layout, tables
from store.batches import BatchManifest
from store.errors import Conflict, InvalidInput, NotFound, UnreadableFrame
from store.hashing import content_name
from store.keys import BatchKey
from store.root import Store
from store.tables import StoredFile
from vision_assets.config import LineConfig
from vision_assets.ingest.elsewhere import held_elsewhere
from vision_assets.ingest.examine import Examined, examining
from vision_assets.ingest.metadata import Expectations, Metadata, Row, read_metadata
from vision_assets.ingest.pack import Packer
from vision_assets.ingest.report import IngestReport, report
from vision_assets.ingest.roll import Roll
from vision_assets.ingest.schema import quarantine_schema
from vision_assets.progress import Progress, silent

_EVERY = 20  # files between two words of progress


def ingest_batch(
    store: Store, key: BatchKey, settings: LineConfig, progress: Progress = silent
) -> IngestReport:
    """Bring the batch in the store up to its delivery; nothing happens when it is.

    Killed at any instant it leaves the state before or the state after; run again it ends in the
    same state. Memory does not grow with the frames' bytes.

    Raises:
        NotFound: when the landing batch is not complete.
        InvalidInput: when its mark does not fit its files.
        Conflict: when the delivery changed, or another ingest of another delivery finished, while
            this one ran.
        Unavailable: when the system refuses to read a file.
    """
    delivery, files = _delivery(store, key)
    rules = _rules(settings)
    current = batches.manifest(store, key) or BatchManifest("", [], [], [])
    if (current.delivery, current.rules) == (delivery, rules):
        return report(store, current)
    following = replace(
        _following(store, key, current, files, settings, progress), delivery=delivery, rules=rules
    )
    if _mark(store, key).identity != delivery:
        raise Conflict(f"the landing batch {key} changed while it was ingested; run ingest again")
    return _commit(store, key, current, following)


class _Intake:
    """One run over one delivery: takes files in order, so that equal deliveries end equal."""

    def __init__(self, roll: Roll, metadata: Metadata, packer: Packer) -> None:
        self._roll = roll
        self._metadata = metadata
        self._packer = packer
        self.quarantine: list[tuple[str, str, str, str | None]] = []
        self.frames, self.bytes = 0, 0

    def take(self, frame: Examined) -> None:
        """Pack one file as a frame, or note why it is none."""
        faults = self._metadata.faults.pop(frame.file, [])
        row = self._metadata.rows.get(frame.file)
        if row is None and not faults and not frame.is_known:
            faults = ["no metadata row names it"]
        if frame.fault is not None:
            self._refuse(frame, frame.fault.reason, str(frame.fault), *faults)
        elif faults:
            stays = ["the frame stays as it was ingested"] if frame.is_known else []
            self._refuse(frame, "metadata", *faults, *stays)
        elif row is not None:
            self._take_sound(frame, row)

    def finish(self) -> None:
        """Note the metadata that no file was there for."""
        for place, faults in self._metadata.faults.items():
            self.quarantine.append((place, "metadata", "; ".join(faults), None))
        self.quarantine.sort(key=lambda row: row[:3])

    def _take_sound(self, frame: Examined, row: Row) -> None:
        assert frame.content_hash is not None
        try:
            if frame.is_known:
                self._roll.compare(row, frame.content_hash)
                return
            frame_id = self._roll.admit(row, frame.content_hash)
        except UnreadableFrame as fault:
            self._refuse(frame, fault.reason, str(fault))
            return
        self._packer.add(frame_id, row, frame)
        self.frames += 1
        self.bytes += len(frame.data)

    def _refuse(self, frame: Examined, reason: str, *messages: str) -> None:
        self.quarantine.append((frame.file, reason, "; ".join(messages), frame.content_hash))


def _following(
    store: Store,
    key: BatchKey,
    current: BatchManifest,
    files: Sequence[tuple[str, int]],
    settings: LineConfig,
    progress: Progress,
) -> BatchManifest:
    """Write all data files; the manifest that lists them, still without delivery and rules."""
    expected = Expectations(key, frozenset(file for file, _ in files), settings, datetime.now(UTC))
    roll = Roll.of(store, current)
    frames = store.local_path(f"{layout.landing(key)}/{landing.FRAMES}")
    with (
        Packer(store, layout.batch(key)) as packer,
        examining(frames, files, settings.ingest, roll.known) as examined,
    ):
        metadata = read_metadata(store, layout.landing(key), expected)
        roll.elsewhere = held_elsewhere(store, key, list(metadata.rows.values()))
        intake = _Intake(roll, metadata, packer)
        for done, frame in enumerate(examined, start=1):
            intake.take(frame)
            if done % _EVERY == 0 or done == len(files):
                progress("checking frames", done, len(files))
        shards, indexes = packer.finish()
    intake.finish()
    return replace(
        current,
        shards=[*current.shards, *shards],
        indexes=[*current.indexes, *indexes],
        quarantines=_write_quarantine(store, key, intake.quarantine),
        counts={
            "frames": current.counts.get("frames", 0) + intake.frames,
            "bytes": current.counts.get("bytes", 0) + intake.bytes,
            "quarantined": len(intake.quarantine),
        },
    )


def _write_quarantine(
    store: Store, key: BatchKey, rows: Sequence[tuple[str, str, str, str | None]]
) -> list[StoredFile]:
    import polars as pl

    if not rows:
        return []
    table = pl.DataFrame(rows, schema=quarantine_schema(), orient="row")
    return [tables.write_table(store, layout.batch(key), "quarantine", table)]


def _delivery(store: Store, key: BatchKey) -> tuple[str, list[tuple[str, int]]]:
    """The identity of a complete delivery; its files below ``frames/`` with sizes, sorted."""
    mark = _mark(store, key)
    folder = layout.landing(key)
    files = store.files(folder)
    try:
        listing = landing.listing_of(files)
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{folder}: a file name is not UTF-8 ({error}); rename it") from error
    if listing != mark.listing:
        raise InvalidInput(
            f"{folder}: the files found ({len(files)}, listing {listing[:12]}…) are not those of "
            f"{landing.COMPLETE} ({mark.frames} frames, listing {mark.listing[:12]}…); deliver the "
            "batch again and write the mark last"
        )
    prefix = f"{landing.FRAMES}/"
    below = [(path.removeprefix(prefix), size) for path, size in files if path.startswith(prefix)]
    return mark.identity, below


def _mark(store: Store, key: BatchKey) -> landing.Delivery:
    mark = landing.delivery(store, key)
    if mark is None:
        raise NotFound(
            f"{layout.landing(key)} has no {landing.COMPLETE}: nothing is delivered before the "
            "mark is written"
        )
    return mark


def _rules(settings: LineConfig) -> str:
    """Hash of all settings that decide what becomes a frame."""
    return content_name(
        {
            "ingest": settings.ingest.model_dump(mode="json", exclude={"max_broken_share"}),
            "cameras": settings.cameras,
            "products": settings.products,
        }
    )


def _commit(
    store: Store, key: BatchKey, current: BatchManifest, following: BatchManifest
) -> IngestReport:
    """Create the manifest; when another run was first with the same delivery, take its word."""
    number = current.number + 1
    try:
        documents.create(store, layout.batch_manifests(key), number, following.to_document())
    except Conflict:
        other = batches.manifest(store, key)
        if other is None or (other.delivery, other.rules) != (following.delivery, following.rules):
            raise Conflict(
                f"another ingest of {key} finished while this one ran; run ingest again"
            ) from None
        return report(store, other)
    added = following.counts["frames"] - current.counts.get("frames", 0)
    return replace(report(store, replace(following, number=number)), added=added, changed=True)
