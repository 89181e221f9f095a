"""The engine that answers here: the fastest that is proven and reproduces the golden frames."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspection.bundle import Bundle
from inspection.decision import is_flip
from inspection.engines.engine import Engine, available, open_engine
from inspection.evidence import EngineEvidence, Golden
from inspection.inspector import FrameContext, Inspector
from inspection.preprocess import prepare
from store.errors import InvalidInput, NotFound, Refused, Unavailable, UnreadableFrame

# Another CPU adds in another order; far below what moves a verdict outside the band.
LEAST_TOLERANCE = 1e-3
_TIMED_CALLS = 15
_STAYS_WITHIN = 1.5
"""A measurement of some milliseconds differs between two starts; an engine that answered before
stays while it takes at most this many times as long as the fastest."""


@dataclass(frozen=True)
class Rejection:
    """An engine on a graph that was not chosen, and why."""

    engine: str
    graph: str
    why: str

    def __str__(self) -> str:
        return f"{self.engine} on {self.graph}: {self.why}"


class Chosen(NamedTuple):
    """An engine with its build, on a graph."""

    engine: str
    graph: str
    build: str


@dataclass(frozen=True)
class Choice:
    """The engine that answers.

    Attributes:
        engine: Open and warm.
        latency_ms: Median of single-frame calls, measured here.
        rejected: The others.
    """

    engine: Engine
    latency_ms: float
    rejected: tuple[Rejection, ...]

    def __str__(self) -> str:
        chosen = f"{self.engine.name} on {self.engine.graph} ({self.engine.build})"
        return f"{chosen}, {self.latency_ms:.2f} ms a frame"


def choose(
    bundle: Bundle,
    threads: int = 1,
    streams: int = 1,
    engines: Sequence[str] | None = None,
    before: Chosen | None = None,
) -> Choice:
    """The fastest engine, measured here, that may answer for a bundle.

    It must have passed its parity evidence, be available here and reproduce the golden frames
    (`replay`). Two engines differ in the last digits, so that a frame near a threshold may get
    another verdict from each: the one that answered before stays unless it is much slower.

    Args:
        bundle: Whose graphs, evidence and golden frames.
        threads: As for `open_engine`.
        streams: As for `open_engine`.
        engines: The names that may be chosen; None for all that are available.
        before: What answered for the bundle here before, if anything did.

    Raises:
        Unavailable: when no engine may answer; the message lists why.
        Refused: when the bundle has no golden frames.
    """
    golden = bundle.golden()
    if not golden:
        raise Refused(f"bundle {bundle.name} has no golden frames to check engines with; export it")
    rejected: list[Rejection] = []
    proven: list[tuple[float, Engine]] = []
    for row in _candidates(bundle, engines, rejected):
        try:
            engine = open_engine(row.engine, bundle.folder, row.graph, threads, streams)
            faults = replay(Inspector(bundle.contract, bundle.rule, engine), golden, row)
        except (Unavailable, NotFound, InvalidInput) as error:
            faults = [str(error)]
        if faults:
            rejected.append(Rejection(row.engine, row.graph, "; ".join(faults[:3])))
        else:
            pixels = prepare(golden[0].data, bundle.contract.input).pixels[np.newaxis]
            proven.append((latency_ms(engine, pixels), engine))
    return _fastest(bundle, proven, rejected, before)


def replay(inspector: Inspector, golden: Sequence[Golden], evidence: EngineEvidence) -> list[str]:
    """How the answers for the golden frames differ from what torch answered; empty when they fit.

    No verdict may flip, and no raw score may differ by more than twice the largest difference that
    the evidence found (at least `LEAST_TOLERANCE`).

    Raises:
        Unavailable: when the engine fails.
    """
    tolerance = max(2 * evidence.max_score_difference, LEAST_TOLERANCE)
    faults = []
    for frame in golden:
        try:
            answer = inspector.inspect(frame.data, FrameContext(frame.camera, frame.product))
        except UnreadableFrame as error:
            faults.append(f"golden frame {frame.frame_id}: {error}")
            continue
        found, score = answer.verdict.label, float(answer.outputs.score[0])
        # Written so that a score that is not a number is a fault.
        if is_flip(frame.label, found) or not abs(score - frame.score) <= tolerance:
            faults.append(
                f"golden frame {frame.frame_id}: {found} with score {score:.4f}, expected "
                f"{frame.label} with {frame.score:.4f} ± {tolerance:.4f}"
            )
    return faults


def latency_ms(engine: Engine, pixels: NDArray[np.uint8]) -> float:
    """Median time of an engine call for ``(N, height, width, channels) uint8``, in milliseconds."""
    times = []
    for _ in range(_TIMED_CALLS):
        started = time.perf_counter()
        engine.run(pixels)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def _candidates(
    bundle: Bundle, engines: Sequence[str] | None, rejected: list[Rejection]
) -> list[EngineEvidence]:
    """Evidence rows of the engines worth opening; the others join `rejected`."""
    here = available()
    found = []
    rows = bundle.evidence()
    for row in rows:
        if engines is not None and row.engine not in engines:
            why = f"not among those asked for ({', '.join(engines)})"
        elif row.engine not in here:
            why = "not installed here"
        elif not row.passed:
            why = f"its evidence failed: {row.flips} flips, {row.added_escapes} added escapes"
        else:
            found.append(row)
            continue
        rejected.append(Rejection(row.engine, row.graph, why))
    for name in sorted(set(here) - {row.engine for row in rows}):
        rejected.append(Rejection(name, "any graph", "no parity evidence in the bundle"))
    return found


def _fastest(
    bundle: Bundle,
    proven: list[tuple[float, Engine]],
    rejected: list[Rejection],
    before: Chosen | None,
) -> Choice:
    if not proven:
        raise Unavailable(
            f"no engine may answer for bundle {bundle.name}:\n"
            + "\n".join(f"  - {rejection}" for rejection in rejected)
        )
    proven.sort(key=lambda one: one[0])
    most = _STAYS_WITHIN * proven[0][0]
    stays = [one for one in proven if one[0] <= most and chosen(one[1]) == before]
    took, engine = (stays or proven)[0]
    others = [
        Rejection(other.name, other.graph, f"{why} here: {latency:.2f} ms against {took:.2f}")
        for latency, other in proven
        if other is not engine
        for why in ["slower" if latency >= took else "not chosen before, hardly faster"]
    ]
    return Choice(engine, took, (*rejected, *others))


def chosen(engine: Engine) -> Chosen:
    """What an engine is told again by."""
    return Chosen(engine.name, engine.graph, engine.build)
