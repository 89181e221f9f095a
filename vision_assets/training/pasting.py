"""Good frames made defective: defects cut from other training frames, and drawn ones.

A line has few defects and many good frames (cut and paste: Ghiasi et al. 2021,
https://arxiv.org/abs/2012.07177). A defect goes to where defects are found: half of the time to its
own place, as it is, because parts lie alike under a fixed camera; else turned and scaled to near
another defect's place, where the surface around it looks most like its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_assets.training.drawing import draw
from vision_assets.training.source import FrameSource

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

_MOST_SHARE = 0.08
_FEWEST_PIXELS = 4
_MARGIN_PX = 6
_PLACES_TRIED = 8
_JITTER = 0.04
_MOST_CUTTINGS = 5000
_PIECES_KEPT = 256


@dataclass(frozen=True)
class Cutting:
    """Where one outlined defect is: frame, class number and box in pixels of the input."""

    position: int
    kind: int
    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Piece:
    """A defect with its surroundings.

    Attributes:
        pixels: (h, w, channels) grey levels.
        outline: (h, w) in [0, 1], where the defect is.
        ring: (h, w), which pixels show the good surface around it.
    """

    pixels: Floats
    outline: Floats
    ring: NDArray[np.bool_]


class Paster:
    """Pastes defects of a source onto its good frames."""

    def __init__(self, source: FrameSource) -> None:
        """Find every outlined defect that covers at most a twelfth of its frame."""
        # A frame may have to be decoded for every cut.
        self._cut = lru_cache(_PIECES_KEPT)(partial(cut, source))
        self.cuttings: list[Cutting] = []
        for position in range(len(source)):
            mask = source.mask(position) if source.has_outline(position) else None
            if mask is not None and len(self.cuttings) < _MOST_CUTTINGS:
                self.cuttings += _regions(position, mask)

    def paste(
        self, frame: Pixels, mask: Pixels, random: np.random.Generator
    ) -> tuple[Pixels, Pixels, int]:
        """A copy of a frame and its mask with the defect of another frame, and its class number."""
        cutting = self.cuttings[int(random.integers(len(self.cuttings)))]
        piece = self._cut(cutting)
        size = mask.shape
        if random.random() < 0.5:
            place = _corner(_centre_of(cutting) + _jitter(size, random), piece.outline.shape, size)
        else:
            piece = _within(turn(piece, random), size)
            tried = [
                _corner(self._centre(size, random), piece.outline.shape, size)
                for _ in range(_PLACES_TRIED)
            ]
            place = min(tried, key=lambda corner: _strangeness(frame, piece, corner))
        return *blend(frame, mask, piece, cutting.kind, place), cutting.kind

    def draw(
        self, frame: Pixels, mask: Pixels, kind: int, random: np.random.Generator
    ) -> tuple[Pixels, Pixels]:
        """A copy of a frame and its mask with a drawn defect, marked with `kind`."""
        side = int(random.integers(12, max(13, min(*mask.shape) // 3)))
        y, x = _corner(self._centre(mask.shape, random), (side, side), mask.shape)
        region = frame[y : y + side, x : x + side].astype(np.float32)
        pixels, outline = draw(region, random)
        return blend(frame, mask, Piece(pixels, outline, outline == 0), kind, (y, x))

    def _centre(self, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
        """Near the centre of some defect; anywhere when there is none."""
        if not self.cuttings:
            return random.uniform(0, 1, 2) * np.asarray(shape, np.float64)
        other = self.cuttings[int(random.integers(len(self.cuttings)))]
        return _centre_of(other) + _jitter(shape, random)


def _centre_of(cutting: Cutting) -> NDArray[np.float64]:
    return np.array([cutting.y + cutting.height / 2, cutting.x + cutting.width / 2])


def _jitter(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    return random.normal(0, _JITTER, 2) * np.asarray(shape, np.float64)


def _regions(position: int, mask: Pixels) -> list[Cutting]:
    found = []
    for kind in np.unique(mask[mask > 0]):
        _, _, boxes, _ = cv2.connectedComponentsWithStats((mask == kind).astype(np.uint8))
        for x, y, width, height, area in boxes[1:].tolist():
            if _FEWEST_PIXELS <= area <= _MOST_SHARE * mask.size:
                found.append(Cutting(position, int(kind), x, y, width, height))
    return found


def cut(source: FrameSource, cutting: Cutting) -> Piece:
    """One defect of a frame with a margin of surface around it."""
    frame, mask = source.pixels(cutting.position), source.mask(cutting.position)
    assert mask is not None
    rows = slice(max(0, cutting.y - _MARGIN_PX), cutting.y + cutting.height + _MARGIN_PX)
    columns = slice(max(0, cutting.x - _MARGIN_PX), cutting.x + cutting.width + _MARGIN_PX)
    marked = mask[rows, columns]
    outline = (marked == cutting.kind).astype(np.float32)
    return Piece(frame[rows, columns].astype(np.float32), outline, marked == 0)


def turn(piece: Piece, random: np.random.Generator) -> Piece:
    """The piece mirrored, turned and scaled by 0.7 to 1.4."""
    height, width = piece.outline.shape
    scale, angle = random.uniform(0.7, 1.4), random.uniform(0, 360)
    side = int(np.ceil(np.hypot(height, width) * scale)) + 2
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += (side / 2 - width / 2, side / 2 - height / 2)
    if random.random() < 0.5:
        # Mirrored: rows are counted from the other end.
        matrix[1] = np.array([0, 0, side - 1]) - matrix[1]
    planes = np.dstack([piece.outline, piece.ring.astype(np.float32)])
    pixels = cv2.warpAffine(piece.pixels, matrix, (side, side))
    turned = cv2.warpAffine(planes, matrix, (side, side))
    return Piece(
        pixels.reshape(side, side, -1).astype(np.float32),
        turned[:, :, 0].astype(np.float32),
        turned[:, :, 1] > 0.99,
    )


def blend(
    frame: Pixels, mask: Pixels, piece: Piece, kind: int, corner: tuple[int, int]
) -> tuple[Pixels, Pixels]:
    """Copies of frame (h, w, channels) and mask (h, w) with the piece at a corner (row, column).

    The piece becomes as bright as its new surroundings and fades out at its edge.
    """
    height, width = piece.outline.shape
    part = (slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width))
    soft = cv2.GaussianBlur(cv2.dilate(piece.outline, np.ones((3, 3), np.uint8)), (0, 0), 1.0)
    new = piece.pixels + _lift(frame[part], piece)
    mixed = frame[part] + soft[:, :, None] * (new - frame[part])
    changed, marked = frame.copy(), mask.copy()
    changed[part] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    marked[part][piece.outline >= 0.5] = kind
    return changed, marked


def _lift(region: Pixels, piece: Piece) -> NDArray[np.float32]:
    """How much brighter the region is around the defect than the piece, by channel."""
    if not piece.ring.any():
        return np.zeros(region.shape[2], np.float32)
    apart = region[piece.ring] - piece.pixels[piece.ring]
    return np.asarray(apart.mean(0), np.float32)


def _strangeness(frame: Pixels, piece: Piece, corner: tuple[int, int]) -> float:
    """How much a place differs from the piece's own surroundings, brightness apart."""
    if not piece.ring.any():
        return 0.0
    height, width = piece.outline.shape
    region = frame[corner[0] : corner[0] + height, corner[1] : corner[1] + width]
    apart = region[piece.ring] - piece.pixels[piece.ring]
    return float(np.abs(apart - apart.mean(0)).mean())


def _within(piece: Piece, shape: tuple[int, ...]) -> Piece:
    """The middle of a piece that is larger than the frame."""
    have = piece.outline.shape
    top, left = (max(0, (a - b) // 2) for a, b in zip(have, shape, strict=True))
    part = (slice(top, top + shape[0]), slice(left, left + shape[1]))
    return Piece(piece.pixels[part], piece.outline[part], piece.ring[part])


def _corner(
    centre: NDArray[np.float64], size: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int]:
    """The corner (row, column) of a box about that centre, moved into the frame."""
    row, column = (
        int(min(max(0, round(middle - side / 2)), most - side))
        for middle, side, most in zip(centre.tolist(), size, shape, strict=True)
    )
    return row, column
