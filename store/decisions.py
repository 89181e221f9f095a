"""Decisions that the line's servers have shipped: lazy tables by day of receipt.

Columns: `serve.shipping.columns` (stated in docs/guides/decisions.md). A file is created whole and
never changed, so a scan sees every shipped row once, also while more are shipped.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from store import layout
from store.errors import NotFound
from store.keys import LineKey
from store.root import Store

if TYPE_CHECKING:
    import polars as pl


def files(
    store: Store, line: LineKey, since: date | None = None, until: date | None = None
) -> list[str]:
    """Paths of the files of a line's decisions, sorted.

    Args:
        store: Where they are.
        line: Whose.
        since: First day of receipt (UTC); None: no limit.
        until: Last day of receipt (UTC); None: no limit.
    """
    folder, found = layout.decisions(line), []
    for name in store.names(folder):
        day = date.fromisoformat(name.removeprefix("date="))
        if (since is None or day >= since) and (until is None or day <= until):
            found += [f"{folder}/{name}/{file}" for file in store.names(f"{folder}/{name}")]
    return found


def scan(
    store: Store, line: LineKey, since: date | None = None, until: date | None = None
) -> pl.LazyFrame:
    """The decisions of a line; arguments as of `files`. A column that a file lacks is null there.

    Raises:
        NotFound: when there is none.
    """
    import polars as pl

    paths = files(store, line, since, until)
    if not paths:
        raise NotFound(
            f"{store.url} has no decisions of line {line} in these days: a server ships them about "
            "every minute; see `vision-serve spool --shipping`"
        )
    return pl.scan_parquet(
        [store.local_path(path) for path in paths],
        missing_columns="insert",
        extra_columns="ignore",
    )
