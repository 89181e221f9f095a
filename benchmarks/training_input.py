"""Training input: the loader against bare decode and augment, and its share of a training step.

The peer decodes (cv2), resizes and augments the same frames with the same transforms on all cores,
in threads or in processes, whichever is faster, and throws the result away; the loader also reads
the bytes from the store, pastes defects, handles masks and stacks batches. Peer and loader take
turns, so that other load on the machine meets both alike; a ratio is the median over rounds.

The share of a step is the processor time of the loader in that of loader and step together, with
frames decoded anew in each epoch and with decoded frames kept (which training does when they fit).

Run: ``python -m benchmarks.training_input [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch

from store.keys import BatchKey
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch
from vision_assets.learning import backbone
from vision_assets.learning.registry import task
from vision_assets.progress import silent
from vision_assets.simulation.settings import SimulationSettings
from vision_assets.simulation.simulate import simulate
from vision_assets.training.augment import Augmentation
from vision_assets.training.feed import Feed, input_spec, packed_masks
from vision_assets.training.loader import Loader
from vision_assets.training.source import FrameSource

CORES = len(os.sched_getaffinity(0))
GOAL = 0.8
BATCH = BatchKey("bench", "input", "b1")
CHANNELS = 3  # of rendered frames

Run = Callable[[], None]
_shared: list[bytes] = []


@dataclass(frozen=True)
class Rounds:
    """Frames a second, and processor milliseconds a frame, of each round."""

    speed: list[float]
    cpu_ms: list[float]


def simulated(store: Store, frames: int) -> tuple[LineConfig, str]:
    """A line of rendered 640 x 480 frames; its settings and snapshot."""
    simulate(store, BATCH, SimulationSettings(frames=frames))
    settings = config.load(store, BATCH.line_key)
    ingest_batch(store, BATCH, settings)
    record_batch(store, BATCH, settings)
    return settings, snapshot.freeze(store, BATCH.line_key).name


def feed(store: Store, settings: LineConfig, name: str, budget_bytes: int) -> Feed:
    """All frames of the snapshot as training frames."""
    frames = snapshot.frames(store, BATCH.line_key, name)
    spec = input_spec(settings, CHANNELS, frames)
    masks = packed_masks(store, BATCH.line_key, name, frames, spec, silent)
    source = FrameSource(store, frames, masks, spec, budget_bytes)
    return Feed(source, source, settings, CORES)


def bare(data: bytes, seed: int, side: int, augment: Augmentation) -> None:
    """Decode, resize and augment one frame."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    small = cv2.resize(np.asarray(frame, np.uint8), (side, side), interpolation=cv2.INTER_AREA)
    augment(np.asarray(small, np.uint8), None, seed)


def bare_share(index: int, side: int, flips: bool) -> float:
    """This worker's frames; the processor time they took."""
    cv2.setNumThreads(0)
    augment = Augmentation(flips)
    started = time.thread_time()
    for seed, data in enumerate(_shared[index::CORES]):
        bare(data, seed, side, augment)
    return time.thread_time() - started


def bare_on(pool: Executor, side: int, flips: bool) -> None:
    """All frames, an equal share on each core."""
    list(pool.map(bare_share, range(CORES), [side] * CORES, [flips] * CORES))


def step_cpu_ms(loader: Loader, fed: Feed, settings: LineConfig) -> float:
    """Processor milliseconds a frame of forward, loss and backward, loading left out."""
    chosen = task(settings.task)
    size = settings.training.height_px, settings.training.width_px
    body = backbone.build(backbone.from_scratch(fed.spec.channels), *size)
    network = chosen.network(body, fed.classes).train()
    spent, count = 0.0, 0
    for number, (pixels, targets) in enumerate(list(loader)[:6]):
        started = time.process_time()
        parts = chosen.loss(network(pixels), targets)
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        if number:
            spent, count = spent + time.process_time() - started, count + len(pixels)
    return spent / count * 1e3


def in_turn(runs: dict[str, Run], frames: int, rounds: int) -> dict[str, Rounds]:
    """Rounds of each run, all in turn, after one round that is not measured."""
    found: dict[str, Rounds] = {name: Rounds([], []) for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started, cpu = time.perf_counter(), time.process_time()
            run()
            if number:
                found[name].speed.append(frames / (time.perf_counter() - started))
                found[name].cpu_ms.append((time.process_time() - cpu) * 1e3 / frames)
    for name, values in found.items():
        speed, cpu_ms = statistics.median(values.speed), statistics.median(values.cpu_ms)
        print(f"  {name:28} {speed:8.1f} frames/s {cpu_ms:8.2f} CPU ms in this process")
    return found


def figure(name: str, value: float, goal: float | None = None) -> dict[str, object]:
    ok = None if goal is None else value >= goal
    print(f"  {name}: {value:.3f}" + ("" if goal is None else f" (goal {goal}: {ok})"))
    return {"figure": name, "value": round(value, 3), "unit": "ratio", "goal": goal, "ok": ok}


def drain(fed: Feed) -> Run:
    """One epoch through the loader alone."""

    def run() -> None:
        for _ in fed.train_loader(0):
            pass

    return run


def compare(store: Store, settings: LineConfig, name: str, rounds: int) -> list[dict[str, object]]:
    """All figures."""
    side, flips = settings.training.height_px, settings.training.flips
    anew, kept = (feed(store, settings, name, budget) for budget in (0, 2**30))
    rows = snapshot.frames(store, BATCH.line_key, name)
    places = rows.select("shard", "offset", "length").rows()
    _shared[:] = [store.read_range(*places[i % len(places)]) for i in range(anew.length)]
    with (
        ThreadPoolExecutor(CORES) as threads,
        ProcessPoolExecutor(CORES, get_context("fork")) as processes,
    ):
        found = in_turn(
            {
                "bare, threads": lambda: bare_on(threads, side, flips),
                "bare, processes": lambda: bare_on(processes, side, flips),
                "loader, decoding anew": drain(anew),
                "loader, decoded kept": drain(kept),
            },
            anew.length,
            rounds,
        )
    return figures(found, step_cpu_ms(kept.train_loader(0), kept, settings))


def figures(found: dict[str, Rounds], step_ms: float) -> list[dict[str, object]]:
    """Ratios from the rounds."""
    peers = [found[name].speed for name in ("bare, threads", "bare, processes")]
    best = max(peers, key=statistics.median)
    results = []
    for name, goal in (("decoding anew", GOAL), ("decoded kept", None)):
        ours = found[f"loader, {name}"]
        ratio = statistics.median(a / b for a, b in zip(ours.speed, best, strict=True))
        results.append(
            figure(f"loader {name} / bare decode + augment ({CORES} cores)", ratio, goal)
        )
        loading = statistics.median(ours.cpu_ms)
        results.append(figure(f"share of a step, {name}", loading / (loading + step_ms)))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--frames", type=int, default=1200, help="frames rendered")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(CORES)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        print("rendering …")
        settings, name = simulated(store, options.frames)
        found = compare(store, settings, name, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
