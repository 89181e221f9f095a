"""One look at each delivered file: bytes, hash, decoding and statistics, on all cores.

Threads are enough: reading, hashing and decoding all run without the interpreter's lock.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from inspection.decode import Header, decode, read_header
from inspection.statistics import statistics
from store.errors import Conflict, Unavailable, UnreadableFrame
from vision_assets.config import IngestSettings

# Larger than an uncompressed frame of `max_pixels` with four channels can be.
_BYTES_PER_PIXEL, _SPARE_BYTES = 4, 2**20
# A thread takes a few small files at once, which spares most of the hand-overs. Enough groups are
# in flight that no core waits for the thread that packs, and no more bytes than memory should hold.
_GROUP_FILES, _GROUP_BYTES = 4, 2**20
_GROUPS_PER_CORE, _BYTES_IN_FLIGHT = 16, 2**28


@dataclass(frozen=True, slots=True)
class Examined:
    """What one look at a file gave.

    Attributes:
        file: Path below ``frames/``.
        content_hash: SHA-256 of the bytes; None when they were not read.
        data: The bytes of a sound frame; empty otherwise.
        header: Of a sound frame, else None.
        statistics: Tier-1 statistics of a sound frame.
        fault: Why it is not a frame, or None.
        is_known: Same path and bytes as a frame ingested before; not decoded again.
    """

    file: str
    content_hash: str | None = None
    data: bytes = b""
    header: Header | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    fault: UnreadableFrame | None = None
    is_known: bool = False


@contextmanager
def examining(
    folder: Path,
    files: Sequence[tuple[str, int]],
    settings: IngestSettings,
    known: Container[tuple[str, str]],
) -> Iterator[Iterator[Examined]]:
    """Every file of `folder`, in the order of `files`, a bounded number and size at a time.

    The work begins when the block is entered, so that something else may be read meanwhile.

    Args:
        folder: The delivered ``frames/``.
        files: Paths below it, with sizes in bytes.
        settings: What is accepted.
        known: (path, content hash) of frames that need no decoding.

    Raises:
        Conflict: when a file has changed or gone since it was listed.
        Unavailable: when the system refuses to read one.
    """
    cv2.setNumThreads(0)  # a thread a frame: OpenCV's own would compete with these
    cores = len(os.sched_getaffinity(0))
    groups = _groups(files)
    waiting: deque[tuple[Future[list[Examined]], int]] = deque()

    def examine_group(group: Sequence[tuple[str, int]]) -> list[Examined]:
        return [examine(folder, file, size, settings, known) for file, size in group]

    def fill() -> None:
        in_flight = sum(size for _, size in waiting)
        while len(waiting) < _GROUPS_PER_CORE * cores and in_flight < _BYTES_IN_FLIGHT:
            group, size = next(groups, ((), 0))
            if not group:
                return
            waiting.append((pool.submit(examine_group, group), size))
            in_flight += size

    def results() -> Iterator[Examined]:
        while waiting:
            found = waiting.popleft()[0].result()
            fill()
            yield from found

    with ThreadPoolExecutor(cores, "examine") as pool:
        try:
            fill()
            yield results()
        finally:
            pool.shutdown(cancel_futures=True)


def _groups(files: Sequence[tuple[str, int]]) -> Iterator[tuple[list[tuple[str, int]], int]]:
    """Neighbouring files for one thread, with their bytes together."""
    group, total = [], 0
    for file, size in files:
        group.append((file, size))
        total += size
        if len(group) == _GROUP_FILES or total >= _GROUP_BYTES:
            yield group, total
            group, total = [], 0
    if group:
        yield group, total


def examine(
    folder: Path, file: str, size: int, settings: IngestSettings, known: Container[tuple[str, str]]
) -> Examined:
    """One file of `size` bytes below `folder`; what is wrong with it is in the result.

    Raises:
        Conflict, Unavailable: as `examining`.
    """
    most = _BYTES_PER_PIXEL * settings.max_pixels + _SPARE_BYTES
    try:
        if size > most:
            raise UnreadableFrame("too_large", f"{size} bytes; at most {most} are read")
        data = _read(os.path.join(folder, file), size)
    except UnreadableFrame as fault:
        return Examined(file, fault=fault)
    content_hash = hashlib.sha256(data).hexdigest()
    if (file, content_hash) in known:
        return Examined(file, content_hash, is_known=True)
    try:
        header = read_header(data, max_pixels=settings.max_pixels, min_side_px=settings.min_side_px)
        pixels = decode(data, header, channels=settings.channels)
    except UnreadableFrame as fault:
        return Examined(file, content_hash, fault=fault)
    return Examined(file, content_hash, data, header, statistics(pixels))


def _read(path: str, size: int) -> bytes:
    """The bytes of a plain file; links are not followed, pipes give nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if os.path.islink(path):
            raise UnreadableFrame("link", "links are not followed; deliver the file") from error
        raise _unreadable(path, error) from error
    try:
        data = os.read(descriptor, size + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(descriptor)
    if len(data) != size:
        raise Conflict(f"{path} changed while it was ingested; run ingest again")
    return data


def _unreadable(path: str, error: OSError) -> Conflict | Unavailable:
    if isinstance(error, FileNotFoundError):
        return Conflict(f"{path} has gone while it was ingested; run ingest again")
    return Unavailable(f"{path}: {error.strerror}; make it readable and run ingest again")
