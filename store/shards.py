"""Tar shards: the original bytes of frames, packed so that any frame is one range read."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from store.root import Store
from store.tables import StoredFile

TARGET_BYTES = 64 * 2**20
MOST_NAME_BYTES = 100

_BLOCK = tarfile.BLOCKSIZE
_BLANK = bytes(_BLOCK)
_MOST_PENDING = 4 * 2**20
_EMPTY_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)


@dataclass(frozen=True)
class Member:
    """Where the bytes of one frame lie inside its shard, in bytes."""

    name: str
    offset: int
    length: int


class ShardWriter:
    """Writes one shard as its members come; it appears in the store when it is closed.

    Equal members in equal order give equal bytes (times, owners and modes are constants) and so an
    equal name: ``frames-{hash}.tar``. Whoever fills it decides when it is full (`TARGET_BYTES`).

    Bytes are hashed and written some megabytes at a time: one call a member would fight the threads
    that decode for the interpreter's lock.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._pending = 0
        self._folder = folder
        self._digest = hashlib.sha256()
        self._open = ExitStack()
        self._stream = self._open.enter_context(store.writer_named_last(folder, self._name))

    def add(self, name: str, data: bytes) -> Member:
        """Append one member and say where its bytes are.

        Raises:
            ValueError: when `name` does not fit a ustar header (1 to 100 bytes of ASCII).
        """
        if not name.isascii() or not 0 < len(name) <= MOST_NAME_BYTES:
            raise ValueError(f"member name {name!r} is not 1 to {MOST_NAME_BYTES} ASCII characters")
        member = Member(name, self.size + _BLOCK, len(data))
        self._append(_header(name, len(data)), data, _BLANK[: -len(data) % _BLOCK])
        return member

    def sync(self) -> None:
        """Bring what was added to disk now, so that `close` has little left to wait for."""
        self._write()
        os.fdatasync(self._stream.fileno())

    def close(self) -> StoredFile:
        """End the archive and give it its name."""
        self._append(_BLANK, _BLANK)
        self._write()
        self._open.close()
        return StoredFile(f"{self._folder}/{self._name()}", self.size, self._digest.hexdigest())

    def abandon(self) -> None:
        """Drop what was written; nothing appears in the store."""
        error = _Abandoned()
        self._open.__exit__(_Abandoned, error, None)

    def _append(self, *pieces: bytes) -> None:
        self._pieces += pieces
        length = sum(map(len, pieces))
        self.size += length
        self._pending += length
        if self._pending >= _MOST_PENDING:
            self._write()

    def _write(self) -> None:
        joined = b"".join(self._pieces)
        self._pieces, self._pending = [], 0
        self._digest.update(joined)
        self._stream.write(joined)
        self._stream.flush()

    def _name(self) -> str:
        return f"frames-{self._digest.hexdigest()[:16]}.tar"


def _header(name: str, length: int) -> bytes:
    """The header of one member; `TarInfo.tobuf` would take as long as hashing a small frame."""
    block = bytearray(_EMPTY_HEADER)
    block[: len(name)] = name.encode()
    block[124:135] = b"%011o" % length
    block[148:156] = b"        "  # counts as blanks in its own sum
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


class _Abandoned(Exception):
    """Ends the writing of a shard without a shard."""


def iterate(store: Store, path: str) -> Iterator[tuple[str, bytes]]:
    """Members of a shard as (name, bytes), in order, in bounded memory."""
    with tarfile.open(store.local_path(path), mode="r:") as tar:
        for info in tar:
            stream = tar.extractfile(info)
            if stream is not None:
                yield info.name, stream.read()
