"""Kept frames on their way to the landing area, a batch for each line, host and hour.

A batch is delivered when its hour is over. Frames keep their bytes; raw pixels become PNG. The
metadata says what the server knows (the decision's id, its verdict, why the frame was kept), as
further columns; no label is made of a verdict. A frame that ingest would refuse stays here: one
that it could not read, and one of a camera or product that the line's settings do not list.
"""

from __future__ import annotations

import logging
import re
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson

from inspection.decode import decode, read_header
from serve.keeping import BYTES, LANDED, REFUSED, RINGS, WAITING, hours, is_kept, told_of
from serve.shipping.stayed import add
from store import documents, landing, layout
from store.errors import InvalidInput, NotFound, Unavailable, UnreadableFrame, VisionError
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store

_log = logging.getLogger(__name__)

_LOOK_S = 30.0
_AFTER = timedelta(minutes=1)  # frames of an hour are written by then
_HOUR = "%Y%m%dt%H"
_FRAME_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+-]{0,89}")  # what ingest takes
_ENDINGS = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif"}


class Lander:
    """Brings the kept frames of one line to the landing area."""

    def __init__(self, kept: Path, store: Store, line: LineKey, host: str) -> None:
        self._kept, self._store, self._line, self._host = kept, store, line, host
        self._fault = ""
        self._told: set[str] = set()

    def run(self, stopping: threading.Event) -> None:
        """Deliver each hour when it is over, until told to stop."""
        while not stopping.is_set():
            try:
                self.land(datetime.now(UTC) - _AFTER)
                self._fault = ""
            except (VisionError, OSError) as error:
                if str(error) != self._fault:
                    extra = {"line": str(self._line), "fault": str(error)}
                    _log.warning("kept frames cannot be delivered", extra=extra)
                self._fault = str(error)
            stopping.wait(_LOOK_S)

    def drain(self) -> int:
        """Deliver everything, also of the hour that is not over.

        Returns:
            How many frames were added to the landing area.

        Raises:
            VisionError, OSError: when it cannot be written.
        """
        return self.land(datetime.now(UTC) + timedelta(days=1))

    def land(self, now: datetime) -> int:
        """Deliver the hours that are over at `now`; gives how many frames were added.

        Raises:
            VisionError, OSError: when it cannot be written; what was delivered stays so.
        """
        last = f"{now - timedelta(hours=1):{_HOUR}}"
        found = {path.name for ring in RINGS for path in hours(self._kept / ring)}
        return sum(self._land_hour(hour) for hour in sorted(found) if hour <= last)

    def _land_hour(self, hour: str) -> int:
        """Deliver what waits of an hour, of all rings."""
        found = self._kept.glob(f"*/{hour}/*{WAITING}")
        waiting = sorted(filter(is_kept, found), key=lambda path: path.name)
        if not waiting:
            return 0
        if not self._store.exists(layout.line(self._line)):
            raise Unavailable(f"{self._store.url} has no {layout.line(self._line)}: is it mounted?")
        key = batch_of(self._line, self._host, hour)
        delivery = _Delivery(self._store, key)
        known = _known(self._store, self._line)
        done = []
        stayed = Counter[str]()
        for told_path in waiting:
            try:
                delivery.add(*_frame(told_path, known))
                done.append((told_path, LANDED))
            except _Stays as why:
                stayed[why.reason] += 1
                self._tell(told_path, why)
                done.append((told_path, REFUSED))
        delivery.complete()
        for path, ending in done:
            path.rename(path.with_suffix(ending))
        if stayed:
            add(self._kept, stayed)
        extra = {"batch": str(key), "frames": delivery.added, "kept": len(waiting)}
        _log.info("kept frames delivered", extra=extra)
        return delivery.added

    def _tell(self, told_path: Path, why: _Stays) -> None:
        """Log a frame that stays; of a camera or product only the first."""
        if why.reason == "unreadable" or str(why) not in self._told:
            self._told.add(str(why))
            extra = {"line": str(self._line), "frame": told_path.stem, "why": str(why)}
            _log.warning("kept frame stays on this host", extra=extra)


class _Stays(Exception):
    """A frame is not for the landing area; `reason` is one of `serve.shipping.stayed.REASONS`."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True)
class _Known:
    """What the line's settings list; empty: any."""

    cameras: tuple[str, ...]
    products: tuple[str, ...]

    def camera(self, told: str) -> str:
        """The camera that a frame is landed with."""
        if not told and len(self.cameras) != 1:
            if not self.cameras:
                return "unnamed"
            raise _Stays("no_camera", f"it names no camera, the line has {_names(self.cameras)}")
        if told and self.cameras and told not in self.cameras:
            why = f"camera {told!r} is unknown to the line, which has {_names(self.cameras)}"
            raise _Stays("unknown_camera", why)
        return told or self.cameras[0]

    def check_product(self, told: str) -> None:
        """Refuse a product that the line does not have."""
        if told and self.products and told not in self.products:
            why = f"product {told!r} is unknown to the line, which has {_names(self.products)}"
            raise _Stays("unknown_product", why)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _known(store: Store, line: LineKey) -> _Known:
    """What the line's current settings in the store list.

    Raises:
        VisionError, OSError: when they cannot be read.
    """
    current = documents.latest(store, layout.config(line))
    settings = current[1] if current else {}
    lists = [settings.get(name) or () for name in ("cameras", "products")]
    return _Known(*(tuple(map(str, found)) for found in lists))


