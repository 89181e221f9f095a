"""Rows as Parquet files in the store: ``lines/{site}/{line}/decisions/date=YYYY-MM-DD/``.

A file's name holds host, boot and range; it is created once and never changed, so that a range that
is shipped again finds its files there. The date is that of receipt (UTC).
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from itertools import groupby

from arro3.core import Array, DataType, Field, RecordBatch, Schema
from arro3.io import write_parquet

from serve.shipping.columns import COLUMNS, SCHEMA_VERSION, Kind, microseconds, time_of, values
from serve.shipping.shipper import Pace, Row
from store import layout
from store.errors import Conflict, Unavailable
from store.keys import LineKey
from store.root import Store

_NO_DATE = date(1970, 1, 1)
_TYPES: dict[Kind, DataType] = {
    "text": DataType.string(),
    "json": DataType.string(),
    "whole": DataType.int64(),
    "number": DataType.float64(),
    "time": DataType.timestamp("us", tz="UTC"),
}
_SCHEMA = Schema([Field(name, _TYPES[kind], nullable=True) for name, kind in COLUMNS.items()])


class ParquetSink:
    """The decisions of one line in the store."""

    name = "parquet"

    def __init__(self, store: Store, line: LineKey, every_s: float) -> None:
        """Write to `store`, about every `every_s` seconds."""
        self._store, self._line = store, line
        # So many rows take about 30 MB of memory on their way.
        self.pace = Pace(most_rows=5_000, most_bytes=8 * 2**20, wait_s=every_s)

    def open(self) -> None:
        """See whether the line is there; a store that is not mounted must not be made anew."""
        if not self._store.exists(layout.line(self._line)):
            raise Unavailable(
                f"{self._store.url} has no {layout.line(self._line)}: is the store's disk mounted? "
                "Decisions wait in the spool"
            )

    def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """Write one file for each start of the server and day of receipt."""
        for (day, host, boot), members in groupby(sorted(rows, key=_file_key), key=_file_key):
            name = f"{host}-{boot}-{first:016d}-{last:016d}.parquet"
            path = f"{layout.decisions(self._line, day)}/{name}"
            with suppress(Conflict):  # there from an attempt that was killed before it could say so
                self._store.create(path, table(list(members)))

    def close(self) -> None:
        """There is nothing to let go of."""


def table(rows: Sequence[Row]) -> bytes:
    """A Parquet file of rows, as `COLUMNS` has them; one row of the file for each."""
    columns = list(zip(*map(values, rows), strict=True))
    arrays = []
    for (name, kind), column in zip(COLUMNS.items(), columns, strict=True):
        del name
        if kind == "time":
            stamps = [None if moment is None else microseconds(moment) for moment in column]
            arrays.append(Array(stamps, DataType.int64()).cast(_TYPES[kind]))
        else:
            arrays.append(Array(column, _TYPES[kind]))
    buffer = io.BytesIO()
    write_parquet(
        RecordBatch(arrays, schema=_SCHEMA),
        buffer,
        compression="zstd(3)",
        key_value_metadata={"vision.decisions.schema_version": str(SCHEMA_VERSION)},
    )
    return buffer.getvalue()


def _file_key(row: Row) -> tuple[date, str, str]:
    """Day of receipt, host and boot."""
    received = time_of(row.get("received_at"))
    day = received.date() if received else _NO_DATE
    return day, _harmless(row.get("host")), _harmless(row.get("boot"))


def _harmless(text: object) -> str:
    return re.sub(r"[^A-Za-z0-9._]", "_", str(text or "unknown"))
