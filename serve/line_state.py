"""What holds for a line at a moment, and the metrics that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from serve.keeping import KeptState
from serve.shadow import ShadowState
from serve.shipping.cursor import Shipped
from serve.spool import SpoolState


@dataclass(frozen=True)
class LoadedRelease:
    """A release that holds an engine.

    Attributes:
        role: ``live``, ``canary``, ``shadow`` or ``spare``.
        release: Its name, such as ``turin/press-3@17``.
        bundle, engine, graph, engine_build: What it consists of.
    """

    role: str
    release: str
    bundle: str
    engine: str
    graph: str
    engine_build: str


@dataclass(frozen=True)
class LineState:
    """What holds for one line at a moment.

    Attributes:
        line: ``site/line``.
        is_ready: Whether a frame would get a verdict.
        is_newest: Whether the newest release of the ledger is the one that answers.
        is_rule_based: Whether the rule-based check answers because no engine can.
        spool: What its spool holds.
        number: The ledger entry that answers; 0 while none does.
        releases: Those that hold an engine.
        shipped: How far its decisions are shipped to each place.
        shadow: What the shadow has done.
        kept: Frames that stay on this host.
        stayed: Kept frames that are not landed because ingest would refuse them, by reason.
        waiting: Frames that wait for a worker, and for how many seconds the oldest does, by
            camera as the clients name it.
    """

    line: str
    is_ready: bool
    is_newest: bool
    spool: SpoolState
    is_rule_based: bool = False
    number: int = 0
    releases: tuple[LoadedRelease, ...] = ()
    shipped: tuple[Shipped, ...] = ()
    shadow: ShadowState = field(default_factory=ShadowState)
    kept: KeptState = field(default_factory=KeptState)
    stayed: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, tuple[int, float]] = field(default_factory=dict)


_Value = Callable[[LineState], float]

_GAUGES: dict[str, tuple[str, _Value]] = {
    "vision_line_ready": ("1 when a frame would get a verdict.", lambda s: s.is_ready),
    "vision_newest_release_live": (
        "1 when the newest release of the ledger is the one that answers.",
        lambda s: s.is_newest,
    ),
    "vision_rule_based": (
        "1 while the rule-based check answers because no engine can.",
        lambda s: s.is_rule_based,
    ),
    "vision_release_number": ("Ledger entry that answers; 0: none.", lambda s: s.number),
    "vision_spool_rows": ("Number of the newest row.", lambda s: s.spool.next_sequence - 1),
    "vision_spool_unsynced_rows": (
        "Rows that a power cut would lose.",
        lambda s: s.spool.next_sequence - s.spool.synced_sequence,
    ),
    "vision_spool_bytes": ("Size of the spool.", lambda s: s.spool.bytes),
    "vision_kept_frames": ("Frames in the ring on this host.", lambda s: s.kept.frames),
    "vision_kept_bytes": ("Size of that ring.", lambda s: s.kept.bytes),
    "vision_kept_fault": (
        "1 while no frame is kept because the disk lacks room.",
        lambda s: bool(s.kept.fault),
    ),
    "vision_spool_fault": ("1 while the spool takes no rows.", lambda s: bool(s.spool.fault)),
}
_COUNTERS: dict[str, tuple[str, _Value]] = {
    "vision_spool_dropped_rows": (
        "Rows deleted without having been shipped, since the start.",
        lambda s: s.spool.dropped,
    ),
    "vision_kept_dropped_frames": (
        "Frames that were to be kept, and for which there was no room or no disk.",
        lambda s: s.kept.dropped,
    ),
    "vision_kept_overwritten_frames": (
        "Kept frames that left the ring before they were in the landing area.",
        lambda s: s.kept.overwritten,
    ),
    "vision_shadow_frames": ("Frames that the shadow answered.", lambda s: s.shadow.answered),
    "vision_shadow_differing_frames": (
        "Those of them with another verdict than the live release gave.",
        lambda s: s.shadow.differing,
    ),
    "vision_shadow_dropped_frames": (
        "Frames for which the shadow found no time.",
        lambda s: s.shadow.dropped,
    ),
}


def families(states: Sequence[LineState]) -> Iterator[Metric]:
    """The metrics of all lines."""
    yield _releases(states)
    for name, (text, value) in _GAUGES.items():
        gauge = GaugeMetricFamily(name, text, labels=("line",))
        for state in states:
            gauge.add_metric((state.line,), float(value(state)))
        yield gauge
    for name, (text, value) in _COUNTERS.items():
        counter = CounterMetricFamily(name, text, labels=("line",))
        for state in states:
            counter.add_metric((state.line,), float(value(state)))
        yield counter
    yield _stayed(states)
    yield from _shipping(states)


def _releases(states: Sequence[LineState]) -> Metric:
    family = InfoMetricFamily(
        "vision_release", "Releases that hold an engine, by their role.", labels=("line",)
    )
    for state in states:
        for release in state.releases:
            family.add_metric((state.line,), vars(release))
    return family


def _stayed(states: Sequence[LineState]) -> Metric:
    family = CounterMetricFamily(
        "vision_kept_stayed_frames",
        "Kept frames that are not landed because ingest would refuse them, by reason.",
        labels=("line", "reason"),
    )
    for state in states:
        for reason, count in state.stayed.items():
            family.add_metric((state.line, reason), count)
    return family


def _shipping(states: Sequence[LineState]) -> Iterator[Metric]:
    labels = ("line", "sink")
    waiting = GaugeMetricFamily(
        "vision_unshipped_rows", "Decisions that wait to be shipped, by place.", labels=labels
    )
    oldest = GaugeMetricFamily(
        "vision_unshipped_oldest_seconds", "Age of the oldest of them.", labels=labels
    )
    lost = CounterMetricFamily(
        "vision_unshippable_rows", "Decisions that a place will never get.", labels=labels
    )
    for state in states:
        for place in state.shipped:
            waiting.add_metric((state.line, place.sink), place.unshipped)
            oldest.add_metric((state.line, place.sink), place.oldest_s)
            lost.add_metric((state.line, place.sink), place.lost)
    yield from (waiting, oldest, lost)
