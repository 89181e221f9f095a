"""Rows of the spool, as the server makes them."""

from __future__ import annotations

from inspection.statistics import COLUMNS
from serve.observations import Observed
from serve.spool import SpoolState

LINE = "turin/press-3"
SPOOL = SpoolState(next_sequence=8, synced_sequence=6, bytes=4096, dropped=2, fault="")


def decision(camera: str = "top", **given: object) -> dict[str, object]:
    """A row of a frame that was judged."""
    row: dict[str, object] = {
        "sequence": 7,
        "host": "edge-1",
        "boot": "0123456789ab",
        "line": LINE,
        "received_at": "2026-11-21T10:00:00.123456+00:00",
        "frame_id": "frame-1",
        "camera": camera,
        "product": "cover",
        "serial": "SECRET-SERIAL",
        "verdict": "PASS",
        "score": 0.25,
        "reasons": [],
        "release": f"{LINE}@1",
        "wait_ms": 1.0,
        "decode_ms": 2.5,
        "engine_ms": 4.0,
        "total_ms": 8.0,
        "spool_ms": 0.25,
        "statistics": dict.fromkeys(COLUMNS, 0.4),
    }
    return row | given


def error(code: str = "truncated", **given: object) -> dict[str, object]:
    """A row of a frame that got no verdict."""
    row = decision()
    for name in ("verdict", "score", "reasons", "statistics", "wait_ms", "decode_ms", "engine_ms"):
        del row[name]
    return row | {"error": code, "status": "INVALID_ARGUMENT"} | given


def observed(*rows: dict[str, object], traceparent: str = "") -> list[Observed]:
    return [Observed(row, traceparent) for row in rows]
