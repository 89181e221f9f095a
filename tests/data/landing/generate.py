"""A landing batch that tests fill with small real frames, sound and broken (seeded)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from store import batches, landing, layout, tables
from store.keys import BatchKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets.config import LineConfig
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.ingest.report import IngestReport

START = datetime(2026, 1, 31, 6, tzinfo=UTC)


def frame(
    seed: int, kind: str = "JPEG", size: tuple[int, int] = (48, 32), mode: str = "L"
) -> bytes:
    """A small noise picture, another one for each seed."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


class Batch:
    """One landing batch and its ingest."""

    def __init__(self, folder: Path, name: str = "monday", line: str = "press") -> None:
        self.store = Store(str(folder))
        self.key = BatchKey("turin", line, name)
        self.landing = layout.landing(self.key)
        self._open: LandingWriter | None = None

    @property
    def _writer(self) -> LandingWriter:
        """Opening it takes the mark away, so it waits for the first frame."""
        self._open = self._open or LandingWriter(self.store, self.key)
        return self._open

    def add(self, file: str, data: bytes, **metadata: object) -> None:
        """Deliver a frame with metadata that is sound where nothing else is given."""
        second = sum(file.encode()) * 1000 + len(file)
        row: dict[str, object] = {
            "camera": "top",
            "captured_at": (START + timedelta(seconds=second)).isoformat(),
        }
        self._writer.add_frame(file, data, {**row, **metadata})

    def add_sound(self, count: int, prefix: str = "", **metadata: object) -> None:
        for number in range(count):
            seed = sum(prefix.encode()) * 10_000 + number
            self.add(f"{prefix}{number:04d}.jpg", frame(seed), **metadata)

    def path(self, file: str) -> Path:
        """Where a delivered file lies."""
        return self.store.local_path(f"{self.landing}/{landing.FRAMES}/{file}")

    def metadata(self, name: str, data: bytes) -> None:
        """Replace the metadata by a file of our own and mark the batch complete."""
        self.complete()
        self.store.local_path(f"{self.landing}/metadata.jsonl").unlink()
        self.store.local_path(f"{self.landing}/{name}").write_bytes(data)
        self.mark()

    def complete(self) -> None:
        """As the landing writer ends a delivery; the next `add` belongs to a further one."""
        self._writer.complete(datetime.now(UTC))
        self._open = None

    def mark(self) -> None:
        """Write the mark for whatever lies there."""
        listing = landing.listing(self.store, self.landing)
        text = f'{{"frames": 1, "listing": "{listing}", "completed_at": "2026-02-01T00:00:00Z"}}'
        self.store.write(f"{self.landing}/{landing.COMPLETE}", text.encode())

    def ingest(self, config: LineConfig | None = None) -> IngestReport:
        return ingest_batch(self.store, self.key, config or LineConfig())

    def index(self) -> pl.DataFrame:
        manifest = batches.manifest(self.store, self.key)
        assert manifest is not None
        return batches.index(self.store, manifest).collect()

    def quarantine(self) -> Mapping[str, tuple[str, str]]:
        """(reason, message) by file."""
        manifest = batches.manifest(self.store, self.key)
        assert manifest is not None
        rows = [
            row
            for file in manifest.quarantines
            for row in tables.read_table(self.store, file).iter_rows()
        ]
        return {file: (reason, message) for file, reason, message, _ in rows}

    def files(self) -> list[tuple[str, int]]:
        """Every file of the ingested batch."""
        return self.store.files(layout.batch(self.key))
