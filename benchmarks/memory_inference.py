"""Memory of offline inference: the peak of a process that inspects 1,000 frames, and 20,000.

Each length runs in a process of its own, from JPEG files to verdicts, through a real bundle.
Run: ``python -m benchmarks.memory_inference [--json FILE]``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from inspection import bundle
from inspection.engines.engine import open_engine
from inspection.inspector import FrameContext, Inspector, Item
from store.keys import LineKey
from store.root import Store

GOAL_MB = 1500
GOAL_GROWTH = 1.1
DIFFERENT_FRAMES = 50


def prepare(folder: Path) -> None:
    """A bundle and some JPEG frames of 640 x 480 pixels in a folder."""
    # Imported here: the processes that are measured must not load torch.
    from benchmarks.models.mobilenet import CONTRACT, RULE, encode, render, write_graph

    files = {
        bundle.GRAPH: write_graph(folder).read_bytes(),
        bundle.CONTRACT: CONTRACT.model_dump_json().encode(),
        bundle.RULE: RULE.model_dump_json().encode(),
    }
    store, line = Store(str(folder / "store")), LineKey("bench", "memory")
    name = bundle.publish(store, line, files, {}, {}).name
    bundle.fetch(store, line, name, folder).folder.rename(folder / "bundle")
    for seed in range(DIFFERENT_FRAMES):
        (folder / f"{seed}.jpg").write_bytes(encode(render(480, 640, seed)))


def frames(folder: Path, count: int) -> Iterator[Item]:
    """Frames read from disk one by one, as an audit reads them from the store."""
    for number, path in zip(
        range(count), itertools.cycle(sorted(folder.glob("*.jpg"))), strict=False
    ):
        yield f"frame-{number}", path.read_bytes(), FrameContext()


def inspect(folder: Path, count: int) -> None:
    """Inspect that many frames and print the peak resident memory in MB."""
    found = bundle.open_folder(folder / "bundle")
    cores = len(os.sched_getaffinity(0))
    engine = open_engine("onnxruntime", found.folder, threads=1, streams=cores)
    inspector = Inspector(found.contract, found.rule, engine)
    done = 0
    shown = time.monotonic()
    for _ in inspector.inspect_many(frames(folder, count), workers=cores):
        done += 1
        if time.monotonic() - shown > 2:
            shown = time.monotonic()
            print(f"  {done} of {count}, peak {own_peak_mb():.0f} MB", file=sys.stderr, flush=True)
    assert done == count
    print(own_peak_mb())


def own_peak_mb() -> float:
    """Peak resident memory of this process; `getrusage` would give its parent's when larger."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def peak_mb(folder: Path, count: int) -> float:
    """Peak resident memory of a process that inspects that many frames, in MB."""
    command = [sys.executable, "-m", "benchmarks.memory_inference", "--child", str(folder)]
    done = subprocess.run(
        [*command, "--long", str(count)], stdout=subprocess.PIPE, text=True, check=True
    )
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--short", type=int, default=1_000, help="frames")
    parser.add_argument("--long", type=int, default=20_000, help="frames")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        inspect(options.child, options.long)
        return
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        short, long = (peak_mb(Path(folder), n) for n in (options.short, options.long))
    figures = [
        figure(f"peak memory, {options.short} frames", short, "MB", GOAL_MB),
        figure(f"peak memory, {options.long} frames", long, "MB", GOAL_MB),
        figure(
            f"peak memory, {options.long} / {options.short}", long / short, "ratio", GOAL_GROWTH
        ),
    ]
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def figure(name: str, value: float, unit: str, goal: float) -> dict[str, object]:
    print(f"{name}: {value:.2f} {unit} (goal at most {goal}: {value <= goal})")
    return {
        "figure": name,
        "value": round(value, 2),
        "unit": unit,
        "goal": goal,
        "ok": value <= goal,
    }


if __name__ == "__main__":
    main()
