"""A rendered production batch, delivered as any other writer would deliver it."""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np

from store import batches, documents, landing, layout
from store.errors import Refused
from store.hashing import canonical_json, sha256
from store.keys import BatchKey
from store.landing import Delivery, LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.progress import Progress, silent
from vision_assets.simulation.parts import PartRenderer, Shot
from vision_assets.simulation.settings import ALL_KINDS, KINDS, SimulationSettings

CYCLE_S = 1.5
"""Time from part to part."""

_JITTER_S = 0.02
_SHIFT = timedelta(hours=8)
_FIRST_SHIFT = datetime(2024, 1, 1, 6, tzinfo=UTC)
_SHIFTS = 1000
_AHEAD = 16
"""Frames rendered ahead of the one being written, per thread; bounds the memory."""


@dataclass(frozen=True)
class _Slot:
    """One frame to come: which part, which camera, when."""

    part: int
    camera: int
    captured_at: datetime
    serial: str

    @property
    def camera_id(self) -> str:
        return camera_id(self.camera)

    @property
    def file(self) -> str:
        return f"{self.camera_id}/{self.serial}.jpg"


def simulate(
    store: Store,
    key: BatchKey,
    settings: SimulationSettings,
    progress: Progress = silent,
    *,
    mix: bool = False,
) -> Delivery:
    """Render a batch into the landing area, with metadata, labels and masks.

    A line without settings gets some: its classes, cameras and product. Equal settings and batch
    names give equal bytes, whatever the number of threads; more frames of the same settings leave
    those before as they were. A batch that is there as asked for is left alone.

    Args:
        store: Whose landing area is written.
        key: The batch.
        settings: What is on the frames.
        progress: Told after every frame.
        mix: Render also into a line that has batches of real frames.

    Returns:
        What the batch's mark says.

    Raises:
        Refused: when the batch is there and is another one, or the line is a real one.
    """
    present = landing.delivery(store, key)
    if _is_rendered(store, key, settings) and present:
        return present
    if not mix:
        _refuse_real_line(store, key)
    _settle(store, key, settings)
    writer = LandingWriter(store, key)
    store.write(_mark(key), canonical_json(settings.model_dump(mode="json")))
    renderer = PartRenderer(key.batch, settings)
    last = _FIRST_SHIFT
    for done, (slot, shot) in enumerate(_shots(renderer, _slots(key, settings)), start=1):
        writer.add_frame(slot.file, shot.jpeg, _metadata(slot, shot, settings))
        writer.add_label(slot.file, _label(slot, shot), _mask_png(shot))
        last = slot.captured_at
        progress("rendering frames", done, settings.frames)
    return writer.complete(last + timedelta(seconds=CYCLE_S))


def _mark(key: BatchKey) -> str:
    """The file of a landing batch that says it is simulated, and from which settings."""
    return f"{layout.landing(key)}/simulation.json"


def _is_rendered(store: Store, key: BatchKey, settings: SimulationSettings) -> bool:
    """Whether the batch was begun with these settings and as many frames.

    Raises:
        Refused: when there is something that these settings would not give.
    """
    if not store.files(layout.landing(key)):
        return False
    if not store.exists(_mark(key)):
        raise Refused(f"batch {key} is there and was not simulated: choose another --batch")
    asked, found = settings.model_dump(mode="json"), json.loads(store.read(_mark(key)))
    others = sorted(
        name for name in asked if name != "frames" and asked[name] != found.get(name, asked[name])
    )
    if others or asked["frames"] < found["frames"]:
        were = ", ".join(f"{name} {found[name]}" for name in others or ["frames"])
        raise Refused(
            f"batch {key} was rendered from other settings ({were}): choose another --batch"
        )
    return bool(asked["frames"] == found["frames"])


