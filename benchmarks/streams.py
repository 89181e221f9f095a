"""A burst on one camera beside a calm one: what the calm camera's wait becomes.

`vision-serve` with as many workers as cores. The calm camera sends a fixed number of frames a
second, and its latency counts from the time that its schedule names. Three loads take turns: the
calm camera alone; beside twenty frames that another camera keeps under way; and beside twenty of
its own name, which are one stream with it and so served first come, first served. Run:
``python -m benchmarks.streams [--json FILE]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.serve.compiled import grpc_client
from benchmarks.serve.model import write_frames, write_graph
from benchmarks.serve.released import publish
from benchmarks.serve.started import server

CALM_PER_S, BURST = 10, 20
METHOD = "/inspection.v1.Inspection/Inspect"
BESIDE = {
    "alone": "",
    "beside a burst of another camera": "other",
    "beside a burst of its own": "calm",
}
MOST_FRAMES_MORE = 1.5
"""Goal: how much longer the calm camera's p99 may be beside another's burst, in frames' work."""


def command(address: str, frames: Path, seconds: float, camera: str) -> list[str]:
    given = [str(grpc_client()), "--address", address, "--method", METHOD, "--camera", camera]
    return [*given, "--frames", str(frames), "--seconds", str(seconds)]


def calm_load(address: str, frames: Path, seconds: float, burst: str) -> dict[str, float]:
    """p50 and p99 of the calm camera, and answers a second of the burst."""
    calm = [*command(address, frames, seconds, "calm"), "--rate", str(CALM_PER_S)]
    beside = None
    if burst:
        load = [*command(address, frames, seconds + 0.5, burst), "--clients", str(BURST)]
        beside = subprocess.Popen(load, stdout=subprocess.PIPE, text=True)
    found = json.loads(subprocess.run(calm, check=True, capture_output=True, text=True).stdout)
    answers = json.loads(beside.communicate()[0])["per_s"] if beside else 0.0
    assert not found["errors"]
    return {"p50_ms": found["p50_ms"], "p99_ms": found["p99_ms"], "burst_per_s": answers}


def measure(rounds: int, seconds: float, *, is_fast: bool) -> dict[str, list[dict[str, float]]]:
    with tempfile.TemporaryDirectory(prefix="bench-streams-") as name:
        folder = Path(name)
        write_graph(folder)
        write_frames(folder)
        store = publish(folder)
        found: dict[str, list[dict[str, float]]] = {beside: [] for beside in BESIDE}
        with server(folder, store, is_fast=is_fast) as address:
            for number in range(rounds + 1):
                for beside, burst in BESIDE.items():
                    one = calm_load(address, folder / "jpeg", seconds, burst)
                    if number:
                        found[beside].append(one)
    return found


def figures(front: str, found: dict[str, list[dict[str, float]]]) -> list[dict[str, object]]:
    """Medians over the rounds; what is longer is compared within each round."""
    rows: list[dict[str, object]] = []
    for beside, rounds in found.items():
        for figure in ("p50_ms", "p99_ms"):
            value = statistics.median(one[figure] for one in rounds)
            rows.append(_row(f"{front}: calm camera {beside}, {figure[:3]}", value, "ms", None))
    alone, burst, _ = found.values()
    work_ms = [one["p50_ms"] for one in alone]
    longer = [
        (b["p99_ms"] - a["p99_ms"]) / ms for a, b, ms in zip(alone, burst, work_ms, strict=True)
    ]
    what = f"{front}: its p99 longer beside another's burst, in frames' work"
    rows.append(_row(what, statistics.median(longer), "frames", MOST_FRAMES_MORE))
    answers = statistics.median(one["burst_per_s"] for one in burst)
    rows.append(_row(f"{front}: burst of another camera, answers", answers, "1/s", None))
    return rows


def _row(figure: str, value: float, unit: str, goal: float | None) -> dict[str, object]:
    is_ok = goal is None or value <= goal
    return {"figure": figure, "value": round(value, 3), "unit": unit, "goal": goal, "ok": is_ok}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    rows = figures("grpcio", measure(given.rounds, given.seconds, is_fast=False))
    rows += figures("front", measure(given.rounds, given.seconds, is_fast=True))
    for row in rows:
        goal = f"goal {row['goal']}" if row["goal"] is not None else ""
        print(f"{row['figure']:65} {row['value']:>9} {row['unit']:6} {goal} {row['ok']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
