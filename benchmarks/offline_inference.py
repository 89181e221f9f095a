"""Offline inference: `Inspector.inspect_many` against the bare engine and bare decoding.

The peer is the runtime alone on pixel batches that lie ready, in the best of its configurations
(one session with all threads or a session per core, several batch sizes), found first. Then peer
and ours run in turn, so that other load on the machine meets both alike; a ratio is the median over
rounds. On a busy machine the ratio of processor time is the steadier one.

Without a GPU, decoding and the engine share the cores, so that files cannot be faster than decoding
and then inferring; with one, the lesser of the two is the bound. Both are printed.

Run: ``python -m benchmarks.offline_inference [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import openvino as ov
from numpy.typing import NDArray

from benchmarks.models.mobilenet import CONTRACT, RULE, SIDE_PX, encode, render, write_graph
from inspection.engines.engine import open_engine
from inspection.inspector import Frame, FrameContext, Inspector

CORES = len(os.sched_getaffinity(0))
BATCH_SIZES = (1, 4, 16)
GOAL = 0.85
# What a line's camera often gives; larger than the graph's input, so that resizing counts.
CAMERA = (480, 640)

Pixels = NDArray[np.uint8]
Run = Callable[[], None]


@dataclass(frozen=True)
class Material:
    """Frames in every form that is measured."""

    fitted: Sequence[Pixels]
    camera: Sequence[Pixels]
    encoded: Sequence[bytes]


def material(count: int) -> Material:
    camera = [render(*CAMERA, seed) for seed in range(count)]
    fitted = [render(SIDE_PX, SIDE_PX, seed) for seed in range(count)]
    return Material(fitted, camera, [encode(frame) for frame in camera])


def onnxruntime_call(graph: Path, threads: int) -> Callable[[Pixels], object]:
    """One session, called with a batch."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})


def openvino_calls(graph: Path, streams: int) -> list[Callable[[Pixels], object]]:
    """A request per stream on one model with all cores; full precision as in a bundle."""
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": str(streams),
        "INFERENCE_NUM_THREADS": str(CORES),
    }
    model = ov.Core().compile_model(str(graph), "CPU", settings)
    return [partial(_infer, model.create_infer_request()) for _ in range(streams)]


def _infer(request: ov.InferRequest, pixels: Pixels) -> object:
    return request.infer({0: pixels}, share_inputs=True)


def peers(graph: Path, fitted: Sequence[Pixels]) -> dict[str, dict[str, Run]]:
    """Every configuration of the bare runtimes, by runtime and description."""
    calls = {
        "onnxruntime": {
            f"1 session, {CORES} threads": [onnxruntime_call(graph, CORES)],
            f"{CORES} sessions, 1 thread": [onnxruntime_call(graph, 1) for _ in range(CORES)],
            f"1 session, 1 thread, {CORES} callers": [onnxruntime_call(graph, 1)] * CORES,
        },
        "openvino": {
            f"1 stream, {CORES} threads": openvino_calls(graph, 1),
            f"{CORES} streams": openvino_calls(graph, CORES),
        },
    }
    found: dict[str, dict[str, Run]] = {}
    for runtime, shapes in calls.items():
        for shape, callers in shapes.items():
            for size in BATCH_SIZES:
                batches = [
                    np.stack(fitted[first : first + size]) for first in range(0, len(fitted), size)
                ]
                name = f"{shape}, batch {size}"
                found.setdefault(runtime, {})[name] = bare(callers, batches)
    return found


def bare(callers: Sequence[Callable[[Pixels], object]], batches: Sequence[Pixels]) -> Run:
    """All batches through some callers, each in a thread of its own."""

    def share(index: int) -> None:
        for batch in batches[index :: len(callers)]:
            callers[index](batch)

    return lambda: in_threads(share, len(callers))


