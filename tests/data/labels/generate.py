"""Small real frames, masks, data sets on disk and deliveries with labels; seeded by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from store import landing
from store.keys import BatchKey
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.formats import registry
from vision_assets.labels.formats.frame import ImportedFrame
from vision_assets.labels.formats.source import Source

WIDTH, HEIGHT = 40, 32
CLASSES = ("pit", "scratch")


def pixels(seed: int, channels: int = 1) -> NDArray[np.uint8]:
    """A frame that no other seed gives, (HEIGHT, WIDTH, channels) uint8."""
    shape = (HEIGHT, WIDTH, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(values: NDArray[np.unsignedinteger]) -> bytes:
    """A picture as PNG."""
    return cv2.imencode(".png", values)[1].tobytes()


def half_mask(high: int = 255) -> NDArray[np.uint8]:
    """A mask of the size of a frame whose lower half is `high`, the rest 0."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[HEIGHT // 2 :] = high
    return values


class DataSet:
    """A data set on disk, written file by file."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def draw(self, *files: str, channels: int = 1) -> None:
        """Write frames; a frame's name is its seed."""
        for file in files:
            seed = int.from_bytes(file.encode()[-8:], "big")
            suffix = file[file.rindex(".") :]
            self.write(file, cv2.imencode(suffix, pixels(seed, channels))[1].tobytes())

    def mark(self, *files: str, high: int = 255) -> None:
        """Write two-valued masks that mark the lower half."""
        for file in files:
            self.write(file, png(half_mask(high)))

    def write(self, file: str, content: str | bytes) -> None:
        """Write any file."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(
        self, layout: str, file: str = "", good: tuple[str, ...] = ()
    ) -> tuple[dict[str, ImportedFrame], Source]:
        """The frames of a layout by file, in order, and the source with its faults."""
        path = self.root / file
        source = Source(path, good)
        frames = list(registry.layout_for(layout, path).read(source))
        return {frame.file: frame for frame in frames}, source


class Delivery:
    """A landing batch that is delivered and ingested again as it grows."""

    def __init__(self, store: Store, key: BatchKey, settings: LineConfig) -> None:
        self.store, self.key, self._settings = store, key, settings
        self.folder = f"landing/{key}"

    def bring(
        self,
        frames: int,
        rows: Sequence[Mapping[str, object] | str] = (),
        masks: Mapping[str, bytes] | None = None,
        hour: int = 12,
    ) -> None:
        """Deliver frames 0.png, 1.png, … (ids frame-0, …) with a label file, then ingest.

        Args:
            frames: How many; those of an earlier call are delivered again as they were.
            rows: Of the label file; text goes into it as it is. Without any there is no label file.
            masks: Files below ``masks/``.
            hour: Of the day at which the delivery is completed.
        """
        # Our writer keeps one label row a file; these are another writer's.
        self.store.local_path(f"{self.folder}/{landing.LABELS}").unlink(missing_ok=True)
        writer = landing.LandingWriter(self.store, self.key)
        for number in range(frames):
            second = f"2026-01-31T10:{number // 60:02}:{number % 60:02}+00:00"
            row = {"camera": "c1", "captured_at": second, "frame_id": f"frame-{number}"}
            writer.add_frame(f"{number}.png", png(pixels(number)), row)
        for name, data in (masks or {}).items():
            self.store.write(f"{self.folder}/masks/{name}", data)
        if rows:
            lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
            self.store.write(f"{self.folder}/{landing.LABELS}", "\n".join(lines).encode())
        writer.complete(datetime(2026, 1, 31, hour, tzinfo=UTC))
        ingest_batch(self.store, self.key, self._settings)
