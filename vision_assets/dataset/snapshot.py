"""Snapshots: a frozen data set, named by its content.

A snapshot lists one table per batch (frames, labels, roles). A table is named by its hash and
shared by all snapshots in which the batch looks the same: a new batch writes one table.

Table columns: ``frame_id``, ``content_hash``, ``batch``, ``camera``, ``product``, ``captured_at``,
``part``, ``group``, ``role``, ``label``, ``classes``, ``has_mask``, ``event_id``. No frame id is
there twice.

A ``part`` is what a verdict is given to and rates count: a serial within its batch
(``batch/serial``), for the line decides anew whenever a part passes; without a serial the frame id.
A ``group`` is what a role is given to: it holds all frames of a serial, whatever their batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from store import artifacts, batches, events, layout, tables
from store.artifacts import Artifact
from store.errors import Corrupt, InvalidInput
from store.hashing import content_name
from store.keys import BatchKey, LineKey
from store.root import Store
from store.tables import StoredFile
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.dataset.groups import assign_groups
from vision_assets.dataset.roles import ROLES, Assignment, assign_roles
from vision_assets.labels.current import current
from vision_assets.labels.masks import class_mask

KIND = "snapshots"
VERSION = "2"
_COLUMNS = [
    "frame_id",
    "content_hash",
    "batch",
    "camera",
    "product",
    "captured_at",
    "part",
    "group",
    "role",
    "label",
    "classes",
    "has_mask",
    "event_id",
]

_FRAME = ["batch", "frame_id", "content_hash"]
_PLACES = {
    "frame_id": pl.String(),
    "content_hash": pl.String(),
    "shard": pl.String(),
    "offset": pl.Int64(),
    "length": pl.Int64(),
    "width": pl.Int64(),
    "height": pl.Int64(),
}


def freeze(store: Store, line: LineKey) -> Artifact:
    """The snapshot of everything that is ingested and labelled now.

    It becomes the line's current snapshot. Roles of all earlier ones are kept. Nothing new since:
    the current one is found again.

    Raises:
        InvalidInput: when no frame is labelled, or frames of the line differ in channels.
    """
    settings = config.load(store, line)
    everything, unlabelled = _labelled_frames(store, line)
    parent = artifacts.current(store, line, KIND)
    before = _history(store, line)
    labelled = _each_once(everything, before)
    channels = _channels(line, labelled)
    grouped = assign_groups(labelled, _earlier(labelled, before, "group"))
    assignment = assign_roles(grouped, settings.split, _earlier(labelled, before, "role"))
    files = _write_tables(store, line, assignment.frames)
    # What a row holds is decided by the code's version, the classes and the split; the rest of the
    # settings (costs, limits, …) do not change it and are only recorded.
    decides = {"version": VERSION, "task": settings.task, "classes": list(settings.classes)}
    name = content_name({**decides, "tables": {key: file.sha256 for key, file in files.items()}})
    inputs = {**decides, "config": settings.hash, "parent": parent.name if parent else None}
    summary = _summary(assignment, settings, len(everything) - len(labelled)) | {
        "unlabelled": unlabelled,
        "channels": channels,
    }
    snapshot = artifacts.publish(store, line, Artifact(KIND, name, inputs, files, summary))
    artifacts.make_current(store, line, KIND, snapshot.name)
    return snapshot


def frames(store: Store, line: LineKey, name: str) -> pl.DataFrame:
    """The frames of a snapshot with where their bytes are now.

    Returns:
        The table's columns and ``shard``, ``offset``, ``length``, ``width``, ``height``, in the
        order of batch, capture time and frame id.

    Raises:
        Corrupt: when frames of the snapshot are no longer in the store, or have other bytes.
    """
    table = _tables(store, artifacts.read(store, line, KIND, name))
    keys = [BatchKey(line.site, line.line, batch) for batch in table["batch"].unique().sort()]
    places = pl.concat(
        [
            _index(store, key)
            .select(pl.col(name).cast(kind) for name, kind in _PLACES.items())
            .with_columns(batch=pl.lit(key.batch))
            for key in keys
        ]
    )
    found = table.join(places, on=_FRAME, how="inner", maintain_order="left")
    if len(found) != len(table):
        raise Corrupt(
            f"snapshot {name}: {len(table) - len(found)} of {len(table)} frames are not in the "
            "store any more; materialise `snapshot` again to make one without them"
        )
    return found


def masks(
    store: Store, line: LineKey, name: str, frame_ids: Iterable[str]
) -> dict[str, NDArray[np.uint8]]:
    """Class masks of the given frames, as they were when the snapshot was frozen.

    Returns:
        Frame id to (H, W) uint8, 0 good, k the snapshot's class k-1; frames without a mask are left
        out (a good frame has none).
    """
    snapshot = artifacts.read(store, line, KIND, name)
    wanted = _tables(store, snapshot).filter(
        pl.col("has_mask") & pl.col("frame_id").is_in(list(frame_ids))
    )
    classes = tuple(snapshot.inputs["classes"])
    found = {}
    for batch in wanted["batch"].unique().sort():
        stored = tables.scan_tables(
            store, events.tables_of(store, BatchKey(line.site, line.line, batch))
        )
        ids = wanted.filter(pl.col("batch") == batch)["event_id"].to_list()
        rows = stored.filter(pl.col("event_id").is_in(ids)).unique("event_id").collect()
        for frame_id, png, names in rows.select("frame_id", "mask_png", "mask_classes").rows():
            found[frame_id] = class_mask(png, names, classes)
    return found


def _labelled_frames(store: Store, line: LineKey) -> tuple[pl.DataFrame, int]:
    """All frames of the line that have a label, and how many have none."""
    found, unlabelled = [], 0
    for key in batches.ingested(store, line):
        index = _index(store, key)
        label_tables = events.tables_of(store, key)
        if not label_tables or index.is_empty():
            unlabelled += len(index)
            continue
        labels = current(tables.scan_tables(store, label_tables).collect())
        joined = index.join(labels, on="frame_id", how="inner", maintain_order="left")
        unlabelled += len(index) - len(joined)
        found.append(_rows(joined, key.batch))
    if not found or not sum(len(part) for part in found):
        raise InvalidInput(
            f"line {line} has no labelled frame ({unlabelled} without a label): ingest a batch "
            "with labels.jsonl, see docs/reference/import-layouts.md"
        )
    return pl.concat(found), unlabelled


def _rows(joined: pl.DataFrame, batch: str) -> pl.DataFrame:
    return joined.select(
        "frame_id",
        "content_hash",
        pl.lit(batch).alias("batch"),
        "camera",
        "product",
        "captured_at",
        "serial",
        pl.col("group").alias("declared_group"),
        pl.coalesce(pl.lit(batch + "/") + pl.col("serial"), "frame_id").alias("part"),
        "label",
        pl.col("classes").list.sort(),
        pl.col("mask_png").is_not_null().alias("has_mask"),
        "event_id",
        "channels",
        pl.when(pl.col("label") == "good")
        .then(pl.lit("good"))
        .otherwise(pl.coalesce(pl.col("classes").list.sort().list.first(), pl.lit("defect")))
        .alias("stratum"),
    )


def _index(store: Store, key: BatchKey) -> pl.DataFrame:
    current_manifest = batches.manifest(store, key)
    if current_manifest is None or not current_manifest.indexes:
        return pl.DataFrame(schema=_PLACES)
    return batches.index(store, current_manifest).collect()


def _channels(line: LineKey, labelled: pl.DataFrame) -> int:
    counts = dict(labelled.group_by("channels").len().sort("channels").rows())
    if len(counts) > 1:
        found = ", ".join(f"{number} of {count} channels" for count, number in counts.items())
        raise InvalidInput(
            f"line {line} has frames that differ ({found}) and a bundle accepts one kind: set "
            "`ingest: {channels: N}` and make a line of its own for the others"
        )
    return int(next(iter(counts)))


def _history(store: Store, line: LineKey) -> pl.DataFrame:
    """Every frame that a snapshot ever held, with the batch, group and role it had last.

    Labels come and go, roles stay: a frame that a model has learnt from never tests a later one.
    A table that several snapshots share is read once.
    """
    files: dict[str, StoredFile] = {}
    for snapshot in reversed(list(artifacts.every(store, line, KIND))):
        files |= {f.sha256: f for f in snapshot.files.values() if f.sha256 not in files}
    columns = [*_FRAME, "group", "role"]
    found = [tables.read_table(store, file, columns) for file in files.values()]
    empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String()))
    rows = pl.concat([empty, *(table.select(columns) for table in found)])
    return rows.unique(["frame_id", "content_hash"], keep="first", maintain_order=True)


def _each_once(labelled: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The frames without those whose id another batch has too.

    Ingest lets no frame in twice, but for two batches that were ingested at once. The one that a
    snapshot has held stays, else that of the first batch.
    """
    held = before.select(*_FRAME, held=pl.lit(True))
    return (
        labelled.join(held, on=_FRAME, how="left", maintain_order="left")
        .sort("held", "batch", nulls_last=True, maintain_order=True)
        .unique("frame_id", keep="first", maintain_order=True)
        .drop("held")
    )


