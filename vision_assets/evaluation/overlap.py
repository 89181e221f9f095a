"""How far segments cover masks: IoU and Dice of each class, over all pixels of all frames.

IoU = |A ∩ B| / |A ∪ B| (Jaccard 1901), Dice = 2 |A ∩ B| / (|A| + |B|) (Dice 1945), with A the
pixels that are taken for the class and B those that are of it, summed over frames first: a frame
without the class counts what is wrongly found there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vision_assets.evaluation.figures import Estimate, Overlap
from vision_assets.evaluation.intervals import Floats, percentiles, resamples

RESAMPLES = 1000
SEED = 0


class Overlaps:
    """Gathers frames; `figures` may be asked at any time."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Nothing gathered yet, of these classes."""
        self._classes = tuple(classes)
        self._sums: dict[str, Floats] = {}

    def add(self, found: NDArray[np.bool_], mask: NDArray[np.uint8], group: str) -> None:
        """Gather one frame.

        Args:
            found: (classes, H, W), what is taken for each class.
            mask: (H, W), 0 good, k of class k - 1; pixels of no known class count as good.
            group: What is resampled together.
        """
        sums = self._sums.setdefault(group, np.zeros((len(self._classes), 3)))
        for number, taken in enumerate(found):
            is_of_it = mask == number + 1
            sums[number] += (taken & is_of_it).sum(), taken.sum(), is_of_it.sum()

    def figures(self, confidence: float) -> tuple[Overlap, ...]:
        """Of every class that any mask shows, with bootstrap intervals over groups."""
        if not self._sums:
            return ()
        groups = np.stack(list(self._sums.values()))
        drawn = np.concatenate(list(resamples(np.arange(len(groups)), RESAMPLES, SEED)))
        found = []
        for number, name in enumerate(self._classes):
            mine = groups[:, number]
            if mine[:, 2].sum():
                once, many = mine.sum(0, keepdims=True), drawn @ mine
                many = many[many[:, 2] > 0]
                iou, dice = (_estimate(of(once), of(many), confidence) for of in (_iou, _dice))
                pixels = int(once[0, 2])
                found.append(Overlap(name=name, pixels=pixels, iou=iou, dice=dice))
        return tuple(found)


def _iou(sums: Floats) -> Floats:
    both, taken, of_it = sums.T
    return np.asarray(both / (taken + of_it - both), np.float64)


def _dice(sums: Floats) -> Floats:
    both, taken, of_it = sums.T
    return np.asarray(2 * both / (taken + of_it), np.float64)


def _estimate(value: Floats, values: Floats, confidence: float) -> Estimate:
    low, high = percentiles(values, confidence)
    method = f"percentiles of {RESAMPLES} bootstrap resamples of groups"
    return Estimate(value=float(value[0]), low=low, high=high, method=method)
