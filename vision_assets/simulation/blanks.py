"""The part before anything went wrong: its outline, where defects can be, and its surface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vision_assets.simulation import textures
from vision_assets.simulation.settings import Material
from vision_assets.simulation.textures import SIDE_PX

_CENTRE = SIDE_PX // 2
_VARIANTS = 6
_SUPERSAMPLING = 4
_NEAR_PX = 20
_MARGIN_PX = 16
"""Defects on the face keep this distance from every edge; only chips and burrs sit on one."""


@dataclass(frozen=True)
class Blank:
    """One face of a batch's parts, in its own coordinates (SIDE_PX square, centre in the middle).

    Attributes:
        surface: (SIDE_PX, SIDE_PX) uint8, 255 on the face, 0 beside it and in its holes.
        textures: Surfaces that the parts of the batch take turns with, like `surface` in shape.
        places: (n, 2) float32, x and y of points well inside the face.
        rim: (m, 2) float32, x and y along the outer edge.
        tilt_rad: Parts lie turned by at most this angle to either side.
        tint: Reflectance in red, green and blue.
        gloss: How strongly the face mirrors the lamp, 0 to 1.
        is_round: Whether the marks run around the centre instead of along x.
    """

    surface: NDArray[np.uint8]
    textures: tuple[textures.Texture, ...]
    places: NDArray[np.float32]
    rim: NDArray[np.float32]
    tilt_rad: float
    tint: tuple[float, float, float]
    gloss: float
    is_round: bool

    def inward(self, point: NDArray[np.float32]) -> NDArray[np.float32]:
        """Direction from a point of the rim into the part: towards what is near of the face."""
        x, y = (int(c) for c in point)
        low = np.maximum([x - _NEAR_PX, y - _NEAR_PX], 0)
        near = self.surface[low[1] : y + _NEAR_PX + 1, low[0] : x + _NEAR_PX + 1]
        rows, columns = np.nonzero(near > 127)
        towards = np.array([columns.mean(), rows.mean()]) + low - point
        return np.asarray(towards, np.float32)


@dataclass(frozen=True)
class _Make:
    """How the parts of one material are made."""

    outline: Callable[[NDArray[np.uint8]], None]
    texture: Callable[[Generator], textures.Texture]
    tilt_rad: float
    tint: tuple[float, float, float]
    gloss: float
    is_round: bool = False


def make_blank(material: Material, rng: Generator) -> Blank:
    """A face of parts of `material`; `rng` decides the state of the tools of this batch."""
    make = _MAKES[material]
    surface = _surface(make.outline)
    return Blank(
        surface,
        tuple(make.texture(rng) for _ in range(_VARIANTS)),
        _places(surface),
        _rim(surface),
        make.tilt_rad,
        make.tint,
        make.gloss,
        make.is_round,
    )


def _surface(outline: Callable[[NDArray[np.uint8]], None]) -> NDArray[np.uint8]:
    large = np.zeros((SIDE_PX * _SUPERSAMPLING,) * 2, np.uint8)
    outline(large)
    small = cv2.resize(large, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _places(surface: NDArray[np.uint8]) -> NDArray[np.float32]:
    distance = cv2.distanceTransform((surface > 127).astype(np.uint8), cv2.DIST_L2, 3)
    y, x = np.nonzero(distance > _MARGIN_PX)
    return np.stack([x, y], axis=1).astype(np.float32)


def _rim(surface: NDArray[np.uint8]) -> NDArray[np.float32]:
    mask = (surface > 127).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(contours[0][:, 0, :], np.float32)


def _flange(canvas: NDArray[np.uint8]) -> None:
    """A ring with a bore and six holes for bolts."""
    _disc(canvas, (_CENTRE, _CENTRE), 222, 255)
    _disc(canvas, (_CENTRE, _CENTRE), 62, 0)
    for angle in np.arange(6) * np.pi / 3:
        x, y = _CENTRE + 168 * np.cos(angle), _CENTRE + 168 * np.sin(angle)
        _disc(canvas, (x, y), 17, 0)


def _plate(canvas: NDArray[np.uint8]) -> None:
    """A plate with a slot and a hole in each corner."""
    _rounded(canvas, (276, 196), 22, 255)
    _rounded(canvas, (90, 15), 15, 0)
    for x in (-242, 242):
        for y in (-162, 162):
            _disc(canvas, (_CENTRE + x, _CENTRE + y), 14, 0)


def _lid(canvas: NDArray[np.uint8]) -> None:
    """A lid with large radii and two holes for screws."""
    _rounded(canvas, (270, 200), 90, 255)
    for x in (-205, 205):
        _disc(canvas, (_CENTRE + x, _CENTRE), 12, 0)


def _disc(
    canvas: NDArray[np.uint8], centre: tuple[float, float], radius: float, value: int
) -> None:
    x, y = (round(c * _SUPERSAMPLING) for c in centre)
    cv2.circle(canvas, (x, y), round(radius * _SUPERSAMPLING), value, -1)


def _rounded(canvas: NDArray[np.uint8], half: tuple[int, int], radius: int, value: int) -> None:
    """A rectangle around the centre with round corners, given half its width and height."""
    inner_x, inner_y = half[0] - radius, half[1] - radius
    for x in (-inner_x, inner_x):
        for y in (-inner_y, inner_y):
            _disc(canvas, (_CENTRE + x, _CENTRE + y), radius, value)
    for wide, high in ((half[0], inner_y), (inner_x, half[1])):
        low = ((_CENTRE - wide) * _SUPERSAMPLING, (_CENTRE - high) * _SUPERSAMPLING)
        top = ((_CENTRE + wide) * _SUPERSAMPLING, (_CENTRE + high) * _SUPERSAMPLING)
        cv2.rectangle(canvas, low, top, value, -1)


_MAKES: dict[Material, _Make] = {
    "turned": _Make(_flange, textures.turned, np.pi, (1.0, 0.995, 0.97), 1.0, is_round=True),
    "brushed": _Make(_plate, textures.brushed, 0.03, (0.98, 1.0, 1.02), 0.8),
    "moulded": _Make(_lid, textures.moulded, 0.03, (0.78, 0.85, 0.94), 0.35),
}
