"""From turns of load to figures: ratios within a round, their medians, and the goals."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serve.systems import Report

LIMIT = "limit"
ONE_CALLER = "limit, one caller"
GRPCIO = "vision-serve, grpcio"
FRONT = "vision-serve, front"
CAPTURED = "vision-serve, captured in process"
OURS = (GRPCIO, FRONT, CAPTURED)
SCALED = ", scaled decode"
"""After a name: JPEG decoded at half the size, as a bundle trained on these frames asks for. Less
work than the peers do, so no goal is judged by it."""

AT_4 = {GRPCIO: 0.80, FRONT: 0.90, CAPTURED: 0.95}
AT_16 = {GRPCIO: 0.80, FRONT: 0.80}
ADDED_P50_MS, ADDED_P99_MS = 0.5, 1.5
OVER_BEST_PEER = 1.2
TAIL = 3.0
"""p99.9 at a fixed rate, in medians."""
SERVED = 0.95
"""A camera of whose frames fewer are answered is starved."""

Row = dict[str, object]
Rounds = Mapping[tuple[str, str, int], Sequence[Report]]
"""Reports of all rounds by system, kind and clients."""


@dataclass(frozen=True)
class Goal:
    """What a figure must reach."""

    limit: float
    is_at_least: bool

    def is_met(self, value: float) -> bool:
        """Whether a figure reaches it."""
        return value >= self.limit if self.is_at_least else value <= self.limit


def row(figure: str, values: Sequence[float], unit: str, goal: Goal | None = None) -> Row:
    """The median over the rounds, with the smallest and largest."""
    value = statistics.median(values)
    return {
        "figure": figure,
        "value": round(value, 3),
        "spread": [round(min(values), 3), round(max(values), 3)],
        "unit": unit,
        "goal": goal.limit if goal else None,
        "ok": goal is None or goal.is_met(value),
    }


def ratio_rows(rounds: Rounds, names: Sequence[str], kinds: Sequence[str]) -> list[Row]:
    """Throughput of every system against the limit of the same round."""
    rows = []
    for kind in kinds:
        for clients in (1, 4, 16):
            limits = rounds[LIMIT, kind, clients]
            for name in names:
                found = rounds.get((name, kind, clients))
                if not found:
                    continue
                wanted = {4: AT_4, 16: AT_16}.get(clients, {}).get(name)
                ratios = [a.per_s / b.per_s for a, b in zip(found, limits, strict=True)]
                goal = Goal(wanted, is_at_least=True) if wanted else None
                rows.append(
                    row(f"{kind}, {clients} client(s): {name} / limit", ratios, "ratio", goal)
                )
    return rows


def best_peer_rows(rounds: Rounds, peers: Sequence[str], kinds: Sequence[str]) -> list[Row]:
    """Ours at 4 clients against the peer that is fastest over all rounds."""
    rows = []
    for kind in kinds:
        by_speed = sorted(peers, key=lambda name: _middle(rounds[name, kind, 4]))
        if not by_speed:
            continue
        best = by_speed[-1]
        shipped = [name for name in (GRPCIO, FRONT) if (name, kind, 4) in rounds]
        for name in shipped:
            pairs = zip(rounds[name, kind, 4], rounds[best, kind, 4], strict=True)
            # The goal is for whatever is the fastest that users can have.
            goal = Goal(OVER_BEST_PEER, is_at_least=True) if name == shipped[-1] else None
            figure = f"{kind}, 4 clients: {name} / best peer ({best})"
            rows.append(row(figure, [a.per_s / b.per_s for a, b in pairs], "ratio", goal))
    return rows


def added_rows(rounds: Rounds, kinds: Sequence[str]) -> list[Row]:
    """What a request takes longer than a call in process, at one client."""
    rows = []
    for kind in kinds:
        limits = rounds[ONE_CALLER, kind, 1]
        for name in (GRPCIO, FRONT):
            found = rounds.get((name, kind, 1))
            if not found:
                continue
            pairs = list(zip(found, limits, strict=True))
            for share, most in (("p50", ADDED_P50_MS), ("p99", ADDED_P99_MS)):
                added = [getattr(a, f"{share}_ms") - getattr(b, f"{share}_ms") for a, b in pairs]
                goal = Goal(most, is_at_least=False)
                rows.append(row(f"{kind}, 1 client: {name}, added {share}", added, "ms", goal))
    return rows


def rate_rows(
    name: str, found: Sequence[Report], cameras: int, rate: float, goal: bool
) -> list[Row]:
    """Tail and fairness at a fixed rate."""
    tails = [report.p999_ms / report.p50_ms for report in found]
    least = [_least_served(report) for report in found]
    head = f"jpeg, {cameras} cameras x {rate:g}/s: {name}"
    tail_goal = Goal(TAIL, is_at_least=False) if goal else None
    fair_goal = Goal(SERVED, is_at_least=True) if goal else None
    return [
        row(f"{head}, p99.9 / median", tails, "ratio", tail_goal),
        row(f"{head}, share answered of the camera served least", least, "share", fair_goal),
        row(f"{head}, median", [report.p50_ms for report in found], "ms"),
        row(f"{head}, p99.9", [report.p999_ms for report in found], "ms"),
    ]


def is_carried(report: Report) -> bool:
    """Whether every frame of the schedule was sent in time to be answered."""
    return report.unsent == 0 and report.errors == 0


def _least_served(report: Report) -> float:
    shares = [c["answers"] / (c["answers"] + c["errors"] + c["unsent"]) for c in report.by_client]
    return min(shares)


def _middle(reports: Sequence[Report]) -> float:
    return statistics.median(report.per_s for report in reports)
