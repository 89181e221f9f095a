"""Frames that stay on the host: rejects, reviews, errors, and a random share of all others.

A ring on disk, bounded by bytes and by frames: rejects and reviews have three quarters of it, so
that they stay longer than the rest. Keeping is off the way of the answer: a frame waits in a
bounded queue for the one thread that writes. What does not fit there, and what leaves the ring
before `serve.shipping.landing` has brought it to the landing area, is counted and logged. Pictures
give way to decisions: while the disk has less free than a reserve, or the spool finds no room on
it, none is kept and the oldest are deleted.

``{folder}/{ring}/{hour}/{boot}-{sequence}.bin`` holds the bytes as they came (ring: ``rejects``,
with the reviews, or ``others``; hour of receipt, UTC), ``….json`` what is known of them. The JSON
file is written last and renamed to ``….landed`` when the frame is in the landing area, or to
``….refused`` when no ingest could read it. Nothing here is synced: a power cut may take the last
seconds, which a checksum finds out.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import orjson

from serve.frame import IncomingFrame, RawFrame

_log = logging.getLogger(__name__)

WAITING, LANDED, REFUSED = ".json", ".landed", ".refused"
"""Endings of the file that tells of a kept frame, by what has become of it."""

BYTES = ".bin"

RINGS = {"rejects": 0.75, "others": 0.25}
"""Folder of each ring and its share of the limits."""

_MOST_WAITING_BYTES = 64 * 2**20
_MOST_WAITING_FRAMES = 4096
_TELL_S = 600.0  # between two log lines about frames that were given up
_LOOK_S = 1.0
_MOST_GIVEN_BYTES = 64 * 2**20  # then others get their turn
_HOUR = re.compile(r"\d{8}t\d{2}")
_STEM = re.compile(r"[A-Za-z0-9]+-\d{16}")
_FIELDS = (
    "host",
    "boot",
    "sequence",
    "received_at",
    "frame_id",
    "camera",
    "product",
    "serial",
    "captured_at",
    "verdict",
    "score",
    "release",
    "error",
)


@dataclass(frozen=True)
class KeepLimits:
    """What is kept.

    Attributes:
        share: Share of all frames that is kept whatever their verdict, in [0, 1].
        max_bytes: Size of the ring; 0 keeps nothing.
        max_frames: Frames in the ring, each of which costs memory, however small it is.
        reserve_bytes: What stays free on the disk for the spool.
    """

    share: float = 0.01
    max_bytes: int = 2048 * 2**20
    max_frames: int = 200_000
    reserve_bytes: int = 0


@dataclass(frozen=True)
class KeptState:
    """What is kept at a moment; counts are since the start.

    Attributes:
        frames: Frames in the ring.
        bytes: Their size.
        kept: Frames that were written.
        dropped: Frames that were not, because too many waited or the disk took none.
        overwritten: Frames that left the ring before they were in the landing area.
        fault: Why none is kept at present; empty otherwise.
    """

    frames: int = 0
    bytes: int = 0
    kept: int = 0
    dropped: int = 0
    overwritten: int = 0
    fault: str = ""


def why_kept(row: Mapping[str, Any], share: float) -> str:
    """Why a frame is kept: ``reject``, ``review``, ``error``, ``sample``; empty when it is not.

    >>> why_kept({"verdict": "REJECT"}, 0.0)
    'reject'
    """
    verdict = row.get("verdict")
    if verdict in ("REJECT", "REVIEW"):
        return str(verdict).lower()
    if "error" in row:
        return "error"
    return "sample" if is_sampled(row, share) else ""


def is_sampled(row: Mapping[str, Any], share: float) -> bool:
    """Whether a frame is of the random share, by a hash of line and frame id: always the same."""
    if share <= 0:
        return False
    name = f"{row.get('line', '')}/{row.get('frame_id', '')}".encode()
    number = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest())
    return number < share * 2**64


@dataclass(frozen=True, slots=True)
class _Kept:
    """A frame in the ring: its files' path without the ending, and how many bytes it has."""

    stem: str
    size: int


@dataclass
class _Ring:
    """Frames that share a folder and limits, oldest first."""

    folder: Path
    max_bytes: int
    max_frames: int
    frames: deque[_Kept] = field(default_factory=deque)
    bytes: int = 0

    def add(self, kept: _Kept) -> None:
        self.frames.append(kept)
        self.bytes += kept.size

    def take_surplus(self) -> _Kept | None:
        """The oldest frame when there is too much, taken out."""
        if self.bytes <= self.max_bytes and len(self.frames) <= self.max_frames:
            return None
        return self.take_oldest()

    def take_oldest(self) -> _Kept:
        """The oldest frame, taken out; there must be one."""
        oldest = self.frames.popleft()
        self.bytes -= oldest.size
        return oldest


