"""Column types of the tables that ingest writes; what the columns mean: `store.batches`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def index_schema() -> dict[str, pl.DataType]:
    """Types of the index columns, in order."""
    import polars as pl

    from inspection.statistics import COLUMNS

    text, whole, number = pl.String(), pl.Int64(), pl.Float64()
    return {
        "frame_id": text,
        "content_hash": text,
        "file": text,
        "camera": text,
        "captured_at": pl.Datetime("us", "UTC"),
        "serial": text,
        "group": text,
        "product": text,
        "exposure_ms": number,
        "extra": text,
        "shard": text,
        "offset": whole,
        "length": whole,
        "format": text,
        "width": whole,
        "height": whole,
        "channels": whole,
        "dtype": text,
        "stats_version": whole,
        **dict.fromkeys(COLUMNS, number),
    }


def quarantine_schema() -> dict[str, pl.DataType]:
    """Types of the quarantine columns, in order."""
    import polars as pl

    return dict.fromkeys(("file", "reason", "message", "content_hash"), pl.String())
