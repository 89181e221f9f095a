"""Spools with rows in them, and the shipping process as users run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serve.shipping.plan import LinePlan, Plan
from serve.spool import Spool
from store import layout
from store.keys import LineKey
from store.root import Store

if TYPE_CHECKING:
    import polars as pl

LINE = LineKey("turin", "press-3")
RECEIVED = "2026-11-21T14:05:06.123456+00:00"


def row(number: int, **given: object) -> dict[str, Any]:
    """A decision as the server records it."""
    return {
        "host": "edge-1",
        "boot": "b00t",
        "line": str(LINE),
        "received_at": RECEIVED,
        "frame_id": f"f-{number}",
        "camera": "left",
        "product": "",
        "serial": f"s-{number}",
        "captured_at": None,
        "content_hash": "ab" * 32,
        "verdict": "REJECT",
        "score": 0.75,
        "reasons": [{"code": "score", "name": "", "value": 0.75, "limit": 0.5}],
        "release": "turin/press-3@1",
        "total_ms": 1.5,
        "stats_version": 1,
        "statistics": {"brightness": 100.5, "noise": None},
        **given,
    }


def store_in(folder: Path) -> Store:
    """A store that knows the line."""
    store = Store(str(folder / "store"))
    store.write(f"{layout.line(LINE)}/config/known", b"")
    return store


def plan_for(folder: Path, **given: object) -> Plan:
    """Ship the spool in `folder` at a quick pace."""
    line = LinePlan(line=str(LINE), spool=folder / "spool", kept=given.pop("kept", None))
    return Plan(
        store=str(folder / "store"), host="edge-1", lines=(line,), **{"every_s": 0.05, **given}
    )


def fill(folder: Path, count: int, first: int = 1) -> None:
    """Rows in the spool of a server that has ended."""
    spool = Spool(folder / "spool")
    for number in range(first, first + count):
        spool.append(row(number))
    spool.close()


def stored(store: Store) -> pl.DataFrame:
    """All decisions in the store."""
    import polars as pl

    files = sorted(store.local_path(layout.decisions(LINE)).rglob("*.parquet"))
    return pl.read_parquet(files, hive_partitioning=True) if files else pl.DataFrame()


def sequences(store: Store) -> list[int]:
    """The numbers of the rows in the store, sorted."""
    table = stored(store)
    return sorted(table["sequence"].to_list()) if len(table) else []


class Shipping:
    """The shipping process, without a server around it."""

    def __init__(self, plan: Plan) -> None:
        command = [sys.executable, "-m", "serve.shipping"]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        assert self.child.stdin is not None
        self.child.stdin.write(plan.model_dump_json() + "\n")
        self.child.stdin.flush()

    def kill(self) -> None:
        """End it without a word."""
        self.child.kill()
        self.child.wait()
        self._close()

    def end(self) -> int:
        """End it as the server does; gives its exit status."""
        self._close()
        return self.child.wait(timeout=60)

    def _close(self) -> None:
        assert self.child.stdin is not None
        self.child.stdin.close()
