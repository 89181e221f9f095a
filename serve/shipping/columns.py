"""The columns that a row of the spool becomes in a table; the same in Parquet and PostgreSQL.

Whatever a row holds that has no column, or does not fit its column's type, is in ``extra`` as JSON:
nothing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from inspection import statistics

Kind = Literal["text", "whole", "number", "time", "json"]
Value = str | int | float | datetime | None

SCHEMA_VERSION = 1
"""Grows when the meaning of a column changes, or one goes; a new column needs no new version."""

COLUMNS: dict[str, Kind] = {
    "schema_version": "whole",
    "host": "text",
    "boot": "text",
    "sequence": "whole",
    "kind": "text",
    "received_at": "time",
    "line": "text",
    "camera": "text",
    "product": "text",
    "serial": "text",
    "frame_id": "text",
    "captured_at": "time",
    "content_hash": "text",
    "verdict": "text",
    "score": "number",
    "reasons": "json",
    "class_scores": "json",
    "thresholds": "json",
    "release": "text",
    "bundle": "text",
    "graph": "text",
    "graph_hash": "text",
    "engine": "text",
    "engine_build": "text",
    "wait_ms": "number",
    "decode_ms": "number",
    "engine_ms": "number",
    "total_ms": "number",
    "error": "text",
    "status": "text",
    "message": "text",
    "error_id": "text",
    "stats_version": "whole",
    **dict.fromkeys(statistics.COLUMNS, "number"),
    "decision": "whole",
    "live_release": "text",
    "live_bundle": "text",
    "live_verdict": "text",
    "live_score": "number",
    "live_engine_ms": "number",
    "shadow_release": "text",
    "shadow_bundle": "text",
    "shadow_verdict": "text",
    "shadow_score": "number",
    "shadow_engine_ms": "number",
    "extra": "json",
}
"""Type of each column, in order. JSON is text in Parquet and jsonb in PostgreSQL."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_WHOLE, _MOST_WHOLE = -(2**63), 2**63 - 1
_MICROSECOND = timedelta(microseconds=1)


def values(row: Mapping[str, Any]) -> list[Value]:
    """The values of a row in the order of `COLUMNS`.

    Args:
        row: As `serve.replay.row_of` gives it.
    """
    rest = dict(row)
    kind = "decision" if "verdict" in row else "error"
    rest = {"schema_version": SCHEMA_VERSION, "kind": kind, **rest}
    levels = rest.pop("statistics", None)
    if isinstance(levels, dict):
        surplus = {
            name: level for name, level in levels.items() if not _fits_statistic(name, level)
        }
        rest |= {name: level for name, level in levels.items() if name not in surplus}
        if surplus:
            rest["statistics"] = surplus
    elif levels is not None:
        rest["statistics"] = levels
    found = [_take(rest, name, kind) for name, kind in COLUMNS.items() if name != "extra"]
    return [*found, _json(rest) if rest else None]


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970 (UTC)."""
    return (moment - _EPOCH) // _MICROSECOND


def time_of(text: object) -> datetime | None:
    """The moment that an ISO 8601 text with a zone names, in UTC; None when it names none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _fits_statistic(name: str, level: object) -> bool:
    is_number = level is None or _convert(level, "number") is not None
    return name in statistics.COLUMNS and is_number


def _take(rest: dict[str, Any], name: str, kind: Kind) -> Value:
    """Take a column out of what is left of a row; what does not fit stays there."""
    found = _convert(rest.get(name), kind)
    if found is not None or rest.get(name, 0) is None:
        rest.pop(name, None)
    return found


def _convert(value: object, kind: Kind) -> Value:
    """The value as its column has it; None when it does not fit."""
    match kind:
        case "text":
            return value if isinstance(value, str) else None
        case "time":
            return time_of(value)
        case "json":
            return None if value is None else _json(value)
        case "number":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            return float(value) if is_number else None  # type: ignore[arg-type]
        case "whole":
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            is_whole = is_whole and _LEAST_WHOLE <= value <= _MOST_WHOLE  # type: ignore[operator]
            return value if is_whole else None  # type: ignore[return-value]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
