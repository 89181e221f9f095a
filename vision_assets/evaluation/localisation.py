"""How well maps show where defects are, against masks, at the resolution of the frames.

Everything is counted by level of the map, in memory that does not grow with the frames: a pixel's
level is its value, rounded to 1/1023. Frames without a mask of their defect are left out.

- Pixel AUROC: a defective pixel's level is above a good one's (ties half), over all pixels.
- AUPRO: for every level, the mean over regions of the share of the region at or above it (the
  per-region overlap), over the share of good pixels there, up to 30 % of them, divided by 0.3
  (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 129, 2021, section 5.2). Regions
  are 8-connected. A small defect counts as much as a large one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from vision_assets.evaluation.figures import Estimate, Localisation
from vision_assets.evaluation.intervals import Floats, percentiles, resamples

LEVELS = 1024
MOST_FALSE = 0.3
"""The share of good pixels up to which AUPRO looks."""

RESAMPLES = 500
SEED = 0


@dataclass
class _Counts:
    """Of one group of frames that resemble each other, by level."""

    good: Floats = field(default_factory=lambda: np.zeros(LEVELS))
    bad: Floats = field(default_factory=lambda: np.zeros(LEVELS))
    overlap: Floats = field(default_factory=lambda: np.zeros(LEVELS))
    """Sum over regions of the share of their pixels."""
    regions: int = 0


class Localiser:
    """Gathers frames; `figures` may be asked at any time."""

    def __init__(self) -> None:
        """Nothing gathered yet."""
        self._groups: dict[str, _Counts] = {}
        self.frames = 0

    def add(self, heat: NDArray[np.float32], mask: NDArray[np.bool_], group: str) -> None:
        """Gather one frame.

        Args:
            heat: (h, w) in [0, 1]; brought to the mask's size by linear interpolation.
            mask: (H, W), where the frame is defective.
            group: What is resampled together.
        """
        counts = self._groups.setdefault(group, _Counts())
        height, width = mask.shape
        grown = cv2.resize(heat, (width, height), interpolation=cv2.INTER_LINEAR)
        level = np.rint(np.asarray(grown) * (LEVELS - 1)).astype(np.int64).clip(0, LEVELS - 1)
        counts.good += np.bincount(level[~mask], minlength=LEVELS)
        number, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        for region in range(1, number):
            found = np.bincount(level[regions == region], minlength=LEVELS)
            counts.bad += found
            counts.overlap += found / found.sum()
        counts.regions += number - 1
        self.frames += 1

    def figures(self, confidence: float) -> Localisation | None:
        """Pixel AUROC and AUPRO with bootstrap intervals over groups; None without any region."""
        groups = list(self._groups.values())
        regions = np.array([counts.regions for counts in groups], np.float64)
        if not regions.sum():
            return None
        good, bad, overlap = (
            np.stack([getattr(counts, name) for counts in groups])
            for name in ("good", "bad", "overlap")
        )
        once = np.ones((1, len(groups)))
        areas, pros = _areas(once @ good, once @ bad), _pros(once @ good, once @ overlap)
        drawn = np.concatenate(list(resamples(np.arange(len(groups)), RESAMPLES, SEED)))
        drawn = drawn[(drawn @ regions > 0) & (drawn @ good.sum(1) > 0)]
        return Localisation(
            frames=self.frames,
            regions=int(regions.sum()),
            pixel_auroc=_estimate(areas, _areas(drawn @ good, drawn @ bad), confidence),
            aupro=_estimate(pros, _pros(drawn @ good, drawn @ overlap), confidence),
        )


def _estimate(value: Floats, values: Floats, confidence: float) -> Estimate:
    low, high = percentiles(values, confidence)
    method = f"percentiles of {RESAMPLES} bootstrap resamples of groups"
    return Estimate(value=float(value[0]), low=low, high=high, method=method)


def _areas(good: Floats, bad: Floats) -> Floats:
    """AUROC of each row of counts by level."""
    below = np.cumsum(good, axis=1) - good / 2
    pairs = good.sum(axis=1) * bad.sum(axis=1)
    return np.asarray((bad * below).sum(axis=1) / pairs, np.float64)


def _pros(good: Floats, overlap: Floats) -> Floats:
    """AUPRO of each row of counts by level; the curve is linear between levels."""
    false = np.cumsum(good[:, ::-1], axis=1) / good.sum(axis=1, keepdims=True)
    pro = np.cumsum(overlap[:, ::-1], axis=1) / overlap.sum(axis=1, keepdims=True)
    start = np.zeros((len(false), 1))
    return np.array(
        [
            _area_up_to(x, y, MOST_FALSE) / MOST_FALSE
            for x, y in zip(np.hstack([start, false]), np.hstack([start, pro]), strict=True)
        ]
    )


def _area_up_to(x: Floats, y: Floats, limit: float) -> float:
    """The area below a curve from 0 to `limit`, x not falling."""
    inside = x <= limit
    last = int(inside.sum())
    if last == len(x):
        return float(np.trapezoid(y, x))
    share = (limit - x[last - 1]) / (x[last] - x[last - 1])
    end = y[last - 1] + share * (y[last] - y[last - 1])
    return float(np.trapezoid(np.r_[y[:last], end], np.r_[x[:last], limit]))
