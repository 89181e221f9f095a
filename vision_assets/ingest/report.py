"""What a batch holds after ingest, read from its manifest and tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from store import batches, tables
from store.batches import BatchManifest
from store.hashing import content_name
from store.root import Store
from vision_assets.ingest.schema import quarantine_schema

if TYPE_CHECKING:
    import polars as pl

_EXAMPLES = 3  # files named for a fault that many have


@dataclass(frozen=True)
class IngestReport:
    """The state of a batch after ingest.

    Attributes:
        number: Of the current manifest.
        frames: Frames that the batch holds.
        added: Frames that this run added.
        quarantined: Rows of the quarantine table.
        duplicates: How many of them are sound files of frames that are held already.
        without_file: How many of them are metadata that names no delivered file.
        broken_share: The other quarantined files, of all files; 0 for an empty batch.
        metadata_faults: Every metadata fault of the batch, equal ones together.
        changed: Whether this run made a new manifest.
        bytes: Of all frames, as captured.
        hash: By content, over frame ids, their bytes and the quarantine table.
    """

    number: int
    frames: int
    added: int
    quarantined: int
    duplicates: int
    without_file: int
    broken_share: float
    metadata_faults: list[str]
    changed: bool
    bytes: int
    hash: str


def report(store: Store, manifest: BatchManifest) -> IngestReport:
    """What a manifest says, for a run that changed nothing."""
    import polars as pl

    refused = quarantine(store, manifest)
    frames = manifest.counts["frames"]
    duplicates = refused.filter(pl.col("reason") == "duplicate").height
    # Of a file that is there the bytes were read before its metadata was looked at.
    is_bare = (pl.col("reason") == "metadata") & pl.col("content_hash").is_null()
    without_file = refused.filter(is_bare).height
    files = frames + refused.height - without_file
    return IngestReport(
        number=manifest.number,
        frames=frames,
        added=0,
        quarantined=refused.height,
        duplicates=duplicates,
        without_file=without_file,
        broken_share=(files - frames - duplicates) / max(1, files),
        metadata_faults=_grouped(refused),
        changed=False,
        bytes=manifest.counts["bytes"],
        hash=_hash(store, manifest, refused),
    )


def quarantine(store: Store, manifest: BatchManifest) -> pl.DataFrame:
    """All rows of a batch's quarantine tables."""
    import polars as pl

    found = [tables.read_table(store, file) for file in manifest.quarantines]
    return pl.concat([pl.DataFrame(schema=quarantine_schema()), *found])


def _grouped(refused: pl.DataFrame) -> list[str]:
    """Metadata faults, equal ones as one line with their number and a few of the files."""
    groups: dict[str, list[str]] = {}
    for file, reason, message in refused.select("file", "reason", "message").iter_rows():
        if reason == "metadata":
            groups.setdefault(message, []).append(file)
    return [
        f"{', '.join(files[:_EXAMPLES])}"
        + (f" and {len(files) - _EXAMPLES} more" if len(files) > _EXAMPLES else "")
        + f": {message}"
        for message, files in groups.items()
    ]


def _hash(store: Store, manifest: BatchManifest, refused: pl.DataFrame) -> str:
    frames: list[tuple[str, str]] = []
    if manifest.indexes:
        table = batches.index(store, manifest).select("frame_id", "content_hash").collect()
        frames = sorted(table.iter_rows())
    refusals = refused.select("file", "reason", "content_hash").rows()
    return content_name({"frames": frames, "quarantine": refusals})
