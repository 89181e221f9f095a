"""How far a spool has been shipped to each place: small files beside its segments.

``{spool}/shipping/{sink}.json`` is the cursor, written durably; ``{sink}.state.json`` tells how it
goes, for people and metrics, and may be lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from serve.replay import sync_file
from serve.segment import MOST_SEQUENCES
from store.errors import Corrupt

_log = logging.getLogger(__name__)

FOLDER = "shipping"


@dataclass(frozen=True)
class Cursor:
    """How far one place has come.

    Attributes:
        next: Rows below this number are there.
        through: The last row of the range that is on its way; None when none is. A range that was
            begun is ended with the same rows, so that a repeat makes the same file.
    """

    next: int = 1
    through: int | None = None

    def check(self) -> None:
        """Refuse numbers that no row has.

        Raises:
            ValueError: with what is wrong.
        """
        numbers = [self.next] if self.through is None else [self.next, self.through]
        for number in numbers:
            if type(number) is not int or not 0 <= number < MOST_SEQUENCES:
                raise ValueError(f"{number!r} is the number of no row")


@dataclass(frozen=True)
class Progress:
    """How the shipping to one place goes.

    Attributes:
        fault: Why nothing could be shipped at the last attempt; empty when it could.
        oldest_at: When the oldest row that waits was received (ISO 8601); empty when none waits.
        lost: Rows that were damaged, or deleted before they were shipped, since the start.
    """

    fault: str = ""
    oldest_at: str = ""
    lost: int = 0


def load(spool: Path, sink: str) -> Cursor:
    """The cursor of a place; at the first row when there is none yet.

    Raises:
        Corrupt: when the file is not what `save` wrote.
    """
    path = _path(spool, sink)
    try:
        value = orjson.loads(path.read_bytes())
        found = Cursor(value["next"], value["through"])
        found.check()
        return found
    except FileNotFoundError:
        return Cursor()
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(
            f"{path} is no cursor ({error}); write the number of the first row to be shipped into "
            'it: {"next": 1, "through": null}. Rows that are shipped twice have equal ids'
        ) from error


def save(spool: Path, sink: str, cursor: Cursor) -> None:
    """Write a cursor; on disk when this returns.

    Raises:
        OSError: when it cannot be written; then the one before stays.
    """
    _replace(_path(spool, sink), asdict(cursor), is_durable=True)


def progress(spool: Path, sink: str) -> Progress:
    """What was told last of the shipping to a place."""
    try:
        value = orjson.loads(_state_path(spool, sink).read_bytes())
        return Progress(str(value["fault"]), str(value["oldest_at"]), int(value["lost"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Progress()


def tell(spool: Path, sink: str, state: Progress) -> None:
    """Tell how it goes; a disk that is full keeps it from being told, nothing else."""
    with suppress(OSError):
        _replace(_state_path(spool, sink), asdict(state), is_durable=False)


def shipped_below(spool: Path, sinks: Iterable[str]) -> int:
    """The number below which every row is in every place; 1 when there is no place at all."""
    lowest = []
    for sink in sinks:
        try:
            lowest.append(load(spool, sink).next)
        except (Corrupt, OSError) as error:
            _log.error("cursor cannot be read", extra={"sink": sink, "error": str(error)})
            return 1
    return min(lowest, default=1)


def first_free(spool: Path) -> int:
    """The lowest number that no place takes for a row that it has."""
    taken = []
    for sink in sinks_of(spool):
        with suppress(Corrupt, OSError):
            found = load(spool, sink)
            taken.append(max(found.next, (found.through or 0) + 1))
    return max(taken, default=1)


@dataclass(frozen=True)
class Shipped:
    """One place and how far behind it is, for people and metrics.

    Attributes:
        sink: Its name.
        next_sequence: The first row that is not there.
        unshipped: Rows that wait for it.
        oldest_s: Age of the oldest of them by its time of receipt, seconds; 0 when none waits.
        lost: Rows that it will never get (damaged, or deleted), since the start.
        fault: Why the last attempt failed; empty when it did not.
    """

    sink: str
    next_sequence: int
    unshipped: int
    oldest_s: float
    lost: int
    fault: str

    def is_behind(self, limit_s: float) -> bool:
        """Whether rows wait longer than they should."""
        return self.oldest_s > limit_s


def shipped(spool: Path, sinks: Iterable[str], next_sequence: int) -> list[Shipped]:
    """The state of every place.

    Args:
        spool: The folder of the spool.
        sinks: Names of the places.
        next_sequence: Number of the spool's next row.
    """
    found = []
    for sink in sinks:
        told, fault = progress(spool, sink), ""
        try:
            cursor = load(spool, sink)
        except (Corrupt, OSError) as error:
            cursor, fault = Cursor(), str(error)
        waiting = max(0, next_sequence - cursor.next)
        age = _age_s(told.oldest_at) if waiting else 0.0
        found.append(Shipped(sink, cursor.next, waiting, age, told.lost, fault or told.fault))
    return found


def sinks_of(spool: Path) -> list[str]:
    """Names of the places that a spool was ever shipped to."""
    found = (spool / FOLDER).glob("*.json")
    return sorted(p.stem for p in found if not p.name.endswith(".state.json"))


def _age_s(moment: str) -> float:
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())
    except (ValueError, TypeError):
        return 0.0


def _path(spool: Path, sink: str) -> Path:
    return spool / FOLDER / f"{sink}.json"


def _state_path(spool: Path, sink: str) -> Path:
    return spool / FOLDER / f"{sink}.state.json"


def _replace(path: Path, value: dict[str, object], *, is_durable: bool) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temp = path.with_suffix(".tmp")
    with open(temp, "wb") as stream:
        stream.write(orjson.dumps(value))
        if is_durable:
            stream.flush()
            os.fsync(stream.fileno())
    os.replace(temp, path)
    if is_durable:
        sync_file(path.parent)
