"""Loops without a network, in a process of their own: the limit, and our path for captured frames.

``python -m benchmarks.serve.local limit GRAPH SCALE FRAMES`` or ``… ours STORE LINE FOLDER FRAMES``
reads one order (JSON) a line from standard input, and answers each with a line as the compiled
clients do.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2

from benchmarks.serve.loop import closed_loop, fixed_rate
from serve.allocator import keep_frame_buffers

SHAPE = (224, 224, 3)

Call = Callable[[bytes, int], None]
"""Takes a frame and the number of the caller."""


def limit(graph: str, scale: str) -> Call:
    """Decode at ``1 / scale`` of the size, resize and engine, as one would write it without us."""
    from benchmarks.serve.peers import work

    flag = {"1": 0, "2": cv2.IMREAD_REDUCED_GRAYSCALE_2}[scale]

    sessions = [work.open_session(graph) for _ in range(work.CORES)]

    def call(data: bytes, caller: int) -> None:
        work.judge(sessions[caller % len(sessions)], data, flag)

    return call


def ours(store: str, line: str, folder: str) -> Call:
    """Our handler for frames captured in its own process: turns, decision, spool and all."""
    from serve.frame import IncomingFrame, RawFrame
    from serve.handler import Decision
    from serve.server import Server
    from serve.settings import load

    given = {
        "store": store,
        "lines": (line,),
        "listen": "127.0.0.1:0",
        "ship": False,
        "monitor": "",
    }
    server = Server(load({**given, "spool": f"{folder}/spool", "cache": f"{folder}/cache"}))
    server.start()
    handler = server.stations[line].handler

    def call(data: bytes, caller: int) -> None:
        payload = data if data[:2] == b"\xff\xd8" else RawFrame(data, SHAPE, "uint8")
        outcome = handler.answer(IncomingFrame(payload, "frame", camera=f"c{caller + 1}"))
        assert isinstance(outcome, Decision), outcome

    return call


def obey(call: Call, frames: dict[str, Sequence[bytes]]) -> None:
    """Answer orders until standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        given = (call, frames[order["kind"]], order["callers"])
        closed_loop(*given, order["warm"])
        if order["rate"]:
            found = fixed_rate(*given, order["seconds"], order["rate"])
        else:
            found = closed_loop(*given, order["seconds"])
        print(json.dumps(found), flush=True)


def main() -> None:
    what, *words, frames = sys.argv[1:]
    keep_frame_buffers()  # for both, or the limit would not be the most that can be had
    call = limit(*words) if what == "limit" else ours(*words)
    kinds = ("jpeg", "raw")
    files = {kind: sorted((Path(frames) / kind).iterdir()) for kind in kinds}
    obey(call, {kind: [path.read_bytes() for path in paths] for kind, paths in files.items()})


if __name__ == "__main__":
    main()
