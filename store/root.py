"""The store: one root, reached through fsspec, with atomic writes and a conditional create."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from store.errors import Conflict, NotFound


class Store:
    """Files below one root, addressed by paths relative to it.

    Every write is atomic: a reader sees the old file, the new file or none. Only a local root is
    served at present; any other URL is refused at once instead of failing in the middle of a step.
    """

    def __init__(self, url: str) -> None:
        """Open the store at `url` (a folder, created on the first write).

        Raises:
            ValueError: when the URL names a file system other than the local one.
        """
        filesystem, root = fsspec.core.url_to_fs(url)
        if not isinstance(filesystem, LocalFileSystem):
            raise ValueError(
                f"store {url!r}: only a local folder is supported; give a path or a file:// URL"
            )
        self._root = Path(root)

    @property
    def url(self) -> str:
        """The root, as an absolute path."""
        return str(self._root)

    def local_path(self, path: str) -> Path:
        """The absolute local path of `path`, for libraries that open files by name."""
        return self._root / path

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        return self.local_path(path).exists()

    def size(self, path: str) -> int:
        """Size of a file in bytes."""
        return self._stat(path).st_size

    def names(self, folder: str) -> list[str]:
        """Sorted names directly under `folder` (unfinished writes left out); empty without one."""
        try:
            with os.scandir(self.local_path(folder)) as entries:
                return sorted(e.name for e in entries if not e.name.startswith(".tmp-"))
        except FileNotFoundError:
            return []

    def files(self, folder: str) -> list[tuple[str, int]]:
        """Every file below `folder` as (path relative to it, size in bytes), sorted by path.

        Links are listed with their own size and never followed: what they point to may be gone, or
        lie outside.
        """
        found: list[tuple[str, int]] = []
        folders = [""]
        while folders:
            below = folders.pop()
            try:
                entries = os.scandir(self.local_path(folder) / below)
            except FileNotFoundError:
                continue
            with entries:
                for entry in entries:
                    path = f"{below}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{path}/")
                    elif not entry.name.startswith(".tmp-"):
                        found.append((path, entry.stat(follow_symlinks=False).st_size))
        return sorted(found)

    def read(self, path: str) -> bytes:
        """All bytes of a file.

        Raises:
            NotFound: when there is no such file.
        """
        try:
            return self.local_path(path).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"{self._root}: no file {path}") from None

    def read_range(self, path: str, offset: int, length: int) -> bytes:
        """`length` bytes of a file from `offset`, in one read."""
        try:
            descriptor = os.open(self.local_path(path), os.O_RDONLY)
        except FileNotFoundError:
            raise NotFound(f"{self._root}: no file {path}") from None
        try:
            return os.pread(descriptor, length, offset)
        finally:
            os.close(descriptor)

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically and durably, replacing one of the same path."""
        with self.writer(path) as stream:
            stream.write(data)

    @contextmanager
    def writer(self, path: str) -> Iterator[IO[bytes]]:
        """A stream whose bytes appear at `path` when the block ends without an error."""
        folder, _, name = path.rpartition("/")
        with self.writer_named_last(folder, lambda: name) as stream:
            yield stream

    @contextmanager
    def writer_named_last(self, folder: str, name: Callable[[], str]) -> Iterator[IO[bytes]]:
        """A stream whose bytes appear in `folder` when the block ends without an error.

        Args:
            folder: Where the file is to be.
            name: Called at the end, when a name that depends on the content is known.
        """
        temp = self._temp_beside(self.local_path(folder) / "new")
        try:
            with open(temp, "xb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            target = temp.with_name(name())
            os.replace(temp, target)
            _sync_folder(target.parent)
        finally:
            temp.unlink(missing_ok=True)

    def create(self, path: str, data: bytes) -> None:
        """Write a file that must not exist yet; of two writers at once exactly one wins.

        Raises:
            Conflict: when the file exists.
        """
        target = self.local_path(path)
        temp = self._temp_beside(target)
        try:
            with open(temp, "xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(temp, target)
            _sync_folder(target.parent)
        except FileExistsError:
            raise Conflict(f"{path} exists already") from None
        finally:
            temp.unlink(missing_ok=True)

    def touch(self, path: str) -> None:
        """Make a file as young as a new one, so that a sweep of old unreferenced files spares it.

        Raises:
            NotFound: when there is no such file.
        """
        try:
            os.utime(self.local_path(path))
        except FileNotFoundError:
            raise NotFound(f"{self._root}: no file {path}") from None

    def _stat(self, path: str) -> os.stat_result:
        try:
            return self.local_path(path).stat()
        except FileNotFoundError:
            raise NotFound(f"{self._root}: no file {path}") from None

    @staticmethod
    def _temp_beside(target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.with_name(f".tmp-{uuid.uuid4().hex}")


def _sync_folder(folder: Path) -> None:
    """Make a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
