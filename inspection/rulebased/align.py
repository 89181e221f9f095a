"""Where a part lies in its frame: a bounded search for its place against a template."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]
"""A grey plane, (height, width) uint8."""

Floats = NDArray[np.float32]

# Longer sides of the reduced planes. The coarse one finds the whole shift; the fine one gives a
# tenth of its pixel, which the tolerance of the difference covers.
_COARSE_PX, _FINE_PX = 160, 320
_MOST_STEPS, _SMALLEST_STEP = 40, 1e-4
_BLUR = (5, 5)
_LEAST_SIDE_PX = 8
_OF_EQUALS_NO_SHIFT = 1e-4
# Cells, and the distance over which neighbours share their motion: wider than the defects that are
# looked for, so that none of them moves the picture to its own advantage.
_CELL_PX, _SHARED_CELLS = 8, 2.5


@dataclass(frozen=True)
class Reach:
    """How far from its template a part may lie.

    Attributes:
        shift: To either side, as a share of the longer side.
        turn_deg: Rotation, degrees.
        stretch: Of either axis, as a share; line-scan cameras stretch with the belt's speed.
        local_px: Of one region beside the whole, pixels of the fine plane.
    """

    shift: float
    turn_deg: float
    stretch: float
    local_px: float


@dataclass(frozen=True)
class Alignment:
    """How a frame lies against its template.

    Attributes:
        matrix: (2, 3) float32, takes a place (x, y) of the template to the frame.
        correlation: Of both where they overlap, in [-1, 1]; 0 when nothing was found.
    """

    matrix: Floats
    correlation: float


def align(frame: Plane, template: Plane, reach: Reach) -> Alignment:
    """The place of `frame` on `template`, found by correlation.

    First the best whole-pixel shift by template matching on planes of about 160 pixels, then shift,
    rotation and stretch together by the enhanced correlation coefficient (Evangelidis & Psarakis,
    PAMI 30(10), 2008) on planes of about 320. What leaves `reach` is not believed: the shift alone
    is kept then.

    Raises:
        ValueError: when the sizes differ.
    """
    if frame.shape != template.shape:
        raise ValueError(f"frame is {frame.shape}, template {template.shape}: expected one size")
    shift = _shift(frame, template, reach.shift)
    found = _refined(frame, template, shift)
    if found is None or not is_within(found.matrix, frame.shape, reach):
        found = Alignment(shift, _correlation(frame, template, shift))
    return found


def laid_on(frame: Plane, template: Plane, found: Alignment, local_px: float) -> Plane:
    """The frame in the template's place; what lies outside of it is repeated from its edge.

    Beside the alignment of the whole, each region moves by up to `local_px` as its edges ask for
    and its neighbours do (`_local_motion`).
    """
    height, width = template.shape
    whole = _warped(frame, found.matrix, (width, height))
    motion = _local_motion(whole, template, local_px)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x, y = x + motion[..., 0], y + motion[..., 1]
    m = found.matrix
    there = (m[0, 0] * x + m[0, 1] * y + m[0, 2], m[1, 0] * x + m[1, 1] * y + m[1, 2])
    laid = cv2.remap(frame, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(laid, np.uint8)


def seen(shape: tuple[int, ...], found: Alignment, margin_px: int) -> Plane:
    """255 where the template's place lies inside the frame and not at its edge, else 0."""
    size = (shape[1], shape[0])
    whole = np.full(shape[:2], 255, np.uint8)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(whole, found.matrix, size, None, flags, cv2.BORDER_CONSTANT, 0)
    cell = np.ones((2 * margin_px + 1,) * 2, np.uint8)
    inner = cv2.erode(moved, cell, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(inner, np.uint8)


def is_within(matrix: Floats, shape: tuple[int, ...], reach: Reach) -> bool:
    """Whether the middle moves, and the whole turns and stretches, no further than allowed."""
    middle = np.array([shape[1] / 2, shape[0] / 2, 1.0])
    moved = np.abs(matrix @ middle - middle[:2]).max()
    turn = abs(math.degrees(math.atan2(float(matrix[1, 0]), float(matrix[0, 0]))))
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(
        moved <= 1 + reach.shift * max(shape)
        and turn <= reach.turn_deg
        and np.abs(stretches - 1).max() <= reach.stretch
    )


def reduced(plane: Plane, longer_px: int = _FINE_PX) -> tuple[Plane, float]:
    """The plane with a longer side of at most `longer_px`, and its scale (at most 1)."""
    scale = longer_px / max(plane.shape)
    if scale >= 1:
        return plane, 1.0
    height, width = (max(_LEAST_SIDE_PX, round(side * scale)) for side in plane.shape)
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA)), scale