def _refuse_real_line(store: Store, key: BatchKey) -> None:
    """Refuse to put simulated parts beside real ones: nobody could tell what the figures mean.

    Raises:
        Refused: naming a batch that was not simulated.
    """
    line = key.line_key
    for other in {*landing.complete_batches(store, line), *batches.ingested(store, line)}:
        if not store.exists(_mark(other)):
            raise Refused(
                f"line {line} has batch {other.batch}, which was not simulated: simulate another "
                "--line, or mix simulated parts among real ones with --mix"
            )


def camera_id(camera: int) -> str:
    """The id of camera number `camera`, counted from 0.

    >>> camera_id(0)
    'cam-1'
    """
    return f"cam-{camera + 1}"


def _settle(store: Store, key: BatchKey, settings: SimulationSettings) -> None:
    """Give the line settings when it has none."""
    if documents.numbers(store, layout.config(key.line_key)):
        return
    config.save(
        store,
        key.line_key,
        config.LineConfig(
            classes=KINDS,
            cameras=tuple(camera_id(number) for number in range(settings.cameras)),
            products=(settings.product,),
            ingest=config.IngestSettings(channels=3),
        ),
    )


def _slots(key: BatchKey, settings: SimulationSettings) -> Iterator[_Slot]:
    """Every frame of the batch in capture order."""
    start = settings.start or _start(key.batch)
    for index in range(settings.frames):
        part, camera = divmod(index, settings.cameras)
        rng = np.random.default_rng([settings.seed, index])
        late = part * CYCLE_S + camera * 0.1 + rng.uniform(0, _JITTER_S)
        captured_at = start + timedelta(milliseconds=round(late * 1000))
        yield _Slot(part, camera, captured_at, f"{key.batch}-{part + 1:06d}")


def _start(batch: str) -> datetime:
    """The shift that a batch's name stands for: its last number counts shifts, else its hash."""
    numbers = re.findall(r"\d+", batch)
    number = int(numbers[-1]) if numbers else int(sha256(batch.encode())[:8], 16)
    return _FIRST_SHIFT + number % _SHIFTS * _SHIFT


def _shots(renderer: PartRenderer, slots: Iterator[_Slot]) -> Iterator[tuple[_Slot, Shot]]:
    """Frames in order, rendered by all cores, not much ahead of who takes them."""
    threads = len(os.sched_getaffinity(0))
    waiting: deque[tuple[_Slot, Future[Shot]]] = deque()
    with ThreadPoolExecutor(threads, "render") as pool:
        try:
            for slot in slots:
                waiting.append((slot, pool.submit(renderer.shoot, slot.part, slot.camera)))
                if len(waiting) >= threads * _AHEAD:
                    first, shot = waiting.popleft()
                    yield first, shot.result()
            while waiting:
                first, shot = waiting.popleft()
                yield first, shot.result()
        finally:
            for _, shot in waiting:
                shot.cancel()


def _metadata(slot: _Slot, shot: Shot, settings: SimulationSettings) -> dict[str, object]:
    return {
        "camera": slot.camera_id,
        "captured_at": slot.captured_at.isoformat(),
        "serial": slot.serial,
        "product": settings.product,
        "exposure_ms": shot.exposure_ms,
    }


def _label(slot: _Slot, shot: Shot) -> dict[str, object]:
    return {
        "label": "defect" if shot.seen else "good",
        "classes": shot.classes,
        "boxes": [
            {"class": s.kind, "x": s.x, "y": s.y, "width": s.width, "height": s.height}
            for s in shot.seen
        ],
        "mask_classes": shot.classes,
        "author": "simulation",
        "recorded_at": slot.captured_at.isoformat(),
    }


def _mask_png(shot: Shot) -> bytes | None:
    """The mask as the landing area wants it: value v means ``classes[v - 1]``."""
    if shot.mask is None:
        return None
    values = np.zeros(len(ALL_KINDS) + 1, np.uint8)
    for value, kind in enumerate(shot.classes, start=1):
        values[ALL_KINDS.index(kind) + 1] = value
    return bytes(cv2.imencode(".png", values[shot.mask])[1])
