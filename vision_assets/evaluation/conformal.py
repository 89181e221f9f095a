"""Cut points from good parts alone, with a stated rate at which good parts are rejected.

Split conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World",
2005; Laxhammar and Falkman, "Conformal anomaly detection", 2014): of n good parts that the model
has not learnt from, a cut above the k-th lowest score, k = ceil((n + 1) (1 - rate)), rejects a
further good part with probability at most `rate`, whatever the scores' distribution, when good
parts are exchangeable. The probability is over the parts that the cut is made of as well: on one
line it may be somewhat more or less.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import expit

from inspection.decision import Thresholds
from vision_assets.config import LimitSettings
from vision_assets.evaluation.intervals import Floats

_REVIEW_SHARE = 0.5
"""Of the allowed review share that good parts may take up; defects need the rest."""


def rank(parts: int, rate: float) -> int:
    """Which of the sorted scores of good parts a cut must lie above; beyond `parts`: none will do.

    >>> rank(99, 0.01), rank(98, 0.01), rank(20, 0.1)
    (99, 99, 19)
    """
    return math.ceil((parts + 1) * (1 - rate) - 1e-9)


def cut_above(good: Floats, rate: float) -> float:
    """The lowest cut that rejects a good part with probability at most `rate`.

    Args:
        good: (n,) float64, sorted, each good part's worst score.
        rate: In (0, 1).

    Returns:
        A score halfway to the next one, so that it is no part's own; infinite when `good` is too
        short to state that rate.
    """
    place = rank(len(good), rate)
    if place > len(good):
        return math.inf
    low = float(good[place - 1])
    above = good[good > low]
    return (low + float(above[0])) / 2 if len(above) else low + _step(good)


def stated_rate(parts: int, limits: LimitSettings) -> float | None:
    """The rate that so many good parts can state: the wanted one, or the least that is allowed.

    >>> stated_rate(99, LimitSettings(false_reject_rate=0.01, max_overkill_rate=0.1))
    0.01
    >>> stated_rate(19, LimitSettings(false_reject_rate=0.01, max_overkill_rate=0.1))
    0.05
    >>> stated_rate(5, LimitSettings(false_reject_rate=0.01, max_overkill_rate=0.1)) is None
    True
    """
    least = max(limits.false_reject_rate, 1 / (parts + 1))
    return least if least <= limits.max_overkill_rate else None


def choose(good: Floats, bad: Floats, limits: LimitSettings) -> tuple[Thresholds, Thresholds, str]:
    """Thresholds with the review band and without it, and what they promise.

    Known defects tighten the cut: it is lowered to reject as many of them as `max_overkill_rate`
    allows, which then is the rate that is stated.

    Args:
        good: (n,) float64, n >= 1, worst scores of good parts.
        bad: (m,) float64, those of known defective parts, m >= 0.
        limits: The line's.
    """
    good = np.sort(good)
    rate = stated_rate(len(good), limits)
    spread = float(good.std()) or 1.0
    if rate is None:
        cut = float(good[-1]) + _step(good)
        review = _thresholds(cut, cut, spread).model_copy(update={"reject_from": 1.0})
        return (
            review,
            review,
            (
                f"{len(good)} good parts are too few to state that at most "
                f"{100 * limits.max_overkill_rate:g} % of good parts are rejected "
                f"({math.ceil(1 / limits.max_overkill_rate) - 1} are needed): nothing is rejected, "
                "what is unlike them is REVIEW"
            ),
        )
    reject, rate = _tightened(cut_above(good, rate), rate, good, bad, limits)
    band = min(rate + _REVIEW_SHARE * limits.max_review_share, 1.0)
    banded = _thresholds(min(cut_above(good, band), reject), reject, spread)
    promise = (
        f"thresholds come from {len(good)} good parts: a good part is rejected with probability "
        f"at most {100 * rate:.3g} %, and not passed with at most {100 * band:.3g} %"
    )
    return banded, _thresholds(reject, reject, spread), promise


def _tightened(
    cut: float, rate: float, good: Floats, bad: Floats, limits: LimitSettings
) -> tuple[float, float]:
    """A lower cut that rejects more of the known defects, where there is one."""
    lowest = cut_above(good, limits.max_overkill_rate)
    missed = bad[(bad < cut) & (bad >= lowest)]
    if not len(missed):
        return cut, rate
    target = float(missed.min())
    below = good[good < target]
    halfway = (target + float(below[-1])) / 2 if len(below) else target
    return max(halfway, lowest), limits.max_overkill_rate


def _thresholds(pass_below: float, reject_from: float, spread: float) -> Thresholds:
    """On the calibrated score, which is 0.5 at the cut that rejects."""
    return Thresholds(
        temperature=spread,
        bias=-reject_from / spread,
        pass_below=min(float(expit((pass_below - reject_from) / spread)), 0.5),
        reject_from=0.5,
    )


def _step(good: Floats) -> float:
    """How far beyond the last score a cut lies."""
    return float(good.std()) / len(good) if good.std() > 0 else 1e-3