class Keeper:
    """Keeps frames of one line; safe to call from many threads."""

    def __init__(
        self, folder: Path, limits: KeepLimits, lacks_room: Callable[[], bool] = lambda: False
    ) -> None:
        """Go on with the ring in `folder`, which need not exist.

        Args:
            folder: Where frames are kept.
            limits: What is kept.
            lacks_room: Whether the spool, on the same disk, finds no room for a row.
        """
        self._folder, self._limits = folder, limits
        self._rings = {
            name: _Ring(
                folder / name, int(share * limits.max_bytes), int(share * limits.max_frames)
            )
            for name, share in RINGS.items()
        }
        self._kept = self._dropped = self._overwritten = 0
        self._waiting: SimpleQueue[tuple[IncomingFrame, Mapping[str, Any], str] | None]
        self._waiting = SimpleQueue()
        self._waiting_bytes = self._waiting_frames = 0
        self._told, self._tell_at = (0, 0), 0.0
        self._lock = threading.Lock()
        self._is_faulty = False
        self._lacks_room, self._room_fault = lacks_room, ""
        for ring in self._rings.values():
            _find(ring)
        self._thread = threading.Thread(target=self._write_all, name="keeper", daemon=True)
        self._thread.start()

    def observe(self, frame: IncomingFrame, row: Mapping[str, Any]) -> None:
        """Keep the frame, if it is one to keep; returns at once.

        Args:
            frame: As it came.
            row: As it is in the spool, with its ``sequence``.
        """
        why = why_kept(row, self._limits.share)
        size = _size(frame)
        if not why or not size or not self._limits.max_bytes:
            return
        with self._lock:
            is_full = self._waiting_frames >= _MOST_WAITING_FRAMES
            if is_full or self._waiting_bytes + size > _MOST_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting_bytes += size
            self._waiting_frames += 1
        self._waiting.put((frame, row, why))

    def state(self) -> KeptState:
        """What is kept now."""
        with self._lock:
            rings = self._rings.values()
            return KeptState(
                frames=sum(len(ring.frames) for ring in rings),
                bytes=sum(ring.bytes for ring in rings),
                kept=self._kept,
                dropped=self._dropped,
                overwritten=self._overwritten,
                fault=self._room_fault,
            )

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _write_all(self) -> None:
        while True:
            try:
                item = self._waiting.get(timeout=_LOOK_S)
            except Empty:
                self._give_way()
                self._tell()
                continue
            if item is None:
                return
            frame, row, why = item
            try:
                self._give_way()
                if self._room_fault:
                    raise OSError(errno.ENOSPC, self._room_fault)
                ring = self._rings["rejects" if why in ("reject", "review") else "others"]
                self._enter(ring, _write(ring.folder, frame, row, why, self._limits.share))
            except Exception as error:  # noqa: BLE001 - the thread's edge: others may be kept
                self._fail(error)
            with self._lock:
                self._waiting_bytes -= _size(frame)
                self._waiting_frames -= 1
            self._tell()

    def _tell(self) -> None:
        """Log what was given up since it was last told, now and then."""
        given_up = self._dropped, self._overwritten
        if given_up == self._told or time.monotonic() < self._tell_at:
            return
        self._told, self._tell_at = given_up, time.monotonic() + _TELL_S
        extra = {
            "folder": str(self._folder),
            "dropped": self._dropped,
            "overwritten": self._overwritten,
        }
        _log.warning("frames to be kept were given up, counts since the start", extra=extra)

    def _give_way(self) -> None:
        """Delete the oldest frames, those of the random share first, while the disk lacks room."""
        gone = 0
        while fault := self._why_no_room():
            with self._lock:
                self._room_fault = fault
                ring = next((ring for ring in reversed(self._rings.values()) if ring.frames), None)
                oldest = ring.take_oldest() if ring else None
            if oldest is None or gone >= _MOST_GIVEN_BYTES:
                return
            gone += oldest.size
            self._overwritten += _delete(Path(oldest.stem))
        with self._lock:
            self._room_fault = ""

    def _why_no_room(self) -> str:
        """Why pictures must give way; empty when they need not."""
        free = _free_bytes(self._folder)
        if free is not None and free < self._limits.reserve_bytes:
            return (
                f"no frame is kept: the disk of {self._folder} has {free >> 20} MiB free, and "
                f"{self._limits.reserve_bytes >> 20} are reserved for decisions: make room"
            )
        return "no frame is kept: the spool finds no room on the disk" if self._lacks_room() else ""

    def _enter(self, ring: _Ring, kept: _Kept) -> None:
        self._is_faulty = False
        with self._lock:
            self._kept += 1
            ring.add(kept)
        while (oldest := self._surplus(ring)) is not None:
            self._overwritten += _delete(Path(oldest.stem))

    def _surplus(self, ring: _Ring) -> _Kept | None:
        with self._lock:
            return ring.take_surplus()

    def _fail(self, error: Exception) -> None:
        """Count a frame that could not be kept; the first of several in a row is logged."""
        with self._lock:
            self._dropped += 1
        if not self._is_faulty:
            extra = {"folder": str(self._folder), "error": f"{type(error).__name__}: {error}"}
            _log.error("frames cannot be kept", extra=extra)
        self._is_faulty = True


