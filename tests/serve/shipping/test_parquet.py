"""Decisions in the store: every row once, in files that are created once."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from serve.shipping import cursor
from serve.shipping.cursor import Cursor
from serve.shipping.parquet import ParquetSink
from serve.shipping.program import drain
from serve.spool import Spool
from store import decisions, layout
from store.errors import InvalidInput, Unavailable
from store.root import Store
from tests.serve.shipping.running import LINE, fill, plan_for, row, sequences, store_in, stored


def test_rows_are_in_the_store_by_day_of_receipt(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    spool = Spool(tmp_path / "spool")
    for number, day in enumerate(("20", "21", "20", "21"), start=1):
        spool.append(row(number, received_at=f"2026-11-{day}T23:59:59.9+00:00"))
    spool.append({"error": "empty"})  # as little as a row can hold
    spool.close()
    assert drain(plan_for(tmp_path)) == {"turin/press-3": {"parquet": 5}}
    names = [name for name, _ in store.files(layout.decisions(LINE))]
    assert names == [
        "date=1970-01-01/unknown-unknown-0000000000000001-0000000000000005.parquet",
        "date=2026-11-20/edge_1-b00t-0000000000000001-0000000000000005.parquet",
        "date=2026-11-21/edge_1-b00t-0000000000000001-0000000000000005.parquet",
    ]
    found = decisions.scan(store, LINE, date(2026, 11, 20), date(2026, 11, 20)).collect()
    assert found["sequence"].to_list() == [1, 3]
    every = decisions.scan(store, LINE).sort("sequence").collect()
    assert every["kind"].to_list() == ["decision"] * 4 + ["error"]
    assert every["received_at"].dtype == pl.Datetime("us", "UTC")


def test_range_that_was_begun_is_ended_with_the_same_files(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    fill(tmp_path, 10)
    drain(plan_for(tmp_path))
    before = store.files(layout.decisions(LINE))
    cursor.save(tmp_path / "spool", "parquet", Cursor(1, 10))  # killed before the last word
    fill(tmp_path, 5, 11)
    drain(plan_for(tmp_path))
    assert [f for f in before if f in store.files(layout.decisions(LINE))] == before
    assert sequences(store) == list(range(1, 16))


def test_starts_of_the_server_have_files_of_their_own(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    for number, boot in enumerate("aab", start=1):
        spool = Spool(tmp_path / "spool")
        spool.append(row(number, boot=boot))
        spool.close()
    drain(plan_for(tmp_path))
    assert len(store.files(layout.decisions(LINE))) == 2
    assert stored(store).sort("sequence")["boot"].to_list() == ["a", "a", "b"]


def test_store_that_is_not_mounted_is_not_made(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    sink = ParquetSink(Store(str(tmp_path / "store")), LINE, 1.0)
    with pytest.raises(Unavailable, match="mounted"):
        sink.open()
    with pytest.raises(InvalidInput, match="parquet: .*mounted"):
        drain(plan_for(tmp_path))
    assert not (tmp_path / "store").exists()
    store = store_in(tmp_path)
    drain(plan_for(tmp_path))
    assert sequences(store) == [1, 2, 3]
