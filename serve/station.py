"""One line in the server: its release, its spool, its handler."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping

from inspection.decision import Label
from serve.handler import Handler, LatePolicy
from serve.prepare import Preparer
from serve.rows import Identity
from serve.settings import MIB, Settings
from serve.spool import Spool, SpoolLimits
from serve.statuses import UnknownLine
from serve.turns import Turns
from serve.watcher import Pace, Watcher
from store.errors import InvalidInput
from store.keys import LineKey
from store.root import Store


class Station:
    """All that belongs to one line; `start`, then `stop`."""

    def __init__(
        self,
        store: Store,
        line: LineKey,
        settings: Settings,
        turns: Turns,
        on_look: Callable[[], None],
    ) -> None:
        """Open the spool; nothing is prepared yet.

        Args:
            store: Where the line's ledger is.
            line: The line.
            settings: Of the server.
            turns: Shared by all lines.
            on_look: Called after each look at the ledger.

        Raises:
            VisionError: when the spool is in use or cannot be written.
        """
        self.line = line
        self.identity = Identity(str(line), settings.host, uuid.uuid4().hex[:12])
        self.spool = Spool(settings.spool_folder(line), _spool_limits(settings))
        self.watcher = Watcher(
            store,
            line,
            Preparer(store, line, settings).prepare,
            Pace(settings.poll_s, settings.retry_s),
            on_look=on_look,
        )
        self.handler = Handler(
            self.identity, self.watcher.live, self.spool, turns, _late_policy(settings)
        )

    def can_record(self) -> bool:
        """Whether decisions can be recorded; after a fault it is tried anew."""
        self.spool.try_again()
        return not self.spool.state().fault

    def stop(self) -> None:
        """Follow the ledger no more, and put the spool on disk."""
        self.watcher.stop()
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

    def of(self, line: str) -> Station:
        """The station that a request names, or the only one when it names none.

        Raises:
            InvalidInput: when it names none and there are several.
            UnknownLine: when the server does not have the line.
        """
        found = self._stations.get(line) if line else self._only
        if found is not None:
            return found
        known = ", ".join(self._stations)
        if not line:
            raise InvalidInput(f"this server has several lines, name one in `line`: {known}")
        raise UnknownLine(f"this server does not have the line asked for; it has {known}")


def _late_policy(settings: Settings) -> LatePolicy:
    deadline_s = math.inf if settings.deadline_ms is None else settings.deadline_ms / 1000
    return LatePolicy(deadline_s, Label(settings.late))


def _spool_limits(settings: Settings) -> SpoolLimits:
    return SpoolLimits(
        segment_bytes=settings.spool_segment_mib * MIB,
        max_bytes=settings.spool_max_mib * MIB,
        commit_s=settings.commit_ms / 1000,
        strict=settings.strict,
    )
