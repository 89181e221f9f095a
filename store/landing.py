"""The landing area: how a batch arrives.

``landing/{site}/{line}/{batch}/`` holds frames at any depth below ``frames/``, one
``metadata.jsonl`` (or ``.csv``, ``.parquet``) with a row per frame, optionally ``labels.jsonl``
with a row per label and masks below ``masks/``; ``_COMPLETE`` is written last. Any writer may
deliver in this form; `LandingWriter` is ours.

Metadata row: ``file`` (path below ``frames/``, required), ``camera`` (required), ``captured_at``
(ISO 8601 with offset, required), and optionally ``frame_id``, ``serial``, ``group``, ``product``,
``exposure_ms``; further columns are kept as they are.

Label row: ``file`` or ``frame_id``; ``label`` (``good`` or ``defect``, required); ``classes`` (list
of defect classes); ``boxes`` (list of ``{"class", "x", "y", "width", "height"}``, pixels, origin at
the top left corner); ``mask`` (path below ``masks/``: an 8-bit single-channel PNG of the size of
the frame whose value v >= 1 means ``mask_classes[v - 1]``, 0 means good); ``mask_classes``;
``source`` (``imported`` unless stated), ``author``, ``recorded_at``, ``event_id``, ``retracts``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from store import layout
from store.errors import InvalidInput
from store.hashing import content_name
from store.keys import BatchKey, LineKey
from store.root import Store

COMPLETE = "_COMPLETE"
FRAMES = "frames"
MASKS = "masks"
LABELS = "labels.jsonl"
METADATA_NAMES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True)
class Delivery:
    """What `_COMPLETE` says of a landing batch.

    Attributes:
        frames: How many frames there are.
        listing: Hash over every path and size below the batch's folder.
        completed_at: When the writer finished (UTC, ISO 8601).
    """

    frames: int
    listing: str
    completed_at: str

    @property
    def identity(self) -> str:
        """Which delivery this is: what was listed, and when it was completed.

        Other labels or pixels of equal length leave the listing as it was; that a batch was
        delivered again is told by its new mark. What is equal after all is found out when it is
        read.
        """
        return content_name([self.listing, self.completed_at])


class LandingWriter:
    """Writes one landing batch; nothing is delivered before `complete`.

    Adding to a batch that is complete takes the mark away first, so that a reader never sees a
    mark that does not fit the files.
    """

    def __init__(self, store: Store, key: BatchKey) -> None:
        self._store = store
        self._folder = layout.landing(key)
        self._metadata = self._rows("metadata.jsonl")
        self._labels = self._rows(LABELS)
        store.local_path(f"{self._folder}/{COMPLETE}").unlink(missing_ok=True)

    def add_frame(self, file: str, data: bytes, metadata: Mapping[str, object]) -> None:
        """Write one frame and keep its metadata row (a row of the same file is replaced)."""
        self._write_fast(f"{FRAMES}/{file}", data)
        self._metadata[file] = {"file": file, **metadata}

    def add_label(
        self, file: str, label: Mapping[str, object], mask_png: bytes | None = None
    ) -> None:
        """Keep the label row of one frame, with its mask as PNG bytes."""
        row: dict[str, object] = {"file": file, **label}
        if mask_png is not None:
            row["mask"] = f"{file}.png"  # the whole name: a.jpg and a.bmp are two frames
            self._write_fast(f"{MASKS}/{row['mask']}", mask_png)
        self._labels[file] = row

    def complete(self, completed_at: datetime) -> Delivery:
        """Write metadata, labels and, last, the mark that makes the batch a delivery."""
        self._write_rows("metadata.jsonl", self._metadata)
        if self._labels:
            self._write_rows(LABELS, self._labels)
        delivery = Delivery(
            len(self._metadata), listing(self._store, self._folder), completed_at.isoformat()
        )
        self._store.write(f"{self._folder}/{COMPLETE}", json.dumps(delivery.__dict__).encode())
        return delivery

    def _write_fast(self, path: str, data: bytes) -> None:
        """Write without a sync of each file: the mark, written last, states the listing's hash."""
        target = self._store.local_path(f"{self._folder}/{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    def _rows(self, name: str) -> dict[str, Mapping[str, object]]:
        path = f"{self._folder}/{name}"
        if not self._store.exists(path):
            return {}
        rows = [json.loads(line) for line in self._store.read(path).splitlines() if line.strip()]
        return {str(row["file"]): row for row in rows}

    def _write_rows(self, name: str, rows: Mapping[str, Mapping[str, object]]) -> None:
        text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows.values())
        self._store.write(f"{self._folder}/{name}", text.encode())


def listing(store: Store, folder: str) -> str:
    """Hash over every path and size below `folder`, without the mark itself."""
    return listing_of(store.files(folder))


def listing_of(files: Sequence[tuple[str, int]]) -> str:
    """The same hash from what `Store.files` gave for the batch's folder."""
    return content_name([[path, size] for path, size in files if path != COMPLETE])


def delivery(store: Store, key: BatchKey) -> Delivery | None:
    """What the batch's mark says, or None while it is not complete.

    Raises:
        InvalidInput: when the mark is not what `LandingWriter.complete` writes.
    """
    path = f"{layout.landing(key)}/{COMPLETE}"
    if not store.exists(path):
        return None
    try:
        value = json.loads(store.read(path))
        return Delivery(int(value["frames"]), str(value["listing"]), str(value["completed_at"]))
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"{path} should be a JSON object with frames, listing and completed_at ({error}); "
            "write it again, last of all"
        ) from error


def complete_batches(store: Store, line: LineKey | None = None) -> list[BatchKey]:
    """Keys of all landing batches that are complete, sorted; of one line when it is given."""
    return sorted(key for key in _complete(store, line) if isinstance(key, BatchKey))


def misnamed(store: Store, line: LineKey | None = None) -> list[str]:
    """Complete landing batches that cannot be taken in for their names, a sentence each."""
    return sorted(str(fault) for fault in _complete(store, line) if isinstance(fault, InvalidInput))


def _complete(store: Store, line: LineKey | None) -> Iterator[BatchKey | InvalidInput]:
    """The key of each folder with a mark, or what is wrong with its name."""
    for site in [line.site] if line else store.names(layout.LANDING):
        for name in [line.line] if line else store.names(f"{layout.LANDING}/{site}"):
            for batch in store.names(f"{layout.LANDING}/{site}/{name}"):
                if store.exists(f"{layout.LANDING}/{site}/{name}/{batch}/{COMPLETE}"):
                    try:
                        yield BatchKey(site, name, batch)
                    except InvalidInput as error:
                        yield InvalidInput(f"{layout.LANDING}/{site}/{name}/{batch}: {error}")
