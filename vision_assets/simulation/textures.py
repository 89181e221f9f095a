"""Surfaces of parts: turning marks, brush marks and moulding grain, as flat grey pictures.

A texture is (SIDE_PX, SIDE_PX) uint8 around 118, the reflectance of a face under even light.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

SIDE_PX = 720
MEAN = 118.0
_NO_BLUR = 1e-3
"""To OpenCV a sigma of 0 would mean that it is to find one."""

Plane = NDArray[np.float32]
Texture = NDArray[np.uint8]


def turned(rng: Generator) -> Texture:
    """A face turned on a lathe: feed marks, bands of the tool's wear, streaks along the turn."""
    radii, angles = SIDE_PX, 2048
    feed_px = rng.uniform(4.0, 6.0)
    radius = np.arange(radii, dtype=np.float32)[:, None]
    wander = smooth(rng, (radii, 1), (9, 0)) * 1.2
    marks = 5.0 * np.sin(2 * np.pi * (radius / feed_px + wander)) + smooth(rng, (radii, 1), (1, 0))
    bands = 6.0 * smooth(rng, (radii, 1), (14, 0))
    streaks = 4.0 * smooth(rng, (radii, angles), (0.7, 60), wrap=True)
    chatter = 1.5 * smooth(rng, (radii, angles), (20, 12), wrap=True)
    polar = (marks + bands + streaks + chatter).astype(np.float32)
    return _quantise(_to_disc(polar, rng) + 2.0 * smooth(rng, (SIDE_PX, SIDE_PX), (0.6, 0.6)))


def brushed(rng: Generator) -> Texture:
    """A plate ground along its length: fine lines, some deeper, with slow waves."""
    shape = (SIDE_PX, SIDE_PX)
    fine = 6.0 * smooth(rng, shape, (0.6, 45))
    coarse = 4.0 * smooth(rng, shape, (1.4, 150))
    waves = 4.0 * smooth(rng, shape, (40, 90))
    return _quantise(fine + coarse + waves + 2.0 * smooth(rng, shape, (0.6, 0.6)))


def moulded(rng: Generator) -> Texture:
    """A moulded face: leathery grain, flow marks, slow changes of gloss."""
    shape = (SIDE_PX, SIDE_PX)
    grain = np.clip(smooth(rng, shape, (2.2, 2.2)), -1.2, 2.0)
    fine = smooth(rng, shape, (0.8, 0.8))
    flow = smooth(rng, shape, (18, 70))
    return _quantise(6.0 * grain + 3.0 * fine + 4.0 * flow - 12.0)


def smooth(
    rng: Generator, shape: tuple[int, int], sigma: tuple[float, float], *, wrap: bool = False
) -> Plane:
    """Noise of unit variance, smoothed by `sigma` (down, across); 0 leaves an axis as it is.

    Args:
        rng: Where the noise comes from.
        shape: Height and width.
        sigma: Standard deviations of the Gaussian in pixels.
        wrap: Whether the right end goes on at the left one.

    Returns:
        (H, W) float32, mean 0, standard deviation 1.
    """
    steps = [_coarseness(axis) for axis in sigma]
    height, width = (-(-side // step) for side, step in zip(shape, steps, strict=True))
    noise = rng.standard_normal((height, width), dtype=np.float32)
    down, across = (max(axis / step, _NO_BLUR) for axis, step in zip(sigma, steps, strict=True))
    pad = int(4 * across) + 1 if wrap else 0
    if pad:
        noise = np.concatenate([noise[:, -pad:], noise, noise[:, :pad]], axis=1)
    height, width = noise.shape
    # OpenCV drops an axis of length 1.
    fine = cv2.GaussianBlur(noise, (0, 0), across, sigmaY=down).reshape(height, width)
    if steps != [1, 1]:
        fine = cv2.resize(fine, (width * steps[1], height * steps[0]))
    left = pad * steps[1]
    fine = fine[: shape[0], left : left + shape[1]]
    fine = fine - fine.mean()
    return np.asarray(fine / max(float(fine.std()), 1e-6), np.float32)


def _coarseness(sigma: float) -> int:
    """By how much noise can be coarser (a power of two) when it is smoothed by `sigma` anyway."""
    return 1 << max(int(np.log2(max(sigma, 1) / 2.5)), 0)


def _to_disc(polar: Plane, rng: Generator) -> Plane:
    """A picture over (radius, angle) wound around a centre that is a little off, as on a lathe."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    off_x, off_y = rng.uniform(-1.5, 1.5, 2)
    x, y = x - SIDE_PX / 2 - off_x, y - SIDE_PX / 2 - off_y
    angle = (np.arctan2(y, x) / (2 * np.pi) + 0.5) * polar.shape[1]
    disc = cv2.remap(
        polar,
        angle.astype(np.float32),
        np.hypot(x, y).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(disc, np.float32)


def _quantise(relief: Plane) -> Texture:
    return np.asarray(np.clip(relief + MEAN, 0, 255), np.uint8)
