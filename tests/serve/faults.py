"""Load that remembers every answer, and what the kernel says of a server's process."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import grpc

from serve.protocol import inspection_v1_pb2 as pb
from serve.protocol.inspection_v1_pb2_grpc import InspectionStub
from serve.replay import read
from tests.data.bundle.generate import frame
from tests.serve.running import Process, code_of

FRAMES = [frame(brightness) for brightness in (0.2, 0.5, 0.9)] + [b"no image"]


_MOST_AHEAD = 8
"""Frames that a stream sends before their answers have come, as a camera's client would."""

FRONTS = ("grpcio", "fast")
"""The two fronts of a server; each must stand what the other stands."""


@contextmanager
def running(folder: Path, *options: str, front: str = "grpcio") -> Iterator[Process]:
    """``vision-serve run`` as a process, killed at the end when the test has not ended it.

    Its `address` is that of the front.
    """
    fast = ("--fast-listen", "127.0.0.1:0") if front == "fast" else ()
    process = Process(folder, *options, *fast)
    found = re.search(r"fast on ([0-9.]+:[0-9]+)", process.ready)
    process.address = found[1] if found else process.address
    assert bool(found) == (front == "fast"), process.ready
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.end(signal.SIGKILL)


@dataclass(frozen=True)
class Answered:
    """What a client was told of one frame: its row, and the verdict or the error's code."""

    sequence: int
    verdict: str
    code: str
    release: str


def of_answer(answer: pb.Answer) -> Answered:
    """What an answer says."""
    verdict = pb.Verdict.Name(answer.result.verdict) if answer.HasField("result") else ""
    code = answer.error.code if answer.HasField("error") else ""
    return Answered(answer.decision.sequence, verdict, code, answer.result.release)


def of_error(error: grpc.RpcError) -> Answered | None:
    """What a call's error says, or None when it names no row."""
    decision = dict(cast(grpc.Call, error).trailing_metadata() or ()).get("decision-id", "/0")
    sequence = int(str(decision).rpartition("/")[2])
    return Answered(sequence, "", code_of(error), "") if sequence else None


class Load:
    """Clients that send frames of distinct ids until the server is gone or `stop` is called.

    Every third client streams, the others make one call after another.
    """

    def __init__(self, address: str, name: str, clients: int = 4, pause_s: float = 0) -> None:
        """Begin to send; each client waits `pause_s` between two frames."""
        self.answers: dict[str, Answered] = {}
        """By frame id; a frame is here only when its answer has come whole."""
        self.refused: list[str] = []
        """Codes of the calls that ended without a row, while the server was there."""
        self.lost: list[str] = []
        """Status of each call that ended without a word of the server's: it is gone, or broken."""
        self._stopping, self._pause_s = threading.Event(), pause_s
        self._threads = [
            threading.Thread(
                target=self._send, args=(address, f"{name}-{client}", client % 3 == 2), daemon=True
            )
            for client in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, answers: int) -> None:
        """Return when so many more frames have been answered."""
        wanted = len(self.answers) + answers
        until(lambda: len(self.answers) >= wanted)

    def wait(self) -> None:
        """Return when every client has found the server gone."""
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Send no more, and wait for the answers that are under way; none may have been lost."""
        self._stopping.set()
        self.wait()
        assert not self.lost

    def _send(self, address: str, name: str, is_stream: bool) -> None:
        with grpc.insecure_channel(address) as channel:
            stub = InspectionStub(channel)
            (self._stream if is_stream else self._ask)(stub, name)

    def _frames(self, name: str) -> Iterator[pb.Frame]:
        number = 0
        while not self._stopping.is_set():
            number += 1
            time.sleep(self._pause_s)
            data = FRAMES[number % len(FRAMES)]
            yield pb.Frame(encoded=data, frame_id=f"{name}-{number}", camera="c1")

    def _ask(self, stub: InspectionStub, name: str) -> None:
        for request in self._frames(name):
            try:
                found = of_answer(stub.Inspect(request, timeout=60))
            except grpc.RpcError as error:
                told = of_error(error)
                if told is None and not code_of(error):
                    self.lost.append(str(error))
                    return
                if told is None:
                    self.refused.append(code_of(error))
                    continue
                found = told
            self.answers[request.frame_id] = found

    def _stream(self, stub: InspectionStub, name: str) -> None:
        ahead = threading.Semaphore(_MOST_AHEAD)

        def paced() -> Iterator[pb.Frame]:
            for request in self._frames(name):
                ahead.acquire()
                yield request

        try:
            for answer in stub.InspectStream(paced()):
                ahead.release()
                found = of_answer(answer)
                if found.sequence:
                    self.answers[answer.frame_id] = found
                else:
                    self.refused.append(found.code)
        except grpc.RpcError as error:
            self.lost.append(str(error))
            ahead.release()  # gRPC's thread still asks for the next frame


def check_rows(folder: Path, answers: dict[str, Answered]) -> int:
    """Every answer has its one row, with the same verdict, and no row is missing between others.

    Returns:
        How many rows there are.
    """
    rows = list(read(folder))
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1))
    recorded = {row["frame_id"]: row for row in rows}
    assert len(recorded) == len(rows)
    for name, answer in answers.items():
        row = recorded[name]
        assert row["sequence"] == answer.sequence, name
        assert (row.get("verdict") or "") == answer.verdict, name
        assert (row.get("error") or "") == answer.code, name
    return len(rows)


def until(is_true: Callable[[], object], pause_s: float = 0.01) -> None:
    """Wait for something; the test's own time limit ends a wait in vain."""
    while not is_true():
        time.sleep(pause_s)


def rss_mib(process: int) -> float:
    """Memory that a process has in use, MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def descriptors(process: int) -> int:
    """How many files and sockets a process has open."""
    return len(os.listdir(f"/proc/{process}/fd"))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
