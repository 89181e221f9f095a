"""Reading a spool, also while it is written: its rows from any number on, and what is lost."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from serve.segment import Damage, Record, first_sequence, parts, segments

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loss:
    """Rows of a spool that cannot be read.

    Attributes:
        segment: Name of the file.
        offset: Where in it.
        size: Bytes that are damaged, or torn at the segment's end.
        first: The first row that is lost.
        last: The last one; less than `first` when none is.
        is_torn: Whether the spool simply ended here, at some time.
    """

    segment: str
    offset: int
    size: int
    first: int
    last: int
    is_torn: bool

    def __str__(self) -> str:
        """One sentence for people."""
        if self.first > self.last:
            lost = "no row is lost"
        elif self.first == self.last:
            lost = f"row {self.first} is lost"
        else:
            lost = f"rows {self.first} to {self.last} are lost"
        return f"{self.size} bytes at {self.offset} of {self.segment} are damaged: {lost}"


def read(
    folder: Path, first: int = 1, on_loss: Callable[[Loss], None] | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of a spool in order, also while a server writes it; each with its ``sequence``.

    Args:
        folder: The spool's folder.
        first: Rows before this number are left out.
        on_loss: Told of each damaged place, in order; None: they are logged.
    """
    tell = on_loss or log_loss
    for path, following in pairwise([*segments(folder), None]):
        assert path is not None  # only the last of all is
        next_first = first_sequence(following) if following else None
        if next_first is not None and next_first <= first:
            continue
        try:
            for found in records(path, next_first):
                if isinstance(found, Record):
                    if found.sequence >= first:
                        yield row_of(found)
                elif not found.is_torn:
                    tell(found)
        except FileNotFoundError:  # the server has reached its limit and deleted the segment
            continue


def row_of(record: Record) -> dict[str, Any]:
    """The row that a record holds, with its ``sequence``."""
    return {"sequence": record.sequence, **orjson.loads(record.payload)}


def next_sequence(folder: Path) -> int:
    """The number after the last row that can be read."""
    paths = segments(folder)
    following = first_sequence(paths[-1]) if paths else 1
    for part in parts(paths[-1]) if paths else ():
        if isinstance(part, Record):
            following = part.sequence + 1
    return following


def records(path: Path, next_first: int | None) -> Iterator[Record | Loss]:
    """The records of a segment, and what is missing between them.

    Args:
        path: The segment.
        next_first: The first sequence of the segment after it; None for the last one.
    """
    expected, damage = first_sequence(path), None
    for part in parts(path):
        if isinstance(part, Damage):
            damage = part
            continue
        if damage or part.sequence > expected:
            yield _loss(path, damage, expected, part.sequence)
        yield part
        expected, damage = part.sequence + 1, None
    if damage or (next_first or expected) != expected:
        yield _loss(path, damage, expected, next_first or expected, is_end=True)


def _loss(
    path: Path, damage: Damage | None, expected: int, found: int, *, is_end: bool = False
) -> Loss:
    where = damage or Damage(path.stat().st_size, 0)
    is_torn = is_end and found == expected
    return Loss(path.name, where.offset, where.size, expected, found - 1, is_torn)


def log_loss(loss: Loss) -> None:
    """Log a damaged place."""
    _log.error("spool is damaged", extra=vars(loss))


class Tail:
    """Follows a spool: each look goes on where the last one ended.

    It keeps no file open, so that a segment that is deleted gives its room back at once.
    """

    def __init__(self, folder: Path, first: int) -> None:
        """Follow the spool in `folder` from row `first` on."""
        self.lost = 0  # rows that were damaged, or deleted before they could be read
        self._folder = folder
        self._next = first
        self._path: Path | None = None
        self._place = 0
        self._unsynced: set[Path] = set()

    def read(self, most: int, most_bytes: int, last: int | None = None) -> list[Record]:
        """The next rows, in order, as far as they are written.

        Args:
            most: How many at most.
            most_bytes: Bytes of payload at most, unless the first alone has more.
            last: Rows after this one are left for later; None: none is.
        """
        found: list[Record] = []
        room = most_bytes
        while True:
            # Listed before the look: with a segment behind it, this one grows no more.
            following = self._settle()
            if self._path is None:
                return found
            for record, end in self._here():
                is_beyond = last is not None and record.sequence > last
                if is_beyond or len(found) == most or (found and record.size > room):
                    return found
                self._note_gap(record.sequence)
                found.append(record)
                room -= record.size
                self._place, self._next = end, record.sequence + 1
            if following is None:
                return found
            self._path, self._place = following, 0

    def sync(self) -> None:
        """Return when all that was read is on disk.

        What is elsewhere already must not be lost here: after a power cut the numbers of the lost
        rows would be given to others.
        """
        for path in self._unsynced:
            with suppress(FileNotFoundError):
                sync_file(path)
        if self._unsynced:
            sync_file(self._folder)
        self._unsynced.clear()

    def _settle(self) -> Path | None:
        """Find the segment of the next row, unless one is being read; gives the one behind it."""
        paths = segments(self._folder)
        if self._path is None:
            before = [path for path in paths if first_sequence(path) <= self._next]
            self._path = before[-1] if before else next(iter(paths), None)
            self._place = 0
        here = self._path
        return next((path for path in paths if here is not None and path > here), None)

    def _here(self) -> Iterator[tuple[Record, int]]:
        """Records of the segment from the place on, each with the place behind it."""
        assert self._path is not None
        end = self._place
        expected = self._next if end else None
        try:
            for part in parts(self._path, end, expected):
                end += part.size
                if isinstance(part, Record) and part.sequence >= self._next:
                    self._unsynced.add(self._path)
                    yield part, end
        except FileNotFoundError:  # deleted by the disk policy
            return

    def _note_gap(self, sequence: int) -> None:
        if sequence > self._next > 1:  # who begins now takes what there is
            self.lost += sequence - self._next
            extra = {"folder": str(self._folder), "first": self._next, "last": sequence - 1}
            _log.error("rows are lost before they were shipped", extra=extra)


def sync_file(path: Path) -> None:
    """Return when everything written to a file, or every name in a folder, is on disk.

    Raises:
        OSError: when it is not there, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
