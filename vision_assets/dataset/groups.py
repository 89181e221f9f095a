"""Which frames must never be separated: the unit that a role is given to.

Frames that share a serial, a declared group or their very bytes belong together, transitively.
Frames with neither serial nor group stay together by batch when the line has many batches, else in
contiguous blocks of capture order within each class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

# With fewer batches than this, whole batches cannot fill four roles with every class.
BATCHES_TO_SPLIT_BY = 12
BLOCKS_PER_CLASS = 20


def assign_groups(frames: pl.DataFrame, earlier: Mapping[str, str]) -> pl.DataFrame:
    """`frames` with a column ``group``: the name of the unit each frame belongs to.

    Args:
        frames: Columns ``frame_id``, ``content_hash``, ``batch``, ``captured_at``, ``serial``,
            ``declared_group`` (both nullable) and ``stratum`` (a class, or ``good``).
        earlier: Group by frame id, of earlier snapshots. A frame that was in a block stays in
            it, and a batch that was split into blocks goes on so, however many batches there are.

    Returns:
        The same rows, sorted by batch, capture time and frame id.
    """
    ordered = frames.sort("batch", "captured_at", "frame_id")
    ordered = ordered.with_columns(_old_block(ordered, earlier))
    keyed = ordered.with_columns(
        ("part:" + pl.col("serial")).alias("by_part"),
        ("group:" + pl.col("declared_group")).alias("by_group"),
        _time_key(ordered).alias("by_time"),
        ("bytes:" + pl.col("content_hash")).alias("by_bytes"),
    )
    links = keyed.select("by_part", "by_group", "by_time", "by_bytes").rows()
    names = _components([[key for key in row if key is not None] for row in links])
    return ordered.drop("old_block").with_columns(pl.Series("group", names, dtype=pl.String))


def _old_block(frames: pl.DataFrame, earlier: Mapping[str, str]) -> pl.Series:
    groups = [earlier.get(frame_id, "") for frame_id in frames["frame_id"]]
    blocks = [group if group.startswith("block:") else None for group in groups]
    return pl.Series("old_block", blocks, dtype=pl.String)


def _time_key(ordered: pl.DataFrame) -> pl.Expr:
    """For frames with neither serial nor group: their old block, a new block, or their batch."""
    loose = pl.col("serial").is_null() & pl.col("declared_group").is_null()
    few = ordered.filter(loose)["batch"].n_unique() < BATCHES_TO_SPLIT_BY
    by_block = pl.lit(few) | pl.col("old_block").is_not_null().any().over("batch")
    return (
        pl.when(~loose)
        .then(None)
        .when(pl.col("old_block").is_not_null())
        .then("old_block")
        .when(by_block)
        .then(_new_block())
        .otherwise("batch:" + pl.col("batch"))
    )


def _new_block() -> pl.Expr:
    """Contiguous runs within batch and class: at most 20 of about equal size.

    A run is named by its first frame, so that runs of a later delivery have other names.
    """
    scope = ["batch", "stratum", pl.col("old_block").is_null()]
    number = pl.int_range(pl.len()).over(scope) * BLOCKS_PER_CLASS // pl.len().over(scope)
    first = pl.col("frame_id").first().over([*scope, number])
    return pl.format("block:{}:{}:{}", "batch", "stratum", first)


def _components(links: Sequence[Sequence[str]]) -> list[str]:
    """For each row of keys, the smallest key of the connected set it belongs to (union-find).

    A set is named by its most telling key: parts before groups before time before bytes.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for keys in links:
        for other in keys[1:]:
            first, second = sorted((root(keys[0]), root(other)), key=_rank)
            parent[second] = first
    return [root(keys[0]) for keys in links]


def _rank(key: str) -> tuple[int, str]:
    kind = key.split(":", 1)[0]
    return ("part", "group", "batch", "block", "bytes").index(kind), key
