"""One line in the server: its release, its spool, its handler."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from inspection.decision import Label
from serve.given_up import GivenUp
from serve.guard import Guard, GuardLimits
from serve.handler import Handler, LatePolicy, Observer
from serve.keeping import Keeper, KeepLimits
from serve.known import MEMORY, KnownLedger
from serve.prepare import Preparer
from serve.rows import Identity
from serve.settings import MIB, Settings
from serve.shadow import Shadow, ShadowLimits
from serve.shipping import stayed
from serve.shipping.cursor import Shipped, first_free, shipped, shipped_below
from serve.shipping.plan import plan_of
from serve.spool import Spool, SpoolLimits
from serve.stand_in import StandIn
from serve.statuses import UnknownLine
from serve.turns import Turns
from serve.watcher import Fallbacks, Pace, Watcher
from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store
from store.signing import read_public_keys


class Station:
    """All that belongs to one line; `start`, then `stop`."""

    def __init__(
        self,
        store: Store,
        line: LineKey,
        settings: Settings,
        turns: Turns,
        on_look: Callable[[], None],
        observers: Sequence[Observer] = (),
    ) -> None:
        """Open the spool; nothing is prepared yet.

        Args:
            store: Where the line's ledger is.
            line: The line.
            settings: Of the server.
            turns: Shared by all lines.
            on_look: Called after each look at the ledger.
            observers: Told of every frame, besides those of the line itself.

        Raises:
            VisionError: when the spool is in use or cannot be written, or a key cannot be read.
        """
        self.line = line
        self._on_look = on_look
        self.identity = Identity(str(line), settings.host, uuid.uuid4().hex[:12])
        self._sinks = plan_of(settings).sinks if settings.ship else ()
        self.spool = _spool(settings, line, self._sinks)
        self._kept = settings.kept_folder(line)
        self.keeper = Keeper(self._kept, _keep_limits(settings), self._lacks_room)
        self.watcher = _watcher(store, line, settings)
        cache = settings.cache_folder(line)
        self.stand_in = StandIn(store, line, cache, self.watcher, settings.max_pixels)
        self.shadow = Shadow(
            release=lambda: self.watcher.releases().shadow,
            has_time=lambda: turns.has_free,
            record=self.spool.append,
            limits=ShadowLimits(frames=settings.shadow_frames),
        )
        self.handler = Handler(
            self.identity,
            self.stand_in,
            self.spool,
            turns,
            _late_policy(settings),
            observers=(
                self.watcher.observe,
                self.shadow.observe,
                self.keeper.observe,
                *observers,
            ),
        )

    def start(self) -> None:
        """Prepare what stands in the ledger, then follow it."""
        self.watcher.start(self._look)

    def shipping(self) -> list[Shipped]:
        """How far the decisions are shipped, for each place."""
        return shipped(self.spool.folder, self._sinks, self.spool.state().next_sequence)

    def _lacks_room(self) -> bool:
        return self.spool.lacks_room and _share_a_disk(self.spool.folder, self._kept)

    def stayed(self) -> dict[str, int]:
        """Kept frames that are not landed because ingest would refuse them, by reason."""
        return stayed.counts(self._kept)

    def _look(self) -> None:
        self.stand_in.look()
        self._on_look()

    def stop(self) -> None:
        """Follow the ledger no more, and put the spool on disk."""
        self.watcher.stop()
        self.shadow.stop()
        self.keeper.close()
        self.spool.close()


class Stations(Mapping[str, Station]):
    """The lines of one server by name."""

    def __init__(self, stations: Mapping[str, Station]) -> None:
        self._stations = dict(stations)
        self._only = next(iter(stations.values())) if len(stations) == 1 else None

    def __getitem__(self, line: str) -> Station:
        """The station of a line."""
        return self._stations[line]

    def __iter__(self) -> Iterator[str]:
        """The names of the lines."""
        return iter(self._stations)

    def __len__(self) -> int:
        """How many lines there are."""
        return len(self._stations)

    def of(self, line: str, covers: Callable[[str], bool] = lambda _: True) -> Station:
        """The station that a request names, or the only one when it names none.

        Args:
            line: As the request names it; empty when it does not.
            covers: Which lines an error may name.

        Raises:
            InvalidInput: when it names none and there are several.
            UnknownLine: when the server does not have the line.
        """
        found = self._stations.get(line) if line else self._only
        if found is not None:
            return found
        known = ", ".join(filter(covers, self._stations)) or "none that you may ask"
        if not line:
            raise InvalidInput(f"this server has several lines, name one in `line`: {known}")
        raise UnknownLine(f"this server does not have the line asked for; it has {known}")


def _watcher(store: Store, line: LineKey, settings: Settings) -> Watcher:
    """What follows the line's ledger; its memory is beside the cached bundles."""
    folder = settings.cache_folder(line) / MEMORY
    keys = read_public_keys(settings.release_keys) if settings.release_keys else None
    limits = GuardLimits(
        frames=settings.guard_frames,
        errors=settings.guard_errors,
        latency_ms=settings.guard_latency_ms,
        slow=settings.guard_slow,
    )
    return Watcher(
        KnownLedger(store, line, folder, keys),
        Preparer(store, line, settings),
        Guard(limits),
        GivenUp(folder),
        Pace(settings.poll_s, settings.retry_s, settings.probation_s),
        Fallbacks(settings.host, settings.record_fallbacks),
    )


def _late_policy(settings: Settings) -> LatePolicy:
    deadline_s = math.inf if settings.deadline_ms is None else settings.deadline_ms / 1000
    return LatePolicy(deadline_s, Label(settings.late))


def _spool(settings: Settings, line: LineKey, sinks: Sequence[str]) -> Spool:
    """The spool of a line; what all of `sinks` have may be deleted."""
    folder, max_bytes = settings.spool_folder(line), settings.spool_max_mib * MIB
    limits = SpoolLimits(
        segment_bytes=min(settings.spool_segment_mib * MIB, max_bytes // 4),
        max_bytes=max_bytes,
        commit_s=settings.commit_ms / 1000,
        strict=settings.strict,
        when_full=settings.when_spool_full,
        keep_s=settings.spool_keep_h * 3600,
    )
    return Spool(folder, limits, lambda: shipped_below(folder, sinks), first_free(folder))


def _keep_limits(settings: Settings) -> KeepLimits:
    return KeepLimits(
        settings.keep_share,
        settings.keep_mib * MIB,
        settings.keep_frames,
        settings.keep_reserve_mib * MIB,
    )


def _share_a_disk(first: Path, second: Path) -> bool:
    try:
        return first.stat().st_dev == second.stat().st_dev
    except OSError:
        return False
