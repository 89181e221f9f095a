"""What can be wrong with a part: each kind draws itself as a mark with an exact mask.

Sizes are log-uniform from subtle to plain. The subtlest are still seen by a person, and survive a
reduction of the frame to 256 x 256: a defect nobody could see would only make the figures worse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from vision_assets.simulation.marks import Canvas, Mark, Points, disc, log_uniform, walk
from vision_assets.simulation.textures import Plane, smooth

_SEEN = 0.35
"""Coverage from which a pixel belongs to the defect."""


@dataclass(frozen=True)
class Spot:
    """Where a defect sits in a frame.

    Attributes:
        x: In pixels of the frame.
        y: In pixels of the frame.
        inward: Direction from the rim into the part (unit vector); for chips and burrs.
        light: Direction towards the lamp (unit vector).
    """

    x: float
    y: float
    inward: tuple[float, float]
    light: tuple[float, float]

    @property
    def centre(self) -> Points:
        """Its x and y, to add to a path or an outline."""
        return np.array([self.x, self.y], np.float32)


def scratch(rng: Generator, spot: Spot) -> Mark:
    """A long bright line with a dark flank, now deeper, now lighter."""
    path = walk(rng, log_uniform(rng, 40, 230), 4.0, bend=rng.choice([0.15, 0.8]), kink=0)
    path = path - path[len(path) // 2] + spot.centre
    width, depth = log_uniform(rng, 1.8, 3.6), log_uniform(rng, 42, 110)
    pieces = len(path) - 1
    ends = np.clip(np.minimum(np.arange(pieces), np.arange(pieces)[::-1]) / 3 + 0.5, 0, 1)
    strengths = ends * (0.85 + 0.25 * smooth(rng, (1, pieces), (0, 2))[0])
    canvas = Canvas(path, 6)
    core = canvas.stroke(path, np.full(pieces, width, np.float32), np.clip(strengths, 0.45, 1))
    flank = _shifted(core, spot.light, 1.5)
    return canvas.mark(
        1 - 0.35 * np.clip(flank - core, 0, 1),
        np.float32(depth) * core,
        np.maximum(core, 0.6 * flank) > _SEEN,
    )


def pit(rng: Generator, spot: Spot) -> Mark:
    """One to five small holes, dark, with a bright edge away from the lamp."""
    radius = log_uniform(rng, 3.4, 11)
    count = 1 + rng.binomial(4, 0.25)
    spread = rng.normal(0, 2.5 * radius, (count, 2)).astype(np.float32)
    spread[0] = 0
    centres = spot.centre + spread
    canvas = Canvas(centres, 2.2 * radius + 4)
    depth = log_uniform(rng, 0.4, 0.75)
    cover = np.zeros((canvas.height, canvas.width), np.float32)
    for centre in centres:
        size = radius if centre is centres[0] else radius * rng.uniform(0.45, 0.9)
        cover = np.maximum(cover, canvas.fill(centre + disc(size, rng, 0.25)))
    lit = np.clip(cover - _shifted(cover, spot.light, max(1.5, 0.3 * radius)), 0, 1)
    shade = np.clip(cover - lit, 0, 1)
    return canvas.mark(1 - depth * shade, 38 * lit, cover > _SEEN)


def stain(rng: Generator, spot: Spot) -> Mark:
    """A brownish film of uneven thickness with a darker line where it dried."""
    radius = log_uniform(rng, 13, 52)
    outline = spot.centre + disc(radius, rng, 0.55)
    canvas = Canvas(outline, 4)
    cover = canvas.fill(outline)
    film = cv2.GaussianBlur(cover, (0, 0), 1.0)
    edge = np.clip(film - cv2.erode(film, np.ones((5, 5), np.uint8)), 0, 1)
    uneven = np.clip(1 + 0.3 * smooth(rng, film.shape, (radius / 4, radius / 4)), 0.4, 1.6)
    depth = log_uniform(rng, 0.15, 0.4)
    loss = depth * film * uneven + 0.6 * depth * edge
    factor = 1 - np.clip(loss, 0, 0.8)[..., None] * np.array([0.85, 1.0, 1.2], np.float32)
    return canvas.mark(factor.astype(np.float32), np.zeros_like(film), cover > _SEEN)


def crack(rng: Generator, spot: Spot) -> Mark:
    """A thin dark jagged line that branches and thins out."""
    length = log_uniform(rng, 45, 190)
    trunk = walk(rng, length, 5.0, bend=1.0, kink=0.45)
    trunk = trunk - trunk[len(trunk) // 2] + spot.centre
    paths = [trunk]
    for _ in range(rng.binomial(3, min(length / 200, 0.8))):
        root = trunk[rng.integers(1, len(trunk) - 1)]
        paths.append(root + walk(rng, length * rng.uniform(0.15, 0.4), 4.0, bend=1.0, kink=0.5))
    canvas = Canvas(np.concatenate(paths), 5)
    width, depth = log_uniform(rng, 1.8, 3.2), log_uniform(rng, 0.42, 0.8)
    cover = np.zeros((canvas.height, canvas.width), np.float32)
    for number, path in enumerate(paths):
        pieces = len(path) - 1
        taper = np.linspace(1, 0.55, pieces) if number else _spindle(pieces)
        widths = (width * (0.7 if number else 1) * taper).astype(np.float32)
        cover = np.maximum(cover, canvas.stroke(path, widths, np.ones(pieces, np.float32)))
    lip = np.clip(_shifted(cover, spot.light, -1.5) - cover, 0, 1)
    return canvas.mark(1 - depth * cover, 14 * lip, cover > _SEEN)


def chip(rng: Generator, spot: Spot) -> Mark:
    """Material broken out of the rim, with a rough, slanting fracture."""
    depth_px = log_uniform(rng, 10, 30)
    across = depth_px * rng.uniform(1.0, 2.0)
    inward = np.array(spot.inward, np.float32)
    along = np.array([-inward[1], inward[0]], np.float32)
    blob = disc(1.0, rng, 0.5)
    outline = spot.centre + depth_px * blob[:, :1] * inward + across * blob[:, 1:] * along
    canvas = Canvas(outline.astype(np.float32), 4)
    cover = canvas.fill(outline.astype(np.float32))
    x, y = canvas.grid((spot.x, spot.y))
    slant = np.clip((x * inward[0] + y * inward[1]) / depth_px, 0, 1)
    facets = 10 * smooth(rng, cover.shape, (3.0, 3.0)) + 45 * slant + rng.uniform(30, 55)
    ridge = np.clip(cover - _shifted(cover, spot.light, 2.0), 0, 1)
    return canvas.mark(1 - cover, cover * facets + 55 * ridge, cover > _SEEN)


def burr(rng: Generator, spot: Spot) -> Mark:
    """Bright slivers of metal that stand out over the rim."""
    inward = np.array(spot.inward, np.float32)
    along = np.array([-inward[1], inward[0]], np.float32)
    reach, half = log_uniform(rng, 4, 9), log_uniform(rng, 16, 55)
    steps = np.linspace(-half, half, 80, dtype=np.float32)
    teeth = np.abs(smooth(rng, (1, 80), (0, 2.5))[0]) + 0.5
    out = reach * teeth * np.sqrt(np.clip(1 - (steps / half) ** 2, 0, 1))
    outer = spot.centre + steps[:, None] * along - out[:, None].astype(np.float32) * inward
    inner = (spot.centre + steps[:, None] * along + 2.0 * inward)[::-1]
    outline = np.concatenate([outer, inner]).astype(np.float32)
    canvas = Canvas(outline, 4)
    cover = canvas.fill(outline)
    gleam = 140 + 22 * smooth(rng, cover.shape, (2.0, 2.0))
    return canvas.mark(1 - cover, cover * gleam, cover > _SEEN, on_surface=False)


def discolouration(rng: Generator, spot: Spot) -> Mark:
    """The temper colours of a face that got too hot: straw, then brown, then blue inside."""
    radius = log_uniform(rng, 28, 85)
    outline = spot.centre + disc(radius, rng, 0.3)
    canvas = Canvas(outline, 0.7 * radius)
    cover = canvas.fill(outline)
    heat = cv2.GaussianBlur(cover, (0, 0), 0.22 * radius) * log_uniform(rng, 0.7, 1.1)
    stops = np.array([0.0, 0.35, 0.65, 1.1], np.float32)
    colours = ((1, 1, 1), (1.04, 0.95, 0.76), (0.9, 0.74, 0.68), (0.7, 0.77, 0.95))
    channels = [np.interp(heat, stops, [c[i] for c in colours]) for i in range(3)]
    factor = np.stack(channels, axis=-1).astype(np.float32)
    return canvas.mark(factor, np.zeros_like(cover), heat > 0.3)


DRAW: dict[str, Callable[[Generator, Spot], Mark]] = {
    kind.__name__: kind for kind in (scratch, pit, stain, crack, chip, burr, discolouration)
}
"""How each class of defect is drawn."""

ON_RIM = frozenset({"chip", "burr"})
"""Classes that sit on the rim; all others sit on the face."""


def _shifted(plane: Plane, direction: tuple[float, float], distance_px: float) -> Plane:
    """`plane` moved by `distance_px` along `direction`."""
    move = np.array(
        [[1, 0, direction[0] * distance_px], [0, 1, direction[1] * distance_px]], np.float32
    )
    moved = cv2.warpAffine(plane, move, (plane.shape[1], plane.shape[0]))
    return np.asarray(moved, np.float32)


def _spindle(pieces: int) -> Plane:
    """1 in the middle, 0.55 at both ends."""
    return np.asarray(1 - 0.45 * np.abs(np.linspace(-1, 1, pieces)), np.float32)