def _earlier(labelled: pl.DataFrame, before: pl.DataFrame, column: str) -> dict[str, str]:
    """What frames had before by frame id; other bytes of the same id are another frame."""
    keys = ["frame_id", "content_hash"]
    return dict(labelled.select(keys).join(before, on=keys).select("frame_id", column).rows())


def _tables(store: Store, snapshot: Artifact) -> pl.DataFrame:
    return pl.concat([tables.read_table(store, file) for file in snapshot.files.values()])


def _write_tables(store: Store, line: LineKey, rows: pl.DataFrame) -> dict[str, StoredFile]:
    folder = f"{layout.artifacts(line, KIND)}/tables"
    parts = rows.select(_COLUMNS).partition_by("batch", maintain_order=True, as_dict=True)
    return {
        str(batch): tables.write_table(store, folder, f"roles-{batch}", part)
        for (batch,), part in parts.items()
    }


def _summary(assignment: Assignment, settings: LineConfig, left_out: int) -> dict[str, Any]:
    rows = assignment.frames
    repetitions = _repetitions(rows, left_out)
    counts: dict[str, dict[str, int]] = {role: {} for role in ROLES}
    for role, stratum, number in rows.group_by("role", "stratum").len().sort("stratum").rows():
        counts[role][stratum] = number
    return {
        "frames": len(rows),
        "groups": rows["group"].n_unique(),
        "counts": counts,
        "split_by": _split_by(rows),
        "groups_that_kept_their_role": assignment.inherited,
        "groups_given_a_role": assignment.given,
        "withdrawn_groups": list(assignment.withdrawn),
        "warnings": [*_warnings(counts, settings), *repetitions],
        "repetitions": repetitions,
    }


