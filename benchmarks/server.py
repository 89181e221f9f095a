"""The server against the same work done in process, at 1, 4 and 16 clients.

The peer is bare: ``cv2.imdecode``, ``cv2.resize`` and the runtime in threads of this process,
without header checks, statistics, decision, spool or transport. Its session runs each call on the
caller's one thread, as the server's does, so that both use as many cores. The server is
``vision-serve run`` as users start it (spool on), in a process of its own; its clients are threads
of a third process that send requests serialised beforehand. All take turns, so that other load on
the machine meets all alike; a figure is the median over rounds. Run: ``python -m benchmarks.server
[--json FILE]``.

Figures for each number of clients: throughput against the in-process limit (one thread a core), and
what a request takes longer than a call of as many threads in process, at the median and at p99.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import grpc
import numpy as np
import onnxruntime as ort

from benchmarks.models.mobilenet import CONTRACT, RULE, SIDE_PX, encode, render, write_graph
from inspection import bundle, evidence
from inspection.engines.engine import open_engine
from inspection.evidence import EngineEvidence, Golden
from inspection.inspector import FrameContext, Inspector
from serve.bench import LoopReport, closed_loop
from serve.protocol import inspection_v1_pb2 as pb
from store import artifacts, ledger
from store.keys import LineKey
from store.root import Store

CORES = len(os.sched_getaffinity(0))
CLIENTS = (1, 4, 16)
CAMERA = (480, 640)
FRAMES = 32
LINE = LineKey("bench", "line")
ENGINE = "onnxruntime"  # for both sides, or the peer would be another
GOALS = {
    (1, "added p50"): 2.0,
    (1, "added p99"): 6.0,
    (4, "throughput ratio"): 0.65,
    (16, "throughput ratio"): 0.65,
}
"""By number of clients and figure; milliseconds for what is added."""

Loop = Callable[[int], LoopReport]


def publish(folder: Path, graph: bytes, frames: Sequence[bytes]) -> Store:
    """A store whose live release is the graph; its golden answers are those of the runtime."""
    store = Store(str(folder / "store"))
    files = {
        bundle.CONTRACT: CONTRACT.model_dump_json().encode(),
        bundle.RULE: RULE.model_dump_json().encode(),
        bundle.GRAPH: graph,
    }
    name = bundle.publish(store, LINE, files, {}, {}).name
    attached = evidence.to_attachments(_golden(folder, frames[:4]), [_evidence()])
    artifacts.attach(store, LINE, bundle.KIND, name, attached)
    ledger.append(store, LINE, ledger.Draft(action="promote", bundle=name, who="benchmark"))
    return store


def _golden(folder: Path, frames: Sequence[bytes]) -> list[Golden]:
    inspector = Inspector(CONTRACT, RULE, open_engine(ENGINE, folder))
    found = []
    for number, data in enumerate(frames):
        answer = inspector.inspect(data, FrameContext())
        score, classes = float(answer.outputs.score[0]), answer.outputs.class_scores[0]
        label = answer.verdict.label
        found.append(Golden(str(number), data, "", "", label, score, tuple(map(float, classes))))
    return found


def _evidence() -> EngineEvidence:
    return EngineEvidence(
        engine=ENGINE,
        graph=bundle.GRAPH,
        frames=4,
        flips=0,
        added_escapes=0,
        max_score_difference=0,
        latency_p50_ms=1,
        latency_p99_ms=1,
        passed=True,
    )


def bare(graph: Path) -> Callable[[bytes], bool]:
    """Decode, resize and engine, as one would write it without us."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])

    def call(data: bytes) -> bool:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert frame is not None
        pixels = cv2.resize(frame, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
        session.run(None, {"pixels": pixels[np.newaxis]})
        return True

    return call


def inspector(folder: Path) -> Callable[[bytes], bool]:
    """All that the server does but spool and transport."""
    engine = open_engine(ENGINE, folder, threads=1, streams=CORES)
    ours = Inspector(CONTRACT, RULE, engine)

    def call(data: bytes) -> bool:
        ours.inspect(data, FrameContext())
        return True

    return call


@contextmanager
def server(folder: Path, store: Store) -> Iterator[str]:
    """``vision-serve run``; gives its address."""
    command = [str(Path(sys.executable).with_name("vision-serve")), "run"]
    command += ["--store", store.url, "--line", str(LINE), "--listen", "127.0.0.1:0"]
    command += ["--spool", str(folder / "spool"), "--cache", str(folder / "cache")]
    with open(folder / "log", "wb") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert child.stdout is not None
        ready = child.stdout.readline()
        print(ready.strip())
        yield ready.split()[3].rstrip(":")
    finally:
        child.terminate()
        child.wait()


def local(call: Callable[[bytes], bool], frames: Sequence[bytes], seconds: float) -> Loop:
    """Callers in this process."""
    return lambda callers: closed_loop(call, frames, callers, seconds)


def remote(address: str, frames: Path, seconds: float) -> Loop:
    """Clients in a process of their own."""

    def loop(clients: int) -> LoopReport:
        command = [sys.executable, "-m", "benchmarks.server", "--client", address]
        command += ["--frames", str(frames), "--clients", str(clients), "--seconds", str(seconds)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        report = LoopReport(**json.loads(done.stdout))
        assert report.errors == 0
        return report

    return loop


def client(address: str, frames: Sequence[bytes], clients: int, seconds: float) -> LoopReport:
    """What the client process does; one channel, as a client library would have."""
    requests = [pb.Frame(encoded=data, camera="c1").SerializeToString() for data in frames]
    with grpc.insecure_channel(address) as channel:
        ask: Callable[..., bytes] = channel.unary_unary("/inspection.v1.Inspection/Inspect")

        def call(request: bytes) -> bool:
            ask(request, timeout=60)
            return True

        closed_loop(call, requests, clients, 0.3)
        return closed_loop(call, requests, clients, seconds)


def measure(loops: dict[str, Loop], rounds: int) -> dict[tuple[str, int], list[LoopReport]]:
    """Every loop at every number of callers, in turn; one round unmeasured."""
    found: dict[tuple[str, int], list[LoopReport]] = {}
    for number in range(rounds + 1):
        for callers in sorted({*CLIENTS, CORES}):
            for name, loop in loops.items():
                if name == "server" and callers not in CLIENTS:
                    continue
                report = loop(callers)
                if number:
                    found.setdefault((name, callers), []).append(report)
    return found


def figures(found: dict[tuple[str, int], list[LoopReport]]) -> list[dict[str, object]]:
    """Ratios and differences, round by round, and their medians."""
    limit = found["bare", CORES]
    in_process = [a.per_s / b.per_s for a, b in zip(found["inspector", CORES], limit, strict=True)]
    rows = [_row(CORES, "throughput ratio", in_process, "inspector in process, ")]
    for clients in CLIENTS:
        served = found["server", clients]
        pairs = list(zip(served, found["bare", clients], strict=True))
        ratios = [a.per_s / b.per_s for a, b in zip(served, limit, strict=True)]
        rows.append(_row(clients, "throughput ratio", ratios))
        rows.append(_row(clients, "added p50", [a.p50_ms - b.p50_ms for a, b in pairs]))
        rows.append(_row(clients, "added p99", [a.p99_ms - b.p99_ms for a, b in pairs]))
    return rows


def _row(callers: int, figure: str, values: Sequence[float], prefix: str = "") -> dict[str, object]:
    value = statistics.median(values)
    goal = None if prefix else GOALS.get((callers, figure))
    is_ratio = figure == "throughput ratio"
    is_ok = goal is None or (value >= goal if is_ratio else value <= goal)
    return {
        "figure": f"{prefix}{callers} caller(s): {figure}",
        "value": round(value, 3),
        "unit": "ratio" if is_ratio else "ms",
        "goal": goal,
        "ok": is_ok,
    }


def run(rounds: int, seconds: float) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="bench-server-") as name:
        folder = Path(name)
        graph = write_graph(folder)
        frames = [encode(render(*CAMERA, seed)) for seed in range(FRAMES)]
        (folder / "frames").mkdir()
        for number, data in enumerate(frames):
            (folder / "frames" / f"{number:02d}.jpg").write_bytes(data)
        store = publish(folder, graph.read_bytes(), frames)
        calls = {"bare": bare(graph), "inspector": inspector(folder)}
        loops = {name: local(call, frames, seconds) for name, call in calls.items()}
        with server(folder, store) as address:
            found = measure(
                {**loops, "server": remote(address, folder / "frames", seconds)}, rounds
            )
    for (name, callers), reports in sorted(found.items()):
        middle = sorted(reports, key=lambda report: report.per_s)[len(reports) // 2]
        print(
            f"  {name:10} {callers:>3} caller(s) {middle.per_s:8.1f} frames/s, "
            f"p50 {middle.p50_ms:7.2f} ms, p99 {middle.p99_ms:7.2f} ms"
        )
    return figures(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    for name in ("--client", "--frames", "--clients"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        frames = [path.read_bytes() for path in sorted(Path(given.frames).iterdir())]
        report = client(given.client, frames, int(given.clients), given.seconds)
        print(json.dumps(vars(report)))
        return
    rows = run(given.rounds, given.seconds)
    for row in rows:
        goal = f"goal {row['goal']}" if row["goal"] is not None else ""
        print(f"{row['figure']:50} {row['value']:>8} {row['unit']:6} {goal} {row['ok']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
