"""One interleaved run: every system has its turn in every round, in an order that rotates."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.serve import requests, table
from benchmarks.serve.compiled import grpc_client, http_client
from benchmarks.serve.model import write_frames, write_graph
from benchmarks.serve.registry import INSPECT, PEERS, Peer
from benchmarks.serve.released import LINE, SCALED_LINE, publish
from benchmarks.serve.systems import Local, Process, Remote, Report, System, free_port
from store.keys import LineKey

CORES = len(os.sched_getaffinity(0))
KINDS = ("jpeg", "raw")
CLIENTS = (1, 4, 16)
CAMERAS = 8
RATES = (30.0, 20.0, 15.0, 10.0, 5.0)
"""Frames a second of each camera; the highest that the machine carries is measured."""


@dataclass(frozen=True)
class Plan:
    """How long is measured; as it is, twenty minutes with all peers.

    Attributes:
        rounds: Measured ones; one more goes before.
        seconds: Of a turn.
        single_s: Of a turn of ours and of the limit at one client: their p99 needs more calls.
        rate_s: Of a turn at a fixed rate.
        only: Names (or parts of them) of the peers to measure; none means all that are installed.
    """

    rounds: int = 4
    seconds: float = 0.8
    single_s: float = 3.0
    rate_s: float = 6.0
    only: tuple[str, ...] = ()


def run(folder: Path, cache: Path, plan: Plan) -> tuple[list[table.Row], list[str]]:
    """Measure everything that is installed.

    Args:
        folder: An empty one, for the model, frames, stores and logs.
        cache: The environments and compiled programs.
        plan: How long.

    Returns:
        The figures, and the names of the peers that are not installed.
    """
    write_graph(folder)
    write_frames(folder)
    publish(folder)
    chosen = [peer for peer in PEERS if not plan.only or any(w in peer.name for w in plan.only)]
    missing = [peer.name for peer in chosen if not peer.is_installed(cache)]
    with ExitStack() as stack:
        systems: list[System] = []
        for starter in (*_ours(folder, cache), *_peers(folder, cache, chosen)):
            systems.append(stack.enter_context(starter))
        peers = [system.name for system in systems if not _is_ours(system.name)]
        rounds = measure(systems, plan)
        rows = figures(rounds, systems, peers)
        rows += fixed_rates(systems, peers, plan)
    return rows, missing


def figures(
    rounds: table.Rounds, systems: Sequence[System], peers: Sequence[str]
) -> list[table.Row]:
    """Every figure of the closed loops."""
    names = [system.name for system in systems if system.name != table.LIMIT]
    rows = table.ratio_rows(rounds, names, KINDS)
    return rows + table.best_peer_rows(rounds, peers, KINDS) + table.added_rows(rounds, KINDS)


def measure(systems: Sequence[System], plan: Plan) -> dict[tuple[str, str, int], list[Report]]:
    """All systems at all numbers of clients, round by round; the first round is left out.

    Within a round all have their turn at one kind of frame and number of clients before the next
    number, the limit among them, so that a ratio compares what was measured seconds apart.
    """
    found: dict[tuple[str, str, int], list[Report]] = {}
    for number in range(plan.rounds + 1):
        start = number * max(1, len(systems) // (plan.rounds + 1)) % len(systems)
        order = [*systems[start:], *systems[:start]]
        for kind, clients in product(KINDS, CLIENTS):
            for system in order:
                for name, report in _turn(system, kind, clients, plan):
                    if number:
                        found.setdefault((name, kind, clients), []).append(report)
        print(f"round {number} of {plan.rounds}", file=sys.stderr, flush=True)
    return found


def _turn(system: System, kind: str, clients: int, plan: Plan) -> Iterator[tuple[str, Report]]:
    """One turn; the limit always has a caller for each core, and beside one client one, too."""
    if kind == "raw" and system.name.endswith(table.SCALED):
        return  # nothing is decoded
    seconds = plan.single_s if clients == 1 and _is_ours(system.name) else plan.seconds
    with _awake(system):
        if system.name != table.LIMIT:
            yield system.name, system.measure(kind, clients, seconds)
            return
        yield table.LIMIT, system.measure(kind, CORES, plan.seconds)
        if clients == 1:
            yield table.ONE_CALLER, system.measure(kind, 1, seconds)


def _is_ours(name: str) -> bool:
    return name.removesuffix(table.SCALED) in (table.LIMIT, *table.OURS)


def fixed_rates(systems: Sequence[System], peers: Sequence[str], plan: Plan) -> list[table.Row]:
    """Ours and the limit at the highest rate that ours carries, the peers once at the same."""
    ours = [
        system for system in systems if system.name in table.OURS and system.name != table.CAPTURED
    ]
    rate = next((rate for rate in RATES if all(_carries(s, rate, plan) for s in ours)), RATES[-1])
    rows: list[table.Row] = []
    found: dict[str, list[Report]] = {}
    for number in range(3):
        for system in systems:
            if (
                system in ours
                or system.name == table.LIMIT
                or (number == 0 and system.name in peers)
            ):
                with _awake(system):
                    report = system.measure("jpeg", CAMERAS, plan.rate_s, rate)
                found.setdefault(system.name, []).append(report)
    names = {system.name for system in ours}
    for name, reports in found.items():
        rows += table.rate_rows(name, reports, CAMERAS, rate, goal=name in names)
    return rows


def _carries(system: System, rate: float, plan: Plan) -> bool:
    with _awake(system):
        return table.is_carried(system.measure("jpeg", CAMERAS, plan.rate_s, rate))


@contextmanager
def _awake(system: System) -> Iterator[None]:
    system.process.resume()
    try:
        yield
    finally:
        system.process.pause()


def _ours(folder: Path, cache: Path) -> Iterator[AbstractContextManager[System]]:
    """The limit, the server in each of its forms, and its handler without a network."""
    module = [sys.executable, "-m", "benchmarks.serve.local"]
    for line, scale, suffix in ((LINE, "1", ""), (SCALED_LINE, "2", table.SCALED)):
        words = ["limit", str(folder / "graph.onnx"), scale, str(folder)]
        yield _local(table.LIMIT + suffix, [*module, *words], folder)
        for name in (table.GRPCIO, table.FRONT):
            yield _served(name + suffix, line, folder, cache)
        name = table.CAPTURED + suffix
        words = ["ours", str(folder / "store"), str(line), str(folder / name), str(folder)]
        yield _local(name, [*module, *words], folder)


@contextmanager
def _local(name: str, command: Sequence[str], folder: Path) -> Iterator[System]:
    system = Local(name, Process(command, _log(folder, name)))
    try:
        system.measure("jpeg", 1, 0.2)
        system.process.pause()
        yield system
    finally:
        system.process.stop()


@contextmanager
def _served(name: str, line: LineKey, folder: Path, cache: Path) -> Iterator[System]:
    """``vision-serve run`` as users start it; each form is a process of its own."""
    port, place = free_port(), folder / name.replace(" ", "-").replace(",", "")
    place.mkdir()
    command = [str(Path(sys.executable).with_name("vision-serve")), "run"]
    command += ["--store", str(folder / "store"), "--line", str(line)]
    command += ["--spool", str(place / "spool"), "--cache", str(place / "cache")]
    address, other = f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"
    if name.startswith(table.FRONT):
        command += ["--listen", other, "--fast-listen", address]
    else:
        command += ["--listen", address]
    client = [str(grpc_client(cache)), "--address", address, "--method", INSPECT]
    server = Process(command, _log(folder, name), environment={"VISION_SERVE_MONITOR": ""})
    with _remote(Remote(name, server, client, _frames(folder))) as found:
        yield found


def _peers(
    folder: Path, cache: Path, chosen: Sequence[Peer]
) -> Iterator[AbstractContextManager[System]]:
    for peer in chosen:
        if peer.is_installed(cache):
            yield _peer(peer, folder, cache)


@contextmanager
def _peer(peer: Peer, folder: Path, cache: Path) -> Iterator[System]:
    port = free_port()
    process = Process(
        peer.command(port, folder / "graph.onnx", cache), _log(folder, peer.name), peer.is_paused
    )
    program = http_client(cache) if peer.content_type else grpc_client(cache)
    client = [str(program), "--address", f"127.0.0.1:{port}", "--method", peer.method]
    client += ["--type", peer.content_type] if peer.content_type else []
    bodies = _frames(folder) if peer.is_frame else _bodies(peer, folder)
    with _remote(Remote(peer.name, process, client, bodies)) as found:
        yield found


@contextmanager
def _remote(system: Remote) -> Iterator[System]:
    try:
        system.wait()
        print(f"{system.name} answers", file=sys.stderr, flush=True)
        system.process.pause()
        yield system
    finally:
        system.process.stop()


def _frames(folder: Path) -> dict[str, Sequence[str]]:
    """The client's options for our own message."""
    raw = ["--frames", str(folder / "raw"), "--shape", "224x224x3"]
    return {"jpeg": ["--frames", str(folder / "jpeg")], "raw": raw}


def _bodies(peer: Peer, folder: Path) -> dict[str, Sequence[str]]:
    found: dict[str, Sequence[str]] = {}
    for kind in KINDS:
        place = folder / "bodies" / peer.name / kind
        found[kind] = ["--requests", str(requests.write(place, folder / kind, kind, peer.body))]
    return found


def _log(folder: Path, name: str) -> Path:
    (folder / "logs").mkdir(exist_ok=True)
    return folder / "logs" / f"{name}.log"
