"""One file of the spool: records that are written whole or seen to be torn or damaged.

A record is a header (mark of four bytes, length of the payload u32, CRC-32 of sequence and payload
u32, sequence u64; little-endian) and the payload, which is UTF-8 and so never holds the first byte
of the mark: after damage the next record is found by its mark. A segment's name holds the sequence
of its first record.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".spool"
MAX_PAYLOAD_BYTES = 2**20

MOST_SEQUENCES = 10**16
"""A row's number is below this, so that its segment's name has its digits."""

_NAME = re.compile(rf"\d{{16}}{re.escape(SUFFIX)}")
_MARK = b"\xf5row"
_HEADER = struct.Struct("<4sIIQ")
_SEQUENCE = struct.Struct("<Q")
_PIECE_BYTES = 2**20


@dataclass(frozen=True)
class Record:
    """A record that is what was written."""

    sequence: int
    payload: bytes

    @property
    def size(self) -> int:
        """Bytes that it takes in the segment."""
        return _HEADER.size + len(self.payload)


@dataclass(frozen=True)
class Damage:
    """Bytes of a segment that are no record: in the middle damaged, at its end torn.

    Attributes:
        offset: Where in the segment.
        size: How many bytes.
    """

    offset: int
    size: int


class Segment:
    """A segment that is being written; every record goes to the kernel in one write."""

    def __init__(self, folder: Path, first: int) -> None:
        """Create the segment whose first record will have the sequence `first`."""
        self.first = first
        self.path = folder / f"{first:016d}{SUFFIX}"
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o640)

    def append(self, sequence: int, payload: bytes) -> None:
        """Write one record; after an error the file is as before.

        Raises:
            OSError: when the record could not be written whole.
        """
        record = _record(sequence, payload)
        try:
            written = os.write(self._descriptor, record)
            while written < len(record):  # a disk that is almost full takes a part
                written += os.write(self._descriptor, record[written:])
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += written

    def sync(self) -> None:
        """Return when everything written so far is on disk."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the file, which stays."""
        os.close(self._descriptor)


def segments(folder: Path) -> list[Path]:
    """The segments of a spool, oldest first; what only has a name like one is none."""
    try:
        with os.scandir(folder) as found:
            names = [e.name for e in found if _NAME.fullmatch(e.name) and _is_file(e)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names)]


def impostors(folder: Path) -> list[Path]:
    """What has the name of a segment in a spool and is no file of its own: a folder, a link."""
    with os.scandir(folder) as found:
        names = [e.name for e in found if _NAME.fullmatch(e.name) and not _is_file(e)]
    return [folder / name for name in sorted(names)]


def _is_file(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False)


def first_sequence(path: Path) -> int:
    """The sequence of the first record of a segment, from its name."""
    return int(path.name.removesuffix(SUFFIX))


def parts(path: Path, place: int = 0, expected: int | None = None) -> Iterator[Record | Damage]:
    """Everything in a segment in order, as far as it was written when this began.

    Record and damage alternate as they come; nothing that can be read is left out, wherever the
    damage lies. Sequences rise.

    Args:
        path: The segment.
        place: Where to begin, bytes: 0 or the end of a record.
        expected: Records before this sequence are not taken for such; None: the segment's first.
    """
    if expected is None:
        expected = first_sequence(path)
    with open(path, "rb") as stream:
        end = os.fstat(stream.fileno()).st_size
        while place < end:
            start = place
            while (record := _record_at(stream, place, expected)) is None and place < end:
                place = _next_mark(stream, place + 1, end)
            if place > start:
                yield Damage(start, place - start)
            if record is not None:
                yield record
                place += record.size
                expected = record.sequence + 1


def _record_at(stream: BinaryIO, place: int, expected: int) -> Record | None:
    """The record that begins at `place` with a sequence of at least `expected`, if one does."""
    stream.seek(place)
    header = stream.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return None
    mark, length, checksum, sequence = _HEADER.unpack(header)
    if mark != _MARK or length > MAX_PAYLOAD_BYTES or sequence < expected:
        return None
    payload = stream.read(length)
    if len(payload) < length or _checksum(sequence, payload) != checksum:
        return None
    return Record(sequence, payload)


def _next_mark(stream: BinaryIO, place: int, end: int) -> int:
    """Where the next mark begins, or `end`."""
    while place < end:
        stream.seek(place)
        piece = stream.read(_PIECE_BYTES)
        if (found := piece.find(_MARK)) != -1:
            return min(place + found, end)
        if len(piece) < len(_MARK):
            break
        place += len(piece) - len(_MARK) + 1
    return end


def _record(sequence: int, payload: bytes) -> bytes:
    header = _HEADER.pack(_MARK, len(payload), _checksum(sequence, payload), sequence)
    return header + payload


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence)))
