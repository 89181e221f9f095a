"""Tables are read as their manifest states them, or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from store import tables
from store.errors import Corrupt
from store.root import Store
from store.tables import StoredFile

TABLE = pl.DataFrame({"name": ["a", "b"], "label": ["good", "good"], "number": [1, 2]})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def write(store: Store, table: pl.DataFrame = TABLE) -> StoredFile:
    return tables.write_table(store, "folder", "table", table)


def test_a_table_comes_back_whole_or_in_part(store: Store) -> None:
    file = write(store)
    assert tables.read_table(store, file).equals(TABLE)
    assert tables.read_table(store, file, ["number"]).equals(TABLE.select("number"))


def test_several_tables_are_one(store: Store) -> None:
    more = TABLE.with_columns(number=pl.col("number") + 2)
    scanned = tables.scan_tables(store, [write(store), write(store, more)])
    assert scanned.select("number").collect()["number"].to_list() == [1, 2, 3, 4]


def test_nothing_to_scan_is_an_error(store: Store) -> None:
    with pytest.raises(ValueError, match="no tables"):
        tables.scan_tables(store, [])


def test_a_table_that_was_exchanged_is_refused(store: Store) -> None:
    file = write(store)
    other = write(store, TABLE.with_columns(label=pl.lit("defect")))
    store.write(file.path, store.read(other.path))
    with pytest.raises(Corrupt, match="restore the file from a backup"):
        tables.read_table(store, file)
    with pytest.raises(Corrupt, match="restore the file from a backup"):
        tables.scan_tables(store, [other, file])
