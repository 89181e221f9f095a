"""Speed of ingest against bare decoding and hashing of the same files, in the same run.

    python benchmarks/ingest.py [--frames 2000] [--rounds 5] [--json FILE]

Renders 640 x 480 JPEGs (quality 90, texture and noise, about 65 kB each), then lets both take turns
on all cores with the files in the page cache. Bare is: read the file, SHA-256, `cv2.imdecode`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from store import landing, layout
from store.keys import BatchKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch

GOAL = 0.7
START = datetime(2026, 1, 31, 6, tzinfo=UTC)
_DIFFERENT = 50  # pictures rendered; the frames differ further by a few bytes each


def render(channels: int, seed: int) -> NDArray[np.uint8]:
    """One 480 x 640 frame: brushed texture, uneven light, sensor noise."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.normal(0, 60, (480, 640, channels)), (0, 0), 3, sigmaY=0.8)
    light = np.linspace(90, 150, 640)[None, :, None]
    frame = light + texture.reshape(480, 640, channels) + rng.normal(0, 2, (480, 640, channels))
    return np.clip(frame, 0, 255).astype(np.uint8)


def deliver(store: Store, key: BatchKey, frames: int, channels: int) -> None:
    """A complete landing batch of distinct JPEGs."""
    encoded = [
        cv2.imencode(".jpg", render(channels, seed), [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        for seed in range(_DIFFERENT)
    ]
    writer = LandingWriter(store, key)
    for number in range(frames):
        # A comment segment makes each file another one at no cost for the decoder.
        comment = b"\xff\xfe\x00\x0a" + f"{number:08d}".encode()
        data = encoded[number % _DIFFERENT]
        writer.add_frame(
            f"camera-1/{number:06d}.jpg",
            data[:2] + comment + data[2:],
            {
                "camera": "camera-1",
                "captured_at": (START + timedelta(seconds=number)).isoformat(),
                "serial": f"s{number}",
            },
        )
    writer.complete(datetime.now(UTC))


def bare(folder: Path, channels: int) -> float:
    """Seconds to read, hash and decode every file of `folder` on all cores."""
    flags = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB

    def one(path: str) -> str:
        data = Path(path).read_bytes()
        cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        return hashlib.sha256(data).hexdigest()

    started = time.perf_counter()
    paths = [os.path.join(parent, name) for parent, _, names in os.walk(folder) for name in names]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(one, paths):
            pass
    return time.perf_counter() - started


def ingest(store: Store, key: BatchKey) -> float:
    """Seconds to ingest the batch into an empty store."""
    shutil.rmtree(store.local_path(layout.line(key.line_key)), ignore_errors=True)
    started = time.perf_counter()
    ingest_batch(store, key, LineConfig())
    return time.perf_counter() - started


def measure(channels: int, frames: int, rounds: int) -> list[dict[str, object]]:
    """Median speeds of both and the median of the ratios of neighbouring turns."""
    with tempfile.TemporaryDirectory() as folder:
        store, key = Store(folder), BatchKey("bench", "line", "batch")
        deliver(store, key, frames, channels)
        source = store.local_path(f"{layout.landing(key)}/{landing.FRAMES}")
        bare(source, channels)  # files into the page cache, code into memory
        turns = [(bare(source, channels), ingest(store, key)) for _ in range(rounds)]
    kind = "grey" if channels == 1 else "colour"
    ratio = statistics.median(alone / whole for alone, whole in turns)
    speeds = [frames / statistics.median(column) for column in zip(*turns, strict=True)]
    return [
        row(f"ingest, {kind}: share of bare speed", ratio, "", GOAL, ratio >= GOAL),
        row(f"ingest, {kind}: bare decode + SHA-256", speeds[0], "frames/s", None, None),
        row(f"ingest, {kind}: ingest", speeds[1], "frames/s", None, None),
    ]


def row(
    figure: str, value: float, unit: str, goal: float | None, ok: bool | None
) -> dict[str, object]:
    return {"figure": figure, "value": round(value, 3), "unit": unit, "goal": goal, "ok": ok}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    rows = [
        figure
        for channels in (1, 3)
        for figure in measure(channels, arguments.frames, arguments.rounds)
    ]
    for figure in rows:
        goal = "" if figure["goal"] is None else f"(goal {figure['goal']})"
        print(f"{figure['figure']:45} {figure['value']:>10} {figure['unit']} {goal}")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
