"""What is measured: servers asked by the compiled clients, and loops in a process of their own.

All are up from the beginning; while one has its turn the others are stopped with SIGSTOP, so that
an idle server's housekeeping costs nobody anything.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

START_S = 120.0
WARM_S = 0.4


@dataclass(frozen=True)
class Report:
    """What one turn of load measured; times in milliseconds."""

    answers: int
    errors: int
    unsent: int
    per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    by_client: tuple[dict[str, float], ...] = field(default=(), repr=False)

    @classmethod
    def from_json(cls, line: str) -> Report:
        """Of a client's one line."""
        found = json.loads(line)
        rows = tuple(found["by_client"])
        return cls(by_client=rows, **{n: found[n] for n in cls.__annotations__ if n != "by_client"})


class System(ABC):
    """One row of the table: a name and a process."""

    name: str
    process: Process

    @abstractmethod
    def measure(self, kind: str, clients: int, seconds: float, rate: float = 0) -> Report:
        """Put load on it; `rate` 0 is a closed loop."""


@dataclass
class Process:
    """A child process with all its descendants."""

    command: Sequence[str]
    log: Path
    may_pause: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    child: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Signal it and its descendants, children first."""
        for process in reversed(_family(self.child.pid)):
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def pause(self) -> None:
        """Freeze them, where that is allowed."""
        if self.may_pause:
            self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        if self.may_pause:
            self.send(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL to what is left after ten seconds."""
        self.resume()
        family = _family(self.child.pid)
        self.child.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout=10)
        for process in family:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.child.wait()


@dataclass
class Remote(System):
    """A server behind a compiled client.

    Attributes:
        name: In the table.
        process: The server.
        client: The client's command, complete but for the load.
        bodies: By kind of frame: where the requests are, as the client's options.
    """

    name: str
    process: Process
    client: Sequence[str]
    bodies: dict[str, Sequence[str]]

    def measure(self, kind: str, clients: int, seconds: float, rate: float = 0) -> Report:
        """Ask from the compiled client; each client is a camera."""
        load = ["--clients", str(clients), "--seconds", str(seconds), "--warm", str(WARM_S)]
        load += [word for n in range(clients) for word in ("--camera", f"c{n + 1}")]
        load += ["--rate", str(rate)]
        report = self._ask([*self.bodies[kind], *load])
        if report.errors:
            raise RuntimeError(f"{self.name}: {report.errors} requests failed; see its log")
        return report

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            RuntimeError: when it has ended, or does not answer for two minutes.
        """
        end = time.monotonic() + START_S
        once = ["--clients", "1", "--seconds", "0.2", "--warm", "0"]
        while time.monotonic() < end:
            if self.process.child.poll() is not None:
                break
            try:
                report = self._ask([*self.bodies["jpeg"], *once])
            except (subprocess.CalledProcessError, ValueError):
                report = None
            if report and report.answers and not report.errors:
                return
            time.sleep(0.3)
        tail = self.process.log.read_text(errors="replace")[-1500:]
        raise RuntimeError(f"{self.name} does not answer:\n{tail}")

    def _ask(self, options: Sequence[str]) -> Report:
        done = subprocess.run([*self.client, *options], capture_output=True, text=True, check=True)
        return Report.from_json(done.stdout)


@dataclass
class Local(System):
    """Loops in a child process (`benchmarks.serve.local`), told what to do line by line."""

    name: str
    process: Process

    def measure(self, kind: str, clients: int, seconds: float, rate: float = 0) -> Report:
        """Have the child call from as many threads."""
        child = self.process.child
        assert child.stdin is not None
        assert child.stdout is not None
        order = {"kind": kind, "callers": clients, "seconds": seconds, "warm": WARM_S, "rate": rate}
        child.stdin.write(json.dumps(order) + "\n")
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            tail = self.process.log.read_text(errors="replace")[-1500:]
            raise RuntimeError(f"{self.name} has ended:\n{tail}")
        return Report.from_json(line)


def free_port(width: int = 6) -> int:
    """The first of `width` neighbouring ports that are free."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if all(_is_free(port + n) for n in range(width)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _family(root: int) -> list[int]:
    """A process and its descendants, parents first."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, position = [root], 0
    while position < len(found):
        found += parents.get(found[position], [])
        position += 1
    return found
