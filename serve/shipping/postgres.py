"""Rows in a PostgreSQL table, keyed by host, boot and sequence: a row that is there stays as it is.

The table is made and changed by the numbered files in ``migrations/``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import Any

import asyncpg

from serve.shipping.columns import COLUMNS, Value, values
from serve.shipping.shipper import Pace, Row
from store.errors import Unavailable

_CONNECT_S, _COMMAND_S = 10.0, 60.0
_LOCK = 0x766973696F6E  # "vision": of two servers that migrate at once, one waits
_NAMES = ", ".join(COLUMNS)
_TEXT_KEYS = ("host", "boot")


class PostgresSink:
    """The decisions of a line in a table that many lines may share."""

    name = "postgres"
    pace = Pace(most_rows=1000, wait_s=0.5)

    def __init__(self, dsn: str, password: Callable[[], str | None]) -> None:
        """Write to the database that `dsn` names; nothing is opened yet.

        Args:
            dsn: The database, without a password.
            password: Gives it, asked at each connection, so that a new one needs no restart.
        """
        self._dsn, self._password = dsn, password
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def open(self) -> None:
        """Connect and bring the schema up to date, unless that is done."""
        if self._connection is None or self._connection.is_closed():
            with _told():
                self._connection = self._runner.run(self._connect())

    def ship(self, first: int, last: int, rows: Sequence[Row]) -> None:
        """Copy the rows into a table of this session, and from there what is new."""
        del first, last
        records = [_record(row) for row in rows]
        with _told():
            try:
                self._runner.run(self._copy(records))
            except BaseException:
                self._abandon()
                raise

    def close(self) -> None:
        """Close the connection."""
        self._abandon()
        self._runner.close()

    def _abandon(self) -> None:
        """Let go of a connection whose state nobody knows."""
        if self._connection is not None:
            self._runner.get_loop().call_soon(self._connection.terminate)
            self._runner.run(asyncio.sleep(0))
            self._connection = None

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        connection = await asyncpg.connect(
            self._dsn,
            password=self._password(),
            timeout=_CONNECT_S,
            command_timeout=_COMMAND_S,
            server_settings={"application_name": "vision-serve"},
        )
        try:
            await _migrate(connection)
            await connection.execute(
                "CREATE TEMP TABLE arriving (LIKE decisions) ON COMMIT DELETE ROWS"
            )
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _copy(self, records: Sequence[tuple[Value, ...]]) -> None:
        connection = self._connection
        assert connection is not None
        async with connection.transaction():
            await connection.copy_records_to_table(
                "arriving", records=records, columns=list(COLUMNS)
            )
            await connection.execute(
                f"INSERT INTO decisions ({_NAMES}) SELECT {_NAMES} FROM arriving "
                "ON CONFLICT DO NOTHING"
            )


async def _migrate(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Apply every migration that the database does not have, all or none."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS vision_schema (number integer PRIMARY KEY, "
            "applied_at timestamptz NOT NULL DEFAULT now())"
        )
        newest = await connection.fetchval("SELECT coalesce(max(number), 0) FROM vision_schema")
        for number, statements in migrations():
            if number > newest:
                await connection.execute(statements)
                await connection.execute("INSERT INTO vision_schema (number) VALUES ($1)", number)


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order."""
    folder = resources.files("serve.shipping") / "migrations"
    files = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".sql"))
    return [(int(name[:4]), file.read_text()) for name, file in files]


@contextmanager
def _told() -> Iterator[None]:
    """Every way in which a database fails as the one error that a shipper waits out."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
        why = str(error) or type(error).__name__
        raise Unavailable(f"PostgreSQL: {why}; rows wait in the spool") from error


def _record(row: Row) -> tuple[Value, ...]:
    clean: Row = _without_nul(row)
    for name in _TEXT_KEYS:
        clean[name] = str(clean.get(name) or "")
    return tuple(values(clean))


def _without_nul(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with each NUL, which PostgreSQL does not store, as the replacement character."""
    match value:
        case str():
            return value.replace("\0", "\ufffd")
        case list():
            return [_without_nul(part) for part in value]
        case dict():
            return {_without_nul(name): _without_nul(part) for name, part in value.items()}
        case _:
            return value
