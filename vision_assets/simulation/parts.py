"""One part after the other: what is wrong with it, and the frames its cameras take of it.

Every part and frame has random numbers of its own, derived from seed, batch and number, so that
frames come out the same in any order, and a batch that grows keeps the frames it had.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vision_assets.simulation import blemishes, stage
from vision_assets.simulation.blanks import Blank, make_blank
from vision_assets.simulation.defects import DRAW, ON_RIM, Spot
from vision_assets.simulation.marks import Points, apply
from vision_assets.simulation.settings import ALL_KINDS, KINDS, SimulationSettings
from vision_assets.simulation.stage import Exposure, Scene, Stage
from vision_assets.simulation.textures import SIDE_PX

_CENTRE = np.full((1, 2), SIDE_PX / 2, np.float32)
_JPEG_QUALITY = 90
_SEEN_PX = 12
"""A defect of which fewer pixels are in view is not labelled: at the border, or behind another."""
_MORE_DEFECTS = (0.75, 0.18, 0.07)
_BLANK, _PART, _FRAME, _DEFECT = range(4)
"""What random numbers are for; keeps their streams apart."""


@dataclass(frozen=True)
class Defect:
    """Something wrong with a part.

    Attributes:
        kind: Its class.
        face: The face, and so the camera, it is on.
        x: On the face, in the blank's coordinates.
        y: On the face, in the blank's coordinates.
    """

    kind: str
    face: int
    x: float
    y: float


@dataclass(frozen=True)
class Seen:
    """A defect that is visible in a frame: its class and the box of its pixels."""

    kind: str
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Shot:
    """One finished frame.

    Attributes:
        jpeg: The frame as the camera would deliver it.
        exposure_ms: As set by the camera.
        seen: The defects in view; none on a good frame.
        mask: (H, W) uint8, k on pixels of the k-th of `ALL_KINDS`, else 0; None on a good frame.
    """

    jpeg: bytes
    exposure_ms: float
    seen: tuple[Seen, ...]
    mask: NDArray[np.uint8] | None

    @property
    def classes(self) -> list[str]:
        """Classes in view, sorted."""
        return sorted({defect.kind for defect in self.seen})


class PartRenderer:
    """Renders the parts of one batch; safe to call from several threads."""

    def __init__(self, batch: str, settings: SimulationSettings) -> None:
        """Prepare what the parts of the batch have in common."""
        self._settings = settings
        self._name = int.from_bytes(hashlib.sha256(batch.encode()).digest()[:8], "big")
        self._blanks: list[Blank] = []
        self._stages: list[Stage] = []
        for camera in range(settings.cameras):
            blank = make_blank(settings.material, self._rng(_BLANK, camera))
            self._blanks.append(blank)
            self._stages.append(stage.make_stage(camera, blank, settings))

    def defects(self, part: int) -> list[Defect]:
        """What is wrong with part number `part`; empty for a good one."""
        rng, settings = self._rng(_PART, part), self._settings
        if rng.random() >= settings.defect_rate:
            return []
        if rng.random() < settings.unseen_share:
            return [self._place(rng, settings.unseen_kind)]
        count = 1 + int(rng.choice(len(_MORE_DEFECTS), p=_MORE_DEFECTS))
        return [self._place(rng, str(rng.choice(KINDS))) for _ in range(count)]

    def shoot(self, part: int, camera: int) -> Shot:
        """The frame that camera number `camera` takes of part number `part`."""
        rng = self._rng(_FRAME, part, camera)
        blank, place = self._blanks[camera], self._stages[camera]
        scene = stage.bare(place, blank, stage.expose(rng, blank, self._settings))
        self._blemish(rng, blank, scene)
        seen, mask = self._damage(part, camera, scene)
        pixels = stage.take(scene, self._settings.focus_px, rng)
        return Shot(_jpeg(pixels), scene.exposure.exposure_ms, seen, mask if seen else None)

    def _place(self, rng: Generator, kind: str) -> Defect:
        face = int(rng.integers(self._settings.cameras))
        blank = self._blanks[face]
        x, y = rng.choice(blank.rim if kind in ON_RIM else blank.places)
        return Defect(kind, face, float(x), float(y))

    def _blemish(self, rng: Generator, blank: Blank, scene: Scene) -> None:
        places = scene.exposure.to_frame(rng.choice(blank.places, blemishes.PLACES))
        centre = scene.exposure.to_frame(_CENTRE)[0]
        for mark in blemishes.draw(rng, blank, places, (float(centre[0]), float(centre[1]))):
            apply(scene.pixels, scene.surface, mark, scene.exposure.gain)

    def _damage(
        self, part: int, camera: int, scene: Scene
    ) -> tuple[tuple[Seen, ...], NDArray[np.uint8]]:
        """Draw the part's defects that this camera sees; what is in view of them, and its mask."""
        mask = np.zeros(scene.surface.shape, np.uint8)
        seen = []
        for number, defect in enumerate(self.defects(part)):
            point = self._on_face(defect, camera)
            if point is None:
                continue
            rng = self._rng(_DEFECT, part, camera, number)
            mark = DRAW[defect.kind](rng, self._spot(point, camera, scene.exposure))
            (rows, columns), own = apply(scene.pixels, scene.surface, mark, scene.exposure.gain)
            if np.count_nonzero(own) >= _SEEN_PX:
                mask[rows, columns][own] = ALL_KINDS.index(defect.kind) + 1
                seen.append(_seen(defect.kind, rows.start, columns.start, own))
        return tuple(seen), mask

    def _on_face(self, defect: Defect, camera: int) -> Points | None:
        """Where the defect is on the face that `camera` sees, (1, 2); None where it is not."""
        if defect.face == camera:
            return np.array([[defect.x, defect.y]], np.float32)
        if defect.kind in ON_RIM and (defect.face + 1) % self._settings.cameras == camera:
            # The next camera sees the other side of the rim, mirrored.
            return np.array([[SIDE_PX - 1 - defect.x, defect.y]], np.float32)
        return None

    def _spot(self, point: Points, camera: int, exposure: Exposure) -> Spot:
        x, y = exposure.to_frame(point)[0]
        inward = exposure.pose[:, :2] @ self._blanks[camera].inward(point[0])
        inward = inward / max(float(np.hypot(*inward)), 1e-6)
        light = self._stages[camera].light
        return Spot(float(x), float(y), (float(inward[0]), float(inward[1])), light)

    def _rng(self, *purpose: int) -> Generator:
        return np.random.default_rng([self._settings.seed, self._name, *purpose])


def _seen(kind: str, top: int, left: int, own: NDArray[np.bool_]) -> Seen:
    x, y, width, height = cv2.boundingRect(own.astype(np.uint8))
    return Seen(kind, left + x, top + y, width, height)


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1])
