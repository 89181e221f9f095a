"""Which frames an epoch shows, and in which order: balanced, and the same for a seed and epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LEAST_SHARE = 1 / 3


def draw_weights(
    is_defective: Sequence[bool], classes: Sequence[tuple[str, ...] | None]
) -> NDArray[np.float64]:
    """How often each frame is drawn, relative to the others.

    Good and defective frames each get at least a third of the draws. Among defective frames a class
    counts by the square root of its frames, so that a rare one is seen more often than its share.

    >>> draw_weights([False] * 4 + [True], [()] * 4 + [("pit",)]).round(3).tolist()
    [0.167, 0.167, 0.167, 0.167, 0.333]
    """
    bad = np.asarray(is_defective, bool)
    share = bad.mean()
    if 0 < share < 1:
        share = min(max(share, _LEAST_SHARE), 1 - _LEAST_SHARE)
    rarity = _rarity(bad, classes)
    weights = np.where(bad, share * rarity / max(rarity[bad].sum(), 1e-12), 0.0)
    return weights + np.where(bad, 0.0, (1 - share) / max((~bad).sum(), 1))


def _rarity(
    bad: NDArray[np.bool_], classes: Sequence[tuple[str, ...] | None]
) -> NDArray[np.float64]:
    counts = Counter(names for names, is_bad in zip(classes, bad, strict=True) if is_bad)
    return np.array([counts[names] ** -0.5 if counts[names] else 1.0 for names in classes])


def epoch_order(
    weights: NDArray[np.float64], length: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Positions of the frames of one epoch.

    Drawn systematically: a frame whose expected number of draws is 1.3 comes once or twice, never
    not at all.

    Args:
        weights: Of each frame, any positive sum.
        length: Number of draws.
        seed: Of the training.
        epoch: Counted from 0.

    >>> sorted(epoch_order(np.ones(4), 4, seed=0, epoch=3).tolist())
    [0, 1, 2, 3]
    """
    random = np.random.default_rng((seed, epoch))
    mixed = random.permutation(len(weights))
    ends = np.cumsum(weights[mixed]) / weights.sum() * length
    points = np.arange(length) + random.uniform(1e-6, 1 - 1e-6)
    drawn = mixed[np.minimum(np.searchsorted(ends, points), len(weights) - 1)]
    return random.permutation(drawn)