def _shift(frame: Plane, template: Plane, most: float) -> Floats:
    """The best whole-pixel shift of the coarse planes, as a matrix for the whole ones."""
    (small, scale), (pattern, _) = reduced(frame, _COARSE_PX), reduced(template, _COARSE_PX)
    reach = min(math.ceil(most * max(small.shape)), (min(small.shape) - _LEAST_SIDE_PX) // 2)
    if reach < 1:
        return _moved(0.0, 0.0)
    inner = pattern[reach:-reach, reach:-reach]
    score = cv2.matchTemplate(small, inner, cv2.TM_CCOEFF_NORMED)
    score = np.where(np.isfinite(score), score, -1.0)  # constant planes
    score[reach, reach] += _OF_EQUALS_NO_SHIFT
    row, column = np.unravel_index(int(np.argmax(score)), score.shape)
    return _moved((int(column) - reach) / scale, (int(row) - reach) / scale)


def _refined(frame: Plane, template: Plane, start: Floats) -> Alignment | None:
    """The alignment on the fine planes; None when the iteration does not converge."""
    (small, scale), (pattern, _) = reduced(frame), reduced(template)
    matrix = start.copy()
    matrix[:, 2] *= scale
    ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _MOST_STEPS, _SMALLEST_STEP)
    try:
        correlation, found = cv2.findTransformECC(
            pattern, small, matrix, cv2.MOTION_AFFINE, ends, None
        )
    except cv2.error:
        return None
    whole = np.array(found, np.float32)
    if not (math.isfinite(correlation) and np.isfinite(whole).all()):
        return None
    # OpenCV counts from the middle of the first pixel, which lies elsewhere in a reduced plane.
    middle = np.full(2, (1 / scale - 1) / 2, np.float32)
    whole[:, 2] = whole[:, 2] / scale + middle - whole[:, :2] @ middle
    return Alignment(whole, float(correlation))


def _local_motion(frame: Plane, template: Plane, most_px: float) -> Floats:
    """How regions still move, (h, w, 2) float32 in pixels of the whole plane.

    Dense inverse search (Kroeger et al., ECCV 2016) on the fine planes, cut off at `most_px`, then
    averaged over regions of some 20 pixels with the weight of the template's own edges in each
    direction: a defect is no edge of the template and has no say.
    """
    (small, scale), (pattern, _) = reduced(frame), reduced(template)
    blurred = [cv2.GaussianBlur(plane, _BLUR, 0) for plane in (small, pattern)]
    # Made anew: it keeps buffers, and several threads may be here.
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    start = np.zeros((*pattern.shape, 2), np.float32)
    flow = np.clip(search.calc(blurred[1], blurred[0], start), -most_px, most_px)
    grid = [max(1, side // _CELL_PX) for side in pattern.shape[::-1]]
    motion = []
    for axis, order in enumerate(((1, 0), (0, 1))):
        weight = np.abs(cv2.Sobel(blurred[1], cv2.CV_32F, *order))
        sums = np.asarray(np.dstack([flow[..., axis] * weight, weight]), np.float32)
        cells = cv2.resize(sums, grid, interpolation=cv2.INTER_AREA)
        shared = np.asarray(cv2.GaussianBlur(cells, (0, 0), _SHARED_CELLS), np.float32)
        mean = shared[..., 0] / (shared[..., 1] + 1)
        motion.append(cv2.resize(mean, template.shape[::-1]) / scale)
    return np.dstack(motion).astype(np.float32)


def _correlation(frame: Plane, template: Plane, matrix: Floats) -> float:
    """Of frame and template on the fine planes; 0 when one of them is constant."""
    laid, _ = reduced(_warped(frame, matrix, (template.shape[1], template.shape[0])))
    pattern, _ = reduced(template)
    if min(float(laid.std()), float(pattern.std())) == 0:
        return 0.0
    found = float(cv2.matchTemplate(laid, pattern, cv2.TM_CCOEFF_NORMED)[0, 0])
    return found if math.isfinite(found) else 0.0


def _warped(frame: Plane, matrix: Floats, size: tuple[int, int]) -> Plane:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(frame, matrix, size, None, flags, cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _moved(x: float, y: float) -> Floats:
    return np.array([[1, 0, x], [0, 1, y]], np.float32)