def _split_by(rows: pl.DataFrame) -> dict[str, int]:
    """How many groups of each kind there are: why frames stay together."""
    kinds = rows.unique("group")["group"].str.split(":").list.first().value_counts(sort=True)
    return {str(kind): int(count) for kind, count in kinds.rows()}


def _warnings(counts: Mapping[str, Mapping[str, int]], settings: LineConfig) -> list[str]:
    found = []
    for role, have in counts.items():
        defects = sum(number for stratum, number in have.items() if stratum != "good")
        if not have.get("good") or not defects:
            found.append(
                f"role {role} has {have.get('good', 0)} good and {defects} defective frames"
            )
        missing = [name for name in settings.classes if not have.get(name)]
        if role in ("train", "test") and missing:
            found.append(f"role {role} has no frame of {', '.join(missing)}")
    return found


def _repetitions(rows: pl.DataFrame, left_out: int) -> list[str]:
    """What is in several batches that one would expect in one."""
    found = []
    if left_out:
        found.append(
            f"{left_out} frames are left out: another batch has a frame of the same frame_id; "
            "deliver them under ids that are unique on the line"
        )
    batches_of = rows.drop_nulls("serial").group_by("serial").agg(pl.col("batch").n_unique())
    several = batches_of.filter(pl.col("batch") > 1).height
    if several:
        found.append(
            f"{several} serials occur in several batches: each is kept in one role, and judged as "
            "a separate part in each batch"
        )
    return found
