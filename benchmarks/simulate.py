"""Speed of the simulator, and that nothing simple tells its defective frames from its good ones.

    python benchmarks/simulate.py [--frames 2000] [--rounds 3] [--json FILE]

Speed is that of whole batches, from settings to delivered files on all cores; the peer that takes
turns with it only encodes the same frames as JPEG, which no way of rendering them could avoid. The
two probes see the labels of four fifths of the frames and are measured on the last fifth, in turns:
mean brightness (either direction), and logistic regression on 32 x 32 colour pixels at the best of
three strengths of regularisation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from store import layout
from store.hashing import sha256
from store.keys import BatchKey
from store.root import Store
from vision_assets.simulation.settings import SimulationSettings
from vision_assets.simulation.simulate import simulate

GOAL_FRAMES_PER_S = 200
MOST_BRIGHTNESS, MOST_LINEAR = 0.60, 0.80
KEY = BatchKey("bench", "line", "batch-1")
_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 90]
_STRENGTHS = (1e-5, 1e-3, 1e-1)
_PEER_FRAMES = 100


def render(folder: Path, frames: int) -> tuple[float, float]:
    """Wall and processor seconds for one batch into an empty store."""
    started, busy = time.perf_counter(), time.process_time()
    simulate(Store(str(folder)), KEY, SimulationSettings(frames=frames))
    return time.perf_counter() - started, time.process_time() - busy


def encode(folder: Path, frames: int) -> float:
    """Seconds to encode as many of the same frames on all cores."""
    pixels = [picture(path) for path, _ in labelled(folder, _PEER_FRAMES)]
    started = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for _ in pool.map(
            lambda n: cv2.imencode(".jpg", pixels[n % len(pixels)], _QUALITY), range(frames)
        ):
            pass
    return time.perf_counter() - started


def labelled(folder: Path, most: int | None = None) -> Iterator[tuple[Path, bool]]:
    """The frames of the batch and whether they are defective."""
    batch = folder / layout.landing(KEY)
    for line in (batch / "labels.jsonl").read_text().splitlines()[:most]:
        row = json.loads(line)
        yield batch / "frames" / row["file"], row["label"] == "defect"


def picture(path: Path) -> NDArray[np.uint8]:
    """The frame's pixels, (H, W, 3)."""
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR_RGB), np.uint8)


def content(folder: Path) -> list[tuple[str, str]]:
    """Path and hash of every file of the batch."""
    batch = folder / layout.landing(KEY)
    files = sorted(path for path in batch.rglob("*") if path.is_file())
    return [(path.relative_to(batch).as_posix(), sha256(path.read_bytes())) for path in files]


def separability(folder: Path) -> tuple[float, float, float]:
    """Share of defective frames, and the AUROC of brightness and of the linear probe."""
    small, bad = [], []
    for path, is_defective in labelled(folder):
        frame = cv2.resize(picture(path), (32, 32), interpolation=cv2.INTER_AREA)
        small.append(frame.reshape(-1) / 255)
        bad.append(is_defective)
    pixels = np.array(small)
    bright = float(roc_auc_score(bad, pixels.mean(axis=1)))
    linear = max(_linear(pixels, bad, strength) for strength in _STRENGTHS)
    return float(np.mean(bad)), max(bright, 1 - bright), linear


def _linear(pixels: NDArray[np.float64], bad: list[bool], strength: float) -> float:
    regression = LogisticRegression(C=strength, class_weight="balanced", max_iter=1000)
    probe = make_pipeline(StandardScaler(), regression)
    scores = cross_val_predict(probe, pixels, bad, cv=5, method="decision_function")
    return float(roc_auc_score(bad, scores))


def measure(frames: int, rounds: int) -> list[dict[str, object]]:
    """All figures."""
    speeds, shares, costs = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name, str(number)) for number in range(rounds)]
        for folder in folders:
            wall, busy = render(folder, frames)
            bare = encode(folder, frames)
            speeds.append(frames / wall)
            shares.append(bare / wall)
            costs.append(1000 * busy / frames)
        same = all(content(folder) == content(folders[0]) for folder in folders[1:])
        share, bright, linear = separability(folders[0])
    speed = statistics.median(speeds)
    return [
        row(
            "simulate: frames rendered",
            speed,
            "frames/s",
            GOAL_FRAMES_PER_S,
            speed >= GOAL_FRAMES_PER_S,
        ),
        row("simulate: share of bare JPEG encoding", statistics.median(shares), "", None, None),
        row("simulate: processor time", statistics.median(costs), "ms/frame", None, None),
        row("simulate: renders are byte-identical", float(same), "", 1, same),
        row("simulate: defective frames", share, "", None, None),
        row(
            "simulate: AUROC of brightness", bright, "", MOST_BRIGHTNESS, bright <= MOST_BRIGHTNESS
        ),
        row("simulate: AUROC of 32 x 32 probe", linear, "", MOST_LINEAR, linear <= MOST_LINEAR),
    ]


def row(
    figure: str, value: float, unit: str, goal: float | None, ok: bool | None
) -> dict[str, object]:
    return {"figure": figure, "value": round(value, 3), "unit": unit, "goal": goal, "ok": ok}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    figures = measure(arguments.frames, max(arguments.rounds, 2))
    for figure in figures:
        goal = "" if figure["goal"] is None else f"  (limit {figure['goal']})"
        print(f"{figure['figure']:45} {figure['value']:>10} {figure['unit']}{goal}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
