"""Tar shards: the original bytes of frames, packed so that any frame is one range read."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

from store.root import Store
from store.tables import StoredFile

TARGET_BYTES = 64 * 2**20
MOST_NAME_BYTES = 100

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True)
class Member:
    """Where the bytes of one frame lie inside its shard, in bytes."""

    name: str
    offset: int
    length: int


class ShardBuilder:
    """Collects members in memory until the shard is full (64 MiB by default, plus one frame).

    Equal members in equal order give equal bytes: times, owners and modes are constants.

    Attributes:
        size: Bytes so far.
        members: In the order in which they were added.
    """

    def __init__(self) -> None:
        # Pieces as they come; joining them would copy every byte once more.
        self._pieces: list[bytes] = []
        self.size = 0
        self.members: list[Member] = []

    def add(self, name: str, data: bytes) -> Member:
        """Append one member and say where its bytes are.

        Raises:
            ValueError: when `name` does not fit a ustar header (1 to 100 bytes of ASCII).
        """
        if not name.isascii() or not 0 < len(name) <= MOST_NAME_BYTES:
            raise ValueError(f"member name {name!r} is not 1 to {MOST_NAME_BYTES} ASCII characters")
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self._append(info.tobuf(tarfile.USTAR_FORMAT))
        member = Member(name, self.size, len(data))
        self._append(data)
        self._append(bytes(-len(data) % _BLOCK))
        self.members.append(member)
        return member

    def store(self, store: Store, folder: str) -> StoredFile:
        """Close the shard and write it as ``frames-{hash}.tar``."""
        self._append(bytes(2 * _BLOCK))
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece)
        file = StoredFile(
            f"{folder}/frames-{digest.hexdigest()[:16]}.tar", self.size, digest.hexdigest()
        )
        if store.exists(file.path) and store.size(file.path) == file.size:
            store.touch(file.path)
        else:
            with store.writer(file.path) as stream:
                stream.writelines(self._pieces)
        return file

    def _append(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)


def iterate(store: Store, path: str) -> Iterator[tuple[str, bytes]]:
    """Members of a shard as (name, bytes), in order, in bounded memory."""
    with tarfile.open(store.local_path(path), mode="r:") as tar:
        for info in tar:
            stream = tar.extractfile(info)
            if stream is not None:
                yield info.name, stream.read()
