"""The spool against a bare ``write()`` of the same bytes, with group commit and strictly synced.

One row is a decision as the server records it (about 1.2 kB). The peer writes rows that were made
into bytes beforehand, so that what the spool adds is all there: JSON, numbering, checksum, lock.
All take turns on one disk, in segments of the usual size; a figure is the median over rounds. Run:
``python -m benchmarks.spool [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from inspection.statistics import COLUMNS
from serve.spool import Spool, SpoolLimits

THREADS = (1, 4)
GOALS = {"group commit, 1 thread(s): a row": 10.0, "group commit, 4 thread(s): a row": 20.0}
"""Most that a row may take of an answer's time, microseconds."""

ROW: dict[str, object] = {
    "host": "edge-1",
    "boot": "3f9c01d2a4b5",
    "line": "turin/press-3",
    "received_at": "2026-11-21T14:05:06.123456+00:00",
    "frame_id": "01939f0e-7c00-7000-8000-000000000000",
    "camera": "left",
    "product": "cover-a",
    "serial": "S-12345",
    "captured_at": "2026-11-21T14:05:06.120000+00:00",
    "content_hash": "ab" * 32,
    "verdict": "REJECT",
    "score": 0.9134870123,
    "reasons": [{"code": "score", "name": "", "value": 0.9134870123, "limit": 0.5}],
    "class_scores": {"scratch": 0.9134870123, "dent": 0.0312450981},
    "thresholds": {"temperature": 1.31, "bias": -0.2, "pass_below": 0.2, "reject_from": 0.5},
    "release": "turin/press-3@17",
    "bundle": "cd" * 32,
    "graph": "graph.int8.cpu.onnx",
    "graph_hash": "ef" * 32,
    "engine": "onnxruntime",
    "engine_build": "1.31.1 CPUExecutionProvider",
    "wait_ms": 0.105,
    "decode_ms": 1.204,
    "engine_ms": 3.006,
    "total_ms": 4.512,
    "stats_version": 1,
    "statistics": dict.fromkeys(COLUMNS, 117.30129382716),
}


@dataclass(frozen=True)
class Report:
    """What one run gave: rows a second, and what one row took at the median and at p99."""

    per_s: float
    p50_us: float
    p99_us: float


def measure(append: Callable[[], object], threads: int, seconds: float) -> Report:
    """Rows of so many threads that do nothing else."""
    taken: list[list[float]] = [[] for _ in range(threads)]
    started = time.perf_counter()
    end = started + seconds

    def run(times: list[float]) -> None:
        now = time.perf_counter()
        while now < end:
            append()
            before, now = now, time.perf_counter()
            times.append(now - before)

    workers = [threading.Thread(target=run, args=(times,)) for times in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - started
    every = sorted(1e6 * value for times in taken for value in times)
    return Report(len(every) / elapsed, every[len(every) // 2], every[len(every) * 99 // 100])


def spooled(folder: Path, threads: int, seconds: float, *, strict: bool) -> Report:
    limits = SpoolLimits(strict=strict, max_bytes=256 * 2**20)
    spool = Spool(folder, limits)
    try:
        return measure(lambda: spool.append(ROW), threads, seconds)
    finally:
        spool.close()


def bare(folder: Path, threads: int, seconds: float) -> Report:
    payload = orjson.dumps(ROW)
    folder.mkdir()
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        return measure(lambda: os.write(descriptor, payload), threads, seconds)
    finally:
        os.close(descriptor)


def run(rounds: int, seconds: float) -> list[dict[str, object]]:
    kinds: dict[str, Callable[[Path, int, float], Report]] = {
        "bare write": bare,
        "group commit": lambda *args: spooled(*args, strict=False),
        "strict": lambda *args: spooled(*args, strict=True),
    }
    found: dict[tuple[str, int], list[Report]] = {}
    for _ in range(rounds):
        for threads in THREADS:
            for kind, once in kinds.items():
                with tempfile.TemporaryDirectory(prefix="bench-spool-", dir=".") as name:
                    report = once(Path(name) / "spool", threads, seconds)
                found.setdefault((kind, threads), []).append(report)
    return [row for key, reports in found.items() for row in figures(*key, reports)]


def figures(kind: str, threads: int, reports: list[Report]) -> list[dict[str, object]]:
    per_s = statistics.median(report.per_s for report in reports)
    name = f"{kind}, {threads} thread(s)"
    return [
        _figure(f"{name}: throughput", per_s, "rows/s"),
        _figure(f"{name}: bytes", per_s * len(orjson.dumps(ROW)) / 1e6, "MB/s"),
        _figure(f"{name}: a row", statistics.median(r.p50_us for r in reports), "us"),
        _figure(f"{name}: a row at p99", statistics.median(r.p99_us for r in reports), "us"),
    ]


def _figure(name: str, value: float, unit: str) -> dict[str, object]:
    goal = GOALS.get(name)
    is_ok = goal is None or value <= goal
    return {"figure": name, "value": round(value, 1), "unit": unit, "goal": goal, "ok": is_ok}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    rows = run(given.rounds, given.seconds)
    for row in rows:
        goal = f"goal {row['goal']}" if row["goal"] is not None else ""
        print(f"{row['figure']:40} {row['value']:>10} {row['unit']:6} {goal} {row['ok']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
