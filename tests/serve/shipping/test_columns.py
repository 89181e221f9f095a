"""Rows as columns: nothing is left out, and nothing has the wrong type."""

from __future__ import annotations

import io
from typing import Any

import orjson
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.shipping.columns import COLUMNS, SCHEMA_VERSION, microseconds, time_of, values
from serve.shipping.parquet import table
from tests.serve.shipping.running import row

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
_ROWS = st.dictionaries(st.sampled_from([*COLUMNS, "statistics", "new"]) | _TEXT, _JSON, max_size=8)


def named(told: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, values(told), strict=True))


@given(told=_ROWS)
@settings(max_examples=200, deadline=None)
def test_every_value_is_in_its_column_or_in_extra(told: dict[str, Any]) -> None:
    found = named(told)
    extra = orjson.loads(found["extra"]) if found["extra"] else {}
    for name, value in told.items():
        if value is None or (name == "extra" and name in extra):
            continue
        if name == "statistics" and isinstance(value, dict):
            kept = {
                **extra.get("statistics", {}),
                **{k: v for k, v in found.items() if v is not None},
            }
            assert {k for k, v in value.items() if v is not None} <= set(kept)
        elif name in extra:
            assert extra[name] == value
        elif COLUMNS[name] == "json":
            assert orjson.loads(found[name]) == value
        elif COLUMNS[name] == "time":
            assert found[name] == time_of(value)
        else:
            assert found[name] == value


@given(rows=st.lists(_ROWS, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_rows_make_a_table_that_polars_reads(rows: list[dict[str, Any]]) -> None:
    found = pl.read_parquet(io.BytesIO(table(rows)))
    assert found.columns == list(COLUMNS)
    for read, told in zip(found.iter_rows(named=True), rows, strict=True):
        expected = named(told)
        for name, kind in COLUMNS.items():
            if kind == "time" and expected[name] is not None:
                assert microseconds(read[name]) == microseconds(expected[name])
            else:
                assert read[name] == expected[name]


def test_decision_error_and_shadow_are_told_apart() -> None:
    assert named(row(1))["kind"] == "decision"
    assert named({"error": "empty"})["kind"] == "error"
    assert named(row(1, kind="shadow"))["kind"] == "shadow"
    assert named(row(1))["schema_version"] == SCHEMA_VERSION


def test_statistics_are_columns() -> None:
    found = named(row(1, statistics={"brightness": 3, "noise": None, "later": 5.0}))
    assert (found["brightness"], found["noise"]) == (3.0, None)
    assert orjson.loads(found["extra"]) == {"statistics": {"later": 5.0}}
