"""Peak memory of ingest at 1,000 and at 20,000 frames: it must stay flat.

    python -m benchmarks.memory_ingest [--frames 1000 20000] [--json FILE]

Each size is ingested in a process of its own, whose peak resident set the kernel reports.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ingest import deliver, row
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch

GOAL_MB = 1500.0
GOAL_GROWTH_MB = 100.0
KEY = BatchKey("bench", "line", "batch")


def peak_mb(folder: Path, frames: int) -> float:
    """Peak resident set of a process that ingests so many frames, in MB (10^6 bytes)."""
    with tempfile.TemporaryDirectory(dir=folder) as store:
        deliver(Store(store), KEY, frames, channels=1)
        command = [sys.executable, "-m", "benchmarks.memory_ingest", "--ingest", store]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def ingest_here(store: str) -> None:
    """Ingest in this process and print its peak.

    `ru_maxrss` would count what the parent held when it started this process.
    """
    ingest_batch(Store(store), KEY, LineConfig())
    status = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in status if line.startswith("VmHWM:"))
    print(int(peak) * 1024 / 1e6)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, nargs=2, default=[1000, 20_000])
    parser.add_argument("--folder", type=Path, help="where the frames go: about 70 kB each")
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--ingest", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        ingest_here(arguments.ingest)
        return 0
    small, large = (peak_mb(arguments.folder, frames) for frames in arguments.frames)
    names = [f"ingest, peak memory at {frames} frames" for frames in arguments.frames]
    growth = large - small
    rows = [
        row(names[0], small, "MB", GOAL_MB, small <= GOAL_MB),
        row(names[1], large, "MB", GOAL_MB, large <= GOAL_MB),
        row(
            "ingest, growth of peak memory", growth, "MB", GOAL_GROWTH_MB, growth <= GOAL_GROWTH_MB
        ),
    ]
    for figure in rows:
        print(f"{figure['figure']:45} {figure['value']:>10} MB (at most {figure['goal']})")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
