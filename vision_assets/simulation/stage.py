"""A camera's place on the line: lamp, lens, sensor and the fixture behind the part.

A stage is fixed: the same camera number stands at the same place in every batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vision_assets.simulation.blanks import Blank
from vision_assets.simulation.marks import Points, moved
from vision_assets.simulation.settings import SimulationSettings
from vision_assets.simulation.textures import SIDE_PX, Plane, smooth

WIDTH_PX, HEIGHT_PX = 640, 480
NOMINAL_EXPOSURE_MS = 4.0
_LENS_BLUR_PX = 0.6
_NOISE = 2.2
_NOISE_PLAY_PX = 64
_UNIT_SHADE = 128.0
_JITTER_PX = 6.0
_CUT_PX = 120.0
_PLACES = 20
"""Chosen by eye among numbers that make the first cameras' lamps differ."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stage:
    """Where one camera stands.

    Attributes:
        light: Direction towards the lamp in the frame (unit vector).
        shade: (H, W) uint8, how much light comes back from an even face; 128 is nominal.
        background: (H, W) uint8, the fixture without a part.
    """

    light: tuple[float, float]
    shade: Pixels
    background: Pixels


@dataclass(frozen=True)
class Exposure:
    """How one frame was taken.

    Attributes:
        pose: (2, 3) float64, from the blank's coordinates to the frame's.
        exposure_ms: What the camera states.
        gain: Brightness against the nominal one: exposure, reflectance of the part and lamp.
        balance: Tint of the part and white balance, in red, green and blue.
        texture: Which of the blank's surfaces the part has.
        grain: (2, 3) float64, from that surface's coordinates to the frame's; no two parts show
            the same piece of it in the same place.
    """

    pose: NDArray[np.float64]
    exposure_ms: float
    gain: float
    balance: NDArray[np.float64]
    texture: int
    grain: NDArray[np.float64]

    def to_frame(self, points: Points) -> Points:
        """(n, 2) points of the blank, in the frame."""
        return np.asarray(points @ self.pose[:, :2].T + self.pose[:, 2], np.float32)


@dataclass(frozen=True)
class Scene:
    """What is in front of the lens; the pixels are marked in place.

    Attributes:
        pixels: (H, W, 3) uint8.
        surface: (H, W) uint8, 255 on the face of the part.
        exposure: How the frame is going to be taken.
    """

    pixels: Pixels
    surface: Pixels
    exposure: Exposure


def make_stage(camera: int, blank: Blank, settings: SimulationSettings) -> Stage:
    """The place of camera number `camera` (0 is the first), for faces like `blank`."""
    rng = np.random.default_rng([camera, _PLACES])
    angle = rng.uniform(0, 2 * np.pi)
    light = (float(np.cos(angle)), float(np.sin(angle)))
    return Stage(light, _shade(rng, light, blank), _background(rng, settings.shift_px))


def expose(rng: Generator, blank: Blank, settings: SimulationSettings) -> Exposure:
    """Put a part in front of the camera, a little differently every time."""
    pose = _turn(rng.uniform(-blank.tilt_rad, blank.tilt_rad), rng.uniform(0.994, 1.006))
    middle = np.array([WIDTH_PX - SIDE_PX, HEIGHT_PX - SIDE_PX]) / 2
    pose[:, 2] += middle + rng.uniform(-_JITTER_PX, _JITTER_PX, 2) + settings.shift_px
    exposure_ms = round(NOMINAL_EXPOSURE_MS * float(np.exp(rng.normal(0, 0.05))), 3)
    reflectance = float(np.exp(rng.normal(0, 0.05)))
    return Exposure(
        pose,
        exposure_ms,
        exposure_ms / NOMINAL_EXPOSURE_MS * reflectance * settings.lighting,
        np.array(blank.tint) * np.exp(rng.normal(0, 0.004, 3)),
        int(rng.integers(len(blank.textures))),
        pose @ np.vstack([_cut(rng, blank), [0, 0, 1]]),
    )


def bare(stage: Stage, blank: Blank, exposure: Exposure) -> Scene:
    """A faultless part in its place, before lens and sensor."""
    surface = _warp(blank.surface, exposure.pose, cv2.BORDER_CONSTANT)
    face = _warp(blank.textures[exposure.texture], exposure.grain, cv2.BORDER_REFLECT)
    lit = cv2.multiply(face, stage.shade, scale=1 / _UNIT_SHADE)
    face = _bevel(np.asarray(lit, np.uint8), surface, stage.light)
    behind = cv2.subtract(stage.background, _shadow(stage.background, surface, stage.light))
    scene = cv2.add(
        cv2.multiply(face, surface, scale=1 / 255),
        cv2.multiply(behind, cv2.bitwise_not(surface), scale=1 / 255),
    )
    colours = [cv2.convertScaleAbs(scene, alpha=exposure.gain * b) for b in exposure.balance]
    return Scene(np.asarray(cv2.merge(colours), np.uint8), surface, exposure)


