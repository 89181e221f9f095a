"""What a plant's IT asks of one server, put together from its settings.

Rights and limits, metrics, traces, health over HTTP, and word to systemd.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.metadata import version

from serve.access import Access
from serve.health import LineReadiness, Liveness, Readiness
from serve.line_state import LineState, LoadedRelease
from serve.metrics import Metrics
from serve.monitor import Monitor
from serve.notify import Supervisor
from serve.observations import Observations, Sink
from serve.release import LiveRelease
from serve.settings import Settings
from serve.station import Station
from serve.transport import is_loopback
from serve.turns import Turns

_log = logging.getLogger(__name__)


class Operations:
    """All of it for one server; `start`, `tell_ready`, `begin_drain`, `stop`."""

    def __init__(
        self, settings: Settings, stations: Callable[[], Mapping[str, Station]], turns: Turns
    ) -> None:
        """Read the tokens; nothing listens yet.

        Args:
            settings: Of the server.
            stations: Its lines; asked for once the server is made.
            turns: Shared by all lines.

        Raises:
            VisionError: when the tokens cannot be read.
        """
        self._settings, self._stations, self._turns = settings, stations, turns
        self._is_draining = False
        self._metrics = Metrics(self._states, self._cameras)
        self._stop_tracing: Callable[[], None] = lambda: None
        self.access = Access(settings.tokens, settings.limits, self._metrics.refuse)
        self.observations = Observations(self._sinks())
        self._supervisor = Supervisor()
        address = settings.monitor
        self._monitor = Monitor(
            self._metrics,
            self.liveness,
            self.readiness,
            may_read=self.access.may_read,
            tls=None if not address or is_loopback(address) else settings.tls,
        )
        self.monitor_address = ""

    def start(self) -> None:
        """Begin to listen and to count."""
        self.access.start()
        self.observations.start()
        if self._settings.monitor:
            self.monitor_address = self._monitor.start(self._settings.monitor)
        if self.monitor_address:
            _log.info("metrics and health over HTTP", extra={"address": self.monitor_address})

    def tell_ready(self, address: str) -> None:
        """Tell the service manager that the server answers."""
        self._supervisor.tell(f"READY=1\nSTATUS=answering on {address}")
        self._supervisor.watch(lambda: self.liveness().is_live)

    def begin_drain(self) -> None:
        """Say that the server is stopping, to all who ask."""
        self._is_draining = True
        self._supervisor.tell("STOPPING=1\nSTATUS=draining")

    def stop(self) -> None:
        """Count what is left, and listen no more."""
        self.access.stop()
        self.observations.stop()
        self._stop_tracing()
        self._monitor.stop()
        self._supervisor.end()

    def readiness(self) -> Readiness:
        """Whether the server should be sent frames, and why not."""
        lines = tuple(_readiness(station) for station in self._stations().values())
        return Readiness(lines, self._is_draining)

    def liveness(self) -> Liveness:
        """Whether the process makes progress."""
        stations = self._stations().values()
        oldest_s = max((station.handler.oldest_s() for station in stations), default=0.0)
        return Liveness(oldest_s, self._settings.stuck_s)

    def _sinks(self) -> Sequence[Sink]:
        sinks: list[Sink] = [self._metrics.add]
        if self._settings.otlp:
            # Loaded only when wanted: the extra `otel` need not be installed.
            from serve.tracing import Tracing

            settings = self._settings
            tracing = Tracing(
                self._settings.otlp, settings.trace_share, settings.host, version("vision-assets")
            )
            self._stop_tracing = tracing.stop
            sinks.append(tracing.add)
        return sinks

    def _cameras(self, line: str) -> Collection[str]:
        station = self._stations().get(line)
        live = station.stand_in.live() if station else None
        return live.inspector.rule.cameras if live else ()

    def _states(self) -> Iterable[LineState]:
        waiting = self._turns.waiting_since()
        return [
            _state(
                station,
                {stream.camera: found for stream, found in waiting.items() if stream.line == line},
            )
            for line, station in self._stations().items()
        ]


def _readiness(station: Station) -> LineReadiness:
    live = station.stand_in.live()
    name = live.name if live else ""
    no_engine = f"no engine runs, {name} answers" if station.stand_in.is_answering else ""
    return LineReadiness(
        line=str(station.line),
        release=name,
        spool_fault=station.spool.state().fault,
        release_fault=station.watcher.fault or no_engine,
        kept_fault=station.keeper.state().fault,
    )


def _state(station: Station, waiting: Mapping[str, tuple[int, float]]) -> LineState:
    readiness, releases = _readiness(station), station.watcher.releases()
    roles = (
        *((("live", releases.live),) if releases.live else ()),
        *(("canary", canary.release) for canary in releases.canaries),
        *((("shadow", releases.shadow),) if releases.shadow else ()),
        *((("spare", releases.spare),) if releases.spare else ()),
    )
    return LineState(
        line=readiness.line,
        is_ready=readiness.is_ready,
        is_newest=readiness.is_newest,
        is_rule_based=station.stand_in.is_answering,
        spool=station.spool.state(),
        number=releases.live.number if releases.live else 0,
        releases=tuple(_loaded(role, release) for role, release in roles),
        shipped=tuple(station.shipping()),
        shadow=station.shadow.state(),
        kept=station.keeper.state(),
        stayed=station.stayed(),
        waiting=waiting,
    )


def _loaded(role: str, release: LiveRelease) -> LoadedRelease:
    engine = release.inspector.engine
    return LoadedRelease(
        role=role,
        release=release.name,
        bundle=release.bundle.name,
        engine=engine.name,
        graph=engine.graph,
        engine_build=engine.build,
    )
