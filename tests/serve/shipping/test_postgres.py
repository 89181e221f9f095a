"""PostgreSQL, a real one: every row once, whatever happens on the way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve.shipping import cursor
from serve.shipping.columns import COLUMNS
from serve.shipping.cursor import Cursor
from serve.shipping.plan import PASSWORDS, Plan, PostgresPlan
from serve.shipping.postgres import PostgresSink, migrations
from serve.shipping.program import drain
from store.errors import InvalidInput, Unavailable
from tests.serve.shipping.conftest import PASSWORD, Database
from tests.serve.shipping.running import Shipping, fill, plan_for, row, store_in


def ask(database: Database, query: str) -> list[Any]:
    async def run() -> list[Any]:
        connection = await asyncpg.connect(database.dsn, password=PASSWORD)
        try:
            found: list[Any] = await connection.fetch(query)
            return found
        finally:
            await connection.close()

    return asyncio.run(run())


@pytest.fixture
def empty(database: Database) -> Database:
    ask(database, "DROP TABLE IF EXISTS decisions, vision_schema")
    return database


def sequences(database: Database) -> list[int]:
    return [found[0] for found in ask(database, "SELECT sequence FROM decisions ORDER BY 1")]


def test_rows_are_there_once_with_their_types(empty: Database, tmp_path: Path) -> None:
    store_in(tmp_path)
    fill(tmp_path, 2500)
    password = tmp_path / "password"
    password.write_text(PASSWORD + "\n")
    plan = plan_for(tmp_path, postgres=PostgresPlan(dsn=empty.dsn, password_file=password))
    assert drain(plan) == {"turin/press-3": {"parquet": 2500, "postgres": 2500}}
    assert sequences(empty) == list(range(1, 2501))
    cursor.save(tmp_path / "spool", "postgres", Cursor(2001))  # the last word was lost
    drain(plan)
    assert sequences(empty) == list(range(1, 2501))
    query = (
        "SELECT received_at::text, score, reasons->0->>'code', brightness, noise, kind "
        "FROM decisions WHERE sequence = 7"
    )
    (found,) = ask(empty, query)
    assert found[0].startswith("2026-11-21 14:05:06.123456")
    assert tuple(found)[1:] == (0.75, "score", 100.5, None, "decision")


def test_schema_is_made_once_and_kept(empty: Database) -> None:
    for _ in range(2):
        sink = PostgresSink(empty.dsn, lambda: PASSWORD)
        sink.open()
        sink.close()
    applied = [found[0] for found in ask(empty, "SELECT number FROM vision_schema ORDER BY 1")]
    assert applied == [number for number, _ in migrations()] == [1]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_NAMES = st.sampled_from(
    ["score", "camera", "frame_id", "reasons", "received_at", "stats_version", "statistics", "new"]
)


def test_no_row_can_hold_up_the_others(empty: Database) -> None:
    sink = PostgresSink(empty.dsn, lambda: PASSWORD)
    sink.open()
    number = 0

    @given(given_=st.dictionaries(_NAMES, _JSON, max_size=4))
    @settings(max_examples=50, deadline=None, database=None)
    def ships(given_: dict[str, Any]) -> None:
        nonlocal number
        number += 1
        sink.ship(number, number, [{**row(number, **given_), "sequence": number}])

    ships()
    sink.close()
    assert sequences(empty) == list(range(1, number + 1))


def test_rows_wait_while_the_database_is_away(empty: Database, tmp_path: Path) -> None:
    store_in(tmp_path)
    fill(tmp_path, 10)
    plan = plan_for(tmp_path, postgres=PostgresPlan(dsn=empty.dsn, password_file=None))
    sink = PostgresSink(empty.dsn, lambda: PASSWORD)
    sink.open()
    empty.control("-m", "immediate", "stop")
    try:
        with pytest.raises(Unavailable, match="PostgreSQL"):
            sink.ship(1, 1, [{**row(1), "sequence": 1}])
        with pytest.raises(Unavailable, match="PostgreSQL"):
            sink.open()
    finally:
        empty.control("start")
    sink.open()
    sink.ship(1, 1, [{**row(1), "sequence": 1}])
    sink.close()
    assert sequences(empty) == [1]
    assert drain_with_password(plan)["turin/press-3"]["postgres"] == 10
    assert sequences(empty) == list(range(1, 11))


def drain_with_password(plan: Plan) -> dict[str, dict[str, int]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(PASSWORDS["postgres"], PASSWORD)
        return drain(plan)


def test_wrong_password_is_told_without_it(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORDS["postgres"], "wrong-and-secret")
    store_in(tmp_path)
    fill(tmp_path, 3)
    plan = plan_for(tmp_path, postgres=PostgresPlan(dsn=empty.dsn))
    with pytest.raises(InvalidInput, match="password authentication failed") as raised:
        drain(plan)
    assert "wrong-and-secret" not in str(raised.value)
    assert cursor.load(tmp_path / "spool", "parquet") == Cursor(4)  # other places are served
    assert cursor.load(tmp_path / "spool", "postgres") == Cursor(1)


def test_killed_while_copying_every_row_is_there_once(
    empty: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORDS["postgres"], PASSWORD)
    store_in(tmp_path)
    plan = plan_for(tmp_path, postgres=PostgresPlan(dsn=empty.dsn))
    for start in range(3):
        fill(tmp_path, 3000, 1 + 3000 * start)
        shipping = Shipping(plan)
        while cursor.load(tmp_path / "spool", "postgres").next <= 3000 * start + 1:
            assert shipping.child.poll() is None
        shipping.kill()
    drain(plan)
    assert sequences(empty) == list(range(1, 9001))


def test_migrations_make_the_columns_that_rows_have(empty: Database) -> None:
    sink = PostgresSink(empty.dsn, lambda: PASSWORD)
    sink.open()
    sink.close()
    query = (
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_name = 'decisions' ORDER BY ordinal_position"
    )
    types = {
        "text": "text",
        "whole": "bigint",
        "number": "double precision",
        "time": "timestamp with time zone",
        "json": "jsonb",
    }
    expected = [(name, types[kind]) for name, kind in COLUMNS.items()]
    assert [tuple(found) for found in ask(empty, query)] == expected


def test_password_file_that_is_not_there_stops_no_other_place(
    empty: Database, tmp_path: Path
) -> None:
    store_in(tmp_path)
    fill(tmp_path, 3)
    away = PostgresPlan(dsn=empty.dsn, password_file=tmp_path / "away")
    shipping = Shipping(plan_for(tmp_path, postgres=away))
    spool = tmp_path / "spool"
    while cursor.load(spool, "parquet").next < 4 or not cursor.progress(spool, "postgres").fault:
        assert shipping.child.poll() is None
    assert "password file" in cursor.progress(spool, "postgres").fault
    (tmp_path / "away").write_text(PASSWORD)
    while cursor.load(spool, "postgres").next < 4:
        assert shipping.child.poll() is None
    assert shipping.end() == 0
    assert sequences(empty) == [1, 2, 3]
