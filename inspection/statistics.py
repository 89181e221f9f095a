"""Tier-1 statistics of a frame: one versioned function, the same in ingest and on the line.

All are taken on one canonical plane: the frame halved until its longer side is at least `PLANE_PX`
and less than twice that (smaller frames stay as they are; an odd last row or column is cut off),
then made grey (ITU-R BT.601). The halves are those that the graph's input is made of, so they cost
nothing, and a whole number leaves no interference pattern in `noise`. Only rows of equal
`STATS_VERSION` may be compared.

Each call of OpenCV gives the interpreter's lock away and must get it back, which costs more than
the work on so small a plane when many threads decode: hence few calls.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from inspection.halves import Halves, halved

STATS_VERSION = 2
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


def statistics(frame: NDArray[np.uint8], halves: Halves | None = None) -> dict[str, float]:
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
        halves: Of this frame, when somebody else looks at it small, too.

    Raises:
        ValueError: for another shape or dtype.

    >>> values = statistics(np.full((40, 80, 1), 7, np.uint8))
    >>> values["brightness"], values["contrast"], values["aspect"], values["edge_x"]
    (7.0, 0.0, 2.0, 0.5)
    """
    plane = canonical_plane(frame, halves)
    values = (
        *_levels(plane),
        _sharpness(plane),
        _noise(plane),
        frame.shape[1] / frame.shape[0],
        *_edge_centre(plane),
    )
    return dict(zip(COLUMNS, values, strict=True))


def canonical_plane(frame: NDArray[np.uint8], halves: Halves | None = None) -> NDArray[np.uint8]:
    """The plane that all statistics are taken on, as (h, w) uint8.

    Raises:
        ValueError: when `frame` is not (H, W, 1 or 3) uint8 with at least one pixel.
    """
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (1, 3) or not frame.size:
        raise ValueError(
            f"frame is {frame.dtype} of shape {frame.shape}, expected uint8 (H, W, 1 or 3)"
        )
    times = max(1, max(frame.shape[:2]) // PLANE_PX).bit_length() - 1
    small = (halves or Halves(frame)).at(times)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if small.shape[2] == 3 else small[:, :, 0]
    return np.asarray(grey, np.uint8)


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
    small = halved(halved(plane))
    gradient = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, _NEIGHBOURS)
    sums = cv2.moments(cv2.LUT(gradient, _SQUARES))
    if sums["m00"] == 0:
        return 0.5, 0.5
    rows, columns = small.shape
    # Moments count from the middle of the first pixel.
    return (sums["m10"] / sums["m00"] + 0.5) / columns, (sums["m01"] / sums["m00"] + 0.5) / rows
