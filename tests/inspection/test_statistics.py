"""Each statistic is what its formula says, and moves with what it is there to notice."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from inspection.statistics import COLUMNS, PLANE_PX, STATS_VERSION, canonical_plane, statistics

FRAMES = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    elements=st.integers(0, 255),
)


def part(height: int = 480, width: int = 640, x: int = 200, y: int = 120) -> NDArray[np.uint8]:
    """A bright square with soft edges on a dark ground, grey."""
    frame = np.full((height, width), 60, np.uint8)
    frame[y : y + 160, x : x + 160] = 180
    return cv2.GaussianBlur(frame, (0, 0), 1)[:, :, None].astype(np.uint8)


def noisy(frame: NDArray[np.uint8], sigma: float, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, sigma, frame.shape)
    return np.clip(np.rint(frame + noise), 0, 255).astype(np.uint8)


def test_a_hand_worked_frame() -> None:
    frame = np.zeros((4, 4, 1), np.uint8)
    frame[:, 2:] = 100
    values = statistics(frame)
    assert values["brightness"] == 50
    assert values["contrast"] == 50
    # Rows of the Laplacian with mirrored borders: 0, 400, -400, 0.
    assert values["sharpness"] == 80_000
    assert (values["clipped_low"], values["clipped_high"]) == (0.5, 0)
    # The second difference along y is zero everywhere, so no noise is seen in a straight edge.
    assert values["noise"] == 0
    assert (values["aspect"], values["edge_x"], values["edge_y"]) == (1, 0.5, 0.5)


@settings(deadline=None)
@given(frame=FRAMES)
def test_every_frame_has_finite_values_in_range(frame: NDArray[np.uint8]) -> None:
    values = statistics(frame)
    assert tuple(values) == COLUMNS
    assert all(type(value) is float and math.isfinite(value) for value in values.values())
    assert min(values.values()) >= 0
    for name in ("clipped_low", "clipped_high", "edge_x", "edge_y"):
        assert values[name] <= 1


@settings(deadline=None)
@given(frame=FRAMES)
@example(frame=np.full((8, 7, 1), 90, np.uint8))
def test_a_small_plane_agrees_with_numpy(frame: NDArray[np.uint8]) -> None:
    plane = canonical_plane(frame).astype(float)
    values = statistics(frame)
    padded = np.pad(plane, 1, mode="reflect" if min(plane.shape) > 1 else "edge")
    around = padded[:-2, :-2] + padded[2:, :-2] + padded[:-2, 2:] + padded[2:, 2:]
    assert values["brightness"] == pytest.approx(plane.mean())
    # As variances: the root of a rounding error of 1e-12 is 1e-6.
    assert values["contrast"] ** 2 == pytest.approx(plane.var(), abs=1e-9)
    if min(plane.shape) > 1:
        assert values["sharpness"] == pytest.approx((2 * around - 8 * plane).var(), abs=1e-6)
    assert values["clipped_low"] == pytest.approx((plane <= 2).mean())
    assert values["clipped_high"] == pytest.approx((plane >= 253).mean())


@pytest.mark.parametrize("sigma", [1.0, 3.0, 8.0])
def test_noise_is_the_deviation_of_what_was_added(sigma: float) -> None:
    frame = noisy(np.full((200, 250, 1), 128, np.uint8), sigma)
    assert statistics(frame)["noise"] == pytest.approx(sigma, rel=0.05)


def test_blur_lowers_sharpness_and_light_moves_brightness() -> None:
    frame = noisy(part(), 2)
    blurred = cv2.GaussianBlur(frame, (0, 0), 3)[:, :, None].astype(np.uint8)
    assert statistics(blurred)["sharpness"] < 0.2 * statistics(frame)["sharpness"]
    darker = (frame * 0.7).astype(np.uint8)
    ratio = statistics(darker)["brightness"] / statistics(frame)["brightness"]
    assert ratio == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(("dx", "dy"), [(16, 0), (0, -24), (32, 40)])
def test_a_moved_camera_moves_the_edge_centre_by_as_much(dx: int, dy: int) -> None:
    before, after = statistics(part()), statistics(part(x=200 + dx, y=120 + dy))
    assert after["edge_x"] - before["edge_x"] == pytest.approx(dx / 640, abs=0.004)
    assert after["edge_y"] - before["edge_y"] == pytest.approx(dy / 480, abs=0.004)


def test_grey_and_colour_of_the_same_grey_agree() -> None:
    frame = noisy(part(), 3)
    assert statistics(np.repeat(frame, 3, axis=2)) == statistics(frame)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (480, 640, 240, 320),
        (2048, 2448, 256, 306),
        (101, 513, 50, 256),
        (100, 80, 100, 80),
        (3, 2560, 1, 320),
        (256, 511, 256, 511),
        (512, 4, 256, 2),
    ],
)
def test_the_plane_is_halved_until_it_is_small(
    height: int, width: int, rows: int, columns: int
) -> None:
    plane = canonical_plane(np.zeros((height, width, 1), np.uint8))
    assert plane.shape == (rows, columns)
    assert max(height, width) < PLANE_PX or PLANE_PX <= max(plane.shape) < 2 * PLANE_PX


def test_colour_is_weighted_as_red_green_blue() -> None:
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:, :, 0] = 200
    assert statistics(frame)["brightness"] == pytest.approx(0.299 * 200, abs=0.6)


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 1), np.uint16),
        np.zeros((0, 4, 1), np.uint8),
    ],
)
def test_another_shape_or_dtype_is_refused(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(H, W, 1 or 3\)"):
        statistics(frame)


def test_the_version_goes_up_when_the_values_change() -> None:
    """Values of version 2; whoever changes them raises `STATS_VERSION` and these figures."""
    frame = np.random.default_rng(7).integers(0, 256, (480, 640, 3), np.uint8)
    frame[:200, :300] //= 40
    expected = [
        103.2529,
        54.16007,
        0.05847656,
        0,
        40742.4,
        20.25407,
        1.333333,
        0.4203457,
        0.4419549,
    ]
    assert STATS_VERSION == 2
    assert list(statistics(frame).values()) == pytest.approx(expected, rel=1e-5)
