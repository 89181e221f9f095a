"""``python -m benchmarks.serve [measure|install|build]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.serve import compiled
from benchmarks.serve.install import install, versions
from benchmarks.serve.measure import Plan, run
from benchmarks.serve.registry import ENVIRONMENTS
from benchmarks.serve.table import Row


def main() -> None:
    given = _arguments()
    if given.what == "install":
        faults = install(given.cache, given.only)
        sys.exit("\n".join(faults) or 0)
    if given.what == "build":
        for make in (compiled.grpc_client, compiled.http_client, compiled.native_server):
            print(make(given.cache))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # frozen servers must not stay behind
    plan = Plan(given.rounds, given.seconds, given.single_s, given.rate_s, tuple(given.only))
    with tempfile.TemporaryDirectory(prefix="bench-serve-") as name:
        rows, missing = run(Path(name), given.cache, plan)
    for row in rows:
        print(_line(row))
    if missing:
        print(f"not installed, not measured: {', '.join(missing)}")
        print("install them with: python -m benchmarks.serve install")
    rows += _made_of(given.cache, missing)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="?", choices=("measure", "install", "build"), default="measure"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--cache", type=Path, default=compiled.CACHE, help="of environments, programs"
    )
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--seconds", type=float, default=Plan.seconds)
    parser.add_argument("--single-s", type=float, default=Plan.single_s)
    parser.add_argument("--rate-s", type=float, default=Plan.rate_s)
    parser.add_argument("--only", nargs="*", default=(), help="peers (or environments to install)")
    return parser.parse_args()


def _line(row: Row) -> str:
    goal = f"goal {row['goal']}" if row["goal"] is not None else ""
    low, high = row["spread"] if isinstance(row["spread"], list) else (0, 0)
    spread = f"[{low}, {high}]"
    missed = "" if row["ok"] else "MISSED"
    return f"{row['figure']:75} {row['value']:>8} {spread:18} {row['unit']:6} {goal} {missed}"


def _made_of(cache: Path, missing: list[str]) -> list[Row]:
    """What was installed, as a row of the results."""
    found = {
        name: versions(cache, name) for name in ENVIRONMENTS if (cache / name / "ready").exists()
    }
    rows: list[Row] = [_plain("versions", found)]
    return rows + [_plain(f"{name}: not installed", "") for name in missing]


def _plain(figure: str, value: object) -> Row:
    return {"figure": figure, "value": value, "unit": "", "goal": None, "ok": True}


if __name__ == "__main__":
    main()
