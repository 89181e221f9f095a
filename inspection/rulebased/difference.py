"""Where a frame leaves the template's band: places of difference, each with its mass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from inspection.rulebased.align import Alignment, Plane
from inspection.rulebased.template import Laid, Template

_BLUR = (3, 3)
_JOINED = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class Place:
    """One place where a frame differs from its template.

    Attributes:
        kind: ``darker`` or ``brighter`` than good parts are there.
        mass_px: Sum of what lies outside the band over its pixels, as pixels of 255 levels.
        box: Left, top, right, bottom (exclusive), pixels of the plane.
    """

    kind: str
    mass_px: float
    box: tuple[int, int, int, int]


def places(laid: Laid, template: Template) -> list[Place]:
    """The places where a laid frame leaves the band, heaviest first.

    Pixels less than three apart are one place: the band hides the edges of what it lets through,
    and a scratch should weigh as a whole.
    """
    smooth = cv2.GaussianBlur(laid.plane, _BLUR, 0)
    darker, brighter = cv2.subtract(template.lower, smooth), cv2.subtract(smooth, template.upper)
    excess = cv2.min(cv2.max(darker, brighter), laid.inside)
    if not cv2.hasNonZero(excess):
        return []
    mask = cv2.morphologyEx((excess > 0).astype(np.uint8), cv2.MORPH_CLOSE, _JOINED)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    at = np.flatnonzero(excess)
    member, weight = labels.ravel()[at], excess.ravel()[at]
    mass = np.bincount(member, weight, count) / 255
    dark = np.bincount(member, weight * (darker.ravel()[at] > 0), count) / 255
    found = [
        Place(_kind(dark[index], mass[index]), float(mass[index]), _box(stats[index]))
        for index in range(1, count)
    ]
    return sorted(found, key=lambda place: -place.mass_px)


def in_frame(place: Place, found: Alignment, shape: tuple[int, ...]) -> Place:
    """The place in the pixels of the frame itself, cut off at its edges."""
    left, top, right, bottom = place.box
    corners = np.array([[left, top, 1], [right, bottom, 1]], np.float32) @ found.matrix.T
    (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
    left, right = np.clip([left, right], 0, shape[1]).tolist()
    top, bottom = np.clip([top, bottom], 0, shape[0]).tolist()
    return replace(place, box=(left, top, right, bottom))


def _kind(dark: float, mass: float) -> str:
    return "darker" if dark * 2 >= mass else "brighter"


def _box(stats: Plane) -> tuple[int, int, int, int]:
    left, top, width, height = (int(value) for value in stats[:4])
    return left, top, left + width, top + height
