"""Two releases compared on what they answered on the line: paired, or two samples of parts.

A part's verdict is the worst of its frames. Figures are counts first; whether a difference is more
than chance is an exact test, how large it may be an interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest, fisher_exact

from inspection.decision import Label
from store.errors import InvalidInput
from vision_assets.evaluation.intervals import clopper_pearson

LABELS = (Label.PASS, Label.REVIEW, Label.REJECT)
_TESTED = (Label.REJECT, Label.REVIEW)


@dataclass(frozen=True)
class Share:
    """How many of some parts got a verdict, with the exact interval of the rate."""

    count: int
    of: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How often two releases give one verdict.

    Attributes:
        label: The verdict.
        old: Of the baseline.
        new: Of the candidate.
        difference: Rate of the candidate less that of the baseline.
        low: Of the interval of the difference.
        high: Of the same.
        only_old: Parts that got it from the baseline only; None without pairs.
        only_new: Parts that got it from the candidate only; None without pairs.
        p: How likely chance alone makes so large a difference (two-sided): exact McNemar for pairs,
            Fisher's exact test for two samples.
    """

    label: Label
    old: Share
    new: Share
    difference: float
    low: float
    high: float
    only_old: int | None
    only_new: int | None
    p: float


def paired(pairs: Sequence[tuple[Label, Label]], confidence: float = 0.95) -> list[Difference]:
    """The differences on parts that both have judged.

    Args:
        pairs: For each part the verdict of the baseline and of the candidate.
        confidence: Of the intervals.

    Raises:
        InvalidInput: without any part.
    """
    if not pairs:
        raise InvalidInput("no part was judged by both, so they cannot be compared")
    return [_paired(label, pairs, confidence) for label in _TESTED]


def unpaired(
    old: Sequence[Label], new: Sequence[Label], confidence: float = 0.95
) -> list[Difference]:
    """The differences between two samples of parts, each judged by one release.

    Raises:
        InvalidInput: when a sample is empty.
    """
    if not old or not new:
        raise InvalidInput(
            f"the baseline judged {len(old)} parts, the candidate {len(new)}: both need some"
        )
    return [_unpaired(label, old, new, confidence) for label in _TESTED]


def _paired(label: Label, pairs: Sequence[tuple[Label, Label]], confidence: float) -> Difference:
    both = sum(old == label == new for old, new in pairs)
    only_old = sum(old == label != new for old, new in pairs)
    only_new = sum(new == label != old for old, new in pairs)
    low, high = paired_interval(
        both, only_old, only_new, len(pairs) - both - only_old - only_new, confidence
    )
    differing = only_old + only_new
    return Difference(
        label=label,
        old=_share(both + only_old, len(pairs), confidence),
        new=_share(both + only_new, len(pairs), confidence),
        difference=(only_new - only_old) / len(pairs),
        low=low,
        high=high,
        only_old=only_old,
        only_new=only_new,
        p=float(binomtest(only_new, differing, 0.5).pvalue) if differing else 1.0,
    )


def _unpaired(
    label: Label, old: Sequence[Label], new: Sequence[Label], confidence: float
) -> Difference:
    counts = [sum(each == label for each in sample) for sample in (old, new)]
    before = _share(counts[0], len(old), confidence)
    after = _share(counts[1], len(new), confidence)
    low, high = unpaired_interval((counts[0], len(old)), (counts[1], len(new)), confidence)
    table = [[counts[0], len(old) - counts[0]], [counts[1], len(new) - counts[1]]]
    return Difference(
        label=label,
        old=before,
        new=after,
        difference=after.rate - before.rate,
        low=low,
        high=high,
        only_old=None,
        only_new=None,
        p=float(fisher_exact(table).pvalue),
    )


def _share(count: int, of: int, confidence: float) -> Share:
    return Share(count, of, count / of, *clopper_pearson(count, of, confidence))


def paired_interval(
    both: int, only_old: int, only_new: int, neither: int, confidence: float
) -> tuple[float, float]:
    """The interval of the rate of the new less that of the old, over the same parts.

    Newcombe's method 10 (1998, Statistics in Medicine 17:2635): score intervals of the two rates,
    put together by their correlation, which is estimated with a correction for continuity. It holds
    its coverage with few parts, and does not shrink to a point when none differ.

    Args:
        both: Parts that both count.
        only_old: Parts that the old one counts only.
        only_new: Parts that the new one counts only.
        neither: Parts that none counts.
        confidence: Such as 0.95.

    >>> low, high = paired_interval(0, 0, 0, 100, 0.95)
    >>> round(low, 3), round(high, 3)
    (-0.037, 0.037)
    """
    parts = both + only_old + only_new + neither
    new, old = both + only_new, both + only_old
    rate_new, rate_old = new / parts, old / parts
    low_new, high_new = _wilson(new, parts, confidence)
    low_old, high_old = _wilson(old, parts, confidence)
    phi = _correlation(both, only_old, only_new, neither)
    down = _joined(rate_new - low_new, high_old - rate_old, phi)
    up = _joined(high_new - rate_new, rate_old - low_old, phi)
    difference = rate_new - rate_old
    return difference - down, difference + up


def unpaired_interval(
    old: tuple[int, int], new: tuple[int, int], confidence: float
) -> tuple[float, float]:
    """The interval of the rate of the new less that of the old, over two samples of parts.

    Newcombe's method 10 for independent rates (1998, Statistics in Medicine 17:873).

    Args:
        old: Count and number of parts.
        new: The same.
        confidence: Such as 0.95.

    >>> low, high = unpaired_interval((48, 80), (56, 70), 0.95)  # the paper's first example
    >>> round(low, 4), round(high, 4)
    (0.0524, 0.3339)
    """
    rate_new, rate_old = new[0] / new[1], old[0] / old[1]
    low_new, high_new = _wilson(*new, confidence)
    low_old, high_old = _wilson(*old, confidence)
    difference = rate_new - rate_old
    down = _joined(rate_new - low_new, high_old - rate_old, 0.0)
    up = _joined(high_new - rate_new, rate_old - low_old, 0.0)
    return difference - down, difference + up


def _wilson(count: int, of: int, confidence: float) -> tuple[float, float]:
    found = binomtest(count, of).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)


def _joined(first: float, second: float, phi: float) -> float:
    return math.sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))


def _correlation(both: int, only_old: int, only_new: int, neither: int) -> float:
    margins = (both + only_old) * (only_new + neither) * (both + only_new) * (only_old + neither)
    if margins == 0:
        return 0.0
    product = float(both * neither - only_old * only_new)
    if product > 0:
        product = max(product - (both + only_old + only_new + neither) / 2, 0.0)
    return product / math.sqrt(margins)
