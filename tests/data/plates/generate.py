"""Grey plates with dents and lines, their masks, and whole lines of them; seeded, small."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from store.artifacts import Artifact
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig, TrainingSettings
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch

CLASSES = ("dent", "line")
SIDE_PX = 80
LINE = LineKey("turin", "plates")
SETTINGS = LineConfig(
    classes=CLASSES,
    training=TrainingSettings(
        height_px=64, width_px=64, epochs=3, batch_size=4, patience=3, learning_rate=2e-3
    ),
)
_START = datetime(2026, 1, 5, 6, tzinfo=UTC)


@dataclass(frozen=True)
class Plate:
    """One frame (80, 80) uint8 with its class mask; ``kind`` is ``good`` or a class."""

    name: str
    kind: str
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]


def plates(number: int, seed: int = 0) -> list[Plate]:
    """A third good, a third with a dent, a third with a line."""
    random = np.random.default_rng(seed)
    kinds = ("good", *CLASSES)
    return [_plate(f"plate-{seed}-{i:03d}", kinds[i % 3], random) for i in range(number)]


def _plate(name: str, kind: str, random: np.random.Generator) -> Plate:
    mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    x, y = (int(value) for value in random.integers(15, 65, 2))
    if kind == "dent":
        cv2.circle(mask, (x, y), 5, 1, -1)
    elif kind == "line":
        cv2.line(mask, (x, y), (80 - y, x), 2, 2)
    pixels = random.normal(150, 6, mask.shape) - 90 * (mask > 0)
    return Plate(name, kind, pixels.clip(0, 255).astype(np.uint8), mask)


def frozen_line(store: Store, number: int = 48, settings: LineConfig = SETTINGS) -> Artifact:
    """A line with one ingested and labelled batch of plates, and its snapshot."""
    config.save(store, LINE, settings)
    key = BatchKey(LINE.site, LINE.line, "shift-1")
    writer = LandingWriter(store, key)
    for index, plate in enumerate(plates(number)):
        taken_at = (_START + timedelta(seconds=index)).isoformat()
        metadata = {"camera": "c1", "captured_at": taken_at, "serial": plate.name}
        writer.add_frame(f"{plate.name}.png", _png(plate.pixels), metadata)
        if plate.kind == "good":
            writer.add_label(f"{plate.name}.png", {"label": "good"})
        else:
            label = {"label": "defect", "classes": [plate.kind], "mask_classes": list(CLASSES)}
            writer.add_label(f"{plate.name}.png", label, _png(plate.mask))
    writer.complete(_START + timedelta(hours=1))
    ingest_batch(store, key, settings)
    record_batch(store, key, settings)
    return snapshot.freeze(store, LINE)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()
