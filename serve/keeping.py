"""Frames that stay on the host: rejects, reviews, errors, and a random share of all others.

A bounded ring on disk: rejects and reviews have three quarters of it, so that they stay longer than
the rest. Keeping is off the way of the answer: a frame waits in a bounded queue for the one thread
that writes; what does not fit there is counted. `serve.shipping.landing` brings kept frames to the
landing area.

``{folder}/{ring}/{hour}/{boot}-{sequence}.bin`` holds the bytes as they came (ring: ``rejects``,
with the reviews, or ``others``; hour of receipt, UTC), ``….json`` what is known of them. The JSON
file is written last and renamed to ``….landed`` when the frame is in the landing area, or to
``….refused`` when no ingest could read it. Nothing here is synced: a power cut may take the last
seconds, which a checksum finds out.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zlib
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import orjson

from serve.frame import IncomingFrame, RawFrame

_log = logging.getLogger(__name__)

WAITING, LANDED, REFUSED = ".json", ".landed", ".refused"
"""Endings of the file that tells of a kept frame, by what has become of it."""

BYTES = ".bin"

RINGS = {"rejects": 0.75, "others": 0.25}
"""Folder of each ring and its share of the limit."""

_MOST_WAITING_BYTES = 64 * 2**20
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
    """

    share: float = 0.01
    max_bytes: int = 2048 * 2**20


@dataclass(frozen=True)
class KeptState:
    """What is kept at a moment; counts are since the start.

    Attributes:
        frames: Frames in the ring.
        bytes: Their size.
        kept: Frames that were written.
        dropped: Frames that were not, because too many waited or the disk took none.
        overwritten: Frames that left the ring before they were in the landing area.
    """

    frames: int = 0
    bytes: int = 0
    kept: int = 0
    dropped: int = 0
    overwritten: int = 0


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


@dataclass(frozen=True)
class _Kept:
    """A frame in the ring."""

    stem: Path
    size: int


@dataclass
class _Ring:
    """Frames that share a folder and a limit, oldest first."""

    folder: Path
    max_bytes: int
    frames: deque[_Kept] = field(default_factory=deque)
    bytes: int = 0

    def add(self, kept: _Kept) -> None:
        self.frames.append(kept)
        self.bytes += kept.size

    def take_surplus(self) -> _Kept | None:
        """The oldest frame when there is too much, taken out."""
        if self.bytes <= self.max_bytes or not self.frames:
            return None
        oldest = self.frames.popleft()
        self.bytes -= oldest.size
        return oldest


class Keeper:
    """Keeps frames of one line; safe to call from many threads."""

    def __init__(self, folder: Path, limits: KeepLimits) -> None:
        """Go on with the ring in `folder`, which need not exist."""
        self._folder, self._limits = folder, limits
        self._rings = {
            name: _Ring(folder / name, int(share * limits.max_bytes))
            for name, share in RINGS.items()
        }
        self._kept = self._dropped = self._overwritten = 0
        self._waiting: SimpleQueue[tuple[IncomingFrame, Mapping[str, Any], str] | None]
        self._waiting = SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._is_faulty = False
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
            if self._waiting_bytes + size > _MOST_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting_bytes += size
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
            )

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _write_all(self) -> None:
        while (item := self._waiting.get()) is not None:
            frame, row, why = item
            try:
                ring = self._rings["rejects" if why in ("reject", "review") else "others"]
                self._enter(ring, _write(ring.folder, frame, row, why, self._limits.share))
            except Exception as error:  # noqa: BLE001 - the thread's edge: others may be kept
                self._fail(error)
            with self._lock:
                self._waiting_bytes -= _size(frame)

    def _enter(self, ring: _Ring, kept: _Kept) -> None:
        self._is_faulty = False
        with self._lock:
            self._kept += 1
            ring.add(kept)
        while (oldest := self._surplus(ring)) is not None:
            self._overwritten += _delete(oldest.stem)

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
    """Enter the frames of earlier starts, oldest first; halves of frames are deleted."""
    for hour in sorted(ring.folder.glob("*t*")):
        names = {path.name for path in hour.iterdir()}
        for name in sorted(name for name in names if name.endswith(BYTES)):
            stem = hour / name.removesuffix(BYTES)
            if any(telling.name in names for telling in _tellings(stem)):
                ring.add(_Kept(stem, (hour / name).stat().st_size))
            else:
                (hour / name).unlink()


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
    return _Kept(stem, len(data))


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
