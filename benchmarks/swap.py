"""What a release's swap costs those whose frames are being answered.

`vision-serve run` as users start it, and a process of clients in a closed loop: full load. Quiet
seconds, swaps to a bundle that is new (fetched, tried in another process, opened) and swaps back to
the one before, which is still loaded, take turns, so that other load on the machine meets all
alike. Run: ``python -m benchmarks.swap [--json FILE]``.

Figures: latencies of the frames answered while a release was being prepared and swapped, against
those of the quiet seconds between; requests that failed; how long a release took to answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray

from benchmarks.serve.model import CONTRACT, RULE, write_frames, write_graph
from benchmarks.serve.released import LINE, golden, passed
from benchmarks.serve.started import server
from inspection import bundle, evidence
from serve.client import Client
from serve.protocol import inspection_v1_pb2 as pb
from store import artifacts, ledger
from store.ledger import Draft
from store.root import Store

GOAL = 1.0


@dataclass(frozen=True)
class Window:
    """A stretch of the run: ``quiet``, ``new`` or ``known``; seconds on the monotonic clock."""

    kind: str
    begin: float
    end: float


class Releases:
    """Bundles that differ in their rule only, so that each swap is of equal work."""

    def __init__(self, folder: Path, graph: bytes, frames: Sequence[bytes]) -> None:
        self.store = Store(str(folder / "store"))
        self._graph = graph
        self._attached = evidence.to_attachments(golden(folder, frames, CONTRACT), [passed()])
        self._count = 0

    def publish(self) -> str:
        """A further bundle."""
        self._count += 1
        thresholds = RULE.default.model_copy(update={"temperature": 1 + self._count * 1e-6})
        rule = RULE.model_copy(update={"default": thresholds})
        files = {
            bundle.CONTRACT: CONTRACT.model_dump_json().encode(),
            bundle.RULE: rule.model_dump_json().encode(),
            bundle.GRAPH: self._graph,
        }
        name = bundle.publish(self.store, LINE, files, {}, {}).name
        artifacts.attach(self.store, LINE, bundle.KIND, name, self._attached)
        return name

    def promote(self, name: str) -> str:
        """Make it live; gives the release's name."""
        draft = Draft(action="promote", bundle=name, who="benchmark")
        return ledger.append(self.store, LINE, draft).release_of(LINE)


def ask_on(address: str, frames: Path, clients: int) -> dict[str, list[list[float]]]:
    """What the client process does until its input ends: when answers came, what they took, ms."""
    is_over = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait, daemon=True).start()
    requests = [
        pb.Frame(encoded=path.read_bytes()).SerializeToString() for path in sorted(frames.iterdir())
    ]
    answers: list[list[list[float]]] = [[] for _ in range(clients)]
    errors: list[list[float]] = []
    with grpc.insecure_channel(address) as channel:
        ask: Callable[..., bytes] = channel.unary_unary("/inspection.v1.Inspection/Inspect")

        def loop(mine: list[list[float]], number: int) -> None:
            while not is_over.is_set():
                started = time.monotonic()
                try:
                    ask(requests[number % len(requests)], timeout=60)
                except grpc.RpcError:
                    errors.append([time.monotonic(), 0.0])
                done = time.monotonic()
                mine.append([done, (done - started) * 1e3])
                number += 1

        threads = [
            threading.Thread(target=loop, args=(mine, number))
            for number, mine in enumerate(answers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return {"answers": [one for mine in answers for one in mine], "errors": errors}


def swap_on(
    releases: Releases, address: str, first: str, rounds: int, quiet_s: float
) -> list[Window]:
    """Quiet, a new bundle, quiet, the one before: `rounds` times."""
    windows: list[Window] = []
    before = first
    with Client(address) as client:

        def window(kind: str, work: Callable[[], None]) -> None:
            begin = time.monotonic()
            work()
            windows.append(Window(kind, begin, time.monotonic()))

        def promote(name: str) -> None:
            release = releases.promote(name)
            while client.info().release != release:
                time.sleep(0.01)
            time.sleep(0.5)  # its first frames count, too

        for number in range(rounds):
            window("quiet", lambda: time.sleep(quiet_s))
            new = releases.publish()
            window("new", lambda name=new: promote(name))  # type: ignore[misc]
            window("quiet", lambda: time.sleep(quiet_s))
            window("known", lambda name=before: promote(name))  # type: ignore[misc]
            print(
                f"  round {number + 1}: {windows[-3].end - windows[-3].begin:.1f} s for a new one"
            )
    return windows


def figures(
    windows: Sequence[Window], answers: Sequence[Sequence[float]], errors: int
) -> list[dict[str, object]]:
    """Latencies by kind of window; an answer belongs to the window it came in."""
    rows: list[dict[str, object]] = []
    table = np.array(answers)
    kinds: dict[str, NDArray[np.float64]] = {}
    for kind in ("quiet", "new", "known"):
        inside = np.zeros(len(table), bool)
        for each in windows:
            if each.kind == kind:
                inside |= (table[:, 0] >= each.begin) & (table[:, 0] < each.end)
        kinds[kind] = table[inside, 1]
        low, mid, high = np.percentile(kinds[kind], [50, 99, 99.9])
        for name, value in (("p50", low), ("p99", mid), ("p99.9", high)):
            rows.append(_row(f"{kind}: {name} of {len(kinds[kind])} frames", value, "ms"))
    limit = np.percentile(kinds["quiet"], 99.9)
    for kind in ("new", "known"):
        found = np.percentile(kinds[kind], 99.9) / limit
        rows.append(_row(f"{kind}: p99.9 against that of the quiet seconds", found, "ratio", GOAL))
    took = [each.end - each.begin - 0.5 for each in windows if each.kind == "new"]
    rows.append(_row("a new bundle answers after", statistics.median(took), "s"))
    rows.append(_row("requests that failed", errors, "requests", 0))
    return rows


def _row(figure: str, value: float, unit: str, goal: float | None = None) -> dict[str, object]:
    is_ok = goal is None or value <= goal
    return {
        "figure": figure,
        "value": round(float(value), 3),
        "unit": unit,
        "goal": goal,
        "ok": bool(is_ok),
    }


def run(rounds: int, quiet_s: float, clients: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory(prefix="bench-swap-") as name:
        folder = Path(name)
        graph = write_graph(folder)
        write_frames(folder)
        frames = [path.read_bytes() for path in sorted((folder / "jpeg").iterdir())[:4]]
        releases = Releases(folder, graph.read_bytes(), frames)
        first = releases.publish()
        releases.promote(first)
        with server(folder, releases.store) as address:
            command = [sys.executable, "-m", "benchmarks.swap", "--client", address]
            command += ["--frames", str(folder / "jpeg"), "--clients", str(clients)]
            # Standard input ends the clients: how long preparing takes nobody knows beforehand.
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as child:
                time.sleep(3)
                windows = swap_on(releases, address, first, rounds, quiet_s)
                out, _ = child.communicate()
    found = json.loads(out)
    return figures(windows, found["answers"], len(found["errors"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of quiet between two swaps")
    parser.add_argument("--clients", type=int, default=4)
    for name in ("--client", "--frames"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        print(json.dumps(ask_on(given.client, Path(given.frames), given.clients)))
        return
    rows = run(given.rounds, given.seconds, given.clients)
    for row in rows:
        goal = f"goal {row['goal']}" if row["goal"] is not None else ""
        print(f"{row['figure']:55} {row['value']:>9} {row['unit']:8} {goal} {row['ok']}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