def _find(ring: _Ring) -> None:
    """Enter the frames of earlier starts, oldest first; halves of frames are deleted.

    What does not have the name of one is somebody else's, and stays.
    """
    for hour in hours(ring.folder):
        names = {path.name for path in hour.iterdir()}
        for name in sorted(names):
            if not (name.endswith(BYTES) and is_kept(hour / name)):
                continue
            stem = hour / name.removesuffix(BYTES)
            if any(telling.name in names for telling in _tellings(stem)):
                ring.add(_Kept(str(stem), (hour / name).stat().st_size))
            else:
                (hour / name).unlink()


def _free_bytes(folder: Path) -> int | None:
    """Free space on the disk of a folder that need not exist; None when nobody knows."""
    for path in (folder, *folder.parents):
        with suppress(OSError):
            disk = os.statvfs(path)
            return disk.f_bavail * disk.f_frsize
    return None


def hours(ring: Path) -> list[Path]:
    """The folders of a ring, oldest first."""
    return sorted(path for path in ring.glob("*t*") if _HOUR.fullmatch(path.name) and path.is_dir())


def is_kept(path: Path) -> bool:
    """Whether a file has the name of one of a kept frame."""
    return bool(_STEM.fullmatch(path.stem)) and path.is_file()


def told_of(path: Path) -> dict[str, Any]:
    """What is known of a kept frame.

    Raises:
        ValueError: when a power cut has spoilt the file.
    """
    value: dict[str, Any] = orjson.loads(path.read_bytes())
    return value


def _write(
    folder: Path, frame: IncomingFrame, row: Mapping[str, Any], why: str, share: float
) -> _Kept:
    """Write bytes and then what is known of them; after an error nothing is left."""
    payload = frame.payload
    assert payload is not None
    data = payload.data if isinstance(payload, RawFrame) else payload
    told: dict[str, Any] = {name: row.get(name) for name in _FIELDS}
    told |= {
        "why": why,
        "sampled": is_sampled(row, share),
        "shape": list(payload.shape) if isinstance(payload, RawFrame) else None,
        "crc32": zlib.crc32(data),
    }
    hour = str(row["received_at"])[:13].replace("-", "").replace("T", "t")
    stem = folder / hour / f"{row['boot']}-{row['sequence']:016d}"
    stem.parent.mkdir(parents=True, exist_ok=True)
    try:
        stem.with_suffix(BYTES).write_bytes(data)
        stem.with_suffix(".tmp").write_bytes(orjson.dumps(told))
        os.replace(stem.with_suffix(".tmp"), stem.with_suffix(WAITING))
    except OSError:
        for ending in (BYTES, ".tmp"):
            with suppress(OSError):
                stem.with_suffix(ending).unlink()
        raise
    return _Kept(str(stem), len(data))


def _delete(stem: Path) -> bool:
    """Delete a frame; gives whether it was never landed."""
    was_waiting = False
    for path in _tellings(stem):
        with suppress(OSError):
            path.unlink()
            was_waiting = was_waiting or path.suffix == WAITING
    with suppress(OSError):
        stem.with_suffix(BYTES).unlink()
    with suppress(OSError):  # the last frame of its hour
        stem.parent.rmdir()
    return was_waiting


def _tellings(stem: Path) -> list[Path]:
    return [stem.with_suffix(ending) for ending in (WAITING, LANDED, REFUSED)]


def _size(frame: IncomingFrame) -> int:
    payload = frame.payload
    if payload is None:
        return 0
    return len(payload.data if isinstance(payload, RawFrame) else payload)
