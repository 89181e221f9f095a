"""Tier-1 statistics of a frame: one versioned function, the same in ingest and on the line.

All are taken on one canonical plane: grey (ITU-R BT.601), area-reduced by the whole number that
leaves its longer side at least `PLANE_PX` and less than twice that (smaller frames stay as they
are; up to one cell at the right and the lower edge is cut off). A whole number costs an eighth of a
broken one and leaves no interference pattern in `noise`. Only rows of equal `STATS_VERSION` may be
compared.

Each call of OpenCV gives the interpreter's lock away and must get it back, which costs more than
the work on so small a plane when many threads decode: hence few calls.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

STATS_VERSION = 1
PLANE_PX = 256
COLUMNS: tuple[str, ...] = (
    "brightness",
    "contrast",
    "clipped_low",
    "clipped_high",
    "sharpness",
    "noise",
    "aspect",
    "edge_x",
    "edge_y",
)

_CLIPPED_LOW, _CLIPPED_HIGH = 2, 253
_SQUARES = np.arange(256, dtype=np.uint16) ** 2
_NEIGHBOURS = np.ones((3, 3), np.uint8)


def statistics(frame: NDArray[np.uint8]) -> dict[str, float]:
    """The tier-1 statistics of one frame, keyed by `COLUMNS`.

    With plane I of W x H pixels, grey levels in [0, 255]:

    - ``brightness``: mean of I.
    - ``contrast``: standard deviation of I.
    - ``clipped_low``, ``clipped_high``: share of pixels with I <= 2, I >= 253, in [0, 1].
    - ``sharpness``: variance of the Laplacian of I (mask [2 0 2; 0 -8 0; 2 0 2], borders mirrored).
    - ``noise``: estimate of the noise's standard deviation, sqrt(pi/2) / (6 W H) * sum |I * N|
      (J. Immerkær, "Fast Noise Variance Estimation", CVIU 64(2), 1996, eq. 5; borders mirrored), of
      every second row of I: half the work for the same estimate.
    - ``aspect``: width / height of the frame itself.
    - ``edge_x``, ``edge_y``: centroid of the gradient energy G² as a share of width and height in
      [0, 1]; 0.5 without any gradient. G is the morphological gradient (highest less lowest of
      3 x 3 pixels) of I halved twice more. They move with the camera.

    Args:
        frame: (H, W, 1) or (H, W, 3) uint8, colour in the order red, green, blue.

    Raises:
        ValueError: for another shape or dtype.

    >>> values = statistics(np.full((40, 80, 1), 7, np.uint8))
    >>> values["brightness"], values["contrast"], values["aspect"], values["edge_x"]
    (7.0, 0.0, 2.0, 0.5)
    """
    plane = canonical_plane(frame)
    values = (
        *_levels(plane),
        _sharpness(plane),
        _noise(plane),
        frame.shape[1] / frame.shape[0],
        *_edge_centre(plane),
    )
    return dict(zip(COLUMNS, values, strict=True))


def canonical_plane(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The plane that all statistics are taken on, as (h, w) uint8.

    Raises:
        ValueError: when `frame` is not (H, W, 1 or 3) uint8 with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3) or not frame.size:
        raise ValueError(
            f"frame is {frame.dtype} of shape {frame.shape}, expected uint8 (H, W, 1 or 3)"
        )
    height, width, channels = frame.shape
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) if channels == 3 else frame[:, :, 0]
    return _reduced(np.asarray(grey, np.uint8), max(height, width) // PLANE_PX)


def _reduced(plane: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The means of cells of `factor` x `factor` pixels."""
    if factor <= 1:
        return plane
    rows, columns = (max(1, side // factor) for side in plane.shape)
    whole = plane[: rows * factor, : columns * factor]
    return np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _levels(plane: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Brightness, contrast and both clipped shares."""
    mean, deviation = cv2.meanStdDev(plane)
    low = int(np.count_nonzero(plane <= _CLIPPED_LOW))
    high = int(np.count_nonzero(plane >= _CLIPPED_HIGH))
    return float(mean[0, 0]), float(deviation[0, 0]), low / plane.size, high / plane.size


def _sharpness(plane: NDArray[np.uint8]) -> float:
    """From two vectorised sums; `cv2.meanStdDev` is ten times slower on int16."""
    values = cv2.Laplacian(plane, cv2.CV_16S, ksize=3)
    mean = cv2.sumElems(values)[0] / values.size
    return max(0.0, cv2.norm(values, cv2.NORM_L2SQR) / values.size - mean * mean)


def _noise(plane: NDArray[np.uint8]) -> float:
    """Immerkær's estimate; his mask N = [1 -2 1]' [1 -2 1] is Sobel's of order (2, 2)."""
    rows = plane[::2]
    residual = cv2.norm(cv2.Sobel(rows, cv2.CV_16S, 2, 2), cv2.NORM_L1)
    return math.sqrt(math.pi / 2) / 6 * residual / rows.size


def _edge_centre(plane: NDArray[np.uint8]) -> tuple[float, float]:
    """Centroid of the gradient energy as shares of width and height."""
    small = _reduced(_reduced(plane, 2), 2)
    gradient = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, _NEIGHBOURS)
    sums = cv2.moments(cv2.LUT(gradient, _SQUARES))
    if sums["m00"] == 0:
        return 0.5, 0.5
    rows, columns = small.shape
    # Moments count from the middle of the first pixel.
    return (sums["m10"] / sums["m00"] + 0.5) / columns, (sums["m01"] / sums["m00"] + 0.5) / rows