def take(scene: Scene, focus_px: float, rng: Generator) -> Pixels:
    """What lens and sensor make of a scene: blur and noise. (H, W, 3) uint8."""
    seen = cv2.GaussianBlur(scene.pixels, (0, 0), float(np.hypot(_LENS_BLUR_PX, focus_px)))
    top, left = rng.integers(0, _NOISE_PLAY_PX, 2)
    window = (slice(top, top + HEIGHT_PX), slice(left, left + WIDTH_PX))
    more, less = _noise()
    return np.asarray(cv2.subtract(cv2.add(seen, more[window]), less[window]), np.uint8)


def _turn(angle_rad: float, scale: float) -> NDArray[np.float64]:
    """A rotation about the middle of the blank's coordinates. (2, 3) float64."""
    middle = (SIDE_PX / 2, SIDE_PX / 2)
    return np.asarray(cv2.getRotationMatrix2D(middle, float(np.degrees(angle_rad)), scale))


def _cut(rng: Generator, blank: Blank) -> NDArray[np.float64]:
    """Which piece of the surface's picture a part shows, and how it is turned. (2, 3) float64."""
    if blank.is_round:
        return _turn(rng.uniform(-np.pi, np.pi), 1.0)
    half_turn = _turn(np.pi * rng.integers(2), 1.0)
    half_turn[:, 2] += rng.uniform(-_CUT_PX, _CUT_PX, 2)
    return half_turn


def _shade(rng: Generator, light: tuple[float, float], blank: Blank) -> Pixels:
    """Fall-off from the lamp, vignette, a soft highlight and, on turned faces, its bow tie."""
    y, x = np.mgrid[:HEIGHT_PX, :WIDTH_PX].astype(np.float32)
    x, y = x - WIDTH_PX / 2, y - HEIGHT_PX / 2
    towards = (x * light[0] + y * light[1]) / 320
    shade = 1 + 0.13 * towards - 0.12 * (x**2 + y**2) / 400**2
    spot = np.exp(-((x - 90 * light[0]) ** 2 + (y - 90 * light[1]) ** 2) / (2 * 110.0**2))
    shade += 0.16 * blank.gloss * spot
    if blank.is_round:
        angle = np.arctan2(y, x) - np.arctan2(light[1], light[0]) - rng.uniform(-0.2, 0.2)
        shade += 0.34 * blank.gloss * (np.exp(4.5 * (np.cos(2 * angle) - 1)) - 0.2)
    return np.asarray(np.clip(shade * _UNIT_SHADE, 0, 255), np.uint8)


def _background(rng: Generator, shift_px: tuple[float, float]) -> Pixels:
    """A dark worn fixture with two rails."""
    plane = 32 + 4 * smooth(rng, (HEIGHT_PX, WIDTH_PX), (5, 5))
    plane += 3 * smooth(rng, (HEIGHT_PX, WIDTH_PX), (0.7, 0.7))
    top = int(rng.integers(40, 90))
    for row in (top, HEIGHT_PX - top):
        plane[row : row + 14] += 14
        plane[row + 14 : row + 17] -= 12
    shift = np.array([[1, 0, shift_px[0]], [0, 1, shift_px[1]]], np.float64)
    return _warp(np.clip(plane, 4, 255).astype(np.uint8), shift, cv2.BORDER_REFLECT)


def _bevel(face: Pixels, surface: Pixels, light: tuple[float, float]) -> Pixels:
    """Bright edges towards the lamp, dark ones away from it."""
    right, down = round(2.4 * light[0]), round(2.4 * light[1])
    lit = cv2.subtract(surface, moved(surface, -right, -down))
    dark = cv2.subtract(surface, moved(surface, right, down))
    lit, dark = cv2.convertScaleAbs(lit, alpha=0.25), cv2.convertScaleAbs(dark, alpha=0.25)
    return np.asarray(cv2.subtract(cv2.add(face, lit), dark), np.uint8)


def _shadow(background: Pixels, surface: Pixels, light: tuple[float, float]) -> Pixels:
    cast = cv2.blur(moved(surface, round(-10 * light[0]), round(-10 * light[1])), (21, 21))
    return np.asarray(cv2.multiply(background, cast, scale=0.6 / 255), np.uint8)


def _warp(plane: Pixels, matrix: NDArray[np.float64], border: int) -> Pixels:
    warped = cv2.warpAffine(plane, matrix, (WIDTH_PX, HEIGHT_PX), borderMode=border)
    return np.asarray(warped, np.uint8)


@cache
def _noise() -> tuple[Pixels, Pixels]:
    """The sensor's noise as what it adds and what it takes away; a frame shows a window of it."""
    rng = np.random.default_rng(7)
    shape = (HEIGHT_PX + _NOISE_PLAY_PX, WIDTH_PX + _NOISE_PLAY_PX)
    planes: list[Plane] = [_NOISE * smooth(rng, shape, (0.45, 0.45)) for _ in range(3)]
    noise = np.round(np.stack(planes, axis=-1))
    return np.clip(noise, 0, 255).astype(np.uint8), np.clip(-noise, 0, 255).astype(np.uint8)
