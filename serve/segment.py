"""One file of the spool: records that are written whole or seen to be torn.

A record is a header (length of the payload u32, CRC-32 of sequence and payload u32, sequence u64;
little-endian) and the payload. A segment's name holds the sequence of its first record.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

SUFFIX = ".spool"
MAX_PAYLOAD_BYTES = 2**20

_HEADER = struct.Struct("<IIQ")
_SEQUENCE = struct.Struct("<Q")


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
        record = memoryview(_record(sequence, payload))
        written = 0
        try:
            while written < len(record):
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
    """The segments of a spool, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def first_sequence(path: Path) -> int:
    """The sequence of the first record of a segment, from its name."""
    return int(path.name.removesuffix(SUFFIX))


def records(path: Path) -> Iterator[tuple[int, bytes]]:
    """The records of a segment as (sequence, payload), up to the end or the first torn one."""
    with open(path, "rb") as stream:
        while len(header := stream.read(_HEADER.size)) == _HEADER.size:
            length, checksum, sequence = _HEADER.unpack(header)
            if length > MAX_PAYLOAD_BYTES:
                return
            payload = stream.read(length)
            if len(payload) < length or _checksum(sequence, payload) != checksum:
                return
            yield sequence, payload


def scan(path: Path) -> tuple[int, int]:
    """The sequence after the last whole record of a segment, and how many bytes are torn."""
    following, whole = first_sequence(path), 0
    for sequence, payload in records(path):
        following = sequence + 1
        whole += _HEADER.size + len(payload)
    return following, path.stat().st_size - whole


def _record(sequence: int, payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), _checksum(sequence, payload), sequence) + payload


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_SEQUENCE.pack(sequence)))
