"""Marks on a frame, and the strokes and blobs they are drawn with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vision_assets.simulation.textures import Plane

Points = NDArray[np.float32]
"""(n, 2) float32, x and y in pixels."""

_Number = TypeVar("_Number", bound=np.generic)

_SUPERSAMPLING = 3
_FRACTION_BITS = 4


@dataclass(frozen=True)
class Mark:
    """A local change of a frame: pixels become ``pixels * factor + offset``.

    Attributes:
        x: Left edge in the frame; may be outside of it.
        y: Top edge in the frame.
        factor: (h, w, 3) or (h, w, 1) float32.
        offset: (h, w, 1) float32, grey levels.
        mask: (h, w) bool, the pixels a person would mark.
        on_surface: Whether only the face of the part changes, not what is beside it.
    """

    x: int
    y: int
    factor: Plane
    offset: Plane
    mask: NDArray[np.bool_]
    on_surface: bool = True


def apply(
    pixels: NDArray[np.uint8], surface: NDArray[np.uint8], mark: Mark, gain: float
) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Change `pixels` in place.

    Args:
        pixels: (H, W, 3) uint8.
        surface: (H, W) uint8, 255 on the face of the part.
        mark: What to do, and where.
        gain: Brightness of the frame against the nominal one, for offsets.

    Returns:
        The window of the frame that was changed (rows, columns), and which of its pixels are the
        mark's; both empty when the mark lies outside of the frame.
    """
    height, width = mark.mask.shape
    top, left = max(mark.y, 0), max(mark.x, 0)
    bottom = max(min(mark.y + height, pixels.shape[0]), top)
    right = max(min(mark.x + width, pixels.shape[1]), left)
    frame = (slice(top, bottom), slice(left, right))
    own = (slice(top - mark.y, bottom - mark.y), slice(left - mark.x, right - mark.x))
    before = pixels[frame].astype(np.float32)
    change = before * mark.factor[own] + gain * mark.offset[own] - before
    mask = mark.mask[own]
    if mark.on_surface:
        change *= surface[frame][..., None].astype(np.float32) / 255
        mask = mask & (surface[frame] > 127)
    pixels[frame] = np.clip(before + change + 0.5, 0, 255).astype(np.uint8)
    return frame, mask


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """A number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def disc(radius_px: float, rng: Generator, roughness: float) -> Points:
    """The outline of an irregular blob around 0, 0; `roughness` 0 is a circle."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    radius = np.ones_like(angle)
    for wave in range(1, 10):
        height = roughness * rng.normal() / (wave + 1) ** 1.3
        radius += height * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    radius = radius_px * np.clip(radius, 0.4, 1.8)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).astype(np.float32)


def walk(rng: Generator, length_px: float, step_px: float, bend: float, kink: float) -> Points:
    """A path from 0, 0 in a random direction.

    Args:
        rng: Where the path comes from.
        length_px: Its length along the way.
        step_px: Length of one step.
        bend: How much its curvature changes (smooth paths).
        kink: Standard deviation in radians of the change of direction at every step.
    """
    count = max(int(length_px / step_px), 2)
    curvature = rng.normal(0, bend) + np.cumsum(rng.normal(0, bend, count)) / np.sqrt(count)
    heading = rng.uniform(0, 2 * np.pi) + np.cumsum(curvature * step_px / 100)
    heading = heading + rng.normal(0, kink, count) if kink else heading
    steps = step_px * np.stack([np.cos(heading), np.sin(heading)], 1)
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return np.asarray(path, np.float32)


def moved(plane: NDArray[_Number], right_px: int, down_px: int) -> NDArray[_Number]:
    """A plane (H, W) moved by whole pixels, 0 where nothing moves in.

    >>> moved(np.array([[1, 2], [3, 4]]), 1, 0)
    array([[0, 1],
           [0, 3]])
    """
    height, width = plane.shape
    down, right = np.clip(down_px, -height, height), np.clip(right_px, -width, width)
    result = np.zeros_like(plane)
    result[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = plane[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return result


class Canvas:
    """A small grey plane on which coverage is drawn with sub-pixel precision."""

    def __init__(self, points: Points, margin_px: float) -> None:
        """Make room for `points` (frame coordinates) with a margin around them."""
        low = np.floor(points.min(axis=0) - margin_px).astype(int)
        high = np.ceil(points.max(axis=0) + margin_px).astype(int)
        self.x, self.y = int(low[0]), int(low[1])
        self.width, self.height = int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1
        self._origin = low.astype(np.float32)

    def fill(self, outline: Points) -> Plane:
        """(h, w) float32 in [0, 1]: how much of each pixel lies inside of `outline`."""
        plane = self._large()
        cv2.fillPoly(plane, [self._fixed(outline)], 255, cv2.LINE_AA, _FRACTION_BITS)
        return self._reduce(plane)

    def stroke(self, path: Points, widths_px: Plane, strengths: Plane) -> Plane:
        """(h, w) float32 in [0, 1]: coverage of a line, times its strength there.

        Args:
            path: (n + 1, 2), where it goes.
            widths_px: (n) of each piece.
            strengths: (n) of each piece, 0 to 1.
        """
        plane = self._large()
        ends = self._fixed(path)
        for start, end, width, strength in zip(
            ends[:-1], ends[1:], widths_px, strengths, strict=True
        ):
            thickness = max(round(float(width) * _SUPERSAMPLING), 1)
            colour = float(255 * strength)
            cv2.line(
                plane,
                (int(start[0]), int(start[1])),
                (int(end[0]), int(end[1])),
                colour,
                thickness,
                cv2.LINE_AA,
                _FRACTION_BITS,
            )
        return self._reduce(plane)

    def grid(self, centre: tuple[float, float]) -> tuple[Plane, Plane]:
        """Every pixel's x and y relative to `centre`: (1, w) and (h, 1) float32."""
        x = np.arange(self.x, self.x + self.width, dtype=np.float32) - np.float32(centre[0])
        y = np.arange(self.y, self.y + self.height, dtype=np.float32) - np.float32(centre[1])
        return x[None, :], y[:, None]

    def mark(
        self, factor: Plane, offset: Plane, mask: NDArray[np.bool_], *, on_surface: bool = True
    ) -> Mark:
        """A mark at this canvas's place; `factor` and `offset` may lack the axis of channels."""
        planes = [p if p.ndim == 3 else p[..., None] for p in (factor, offset)]
        return Mark(self.x, self.y, planes[0], planes[1], mask, on_surface)

    def _large(self) -> NDArray[np.uint8]:
        return np.zeros((self.height * _SUPERSAMPLING, self.width * _SUPERSAMPLING), np.uint8)

    def _fixed(self, points: Points) -> NDArray[np.int32]:
        scaled = (points - self._origin + 0.5) * _SUPERSAMPLING - 0.5
        return np.asarray(np.round(scaled * (1 << _FRACTION_BITS)), np.int32)

    def _reduce(self, plane: NDArray[np.uint8]) -> Plane:
        small = cv2.resize(plane, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.float32) / np.float32(255)