class _Delivery:
    """A landing batch that grows; it is left alone when nothing is new."""

    def __init__(self, store: Store, key: BatchKey) -> None:
        self.added = 0
        self._store, self._key = store, key
        self._files = dict(_files(store, key))
        self._writer: LandingWriter | None = None

    def add(self, file: str, data: bytes, row: dict[str, object]) -> None:
        """Add a frame, unless it is there: one that was sent twice is kept once.

        Of two frames with one id and other bytes ingest tells.
        """
        held = self._files.get(_identity(row, file))
        if held and self._bytes(held) == data:
            return
        self._writer = self._writer or LandingWriter(self._store, self._key)
        self._writer.add_frame(file, data, row)
        self._files.setdefault(_identity(row, file), file)
        self.added += 1

    def complete(self) -> None:
        """Write the mark, unless it is there and nothing was added."""
        if self._files and landing.delivery(self._store, self._key) is None:
            writer = self._writer or LandingWriter(self._store, self._key)
            writer.complete(datetime.now(UTC))

    def _bytes(self, file: str) -> bytes:
        try:
            return self._store.read(f"{layout.landing(self._key)}/{landing.FRAMES}/{file}")
        except NotFound:
            return b""


def batch_of(line: LineKey, host: str, hour: str) -> BatchKey:
    """The batch of a host's hour.

    >>> str(batch_of(LineKey("turin", "press-3"), "EDGE_1", "20261121t14"))
    'turin/press-3/line-edge_1-20261121t14'
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", host.lower())
    return BatchKey(line.site, line.line, f"line-{name}-{hour}")


def _frame(told_path: Path, known: _Known) -> tuple[str, bytes, dict[str, object]]:
    """File name, bytes and metadata of a kept frame.

    Raises:
        _Stays: when ingest would refuse it.
    """
    try:
        told = told_of(told_path)
        told["camera"] = known.camera(told["camera"])
        known.check_product(told["product"])
        data = told_path.with_suffix(BYTES).read_bytes()
        if zlib.crc32(data) != told["crc32"]:
            raise UnreadableFrame("truncated", "the bytes are not those that were kept")
        if told["shape"]:
            data = _png(data, told["shape"])
        header = read_header(data)
        if told["error"] or told["score"] is None:  # nobody has decoded it yet
            decode(data, header)
    except (UnreadableFrame, ValueError, KeyError, FileNotFoundError) as error:
        raise _Stays("unreadable", str(error)) from error
    return told_path.stem + _ENDINGS[header.format], data, _metadata(told)


def _png(data: bytes, shape: list[int]) -> bytes:
    """Raw pixels, (H, W), (H, W, 1) or (H, W, 3) uint8 in the order red, green, blue, as PNG."""
    pixels = np.frombuffer(data, np.uint8).reshape(shape)
    if pixels.ndim == 3 and pixels.shape[2] == 3:
        pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8)
    try:
        return bytes(cv2.imencode(".png", pixels)[1])
    except cv2.error as error:
        raise UnreadableFrame("wrong_shape", f"raw pixels of shape {shape}") from error


def _metadata(told: dict[str, Any]) -> dict[str, object]:
    """The metadata row of a frame; what the client did not say is left out, or said to be ours."""
    row: dict[str, object] = {
        "camera": told["camera"],
        "captured_at": told["captured_at"] or told["received_at"],
        "decision": f"{told['host']}/{told['boot']}/{told['sequence']}",
        "kept_for": told["why"],
        "sampled": told["sampled"],
    }
    if not told["captured_at"]:
        row["captured_at_is"] = "time of receipt"
    for name in ("serial", "product", "verdict", "score", "release", "error"):
        if told[name] not in (None, ""):
            row[name] = told[name]
    name = "frame_id" if _FRAME_ID.fullmatch(told["frame_id"]) else "client_frame_id"
    return row | {name: told["frame_id"]}


def _identity(row: Mapping[str, object], file: str) -> str:
    """By what two frames of a batch are told to be one: the id, else the file."""
    return str(row.get("frame_id") or file)


def _files(store: Store, key: BatchKey) -> Iterator[tuple[str, str]]:
    """Identity and file of the frames that the landing batch holds already."""
    try:
        lines = store.read(f"{layout.landing(key)}/metadata.jsonl").splitlines()
    except NotFound:
        return
    for line in lines:
        try:
            row = orjson.loads(line)
            yield _identity(row, str(row["file"])), str(row["file"])
        except (ValueError, KeyError) as error:
            raise InvalidInput(
                f"{layout.landing(key)}/metadata.jsonl is spoilt ({error}); move the batch away"
            ) from error