def bare_decode(encoded: Sequence[bytes]) -> Run:
    """All files through cv2 on all cores, nothing kept."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION

    def share(index: int) -> None:
        for data in encoded[index::CORES]:
            cv2.imdecode(np.frombuffer(data, np.uint8), flags)

    return lambda: in_threads(share, CORES)


def in_threads(work: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(work, range(count)))


def ours(runtime: str, graph: Path, frames: Iterable[Frame]) -> Run:
    """The same through the Inspector, as evaluation and audits call it."""
    engine = open_engine(runtime, graph.parent, graph.name, threads=1, streams=CORES)
    inspector = Inspector(CONTRACT, RULE, engine)
    items = [(str(index), frame, FrameContext()) for index, frame in enumerate(frames)]

    def run() -> None:
        for _ in inspector.inspect_many(items, workers=CORES):
            pass

    return run


@dataclass(frozen=True)
class Rounds:
    """One value per round.

    Attributes:
        speed: Frames a second.
        cpu_ms: Processor time of all threads for one frame; other load hardly moves it.
    """

    speed: list[float]
    cpu_ms: list[float]

    def __str__(self) -> str:
        speed, cpu_ms = map(statistics.median, (self.speed, self.cpu_ms))
        return f"{speed:8.1f} frames/s {cpu_ms:8.2f} CPU ms"


def in_turn(runs: dict[str, Run], frames: int, rounds: int) -> dict[str, Rounds]:
    """Rounds of each run, all runs in turn, after one round that is not measured."""
    found: dict[str, Rounds] = {name: Rounds([], []) for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            started, cpu = time.perf_counter(), time.process_time()
            run()
            if number:
                found[name].speed.append(frames / (time.perf_counter() - started))
                found[name].cpu_ms.append((time.process_time() - cpu) * 1e3 / frames)
    for name, values in found.items():
        print(f"    {name:44} {values}")
    return found


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median over rounds of one value against another."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def measure(
    runtime: str, graph: Path, runs: dict[str, Run], frames: Material, rounds: int
) -> list[dict[str, object]]:
    """Ratios for one runtime."""
    count = len(frames.fitted)
    print(f"{runtime}: configurations of the peer")
    trial = in_turn(runs, count, 3)
    peer = max(trial, key=lambda name: statistics.median(trial[name].speed))
    print(f"  in turn; peer: {peer}")
    found = in_turn(
        {
            "bare engine": runs[peer],
            "decoded 224x224": ours(runtime, graph, frames.fitted),
            "decoded 640x480": ours(runtime, graph, frames.camera),
            "JPEG 640x480": ours(runtime, graph, frames.encoded),
            "bare decode": bare_decode(frames.encoded),
        },
        count,
        rounds,
    )
    return ratios(f"{runtime}, {CORES} cores", found)


def ratios(where: str, found: dict[str, Rounds]) -> list[dict[str, object]]:
    """The figures of one runtime."""
    engine, decode, files = (found[n] for n in ("bare engine", "bare decode", "JPEG 640x480"))
    figures = []
    for name in ("decoded 224x224", "decoded 640x480"):
        figures += [
            figure(f"{name} / bare engine ({where})", ratio(found[name].speed, engine.speed), GOAL),
            figure(
                f"CPU time of bare engine / {name} ({where})",
                ratio(engine.cpu_ms, found[name].cpu_ms),
                GOAL,
            ),
        ]
    pairs = list(zip(engine.speed, decode.speed, strict=True))
    lesser = ratio(files.speed, [min(pair) for pair in pairs])
    shared = ratio(files.speed, [1 / (1 / a + 1 / b) for a, b in pairs])
    return [
        *figures,
        figure(f"JPEG 640x480 / min(bare decode, bare engine) ({where})", lesser),
        figure(f"JPEG 640x480 / bare decode then bare engine ({where})", shared),
    ]


def figure(name: str, value: float, goal: float | None = None) -> dict[str, object]:
    ok = None if goal is None else value >= goal
    print(f"  {name}: {value:.3f}" + ("" if goal is None else f" (goal {goal}: {ok})"))
    return {"figure": name, "value": round(value, 3), "unit": "ratio", "goal": goal, "ok": ok}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--frames", type=int, default=32, help="frames in one run")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print("exporting MobileNetV2 …")
        graph = write_graph(Path(folder))
        frames = material(options.frames)
        figures = []
        for runtime, runs in peers(graph, frames.fitted).items():
            figures += measure(runtime, graph, runs, frames, options.rounds)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
