"""Grey boards with tracks and pads, shots of them, defects, and a line of them; seeded, small."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.contract import Contract, InputSpec
from inspection.decision import Rule, Thresholds
from inspection.preprocess import prepare_pixels
from inspection.rulebased.check import Check, Golden
from inspection.rulebased.inspector import MAP_CELLS, compare, grey
from inspection.rulebased.measures import limits
from inspection.rulebased.template import Tolerance, learn
from inspection.statistics import STATS_VERSION
from store.artifacts import Artifact
from store.keys import BatchKey, LineKey
from store.landing import LandingWriter
from store.root import Store
from vision_assets.config import LineConfig, save
from vision_assets.dataset import snapshot
from vision_assets.ingest.ingest import ingest_batch
from vision_assets.labels.record import record_batch

Plane = NDArray[np.uint8]
HEIGHT, WIDTH = 160, 200
LINE = LineKey("turin", "boards")
# p = 0.5 at a mass of 3 pixels.
RULE = Rule(
    default=Thresholds(temperature=1.0, bias=-1.3863, pass_below=0.5, reject_from=0.75),
    products=("a", "b"),
)
_START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Shot:
    """How a board is photographed."""

    shift_px: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 1.0


def board(seed: int = 0) -> Plane:
    """(160, 200) uint8: bright tracks and pads on a dark ground."""
    rng = np.random.default_rng(seed)
    plane = np.full((HEIGHT, WIDTH), 60, np.uint8)
    for row in range(20, HEIGHT - 10, 28):
        left, right = int(rng.integers(10, 50)), int(rng.integers(120, WIDTH - 10))
        cv2.rectangle(plane, (left, row), (right, row + 9), 180, -1)
        cv2.circle(plane, (left, row + 4), 9, 200, -1)
        middle = int(rng.integers(left + 20, right - 20))
        cv2.rectangle(plane, (middle, row), (middle + 7, min(row + 24, HEIGHT - 1)), 180, -1)
    return plane


def shoot(plane: Plane, shot: Shot = Shot(), seed: int = 0) -> Plane:
    """A photograph of a board: moved and turned about its middle, lit, with noise."""
    rng = np.random.default_rng(seed)
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), shot.turn_deg, 1.0)
    matrix[:, 2] += np.array(shot.shift_px)
    moved = cv2.warpAffine(plane, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    lit = moved * shot.gain + shot.offset + rng.normal(0, shot.noise, moved.shape)
    return np.asarray(np.clip(np.rint(lit), 0, 255), np.uint8)


def scratched(plane: Plane, x: int, y: int, level: int = 255, size_px: int = 6) -> Plane:
    """The board with a square blotch whose middle is at (x, y)."""
    spoilt = plane.copy()
    half = size_px // 2
    spoilt[y - half : y + half, x - half : x + half] = level
    return spoilt


def any_shot(seed: int) -> Shot:
    """Some shot within what a line's camera and lamp do."""
    rng = np.random.default_rng(seed)
    shift = (float(rng.uniform(-3, 3)), float(rng.uniform(-3, 3)))
    return Shot(
        shift, float(rng.uniform(-1, 1)), float(rng.uniform(0.9, 1.1)), float(rng.uniform(-8, 8))
    )


def known_check() -> Check:
    """A check of the boards 0 and 1 as products ``a`` and ``b``, on the camera ``top``."""
    tolerance = Tolerance()
    spec = InputSpec(channels=1, height=HEIGHT, width=WIDTH)
    found = []
    for number, product in enumerate(("a", "b")):
        shots = [shoot(board(number), any_shot(seed), seed) for seed in range(8)]
        prepared = [prepare_pixels(shot[:, :, None], spec) for shot in shots]
        template = learn([grey(one.pixels) for one in prepared], tolerance)
        known = limits([compare(one, template, tolerance).measures for one in prepared])
        found.append(Golden.of(template, known, product=product, camera="top"))
    contract = Contract(
        task="rule_based",
        classes=(),
        input=spec,
        embedding_size=1,
        map_height=MAP_CELLS,
        map_width=MAP_CELLS,
        stats_version=STATS_VERSION,
    )
    return Check(contract=contract, rule=RULE, tolerance=tolerance, templates=tuple(found))


def frozen_line(
    store: Store, good: int = 60, bad: int = 30, textured: bool = False, product: str = ""
) -> Artifact:
    """A line with single-frame parts, ingested, labelled and frozen.

    Args:
        store: Gets the line.
        good: Good parts.
        bad: Defective parts, each with one blotch.
        textured: Every part looks different, so that no template fits.
        product: What every frame names.
    """
    key = BatchKey(LINE.site, LINE.line, "b1")
    settings = LineConfig(classes=("blotch",), products=(product,) if product else ())
    save(store, LINE, settings)
    writer = LandingWriter(store, key)
    for number in range(good + bad):
        is_bad = number >= good
        plane = board(number if textured else 0)
        if is_bad:
            rng = np.random.default_rng([number, 1])
            x, y = int(rng.integers(30, WIDTH - 30)), int(rng.integers(30, HEIGHT - 30))
            plane = scratched(plane, x, y, 250 if plane[y, x] < 128 else 10)
        pixels = shoot(plane, any_shot(number), number)
        about = {
            "camera": "top",
            "captured_at": (_START + timedelta(minutes=number)).isoformat(),
            "frame_id": f"f{number}",
            **({"product": product} if product else {}),
        }
        name = f"{number:03d}.png"
        writer.add_frame(name, cv2.imencode(".png", pixels)[1].tobytes(), about)
        label = {"label": "defect", "classes": ["blotch"]} if is_bad else {"label": "good"}
        writer.add_label(name, label)
    writer.complete(_START + timedelta(days=1))
    ingest_batch(store, key, settings)
    record_batch(store, key, settings)
    return snapshot.freeze(store, LINE)
