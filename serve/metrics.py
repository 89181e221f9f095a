"""The server's Prometheus metrics: what was answered, how long it took, what the frames look like.

Counts and histograms are made of the rows of the spool; what holds at the moment (release, queue,
spool) is asked for when somebody reads. No label holds what a client may invent: a camera is named
when the line's live rule knows it and is ``other`` otherwise, a code is one of our own.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from serve.line_state import LineState, families
from serve.observations import Observed

OTHER = "other"
MOST_CAMERAS = 32
MOST_RELEASES = 8

STAGES = ("wait", "decode", "engine", "spool", "total")
"""Wait for a worker; bytes to the graph's input; the engine; the row into the spool; all."""

STAGE_EDGES_S = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03),
    *(0.05, 0.075, 0.1, 0.2, 0.5, 1.0),
)
_FINE_SHARES = (0.3, 0.4, 0.45, 0.48, 0.5, 0.52, 0.55, 0.6, 0.7)
_TAIL_SHARES = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
STATISTIC_EDGES: dict[str, tuple[float, ...]] = {
    "score": (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    "brightness": tuple(map(float, range(16, 256, 16))),
    "contrast": (5, 10, 15, 20, 30, 40, 50, 60, 80, 100),
    "clipped_low": _TAIL_SHARES,
    "clipped_high": _TAIL_SHARES,
    "sharpness": (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000),
    "noise": (0.25, 0.5, 1, 2, 3, 5, 8, 12, 20, 40),
    "aspect": (0.5, 0.75, 0.99, 1.01, 1.3, 1.4, 1.7, 1.8),
    "edge_x": _FINE_SHARES,
    "edge_y": _FINE_SHARES,
}
"""Upper edges of the drift histograms: the calibrated score and the tier-1 statistics."""

Labels = tuple[str, ...]

_STAGE_COLUMNS = {stage: f"{stage}_ms" for stage in STAGES}


class _Histogram:
    """Counts of values by upper edge."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = np.asarray(edges, np.float64)
        self._counts = np.zeros(len(edges) + 1, np.int64)
        self._sum = 0.0

    def add(self, values: Sequence[float]) -> None:
        places = np.searchsorted(self._edges, values, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(np.sum(values))

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        """Cumulative counts by edge, and the sum of all values."""
        edges = [*(repr(float(edge)) for edge in self._edges), "+Inf"]
        counts = np.cumsum(self._counts).tolist()
        return list(zip(edges, counts, strict=True)), self._sum


class Metrics:
    """A collector for `prometheus_client`, and a sink of `serve.observations`."""

    def __init__(
        self,
        states: Callable[[], Iterable[LineState]],
        cameras: Callable[[str], Collection[str]],
    ) -> None:
        """Ask both for what holds at the moment, from any thread.

        Args:
            states: The state of every line; asked for when somebody reads.
            cameras: Those that the live rule of a line knows; asked for often.
        """
        self._states, self._cameras = states, cameras
        self._lock = threading.Lock()
        self._frames: Counter[Labels] = Counter()  # line, camera, verdict, release
        self._unjudged: Counter[Labels] = Counter()  # line, camera, why
        self._errors: Counter[Labels] = Counter()  # line, code
        self._refused: Counter[str] = Counter()  # code
        self._stages: dict[Labels, _Histogram] = {}  # line, stage
        self._statistics: dict[Labels, _Histogram] = {}  # line, camera, statistic
        self._named: dict[str, set[str]] = {}  # cameras with a name of their own, by line
        self._releases: dict[str, OrderedDict[str, None]] = {}

    def refuse(self, code: str) -> None:
        """Count a call that was refused before it had a frame, by one of our own codes."""
        with self._lock:
            self._refused[code] += 1

    def add(self, observed: Sequence[Observed]) -> None:
        """Count some frames."""
        groups: dict[tuple[str, str], list[Mapping[str, object]]] = {}
        with self._lock:
            for row, _ in observed:
                line = str(row["line"])
                camera = self._camera(line, str(row["camera"]))
                self._count(row, line, camera)
                groups.setdefault((line, camera), []).append(row)
            for (line, camera), rows in groups.items():
                self._measure(rows, line, camera)

    def _measure(self, rows: Sequence[Mapping[str, object]], line: str, camera: str) -> None:
        """Add what some rows of a camera measured, a column at a time."""
        for stage, name in _STAGE_COLUMNS.items():
            times = [ms / 1000 for row in rows if isinstance(ms := row.get(name), float)]
            self._add(self._stages, (line, stage), STAGE_EDGES_S, times)
        scores = [score for row in rows if isinstance(score := row.get("score"), float)]
        columns = {"score": scores}
        levels = [s for row in rows if isinstance(s := row.get("statistics"), Mapping)]
        for name in levels[0] if levels else ():
            columns[name] = [v for level in levels if isinstance(v := level.get(name), float)]
        for name, values in columns.items():
            if name in STATISTIC_EDGES:
                labels = (line, camera, name)
                self._add(self._statistics, labels, STATISTIC_EDGES[name], values)

    def _add(
        self,
        histograms: dict[Labels, _Histogram],
        labels: Labels,
        edges: Sequence[float],
        values: Sequence[float],
    ) -> None:
        if not values:
            return
        if labels not in histograms:
            histograms[labels] = _Histogram(edges)
        histograms[labels].add(values)

    def _count(self, row: Mapping[str, object], line: str, camera: str) -> None:
        if code := row.get("error"):
            self._errors[line, str(code)] += 1
            return
        release = str(row["release"])
        self._frames[line, camera, str(row["verdict"]), release] += 1
        if row["score"] is None:
            self._unjudged[line, camera, _why(row)] += 1
        self._keep_release(line, release)

    def _keep_release(self, line: str, release: str) -> None:
        """Forget the counts of a release when others have followed it."""
        kept = self._releases.setdefault(line, OrderedDict())
        if release in kept:
            kept.move_to_end(release)
            return
        kept[release] = None
        if len(kept) > MOST_RELEASES:
            oldest, _ = kept.popitem(last=False)
            for labels in [labels for labels in self._frames if labels[0::3] == (line, oldest)]:
                del self._frames[labels]

    def _camera(self, line: str, camera: str) -> str:
        named = self._named.setdefault(line, set())
        if camera in named:
            return camera
        if len(named) < MOST_CAMERAS and camera in self._cameras(line):
            named.add(camera)
            return camera
        return OTHER

    def collect(self) -> Iterator[Metric]:
        """Every metric with its present values."""
        states = list(self._states())
        with self._lock:
            yield from self._counted()
            yield from self._measured()
            waiting = [(state, self._waiting(state)) for state in states]
        yield from _queues(waiting)
        yield from families(states)

    def _waiting(self, state: LineState) -> dict[str, tuple[int, float]]:
        """Frames that wait and age of the oldest by camera label; every named camera is there."""
        named = self._named.get(state.line, set())
        found = dict.fromkeys((*sorted(named), OTHER), (0, 0.0))
        for name, (count, age_s) in state.waiting.items():
            camera = self._camera(state.line, name)
            before, oldest_s = found.get(camera, (0, 0.0))
            found[camera] = (before + count, max(oldest_s, age_s))
        return found

    def _counted(self) -> Iterator[Metric]:
        rows: tuple[tuple[str, str, Labels, Mapping[Labels, int]], ...] = (
            (
                "vision_frames",
                "Frames that got a verdict.",
                ("line", "camera", "verdict", "release"),
                self._frames,
            ),
            (
                "vision_unjudged_frames",
                "Frames that got the policy's verdict because nobody looked at them in time.",
                ("line", "camera", "why"),
                self._unjudged,
            ),
            (
                "vision_frame_errors",
                "Frames that got no verdict, by error code.",
                ("line", "code"),
                self._errors,
            ),
            (
                "vision_refused_calls",
                "Calls that were refused before a frame was taken: no right, or too many.",
                ("code",),
                {(code,): count for code, count in self._refused.items()},
            ),
        )
        for name, text, labels, counts in rows:
            family = CounterMetricFamily(name, text, labels=labels)
            for values, count in sorted(counts.items()):
                family.add_metric(values, count)
            yield family

    def _measured(self) -> Iterator[Metric]:
        stages = HistogramMetricFamily(
            "vision_stage_seconds",
            "Time of a frame in each stage; total does not hold the way through the network.",
            labels=("line", "stage"),
        )
        statistics = HistogramMetricFamily(
            "vision_frame_statistic",
            "Tier-1 statistics of the frames and their calibrated score: their drift.",
            labels=("line", "camera", "statistic"),
        )
        for family, found in ((stages, self._stages), (statistics, self._statistics)):
            for labels, histogram in sorted(found.items()):
                family.add_metric(labels, *histogram.buckets())
            yield family


def _why(row: Mapping[str, object]) -> str:
    """The code of the first reason of a row."""
    reasons = row["reasons"]
    return str(reasons[0]["code"]) if isinstance(reasons, list) and reasons else ""


def _queues(
    waiting: Iterable[tuple[LineState, Mapping[str, tuple[int, float]]]],
) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "vision_queue_frames", "Frames that wait for a worker.", labels=("line", "camera")
    )
    age = GaugeMetricFamily(
        "vision_queue_oldest_seconds",
        "How long the oldest of them has waited; 0 when none does.",
        labels=("line", "camera"),
    )
    for state, cameras in waiting:
        for camera, (count, age_s) in cameras.items():
            depth.add_metric((state.line, camera), count)
            age.add_metric((state.line, camera), age_s)
    yield depth
    yield age
