"""Shipped decisions are read back lazily, by day."""

from __future__ import annotations

import io
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from store import decisions, layout
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store

LINE = LineKey("turin", "press-3")


def write(store: Store, day: date, name: str, table: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    store.create(f"{layout.decisions(LINE, day)}/{name}.parquet", buffer.getvalue())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(str(tmp_path))
    for day in (20, 21, 22):
        table = pl.DataFrame({"sequence": [day], "camera": ["left"]})
        write(made, date(2026, 11, day), "a", table)
    return made


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [(None, None, [20, 21, 22]), (21, None, [21, 22]), (None, 20, [20]), (21, 21, [21])],
)
def test_days_are_chosen(
    store: Store, since: int | None, until: int | None, expected: list[int]
) -> None:
    first, last = (None if day is None else date(2026, 11, day) for day in (since, until))
    found = decisions.scan(store, LINE, first, last).collect()
    assert sorted(found["sequence"]) == expected


def test_columns_of_other_versions_are_null_or_left_out(store: Store) -> None:
    newer = pl.DataFrame({"sequence": [30], "new": ["x"]})
    write(store, date(2026, 11, 30), "b", newer)
    found = decisions.scan(store, LINE).sort("sequence").collect()
    assert found.columns == ["sequence", "camera"]
    assert found["camera"].to_list() == ["left", "left", "left", None]


def test_no_decisions_says_where_to_look(store: Store) -> None:
    with pytest.raises(NotFound, match="--shipping"):
        decisions.scan(store, LINE, date(2027, 1, 1))
    with pytest.raises(NotFound):
        decisions.scan(store, LineKey("turin", "other"))
