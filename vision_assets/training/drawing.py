"""Defects drawn from nothing: for lines that have few of their own, or none outlined."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_FAINTEST, _STRONGEST = 14.0, 70.0
_DARK_SHARE = 0.75


def draw(region: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """A crack, a pit or a stain on a square piece of a frame.

    Args:
        region: (side, side, channels) grey levels.
        random: Chooses kind, shape and strength.

    Returns:
        The region with the defect, and its outline (side, side), 1 inside.
    """
    side = region.shape[0]
    drawn = (_crack, _pit, _stain)[int(random.integers(3))](side, random)
    strength = random.uniform(_FAINTEST, _STRONGEST)
    # Where a dark mark would not show, it is a bright one; else mostly dark, as defects are.
    is_dark = float(region.mean()) > _STRONGEST and random.random() < _DARK_SHARE
    grain = random.normal(1.0, 0.15, (side, side)).astype(np.float32)
    change = drawn * grain * np.float32(-strength if is_dark else strength)
    return region + change[:, :, None], (drawn > 0.25).astype(np.float32)


def _crack(side: int, random: np.random.Generator) -> Floats:
    """A thin line that wanders."""
    steps = random.normal(0, 0.35, 12).cumsum() + random.uniform(0, 2 * np.pi)
    path = np.stack([np.cos(steps), np.sin(steps)], 1).cumsum(0)
    path = (path - path.min(0)) / max(float(np.ptp(path, axis=0).max()), 1e-6)
    points = (2 + path * (side - 5)).astype(np.int32)
    canvas = np.zeros((side, side), np.float32)
    cv2.polylines(canvas, [points], False, 1.0, int(random.integers(1, 3)), cv2.LINE_AA)
    return _soft(canvas, 0.5)


def _pit(side: int, random: np.random.Generator) -> Floats:
    """A small spot with a firm edge."""
    canvas = np.zeros((side, side), np.float32)
    axes = random.uniform(0.08, 0.3, 2) * side
    centre = (side // 2, side // 2)
    size = (max(1, int(axes[0])), max(1, int(axes[1])))
    cv2.ellipse(canvas, centre, size, float(random.uniform(0, 180)), 0, 360, 1.0, -1, cv2.LINE_AA)
    return _soft(canvas, 0.7)


def _stain(side: int, random: np.random.Generator) -> Floats:
    """A blot with a ragged, soft edge: smooth noise above a limit, fading outwards."""
    noise = cv2.GaussianBlur(
        random.normal(0, 1, (side, side)).astype(np.float32), (0, 0), side / 10
    )
    noise = noise / np.float32(max(float(noise.std()), 1e-6))
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    fading = 1.6 - 2.6 * np.hypot(axis[:, None], axis[None, :])
    return _soft(np.clip(noise * np.float32(0.5) + fading, 0, 1), 0.8)


def _soft(canvas: NDArray[np.float32], sigma: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma), np.float32)
