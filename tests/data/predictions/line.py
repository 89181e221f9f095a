"""A line in a store with grey frames whose darkness is their badness, and a snapshot of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.contract import Contract, InputSpec
from inspection.outputs import Outputs
from inspection.statistics import STATS_VERSION
from store import artifacts
from store.artifacts import Artifact
from store.hashing import canonical_json
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets import config
from vision_assets.config import LineConfig
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch

LINE = LineKey("turin", "press-3")
START = datetime(2026, 3, 1, tzinfo=UTC)
CONTRACT = Contract(
    task="classification",
    classes=("pit",),
    input=InputSpec(channels=1, height=32, width=48),
    embedding_size=1,
    map_height=4,
    map_width=6,
    stats_version=STATS_VERSION,
)


class DarkEngine:
    """Scores how dark the darkest of 4 x 6 cells is: 0 for white, 10 for black."""

    name, graph, build = "dark", "none", "1"

    def run(self, pixels: NDArray[np.uint8]) -> Outputs:
        """As `Engine.run`."""
        cells = 1 - pixels.reshape(-1, 4, 8, 6, 8).mean((2, 4), dtype=np.float32) / 255
        score = 10 * cells.max((1, 2))
        return Outputs(score, cells.max((1, 2))[:, None], score[:, None], cells)


def deliver(store: Store, frames: int = 60, batch: str = "b1", camera: str = "c1") -> Artifact:
    """Parts of two frames, every third with a dark pit, ingested, labelled and frozen."""
    key = BatchKey(LINE.site, LINE.line, batch)
    settings = LineConfig(classes=("pit",))
    config.save(store, LINE, settings)
    writer = LandingWriter(store, key)
    for number in range(frames):
        _add(writer, number, batch, camera)
    writer.complete(START + timedelta(days=1))
    ingest_batch(store, key, settings)
    record_batch(store, key, settings)
    return snapshot.freeze(store, LINE)


def _add(writer: LandingWriter, number: int, batch: str, camera: str) -> None:
    rng = np.random.default_rng([number, len(batch)])
    pixels = rng.normal(200, 12, (32, 48))
    mask = np.zeros((32, 48), np.uint8)
    is_bad = number // 2 % 3 == 0
    if is_bad:
        row, column = int(rng.integers(4)) * 8, int(rng.integers(6)) * 8
        pixels[row : row + 8, column : column + 8] -= rng.uniform(20, 120)
        mask[row : row + 8, column : column + 8] = 1
    metadata = {
        "camera": camera,
        "captured_at": (START + timedelta(minutes=number)).isoformat(),
        "serial": f"{batch}-{number // 2}",
        "frame_id": f"{batch}-f{number}",
    }
    name = f"{number:03d}.png"
    writer.add_frame(name, _png(pixels.clip(0, 255).astype(np.uint8)), metadata)
    if is_bad:
        label = {"label": "defect", "classes": ["pit"], "mask_classes": ["pit"]}
        writer.add_label(name, label, _png(mask))
    else:
        writer.add_label(name, {"label": "good"})


def _png(pixels: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def publish_model(store: Store, frozen: str) -> Artifact:
    """A network of ours with the weights it starts from, published as training does."""
    import torch

    from vision_assets.learning import backbone, trained
    from vision_assets.learning.registry import task

    torch.manual_seed(0)
    spec = backbone.from_scratch(channels=1)
    body = backbone.build(spec, CONTRACT.input.height, CONTRACT.input.width)
    network = task(CONTRACT.task).network(body, CONTRACT.classes)
    stride = body.strides[0]
    contract = CONTRACT.model_copy(
        update={
            "embedding_size": body.channels[-1],
            "map_height": CONTRACT.input.height // stride,
            "map_width": CONTRACT.input.width // stride,
        }
    )
    files = {
        trained.CONTRACT: canonical_json(contract.model_dump(mode="json")),
        trained.WEIGHTS: trained.pack(network.state_dict(), spec),
    }
    stored = {
        name: artifacts.write_file(store, LINE, "models", "untrained", name, data)
        for name, data in files.items()
    }
    model = Artifact("models", "untrained", {"snapshot": frozen}, stored)
    return artifacts.publish(store, LINE, model)
