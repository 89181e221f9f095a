"""The golden template: what good parts look like at every pixel, and how far they may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from inspection.rulebased.align import Alignment, Floats, Plane, Reach, align, laid_on, seen
from store.errors import InvalidInput

_FITTED_PX = 160
_FITTING = 0.8
_GAIN = (0.5, 2.0)
_SPREADS = 4.0
_BLUR = (3, 3)


class Tolerance(BaseModel):
    """How far a good frame may differ from its template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: float = Field(0.04, gt=0, le=0.2, description="to either side, share of longer side")
    turn_deg: float = Field(3.0, gt=0, le=10, description="rotation, degrees")
    stretch: float = Field(0.02, gt=0, le=0.1, description="of either axis, as a share")
    local_px: float = Field(1.5, ge=0, le=4, description="of one region, at 320 pixels a side")
    jitter_px: int = Field(2, ge=0, le=8, description="of an edge, pixels of the template")
    levels: int = Field(6, ge=1, le=128, description="grey levels that never count")

    @property
    def reach(self) -> Reach:
        """The bounds of the search."""
        return Reach(self.shift, self.turn_deg, self.stretch, self.local_px)


@dataclass(frozen=True)
class Template:
    """What good parts look like.

    Attributes:
        mean: (h, w) uint8, of the good frames laid on one another.
        lower, upper: (h, w) uint8, the band in which a good frame lies at each pixel.
    """

    mean: Plane
    lower: Plane
    upper: Plane


@dataclass(frozen=True)
class Laid:
    """A frame laid on its template and lit like it.

    Attributes:
        plane: (h, w) uint8.
        inside: (h, w) uint8, 255 where the frame tells something, 0 elsewhere.
        alignment: How it lay.
    """

    plane: Plane
    inside: Plane
    alignment: Alignment


def lay(frame: Plane, mean: Plane, tolerance: Tolerance) -> Laid:
    """A frame in the place and the light of the template.

    Args:
        frame: (h, w) uint8, the size of `mean`.
        mean: Of the template.
        tolerance: Bounds of the search.
    """
    found = align(frame, mean, tolerance.reach)
    moved = laid_on(frame, mean, found, tolerance.local_px)
    inside = seen(mean.shape, found, tolerance.jitter_px + 1)
    return Laid(_lit(moved, *light(moved, mean)), inside, found)


def light(frame: Plane, mean: Plane) -> tuple[float, float]:
    """Gain (0.5 to 2) and offset that bring a frame to the template's light.

    Least squares on reduced planes, twice: the second time without the fifth of the pixels that fit
    worst, so that a defect does not change the light of the rest.

    >>> plane = np.tile(np.arange(200, dtype=np.uint8), (50, 1))
    >>> gain, offset = light((plane // 2 + 10).astype(np.uint8), plane)
    >>> round(gain, 1), -21 < offset < -19
    (2.0, True)
    """
    size = (min(_FITTED_PX, mean.shape[1]), min(_FITTED_PX, mean.shape[0]))
    x, y = (
        cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
        for plane in (frame, mean)
    )
    gain, offset = _line(x, y)
    misfit = np.abs(gain * x + offset - y)
    fits = misfit <= np.quantile(misfit, _FITTING)
    return _line(x[fits], y[fits])


def learn(frames: Sequence[Plane], tolerance: Tolerance) -> Template:
    """The template of good frames: one is enough, twenty tell how much good parts differ.

    All are laid on the first, then on the mean of that. The band is four standard deviations wide
    to either side (none from a single frame), widened by the jitter of edges and by the grey levels
    that never count.

    Args:
        frames: Each (h, w) uint8, of one size.
        tolerance: As the check will use it.

    Raises:
        InvalidInput: when there is no frame, or sizes differ.
    """
    if len({frame.shape for frame in frames}) != 1:
        sizes = sorted({frame.shape for frame in frames})
        raise InvalidInput(f"a template needs good frames of one size, found {sizes or 'none'}")
    mean, spread = frames[0], np.zeros(frames[0].shape, np.float32)
    for _ in range(2 if len(frames) > 1 else 0):
        mean, spread = _moments([lay(frame, mean, tolerance).plane for frame in frames])
    return banded(mean, spread, tolerance)


def banded(mean: Plane, spread: Floats, tolerance: Tolerance) -> Template:
    """The template with its band.

    Args:
        mean: (h, w) uint8.
        spread: (h, w) float32, standard deviation of good frames at each pixel.
        tolerance: Jitter and levels.
    """
    smooth = cv2.GaussianBlur(mean, _BLUR, 0)
    cell = np.ones((2 * tolerance.jitter_px + 1,) * 2, np.uint8)
    low, high = (
        np.clip(smooth + side * _SPREADS * spread, 0, 255).astype(np.uint8) for side in (-1, 1)
    )
    lower = cv2.subtract(cv2.erode(low, cell), np.full_like(mean, tolerance.levels))
    upper = cv2.add(cv2.dilate(high, cell), np.full_like(mean, tolerance.levels))
    return Template(mean, np.asarray(lower, np.uint8), np.asarray(upper, np.uint8))


def sighted_share(template: Template, levels: int) -> float:
    """The share of pixels where a change of so many grey levels would leave the band.

    Either way is enough. Where good parts differ as much as this the check is blind.
    """
    mean = template.mean.astype(np.int16)
    darker = mean - template.lower < levels
    brighter = template.upper - mean < levels
    # A band beyond black or white ends there: nothing can leave it on that side.
    darker &= template.lower > 0
    brighter &= template.upper < 255
    return float((darker | brighter).mean())


def _moments(planes: Sequence[Plane]) -> tuple[Plane, Floats]:
    """Mean and standard deviation at each pixel."""
    total, squares = np.zeros((2, *planes[0].shape))
    for plane in planes:
        total += plane
        squares += plane.astype(np.float64) ** 2
    mean = total / len(planes)
    variance = np.maximum(squares - len(planes) * mean**2, 0) / (len(planes) - 1)
    return mean.round().astype(np.uint8), np.sqrt(variance).astype(np.float32)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope (bounded) and intercept of least squares; only a shift when `x` is constant."""
    spread = float(x.var())
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread if spread > 1 else 1.0
    gain = float(np.clip(slope, *_GAIN))
    return gain, float(y.mean()) - gain * float(x.mean())


def _lit(plane: Plane, gain: float, offset: float) -> Plane:
    levels = np.rint(np.arange(256, dtype=np.float32) * gain + offset)
    return np.asarray(cv2.LUT(plane, np.clip(levels, 0, 255).astype(np.uint8)), np.uint8)
